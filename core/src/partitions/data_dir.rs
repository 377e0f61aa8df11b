//! One of the directories of `log.dirs`: its lock, its checkpoints, the health and the syncs of the logs in it.
//!
//! Directories fail one by one: what lies in the others is served on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use fluxmq_storage::log_dir::LogDir;
use parking_lot::Mutex;
use tracing::{info, warn};

use super::background::Background;
use super::checkpoints::Checkpointed;
use super::flusher::Flusher;
use super::partition::PartitionName;
use super::space::SpaceNews;
use super::{PartitionError, volume_of};

/// A log directory that is open.
#[derive(Debug)]
pub struct DataDir {
    pub(super) log_dir: LogDir,
    /// The last run ended with a clean shutdown.
    pub(super) clean: bool,
    /// Its partitions have it too. The directory itself they don't hold, or its lock would be theirs.
    pub(super) flusher: Arc<Flusher>,
    /// What stands in each checkpoint file.
    pub(super) checkpointed: Mutex<Checkpointed>,
    /// Directories of deleted partitions, and when they may be unlinked.
    pub(super) to_remove: Mutex<Vec<(i64, PathBuf)>>,
    /// Partitions that lie here, or are about to.
    partitions: AtomicUsize,
}

impl DataDir {
    /// Takes the directory into use: from here on a crash is one.
    ///
    /// # Errors
    /// The mark of a clean stop can't be removed.
    pub(super) fn new(
        log_dir: LogDir,
        reserve_bytes: i64,
        background: Arc<Background>,
    ) -> io::Result<DataDir> {
        let checkpointed = Mutex::new(Checkpointed::read(&log_dir));
        Ok(DataDir {
            clean: log_dir.take_clean_shutdown()?,
            log_dir,
            flusher: Arc::new(Flusher::new(reserve_bytes, background)),
            checkpointed,
            to_remove: Mutex::default(),
            partitions: AtomicUsize::new(0),
        })
    }

    /// The directory itself.
    #[must_use]
    pub fn log_dir(&self) -> &LogDir {
        &self.log_dir
    }

    /// What syncing costs, and why the directory is offline if it is.
    #[must_use]
    pub fn flusher(&self) -> &Flusher {
        &self.flusher
    }

    /// Whether it failed and takes no more requests.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.flusher.health.is_offline()
    }

    pub(super) fn partition_count(&self) -> usize {
        self.partitions.load(Ordering::Relaxed)
    }

    pub(super) fn count_partition(&self) {
        self.partitions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn forget_partition(&self) {
        self.partitions.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn create_directory(&self, name: &PartitionName) -> Result<PathBuf, PartitionError> {
        self.log_dir
            .create_partition(&name.topic, name.topic_id, name.index)
            .map_err(|source| PartitionError::Directory { name: name.clone(), source })
    }

    /// Looks at the room on the volume, and says so when records are refused for it or taken again.
    pub(super) fn watch_space(&self) -> io::Result<()> {
        let path = self.log_dir.path();
        let volume = volume_of(path)?;
        match self.flusher.space.look(volume, Instant::now()) {
            None => {}
            Some(SpaceNews::Low { reserve_bytes }) => warn!(
                dir = %path.display(),
                free_bytes = volume.free_bytes,
                reserve_bytes,
                "the volume is nearly full: records are refused until there is room; delete topics or records, or let \
                 retention keep less (log.dir.reserve.bytes)"
            ),
            Some(SpaceNews::Enough) => {
                info!(dir = %path.display(), free_bytes = volume.free_bytes, "there is room again, records are taken");
            }
        }
        Ok(())
    }

    /// Unlinks the directories of deleted partitions whose time has come.
    pub(super) fn remove_deleted(&self, now_ms: i64) -> io::Result<()> {
        let due: Vec<(i64, PathBuf)> =
            self.to_remove.lock().extract_if(.., |(remove_at_ms, _)| *remove_at_ms <= now_ms).collect();
        let mut result = Ok(());
        for (remove_at_ms, path) in due {
            if let Err(error) = self.log_dir.remove_deleted(&path) {
                self.to_remove.lock().push((remove_at_ms, path));
                result = Err(error);
            }
        }
        result
    }
}
