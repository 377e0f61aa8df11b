use super::*;

fn value() -> TransactionLogValue {
    let partitions = PartitionsSchema { topic: "t".into(), partition_ids: vec![2, 7] };
    TransactionLogValue {
        producer_id: 17,
        producer_epoch: 3,
        transaction_timeout_ms: 2_000,
        transaction_status: TransactionState::Ongoing.id(),
        transaction_partitions: Some(vec![partitions]),
        transaction_last_update_timestamp_ms: 1_290,
        transaction_start_timestamp_ms: 1_234,
        ..Default::default()
    }
}

fn record(version: i16, value: TransactionLogValue) -> TransactionRecord {
    TransactionRecord { transactional_id: "id".into(), value: Some(VersionedValue { version, value }) }
}

fn encoded(record: &TransactionRecord) -> (Bytes, Bytes) {
    let (key, value) = record.encode().expect("encodes");
    (key, value.expect("has a value"))
}

/// Producer id, epoch, timeout, status.
const FIXED: [u8; 15] = [0, 0, 0, 0, 0, 0, 0, 17, 0, 3, 0, 0, 7, 208, 1];
/// When it was written, when it began.
const TIMES: [u8; 16] = [0, 0, 0, 0, 0, 0, 5, 10, 0, 0, 0, 0, 0, 0, 4, 210];

#[test]
fn version_0_is_plain() {
    let record = record(0, value());
    let (key, value) = encoded(&record);
    assert_eq!(key[..], [0, 0, 0, 2, b'i', b'd']);
    let partitions = [0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 7];
    assert_eq!(value[..], [&[0, 0][..], &FIXED, &partitions, &TIMES].concat());
    assert_eq!(TransactionRecord::decode(&key, Some(&value)), Ok(record));
}

#[test]
fn version_1_has_tagged_fields_where_they_say_something() {
    let plain = record(1, value());
    let (key, bytes) = encoded(&plain);
    let partitions = [2, 2, b't', 3, 0, 0, 0, 2, 0, 0, 0, 7, 0];
    assert_eq!(bytes[..], [&[0, 1][..], &FIXED, &partitions, &TIMES, &[0]].concat(), "no tagged fields");
    assert_eq!(TransactionRecord::decode(&key, Some(&bytes)), Ok(plain));

    let tagged = TransactionLogValue {
        previous_producer_id: 11,
        next_producer_id: 19,
        client_transaction_version: 2,
        ..value()
    };
    let tagged = record(1, tagged);
    let (key, bytes) = encoded(&tagged);
    let expected = [3, 0, 8, 0, 0, 0, 0, 0, 0, 0, 11, 1, 8, 0, 0, 0, 0, 0, 0, 0, 19, 2, 2, 0, 2];
    assert_eq!(bytes[bytes.len() - expected.len()..], expected);
    assert_eq!(TransactionRecord::decode(&key, Some(&bytes)), Ok(tagged));
}

#[test]
fn version_0_loses_the_tagged_fields() {
    let tagged = TransactionLogValue { previous_producer_id: 11, client_transaction_version: 2, ..value() };
    let (key, bytes) = encoded(&record(0, tagged));
    assert_eq!(TransactionRecord::decode(&key, Some(&bytes)), Ok(record(0, value())));
}

#[test]
fn no_partitions_are_null() {
    for version in [0, 1] {
        let empty = TransactionLogValue { transaction_partitions: None, ..value() };
        let record = record(version, empty);
        let (key, bytes) = encoded(&record);
        assert_eq!(TransactionRecord::decode(&key, Some(&bytes)), Ok(record));
    }
}

#[test]
fn a_tombstone_has_no_value() {
    let tombstone = TransactionRecord { transactional_id: "id".into(), value: None };
    let (key, value) = tombstone.encode().expect("encodes");
    assert_eq!(value, None);
    assert_eq!(TransactionRecord::decode(&key, None), Ok(tombstone));
}

#[test]
fn what_is_not_known_is_left_to_the_caller() {
    use TransactionRecordError::*;
    let (key, bytes) = encoded(&record(1, value()));
    for record_type in [-1, 1, i16::MAX] {
        let decoded = TransactionRecord::decode(&record_type.to_be_bytes(), None);
        assert_eq!(decoded, Err(UnknownType { record_type }));
    }
    for version in [-1, 2_i16] {
        let other = [&version.to_be_bytes()[..], &bytes[2..]].concat();
        assert_eq!(TransactionRecord::decode(&key, Some(&other)), Err(UnknownVersion { version }));
    }
    for status in [-1_i8, 6, 7, 8] {
        let mut other = bytes.to_vec();
        other[16] = status as u8;
        assert_eq!(TransactionRecord::decode(&key, Some(&other)), Err(UnknownState { status }));
    }
}

#[test]
fn a_cut_record_is_refused_at_every_byte() {
    for version in [0, 1] {
        let (key, bytes) = encoded(&record(version, TransactionLogValue { next_producer_id: 1, ..value() }));
        let cut_keys = (0..key.len()).map(|at| TransactionRecord::decode(&key[..at], Some(&bytes)));
        let cut_values = (0..bytes.len()).map(|at| TransactionRecord::decode(&key, Some(&bytes[..at])));
        for decoded in cut_keys.chain(cut_values) {
            assert!(matches!(decoded, Err(TransactionRecordError::Shape(_))), "{decoded:?}");
        }
    }
}

#[test]
fn a_count_must_fit_in_the_bytes_left() {
    let (key, bytes) = encoded(&record(0, value()));
    let mut huge = bytes.to_vec();
    huge[17..21].copy_from_slice(&i32::MAX.to_be_bytes());
    let decoded = TransactionRecord::decode(&key, Some(&huge));
    assert!(matches!(decoded, Err(TransactionRecordError::Shape(ShapeError::NotEnoughBytes { .. }))));
}
