//! The topic of the groups: made when a client first looks for a coordinator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fluxmq_protocol::{ErrorCode, StrBytes};

use super::shards::Shards;
use super::{GroupCoordinator, OFFSETS_TOPIC};
use crate::config::TopicConfig;
use crate::meta::{CreateTopicError, NewTopic};

impl GroupCoordinator {
    /// Makes sure that the topic of the groups exists: makes it with Kafka's settings if it does not. Two at once make
    /// it once.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE: it can't be made, or the broker stops.
    pub async fn ensure_topic(self: &Arc<Self>) -> Result<(), ErrorCode> {
        if self.has_topic()? {
            return Ok(());
        }
        let coordinator = Arc::clone(self);
        self.metadata.in_turn(&self.blocking, move || coordinator.create_topic()).await?;
        if self.has_topic()? { Ok(()) } else { Err(ErrorCode::CoordinatorNotAvailable) }
    }

    /// Whether the topic of the groups exists.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE: the broker stops.
    pub fn has_topic(self: &Arc<Self>) -> Result<bool, ErrorCode> {
        match self.current() {
            Ok(_) => Ok(true),
            Err(ErrorCode::NotCoordinator) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The shards of the topic as it is now.
    ///
    /// # Errors
    /// The code to answer with: NOT_COORDINATOR without a topic, COORDINATOR_NOT_AVAILABLE once the broker stops.
    pub(super) fn current(self: &Arc<Self>) -> Result<Arc<Shards>, ErrorCode> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let version = self.metadata.with_topics(crate::meta::TopicsImage::version);
        if version != self.followed_version.load(Ordering::Acquire) {
            self.follow();
        }
        self.shards.load_full().ok_or(ErrorCode::NotCoordinator)
    }

    fn create_topic(&self) -> Result<(), ErrorCode> {
        let overrides = BTreeMap::from([
            ("cleanup.policy".to_owned(), "compact".to_owned()),
            ("compression.type".to_owned(), "producer".to_owned()),
            ("segment.bytes".to_owned(), self.config.topic_segment_bytes.to_string()),
        ]);
        let config = TopicConfig::from_overrides(&self.broker_config, &overrides).map_err(|error| {
            tracing::error!(%error, "{OFFSETS_TOPIC} cannot be made");
            ErrorCode::CoordinatorNotAvailable
        })?;
        let new = NewTopic {
            name: StrBytes::from_static_str(OFFSETS_TOPIC),
            partition_count: self.config.topic_partitions,
            overrides,
            config: Arc::new(config),
        };
        match self.metadata.create_topics(&self.partitions, vec![new]).remove(0) {
            // Another request was faster.
            Ok(_) | Err(CreateTopicError::AlreadyExists(_)) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "{OFFSETS_TOPIC} cannot be made");
                Err(ErrorCode::CoordinatorNotAvailable)
            }
        }
    }
}
