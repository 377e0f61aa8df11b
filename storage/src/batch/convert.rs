//! Recompressing a batch for a topic whose `compression.type` names another codec than the producer's.

use super::check::{BatchError, CheckedBatch, RecordsFound, read_records};
use super::header::{
    BatchHeader, CODEC_MASK, HEADER_SIZE_BYTES, LOG_OVERHEAD_BYTES, TIMESTAMP_TYPE_MASK, TRANSACTIONAL_MASK,
    TimestampType,
};
use super::records::OpenedBatch;
use super::rules::{BatchRules, CompressionRule};
use super::{RecordHeader, builder::write_record};
use crate::codec::{self, Codec};
use bytes::Bytes;
use std::borrow::Cow;

/// Whether the topic wants this batch in another codec. Then [`convert`] it, away from the network threads.
pub fn needs_conversion(batch: &CheckedBatch, rules: &BatchRules) -> bool {
    match rules.compression {
        CompressionRule::Producer => false,
        CompressionRule::Codec { codec, .. } => batch.header().codec() != Some(codec),
    }
}

/// Brings a batch into the codec that the topic wants; one that has it already is returned as it is.
///
/// Records, their offsets and timestamps and the producer's fields stay; the max timestamp is that of the records.
///
/// The records are held against the rules on the way, since a check doesn't always look into compressed ones.
///
/// # Errors
/// Records that can't be read, break a rule or are too large when decompressed, and a result above
/// `max.message.bytes`.
pub fn convert(batch: &CheckedBatch, rules: &BatchRules) -> Result<CheckedBatch, BatchError> {
    match rules.compression {
        CompressionRule::Codec { codec, level } if needs_conversion(batch, rules) => {
            let opened = batch.open(rules.max_decompressed_bytes)?;
            let found = read_records(&opened, rules)?;
            rebuild(&opened, &found, codec, level, rules)
        }
        _ => Ok(batch.clone()),
    }
}

/// Writes the opened batch anew in `codec`, its records numbered from 0 without gaps.
pub(super) fn rebuild(
    opened: &OpenedBatch<'_>,
    found: &RecordsFound,
    codec: Codec,
    level: Option<i32>,
    rules: &BatchRules,
) -> Result<CheckedBatch, BatchError> {
    let old = opened.header();
    let records = if found.numbered_from_0 {
        Cow::Borrowed(opened.records_bytes())
    } else {
        Cow::Owned(renumber(opened)?)
    };

    let mut bytes = vec![0; HEADER_SIZE_BYTES];
    codec::compress(codec, level, &records, &mut bytes)?;
    let size_bytes = bytes.len();
    if size_bytes > rules.max_message_bytes as usize {
        return Err(BatchError::TooLarge { size_bytes, max_bytes: rules.max_message_bytes });
    }
    let mut header = BatchHeader {
        batch_length: i32::try_from(size_bytes - LOG_OVERHEAD_BYTES)
            .map_err(|_| BatchError::TooLarge { size_bytes, max_bytes: i32::MAX.unsigned_abs() })?,
        attributes: (old.attributes & (TRANSACTIONAL_MASK | TIMESTAMP_TYPE_MASK))
            | (i16::from(codec.id()) & CODEC_MASK),
        max_timestamp: match old.timestamp_type() {
            TimestampType::CreateTime => found.max_timestamp,
            TimestampType::LogAppendTime => old.max_timestamp,
        },
        ..*old
    };
    header.crc = header.compute_crc(&bytes[HEADER_SIZE_BYTES..]);
    bytes[..HEADER_SIZE_BYTES].copy_from_slice(&header.to_bytes());
    Ok(CheckedBatch::from_own_parts(Bytes::from(bytes), header))
}

/// The records with the offset deltas 0, 1, 2 and so on.
fn renumber(opened: &OpenedBatch<'_>) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::with_capacity(opened.records_bytes().len());
    for (index, record) in (0i32..).zip(opened.records()) {
        let record = record?;
        let headers: Vec<RecordHeader<'_>> = record.headers().collect();
        write_record(&mut out, index, record.timestamp_delta, record.key, record.value, &headers);
    }
    Ok(out)
}
