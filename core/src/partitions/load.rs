//! Opening every partition at start-up.
//!
//! What the metadata knows is opened, or made where a crash came between the metadata's commit and the directory.
//! What it doesn't know is set aside under a name of its own, never deleted.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fluxmq_protocol::StrBytes;
use fluxmq_storage::log::{Log, OpenHint, OpenLogError, Recovered};
use fluxmq_storage::log_dir::OffsetCheckpoint;
use parking_lot::Mutex;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::data_dir::DataDir;
use super::partition::{Partition, PartitionName};
use super::{Inner, PartitionError, PartitionManager};
use crate::config::TopicConfig;

/// How often a start that takes long says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// A topic of the metadata whose partitions are to be opened.
#[derive(Debug)]
pub struct TopicToLoad {
    /// The name.
    pub name: StrBytes,
    /// The id, which has to be that of the directories.
    pub id: Uuid,
    /// The settings in force.
    pub config: Arc<TopicConfig>,
    /// By partition index: the leader epoch last stored.
    pub leader_epochs: Vec<i32>,
}

impl PartitionManager {
    /// Whether the last run did not end with a clean shutdown: logs are recovered, and leader epochs rise.
    #[must_use]
    pub fn is_unclean(&self) -> bool {
        self.inner.dirs.iter().any(|dir| !dir.clean)
    }

    /// Opens the partitions of `topics`, recovering them after an unclean end, and returns them by topic and index.
    /// Each is under the epoch last stored or, if higher, the last in its log. One whose log can't be opened is offline. One
    /// that isn't there is made, or offline too if a log directory is `missing` in which it may lie.
    ///
    /// # Errors
    /// A directory can't be listed, or a partition's not be made; or the process has no files left to open.
    pub fn load(
        &self,
        topics: &[TopicToLoad],
        missing: bool,
    ) -> Result<Vec<Vec<Arc<Partition>>>, PartitionError> {
        let inner = &*self.inner;
        let mut found = Found::default();
        for dir in &inner.dirs {
            set_strays_aside(dir, topics, &mut found)?;
        }
        for dir in &inner.dirs {
            dir.keep_checkpoints(|topic, index| {
                let key = (StrBytes::from_string(topic.to_owned()), index);
                found.get(&key).is_some_and(|place| Arc::ptr_eq(&place.dir, dir))
            })
            .map_err(PartitionError::LogDir)?;
        }
        let load = Load {
            inner,
            found,
            missing,
            wanted: topics
                .iter()
                .flat_map(|topic| (0..topic.leader_epochs.len()).map(move |index| (topic, index)))
                .collect(),
            next: AtomicUsize::new(0),
            opened: Mutex::new(Vec::new()),
        };
        load.run(topics)
    }
}

/// Where a partition lies.
#[derive(Debug)]
struct Place {
    dir: Arc<DataDir>,
    path: PathBuf,
    /// The directory says which topic's it is.
    has_topic_id: bool,
}

type Found = HashMap<(StrBytes, i32), Place>;

/// Adds what belongs to `topics` to those found, after everything else in the directory was renamed to `-stray`.
fn set_strays_aside(
    dir: &Arc<DataDir>,
    topics: &[TopicToLoad],
    found: &mut Found,
) -> Result<(), PartitionError> {
    let known: HashMap<&str, &TopicToLoad> = topics.iter().map(|topic| (&*topic.name, topic)).collect();
    let listing = dir.log_dir.list().map_err(PartitionError::LogDir)?;
    if !dir.clean {
        // A directory that is seen may not be on disk yet: its maker was killed before it came to that.
        dir.log_dir.sync().map_err(PartitionError::LogDir)?;
    }
    dir.to_remove.lock().extend(listing.deleted.into_iter().map(|path| (i64::MIN, path)));
    for entry in listing.partitions {
        let topic = known.get(entry.topic.as_str()).filter(|topic| {
            usize::try_from(entry.partition).is_ok_and(|index| index < topic.leader_epochs.len())
                && entry.topic_id.is_none_or(|id| id == topic.id)
        });
        let Some(topic) = topic else {
            let aside = dir.log_dir.rename_stray(&entry.path).map_err(PartitionError::LogDir)?;
            warn!(
                from = %entry.path.display(),
                to = %aside.display(),
                "a log that the metadata doesn't know was set aside"
            );
            continue;
        };
        let place = Place { dir: Arc::clone(dir), path: entry.path, has_topic_id: entry.topic_id.is_some() };
        let path = place.path.clone();
        if let Some(other) = found.insert((topic.name.clone(), entry.partition), place) {
            let name =
                PartitionName { topic: topic.name.clone(), topic_id: topic.id, index: entry.partition };
            return Err(PartitionError::Twice { name, one: other.path, other: path });
        }
        dir.count_partition();
    }
    Ok(())
}

/// The state that the opening threads share.
struct Load<'a> {
    inner: &'a Inner,
    found: Found,
    missing: bool,
    wanted: Vec<(&'a TopicToLoad, usize)>,
    next: AtomicUsize,
    /// Place in `wanted`, and what came of it.
    opened: Mutex<Vec<(usize, Opened)>>,
}

type Opened = Result<Arc<Partition>, PartitionError>;

impl Load<'_> {
    fn run(self, topics: &[TopicToLoad]) -> Result<Vec<Vec<Arc<Partition>>>, PartitionError> {
        let started = Instant::now();
        let progress = Mutex::new(started);
        std::thread::scope(|scope| {
            for _ in 0..self.inner.recovery_threads.min(self.wanted.len()) {
                scope.spawn(|| self.open_all(&progress));
            }
        });
        let mut opened = self.opened.into_inner();
        opened.sort_by_key(|(place, _)| *place);
        let mut partitions = opened.into_iter().map(|(_, result)| result);
        let by_topic = topics
            .iter()
            .map(|topic| partitions.by_ref().take(topic.leader_epochs.len()).collect())
            .collect::<Result<_, _>>()?;
        if self.found.len() < self.wanted.len() && !self.missing {
            // Those that were not found have been made.
            self.inner.dirs.iter().try_for_each(|dir| dir.log_dir.sync()).map_err(PartitionError::LogDir)?;
        }
        if !self.wanted.is_empty() {
            info!(partitions = self.wanted.len(), ms = started.elapsed().as_millis(), "logs opened");
        }
        Ok(by_topic)
    }

    fn open_all(&self, progress: &Mutex<Instant>) {
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((topic, index)) = self.wanted.get(place) else { return };
            let opened = self.open(topic, *index);
            let failed = opened.is_err();
            self.opened.lock().push((place, opened));
            if failed {
                // The start fails; no need to open the rest.
                self.next.store(self.wanted.len(), Ordering::Relaxed);
            }
            if let Some(mut last) = progress.try_lock()
                && last.elapsed() >= PROGRESS_INTERVAL
            {
                *last = Instant::now();
                info!("opening logs: {} of {}", self.opened.lock().len(), self.wanted.len());
            }
        }
    }

    fn open(&self, topic: &TopicToLoad, index: usize) -> Result<Arc<Partition>, PartitionError> {
        let partition_index = i32::try_from(index).expect("partition indexes are i32");
        let name = PartitionName { topic: topic.name.clone(), topic_id: topic.id, index: partition_index };
        let inner = self.inner;
        let (data_dir, dir) = match self.found.get(&(name.topic.clone(), name.index)) {
            Some(Place { dir, path, has_topic_id: true }) => (Arc::clone(dir), path.clone()),
            // A folder that came from elsewhere: the topic's id is written into it.
            Some(Place { dir, .. }) => (Arc::clone(dir), dir.create_directory(&name)?),
            None if self.missing => return Ok(inner.absent(name, topic, index)),
            None => {
                let dir = inner.place().ok_or(PartitionError::Offline)?;
                let path = dir.create_directory(&name)?;
                (dir, path)
            }
        };
        let checkpointed = |file| data_dir.checkpointed.lock().offset(file, &name).unwrap_or(0);
        let hint = OpenHint {
            clean: data_dir.clean,
            recovery_point: checkpointed(OffsetCheckpoint::RecoveryPoint),
            log_start_offset: checkpointed(OffsetCheckpoint::LogStart),
            now_ms: inner.clock.now_ms(),
        };
        let config = inner.log_config(&topic.config);
        let (log, recovered) = match Log::open(&dir, config.clone(), inner.env.clone(), hint) {
            // If it is the process that can't open files, it can't be said of any log what is wrong with it.
            Err(error) if !error.is_out_of_files() => {
                error!(
                    partition = %name,
                    error = &error as &dyn std::error::Error,
                    "a log can't be opened: its partition is offline, the others are served; see docs/recovery.md"
                );
                (Log::unopened(&dir, config, inner.env.clone(), hint, &error), Recovered::default())
            }
            opened => opened.map_err(|source| PartitionError::Open { name: name.clone(), source })?,
        };
        if let Some(cut) = &recovered.cut {
            warn!(partition = %name, ?cut, end = log.log_end().offset, "a log was cut where it stops being valid");
        }
        let stored = topic.leader_epochs[index];
        let leader_epoch = log.latest_epoch().map_or(stored, |last| last.max(stored));
        let cleaned_until = data_dir.checkpointed.lock().offset(OffsetCheckpoint::Cleaner, &name);
        let partition = inner.adopt(name, log, Arc::clone(&topic.config), leader_epoch, &data_dir);
        cleaned_until.into_iter().for_each(|offset| partition.set_cleaned_until(offset));
        Ok(partition)
    }
}

impl Inner {
    /// A partition that may lie in a log directory that isn't there: it is offline.
    fn absent(&self, name: PartitionName, topic: &TopicToLoad, index: usize) -> Arc<Partition> {
        let dir = &self.dirs[0];
        let path = dir.log_dir.partition_path(&name.topic, name.index);
        let source =
            io::Error::new(io::ErrorKind::NotFound, "it isn't in the log directories that are there");
        let error = OpenLogError::Io { path: path.clone(), source };
        let hint =
            OpenHint { clean: false, recovery_point: 0, log_start_offset: 0, now_ms: self.clock.now_ms() };
        let log = Log::unopened(&path, self.log_config(&topic.config), self.env.clone(), hint, &error);
        let key = (name.topic.clone(), name.index);
        let (config, stored) = (Arc::clone(&topic.config), topic.leader_epochs[index]);
        let partition =
            Partition::new(name, log, config, self.policy, stored, Arc::clone(&dir.flusher)).absent();
        let partition = Arc::new(partition);
        self.partitions.write().insert(key, Arc::clone(&partition));
        partition
    }
}
