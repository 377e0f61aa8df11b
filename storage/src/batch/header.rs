//! The fixed header of a v2 record batch: 61 bytes, big-endian.

use crate::codec::Codec;
use std::str::FromStr;

/// Bytes of the header, before the first record.
pub const HEADER_SIZE_BYTES: usize = 61;
/// Bytes before the part that `batch_length` counts: base offset and the length itself.
pub const LOG_OVERHEAD_BYTES: usize = 12;
/// Producer id of a batch whose producer is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// Producer epoch of a batch whose producer is not idempotent.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// Base sequence of a batch whose producer is not idempotent.
pub const NO_SEQUENCE: i32 = -1;
/// A record or batch without a timestamp.
pub const NO_TIMESTAMP: i64 = -1;
/// Leader epoch of a batch that no leader has stamped yet.
pub const NO_LEADER_EPOCH: i32 = -1;

pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const LEADER_EPOCH_AT: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(crate) const BASE_TIMESTAMP_AT: usize = 27;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const PRODUCER_ID_AT: usize = 43;
pub(crate) const PRODUCER_EPOCH_AT: usize = 51;
pub(crate) const BASE_SEQUENCE_AT: usize = 53;
pub(crate) const RECORDS_COUNT_AT: usize = 57;

/// The magic byte of message format v2.
pub(crate) const MAGIC_V2: i8 = 2;

pub(crate) const CODEC_MASK: i16 = 0x07;
pub(crate) const TIMESTAMP_TYPE_MASK: i16 = 0x08;
pub(crate) const TRANSACTIONAL_MASK: i16 = 0x10;
pub(crate) const CONTROL_MASK: i16 = 0x20;
pub(crate) const DELETE_HORIZON_MASK: i16 = 0x40;

/// Whose clock the timestamps of a batch come from: `message.timestamp.type` (KIP-32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's clock: every record carries its own timestamp.
    CreateTime,
    /// The broker's clock at the append: the header's max timestamp stands for every record.
    LogAppendTime,
}

impl TimestampType {
    /// Kafka's configuration value.
    pub fn name(self) -> &'static str {
        match self {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        }
    }
}

impl FromStr for TimestampType {
    type Err = UnknownTimestampType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "CreateTime" => Ok(TimestampType::CreateTime),
            "LogAppendTime" => Ok(TimestampType::LogAppendTime),
            other => Err(UnknownTimestampType(other.to_owned())),
        }
    }
}

/// A value of `message.timestamp.type` that Kafka doesn't know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown timestamp type {0:?}")]
pub struct UnknownTimestampType(pub String);

/// Why bytes are not the header of a v2 batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("{available_bytes} bytes are fewer than a batch header's {HEADER_SIZE_BYTES}")]
    TooShort {
        /// Bytes there were.
        available_bytes: usize,
    },
    /// The length field is less than the rest of the header.
    #[error("batch length {0} is less than the header")]
    InvalidLength(i32),
    /// The magic byte is not 2.
    #[error("magic {0} is not message format v2")]
    UnsupportedMagic(i8),
}

/// All fields of a batch header, as read. Values are not trusted: arithmetic on them wraps instead of panicking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 in a producer's batch.
    pub base_offset: i64,
    /// Bytes after this field: the size of the batch less [`LOG_OVERHEAD_BYTES`].
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch; outside the CRC.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes to the end of the batch.
    pub crc: u32,
    /// Codec (bits 0–2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// Offset of the last record less the base offset; kept when compaction removes records.
    pub last_offset_delta: i32,
    /// Timestamp of the first record in milliseconds, or the delete horizon where that attribute is set.
    pub base_timestamp: i64,
    /// Largest timestamp of the records in milliseconds, or the append time.
    pub max_timestamp: i64,
    /// Producer id, or [`NO_PRODUCER_ID`].
    pub producer_id: i64,
    /// Producer epoch, or [`NO_PRODUCER_EPOCH`].
    pub producer_epoch: i16,
    /// Sequence number of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// Number of records in the batch.
    pub records_count: i32,
}

fn array<const N: usize>(bytes: &[u8; HEADER_SIZE_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("every field lies inside the 61 bytes")
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; what follows it is not looked at and may be missing.
    ///
    /// # Errors
    /// Too few bytes, a length below the header's, or a magic other than 2.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, HeaderError> {
        let Some(b) = bytes.first_chunk::<HEADER_SIZE_BYTES>() else {
            return Err(HeaderError::TooShort { available_bytes: bytes.len() });
        };
        let magic = i8::from_be_bytes([b[MAGIC_AT]]);
        if magic != MAGIC_V2 {
            return Err(HeaderError::UnsupportedMagic(magic));
        }
        let batch_length = i32::from_be_bytes(array(b, LENGTH_AT));
        if batch_length < (HEADER_SIZE_BYTES - LOG_OVERHEAD_BYTES) as i32 {
            return Err(HeaderError::InvalidLength(batch_length));
        }
        Ok(BatchHeader {
            base_offset: i64::from_be_bytes(array(b, 0)),
            batch_length,
            partition_leader_epoch: i32::from_be_bytes(array(b, LEADER_EPOCH_AT)),
            crc: u32::from_be_bytes(array(b, CRC_AT)),
            attributes: i16::from_be_bytes(array(b, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(array(b, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(array(b, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(array(b, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(array(b, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(array(b, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(array(b, BASE_SEQUENCE_AT)),
            records_count: i32::from_be_bytes(array(b, RECORDS_COUNT_AT)),
        })
    }

    /// The header as 61 bytes; the CRC is written as it stands in the field.
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE_BYTES] {
        let mut b = [0; HEADER_SIZE_BYTES];
        b[..LENGTH_AT].copy_from_slice(&self.base_offset.to_be_bytes());
        b[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&self.batch_length.to_be_bytes());
        b[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        b[MAGIC_AT..CRC_AT].copy_from_slice(&MAGIC_V2.to_be_bytes());
        b[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&self.crc.to_be_bytes());
        b[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&self.attributes.to_be_bytes());
        b[LAST_OFFSET_DELTA_AT..BASE_TIMESTAMP_AT].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        b[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&self.base_timestamp.to_be_bytes());
        b[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&self.max_timestamp.to_be_bytes());
        b[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&self.producer_id.to_be_bytes());
        b[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&self.producer_epoch.to_be_bytes());
        b[BASE_SEQUENCE_AT..RECORDS_COUNT_AT].copy_from_slice(&self.base_sequence.to_be_bytes());
        b[RECORDS_COUNT_AT..].copy_from_slice(&self.records_count.to_be_bytes());
        b
    }

    /// Bytes of the whole batch, header included.
    pub fn size_in_bytes(&self) -> usize {
        // parse() refuses lengths below 49, so the value isn't negative.
        LOG_OVERHEAD_BYTES + self.batch_length.max(0) as usize
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence number of the last record, wrapping after `i32::MAX` to 0; [`NO_SEQUENCE`] where there is none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            NO_SEQUENCE
        } else {
            increment_sequence(self.base_sequence, self.last_offset_delta)
        }
    }

    /// The codec of the records; `None` for the ids that Kafka doesn't define.
    pub fn codec(&self) -> Option<Codec> {
        Codec::from_id(self.codec_id())
    }

    /// Bits 0 to 2 of the attributes.
    pub(crate) fn codec_id(&self) -> u8 {
        (self.attributes & CODEC_MASK) as u8
    }

    /// Whose clock the timestamps come from.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE_MASK == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// The batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_MASK != 0
    }

    /// The batch holds control records (transaction markers), which consumers don't hand to the application.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_MASK != 0
    }

    /// The batch comes from an idempotent or transactional producer.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// When compaction may remove the tombstones and markers of this batch, in milliseconds (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_MASK != 0).then_some(self.base_timestamp)
    }

    /// CRC-32C that a batch with this header and these `records` (the bytes after the header) must carry.
    pub fn compute_crc(&self, records: &[u8]) -> u32 {
        crc_of_parts(&self.to_bytes(), records)
    }
}

/// CRC-32C over the checked part of a header and the records behind it, which need not lie next to each other.
pub(crate) fn crc_of_parts(header: &[u8; HEADER_SIZE_BYTES], records: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&header[ATTRIBUTES_AT..]);
    digest.update(records);
    digest.finalize() as u32
}

/// CRC-32C of a whole batch, or `None` when there are fewer bytes than a header.
pub(crate) fn crc_of_batch(batch: &[u8]) -> Option<u32> {
    (batch.len() >= HEADER_SIZE_BYTES).then(|| crc_fast::crc32_iscsi(&batch[ATTRIBUTES_AT..]))
}

/// What a leader writes into a producer's header when it appends the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderPatch {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Epoch of the appending leader.
    pub leader_epoch: i32,
    /// With `message.timestamp.type=LogAppendTime`: the time that replaces the records', in milliseconds.
    pub log_append_time_ms: Option<i64>,
}

impl HeaderPatch {
    /// The header to write in place of the producer's; the records behind it stay as they are.
    ///
    /// `batch` is the whole batch with a valid header. Base offset and leader epoch lie outside the CRC; an
    /// append time doesn't, so it costs one pass over the records.
    ///
    /// # Panics
    /// When `batch` is shorter than a header: callers hold a [`crate::batch::CheckedBatch`] or a verified batch.
    pub fn header_bytes(&self, batch: &[u8]) -> [u8; HEADER_SIZE_BYTES] {
        let mut header: [u8; HEADER_SIZE_BYTES] =
            *batch.first_chunk().expect("a checked batch has at least the bytes of a header");
        header[..LENGTH_AT].copy_from_slice(&self.base_offset.to_be_bytes());
        header[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&self.leader_epoch.to_be_bytes());
        if let Some(now_ms) = self.log_append_time_ms {
            let attributes = i16::from_be_bytes(array(&header, ATTRIBUTES_AT)) | TIMESTAMP_TYPE_MASK;
            header[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&attributes.to_be_bytes());
            header[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&now_ms.to_be_bytes());
            let crc = crc_of_parts(&header, &batch[HEADER_SIZE_BYTES..]);
            header[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        }
        header
    }
}

/// The sequence number `increment` after `sequence`: sequences run from 0 to `i32::MAX` and start again.
pub fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    if sequence > i32::MAX.wrapping_sub(increment) {
        increment.wrapping_sub(i32::MAX.wrapping_sub(sequence)).wrapping_sub(1)
    } else {
        sequence.wrapping_add(increment)
    }
}

/// The sequence number `decrement` before `sequence`.
pub fn decrement_sequence(sequence: i32, decrement: i32) -> i32 {
    if sequence < decrement {
        i32::MAX.wrapping_sub(decrement.wrapping_sub(sequence)).wrapping_add(1)
    } else {
        sequence.wrapping_sub(decrement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, verify_stored};
    use proptest::prelude::*;

    fn sample() -> BatchHeader {
        BatchHeader {
            base_offset: 0x0102_0304_0506_0708,
            batch_length: 49,
            partition_leader_epoch: 7,
            crc: 0xdead_beef,
            attributes: 0,
            last_offset_delta: 4,
            base_timestamp: 1_700_000_000_000,
            max_timestamp: 1_700_000_000_005,
            producer_id: 4000,
            producer_epoch: 3,
            base_sequence: 9,
            records_count: 5,
        }
    }

    #[test]
    fn fields_come_back_as_written() {
        let bytes = sample().to_bytes();
        assert_eq!(BatchHeader::parse(&bytes), Ok(sample()));
        // The layout itself, so that a matching mistake in both directions doesn't pass.
        assert_eq!(bytes[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(bytes[16], 2);
        assert_eq!(bytes[17..21], [0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(bytes[57..], [0, 0, 0, 5]);
    }

    #[test]
    fn attribute_bits_are_kafkas() {
        let with = |attributes| BatchHeader { attributes, ..sample() };
        assert_eq!(with(4).codec(), Some(Codec::Zstd));
        assert_eq!(with(5).codec(), None);
        assert_eq!(with(0x08).timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(with(0x77).timestamp_type(), TimestampType::CreateTime);
        assert!(with(0x10).is_transactional() && !with(0xef).is_transactional());
        assert!(with(0x20).is_control() && !with(0xdf).is_control());
        assert_eq!(with(0x40).delete_horizon_ms(), Some(1_700_000_000_000));
        assert_eq!(with(0x3f).delete_horizon_ms(), None);
    }

    #[test]
    fn short_foreign_and_undersized_headers_are_refused() {
        let bytes = sample().to_bytes();
        assert_eq!(BatchHeader::parse(&bytes[..60]), Err(HeaderError::TooShort { available_bytes: 60 }));
        let mut magic = bytes;
        magic[16] = 1;
        assert_eq!(BatchHeader::parse(&magic), Err(HeaderError::UnsupportedMagic(1)));
        let mut length = bytes;
        length[8..12].copy_from_slice(&48i32.to_be_bytes());
        assert_eq!(BatchHeader::parse(&length), Err(HeaderError::InvalidLength(48)));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 1, 1), i32::MAX);
        assert_eq!(increment_sequence(i32::MAX - 2, 5), 2);
        assert_eq!(decrement_sequence(0, 1), i32::MAX);
        assert_eq!(decrement_sequence(2, 5), i32::MAX - 2);
    }

    #[test]
    fn a_patch_moves_the_offset_without_touching_the_crc() {
        let batch = BatchBuilder::new().record(5, Some(b"k"), Some(b"v")).build();
        let patch = HeaderPatch { base_offset: 42, leader_epoch: 6, log_append_time_ms: None };
        let mut bytes = batch.bytes().to_vec();
        bytes[..HEADER_SIZE_BYTES].copy_from_slice(&patch.header_bytes(batch.bytes()));
        let header = verify_stored(&bytes).unwrap();
        assert_eq!((header.base_offset, header.partition_leader_epoch), (42, 6));
        assert_eq!(header.crc, batch.header().crc);
        assert_eq!(header.max_timestamp, 5);
    }

    #[test]
    fn an_append_time_replaces_the_maximum_and_the_crc() {
        let batch = BatchBuilder::new().record(5, Some(b"k"), Some(b"v")).build();
        let patch = HeaderPatch { base_offset: 1, leader_epoch: 0, log_append_time_ms: Some(99) };
        let mut bytes = batch.bytes().to_vec();
        bytes[..HEADER_SIZE_BYTES].copy_from_slice(&patch.header_bytes(batch.bytes()));
        let header = verify_stored(&bytes).unwrap();
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!((header.base_timestamp, header.max_timestamp), (5, 99));
        assert_ne!(header.crc, batch.header().crc);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), fix in any::<bool>()) {
            if fix && bytes.len() > MAGIC_AT {
                bytes[MAGIC_AT] = 2;
            }
            if let Ok(header) = BatchHeader::parse(&bytes) {
                prop_assert_eq!(&header.to_bytes()[..], &bytes[..HEADER_SIZE_BYTES]);
                // None of these may overflow, whatever the fields say.
                let _ = (header.last_offset(), header.next_offset(), header.last_sequence(), header.size_in_bytes());
                let _ = (header.codec(), header.timestamp_type(), header.delete_horizon_ms());
            }
        }

        #[test]
        fn decrement_undoes_increment(sequence in 0i32.., delta in 0i32..) {
            let after = increment_sequence(sequence, delta);
            prop_assert!(after >= 0);
            prop_assert_eq!(decrement_sequence(after, delta), sequence);
        }
    }
}
