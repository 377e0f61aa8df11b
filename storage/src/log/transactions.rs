//! What a log says of transactions: the first offset that isn't decided, which transactions of a range were aborted, and
//! the producers.

use super::{Inner, Log, LogOffsetMetadata, ReadError, SegmentList};
use crate::batch::{BatchHeader, ControlMarker};
use crate::fs::Fs;
use crate::producer_state::{ActiveProducer, ProducerStates, SequenceError, Transactions, VerificationGuard};
use crate::segment::{Segment, SegmentFile};
use crate::slice::Slice;
use crate::txn_index::AbortedTransaction;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// No transaction holds the last stable offset back.
const NO_UNSTABLE_OFFSET: i64 = i64::MAX;

/// The transactions that aren't decided. Beside the append mutex, so that reads don't wait for appends; the appends
/// change it, under their mutex and before they publish.
#[derive(Debug)]
pub(super) struct Unstable {
    /// The first offset of all, or [`NO_UNSTABLE_OFFSET`]: then nobody has to look further.
    first_offset: AtomicI64,
    transactions: Mutex<Transactions>,
}

impl Unstable {
    pub(super) fn new(transactions: Transactions) -> Unstable {
        let unstable = Unstable {
            first_offset: AtomicI64::new(NO_UNSTABLE_OFFSET),
            transactions: Mutex::new(transactions),
        };
        unstable.change(|_| ());
        unstable
    }

    fn change<R>(&self, change: impl FnOnce(&mut Transactions) -> R) -> R {
        let mut transactions = self.transactions.lock();
        let result = change(&mut transactions);
        let first = transactions.first_unstable().map_or(NO_UNSTABLE_OFFSET, |first| first.offset);
        // Released by the publication of the end too: who sees a transaction's records sees that they are undecided.
        self.first_offset.store(first, Ordering::Release);
        result
    }

    /// Whether a transaction that isn't decided began below `offset`.
    pub(super) fn reaches_below(&self, offset: i64) -> bool {
        self.first_offset.load(Ordering::Acquire) < offset
    }

    pub(super) fn start_at(&self, log_start: LogOffsetMetadata) {
        self.change(|transactions| transactions.start_at(log_start));
    }
}

impl Inner {
    /// Notes a batch of a producer, as it stands at `position` of the active segment. The caller holds the append mutex
    /// and hasn't published the batch yet.
    pub(super) fn note_producer(
        &self,
        producers: &mut ProducerStates,
        segment: &Segment,
        stored: &BatchHeader,
        marker: Option<ControlMarker>,
        position: u32,
    ) -> io::Result<()> {
        let Some(change) = producers.update(stored, marker) else { return Ok(()) };
        let place = place_in(segment, stored, position);
        match self.unstable.change(|transactions| transactions.apply(change, place)) {
            Some(aborted) => segment.index_aborted(aborted, self.fs()),
            None => Ok(()),
        }
    }
}

/// The place of a stored batch.
pub(super) fn place_in(segment: &Segment, stored: &BatchHeader, position: u32) -> LogOffsetMetadata {
    LogOffsetMetadata { offset: stored.base_offset, segment_base_offset: segment.base_offset(), position }
}

impl Log {
    /// The first record of the earliest transaction that isn't decided: it is open, or its marker isn't below
    /// `final_below`. Not below the log start. The last stable offset is this or, without it and when it lies beyond,
    /// the high watermark.
    ///
    /// Markers count once nothing can take them back: `final_below` is the durable end where a crash could, and the high
    /// watermark where the policy asks for no sync. Both have to be read before this is called. Without transactions
    /// it costs one load.
    pub fn first_unstable_offset(&self, final_below: i64) -> Option<LogOffsetMetadata> {
        let unstable = &self.inner.unstable;
        if unstable.first_offset.load(Ordering::Acquire) == NO_UNSTABLE_OFFSET {
            return None;
        }
        unstable.change(|transactions| {
            transactions.markers_are_final(final_below);
            transactions.first_unstable()
        })
    }

    /// The aborted transactions that reach into `[from_offset, upper_bound_offset)`, by the order of their markers. Reads
    /// the indexes' files, where there are aborted transactions.
    ///
    /// # Errors
    /// See [`ReadError`]. Without this list the records must not go to a reader of committed ones.
    pub fn aborted_transactions(
        &self,
        from_offset: i64,
        upper_bound_offset: i64,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        self.collect_aborted(from_offset, |_| Ok(upper_bound_offset))
    }

    /// As [`Log::aborted_transactions`], for what [`Log::read`] gave from `from_offset` on. The slice's end is found in the
    /// offset index, so that there may be some more of them than the slice needs.
    ///
    /// # Errors
    /// As [`Log::aborted_transactions`].
    pub fn aborted_transactions_in(
        &self,
        from_offset: i64,
        slice: &Slice,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let Some(file) = slice.file() else { return Ok(Vec::new()) };
        self.collect_aborted(from_offset, |segments| {
            let end = u32::try_from(slice.position() + slice.len() as u64).unwrap_or(u32::MAX);
            segments.offset_bound(file, end, self.inner.fs())
        })
    }

    /// All producers that are remembered, in no order (DescribeProducers). Holds up appends while they are copied.
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        self.inner.writer.lock().producers.active_producers().collect()
    }

    /// Begins to verify with the coordinator that a batch belongs to a transaction (KIP-890). What this gives goes with
    /// the batch into [`Log::append`], once the coordinator has agreed. When it is none the transaction is open here, and
    /// the batch may be appended at once.
    ///
    /// # Errors
    /// [`SequenceError::InvalidProducerEpoch`].
    pub fn maybe_start_verification(
        &self,
        producer_id: i64,
        base_sequence: i32,
        producer_epoch: i16,
        supports_epoch_bump: bool,
        now_ms: i64,
    ) -> Result<VerificationGuard, SequenceError> {
        self.inner.writer.lock().producers.maybe_start_verification(
            producer_id,
            base_sequence,
            producer_epoch,
            supports_epoch_bump,
            now_ms,
        )
    }

    /// Whether a batch of the producer may still be appended with `guard`. Not once a marker came: the one that ends the
    /// transaction, or the one before, which may have been on its way when the guard was given.
    pub fn is_verifying(&self, producer_id: i64, guard: VerificationGuard) -> bool {
        self.inner.writer.lock().producers.is_verifying(producer_id, guard)
    }

    fn collect_aborted(
        &self,
        from_offset: i64,
        upper_bound: impl FnOnce(&SegmentList) -> io::Result<i64>,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        self.inner.check_online()?;
        let segments = self.inner.segments.load();
        self.check_range(from_offset, &segments)?;
        let from = &segments.segments[segments.floor(from_offset).unwrap_or(0)..];
        let mut found = Vec::new();
        if !from.iter().any(|segment| segment.has_aborted()) {
            return Ok(found);
        }
        let collect = || -> io::Result<()> {
            let upper_bound_offset = upper_bound(&segments)?;
            for segment in from {
                let fs = self.inner.fs();
                if segment.aborted_transactions(from_offset, upper_bound_offset, &mut found, fs)? {
                    break;
                }
            }
            Ok(())
        };
        collect().map_err(|error| self.read_failed(from_offset, error))?;
        Ok(found)
    }
}

impl SegmentList {
    /// An offset that is not below those of the batches that begin before `position` in the file.
    fn offset_bound(&self, file: &Arc<SegmentFile>, position: u32, fs: &dyn Fs) -> io::Result<i64> {
        let base_offset = file.base_offset();
        let at = self.segments.partition_point(|segment| segment.base_offset() < base_offset);
        let Some(segment) = self.segments.get(at).filter(|segment| segment.owns(file)) else {
            // Compacted meanwhile: its positions say nothing any more.
            return Ok(self.end().offset);
        };
        if let Some(bound) = segment.offset_bound(position, fs)? {
            return Ok(bound);
        }
        Ok(self.segments.get(at + 1).map_or(self.end().offset, |next| next.base_offset()))
    }
}
