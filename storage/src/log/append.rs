//! Appending a batch: sequence check, roll, one copy, index, publish. All under the append mutex.

use super::prepare::MIN_AHEAD_BYTES;
use super::{Active, Inner, Log, LogOffsetMetadata, Offline, Writer};
use crate::batch::{BatchHeader, CheckedBatch, ControlMarker, HeaderPatch, NO_TIMESTAMP, TimestampType};
use crate::producer_state::{AppendOrigin, DuplicateBatch, SequenceCheck, SequenceError, TransactionContext};
use crate::segment::{SegmentEnd, is_full};
use std::io;
use std::sync::atomic::Ordering;

/// Pages are made writable ahead for batches below this size. From it on a write costs less CPU than preparing the
/// pages and storing into them: docs/decisions/005.
const MAPPED_MAX_BATCH_BYTES: usize = 8 << 10;

/// Behind a write, zeros are written to the next multiple of this, in a log that fills quickly: the page cache takes one
/// large folio for what would be many small ones. docs/decisions/016.
pub(super) const FILL_UNIT_BYTES: u64 = 64 << 10;
/// In a log that is synced all the time; the syncs after that find blocks that were written before, which is worth more
/// than the shorter append.
const SYNCED_FILL_UNIT_BYTES: u64 = 256 << 10;
const ZEROS: &[u8] = &[0; 64 << 10];
const MAX_FILL_PARTS: usize = SYNCED_FILL_UNIT_BYTES as usize / ZEROS.len();

/// How an append reaches the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Into the prepared map, for a stream that nobody waits on disk for. Falls back to a write where the map
    /// isn't ready; large batches use what was prepared for small ones, and don't ask for more.
    Mapped,
    /// With a write, for a log that is synced all the time: storing into a map after each sync costs a fault.
    Plain,
}

/// What the caller knows of an append.
#[derive(Debug, Clone, Copy)]
pub struct AppendContext {
    /// The partition's leader epoch; stamped on the batch.
    pub leader_epoch: i32,
    /// The clock.
    pub now_ms: i64,
    /// How to write.
    pub mode: WriteMode,
    /// Who appends, which says how far producer epoch and sequence are checked.
    pub origin: AppendOrigin,
    /// What is known of the transaction that the batch belongs to or ends.
    pub transaction: TransactionContext,
}

/// An append that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The timestamp that the log gave under LogAppendTime, else -1.
    pub log_append_time_ms: i64,
    /// First offset that can be read.
    pub log_start_offset: i64,
    /// The log end after the append; for a duplicate, as it is.
    pub end: LogOffsetMetadata,
    /// The batch was there already; nothing was written.
    pub duplicate: bool,
    /// A segment was rolled: there is work for [`Log::sync`] and [`Log::sync_sealed`].
    pub rolled: bool,
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Larger than `segment.bytes`: RECORD_LIST_TOO_LARGE.
    #[error("a batch of {size_bytes} bytes is larger than the segment size of {segment_bytes}")]
    LargerThanSegment {
        /// Bytes of the batch.
        size_bytes: usize,
        /// `segment.bytes`.
        segment_bytes: u32,
    },
    /// The disk, the quota or the table of open files is full. Nothing of the batch is visible; later appends may
    /// succeed.
    #[error("no space left for the log")]
    NoSpace(#[source] io::Error),
    /// The producer's epoch is old, batches are missing before this one, or its transaction is in another state.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// A write failed, now or before: KAFKA_STORAGE_ERROR.
    #[error(transparent)]
    Offline(#[from] Offline),
    /// The log is closed, or its topic is deleted.
    #[error("the log is closed")]
    Closed,
}

impl Log {
    /// Appends a batch: gives it its offset, copies it once and publishes the new end.
    ///
    /// # Errors
    /// See [`AppendError`]; after [`AppendError::Offline`] the log stays offline.
    pub fn append(&self, batch: &CheckedBatch, context: AppendContext) -> Result<Appended, AppendError> {
        let inner = &*self.inner;
        inner.check_online()?;
        let header = batch.header();
        let size_bytes = batch.bytes().len();
        let marker = if header.is_control() { ControlMarker::of_batch(batch.bytes()) } else { None };
        let mut writer = inner.writer.lock();
        let writer = &mut *writer;
        if writer.closed {
            return Err(AppendError::Closed);
        }
        if size_bytes > writer.config.segment_bytes as usize {
            let segment_bytes = writer.config.segment_bytes;
            return Err(AppendError::LargerThanSegment { size_bytes, segment_bytes });
        }
        let checked = writer.producers.check(header, marker, context.origin, context.transaction)?;
        if let SequenceCheck::Duplicate(first) = checked {
            return Ok(inner.duplicate(first));
        }
        let log_append_time_ms =
            (writer.config.message_timestamp_type == TimestampType::LogAppendTime).then_some(context.now_ms);
        let batch_max_timestamp_ms = log_append_time_ms.unwrap_or(header.max_timestamp);
        let base_offset = writer.next_offset;
        let last_offset = base_offset + i64::from(header.last_offset_delta);

        let rolled =
            inner.make_room(writer, size_bytes, last_offset, batch_max_timestamp_ms, context.now_ms)?;

        let patch = HeaderPatch { base_offset, leader_epoch: context.leader_epoch, log_append_time_ms };
        let patched = patch.header_bytes(batch.bytes());
        let index_interval_bytes = writer.config.index_interval_bytes;
        let active = writer.active.as_mut().expect("make_room leaves an active segment");
        let position = active.position;
        if !header.is_control() {
            // A marker is small whatever comes with it, and what comes next is what came before.
            active.wants_map = context.mode == WriteMode::Mapped && size_bytes < MAPPED_MAX_BATCH_BYTES;
        }
        inner.write(active, [&patched, batch.records_bytes()], context.mode)?;
        let add_entry = active.bytes_since_index_entry > index_interval_bytes;
        active
            .segment
            .index_batch(last_offset, batch_max_timestamp_ms, position, add_entry, inner.fs())
            .map_err(|error| inner.fail("writing an index", &error))?;
        if add_entry {
            active.bytes_since_index_entry = 0;
        }
        active.bytes_since_index_entry += size_bytes as u32;
        active.first_timestamp_ms.get_or_insert(batch_max_timestamp_ms);
        active.position = position + size_bytes as u32;
        active.last_append_ms = context.now_ms;
        let end = SegmentEnd { next_offset: last_offset + 1, position: active.position };
        let segment_base_offset = active.segment.base_offset();
        writer.next_offset = end.next_offset;
        writer.changed = true;
        if header.has_producer_id() {
            let stored = BatchHeader { base_offset, max_timestamp: batch_max_timestamp_ms, ..*header };
            inner
                .note_producer(&mut writer.producers, &active.segment, &stored, marker, position)
                .map_err(|error| inner.fail("writing the index of aborted transactions", &error))?;
        }
        if writer.epochs.assign(context.leader_epoch, base_offset) {
            writer.epochs_dirty = true;
        }

        active.segment.publish(end);
        self.request_preparation(writer, rolled, context.now_ms);
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time_ms: log_append_time_ms.unwrap_or(NO_TIMESTAMP),
            log_start_offset: inner.log_start_offset.load(Ordering::Acquire),
            end: LogOffsetMetadata { offset: end.next_offset, segment_base_offset, position: end.position },
            duplicate: false,
            rolled,
        })
    }
}

impl Active {
    /// Up to where zeros belong behind a write that ends at `end`: no further than blocks are reserved, and less in a log
    /// that takes longer to use them up.
    fn fill_to(&self, end: u64, mode: WriteMode) -> u64 {
        let has_pages = end <= self.filled_end.max(self.map.as_ref().map_or(0, |map| map.prepared_end));
        if has_pages || self.ahead_bytes <= MIN_AHEAD_BYTES {
            return end;
        }
        // The distance ahead is doubled and halved, and so it is a power of two.
        let unit = match mode {
            WriteMode::Mapped => FILL_UNIT_BYTES,
            WriteMode::Plain => SYNCED_FILL_UNIT_BYTES,
        };
        let unit = unit.min(self.ahead_bytes / 2);
        end.next_multiple_of(unit).min(self.allocated_end).max(end)
    }
}

impl Inner {
    /// The answer for a batch that is in the log already: its offsets of the first time.
    fn duplicate(&self, first: DuplicateBatch) -> Appended {
        Appended {
            base_offset: first.base_offset,
            last_offset: first.last_offset,
            log_append_time_ms: first.timestamp_ms,
            log_start_offset: self.log_start_offset.load(Ordering::Acquire),
            end: self.segments.load().end(),
            duplicate: true,
            rolled: false,
        }
    }

    /// Sees to it that there is an active segment that takes the batch; rolls by Kafka's rules. Returns whether a
    /// segment was rolled.
    fn make_room(
        &self,
        writer: &mut Writer,
        size_bytes: usize,
        last_offset: i64,
        batch_max_timestamp_ms: i64,
        now_ms: i64,
    ) -> Result<bool, AppendError> {
        let Some(active) = &writer.active else {
            self.roll(writer, now_ms).map_err(|error| self.write_failed("creating a segment", error))?;
            return Ok(false);
        };
        let config = &writer.config;
        let waited_ms = match active.first_timestamp_ms {
            Some(first) if first >= 0 => batch_max_timestamp_ms.saturating_sub(first),
            _ => now_ms.saturating_sub(active.segment.created_ms()),
        };
        let due = active.position as usize + size_bytes > config.segment_bytes as usize
            || (active.position > 0
                && waited_ms > config.roll_after_ms(&self.dir, active.segment.base_offset()))
            || active.segment.index_is_full(config.segment_index_bytes)
            || !active.segment.can_hold(last_offset);
        if !due || active.position == 0 {
            return Ok(false);
        }
        self.roll(writer, now_ms).map_err(|error| self.write_failed("rolling a segment", error))?;
        Ok(true)
    }

    /// Copies a batch to the active segment's position, into the map when it is ready there.
    fn write(&self, active: &mut Active, parts: [&[u8]; 2], mode: WriteMode) -> Result<(), AppendError> {
        let position = u64::from(active.position);
        let end = position + (parts[0].len() + parts[1].len()) as u64;
        if mode == WriteMode::Mapped
            && let Some(map) = &mut active.map
            && end <= map.prepared_end
        {
            map.map.store(active.position as usize, &parts);
            return Ok(());
        }
        if self.env.preparer.is_none() {
            self.allocate_ahead(active, end);
        }
        let fill_to = active.fill_to(end, mode);
        let mut filled = [&[][..]; 2 + MAX_FILL_PARTS];
        filled[..2].copy_from_slice(&parts);
        let fill = (end..fill_to)
            .step_by(ZEROS.len())
            .map(|from| &ZEROS[..ZEROS.len().min((fill_to - from) as usize)]);
        filled[2..].iter_mut().zip(fill).for_each(|(part, zeros)| *part = zeros);
        active
            .segment
            .file(self.fs())
            .and_then(|file| self.fs().write_all_at(file.file(), &filled, position))
            .map_err(|error| self.write_failed("appending to a segment", error))?;
        if fill_to > end {
            active.filled_end = fill_to;
        }
        active.allocated_end = active.allocated_end.max(end);
        Ok(())
    }

    /// A full disk heals; anything else leaves the file in doubt.
    fn write_failed(&self, what: &'static str, error: io::Error) -> AppendError {
        if is_full(&error) { AppendError::NoSpace(error) } else { self.fail(what, &error).into() }
    }
}
