//! What a file holds, one item after the other.

use super::FileKind;
use super::entries::Entries;
use super::walk::{Step, Stop, Walk};
use crate::batch::{BatchHeader, BatchRules, ControlMarker, Record, open};
use crate::checkpoint::{CheckpointError, parse_offsets};
use crate::inspect::RecordsFault;
use crate::leader_epochs::{EpochEntry, LeaderEpochs};
use crate::log_dir::{PARTITION_METADATA, read_partition_metadata};
use crate::offset_index::{OFFSET_INDEX_ENTRY_BYTES, OffsetPosition};
use crate::producer_state::{SnapshotEntry, SnapshotError, snapshot_entries};
use crate::time_index::{TIME_INDEX_ENTRY_BYTES, TimestampEntry};
use crate::txn_index::{AbortedTransaction, TXN_INDEX_ENTRY_BYTES};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What to show of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpOptions {
    /// Show records too.
    pub records: bool,
    /// First offset to show; batches that end before it are passed over.
    pub from_offset: i64,
    /// First offset that is not shown any more.
    pub to_offset: i64,
}

impl Default for DumpOptions {
    fn default() -> DumpOptions {
        DumpOptions { records: false, from_offset: 0, to_offset: i64::MAX }
    }
}

/// A batch in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpedBatch {
    /// Position of its first byte.
    pub position: u64,
    /// Its header, as it stands there.
    pub header: BatchHeader,
    /// CRC-32C of its bytes; the header has the one that it was written with.
    pub computed_crc: u32,
    /// What it says, if it is a transaction's marker.
    pub marker: Option<ControlMarker>,
}

/// Why what follows in a file can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is no batch at this position of a segment.
    #[error("position {position}: {stop}")]
    Stopped {
        /// Where.
        position: u64,
        /// What is there.
        stop: Stop,
    },
    /// The records of the batch before can't be read.
    #[error("records: {0}")]
    Records(#[from] RecordsFault),
    /// The file ends inside an entry.
    #[error("{0} bytes behind the last entry")]
    TrailingBytes(u64),
    /// An entry of the index of aborted transactions has a version that isn't known.
    #[error("position {0}: an aborted transaction of a version that isn't known")]
    TxnIndexVersion(u64),
    /// The snapshot isn't one.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The checkpoint isn't one.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `partition.metadata` has no topic id of version 0.
    #[error("no topic id of version 0")]
    PartitionMetadata,
}

/// What a file holds.
#[derive(Debug)]
pub enum Dumped<'a> {
    /// From here on it is about this file.
    File(&'a Path, FileKind),
    /// A batch of a segment.
    Batch(DumpedBatch),
    /// A record of the batch before.
    Record(Record<'a>),
    /// An entry of an offset index: an offset, and the position of a batch.
    OffsetIndexEntry {
        /// Last offset of the batch, or of the last of those that were appended with it.
        offset: i64,
        /// Its position in the segment.
        position: u32,
    },
    /// An entry of a time index.
    TimeIndexEntry {
        /// Largest timestamp so far, in milliseconds.
        timestamp_ms: i64,
        /// Last offset of the batch that has it.
        offset: i64,
    },
    /// An entry of an index of aborted transactions.
    TxnIndexEntry(AbortedTransaction),
    /// Entries of an index that are zeros: reserved, as Kafka does.
    ReservedEntries,
    /// A producer of a snapshot.
    Producer(SnapshotEntry),
    /// An entry of `leader-epoch-checkpoint`.
    Epoch(EpochEntry),
    /// An entry of an offset checkpoint.
    Offset {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// Its offset.
        offset: i64,
    },
    /// The topic id of `partition.metadata`.
    TopicId(Uuid),
    /// What follows in this file can't be shown.
    Unreadable(Unreadable),
}

/// Why a dump came to no end.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A file or directory can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the file system gives.
        source: io::Error,
    },
    /// The name is none of Kafka's.
    #[error(
        "{}: not a segment, an index, a snapshot, a checkpoint or a partition's directory, by its name",
        .0.display()
    )]
    UnknownKind(PathBuf),
    /// `show` didn't want more.
    #[error(transparent)]
    Show(io::Error),
}

/// Shows what the file at `path` holds; of a directory, what its files do, by their offsets. `show` is called with each
/// item in order.
///
/// # Errors
/// See [`DumpError`]. What is wrong inside a file is an item, and no error.
pub fn dump(
    path: &Path,
    options: DumpOptions,
    show: &mut dyn FnMut(Dumped<'_>) -> io::Result<()>,
) -> Result<(), DumpError> {
    let failed = |source| DumpError::Io { path: path.to_path_buf(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        let kind = FileKind::of(path).ok_or_else(|| DumpError::UnknownKind(path.to_path_buf()))?;
        return Dump { path, options, show }.file(kind);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        files.extend(FileKind::of(&path).map(|kind| (kind.order(), path, kind)));
    }
    if files.is_empty() {
        return Err(DumpError::UnknownKind(path.to_path_buf()));
    }
    files.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    for (_, path, kind) in files {
        match (Dump { path: &path, options, show }).file(kind) {
            // The broker has unlinked it meanwhile.
            Err(DumpError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            shown => shown?,
        }
    }
    Ok(())
}

/// One file on its way through.
struct Dump<'a> {
    path: &'a Path,
    options: DumpOptions,
    show: &'a mut dyn FnMut(Dumped<'_>) -> io::Result<()>,
}

impl Dump<'_> {
    fn show(&mut self, item: Dumped<'_>) -> Result<(), DumpError> {
        (self.show)(item).map_err(DumpError::Show)
    }

    fn failed(&self, source: io::Error) -> DumpError {
        DumpError::Io { path: self.path.to_path_buf(), source }
    }

    fn open(&self) -> Result<File, DumpError> {
        File::open(self.path).map_err(|error| self.failed(error))
    }

    fn contents(&self) -> Result<Vec<u8>, DumpError> {
        std::fs::read(self.path).map_err(|error| self.failed(error))
    }

    fn file(&mut self, kind: FileKind) -> Result<(), DumpError> {
        let file = self.open()?;
        self.show(Dumped::File(self.path, kind))?;
        match kind {
            FileKind::Segment(_) => self.segment(file),
            FileKind::OffsetIndex(base_offset) => {
                self.entries::<OFFSET_INDEX_ENTRY_BYTES>(file, |_, bytes| {
                    let entry = OffsetPosition::parse(bytes);
                    let offset = base_offset.saturating_add(i64::from(entry.relative_offset));
                    Dumped::OffsetIndexEntry { offset, position: entry.position }
                })
            }
            FileKind::TimeIndex(base_offset) => self.entries::<TIME_INDEX_ENTRY_BYTES>(file, |_, bytes| {
                let entry = TimestampEntry::parse(bytes);
                let offset = base_offset.saturating_add(i64::from(entry.relative_offset));
                Dumped::TimeIndexEntry { timestamp_ms: entry.timestamp_ms, offset }
            }),
            FileKind::TxnIndex(_) => {
                self.entries::<TXN_INDEX_ENTRY_BYTES>(
                    file,
                    |position, bytes| match AbortedTransaction::parse(bytes) {
                        Some(entry) => Dumped::TxnIndexEntry(entry),
                        None => Dumped::Unreadable(Unreadable::TxnIndexVersion(position)),
                    },
                )
            }
            FileKind::Snapshot(_) => match snapshot_entries(&self.contents()?) {
                Ok(entries) => {
                    entries.into_iter().try_for_each(|producer| self.show(Dumped::Producer(producer)))
                }
                Err(error) => self.show(Dumped::Unreadable(error.into())),
            },
            FileKind::LeaderEpochs => {
                match text_of(self.contents()?).and_then(|text| LeaderEpochs::parse(&text)) {
                    Ok(epochs) => epochs.entries().iter().try_for_each(|e| self.show(Dumped::Epoch(*e))),
                    Err(error) => self.show(Dumped::Unreadable(error.into())),
                }
            }
            FileKind::Checkpoint(_) => {
                match text_of(self.contents()?).and_then(|text| parse_offsets(&text)) {
                    Ok(offsets) => offsets.iter().try_for_each(|((topic, partition), offset)| {
                        self.show(Dumped::Offset { topic, partition: *partition, offset: *offset })
                    }),
                    Err(error) => self.show(Dumped::Unreadable(error.into())),
                }
            }
            FileKind::PartitionMetadata => {
                let dir = self.path.parent().unwrap_or(Path::new(""));
                debug_assert_eq!(self.path, dir.join(PARTITION_METADATA));
                match read_partition_metadata(dir) {
                    Some(topic_id) => self.show(Dumped::TopicId(topic_id)),
                    None => self.show(Dumped::Unreadable(Unreadable::PartitionMetadata)),
                }
            }
        }
    }

    fn segment(&mut self, file: File) -> Result<(), DumpError> {
        let mut walk = Walk::new(file).map_err(|error| self.failed(error))?;
        loop {
            let position = walk.position();
            let batch = match walk.next().map_err(|error| self.failed(error))? {
                Step::Batch(batch) => batch,
                Step::Stopped(stop) => {
                    return self.show(Dumped::Unreadable(Unreadable::Stopped { position, stop }));
                }
                Step::End => return Ok(()),
            };
            let header = batch.header;
            if header.last_offset() < self.options.from_offset {
                continue;
            }
            if header.base_offset >= self.options.to_offset {
                return Ok(());
            }
            let is_whole = batch.crc_matches();
            let marker = match batch.bytes {
                Some(bytes) if is_whole && header.is_control() => ControlMarker::of_batch(bytes),
                _ => None,
            };
            let computed_crc = batch.computed_crc;
            self.show(Dumped::Batch(DumpedBatch { position, header, computed_crc, marker }))?;
            if self.options.records && is_whole {
                self.records(&header, batch.bytes)?;
            }
        }
    }

    fn records(&mut self, header: &BatchHeader, bytes: Option<&[u8]>) -> Result<(), DumpError> {
        let opened = match bytes {
            None => Err(RecordsFault::TooLarge(header.size_in_bytes())),
            Some(bytes) => open(bytes, BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES).map_err(Into::into),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(fault) => return self.show(Dumped::Unreadable(fault.into())),
        };
        let shown = self.options.from_offset..self.options.to_offset;
        for (index, record) in opened.records().enumerate() {
            match record {
                Ok(record) if shown.contains(&record.offset) => self.show(Dumped::Record(record))?,
                Ok(_) => {}
                Err(error) => {
                    let fault = RecordsFault::Record { index, error };
                    return self.show(Dumped::Unreadable(fault.into()));
                }
            }
        }
        Ok(())
    }

    /// Shows the entries of an index, which are not looked at as to what they say.
    fn entries<const N: usize>(
        &mut self,
        file: File,
        entry: impl Fn(u64, &[u8; N]) -> Dumped<'static>,
    ) -> Result<(), DumpError> {
        let mut entries = Entries::<N>::new(file).map_err(|error| self.failed(error))?;
        while let Some((position, bytes)) = entries.next().map_err(|error| self.failed(error))? {
            // One with timestamp 0 and offset 0 may be the first.
            let is_zero = |next: Option<(u64, [u8; N])>| next.is_some_and(|(_, bytes)| bytes == [0; N]);
            let reserved = position > 0 || is_zero(entries.peek().map_err(|error| self.failed(error))?);
            if reserved && bytes == [0; N] {
                self.show(Dumped::ReservedEntries)?;
                return Ok(());
            }
            self.show(entry(position, &bytes))?;
        }
        match entries.trailing_bytes() {
            0 => Ok(()),
            bytes => self.show(Dumped::Unreadable(Unreadable::TrailingBytes(bytes))),
        }
    }
}

/// The text of a checkpoint.
fn text_of(contents: Vec<u8>) -> Result<String, CheckpointError> {
    let invalid = |error| CheckpointError::Io(io::Error::new(io::ErrorKind::InvalidData, error));
    String::from_utf8(contents).map_err(invalid)
}
