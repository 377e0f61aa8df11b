//! What was set for single groups, within what the broker allows.

use std::sync::Arc;

use fluxmq_coordinator::GroupSettings;

use crate::config::BrokerConfig;
use crate::config::group::ConsumerGroupSettings;
use crate::meta::Metadata;

/// Reads the settings of groups where they are kept.
pub(super) struct GroupOverrides {
    metadata: Arc<Metadata>,
    config: Arc<BrokerConfig>,
}

impl GroupOverrides {
    pub(super) fn new(metadata: Arc<Metadata>, config: Arc<BrokerConfig>) -> Self {
        GroupOverrides { metadata, config }
    }

    fn of(&self, group_id: &str) -> ConsumerGroupSettings {
        match self.metadata.consumer_group_settings(group_id) {
            // Nearly every group: nothing was set for it.
            nothing if nothing == ConsumerGroupSettings::default() => nothing,
            settings => settings.within(&self.config),
        }
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
