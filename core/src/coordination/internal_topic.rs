//! The topic of a coordinator: made when a client first looks for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fluxmq_protocol::{ErrorCode, StrBytes};

use super::Coordinator;
use super::machine::Machine;
use super::shards::Shards;
use crate::config::TopicConfig;
use crate::meta::{CreateTopicError, NewTopic};

impl<M: Machine> Coordinator<M> {
    /// Makes sure that the topic exists: makes it with Kafka's settings if it does not. Two at once make
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

    /// Whether the topic exists.
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
    pub(super) fn current(self: &Arc<Self>) -> Result<Arc<Shards<M>>, ErrorCode> {
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
        let topic = M::TOPIC;
        let settings = M::topic_settings(&self.config).into_iter();
        let overrides = settings.map(|(key, value)| (key.to_owned(), value)).collect();
        let config = TopicConfig::from_overrides(&self.broker_config, &overrides).map_err(|error| {
            tracing::error!(%error, "{topic} cannot be made");
            ErrorCode::CoordinatorNotAvailable
        })?;
        let new = NewTopic {
            name: StrBytes::from_static_str(topic),
            partition_count: self.config.topic_partitions,
            overrides,
            config: Arc::new(config),
        };
        match self.metadata.create_topics(&self.partitions, vec![new]).remove(0) {
            // Another request was faster.
            Ok(_) | Err(CreateTopicError::AlreadyExists(_)) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "{topic} cannot be made");
                Err(ErrorCode::CoordinatorNotAvailable)
            }
        }
    }
}
