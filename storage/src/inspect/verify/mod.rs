//! What is wrong with the files of a log directory or of partitions.
//!
//! Everything is held against the batches: their headers, lengths, checksums, offsets, leader epochs and records, the
//! entries of the three indexes, the leader epochs, the offsets of the checkpoints. Beside a running broker the last
//! segment's indexes and checkpoints lag behind, and so they may after a crash: what the next start makes anew is not
//! held against a log that wasn't closed.
//!
//! Nothing covers these bytes, so that a change in them is only found where it contradicts something else:
//! - base offset and leader epoch of a batch lie outside its checksum. Neighbouring batches, the indexes, the leader
//!   epochs and the recovery point bound them; in a log that wasn't closed nothing bounds those of the last batch upwards.
//! - an entry of an offset index that has a later batch's last offset or an earlier batch's position: Kafka writes such
//!   entries for batches that were appended at once, and a search that starts there finds the same.
//! - the offset in an entry of a time index, as long as the batch has that timestamp.
//! - first offset and last stable offset in an entry of aborted transactions, below what the batches say: compaction and
//!   deletion take the batches away that would tell.
//! - offsets in checkpoints between the log start and the log end, and the names there; `meta.properties` and
//!   `partition.metadata`, as long as they can be read; what the mark of a clean shutdown has in it.

mod finding;
mod log_dir;
mod offset_index;
mod partition;
mod segment;
mod time_index;
mod txn_index;

pub use finding::{AtNextStart, Condition, Finding, Place};

use finding::Found;
use partition::Context;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What looks damaged at the end of a log that grows may just be written: it is looked at again after this time.
const SETTLE: Duration = Duration::from_millis(50);

/// What was gone through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Partitions.
    pub partitions: u64,
    /// Segments.
    pub segments: u64,
    /// Batches, damaged ones included.
    pub batches: u64,
    /// Records that could be read.
    pub records: u64,
    /// Bytes of the segments, up to where the last batch ends.
    pub bytes: u64,
    /// Places where offsets are missing between two batches: compaction has taken them.
    pub gaps: u64,
}

/// Who wants to know.
pub trait Observer {
    /// Something was found, in this file or directory.
    fn found(&mut self, finding: Finding);

    /// So much was gone through; called every few megabytes.
    fn progress(&mut self, _totals: &Totals) {}
}

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The directory can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the file system gives.
        source: io::Error,
    },
    /// It isn't a directory of logs or of a partition.
    #[error("{}: neither a data directory nor a partition's", .0.display())]
    NoLogs(PathBuf),
}

/// Goes through a log directory or a partition's, and tells `observer` what is wrong. Adds to `totals`.
///
/// # Errors
/// See [`VerifyError`]. A file further inside that can't be read is a finding.
pub fn verify(path: &Path, totals: &mut Totals, observer: &mut dyn Observer) -> Result<(), VerifyError> {
    let failed = |source| VerifyError::Io { path: path.to_path_buf(), source };
    let path = path.canonicalize().map_err(failed)?;
    // A log directory may have a name that a partition could have.
    if log_dir::is_log_dir(&path).map_err(failed)? {
        return log_dir::verify(&path, totals, observer).map_err(failed);
    }
    if !partition::is_partition(&path).map_err(failed)? {
        return Err(VerifyError::NoLogs(path));
    }
    let context = match path.parent() {
        Some(parent) if log_dir::is_log_dir(parent).unwrap_or(false) => {
            log_dir::Checkpoints::read(parent, &mut Found::default()).context(&path)
        }
        _ => Context::default(),
    };
    partition::verify(&path, &context, totals, observer).map_err(failed)
}
