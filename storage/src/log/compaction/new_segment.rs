//! The segment that a round writes, under names of its own until it takes the place of others.

use super::swap::cleaned_path;
use crate::batch::BatchHeader;
use crate::fs::{Fs, INDEX_SUFFIX, LOG_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX};
use crate::offset_index::OffsetIndex;
use crate::segment::{OpenSegments, Segment, SegmentEnd, SegmentState};
use crate::time_index::{TimeIndex, TimestampEntry};
use crate::txn_index::{AbortedTransaction, write_entries};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// What was written so far.
pub(super) struct NewSegment<'a> {
    dir: &'a Path,
    fs: &'a dyn Fs,
    base_offset: i64,
    file: File,
    written_bytes: u64,
    unwritten: Vec<u8>,
    next_offset: i64,
    offset_index: OffsetIndex,
    time_index: TimeIndex,
    max_timestamp: Option<TimestampEntry>,
    index_interval_bytes: u32,
    bytes_since_index_entry: usize,
    aborted: Vec<AbortedTransaction>,
}

/// One whose files are complete and on disk.
pub(super) struct FinishedSegment<'a> {
    dir: &'a Path,
    fs: &'a dyn Fs,
    base_offset: i64,
    file: File,
    state: SegmentState,
    aborted: usize,
}

impl<'a> NewSegment<'a> {
    pub(super) fn create(
        dir: &'a Path,
        base_offset: i64,
        index_interval_bytes: u32,
        fs: &'a dyn Fs,
    ) -> io::Result<NewSegment<'a>> {
        let file = fs.open_or_create(&cleaned_path(dir, base_offset, LOG_SUFFIX))?;
        fs.set_len(&file, 0)?;
        Ok(NewSegment {
            dir,
            fs,
            base_offset,
            file,
            written_bytes: 0,
            unwritten: Vec::new(),
            next_offset: base_offset,
            offset_index: OffsetIndex::new(cleaned_path(dir, base_offset, INDEX_SUFFIX), 0),
            time_index: TimeIndex::open(cleaned_path(dir, base_offset, TIME_INDEX_SUFFIX), 0, fs)?,
            max_timestamp: None,
            index_interval_bytes,
            bytes_since_index_entry: 0,
            aborted: Vec::new(),
        })
    }

    /// Adds a batch that has the offsets of `old`. Gives its bytes.
    pub(super) fn push(&mut self, old: &BatchHeader, bytes: &[u8]) -> io::Result<usize> {
        let position = self.written_bytes + self.unwritten.len() as u64;
        let end = position + bytes.len() as u64;
        let too_large =
            || io::Error::new(io::ErrorKind::InvalidData, "a compacted segment would be too large");
        let position = u32::try_from(position).map_err(|_| too_large())?;
        i32::try_from(end).map_err(|_| too_large())?;
        let max_timestamp_ms =
            BatchHeader::parse(bytes).map_or(old.max_timestamp, |header| header.max_timestamp);
        let relative_offset = (old.last_offset() - self.base_offset) as u32;
        if max_timestamp_ms > self.max_timestamp.map_or(crate::batch::NO_TIMESTAMP, |max| max.timestamp_ms) {
            self.max_timestamp = Some(TimestampEntry { timestamp_ms: max_timestamp_ms, relative_offset });
        }
        if self.bytes_since_index_entry > self.index_interval_bytes as usize {
            self.offset_index.append(relative_offset, position);
            if let Some(max) = self.max_timestamp {
                self.time_index.maybe_append(max);
            }
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += bytes.len();
        self.unwritten.extend_from_slice(bytes);
        self.next_offset = old.next_offset();
        if self.unwritten.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(bytes.len())
    }

    /// The aborted transactions whose markers are among the batches.
    pub(super) fn aborted(&mut self, aborted: Vec<AbortedTransaction>) {
        self.aborted = aborted;
    }

    fn write(&mut self) -> io::Result<()> {
        self.fs.write_all_at(&self.file, &[&self.unwritten], self.written_bytes)?;
        self.written_bytes += self.unwritten.len() as u64;
        self.unwritten.clear();
        Ok(())
    }

    /// Makes all of it durable, but for the names of the files. It is said to have been written when `modified` says.
    pub(super) fn finish(mut self, modified: Option<SystemTime>) -> io::Result<FinishedSegment<'a>> {
        self.write()?;
        if let Some(max) = self.max_timestamp {
            self.time_index.maybe_append(max);
        }
        self.offset_index.seal(self.fs)?;
        self.time_index.seal(self.fs)?;
        // There is one in any case, so that it takes the place of an old one.
        let txn_index = cleaned_path(self.dir, self.base_offset, TXN_INDEX_SUFFIX);
        write_entries(&txn_index, &self.aborted, self.fs)?;
        self.offset_index.sync(self.fs)?;
        self.time_index.sync(self.fs)?;
        modified.map_or(Ok(()), |modified| self.file.set_modified(modified))?;
        self.fs.sync_all(&self.file)?;
        let position = u32::try_from(self.written_bytes).expect("it was looked at with each batch");
        Ok(FinishedSegment {
            dir: self.dir,
            fs: self.fs,
            base_offset: self.base_offset,
            file: self.file,
            state: SegmentState {
                end: SegmentEnd { next_offset: self.next_offset, position },
                offset_index_entries: self.offset_index.entries(),
                time_index_entries: self.time_index.entries(),
                max_timestamp: self.max_timestamp,
                // Asked of the active segment only.
                created_ms: 0,
            },
            aborted: self.aborted.len(),
        })
    }
}

impl FinishedSegment<'_> {
    /// The segment, when its files have their names.
    pub(super) fn open(self, open_segments: Arc<OpenSegments>) -> io::Result<Arc<Segment>> {
        let segment =
            Segment::new(self.dir, self.base_offset, self.file, self.state, self.fs, open_segments)?;
        segment.open_aborted(self.aborted);
        segment.mark_durable();
        Ok(segment)
    }
}
