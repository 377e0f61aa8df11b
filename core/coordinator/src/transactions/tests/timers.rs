//! Transactions that take too long, and ids that nobody uses.

use super::*;
use TransactionState::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[test]
fn a_transaction_that_takes_too_long_is_aborted_at_the_next_look() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        let mut driver = Driver::at(version);
        let producer = driver.producer_at("a", 3);
        driver.set_monotonic(5_000);
        driver.add("a", producer, &[("t", 0)]);
        // More partitions don't give it more time.
        driver.advance(40_000);
        driver.add("a", producer, &[("t", 1)]);
        driver.advance(24_999);
        assert_eq!((driver.now.monotonic_ms, driver.epoch_and_state("a")), (69_999, (3, Ongoing)));
        driver.advance(1);
        assert_eq!(driver.epoch_and_state("a"), (4, PrepareAbort));
        let markers = driver.write_markers();
        assert_eq!((markers[0].producer_epoch, markers[0].commit), (4, false));
        let late = driver.refused(|driver| driver.end(V1_END_TXN, "a", producer, true));
        assert_eq!(late, Err(ErrorCode::ProducerFenced));
    }
}

#[test]
fn with_version_2_a_producer_whose_transaction_was_aborted_may_go_on() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let producer = driver.in_state("a", 3, Ongoing);
    driver.advance(80_000);
    driver.write_markers();
    // As Kafka: an abort is taken for one that asks again, a commit is not.
    let commit = driver.refused(|driver| driver.end(V2, "a", producer, true));
    assert_eq!(commit, Err(ErrorCode::InvalidTxnState));
    assert_eq!(driver.refused(|driver| driver.end(V2, "a", producer, false)), Ok((producer.0, 4)));
    assert_eq!(driver.recover("a", producer), Ok((producer.0, 4)));
}

#[test]
fn a_transaction_that_ends_in_time_is_left_alone() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let mut producer = driver.producer_at("a", 3);
    for _ in 0..5 {
        driver.add("a", producer, &[("t", 0)]);
        driver.advance(30_000);
        producer = driver.end(V2, "a", producer, true).unwrap();
        driver.advance(30_000);
        assert_eq!(driver.of("a").state, PrepareCommit);
        driver.write_markers();
        driver.advance(30_000);
    }
    assert_eq!(driver.epoch_and_state("a"), (8, CompleteCommit));
}

#[test]
fn the_time_goes_on_through_a_restart() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let producer = driver.producer_at("a", 3);
    driver.add("a", producer, &[("t", 0)]);
    driver.advance(50_000);
    driver.restart();
    driver.advance(10_000);
    assert_eq!(driver.of("a").state, Ongoing);
    driver.advance(10_000);
    assert_eq!(driver.of("a").state, PrepareAbort);

    // The broker was down for longer than the timeout.
    let producer = driver.producer_at("b", 3);
    driver.add("b", producer, &[("t", 0)]);
    driver.now.wall_ms += 10 * i64::from(TIMEOUT_MS);
    driver.restart();
    driver.advance(10_000);
    assert_eq!(driver.of("b").state, PrepareAbort);
}

#[test]
fn the_timeout_does_not_follow_the_wall_clock() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let producer = driver.in_state("a", 3, Ongoing);
    driver.now.wall_ms += DAY_MS;
    driver.add("a", producer, &[("t", 1)]);
    driver.advance(i64::from(TIMEOUT_MS) - 1_000);
    assert_eq!(driver.of("a").state, Ongoing);
    driver.advance(10_000);
    assert_eq!(driver.of("a").state, PrepareAbort);
}

#[test]
fn an_abort_that_takes_a_producer_id_waits_for_one() {
    let mut driver = Driver::at(TransactionVersion::V2);
    driver.in_state("a", i16::MAX - 1, Ongoing);
    driver.ids.none.set(true);
    driver.refused(|driver| driver.advance(200_000));
    driver.ids.none.set(false);
    driver.advance(10_000);
    assert_eq!(driver.epoch_and_state("a"), (i16::MAX, PrepareAbort));
}

#[test]
fn an_abort_that_the_log_does_not_take_is_tried_at_the_next_look() {
    let mut driver = Driver::at(TransactionVersion::V2);
    driver.in_state("a", 3, Ongoing);
    let due_ms = driver.shard.next_deadline().unwrap();
    driver.now.monotonic_ms = due_ms;
    let mut turn = TransactionTurn::new(driver.now, COORDINATOR_EPOCH, driver.version, &driver.ids);
    while driver.shard.fire_next(&mut turn) {}
    assert!(!turn.records.is_empty());
    drop(turn);
    assert_eq!(driver.epoch_and_state("a"), (3, Ongoing));
    assert!(driver.shard.next_deadline().unwrap() > due_ms);
    driver.advance(10_000);
    assert_eq!(driver.epoch_and_state("a"), (4, PrepareAbort));
}

#[test]
fn a_transaction_without_a_timeout_stays() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let producer = driver.producer_at("a", 3);
    driver.set("a", |transaction| transaction.timeout_ms = i32::MAX);
    driver.add("a", producer, &[("t", 0)]);
    driver.advance(100 * DAY_MS);
    assert_eq!(driver.of("a").state, Ongoing);
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let mut driver = Driver::at(TransactionVersion::V2);
    for state in TransactionState::ALL {
        driver.in_state(&format!("{state:?}"), 3, state);
        driver.set(&format!("{state:?}"), |transaction| transaction.timeout_ms = i32::MAX);
    }
    driver.advance(7 * DAY_MS - 1);
    assert_eq!(driver.shard.id_count(), 6);
    driver.advance(3_600_000);
    let left: Vec<StrBytes> = hard_state(&driver.shard).into_keys().collect();
    assert_eq!(left, [text("Ongoing"), text("PrepareAbort"), text("PrepareCommit")]);
    assert_eq!(hard_state(&driver.reloaded()), hard_state(&driver.shard));
    let (key, value) = driver.log.last().unwrap();
    assert!(value.is_none() && !key.is_empty());
    // Whoever comes back finds its id new.
    assert_eq!(driver.recover("Empty", (1_000, 3)), Ok((1_006, 0)));
}

#[test]
fn many_ids_are_forgotten_in_batches() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let mut turns = 0;
    for number in 0..2_000 {
        driver.init(&format!("id-{number}")).unwrap();
    }
    driver.set_monotonic(driver.now.monotonic_ms + 7 * DAY_MS);
    driver.init("id-0").unwrap();
    while driver.shard.next_deadline().is_some_and(|deadline_ms| deadline_ms <= driver.now.monotonic_ms) {
        let before = driver.log.len();
        driver.turn(|shard, turn| assert!(shard.fire_next(turn)));
        let batch: usize = driver.log[before..].iter().map(|(key, _)| key.len() + 12).sum();
        assert!(batch <= 16_384 + 64, "{batch} bytes");
        turns += 1;
        if turns == 1 {
            // Used after it was found: it stays.
            let found = driver.shard.expired[0].to_string();
            driver.init(&found).unwrap();
        }
    }
    assert!(turns > 2);
    assert_eq!(driver.shard.id_count(), 2);
}
