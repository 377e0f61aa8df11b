//! The directory of a partition: its segments one after the other, and what lies beside them.

use super::finding::{AtNextStart, Condition, Finding, Found, Place};
use super::segment::{self, Segment};
use super::{Observer, SETTLE, Totals};
use crate::batch::{BatchHeader, ControlMarker, NO_LEADER_EPOCH};
use crate::fs::DELETED_SUFFIX;
use crate::inspect::FileKind;
use crate::leader_epochs::{LEADER_EPOCH_CHECKPOINT, LeaderEpochs};
use crate::log::{CLEANED_SUFFIX, NEXT_SEGMENT_NAME, SWAP_SUFFIX};
use crate::log_dir::{PARTITION_METADATA, parse_partition_name, read_partition_metadata};
use crate::producer_state::{SnapshotError, snapshot_entries};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

/// What the log directory says of a partition. Without one nothing is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    /// The last stop was a clean one.
    pub(super) clean: bool,
    /// From `recovery-point-offset-checkpoint`, or 0.
    pub(super) recovery_point: Option<i64>,
    /// The same, when the log is named there: where it ended if it was closed.
    pub(super) closed_at: Option<i64>,
    /// From `log-start-offset-checkpoint`.
    pub(super) log_start_offset: Option<i64>,
    /// From `replication-offset-checkpoint`.
    pub(super) high_watermark: Option<i64>,
}

/// Whether the directory is one of a partition: it has the name, or files of a log.
pub(super) fn is_partition(path: &Path) -> io::Result<bool> {
    let mut has_files = false;
    for entry in std::fs::read_dir(path)? {
        has_files |= FileKind::of(&entry?.path()).is_some();
    }
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(has_files || name.is_some_and(|name| parse_partition_name(name).is_some()))
}

/// What the batches of a log have said so far.
#[derive(Debug)]
pub(super) struct LogState {
    /// The offset after the last batch; `None` where that isn't known.
    next_offset: Option<i64>,
    /// The end as far as it could be read.
    log_end: Option<i64>,
    pub(super) last_epoch: i32,
    /// `None` when the checkpoint can't be used.
    epochs: Option<LeaderEpochs>,
    epochs_path: PathBuf,
    /// Batch by batch one entry of the checkpoint would be told again and again.
    last_difference: Option<(i32, Option<i32>)>,
    /// Producers with a transaction open, and its first offset.
    open: HashMap<i64, i64>,
    /// A finding has the log cut at the next start.
    pub(super) is_cut: bool,
}

impl LogState {
    fn new(dir: &Path) -> LogState {
        LogState {
            next_offset: None,
            log_end: None,
            last_epoch: NO_LEADER_EPOCH,
            epochs: None,
            epochs_path: dir.join(LEADER_EPOCH_CHECKPOINT),
            last_difference: None,
            open: HashMap::new(),
            is_cut: false,
        }
    }

    /// Nothing is known of what lies between the last batch and the next one.
    pub(super) fn discontinued(&mut self) {
        self.next_offset = None;
        self.log_end = None;
        self.open.clear();
    }

    /// There is a batch, and nothing is known of it.
    pub(super) fn damaged_batch(&mut self) {
        self.discontinued();
    }

    /// The next batch is one of the segment with this base offset. Gives whether offsets are missing before it.
    pub(super) fn begin_segment(&mut self, base_offset: i64) -> bool {
        let gap = self.next_offset.is_some_and(|next| next < base_offset);
        // A segment that reaches into this one has been told of. Offsets between the two are a gap.
        self.next_offset = Some(self.next_offset.map_or(base_offset, |next| next.max(base_offset)));
        self.log_end = Some(self.log_end.unwrap_or(base_offset).max(base_offset));
        gap
    }

    /// The least offset that the next batch may begin with.
    pub(super) fn expected(&self) -> Option<i64> {
        self.next_offset
    }

    /// Where the log ends so far, where that is known.
    pub(super) fn end(&self) -> Option<i64> {
        self.log_end
    }

    /// A batch whose header can be trusted, but for what lies outside its checksum.
    pub(super) fn batch(&mut self, header: &BatchHeader, context: &Context, found: &mut Found) {
        self.next_offset = Some(header.next_offset());
        self.log_end = Some(header.next_offset());
        self.last_epoch = self.last_epoch.max(header.partition_leader_epoch);
        self.hold_against_epochs(header, context, found);
    }

    fn hold_against_epochs(&mut self, header: &BatchHeader, context: &Context, found: &mut Found) {
        let Some(epochs) = &self.epochs else { return };
        let batch = header.partition_leader_epoch;
        // Without a mark of a clean shutdown the file may lag behind the log at both of its ends.
        let is_before = epochs.earliest().is_some_and(|first| header.base_offset < first.start_offset);
        let is_after = epochs.latest().is_none_or(|latest| batch > latest.epoch);
        let below_start = context.log_start_offset.is_some_and(|start| header.base_offset < start);
        if batch < 0 || (is_before && (below_start || !context.clean)) || (is_after && !context.clean) {
            return;
        }
        for offset in [header.base_offset, header.last_offset()] {
            let checkpoint = epochs.epoch_for_offset(offset);
            if checkpoint != Some(batch) {
                if self.last_difference != Some((batch, checkpoint)) {
                    let condition = Condition::LeaderEpochDiffers { batch, checkpoint };
                    found.add(&self.epochs_path, Place::Offset(offset), condition, AtNextStart::NotNoticed);
                }
                self.last_difference = Some((batch, checkpoint));
                return;
            }
        }
    }

    /// Notes what a batch does to its producer's transaction. At a marker: the first offset of the transaction that it
    /// ends, if it is known, and that of those that stay open, or the offset after the marker.
    pub(super) fn transaction(
        &mut self,
        header: &BatchHeader,
        marker: Option<ControlMarker>,
    ) -> Option<(Option<i64>, i64)> {
        if marker.is_some() {
            let first_offset = self.open.remove(&header.producer_id);
            let first_open = self.open.values().min().copied().unwrap_or(header.next_offset());
            return Some((first_offset, first_open));
        }
        // Compaction empties batches of aborted transactions: these have no records that anyone could read.
        if header.is_transactional() && !header.is_control() && header.records_count > 0 {
            self.open.entry(header.producer_id).or_insert(header.base_offset);
        }
        None
    }
}

/// The files of a partition's directory.
#[derive(Debug, Default)]
struct Files {
    segments: BTreeSet<i64>,
    snapshots: Vec<(i64, PathBuf)>,
    indexes: Vec<(i64, PathBuf)>,
    has_metadata: bool,
    left_over: Vec<PathBuf>,
    stray: Vec<PathBuf>,
}

impl Files {
    fn list(dir: &Path) -> io::Result<Files> {
        let mut files = Files::default();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            match FileKind::of(&path) {
                Some(FileKind::Segment(offset)) => {
                    files.segments.insert(offset);
                }
                Some(FileKind::Snapshot(offset)) => files.snapshots.push((offset, path)),
                Some(
                    FileKind::OffsetIndex(offset) | FileKind::TimeIndex(offset) | FileKind::TxnIndex(offset),
                ) => files.indexes.push((offset, path)),
                Some(FileKind::LeaderEpochs) => {}
                Some(FileKind::PartitionMetadata) => files.has_metadata = true,
                _ if is_left_over(&path) => files.left_over.push(path),
                _ => files.stray.push(path),
            }
        }
        for paths in [&mut files.left_over, &mut files.stray] {
            paths.sort();
        }
        files.snapshots.sort();
        files.indexes.sort();
        Ok(files)
    }
}

/// Whether a file is one that the next start removes, or brings to its end.
pub(super) fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == NEXT_SEGMENT_NAME
        || [DELETED_SUFFIX, CLEANED_SUFFIX, SWAP_SUFFIX, ".tmp"].iter().any(|suffix| name.ends_with(suffix))
}

/// Goes through a partition.
///
/// # Errors
/// The directory can't be read.
pub(super) fn verify(
    dir: &Path,
    context: &Context,
    totals: &mut Totals,
    observer: &mut dyn Observer,
) -> io::Result<()> {
    let files = Files::list(dir)?;
    totals.partitions += 1;
    let mut log = LogState::new(dir);
    let mut found = Found::default();
    verify_names(dir, &files, &mut found);
    read_epochs(&mut log, context, &files, &mut found);
    tell(found, observer);
    let mut bases = files.segments.iter().copied().peekable();
    while let Some(base_offset) = bases.next() {
        let next_base = bases.peek().copied();
        segment::verify(Segment { dir, base_offset, next_base, context }, &mut log, totals, observer);
        observer.progress(totals);
    }
    let mut found = Found::default();
    verify_snapshots(&files, context, log.log_end, &mut found);
    if !files.segments.is_empty() {
        verify_checkpoints(dir, context, &log, &mut found);
    }
    tell(found, observer);
    Ok(())
}

/// Hands findings on.
pub(super) fn tell(found: Found, observer: &mut dyn Observer) {
    let findings: Vec<Finding> = found.into_findings();
    findings.into_iter().for_each(|finding| observer.found(finding));
}

fn verify_names(dir: &Path, files: &Files, found: &mut Found) {
    for path in &files.left_over {
        found.add(path, Place::Whole, Condition::LeftOver, AtNextStart::Removed);
    }
    for path in &files.stray {
        found.add(path, Place::Whole, Condition::Stray, AtNextStart::Nothing);
    }
    for (base_offset, path) in &files.indexes {
        // With its segment retention takes it away, in no order.
        if !files.segments.contains(base_offset) && path.exists() {
            found.add(path, Place::Whole, Condition::IndexWithoutSegment, AtNextStart::Removed);
        }
    }
    let path = dir.join(PARTITION_METADATA);
    if !files.has_metadata {
        found.add(&path, Place::Whole, Condition::PartitionMetadataMissing, AtNextStart::WrittenAnew);
    } else if read_partition_metadata(dir).is_none() {
        found.add(&path, Place::Whole, Condition::PartitionMetadata, AtNextStart::WrittenAnew);
    }
}

fn read_epochs(log: &mut LogState, context: &Context, files: &Files, found: &mut Found) {
    let dir = log.epochs_path.parent().unwrap_or(Path::new(""));
    match LeaderEpochs::read(dir) {
        // Before there is a file nothing can be said of a log that wasn't closed.
        Ok(epochs) if epochs.entries().is_empty() && !context.clean => {}
        Ok(epochs) => log.epochs = (!files.segments.is_empty()).then_some(epochs),
        Err(error) => {
            let condition = Condition::LeaderEpochs(error);
            found.add(&log.epochs_path, Place::Whole, condition, AtNextStart::TakenAsEmpty);
        }
    }
}

/// What is wrong with a snapshot. One of a log that grows may just be written, so it gets a second look.
fn snapshot_error(path: &Path, context: &Context) -> io::Result<Option<SnapshotError>> {
    let look = || std::fs::read(path).map(|contents| snapshot_entries(&contents).err());
    match look()? {
        Some(_) if !context.clean => {
            std::thread::sleep(SETTLE);
            look()
        }
        error => Ok(error),
    }
}

fn verify_snapshots(files: &Files, context: &Context, log_end: Option<i64>, found: &mut Found) {
    for (offset, path) in &files.snapshots {
        match snapshot_error(path, context) {
            Ok(None) => {}
            Ok(Some(error)) => {
                found.add(path, Place::Whole, Condition::Snapshot(error), AtNextStart::PassedOver);
            }
            // The broker has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                found.add(path, Place::Whole, Condition::Unreadable(error), AtNextStart::Refused);
            }
        }
        if let Some(log_end) = log_end.filter(|log_end| offset > log_end) {
            found.add(path, Place::Whole, Condition::SnapshotBeyondEnd { log_end }, AtNextStart::Removed);
        }
    }
}

/// Holds what the checkpoints of the log directory say against where the log ends.
fn verify_checkpoints(dir: &Path, context: &Context, log: &LogState, found: &mut Found) {
    use crate::log_dir::OffsetCheckpoint::{LogStart, RecoveryPoint, Replication};
    let Some(log_end) = log.log_end else { return };
    let name = || dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let parent = dir.parent().unwrap_or(Path::new(""));
    if let Some(recovery_point) = context.closed_at.filter(|end| context.clean && *end != log_end) {
        let condition = Condition::NotClosedEnd { partition: name(), recovery_point, log_end };
        let path = parent.join(RecoveryPoint.file_name());
        found.add(&path, Place::Whole, condition, AtNextStart::NotNoticed);
    }
    // Without a clean stop the high watermark may be one of records that a crash has taken.
    for (checkpoint, offset, applies) in [
        (RecoveryPoint, context.recovery_point, !context.clean),
        (LogStart, context.log_start_offset, true),
        (Replication, context.high_watermark, context.clean),
    ] {
        if let Some(offset) = offset.filter(|offset| applies && *offset > log_end) {
            let condition = Condition::CheckpointBeyondEnd { partition: name(), offset, log_end };
            let path = parent.join(checkpoint.file_name());
            found.add(&path, Place::Whole, condition, AtNextStart::Corrected);
        }
    }
}
