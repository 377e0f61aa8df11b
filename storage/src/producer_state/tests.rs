use super::*;
use crate::batch::{BatchBuilder, NO_SEQUENCE, increment_sequence};
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

const COMMIT: ControlMarker = ControlMarker { is_commit: true, coordinator_epoch: 7 };

/// Checks a data batch about whose transaction nothing was asked.
fn check(
    states: &ProducerStates,
    batch: &BatchHeader,
    origin: AppendOrigin,
) -> Result<SequenceCheck, SequenceError> {
    states.check(batch, None, origin, TransactionContext::NONE)
}

fn open_transactions(states: &ProducerStates) -> Vec<(i64, i64)> {
    states.open_transactions().collect()
}

/// Checks a client's batch and appends it at `offset` when it is new.
fn append(
    states: &mut ProducerStates,
    mut batch: BatchHeader,
    offset: i64,
) -> Result<SequenceCheck, SequenceError> {
    let result = check(states, &batch, AppendOrigin::Client)?;
    if result == SequenceCheck::New {
        batch.base_offset = offset;
        states.update(&batch, None);
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
    assert_eq!(check(&states, &header(1, 4, -1, 1), AppendOrigin::Coordinator), Ok(SequenceCheck::New));
    assert_eq!(check(&states, &header(1, 4, 0, 2), AppendOrigin::Coordinator), Ok(SequenceCheck::New));
    assert!(check(&states, &header(1, 3, -1, 1), AppendOrigin::Coordinator).is_err());
    assert_eq!(check(&states, &header(1, 3, 77, 1), AppendOrigin::Replication), Ok(SequenceCheck::New));
    assert_eq!(check(&states, &header(-1, -1, -1, 1), AppendOrigin::Client), Ok(SequenceCheck::New));
    states.update(&header(-1, -1, -1, 1), None);
    assert_eq!(states.len(), 1);
}

#[test]
fn a_marker_ends_the_transaction_and_may_raise_the_epoch() {
    let mut states = ProducerStates::default();
    let mut batch =
        *BatchBuilder::new().producer(1, 0, 0).transactional().record(5, None, None).build().header();
    batch.base_offset = 40;
    states.update(&batch, None);
    assert_eq!(open_transactions(&states), [(1, 40)]);
    states.expire(i64::MAX, 1);
    assert_eq!(states.len(), 1, "a producer inside a transaction doesn't expire");

    let marker =
        BatchBuilder::new().producer(1, 1, -1).transactional().control().record(9, None, None).build();
    states.update(marker.header(), None);
    assert_eq!(open_transactions(&states), [(1, 40)], "a control batch that is no marker");
    states.update(marker.header(), Some(COMMIT));
    assert_eq!(open_transactions(&states), []);
    assert!(matches!(
        check(&states, &header(1, 0, 1, 1), AppendOrigin::Client),
        Err(SequenceError::InvalidProducerEpoch { current_epoch: 1, .. })
    ));
    // Epoch 1 has no batch yet, so its first sequence is 0.
    assert!(check(&states, &header(1, 1, 5, 1), AppendOrigin::Client).is_err());
    assert_eq!(check(&states, &header(1, 1, 0, 1), AppendOrigin::Client), Ok(SequenceCheck::New));
}

fn transactional(producer_id: i64, epoch: i16, base_sequence: i32, offset: i64) -> BatchHeader {
    let batch = BatchBuilder::new().producer(producer_id, epoch, base_sequence).transactional();
    BatchHeader { base_offset: offset, ..*batch.record(0, None, None).build().header() }
}

fn marker(producer_id: i64, epoch: i16, marker: ControlMarker, offset: i64) -> BatchHeader {
    let batch = crate::batch::end_transaction_marker(producer_id, epoch, marker, 0);
    BatchHeader { base_offset: offset, ..*batch.header() }
}

fn verified(guard: VerificationGuard) -> TransactionContext {
    TransactionContext { guard, ..TransactionContext::NONE }
}

/// As a client of transaction version 2 does: verifies where that is needed, and appends.
fn write(states: &mut ProducerStates, batch: BatchHeader) -> Result<SequenceCheck, SequenceError> {
    let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = batch;
    let guard = states.maybe_start_verification(producer_id, base_sequence, producer_epoch, true, 0)?;
    let result = states.check(&batch, None, AppendOrigin::Client, verified(guard))?;
    if result == SequenceCheck::New {
        states.update(&batch, None);
    }
    Ok(result)
}

#[test]
fn a_transaction_begins_with_a_verified_batch_only() {
    let mut states = ProducerStates::default();
    let first = transactional(1, 0, 0, 10);
    let not_in_transaction = Err(SequenceError::NotInTransaction { producer_id: 1 });
    for origin in [AppendOrigin::Client, AppendOrigin::Coordinator] {
        assert_eq!(check(&states, &first, origin), not_in_transaction);
    }
    let guard = states.maybe_start_verification(1, 0, 0, false, 0).unwrap();
    let other = states.maybe_start_verification(2, 0, 0, false, 0).unwrap();
    assert!(!guard.is_none() && guard != other);
    for wrong in [VerificationGuard::NONE, other] {
        let checked = states.check(&first, None, AppendOrigin::Client, verified(wrong));
        assert_eq!(checked, not_in_transaction);
    }
    for right in [guard, VerificationGuard::UNCHECKED] {
        let checked = states.check(&first, None, AppendOrigin::Client, verified(right));
        assert_eq!(checked, Ok(SequenceCheck::New));
    }
    let began = TransactionChange::Began { producer_id: 1, first_offset: 10 };
    assert_eq!(states.update(&first, None), Some(began));
    // From now on the open transaction speaks for itself.
    assert!(states.maybe_start_verification(1, 1, 0, false, 0).unwrap().is_none());
    assert_eq!(check(&states, &transactional(1, 0, 1, 11), AppendOrigin::Client), Ok(SequenceCheck::New));
    assert_eq!(states.update(&transactional(1, 0, 1, 11), None), None);
}

#[test]
fn what_was_verified_before_a_marker_counts_no_more() {
    let mut states = ProducerStates::default();
    let guard = states.maybe_start_verification(1, 0, 0, false, 0).unwrap();
    assert!(states.is_verifying(1, guard) && !states.is_verifying(2, guard));
    let abort = ControlMarker { is_commit: false, coordinator_epoch: 3 };
    assert_eq!(states.update(&marker(1, 0, abort, 5), Some(abort)), None, "there was nothing to end");
    assert!(!states.is_verifying(1, guard));
    let late = states.check(&transactional(1, 0, 0, 6), None, AppendOrigin::Client, verified(guard));
    assert_eq!(late, Err(SequenceError::NotInTransaction { producer_id: 1 }));
    let again = states.maybe_start_verification(1, 0, 0, false, 0).unwrap();
    assert_ne!(again, guard);
    let late = states.check(&transactional(1, 0, 0, 6), None, AppendOrigin::Client, verified(guard));
    assert_eq!(late, Err(SequenceError::NotInTransaction { producer_id: 1 }));
}

#[test]
fn a_newer_epoch_is_verified_though_a_transaction_is_open_and_an_older_one_is_refused() {
    let mut states = ProducerStates::default();
    write(&mut states, transactional(1, 3, 0, 0)).unwrap();
    let stale = SequenceError::InvalidProducerEpoch { producer_id: 1, producer_epoch: 2, current_epoch: 3 };
    assert_eq!(states.maybe_start_verification(1, 1, 2, true, 0), Err(stale));
    assert_eq!(check(&states, &transactional(1, 2, 1, 1), AppendOrigin::Client), Err(stale));
    assert!(!states.maybe_start_verification(1, 0, 4, true, 0).unwrap().is_none());
}

#[test]
fn batches_outside_an_open_transaction_are_refused() {
    let mut states = ProducerStates::default();
    write(&mut states, transactional(1, 0, 0, 0)).unwrap();
    let open = Err(SequenceError::TransactionOpen { producer_id: 1 });
    assert_eq!(check(&states, &header(1, 0, 1, 1), AppendOrigin::Client), open);
    assert_eq!(check(&states, &header(1, 1, 0, 1), AppendOrigin::Client), open);
    assert_eq!(check(&states, &header(1, 0, -1, 1), AppendOrigin::Coordinator), open);
    // The sequence is looked at before, as in Kafka.
    let gap = check(&states, &header(1, 0, 5, 1), AppendOrigin::Client);
    assert!(matches!(gap, Err(SequenceError::OutOfOrderSequence { .. })));
    states.update(&marker(1, 0, COMMIT, 1), Some(COMMIT));
    assert_eq!(check(&states, &header(1, 0, 1, 1), AppendOrigin::Client), Ok(SequenceCheck::New));
}

#[test]
fn while_a_transaction_is_verified_a_higher_sequence_waits_for_the_lower_one() {
    let mut states = ProducerStates::default();
    states.maybe_start_verification(1, 4, 0, false, 0).unwrap();
    let guard = states.maybe_start_verification(1, 6, 0, false, 0).unwrap();
    let at = |sequence| {
        states.check(&transactional(1, 0, sequence, 0), None, AppendOrigin::Client, verified(guard))
    };
    let above = SequenceError::AboveLowestSequence { producer_id: 1, base_sequence: 6, lowest_sequence: 4 };
    assert_eq!(at(6), Err(above));
    assert_eq!(at(4), Ok(SequenceCheck::New));
}

#[test]
fn under_version_2_a_producer_without_batches_starts_at_0() {
    let mut states = ProducerStates::default();
    let not_at_zero = Err(SequenceError::NewProducerNotAtZero { producer_id: 1, base_sequence: 7 });
    assert_eq!(write(&mut states, transactional(1, 0, 7, 0)), not_at_zero);
    assert_eq!(write(&mut states, transactional(1, 0, 0, 0)), Ok(SequenceCheck::New));
    // A marker of version 2 has raised the epoch, which has no batches yet.
    states.update(&marker(1, 1, COMMIT, 1), Some(COMMIT));
    assert_eq!(write(&mut states, transactional(1, 1, 7, 2)), not_at_zero);
    assert_eq!(write(&mut states, transactional(1, 1, 0, 2)), Ok(SequenceCheck::New));
    // Before version 2 it may be anywhere.
    let guard = states.maybe_start_verification(2, 7, 0, false, 0).unwrap();
    let checked = states.check(&transactional(2, 0, 7, 3), None, AppendOrigin::Client, verified(guard));
    assert_eq!(checked, Ok(SequenceCheck::New));
}

#[test]
fn markers_are_held_against_both_epochs() {
    let mut states = ProducerStates::default();
    write(&mut states, transactional(1, 3, 0, 0)).unwrap();
    let check_marker = |states: &ProducerStates, epoch, coordinator_epoch, version| {
        let says = ControlMarker { is_commit: true, coordinator_epoch };
        let transaction = TransactionContext { version, ..TransactionContext::NONE };
        states.check(&marker(1, epoch, says, 1), Some(says), AppendOrigin::Coordinator, transaction)
    };
    let (producer_id, new) = (1, 0);
    let stale = SequenceError::InvalidProducerEpoch { producer_id, producer_epoch: 2, current_epoch: 3 };
    for version in [0, 1, 2] {
        assert_eq!(check_marker(&states, 2, 0, version), Err(stale));
        assert_eq!(check_marker(&states, 4, 0, version), Ok(SequenceCheck::New));
    }
    let not_above = SequenceError::MarkerEpochNotAbove { producer_id, producer_epoch: 3, current_epoch: 3 };
    assert_eq!(check_marker(&states, 3, new, 1), Ok(SequenceCheck::New));
    assert_eq!(check_marker(&states, 3, new, 2), Err(not_above));
    // One for a producer that was never seen here is written.
    let says = ControlMarker { is_commit: false, coordinator_epoch: 0 };
    let transaction = TransactionContext { version: 2, ..TransactionContext::NONE };
    let unknown = states.check(&marker(9, 0, says, 1), Some(says), AppendOrigin::Coordinator, transaction);
    assert_eq!(unknown, Ok(SequenceCheck::New));

    states.update(&marker(1, 3, COMMIT, 1), Some(COMMIT));
    let fenced = |coordinator_epoch| SequenceError::TransactionCoordinatorFenced {
        producer_id,
        coordinator_epoch,
        current_epoch: 7,
    };
    assert_eq!(check_marker(&states, 3, 6, 1), Err(fenced(6)));
    assert_eq!(check_marker(&states, 4, 6, 2), Err(fenced(6)));
    for coordinator_epoch in [7, 8] {
        assert_eq!(check_marker(&states, 3, coordinator_epoch, 1), Ok(SequenceCheck::New));
    }
}

#[test]
fn a_marker_says_what_it_ends_and_nothing_when_there_is_nothing() {
    let mut states = ProducerStates::default();
    write(&mut states, transactional(1, 0, 0, 40)).unwrap();
    write(&mut states, transactional(1, 0, 1, 42)).unwrap();
    for is_commit in [false, true] {
        let mut states = ProducerStates::default();
        states.update(&transactional(1, 0, 0, 40), None);
        states.update(&transactional(1, 0, 1, 42), None);
        let says = ControlMarker { is_commit, coordinator_epoch: 0 };
        let ended =
            CompletedTransaction { producer_id: 1, first_offset: 40, last_offset: 45, aborted: !is_commit };
        assert_eq!(states.update(&marker(1, 0, says, 45), Some(says)), Some(TransactionChange::Ended(ended)));
        assert_eq!(states.update(&marker(1, 0, says, 46), Some(says)), None);
        let known = ActiveProducer {
            producer_id: 1,
            producer_epoch: 0,
            last_sequence: 1,
            last_timestamp_ms: 0,
            coordinator_epoch: 0,
            current_txn_start_offset: None,
        };
        assert_eq!(states.active_producers().collect::<Vec<_>>(), [known]);
    }
    assert_eq!(states.active_producers().next().unwrap().current_txn_start_offset, Some(40));
}

#[test]
fn a_coordinators_batches_have_no_sequence_and_are_no_duplicates() {
    let mut states = ProducerStates::default();
    let guard = states.maybe_start_verification(1, NO_SEQUENCE, 0, true, 0).unwrap();
    let batch = transactional(1, 0, NO_SEQUENCE, 5);
    let checked = states.check(&batch, None, AppendOrigin::Coordinator, verified(guard));
    assert_eq!(checked, Ok(SequenceCheck::New));
    states.update(&batch, None);
    assert_eq!(check(&states, &batch, AppendOrigin::Coordinator), Ok(SequenceCheck::New));
}

#[test]
fn snapshots_keep_transactions_and_coordinator_epochs() {
    let mut states = ProducerStates::default();
    write(&mut states, transactional(1, 0, 0, 40)).unwrap();
    write(&mut states, transactional(2, 0, 0, 41)).unwrap();
    states.update(&marker(2, 1, COMMIT, 42), Some(COMMIT));
    let mut loaded = ProducerStates::default();
    loaded.load_snapshot(&states.encode_snapshot(), i64::MAX, 1).unwrap();
    assert_eq!(open_transactions(&loaded), [(1, 40)]);
    assert_eq!(loaded.len(), 1, "the other one is idle");
    loaded.load_snapshot(&states.encode_snapshot(), 0, DAY_MS).unwrap();
    let sorted = |states: &ProducerStates| {
        let mut all: Vec<_> = states.active_producers().collect();
        all.sort_by_key(|producer| producer.producer_id);
        all
    };
    assert_eq!(sorted(&loaded), sorted(&states));
}

#[test]
fn idle_producers_expire() {
    let mut states = ProducerStates::default();
    for (producer_id, timestamp) in [(1, 1000), (2, 2000)] {
        let batch = BatchBuilder::new().producer(producer_id, 0, 0).record(timestamp, None, None).build();
        states.update(batch.header(), None);
    }
    states.expire(1000 + DAY_MS - 1, DAY_MS);
    assert_eq!(states.len(), 2);
    states.expire(1000 + DAY_MS, DAY_MS);
    assert_eq!(states.len(), 1);
    assert_eq!(check(&states, &header(1, 0, 55, 1), AppendOrigin::Client), Ok(SequenceCheck::New));
    assert!(check(&states, &header(2, 0, 55, 1), AppendOrigin::Client).is_err());
}

#[test]
fn one_shot_producers_are_bounded_and_the_idlest_go_first() {
    let mut states = ProducerStates::new(800);
    for producer_id in 0..10_000i64 {
        let batch = BatchBuilder::new().producer(producer_id, 0, 0).record(producer_id, None, None).build();
        states.update(batch.header(), None);
        assert!(states.len() <= 800);
    }
    assert!(states.len() >= 600);
    for recent in 9_400..10_000 {
        assert!(
            check(&states, &header(recent, 0, 55, 1), AppendOrigin::Client).is_err(),
            "{recent} was forgotten"
        );
    }
}

#[test]
fn producers_of_one_millisecond_are_not_all_forgotten_at_once() {
    let mut states = ProducerStates::new(80);
    for producer_id in 0..81i64 {
        states.update(&header(producer_id, 0, 0, 1), None);
    }
    assert_eq!(states.len(), 81 - 11);
}

#[test]
fn snapshots_have_kafkas_bytes() {
    let mut states = ProducerStates::default();
    let mut batch = header(0x11, 2, 5, 3);
    (batch.base_offset, batch.max_timestamp) = (100, 0x0102);
    states.update(&batch, None);
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
    let known = check(&states, &header(3, 2, 5, 3), AppendOrigin::Client);
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
