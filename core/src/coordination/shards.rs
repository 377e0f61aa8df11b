//! The shards of the topic as it is, each behind its lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fluxmq_coordinator::{Reply, Token};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::machine::Machine;
use super::wait::{Answered, DurableAt};
use crate::partitions::partition::Partition;

/// The next deadline of a shard without timers.
pub(super) const NO_DEADLINE: i64 = i64::MAX;

/// One shard for each partition of one topic. Deleting the topic ends them all.
pub struct Shards<M: Machine> {
    pub(super) topic_id: Uuid,
    slots: Box<[Slot<M>]>,
}

/// The place of one shard.
pub(super) struct Slot<M: Machine> {
    pub(super) partition: Arc<Partition>,
    pub(super) inner: Mutex<Inner<M>>,
    /// When the shard's next timer is due, in monotonic milliseconds.
    next_deadline_ms: AtomicI64,
}

/// What the lock of a shard guards.
pub(super) struct Inner<M: Machine> {
    pub(super) state: State<M>,
    /// The durable end that the last records of this shard ask for; 0 when nothing is waited for.
    pub(super) awaited_end: i64,
    /// The log didn't take the last batch, which was said.
    pub(super) refused: bool,
}

/// Where a shard is.
pub(super) enum State<M: Machine> {
    /// Thrown away, since its log didn't take a batch or a turn panicked: to be read again. Also during a turn, so that
    /// a turn that panics leaves the shard behind in this state.
    Unloaded,
    /// Its log is being read.
    Loading,
    /// It takes requests.
    Active(Box<Active<M>>),
    /// Its log can't be read, or its topic is gone.
    Failed,
}

/// A shard that takes requests.
pub(super) struct Active<M: Machine> {
    pub(super) shard: M::Shard,
    /// Who waits for the answer of a later turn. Dropping a sender answers with NOT_COORDINATOR.
    pub(super) waiters: HashMap<Token, oneshot::Sender<Answered<Reply>>>,
}

impl<M: Machine> Shards<M> {
    /// The shards of a topic, to be read.
    pub(super) fn new(topic_id: Uuid, partitions: &[Arc<Partition>]) -> Self {
        let slot = |partition: &Arc<Partition>| Slot {
            partition: Arc::clone(partition),
            inner: Mutex::new(Inner { state: State::Loading, awaited_end: 0, refused: false }),
            next_deadline_ms: AtomicI64::new(NO_DEADLINE),
        };
        Shards { topic_id, slots: partitions.iter().map(slot).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn set_deadline(&self, index: usize, deadline_ms: Option<i64>) {
        if let Some(slot) = self.slot(index) {
            slot.set_deadline(deadline_ms);
        }
    }

    pub(super) fn slot(&self, index: usize) -> Option<&Slot<M>> {
        self.slots.get(index)
    }

    /// The shard of a group or of a transactional id: Kafka's choice, which clients and tools count on.
    pub(super) fn of_id(&self, id: &str) -> usize {
        partition_of(id, self.slots.len())
    }

    pub(super) fn count(&self) -> usize {
        let count = |slot: &Slot<M>| match &slot.inner.lock().state {
            State::Active(active) => M::count(&active.shard),
            _ => 0,
        };
        self.slots.iter().map(count).sum()
    }

    pub(super) fn is_loading(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot.inner.lock().state, State::Loading))
    }

    /// Ends every shard and answers whoever waits.
    pub(super) fn unload(&self) {
        for slot in &self.slots {
            let ended = std::mem::replace(&mut slot.inner.lock().state, State::Failed);
            slot.set_deadline(None);
            drop(ended);
        }
    }

    /// The deadlines of all shards.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = i64> {
        self.slots.iter().map(Slot::deadline)
    }
}

impl<M: Machine> Slot<M> {
    pub(super) fn set_deadline(&self, deadline_ms: Option<i64>) {
        self.next_deadline_ms.store(deadline_ms.unwrap_or(NO_DEADLINE), Ordering::SeqCst);
    }

    pub(super) fn deadline(&self) -> i64 {
        self.next_deadline_ms.load(Ordering::SeqCst)
    }
}

impl<M: Machine> Inner<M> {
    /// What an answer has to wait for that rests on the shard as it is now.
    pub(super) fn durable(
        &mut self,
        partition: &Arc<Partition>,
        timeout: std::time::Duration,
    ) -> Option<DurableAt> {
        if self.awaited_end == 0 {
            return None;
        }
        if partition.durable_end() >= self.awaited_end {
            self.awaited_end = 0;
            return None;
        }
        Some(DurableAt::new(Arc::clone(partition), self.awaited_end, timeout))
    }
}

/// The partition of an id among so many: Kafka's `abs(id.hashCode()) % count`, where the one hash without an absolute
/// value counts as 0.
fn partition_of(id: &str, count: usize) -> usize {
    java_hash(id).cast_signed().checked_abs().unwrap_or(0) as usize % count
}

/// Java's `String.hashCode`: over UTF-16 units.
fn java_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::{java_hash, partition_of};

    /// The first three are groups of Apache Kafka 4.3.0, where it put their records.
    #[test]
    fn ids_lie_where_kafka_puts_them() {
        for (id, partition) in [
            ("classic-group", 34),
            ("consumer-group", 38),
            ("tx-group", 10),
            ("tx", 16),
            // Its hash is -2^31.
            ("polygenelubricants", 0),
        ] {
            assert_eq!(partition_of(id, 50), partition, "{id}");
        }
    }

    #[test]
    fn hashes_as_java_has_them() {
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("console-consumer-12345", 158_455_506),
            ("grüße", 98_768_023),
            ("𝄞", 1_772_394),
            ("a group with a long name", -477_587_850),
        ] {
            assert_eq!(java_hash(text).cast_signed(), hash, "{text}");
        }
    }
}
