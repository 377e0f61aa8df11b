//! Consumer groups (KIP-848): ConsumerGroupHeartbeat; the coordinator assigns.

use fluxmq_protocol::group_records::GroupRecord;

use crate::group::Timer;
use crate::shard::GroupShard;
use crate::turn::{Now, Turn};

mod offsets;
pub mod regex;

pub(crate) use offsets::CommitPartitionValidator;

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerGroup {}

impl GroupShard {
    pub(crate) fn replay_consumer_group(&mut self, _now: Now, _record: GroupRecord) {}
    pub(crate) fn consumer_groups_loaded(&mut self, _turn: &mut Turn<'_>) {}
    pub(crate) fn consumer_timer(&mut self, _turn: &mut Turn<'_>, _timer: Timer) {}
}
