//! The files of Kafka's metadata log: the latest snapshot, and the segments from its end on.
//!
//! A snapshot `<end offset>-<epoch>.checkpoint` holds everything below its end offset; Kafka writes it under another
//! name and ends it with a footer. Both kinds of files are record batches; control batches are for the quorum.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use fluxmq_protocol::metadata_records::{MetadataRecord, MetadataRecordError};
use fluxmq_storage::batch::{
    self, BatchHeader, BatchRules, HEADER_SIZE_BYTES, HeaderError, OpenError, RecordsError, StoredBatchError,
};
use thiserror::Error;

use super::image::{Fold, ImageError, MetadataImage};

/// Digits of an offset and of an epoch in the name of a file.
const OFFSET_DIGITS: usize = 20;
const EPOCH_DIGITS: usize = 10;

/// The control record that ends a snapshot: version 0, type 4.
const SNAPSHOT_FOOTER_KEY: [u8; 4] = [0, 0, 0, 4];

/// Why the metadata can't be read.
#[derive(Debug, Error)]
pub enum MetadataLogError {
    /// A file or the directory can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the file system gives.
        source: io::Error,
    },
    /// What should be a batch is none, or was changed.
    #[error("{} is damaged at byte {position}: {reason}", path.display())]
    Batch {
        /// The file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        reason: BatchFault,
    },
    /// A record isn't understood, or doesn't fit those before it.
    #[error("{}, offset {offset}: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The record's offset.
        offset: i64,
        /// What is wrong.
        reason: RecordFault,
    },
    /// Offsets are missing, or there twice.
    #[error("{} has a batch at offset {found} where offset {expected} should follow", path.display())]
    Gap {
        /// The file.
        path: PathBuf,
        /// Where it should begin, at the latest.
        expected: i64,
        /// Where the batch begins.
        found: i64,
    },
    /// The latest snapshot doesn't end as one.
    #[error("{} is not complete", path.display())]
    NoFooter {
        /// The file.
        path: PathBuf,
    },
    /// There is no record.
    #[error("{} holds no metadata", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
}

/// What is wrong with a batch.
#[derive(Debug, Error)]
pub enum BatchFault {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The file ends within it.
    #[error("a batch of {size_bytes} bytes where {left_bytes} are left")]
    CutShort {
        /// Bytes of the batch.
        size_bytes: usize,
        /// Bytes there are.
        left_bytes: u64,
    },
    /// The checksum.
    #[error(transparent)]
    Stored(#[from] StoredBatchError),
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The records in it.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// What is wrong with a record.
#[derive(Debug, Error)]
pub enum RecordFault {
    /// A null value.
    #[error("a record without a value")]
    NoValue,
    /// It isn't understood.
    #[error(transparent)]
    Decode(#[from] MetadataRecordError),
    /// It doesn't fit those before it.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// What the log says.
#[derive(Debug)]
pub struct ClusterMetadata {
    /// The cluster.
    pub image: MetadataImage,
    /// The offset after the last record.
    pub end_offset: i64,
}

/// Reads the metadata in the directory, which nobody writes to. Nothing is changed.
///
/// # Errors
/// See [`MetadataLogError`].
pub fn read(dir: &Path) -> Result<ClusterMetadata, MetadataLogError> {
    let files = Files::list(dir).map_err(|source| MetadataLogError::Io { path: dir.to_owned(), source })?;
    let mut fold = Fold::default();
    let mut snapshot_end = 0;
    if let Some((end_offset, _, path)) = &files.snapshot {
        let (mut is_complete, mut next_offset) = (false, 0);
        for_each_batch(path, |batch| {
            next_offset = batch.following(next_offset..=next_offset)?;
            is_complete = batch.is_snapshot_footer()?;
            batch.apply(0, &mut fold)
        })?;
        if !is_complete {
            return Err(MetadataLogError::NoFooter { path: path.clone() });
        }
        snapshot_end = *end_offset;
    }
    // The log may begin anywhere up to the snapshot's end, and goes on without a gap.
    let mut next_offset = None;
    for (_, path) in &files.segments {
        for_each_batch(path, |batch| {
            let allowed = next_offset.map_or(0..=snapshot_end, |next| next..=next);
            next_offset = Some(batch.following(allowed)?);
            batch.apply(snapshot_end, &mut fold)
        })?;
    }
    let end_offset = next_offset.unwrap_or(0).max(snapshot_end);
    if end_offset == 0 {
        return Err(MetadataLogError::Empty { path: dir.to_owned() });
    }
    Ok(ClusterMetadata { image: fold.finish(), end_offset })
}

/// The files that count.
struct Files {
    /// End offset, epoch and path of the latest snapshot.
    snapshot: Option<(i64, i32, PathBuf)>,
    /// Base offset and path, in order.
    segments: Vec<(i64, PathBuf)>,
}

impl Files {
    fn list(dir: &Path) -> io::Result<Self> {
        let mut files = Files { snapshot: None, segments: Vec::new() };
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(offset) = name.strip_suffix(".log").and_then(offset) {
                files.segments.push((offset, path));
            } else if let Some((offset, epoch)) = name.strip_suffix(".checkpoint").and_then(snapshot_id) {
                files.snapshot = files.snapshot.max(Some((offset, epoch, path)));
            }
        }
        files.segments.sort();
        Ok(files)
    }
}

fn offset(digits: &str) -> Option<i64> {
    let is_offset = digits.len() == OFFSET_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_offset.then(|| digits.parse().ok())?
}

fn snapshot_id(name: &str) -> Option<(i64, i32)> {
    let (end_offset, epoch) = name.split_once('-')?;
    let is_epoch = epoch.len() == EPOCH_DIGITS && epoch.bytes().all(|byte| byte.is_ascii_digit());
    is_epoch.then(|| Some((offset(end_offset)?, epoch.parse().ok()?)))?
}

/// A batch whose checksum is right.
struct Batch<'a> {
    path: &'a Path,
    position: u64,
    header: BatchHeader,
    bytes: &'a [u8],
}

/// Reads a file to its end.
fn for_each_batch(
    path: &Path,
    mut each: impl FnMut(Batch<'_>) -> Result<(), MetadataLogError>,
) -> Result<(), MetadataLogError> {
    let failed = |source| MetadataLogError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let size_bytes = file.metadata().map_err(failed)?.len();
    let mut input = BufReader::new(file);
    let (mut position, mut bytes) = (0, Vec::new());
    while position < size_bytes {
        let damaged = |reason| MetadataLogError::Batch { path: path.to_owned(), position, reason };
        let left_bytes = size_bytes - position;
        bytes.resize(HEADER_SIZE_BYTES.min(usize::try_from(left_bytes).unwrap_or(usize::MAX)), 0);
        input.read_exact(&mut bytes).map_err(failed)?;
        let header = BatchHeader::parse(&bytes).map_err(|error| damaged(error.into()))?;
        let size_bytes = header.size_in_bytes();
        if size_bytes as u64 > left_bytes {
            return Err(damaged(BatchFault::CutShort { size_bytes, left_bytes }));
        }
        bytes.resize(size_bytes, 0);
        input.read_exact(&mut bytes[HEADER_SIZE_BYTES..]).map_err(failed)?;
        batch::verify_stored(&bytes).map_err(|error| damaged(error.into()))?;
        each(Batch { path, position, header, bytes: &bytes })?;
        position += size_bytes as u64;
    }
    Ok(())
}

impl Batch<'_> {
    fn damaged(&self, reason: impl Into<BatchFault>) -> MetadataLogError {
        MetadataLogError::Batch { path: self.path.to_owned(), position: self.position, reason: reason.into() }
    }

    /// The offset after it, if it begins in this range.
    fn following(&self, allowed: RangeInclusive<i64>) -> Result<i64, MetadataLogError> {
        let found = self.header.base_offset;
        if allowed.contains(&found) {
            return Ok(self.header.next_offset());
        }
        Err(MetadataLogError::Gap { path: self.path.to_owned(), expected: *allowed.end(), found })
    }

    fn open(&self) -> Result<batch::OpenedBatch<'_>, MetadataLogError> {
        batch::open(self.bytes, BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES)
            .map_err(|error| self.damaged(error))
    }

    /// Whether it is the control batch with which a snapshot ends.
    fn is_snapshot_footer(&self) -> Result<bool, MetadataLogError> {
        if !self.header.is_control() {
            return Ok(false);
        }
        let opened = self.open()?;
        let first = opened.records().next().transpose().map_err(|error| self.damaged(error))?;
        Ok(first.is_some_and(|record| record.key == Some(&SNAPSHOT_FOOTER_KEY[..])))
    }

    /// Takes its records from an offset on. A control batch has none.
    fn apply(&self, from_offset: i64, fold: &mut Fold) -> Result<(), MetadataLogError> {
        if self.header.is_control() || self.header.last_offset() < from_offset {
            return Ok(());
        }
        for record in self.open()?.records() {
            let record = record.map_err(|error| self.damaged(error))?;
            if record.offset < from_offset {
                continue;
            }
            let applied = record
                .value
                .ok_or(RecordFault::NoValue)
                .and_then(|value| Ok(MetadataRecord::decode(value)?))
                .and_then(|decoded| Ok(fold.apply(decoded)?));
            applied.map_err(|reason| MetadataLogError::Record {
                path: self.path.to_owned(),
                offset: record.offset,
                reason,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
