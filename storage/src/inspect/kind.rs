//! Which of Kafka's files a name stands for.

use crate::fs::{
    INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, offset_of_name,
};
use crate::leader_epochs::LEADER_EPOCH_CHECKPOINT;
use crate::log_dir::{OffsetCheckpoint, PARTITION_METADATA};
use std::path::Path;

/// A kind of file in a log directory or a partition's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The batches of a segment with this base offset.
    Segment(i64),
    /// The offset index of the segment with this base offset.
    OffsetIndex(i64),
    /// The time index of the segment with this base offset.
    TimeIndex(i64),
    /// The aborted transactions of the segment with this base offset.
    TxnIndex(i64),
    /// The producers' state at this offset.
    Snapshot(i64),
    /// `leader-epoch-checkpoint`.
    LeaderEpochs,
    /// `partition.metadata`.
    PartitionMetadata,
    /// One of the files of offsets by partition.
    Checkpoint(OffsetCheckpoint),
}

/// Makes a kind of an offset in a name.
type OfOffset = fn(i64) -> FileKind;

impl FileKind {
    /// The kind of the file at `path`, by its name alone; `None` for a name that isn't one of Kafka's.
    pub fn of(path: &Path) -> Option<FileKind> {
        let name = path.file_name()?.to_str()?;
        let by_offset: [(&str, OfOffset); 5] = [
            (LOG_SUFFIX, FileKind::Segment),
            (INDEX_SUFFIX, FileKind::OffsetIndex),
            (TIME_INDEX_SUFFIX, FileKind::TimeIndex),
            (TXN_INDEX_SUFFIX, FileKind::TxnIndex),
            (SNAPSHOT_SUFFIX, FileKind::Snapshot),
        ];
        let segment_file =
            by_offset.into_iter().find_map(|(suffix, kind)| offset_of_name(name, suffix).map(kind));
        segment_file.or_else(|| match name {
            LEADER_EPOCH_CHECKPOINT => Some(FileKind::LeaderEpochs),
            PARTITION_METADATA => Some(FileKind::PartitionMetadata),
            _ => OffsetCheckpoint::ALL
                .into_iter()
                .find(|checkpoint| checkpoint.file_name() == name)
                .map(FileKind::Checkpoint),
        })
    }

    /// What the file is by, for an order in which files of a segment stand together and those of the partition last.
    pub(super) fn order(self) -> (i64, u8) {
        match self {
            FileKind::Segment(offset) => (offset, 0),
            FileKind::OffsetIndex(offset) => (offset, 1),
            FileKind::TimeIndex(offset) => (offset, 2),
            FileKind::TxnIndex(offset) => (offset, 3),
            FileKind::Snapshot(offset) => (offset, 4),
            FileKind::LeaderEpochs | FileKind::PartitionMetadata | FileKind::Checkpoint(_) => (i64::MAX, 5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_from_names() {
        let of = |name: &str| FileKind::of(&Path::new("some/dir").join(name));
        assert_eq!(of("00000000000000000042.log"), Some(FileKind::Segment(42)));
        assert_eq!(of("00000000000000000042.timeindex"), Some(FileKind::TimeIndex(42)));
        assert_eq!(of("leader-epoch-checkpoint"), Some(FileKind::LeaderEpochs));
        let recovery = FileKind::Checkpoint(OffsetCheckpoint::RecoveryPoint);
        assert_eq!(of("recovery-point-offset-checkpoint"), Some(recovery));
        assert_eq!(of("00000000000000000042.log.deleted"), None);
        assert_eq!(of("42.log"), None);
    }
}
