//! What a partition remembers of each producer: epoch, the last five batches, the transaction that is open, and the
//! snapshot file.
//!
//! Kafka's `ProducerStateManager`, `ProducerAppendInfo` and `ProducerStateEntry` (KIP-98, KIP-360, KIP-890). Here is
//! what the batches say; `check` holds an append against it, `verification` has what isn't in the log, and
//! `transactions` orders the transactions of all producers for the last stable offset.

mod check;
mod entry;
mod snapshot;
mod transactions;
mod verification;

pub use check::{AppendOrigin, DuplicateBatch, SequenceCheck, SequenceError, TransactionContext};
pub use snapshot::{SnapshotEntry, SnapshotError, snapshot_entries};
pub use transactions::Transactions;
pub use verification::VerificationGuard;

use crate::batch::{BatchHeader, ControlMarker};
use entry::{Batch, Entry};
use std::collections::HashMap;
use verification::Verifications;

/// A producer as DescribeProducers tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// Latest epoch that wrote here, or the one to which a marker has raised it.
    pub producer_epoch: i16,
    /// Last sequence number of that epoch, or -1.
    pub last_sequence: i32,
    /// Timestamp of its last batch or marker, in milliseconds.
    pub last_timestamp_ms: i64,
    /// Epoch of the coordinator that wrote the last marker, or -1.
    pub coordinator_epoch: i32,
    /// First offset of the transaction that is open here.
    pub current_txn_start_offset: Option<i64>,
}

/// What a batch does to a producer's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionChange {
    /// It begins with this batch.
    Began {
        /// The producer.
        producer_id: i64,
        /// Offset of the first record.
        first_offset: i64,
    },
    /// It ends with this marker. A marker without records before it changes nothing.
    Ended(CompletedTransaction),
}

/// A transaction that its marker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTransaction {
    /// The producer.
    pub producer_id: i64,
    /// Offset of the first record.
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    /// Aborted, or else committed.
    pub aborted: bool,
}

/// The producers of one partition. Not synchronised: it lives under the log's append lock.
#[derive(Debug)]
pub struct ProducerStates {
    producers: HashMap<i64, Entry>,
    max_producers: usize,
    verifications: Verifications,
}

/// Producers that one partition remembers unless told otherwise: 17 MB of table, and 96 bytes more for each that wrote
/// more than one batch.
pub const DEFAULT_MAX_PRODUCERS: usize = 200_000;

impl Default for ProducerStates {
    fn default() -> Self {
        ProducerStates::new(DEFAULT_MAX_PRODUCERS)
    }
}

impl ProducerStates {
    /// No producer yet; at most `max_producers` are kept, the least recent are forgotten first.
    pub fn new(max_producers: usize) -> ProducerStates {
        ProducerStates {
            producers: HashMap::new(),
            max_producers: max_producers.max(1),
            verifications: Verifications::default(),
        }
    }

    /// Notes a batch as it stands in the log: with its assigned base offset and, under LogAppendTime, the append time as
    /// max timestamp. Gives what that does to its producer's transaction. Of a control batch `marker` is noted; one
    /// that holds none, and batches without a producer id, are passed over.
    pub fn update(
        &mut self,
        batch: &BatchHeader,
        marker: Option<ControlMarker>,
    ) -> Option<TransactionChange> {
        if !batch.has_producer_id() || (batch.is_control() && marker.is_none()) {
            return None;
        }
        let producer_id = batch.producer_id;
        if batch.is_transactional() {
            self.verifications.clear(producer_id);
        }
        let entry = self.producers.entry(producer_id).or_insert_with(Entry::empty);
        let first_offset = entry.current_txn_first_offset;
        let change = if let Some(marker) = marker {
            entry.end_transaction(batch.producer_epoch, marker.coordinator_epoch, batch.max_timestamp);
            let (last_offset, aborted) = (batch.base_offset, !marker.is_commit);
            let ended = CompletedTransaction { producer_id, first_offset, last_offset, aborted };
            (first_offset >= 0).then_some(TransactionChange::Ended(ended))
        } else {
            let appended = Batch {
                last_offset: batch.last_offset(),
                timestamp_ms: batch.max_timestamp,
                last_sequence: batch.last_sequence(),
                offset_delta: batch.last_offset_delta,
            };
            entry.add_batch(batch.producer_epoch, appended);
            let begins = batch.is_transactional() && first_offset < 0;
            begins.then(|| {
                entry.current_txn_first_offset = batch.base_offset;
                TransactionChange::Began { producer_id, first_offset: batch.base_offset }
            })
        };
        if self.producers.len() > self.max_producers {
            self.forget_least_recent();
        }
        change
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`; a producer inside a transaction
    /// stays. As in Kafka, idleness is counted from the max timestamp of the last batch. Verifications that were begun
    /// so long ago go too.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.verifications.expire(now_ms, expiration_ms);
        self.producers.retain(|_, entry| !entry.is_expired(now_ms, expiration_ms));
        self.give_back_memory();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.producers = HashMap::new();
    }

    /// Producers that are remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// No producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The producers with a transaction open, and its first offset, in no order.
    pub fn open_transactions(&self) -> impl Iterator<Item = (i64, i64)> {
        let first_offsets = self.producers.iter().map(|(id, entry)| (*id, entry.current_txn_first_offset));
        first_offsets.filter(|(_, first_offset)| *first_offset >= 0)
    }

    /// All producers, in no order.
    pub fn active_producers(&self) -> impl Iterator<Item = ActiveProducer> {
        self.producers.iter().map(|(&producer_id, entry)| ActiveProducer {
            producer_id,
            producer_epoch: entry.producer_epoch,
            last_sequence: entry.last_sequence(),
            last_timestamp_ms: entry.last_timestamp_ms,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_start_offset: (entry.current_txn_first_offset >= 0)
                .then_some(entry.current_txn_first_offset),
        })
    }

    /// Of each producer the last offset of its last batch, if it is known, and the epoch.
    pub fn last_records(&self) -> impl Iterator<Item = (i64, Option<i64>, i16)> {
        self.producers.iter().map(|(&producer_id, entry)| {
            (producer_id, entry.has_batches().then_some(entry.last.last_offset), entry.producer_epoch)
        })
    }

    /// Drops the eighth of the producers that has been idle longest, so that the cost of finding them is spread
    /// over the appends in between. Those inside a transaction stay.
    fn forget_least_recent(&mut self) {
        let mut idle_since: Vec<i64> = self
            .producers
            .values()
            .filter(|entry| entry.current_txn_first_offset < 0)
            .map(|entry| entry.last_timestamp_ms)
            .collect();
        if idle_since.is_empty() {
            return;
        }
        let last_to_go = (idle_since.len() / 8).min(idle_since.len() - 1);
        let (_, &mut horizon_ms, _) = idle_since.select_nth_unstable(last_to_go);
        // Many may share the horizon's millisecond: drop no more of them than were asked for.
        let mut left = last_to_go + 1;
        self.producers.retain(|_, entry| {
            let goes =
                left > 0 && entry.current_txn_first_offset < 0 && entry.last_timestamp_ms <= horizon_ms;
            left -= usize::from(goes);
            !goes
        });
    }

    fn give_back_memory(&mut self) {
        if self.producers.len() < self.producers.capacity() / 4 {
            self.producers.shrink_to(self.producers.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests;
