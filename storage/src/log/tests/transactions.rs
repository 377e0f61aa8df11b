//! Transactions in a log: the last stable offset, aborted transactions, and what a restart and a crash leave of both.

use super::*;
use crate::batch::{ControlMarker, NO_SEQUENCE, end_transaction_marker};
use crate::fs::{LOG_SUFFIX, SNAPSHOT_SUFFIX, TXN_INDEX_SUFFIX, segment_path};
use crate::producer_state::{ActiveProducer, SequenceError};
use crate::txn_index::AbortedTransaction;

fn open(dir: &Path, clean: bool, log: Option<&Log>) -> (Log, Recovered) {
    let recovery_point = log.map_or(0, Log::recovery_point);
    let log_start_offset = log.map_or(0, Log::log_start_offset);
    let hint = OpenHint { log_start_offset, ..hint(clean, recovery_point) };
    Log::open(dir, small_segments(), plain_env(), hint).unwrap()
}

fn data(producer: i64, epoch: i16, sequence: i32) -> CheckedBatch {
    let builder = BatchBuilder::new().producer(producer, epoch, sequence).transactional();
    builder.record(NOW_MS, Some(b"key"), Some(&[7; 400])).build()
}

/// Writes a transactional batch as a client does, and gives its offset.
pub(super) fn send(log: &Log, producer: i64, sequence: i32) -> i64 {
    try_send(log, &data(producer, 0, sequence)).unwrap().base_offset
}

pub(super) fn try_send(log: &Log, batch: &CheckedBatch) -> Result<Appended, AppendError> {
    let header = batch.header();
    let guard = log.maybe_start_verification(
        header.producer_id,
        header.base_sequence,
        header.producer_epoch,
        false,
        NOW_MS,
    )?;
    let transaction = TransactionContext { guard, ..TransactionContext::NONE };
    log.append(batch, AppendContext { transaction, ..context(WriteMode::Plain) })
}

fn try_end(log: &Log, producer: i64, says: ControlMarker) -> Result<Appended, AppendError> {
    let marker = end_transaction_marker(producer, 0, says, NOW_MS);
    log.append(&marker, AppendContext { origin: AppendOrigin::Coordinator, ..context(WriteMode::Plain) })
}

pub(super) fn end(log: &Log, producer: i64, is_commit: bool) -> i64 {
    try_end(log, producer, ControlMarker { is_commit, coordinator_epoch: 0 }).unwrap().base_offset
}

fn unstable(log: &Log, final_below: i64) -> Option<i64> {
    let first = log.first_unstable_offset(final_below)?;
    assert_eq!(first, log.locate(first.offset).unwrap(), "its place is right");
    Some(first.offset)
}

pub(super) fn aborted(log: &Log) -> Vec<AbortedTransaction> {
    log.aborted_transactions(log.log_start_offset(), i64::MAX).unwrap()
}

fn entry(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTransaction {
    let [first_offset, last_offset, last_stable_offset] = [first, last, stable];
    AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset }
}

#[test]
fn the_last_stable_offset_waits_for_open_transactions_and_for_durable_markers() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    log.append(&batch(3, 10), context(WriteMode::Plain)).unwrap();
    assert_eq!(log.first_unstable_offset(0), None);
    let first = send(&log, 1, 0);
    let second = send(&log, 2, 0);
    assert_eq!(unstable(&log, log.log_end().offset), Some(first));
    let marker = end(&log, 1, true);
    for final_below in [0, marker] {
        assert_eq!(unstable(&log, final_below), Some(first), "the marker isn't final below {final_below}");
    }
    let durable = log.sync().unwrap().offset;
    assert_eq!(unstable(&log, durable), Some(second));
    end(&log, 2, false);
    assert_eq!(unstable(&log, durable), Some(second));
    assert_eq!(unstable(&log, log.sync().unwrap().offset), None);
    // What the reader of committed records gets ends before the first undecided one, in the middle of the segment.
    let third = send(&log, 3, 0);
    send(&log, 3, 1);
    let until = log.first_unstable_offset(log.log_end().offset).unwrap();
    let bytes = log.read(0, 1 << 20, until, true).unwrap().to_vec().unwrap();
    let all = log.read(0, 1 << 20, log.log_end(), true).unwrap().to_vec().unwrap();
    assert_eq!((bytes.len(), until.offset), (until.position as usize, third));
    assert!(bytes.len() < all.len());
    assert!(log.read(third, 1 << 20, until, true).unwrap().is_empty());
}

#[test]
fn aborted_transactions_are_found_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    let long = send(&log, 9, 0);
    let mut expected = Vec::new();
    for round in 0..60 {
        let producer = 1 + round % 3;
        let first = send(&log, producer, 2 * (round / 3) as i32);
        send(&log, producer, 2 * (round / 3) as i32 + 1);
        let is_commit = round % 2 == 0;
        let last = end(&log, producer, is_commit);
        if !is_commit {
            expected.push(entry(producer, first, last, long));
        }
    }
    assert!(log.segment_count() > 3);
    let last = end(&log, 9, false);
    expected.push(entry(9, long, last, last + 1));
    assert_eq!(aborted(&log), expected);
    for from in (0..log.log_end().offset).step_by(7) {
        for len in [1, 5, 40] {
            let reaches = |t: &&AbortedTransaction| t.last_offset >= from && t.first_offset < from + len;
            let some: Vec<_> = expected.iter().filter(reaches).copied().collect();
            assert_eq!(log.aborted_transactions(from, from + len).unwrap(), some);
        }
        // For a slice there may be some more, but none too few.
        let slice = log.read(from, 2000, log.log_end(), true).unwrap();
        let bytes = slice.to_vec().unwrap();
        let (mut at, mut next) = (0, from);
        while let Ok(header) = verify_stored(&bytes[at..]) {
            (at, next) = (at + header.size_in_bytes(), header.next_offset());
        }
        let found = log.aborted_transactions_in(from, &slice).unwrap();
        for needed in log.aborted_transactions(from, next).unwrap() {
            assert!(found.contains(&needed), "{needed:?} for {from} to {next}");
        }
    }
    let beyond = log.aborted_transactions(log.log_end().offset + 1, i64::MAX);
    assert!(matches!(beyond, Err(ReadError::OffsetOutOfRange { .. })));
}

#[test]
fn there_is_no_index_before_the_first_aborted_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    send(&log, 1, 0);
    end(&log, 1, true);
    log.roll_if_due(i64::MAX).unwrap();
    send(&log, 1, 1);
    end(&log, 1, false);
    log.roll_if_due(i64::MAX).unwrap();
    log.sync().unwrap();
    log.sync_sealed().unwrap();
    let size = |base| std::fs::metadata(segment_path(dir.path(), base, TXN_INDEX_SUFFIX)).map(|m| m.len());
    assert!(size(0).is_err());
    assert_eq!(size(2).unwrap(), 34);
}

#[test]
fn a_clean_stop_keeps_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    let first = send(&log, 1, 0);
    let undecided = send(&log, 2, 0);
    end(&log, 1, false);
    let before = aborted(&log);
    log.close().unwrap();
    let (log, recovered) = open(dir.path(), true, Some(&log));
    assert_eq!(recovered, Recovered::default());
    assert_eq!(aborted(&log), before);
    assert_eq!(before, [entry(1, first, 2, undecided)]);
    assert_eq!(unstable(&log, log.log_end().offset), Some(undecided));
    // The transaction goes on without being verified anew, and its index entry comes behind the first.
    assert!(log.maybe_start_verification(2, 1, 0, false, NOW_MS).unwrap().is_none());
    send(&log, 2, 1);
    let last = end(&log, 2, false);
    assert_eq!(aborted(&log), [before[0], entry(2, undecided, last, last + 1)]);
    assert_eq!(unstable(&log, last + 1), None);
    log.close().unwrap();
    let expected = aborted(&log);
    assert_eq!(aborted(&open(dir.path(), true, Some(&log)).0), expected);
}

/// A log whose transactions reach over segments, the first of them synced; transaction 9 is open all the time.
fn over_segments(dir: &Path) -> Log {
    let (log, _) = open(dir, true, None);
    send(&log, 9, 0);
    for round in 0..50 {
        send(&log, 1, round);
        send(&log, 2, round);
        end(&log, 1, false);
        log.append(&batch(1, 300), context(WriteMode::Plain)).unwrap();
        end(&log, 2, round % 4 == 0);
        if round == 25 {
            log.sync().unwrap();
            log.sync_sealed().unwrap();
        }
    }
    assert!(log.segment_count() > 4);
    log
}

#[test]
fn a_crash_takes_no_transaction_that_the_log_has() {
    for damage in ["nothing", "snapshots", "indexes", "garbage in indexes", "an index that was on disk"] {
        let dir = tempfile::tempdir().unwrap();
        let log = over_segments(dir.path());
        let (expected, recovery_point) = (aborted(&log), log.recovery_point());
        let bases: Vec<i64> = log.inner.segments.load().segments.iter().map(|s| s.base_offset()).collect();
        for (at, base) in bases.iter().copied().enumerate() {
            let on_disk = bases.get(at + 1).is_some_and(|next| *next <= recovery_point);
            let index = segment_path(dir.path(), base, TXN_INDEX_SUFFIX);
            match damage {
                "snapshots" => {
                    let _ = std::fs::remove_file(segment_path(dir.path(), base, SNAPSHOT_SUFFIX));
                }
                "indexes" if !on_disk => drop(std::fs::remove_file(index)),
                "garbage in indexes" if !on_disk => std::fs::write(index, [0xab; 68]).unwrap(),
                "an index that was on disk" if at == 0 => std::fs::write(index, [0xab; 68]).unwrap(),
                _ => {}
            }
        }
        let (again, recovered) = open(dir.path(), false, Some(&log));
        assert_eq!(aborted(&again), expected, "{damage}");
        assert_eq!(unstable(&again, again.log_end().offset), Some(0), "{damage}");
        assert_eq!(recovered.rebuilt_indexes, usize::from(damage == "an index that was on disk"));
        end(&again, 9, false);
        assert_eq!(unstable(&again, again.log_end().offset), None);
        let expected = aborted(&again);
        again.close().unwrap();
        let (again, recovered) = open(dir.path(), true, Some(&again));
        assert_eq!((recovered, aborted(&again)), (Recovered::default(), expected), "{damage}");
    }
}

#[test]
fn a_segment_that_was_synced_to_its_end_but_not_finished_keeps_its_aborted_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    send(&log, 1, 0);
    end(&log, 1, false);
    log.sync().unwrap();
    let recovery_point = log.recovery_point();
    log.roll_if_due(i64::MAX).unwrap();
    send(&log, 1, 1);
    let expected = aborted(&log);
    assert_eq!((recovery_point, log.segment_count(), expected.len()), (1, 2, 1));
    // The roll wrote the indexes, and nobody synced them.
    std::fs::remove_file(segment_path(dir.path(), 0, TXN_INDEX_SUFFIX)).unwrap();
    let hint = hint(false, recovery_point);
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint).unwrap();
    assert_eq!(aborted(&log), expected);
}

#[test]
fn the_snapshot_taken_after_a_crash_lies_before_the_markers_that_are_indexed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 4 << 20, ..LogConfig::default() };
    let (log, _) = Log::open(dir.path(), config.clone(), plain_env(), hint(true, 0)).unwrap();
    let first = send(&log, 1, 0);
    log.roll_if_due(i64::MAX).unwrap();
    let last = end(&log, 1, false);
    // So much behind them that for the producers' sequences a later snapshot would do.
    for _ in 0..40 {
        log.append(&batch(1, 1 << 20), context(WriteMode::Plain)).unwrap();
    }
    drop(log);
    let (log, _) = Log::open(dir.path(), config, plain_env(), hint(false, 0)).unwrap();
    assert_eq!(aborted(&log), [entry(1, first, last, last + 1)]);
}

#[test]
fn a_marker_that_a_crash_takes_leaves_its_transaction_open() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    let first = send(&log, 1, 0);
    let position = log.sync().unwrap().position;
    end(&log, 1, false);
    assert_eq!(aborted(&log).len(), 1);
    let file = std::fs::OpenOptions::new().write(true).open(segment_path(dir.path(), 0, LOG_SUFFIX)).unwrap();
    file.set_len(u64::from(position)).unwrap();
    // Left of a life in which the marker was there.
    std::fs::write(segment_path(dir.path(), 0, TXN_INDEX_SUFFIX), [0; 34]).unwrap();
    let (log, _) = open(dir.path(), false, Some(&log));
    assert_eq!((aborted(&log), unstable(&log, log.log_end().offset)), (vec![], Some(first)));
    assert!(!segment_path(dir.path(), 0, TXN_INDEX_SUFFIX).exists());
    end(&log, 1, true);
    assert_eq!((aborted(&log), unstable(&log, log.log_end().offset)), (vec![], None));
}

#[test]
fn deleted_records_are_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = over_segments(dir.path());
    assert_eq!(unstable(&log, log.log_end().offset), Some(0));
    // In the middle of a segment, with the first ones gone.
    let start = log.log_end().offset / 2;
    log.advance_log_start_offset(start).unwrap();
    assert_eq!(unstable(&log, log.log_end().offset), Some(start));
    let end_offset = log.log_end().offset;
    let check = |log: &Log, start| {
        assert_eq!(unstable(log, end_offset), Some(start));
        assert!(aborted(log).iter().all(|t| t.last_offset >= start));
        let of_9 = log.active_producers().into_iter().find(|p| p.producer_id == 9).unwrap();
        assert_eq!(of_9.current_txn_start_offset, Some(0), "the producer is inside its transaction still");
    };
    check(&log, start);
    let below = log.aborted_transactions(start - 1, end_offset);
    assert!(matches!(below, Err(ReadError::OffsetOutOfRange { .. })));
    log.close().unwrap();
    let (log, _) = open(dir.path(), true, Some(&log));
    check(&log, start);
    log.advance_log_start_offset(end_offset).unwrap();
    check(&log, end_offset);
    let last = end(&log, 9, false);
    assert_eq!(aborted(&log).last(), Some(&entry(9, 0, last, last + 1)));
    assert_eq!(unstable(&log, last + 1), None);
}

#[test]
fn refused_batches_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    let refused = |result: Result<Appended, AppendError>| match result {
        Err(AppendError::Sequence(error)) => error,
        other => panic!("{other:?}"),
    };
    let unverified = log.append(&data(1, 0, 0), context(WriteMode::Plain));
    assert!(matches!(refused(unverified), SequenceError::NotInTransaction { producer_id: 1 }));
    send(&log, 1, 0);
    let plain = BatchBuilder::new().producer(1, 0, 1).record(NOW_MS, None, None).build();
    let plain = log.append(&plain, context(WriteMode::Plain));
    assert!(matches!(refused(plain), SequenceError::TransactionOpen { producer_id: 1 }));
    try_end(&log, 1, ControlMarker { is_commit: true, coordinator_epoch: 5 }).unwrap();
    let zombie = try_end(&log, 1, ControlMarker { is_commit: true, coordinator_epoch: 4 });
    assert!(matches!(refused(zombie), SequenceError::TransactionCoordinatorFenced { current_epoch: 5, .. }));
    let twice = end_transaction_marker(1, 0, ControlMarker { is_commit: true, coordinator_epoch: 5 }, NOW_MS);
    let transaction = TransactionContext { version: 2, ..TransactionContext::NONE };
    let context =
        AppendContext { origin: AppendOrigin::Coordinator, transaction, ..context(WriteMode::Plain) };
    assert!(matches!(refused(log.append(&twice, context)), SequenceError::MarkerEpochNotAbove { .. }));
    assert_eq!((log.log_end().offset, log.producers()), (2, 1));
}

#[test]
fn a_coordinator_writes_transactional_records_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    let builder = BatchBuilder::new().producer(1, 4, NO_SEQUENCE).transactional();
    let offsets = builder.record(NOW_MS, Some(b"group"), Some(b"offset")).build();
    let guard = log.maybe_start_verification(1, NO_SEQUENCE, 4, true, NOW_MS).unwrap();
    let transaction = TransactionContext { guard, ..TransactionContext::NONE };
    let context =
        AppendContext { origin: AppendOrigin::Coordinator, transaction, ..context(WriteMode::Plain) };
    log.append(&offsets, context).unwrap();
    // Once the transaction is open there is nothing to verify.
    log.append(&offsets, AppendContext { transaction: TransactionContext::NONE, ..context }).unwrap();
    let known = ActiveProducer {
        producer_id: 1,
        producer_epoch: 4,
        last_sequence: NO_SEQUENCE,
        last_timestamp_ms: NOW_MS,
        coordinator_epoch: -1,
        current_txn_start_offset: Some(0),
    };
    assert_eq!(log.active_producers(), [known]);
}

#[test]
fn what_is_not_verified_for_long_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), true, None);
    let guard = log.maybe_start_verification(1, 0, 0, false, NOW_MS).unwrap();
    log.expire_producers(NOW_MS + 999, 1000);
    assert_eq!(log.maybe_start_verification(1, 0, 0, false, NOW_MS).unwrap(), guard);
    log.expire_producers(NOW_MS + 1000, 1000);
    let transaction = TransactionContext { guard, ..TransactionContext::NONE };
    let late = log.append(&data(1, 0, 0), AppendContext { transaction, ..context(WriteMode::Plain) });
    assert!(matches!(late, Err(AppendError::Sequence(SequenceError::NotInTransaction { .. }))));
}
