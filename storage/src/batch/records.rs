//! Opening a batch: its records, decompressed where they are compressed, read one after the other.

use super::header::{BatchHeader, HEADER_SIZE_BYTES, TimestampType};
use super::{BatchRules, CheckedBatch, RecordHeader, StoredBatchError};
use crate::codec::{self, Codec, CodecError};
use std::borrow::Cow;

/// Why a batch can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no whole batch.
    #[error(transparent)]
    Batch(#[from] StoredBatchError),
    /// The codec bits are none of Kafka's.
    #[error("unknown compression type id: {0}")]
    UnknownCodec(u8),
    /// The records don't decompress.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Why the bytes of a record are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The records end inside a record.
    #[error("Incorrect declared batch size, premature EOF reached")]
    PrematureEnd,
    /// A variable-length number doesn't end where it must.
    #[error("Found invalid record structure")]
    InvalidVarint,
    /// A record's length disagrees with its fields.
    #[error("Invalid record size: fields don't fill the {0} bytes of the record payload")]
    InvalidRecordSize(i32),
    /// A negative number of headers, or more than there are bytes.
    #[error("Found invalid number of record headers {0}")]
    InvalidHeaderCount(i32),
    /// Header keys can't be null.
    #[error("Invalid negative header key size {0}")]
    NullHeaderKey(i32),
    /// A negative number of records.
    #[error("Found invalid record count {0}")]
    InvalidCount(i32),
    /// Bytes are left after the last record.
    #[error("Incorrect declared batch size, records still remaining")]
    TrailingBytes,
}

/// A batch whose records can be read.
#[derive(Debug, Clone)]
pub struct OpenedBatch<'a> {
    header: BatchHeader,
    records: Cow<'a, [u8]>,
}

/// Opens the batch at the start of `batch`; it is decompressed to at most `max_decompressed_bytes`. Neither the
/// CRC nor the records are checked: the first is for [`super::verify_stored`], the second happens in reading.
///
/// # Errors
/// No whole batch, or records that don't decompress within the bound.
pub fn open(batch: &[u8], max_decompressed_bytes: usize) -> Result<OpenedBatch<'_>, OpenError> {
    let header = BatchHeader::parse(batch).map_err(StoredBatchError::from)?;
    let size_bytes = header.size_in_bytes();
    let records = batch
        .get(HEADER_SIZE_BYTES..size_bytes)
        .ok_or(StoredBatchError::Incomplete { size_bytes, available_bytes: batch.len() })?;
    match header.codec() {
        None => Err(OpenError::UnknownCodec(header.codec_id())),
        Some(codec) => Ok(OpenedBatch::new(header, codec, records, max_decompressed_bytes)?),
    }
}

impl CheckedBatch {
    /// Opens the batch; it is decompressed to at most `max_decompressed_bytes`.
    ///
    /// # Errors
    /// Records that don't decompress within the bound: a check doesn't always look into compressed records.
    pub fn open(&self, max_decompressed_bytes: usize) -> Result<OpenedBatch<'_>, CodecError> {
        let codec = self.header().codec().expect("a checked batch has a codec");
        OpenedBatch::new(*self.header(), codec, self.records_bytes(), max_decompressed_bytes)
    }
}

impl<'a> OpenedBatch<'a> {
    fn new(
        header: BatchHeader,
        codec: Codec,
        records: &'a [u8],
        max_decompressed_bytes: usize,
    ) -> Result<OpenedBatch<'a>, CodecError> {
        let records = if header.records_count == 0 {
            // An emptied batch keeps its header only, whatever its codec bits say.
            Cow::Borrowed(&[][..])
        } else if codec == Codec::None {
            Cow::Borrowed(records)
        } else {
            let mut plain = Vec::new();
            codec::decompress(codec, records, max_decompressed_bytes, &mut plain)?;
            Cow::Owned(plain)
        };
        Ok(OpenedBatch { header, records })
    }

    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes of the records, uncompressed.
    pub fn records_bytes(&self) -> &[u8] {
        &self.records
    }

    /// The records in order. After an error there is nothing more.
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.header, &self.records)
    }
}

/// One record; key, value and headers are slices of the opened batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds: the record's own, or the batch's append time under LogAppendTime.
    pub timestamp: i64,
    /// Offset less the batch's base offset.
    pub offset_delta: i32,
    /// As written: the record's own timestamp less the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Record attributes; none are defined.
    pub attributes: i8,
    /// `None` is null.
    pub key: Option<&'a [u8]>,
    /// `None` is null: a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    headers_count: u32,
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Number of headers.
    pub fn headers_count(&self) -> usize {
        self.headers_count as usize
    }

    /// The headers in order.
    pub fn headers(&self) -> impl Iterator<Item = RecordHeader<'a>> + use<'a> {
        let mut rest = self.headers;
        // The headers were walked when the record was read, so none of these reads fails.
        (0..self.headers_count).map_while(move |_| {
            let key = take_bytes(&mut rest).ok()??;
            let value = take_bytes(&mut rest).ok()?;
            Some(RecordHeader { key, value })
        })
    }
}

/// Reads the uncompressed records of a batch, as many as its header says and not a byte more or less.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: i32,
    base_offset: i64,
    base_timestamp: i64,
    log_append_time: Option<i64>,
}

impl<'a> Records<'a> {
    /// `records` are the uncompressed bytes after `header`.
    pub(crate) fn new(header: &BatchHeader, records: &'a [u8]) -> Records<'a> {
        let log_append_time =
            (header.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp);
        Records {
            rest: records,
            left: header.records_count,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            log_append_time,
        }
    }

    #[inline]
    fn read(&mut self) -> Result<Record<'a>, RecordsError> {
        let body_bytes = take_varint(&mut self.rest)?;
        // A negative length can't hold the fields of a record.
        let length = usize::try_from(body_bytes).map_err(|_| RecordsError::InvalidRecordSize(body_bytes))?;
        let (mut body, after) = self.rest.split_at_checked(length).ok_or(RecordsError::PrematureEnd)?;
        // Inside the record, running out of bytes means that its length is wrong.
        let record = self.read_body(&mut body, body_bytes).map_err(|error| match error {
            RecordsError::PrematureEnd => RecordsError::InvalidRecordSize(body_bytes),
            other => other,
        })?;
        self.rest = after;
        Ok(record)
    }

    #[inline]
    fn read_body(&self, body: &mut &'a [u8], body_bytes: i32) -> Result<Record<'a>, RecordsError> {
        let (&attributes, rest) = body.split_first().ok_or(RecordsError::PrematureEnd)?;
        *body = rest;
        let timestamp_delta = take_varlong(body)?;
        let offset_delta = take_varint(body)?;
        let key = take_bytes(body)?;
        let value = take_bytes(body)?;
        let headers_count = take_varint(body)?;
        let count = match u32::try_from(headers_count) {
            Ok(count) if count as usize <= body.len() => count,
            _ => return Err(RecordsError::InvalidHeaderCount(headers_count)),
        };
        let headers = *body;
        for _ in 0..count {
            let key_size = take_varint(body)?;
            if key_size < 0 {
                return Err(RecordsError::NullHeaderKey(key_size));
            }
            skip(body, key_size)?;
            let value_size = take_varint(body)?;
            skip(body, value_size)?;
        }
        if !body.is_empty() {
            return Err(RecordsError::InvalidRecordSize(body_bytes));
        }
        Ok(Record {
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: self.log_append_time.unwrap_or(self.base_timestamp.wrapping_add(timestamp_delta)),
            offset_delta,
            timestamp_delta,
            attributes: attributes as i8,
            key,
            value,
            headers_count: count,
            headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            let count = std::mem::take(&mut self.left);
            return (count < 0).then_some(Err(RecordsError::InvalidCount(count)));
        }
        self.left -= 1;
        let mut result = self.read();
        if self.left == 0 && result.is_ok() && !self.rest.is_empty() {
            result = Err(RecordsError::TrailingBytes);
        }
        if result.is_err() {
            self.left = 0;
        }
        Some(result)
    }
}

/// Reads a zig-zag encoded `i32` of at most five bytes; as in Java, bits above the 32nd are lost.
#[inline]
fn take_varint(rest: &mut &[u8]) -> Result<i32, RecordsError> {
    let raw = match take_short_varint(rest) {
        Some(raw) => raw,
        None => take_long_varint::<5>(rest)? as u32,
    };
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads a zig-zag encoded `i64` of at most ten bytes.
#[inline]
fn take_varlong(rest: &mut &[u8]) -> Result<i64, RecordsError> {
    let raw = match take_short_varint(rest) {
        Some(raw) => u64::from(raw),
        None => take_long_varint::<10>(rest)?,
    };
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// The encodings of one and two bytes, which are nearly all there are; `None` leaves the rest to the loop.
#[inline(always)]
fn take_short_varint(rest: &mut &[u8]) -> Option<u32> {
    match **rest {
        [first, ref after @ ..] if first < 0x80 => {
            *rest = after;
            Some(u32::from(first))
        }
        [first, second, ref after @ ..] if second < 0x80 => {
            *rest = after;
            Some(u32::from(first & 0x7f) | u32::from(second) << 7)
        }
        _ => None,
    }
}

#[cold]
fn take_long_varint<const MAX_BYTES: usize>(rest: &mut &[u8]) -> Result<u64, RecordsError> {
    let mut raw = 0u64;
    for (index, &byte) in rest.iter().take(MAX_BYTES).enumerate() {
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *rest = &rest[index + 1..];
            return Ok(raw);
        }
    }
    Err(if rest.len() < MAX_BYTES { RecordsError::PrematureEnd } else { RecordsError::InvalidVarint })
}

/// Reads a length and as many bytes; any negative length is null, as in Java.
#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordsError> {
    let Ok(length) = usize::try_from(take_varint(rest)?) else { return Ok(None) };
    let (bytes, after) = rest.split_at_checked(length).ok_or(RecordsError::PrematureEnd)?;
    *rest = after;
    Ok(Some(bytes))
}

fn skip(rest: &mut &[u8], length: i32) -> Result<(), RecordsError> {
    *rest = rest.get(usize::try_from(length).unwrap_or(0)..).ok_or(RecordsError::PrematureEnd)?;
    Ok(())
}

/// What a transaction marker says (the only record of its control batch).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlMarker {
    /// Commit, or else abort.
    pub is_commit: bool,
    /// Epoch of the coordinator that wrote it.
    pub coordinator_epoch: i32,
}

impl ControlMarker {
    /// Reads the marker of a batch; `None` for batches that aren't control batches, and for those of another kind.
    pub fn of_batch(batch: &[u8]) -> Option<ControlMarker> {
        if !BatchHeader::parse(batch).ok()?.is_control() {
            return None;
        }
        let opened = open(batch, BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES).ok()?;
        ControlMarker::of_record(&opened.records().next()?.ok()?)
    }

    /// Key and value of the marker's record, both in version 0.
    pub(super) fn to_record(self) -> ([u8; 4], [u8; 6]) {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        ([0, 0, 0, u8::from(self.is_commit)], value)
    }

    /// Reads the marker from a record of a control batch; `None` for other kinds of control records.
    pub fn of_record(record: &Record<'_>) -> Option<ControlMarker> {
        let (_version, kind) = record.key?.split_first_chunk::<2>()?;
        let is_commit = match i16::from_be_bytes(*kind.first_chunk()?) {
            0 => false,
            1 => true,
            _ => return None,
        };
        let (_version, epoch) = record.value?.split_first_chunk::<2>()?;
        Some(ControlMarker { is_commit, coordinator_epoch: i32::from_be_bytes(*epoch.first_chunk()?) })
    }
}

#[cfg(test)]
mod tests;
