//! Reading: from an offset to a stretch of one segment's file, without a lock.

use super::{Log, LogOffsetMetadata, Offline, SegmentList};
use crate::fs::Fs;
use crate::segment::{LocatedBatch, Segment, is_out_of_files};
use crate::slice::Slice;
use std::cmp;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Below the log start or above the log end: OFFSET_OUT_OF_RANGE.
    #[error("offset {offset} is not in [{log_start_offset}, {log_end_offset}]")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// First offset that can be read.
        log_start_offset: i64,
        /// Offset of the next record.
        log_end_offset: i64,
    },
    /// The log was marked deleted: UNKNOWN_TOPIC_OR_PARTITION.
    #[error("the log is deleted")]
    Deleted,
    /// The log went offline: KAFKA_STORAGE_ERROR.
    #[error(transparent)]
    Offline(#[from] Offline),
    /// A file could not be read, or a stored batch is damaged: KAFKA_STORAGE_ERROR or CORRUPT_MESSAGE.
    #[error("reading the log")]
    Io(#[from] io::Error),
}

/// A read goes past at most so many batches without a record.
const MAX_SKIPPED_BATCHES: usize = 256;

impl ReadError {
    /// Whether the file system is to blame. It isn't for a damaged batch, nor for a file that somebody took away, nor while no
    /// more files can be opened.
    pub fn is_file_systems(&self) -> bool {
        let others = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound)
                || is_out_of_files(error)
        };
        matches!(self, ReadError::Io(error) if !others(error))
    }
}

/// A batch, and where in its segment the published bytes before the reader's bound end.
struct Found<'a> {
    segment: &'a Arc<Segment>,
    batch: LocatedBatch,
    limit: u32,
}

impl Log {
    /// The bytes from the batch that holds `from_offset` on: at most `max_bytes`, before `until` (the high
    /// watermark, the last stable offset or the log end), and of one segment. As in Kafka the slice may end inside
    /// a batch, but never inside the first: a consumer takes a part of a batch and nothing else for a broken
    /// answer. With `min_one_batch` the first one comes whole whatever its size, without it, it comes whole or not
    /// at all. At `until` the slice is empty.
    ///
    /// Batches that compaction has left without a record, to keep a sequence or the segment's end, are gone past when others
    /// follow: they can be all that a segment has, and librdkafka takes answers without records for too small ones, and
    /// gives up after some of them.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(
        &self,
        from_offset: i64,
        max_bytes: u32,
        until: LogOffsetMetadata,
        min_one_batch: bool,
    ) -> Result<Slice, ReadError> {
        self.inner.check_online()?;
        let segments = self.inner.segments.load();
        self.check_range(from_offset, &segments)?;
        if from_offset >= until.offset || (max_bytes == 0 && !min_one_batch) {
            return Ok(Slice::empty());
        }
        if let Some(slice) = at_the_tail(&segments, from_offset, max_bytes, until, self.inner.fs()) {
            return Ok(slice);
        }
        let Some(Found { segment, batch, limit }) = self.find_records(&segments, from_offset, until)? else {
            return Ok(Slice::empty());
        };
        let first_bytes = batch.header.size_in_bytes() as u32;
        if max_bytes < first_bytes && !min_one_batch {
            return Ok(Slice::empty());
        }
        let len = (limit - batch.position).min(max_bytes.max(first_bytes));
        match segment.file(self.inner.fs()) {
            Ok(file) => Ok(Slice::new(file, u64::from(batch.position), len)),
            Err(error) => Err(self.read_failed(from_offset, error)),
        }
    }

    /// The place of an offset: of the batch that holds it, or of the first one after it. The log end has the place
    /// of the next batch.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn locate(&self, offset: i64) -> Result<LogOffsetMetadata, ReadError> {
        self.inner.check_online()?;
        let segments = self.inner.segments.load();
        self.check_range(offset, &segments)?;
        let end = segments.end();
        if offset >= end.offset {
            return Ok(end);
        }
        Ok(self.find(&segments, offset, end)?.map_or(end, |found| found.place_of(offset)))
    }

    pub(super) fn check_range(&self, offset: i64, segments: &SegmentList) -> Result<(), ReadError> {
        let log_end_offset = segments.end().offset;
        let log_start_offset = self.log_start_offset();
        if offset < log_start_offset || offset > log_end_offset {
            return Err(ReadError::OffsetOutOfRange { offset, log_start_offset, log_end_offset });
        }
        Ok(())
    }

    /// As [`Log::find`], but of batches without a record only one that no other follows.
    fn find_records<'a>(
        &self,
        segments: &'a SegmentList,
        offset: i64,
        until: LogOffsetMetadata,
    ) -> Result<Option<Found<'a>>, ReadError> {
        let mut found = self.find(segments, offset, until)?;
        for _ in 0..MAX_SKIPPED_BATCHES {
            let Some(empty) = found.as_ref().filter(|found| found.batch.header.records_count == 0) else {
                break;
            };
            match self.find(segments, empty.batch.header.next_offset(), until)? {
                None => break,
                next => found = next,
            }
        }
        Ok(found)
    }

    /// The batch that holds `offset` or the first one after it before `until`.
    fn find<'a>(
        &self,
        segments: &'a SegmentList,
        offset: i64,
        until: LogOffsetMetadata,
    ) -> Result<Option<Found<'a>>, ReadError> {
        segments.find(offset, until, self.inner.fs()).map_err(|error| self.read_failed(offset, error))
    }

    /// Why a read from `offset` on failed: the segment may have gone while it was read, and its files with it.
    pub(super) fn read_failed(&self, offset: i64, error: io::Error) -> ReadError {
        let inner = &*self.inner;
        if inner.gone.load(Ordering::Acquire) {
            return ReadError::Deleted;
        }
        if let Err(out_of_range) = self.check_range(offset, &inner.segments.load()) {
            return out_of_range;
        }
        error.into()
    }
}

impl Found<'_> {
    fn place_of(&self, offset: i64) -> LogOffsetMetadata {
        LogOffsetMetadata {
            offset,
            segment_base_offset: self.segment.base_offset(),
            position: self.batch.position,
        }
    }
}

impl SegmentList {
    /// The place of an offset below the end: of the batch that holds it, or of the first one after it. Below the first
    /// segment that is the log's first batch.
    pub(super) fn place_of(&self, offset: i64, fs: &dyn Fs) -> io::Result<LogOffsetMetadata> {
        let end = self.end();
        Ok(self.find(offset, end, fs)?.map_or(end, |found| found.place_of(offset)))
    }

    fn find(&self, offset: i64, until: LogOffsetMetadata, fs: &dyn Fs) -> io::Result<Option<Found<'_>>> {
        let first = self.floor(offset).unwrap_or(0);
        for segment in self.segments.iter().skip(first) {
            let limit = match segment.base_offset().cmp(&until.segment_base_offset) {
                cmp::Ordering::Less => segment.end().position,
                // Never beyond what is published, whatever the caller's bound says.
                cmp::Ordering::Equal => until.position.min(segment.end().position),
                cmp::Ordering::Greater => break,
            };
            if let Some(batch) = segment.locate(offset, limit, fs)? {
                return Ok(Some(Found { segment, batch, limit }));
            }
        }
        Ok(None)
    }
}

/// The slice for a consumer that is only a few batches behind, without a system call: it starts where one of the
/// last appends did, and all up to `until` fits.
fn at_the_tail(
    segments: &SegmentList,
    from_offset: i64,
    max_bytes: u32,
    until: LogOffsetMetadata,
    fs: &dyn Fs,
) -> Option<Slice> {
    let active = segments.segments.last()?;
    if until.segment_base_offset != active.base_offset() || from_offset < active.base_offset() {
        return None;
    }
    let end = active.end();
    let limit = until.position.min(end.position);
    let position = active.recent_start(from_offset).filter(|_| from_offset < end.next_offset)?;
    let len = limit.checked_sub(position).filter(|len| *len > 0 && *len <= max_bytes)?;
    Some(Slice::new(active.file(fs).ok()?, u64::from(position), len))
}
