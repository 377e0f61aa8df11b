//! From a data directory to topics that can be served: metadata, logs, leader epochs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fluxmq_storage::fs::{Fs, RealFs};
use fluxmq_storage::log_dir::{CLUSTER_METADATA_DIR, LogDir, LogDirError};
use thiserror::Error;

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
    let dir = LogDir::open(&config.log_dir, config.cluster_id.as_deref(), config.node_id, Arc::clone(&fs))?;
    if dir.path().join(CLUSTER_METADATA_DIR).exists() && !has_metadata(dir.path()) {
        return Err(OpenDataError::NotAdopted(dir.path().to_owned()));
    }
    let (metadata, mut stored) = Metadata::open(&config.log_dir)?;
    let manager = PartitionManager::start(dir, fs, config, clock.clone())?;
    let to_load = stored.iter().map(|topic| to_load(config, topic)).collect::<Result<Vec<_>, _>>()?;
    let partitions = manager.load(&to_load)?;

    // After an unclean end records may be gone that clients have seen: they notice by the epoch. It is stored before
    // anyone can learn of it.
    let last_in_log = |topic: usize, index: usize| partitions[topic][index].log().latest_epoch();
    metadata.bump_leader_epochs(&mut stored, last_in_log, manager.is_unclean())?;
    lead(stored.iter().zip(&partitions).flat_map(|(topic, logs)| logs.iter().zip(&topic.leader_epochs)))?;
    let topics = stored.into_iter().zip(to_load).zip(partitions);
    metadata.publish(topics.map(|((topic, loaded), logs)| topic.open(loaded.config, logs)));
    Ok((metadata, manager))
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
