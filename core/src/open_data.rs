//! From a data directory to topics that can be served: metadata, logs, leader epochs.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fluxmq_storage::fs::{Fs, RealFs};
use fluxmq_storage::log_dir::{CLUSTER_METADATA_DIR, LogDir, LogDirError};
use fluxmq_storage::meta_properties::encode_uuid;
use thiserror::Error;
use tracing::error;

use crate::clock::Clock;
use crate::config::{BrokerConfig, ConfigError, TopicConfig};
use crate::meta::import::has_metadata;
use crate::meta::{Metadata, MetadataError, StoredTopic};
use crate::partitions::partition::Partition;
use crate::partitions::{PartitionError, PartitionManager, TopicToLoad};

/// Threads that write leader epochs after an unclean end.
const EPOCH_THREADS: usize = 8;

/// Why a data directory could not be opened.
#[derive(Debug, Error)]
pub enum OpenDataError {
    /// It is in use, or not one that this broker may use.
    #[error(transparent)]
    LogDir(#[from] LogDirError),
    /// It is Kafka's, whose topics would all be set aside as unknown.
    #[error("{} holds the data of Apache Kafka: make it FluxMQ's with `fluxmq adopt` first", .0.display())]
    NotAdopted(PathBuf),
    /// It cannot be read or written, or a thread not be started.
    #[error("the data directory cannot be opened: {0}")]
    Io(#[from] io::Error),
    /// The metadata in it cannot be read or written.
    #[error("the metadata cannot be opened: {0}")]
    Metadata(#[from] MetadataError),
    /// A topic's stored settings are refused under the broker's present ones. Serving it under others could delete
    /// records.
    #[error("topic {topic}: {error}")]
    TopicConfig {
        /// The topic.
        topic: String,
        /// What is wrong.
        error: ConfigError,
    },
    /// A log cannot be opened.
    #[error(transparent)]
    Partition(#[from] PartitionError),
}

/// Opens the data directory: every log is recovered, every leader epoch decided and stored, every topic published.
///
/// # Errors
/// See [`OpenDataError`]; the broker must not serve.
pub fn open_data(
    config: &BrokerConfig,
    clock: &Clock,
) -> Result<(Metadata, PartitionManager), OpenDataError> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let dirs = open_dirs(config, &fs)?;
    let first = dirs[0].path().to_owned();
    if first.join(CLUSTER_METADATA_DIR).exists() && !has_metadata(&first) {
        return Err(OpenDataError::NotAdopted(first));
    }
    let (metadata, mut stored) = Metadata::open(&first)?;
    let there: BTreeSet<String> = dirs.iter().map(|dir| encode_uuid(dir.directory_id())).collect();
    let missing: Vec<String> = metadata.log_dirs()?.difference(&there).cloned().collect();
    let manager = PartitionManager::start(dirs, fs, config, clock.clone())?;
    let to_load = stored.iter().map(|topic| to_load(config, topic)).collect::<Result<Vec<_>, _>>()?;
    let partitions = manager.load(&to_load, !missing.is_empty())?;
    let absent = partitions.iter().flatten().filter(|partition| partition.is_absent()).count();
    if absent > 0 {
        error!(
            partitions = absent,
            directory_ids = missing.join(","),
            "a log directory that was used before is not there: the partitions that may lie in it are offline; put it \
             back among log.dirs, or delete their topics"
        );
    } else {
        // One that is missing had none.
        metadata.set_log_dirs(there)?;
    }

    // After an unclean end records may be gone that clients have seen: they notice by the epoch. It is stored before
    // anyone can learn of it.
    let last_in_log = |topic: usize, index: usize| partitions[topic][index].log().latest_epoch();
    metadata.bump_leader_epochs(&mut stored, last_in_log, manager.is_unclean())?;
    lead(stored.iter().zip(&partitions).flat_map(|(topic, logs)| logs.iter().zip(&topic.leader_epochs)))?;
    let topics = stored.into_iter().zip(to_load).zip(partitions);
    metadata.publish(topics.map(|((topic, loaded), logs)| topic.open(loaded.config, logs)));
    Ok((metadata, manager))
}

/// Opens the log directories. The first has the metadata, so it has to be there; another that can't be read is left out.
fn open_dirs(config: &BrokerConfig, fs: &Arc<dyn Fs>) -> Result<Vec<LogDir>, OpenDataError> {
    let mut dirs: Vec<LogDir> = Vec::new();
    for path in &config.log_dirs {
        let cluster_id =
            dirs.first().map(|first| first.cluster_id().to_owned()).or_else(|| config.cluster_id.clone());
        match LogDir::open(path, cluster_id.as_deref(), config.node_id, Arc::clone(fs)) {
            Ok(dir) => dirs.push(dir),
            Err(error @ (LogDirError::Io { .. } | LogDirError::NotWritable { .. })) if !dirs.is_empty() => {
                error!(%error, "a log directory can't be opened, the others are served");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(dirs)
}

/// Has each partition led under its epoch. Only those that leave another one write it to their log: the epoch is in the
/// metadata. Each waits for the disk, so several do it at once.
fn lead<'a>(partitions: impl Iterator<Item = (&'a Arc<Partition>, &'a i32)>) -> io::Result<()> {
    let changed: Vec<_> =
        partitions.filter(|(partition, epoch)| partition.leader_epoch() != **epoch).collect();
    std::thread::scope(|scope| {
        let lead = |some: &[(&Arc<Partition>, &i32)]| {
            some.iter().try_for_each(|(partition, epoch)| partition.set_leader_epoch(**epoch))
        };
        let share = changed.len().div_ceil(EPOCH_THREADS).max(1);
        let threads: Vec<_> = changed.chunks(share).map(|some| scope.spawn(move || lead(some))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(led) => led.map_err(io::Error::other),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn to_load(config: &BrokerConfig, topic: &StoredTopic) -> Result<TopicToLoad, OpenDataError> {
    let topic_config = TopicConfig::from_overrides(config, &topic.overrides)
        .map_err(|error| OpenDataError::TopicConfig { topic: topic.name.to_string(), error })?;
    Ok(TopicToLoad {
        name: topic.name.clone(),
        id: topic.id,
        config: Arc::new(topic_config),
        leader_epochs: topic.leader_epochs.clone(),
    })
}
