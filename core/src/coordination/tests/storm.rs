//! Commits from several threads while shards are thrown away under them: what was acknowledged stays.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fluxmq_coordinator::Producer;
use fluxmq_protocol::group_records::{GroupMetadataKey, GroupRecord};

use super::offsets_transactions::ended_by;
use super::*;

const THREADS: usize = 3;
const GROUPS_PER_THREAD: usize = 4;
const COMMITS: i64 = 150;

/// Commits 0, 1, 2, … for each of some groups; each until it is acknowledged. Returns how often one was refused.
fn commit_all(fixture: &Fixture, thread: usize) -> usize {
    let mut refused = 0;
    for offset in 0..COMMITS {
        for group in 0..GROUPS_PER_THREAD {
            let group = format!("group-{thread}-{group}");
            let deadline = Instant::now() + Duration::from_secs(20);
            while let Err(code) = commit(fixture, &group, offset) {
                let retriable =
                    matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress);
                assert!(retriable && Instant::now() < deadline, "{group}: {code:?}");
                refused += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            // What is read right after an answer is what was answered, unless the shard is being read.
            match fixture.committed(&group) {
                Ok(found) => assert_eq!(found, Some(offset), "{group}"),
                Err(code) => assert!(
                    matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress),
                    "{group}: {code:?}"
                ),
            }
        }
    }
    refused
}

fn commit(fixture: &Fixture, group: &str, offset: i64) -> Result<(), ErrorCode> {
    reached(fixture.begin_commit(group, offset)?)
}

/// Commits 0, 1, 2, … in a transaction each, of which every third is aborted. Returns the last offset that counts.
fn commit_in_transactions(fixture: &Fixture) -> i64 {
    let mut counts = -1;
    for offset in 0..COMMITS {
        let producer = Producer { id: 7, epoch: i16::try_from(offset).unwrap() };
        until_taken(|| {
            let durable = fixture.begin_commit_in_transaction("transactional", producer, offset)?;
            reached(durable)
        });
        let commit = offset % 3 != 2;
        until_taken(|| reached(fixture.end("transactional", &ended_by(producer, commit))?));
        counts = if commit { offset } else { counts };
        if let Ok(found) = fixture.stable("transactional") {
            assert_eq!(found, [(0, Some(counts).filter(|counts| *counts >= 0).unwrap_or(-1), 0)]);
        }
    }
    counts
}

fn until_taken(attempt: impl Fn() -> Result<(), ErrorCode>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(code) = attempt() {
        let retriable = matches!(
            code,
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotLeaderOrFollower
        );
        assert!(retriable && Instant::now() < deadline, "{code:?}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn reached(durable: Option<DurableAt>) -> Result<(), ErrorCode> {
    let Some(durable) = durable else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(durable.reached())
}

/// Throws shards away in every way there is, until it is told to end.
fn throw_away(fixture: &Fixture, ended: &AtomicBool) -> usize {
    let mut waiting: Vec<Exchange> = Vec::new();
    let thrown = AtomicUsize::new(0);
    let too_large = GroupRecord::GroupMetadata(GroupMetadataKey { group: text(&"x".repeat(30_000)) }, None);
    for round in 0.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let index = round % 4;
        waiting.extend(fixture.groups.exchange(&format!("group-0-{index}"), |_, _, _| ()));
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
            fixture.groups.turn_at(index, |_, turn| {
                thrown.fetch_add(1, Ordering::Relaxed);
                assert!(round % 8 >= 4, "a fault of the machine, made by a test");
                turn.records.extend(std::iter::repeat_n(too_large.clone(), 40));
            })
        }));
        assert!(!matches!(result, Ok(Ok(_))), "a batch larger than a segment was appended");
        std::thread::sleep(Duration::from_millis(2));
    }
    // Nobody is forgotten: what still waits is in a shard that lives.
    fixture.wait_until_loaded();
    for index in 0..4 {
        let panics = || fixture.groups.turn_at(index, |_, _| panic!("made by a test"));
        let _ = std::panic::catch_unwind(AssertUnwindSafe(panics));
    }
    for exchange in waiting {
        assert_eq!(super::ended(exchange), ErrorCode::NotCoordinator);
    }
    thrown.into_inner()
}

#[test]
fn what_was_acknowledged_outlives_its_shard() {
    let dir = tempfile::tempdir().unwrap();
    let entries = [("offsets.topic.segment.bytes", "1048576"), ("offsets.load.buffer.size", "4096")];
    let fixture = Fixture::open_with(dir.path(), &entries);
    fixture.make_topic();
    let ended = AtomicBool::new(false);
    let (refused, thrown, in_transactions) = std::thread::scope(|scope| {
        let committers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let fixture = &fixture;
                scope.spawn(move || commit_all(fixture, thread))
            })
            .collect();
        let transactions = scope.spawn(|| commit_in_transactions(&fixture));
        let thrower = scope.spawn(|| throw_away(&fixture, &ended));
        let refused: usize = committers.into_iter().map(|thread| thread.join().unwrap()).sum();
        let in_transactions = transactions.join();
        ended.store(true, Ordering::Relaxed);
        (refused, thrower.join().unwrap(), in_transactions.unwrap())
    });
    assert!(thrown > 8 && refused > 0, "{thrown} shards were thrown away, {refused} commits refused");
    drop(fixture);
    // As after a kill: from the log alone.
    let fixture = Fixture::open_with(dir.path(), &entries);
    for thread in 0..THREADS {
        for group in 0..GROUPS_PER_THREAD {
            assert_eq!(fixture.committed(&format!("group-{thread}-{group}")), Ok(Some(COMMITS - 1)));
        }
    }
    assert_eq!(fixture.stable("transactional"), Ok(vec![(0, in_transactions, 0)]));
    fixture.close();
}
