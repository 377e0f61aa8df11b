//! The settings of one topic: the broker's defaults with the topic's own overrides on top.

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

impl Default for TopicConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        TopicConfig {
            cleanup_policy: CleanupPolicy { compact: false, delete: true },
            compression_type: CompressionType::Producer,
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_zstd_level: 3,
            delete_retention_ms: DAY_MS,
            file_delete_delay_ms: 60_000,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            index_interval_bytes: 4096,
            max_compaction_lag_ms: i64::MAX,
            max_message_bytes: 1_048_588,
            message_timestamp_after_max_ms: 3_600_000,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_type: MessageTimestampType::CreateTime,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            min_insync_replicas: 1,
            preallocate: false,
            retention_bytes: -1,
            retention_ms: 7 * DAY_MS,
            segment_bytes: 256 * 1024 * 1024,
            segment_index_bytes: 10 * 1024 * 1024,
            segment_jitter_ms: 0,
            segment_ms: 7 * DAY_MS,
            unclean_leader_election_enable: false,
        }
    }
}
