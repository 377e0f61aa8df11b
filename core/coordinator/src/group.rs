//! A group of either kind, and the timers of both.

use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::{ErrorCode, StrBytes};

use crate::classic::ClassicGroup;
use crate::consumer::{CommitPartitionValidator, ConsumerGroup};

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub enum Group {
    /// Rebalanced by its leader, through JoinGroup and SyncGroup; also a group that only commits offsets.
    Classic(ClassicGroup),
    /// Rebalanced by the coordinator, through ConsumerGroupHeartbeat (KIP-848).
    Consumer(ConsumerGroup),
}

impl Group {
    /// The group of those who commit offsets and are no members: a classic one that never had any.
    pub(crate) fn simple(group_id: StrBytes) -> Self {
        Group::Classic(ClassicGroup::new(group_id))
    }

    /// Its type, as ListGroups names it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Group::Classic(_) => "classic",
            Group::Consumer(_) => "consumer",
        }
    }

    /// Its state, as ListGroups names it.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match self {
            Group::Classic(group) => group.state_name(),
            Group::Consumer(group) => group.state().name(),
        }
    }

    /// The protocol type of its members; empty for a classic group that never had any.
    #[must_use]
    pub fn protocol_type(&self) -> StrBytes {
        match self {
            Group::Classic(group) => group.protocol_type().cloned().unwrap_or_default(),
            Group::Consumer(_) => StrBytes::from_static_str("consumer"),
        }
    }

    /// Whether it is in the state Empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Group::Classic(group) => group.is_empty(),
            Group::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether a member reads the topic, or may: a classic group's members can say something unreadable.
    pub(crate) fn is_subscribed_to_topic(&self, topic: &str) -> bool {
        match self {
            Group::Classic(group) => group.is_subscribed_to_topic(topic),
            Group::Consumer(group) => group.is_subscribed_to_topic(topic),
        }
    }

    /// Whether offsets may be committed, and for which partitions. `api_version` is that of the request: OffsetCommit, or
    /// TxnOffsetCommit if `is_transactional`.
    ///
    /// # Errors
    /// The code for the whole request, if who commits has to be a member of the present generation or epoch and isn't,
    /// or if a classic group is in a rebalance.
    pub(crate) fn validate_offset_commit(
        &self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        generation_or_epoch: i32,
        is_transactional: bool,
        api_version: i16,
    ) -> Result<CommitPartitionValidator<'_>, ErrorCode> {
        match self {
            Group::Classic(group) => group
                .validate_offset_commit(member_id, instance_id, generation_or_epoch, is_transactional)
                .map(|()| CommitPartitionValidator::ACCEPT_ALL),
            Group::Consumer(group) => group.validate_offset_commit(
                member_id,
                instance_id,
                generation_or_epoch,
                is_transactional,
                api_version,
            ),
        }
    }

    /// Whether offsets may be fetched.
    ///
    /// # Errors
    /// The code for the group, if who fetches names a member of a consumer group and its epoch is another.
    pub(crate) fn validate_offset_fetch(
        &self,
        member_id: Option<&StrBytes>,
        member_epoch: i32,
    ) -> Result<(), ErrorCode> {
        match self {
            Group::Classic(_) => Ok(()),
            Group::Consumer(group) => group.validate_offset_fetch(member_id, member_epoch),
        }
    }

    /// Whether offsets may be deleted in topics that nobody in the group reads.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP` if that can't be known of its members.
    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Group::Classic(group) => group.validate_offset_delete(),
            Group::Consumer(group) => group.validate_offset_delete(),
        }
    }

    /// Whether the group may be deleted.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP`
    pub(crate) fn validate_delete_group(&self) -> Result<(), ErrorCode> {
        match self {
            Group::Classic(group) => group.validate_delete_group(),
            Group::Consumer(group) => group.validate_delete_group(),
        }
    }

    /// Since when the retention of its offsets counts; none while its state keeps them (KIP-211).
    pub(crate) fn offsets_expire(&self) -> Option<OffsetsExpire> {
        match self {
            Group::Classic(group) => group.offsets_expire(),
            Group::Consumer(_) => Some(OffsetsExpire::SinceCommit),
        }
    }

    /// The records that delete the group, without its offsets.
    pub(crate) fn create_group_tombstones(&self, records: &mut Vec<GroupRecord>) {
        match self {
            Group::Classic(group) => group.create_group_tombstones(records),
            Group::Consumer(group) => group.create_group_tombstones(records),
        }
    }
}

/// Since when the retention of offsets counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetsExpire {
    /// Since each was committed.
    SinceCommit,
    /// Since then, in milliseconds since the Unix epoch.
    Since(i64),
}

/// What a deadline is for. Group first, then member.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// A member of a classic group has not been heard of: it leaves.
    ClassicSession(StrBytes, StrBytes),
    /// A member id of a classic group was given out and not used (KIP-394).
    ClassicPendingMember(StrBytes, StrBytes),
    /// A classic group has waited long enough for its members to join.
    ClassicJoin(StrBytes),
    /// A classic group has waited long enough for its members to sync.
    ClassicSync(StrBytes),
    /// A member of a consumer group has not been heard of: it leaves.
    ConsumerSession(StrBytes, StrBytes),
    /// A member of a consumer group took too long to give up partitions: it leaves.
    ConsumerRebalance(StrBytes, StrBytes),
    /// A member of a consumer group that speaks the classic protocol took too long to join again.
    ConsumerClassicJoin(StrBytes, StrBytes),
    /// A member of a consumer group that speaks the classic protocol took too long to sync.
    ConsumerClassicSync(StrBytes, StrBytes),
    /// Offsets are looked at for expiry (KIP-211).
    OffsetExpiry,
    /// Looking at offsets goes on: it was too much for one turn.
    OffsetSweep,
}
