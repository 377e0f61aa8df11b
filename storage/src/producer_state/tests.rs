use super::*;
use crate::batch::{BatchBuilder, increment_sequence};
use proptest::prelude::*;
use std::collections::VecDeque;

const DAY_MS: i64 = 86_400_000;

fn header(producer_id: i64, epoch: i16, base_sequence: i32, records: i32) -> BatchHeader {
    let mut header = *BatchBuilder::new()
        .producer(producer_id, epoch, base_sequence)
        .record(0, None, None)
        .build()
        .header();
    header.records_count = records;
    header.last_offset_delta = records - 1;
    header
}

/// Checks a client's batch and appends it at `offset` when it is new.
fn append(
    states: &mut ProducerStates,
    mut batch: BatchHeader,
    offset: i64,
) -> Result<SequenceCheck, SequenceError> {
    let result = states.check(&batch, AppendOrigin::Client)?;
    if result == SequenceCheck::New {
        batch.base_offset = offset;
        states.update(&batch);
    }
    Ok(result)
}

fn new(states: &mut ProducerStates, batch: BatchHeader, offset: i64) {
    assert_eq!(append(states, batch, offset), Ok(SequenceCheck::New));
}

#[test]
fn the_last_five_batches_are_recognised_and_no_more() {
    let mut states = ProducerStates::default();
    for i in 0..6 {
        new(&mut states, header(1, 0, i * 10, 10), 100 + i64::from(i) * 10);
    }
    for i in 1..6 {
        let offset = 100 + i64::from(i) * 10;
        let duplicate = DuplicateBatch { base_offset: offset, last_offset: offset + 9, timestamp_ms: 0 };
        assert_eq!(
            append(&mut states, header(1, 0, i * 10, 10), 999),
            Ok(SequenceCheck::Duplicate(duplicate))
        );
    }
    let too_old = append(&mut states, header(1, 0, 0, 10), 999);
    assert_eq!(
        too_old,
        Err(SequenceError::OutOfOrderSequence { producer_id: 1, base_sequence: 0, last_sequence: 59 })
    );
    // The same first sequence with another count isn't the same batch.
    assert!(append(&mut states, header(1, 0, 50, 9), 999).is_err());
}

#[test]
fn gaps_are_out_of_order() {
    let mut states = ProducerStates::default();
    new(&mut states, header(1, 0, 0, 3), 0);
    assert_eq!(
        append(&mut states, header(1, 0, 4, 1), 3),
        Err(SequenceError::OutOfOrderSequence { producer_id: 1, base_sequence: 4, last_sequence: 2 })
    );
    new(&mut states, header(1, 0, 3, 1), 3);
    // Producers don't share sequences.
    new(&mut states, header(2, 0, 0, 1), 4);
}

#[test]
fn a_producer_without_state_may_start_anywhere() {
    let mut states = ProducerStates::default();
    new(&mut states, header(1, 3, 1234, 1), 0);
    new(&mut states, header(1, 3, 1235, 1), 1);
}

#[test]
fn sequences_wrap_between_and_within_batches() {
    let mut states = ProducerStates::default();
    new(&mut states, header(1, 0, i32::MAX - 4, 5), 0); // ends at MAX
    new(&mut states, header(1, 0, 0, 1), 5);
    let mut states = ProducerStates::default();
    new(&mut states, header(1, 0, i32::MAX - 1, 5), 0); // MAX-1, MAX, 0, 1, 2
    assert_eq!(header(1, 0, i32::MAX - 1, 5).last_sequence(), 2);
    let duplicate = append(&mut states, header(1, 0, i32::MAX - 1, 5), 9).unwrap();
    assert_eq!(
        duplicate,
        SequenceCheck::Duplicate(DuplicateBatch { base_offset: 0, last_offset: 4, timestamp_ms: 0 })
    );
    assert!(append(&mut states, header(1, 0, 0, 1), 5).is_err());
    new(&mut states, header(1, 0, 3, 1), 5);
}

#[test]
fn epochs_fence_and_start_at_zero() {
    let mut states = ProducerStates::default();
    new(&mut states, header(1, 4, 0, 2), 0);
    assert_eq!(
        append(&mut states, header(1, 3, 2, 1), 2),
        Err(SequenceError::InvalidProducerEpoch { producer_id: 1, producer_epoch: 3, current_epoch: 4 })
    );
    assert_eq!(
        append(&mut states, header(1, 5, 2, 1), 2),
        Err(SequenceError::NewEpochNotAtZero {
            producer_id: 1,
            producer_epoch: 5,
            base_sequence: 2,
            current_epoch: 4
        })
    );
    new(&mut states, header(1, 5, 0, 2), 2);
    // The batches of the old epoch are no duplicates any more: the old epoch is fenced first.
    assert!(matches!(
        append(&mut states, header(1, 4, 0, 2), 4),
        Err(SequenceError::InvalidProducerEpoch { .. })
    ));
}

#[test]
fn batches_of_an_older_epoch_are_no_duplicates() {
    let mut states = ProducerStates::default();
    for i in 0..3 {
        new(&mut states, header(1, 4, i * 2, 2), i64::from(i) * 2);
    }
    new(&mut states, header(1, 5, 0, 2), 6);
    // As epoch 4 wrote it, and not what comes next now; then as epoch 4 wrote it, and next.
    assert!(append(&mut states, header(1, 5, 4, 2), 8).is_err());
    new(&mut states, header(1, 5, 2, 2), 8);
}

#[test]
fn coordinators_have_no_sequences_but_epochs_and_replicas_are_not_checked() {
    let mut states = ProducerStates::default();
    new(&mut states, header(1, 4, 0, 2), 0);
    assert_eq!(states.check(&header(1, 4, -1, 1), AppendOrigin::Coordinator), Ok(SequenceCheck::New));
    assert_eq!(states.check(&header(1, 4, 0, 2), AppendOrigin::Coordinator), Ok(SequenceCheck::New));
    assert!(states.check(&header(1, 3, -1, 1), AppendOrigin::Coordinator).is_err());
    assert_eq!(states.check(&header(1, 3, 77, 1), AppendOrigin::Replication), Ok(SequenceCheck::New));
    assert_eq!(states.check(&header(-1, -1, -1, 1), AppendOrigin::Client), Ok(SequenceCheck::New));
    states.update(&header(-1, -1, -1, 1));
    assert_eq!(states.len(), 1);
}

#[test]
fn a_marker_ends_the_transaction_and_may_raise_the_epoch() {
    let mut states = ProducerStates::default();
    let mut batch =
        *BatchBuilder::new().producer(1, 0, 0).transactional().record(5, None, None).build().header();
    batch.base_offset = 40;
    states.update(&batch);
    assert_eq!(states.first_undecided_offset(), Some(40));
    states.expire(i64::MAX, 1);
    assert_eq!(states.len(), 1, "a producer inside a transaction doesn't expire");

    let marker =
        BatchBuilder::new().producer(1, 1, -1).transactional().control().record(9, None, None).build();
    states.update(marker.header());
    assert_eq!(states.first_undecided_offset(), Some(40), "a control batch is no data batch");
    states.update_control(marker.header(), ControlMarker { is_commit: true, coordinator_epoch: 7 });
    assert_eq!(states.first_undecided_offset(), None);
    assert!(matches!(
        states.check(&header(1, 0, 1, 1), AppendOrigin::Client),
        Err(SequenceError::InvalidProducerEpoch { current_epoch: 1, .. })
    ));
    // Epoch 1 has no batch yet, so its first sequence is 0.
    assert!(states.check(&header(1, 1, 5, 1), AppendOrigin::Client).is_err());
    assert_eq!(states.check(&header(1, 1, 0, 1), AppendOrigin::Client), Ok(SequenceCheck::New));
}

#[test]
fn idle_producers_expire() {
    let mut states = ProducerStates::default();
    for (producer_id, timestamp) in [(1, 1000), (2, 2000)] {
        let batch = BatchBuilder::new().producer(producer_id, 0, 0).record(timestamp, None, None).build();
        states.update(batch.header());
    }
    states.expire(1000 + DAY_MS - 1, DAY_MS);
    assert_eq!(states.len(), 2);
    states.expire(1000 + DAY_MS, DAY_MS);
    assert_eq!(states.len(), 1);
    assert_eq!(states.check(&header(1, 0, 55, 1), AppendOrigin::Client), Ok(SequenceCheck::New));
    assert!(states.check(&header(2, 0, 55, 1), AppendOrigin::Client).is_err());
}

#[test]
fn one_shot_producers_are_bounded_and_the_idlest_go_first() {
    let mut states = ProducerStates::new(800);
    for producer_id in 0..10_000i64 {
        let batch = BatchBuilder::new().producer(producer_id, 0, 0).record(producer_id, None, None).build();
        states.update(batch.header());
        assert!(states.len() <= 800);
    }
    assert!(states.len() >= 600);
    for recent in 9_400..10_000 {
        assert!(
            states.check(&header(recent, 0, 55, 1), AppendOrigin::Client).is_err(),
            "{recent} was forgotten"
        );
    }
}

#[test]
fn producers_of_one_millisecond_are_not_all_forgotten_at_once() {
    let mut states = ProducerStates::new(80);
    for producer_id in 0..81i64 {
        states.update(&header(producer_id, 0, 0, 1));
    }
    assert_eq!(states.len(), 81 - 11);
}

#[test]
fn snapshots_have_kafkas_bytes() {
    let mut states = ProducerStates::default();
    let mut batch = header(0x11, 2, 5, 3);
    (batch.base_offset, batch.max_timestamp) = (100, 0x0102);
    states.update(&batch);
    let bytes = states.encode_snapshot();
    let mut expected = vec![0, 1]; // version
    expected.extend_from_slice(&crc_fast::crc32_iscsi(&bytes[6..]).to_be_bytes());
    expected.extend_from_slice(&[0, 0, 0, 1]); // entries
    expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x11]); // producer id
    expected.extend_from_slice(&[0, 2]); // epoch
    expected.extend_from_slice(&[0, 0, 0, 7]); // last sequence
    expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 102]); // last offset
    expected.extend_from_slice(&[0, 0, 0, 2]); // offset delta
    expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2]); // timestamp
    expected.extend_from_slice(&[0xff; 4]); // coordinator epoch
    expected.extend_from_slice(&[0xff; 8]); // current transaction
    assert_eq!(bytes, expected);
}

#[test]
fn a_snapshot_that_kafka_wrote_is_read_and_written_alike() {
    // By ProducerStateManager of Kafka 4.3: producer 3, epoch 2, sequences 5 to 7 at offsets 0 to 2.
    let text = "0001e36dae2b0000000100000000000000030002000000070000000000000002000000020000018bcfe56802ffffffffffffffffffffffff";
    let bytes: Vec<u8> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
    let mut states = ProducerStates::default();
    states.load_snapshot(&bytes, 0, DAY_MS).unwrap();
    assert_eq!(states.encode_snapshot(), bytes);
    let known = states.check(&header(3, 2, 5, 3), AppendOrigin::Client);
    let first = DuplicateBatch { base_offset: 0, last_offset: 2, timestamp_ms: 1_700_000_000_002 };
    assert_eq!(known, Ok(SequenceCheck::Duplicate(first)));
}

#[test]
fn a_snapshot_brings_back_the_last_batch() {
    let mut states = ProducerStates::default();
    new(&mut states, header(1, 2, 0, 3), 0);
    new(&mut states, header(1, 2, 3, 3), 3);
    let mut loaded = ProducerStates::default();
    loaded.load_snapshot(&states.encode_snapshot(), 0, DAY_MS).unwrap();
    assert!(
        matches!(append(&mut loaded, header(1, 2, 3, 3), 9), Ok(SequenceCheck::Duplicate(d)) if d.base_offset == 3)
    );
    assert!(append(&mut loaded, header(1, 2, 0, 3), 9).is_err(), "only the last batch is in the file");
    assert!(append(&mut loaded, header(1, 1, 6, 1), 9).is_err());
    new(&mut loaded, header(1, 2, 6, 1), 6);
    // Expired producers stay out, and a second load replaces the first.
    loaded.load_snapshot(&states.encode_snapshot(), DAY_MS, DAY_MS).unwrap();
    assert!(loaded.is_empty());
}

#[test]
fn damaged_snapshots_are_refused_and_change_nothing() {
    let mut states = ProducerStates::default();
    new(&mut states, header(1, 2, 0, 3), 0);
    let good = states.encode_snapshot();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(states.load_snapshot(&bad, 0, DAY_MS).is_err(), "byte {at}");
        assert!(states.load_snapshot(&good[..at], 0, DAY_MS).is_err(), "cut at {at}");
    }
    let mut version = good.clone();
    version[1] = 2;
    assert_eq!(states.load_snapshot(&version, 0, DAY_MS), Err(SnapshotError::UnknownVersion(2)));
    let mut crc = good.clone();
    crc[3] ^= 1;
    assert!(matches!(states.load_snapshot(&crc, 0, DAY_MS), Err(SnapshotError::CrcMismatch { .. })));
    assert_eq!(
        states.load_snapshot(&[good, vec![0]].concat(), 0, DAY_MS),
        Err(SnapshotError::WrongLength(57))
    );
    assert_eq!(states.len(), 1);
}

/// The rules written as plainly as possible: all batches of the current epoch in a list.
#[derive(Default)]
struct Model {
    epoch: Option<i16>,
    batches: VecDeque<(i32, i32, i64)>, // base sequence, last sequence, base offset
}

proptest! {
    #[test]
    fn agrees_with_a_plain_model(
        start in prop_oneof![Just(0i32), Just(i32::MAX - 20)],
        steps in proptest::collection::vec((0i16..3, -12i32..4, 1i32..4), 1..60),
    ) {
        let mut states = ProducerStates::default();
        let mut model = Model::default();
        let mut offset = 0i64;
        let mut next = start;
        for (epoch, shift, records) in steps {
            let base = if shift >= 0 { increment_sequence(next, shift.max(0) / 2) } else {
                crate::batch::decrement_sequence(next, -shift)
            };
            let batch = header(1, epoch, base, records);
            let last = batch.last_sequence();
            let known = model.batches.iter().rev().take(5).find(|b| (b.0, b.1) == (base, last)).copied();
            let expected = match model.epoch {
                None => Ok(None),
                Some(current) if epoch < current => Err(()),
                Some(current) if epoch > current => if base == 0 { Ok(None) } else { Err(()) },
                Some(_) => match known {
                    Some(known) => Ok(Some(known.2)),
                    None if base == next => Ok(None),
                    None => Err(()),
                },
            };
            let got = append(&mut states, batch, offset);
            match (expected, got) {
                (Err(()), Err(_)) => {}
                (Ok(Some(at)), Ok(SequenceCheck::Duplicate(duplicate))) => prop_assert_eq!(at, duplicate.base_offset),
                (Ok(None), Ok(SequenceCheck::New)) => {
                    if model.epoch != Some(epoch) {
                        model.batches.clear();
                        model.epoch = Some(epoch);
                    }
                    model.batches.push_back((base, last, offset));
                    offset += i64::from(records);
                    next = increment_sequence(last, 1);
                }
                (expected, got) => prop_assert!(false, "expected {:?}, got {:?}", expected, got),
            }
        }
    }

    #[test]
    fn any_bytes_load_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = ProducerStates::default().load_snapshot(&bytes, 0, DAY_MS);
    }
}
