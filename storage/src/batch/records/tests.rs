use super::*;
use crate::batch::BatchBuilder;
use proptest::prelude::*;

/// Offset and timestamp of every record, or the first fault.
fn open_all(batch: &[u8]) -> Result<Vec<(i64, i64)>, String> {
    let opened = open(batch, 1 << 20).map_err(|error| error.to_string())?;
    opened
        .records()
        .map(|record| {
            let r = record.map_err(|error| error.to_string())?;
            assert_eq!(r.headers().count(), r.headers_count());
            Ok((r.offset, r.timestamp))
        })
        .collect()
}

/// A batch with the given record bytes and count, uncompressed.
fn raw(records: &[u8], count: i32) -> Vec<u8> {
    let template = BatchBuilder::new().record(1000, None, None).build();
    let mut header = *template.header();
    header.records_count = count;
    header.batch_length = (HEADER_SIZE_BYTES - 12 + records.len()) as i32;
    [&header.to_bytes()[..], records].concat()
}

fn first_error(records: &[u8], count: i32) -> RecordsError {
    let bytes = raw(records, count);
    let opened = open(&bytes, 0).unwrap();
    let mut records = opened.records();
    let error = records.find_map(Result::err).unwrap();
    assert_eq!(records.next(), None, "nothing follows an error");
    error
}

#[test]
fn records_come_back_as_built() {
    let mut builder = BatchBuilder::new();
    builder.push(
        1000,
        Some(b"k"),
        Some(b"v"),
        &[RecordHeader { key: b"h", value: Some(b"x") }, RecordHeader { key: b"", value: None }],
    );
    builder.push(990, None, Some(b""), &[]);
    let batch = builder.build();
    let opened = open(batch.bytes(), 0).unwrap();
    let records: Vec<_> = opened.records().map(Result::unwrap).collect();
    assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), Some(&b"v"[..])));
    let headers: Vec<_> = records[0].headers().collect();
    assert_eq!(
        headers,
        [RecordHeader { key: b"h", value: Some(b"x") }, RecordHeader { key: b"", value: None }]
    );
    assert_eq!((records[1].offset, records[1].timestamp, records[1].timestamp_delta), (1, 990, -10));
    assert_eq!((records[1].key, records[1].value), (None, Some(&b""[..])));
}

#[test]
fn under_log_append_time_the_header_speaks_for_all_records() {
    let batch = BatchBuilder::new().record(5, None, None).record(6, None, None).build();
    let patch = crate::batch::HeaderPatch { base_offset: 70, leader_epoch: 0, log_append_time_ms: Some(99) };
    let bytes = [&patch.header_bytes(batch.bytes())[..], batch.records_bytes()].concat();
    assert_eq!(open_all(&bytes), Ok(vec![(70, 99), (71, 99)]));
}

#[test]
fn faults_are_told_apart() {
    let good = [12, 0, 0, 0, 1, 1, 0];
    assert_eq!(first_error(&good, 2), RecordsError::PrematureEnd);
    assert_eq!(first_error(&[good, good].concat(), 1), RecordsError::TrailingBytes);
    assert_eq!(first_error(&good, -3), RecordsError::InvalidCount(-3));
    assert_eq!(first_error(&good[..6], 1), RecordsError::PrematureEnd);
    assert_eq!(first_error(&[14, 0, 0, 0, 1, 1, 0, 0], 1), RecordsError::InvalidRecordSize(7));
    assert_eq!(first_error(&[12, 0, 0, 0, 1, 20, 0], 1), RecordsError::InvalidRecordSize(6));
    assert_eq!(first_error(&[1, 0, 0, 0, 1, 1, 0], 1), RecordsError::InvalidRecordSize(-1));
    assert_eq!(first_error(&[12, 0, 0, 0, 1, 1, 1], 1), RecordsError::InvalidHeaderCount(-1));
    assert_eq!(first_error(&[12, 0, 0, 0, 1, 1, 2], 1), RecordsError::InvalidHeaderCount(1));
    assert_eq!(first_error(&[16, 0, 0, 0, 1, 1, 2, 1, 1], 1), RecordsError::NullHeaderKey(-1));
    assert_eq!(first_error(&[0xff, 0xff, 0xff, 0xff, 0xff, 1], 1), RecordsError::InvalidVarint);
}

#[test]
fn an_empty_batch_has_no_records() {
    assert_eq!(open_all(&raw(&[], 0)), Ok(vec![]));
}

#[test]
fn compressed_batches_open_and_foreign_codecs_do_not() {
    let mut header = *BatchBuilder::new().record(1, Some(b"k"), None).build().header();
    header.attributes = 6;
    let bytes = header.to_bytes();
    assert!(matches!(open(&bytes, 10), Err(OpenError::Batch(StoredBatchError::Incomplete { .. }))));
    header.batch_length = 49;
    assert!(matches!(open(&header.to_bytes(), 10), Err(OpenError::UnknownCodec(6))));
    header.attributes = 4;
    assert!(matches!(open(&header.to_bytes(), 10), Err(OpenError::Codec(_))));
    header.records_count = 0;
    assert_eq!(open_all(&header.to_bytes()), Ok(vec![]));
}

#[test]
fn markers_are_read() {
    let marker = |key: &[u8], value: &[u8]| -> Option<ControlMarker> {
        let batch: CheckedBatch = BatchBuilder::new().control().record(1, Some(key), Some(value)).build();
        let opened = open(batch.bytes(), 0).unwrap();
        ControlMarker::of_record(&opened.records().next().unwrap().unwrap())
    };
    let commit = ControlMarker { is_commit: true, coordinator_epoch: 7 };
    assert_eq!(marker(&[0, 0, 0, 1], &[0, 0, 0, 0, 0, 7]), Some(commit));
    assert_eq!(
        marker(&[0, 0, 0, 0], &[0, 0, 0, 0, 0, 7]),
        Some(ControlMarker { is_commit: false, ..commit })
    );
    assert_eq!(marker(&[0, 0, 0, 2], &[0, 0, 0, 0, 0, 7]), None);
    assert_eq!(marker(&[0, 0, 0], &[0, 0, 0, 0, 0, 7]), None);
    assert_eq!(marker(&[0, 0, 0, 1], &[0, 0, 0]), None);
}

type Parts = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn parts() -> impl Strategy<Value = Parts> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let headers = proptest::collection::vec((bytes(), proptest::option::of(bytes())), 0..4);
    (any::<i64>(), proptest::option::of(bytes()), proptest::option::of(bytes()), headers)
}

proptest! {
    #[test]
    fn built_records_round_trip(records in proptest::collection::vec(parts(), 1..20)) {
        let mut builder = BatchBuilder::new();
        for (timestamp, key, value, headers) in &records {
            let headers: Vec<_> = headers.iter().map(|(k, v)| RecordHeader { key: k, value: v.as_deref() }).collect();
            builder.push(*timestamp, key.as_deref(), value.as_deref(), &headers);
        }
        let batch = builder.build();
        let opened = open(batch.bytes(), 0).unwrap();
        let mut count = 0;
        for (read, (timestamp, key, value, headers)) in opened.records().zip(&records) {
            let read = read.unwrap();
            prop_assert_eq!((read.offset, read.timestamp), (count, *timestamp));
            prop_assert_eq!((read.key, read.value), (key.as_deref(), value.as_deref()));
            let read_headers: Vec<_> = read.headers().map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(&read_headers, headers);
            count += 1;
        }
        prop_assert_eq!(count, records.len() as i64);
    }

    #[test]
    fn any_record_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100), count in -2i32..10, codec in 0i16..8) {
        let mut batch = raw(&bytes, count);
        batch[22] = codec as u8;
        let _ = open_all(&batch);
    }

    #[test]
    fn varints_agree_with_their_writer(value in any::<i64>(), short in any::<i32>()) {
        let mut out = Vec::new();
        crate::batch::builder::write_varint(&mut out, value);
        prop_assert_eq!(take_varlong(&mut &out[..]), Ok(value));
        out.clear();
        crate::batch::builder::write_varint(&mut out, i64::from(short));
        prop_assert_eq!(take_varint(&mut &out[..]), Ok(short));
    }
}
