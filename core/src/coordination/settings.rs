//! What was set for single groups.

use fluxmq_coordinator::GroupSettings;

/// Nothing can be set for a group yet.
pub(super) struct GroupOverrides;

impl GroupSettings for GroupOverrides {
    fn consumer_session_timeout_ms(&self, _group_id: &str) -> Option<i32> {
        None
    }

    fn consumer_heartbeat_interval_ms(&self, _group_id: &str) -> Option<i32> {
        None
    }

    fn consumer_assignment_interval_ms(&self, _group_id: &str) -> Option<i32> {
        None
    }
}
