//! Building a batch record by record: for coordinators, control batches and tests.

use super::check::CheckedBatch;
use super::header::{
    BatchHeader, CONTROL_MASK, HEADER_SIZE_BYTES, LOG_OVERHEAD_BYTES, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TRANSACTIONAL_MASK,
};
use super::records::ControlMarker;
use bytes::Bytes;

/// A header of a record: a key and a value that may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// Name, UTF-8 by convention.
    pub key: &'a [u8],
    /// Value; `None` is null.
    pub value: Option<&'a [u8]>,
}

/// Collects records into one uncompressed batch at base offset 0.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    records_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    attributes: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        BatchBuilder::new()
    }
}

impl BatchBuilder {
    /// An empty batch without a producer.
    pub fn new() -> BatchBuilder {
        BatchBuilder::with_capacity(512)
    }

    /// As [`BatchBuilder::new`], with room for `records_bytes` of records.
    pub fn with_capacity(records_bytes: usize) -> BatchBuilder {
        let mut bytes = Vec::with_capacity(HEADER_SIZE_BYTES + records_bytes);
        bytes.resize(HEADER_SIZE_BYTES, 0);
        BatchBuilder {
            bytes,
            records_count: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            attributes: 0,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
        }
    }

    /// Names the producer; `base_sequence` is that of the first record, or [`NO_SEQUENCE`] when a coordinator writes for
    /// the producer.
    pub fn producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> BatchBuilder {
        self.producer_id = producer_id;
        self.producer_epoch = producer_epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= TRANSACTIONAL_MASK;
        self
    }

    /// Marks the batch as a control batch.
    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= CONTROL_MASK;
        self
    }

    /// Adds a record without headers. `timestamp` in milliseconds.
    pub fn record(mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> BatchBuilder {
        self.push(timestamp, key, value, &[]);
        self
    }

    /// Adds a record. `timestamp` in milliseconds; `None` is null.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) {
        if self.records_count == 0 {
            self.base_timestamp = timestamp;
        }
        let delta = timestamp.wrapping_sub(self.base_timestamp);
        write_record(&mut self.bytes, self.records_count, delta, key, value, headers);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.records_count += 1;
    }

    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.records_count as usize
    }

    /// No record has been added.
    pub fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// Bytes of the batch as it stands, header included.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes header and CRC. The leader epoch is [`NO_LEADER_EPOCH`] until a log stamps it.
    ///
    /// # Panics
    /// When no record was added, or the batch is larger than `i32::MAX` bytes.
    pub fn build(mut self) -> CheckedBatch {
        assert!(self.records_count > 0, "a batch has at least one record");
        let batch_length =
            i32::try_from(self.bytes.len() - LOG_OVERHEAD_BYTES).expect("a batch fits in an i32");
        let mut header = BatchHeader {
            base_offset: 0,
            batch_length,
            partition_leader_epoch: NO_LEADER_EPOCH,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: self.records_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: self.records_count,
        };
        header.crc = header.compute_crc(&self.bytes[HEADER_SIZE_BYTES..]);
        self.bytes[..HEADER_SIZE_BYTES].copy_from_slice(&header.to_bytes());
        CheckedBatch::from_own_parts(Bytes::from(self.bytes), header)
    }
}

/// The batch that ends a producer's transaction in one partition; for the log's coordinator origin, with the base offset
/// still to be given.
pub fn end_transaction_marker(
    producer_id: i64,
    producer_epoch: i16,
    marker: ControlMarker,
    timestamp_ms: i64,
) -> CheckedBatch {
    let (key, value) = marker.to_record();
    BatchBuilder::with_capacity(key.len() + value.len() + 8)
        .producer(producer_id, producer_epoch, NO_SEQUENCE)
        .transactional()
        .control()
        .record(timestamp_ms, Some(&key), Some(&value))
        .build()
}

/// Appends one record in message format v2.
pub(crate) fn write_record(
    out: &mut Vec<u8>,
    offset_delta: i32,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[RecordHeader<'_>],
) {
    let headers_bytes: usize =
        headers.iter().map(|h| bytes_size(Some(h.key)) + bytes_size(h.value)).sum::<usize>();
    let body_bytes = 1
        + varint_size(zigzag(timestamp_delta))
        + varint_size(zigzag(i64::from(offset_delta)))
        + bytes_size(key)
        + bytes_size(value)
        + varint_size(zigzag(headers.len() as i64))
        + headers_bytes;
    write_varint(out, body_bytes as i64);
    out.push(0); // record attributes: none are defined
    write_varint(out, timestamp_delta);
    write_varint(out, i64::from(offset_delta));
    write_bytes(out, key);
    write_bytes(out, value);
    write_varint(out, headers.len() as i64);
    for header in headers {
        write_bytes(out, Some(header.key));
        write_bytes(out, header.value);
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => write_varint(out, -1),
        Some(bytes) => {
            write_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

fn bytes_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(bytes) => varint_size(zigzag(bytes.len() as i64)) + bytes.len(),
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_size(raw: u64) -> usize {
    ((64 - (raw | 1).leading_zeros()) as usize).div_ceil(7)
}

/// Zig-zag variable-length encoding; that of an `i32` has the same bytes as that of the same value as `i64`.
pub(crate) fn write_varint(out: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{TimestampType, verify_stored};

    #[test]
    fn a_batch_has_the_bytes_of_the_format() {
        let mut builder = BatchBuilder::new().producer(7, 1, 3);
        builder.push(1000, Some(b"k1"), Some(b"v"), &[RecordHeader { key: b"h", value: None }]);
        builder.push(1002, None, None, &[]);
        let batch = builder.build();
        let records = &batch.bytes()[HEADER_SIZE_BYTES..];
        let expected = [
            24, 0, 0, 0, 4, b'k', b'1', 2, b'v', 2, 2, b'h',
            1, // length 12, deltas 0, one header with a null value
            12, 0, 4, 2, 1, 1, 0, // length 6, timestamp +2, offset +1, null key and value, no headers
        ];
        assert_eq!(records, expected);
        let header = verify_stored(batch.bytes()).unwrap();
        assert_eq!(&header, batch.header());
        assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1002));
        assert_eq!((header.last_offset_delta, header.records_count), (1, 2));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 1, 3));
        assert_eq!((header.last_sequence(), header.timestamp_type()), (4, TimestampType::CreateTime));
        assert_eq!(header.partition_leader_epoch, NO_LEADER_EPOCH);
    }

    #[test]
    fn a_marker_has_kafkas_bytes_and_is_read_back() {
        for (is_commit, kind) in [(false, 0), (true, 1)] {
            let marker = ControlMarker { is_commit, coordinator_epoch: 0x0102_0304 };
            let batch = end_transaction_marker(7, 3, marker, 1000);
            let header = verify_stored(batch.bytes()).unwrap();
            assert_eq!(
                (header.producer_id, header.producer_epoch, header.base_sequence),
                (7, 3, NO_SEQUENCE)
            );
            assert_eq!(header.attributes, 0x30, "transactional and control");
            assert_eq!((header.base_timestamp, header.max_timestamp, header.records_count), (1000, 1000, 1));
            let record = [32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 1, 2, 3, 4, 0];
            assert_eq!(batch.records_bytes(), record);
            assert_eq!(ControlMarker::of_batch(batch.bytes()), Some(marker));
        }
        let data =
            BatchBuilder::new().producer(7, 3, NO_SEQUENCE).transactional().record(1, None, None).build();
        assert_eq!((data.header().attributes, data.header().last_sequence()), (0x10, NO_SEQUENCE));
        assert_eq!(ControlMarker::of_batch(data.bytes()), None);
    }

    #[test]
    fn sizes_of_varints_agree_with_what_is_written() {
        for value in [0, -1, 63, 64, -64, -65, 8191, 8192, i64::from(i32::MAX), i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            assert_eq!(out.len(), varint_size(zigzag(value)), "{value}");
        }
    }
}
