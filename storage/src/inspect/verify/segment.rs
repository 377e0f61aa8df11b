//! One segment with its indexes, batch by batch.

use super::finding::{AtNextStart, Condition, Finding, Found, Place};
use super::offset_index::OffsetIndexCheck;
use super::partition::{Context, LogState};
use super::time_index::TimeIndexCheck;
use super::txn_index::{Marker, TxnIndexCheck};
use super::{Observer, SETTLE, Totals};
use crate::batch::{BatchHeader, ControlMarker};
use crate::fs::{INDEX_SUFFIX, LOG_SUFFIX, ReadOnlyFs, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, segment_path};
use crate::inspect::entries::Entries;
use crate::inspect::records::check_records;
use crate::inspect::walk::{Step, Stop, Walk};
use crate::log::trusted_segment;
use crate::segment::OpenSegments;
use crate::txn_index::entries_of_file;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Progress is told each time so much was gone through.
const PROGRESS_BYTES: u64 = 4 << 20;
/// So many batches of a segment get a second look.
const MAX_SETTLES: usize = 10;

/// Where a segment stands in its log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) dir: &'a Path,
    pub(super) base_offset: i64,
    /// Base offset of the one behind it; the last has none.
    pub(super) next_base: Option<i64>,
    pub(super) context: &'a Context,
}

impl Segment<'_> {
    fn path(&self, suffix: &str) -> PathBuf {
        segment_path(self.dir, self.base_offset, suffix)
    }

    /// The recovery point says that all of its files were on disk.
    fn was_finished(&self) -> bool {
        self.next_base.is_some_and(|next| next <= self.context.recovery_point.unwrap_or(0))
    }

    /// Nothing is written to it any more, so its files have to agree. One that the recovery point doesn't cover yet may
    /// wait for its indexes.
    fn is_closed(&self) -> bool {
        let covered = self.context.recovery_point.is_none() || self.was_finished();
        self.context.clean || (self.next_base.is_some() && covered)
    }
}

/// Goes through a segment. What is found goes to `observer`, unless the broker has replaced the segment meanwhile.
pub(super) fn verify(
    segment: Segment<'_>,
    log: &mut LogState,
    totals: &mut Totals,
    observer: &mut dyn Observer,
) {
    let mut found = Found::default();
    let path = segment.path(LOG_SUFFIX);
    let checked = Check::open(segment, log, totals, &mut found).and_then(|(check, file)| {
        check.walk(observer)?;
        Ok(file)
    });
    let replaced = match checked {
        Ok(file) => found.any_damage() && was_replaced(&path, &file),
        Err(error) => {
            log.discontinued();
            let gone = error.kind() == io::ErrorKind::NotFound;
            found.add(&path, Place::Whole, Condition::Unreadable(error), AtNextStart::Refused);
            gone
        }
    };
    if replaced {
        found = Found::default();
        found.add(&path, Place::Whole, Condition::Replaced, AtNextStart::Nothing);
        log.discontinued();
    }
    let fate = Fate::of(segment, &found, log.end());
    for mut finding in found.into_findings() {
        finding.at_next_start = fate.of_finding(&finding, log);
        observer.found(finding);
    }
}

/// Compaction or retention has put another file, or none, in the place of the one that was read.
fn was_replaced(path: &Path, file: &File) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (Ok(now), Ok(read)) = (std::fs::metadata(path), file.metadata()) else { return true };
    identity(now) != identity(read)
}

/// A segment on its way through.
struct Check<'a> {
    segment: Segment<'a>,
    path: PathBuf,
    walk: Walk,
    log: &'a mut LogState,
    totals: &'a mut Totals,
    found: &'a mut Found,
    indexes: Indexes,
}

/// Second looks at what may just be written.
#[derive(Debug, Default)]
struct Settling {
    /// Where the last of them was.
    at: Option<u64>,
    looks: usize,
    /// One of them found a batch where there was none before.
    grows: bool,
}

/// What a step has come to.
enum Next {
    Batch,
    /// Perhaps a batch that is just being written.
    Unsettled,
    Stopped(Stop),
    End,
}

/// The indexes of a segment; those that are missing aren't followed.
struct Indexes {
    offset: Option<OffsetIndexCheck>,
    time: Option<TimeIndexCheck>,
    txn: TxnIndexCheck,
}

impl Indexes {
    fn open(segment: Segment<'_>, found: &mut Found) -> Indexes {
        let (base_offset, growing) = (segment.base_offset, !segment.is_closed());
        let offset = segment.path(INDEX_SUFFIX);
        let time = segment.path(TIME_INDEX_SUFFIX);
        let txn = segment.path(TXN_INDEX_SUFFIX);
        let txn_entries = entries_of(&txn, found);
        Indexes {
            offset: entries_of(&offset, found)
                .map(|entries| OffsetIndexCheck::new(offset, entries, base_offset, growing)),
            time: entries_of(&time, found)
                .map(|entries| TimeIndexCheck::new(time, entries, base_offset, growing)),
            txn: TxnIndexCheck::new(txn, txn_entries, base_offset, growing),
        }
    }

    /// A batch of which the header can't be trusted.
    fn damaged_batch(&mut self, position: u64, found: &mut Found) -> io::Result<()> {
        self.offset.as_mut().map_or(Ok(()), |index| index.batch(position, None, found))?;
        self.time.iter_mut().for_each(TimeIndexCheck::damaged_batch);
        self.txn.damaged_batch();
        Ok(())
    }

    fn batch(&mut self, position: u64, header: &BatchHeader, found: &mut Found) -> io::Result<()> {
        self.offset
            .as_mut()
            .map_or(Ok(()), |index| index.batch(position, Some(header.last_offset()), found))?;
        self.time.as_mut().map_or(Ok(()), |index| index.batch(header, found))
    }

    fn end(self, complete: bool, found: &mut Found) -> io::Result<()> {
        self.offset.map_or(Ok(()), |index| index.end(complete, found))?;
        self.time.map_or(Ok(()), |index| index.end(complete, found))?;
        self.txn.end(complete, found)
    }
}

/// The entries of an index; `None` when there is no file, or none that can be read.
fn entries_of<const N: usize>(path: &Path, found: &mut Found) -> Option<Entries<N>> {
    match File::open(path).and_then(Entries::new) {
        Ok(entries) => Some(entries),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                found.add(path, Place::Whole, Condition::Unreadable(error), AtNextStart::Refused);
            }
            None
        }
    }
}

impl<'a> Check<'a> {
    fn open(
        segment: Segment<'a>,
        log: &'a mut LogState,
        totals: &'a mut Totals,
        found: &'a mut Found,
    ) -> io::Result<(Check<'a>, File)> {
        // First the indexes: what they say by now is in the segment already.
        let indexes = Indexes::open(segment, found);
        let path = segment.path(LOG_SUFFIX);
        let file = File::open(&path)?;
        let walk = Walk::new(file.try_clone()?)?;
        let missing = [(indexes.offset.is_none(), INDEX_SUFFIX), (indexes.time.is_none(), TIME_INDEX_SUFFIX)];
        if segment.is_closed() && walk.len() > 0 {
            for (_, suffix) in missing.into_iter().filter(|(missing, _)| *missing) {
                let path = segment.path(suffix);
                found.add(&path, Place::Whole, Condition::IndexMissing, AtNextStart::Rebuilt);
            }
        }
        if i32::try_from(walk.len()).is_err() {
            let condition = Condition::SegmentTooLarge(walk.len());
            found.add(&path, Place::Whole, condition, AtNextStart::Refused);
        }
        Ok((Check { segment, path, walk, log, totals, found, indexes }, file))
    }

    fn walk(mut self, observer: &mut dyn Observer) -> io::Result<()> {
        let before = self.totals.bytes;
        let mut told = 0;
        let mut settling = Settling::default();
        self.totals.gaps += u64::from(self.log.begin_segment(self.segment.base_offset));
        let can_grow = self.segment.next_base.is_none() && !self.segment.context.clean;
        let complete = loop {
            let position = self.walk.position();
            self.totals.bytes = before + position;
            if position >= told + PROGRESS_BYTES {
                told = position;
                observer.progress(self.totals);
            }
            let findings = self.found.findings.len();
            let is_second_look = settling.at == Some(position);
            match self.step(can_grow && !is_second_look && settling.looks < MAX_SETTLES)? {
                Next::Batch => {
                    settling.grows |= is_second_look && self.found.findings.len() == findings;
                }
                // What was there when it was looked at first has been gone through.
                Next::Unsettled if settling.grows => break true,
                Next::Unsettled => {
                    std::thread::sleep(SETTLE);
                    settling.looks += 1;
                    settling.at = Some(position);
                    self.walk.again_from(position)?;
                }
                Next::Stopped(stop) => break self.stopped(stop),
                Next::End => break true,
            }
        };
        let Check { segment, path, log, totals, found, indexes, .. } = self;
        totals.segments += 1;
        indexes.end(complete, found)?;
        if let (Some(next_base), Some(end)) = (segment.next_base, log.end())
            && end > next_base
        {
            let condition = Condition::SegmentsOverlap { end, next_base };
            found.add(&path, Place::Offset(next_base), condition, AtNextStart::Cut);
        }
        Ok(())
    }

    /// Looks at the next batch. Damage is told of at once unless it `may_settle`.
    fn step(&mut self, may_settle: bool) -> io::Result<Next> {
        let batch = match self.walk.next()? {
            Step::Batch(batch) => batch,
            Step::Stopped(stop) => {
                let settles = may_settle && !matches!(stop, Stop::Zeros { .. });
                return Ok(if settles { Next::Unsettled } else { Next::Stopped(stop) });
            }
            Step::End => return Ok(Next::End),
        };
        if may_settle && !batch.crc_matches() {
            return Ok(Next::Unsettled);
        }
        let (position, header) = (batch.position, batch.header);
        let path = &self.path;
        let found = &mut *self.found;
        let mut add =
            |condition| found.add(path, Place::Position(position), condition, AtNextStart::NotNoticed);
        self.totals.batches += 1;
        let expected = self.log.expected();
        if let Some(expected) = expected.filter(|expected| header.base_offset < *expected) {
            add(Condition::OffsetFell { expected, found: header.base_offset });
        }
        if !batch.crc_matches() {
            let (stored, computed) = (header.crc, batch.computed_crc);
            add(Condition::BatchCrcMismatch { stored, computed });
            self.log.damaged_batch();
            return self.indexes.damaged_batch(position, found).map(|()| Next::Batch);
        }
        let relative = header.last_offset().checked_sub(self.segment.base_offset);
        if header.base_offset < 0
            || header.last_offset_delta < 0
            || header.next_offset() <= header.base_offset
            || relative.is_none_or(|relative| i32::try_from(relative).is_err())
        {
            let (base_offset, last_offset_delta) = (header.base_offset, header.last_offset_delta);
            add(Condition::OffsetRange { base_offset, last_offset_delta });
            self.log.damaged_batch();
            return self.indexes.damaged_batch(position, found).map(|()| Next::Batch);
        }
        self.totals.gaps += u64::from(expected.is_some_and(|expected| header.base_offset > expected));
        let last = self.log.last_epoch;
        if header.partition_leader_epoch < last {
            add(Condition::LeaderEpochFell { last, found: header.partition_leader_epoch });
        }
        match check_records(&header, batch.bytes) {
            Ok(records) => self.totals.records += records,
            Err(fault) => add(Condition::Records(fault)),
        }
        let marker = match batch.bytes {
            Some(bytes) if header.is_control() => ControlMarker::of_batch(bytes),
            _ => None,
        };
        self.indexes.batch(position, &header, found)?;
        self.log.batch(&header, self.segment.context, found);
        if let Some((first_offset, first_open)) = self.log.transaction(&header, marker) {
            let marker = Marker {
                producer_id: header.producer_id,
                offset: header.base_offset,
                aborts: marker.is_some_and(|marker| !marker.is_commit),
                first_offset,
                first_open,
            };
            self.indexes.txn.marker(marker, found)?;
        }
        Ok(Next::Batch)
    }

    /// There is no batch, but the file goes on. Gives whether the segment may well end here.
    fn stopped(&mut self, stop: Stop) -> bool {
        let place = Place::Position(self.walk.position());
        match stop {
            Stop::Zeros { bytes } => {
                // A segment that was just rolled may still have to be cut to its batches.
                let ends_here = self.segment.next_base.is_none_or(|next| self.log.end() == Some(next));
                let condition = match !self.segment.is_closed() && ends_here {
                    true => Condition::ReservedSpace { bytes },
                    false => Condition::ZerosInClosedSegment { bytes },
                };
                self.found.add(&self.path, place, condition, AtNextStart::Cut);
                true
            }
            stop => {
                self.found.add(&self.path, place, Condition::NoBatch(stop), AtNextStart::Cut);
                self.log.damaged_batch();
                false
            }
        }
    }
}

/// What the next start makes of a segment.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// Its files are taken as they are.
    trusted: bool,
    /// It is never cut.
    finished: bool,
    /// So is its index of aborted transactions.
    txn_index_trusted: bool,
    /// What is behind its last batch is no damage, as the next segment goes on where that ends.
    ends_at_next: bool,
}

impl Fate {
    fn of(segment: Segment<'_>, found: &Found, log_end: Option<i64>) -> Fate {
        let finished = segment.was_finished();
        let ends_at_next = segment.next_base.is_some() && segment.next_base == log_end;
        let mut fate = Fate { trusted: false, finished, txn_index_trusted: false, ends_at_next };
        if !found.any_damage() {
            return fate;
        }
        if segment.context.clean || finished {
            let trusted = File::open(segment.path(LOG_SUFFIX)).and_then(|file| {
                let (dir, base, next) = (segment.dir, segment.base_offset, segment.next_base);
                let open_segments = Arc::new(OpenSegments::new(1));
                trusted_segment(dir, base, next, file, 0, &ReadOnlyFs, &open_segments)
            });
            let trusted = trusted.ok().flatten();
            fate.trusted = trusted.is_some();
            if fate.trusted || finished {
                let end = trusted.map_or(segment.next_base, |segment| Some(segment.end().next_offset));
                let path = segment.path(TXN_INDEX_SUFFIX);
                let entries = entries_of_file(&path, segment.base_offset, end.unwrap_or(i64::MAX));
                fate.txn_index_trusted = entries.is_ok_and(|entries| entries.is_some());
            }
        }
        fate
    }

    /// What comes of one finding, with what came of those before it in the log.
    fn of_finding(self, finding: &Finding, log: &mut LogState) -> AtNextStart {
        let trusted = |is_trusted| if is_trusted { AtNextStart::NotNoticed } else { AtNextStart::Rebuilt };
        match &finding.condition {
            condition if log.is_cut && !condition.is_note() => AtNextStart::GoesWithCut,
            Condition::ReservedSpace { .. } => AtNextStart::Cut,
            Condition::ZerosInClosedSegment { .. } if self.ends_at_next => AtNextStart::Cut,
            Condition::ZerosInClosedSegment { .. }
            | Condition::NoBatch(_)
            | Condition::BatchCrcMismatch { .. }
            | Condition::OffsetFell { .. }
            | Condition::OffsetRange { .. }
            | Condition::LeaderEpochFell { .. }
            | Condition::SegmentsOverlap { .. }
            | Condition::SegmentTooLarge(_) => self.of_batch(&finding.condition, log),
            Condition::OffsetIndexNoBatch { .. }
            | Condition::OffsetIndexWrongOffset { .. }
            | Condition::TimeIndexNoBatch { .. }
            | Condition::TimeIndexWrongTimestamp { .. }
            | Condition::TimeIndexEndsEarly { .. }
            | Condition::IndexMissing => trusted(self.trusted),
            Condition::IndexNotAscending | Condition::IndexZeros | Condition::IndexTrailingBytes(_) => {
                let is_txn_index = finding.path.to_string_lossy().ends_with(TXN_INDEX_SUFFIX);
                trusted(if is_txn_index { self.txn_index_trusted } else { self.trusted })
            }
            Condition::TxnIndexVersion
            | Condition::TxnIndexRange { .. }
            | Condition::TxnIndexNoMarker { .. }
            | Condition::TxnIndexFirstOffset { .. }
            | Condition::TxnIndexStableOffset { .. }
            | Condition::AbortedTransactionMissing { .. } => trusted(self.txn_index_trusted),
            Condition::Records(_) => AtNextStart::NotNoticed,
            _ => finding.at_next_start,
        }
    }

    fn of_batch(self, condition: &Condition, log: &mut LogState) -> AtNextStart {
        if self.trusted {
            return AtNextStart::NotNoticed;
        }
        if matches!(condition, Condition::SegmentTooLarge(_)) || self.finished {
            return AtNextStart::Refused;
        }
        log.is_cut = true;
        AtNextStart::Cut
    }
}
