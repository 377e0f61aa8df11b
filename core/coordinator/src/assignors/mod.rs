//! The server-side assignors of consumer groups (KIP-848): who is to have which partition.
//!
//! They are pure functions of the members' subscriptions, what the members are to have already, and the number of
//! partitions of each topic. Where Kafka goes through a hash map in no order, these go by member id and topic id.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::config::Assignor;

mod balancer;
mod range;
mod uniform_heterogeneous;
mod uniform_homogeneous;

/// Partitions by topic id. A topic without partitions isn't in it.
pub type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// Whether all members of a group subscribe to the same topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionType {
    /// They do.
    Homogeneous,
    /// At least one of them differs.
    Heterogeneous,
}

/// A member, as an assignor sees it.
#[derive(Clone, Copy, Debug)]
pub struct MemberSpec<'a> {
    /// Its id.
    pub member_id: &'a str,
    /// Its `group.instance.id` (KIP-345), if it is a static member.
    pub instance_id: Option<&'a str>,
    /// The topics that it subscribes to and that exist. Members may share a set.
    pub subscribed_topic_ids: &'a BTreeSet<Uuid>,
    /// What the last target assignment gave it; for a static member that came back under a new id, what it gave the
    /// old one.
    pub target: &'a Assignment,
}

/// A group, as an assignor sees it.
#[derive(Clone, Debug)]
pub struct GroupSpec<'a> {
    /// Its members, in any order. No partition is in the target of two.
    pub members: Vec<MemberSpec<'a>>,
    /// Whether they all subscribe to the same topics. Kafka compares names for this, so a name without a topic counts.
    pub subscription_type: SubscriptionType,
}

/// Why there is no assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    /// A subscription has a topic that doesn't exist.
    #[error("a member subscribes to topic {0}, which does not exist")]
    UnknownTopic(Uuid),
}

/// Computes what each member is to have, in the order of `group.members`. `partition_count` tells how many partitions
/// a topic has, if there is such a topic.
///
/// # Errors
/// [`AssignError::UnknownTopic`] for a subscription to a topic without a partition count.
pub fn assign(
    assignor: Assignor,
    group: &GroupSpec<'_>,
    partition_count: &dyn Fn(Uuid) -> Option<i32>,
) -> Result<Vec<Assignment>, AssignError> {
    if group.members.is_empty() {
        return Ok(Vec::new());
    }
    match (assignor, group.subscription_type) {
        (Assignor::Range, _) => range::assign(group, partition_count),
        (Assignor::Uniform, SubscriptionType::Homogeneous) => {
            uniform_homogeneous::assign(group, partition_count)
        }
        (Assignor::Uniform, SubscriptionType::Heterogeneous) => {
            uniform_heterogeneous::assign(group, partition_count)
        }
    }
}

/// The number of partitions of a topic.
fn count(topic_id: Uuid, partition_count: &dyn Fn(Uuid) -> Option<i32>) -> Result<usize, AssignError> {
    let partitions = partition_count(topic_id).ok_or(AssignError::UnknownTopic(topic_id))?;
    Ok(usize::try_from(partitions).unwrap_or(0))
}

/// A partition's number, from its place among the partitions of its topic.
fn partition_index(place: usize) -> i32 {
    i32::try_from(place).expect("a topic has less than 2^31 partitions")
}

/// Java's order of strings: by UTF-16 unit.
fn java_order(left: &str, right: &str) -> Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

/// The places of the members in `members`, in the order of their ids.
fn by_member_id(members: &[MemberSpec<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|&left, &right| java_order(members[left].member_id, members[right].member_id));
    order
}
