//! A batch without some of its records, for compaction.

use super::builder::{RecordHeader, write_record};
use super::header::{
    BatchHeader, CODEC_MASK, DELETE_HORIZON_MASK, HEADER_SIZE_BYTES, LOG_OVERHEAD_BYTES, NO_TIMESTAMP,
    TimestampType,
};
use super::records::Record;
use crate::codec::{self, CodecError};

impl BatchHeader {
    /// The batch when all of its records are gone: offsets, producer and sequence numbers stay.
    pub fn without_records(&self) -> BatchHeader {
        let mut header = BatchHeader {
            batch_length: (HEADER_SIZE_BYTES - LOG_OVERHEAD_BYTES) as i32,
            attributes: self.attributes & !(CODEC_MASK | DELETE_HORIZON_MASK),
            base_timestamp: NO_TIMESTAMP,
            records_count: 0,
            ..*self
        };
        header.crc = header.compute_crc(&[]);
        header
    }
}

/// Writes a batch with these of its records alone, in its codec and with all that its header says of others than them. Base
/// offset and last offset stay, and with them the sequence numbers. A `delete_horizon_ms` (KIP-534) is noted.
///
/// # Errors
/// The records can't be compressed.
///
/// # Panics
/// Without a record (see [`BatchHeader::without_records`]), or when the codec isn't known, so that nobody can have read them.
pub fn rewrite(
    old: &BatchHeader,
    records: &[Record<'_>],
    delete_horizon_ms: Option<i64>,
) -> Result<Vec<u8>, CodecError> {
    // The records' own timestamps, which under LogAppendTime are not what they have for readers.
    let timestamp = |record: &Record<'_>| old.base_timestamp.wrapping_add(record.timestamp_delta);
    let first = records.first().expect("a batch with records");
    let base_timestamp = delete_horizon_ms.unwrap_or_else(|| timestamp(first));
    let mut plain = Vec::new();
    for record in records {
        let headers: Vec<RecordHeader<'_>> = record.headers().collect();
        let timestamp_delta = timestamp(record).wrapping_sub(base_timestamp);
        write_record(&mut plain, record.offset_delta, timestamp_delta, record.key, record.value, &headers);
    }
    let codec = old.codec().expect("records that were read");
    let mut bytes = vec![0; HEADER_SIZE_BYTES];
    codec::compress(codec, None, &plain, &mut bytes)?;
    let horizon = if delete_horizon_ms.is_some() { DELETE_HORIZON_MASK } else { 0 };
    let mut header = BatchHeader {
        batch_length: i32::try_from(bytes.len() - LOG_OVERHEAD_BYTES).unwrap_or(i32::MAX),
        attributes: (old.attributes & !DELETE_HORIZON_MASK) | horizon,
        base_timestamp,
        max_timestamp: match old.timestamp_type() {
            TimestampType::CreateTime => records.iter().map(timestamp).max().unwrap_or(NO_TIMESTAMP),
            TimestampType::LogAppendTime => old.max_timestamp,
        },
        records_count: records.len() as i32,
        ..*old
    };
    header.crc = header.compute_crc(&bytes[HEADER_SIZE_BYTES..]);
    bytes[..HEADER_SIZE_BYTES].copy_from_slice(&header.to_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{
        BatchBuilder, BatchRules, CompressionRule, HeaderPatch, convert, open, verify_stored,
    };
    use crate::codec::Codec;

    /// A batch of a producer as it stands in a log from offset 40 on, with the keys k0, k1, ...
    fn stored(codec: Codec, records: usize, log_append_time_ms: Option<i64>) -> Vec<u8> {
        let mut builder = BatchBuilder::new().producer(7, 1, 3).transactional();
        for i in 0..records {
            let headers =
                [RecordHeader { key: b"h", value: Some(b"x") }, RecordHeader { key: b"n", value: None }];
            builder.push(1000 + i as i64, Some(format!("k{i}").as_bytes()), Some(&[i as u8; 50]), &headers);
        }
        let rules = BatchRules {
            compression: CompressionRule::Codec { codec, level: None },
            ..BatchRules::defaults(1000)
        };
        let batch = convert(&builder.build(), &rules).unwrap();
        let patch = HeaderPatch { base_offset: 40, leader_epoch: 6, log_append_time_ms };
        let mut bytes = batch.bytes().to_vec();
        bytes[..HEADER_SIZE_BYTES].copy_from_slice(&patch.header_bytes(batch.bytes()));
        bytes
    }

    #[test]
    fn the_records_that_are_left_are_as_they_were_and_where_they_were() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            for horizon_ms in [None, Some(9_000_000)] {
                for append_time_ms in [None, Some(5000)] {
                    let bytes = stored(codec, 5, append_time_ms);
                    let opened = open(&bytes, 1 << 20).unwrap();
                    let all: Vec<Record<'_>> = opened.records().map(Result::unwrap).collect();
                    let kept = [all[1], all[3]];
                    let left = rewrite(opened.header(), &kept, horizon_ms).unwrap();
                    let header = verify_stored(&left).unwrap();
                    let old = opened.header();
                    assert_eq!((header.base_offset, header.last_offset_delta), (40, 4));
                    assert_eq!(
                        (header.producer_id, header.producer_epoch, header.last_sequence()),
                        (7, 1, 7)
                    );
                    assert_eq!((header.partition_leader_epoch, header.codec()), (6, Some(codec)));
                    assert_eq!((header.records_count, header.delete_horizon_ms()), (2, horizon_ms));
                    assert_eq!(header.is_transactional(), old.is_transactional());
                    assert_eq!(header.timestamp_type(), old.timestamp_type());
                    assert_eq!(header.max_timestamp, append_time_ms.unwrap_or(1003));
                    let opened = open(&left, 1 << 20).unwrap();
                    let again: Vec<Record<'_>> = opened.records().map(Result::unwrap).collect();
                    for (new, old) in again.iter().zip(&kept) {
                        assert_eq!((new.offset, new.timestamp), (old.offset, old.timestamp));
                        assert_eq!((new.key, new.value), (old.key, old.value));
                        assert!(new.headers().eq(old.headers()));
                    }
                }
            }
        }
    }

    #[test]
    fn a_batch_without_records_says_what_comes_next() {
        let bytes = stored(Codec::Zstd, 3, None);
        let old = verify_stored(&bytes).unwrap();
        let empty = old.without_records().to_bytes();
        let header = verify_stored(&empty).unwrap();
        assert_eq!((header.next_offset(), header.last_sequence()), (43, 5));
        assert_eq!(
            (header.records_count, header.codec(), header.max_timestamp),
            (0, Some(Codec::None), 1002)
        );
        assert!(header.is_transactional());
        assert_eq!(open(&empty, 1 << 20).unwrap().records().count(), 0);
        assert_eq!(header.without_records(), header);
    }
}
