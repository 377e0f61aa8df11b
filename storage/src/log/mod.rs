//! The log of one partition: an ordered list of segments, of which the last takes the appends.
//!
//! Appends go through one short mutex; reads take no lock: the list of segments is swapped whole, and each
//! segment publishes its end in one word. Bytes before a published end never change again, so a reader may hold
//! a [`Slice`](crate::slice::Slice) of them for as long as it likes.
//!
//! Three offsets matter: the log end (what is published), the durable end (what [`Log::sync`] has covered) and
//! the recovery point (below which nothing is looked at after a crash: records, indexes and snapshots are on
//! disk). The high watermark is the partition's business, above this crate.

mod append;
mod compaction;
mod lookup;
mod maintain;
mod open;
mod prepare;
mod read;
mod replay;
mod retention;
mod sync;
mod transactions;
mod trust_aborted;

pub use append::{AppendContext, AppendError, Appended, WriteMode};
pub(crate) use compaction::{CLEANED_SUFFIX, SWAP_SUFFIX};
pub use compaction::{
    Cleanable, Compacted, CompactionError, CompactionLimits, CompactionRules, OffsetMap, Pace,
    UnreadableBatch,
};
pub use lookup::TimestampOffset;
pub use maintain::LogStartError;
pub(crate) use open::trusted_segment;
pub use open::{OpenHint, OpenLogError};
pub(crate) use prepare::NEXT_SEGMENT_NAME;
pub use prepare::{PrepareTask, Preparer};
pub use read::ReadError;
pub use retention::{RetentionLimits, RetentionOutcome};
pub use sync::CloseError;

pub use crate::recovery::{Cut, CutReason, Recovered};

use crate::batch::TimestampType;
use crate::fs::Fs;
use crate::leader_epochs::LeaderEpochs;
use crate::mmap::SegmentMap;
use crate::producer_state::ProducerStates;
use crate::segment::{OpenSegments, Segment};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use prepare::NextSegment;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use transactions::Unstable;

/// An offset with its place in the files; Kafka's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOffsetMetadata {
    /// The offset.
    pub offset: i64,
    /// Base offset of the segment that holds it or, at the log end, will.
    pub segment_base_offset: i64,
    /// Position of the batch that starts there.
    pub position: u32,
}

/// What a topic's configuration says to its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment that would grow beyond is rolled before. At most `i32::MAX`.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment whose first batch is older than this is rolled at the next append.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: most that is taken off that, another part of it for each segment, so that not all roll at once.
    pub segment_jitter_ms: i64,
    /// `file.delete.delay.ms`: how long the files of a deleted segment stay under another name.
    pub file_delete_delay_ms: i64,
    /// `index.interval.bytes`: bytes between index entries.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: size at which an index is full and its segment is rolled.
    pub segment_index_bytes: u32,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `cleanup.policy` contains `compact`: offsets may be missing in segments that were compacted.
    pub compact: bool,
    /// `producer.id.expiration.ms`: how long an idle producer's sequence is remembered.
    pub producer_id_expiration_ms: i64,
}

impl LogConfig {
    /// How long a segment takes appends, in milliseconds, by the jitter that falls to it.
    fn roll_after_ms(&self, dir: &Path, base_offset: i64) -> i64 {
        let most_ms = self.segment_jitter_ms.min(self.segment_ms);
        if most_ms <= 0 {
            return self.segment_ms;
        }
        let mut hasher = DefaultHasher::new();
        (dir, base_offset).hash(&mut hasher);
        self.segment_ms - (hasher.finish() % most_ms as u64) as i64
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 256 << 20,
            segment_ms: 7 * 24 * 3600 * 1000,
            segment_jitter_ms: 0,
            file_delete_delay_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            message_timestamp_type: TimestampType::CreateTime,
            compact: false,
            producer_id_expiration_ms: 24 * 3600 * 1000,
        }
    }
}

/// What a log needs from its surroundings.
#[derive(Debug, Clone)]
pub struct LogEnv {
    /// File operations.
    pub fs: Arc<dyn Fs>,
    /// Who runs [`PrepareTask`]s. Without one segments aren't mapped, and what is due is done in the append.
    pub preparer: Option<Arc<dyn Preparer>>,
    /// Which rolled segments, of all logs that share this, are open.
    pub open_segments: Arc<OpenSegments>,
}

impl LogEnv {
    /// Rolled segments that are open when nobody says how many.
    pub const DEFAULT_OPEN_SEGMENTS: usize = 1000;

    /// With [`Self::DEFAULT_OPEN_SEGMENTS`].
    pub fn new(fs: Arc<dyn Fs>, preparer: Option<Arc<dyn Preparer>>) -> LogEnv {
        LogEnv { fs, preparer, open_segments: Arc::new(OpenSegments::new(LogEnv::DEFAULT_OPEN_SEGMENTS)) }
    }
}

/// A log went offline: a write or a sync failed, and what the file holds is not known any more. It stays so until
/// it is opened again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log is offline: {what}: {cause}")]
pub struct Offline {
    /// The operation that failed.
    pub what: &'static str,
    /// The kind of its error.
    pub kind: std::io::ErrorKind,
    /// Its error, as text.
    pub cause: Arc<str>,
}

/// The log of one partition. A handle: clones share the log.
#[derive(Debug, Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    env: LogEnv,
    segments: ArcSwap<SegmentList>,
    log_start_offset: AtomicI64,
    writer: Mutex<Writer>,
    /// Rolled segments whose files have to be finished, oldest first.
    sealing: Mutex<VecDeque<Sealing>>,
    /// Held by whoever changes the extent or length of a segment's file outside the append.
    extent_lock: Mutex<()>,
    sync_lock: Mutex<()>,
    durable_end: Mutex<LogOffsetMetadata>,
    recovery_point: AtomicI64,
    /// Files were created or renamed since the directory was last synced.
    dir_dirty: AtomicBool,
    prepare_pending: AtomicBool,
    /// fallocate works here.
    can_allocate: AtomicBool,
    /// Maps can be trusted here.
    can_map: AtomicBool,
    offline: OnceLock<Offline>,
    /// Marked deleted; set under the sync lock and the extent lock.
    gone: AtomicBool,
    /// Files that were renamed for deletion and wait for their last reader.
    deleted: Mutex<Vec<maintain::DeletedSegment>>,
    unstable: Unstable,
}

/// The segments in offset order. Empty until the first append.
#[derive(Debug)]
struct SegmentList {
    segments: Vec<Arc<Segment>>,
    /// The log end while there is no segment.
    empty_at: i64,
}

/// What the append mutex protects.
#[derive(Debug)]
struct Writer {
    config: LogConfig,
    next_offset: i64,
    producers: ProducerStates,
    epochs: LeaderEpochs,
    /// The epochs differ from their checkpoint file.
    epochs_dirty: bool,
    active: Option<Active>,
    /// Something was appended or rolled since the log was opened, or its files weren't those of a clean stop.
    changed: bool,
    /// A file made ready for the next roll.
    next: Option<NextSegment>,
    closed: bool,
}

/// The segment that takes the appends.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    /// Where the next batch goes.
    position: u32,
    bytes_since_index_entry: u32,
    /// Largest timestamp of the first batch, `None` while there is no batch.
    first_timestamp_ms: Option<i64>,
    /// End of the stretch that fallocate has reserved.
    allocated_end: u64,
    /// Up to here the page cache has been filled with zeros ahead of the appends.
    filled_end: u64,
    /// How far ahead of the appends the preparer works: grows with the rate.
    ahead_bytes: u64,
    /// When preparation was last asked for.
    prepared_ms: i64,
    map: Option<ActiveMap>,
    /// The last append asked for the map.
    wants_map: bool,
    last_append_ms: i64,
}

#[derive(Debug)]
struct ActiveMap {
    map: SegmentMap,
    /// Up to here pages are writable and blocks reserved.
    prepared_end: u64,
}

/// A rolled segment, and what its files still lack.
#[derive(Debug)]
struct Sealing {
    segment: Arc<Segment>,
    /// Dropped outside the append mutex: unmapping takes a while.
    map: Option<ActiveMap>,
    /// The producers' state at the roll, and the offset of that.
    snapshot: (i64, Vec<u8>),
}

impl SegmentList {
    fn end(&self) -> LogOffsetMetadata {
        match self.segments.last() {
            None => {
                LogOffsetMetadata { offset: self.empty_at, segment_base_offset: self.empty_at, position: 0 }
            }
            Some(active) => {
                let end = active.end();
                LogOffsetMetadata {
                    offset: end.next_offset,
                    segment_base_offset: active.base_offset(),
                    position: end.position,
                }
            }
        }
    }

    /// Index of the first segment that isn't on disk with all that belongs to it; all before it are, for segments
    /// are rolled and synced in order.
    fn first_not_durable(&self) -> usize {
        self.segments.iter().rposition(|segment| segment.is_durable()).map_or(0, |last| last + 1)
    }

    /// Index of the last segment whose base offset is not above `offset`.
    fn floor(&self, offset: i64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base_offset() <= offset).checked_sub(1)
    }
}

impl Inner {
    fn fs(&self) -> &dyn Fs {
        &*self.env.fs
    }

    fn check_online(&self) -> Result<(), Offline> {
        match self.offline.get() {
            None => Ok(()),
            Some(offline) => Err(offline.clone()),
        }
    }

    /// Takes the log offline, or reports why it went before.
    fn fail(&self, what: &'static str, error: &std::io::Error) -> Offline {
        let offline = self.offline.get_or_init(|| Offline {
            what,
            kind: error.kind(),
            cause: error.to_string().into(),
        });
        tracing::error!(dir = %self.dir.display(), what, %error, "log goes offline");
        offline.clone()
    }
}

impl Log {
    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// First offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.inner.log_start_offset.load(Ordering::Acquire)
    }

    /// The published end: the offset that the next record gets, and its place.
    pub fn log_end(&self) -> LogOffsetMetadata {
        self.inner.segments.load().end()
    }

    /// The end that a [`Log::sync`] has covered.
    pub fn durable_end(&self) -> LogOffsetMetadata {
        *self.inner.durable_end.lock()
    }

    /// The offset for the recovery point checkpoint. Everything below is on disk, and of the segments that end at it or
    /// below also indexes and snapshots.
    pub fn recovery_point(&self) -> i64 {
        self.inner.recovery_point.load(Ordering::Acquire)
    }

    /// Bytes of all batches.
    pub fn size_bytes(&self) -> u64 {
        self.inner.segments.load().segments.iter().map(|segment| u64::from(segment.end().position)).sum()
    }

    /// Number of segments; 0 until the first append.
    pub fn segment_count(&self) -> usize {
        self.inner.segments.load().segments.len()
    }

    /// Why the log is offline, if it is.
    pub fn offline(&self) -> Option<Offline> {
        self.inner.offline.get().cloned()
    }

    /// Replaces the configuration; it holds from the next append on.
    pub fn update_config(&self, config: LogConfig) {
        self.inner.writer.lock().config = config;
    }
}

#[cfg(test)]
mod tests;
