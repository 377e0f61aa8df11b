//! Classic group → consumer group, when a member joins that speaks the consumer protocol (KIP-848). The members that are
//! there go on in the classic protocol, as members of the consumer group.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use fluxmq_protocol::group_records::{ClassicMemberMetadata, ClassicProtocol};
use fluxmq_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use fluxmq_protocol::{StrBytes, consumer_protocol};
use uuid::Uuid;

use super::error::ConsumerGroupError;
use super::group::ConsumerGroup;
use super::member::{ConsumerGroupMember, MemberState};
use super::metadata_hash::metadata_hash;
use super::records;
use crate::assignors::Assignment;
use crate::classic::{ClassicGroup, ClassicGroupMember, ClassicGroupState};
use crate::config::MigrationPolicy;
use crate::group::{Group, Timer};
use crate::shard::{GroupShard, owned};
use crate::turn::{Topics, Turn};

impl GroupShard {
    /// The consumer group that a classic group becomes. Leaves the records of that; what else there is to do waits until
    /// the whole request is known to be taken ([`GroupShard::leave_classic_group`]).
    ///
    /// # Errors
    /// [`ConsumerGroupError::CannotUpgrade`] for a group with members that can't go on as members of a consumer group,
    /// or not without leave (`group.consumer.migration.policy`).
    pub(super) fn consumer_group_from(
        &self,
        turn: &mut Turn<'_>,
        classic: &ClassicGroup,
    ) -> Result<ConsumerGroup, ConsumerGroupError> {
        let mut group = ConsumerGroup::new(classic.group_id.clone());
        if classic.is_empty() {
            classic.create_group_tombstones(&mut turn.records);
            return Ok(group);
        }
        let refused =
            |reason| ConsumerGroupError::CannotUpgrade { group_id: classic.group_id.clone(), reason };
        let policy = self.config.consumer_migration_policy;
        if !matches!(policy, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional) {
            return Err(refused("online upgrade is disabled"));
        }
        if !classic.uses_consumer_protocol() {
            return Err(refused("the group does not use the consumer embedded protocol"));
        }
        if classic.num_members() > usize::try_from(self.config.consumer_max_size).unwrap_or(0) {
            return Err(refused("the group size exceeds the consumer group maximum size"));
        }
        classic.create_group_tombstones(&mut turn.records);
        let first = turn.records.len();
        // A group in its first rebalance has no protocol yet; the one that it is about to choose does.
        let protocol = classic.protocol_name.clone().or_else(|| classic.select_protocol());
        let read = |member| Known::read(member, protocol.as_ref());
        let known: Vec<Known<'_>> = classic.members().map(read).collect::<Result<_, _>>().map_err(refused)?;
        let assigned = owners(&known, turn.topics);
        let members = known.iter().zip(assigned);
        let members: Vec<ConsumerGroupMember> =
            members.map(|(known, assigned)| known.converted(classic.generation, &assigned)).collect();
        // What the members of a group in a rebalance have is no assignment of it: no topics hash to 0, so that the next
        // step makes one, even if it changes no subscription.
        let hash = if classic.state() == ClassicGroupState::Stable {
            let names: BTreeSet<&StrBytes> =
                members.iter().flat_map(|member| member.subscribed_topic_names.iter()).collect();
            metadata_hash(names.into_iter(), turn.topics, self.config.broker_rack.as_deref())
        } else {
            0
        };
        push_records(turn, &group.group_id, (classic.generation, hash), &members);
        for record in &turn.records[first..] {
            group.replay(record.clone());
        }
        Ok(group)
    }

    /// Ends what a classic group still had to do, now that it is to be a consumer group: members that wait for an
    /// answer are to join again, and sessions go on under the new group.
    pub(super) fn leave_classic_group(&mut self, turn: &mut Turn<'_>, group_id: &StrBytes) {
        let Some(Group::Classic(classic)) = self.groups.get(group_id) else { return };
        let sessions: Vec<(StrBytes, i32)> =
            classic.members().map(|member| (member.member_id.clone(), member.session_timeout_ms)).collect();
        self.send_waiting_members_to_rejoin(turn, group_id);
        for (member_id, session_timeout_ms) in sessions {
            let deadline_ms = turn.now.monotonic_ms + i64::from(session_timeout_ms);
            self.timers.schedule(Timer::ConsumerSession(group_id.clone(), member_id), deadline_ms);
        }
    }
}

const MALFORMED: &str = "the embedded consumer protocol is malformed";

/// The text of Kafka's refusal where an assignment has user data, which no server-side assignor would keep.
const CUSTOM_ASSIGNOR: &str = "an unsupported custom assignor is in use. Please refer to the documentation or switch to \
                               a default assignor before re-attempting the upgrade";

/// What is known of a member of the classic group.
struct Known<'a> {
    member: &'a ClassicGroupMember,
    subscription: ConsumerProtocolSubscription,
    assignment: ConsumerProtocolAssignment,
}

impl<'a> Known<'a> {
    fn read(member: &'a ClassicGroupMember, protocol: Option<&StrBytes>) -> Result<Self, &'static str> {
        let metadata = member.metadata(protocol);
        let subscription = consumer_protocol::decode_subscription(&metadata).map_err(|_| MALFORMED)?;
        let assignment = match &member.assignment {
            none if none.is_empty() => ConsumerProtocolAssignment::default(),
            assignment => consumer_protocol::decode_assignment(assignment).map_err(|_| MALFORMED)?,
        };
        if assignment.user_data.as_ref().is_some_and(|user_data| !user_data.is_empty()) {
            return Err(CUSTOM_ASSIGNOR);
        }
        Ok(Known { member, subscription, assignment })
    }

    /// The member of the consumer group that it becomes.
    fn converted(&self, generation: i32, assigned: &Assignment) -> ConsumerGroupMember {
        let Known { member, subscription, .. } = self;
        let at_generation =
            |partitions: &BTreeSet<i32>| partitions.iter().map(|index| (*index, generation)).collect();
        let assigned: BTreeMap<Uuid, BTreeMap<i32, i32>> =
            assigned.iter().map(|(topic_id, partitions)| (*topic_id, at_generation(partitions))).collect();
        ConsumerGroupMember {
            member_epoch: generation,
            previous_member_epoch: generation,
            state: MemberState::Stable,
            instance_id: member.instance_id.clone(),
            rack_id: rack(subscription),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: Arc::new(subscription.topics.iter().map(owned).collect()),
            assigned_partitions: Arc::new(assigned),
            classic_member_metadata: Some(ClassicMemberMetadata {
                session_timeout_ms: member.session_timeout_ms,
                supported_protocols: supported_protocols(member),
            }),
            ..ConsumerGroupMember::new(member.member_id.clone())
        }
    }
}

/// What each member has: what it was assigned last, and what it said that it owns when it joined, if nobody else was
/// assigned that. Kafka takes the assignments only; but a rebalance that begins before the last one ended takes them
/// all away, and a member whose answer was lost does not know its own, while cooperative members go on with what they
/// have.
fn owners(known: &[Known<'_>], topics: &dyn Topics) -> Vec<Assignment> {
    let mut taken = HashSet::new();
    let mut owners: Vec<Assignment> = Vec::with_capacity(known.len());
    for Known { assignment, .. } in known {
        let assigned = assignment.assigned_partitions.iter();
        let assigned = assigned.map(|topic| (&topic.topic.0, topic.partitions.as_slice()));
        let mut has = Assignment::new();
        add_free(&mut has, topics, assigned, &mut taken);
        owners.push(has);
    }
    let mut claims: Vec<usize> = (0..known.len()).collect();
    claims.sort_by_key(|member| std::cmp::Reverse(known[*member].subscription.generation_id));
    for member in claims {
        let claimed = known[member].subscription.owned_partitions.iter();
        let claimed = claimed.map(|topic| (&topic.topic.0, topic.partitions.as_slice()));
        add_free(&mut owners[member], topics, claimed, &mut taken);
    }
    owners
}

fn supported_protocols(member: &ClassicGroupMember) -> Vec<ClassicProtocol> {
    let copy = |name: &StrBytes, metadata: &bytes::Bytes| ClassicProtocol {
        name: name.clone(),
        metadata: metadata.clone(),
    };
    member.protocols.iter().map(|protocol| copy(&protocol.name, &protocol.metadata)).collect()
}

/// The rack that a subscription names; an empty one is none.
pub(super) fn rack(subscription: &ConsumerProtocolSubscription) -> Option<StrBytes> {
    subscription.rack_id.as_ref().filter(|rack| !rack.is_empty()).map(owned)
}

/// Adds partitions of topics that exist. One that somebody has already is left out: leaders assign as they like, and a
/// consumer group has one owner for each.
fn add_free<'a>(
    has: &mut Assignment,
    topics: &dyn Topics,
    partitions: impl Iterator<Item = (&'a StrBytes, &'a [i32])>,
    taken: &mut HashSet<(Uuid, i32)>,
) {
    for (name, partitions) in partitions {
        let Some((topic_id, _)) = topics.by_name(name) else { continue };
        let free = partitions.iter().copied().filter(|partition| taken.insert((topic_id, *partition)));
        let free: Vec<i32> = free.collect();
        if !free.is_empty() {
            has.entry(topic_id).or_default().extend(free);
        }
    }
}

/// The records of the new group: Kafka's order.
fn push_records(
    turn: &mut Turn<'_>,
    group_id: &StrBytes,
    (generation, hash): (i32, i64),
    members: &[ConsumerGroupMember],
) {
    turn.records.extend(members.iter().map(|member| records::member_metadata(group_id, member)));
    turn.records.push(records::group_metadata(group_id, generation, hash));
    for member in members {
        let partitions = |epochs: &BTreeMap<i32, i32>| epochs.keys().copied().collect();
        let assigned = member.assigned_partitions.iter();
        let target = assigned.map(|(topic_id, epochs)| (*topic_id, partitions(epochs))).collect();
        turn.records.push(records::target_assignment_member(group_id, &member.member_id, &target));
    }
    turn.records.push(records::target_assignment_metadata(group_id, generation, 0));
    turn.records.extend(members.iter().map(|member| records::current_assignment(group_id, member)));
}
