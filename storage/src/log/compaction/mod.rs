//! Compaction: of each key the last record stays, the others go.
//!
//! A round goes through the log from its first segment on. It notes the last offset of each key in the part that no
//! round has seen, writes what is left of all segments up to there into new ones, and puts these in the place of the old.
//! Readers go on meanwhile: an old segment stays until the last of them is gone. By Kafka's rules (`LogCleaner`), but that
//! a round takes whole segments only, and leaves of each stretch that becomes one segment at least the last batch, empty
//! if need be, so that the segment reaches as far as those did.

mod cleanable;
mod filter;
mod new_segment;
mod offset_map;
mod swap;
mod transactions;

pub use cleanable::{Cleanable, CompactionLimits};
pub use filter::UnreadableBatch;
pub use offset_map::OffsetMap;
pub(super) use swap::recover;
pub(crate) use swap::{CLEANED_SUFFIX, SWAP_SUFFIX};

use super::{Log, Offline, SegmentList};
use crate::batch::{self, BatchRules, ControlMarker};
use crate::segment::{Batches, Segment, is_full};
use cleanable::Candidate;
use filter::{Filter, LastRecords, Left};
use new_segment::NewSegment;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use transactions::CleanedTransactions;

/// What a round keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionRules {
    /// `delete.retention.ms`: how long a tombstone stays once a round has seen it.
    pub delete_retention_ms: i64,
    /// The clock.
    pub now_ms: i64,
}

/// What a round has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The next round's first dirty offset.
    pub cleaned_until: i64,
    /// Keys in the part that no round had seen.
    pub keys: usize,
    /// Segments that were gone through, and what became of them.
    pub segments_before: usize,
    /// Segments that they are now.
    pub segments_after: usize,
    /// Bytes that were gone through.
    pub bytes_before: u64,
    /// Bytes that they are now.
    pub bytes_after: u64,
}

/// Why a round has come to no end. What it had done before stays, and does no harm.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// The caller has said so, or the log was deleted or shortened meanwhile.
    #[error("the compaction was stopped")]
    Stopped,
    /// The disk, the quota or the table of open files is full.
    #[error("no space left for a compacted segment")]
    NoSpace(#[source] io::Error),
    /// A batch can't be read; the log is left as it is.
    #[error("{} can't be compacted, at position {position}: {reason}", path.display())]
    Unreadable {
        /// The segment's file.
        path: PathBuf,
        /// Where the batch starts.
        position: u32,
        /// What is wrong with it.
        reason: UnreadableBatch,
    },
    /// A file can't be read or written.
    #[error("compacting {}", dir.display())]
    Io {
        /// The partition's directory.
        dir: PathBuf,
        /// What the file system gives.
        #[source]
        source: io::Error,
    },
    /// The log is offline, or has just gone so.
    #[error(transparent)]
    Offline(#[from] Offline),
}

/// Called with the bytes read or written since the last call; it may take its time. False stops the round.
pub type Pace<'a> = dyn FnMut(usize) -> bool + 'a;

impl Log {
    /// What a round would go through.
    pub fn cleanable(&self, limits: &CompactionLimits, now_ms: i64) -> Cleanable {
        let list = self.inner.segments.load_full();
        let (rolled, active_base_offset) = match list.segments.split_last() {
            Some((active, rolled)) => (rolled, active.base_offset()),
            None => (&[][..], list.empty_at),
        };
        let candidates: Vec<Candidate> = rolled
            .iter()
            .map(|segment| Candidate {
                base_offset: segment.base_offset(),
                size_bytes: u64::from(segment.end().position),
                first_ms: match limits.max_compaction_lag_ms {
                    i64::MAX => None,
                    // Where it can't be read the round will say so.
                    _ => segment.first_batch_timestamp(self.inner.fs()).ok().flatten(),
                },
                newest_ms: segment.newest_ms().unwrap_or(now_ms),
            })
            .collect();
        cleanable::cleanable(&candidates, active_base_offset, self.log_start_offset(), limits, now_ms)
    }

    /// Goes through what [`Log::cleanable`] gave. Blocks on the disk; one call at a time.
    ///
    /// # Errors
    /// See [`CompactionError`].
    pub fn compact(
        &self,
        cleanable: &Cleanable,
        rules: CompactionRules,
        map: &mut OffsetMap,
        pace: &mut Pace<'_>,
    ) -> Result<Compacted, CompactionError> {
        // Whatever the flush policy says: what is replaced has to be on disk, or a crash could take back some of it.
        self.sync_sealed()?;
        let list = self.inner.segments.load_full();
        let until = cleanable.first_uncleanable_offset;
        let ends = list.segments.windows(2).map(|pair| pair[1].base_offset());
        let count =
            ends.zip(&list.segments).take_while(|(end, one)| *end <= until && one.is_durable()).count();
        let (segments, after) = list.segments.split_at(count);
        let mut round = Round { log: self, pace, rules };
        let result = round.run(segments, after, cleanable.first_dirty_offset, map);
        match result {
            Err(CompactionError::Io { .. } | CompactionError::Unreadable { .. })
                if !self.has_all(segments) =>
            {
                // Their files went while they were read.
                Err(CompactionError::Stopped)
            }
            result => result,
        }
    }

    fn has_all(&self, segments: &[Arc<Segment>]) -> bool {
        self.inner.segments.load().place_of_all(segments).is_some()
    }
}

impl SegmentList {
    /// The index of the first of `segments`, if all of them are still here.
    fn place_of_all(&self, segments: &[Arc<Segment>]) -> Option<usize> {
        let at = self.segments.iter().position(|one| Arc::ptr_eq(one, &segments[0]))?;
        let here = self.segments.get(at..at + segments.len())?;
        here.iter().zip(segments).all(|(one, other)| Arc::ptr_eq(one, other)).then_some(at)
    }
}

struct Round<'a, 'b> {
    log: &'a Log,
    pace: &'a mut Pace<'b>,
    rules: CompactionRules,
}

impl Round<'_, '_> {
    fn run(
        &mut self,
        segments: &[Arc<Segment>],
        after: &[Arc<Segment>],
        first_dirty_offset: i64,
        map: &mut OffsetMap,
    ) -> Result<Compacted, CompactionError> {
        let mut done = Compacted { cleaned_until: first_dirty_offset, ..Compacted::default() };
        let Some(first) = segments.first() else { return Ok(done) };
        let mut aborted = Vec::new();
        let end_offset = segments.last().map_or(0, |last| last.end().next_offset);
        for segment in segments.iter().chain(after) {
            let fs = self.log.inner.fs();
            let all = segment.aborted_transactions(first.base_offset(), end_offset, &mut aborted, fs);
            if all.map_err(|error| self.failed(error))? {
                break;
            }
        }
        // Those that ended before would be taken for their producers' next ones.
        let still_open =
            aborted.iter().filter(|one| one.last_offset >= first_dirty_offset).copied().collect();
        self.fill(map, segments, first_dirty_offset, CleanedTransactions::new(still_open))?;
        done.cleaned_until = map.end_offset();
        done.keys = map.len();
        let last_records: LastRecords = {
            let writer = self.log.inner.writer.lock();
            writer
                .producers
                .last_records()
                .map(|(id, last_offset, epoch)| (id, (last_offset, epoch)))
                .collect()
        };
        let seen = segments.partition_point(|segment| segment.base_offset() < map.end_offset());
        let mut filter = Filter {
            map,
            transactions: CleanedTransactions::new(aborted),
            last_records,
            delete_retention_ms: self.rules.delete_retention_ms,
            now_ms: self.rules.now_ms,
        };
        let mut left = &segments[..seen];
        while !left.is_empty() {
            let (group, others) = left.split_at(self.group_size(left));
            left = others;
            done.segments_before += group.len();
            done.segments_after += 1;
            done.bytes_before += group.iter().map(|segment| u64::from(segment.end().position)).sum::<u64>();
            done.bytes_after += self.compact_group(group, &mut filter)?;
        }
        Ok(done)
    }

    /// Fills the map with the keys from `from_offset` on, as far as it has room.
    fn fill(
        &mut self,
        map: &mut OffsetMap,
        segments: &[Arc<Segment>],
        from_offset: i64,
        mut transactions: CleanedTransactions,
    ) -> Result<(), CompactionError> {
        map.set_end_offset(from_offset);
        let dirty = segments.partition_point(|segment| segment.end().next_offset <= from_offset);
        for segment in &segments[dirty..] {
            let end = segment.end();
            let file = segment.file(self.log.inner.fs()).map_err(|error| self.failed(error))?;
            let mut batches = Batches::new(&file, end.position);
            while let Some((position, header, bytes)) = batches.next().map_err(|error| self.failed(error))? {
                self.pace(bytes.len())?;
                if header.last_offset() < from_offset {
                    continue;
                }
                let marker = if header.is_control() { ControlMarker::of_batch(bytes) } else { None };
                if transactions.follow(&header, marker) || header.is_control() {
                    continue;
                }
                let unreadable = |reason| self.unreadable(segment, position, reason);
                let opened = batch::open(bytes, BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES)
                    .map_err(|error| unreadable(error.into()))?;
                for record in opened.records() {
                    let record = record.map_err(|error| unreadable(error.into()))?;
                    let is_dirty = record.offset >= from_offset;
                    if let Some(key) = record.key.filter(|_| is_dirty)
                        && !map.put(key, record.offset)
                    {
                        map.set_end_offset(record.offset);
                        return Ok(());
                    }
                }
            }
            map.set_end_offset(end.next_offset.max(from_offset));
        }
        Ok(())
    }

    /// How many of the segments, from the first on, become one.
    fn group_size(&self, segments: &[Arc<Segment>]) -> usize {
        let segment_bytes = u64::from(self.log.inner.writer.lock().config.segment_bytes);
        let mut bytes = 0;
        let fits = |segment: &&Arc<Segment>| {
            bytes += u64::from(segment.end().position);
            bytes <= segment_bytes && segments[0].can_hold(segment.end().next_offset)
        };
        segments.iter().take_while(fits).count().max(1)
    }

    /// Writes what is left of the segments of a group into one, and puts it in their place. Gives its bytes.
    fn compact_group(
        &mut self,
        group: &[Arc<Segment>],
        filter: &mut Filter<'_>,
    ) -> Result<u64, CompactionError> {
        let inner = &*self.log.inner;
        let (base_offset, index_interval_bytes) =
            (group[0].base_offset(), inner.writer.lock().config.index_interval_bytes);
        let written = NewSegment::create(&inner.dir, base_offset, index_interval_bytes, &*inner.env.fs)
            .map_err(|error| self.failed(error))
            .and_then(|mut new| {
                let changed = self.write(group, filter, &mut new)?;
                new.aborted(filter.transactions.take_kept());
                match changed || group.len() > 1 {
                    true => Ok(Some(new)),
                    false => Ok(None),
                }
            });
        let result = match written {
            Ok(Some(new)) => self.replace(group, new),
            Ok(None) => Ok(u64::from(group[0].end().position)),
            Err(error) => Err(error),
        };
        swap::discard(&inner.dir, base_offset, inner.fs());
        result
    }

    /// Gives whether anything is left otherwise than it was.
    fn write(
        &mut self,
        group: &[Arc<Segment>],
        filter: &mut Filter<'_>,
        new: &mut NewSegment<'_>,
    ) -> Result<bool, CompactionError> {
        let mut changed = false;
        for (at, segment) in group.iter().enumerate() {
            let end = segment.end();
            let file = segment.file(self.log.inner.fs()).map_err(|error| self.failed(error))?;
            let mut batches = Batches::new(&file, end.position);
            while let Some((position, header, bytes)) = batches.next().map_err(|error| self.failed(error))? {
                let is_last = at + 1 == group.len() && position + bytes.len() as u32 == end.position;
                let left = filter
                    .apply(bytes, is_last)
                    .map_err(|reason| self.unreadable(segment, position, reason))?;
                let written = match &left {
                    Left::Nothing => Ok(0),
                    Left::All => new.push(&header, bytes),
                    Left::Changed(changed) => new.push(&header, changed),
                };
                changed |= left != Left::All;
                let written = written.map_err(|error| self.failed(error))?;
                self.pace(bytes.len() + written)?;
            }
        }
        Ok(changed)
    }

    /// Puts a segment in the place of those it was made of.
    fn replace(&mut self, group: &[Arc<Segment>], new: NewSegment<'_>) -> Result<u64, CompactionError> {
        let inner = &*self.log.inner;
        let fs = inner.fs();
        // As old as what it was made of, for those who go by the time of a file.
        let modified = group.iter().filter_map(|old| old.modified().ok()).max();
        let new = new.finish(modified).map_err(|error| self.failed(error))?;
        let _extent = inner.extent_lock.lock();
        inner.check_online()?;
        // Those who shorten the log hold that lock too.
        if inner.gone.load(Ordering::Acquire) || !self.log.has_all(group) {
            return Err(CompactionError::Stopped);
        }
        for old in group {
            old.keep_open(fs).map_err(|error| self.failed(error))?;
        }
        let base_offset = group[0].base_offset();
        let swapped = || -> io::Result<u64> {
            swap::commit(&inner.dir, base_offset, fs)?;
            for old in &group[1..] {
                inner.delete_segment(Arc::clone(old))?;
            }
            swap::complete(&inner.dir, base_offset, fs)?;
            let segment = new.open(Arc::clone(&inner.env.open_segments))?;
            let bytes = u64::from(segment.end().position);
            let _writer = inner.writer.lock();
            let list = inner.segments.load();
            let at = list.place_of_all(group).expect("nobody else takes segments away meanwhile");
            let mut segments = list.segments.clone();
            segments.splice(at..at + group.len(), [segment]);
            inner.segments.store(Arc::new(SegmentList { segments, empty_at: list.empty_at }));
            Ok(bytes)
        };
        let bytes = swapped().map_err(|error| inner.fail("replacing segments by a compacted one", &error))?;
        inner.unlink_at_once();
        Ok(bytes)
    }

    fn pace(&mut self, bytes: usize) -> Result<(), CompactionError> {
        let goes_on = (self.pace)(bytes) && !self.log.inner.gone.load(Ordering::Acquire);
        if goes_on { Ok(()) } else { Err(CompactionError::Stopped) }
    }

    fn failed(&self, source: io::Error) -> CompactionError {
        if is_full(&source) {
            CompactionError::NoSpace(source)
        } else {
            CompactionError::Io { dir: self.log.inner.dir.clone(), source }
        }
    }

    fn unreadable(&self, segment: &Segment, position: u32, reason: UnreadableBatch) -> CompactionError {
        let path = crate::fs::segment_path(&self.log.inner.dir, segment.base_offset(), crate::fs::LOG_SUFFIX);
        CompactionError::Unreadable { path, position, reason }
    }
}
