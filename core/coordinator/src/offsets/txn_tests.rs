//! Offsets of transactions, from the commit to the marker: what is told of them meanwhile, and what else may happen to
//! them. Who may commit is in `member_tests.rs`.

use std::collections::BTreeMap;

use fluxmq_protocol::ErrorCode::{
    self, IllegalGeneration, InvalidGroupId, OffsetMetadataTooLarge, UnknownMemberId, UnknownServerError,
    UnstableOffsetCommit,
};
use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::messages::{GroupId, TxnOffsetCommitRequest};

use super::requests::{PRODUCER_EPOCH, commit, delete, fetch, fetch_all, txn_commit};
use crate::config::GroupCoordinatorConfig;
use crate::testing::{Driver, requester, text};
use crate::turn::Producer;

const OK: ErrorCode = ErrorCode::None;
const RETENTION_MS: i64 = 100_000;
const CHECK_INTERVAL_MS: i64 = 10_000;
/// A marker's outcome.
const COMMIT: bool = true;
const ABORT: bool = false;

fn driver() -> Driver {
    let mut driver = Driver::new(GroupCoordinatorConfig {
        offsets_retention_ms: RETENTION_MS,
        offsets_retention_check_interval_ms: CHECK_INTERVAL_MS,
        offset_metadata_max_bytes: 4,
        max_record_bytes: 2_000,
        ..GroupCoordinatorConfig::default()
    });
    driver.topics.set("t", 7, 10);
    driver.topics.set("u", 8, 10);
    driver
}

fn part(topic: &str, partition: i32, offset: i64) -> (String, i32, i64, String) {
    (topic.to_owned(), partition, offset, String::new())
}

/// What a commit in a transaction answers for each partition.
fn asked(driver: &mut Driver, request: &TxnOffsetCommitRequest) -> Vec<ErrorCode> {
    let response = driver.turn(|shard, turn| shard.txn_offset_commit(turn, &requester(5), request));
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|has| ErrorCode::from_code(has.error_code).unwrap()).collect()
}

/// Nobody's commit to group `g` in a transaction.
fn txn_commits(driver: &mut Driver, producer_id: i64, topic: &str, partition: i32, offset: i64) {
    let request = txn_commit(producer_id, "g", "", -1, &[part(topic, partition, offset)]);
    assert_eq!(asked(driver, &request), [OK]);
    same_after_a_load(driver);
}

/// Nobody's commit to group `g`.
fn commits(driver: &mut Driver, topic: &str, partition: i32, offset: i64) {
    let request = commit("g", "", -1, &[part(topic, partition, offset)]);
    driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
    same_after_a_load(driver);
}

fn ends(driver: &mut Driver, producer_id: i64, commit: bool) {
    driver.end_transaction(producer_id, commit);
    same_after_a_load(driver);
}

fn same_after_a_load(driver: &Driver) {
    let reloaded = driver.reloaded();
    assert_eq!(reloaded.offsets, driver.shard.offsets);
    assert_eq!(reloaded.groups, driver.shard.groups);
}

/// Group `g`'s offsets of all partitions that are listed; the code where there is an error.
fn fetched(driver: &Driver, require_stable: bool) -> BTreeMap<(String, i32), Result<i64, ErrorCode>> {
    let response = driver.shard.offset_fetch(&fetch_all("g"), require_stable);
    assert_eq!(response.error_code, 0);
    let mut found = BTreeMap::new();
    for topic in &response.topics {
        for has in &topic.partitions {
            let offset = match ErrorCode::from_code(has.error_code).unwrap() {
                OK => Ok(has.committed_offset),
                error => {
                    assert_eq!((has.committed_offset, has.committed_leader_epoch), (-1, -1));
                    assert_eq!(has.metadata.as_deref(), Some(""));
                    Err(error)
                }
            };
            found.insert((topic.name.to_string(), has.partition_index), offset);
        }
    }
    found
}

fn offset(driver: &Driver, topic: &str, partition: i32) -> Option<i64> {
    fetched(driver, false).get(&(topic.to_owned(), partition)).map(|found| found.unwrap())
}

fn delete_group(driver: &mut Driver) -> (ErrorCode, Vec<GroupRecord>) {
    let id = GroupId(text("g"));
    driver.turn(|shard, turn| (shard.delete_group(turn, &id), turn.records.clone()))
}

fn delete_offset(driver: &mut Driver, topic: &str, partition: i32) {
    let request = delete("g", &[(topic.to_owned(), partition)]);
    let response = driver.turn(|shard, turn| shard.offset_delete(turn, &request));
    assert_eq!((response.error_code, response.topics[0].partitions[0].error_code), (0, 0));
}

#[test]
fn a_commit_that_is_refused_is_refused_for_every_partition() {
    let long = "x".repeat(32_768);
    let cases = [
        ("", "", -1, InvalidGroupId),
        ("none", "", 0, IllegalGeneration),
        ("none", "member", 3, IllegalGeneration),
        ("g", "", 0, UnknownMemberId),
        ("g", "member", 1, UnknownMemberId),
        (&long, "", -1, UnknownServerError),
    ];
    for (group, member, generation, expected) in cases {
        let mut driver = driver();
        commits(&mut driver, "t", 0, 5);
        let request = txn_commit(1, group, member, generation, &[part("t", 0, 9), part("u", 1, 9)]);
        let (response, left) = driver.turn(|shard, turn| {
            let response = shard.txn_offset_commit(turn, &requester(5), &request);
            (response, (turn.records.clone(), turn.transaction))
        });
        let errors = response.topics.iter().map(|topic| topic.partitions[0].error_code);
        assert!(errors.eq([expected.code(); 2]), "{group} {member} {generation}: {response:?}");
        assert_eq!(left, (Vec::new(), None));
        same_after_a_load(&driver);
        assert_eq!(driver.shard.group_count(), 1);
    }
    // More than a batch holds.
    let many: Vec<_> = (0..40).map(|partition| part("t", partition, 1)).collect();
    let mut driver = driver();
    assert_eq!(asked(&mut driver, &txn_commit(1, "g", "", -1, &many)), [UnknownServerError; 40]);
    assert!(driver.log.is_empty());
}

#[test]
fn a_commit_says_all_that_kafka_writes_and_whose_it_is() {
    let mut driver = driver();
    let mut request = txn_commit(1, "g", "", -1, &[("t".to_owned(), 3, 42, "note".to_owned())]);
    request.topics[0].partitions[0].committed_leader_epoch = 6;
    let (records, transaction) = driver.turn(|shard, turn| {
        shard.txn_offset_commit(turn, &requester(5), &request);
        (turn.records.clone(), turn.transaction)
    });
    assert_eq!(transaction, Some(Producer { id: 1, epoch: PRODUCER_EPOCH }));
    let [GroupRecord::OffsetCommit(key, Some(value))] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((&*key.group, &*key.topic, key.partition), ("g", "t", 3));
    assert_eq!((value.offset, value.leader_epoch, &*value.metadata), (42, 6, "note"));
    assert_eq!((value.commit_timestamp, value.expire_timestamp), (driver.now.wall_ms, -1));
    assert_eq!(value.topic_id.as_u128(), 7);

    ends(&mut driver, 1, COMMIT);
    let response = driver.shard.offset_fetch(&fetch("g", &[("t".to_owned(), 3)]), true);
    let has = &response.topics[0].partitions[0];
    assert_eq!((has.committed_offset, has.committed_leader_epoch, has.error_code), (42, 6, 0));
    assert_eq!(has.metadata.as_deref(), Some("note"));
}

#[test]
fn metadata_that_is_too_long_is_refused_for_its_partition_alone() {
    let mut driver = driver();
    let long = ("t".to_owned(), 0, 1, "12345".to_owned());
    let request = txn_commit(1, "g", "", -1, &[long.clone(), part("t", 1, 2)]);
    assert_eq!(asked(&mut driver, &request), [OffsetMetadataTooLarge, OK]);
    ends(&mut driver, 1, COMMIT);
    assert_eq!((offset(&driver, "t", 0), offset(&driver, "t", 1)), (None, Some(2)));

    let request = txn_commit(1, "h", "", -1, &[long]);
    let (records, transaction) = driver.turn(|shard, turn| {
        shard.txn_offset_commit(turn, &requester(5), &request);
        (turn.records.len(), turn.transaction)
    });
    assert_eq!((records, transaction), (0, None), "nothing to append");
}

#[test]
fn an_offset_counts_from_the_marker_on() {
    for outcome in [COMMIT, ABORT] {
        let mut driver = driver();
        commits(&mut driver, "t", 0, 5);
        commits(&mut driver, "t", 1, 6);
        txn_commits(&mut driver, 1, "t", 0, 7);
        txn_commits(&mut driver, 1, "u", 0, 8);
        // A transaction of another producer ends.
        ends(&mut driver, 2, COMMIT);

        let [t0, t1, u0] = [("t", 0), ("t", 1), ("u", 0)].map(|(topic, index)| (topic.to_owned(), index));
        assert_eq!(fetched(&driver, false), [(t0.clone(), Ok(5)), (t1.clone(), Ok(6))].into());
        let unstable = Err(UnstableOffsetCommit);
        assert_eq!(fetched(&driver, true), [(t0.clone(), unstable), (t1.clone(), Ok(6))].into());
        let response = driver.shard.offset_fetch(&fetch("g", std::slice::from_ref(&u0)), true);
        assert_eq!(response.topics[0].partitions[0].error_code, UnstableOffsetCommit.code());
        assert_eq!(driver.shard.offset_count(), 2);

        ends(&mut driver, 1, outcome);
        let expected: BTreeMap<_, _> = match outcome {
            COMMIT => [(t0, Ok(7)), (t1, Ok(6)), (u0, Ok(8))].into(),
            ABORT => [(t0, Ok(5)), (t1, Ok(6))].into(),
        };
        assert_eq!(fetched(&driver, true), expected);
        assert_eq!(fetched(&driver, false), expected);
        assert_eq!(driver.shard.offset_count(), expected.len());
        assert!(driver.shard.offsets.pending("g").is_none());
    }
}

#[test]
fn the_latest_commit_counts_with_and_without_transactions() {
    // Transactions 1 and 2, and commits without one (0), in the order of the log, then who ends.
    type Case<'a> = (&'a [(i64, i64)], &'a [(i64, bool)], Option<i64>);
    let cases: [Case<'_>; 8] = [
        (&[(1, 10), (0, 11)], &[(1, COMMIT)], Some(11)),
        (&[(0, 11), (1, 10)], &[(1, COMMIT)], Some(10)),
        (&[(1, 10), (0, 11), (1, 12)], &[(1, COMMIT)], Some(12)),
        (&[(1, 10), (2, 20)], &[(2, COMMIT), (1, COMMIT)], Some(20)),
        (&[(1, 10), (2, 20)], &[(2, ABORT), (1, COMMIT)], Some(10)),
        (&[(1, 10), (2, 20), (1, 11)], &[(1, COMMIT), (2, COMMIT)], Some(11)),
        (&[(1, 10), (1, 9)], &[(1, COMMIT)], Some(9)),
        (&[(1, 10), (2, 20)], &[(1, ABORT), (2, ABORT)], None),
    ];
    for (commits_in_order, ends_in_order, expected) in cases {
        let mut driver = driver();
        for (producer_id, offset) in commits_in_order {
            match producer_id {
                0 => commits(&mut driver, "t", 0, *offset),
                _ => txn_commits(&mut driver, *producer_id, "t", 0, *offset),
            }
        }
        for (producer_id, outcome) in ends_in_order {
            let is_pending = driver.shard.offsets.pending("g").is_some_and(|has| has.contains("t", 0));
            assert!(is_pending, "until the last transaction has ended");
            ends(&mut driver, *producer_id, *outcome);
        }
        assert_eq!(offset(&driver, "t", 0), expected, "{commits_in_order:?} {ends_in_order:?}");
        assert!(driver.shard.offsets.pending("g").is_none());
    }
}

#[test]
fn what_is_deleted_does_not_come_back_with_the_marker() {
    let mut driver = driver();
    commits(&mut driver, "t", 0, 5);
    txn_commits(&mut driver, 1, "t", 0, 7);
    txn_commits(&mut driver, 1, "t", 1, 8);
    txn_commits(&mut driver, 1, "u", 0, 9);
    for partition in [0, 1, 2] {
        let log_len = driver.log.len();
        delete_offset(&mut driver, "t", partition);
        assert_eq!(driver.log.len(), log_len + usize::from(partition < 2), "only of what was there");
        same_after_a_load(&driver);
    }
    let asked = driver.shard.offset_fetch(&fetch("g", &[("t".to_owned(), 0)]), true);
    assert_eq!(asked.topics[0].partitions[0].error_code, 0, "nothing is waited for");
    // What comes after the deletion counts.
    txn_commits(&mut driver, 1, "t", 1, 10);
    ends(&mut driver, 1, COMMIT);
    let expected = [(("t".to_owned(), 1), Ok(10)), (("u".to_owned(), 0), Ok(9))];
    assert_eq!(fetched(&driver, true), expected.into());
}

#[test]
fn a_deleted_group_takes_along_what_transactions_have_committed() {
    let mut driver = driver();
    commits(&mut driver, "t", 0, 5);
    for producer_id in [1, 2] {
        txn_commits(&mut driver, producer_id, "t", 0, 6);
        txn_commits(&mut driver, producer_id, "t", 1, 7);
    }
    txn_commits(&mut driver, 1, "u", 0, 8);
    let (error, records) = delete_group(&mut driver);
    assert_eq!((error, records.len()), (OK, 4), "one for each partition, and the group's: {records:?}");
    same_after_a_load(&driver);
    for producer_id in [1, 2] {
        ends(&mut driver, producer_id, COMMIT);
    }
    assert_eq!((driver.shard.group_count(), driver.shard.offset_count()), (0, 0));

    // A group that only a transaction has made.
    txn_commits(&mut driver, 3, "t", 0, 9);
    assert_eq!(driver.shard.group_count(), 1);
    assert_eq!(delete_group(&mut driver).0, OK);
    ends(&mut driver, 3, COMMIT);
    assert_eq!((driver.shard.group_count(), driver.shard.offset_count()), (0, 0));
}

#[test]
fn an_open_transaction_keeps_its_group_and_the_offsets_of_its_partitions() {
    let mut driver = driver();
    commits(&mut driver, "t", 0, 5);
    commits(&mut driver, "t", 1, 6);
    txn_commits(&mut driver, 1, "t", 0, 7);
    driver.advance(2 * RETENTION_MS);
    same_after_a_load(&driver);
    assert_eq!((offset(&driver, "t", 0), offset(&driver, "t", 1)), (Some(5), None));

    ends(&mut driver, 1, ABORT);
    driver.advance(CHECK_INTERVAL_MS);
    assert_eq!((driver.shard.group_count(), driver.shard.offset_count()), (0, 0));

    // Nothing but what the transaction has committed: the marker must find the group.
    txn_commits(&mut driver, 2, "t", 0, 8);
    driver.advance(2 * RETENTION_MS);
    assert_eq!(driver.shard.group_count(), 1);
    ends(&mut driver, 2, COMMIT);
    assert_eq!(offset(&driver, "t", 0), Some(8));
    // Its retention counts since the commit.
    driver.advance(CHECK_INTERVAL_MS);
    assert_eq!((driver.shard.group_count(), driver.shard.offset_count()), (0, 0));
    same_after_a_load(&driver);
}

#[test]
fn what_transactions_committed_for_a_deleted_topic_goes_with_it() {
    let mut driver = driver();
    commits(&mut driver, "t", 0, 5);
    txn_commits(&mut driver, 1, "t", 0, 6);
    txn_commits(&mut driver, 1, "t", 1, 7);
    txn_commits(&mut driver, 1, "u", 0, 8);
    driver.topics.remove("t");
    // Created again before the offsets are looked at.
    driver.topics.set("t", 9, 10);
    txn_commits(&mut driver, 2, "t", 2, 9);
    txn_commits(&mut driver, 1, "t", 3, 10);
    let names = [text("t")];
    driver.turn(|shard, turn| shard.topics_deleted(turn, &names));
    same_after_a_load(&driver);
    let pending = driver.shard.offsets.pending("g").unwrap();
    assert_eq!(pending.partitions("t").collect::<Vec<_>>(), [2, 3]);
    for producer_id in [1, 2] {
        ends(&mut driver, producer_id, COMMIT);
    }
    let expected = [(("t", 2), 9), (("t", 3), 10), (("u", 0), 8)];
    let expected = expected.map(|((topic, index), offset)| ((topic.to_owned(), index), Ok(offset)));
    assert_eq!(fetched(&driver, true), expected.into());
}

#[test]
fn a_transaction_may_commit_for_many_groups() {
    let mut driver = driver();
    for group in ["g", "h"] {
        let request = txn_commit(1, group, "", -1, &[part("t", 0, 5)]);
        assert_eq!(asked(&mut driver, &request), [OK]);
    }
    ends(&mut driver, 1, COMMIT);
    assert_eq!((driver.shard.group_count(), driver.shard.offset_count()), (2, 2));
}
