//! Who may commit and fetch the offsets of a consumer group.

use fluxmq_protocol::{ErrorCode, StrBytes};
use uuid::Uuid;

use super::group::ConsumerGroup;
use super::member::ConsumerGroupMember;

/// The first version of OffsetCommit that a member may use that speaks the consumer protocol.
const FIRST_MEMBER_EPOCH_VERSION: i16 = 9;

/// Looks at the single partitions of a commit.
#[derive(Debug)]
pub(crate) struct CommitPartitionValidator<'a> {
    /// The member whose epoch in the request is an old one, and that epoch.
    older: Option<(&'a ConsumerGroupMember, i32)>,
}

impl CommitPartitionValidator<'_> {
    /// Takes every partition.
    pub(crate) const ACCEPT_ALL: Self = CommitPartitionValidator { older: None };

    /// Whether every partition is taken, known or not.
    pub(crate) fn accepts_all(&self) -> bool {
        self.older.is_none()
    }

    /// Takes a commit of an older epoch if the member has owned the partition since that epoch (KIP-1251).
    ///
    /// # Errors
    /// The code for the whole request if one partition isn't taken.
    pub(crate) fn validate(&self, topic_id: Uuid, partition: i32) -> Result<(), ErrorCode> {
        let Some((member, received)) = self.older else { return Ok(()) };
        match member.assignment_epoch(topic_id, partition) {
            Some(assigned_at) if received >= assigned_at => Ok(()),
            _ => Err(stale(member)),
        }
    }
}

/// The code of an epoch that isn't the member's.
fn stale(member: &ConsumerGroupMember) -> ErrorCode {
    if member.uses_classic_protocol() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}

impl ConsumerGroup {
    /// Whether a commit is taken. `api_version` is that of the request: OffsetCommit, or TxnOffsetCommit if
    /// `is_transactional`.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`; `UNSUPPORTED_VERSION` from a member of the consumer protocol before version 9;
    /// `STALE_MEMBER_EPOCH`, or `ILLEGAL_GENERATION` for a member of the classic protocol.
    pub(crate) fn validate_offset_commit(
        &self,
        member_id: &str,
        group_instance_id: Option<&StrBytes>,
        member_epoch: i32,
        is_transactional: bool,
        api_version: i16,
    ) -> Result<CommitPartitionValidator<'_>, ErrorCode> {
        // An administrative client commits for a group without members.
        if member_epoch < 0 && self.members.is_empty() {
            return Ok(CommitPartitionValidator::ACCEPT_ALL);
        }
        // A transactional producer need not tell for whom it commits.
        if is_transactional && member_epoch == -1 && member_id.is_empty() && group_instance_id.is_none() {
            return Ok(CommitPartitionValidator::ACCEPT_ALL);
        }
        let member = self.members.get(member_id.as_bytes()).ok_or(ErrorCode::UnknownMemberId)?;
        if !is_transactional && !member.uses_classic_protocol() && api_version < FIRST_MEMBER_EPOCH_VERSION {
            return Err(ErrorCode::UnsupportedVersion);
        }
        match member_epoch.cmp(&member.member_epoch) {
            std::cmp::Ordering::Equal => Ok(CommitPartitionValidator::ACCEPT_ALL),
            std::cmp::Ordering::Greater => Err(stale(member)),
            std::cmp::Ordering::Less => {
                Ok(CommitPartitionValidator { older: Some((member.as_ref(), member_epoch)) })
            }
        }
    }

    /// Whether offsets may be fetched: by anybody who names no member, else by a member at its epoch.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`; `STALE_MEMBER_EPOCH`, or `ILLEGAL_GENERATION` for a member of the classic protocol.
    pub(crate) fn validate_offset_fetch(
        &self,
        member_id: Option<&StrBytes>,
        member_epoch: i32,
    ) -> Result<(), ErrorCode> {
        if member_id.is_none() && member_epoch < 0 {
            return Ok(());
        }
        let member = member_id.and_then(|id| self.members.get(id)).ok_or(ErrorCode::UnknownMemberId)?;
        if member_epoch == member.member_epoch { Ok(()) } else { Err(stale(member)) }
    }

    /// Whether single offsets may be deleted: always; those of topics that members subscribe to are kept.
    ///
    /// # Errors
    /// None.
    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    /// Whether the group may be deleted.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP` if it has members.
    pub(crate) fn validate_delete_group(&self) -> Result<(), ErrorCode> {
        if self.is_empty() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// Whether a member subscribes to the topic. Offsets of such topics neither expire nor are deleted one by one.
    pub(crate) fn is_subscribed_to_topic(&self, topic: &str) -> bool {
        self.subscriptions.contains(topic)
    }
}
