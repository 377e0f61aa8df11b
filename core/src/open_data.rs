//! From a data directory to topics that can be served: metadata, logs, leader epochs.

use std::io;
use std::sync::Arc;

use fluxmq_storage::fs::{Fs, RealFs};
use fluxmq_storage::log_dir::{LogDir, LogDirError};
use thiserror::Error;

use crate::clock::Clock;
use crate::config::{BrokerConfig, ConfigError, TopicConfig};
use crate::meta::{Metadata, MetadataError, StoredTopic};
use crate::partitions::{PartitionError, PartitionManager, TopicToLoad};

/// Why a data directory could not be opened.
#[derive(Debug, Error)]
pub enum OpenDataError {
    /// It is in use, or not one that this broker may use.
    #[error(transparent)]
    LogDir(#[from] LogDirError),
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
    let (metadata, mut stored) = Metadata::open(&config.log_dir)?;
    let manager = PartitionManager::start(dir, fs, config, clock.clone())?;
    let to_load = stored.iter().map(|topic| to_load(config, topic)).collect::<Result<Vec<_>, _>>()?;
    let partitions = manager.load(&to_load)?;

    // After an unclean end records may be gone that clients have seen: they notice by the epoch. It is stored before
    // anyone can learn of it.
    let last_in_log = |topic: usize, index: usize| partitions[topic][index].log().latest_epoch();
    metadata.bump_leader_epochs(&mut stored, last_in_log, manager.is_unclean())?;
    let mut topics = Vec::with_capacity(stored.len());
    for ((topic, loaded), partitions) in stored.into_iter().zip(to_load).zip(partitions) {
        for (partition, epoch) in partitions.iter().zip(&topic.leader_epochs) {
            partition.set_leader_epoch(*epoch).map_err(io::Error::other)?;
        }
        topics.push(topic.open(loaded.config, partitions));
    }
    metadata.publish(topics);
    Ok((metadata, manager))
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
