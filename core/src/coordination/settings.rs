//! What was set for single groups, within what the broker allows.

use std::sync::Arc;

use fluxmq_coordinator::GroupSettings;

use crate::config::BrokerConfig;
use crate::config::group::{ConsumerGroupBounds, ConsumerGroupSettings};
use crate::meta::Metadata;

/// Reads the settings of groups where they are kept.
pub(super) struct GroupOverrides {
    metadata: Arc<Metadata>,
    bounds: ConsumerGroupBounds,
}

impl GroupOverrides {
    pub(super) fn new(metadata: Arc<Metadata>, config: &BrokerConfig) -> Self {
        GroupOverrides { metadata, bounds: ConsumerGroupBounds::of(config) }
    }

    fn of(&self, group_id: &str) -> ConsumerGroupSettings {
        self.metadata.consumer_group_settings(group_id).within(&self.bounds)
    }
}

impl GroupSettings for GroupOverrides {
    fn consumer_session_timeout_ms(&self, group_id: &str) -> Option<i32> {
        self.of(group_id).session_timeout_ms
    }

    fn consumer_heartbeat_interval_ms(&self, group_id: &str) -> Option<i32> {
        self.of(group_id).heartbeat_interval_ms
    }

    fn consumer_assignment_interval_ms(&self, group_id: &str) -> Option<i32> {
        self.of(group_id).assignment_interval_ms
    }
}
