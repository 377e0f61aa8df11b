//! The broker's own settings, typed.

use std::path::{Path, PathBuf};

use super::definition::ConfigKey;
use super::listeners::ListenerConfig;
use super::reader::{Reader, agree_on_node_id, topic_default, warn_of_unreachable};
use super::settings::{ConfigFault, Notice, Origin, Settings};
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

/// How logs are compacted: `log.cleaner.*`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogCleanerConfig {
    /// Number of threads; none if it is off.
    pub threads: usize,
    /// Pause when there is nothing to compact.
    pub backoff_ms: u64,
    /// Bytes for the maps of keys of all threads.
    pub dedupe_buffer_size: usize,
    /// How full such a map may become: 0 to 1.
    pub io_buffer_load_factor: f64,
    /// Bytes that all threads may read and write in a second.
    pub io_max_bytes_per_second: f64,
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
    /// The data directories: `log.dirs`, or `log.dir`. Never empty, all different; the first has the metadata.
    pub log_dirs: Vec<PathBuf>,
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
    /// A connection without a request for this long is closed; negative means never.
    pub connections_max_idle_ms: i64,
    /// Bytes of requests held in memory at most; −1 means no bound.
    pub queued_max_request_bytes: i64,

    /// Largest Fetch answer.
    pub fetch_max_bytes: i32,
    /// Partitions in one answer to DescribeTopicPartitions at most.
    pub max_request_partition_size_limit: i32,
    /// Incremental fetch sessions kept at most (KIP-227).
    pub max_incremental_fetch_session_cache_slots: i32,
    /// Whether Metadata may create a topic that does not exist.
    pub auto_create_topics_enable: bool,
    /// Whether DeleteTopics is allowed.
    pub delete_topic_enable: bool,
    /// Partitions of a topic created without a count.
    pub num_partitions: i32,
    /// A producer id without an append for this long is forgotten.
    pub producer_id_expiration_ms: i32,
    /// How often expired producer ids are looked for.
    pub producer_id_expiration_check_interval_ms: i32,
    /// Whether the coordinator is asked if a partition was added to the transaction that is written there.
    pub transaction_partition_verification_enable: bool,
    /// Wait between two tries to add a partition to a transaction for a producer.
    pub add_partitions_to_txn_retry_backoff_ms: i32,
    /// How long to try.
    pub add_partitions_to_txn_retry_backoff_max_ms: i32,

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
    /// What is done in the background waits no longer than this for its first turn.
    pub log_initial_task_delay_ms: i64,
    /// Bytes of the volume that are kept free; −1 goes by its size.
    pub log_dir_reserve_bytes: i64,
    /// Rolled segments whose files are open.
    pub log_open_segments_max: i32,
    /// Compaction.
    pub log_cleaner: LogCleanerConfig,
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

    /// What was set, and where: for DescribeConfigs.
    pub settings: Settings,
    /// Lines about the configuration, to be logged once the log is open.
    pub notices: Vec<Notice>,
}

impl BrokerConfig {
    /// Settings for a broker inside a test: data in `dir`, one listener on a free loopback port, no HTTP server,
    /// two network threads, the defaults otherwise.
    ///
    /// # Panics
    /// Never: these settings are valid.
    #[must_use]
    pub fn for_tests(dir: &Path) -> Self {
        let mut settings = Settings::default();
        for (key, text) in [
            ("listeners", "PLAINTEXT://127.0.0.1:0"),
            ("log.dirs", &dir.to_string_lossy()),
            ("http.listener", ""),
            ("num.network.threads", "2"),
        ] {
            settings.set(key, text, Origin::Flag("for_tests"));
        }
        Self::from_settings(settings).expect("the settings for tests are valid")
    }

    /// Reads and checks what was set.
    ///
    /// # Errors
    /// The first value that is not taken, with its key, where it was set and what is allowed.
    pub fn from_settings(mut settings: Settings) -> Result<Self, ConfigFault> {
        let mut notices = Vec::new();
        agree_on_node_id(&mut settings)?;
        let mut reader = Reader::new(settings);
        reader.read_all(&mut notices)?;
        reader.clamp_replicas(&mut notices);
        reader.refuse_what_is_not_served()?;
        reader.check_groups()?;
        let listeners = reader.listeners()?;
        warn_of_unreachable(&listeners, &mut notices);
        let topic_defaults = reader.topic_defaults()?;

        Ok(BrokerConfig {
            node_id: reader.int("node.id"),
            cluster_id: reader.string("cluster.id").filter(|id| !id.is_empty()),
            broker_rack: reader.string("broker.rack").filter(|rack| !rack.is_empty()),
            log_dirs: reader.log_dirs()?,
            listeners,
            http_listener: reader.http_listener()?,
            num_network_threads: usize::try_from(reader.int("num.network.threads")).unwrap_or(1),
            socket_send_buffer_bytes: reader.int("socket.send.buffer.bytes"),
            socket_receive_buffer_bytes: reader.int("socket.receive.buffer.bytes"),
            socket_request_max_bytes: reader.int("socket.request.max.bytes"),
            socket_listen_backlog_size: reader.int("socket.listen.backlog.size"),
            max_connections: reader.int("max.connections"),
            max_connections_per_ip: reader.int("max.connections.per.ip"),
            max_connections_per_ip_overrides: reader.per_ip_overrides()?,
            connections_max_idle_ms: reader.long("connections.max.idle.ms"),
            queued_max_request_bytes: reader.long("queued.max.request.bytes"),
            fetch_max_bytes: reader.int("fetch.max.bytes"),
            max_request_partition_size_limit: reader.int("max.request.partition.size.limit"),
            max_incremental_fetch_session_cache_slots: reader
                .int("max.incremental.fetch.session.cache.slots"),
            auto_create_topics_enable: reader.boolean("auto.create.topics.enable"),
            delete_topic_enable: reader.boolean("delete.topic.enable"),
            num_partitions: reader.int("num.partitions"),
            producer_id_expiration_ms: reader.int("producer.id.expiration.ms"),
            producer_id_expiration_check_interval_ms: reader.int("producer.id.expiration.check.interval.ms"),
            transaction_partition_verification_enable: reader
                .boolean("transaction.partition.verification.enable"),
            add_partitions_to_txn_retry_backoff_ms: reader.int("add.partitions.to.txn.retry.backoff.ms"),
            add_partitions_to_txn_retry_backoff_max_ms: reader
                .int("add.partitions.to.txn.retry.backoff.max.ms"),
            log_flush_policy: match reader.string("log.flush.policy").as_deref() {
                Some("always") => FlushPolicy::Always,
                Some("interval") => FlushPolicy::Interval,
                Some("never") => FlushPolicy::Never,
                _ => FlushPolicy::Acks,
            },
            log_flush_scheduler_interval_ms: reader.long("log.flush.scheduler.interval.ms"),
            log_flush_offset_checkpoint_interval_ms: reader.int("log.flush.offset.checkpoint.interval.ms"),
            log_flush_start_offset_checkpoint_interval_ms: reader
                .int("log.flush.start.offset.checkpoint.interval.ms"),
            log_retention_check_interval_ms: reader.long("log.retention.check.interval.ms"),
            log_initial_task_delay_ms: reader.long("log.initial.task.delay.ms"),
            log_dir_reserve_bytes: reader.long("log.dir.reserve.bytes"),
            log_open_segments_max: reader.int("log.open.segments.max"),
            log_cleaner: LogCleanerConfig {
                threads: match reader.boolean("log.cleaner.enable") {
                    true => usize::try_from(reader.int("log.cleaner.threads")).unwrap_or(0),
                    false => 0,
                },
                backoff_ms: u64::try_from(reader.long("log.cleaner.backoff.ms")).unwrap_or(0),
                dedupe_buffer_size: usize::try_from(reader.long("log.cleaner.dedupe.buffer.size"))
                    .unwrap_or(0),
                io_buffer_load_factor: reader.double("log.cleaner.io.buffer.load.factor"),
                io_max_bytes_per_second: reader.double("log.cleaner.io.max.bytes.per.second"),
            },
            num_recovery_threads_per_data_dir: reader.int("num.recovery.threads.per.data.dir"),
            topic_defaults,
            log_level: reader.log_level()?,
            shutdown_timeout_ms: u64::try_from(reader.long("shutdown.timeout.ms")).unwrap_or(0),
            throughput_log_interval_ms: u64::try_from(reader.long("throughput.log.interval.ms")).unwrap_or(0),
            settings: reader.settings,
            notices,
        })
    }

    /// What a topic's key is when the topic doesn't set it, as text: from the broker's keys, minutes and hours turned
    /// into milliseconds, or else the table's default.
    #[must_use]
    pub fn topic_default(&self, topic_key: &str) -> Option<String> {
        topic_default(&self.settings, topic_key)
    }

    /// The value of a broker's key as Kafka would print it: what was set, else the default; `None` when unset.
    #[must_use]
    pub fn value(&self, key: &ConfigKey) -> Option<String> {
        match self.settings.text(key.name) {
            Some(text) => key.parse(text).ok()?.to_text(),
            None => key.default.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::definition::broker_keys;
    use super::super::settings::NoticeLevel;
    use super::*;

    fn from(entries: &[(&str, &str)]) -> Result<BrokerConfig, ConfigFault> {
        let mut settings = Settings::default();
        for (line, (key, text)) in entries.iter().enumerate() {
            settings.set(*key, *text, Origin::File { path: "server.properties".into(), line: line + 1 });
        }
        BrokerConfig::from_settings(settings)
    }

    #[test]
    fn the_defaults() {
        let config = from(&[]).unwrap();
        assert_eq!(config.node_id, 1);
        assert_eq!(config.log_dirs, [PathBuf::from("./fluxmq-data")]);
        let [listener] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
        assert_eq!((listener.host.as_str(), listener.port), ("localhost", 9092));
        assert_eq!((listener.advertised_host.as_str(), listener.advertised_port), ("localhost", 9092));
        assert_eq!(config.log_flush_policy, FlushPolicy::Acks);
        assert!(config.auto_create_topics_enable);
        assert_eq!(config.num_partitions, 1);
        assert_eq!(config.topic_defaults, TopicConfig::default());
        assert_eq!(config.notices, []);
    }

    #[test]
    fn bad_values_are_refused_in_one_line() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (
                &[("num.partitions", "0")],
                "num.partitions=0 (server.properties:1): Value must be at least 1; allowed: an integer from 1 to 2147483647",
            ),
            (
                &[("log.retention.bytes", "1G")],
                "log.retention.bytes=1G (server.properties:1): Not a number of type LONG; allowed: an integer",
            ),
            (
                &[("log.flush.policy", "often")],
                "log.flush.policy=often (server.properties:1): String must be one of: acks, always, interval, never; allowed: one of acks, always, interval, never",
            ),
            (
                &[("node.id", "1"), ("broker.id", "2")],
                "broker.id=2 (server.properties:2): node.id is 1 (server.properties:1); allowed: the same value as node.id",
            ),
            (
                &[("log.dirs", "/a,/b,/a")],
                "log.dirs=/a,/b,/a (server.properties:1): /a is named twice; allowed: directories, each once",
            ),
            (
                &[("listeners", "SASL_SSL://:9092")],
                "listeners=SASL_SSL://:9092 (server.properties:1): SASL_SSL://:9092 needs SASL_SSL, which is not served yet; allowed: listeners whose security protocol is PLAINTEXT",
            ),
            (
                &[("process.roles", "controller")],
                "process.roles=controller (server.properties:1): FluxMQ is a broker only; allowed: a list of broker, controller",
            ),
            (
                &[("log.roll.ms", "0")],
                "log.roll.ms=0 (server.properties:1): Value must be at least 1; allowed: an integer",
            ),
            (
                &[("log.cleaner.min.compaction.lag.ms", "10"), ("log.cleaner.max.compaction.lag.ms", "5")],
                "log.cleaner.min.compaction.lag.ms=10 (server.properties:1): more than log.cleaner.max.compaction.lag.ms (5); allowed: an integer, 0 or more",
            ),
            (
                &[("log.level", "inof")],
                "log.level=inof (server.properties:1): no such level; allowed: off, error, warn, info, debug, trace, or a filter such as info,fluxmq::net=debug",
            ),
            (
                &[("http.listener", "9404")],
                "http.listener=9404 (server.properties:1): not host:port; allowed: host:port, or empty to turn it off",
            ),
            (
                &[("listener.name.plaintext.max.connections", "many")],
                "listener.name.plaintext.max.connections=many (server.properties:1): Not a number of type INT; allowed: an integer from 0 to 2147483647",
            ),
        ];
        for (entries, line) in cases {
            assert_eq!(from(entries).unwrap_err().to_string(), *line);
        }
        let authorizer = from(&[("authorizer.class.name", "org.example.Rules")]).unwrap_err().to_string();
        assert!(authorizer.contains("authorization is not served yet"), "{authorizer}");
    }

    #[test]
    fn times_in_milliseconds_win_over_minutes_and_hours() {
        let retention = |entries| from(entries).unwrap().topic_defaults.retention_ms;
        assert_eq!(retention(&[("log.retention.hours", "2")]), 7_200_000);
        assert_eq!(retention(&[("log.retention.hours", "2"), ("log.retention.minutes", "3")]), 180_000);
        assert_eq!(retention(&[("log.retention.hours", "2"), ("log.retention.ms", "5")]), 5);
        assert_eq!(retention(&[("log.retention.hours", "-1")]), -1);
        let config = from(&[("log.roll.hours", "1"), ("log.roll.jitter.hours", "1")]).unwrap();
        assert_eq!(
            (config.topic_defaults.segment_ms, config.topic_defaults.segment_jitter_ms),
            (3_600_000, 3_600_000)
        );
        let flush_ms = |entries| from(entries).unwrap().topic_defaults.flush_ms;
        assert_eq!(flush_ms(&[("log.flush.scheduler.interval.ms", "7")]), 7);
        assert_eq!(flush_ms(&[("log.flush.scheduler.interval.ms", "7"), ("log.flush.interval.ms", "3")]), 3);
    }

    #[test]
    fn either_id_names_the_node() {
        assert_eq!(from(&[("broker.id", "7")]).unwrap().node_id, 7);
        assert_eq!(from(&[("node.id", "8")]).unwrap().node_id, 8);
        assert_eq!(from(&[("node.id", "8"), ("broker.id", "-1")]).unwrap().node_id, 8);
    }

    #[test]
    fn replicas_of_internal_topics_are_clamped_with_one_line() {
        let config = from(&[
            ("offsets.topic.replication.factor", "3"),
            ("transaction.state.log.replication.factor", "3"),
            ("transaction.state.log.min.isr", "1"),
            ("default.replication.factor", "2"),
        ])
        .unwrap();
        let mut shown = config.notices.iter().filter(|notice| notice.level != NoticeLevel::Debug);
        let (notice, None) = (shown.next().unwrap(), shown.next()) else { panic!("{:?}", config.notices) };
        assert_eq!(notice.level, NoticeLevel::Info);
        assert_eq!(
            notice.text,
            "there is one broker; taken as 1: default.replication.factor=2, offsets.topic.replication.factor=3, transaction.state.log.replication.factor=3"
        );
        let key = broker_keys().get("offsets.topic.replication.factor").unwrap();
        assert_eq!(config.value(key).as_deref(), Some("1"));
    }

    #[test]
    fn what_is_said_about_keys() {
        let said = |key: &str, text: &str| {
            let notices = from(&[(key, text)]).unwrap().notices;
            notices.into_iter().map(|notice| (notice.level, notice.text)).next()
        };
        let cases = [
            (
                "log.retention.mss",
                "1",
                NoticeLevel::Warn,
                "unknown key log.retention.mss (server.properties:1) is ignored; did you mean log.retention.ms?",
            ),
            ("q", "1", NoticeLevel::Warn, "unknown key q (server.properties:1) is ignored"),
            (
                "retention.ms",
                "1",
                NoticeLevel::Warn,
                "retention.ms (server.properties:1) is a topic's key and is ignored; the broker's is log.retention.ms",
            ),
            (
                "zookeeper.connect",
                "x:1",
                NoticeLevel::Info,
                "zookeeper.connect (server.properties:1) is a key of Kafka before 4.0 and has no effect",
            ),
            (
                "replica.fetch.max.bytes",
                "1",
                NoticeLevel::Debug,
                "replica.fetch.max.bytes (server.properties:1) has no effect: there is one broker",
            ),
            (
                "create.topic.policy.class.name",
                "org.example.Policy",
                NoticeLevel::Warn,
                "create.topic.policy.class.name (server.properties:1) has no effect: Java classes cannot be loaded",
            ),
            (
                "max.connection.creation.rate",
                "1",
                NoticeLevel::Info,
                "accepted, not applied yet: max.connection.creation.rate",
            ),
        ];
        for (key, text, level, line) in cases {
            assert_eq!(said(key, text), Some((level, line.to_owned())));
        }
        assert_eq!(said("num.partitions", "3"), None);
    }

    #[test]
    fn a_listener_for_all_that_sends_clients_to_loopback_is_warned_about() {
        let config = from(&[
            ("listeners", "PLAINTEXT://:9092"),
            ("advertised.listeners", "PLAINTEXT://localhost:9092"),
        ])
        .unwrap();
        assert_eq!(config.notices[0].level, NoticeLevel::Warn);
        assert_eq!(
            config.notices[0].text,
            "listener PLAINTEXT takes connections on port 9092 of every address but tells clients to connect to \
             localhost:9092, which other machines cannot reach; set advertised.listeners"
        );
        assert_eq!(from(&[("listeners", "PLAINTEXT://127.0.0.1:9092")]).unwrap().notices, []);
    }

    #[test]
    fn limits_per_address() {
        let overrides = |text| {
            from(&[("max.connections.per.ip.overrides", text)])
                .map(|config| config.max_connections_per_ip_overrides)
        };
        assert_eq!(overrides("").unwrap(), []);
        assert_eq!(
            overrides("10.0.0.1:5, [::1]:7").unwrap(),
            [("10.0.0.1".to_owned(), 5), ("::1".to_owned(), 7)]
        );
        assert!(overrides("10.0.0.1").is_err());
    }
}
