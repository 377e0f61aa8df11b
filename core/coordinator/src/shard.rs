//! One shard: the groups and offsets of one partition of `__consumer_offsets`.

use std::collections::HashMap;
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::GroupRecord;

use crate::config::GroupCoordinatorConfig;
use crate::group::{Group, Timer};
use crate::offsets::Offsets;
use crate::timers::Timers;
use crate::turn::{Now, Turn};

/// The longest text that readers of Kafka's protocol take.
const MAX_TEXT_BYTES: usize = i16::MAX as usize;

/// Everything that one partition of `__consumer_offsets` says, and who waits for it to change.
#[derive(Debug)]
pub struct GroupShard {
    pub(crate) config: Arc<GroupCoordinatorConfig>,
    pub(crate) groups: HashMap<StrBytes, Group>,
    pub(crate) offsets: Offsets,
    pub(crate) timers: Timers<Timer>,
}

impl GroupShard {
    /// A shard whose log is empty.
    #[must_use]
    pub fn new(config: Arc<GroupCoordinatorConfig>) -> Self {
        GroupShard { config, groups: HashMap::new(), offsets: Offsets::default(), timers: Timers::default() }
    }

    /// Does what a record says: the only way in which that changes.
    pub fn replay(&mut self, now: Now, record: GroupRecord) {
        match record {
            GroupRecord::OffsetCommit(key, value) => self.replay_offset_commit(&key, value.as_ref()),
            GroupRecord::GroupMetadata(key, value) => self.replay_group_metadata(now, key, value),
            consumer => self.replay_consumer_group(now, consumer),
        }
    }

    /// Does what a record of a transactional batch says. Offsets wait there until the transaction ends.
    pub fn replay_transactional(&mut self, now: Now, producer_id: i64, record: GroupRecord) {
        match record {
            GroupRecord::OffsetCommit(key, Some(value)) => {
                self.replay_pending_offset(producer_id, &key, &value);
            }
            at_once => self.replay(now, at_once),
        }
    }

    /// Does what the marker says that ends a producer's transaction.
    pub fn replay_end_transaction_marker(&mut self, producer_id: i64, commit: bool) {
        self.offsets.end_transaction(producer_id, commit);
    }

    /// Arms the timers after a load.
    pub fn loaded(&mut self, turn: &mut Turn<'_>) {
        self.classic_groups_loaded(turn);
        self.consumer_groups_loaded(turn);
        self.offsets_loaded(turn);
    }

    /// When the next timer is due, in monotonic milliseconds.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        self.timers.next_deadline()
    }

    /// Does what one timer is for that is due; false if none is. Call it again in a turn of its own.
    pub fn fire_next(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(timer) = self.timers.pop_due(turn.now.monotonic_ms) else { return false };
        match timer {
            Timer::OffsetExpiry => self.expire_offsets(turn),
            Timer::OffsetSweep => self.sweep_offsets(turn),
            Timer::ClassicSession(..)
            | Timer::ClassicPendingMember(..)
            | Timer::ClassicJoin(_)
            | Timer::ClassicSync(_) => self.classic_timer(turn, timer),
            Timer::ConsumerSession(..)
            | Timer::ConsumerRebalance(..)
            | Timer::ConsumerClassicJoin(..)
            | Timer::ConsumerClassicSync(..) => self.consumer_timer(turn, timer),
        }
        true
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }
}

/// A message as a response can carry it: names in it may be as long as a text of Kafka's protocol, 32,767 bytes.
#[must_use]
pub(crate) fn told(mut message: String) -> StrBytes {
    message.truncate(message.floor_char_boundary(MAX_TEXT_BYTES));
    StrBytes::from_string(message)
}

/// A copy that does not keep the request's frame in memory.
#[must_use]
pub fn owned(text: &StrBytes) -> StrBytes {
    StrBytes::from_string(text.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn messages_are_cut_at_a_character_to_what_readers_take() {
        assert_eq!(&*told("short".to_owned()), "short");
        assert_eq!(told("x".repeat(40_000)).len(), 32_767);
        assert_eq!(told("€".repeat(20_000)).len(), 32_766);
    }
}
