//! The partitions that this broker leads: their logs, the marks over them, and the threads that move the marks.

mod background;
mod checkpoints;
pub mod data_dir;
pub mod flusher;
pub mod high_watermark;
mod load;
mod once_a_minute;
pub mod partition;
mod preparer;
pub mod producer_ids;
mod rounds;
pub mod space;
pub mod waiters;
pub mod write_mode;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fluxmq_protocol::StrBytes;
use fluxmq_storage::batch::TimestampType;
use fluxmq_storage::fs::Fs;
use fluxmq_storage::log::{Log, LogConfig, LogEnv, OpenHint, OpenLogError};
use fluxmq_storage::log_dir::LogDir;
use fluxmq_storage::segment::OpenSegments;
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use self::background::Background;
use self::data_dir::DataDir;
pub use self::load::TopicToLoad;
use self::partition::{DeleteRecordsError, Partition, PartitionName};
use self::preparer::PrepareQueue;
use self::space::Volume;
use crate::clock::Clock;
use crate::config::{BrokerConfig, FlushPolicy, MessageTimestampType, TopicConfig};

/// Threads that sync partitions with waiting producers. See docs/decisions/003-group-commit.md.
const FLUSHER_THREADS: usize = 4;

/// How often the room on the volume is looked at, at most, while space is being taken.
const SPACE_INTERVAL: Duration = Duration::from_millis(20);

/// Threads that close logs at the end.
const CLOSING_THREADS: usize = 8;
/// Logs that can't be closed since the disk or the table of open files is full are tried again for so long.
const CLOSING_MAX: Duration = Duration::from_secs(5);

/// Why a partition's log was not made, opened or set aside.
#[derive(Debug, Error)]
pub enum PartitionError {
    /// Its directory could not be made, opened or renamed.
    #[error("the directory of {name}: {source}")]
    Directory {
        /// The partition.
        name: PartitionName,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
    /// Its log could not be opened.
    #[error("the log of {name}: {source}")]
    Open {
        /// The partition.
        name: PartitionName,
        /// What is wrong with it.
        #[source]
        source: OpenLogError,
    },
    /// It lies in two log directories.
    #[error("{name} lies in {} and in {}: set the older one aside", one.display(), other.display())]
    Twice {
        /// The partition.
        name: PartitionName,
        /// One of its directories.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// The log directory could not be listed, or a log in it not be set aside.
    #[error("the log directory: {0}")]
    LogDir(#[source] io::Error),
    /// Every log directory is offline.
    #[error("the log directories are offline")]
    Offline,
}

/// Makes, opens and sets aside the logs of partitions, and runs the threads that work for all of them.
#[derive(Debug)]
pub struct PartitionManager {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Inner {
    /// `log.dirs`, in their order; at least one.
    dirs: Vec<Arc<DataDir>>,
    policy: FlushPolicy,
    producer_id_expiration_ms: i64,
    recovery_threads: usize,
    clock: Clock,
    env: LogEnv,
    /// What the maintenance thread is told.
    background: Arc<Background>,
    preparer: Arc<PrepareQueue>,
    /// By topic and index, so that checkpoint files come out in order.
    partitions: RwLock<BTreeMap<(StrBytes, i32), Arc<Partition>>>,
}

impl PartitionManager {
    /// A manager of the partitions in `dirs`, none of them opened yet, with its threads running.
    ///
    /// # Errors
    /// A thread could not be started, or the mark of a clean stop not be removed.
    ///
    /// # Panics
    /// Without a directory.
    pub fn start(
        dirs: Vec<LogDir>,
        fs: Arc<dyn Fs>,
        config: &BrokerConfig,
        clock: Clock,
    ) -> io::Result<Self> {
        Self::start_with(dirs, fs, config, clock, FLUSHER_THREADS)
    }

    fn start_with(
        dirs: Vec<LogDir>,
        fs: Arc<dyn Fs>,
        config: &BrokerConfig,
        clock: Clock,
        flusher_threads: usize,
    ) -> io::Result<Self> {
        assert!(!dirs.is_empty(), "a broker has a log directory");
        let preparer = Arc::new(PrepareQueue::default());
        let background = Arc::<Background>::default();
        let open =
            |dir| DataDir::new(dir, config.log_dir_reserve_bytes, Arc::clone(&background)).map(Arc::new);
        let open_segments = usize::try_from(config.log_open_segments_max).unwrap_or(1);
        let inner = Arc::new(Inner {
            dirs: dirs.into_iter().map(open).collect::<io::Result<_>>()?,
            policy: config.log_flush_policy,
            producer_id_expiration_ms: i64::from(config.producer_id_expiration_ms),
            recovery_threads: usize::try_from(config.num_recovery_threads_per_data_dir).unwrap_or(1).max(1),
            clock,
            env: LogEnv {
                open_segments: Arc::new(OpenSegments::new(open_segments)),
                ..LogEnv::new(fs, Some(preparer.clone()))
            },
            background,
            preparer,
            partitions: RwLock::default(),
        });
        let mut threads = Vec::new();
        for (place, dir) in inner.dirs.iter().enumerate() {
            for number in 0..flusher_threads {
                let (inner, dir) = (Arc::clone(&inner), Arc::clone(dir));
                threads.push(named_thread(&format!("flusher-{place}-{number}"), move || {
                    dir.flusher.run(&|| inner.release_waiters_in(&dir));
                })?);
            }
        }
        let preparing = Arc::clone(&inner);
        threads.push(named_thread("preparer", move || {
            let mut looked = Instant::now();
            preparing.preparer.run(|| {
                // Whoever writes fast can use up the reserve before it is looked at next.
                if looked.elapsed() >= SPACE_INTERVAL {
                    looked = Instant::now();
                    preparing.dirs.iter().for_each(|dir| _ = dir.watch_space());
                }
            });
        })?);
        Ok(PartitionManager { inner, threads: Mutex::new(threads) })
    }

    /// Makes the log of a new partition. Its directory is on disk once [`sync_created`](Self::sync_created) has
    /// returned; it has no segment before the first append, and no open file.
    ///
    /// # Errors
    /// The directory can't be made, or there is something in its place that can't be read.
    pub fn create(
        &self,
        name: PartitionName,
        config: Arc<TopicConfig>,
        leader_epoch: i32,
    ) -> Result<Arc<Partition>, PartitionError> {
        let inner = &*self.inner;
        let data_dir = inner.place().ok_or(PartitionError::Offline)?;
        data_dir.forget_checkpoints(&name).map_err(PartitionError::LogDir)?;
        let dir = data_dir.create_directory(&name)?;
        let hint =
            OpenHint { clean: true, recovery_point: 0, log_start_offset: 0, now_ms: inner.clock.now_ms() };
        let (log, _) = Log::open(&dir, inner.log_config(&config), inner.env.clone(), hint)
            .map_err(|source| PartitionError::Open { name: name.clone(), source })?;
        // The epoch is in the metadata; the log learns of it with the first batch.
        Ok(inner.adopt(name, log, config, leader_epoch, &data_dir))
    }

    /// Makes durable that the partitions created so far are there.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn sync_created(&self) -> io::Result<()> {
        self.inner.dirs.iter().filter(|dir| !dir.is_offline()).try_for_each(|dir| dir.log_dir.sync())
    }

    /// Sets the log of a deleted partition aside, to be unlinked once its last reader is gone. Whoever waits for the
    /// partition is woken.
    ///
    /// # Errors
    /// The directory can't be renamed.
    pub fn delete(&self, partition: &Arc<Partition>) -> Result<(), PartitionError> {
        let name = partition.name();
        {
            let mut partitions = self.inner.partitions.write();
            let key = (name.topic.clone(), name.index);
            if partitions.get(&key).is_some_and(|known| Arc::ptr_eq(known, partition)) {
                partitions.remove(&key);
            }
        }
        partition.mark_deleted();
        if partition.is_absent() {
            return Ok(());
        }
        let dir = self.inner.dirs.iter().find(|dir| partition.lies_in(dir)).expect("it lies in one of them");
        dir.forget_partition();
        let renamed = dir
            .log_dir
            .rename_for_deletion(&name.topic, name.index)
            .map_err(|source| PartitionError::Directory { name: name.clone(), source })?;
        let remove_at_ms = self.inner.clock.now_ms().saturating_add(partition.config().file_delete_delay_ms);
        dir.to_remove.lock().push((remove_at_ms, renamed));
        Ok(())
    }

    /// Gives a partition the settings that its topic has now.
    pub fn update_config(&self, partition: &Partition, config: &Arc<TopicConfig>) {
        partition.update_config(Arc::clone(config), self.inner.log_config(config));
    }

    /// Moves a partition's log start for DeleteRecords, with everything below it durable, and returns it. It holds
    /// after a crash once [`checkpoint_log_start_offsets`](Self::checkpoint_log_start_offsets) has returned. Blocks
    /// on the disk.
    ///
    /// # Errors
    /// The log start stays.
    pub fn delete_records(&self, partition: &Arc<Partition>, offset: i64) -> Result<i64, DeleteRecordsError> {
        let log_start_offset = partition.delete_records(offset)?;
        sync_up_to_log_start(partition);
        Ok(log_start_offset)
    }

    /// Deletes what the topics' retention doesn't keep any more. The new log starts are on the disk when this returns.
    ///
    /// # Errors
    /// The log starts can't be written; the files are gone.
    pub fn apply_retention(&self, now_ms: i64) -> io::Result<()> {
        let shortened: Vec<_> = self.all().into_iter().filter(|one| one.apply_retention(now_ms)).collect();
        if shortened.is_empty() {
            return Ok(());
        }
        shortened.iter().for_each(sync_up_to_log_start);
        self.checkpoint_log_start_offsets()
    }

    /// Every partition, by topic and index.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.inner.partitions.read().values().cloned().collect()
    }

    /// Whether every log directory failed: none takes requests.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.inner.dirs.iter().all(|dir| dir.is_offline())
    }

    /// The log directories, in the order of `log.dirs`.
    #[must_use]
    pub fn dirs(&self) -> &[Arc<DataDir>] {
        &self.inner.dirs
    }

    /// The cluster that the directories belong to.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.inner.dirs[0].log_dir.cluster_id()
    }

    /// Looks at the room on the volume, and says so when records are refused for it or taken again. When there is little,
    /// deleted files go at once.
    ///
    /// # Errors
    /// The volume can't be asked, or a deleted directory not be removed.
    pub fn watch_space(&self) -> io::Result<()> {
        for dir in self.inner.dirs.iter().filter(|dir| !dir.is_offline()) {
            dir.watch_space()?;
            if dir.flusher.space.is_low() {
                let partitions = self.all();
                let here = partitions.iter().filter(|partition| partition.lies_in(dir));
                here.for_each(|partition| partition.log().unlink_deleted(None));
                dir.remove_deleted(i64::MAX)?;
            }
        }
        Ok(())
    }

    /// The queue of the maintenance thread.
    pub(crate) fn background(&self) -> &Background {
        &self.inner.background
    }

    /// Asks for a sync of every partition whose oldest record that is not on disk is older than `flush.ms`.
    pub fn flush_by_time(&self, now_ms: i64) {
        if self.inner.policy == FlushPolicy::Never {
            return;
        }
        for partition in self.inner.partitions.read().values() {
            if partition.is_flush_due(now_ms) {
                partition.request_flush();
            }
        }
    }

    /// Rolls every segment that is older than `segment.ms`, as the next append would.
    pub fn roll_by_time(&self, now_ms: i64) {
        for partition in self.all().into_iter().filter(|partition| !partition.is_offline()) {
            match partition.log().roll_if_due(now_ms) {
                Ok(true) => self.background().rolled(&partition),
                Ok(false) => {}
                Err(offline) => partition.storage_failed(&format_args!("{}: {offline}", partition.name())),
            }
        }
    }

    /// Unlinks the directories of deleted partitions whose time has come.
    ///
    /// # Errors
    /// What kept one of them from going; it is tried again.
    pub fn remove_deleted(&self, now_ms: i64) -> io::Result<()> {
        let online = self.inner.dirs.iter().filter(|dir| !dir.is_offline());
        all_tried(online.map(|dir| dir.remove_deleted(now_ms)))
    }

    /// The flush policy of the broker.
    #[must_use]
    pub fn policy(&self) -> FlushPolicy {
        self.inner.policy
    }

    /// Flushes and closes every log, writes the checkpoints and at last the mark of a clean shutdown. Nothing is
    /// appended from the first step on. Without the mark the next start recovers, so a failure loses nothing.
    ///
    /// # Errors
    /// What kept the shutdown from being a clean one.
    pub fn shut_down(&self) -> io::Result<()> {
        if !self.join_threads() {
            return Err(io::Error::other("a thread of the partitions panicked"));
        }
        let partitions = self.all();
        let closed = self.inner.dirs.iter().map(|dir| close_all_in(dir, &partitions));
        let closed: Vec<io::Result<()>> = closed.collect();
        self.checkpoint_recovery_points()?;
        self.checkpoint_log_start_offsets()?;
        self.checkpoint_high_watermarks()?;
        let mark = |(dir, closed): (&Arc<DataDir>, io::Result<()>)| {
            closed.and_then(|()| dir.log_dir.mark_clean_shutdown())
        };
        // Those that can be marked are, whatever comes of the others.
        all_tried(self.inner.dirs.iter().zip(closed).map(mark))
    }
}

/// Closes the logs in a directory. An error says why the directory is not to be marked as cleanly stopped.
fn close_all_in(dir: &Arc<DataDir>, partitions: &[Arc<Partition>]) -> io::Result<()> {
    if dir.is_offline() {
        return Err(io::Error::other(dir.flusher.health.reason().unwrap_or_default()));
    }
    let here = partitions.iter().filter(|partition| partition.lies_in(dir) && !partition.is_absent());
    let (unopened, opened): (Vec<&Arc<Partition>>, Vec<_>) = here.partition(|one| one.is_unopened());
    // Each waits for the disk several times, so several are closed at once.
    let share = opened.len().div_ceil(CLOSING_THREADS).max(1);
    let until = Instant::now() + CLOSING_MAX;
    std::thread::scope(|scope| {
        let close =
            move |some: &[&Arc<Partition>]| some.iter().try_for_each(|partition| partition.close(until));
        let threads: Vec<_> = opened.chunks(share).map(|some| scope.spawn(move || close(some))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread that closed logs panicked")))
        })
    })?;
    match unopened.first() {
        None => Ok(()),
        // Or the next start would take its files as they are.
        Some(one) => Err(io::Error::other(format!("the log of {} was never opened", one.name()))),
    }
}

impl PartitionManager {
    /// Ends the threads; the flushers finish what is queued. False when one had panicked.
    fn join_threads(&self) -> bool {
        self.inner.preparer.stop();
        self.inner.dirs.iter().for_each(|dir| dir.flusher.stop());
        let mut all_fine = true;
        for thread in self.threads.lock().drain(..) {
            all_fine &= thread.join().is_ok();
        }
        all_fine
    }
}

impl Drop for PartitionManager {
    /// Ends the threads; without [`shut_down`](Self::shut_down) nothing is flushed, as in a crash.
    fn drop(&mut self) {
        // Joined, so that the directory's lock is given up when this returns.
        self.join_threads();
    }
}

impl Inner {
    /// The directory for a new partition: of those that are online the one with the fewest, as in Kafka. It is counted there.
    fn place(&self) -> Option<Arc<DataDir>> {
        let online = self.dirs.iter().filter(|dir| !dir.is_offline());
        let dir = online.min_by_key(|dir| dir.partition_count())?;
        dir.count_partition();
        Some(Arc::clone(dir))
    }

    fn log_config(&self, config: &TopicConfig) -> LogConfig {
        LogConfig {
            segment_bytes: u32::try_from(config.segment_bytes).unwrap_or(u32::MAX),
            segment_ms: match config.cleanup_policy.compact {
                // What is being written to can't be compacted.
                true => config.segment_ms.min(config.max_compaction_lag_ms),
                false => config.segment_ms,
            },
            segment_jitter_ms: config.segment_jitter_ms,
            file_delete_delay_ms: config.file_delete_delay_ms,
            index_interval_bytes: u32::try_from(config.index_interval_bytes).unwrap_or(0),
            segment_index_bytes: u32::try_from(config.segment_index_bytes).unwrap_or(u32::MAX),
            message_timestamp_type: match config.message_timestamp_type {
                MessageTimestampType::CreateTime => TimestampType::CreateTime,
                MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
            },
            compact: config.cleanup_policy.compact,
            producer_id_expiration_ms: self.producer_id_expiration_ms,
        }
    }

    /// Puts an opened log among the partitions.
    fn adopt(
        &self,
        name: PartitionName,
        log: Log,
        config: Arc<TopicConfig>,
        leader_epoch: i32,
        dir: &DataDir,
    ) -> Arc<Partition> {
        let key = (name.topic.clone(), name.index);
        let flusher = Arc::clone(&dir.flusher);
        let partition = Arc::new(Partition::new(name, log, config, self.policy, leader_epoch, flusher));
        self.partitions.write().insert(key, Arc::clone(&partition));
        partition
    }

    fn release_waiters_in(&self, dir: &Arc<DataDir>) {
        let partitions: Vec<_> = self.partitions.read().values().cloned().collect();
        let here = partitions.iter().filter(|partition| partition.lies_in(dir));
        here.for_each(|partition| partition.release_waiters());
    }
}

#[cfg(test)]
impl PartitionManager {
    /// That of the first directory.
    pub(crate) fn flusher(&self) -> &flusher::Flusher {
        &self.inner.dirs[0].flusher
    }

    /// A manager for a test, in the log directory `dir`.
    pub(crate) fn for_tests(dir: &std::path::Path) -> Self {
        let config = BrokerConfig::for_tests(dir);
        tests::start(dir, &config, Arc::new(fluxmq_storage::fs::RealFs), FLUSHER_THREADS)
    }
}

/// Or after a crash the log could end below its start.
fn sync_up_to_log_start(partition: &Arc<Partition>) {
    if partition.durable_end() < partition.log().log_start_offset() {
        partition.sync_now();
    }
}

/// The first error of all that was tried: one that fails doesn't keep the others from being tried.
fn all_tried(tries: impl Iterator<Item = io::Result<()>>) -> io::Result<()> {
    let results: Vec<io::Result<()>> = tries.collect();
    results.into_iter().collect()
}

/// The size of the volume that `path` lies on.
///
/// # Errors
/// The volume can't be asked.
pub fn volume_of(path: &Path) -> io::Result<Volume> {
    let volume = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
    Ok(Volume { total_bytes: bytes(volume.f_blocks), free_bytes: bytes(volume.f_bavail) })
}

fn named_thread(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

#[cfg(test)]
mod tests;
