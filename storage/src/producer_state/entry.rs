//! One producer. Millions that write once must be cheap, so only the last batch lies in the entry; the four before
//! it are allocated when a second batch arrives.

use super::DuplicateBatch;
use crate::batch::{BatchHeader, NO_PRODUCER_EPOCH, NO_SEQUENCE, NO_TIMESTAMP, decrement_sequence};

/// Batches that are remembered besides the last one: five in all, as many as a Java producer has in flight.
const OLDER_BATCHES: usize = 4;

/// A batch in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) last_offset: i64,
    pub(super) timestamp_ms: i64,
    pub(super) last_sequence: i32,
    pub(super) offset_delta: i32,
}

impl Batch {
    /// What an entry without a batch holds; Kafka writes the same into snapshots.
    pub(super) const NONE: Batch =
        Batch { last_offset: -1, timestamp_ms: NO_TIMESTAMP, last_sequence: NO_SEQUENCE, offset_delta: 0 };

    fn is_none(&self) -> bool {
        self.last_offset < 0
    }

    fn matches(&self, base_sequence: i32, last_sequence: i32) -> bool {
        !self.is_none()
            && self.last_sequence == last_sequence
            && decrement_sequence(self.last_sequence, self.offset_delta) == base_sequence
    }

    fn as_duplicate(&self) -> DuplicateBatch {
        DuplicateBatch {
            base_offset: self.last_offset.wrapping_sub(i64::from(self.offset_delta)),
            last_offset: self.last_offset,
            timestamp_ms: self.timestamp_ms,
        }
    }
}

/// The state of one producer: 56 bytes, and 96 more once it has written a second batch.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) last: Batch,
    /// Newest first; the unused ones are [`Batch::NONE`].
    older: Option<Box<[Batch; OLDER_BATCHES]>>,
    /// First offset of the transaction that is open here, or -1.
    pub(super) current_txn_first_offset: i64,
    pub(super) last_timestamp_ms: i64,
    /// Epoch of the coordinator that wrote the last marker, or -1.
    pub(super) coordinator_epoch: i32,
    pub(super) producer_epoch: i16,
}

impl Entry {
    pub(super) fn empty() -> Entry {
        Entry {
            last: Batch::NONE,
            older: None,
            current_txn_first_offset: -1,
            last_timestamp_ms: NO_TIMESTAMP,
            coordinator_epoch: -1,
            producer_epoch: NO_PRODUCER_EPOCH,
        }
    }

    pub(super) fn last_sequence(&self) -> i32 {
        self.last.last_sequence
    }

    /// A batch of the current epoch is known.
    pub(super) fn has_batches(&self) -> bool {
        !self.last.is_none()
    }

    /// A transaction is open here that a batch of `producer_epoch` belongs to. With a newer epoch it may have ended, and
    /// its marker be on the way.
    pub(super) fn has_open(&self, producer_epoch: i16) -> bool {
        self.current_txn_first_offset >= 0 && self.producer_epoch == producer_epoch
    }

    pub(super) fn find_duplicate(&self, batch: &BatchHeader) -> Option<DuplicateBatch> {
        if batch.producer_epoch != self.producer_epoch {
            return None;
        }
        let (base_sequence, last_sequence) = (batch.base_sequence, batch.last_sequence());
        std::iter::once(&self.last)
            .chain(self.older.iter().flat_map(|older| older.iter()))
            .find(|known| known.matches(base_sequence, last_sequence))
            .map(Batch::as_duplicate)
    }

    pub(super) fn add_batch(&mut self, producer_epoch: i16, batch: Batch) {
        self.move_to_epoch(producer_epoch);
        if !self.last.is_none() {
            let older = self.older.get_or_insert_with(|| Box::new([Batch::NONE; OLDER_BATCHES]));
            older.copy_within(..OLDER_BATCHES - 1, 1);
            older[0] = self.last;
        }
        self.last = batch;
        self.last_timestamp_ms = batch.timestamp_ms;
    }

    pub(super) fn end_transaction(&mut self, producer_epoch: i16, coordinator_epoch: i32, timestamp_ms: i64) {
        self.move_to_epoch(producer_epoch);
        self.coordinator_epoch = coordinator_epoch;
        self.current_txn_first_offset = -1;
        self.last_timestamp_ms = timestamp_ms;
    }

    /// Sequence numbers start again with every epoch, so batches of another one mean nothing any more.
    fn move_to_epoch(&mut self, producer_epoch: i16) {
        if self.producer_epoch != producer_epoch {
            self.producer_epoch = producer_epoch;
            self.last = Batch::NONE;
            self.older = None;
        }
    }

    pub(super) fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        self.current_txn_first_offset < 0 && now_ms.saturating_sub(self.last_timestamp_ms) >= expiration_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_that_wrote_once_costs_64_bytes_in_the_table() {
        assert_eq!(size_of::<(i64, Entry)>(), 64);
        let mut entry = Entry::empty();
        entry.add_batch(0, Batch { last_offset: 0, timestamp_ms: 0, last_sequence: 0, offset_delta: 0 });
        assert!(entry.older.is_none());
    }
}
