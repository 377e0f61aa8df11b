//! The broker's own settings, typed.

use std::path::{Path, PathBuf};

use super::listeners::{ListenerConfig, SecurityProtocol};
use super::topic::TopicConfig;

/// `log.flush.policy`: when appended records are synced to disk, and what an acks=all answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// An acks=all answer waits for a sync that covers it; acks 0 and 1 mean the page cache.
    Acks,
    /// Every append is synced before it is answered or seen.
    Always,
    /// Synced every `flush.messages` or `flush.ms`; no answer waits for it.
    Interval,
    /// Left to the operating system.
    Never,
}

/// Everything the broker is told at start. Kafka's key names with `_` for `.`.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `node.id` (or `broker.id`).
    pub node_id: i32,
    /// The cluster id that a new data directory is given; `None` makes a random one.
    pub cluster_id: Option<String>,
    /// `broker.rack`, as Metadata reports it.
    pub broker_rack: Option<String>,
    /// The data directory: the first of `log.dirs`, or `log.dir`.
    pub log_dir: PathBuf,
    /// Where clients connect. Never empty; controller listeners are not in it.
    pub listeners: Vec<ListenerConfig>,
    /// `host:port` of the HTTP server for metrics and health; `None` when it is off.
    pub http_listener: Option<String>,

    /// Network threads: `num.network.threads`, by default the number of cores.
    pub num_network_threads: usize,
    /// `SO_SNDBUF` of a connection; −1 leaves it to the system.
    pub socket_send_buffer_bytes: i32,
    /// `SO_RCVBUF` of a connection; −1 leaves it to the system.
    pub socket_receive_buffer_bytes: i32,
    /// Largest request frame.
    pub socket_request_max_bytes: i32,
    /// Length of the accept queue.
    pub socket_listen_backlog_size: i32,
    /// Connections at most, over all listeners.
    pub max_connections: i32,
    /// Connections at most from one address.
    pub max_connections_per_ip: i32,
    /// Exceptions from `max.connections.per.ip`: host or address, and its own limit.
    pub max_connections_per_ip_overrides: Vec<(String, i32)>,
    /// A connection without a request for this long is closed.
    pub connections_max_idle_ms: i64,
    /// Bytes of requests held in memory at most; −1 means no bound.
    pub queued_max_request_bytes: i64,

    /// Largest Fetch answer.
    pub fetch_max_bytes: i32,
    /// Incremental fetch sessions kept at most (KIP-227).
    pub max_incremental_fetch_session_cache_slots: i32,
    /// Whether Metadata may create a topic that does not exist.
    pub auto_create_topics_enable: bool,
    /// Whether DeleteTopics is allowed.
    pub delete_topic_enable: bool,
    /// Partitions of a topic created without a count.
    pub num_partitions: i32,
    /// Replicas of a topic created without a count: 1, since there is one broker.
    pub default_replication_factor: i16,
    /// A producer id without an append for this long is forgotten.
    pub producer_id_expiration_ms: i32,
    /// How often expired producer ids are looked for.
    pub producer_id_expiration_check_interval_ms: i32,

    /// When appended records are synced.
    pub log_flush_policy: FlushPolicy,
    /// How often logs are looked at for a sync under the policy `interval`.
    pub log_flush_scheduler_interval_ms: i64,
    /// How often the recovery points are written.
    pub log_flush_offset_checkpoint_interval_ms: i32,
    /// How often the log start offsets are written.
    pub log_flush_start_offset_checkpoint_interval_ms: i32,
    /// How often retention is looked at.
    pub log_retention_check_interval_ms: i64,
    /// Threads that recover logs after a crash.
    pub num_recovery_threads_per_data_dir: i32,
    /// What a topic without overrides has.
    pub topic_defaults: TopicConfig,

    /// Level or filter of the broker's own log.
    pub log_level: String,
    /// How long a stop may take before the process ends anyway.
    pub shutdown_timeout_ms: u64,
    /// How often the line with messages per second is printed.
    pub throughput_log_interval_ms: u64,
    /// Whether the data directory is removed at exit.
    pub ephemeral: bool,
}

impl BrokerConfig {
    /// Settings for a broker inside a test: data in `dir`, one listener on a free loopback port, no HTTP server,
    /// two network threads, the defaults otherwise.
    #[must_use]
    pub fn for_tests(dir: &Path) -> Self {
        BrokerConfig {
            node_id: 1,
            cluster_id: None,
            broker_rack: None,
            log_dir: dir.to_path_buf(),
            listeners: vec![ListenerConfig {
                name: "PLAINTEXT".into(),
                security_protocol: SecurityProtocol::Plaintext,
                host: "127.0.0.1".into(),
                port: 0,
                advertised_host: "127.0.0.1".into(),
                advertised_port: 0,
            }],
            http_listener: None,
            num_network_threads: 2,
            socket_send_buffer_bytes: 102_400,
            socket_receive_buffer_bytes: 102_400,
            socket_request_max_bytes: 104_857_600,
            socket_listen_backlog_size: 50,
            max_connections: i32::MAX,
            max_connections_per_ip: i32::MAX,
            max_connections_per_ip_overrides: Vec::new(),
            connections_max_idle_ms: 600_000,
            queued_max_request_bytes: 134_217_728,
            fetch_max_bytes: 57_671_680,
            max_incremental_fetch_session_cache_slots: 1000,
            auto_create_topics_enable: true,
            delete_topic_enable: true,
            num_partitions: 1,
            default_replication_factor: 1,
            producer_id_expiration_ms: 86_400_000,
            producer_id_expiration_check_interval_ms: 600_000,
            log_flush_policy: FlushPolicy::Acks,
            log_flush_scheduler_interval_ms: i64::MAX,
            log_flush_offset_checkpoint_interval_ms: 60_000,
            log_flush_start_offset_checkpoint_interval_ms: 60_000,
            log_retention_check_interval_ms: 300_000,
            num_recovery_threads_per_data_dir: 1,
            topic_defaults: TopicConfig::default(),
            log_level: "info".into(),
            shutdown_timeout_ms: 30_000,
            throughput_log_interval_ms: 10_000,
            ephemeral: false,
        }
    }
}
