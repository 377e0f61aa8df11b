use super::*;
use crate::batch::header::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, CRC_AT, LAST_OFFSET_DELTA_AT, MAX_TIMESTAMP_AT, PRODUCER_ID_AT,
    RECORDS_COUNT_AT,
};
use crate::batch::{BatchBuilder, HeaderPatch, convert, needs_conversion};
use proptest::prelude::*;

const NOW_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;

/// The batches of Kafka 4.3's Java producer: three records, the last older than the first and without a value.
const JAVA: [&str; 5] = [
    "0000000000000000000000a3ffffffff02e747d59b0000000000020000018bcfe568000000018bcfe5680700000000000010e100030000001100000003720000000a6b65792d314a76616c75652076616c75652076616c75652076616c75652076616c75652076616c756520310404683102780468320156000e02014a76616c75652076616c75652076616c75652076616c75652076616c75652076616c7565203200160013040a6b65792d330100",
    "000000000000000000000075ffffffff029a27508f0001000000020000018bcfe568000000018bcfe5680700000000000010e1000300000011000000031f8b08000000000000ff2b626060e0ca4eadd435f42a4bcc294d55c04f1ab2b064183255b06418318631f0313112a5c988418c4198056c8b312303005cb86e7d72000000",
    "00000000000000000000007effffffff023824b5210002000000020000018bcfe568000000018bcfe5680700000000000010e10003000000110000000382534e41505059000000000100000001000000397240720000000a6b65792d314a76616c7565207606003c310404683102780468320156000e0201923500343200160013040a6b65792d330100",
    "00000000000000000000007affffffff0213d58aeb0003000000020000018bcfe568000000018bcfe5680700000000000010e10003000000110000000304224d186040823a000000ff02720000000a6b65792d314a76616c75652006000bff01310404683102780468320156000e0201350012e03200160013040a6b65792d33010000000000",
    "000000000000000000000076ffffffff02b9329eea0004000000020000018bcfe568000000018bcfe5680700000000000010e10003000000110000000328b52ffd0058cc0100f402720000000a6b65792d314a76616c756520310404683102780468320156000e02013200160013040a6b65792d330100020060f5ac11cb12010000",
];

fn java(codec: Codec) -> Vec<u8> {
    let text = JAVA[usize::from(codec.id())];
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn rules() -> BatchRules {
    BatchRules::defaults(NOW_MS)
}

fn good() -> Vec<u8> {
    let builder =
        BatchBuilder::new().record(NOW_MS, Some(b"a"), Some(b"1")).record(NOW_MS + 1, None, Some(b"2"));
    builder.build().bytes().to_vec()
}

fn checked(bytes: Vec<u8>) -> Result<CheckedBatch, BatchError> {
    check(&Bytes::from(bytes), &rules())
}

/// The batch with some bytes replaced and the CRC made right again.
fn with(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc_of_batch(&batch).unwrap();
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// Offset, timestamp, key, value and number of headers.
type RecordParts = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

fn records_of(batch: &CheckedBatch) -> Vec<RecordParts> {
    let opened = batch.open(1 << 20).unwrap();
    let read = |record: Result<crate::batch::Record<'_>, RecordsError>| {
        let r = record.unwrap();
        (r.offset, r.timestamp, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), r.headers_count())
    };
    opened.records().map(read).collect()
}

#[test]
fn a_good_batch_passes_without_a_copy() {
    let bytes = Bytes::from(good());
    let batch = check(&bytes, &rules()).unwrap();
    assert_eq!(batch.bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(batch.header().records_count, 2);
}

#[test]
fn batches_of_java_pass_and_open() {
    let expected = records_of(&checked(java(Codec::None)).unwrap());
    let line = |n: u8| format!("value value value value value value {n}").into_bytes();
    assert_eq!(
        expected,
        [
            (0, NOW_MS, Some(b"key-1".to_vec()), Some(line(1)), 2),
            (1, NOW_MS + 7, None, Some(line(2)), 0),
            (2, NOW_MS - 10, Some(b"key-3".to_vec()), None, 0),
        ]
    );
    for codec in Codec::ALL {
        let bytes = Bytes::from(java(codec));
        let batch = check(&bytes, &rules()).unwrap();
        assert_eq!(batch.bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(batch.header().codec(), Some(codec));
        assert_eq!((batch.header().producer_id, batch.header().last_sequence()), (4321, 19));
        assert_eq!(records_of(&batch), expected, "{codec}");
    }
}

#[test]
fn a_change_of_any_checked_bit_is_found() {
    let good = good();
    for at in (0..good.len()).filter(|at| !(12..16).contains(at)) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert!(checked(bytes).is_err(), "byte {at}");
    }
    // The leader epoch is outside the CRC: the leader stamps it.
    let mut bytes = good;
    bytes[15] ^= 1;
    assert!(checked(bytes).is_ok());
}

#[test]
fn lengths_and_magics_are_told_apart_as_in_kafka() {
    let good = good();
    let with_length = |length: i32| [&good[..8], &length.to_be_bytes(), &good[12..]].concat();
    let with_magic = |magic: u8| [&good[..16], &[magic], &good[17..]].concat();
    assert_eq!(checked(vec![]).unwrap_err(), BatchError::NoBatch);
    assert_eq!(checked(good[..11].to_vec()).unwrap_err(), BatchError::NoBatch);
    assert_eq!(checked(good[..16].to_vec()).unwrap_err(), BatchError::NoBatch);
    assert_eq!(checked(good[..good.len() - 1].to_vec()).unwrap_err(), BatchError::NoBatch);
    assert_eq!(checked(with_length(13)).unwrap_err(), BatchError::InvalidLength(13));
    assert_eq!(checked(with_length(-1)).unwrap_err(), BatchError::InvalidLength(-1));
    assert_eq!(checked(with_length(i32::MAX)).unwrap_err(), BatchError::NoBatch);
    assert_eq!(checked(with_magic(1)).unwrap_err(), BatchError::UnsupportedMagic(1));
    assert_eq!(checked(with_magic(0)).unwrap_err(), BatchError::UnsupportedMagic(0));
    assert_eq!(checked(with_magic(3)).unwrap_err(), BatchError::InvalidMagic(3));
    assert_eq!(checked(with_magic(0xff)).unwrap_err(), BatchError::InvalidMagic(-1));
    // Large enough for an old message, too small for this format.
    assert_eq!(checked(with_length(20)).unwrap_err(), BatchError::InvalidLength(20));
}

#[test]
fn only_one_batch_is_taken_and_a_cut_off_second_is_dropped() {
    let good = good();
    assert_eq!(checked([good.clone(), good.clone()].concat()).unwrap_err(), BatchError::MultipleBatches);
    for tail in [1, 11, 16, good.len() - 1] {
        let batch = checked([&good[..], &good[..tail]].concat()).unwrap();
        assert_eq!(batch.bytes(), &good, "{tail} bytes behind");
    }
    let corrupt_second = [&good[..], &[0; 12]].concat();
    assert_eq!(checked(corrupt_second).unwrap_err(), BatchError::InvalidLength(0));
}

#[test]
fn shape_faults_have_their_errors() {
    let delta = |delta: i32, count: i32| {
        let bytes = with(good(), LAST_OFFSET_DELTA_AT, &delta.to_be_bytes());
        checked(with(bytes, RECORDS_COUNT_AT, &count.to_be_bytes())).unwrap_err()
    };
    assert_eq!(delta(-1, 2), BatchError::InvalidOffsetRange(-1));
    assert_eq!(delta(1, 0), BatchError::InvalidCount(0));
    assert_eq!(delta(1, -1), BatchError::InvalidCount(-1));
    assert_eq!(delta(2, 2), BatchError::CountMismatch { last_offset_delta: 2, records_count: 2 });
    assert_eq!(delta(i32::MAX, i32::MIN), BatchError::InvalidCount(i32::MIN));
    assert_eq!(delta(2, 3), BatchError::Records(RecordsError::PrematureEnd));
    assert_eq!(delta(0, 1), BatchError::Records(RecordsError::TrailingBytes));
    let mut offset = good();
    offset[7] = 1;
    assert_eq!(checked(offset).unwrap_err(), BatchError::BaseOffsetNotZero(1));
    let attribute = |bit: u8| checked(with(good(), ATTRIBUTES_AT + 1, &[bit]));
    assert_eq!(attribute(0x20).unwrap_err(), BatchError::ControlBatch);
    assert_eq!(attribute(0x05).unwrap_err(), BatchError::UnknownCodec(5));
    assert!(attribute(0x10).unwrap().header().is_transactional());
    let producer = with(good(), PRODUCER_ID_AT, &9i64.to_be_bytes());
    assert_eq!(
        checked(producer.clone()).unwrap_err(),
        BatchError::InvalidSequence { producer_id: 9, base_sequence: -1 }
    );
    assert!(checked(with(producer, BASE_SEQUENCE_AT, &0i32.to_be_bytes())).is_ok());
}

#[test]
fn size_is_that_of_the_batch_with_its_overhead() {
    let size_bytes = good().len();
    let limit = |max_message_bytes| {
        check(&Bytes::from(good()), &BatchRules { max_message_bytes, ..rules() }).map(drop)
    };
    assert_eq!(limit(size_bytes as u32), Ok(()));
    let max_bytes = size_bytes as u32 - 1;
    assert_eq!(limit(max_bytes), Err(BatchError::TooLarge { size_bytes, max_bytes }));
}

#[test]
fn zstd_needs_produce_7() {
    let old = BatchRules { zstd_allowed: false, ..rules() };
    assert_eq!(check(&Bytes::from(java(Codec::Zstd)), &old).unwrap_err(), BatchError::ZstdNotAllowed);
    assert!(check(&Bytes::from(java(Codec::Lz4)), &old).is_ok());
}

fn indexes(error: &BatchError) -> Vec<i32> {
    match error {
        BatchError::InvalidTimestamp(errors) | BatchError::InvalidRecords(errors) => {
            errors.iter().map(|error| error.batch_index).collect()
        }
        other => panic!("{other:?} names no records"),
    }
}

#[test]
fn records_too_far_ahead_are_named() {
    // Records at now, now + 7 and now - 10.
    for codec in Codec::ALL {
        let at = |now_ms, after_max_ms| {
            check(&Bytes::from(java(codec)), &BatchRules { now_ms, after_max_ms, ..rules() }).map(drop)
        };
        assert_eq!(at(NOW_MS, 7), Ok(()));
        let error = at(NOW_MS, 6).unwrap_err();
        assert_eq!(indexes(&error), [1], "{codec}");
        assert!(matches!(&error, BatchError::InvalidTimestamp(errors)
            if errors[0].message.contains(&format!("Timestamp {} of message with offset 1 ", NOW_MS + 7))));
        assert_eq!(indexes(&at(NOW_MS - 11, 0).unwrap_err()), [0, 1, 2]);
    }
}

#[test]
fn records_too_far_behind_are_named() {
    for codec in Codec::ALL {
        let rules = |before_max_ms| BatchRules { before_max_ms, ..rules() };
        assert!(check(&Bytes::from(java(codec)), &rules(10)).is_ok());
        // The header's base and max timestamps are both within the bound.
        assert_eq!(indexes(&check(&Bytes::from(java(codec)), &rules(9)).unwrap_err()), [2], "{codec}");
        assert_eq!(needs_opening(&java(codec), &rules(9)), codec != Codec::None);
    }
}

#[test]
fn extreme_clocks_and_timestamps_do_not_overflow() {
    for timestamp in [i64::MIN, i64::MAX] {
        let batch = BatchBuilder::new().record(timestamp, None, None).build();
        for now_ms in [i64::MIN, 0, i64::MAX] {
            let rules = BatchRules { now_ms, ..rules() };
            let result = check(batch.bytes(), &rules);
            assert_eq!(result.is_ok(), timestamp == now_ms, "{timestamp} at {now_ms}");
        }
    }
}

#[test]
fn records_without_a_timestamp_pass() {
    let batch = BatchBuilder::new().record(-1, None, None).build();
    let strict = BatchRules { before_max_ms: 0, after_max_ms: 0, ..rules() };
    assert!(check(batch.bytes(), &strict).is_ok());
}

#[test]
fn under_log_append_time_the_records_timestamps_do_not_matter() {
    let rules = BatchRules {
        timestamp_type: TimestampType::LogAppendTime,
        before_max_ms: 0,
        after_max_ms: 0,
        ..rules()
    };
    let bytes = Bytes::from(java(Codec::Lz4));
    assert_eq!(check(&bytes, &rules).unwrap().bytes(), &bytes);
    assert!(!needs_opening(&bytes, &rules));
}

#[test]
fn a_producer_that_claims_log_append_time() {
    let batch = BatchBuilder::new().record(NOW_MS, None, None).record(NOW_MS + 5, None, None).build();
    let patch = HeaderPatch { base_offset: 0, leader_epoch: -1, log_append_time_ms: Some(NOW_MS + 9) };
    let bytes = Bytes::from([&patch.header_bytes(batch.bytes())[..], batch.records_bytes()].concat());
    // is refused on a topic with LogAppendTime,
    let append_time = BatchRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    assert_eq!(indexes(&check(&bytes, &append_time).unwrap_err()), [0, 1]);
    // and is taken back to CreateTime on others, if its timestamp is within bounds.
    let corrected = check(&bytes, &rules()).unwrap();
    assert_eq!(corrected.header().timestamp_type(), TimestampType::CreateTime);
    assert_eq!(corrected.header().max_timestamp, NOW_MS + 9);
    assert!(verify_stored(corrected.bytes()).is_ok());
    let error = check(&bytes, &BatchRules { after_max_ms: 8, ..rules() }).unwrap_err();
    assert_eq!(indexes(&error), [0, 1]);
}

#[test]
fn how_many_records_a_compressed_batch_claims_costs_nothing() {
    let mut claims = with(java(Codec::Lz4), ATTRIBUTES_AT, &0x0bi16.to_be_bytes());
    claims = with(claims, LAST_OFFSET_DELTA_AT, &(i32::MAX - 1).to_be_bytes());
    claims = with(claims, RECORDS_COUNT_AT, &i32::MAX.to_be_bytes());
    let began = std::time::Instant::now();
    assert!(checked(claims.clone()).is_ok());
    let append_time = BatchRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let refused = check(&Bytes::from(claims), &append_time).unwrap_err();
    assert_eq!(indexes(&refused).len(), MAX_RECORD_ERRORS);
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_missing_key_outranks_a_claimed_log_append_time() {
    let batch = BatchBuilder::new().record(NOW_MS, None, None).record(NOW_MS, Some(b"k"), None).build();
    let patch = HeaderPatch { base_offset: 0, leader_epoch: -1, log_append_time_ms: Some(NOW_MS) };
    let bytes = Bytes::from([&patch.header_bytes(batch.bytes())[..], batch.records_bytes()].concat());
    let rules = BatchRules { keys_required: true, timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let BatchError::InvalidTimestamp(errors) = check(&bytes, &rules).unwrap_err() else { panic!() };
    assert!(errors[0].message.contains("without key") && errors[1].message.contains("LogAppendTime"));
}

#[test]
fn a_wrong_max_timestamp_is_corrected_where_records_are_read() {
    let lie = |codec, max: i64| Bytes::from(with(java(codec), MAX_TIMESTAMP_AT, &max.to_be_bytes()));
    let check_lie = |codec, max| check(&lie(codec, max), &rules()).unwrap();
    let corrected = check_lie(Codec::None, NOW_MS + 100);
    assert_eq!(corrected.header().max_timestamp, NOW_MS + 7);
    assert_eq!(corrected.bytes(), &java(Codec::None));
    // Out of bounds by the header, not by the records.
    assert_eq!(check_lie(Codec::Gzip, NOW_MS + DAY_MS).bytes(), &java(Codec::Gzip));
    assert!(needs_opening(&lie(Codec::Gzip, NOW_MS + DAY_MS), &rules()));
    // Within bounds a compressed batch is believed.
    assert_eq!(check_lie(Codec::Gzip, NOW_MS + 100).header().max_timestamp, NOW_MS + 100);
    // Its records may be late all the same where they are read for another reason.
    let future = BatchRules { after_max_ms: 6, keys_required: false, before_max_ms: DAY_MS, ..rules() };
    assert_eq!(indexes(&check(&lie(Codec::Gzip, NOW_MS), &future).unwrap_err()), [1]);
}

#[test]
fn compacted_topics_need_keys() {
    let compacted = BatchRules { keys_required: true, ..rules() };
    for codec in Codec::ALL {
        let error = check(&Bytes::from(java(codec)), &compacted).unwrap_err();
        assert!(matches!(error, BatchError::InvalidRecords(_)), "{codec}");
        assert_eq!(indexes(&error), [1]);
    }
    let keyed = BatchBuilder::new().record(NOW_MS, Some(b""), None).build();
    assert!(check(keyed.bytes(), &compacted).is_ok());
    // Timestamps outrank keys in the answer, which names both kinds.
    let both = BatchRules { after_max_ms: 6, before_max_ms: 9, ..compacted };
    let error = check(&Bytes::from(java(Codec::Lz4)), &both).unwrap_err();
    assert!(matches!(error, BatchError::InvalidTimestamp(_)));
    assert_eq!(indexes(&error), [1, 2]);
}

#[test]
fn the_records_an_error_names_are_bounded() {
    let mut builder = BatchBuilder::new();
    (0..2000).for_each(|_| builder.push(NOW_MS, None, None, &[]));
    let compacted = BatchRules { keys_required: true, ..rules() };
    let error = check(builder.build().bytes(), &compacted).unwrap_err();
    assert_eq!(indexes(&error).len(), MAX_RECORD_ERRORS);
}

fn to(codec: Codec) -> BatchRules {
    BatchRules { compression: CompressionRule::Codec { codec, level: None }, ..rules() }
}

#[test]
fn conversion_keeps_records_and_producer() {
    for from in Codec::ALL {
        let batch = checked(java(from)).unwrap();
        let kept = convert(&batch, &rules()).unwrap();
        assert_eq!(
            kept.bytes().as_ptr(),
            batch.bytes().as_ptr(),
            "compression.type=producer changes nothing"
        );
        for codec in Codec::ALL {
            let rules = to(codec);
            assert_eq!(needs_conversion(&batch, &rules), from != codec);
            assert_eq!(needs_opening(batch.bytes(), &rules), from != codec);
            let converted = convert(&batch, &rules).unwrap();
            assert_eq!(verify_stored(converted.bytes()), Ok(*converted.header()));
            assert_eq!(converted.header().codec(), Some(codec));
            assert_eq!(records_of(&converted), records_of(&batch), "{from} to {codec}");
            let fields = |batch: &CheckedBatch| BatchHeader {
                crc: 0,
                attributes: 0,
                batch_length: 0,
                ..*batch.header()
            };
            assert_eq!(fields(&converted), fields(&batch));
            assert!(check(converted.bytes(), &rules).is_ok());
            if codec == Codec::None {
                assert_eq!(converted.bytes(), &java(Codec::None));
            }
        }
    }
}

#[test]
fn conversion_corrects_the_max_timestamp_and_keeps_the_transactional_bit() {
    let bytes = with(java(Codec::Gzip), MAX_TIMESTAMP_AT, &(NOW_MS + 100).to_be_bytes());
    let bytes = with(bytes, ATTRIBUTES_AT + 1, &[0x11]);
    let converted = convert(&checked(bytes).unwrap(), &to(Codec::Zstd)).unwrap();
    assert_eq!(converted.header().max_timestamp, NOW_MS + 7);
    assert_eq!(converted.header().attributes, 0x14);
}

#[test]
fn conversion_checks_the_records_that_a_check_left_closed() {
    // The header says that no record is later than now; one is.
    let lie = Bytes::from(with(java(Codec::Gzip), MAX_TIMESTAMP_AT, &NOW_MS.to_be_bytes()));
    let rules = BatchRules { after_max_ms: 6, ..to(Codec::Lz4) };
    let unopened = check(&lie, &rules).unwrap();
    assert_eq!(indexes(&convert(&unopened, &rules).unwrap_err()), [1]);
}

#[test]
fn conversion_is_bounded_before_and_after() {
    let mut builder = BatchBuilder::new();
    let value = vec![b'x'; 500_000];
    builder.push(NOW_MS, None, Some(&value), &[]);
    let small = convert(&builder.build(), &to(Codec::Zstd)).unwrap();
    assert!(small.bytes().len() < 1000);
    let grown = convert(&small, &BatchRules { max_message_bytes: 400_000, ..to(Codec::None) }).unwrap_err();
    assert!(matches!(grown, BatchError::TooLarge { max_bytes: 400_000, size_bytes } if size_bytes > 500_000));
    let bomb =
        convert(&small, &BatchRules { max_decompressed_bytes: 400_000, ..to(Codec::None) }).unwrap_err();
    assert!(matches!(bomb, BatchError::Codec(CodecError::TooLarge { max_bytes: 400_000, .. })));
}

#[test]
fn compressed_records_are_numbered_anew_where_they_are_read() {
    // Offset deltas 0 and 5 in a batch of two.
    let mut records = vec![12, 0, 0, 0, 1, 1, 0];
    records.extend_from_slice(&[12, 0, 0, 10, 1, 1, 0]);
    let template =
        *BatchBuilder::new().record(NOW_MS, None, None).record(NOW_MS, None, None).build().header();
    let mut out = vec![0; HEADER_SIZE_BYTES];
    crate::codec::compress(Codec::Gzip, None, &records, &mut out).unwrap();
    let mut header = BatchHeader { attributes: 1, batch_length: (out.len() - 12) as i32, ..template };
    header.crc = header.compute_crc(&out[HEADER_SIZE_BYTES..]);
    out[..HEADER_SIZE_BYTES].copy_from_slice(&header.to_bytes());
    let offsets = |batch: &CheckedBatch| records_of(batch).iter().map(|r| r.0).collect::<Vec<_>>();
    let unread = checked(out.clone()).unwrap();
    assert_eq!(offsets(&unread), [0, 5]);
    let read = check(&Bytes::from(out), &BatchRules { before_max_ms: DAY_MS, ..rules() }).unwrap();
    assert_eq!(offsets(&read), [0, 1]);
    assert_eq!(verify_stored(read.bytes()), Ok(*read.header()));
    assert_eq!(offsets(&convert(&unread, &to(Codec::None)).unwrap()), [0, 1]);
}

#[test]
fn stored_batches_are_verified() {
    let good = good();
    assert!(verify_stored(&[&good[..], &[1, 2, 3]].concat()).is_ok());
    let cut = verify_stored(&good[..good.len() - 1]);
    assert_eq!(
        cut,
        Err(StoredBatchError::Incomplete { size_bytes: good.len(), available_bytes: good.len() - 1 })
    );
    let mut flipped = good;
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(verify_stored(&flipped), Err(StoredBatchError::CrcMismatch { .. })));
}

proptest! {
    #[test]
    fn any_bytes_are_checked_without_panic(
        codec in 0u8..5, at in any::<proptest::sample::Index>(), replace in proptest::collection::vec(any::<u8>(), 1..9),
        cut in any::<proptest::sample::Index>(), keys_required in any::<bool>(), before_max_ms in prop_oneof![Just(i64::MAX), any::<i64>()],
        recrc in any::<bool>(),
    ) {
        let mut bytes = java(Codec::from_id(codec).unwrap());
        let at = at.index(bytes.len() - replace.len());
        bytes[at..at + replace.len()].copy_from_slice(&replace);
        if recrc {
            bytes = with(bytes, 0, &[]);
        } else {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let rules = BatchRules { keys_required, before_max_ms, max_decompressed_bytes: 1 << 16, ..to(Codec::Lz4) };
        let _ = needs_opening(&bytes, &rules);
        if let Ok(batch) = check(&Bytes::from(bytes), &rules) {
            prop_assert_eq!(verify_stored(batch.bytes()), Ok(*batch.header()));
            prop_assert_eq!(batch.header().size_in_bytes(), batch.bytes().len());
            if let Ok(converted) = convert(&batch, &rules) {
                prop_assert_eq!(verify_stored(converted.bytes()), Ok(*converted.header()));
            }
        }
    }
}
