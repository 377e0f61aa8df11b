//! EndTxn by both protocols: who may end a transaction, who asks again, what the producer goes on with.

use super::*;
use TransactionState::*;

const EPOCH: i16 = 3;
const EXHAUSTED: i16 = i16::MAX - 1;
const AS_BEFORE: (i64, i16) = (-1, -1);

#[test]
fn a_transaction_ends() {
    for commit in [true, false] {
        let mut driver = Driver::at(TransactionVersion::V1);
        let producer = driver.producer_at("a", EPOCH);
        driver.add("a", producer, &[("t", 0), ("u", 1)]);
        assert_eq!(driver.end(V1_END_TXN, "a", producer, commit), Ok(AS_BEFORE));
        let (prepare, complete) =
            if commit { (PrepareCommit, CompleteCommit) } else { (PrepareAbort, CompleteAbort) };
        assert_eq!(driver.epoch_and_state("a"), (EPOCH, prepare));
        let markers = driver.write_markers();
        let partitions = BTreeMap::from([(text("t"), [0].into()), (text("u"), [1].into())]);
        let expected = MarkersToWrite {
            transactional_id: text("a"),
            producer_id: producer.0,
            producer_epoch: EPOCH,
            commit,
            coordinator_epoch: COORDINATOR_EPOCH,
            transaction_version: TransactionVersion::V0,
            partitions,
        };
        assert_eq!(markers, [expected]);
        assert_eq!(driver.epoch_and_state("a"), (EPOCH, complete));
        assert!(driver.of("a").partitions.is_empty());
        driver.add("a", producer, &[("t", 0)]);
    }
}

#[test]
fn with_version_2_every_end_raises_the_epoch() {
    for commit in [true, false] {
        let mut driver = Driver::at(TransactionVersion::V2);
        let producer = driver.producer_at("a", EPOCH);
        driver.add("a", producer, &[("t", 0)]);
        assert_eq!(driver.end(V2, "a", producer, commit), Ok((producer.0, EPOCH + 1)));
        let markers = driver.write_markers();
        assert_eq!((markers[0].producer_epoch, markers[0].commit), (EPOCH + 1, commit));
        assert_eq!(markers[0].transaction_version, TransactionVersion::V2);
        assert_eq!(driver.of("a").producer_epoch, EPOCH + 1);
        driver.add("a", (producer.0, EPOCH + 1), &[("t", 0)]);
        assert_eq!(driver.add_in(5, "a", producer, &[("t", 1)]), [ErrorCode::ProducerFenced]);
    }
}

/// Who asks, beside the producer that has the epoch. (Whose transaction, producer id, epoch).
const STRANGERS: [(&str, &str, i64, i16, ErrorCode); 5] = [
    ("no id", "", 0, 0, ErrorCode::InvalidRequest),
    ("an unknown id", "x", 0, 0, ErrorCode::InvalidProducerIdMapping),
    ("another's producer id", "a", 1, 0, ErrorCode::InvalidProducerIdMapping),
    ("a zombie", "a", 0, -2, ErrorCode::ProducerFenced),
    ("a future epoch", "a", 0, 1, ErrorCode::ProducerFenced),
];

#[test]
fn strangers_end_nothing() {
    for state in TransactionState::ALL {
        let mut driver = Driver::at(TransactionVersion::V2);
        let (producer_id, epoch) = driver.in_state("a", EPOCH, state);
        for (case, id, id_off, epoch_off, expected) in STRANGERS {
            let producer = (producer_id + id_off, epoch + epoch_off);
            for commit in [true, false] {
                for version in 0..=4 {
                    let expected = match expected {
                        ErrorCode::ProducerFenced if version < 2 => ErrorCode::InvalidProducerEpoch,
                        expected => expected,
                    };
                    let result = driver.refused(|driver| driver.end(version, id, producer, commit));
                    assert_eq!(result, Err(expected), "{case}, {state:?}, version {version}");
                }
                // With version 2 the end is waited for before anything of the id is looked at.
                let ending = id == "a" && matches!(state, PrepareCommit | PrepareAbort);
                let expected = if ending { ErrorCode::ConcurrentTransactions } else { expected };
                let result = driver.refused(|driver| driver.end(V2, id, producer, commit));
                assert_eq!(result, Err(expected), "{case}, {state:?}");
            }
        }
    }
}

#[test]
fn the_producer_ends_it_once() {
    use ErrorCode::*;
    // By state: commit, abort.
    let cases = [
        (Empty, [Err(InvalidTxnState), Err(InvalidTxnState)]),
        (PrepareCommit, [Err(ConcurrentTransactions), Err(ConcurrentTransactions)]),
        (PrepareAbort, [Err(ConcurrentTransactions), Err(ConcurrentTransactions)]),
        (CompleteCommit, [Ok(AS_BEFORE), Err(InvalidTxnState)]),
        (CompleteAbort, [Err(InvalidTxnState), Ok(AS_BEFORE)]),
    ];
    for (state, [commit, abort]) in cases {
        let mut driver = Driver::at(TransactionVersion::V2);
        let producer = driver.in_state("a", EPOCH, state);
        for (committed, expected) in [(true, commit), (false, abort)] {
            let result = driver.refused(|driver| driver.end(V1_END_TXN, "a", producer, committed));
            assert_eq!(result, expected, "{state:?}, {committed}");
        }
    }
}

#[test]
fn with_version_2_the_producer_may_ask_again() {
    use ErrorCode::*;
    // With the epoch before: by state, commit, abort.
    let cases = [
        (Empty, [Err(ProducerFenced), Err(ProducerFenced)]),
        (Ongoing, [Err(ProducerFenced), Err(ProducerFenced)]),
        (PrepareCommit, [Err(ConcurrentTransactions), Err(ConcurrentTransactions)]),
        (PrepareAbort, [Err(ConcurrentTransactions), Err(ConcurrentTransactions)]),
        (CompleteCommit, [Ok(EPOCH), Err(InvalidTxnState)]),
        (CompleteAbort, [Err(InvalidTxnState), Ok(EPOCH)]),
    ];
    for (state, [commit, abort]) in cases {
        let mut driver = Driver::at(TransactionVersion::V2);
        let (id, epoch) = driver.in_state("a", EPOCH, state);
        for (committed, expected) in [(true, commit), (false, abort)] {
            let result = driver.refused(|driver| driver.end(V2, "a", (id, epoch - 1), committed));
            assert_eq!(result, expected.map(|epoch| (id, epoch)), "{state:?}, {committed}");
        }
    }
}

#[test]
fn with_version_2_what_the_coordinator_does_not_know_of_can_be_aborted() {
    for state in [Empty, CompleteCommit, CompleteAbort] {
        let mut driver = Driver::at(TransactionVersion::V2);
        let (id, epoch) = driver.in_state("a", EPOCH, state);
        let result = driver.refused(|driver| driver.end(V2, "a", (id, epoch), true));
        assert_eq!(result, Err(ErrorCode::InvalidTxnState), "a commit, {state:?}");
        driver.advance(1_000);
        let records = driver.log.len();
        assert_eq!(driver.end(V2, "a", (id, epoch), false), Ok((id, epoch + 1)));
        // There are no markers to wait for.
        assert!(driver.markers.is_empty());
        assert_eq!(driver.log.len(), records + 2);
        assert_eq!(driver.epoch_and_state("a"), (epoch + 1, CompleteAbort));
        assert_eq!(driver.of("a").start_ms, driver.now.wall_ms);
        let again = driver.refused(|driver| driver.end(V2, "a", (id, epoch), false));
        assert_eq!(again, Ok((id, epoch + 1)));
    }
}

#[test]
fn a_used_up_epoch_leads_to_a_new_producer_id() {
    for restarts in [false, true] {
        let mut driver = Driver::at(TransactionVersion::V2);
        let (id, epoch) = driver.in_state("a", EXHAUSTED, Ongoing);
        assert_eq!(driver.end(V2, "a", (id, epoch), true), Ok((id + 1, 0)));
        if restarts {
            driver.restart();
        }
        // The producer goes on with the new id before the old one's markers are written.
        for _ in 0..2 {
            let errors = driver.refused(|driver| driver.add_in(5, "a", (id + 1, 0), &[("t", 1)]));
            assert_eq!(errors, [ErrorCode::ConcurrentTransactions]);
            let result = driver.refused(|driver| driver.end(V2, "a", (id + 1, 0), false));
            assert_eq!(result, Err(ErrorCode::ConcurrentTransactions));
        }
        let markers = driver.write_markers();
        assert_eq!((markers[0].producer_id, markers[0].producer_epoch), (id, i16::MAX));
        if restarts {
            driver.restart();
        }
        let again = driver.refused(|driver| driver.end(V2, "a", (id, epoch), true));
        assert_eq!(again, Ok((id + 1, 0)));
        let other = driver.refused(|driver| driver.end(V2, "a", (id, epoch), false));
        assert_eq!(other, Err(ErrorCode::InvalidTxnState));
        driver.add("a", (id + 1, 0), &[("t", 1)]);
        let late = driver.refused(|driver| driver.end(V2, "a", (id, epoch), true));
        assert_eq!(late, Err(ErrorCode::InvalidProducerIdMapping));
    }
}

#[test]
fn without_producer_ids_a_used_up_epoch_stays() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let producer = driver.in_state("a", EXHAUSTED, Ongoing);
    driver.ids.none.set(true);
    let result = driver.refused(|driver| driver.end(V2, "a", producer, true));
    assert_eq!(result, Err(ErrorCode::CoordinatorLoadInProgress));
    driver.ids.none.set(false);
    assert_eq!(driver.end(V2, "a", producer, true), Ok((producer.0 + 1, 0)));
}

#[test]
fn an_epoch_that_nobody_has_can_only_be_aborted() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let (id, epoch) = driver.in_state("a", i16::MAX, Ongoing);
    let result = driver.refused(|driver| driver.end(V2, "a", (id, epoch), true));
    assert_eq!(result, Err(ErrorCode::UnknownServerError));
    let (fresh, epoch_after) = driver.end(V2, "a", (id, epoch), false).unwrap();
    assert!(fresh > id && epoch_after == 0);
    assert_eq!(driver.write_markers()[0].producer_epoch, i16::MAX);
    assert_eq!((driver.of("a").producer_id, driver.of("a").producer_epoch), (fresh, 0));
}

#[test]
fn a_client_of_version_2_is_safe_in_a_cluster_that_is_not() {
    // The feature was lowered under the client: what takes over must survive a restart all the same.
    let mut driver = Driver::at(TransactionVersion::V0);
    let (id, epoch) = driver.in_state("a", EXHAUSTED, Ongoing);
    assert_eq!(driver.end(V2, "a", (id, epoch), true), Ok((id + 1, 0)));
    driver.restart();
    driver.write_markers();
    assert_eq!((driver.of("a").producer_id, driver.of("a").producer_epoch), (id + 1, 0));
}
