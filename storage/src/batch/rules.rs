//! What a topic's configuration and a request's version ask of a batch.

use super::header::TimestampType;
use crate::codec::Codec;

/// What `compression.type` of a topic asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionRule {
    /// `producer`: keep what the producer chose.
    Producer,
    /// A named codec (`uncompressed` is [`Codec::None`]): other batches are recompressed.
    Codec {
        /// The codec to store.
        codec: Codec,
        /// `compression.<codec>.level`; `None` takes Kafka's default for the codec.
        level: Option<i32>,
    },
}

/// The rules of a topic and of a request that a batch has to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRules {
    /// `max.message.bytes`: largest batch, header included.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record may lie behind `now_ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far a record may lie ahead of `now_ms`.
    pub after_max_ms: i64,
    /// The broker's clock.
    pub now_ms: i64,
    /// `compression.type`.
    pub compression: CompressionRule,
    /// Records need keys: `cleanup.policy` contains `compact`.
    pub keys_required: bool,
    /// The request may carry zstd: Produce 7 and above (KIP-110).
    pub zstd_allowed: bool,
    /// Most bytes that the records of a batch may decompress to where it has to be opened.
    pub max_decompressed_bytes: usize,
}

impl BatchRules {
    /// Kafka's default for `max.message.bytes`.
    pub const DEFAULT_MAX_MESSAGE_BYTES: u32 = 1_048_588;
    /// Kafka's default for `message.timestamp.after.max.ms`: one hour.
    pub const DEFAULT_AFTER_MAX_MS: i64 = 3_600_000;
    /// Our bound on an opened batch, 128 MiB.
    pub const DEFAULT_MAX_DECOMPRESSED_BYTES: usize = 128 << 20;

    /// The rules of a topic with Kafka's default configuration.
    pub fn defaults(now_ms: i64) -> BatchRules {
        BatchRules {
            max_message_bytes: BatchRules::DEFAULT_MAX_MESSAGE_BYTES,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: BatchRules::DEFAULT_AFTER_MAX_MS,
            now_ms,
            compression: CompressionRule::Producer,
            keys_required: false,
            zstd_allowed: true,
            max_decompressed_bytes: BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES,
        }
    }
}
