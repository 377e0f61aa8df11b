//! Consumer group → classic group, when all members that are left speak the classic protocol (KIP-848): the last one of
//! the consumer protocol left, was fenced, or came back as a static member that speaks the classic protocol.

use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use fluxmq_protocol::messages::consumer_protocol_assignment::TopicPartition;
use fluxmq_protocol::messages::{ConsumerProtocolAssignment, TopicName};
use fluxmq_protocol::{StrBytes, consumer_protocol};
use uuid::Uuid;

use super::group::ConsumerGroup;
use super::member::ConsumerGroupMember;
use super::metadata_hash::metadata_hash;
use super::reconcile::Reconciliation;
use crate::assignors::Assignment;
use crate::classic::{ClassicGroup, ClassicGroupMember, Protocol};
use crate::config::MigrationPolicy;
use crate::shard::GroupShard;
use crate::turn::{Topics, Turn};

/// A consumer group's way to a classic group.
pub(super) struct Downgrade {
    classic: ClassicGroup,
    /// The consumer group's members, whose timers end.
    members: Vec<StrBytes>,
    tombstones: Vec<GroupRecord>,
    /// Whether the members are to join again, because what they have isn't what they are to have.
    rebalance: bool,
}

impl GroupShard {
    /// The classic group that is left without `leaving`, if it is one: it has members, all of which speak the classic
    /// protocol. None as well if that is not wanted (`group.consumer.migration.policy`), if the classic group's one
    /// record would be too large, or if a member's subscription can't be read, which Kafka finds out too late: the member
    /// that goes would stay for good.
    pub(super) fn downgrade_without(
        &self,
        turn: &Turn<'_>,
        group: &ConsumerGroup,
        leaving: &[Arc<ConsumerGroupMember>],
    ) -> Option<Downgrade> {
        let stays =
            |member: &ConsumerGroupMember| leaving.iter().all(|other| other.member_id != member.member_id);
        let classic_leaving = leaving.iter().filter(|member| member.uses_classic_protocol()).count();
        let left = group.members.len() - leaving.len();
        if left == 0 || group.classic_members() - classic_leaving != left || !self.may_downgrade(left) {
            return None;
        }
        let staying = group.members.values().filter(|member| stays(member));
        self.downgrade_to(turn, group, staying.map(Arc::as_ref), true)
    }

    /// The classic group that a consumer group becomes by `new`, a static member that speaks the classic protocol, in
    /// the place of `replaced`, the last that didn't. Gives the member as it is after that.
    pub(super) fn downgrade_with_replaced(
        &self,
        turn: &Turn<'_>,
        group: &ConsumerGroup,
        replaced: &ConsumerGroupMember,
        new: &ConsumerGroupMember,
        owns: &[TopicPartitions],
    ) -> Option<(Downgrade, ConsumerGroupMember)> {
        let size = group.members.len();
        if replaced.uses_classic_protocol()
            || group.classic_members() + 1 != size
            || !self.may_downgrade(size)
        {
            return None;
        }
        let mut subscriptions = group.subscriptions.clone();
        subscriptions.replace_member(Some(replaced), Some(new));
        let hash =
            metadata_hash(subscriptions.topic_names(), turn.topics, self.config.broker_rack.as_deref());
        let subscription_changed = new.subscribed_topic_names != replaced.subscribed_topic_names
            || new.subscribed_topic_regex != replaced.subscribed_topic_regex;
        let is_stale =
            subscription_changed || hash != group.metadata_hash || group.assignment_epoch < group.group_epoch;
        let mut member = new.clone();
        if !is_stale {
            let next = Reconciliation {
                group,
                topics: turn.topics,
                target_epoch: group.assignment_epoch,
                target: &group.target_assignment(&new.member_id, new.instance_id.as_ref()),
                subscriptions: &subscriptions,
                has_subscription_changed: false,
                owned: Some(owns),
            };
            member = next.next(new).ok()?.unwrap_or(member);
        }
        let all = group.members.values().map(|known| {
            let is_replaced = known.member_id == replaced.member_id;
            if is_replaced { &member } else { known.as_ref() }
        });
        // Kafka takes the members to have what they are to have, even while they are still on the way there.
        let unsettled = all.clone().any(|member| !member.is_reconciled_to(group.group_epoch));
        let downgrade = self.downgrade_to(turn, group, all, is_stale || unsettled)?;
        Some((downgrade, member))
    }

    fn may_downgrade(&self, members: usize) -> bool {
        let policy = self.config.consumer_migration_policy;
        matches!(policy, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
            && members <= usize::try_from(self.config.group_max_size).unwrap_or(0)
    }

    /// The assignment of the classic group is what the members have. Kafka takes what they are to have; but the group may
    /// become a consumer group again before they have joined.
    fn downgrade_to<'a>(
        &self,
        turn: &Turn<'_>,
        group: &ConsumerGroup,
        members: impl Iterator<Item = &'a ConsumerGroupMember> + Clone,
        rebalance: bool,
    ) -> Option<Downgrade> {
        let consumers: Option<Vec<_>> = members.clone().map(classic_member).collect();
        let mut classic =
            ClassicGroup::of_consumers(&group.group_id, group.group_epoch, consumers?, turn.now)?;
        for member in members {
            let mut has = Assignment::new();
            for (topic_id, partitions) in
                member.assigned_partitions.iter().chain(member.partitions_pending_revocation.iter())
            {
                has.entry(*topic_id).or_default().extend(partitions.keys());
            }
            let has = has.into_iter();
            let metadata = classic.metadata_of(&member.member_id);
            classic.assign(&member.member_id, encoded_assignment(turn.topics, has, &metadata)?);
        }
        let record = classic.to_record(|member| member.assignment.clone());
        if crate::classic::size_bytes(&record) > self.config.max_record_bytes {
            return None;
        }
        let mut tombstones = Vec::new();
        group.create_group_tombstones(&mut tombstones);
        Some(Downgrade { classic, members: group.members.keys().cloned().collect(), tombstones, rebalance })
    }

    /// Makes the consumer group a classic group.
    pub(super) fn downgrade(&mut self, turn: &mut Turn<'_>, downgrade: Downgrade) {
        let Downgrade { classic, members, tombstones, rebalance } = downgrade;
        for member_id in &members {
            self.cancel_consumer_timers(&classic.group_id, member_id);
        }
        turn.records.extend(tombstones);
        turn.records.push(classic.to_record(|member| member.assignment.clone()));
        self.become_classic_group(turn, classic, rebalance);
    }
}

/// The member of the classic group that a member of a consumer group becomes.
fn classic_member(member: &ConsumerGroupMember) -> Option<ClassicGroupMember> {
    let classic = member.classic_member_metadata.as_ref()?;
    let protocols = classic.supported_protocols.iter();
    let protocols = protocols
        .map(|protocol| Protocol { name: protocol.name.clone(), metadata: protocol.metadata.clone() });
    let mut in_classic_group = ClassicGroupMember::new(member.member_id.clone(), member.instance_id.clone());
    in_classic_group.client_id = member.client_id.clone();
    in_classic_group.client_host = member.client_host.clone();
    in_classic_group.rebalance_timeout_ms = member.rebalance_timeout_ms;
    in_classic_group.session_timeout_ms = classic.session_timeout_ms;
    in_classic_group.protocols = protocols.collect();
    Some(in_classic_group)
}

/// An assignment as a member of the classic protocol reads it, in the version of its own metadata; none if that has no
/// version. Topics that are gone are left out.
pub(super) fn encoded_assignment<P: IntoIterator<Item = i32>>(
    topics: &dyn Topics,
    assigned: impl Iterator<Item = (Uuid, P)>,
    metadata: &Bytes,
) -> Option<Bytes> {
    let version = consumer_protocol::version(metadata).ok()?;
    let named = assigned.filter_map(|(topic_id, partitions)| {
        let (name, _) = topics.by_id(topic_id)?;
        Some(
            TopicPartition::default()
                .with_topic(TopicName(name))
                .with_partitions(partitions.into_iter().collect()),
        )
    });
    let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(named.collect());
    consumer_protocol::encode_assignment(&assignment, version).ok()
}
