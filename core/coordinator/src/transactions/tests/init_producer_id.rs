//! InitProducerId: who is fenced, who goes on, who asks again.

use super::*;
use TransactionState::*;

const EXHAUSTED: i16 = i16::MAX - 1;

#[test]
fn each_producer_fences_the_one_before() {
    let mut driver = Driver::at(TransactionVersion::V2);
    assert_eq!(driver.init("a"), Ok((1_000, 0)));
    assert_eq!(driver.init("a"), Ok((1_000, 1)));
    assert_eq!(driver.init("b"), Ok((1_001, 0)));
    assert_eq!(driver.of("a").timeout_ms, TIMEOUT_MS);
    assert_eq!(driver.of("a").start_ms, -1);
    let longer = init("a").with_transaction_timeout_ms(TIMEOUT_MS + 1);
    assert_eq!(driver.init_with(V2, &longer), Ok((1_000, 2)));
    assert_eq!(driver.of("a").timeout_ms, TIMEOUT_MS + 1);
    assert_eq!(driver.of("a").last_update_ms, driver.now.wall_ms);
}

#[test]
fn requests_that_are_refused() {
    use ErrorCode::*;
    let (id, epoch) = (ProducerId(1_000), 3);
    let cases = [
        ("no id", init("a").with_transactional_id(Option::None), InvalidRequest),
        ("an empty id", init(""), InvalidRequest),
        ("an id and no epoch", init("a").with_producer_id(id), InvalidRequest),
        ("an epoch and no id", init("a").with_producer_epoch(epoch), InvalidRequest),
        ("no timeout", init("a").with_transaction_timeout_ms(0), InvalidTransactionTimeout),
        ("a negative timeout", init("a").with_transaction_timeout_ms(-1), InvalidTransactionTimeout),
        ("an oversized timeout", init("a").with_transaction_timeout_ms(900_001), InvalidTransactionTimeout),
        ("a stale epoch", init("a").with_producer_id(id).with_producer_epoch(epoch - 1), ProducerFenced),
        ("a future epoch", init("a").with_producer_id(id).with_producer_epoch(epoch + 1), ProducerFenced),
        (
            "another's id",
            init("a").with_producer_id(ProducerId(7)).with_producer_epoch(epoch),
            ProducerFenced,
        ),
    ];
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        for state in [Empty, CompleteCommit, CompleteAbort] {
            let mut driver = Driver::at(version);
            driver.in_state("a", epoch, state);
            for (case, request, expected) in &cases {
                let result = driver.refused(|driver| driver.init_with(V2, request));
                assert_eq!(result, Err(*expected), "{case}, {state:?}");
                let older = if *expected == ProducerFenced { InvalidProducerEpoch } else { *expected };
                let result = driver.refused(|driver| driver.init_with(3, request));
                assert_eq!(result, Err(older), "{case}, {state:?}");
            }
        }
    }
}

#[test]
fn a_transaction_that_ends_is_waited_for() {
    for state in [PrepareCommit, PrepareAbort] {
        let mut driver = Driver::at(TransactionVersion::V2);
        let producer = driver.in_state("a", 3, state);
        for request in [producer, (producer.0, 1), (7, 3)] {
            let result = driver.refused(|driver| driver.recover("a", request));
            assert_eq!(result, Err(ErrorCode::ConcurrentTransactions), "{request:?}");
        }
        let result = driver.refused(|driver| driver.init("a"));
        assert_eq!(result, Err(ErrorCode::ConcurrentTransactions));
    }
}

#[test]
fn an_open_transaction_is_aborted_under_an_epoch_that_nobody_has() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        let mut driver = Driver::at(version);
        let producer = driver.in_state("a", 3, Ongoing);
        assert_eq!(driver.init("a"), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(driver.epoch_and_state("a"), (4, PrepareAbort));
        let markers = driver.write_markers();
        assert_eq!((markers.len(), markers[0].producer_epoch, markers[0].commit), (1, 4, false));
        assert_eq!(markers[0].transaction_version, version);
        assert_eq!(driver.epoch_and_state("a"), (4, CompleteAbort));
        assert_eq!(driver.init("a"), Ok((producer.0, 5)));
    }
}

#[test]
fn a_stranger_does_not_abort_a_transaction() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let producer = driver.in_state("a", 3, Ongoing);
    let result = driver.refused(|driver| driver.recover("a", (7, 3)));
    assert_eq!(result, Err(ErrorCode::ProducerFenced));
    // As Kafka: whoever has the producer id does, whatever its epoch.
    assert_eq!(driver.recover("a", (producer.0, 1)), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(driver.epoch_and_state("a"), (4, PrepareAbort));
}

#[test]
fn a_producer_recovers_and_may_ask_again() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        let mut driver = Driver::at(version);
        let (id, epoch) = driver.init("a").unwrap();
        assert_eq!(driver.recover("a", (id, epoch)), Ok((id, epoch + 1)));
        // The answer was lost.
        assert_eq!(driver.recover("a", (id, epoch)), Ok((id, epoch + 1)));
        // Another producer came.
        assert_eq!(driver.init("a"), Ok((id, epoch + 2)));
        for old in [epoch, epoch + 1] {
            assert_eq!(driver.recover("a", (id, old)), Err(ErrorCode::ProducerFenced));
        }
    }
}

#[test]
fn a_producer_without_the_answer_to_its_end_recovers_with_the_epoch_of_it() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let (id, epoch) = driver.in_state("a", 3, Ongoing);
    driver.end(V2, "a", (id, epoch), true).unwrap();
    driver.write_markers();
    assert_eq!(driver.recover("a", (id, epoch)), Ok((id, epoch + 1)));
    assert_eq!(driver.epoch_and_state("a"), (epoch + 1, Empty));

    // The end used up the epochs.
    let (id, epoch) = driver.in_state("b", EXHAUSTED, Ongoing);
    let after = driver.end(V2, "b", (id, epoch), false).unwrap();
    driver.write_markers();
    assert_eq!(driver.recover("b", (id, epoch)), Ok(after));
    assert_eq!(driver.init("b"), Ok((after.0, 1)));
}

#[test]
fn the_plain_end_keeps_the_epoch_that_was_recovered() {
    let mut driver = Driver::at(TransactionVersion::V1);
    let (id, epoch) = driver.init("a").unwrap();
    driver.recover("a", (id, epoch)).unwrap();
    driver.add("a", (id, epoch + 1), &[("t", 0)]);
    driver.end(V1_END_TXN, "a", (id, epoch + 1), true).unwrap();
    driver.write_markers();
    assert_eq!(driver.recover("a", (id, epoch)), Ok((id, epoch + 1)));
}

#[test]
fn a_producer_that_asks_again_after_a_restart_is_fenced() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let (id, epoch) = driver.init("a").unwrap();
    driver.recover("a", (id, epoch)).unwrap();
    driver.restart();
    assert_eq!(driver.recover("a", (id, epoch)), Err(ErrorCode::ProducerFenced));
    assert_eq!(driver.recover("a", (id, epoch + 1)), Ok((id, epoch + 2)));
}

#[test]
fn an_id_that_was_forgotten_is_given_to_whoever_asks() {
    let mut driver = Driver::at(TransactionVersion::V2);
    assert_eq!(driver.recover("a", (7, 3)), Ok((1_000, 0)));
}

#[test]
fn epochs_that_are_used_up_lead_to_a_new_producer_id() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        for state in [Empty, CompleteCommit, CompleteAbort] {
            let mut driver = Driver::at(version);
            let (id, _) = driver.in_state("a", EXHAUSTED - 1, state);
            assert_eq!(driver.init("a"), Ok((id, EXHAUSTED)));
            assert_eq!(driver.init("a"), Ok((id + 1, 0)));
            // Nobody was meant to go on with the epoch before.
            assert_eq!(driver.recover("a", (id, EXHAUSTED)), Err(ErrorCode::ProducerFenced));
        }
    }
}

#[test]
fn a_producer_recovers_with_a_new_producer_id_and_may_ask_again() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        let mut driver = Driver::at(version);
        let (id, _) = driver.producer_at("a", EXHAUSTED);
        assert_eq!(driver.recover("a", (id, EXHAUSTED)), Ok((id + 1, 0)));
        assert_eq!(driver.recover("a", (id, EXHAUSTED)), Ok((id + 1, 0)));
        assert_eq!(driver.recover("a", (id, EXHAUSTED - 1)), Err(ErrorCode::ProducerFenced));
        // It has begun something since.
        driver.add("a", (id + 1, 0), &[("t", 0)]);
        let result = driver.refused(|driver| driver.recover("a", (id, EXHAUSTED)));
        assert_eq!(result, Err(ErrorCode::ProducerFenced));
    }
}

#[test]
fn a_stale_epoch_of_a_used_up_id_has_no_answer() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let (id, _) = driver.producer_at("a", EXHAUSTED);
    let result = driver.refused(|driver| driver.recover("a", (id, 5)));
    assert_eq!(result, Err(ErrorCode::UnknownServerError));
}

#[test]
fn fencing_the_last_epoch() {
    // Without the bump of version 2 the epoch that is kept for it is used, and the next producer gets a new id.
    let mut driver = Driver::at(TransactionVersion::V0);
    let (id, _) = driver.in_state("a", EXHAUSTED, Ongoing);
    assert_eq!(driver.init("a"), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(driver.write_markers()[0].producer_epoch, i16::MAX);
    assert_eq!(driver.epoch_and_state("a"), (i16::MAX, CompleteAbort));
    assert_eq!(driver.init("a"), Ok((id + 1, 0)));

    // With it the new id takes over when the transaction is complete.
    let mut driver = Driver::at(TransactionVersion::V2);
    let (id, _) = driver.in_state("a", EXHAUSTED, Ongoing);
    assert_eq!(driver.init("a"), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!((driver.of("a").producer_id, driver.of("a").next_producer_id), (id, id + 1));
    driver.write_markers();
    assert_eq!((driver.of("a").producer_id, driver.of("a").producer_epoch), (id + 1, 0));
    assert_eq!(driver.init("a"), Ok((id + 1, 1)));

    // An epoch that no producer can have: the abort goes through.
    let mut driver = Driver::at(TransactionVersion::V2);
    let (id, _) = driver.in_state("a", i16::MAX, Ongoing);
    assert_eq!(driver.init("a"), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(driver.write_markers()[0].producer_epoch, i16::MAX);
    assert_eq!((driver.of("a").producer_id, driver.of("a").producer_epoch), (id + 1, 0));
}

#[test]
fn without_producer_ids_nothing_is_left() {
    let mut driver = Driver::at(TransactionVersion::V2);
    driver.producer_at("idle", EXHAUSTED);
    driver.in_state("open", EXHAUSTED, Ongoing);
    driver.ids.none.set(true);
    for id in ["new", "idle", "open"] {
        let result = driver.refused(|driver| driver.init(id));
        assert_eq!(result, Err(ErrorCode::CoordinatorLoadInProgress), "{id}");
    }
    driver.ids.none.set(false);
    assert!(driver.init("new").is_ok());
    assert!(driver.init("idle").is_ok());
    assert_eq!(driver.init("open"), Err(ErrorCode::ConcurrentTransactions));
}
