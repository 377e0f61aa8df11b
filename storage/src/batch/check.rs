//! What a broker checks before it appends a producer's batch, in the order in which Kafka does, so that a batch
//! with several faults gets Kafka's error.

use super::convert::rebuild;
use super::header::{
    BatchHeader, HEADER_SIZE_BYTES, HeaderError, LENGTH_AT, LOG_OVERHEAD_BYTES, MAGIC_AT, MAGIC_V2,
    NO_TIMESTAMP, TIMESTAMP_TYPE_MASK, TimestampType, crc_of_batch,
};
use super::records::{OpenedBatch, RecordsError};
use super::rules::{BatchRules, CompressionRule};
use crate::codec::{Codec, CodecError};
use bytes::Bytes;
use std::ops::RangeInclusive;

/// Fewest bytes that `batch_length` may count: those of a message in format v0, the smallest that ever was.
pub const MIN_LENGTH: i32 = 14;
/// Bytes up to and including the magic byte, which every message format has in the same place.
const UP_TO_MAGIC_BYTES: usize = MAGIC_AT + 1;

/// A batch of which CRC, shape and bounds are known to hold: the only thing that a log appends.
#[derive(Debug, Clone)]
pub struct CheckedBatch {
    bytes: Bytes,
    header: BatchHeader,
}

impl CheckedBatch {
    /// A batch whose bytes were written here, so that there is nothing left to check.
    pub(crate) fn from_own_parts(bytes: Bytes, header: BatchHeader) -> CheckedBatch {
        CheckedBatch { bytes, header }
    }

    /// The whole batch, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header, as parsed from the bytes.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes after the header: records, compressed or not.
    pub fn records_bytes(&self) -> &[u8] {
        &self.bytes[HEADER_SIZE_BYTES..]
    }
}

/// A record that made its batch be refused (KIP-467).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Place of the record in the batch, from 0.
    pub batch_index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// Why a producer's batch was refused. Each variant names the Kafka error that answers it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There is no whole batch: INVALID_RECORD.
    #[error("Produce requests must have at least one record batch per partition")]
    NoBatch,
    /// Bytes follow the first batch that are a batch too: INVALID_RECORD.
    #[error("Produce requests are only allowed to contain exactly one record batch per partition")]
    MultipleBatches,
    /// The batch is in an older message format: INVALID_RECORD.
    #[error("Produce requests are only allowed to contain record batches with magic version 2")]
    UnsupportedMagic(i8),
    /// zstd below Produce 7: UNSUPPORTED_COMPRESSION_TYPE.
    #[error("Produce requests below version 7 are not allowed to use ZStandard compression")]
    ZstdNotAllowed,
    /// Bits 0 to 2 of the attributes are no codec: UNKNOWN_SERVER_ERROR in Kafka.
    #[error("Unknown compression type id: {0}")]
    UnknownCodec(u8),
    /// The length field is less than any batch has: CORRUPT_MESSAGE.
    #[error("Record size {0} is less than the minimum record overhead (14)")]
    InvalidLength(i32),
    /// A magic byte that no Kafka has written: CORRUPT_MESSAGE.
    #[error("Invalid magic found in record: {0}")]
    InvalidMagic(i8),
    /// CRC-32C doesn't match: CORRUPT_MESSAGE.
    #[error("Record is corrupt (stored crc = {stored}, computed crc = {computed})")]
    CrcMismatch {
        /// CRC in the header.
        stored: u32,
        /// CRC of the bytes.
        computed: u32,
    },
    /// Larger than `max.message.bytes`: MESSAGE_TOO_LARGE.
    #[error(
        "The record batch size is {size_bytes} bytes which exceeds the maximum configured value of {max_bytes}"
    )]
    TooLarge {
        /// Bytes of the batch, header included.
        size_bytes: usize,
        /// `max.message.bytes`.
        max_bytes: u32,
    },
    /// Producers number from 0: INVALID_RECORD.
    #[error("The baseOffset of the record batch should be 0, but it is {0}")]
    BaseOffsetNotZero(i64),
    /// Last offset delta below 0: INVALID_RECORD.
    #[error("Batch has an invalid offset range: last offset delta {0}")]
    InvalidOffsetRange(i32),
    /// Record count below 1: INVALID_RECORD.
    #[error("Invalid reported count for record batch: {0}")]
    InvalidCount(i32),
    /// Record count is not last offset delta + 1: INVALID_RECORD.
    #[error("Inconsistent batch offset range [0, {last_offset_delta}] and count of records {records_count}")]
    CountMismatch {
        /// From the header.
        last_offset_delta: i32,
        /// From the header.
        records_count: i32,
    },
    /// Control batches come from brokers only: INVALID_RECORD.
    #[error("Clients are not allowed to write control records")]
    ControlBatch,
    /// A producer id without a sequence: INVALID_RECORD.
    #[error("Invalid sequence number {base_sequence} in record batch with producerId {producer_id}")]
    InvalidSequence {
        /// From the header.
        producer_id: i64,
        /// From the header.
        base_sequence: i32,
    },
    /// Timestamps out of bounds, or not the producer's to set: INVALID_TIMESTAMP, with the records at fault.
    #[error("One or more records have been rejected due to invalid timestamp")]
    InvalidTimestamp(Vec<RecordError>),
    /// Records without the key that a compacted topic needs: INVALID_RECORD, with the records at fault.
    #[error("One or more records have been rejected due to {} record errors in total", .0.len())]
    InvalidRecords(Vec<RecordError>),
    /// The bytes of the records are none: INVALID_RECORD.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The records don't decompress, or to more than is allowed: UNKNOWN_SERVER_ERROR in Kafka.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Most records that an error names; a batch can hold 150,000 records, and one is enough for a producer to fail.
pub const MAX_RECORD_ERRORS: usize = 1000;

/// Checks the records of one partition in a Produce request: that they are exactly one v2 batch, whole, unchanged
/// on the way and within `rules`. What comes back shares `records`' memory, unless the header had to be corrected.
///
/// Uncompressed records are read to the last one, as Kafka does. Compressed ones are opened only where
/// [`needs_opening`] says so. As in Kafka, a wrong max timestamp in the header of a batch that was looked into is
/// corrected, and an incomplete batch behind the first is dropped, not refused.
///
/// # Errors
/// The first fault in Kafka's order.
pub fn check(records: &Bytes, rules: &BatchRules) -> Result<CheckedBatch, BatchError> {
    let size_bytes = match next_batch(records)? {
        None => return Err(BatchError::NoBatch),
        Some((_, magic)) if magic != MAGIC_V2 => return Err(BatchError::UnsupportedMagic(magic)),
        Some((size_bytes, _)) => size_bytes,
    };
    let batch = records.slice(..size_bytes);
    let header = BatchHeader::parse(&batch).map_err(|error| match error {
        // A length that is too small for v2 leaves no room for a CRC that could match.
        HeaderError::TooShort { .. } => BatchError::InvalidLength(i32_at(&batch, LENGTH_AT)),
        HeaderError::InvalidLength(length) => BatchError::InvalidLength(length),
        HeaderError::UnsupportedMagic(magic) => BatchError::UnsupportedMagic(magic),
    })?;
    if !rules.zstd_allowed && header.codec() == Some(Codec::Zstd) {
        return Err(BatchError::ZstdNotAllowed);
    }
    if next_batch(&records[size_bytes..])?.is_some() {
        return Err(BatchError::MultipleBatches);
    }
    if header.base_offset != 0 {
        return Err(BatchError::BaseOffsetNotZero(header.base_offset));
    }
    if size_bytes > rules.max_message_bytes as usize {
        return Err(BatchError::TooLarge { size_bytes, max_bytes: rules.max_message_bytes });
    }
    let computed = crc_of_batch(&batch).expect("the header has been parsed");
    if header.crc != computed {
        return Err(BatchError::CrcMismatch { stored: header.crc, computed });
    }
    if header.codec().is_none() {
        return Err(BatchError::UnknownCodec((header.attributes & 7) as u8));
    }
    check_shape(&header)?;
    let batch = CheckedBatch { bytes: batch, header };
    check_records(batch, rules)
}

/// Whether [`check`] or [`super::convert`] of these records will decompress them, which takes long enough (some
/// milliseconds for 1 MB) that a network thread must not do it. Looks at the header only, and says `false` for what
/// `check` refuses at once.
///
/// That is so when a compressed batch meets a compacted topic (every record needs a key), a
/// `message.timestamp.before.max.ms` (the header doesn't tell the oldest record), a max timestamp out of bounds (the
/// answer names the records), or another `compression.type`. An uncompressed batch is only compressed, never
/// decompressed, and that too belongs elsewhere.
pub fn needs_opening(records: &[u8], rules: &BatchRules) -> bool {
    let Ok(header) = BatchHeader::parse(records) else { return false };
    let converts = match rules.compression {
        CompressionRule::Producer => false,
        CompressionRule::Codec { codec, .. } => header.codec() != Some(codec),
    };
    converts || (header.codec() != Some(Codec::None) && asks_for_records(&header, rules))
}

/// Whether the header leaves a question that only the records answer.
fn asks_for_records(header: &BatchHeader, rules: &BatchRules) -> bool {
    if rules.keys_required {
        return true;
    }
    // Where the header speaks for every record, it answers everything.
    rules.timestamp_type == TimestampType::CreateTime
        && header.timestamp_type() == TimestampType::CreateTime
        && (rules.before_max_ms != i64::MAX
            || (header.max_timestamp != NO_TIMESTAMP
                && !timestamp_range(rules).contains(&header.max_timestamp)))
}

fn check_records(batch: CheckedBatch, rules: &BatchRules) -> Result<CheckedBatch, BatchError> {
    let header = *batch.header();
    let codec = header.codec().expect("a checked batch has a codec");
    if codec != Codec::None && !asks_for_records(&header, rules) {
        if header.timestamp_type() == TimestampType::LogAppendTime {
            // All of them have this timestamp, and how many there are is only what the producer says.
            let mut faults = Faults::default();
            for batch_index in 0..header.records_count.min(MAX_RECORD_ERRORS as i32) {
                let record = (header.max_timestamp, i64::from(batch_index));
                faults.look_at(batch_index, &header, record, rules);
            }
            faults.into_result()?;
        }
        return Ok(with_timestamps(batch, rules, header.max_timestamp));
    }
    let opened = batch.open(rules.max_decompressed_bytes)?;
    let found = read_records(&opened, rules)?;
    if codec != Codec::None && !found.numbered_from_0 {
        // The log gives the records the offsets that their order gives them.
        return rebuild(&opened, &found, codec, None, rules);
    }
    Ok(with_timestamps(batch, rules, found.max_timestamp))
}

/// What reading all records of a batch tells.
pub(super) struct RecordsFound {
    /// The largest timestamp.
    pub(super) max_timestamp: i64,
    /// The offset deltas are 0, 1, 2 and so on.
    pub(super) numbered_from_0: bool,
}

/// Reads all records of a batch and holds them against the rules.
pub(super) fn read_records(opened: &OpenedBatch<'_>, rules: &BatchRules) -> Result<RecordsFound, BatchError> {
    let header = opened.header();
    let mut found = RecordsFound { max_timestamp: NO_TIMESTAMP, numbered_from_0: true };
    let mut faults = Faults::default();
    let range = timestamp_range(rules);
    // The quick way past a good record.
    let is_create_time = header.timestamp_type() == TimestampType::CreateTime;
    for (batch_index, record) in (0i32..).zip(opened.records()) {
        let record = record?;
        found.max_timestamp = found.max_timestamp.max(record.timestamp);
        found.numbered_from_0 &= record.offset_delta == batch_index;
        if rules.keys_required && record.key.is_none() {
            faults.add(batch_index, "Compacted topic cannot accept message without key".to_owned());
        } else if !(is_create_time && range.contains(&record.timestamp)) {
            faults.look_at(batch_index, header, (record.timestamp, record.offset), rules);
        }
    }
    faults.into_result().map(|()| found)
}

/// The records that a batch is refused for.
#[derive(Default)]
struct Faults {
    errors: Vec<RecordError>,
    any_timestamp: bool,
}

impl Faults {
    fn add(&mut self, batch_index: i32, message: String) {
        if self.errors.len() < MAX_RECORD_ERRORS {
            self.errors.push(RecordError { batch_index, message });
        }
    }

    /// Checks a record's timestamp (given with its offset). That a producer claims LogAppendTime matters on a topic
    /// that has it, and where there is no timestamp to check instead; that is how Kafka has it.
    fn look_at(
        &mut self,
        batch_index: i32,
        header: &BatchHeader,
        (timestamp, offset): (i64, i64),
        rules: &BatchRules,
    ) {
        if rules.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP {
            let range = timestamp_range(rules);
            if !range.contains(&timestamp) {
                self.any_timestamp = true;
                self.add(
                    batch_index,
                    format!(
                        "Timestamp {timestamp} of message with offset {offset} is out of range. \
                         The timestamp should be within [{}, {}]",
                        range.start(),
                        range.end()
                    ),
                );
            }
        } else if header.timestamp_type() == TimestampType::LogAppendTime {
            self.any_timestamp = true;
            self.add(
                batch_index,
                "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime."
                    .to_owned(),
            );
        }
    }

    fn into_result(self) -> Result<(), BatchError> {
        match (self.errors.is_empty(), self.any_timestamp) {
            (true, _) => Ok(()),
            (false, true) => Err(BatchError::InvalidTimestamp(self.errors)),
            (false, false) => Err(BatchError::InvalidRecords(self.errors)),
        }
    }
}

/// The batch with CreateTime and this max timestamp in its header. Under LogAppendTime the append writes both.
fn with_timestamps(batch: CheckedBatch, rules: &BatchRules, max_timestamp: i64) -> CheckedBatch {
    let old = batch.header();
    if rules.timestamp_type == TimestampType::LogAppendTime
        || (old.timestamp_type() == TimestampType::CreateTime && old.max_timestamp == max_timestamp)
    {
        return batch;
    }
    let mut header = BatchHeader { attributes: old.attributes & !TIMESTAMP_TYPE_MASK, max_timestamp, ..*old };
    header.crc = header.compute_crc(batch.records_bytes());
    let bytes = [&header.to_bytes()[..], batch.records_bytes()].concat();
    CheckedBatch { bytes: Bytes::from(bytes), header }
}

/// The size and magic of the batch at the start of `bytes`, or `None` when it isn't there whole.
fn next_batch(bytes: &[u8]) -> Result<Option<(usize, i8)>, BatchError> {
    if bytes.len() < LOG_OVERHEAD_BYTES {
        return Ok(None);
    }
    let length = i32_at(bytes, LENGTH_AT);
    if length < MIN_LENGTH {
        return Err(BatchError::InvalidLength(length));
    }
    if bytes.len() < UP_TO_MAGIC_BYTES {
        return Ok(None);
    }
    let magic = i8::from_be_bytes([bytes[MAGIC_AT]]);
    if !(0..=MAGIC_V2).contains(&magic) {
        return Err(BatchError::InvalidMagic(magic));
    }
    let size_bytes = LOG_OVERHEAD_BYTES + length as usize;
    Ok((bytes.len() >= size_bytes).then_some((size_bytes, magic)))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |field| i32::from_be_bytes(*field))
}

fn check_shape(header: &BatchHeader) -> Result<(), BatchError> {
    let (last_offset_delta, records_count) = (header.last_offset_delta, header.records_count);
    if last_offset_delta < 0 {
        return Err(BatchError::InvalidOffsetRange(last_offset_delta));
    }
    if records_count <= 0 {
        return Err(BatchError::InvalidCount(records_count));
    }
    if i64::from(records_count) != i64::from(last_offset_delta) + 1 {
        return Err(BatchError::CountMismatch { last_offset_delta, records_count });
    }
    if header.is_control() {
        return Err(BatchError::ControlBatch);
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        let (producer_id, base_sequence) = (header.producer_id, header.base_sequence);
        return Err(BatchError::InvalidSequence { producer_id, base_sequence });
    }
    Ok(())
}

/// The timestamps that `message.timestamp.before.max.ms` and `.after.max.ms` allow (KIP-937).
///
/// Where the bounds leave the range of an `i64`, no timestamp lies beyond them.
fn timestamp_range(rules: &BatchRules) -> RangeInclusive<i64> {
    rules.now_ms.saturating_sub(rules.before_max_ms)..=rules.now_ms.saturating_add(rules.after_max_ms)
}

/// Why the bytes of a stored batch are not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoredBatchError {
    /// No header of a v2 batch.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The batch is longer than the bytes there are.
    #[error("batch of {size_bytes} bytes in {available_bytes}")]
    Incomplete {
        /// Bytes that the header claims.
        size_bytes: usize,
        /// Bytes there were.
        available_bytes: usize,
    },
    /// CRC-32C doesn't match.
    #[error("stored CRC {stored:#010x}, computed {computed:#010x}")]
    CrcMismatch {
        /// CRC in the header.
        stored: u32,
        /// CRC of the bytes.
        computed: u32,
    },
}

/// Checks the batch at the start of `bytes` as recovery does: header, length and CRC. Bytes behind it are ignored.
///
/// # Errors
/// What makes the batch unusable.
pub fn verify_stored(bytes: &[u8]) -> Result<BatchHeader, StoredBatchError> {
    let header = BatchHeader::parse(bytes)?;
    let size_bytes = header.size_in_bytes();
    let Some(batch) = bytes.get(..size_bytes) else {
        return Err(StoredBatchError::Incomplete { size_bytes, available_bytes: bytes.len() });
    };
    let computed = crc_of_batch(batch).expect("the header has been parsed");
    if header.crc == computed {
        Ok(header)
    } else {
        Err(StoredBatchError::CrcMismatch { stored: header.crc, computed })
    }
}

#[cfg(test)]
mod tests;
