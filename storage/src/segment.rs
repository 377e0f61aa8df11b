//! One segment of a log: its file, its indexes and how far it is published.
//!
//! The end of what readers may see is one atomic word, offset and position together, stored (Release) after the
//! bytes are complete. A reader that loads it (Acquire) therefore sees whole batches, and an offset and a
//! position that belong together, without a lock.

mod batches;
mod file;
mod headers;

pub(crate) use batches::Batches;
use file::FileSlot;
pub(crate) use file::read_up_to_at;
pub use file::{OpenSegments, SegmentFile};
pub(crate) use headers::Headers;
use headers::plausible_header;

use crate::batch::{BatchHeader, NO_TIMESTAMP};
use crate::fs::{Fs, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, segment_path};
use crate::offset_index::{OFFSET_INDEX_ENTRY_BYTES, OffsetIndex};
use crate::time_index::{TIME_INDEX_ENTRY_BYTES, TimeIndex, TimestampEntry};
use crate::txn_index::{AbortedTransaction, TxnIndex, write_entries};
use parking_lot::RwLock;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// Index entries kept in memory before they are written to their files.
const SPILL_ENTRIES: usize = 256;
/// Ends of batches that a segment remembers for consumers at its tail.
const RECENT_ENDS: usize = 16;

/// A batch found in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocatedBatch {
    pub position: u32,
    pub header: BatchHeader,
}

impl LocatedBatch {
    pub(crate) fn end_position(&self) -> u32 {
        self.position + self.header.size_in_bytes() as u32
    }
}

/// Offset and position of the end of what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    pub next_offset: i64,
    pub position: u32,
}

#[derive(Debug)]
struct Indexes {
    offset: OffsetIndex,
    time: TimeIndex,
    /// Largest timestamp so far, and the last offset of the first batch that has it.
    max_timestamp: Option<TimestampEntry>,
    /// Most segments have no aborted transaction.
    txn: Option<Box<TxnIndex>>,
}

impl Indexes {
    /// Gives the descriptors back; the next look-up opens the files anew.
    fn close(&mut self) {
        self.offset.close();
        self.time.close();
        if let Some(txn) = &mut self.txn {
            txn.close();
        }
    }

    /// Opens the files that look-ups need.
    fn pin(&self, fs: &dyn Fs) -> io::Result<()> {
        self.offset.pin(fs)?;
        self.time.pin(fs)?;
        self.txn.as_ref().map_or(Ok(()), |txn| txn.pin(fs))
    }

    /// From now on a file that isn't open is not there.
    fn forget_names(&mut self) {
        self.offset.forget_name();
        self.time.forget_name();
        if let Some(txn) = &mut self.txn {
            txn.forget_name();
        }
    }
}

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: i64,
    file: FileSlot,
    /// Next offset relative to the base offset in the upper half, position in the lower.
    end: AtomicU64,
    /// Earlier ends, each where a batch starts, in no order. A consumer at the tail finds its place here.
    recent_ends: [AtomicU64; RECENT_ENDS],
    /// Number of ends published so far; only the one who appends uses it.
    published: AtomicU32,
    /// Position up to which the file is known to be on disk.
    synced_position: AtomicU32,
    /// Trimmed and its indexes written.
    finished: AtomicBool,
    /// Finished, and all of it on disk.
    durable: AtomicBool,
    indexes: RwLock<Indexes>,
    /// The index of aborted transactions has entries. A search goes past the other segments without a lock.
    has_aborted: AtomicBool,
    created_ms: i64,
    /// The indexes are written all at once, when the segment is finished.
    holds_indexes: AtomicBool,
}

/// How a segment starts out when it is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentState {
    pub end: SegmentEnd,
    pub offset_index_entries: usize,
    pub time_index_entries: usize,
    pub max_timestamp: Option<TimestampEntry>,
    pub created_ms: i64,
}

impl Segment {
    pub(crate) fn new(
        dir: &Path,
        base_offset: i64,
        file: File,
        state: SegmentState,
        fs: &dyn Fs,
        open_segments: Arc<OpenSegments>,
    ) -> io::Result<Arc<Segment>> {
        let time =
            TimeIndex::open(segment_path(dir, base_offset, TIME_INDEX_SUFFIX), state.time_index_entries, fs)?;
        let max_timestamp = state.max_timestamp.or(time.last());
        Ok(Arc::new(Segment {
            base_offset,
            file: FileSlot::new(file, base_offset, open_segments),
            end: AtomicU64::new(pack(base_offset, state.end)),
            recent_ends: [const { AtomicU64::new(0) }; RECENT_ENDS],
            published: AtomicU32::new(0),
            synced_position: AtomicU32::new(0),
            finished: AtomicBool::new(false),
            durable: AtomicBool::new(false),
            indexes: RwLock::new(Indexes {
                offset: OffsetIndex::new(
                    segment_path(dir, base_offset, INDEX_SUFFIX),
                    state.offset_index_entries,
                ),
                time,
                max_timestamp,
                txn: None,
            }),
            has_aborted: AtomicBool::new(false),
            created_ms: state.created_ms,
            holds_indexes: AtomicBool::new(false),
        }))
    }

    /// A segment without a batch.
    pub(crate) fn empty(
        dir: &Path,
        base_offset: i64,
        file: File,
        now_ms: i64,
        fs: &dyn Fs,
        open_segments: Arc<OpenSegments>,
    ) -> io::Result<Arc<Segment>> {
        let state = SegmentState {
            end: SegmentEnd { next_offset: base_offset, position: 0 },
            offset_index_entries: 0,
            time_index_entries: 0,
            max_timestamp: None,
            created_ms: now_ms,
        };
        Segment::new(dir, base_offset, file, state, fs, open_segments)
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.indexes.read().offset.path().with_extension(&suffix[1..])
    }

    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// What readers may see.
    pub(crate) fn end(&self) -> SegmentEnd {
        unpack(self.base_offset, self.end.load(Ordering::Acquire))
    }

    /// Lets readers see everything before `end`. The bytes and index entries are complete.
    pub(crate) fn publish(&self, end: SegmentEnd) {
        let published = self.published.fetch_add(1, Ordering::Relaxed) as usize;
        let batch_start = self.end.load(Ordering::Relaxed);
        self.recent_ends[published % RECENT_ENDS].store(batch_start, Ordering::Relaxed);
        self.end.store(pack(self.base_offset, end), Ordering::Release);
    }

    /// Says where the segment ends while it is being opened.
    pub(crate) fn set_end(&self, end: SegmentEnd) {
        self.end.store(pack(self.base_offset, end), Ordering::Release);
    }

    /// Position of the batch that starts with `offset`, if it is one of the last that were appended. The caller
    /// has seen an end beyond `offset`, so the batch is published.
    pub(crate) fn recent_start(&self, offset: i64) -> Option<u32> {
        let relative = u32::try_from(offset - self.base_offset).ok()?;
        // A word is an offset and the position that belongs to it, whenever it was stored; one of 0 is the
        // segment's start.
        let found = self.recent_ends.iter().map(|word| word.load(Ordering::Relaxed));
        found.into_iter().find(|word| (word >> 32) as u32 == relative).map(|word| word as u32)
    }

    /// Whether `offset` can be written relative to the base offset, as Kafka's indexes need it.
    pub(crate) fn can_hold(&self, offset: i64) -> bool {
        offset.checked_sub(self.base_offset).is_some_and(|relative| i32::try_from(relative).is_ok())
    }

    /// An index has no room for another entry; the time index keeps one for the roll.
    pub(crate) fn index_is_full(&self, max_index_bytes: u32) -> bool {
        let indexes = self.indexes.read();
        indexes.offset.entries() >= max_index_bytes as usize / OFFSET_INDEX_ENTRY_BYTES
            || indexes.time.entries() + 1 >= max_index_bytes as usize / TIME_INDEX_ENTRY_BYTES
    }

    /// Notes a batch that was written at `position`, and adds index entries for it when `add_entry`.
    pub(crate) fn index_batch(
        &self,
        last_offset: i64,
        max_timestamp_ms: i64,
        position: u32,
        add_entry: bool,
        fs: &dyn Fs,
    ) -> io::Result<()> {
        let relative_offset = (last_offset - self.base_offset) as u32;
        let mut indexes = self.indexes.write();
        let indexes = &mut *indexes;
        if max_timestamp_ms > indexes.max_timestamp.map_or(NO_TIMESTAMP, |max| max.timestamp_ms) {
            indexes.max_timestamp = Some(TimestampEntry { timestamp_ms: max_timestamp_ms, relative_offset });
        }
        if add_entry {
            indexes.offset.append(relative_offset, position);
            if let Some(max) = indexes.max_timestamp {
                indexes.time.maybe_append(max);
            }
            let holds = self.holds_indexes.load(Ordering::Relaxed);
            if indexes.offset.tail_entries() >= SPILL_ENTRIES && !holds {
                match indexes.offset.spill(fs).and_then(|()| indexes.time.spill(fs)) {
                    // They stay in memory, and the next batch tries again.
                    Err(error) if is_full(&error) => {}
                    spilled => spilled?,
                }
            }
        }
        Ok(())
    }

    /// Notes a transaction whose marker, which is not published yet, is an abort.
    pub(crate) fn index_aborted(&self, aborted: AbortedTransaction, fs: &dyn Fs) -> io::Result<()> {
        let mut indexes = self.indexes.write();
        let Indexes { offset, txn, .. } = &mut *indexes;
        let txn = txn.get_or_insert_with(|| Box::new(TxnIndex::new(txn_path(offset), 0)));
        txn.append(aborted);
        self.has_aborted.store(true, Ordering::Release);
        if txn.tail_entries() >= SPILL_ENTRIES {
            match txn.spill(fs) {
                // As above.
                Err(error) if is_full(&error) => {}
                spilled => spilled?,
            }
        }
        Ok(())
    }

    /// Whether a transaction was aborted whose marker is in this segment.
    pub(crate) fn has_aborted(&self) -> bool {
        self.has_aborted.load(Ordering::Acquire)
    }

    /// Adds to `found` the aborted transactions of this segment that reach into the range; tells whether those of later
    /// segments are out of it.
    pub(crate) fn aborted_transactions(
        self: &Arc<Segment>,
        from_offset: i64,
        upper_bound_offset: i64,
        found: &mut Vec<AbortedTransaction>,
        fs: &dyn Fs,
    ) -> io::Result<bool> {
        if !self.has_aborted() {
            return Ok(false);
        }
        self.file(fs)?;
        match &self.indexes.read().txn {
            Some(txn) => txn.overlapping(from_offset, upper_bound_offset, found, fs),
            None => Ok(false),
        }
    }

    /// While the log is opened: the file of aborted transactions has so many entries.
    pub(crate) fn open_aborted(&self, entries: usize) {
        let mut indexes = self.indexes.write();
        indexes.txn = (entries > 0).then(|| Box::new(TxnIndex::new(txn_path(&indexes.offset), entries)));
        self.has_aborted.store(entries > 0, Ordering::Release);
    }

    /// While the log is opened: the index of aborted transactions has the entries of `aborted`, durably but for its name,
    /// and no other; without any there is no file.
    pub(crate) fn replace_aborted(&self, aborted: &[AbortedTransaction], fs: &dyn Fs) -> io::Result<()> {
        let path = self.path(TXN_INDEX_SUFFIX);
        if aborted.is_empty() {
            self.open_aborted(0);
            return match fs.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        write_entries(&path, aborted, fs)?;
        self.open_aborted(aborted.len());
        Ok(())
    }

    /// Largest timestamp, and the last offset of the first batch that has it.
    pub(crate) fn max_timestamp(&self) -> Option<(i64, i64)> {
        let max = self.indexes.read().max_timestamp?;
        Some((max.timestamp_ms, self.base_offset + i64::from(max.relative_offset)))
    }

    /// When the newest record was written: its timestamp or, without one, when the file was.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        self.max_timestamp().map(|(newest_ms, _)| newest_ms).or_else(|| self.modified_ms())
    }

    /// When the file was last written to, in milliseconds; `None` where that can't be told.
    pub(crate) fn modified_ms(&self) -> Option<i64> {
        let since = self.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// While the log is opened: removes the indexes of a segment that is trusted if it has some, and keeps the new ones in
    /// memory until they are whole. So that a crash in between leaves none, and not a part that would be trusted.
    pub(crate) fn hold_indexes(&self, fs: &dyn Fs) -> io::Result<()> {
        let indexes = self.indexes.read();
        for path in [indexes.time.path(), indexes.offset.path()] {
            match fs.remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.holds_indexes.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Largest timestamp of the first batch, which decides when the segment is rolled by time; `None` when
    /// there is no batch.
    pub(crate) fn first_batch_timestamp(self: &Arc<Segment>, fs: &dyn Fs) -> io::Result<Option<i64>> {
        let end = self.end();
        if end.position == 0 {
            return Ok(None);
        }
        let file = self.file(fs)?;
        let mut headers = Headers::new(&file, end.position);
        Ok(headers.at(0)?.map(|header| header.max_timestamp))
    }

    /// Writes the closing time index entry and the indexes, and cuts the file to its batches. No append and no
    /// map may touch the segment any more.
    pub(crate) fn finish(self: &Arc<Segment>, fs: &dyn Fs) -> io::Result<()> {
        if self.finished.load(Ordering::Acquire) {
            return Ok(());
        }
        {
            let mut indexes = self.indexes.write();
            let indexes = &mut *indexes;
            if let Some(max) = indexes.max_timestamp {
                indexes.time.maybe_append(max);
            }
            indexes.offset.seal(fs)?;
            if self.holds_indexes.load(Ordering::Relaxed) {
                indexes.offset.sync(fs)?;
                indexes.time.replace(fs)?;
            } else {
                indexes.time.seal(fs)?;
            }
            if let Some(txn) = &mut indexes.txn {
                txn.seal(fs)?;
            }
        }
        let len = u64::from(self.end().position);
        let file = self.file(fs)?;
        if file.file().metadata()?.len() != len {
            fs.set_len(file.file(), len)?;
        }
        self.finished.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Makes the batches before `position` durable; they are published. Cheap when they are already.
    pub(crate) fn sync_data(self: &Arc<Segment>, position: u32, fs: &dyn Fs) -> io::Result<()> {
        if self.synced_position.load(Ordering::Acquire) < position {
            fs.sync_data(self.file(fs)?.file())?;
            self.synced_position.fetch_max(position, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Makes the files of a finished segment durable, with its length and its indexes. Their names are the caller's to
    /// sync, before it marks the segment.
    pub(crate) fn sync_finished(self: &Arc<Segment>, fs: &dyn Fs) -> io::Result<()> {
        debug_assert!(self.is_finished());
        fs.sync_all(self.file(fs)?.file())?;
        {
            let indexes = self.indexes.read();
            indexes.offset.sync(fs)?;
            indexes.time.sync(fs)?;
            indexes.txn.as_ref().map_or(Ok(()), |txn| txn.sync(fs))?;
        }
        self.indexes.write().close();
        Ok(())
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Acquire)
    }

    /// The segment is on disk as it is: found so at a clean start, or just synced.
    pub(crate) fn mark_durable(self: &Arc<Segment>) {
        self.synced_position.fetch_max(self.end().position, Ordering::AcqRel);
        self.finished.store(true, Ordering::Release);
        self.durable.store(true, Ordering::Release);
        self.let_close();
    }

    /// The batches up to the published end are on disk, though the segment may grow.
    pub(crate) fn mark_synced(&self) {
        self.synced_position.fetch_max(self.end().position, Ordering::AcqRel);
    }

    /// The batch that holds `offset`, or the first one after it, before `limit` (a position at the end of a
    /// published batch). `None` when there is none.
    pub(crate) fn locate(
        self: &Arc<Segment>,
        offset: i64,
        limit: u32,
        fs: &dyn Fs,
    ) -> io::Result<Option<LocatedBatch>> {
        let file = self.file(fs)?;
        let from = if offset <= self.base_offset { 0 } else { self.index_position(offset, fs)? };
        let mut headers = Headers::new(&file, limit);
        let mut position = from;
        while let Some(header) = headers.at(position)? {
            let found = LocatedBatch { position, header };
            if header.last_offset() >= offset {
                return Ok(Some(found));
            }
            position = found.end_position();
        }
        Ok(None)
    }

    /// Whether the last entries of the indexes point into the segment, and the last one of the offset index to a
    /// batch.
    pub(crate) fn indexes_agree(self: &Arc<Segment>, fs: &dyn Fs) -> io::Result<bool> {
        let end = self.end();
        let file = self.file(fs)?;
        let indexes = self.indexes.read();
        let reach = u64::from(i32::MAX as u32);
        if indexes.time.last().is_some_and(|last| u64::from(last.relative_offset) > reach) {
            return Ok(false);
        }
        let Some(last) = indexes.offset.last(fs)? else { return Ok(true) };
        if last.position >= end.position {
            return Ok(false);
        }
        match Headers::new(&file, end.position).at(last.position) {
            // Kafka indexes the last of several batches that were appended at once, with the place of the first.
            Ok(Some(header)) => {
                Ok(header.last_offset() <= self.base_offset + i64::from(last.relative_offset))
            }
            Ok(None) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The last batch, found from the last index entry on.
    ///
    /// # Errors
    /// `InvalidData` when the batches don't end with the published bytes.
    pub(crate) fn last_batch(self: &Arc<Segment>, fs: &dyn Fs) -> io::Result<Option<BatchHeader>> {
        let file = self.file(fs)?;
        let mut position = self.indexes.read().offset.last(fs)?.map_or(0, |entry| entry.position);
        let mut headers = Headers::new(&file, self.end().position);
        let mut last = None;
        while let Some(header) = headers.at(position)? {
            position += header.size_in_bytes() as u32;
            last = Some(header);
        }
        Ok(last)
    }

    /// The bytes of a batch.
    pub(crate) fn read_batch(
        self: &Arc<Segment>,
        located: &LocatedBatch,
        fs: &dyn Fs,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; located.header.size_in_bytes()];
        self.file(fs)?.read_exact_at(&mut bytes, u64::from(located.position))?;
        Ok(bytes)
    }

    /// The position from which a search for `offset` starts.
    fn index_position(&self, offset: i64, fs: &dyn Fs) -> io::Result<u32> {
        let relative = u32::try_from(offset - self.base_offset).unwrap_or(u32::MAX);
        Ok(self.indexes.read().offset.lookup(relative, fs)?.map_or(0, |entry| entry.position))
    }

    /// An offset that is not below those of the batches that begin before `position`; `None` when the index has no entry
    /// from there on.
    pub(crate) fn offset_bound(self: &Arc<Segment>, position: u32, fs: &dyn Fs) -> io::Result<Option<i64>> {
        self.file(fs)?;
        let entry = self.indexes.read().offset.first_from_position(position, fs)?;
        Ok(entry.map(|entry| self.base_offset + i64::from(entry.relative_offset)))
    }

    /// Position at which a search for the first record at or after `timestamp_ms` and `offset` starts.
    pub(crate) fn time_position(
        self: &Arc<Segment>,
        timestamp_ms: i64,
        offset: i64,
        fs: &dyn Fs,
    ) -> io::Result<u32> {
        self.file(fs)?;
        let indexes = self.indexes.read();
        let at_time = indexes.time.lookup(timestamp_ms, fs)?.map_or(0, |entry| entry.relative_offset);
        let at_offset = u32::try_from((offset - self.base_offset).max(0)).unwrap_or(u32::MAX);
        Ok(indexes.offset.lookup(at_time.max(at_offset), fs)?.map_or(0, |entry| entry.position))
    }
}

/// The disk, a quota or the table of open files is full: that heals, and nothing that was written before is in
/// doubt.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || is_out_of_files(error)
}

/// The table of open files is full: a file or directory couldn't be opened, so nothing was tried on it.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn txn_path(offset_index: &OffsetIndex) -> PathBuf {
    offset_index.path().with_extension(&TXN_INDEX_SUFFIX[1..])
}

fn pack(base_offset: i64, end: SegmentEnd) -> u64 {
    // Offsets in a segment lie within i32::MAX of its base, so the next one fits; a gap left by compaction
    // before the next segment may not, and then only says that everything lies before.
    let relative = u32::try_from(end.next_offset - base_offset).unwrap_or(u32::MAX);
    u64::from(relative) << 32 | u64::from(end.position)
}

fn unpack(base_offset: i64, packed: u64) -> SegmentEnd {
    SegmentEnd { next_offset: base_offset + (packed >> 32) as i64, position: packed as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_survives_packing() {
        for end in [
            SegmentEnd { next_offset: 1000, position: 0 },
            SegmentEnd { next_offset: 1000 + i64::from(i32::MAX) + 1, position: i32::MAX as u32 },
        ] {
            assert_eq!(unpack(1000, pack(1000, end)), end);
        }
    }
}
