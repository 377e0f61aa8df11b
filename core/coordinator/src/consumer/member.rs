//! A member of a consumer group, and what it owns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::ClassicMemberMetadata;
use uuid::Uuid;

/// The member epoch of a request that joins.
pub(crate) const JOIN_EPOCH: i32 = 0;
/// The member epoch of a request that leaves; also that of a member whose current assignment was deleted.
pub(crate) const LEAVE_EPOCH: i32 = -1;
/// The member epoch of a static member that leaves and means to come back (KIP-345).
pub(crate) const STATIC_LEAVE_EPOCH: i32 = -2;

/// Partitions by topic id, each with the epoch that the member had when it was given to it. Commits of an older epoch
/// than that are refused (KIP-1251). A topic without partitions isn't in it.
pub(crate) type PartitionEpochs = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// How far a member is on the way to its target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It has what it was to have at its epoch.
    Stable,
    /// It was told to give up partitions and hasn't said yet that it did.
    UnrevokedPartitions,
    /// It gave up what it had to; partitions of its target are still owned by others.
    UnreleasedPartitions,
    /// A state that a later version wrote.
    Unknown,
}

impl MemberState {
    /// The number in records.
    pub(crate) fn value(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }

    pub(crate) fn from_value(value: i8) -> Self {
        match value {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }
}

/// A member of a consumer group. Strings are its own: none keeps a request's frame in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConsumerGroupMember {
    pub(crate) member_id: StrBytes,
    pub(crate) member_epoch: i32,
    /// The epoch before; a request with it is taken if the answer that carried the new one may have been lost.
    pub(crate) previous_member_epoch: i32,
    pub(crate) state: MemberState,
    pub(crate) instance_id: Option<StrBytes>,
    pub(crate) rack_id: Option<StrBytes>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: StrBytes,
    pub(crate) subscribed_topic_names: Arc<BTreeSet<StrBytes>>,
    /// Empty or none: no regular expression.
    pub(crate) subscribed_topic_regex: Option<StrBytes>,
    pub(crate) server_assignor_name: Option<StrBytes>,
    /// What it may use.
    pub(crate) assigned_partitions: Arc<PartitionEpochs>,
    /// What it was told to give up.
    pub(crate) partitions_pending_revocation: Arc<PartitionEpochs>,
    /// Set for a member that speaks the classic protocol.
    pub(crate) classic_member_metadata: Option<ClassicMemberMetadata>,
}

impl ConsumerGroupMember {
    /// A member of which nothing is known but its id.
    pub(crate) fn new(member_id: StrBytes) -> Self {
        ConsumerGroupMember {
            member_id,
            member_epoch: 0,
            previous_member_epoch: -1,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            client_id: StrBytes::new(),
            client_host: StrBytes::new(),
            subscribed_topic_names: Arc::default(),
            subscribed_topic_regex: Some(StrBytes::new()),
            server_assignor_name: None,
            assigned_partitions: Arc::default(),
            partitions_pending_revocation: Arc::default(),
            classic_member_metadata: None,
        }
    }

    /// Moves to `epoch`; the one it had becomes the previous one.
    pub(crate) fn update_member_epoch(&mut self, epoch: i32) {
        self.previous_member_epoch = self.member_epoch;
        self.member_epoch = epoch;
    }

    /// Whether it has all of its target assignment of that epoch.
    pub(crate) fn is_reconciled_to(&self, target_assignment_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.member_epoch == target_assignment_epoch
    }

    /// Its regular expression, if it subscribes with one.
    pub(crate) fn regex(&self) -> Option<&StrBytes> {
        self.subscribed_topic_regex.as_ref().filter(|regex| !regex.is_empty())
    }

    pub(crate) fn uses_classic_protocol(&self) -> bool {
        self.classic_member_metadata.is_some()
    }

    /// The epoch at which a partition that it owns, or was told to give up, was given to it.
    pub(crate) fn assignment_epoch(&self, topic_id: Uuid, partition: i32) -> Option<i32> {
        let epoch_in = |partitions: &PartitionEpochs| partitions.get(&topic_id)?.get(&partition).copied();
        epoch_in(&self.assigned_partitions).or_else(|| epoch_in(&self.partitions_pending_revocation))
    }
}
