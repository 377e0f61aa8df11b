//! What can be wrong, where, and what comes of it.

use crate::checkpoint::CheckpointError;
use crate::inspect::entries::Entries;
use crate::inspect::{RecordsFault, Stop};
use crate::meta_properties::MetaPropertiesError;
use crate::producer_state::SnapshotError;
use std::io;
use std::path::{Path, PathBuf};

/// Findings that are kept of one file.
const MAX_FINDINGS_PER_FILE: usize = 1000;

/// A place in a file or a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file or directory as a whole.
    Whole,
    /// A byte of the file.
    Position(u64),
    /// An offset of the partition.
    Offset(i64),
}

/// What FluxMQ does about something when it starts the next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtNextStart {
    /// There is nothing to be done about it.
    Nothing,
    /// It isn't looked for, so clients meet it.
    NotNoticed,
    /// The log is cut there.
    Cut,
    /// An earlier finding has the log cut before this.
    GoesWithCut,
    /// The log isn't opened, and the broker doesn't start.
    Refused,
    /// The index is made anew from the segment.
    Rebuilt,
    /// The file is removed.
    Removed,
    /// The file is taken as empty.
    TakenAsEmpty,
    /// The file is written anew.
    WrittenAnew,
    /// An older file of the kind is taken, or the log is gone through.
    PassedOver,
    /// The value is brought into the range of the log.
    Corrected,
}

/// Something that was found.
#[derive(Debug)]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// Where in it.
    pub place: Place,
    /// What.
    pub condition: Condition,
    /// What comes of it.
    pub at_next_start: AtNextStart,
}

/// What a finding is about. Some are no damage: see [`Condition::is_note`].
#[derive(Debug, thiserror::Error)]
pub enum Condition {
    /// A note: the last segment of a log that wasn't closed reaches further than its batches.
    #[error("{bytes} bytes of zeros at the end are reserved space; the log was not closed")]
    ReservedSpace {
        /// Bytes of zeros.
        bytes: u64,
    },
    /// A segment that was closed reaches further than its batches.
    #[error("{bytes} bytes of zeros behind the last batch of a segment that was closed")]
    ZerosInClosedSegment {
        /// Bytes of zeros.
        bytes: u64,
    },
    /// There is no batch where one has to begin, so the rest of the segment can't be looked at.
    #[error("{0}; what follows in this segment can't be read")]
    NoBatch(Stop),
    /// The checksum of a batch doesn't match.
    #[error("batch has CRC {stored:#010x}, its bytes {computed:#010x}")]
    BatchCrcMismatch {
        /// CRC in the header.
        stored: u32,
        /// CRC of the bytes.
        computed: u32,
    },
    /// A batch begins below the end of the one before, or below its segment's base offset.
    #[error("batch begins at offset {found}, and {expected} is the least that it can")]
    OffsetFell {
        /// The end of what is before.
        expected: i64,
        /// The base offset.
        found: i64,
    },
    /// The offsets of a batch aren't a range that a segment can have.
    #[error("batch with base offset {base_offset} and last offset delta {last_offset_delta}")]
    OffsetRange {
        /// From the header.
        base_offset: i64,
        /// From the header.
        last_offset_delta: i32,
    },
    /// The leader epoch is below that of the batch before.
    #[error("leader epoch {found} after {last}")]
    LeaderEpochFell {
        /// Of the batch before.
        last: i32,
        /// Of this one.
        found: i32,
    },
    /// The records of a batch can't be read, though its checksum matches.
    #[error("records can't be read: {0}")]
    Records(RecordsFault),
    /// A segment reaches beyond the base offset of the next one.
    #[error("segment ends at offset {end}, and the next one begins at {next_base}")]
    SegmentsOverlap {
        /// The offset after its last batch.
        end: i64,
        /// Base offset of the next segment.
        next_base: i64,
    },
    /// A segment has more bytes than positions can count.
    #[error("segment of {0} bytes is larger than a segment can be")]
    SegmentTooLarge(u64),
    /// A segment has no file of this index.
    #[error("index is missing")]
    IndexMissing,
    /// The file ends inside an entry.
    #[error("{0} bytes behind the last entry")]
    IndexTrailingBytes(u64),
    /// A note: the index of the last segment of a log that wasn't closed reaches further than its entries.
    #[error("{bytes} bytes of zeros at the end are reserved space; the log was not closed")]
    ReservedIndexSpace {
        /// Bytes of zeros.
        bytes: u64,
    },
    /// Entries of zeros.
    #[error("entries of zeros in an index that was closed")]
    IndexZeros,
    /// An entry isn't above the one before.
    #[error("entry is not above the one before")]
    IndexNotAscending,
    /// An entry of an offset index points to where no batch begins.
    #[error("entry for offset {offset} points to {position}, where no batch begins")]
    OffsetIndexNoBatch {
        /// The entry's offset.
        offset: i64,
        /// The entry's position.
        position: u32,
    },
    /// An entry of an offset index has an offset that is no batch's last.
    #[error(
        "entry has offset {offset} for the batch at {position}, which is no last offset of it or of those behind it"
    )]
    OffsetIndexWrongOffset {
        /// The entry's offset.
        offset: i64,
        /// The entry's position.
        position: u32,
    },
    /// An entry of a time index has an offset that no batch has.
    #[error("entry for timestamp {timestamp_ms} has offset {offset}, which no batch has")]
    TimeIndexNoBatch {
        /// The entry's timestamp.
        timestamp_ms: i64,
        /// The entry's offset.
        offset: i64,
    },
    /// The timestamp of an entry of a time index isn't the largest up to its offset.
    #[error(
        "entry has timestamp {timestamp_ms} for offset {offset}, where the largest so far is {largest_ms}"
    )]
    TimeIndexWrongTimestamp {
        /// The entry's timestamp.
        timestamp_ms: i64,
        /// The entry's offset.
        offset: i64,
        /// The largest of the batches up to that offset, or that of its batch if it is lower than those before.
        largest_ms: i64,
    },
    /// The last entry of the time index of a closed segment isn't its largest timestamp.
    #[error("the last entry is not the segment's largest timestamp, {largest_ms}")]
    TimeIndexEndsEarly {
        /// The largest timestamp.
        largest_ms: i64,
    },
    /// An entry of aborted transactions has a version that isn't known.
    #[error("an aborted transaction of a version that isn't known")]
    TxnIndexVersion,
    /// An entry of aborted transactions with a first offset that isn't below its marker's.
    #[error("aborted transaction from offset {first_offset} to {last_offset}")]
    TxnIndexRange {
        /// First offset of the entry.
        first_offset: i64,
        /// Offset of the marker, by the entry.
        last_offset: i64,
    },
    /// An entry of aborted transactions whose marker isn't in the segment.
    #[error("producer {producer_id} has no abort marker at offset {last_offset}")]
    TxnIndexNoMarker {
        /// The entry's producer.
        producer_id: i64,
        /// Offset of the marker, by the entry.
        last_offset: i64,
    },
    /// An entry of aborted transactions begins after the transaction's first record.
    #[error("transaction of producer {producer_id} begins at offset {found}, not at {first_offset}")]
    TxnIndexFirstOffset {
        /// The entry's producer.
        producer_id: i64,
        /// The entry's first offset.
        first_offset: i64,
        /// The first offset in the log.
        found: i64,
    },
    /// An entry of aborted transactions has a last stable offset that is none, or that later ones begin before.
    #[error("last stable offset {last_stable_offset} is not from 0 to {largest}")]
    TxnIndexStableOffset {
        /// The entry's.
        last_stable_offset: i64,
        /// First offset of the transactions that were open.
        largest: i64,
    },
    /// A transaction that was aborted isn't in the index: its records are read as committed.
    #[error(
        "transaction of producer {producer_id} from offset {first_offset} was aborted at {last_offset} and is not in the index"
    )]
    AbortedTransactionMissing {
        /// The producer.
        producer_id: i64,
        /// Its first offset.
        first_offset: i64,
        /// Offset of its marker.
        last_offset: i64,
    },
    /// There is no segment that the index could be of.
    #[error("index without a segment")]
    IndexWithoutSegment,
    /// The producers' state can't be used.
    #[error(transparent)]
    Snapshot(SnapshotError),
    /// The producers' state is one of an offset that the log doesn't reach.
    #[error("snapshot is beyond the log's end at offset {log_end}")]
    SnapshotBeyondEnd {
        /// Where the log ends.
        log_end: i64,
    },
    /// `leader-epoch-checkpoint` can't be used.
    #[error(transparent)]
    LeaderEpochs(CheckpointError),
    /// `leader-epoch-checkpoint` has another epoch for a batch than its header.
    #[error("leader epoch of the batch is {batch}, by the checkpoint it is {}", Epoch(*checkpoint))]
    LeaderEpochDiffers {
        /// From the header.
        batch: i32,
        /// From the checkpoint.
        checkpoint: Option<i32>,
    },
    /// `partition.metadata` has no topic id.
    #[error("no topic id of version 0")]
    PartitionMetadata,
    /// A note: there is no `partition.metadata`.
    #[error("partition.metadata is missing")]
    PartitionMetadataMissing,
    /// `meta.properties` can't be used.
    #[error(transparent)]
    MetaProperties(MetaPropertiesError),
    /// A note: there is no `meta.properties`.
    #[error("meta.properties is missing")]
    MetaPropertiesMissing,
    /// An offset checkpoint can't be used.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// An offset in a checkpoint lies beyond the log's end.
    #[error("{partition} has offset {offset}, and its log ends at {log_end}")]
    CheckpointBeyondEnd {
        /// The directory's name.
        partition: String,
        /// From the checkpoint.
        offset: i64,
        /// Where the log ends.
        log_end: i64,
    },
    /// The recovery point of a log that was closed isn't its end.
    #[error("{partition} was closed at offset {recovery_point}, and its log ends at {log_end}")]
    NotClosedEnd {
        /// The directory's name.
        partition: String,
        /// From the checkpoint.
        recovery_point: i64,
        /// Where the log ends.
        log_end: i64,
    },
    /// A note: a checkpoint names partitions that have no directory.
    #[error("entries of {0} partitions that have no directory here")]
    CheckpointWithoutPartition(usize),
    /// A note: a file that a crash or a deletion has left.
    #[error("left over")]
    LeftOver,
    /// A note: a directory on its way to being deleted.
    #[error("directory of a deleted topic")]
    DeletedDirectory,
    /// A note: a file or directory that isn't part of a log.
    #[error("stray: not one of a log's files")]
    Stray,
    /// A note: the broker has removed or replaced the file in the meantime.
    #[error("removed or replaced meanwhile, not checked")]
    Replaced,
    /// The file or directory can't be read.
    #[error("can't be read: {0}")]
    Unreadable(io::Error),
    /// There were more findings about the same file.
    #[error("and {0} more")]
    More(u64),
}

struct Epoch(Option<i32>);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(epoch) => epoch.fmt(f),
            None => f.write_str("not known"),
        }
    }
}

impl Condition {
    /// What zeros in an index are: the space that a growing one has ahead, if there is nothing else to its end.
    /// Takes the rest of the entries.
    ///
    /// # Errors
    /// As [`Entries::next`].
    pub(super) fn of_zeros<const N: usize>(entries: &mut Entries<N>, growing: bool) -> io::Result<Condition> {
        let at = entries.position();
        let zeros = entries.rest_is_zeros()?;
        Ok(match zeros && growing {
            true => Condition::ReservedIndexSpace { bytes: entries.position() - at },
            false => Condition::IndexZeros,
        })
    }

    /// Worth saying, but nothing is wrong.
    pub fn is_note(&self) -> bool {
        matches!(
            self,
            Condition::ReservedSpace { .. }
                | Condition::ReservedIndexSpace { .. }
                | Condition::PartitionMetadataMissing
                | Condition::MetaPropertiesMissing
                | Condition::CheckpointWithoutPartition(_)
                | Condition::LeftOver
                | Condition::DeletedDirectory
                | Condition::Stray
                | Condition::Replaced
        )
    }
}

/// Findings that are on their way.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    more: u64,
}

impl Found {
    pub(super) fn add(
        &mut self,
        path: &Path,
        place: Place,
        condition: Condition,
        at_next_start: AtNextStart,
    ) {
        if self.findings.len() < MAX_FINDINGS_PER_FILE {
            self.findings.push(Finding { path: path.to_path_buf(), place, condition, at_next_start });
        } else {
            self.more += 1;
        }
    }

    /// Whether something is wrong.
    pub(super) fn any_damage(&self) -> bool {
        self.findings.iter().any(|finding| !finding.condition.is_note())
    }

    /// All of them, with one for those that were too many.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        if let Some(last) = self.findings.last().filter(|_| self.more > 0) {
            let (path, at_next_start) = (last.path.clone(), last.at_next_start);
            let condition = Condition::More(self.more);
            self.findings.push(Finding { path, place: Place::Whole, condition, at_next_start });
        }
        self.findings
    }
}
