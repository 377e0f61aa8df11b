//! What a partition remembers of each idempotent producer: epoch, the last five batches, and the snapshot file.
//!
//! Kafka's `ProducerStateManager`, `ProducerAppendInfo` and `ProducerStateEntry` (KIP-98, KIP-360). Transactions
//! are carried (current transaction, coordinator epoch) so that snapshots and replay keep them; nothing here
//! decides on them.

mod entry;
mod snapshot;

pub use snapshot::SnapshotError;

use crate::batch::{BatchHeader, ControlMarker, NO_PRODUCER_EPOCH};
use entry::{Batch, Entry};
use std::collections::HashMap;

/// Where an append comes from, which says how far it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A Produce request: epoch and sequence are checked.
    Client,
    /// A coordinator of this broker: no sequences, the epoch is checked.
    Coordinator,
    /// Already checked by another leader, or read back from the log: taken as it is.
    Replication,
}

/// A batch that the log has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicateBatch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Its max timestamp (the append time under LogAppendTime), in milliseconds.
    pub timestamp_ms: i64,
}

/// What to do with a batch whose producer may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceCheck {
    /// Append it.
    New,
    /// Answer with the offsets it got the first time.
    Duplicate(DuplicateBatch),
}

/// Why a producer's batch may not be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// A newer instance of the producer has written here: INVALID_PRODUCER_EPOCH.
    #[error(
        "epoch {producer_epoch} of producer {producer_id} is smaller than the last seen epoch {current_epoch}"
    )]
    InvalidProducerEpoch {
        /// Producer of the batch.
        producer_id: i64,
        /// Epoch of the batch.
        producer_epoch: i16,
        /// Latest epoch that wrote here.
        current_epoch: i16,
    },
    /// Batches before this one are missing: OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error(
        "out of order sequence number for producer {producer_id}: {base_sequence} (incoming seq. number), \
         {last_sequence} (current end sequence number)"
    )]
    OutOfOrderSequence {
        /// Producer of the batch.
        producer_id: i64,
        /// First sequence number of the batch.
        base_sequence: i32,
        /// Last one that was appended, or -1.
        last_sequence: i32,
    },
    /// A new epoch doesn't start at sequence 0: OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error(
        "invalid sequence number for new epoch of producer {producer_id}: {producer_epoch} (request epoch), \
         {base_sequence} (seq. number), {current_epoch} (current producer epoch)"
    )]
    NewEpochNotAtZero {
        /// Producer of the batch.
        producer_id: i64,
        /// Epoch of the batch.
        producer_epoch: i16,
        /// First sequence number of the batch.
        base_sequence: i32,
        /// Latest epoch that wrote here.
        current_epoch: i16,
    },
}

/// The producers of one partition. Not synchronised: it lives under the log's append lock.
#[derive(Debug)]
pub struct ProducerStates {
    producers: HashMap<i64, Entry>,
    max_producers: usize,
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
        ProducerStates { producers: HashMap::new(), max_producers: max_producers.max(1) }
    }

    /// Whether the batch may be appended, was appended before, or must be refused. Changes nothing.
    ///
    /// A batch without a producer id is always new. A producer without state (its records have gone, its state
    /// expired, or it never wrote here) may start at any sequence number, as in Kafka since 2.5 (KIP-360).
    ///
    /// # Errors
    /// An older epoch, or a gap in the sequence numbers.
    pub fn check(&self, batch: &BatchHeader, origin: AppendOrigin) -> Result<SequenceCheck, SequenceError> {
        if !batch.has_producer_id() || origin == AppendOrigin::Replication {
            return Ok(SequenceCheck::New);
        }
        let producer_id = batch.producer_id;
        let Some(entry) = self.producers.get(&producer_id) else { return Ok(SequenceCheck::New) };
        if origin == AppendOrigin::Client
            && let Some(duplicate) = entry.find_duplicate(batch)
        {
            return Ok(SequenceCheck::Duplicate(duplicate));
        }
        let (producer_epoch, current_epoch) = (batch.producer_epoch, entry.producer_epoch);
        if producer_epoch < current_epoch {
            return Err(SequenceError::InvalidProducerEpoch { producer_id, producer_epoch, current_epoch });
        }
        if origin != AppendOrigin::Client || current_epoch == NO_PRODUCER_EPOCH {
            return Ok(SequenceCheck::New);
        }
        let base_sequence = batch.base_sequence;
        if producer_epoch != current_epoch {
            return if base_sequence == 0 {
                Ok(SequenceCheck::New)
            } else {
                Err(SequenceError::NewEpochNotAtZero {
                    producer_id,
                    producer_epoch,
                    base_sequence,
                    current_epoch,
                })
            };
        }
        let last_sequence = entry.last_sequence();
        if follows(last_sequence, base_sequence) {
            Ok(SequenceCheck::New)
        } else {
            Err(SequenceError::OutOfOrderSequence { producer_id, base_sequence, last_sequence })
        }
    }

    /// Notes a data batch as it stands in the log: with its assigned base offset and, under LogAppendTime, the
    /// append time as max timestamp. Batches without a producer id and control batches are passed over.
    pub fn update(&mut self, batch: &BatchHeader) {
        if !batch.has_producer_id() || batch.is_control() {
            return;
        }
        let appended = Batch {
            last_offset: batch.last_offset(),
            timestamp_ms: batch.max_timestamp,
            last_sequence: batch.last_sequence(),
            offset_delta: batch.last_offset_delta,
        };
        let entry = self.producers.entry(batch.producer_id).or_insert_with(Entry::empty);
        entry.add_batch(batch.producer_epoch, appended);
        if batch.is_transactional() && entry.current_txn_first_offset < 0 {
            entry.current_txn_first_offset = batch.base_offset;
        }
        if self.producers.len() > self.max_producers {
            self.forget_least_recent();
        }
    }

    /// Notes the marker that ended a producer's transaction, as replayed from a control batch.
    pub fn update_control(&mut self, batch: &BatchHeader, marker: ControlMarker) {
        if !batch.has_producer_id() {
            return;
        }
        let entry = self.producers.entry(batch.producer_id).or_insert_with(Entry::empty);
        entry.end_transaction(batch.producer_epoch, marker.coordinator_epoch, batch.max_timestamp);
        if self.producers.len() > self.max_producers {
            self.forget_least_recent();
        }
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`; a producer inside a transaction
    /// stays. As in Kafka, idleness is counted from the max timestamp of the last batch.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
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

    /// Lowest first offset of a transaction that is still open.
    pub fn first_undecided_offset(&self) -> Option<i64> {
        self.producers
            .values()
            .map(|entry| entry.current_txn_first_offset)
            .filter(|offset| *offset >= 0)
            .min()
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

/// Whether `base_sequence` comes right after `last_sequence`; after `i32::MAX` comes 0.
fn follows(last_sequence: i32, base_sequence: i32) -> bool {
    i64::from(base_sequence) == i64::from(last_sequence) + 1
        || (base_sequence == 0 && last_sequence == i32::MAX)
}

#[cfg(test)]
mod tests;
