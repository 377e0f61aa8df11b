//! What the coordinator is told at start. The names are those of Kafka's settings.

/// Settings of the group coordinator. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCoordinatorConfig {
    /// `group.min.session.timeout.ms`
    pub group_min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub group_max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub group_initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub group_max_size: i32,
    /// Whether `group.coordinator.rebalance.protocols` has `consumer` (KIP-848).
    pub consumer_groups_enabled: bool,
    /// `group.consumer.session.timeout.ms`
    pub consumer_session_timeout_ms: i32,
    /// `group.consumer.min.session.timeout.ms`
    pub consumer_min_session_timeout_ms: i32,
    /// `group.consumer.max.session.timeout.ms`
    pub consumer_max_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.min.heartbeat.interval.ms`
    pub consumer_min_heartbeat_interval_ms: i32,
    /// `group.consumer.max.heartbeat.interval.ms`
    pub consumer_max_heartbeat_interval_ms: i32,
    /// `group.consumer.assignment.interval.ms`
    pub consumer_assignment_interval_ms: i32,
    /// `group.consumer.max.size`
    pub consumer_max_size: i32,
    /// `group.consumer.assignors`; the first is the default.
    pub consumer_assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`
    pub consumer_migration_policy: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub consumer_regex_refresh_interval_ms: i32,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_max_bytes: i32,
    /// `offsets.retention.minutes`, in milliseconds
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval_ms: i64,
    /// The largest record that the log of a shard takes.
    pub max_record_bytes: usize,
    /// `broker.rack`
    pub broker_rack: Option<String>,
}

/// A server-side assignor of consumer groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// `uniform`
    Uniform,
    /// `range`
    Range,
}

impl Assignor {
    /// Its name in requests and settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The assignor with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Assignor::Uniform, Assignor::Range].into_iter().find(|assignor| assignor.name() == name)
    }
}

/// `group.consumer.migration.policy`: which way groups may change their protocol while they have members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Neither way.
    Disabled,
    /// From consumer to classic.
    Downgrade,
    /// From classic to consumer.
    Upgrade,
    /// Both ways.
    Bidirectional,
}

impl Default for GroupCoordinatorConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        GroupCoordinatorConfig {
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 3_000,
            group_max_size: i32::MAX,
            consumer_groups_enabled: true,
            consumer_session_timeout_ms: 45_000,
            consumer_min_session_timeout_ms: 45_000,
            consumer_max_session_timeout_ms: 60_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_min_heartbeat_interval_ms: 5_000,
            consumer_max_heartbeat_interval_ms: 15_000,
            consumer_assignment_interval_ms: 1_000,
            consumer_max_size: i32::MAX,
            consumer_assignors: vec![Assignor::Uniform, Assignor::Range],
            consumer_migration_policy: MigrationPolicy::Bidirectional,
            consumer_regex_refresh_interval_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_interval_ms: 600_000,
            max_record_bytes: 1_048_588,
            broker_rack: None,
        }
    }
}
