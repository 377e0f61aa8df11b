//! The settings of one topic: the broker's defaults with the topic's own overrides on top.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::definition::{ConfigKey, ValueError, topic_keys};
use super::value::Value;

/// `cleanup.policy`: what happens to old records. Both may be set; neither keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Keep the last record of each key.
    pub compact: bool,
    /// Drop segments past `retention.ms` or `retention.bytes`.
    pub delete: bool,
}

/// `compression.type`: the codec in which batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// gzip at `compression.gzip.level`.
    Gzip,
    /// Snappy in the framing that Java writes.
    Snappy,
    /// LZ4 frame at `compression.lz4.level`.
    Lz4,
    /// zstd at `compression.zstd.level`.
    Zstd,
}

/// `message.timestamp.type`: whose clock stamps a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageTimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at append.
    LogAppendTime,
}

/// Every setting of a topic, resolved. Kafka's key names with `_` for `.`; −1 and `i64::MAX` mean what they mean in
/// Kafka (no limit).
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// What happens to old records.
    pub cleanup_policy: CleanupPolicy,
    /// The codec in which batches are stored.
    pub compression_type: CompressionType,
    /// Level for gzip: 1 to 9, or −1 for the codec's default.
    pub compression_gzip_level: i32,
    /// Level for LZ4: 1 to 17.
    pub compression_lz4_level: i32,
    /// Level for zstd: −131072 to 22.
    pub compression_zstd_level: i32,
    /// How long a tombstone stays in a compacted topic.
    pub delete_retention_ms: i64,
    /// How long a deleted file stays on disk.
    pub file_delete_delay_ms: i64,
    /// Records between two syncs under the flush policy `interval`.
    pub flush_messages: i64,
    /// Time between two syncs under the flush policy `interval`.
    pub flush_ms: i64,
    /// Bytes of log between two entries of the offset index.
    pub index_interval_bytes: i32,
    /// Longest time a record may stay uncompacted.
    pub max_compaction_lag_ms: i64,
    /// Largest record batch, after compression.
    pub max_message_bytes: i32,
    /// How far a record's timestamp may lie ahead of the broker's clock.
    pub message_timestamp_after_max_ms: i64,
    /// How far a record's timestamp may lie behind the broker's clock.
    pub message_timestamp_before_max_ms: i64,
    /// Whose clock stamps a record.
    pub message_timestamp_type: MessageTimestampType,
    /// Share of uncompacted bytes at which a log is compacted.
    pub min_cleanable_dirty_ratio: f64,
    /// Shortest time a record stays uncompacted.
    pub min_compaction_lag_ms: i64,
    /// In-sync replicas that acks=all needs.
    pub min_insync_replicas: i32,
    /// Whether Kafka would create segment files at full size.
    pub preallocate: bool,
    /// Largest size of a partition before old segments are deleted.
    pub retention_bytes: i64,
    /// Longest time a segment is kept.
    pub retention_ms: i64,
    /// Largest size of a segment file.
    pub segment_bytes: i32,
    /// Largest size of an index file.
    pub segment_index_bytes: i32,
    /// Largest random part taken off `segment.ms`.
    pub segment_jitter_ms: i64,
    /// Longest time a segment is written to.
    pub segment_ms: i64,
    /// Whether a replica that is not in sync may lead.
    pub unclean_leader_election_enable: bool,
}

/// Where a value comes from, as CreateTopics and DescribeConfigs say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set in the file, the environment or on the command line.
    StaticBroker,
    /// Not set.
    Default,
    /// A level of the broker's own log.
    DynamicBrokerLogger,
    /// Set for the group.
    Group,
}

impl ConfigSource {
    /// Kafka's number for it.
    #[must_use]
    pub fn wire_id(self) -> i8 {
        match self {
            ConfigSource::Topic => 1,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
            ConfigSource::DynamicBrokerLogger => 6,
            ConfigSource::Group => 8,
        }
    }
}

/// The settings of a topic that has just been made, as CreateTopics lists them (KIP-525): by name, each with the text
/// that is in force and where it comes from. Unlike in DescribeConfigs the text is as it was given, and what was set in
/// hours counts as set for milliseconds.
#[must_use]
pub fn created_configs(
    broker: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
) -> Vec<(&'static str, Option<String>, ConfigSource)> {
    let shown = topic_keys().iter().filter(|key| !key.internal || overrides.contains_key(key.name));
    let entry = |key: &ConfigKey| {
        if let Some(text) = overrides.get(key.name) {
            return (key.name, Some(text.clone()), ConfigSource::Topic);
        }
        let is_set = |synonym: &&str| broker.settings.get(synonym).is_some();
        let source = match server_synonyms(key.name).iter().any(is_set) {
            true => ConfigSource::StaticBroker,
            false => ConfigSource::Default,
        };
        (key.name, broker.topic_default(key.name), source)
    };
    shown.map(entry).collect()
}

/// Why a topic's overrides are refused; every one is INVALID_CONFIG to a client and prints as Kafka's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key that topics don't have.
    #[error("Unknown topic config name: {0}")]
    UnknownName(String),
    /// Keys without a value.
    #[error("Null value not supported for topic configs: {}", .0.join(","))]
    NullValue(Vec<String>),
    /// A value that the key does not take.
    #[error(transparent)]
    InvalidValue(#[from] ValueError),
    /// Values that exclude each other.
    #[error(
        "conflict topic config setting min.compaction.lag.ms ({min_ms}) > max.compaction.lag.ms ({max_ms})"
    )]
    CompactionLag {
        /// `min.compaction.lag.ms`.
        min_ms: i64,
        /// `max.compaction.lag.ms`.
        max_ms: i64,
    },
    /// `remote.storage.enable=true`, as a Kafka without tiered storage answers it.
    #[error(
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
    )]
    TieredStorageDisabled,
}

/// The broker's keys that give a topic's key its default, the first that is set counting. Minutes and hours follow
/// milliseconds.
#[must_use]
pub fn server_synonyms(topic_key: &str) -> &'static [&'static str] {
    match topic_key {
        "cleanup.policy" => &["log.cleanup.policy"],
        "compression.gzip.level" => &["compression.gzip.level"],
        "compression.lz4.level" => &["compression.lz4.level"],
        "compression.type" => &["compression.type"],
        "compression.zstd.level" => &["compression.zstd.level"],
        "delete.retention.ms" => &["log.cleaner.delete.retention.ms"],
        "file.delete.delay.ms" => &["log.segment.delete.delay.ms"],
        "flush.messages" => &["log.flush.interval.messages"],
        "flush.ms" => &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "index.interval.bytes" => &["log.index.interval.bytes"],
        "local.retention.bytes" => &["log.local.retention.bytes"],
        "local.retention.ms" => &["log.local.retention.ms"],
        "max.compaction.lag.ms" => &["log.cleaner.max.compaction.lag.ms"],
        "max.message.bytes" => &["message.max.bytes"],
        "message.timestamp.after.max.ms" => &["log.message.timestamp.after.max.ms"],
        "message.timestamp.before.max.ms" => &["log.message.timestamp.before.max.ms"],
        "message.timestamp.type" => &["log.message.timestamp.type"],
        "min.cleanable.dirty.ratio" => &["log.cleaner.min.cleanable.ratio"],
        "min.compaction.lag.ms" => &["log.cleaner.min.compaction.lag.ms"],
        "min.insync.replicas" => &["min.insync.replicas"],
        "preallocate" => &["log.preallocate"],
        "retention.bytes" => &["log.retention.bytes"],
        "retention.ms" => &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        "segment.bytes" => &["log.segment.bytes"],
        "segment.index.bytes" => &["log.index.size.max.bytes"],
        "segment.jitter.ms" => &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "segment.ms" => &["log.roll.ms", "log.roll.hours"],
        "unclean.leader.election.enable" => &["unclean.leader.election.enable"],
        _ => &[],
    }
}

impl TopicConfig {
    /// The settings of a topic with these overrides, checked as Kafka checks them when a topic is made or changed.
    ///
    /// # Errors
    /// The first fault found, names before values.
    pub fn from_overrides(
        broker: &BrokerConfig,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        if overrides.is_empty() {
            return Ok(broker.topic_defaults.clone());
        }
        if let Some(name) = overrides.keys().find(|name| topic_keys().get(name).is_none()) {
            return Err(ConfigError::UnknownName(name.clone()));
        }
        let config =
            Self::from_texts(|key| overrides.get(key).cloned().or_else(|| broker.topic_default(key)))?;
        let (min_ms, max_ms) = (config.min_compaction_lag_ms, config.max_compaction_lag_ms);
        if min_ms > max_ms {
            return Err(ConfigError::CompactionLag { min_ms, max_ms });
        }
        let remote = overrides.get("remote.storage.enable");
        if remote.is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
            return Err(ConfigError::TieredStorageDisabled);
        }
        Ok(config)
    }

    /// Reads every key's text; a key without one is unset, which only `internal.segment.bytes` may be.
    pub(super) fn from_texts(text_of: impl Fn(&str) -> Option<String>) -> Result<Self, ValueError> {
        let mut values: BTreeMap<&'static str, Value> = BTreeMap::new();
        for key in topic_keys().iter() {
            values.insert(key.name, text_of(key.name).map_or(Ok(Value::Null), |text| key.parse(&text))?);
        }
        let wrong = |key: &str| -> ! { unreachable!("{key} has another type in the table of topic keys") };
        let int = |key: &str| match values.get(key) {
            Some(Value::Int(value)) => *value,
            _ => wrong(key),
        };
        let long = |key: &str| match values.get(key) {
            Some(Value::Long(value)) => *value,
            _ => wrong(key),
        };
        let boolean = |key: &str| match values.get(key) {
            Some(Value::Boolean(value)) => *value,
            _ => wrong(key),
        };
        let string = |key: &str| match values.get(key) {
            Some(Value::String(value)) => value.as_str(),
            _ => wrong(key),
        };
        let Some(Value::List(policies)) = values.get("cleanup.policy") else { wrong("cleanup.policy") };
        Ok(TopicConfig {
            cleanup_policy: CleanupPolicy {
                compact: policies.iter().any(|policy| policy == "compact"),
                delete: policies.iter().any(|policy| policy == "delete"),
            },
            compression_type: match string("compression.type") {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => CompressionType::Gzip,
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4,
                "zstd" => CompressionType::Zstd,
                _ => CompressionType::Producer,
            },
            compression_gzip_level: int("compression.gzip.level"),
            compression_lz4_level: int("compression.lz4.level"),
            compression_zstd_level: int("compression.zstd.level"),
            delete_retention_ms: long("delete.retention.ms"),
            file_delete_delay_ms: long("file.delete.delay.ms"),
            flush_messages: long("flush.messages"),
            flush_ms: long("flush.ms"),
            index_interval_bytes: int("index.interval.bytes"),
            max_compaction_lag_ms: long("max.compaction.lag.ms"),
            max_message_bytes: int("max.message.bytes"),
            message_timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            message_timestamp_type: match string("message.timestamp.type") {
                "LogAppendTime" => MessageTimestampType::LogAppendTime,
                _ => MessageTimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: match values.get("min.cleanable.dirty.ratio") {
                Some(Value::Double(value)) => *value,
                _ => wrong("min.cleanable.dirty.ratio"),
            },
            min_compaction_lag_ms: long("min.compaction.lag.ms"),
            min_insync_replicas: int("min.insync.replicas"),
            preallocate: boolean("preallocate"),
            retention_bytes: long("retention.bytes"),
            retention_ms: long("retention.ms"),
            segment_bytes: match values.get("internal.segment.bytes") {
                Some(Value::Int(value)) => *value,
                _ => int("segment.bytes"),
            },
            segment_index_bytes: int("segment.index.bytes"),
            segment_jitter_ms: long("segment.jitter.ms"),
            segment_ms: long("segment.ms"),
            unclean_leader_election_enable: boolean("unclean.leader.election.enable"),
        })
    }
}

impl Default for TopicConfig {
    /// What a topic has when neither it nor the broker sets anything.
    fn default() -> Self {
        let default = |key: &str| topic_keys().get(key).and_then(|found| found.default.clone());
        Self::from_texts(default).expect("the defaults in the table of topic keys are valid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_overrides(overrides: &[(&str, &str)]) -> Result<TopicConfig, ConfigError> {
        let broker = BrokerConfig::for_tests(std::path::Path::new("unused"));
        let overrides =
            overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        TopicConfig::from_overrides(&broker, &overrides)
    }

    #[test]
    fn overrides_stand_over_the_defaults() {
        let config = with_overrides(&[
            ("retention.ms", "1000"),
            ("cleanup.policy", "compact,delete"),
            ("compression.type", "zstd"),
            ("message.timestamp.type", "LogAppendTime"),
        ])
        .unwrap();
        let expected = TopicConfig {
            retention_ms: 1000,
            cleanup_policy: CleanupPolicy { compact: true, delete: true },
            compression_type: CompressionType::Zstd,
            message_timestamp_type: MessageTimestampType::LogAppendTime,
            ..TopicConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(config.segment_bytes, 256 * 1024 * 1024);
        assert_eq!(with_overrides(&[("internal.segment.bytes", "100")]).unwrap().segment_bytes, 100);
    }

    #[test]
    fn a_new_topics_settings_say_where_they_come_from() {
        let mut settings = crate::config::Settings::default();
        settings.set("log.retention.hours", "100", crate::config::Origin::Flag("test"));
        let broker = BrokerConfig::from_settings(settings).unwrap();
        let overrides = BTreeMap::from([("cleanup.policy".to_owned(), "compact, delete".to_owned())]);
        let created = created_configs(&broker, &overrides);
        assert_eq!(created.len(), 33);
        let of = |key: &str| created.iter().find(|(name, ..)| *name == key).cloned().unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of("cleanup.policy"), ("cleanup.policy", text("compact, delete"), ConfigSource::Topic));
        assert_eq!(of("retention.ms"), ("retention.ms", text("360000000"), ConfigSource::StaticBroker));
        assert_eq!(of("segment.ms"), ("segment.ms", text("604800000"), ConfigSource::Default));
    }

    /// Messages as Apache Kafka 4.3.0 gave them to CreateTopics.
    #[test]
    fn faults_print_as_kafkas_do() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("x", "1")], "Unknown topic config name: x"),
            (&[("message.format.version", "3.0")], "Unknown topic config name: message.format.version"),
            (&[("retention.ms", "abc"), ("zz", "1")], "Unknown topic config name: zz"),
            (&[("flush.ms", "-1")], "Invalid value -1 for configuration flush.ms: Value must be at least 0"),
            (
                &[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")],
                "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
            ),
            (
                &[("remote.storage.enable", "true")],
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
            ),
        ];
        for (overrides, message) in cases {
            assert_eq!(with_overrides(overrides).unwrap_err().to_string(), *message);
        }
        assert!(with_overrides(&[("min.compaction.lag.ms", "10")]).is_ok());
        assert!(with_overrides(&[("remote.log.copy.disable", "true")]).is_ok());
    }
}
