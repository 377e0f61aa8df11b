//! Classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup; the leader assigns.

use fluxmq_protocol::group_records::{GroupMetadataKey, GroupMetadataValue, GroupRecord};
use fluxmq_protocol::{ErrorCode, StrBytes};

use crate::group::{OffsetsExpire, Timer};
use crate::shard::GroupShard;
use crate::turn::{Now, Turn};

/// A classic group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassicGroup {
    group_id: StrBytes,
}

impl ClassicGroup {
    pub(crate) fn new(group_id: StrBytes) -> Self {
        ClassicGroup { group_id }
    }

    pub(crate) fn state_name(&self) -> &'static str {
        "Empty"
    }

    pub(crate) fn protocol_type(&self) -> Option<&StrBytes> {
        None
    }

    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn is_subscribed_to_topic(&self, _topic: &str) -> bool {
        false
    }

    pub(crate) fn validate_offset_commit(
        &self,
        _member_id: &StrBytes,
        _instance_id: Option<&StrBytes>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    pub(crate) fn validate_delete_group(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    pub(crate) fn offsets_expire(&self) -> Option<OffsetsExpire> {
        Some(OffsetsExpire::SinceCommit)
    }

    pub(crate) fn create_group_tombstones(&self, records: &mut Vec<GroupRecord>) {
        records.push(GroupRecord::GroupMetadata(GroupMetadataKey { group: self.group_id.clone() }, None));
    }
}

impl GroupShard {
    pub(crate) fn replay_group_metadata(
        &mut self,
        _now: Now,
        key: GroupMetadataKey,
        value: Option<GroupMetadataValue>,
    ) {
        match value {
            Some(_) => drop(self.groups.insert(key.group, crate::group::Group::simple(StrBytes::new()))),
            None => drop(self.groups.remove(&key.group)),
        }
    }

    /// A commit by a member is as good as its heartbeat while the group is Stable or prepares a rebalance.
    pub(crate) fn classic_commit_is_heartbeat(
        &mut self,
        _turn: &mut Turn<'_>,
        _group_id: &StrBytes,
        _member_id: &StrBytes,
    ) {
    }

    pub(crate) fn classic_groups_loaded(&mut self, _turn: &mut Turn<'_>) {}
    pub(crate) fn classic_timer(&mut self, _turn: &mut Turn<'_>, _timer: Timer) {}
}
