//! Who may commit and fetch the offsets of a consumer group.

use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::{ErrorCode, StrBytes};
use uuid::Uuid;

use super::ConsumerGroup;

/// Looks at the single partitions of a commit.
#[derive(Debug)]
pub(crate) struct CommitPartitionValidator<'a> {
    older: Option<&'a ConsumerGroup>,
}

impl CommitPartitionValidator<'_> {
    /// Takes every partition.
    pub(crate) const ACCEPT_ALL: Self = CommitPartitionValidator { older: None };

    pub(crate) fn validate(&self, _topic_id: Uuid, _partition: i32) -> Result<(), ErrorCode> {
        self.older.map_or(Ok(()), |_| Err(ErrorCode::StaleMemberEpoch))
    }
}

impl ConsumerGroup {
    pub(crate) fn state(&self) -> &'static str {
        "Empty"
    }

    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn validate_offset_commit(
        &self,
        _member_id: &str,
        _group_instance_id: Option<&StrBytes>,
        member_epoch: i32,
        _is_transactional: bool,
        _api_version: i16,
    ) -> Result<CommitPartitionValidator<'_>, ErrorCode> {
        if member_epoch < 0 {
            Ok(CommitPartitionValidator::ACCEPT_ALL)
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    pub(crate) fn validate_offset_fetch(
        &self,
        member_id: Option<&StrBytes>,
        member_epoch: i32,
    ) -> Result<(), ErrorCode> {
        if member_id.is_none() && member_epoch < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    pub(crate) fn validate_delete_group(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    pub(crate) fn is_subscribed_to_topic(&self, _topic: &str) -> bool {
        false
    }

    pub(crate) fn create_group_tombstones(&self, _records: &mut Vec<GroupRecord>) {}
}
