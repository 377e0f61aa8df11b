//! Classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup; the leader assigns.

use fluxmq_protocol::group_records::{GroupMetadataKey, GroupMetadataValue};

use crate::group::Timer;
use crate::shard::GroupShard;
use crate::turn::{Now, Turn};

/// A classic group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassicGroup {}

impl GroupShard {
    pub(crate) fn replay_group_metadata(
        &mut self,
        _now: Now,
        _key: GroupMetadataKey,
        _value: Option<GroupMetadataValue>,
    ) {
    }
    pub(crate) fn classic_groups_loaded(&mut self, _turn: &mut Turn<'_>) {}
    pub(crate) fn classic_timer(&mut self, _turn: &mut Turn<'_>, _timer: Timer) {}
}
