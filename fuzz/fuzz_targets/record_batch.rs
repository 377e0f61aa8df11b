//! Two bytes of rules, then the records of a Produce request: nothing panics, what a check lets through is a whole
//! batch with a right CRC, memory is bounded, and conversion keeps the records.
#![no_main]

use bytes::Bytes;
use fluxmq_storage::batch::{
    self, BatchHeader, BatchRules, CheckedBatch, CompressionRule, HEADER_SIZE_BYTES, TimestampType,
};
use fluxmq_storage::codec::Codec;
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_700_000_000_000;
const MAX_DECOMPRESSED_BYTES: usize = 1 << 20;

fn rules(flags: u8, codec: u8) -> BatchRules {
    let bit = |bit: u8| flags >> bit & 1 == 1;
    BatchRules {
        keys_required: bit(0),
        before_max_ms: if bit(1) { 1000 } else { i64::MAX },
        timestamp_type: if bit(2) { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        zstd_allowed: !bit(3),
        compression: match Codec::from_id(codec % 6) {
            Some(codec) => CompressionRule::Codec { codec, level: None },
            None => CompressionRule::Producer,
        },
        max_decompressed_bytes: MAX_DECOMPRESSED_BYTES,
        ..BatchRules::defaults(NOW_MS)
    }
}

/// Makes the CRC right, which the fuzzer would hardly find by itself.
fn with_crc(records: &[u8]) -> Vec<u8> {
    let mut bytes = records.to_vec();
    if let Ok(mut header) = BatchHeader::parse(records)
        && let Some(rest) = records.get(HEADER_SIZE_BYTES..header.size_in_bytes())
    {
        header.crc = header.compute_crc(rest);
        bytes[..HEADER_SIZE_BYTES].copy_from_slice(&header.to_bytes());
    }
    bytes
}

fn records(batch: &CheckedBatch) -> Option<Vec<(i64, Option<Vec<u8>>, Option<Vec<u8>>, usize)>> {
    let opened = batch.open(MAX_DECOMPRESSED_BYTES).ok()?;
    assert!(
        batch.header().codec() == Some(Codec::None) || opened.records_bytes().len() <= MAX_DECOMPRESSED_BYTES
    );
    opened
        .records()
        .map(|record| {
            let record = record.ok()?;
            assert_eq!(record.headers().count(), record.headers_count());
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            Some((record.timestamp, owned(record.key), owned(record.value), record.headers_count()))
        })
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let [flags, codec, input @ ..] = data else { return };
    let rules = rules(*flags, *codec);
    let input = Bytes::from(if flags & 0x80 == 0 { with_crc(input) } else { input.to_vec() });
    if let Ok(opened) = batch::open(&input, MAX_DECOMPRESSED_BYTES) {
        for record in opened.records().flatten() {
            assert_eq!(record.headers().count(), record.headers_count());
        }
    }
    let _ = batch::needs_opening(&input, &rules);
    let Ok(checked) = batch::check(&input, &rules) else { return };
    assert_eq!(batch::verify_stored(checked.bytes()), Ok(*checked.header()));
    assert_eq!(checked.header().size_in_bytes(), checked.bytes().len());
    assert!(checked.bytes().len() <= rules.max_message_bytes as usize);
    let before = records(&checked);
    if checked.header().codec() == Some(Codec::None) {
        assert!(before.is_some(), "uncompressed records were checked to the last");
    }
    if let Ok(converted) = batch::convert(&checked, &rules) {
        assert_eq!(batch::verify_stored(converted.bytes()), Ok(*converted.header()));
        if before.is_some() {
            assert_eq!(records(&converted), before);
        }
    }
});
