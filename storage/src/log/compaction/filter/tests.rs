use super::*;
use crate::batch::{BatchBuilder, HEADER_SIZE_BYTES, HeaderPatch, end_transaction_marker, open};
use crate::txn_index::AbortedTransaction;

const NOW_MS: i64 = 1_000_000;
const RETENTION_MS: i64 = 500;

fn at(base_offset: i64, batch: &batch::CheckedBatch) -> Vec<u8> {
    let patch = HeaderPatch { base_offset, leader_epoch: 1, log_append_time_ms: None };
    let mut bytes = batch.bytes().to_vec();
    bytes[..HEADER_SIZE_BYTES].copy_from_slice(&patch.header_bytes(batch.bytes()));
    bytes
}

/// A batch of producer 7 with keys and values.
fn data(base_offset: i64, records: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut builder = BatchBuilder::new().producer(7, 0, 0);
    for (key, value) in records {
        builder = builder.record(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes));
    }
    at(base_offset, &builder.build())
}

fn marker(base_offset: i64, producer_id: i64, is_commit: bool) -> Vec<u8> {
    let marker = ControlMarker { is_commit, coordinator_epoch: 0 };
    at(base_offset, &end_transaction_marker(producer_id, 0, marker, NOW_MS))
}

fn map(last_offsets: &[(&str, i64)], end_offset: i64) -> OffsetMap {
    let mut map = OffsetMap::new(1 << 20, 0.9);
    last_offsets.iter().for_each(|(key, offset)| assert!(map.put(key.as_bytes(), *offset)));
    map.set_end_offset(end_offset);
    map
}

fn filter(map: &OffsetMap) -> Filter<'_> {
    Filter {
        map,
        transactions: CleanedTransactions::default(),
        last_records: LastRecords::new(),
        delete_retention_ms: RETENTION_MS,
        now_ms: NOW_MS,
    }
}

/// Offsets of the records of a batch that was changed, and when its tombstones may go.
fn records(left: Left) -> (Vec<i64>, Option<i64>) {
    let Left::Changed(bytes) = left else { panic!("{left:?}") };
    let header = verify_stored(&bytes).unwrap();
    let opened = open(&bytes, 1 << 20).unwrap();
    (opened.records().map(|record| record.unwrap().offset).collect(), header.delete_horizon_ms())
}

#[test]
fn the_last_record_of_a_key_stays() {
    let map = map(&[("a", 12), ("b", 11), ("c", 50)], 60);
    let batch = data(10, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("c", Some("1"))]);
    assert_eq!(records(filter(&map).apply(&batch, false).unwrap()), (vec![11, 12], None));
    assert_eq!(filter(&map).apply(&data(11, &[("b", Some("1"))]), false), Ok(Left::All));
    assert_eq!(filter(&map).apply(&data(13, &[("c", Some("1"))]), false), Ok(Left::Nothing));
    // A key that the part which no round has seen doesn't have.
    assert_eq!(filter(&map).apply(&data(9, &[("d", Some("1"))]), false), Ok(Left::All));
    assert_eq!(
        filter(&map).apply(&data(60, &[("c", Some("1"))]), false),
        Ok(Left::All),
        "the map ends before it"
    );
}

#[test]
fn a_record_without_a_key_goes() {
    let map = map(&[], 60);
    let batch =
        at(10, &BatchBuilder::new().record(1, None, Some(b"v")).record(1, Some(b"k"), Some(b"v")).build());
    assert_eq!(records(filter(&map).apply(&batch, false).unwrap()), (vec![11], None));
}

#[test]
fn a_tombstone_stays_for_a_time_that_begins_with_the_first_round() {
    let map = map(&[("a", 10), ("b", 11)], 60);
    let batch = data(10, &[("a", None), ("b", Some("1"))]);
    let Left::Changed(waiting) = filter(&map).apply(&batch, false).unwrap() else { panic!() };
    let horizon_ms = NOW_MS + RETENTION_MS;
    assert_eq!(records(Left::Changed(waiting.clone())), (vec![10, 11], Some(horizon_ms)));
    let later = |now_ms| Filter { now_ms, ..filter(&map) };
    assert_eq!(later(horizon_ms - 1).apply(&waiting, false), Ok(Left::All));
    assert_eq!(records(later(horizon_ms).apply(&waiting, false).unwrap()), (vec![11], Some(horizon_ms)));
}

#[test]
fn an_aborted_batch_goes_and_its_marker_later() {
    let map = map(&[("a", 10)], 60);
    let aborted =
        AbortedTransaction { producer_id: 7, first_offset: 10, last_offset: 11, last_stable_offset: 12 };
    let with =
        |now_ms| Filter { transactions: CleanedTransactions::new(vec![aborted]), now_ms, ..filter(&map) };
    let builder = BatchBuilder::new().producer(7, 0, 0).transactional().record(1, Some(b"a"), Some(b"1"));
    let batch = at(10, &builder.build());

    let mut first = with(NOW_MS);
    assert_eq!(first.apply(&batch, false), Ok(Left::Nothing));
    assert_eq!(first.apply(&marker(11, 7, false), false), Ok(Left::All));
    assert_eq!(first.transactions.take_kept(), [aborted]);

    let mut second = with(NOW_MS);
    let Left::Changed(waiting) = second.apply(&marker(11, 7, false), false).unwrap() else { panic!() };
    assert_eq!(records(Left::Changed(waiting.clone())), (vec![11], Some(NOW_MS + RETENTION_MS)));
    assert!(ControlMarker::of_batch(&waiting).is_some_and(|marker| !marker.is_commit));
    assert_eq!(with(NOW_MS + RETENTION_MS - 1).apply(&waiting, false), Ok(Left::All));
    assert_eq!(with(NOW_MS + RETENTION_MS).apply(&waiting, false), Ok(Left::Nothing));
}

#[test]
fn a_producers_last_batch_stays_without_its_records() {
    let map = map(&[("a", 50)], 60);
    let batch = data(10, &[("a", Some("1")), ("a", Some("2"))]);
    let mut filter = filter(&map);
    filter.last_records.insert(7, (Some(11), 0));
    let Left::Changed(empty) = filter.apply(&batch, false).unwrap() else { panic!() };
    let header = verify_stored(&empty).unwrap();
    assert_eq!((header.records_count, header.last_offset(), header.last_sequence()), (0, 11, 1));
    assert_eq!(filter.apply(&empty, false), Ok(Left::All), "and stays so");
    filter.last_records.insert(7, (Some(55), 0));
    assert_eq!(filter.apply(&empty, false), Ok(Left::Nothing));
    assert_eq!(filter.apply(&empty, true), Ok(Left::All), "where an offset has to be kept");

    // One that is known by a marker alone.
    filter.last_records.insert(8, (None, 0));
    let now_ms = NOW_MS + RETENTION_MS;
    let Left::Changed(waiting) = filter.apply(&marker(20, 8, true), false).unwrap() else { panic!() };
    let mut later = Filter { now_ms, ..filter };
    let Left::Changed(empty) = later.apply(&waiting, false).unwrap() else { panic!() };
    assert_eq!(verify_stored(&empty).unwrap().records_count, 0);
    later.last_records.clear();
    assert_eq!(later.apply(&empty, false), Ok(Left::Nothing));
}

#[test]
fn a_damaged_batch_is_refused() {
    let map = map(&[("a", 50)], 60);
    let mut batch = data(10, &[("a", Some("1"))]);
    *batch.last_mut().unwrap() ^= 1;
    assert!(matches!(filter(&map).apply(&batch, false), Err(UnreadableBatch::Stored(_))));
}
