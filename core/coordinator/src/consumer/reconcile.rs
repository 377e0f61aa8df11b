//! The way of one member to its target assignment (KIP-848). It first gives up what it is not to have, and is given
//! a partition only when nobody owns it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use uuid::Uuid;

use super::error::ConsumerGroupError;
use super::group::ConsumerGroup;
use super::member::{ConsumerGroupMember, MemberState, PartitionEpochs};
use super::subscriptions::Subscriptions;
use crate::assignors::Assignment;
use crate::turn::Topics;

/// What the next state of a member is made from.
pub(super) struct Reconciliation<'a> {
    pub(super) group: &'a ConsumerGroup,
    pub(super) topics: &'a dyn Topics,
    pub(super) target_epoch: i32,
    pub(super) target: &'a Assignment,
    pub(super) subscriptions: &'a Subscriptions,
    pub(super) has_subscription_changed: bool,
    /// What the member says it owns; none if it didn't say.
    pub(super) owned: Option<&'a [TopicPartitions]>,
}

impl Reconciliation<'_> {
    /// The member's next state; none if that is the one it is in.
    ///
    /// # Errors
    /// [`ConsumerGroupError::UnknownMemberState`] if its state isn't known and it doesn't say that it owns nothing.
    pub(super) fn next(
        &self,
        member: &ConsumerGroupMember,
    ) -> Result<Option<ConsumerGroupMember>, ConsumerGroupError> {
        if !self.has_subscription_changed && member.is_reconciled_to(self.target_epoch) {
            return Ok(None);
        }
        let subscribed = self.subscriptions.topics_of(member);
        let step = Step { input: self, member, subscribed: &subscribed };
        let next = match member.state {
            MemberState::Stable if member.member_epoch != self.target_epoch => {
                Some(step.toward_target(member.member_epoch))
            }
            MemberState::UnrevokedPartitions if !step.owns_any(&member.partitions_pending_revocation) => {
                Some(step.toward_target(member.member_epoch))
            }
            MemberState::Stable | MemberState::UnrevokedPartitions if self.has_subscription_changed => {
                step.without_unsubscribed()
            }
            MemberState::Stable | MemberState::UnrevokedPartitions => None,
            MemberState::UnreleasedPartitions => Some(step.toward_target(member.member_epoch)),
            MemberState::Unknown if self.owned.is_some_and(<[TopicPartitions]>::is_empty) => {
                Some(step.toward_target(self.target_epoch))
            }
            MemberState::Unknown => return Err(ConsumerGroupError::UnknownMemberState),
        };
        Ok(next.filter(|next| next != member))
    }
}

/// One step of a member.
struct Step<'a> {
    input: &'a Reconciliation<'a>,
    member: &'a ConsumerGroupMember,
    /// The names of the topics that it subscribes to.
    subscribed: &'a BTreeSet<StrBytes>,
}

impl Step<'_> {
    /// Takes the topics away that the member no longer subscribes to. A new target assignment may come only later.
    fn without_unsubscribed(&self) -> Option<ConsumerGroupMember> {
        let member = self.member;
        let (kept, dropped): (PartitionEpochs, PartitionEpochs) = member
            .assigned_partitions
            .iter()
            .map(|(topic_id, partitions)| (*topic_id, partitions.clone()))
            .partition(|(topic_id, _)| self.subscribes_to(*topic_id));
        // As Kafka, which writes a record of a member that has just dropped its last topic even if it owned nothing.
        let subscribes_to_nothing =
            self.subscribed.is_empty() && member.partitions_pending_revocation.is_empty();
        if dropped.is_empty() && !subscribes_to_nothing {
            return None;
        }
        let mut next = member.clone();
        next.update_member_epoch(member.member_epoch);
        next.assigned_partitions = Arc::new(kept);
        let mut revoking = (*member.partitions_pending_revocation).clone();
        for (topic_id, partitions) in dropped {
            revoking.entry(topic_id).or_default().extend(partitions);
        }
        if !revoking.is_empty() && self.owns_any(&revoking) {
            next.state = MemberState::UnrevokedPartitions;
            next.partitions_pending_revocation = Arc::new(revoking);
        }
        Some(next)
    }

    /// One step to the target. A member that has to give up partitions stays at `epoch` until it did.
    fn toward_target(&self, epoch: i32) -> ConsumerGroupMember {
        let member = self.member;
        let nothing = BTreeSet::new();
        let unassigned = BTreeMap::new();
        let mut assigned = PartitionEpochs::new();
        let mut revoking = PartitionEpochs::new();
        let mut pending = Assignment::new();
        let mut has_unreleased = false;
        let topic_ids: BTreeSet<Uuid> =
            self.input.target.keys().chain(member.assigned_partitions.keys()).copied().collect();
        for topic_id in topic_ids {
            let target =
                self.input.target.get(&topic_id).filter(|_| self.subscribes_to(topic_id)).unwrap_or(&nothing);
            let current = member.assigned_partitions.get(&topic_id).unwrap_or(&unassigned);
            let (kept, dropped): (BTreeMap<i32, i32>, BTreeMap<i32, i32>) = current
                .iter()
                .map(|(&partition, &epoch)| (partition, epoch))
                .partition(|(partition, _)| target.contains(partition));
            let (taken, free): (BTreeSet<i32>, BTreeSet<i32>) = target
                .iter()
                .filter(|partition| !current.contains_key(partition))
                .partition(|&&partition| self.is_owned_by_another(topic_id, partition));
            has_unreleased |= !taken.is_empty();
            if !kept.is_empty() {
                assigned.insert(topic_id, kept);
            }
            if !dropped.is_empty() {
                revoking.insert(topic_id, dropped);
            }
            if !free.is_empty() {
                pending.insert(topic_id, free);
            }
        }
        let mut next = member.clone();
        if !revoking.is_empty() && self.owns_any(&revoking) {
            next.state = MemberState::UnrevokedPartitions;
            next.update_member_epoch(epoch);
            next.assigned_partitions = Arc::new(assigned);
            next.partitions_pending_revocation = Arc::new(revoking);
            return next;
        }
        for (topic_id, partitions) in pending {
            let partitions = partitions.into_iter().map(|partition| (partition, self.input.target_epoch));
            assigned.entry(topic_id).or_default().extend(partitions);
        }
        next.state = if has_unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.update_member_epoch(self.input.target_epoch);
        next.assigned_partitions = Arc::new(assigned);
        next.partitions_pending_revocation = Arc::default();
        next
    }

    /// Whether a partition that the member doesn't have is owned: by another member, unless the member itself is about
    /// to give it up.
    fn is_owned_by_another(&self, topic_id: Uuid, partition: i32) -> bool {
        let is_own = || {
            let revoking = self.member.partitions_pending_revocation.get(&topic_id);
            revoking.is_some_and(|partitions| partitions.contains_key(&partition))
        };
        self.input.group.current_partition_epoch(topic_id, partition).is_some() && !is_own()
    }

    /// Whether the member still owns some of `partitions`, as far as it says.
    fn owns_any(&self, partitions: &PartitionEpochs) -> bool {
        let Some(owned) = self.input.owned else { return true };
        owned.iter().any(|topic| {
            let partitions = partitions.get(&topic.topic_id);
            partitions
                .is_some_and(|partitions| topic.partitions.iter().any(|index| partitions.contains_key(index)))
        })
    }

    fn subscribes_to(&self, topic_id: Uuid) -> bool {
        self.input.topics.by_id(topic_id).is_some_and(|(name, _)| self.subscribed.contains(&name))
    }
}
