//! The offset APIs request by request: Kafka's codes for bad input, and what a turn leaves.

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::ErrorCode::{GroupIdNotFound, IllegalGeneration, InvalidGroupId, UnknownMemberId};
use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::messages::GroupId;

use super::requests::{commit, delete, fetch, fetch_all};
use super::size_bytes;
use crate::config::GroupCoordinatorConfig;
use crate::testing::{Driver, requester, text};

/// A partition of topic `t`, with the metadata.
fn part(partition: i32, offset: i64, metadata: &str) -> (String, i32, i64, String) {
    ("t".to_owned(), partition, offset, metadata.to_owned())
}

fn driver(config: GroupCoordinatorConfig) -> Driver {
    let mut driver = Driver::new(config);
    driver.topics.set("t", 7, 1_000);
    driver
}

/// A driver whose group `simple` has committed offset 5 of partition 0.
fn with_simple_group() -> Driver {
    let mut driver = driver(GroupCoordinatorConfig::default());
    let request = commit("simple", "", -1, &[part(0, 5, "note")]);
    driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
    driver
}

/// The shard is as it was, and nothing was appended.
fn unchanged(driver: &Driver, log_len: usize) {
    assert_eq!(driver.log.len(), log_len);
    let reloaded = driver.reloaded();
    assert!(reloaded.offsets == driver.shard.offsets && reloaded.groups == driver.shard.groups);
}

#[test]
fn a_commit_that_is_refused_is_refused_for_every_partition() {
    let cases = [
        ("none", "", 0, 9, GroupIdNotFound),
        ("none", "member", 3, 9, GroupIdNotFound),
        ("none", "", 0, 8, IllegalGeneration),
        ("none", "member", 0, 2, IllegalGeneration),
        ("simple", "", 0, 9, UnknownMemberId),
        ("simple", "member", 1, 9, UnknownMemberId),
    ];
    for (group, member, generation, version, expected) in cases {
        let mut driver = with_simple_group();
        let log_len = driver.log.len();
        let request = commit(group, member, generation, &[part(0, 9, ""), part(1, 9, "")]);
        let response = driver.turn(|shard, turn| shard.offset_commit(turn, &requester(version), &request));
        let errors: Vec<_> =
            response.topics.iter().flat_map(|topic| &topic.partitions).map(|has| has.error_code).collect();
        assert_eq!(errors, [expected.code(); 2], "{group} {member} {generation} v{version}");
        unchanged(&driver, log_len);
    }
}

#[test]
fn metadata_is_measured_in_utf16_and_refused_for_its_partition_alone() {
    let mut driver =
        driver(GroupCoordinatorConfig { offset_metadata_max_bytes: 4, ..GroupCoordinatorConfig::default() });
    // Four code units in eight and twelve bytes; five code units.
    let parts = [part(0, 1, "éééé"), part(1, 1, "12345"), part(2, 1, "💡💡"), part(3, 1, "💡💡!")];
    let request = commit("g", "", -1, &parts);
    let response = driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
    let errors: Vec<_> = response.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    let too_large = ErrorCode::OffsetMetadataTooLarge.code();
    assert_eq!(errors, [0, too_large, 0, too_large]);
    assert_eq!(driver.shard.offset_count(), 2);

    let request = commit("h", "", -1, &[part(0, 1, "12345")]);
    driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
    assert_eq!(driver.shard.group_count(), 1, "a commit of nothing does not make a group");
}

#[test]
fn a_commit_says_all_that_kafka_writes() {
    let mut driver = driver(GroupCoordinatorConfig::default());
    let mut request = commit("g", "", -1, &[part(3, 42, "note")]).with_retention_time_ms(1_000);
    request.topics[0].partitions[0].committed_leader_epoch = 6;
    let turn = |driver: &mut Driver, version| {
        driver.turn(|shard, turn| {
            shard.offset_commit(turn, &requester(version), &request);
            turn.records.clone()
        })
    };
    let records = turn(&mut driver, 2);
    let [GroupRecord::OffsetCommit(key, Some(value))] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((&*key.group, &*key.topic, key.partition), ("g", "t", 3));
    assert_eq!((value.offset, value.leader_epoch, &*value.metadata), (42, 6, "note"));
    let now_ms = driver.now.wall_ms;
    assert_eq!((value.commit_timestamp, value.expire_timestamp), (now_ms, now_ms + 1_000));
    assert_eq!(value.topic_id.as_u128(), 7);
}

#[test]
fn a_batch_that_is_too_large_is_refused_whole() {
    let mut driver =
        driver(GroupCoordinatorConfig { max_record_bytes: 500, ..GroupCoordinatorConfig::default() });
    let many: Vec<_> = (0..20).map(|number| part(number, 1, "")).collect();
    let request = commit("g", "", -1, &many);
    let response = driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
    let errors = response.topics.iter().map(|topic| topic.partitions[0].error_code);
    assert!(errors.eq([ErrorCode::UnknownServerError.code(); 20]));
    unchanged(&driver, 0);
}

#[test]
fn as_many_offsets_as_kafka_takes_fit_in_a_batch() {
    let mut driver = driver(GroupCoordinatorConfig::default());
    let topic = "a-topic-of-ordinary-length";
    driver.topics.set(topic, 7, 10_000);
    let many: Vec<_> = (0..10_000).map(|n| (topic.to_owned(), n, 1, String::new())).collect();
    let request = commit("a-group", "", -1, &many);
    let response = driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
    assert!(response.topics.iter().all(|topic| topic.partitions[0].error_code == 0));
}

#[test]
fn a_text_that_no_record_can_hold_is_refused() {
    let config =
        GroupCoordinatorConfig { offset_metadata_max_bytes: 100_000, ..GroupCoordinatorConfig::default() };
    let long = "x".repeat(32_768);
    for request in [commit(&long, "", -1, &[part(0, 1, "")]), commit("g", "", -1, &[part(0, 1, &long)])] {
        let mut driver = driver(config.clone());
        let response = driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
        assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::UnknownServerError.code());
        unchanged(&driver, 0);
    }
}

#[test]
fn a_fetch_finds_what_was_committed_and_nothing_for_the_rest() {
    let driver = with_simple_group();
    let asked = [("t".to_owned(), 0), ("t".to_owned(), 1), ("x".to_owned(), 0)];
    for (group, expected) in [("simple", [5, -1, -1]), ("none", [-1, -1, -1])] {
        let response = driver.shard.offset_fetch(&fetch(group, &asked), false);
        assert_eq!((response.error_code, response.topics.len()), (0, 2));
        let found: Vec<_> = response.topics.iter().flat_map(|topic| &topic.partitions).collect();
        assert!(found.iter().map(|has| has.committed_offset).eq(expected), "{group}: {found:?}");
        assert!(found.iter().all(|has| has.error_code == 0 && has.committed_leader_epoch == -1));
        let metadata = if expected[0] == 5 { "note" } else { "" };
        assert_eq!(found[0].metadata.as_deref(), Some(metadata));
    }
    assert_eq!(driver.shard.offset_fetch(&fetch_all("none"), false).topics.len(), 0);
    // A classic group takes fetches from anyone.
    let named = fetch_all("simple").with_member_id(Some(text("nobody"))).with_member_epoch(4);
    assert_eq!(driver.shard.offset_fetch(&named, false).topics[0].partitions[0].committed_offset, 5);
}

#[test]
fn a_deletion_of_offsets_knows_its_group() {
    for (group, expected) in [("", InvalidGroupId), ("none", GroupIdNotFound)] {
        let mut driver = with_simple_group();
        let log_len = driver.log.len();
        let request = delete(group, &[("t".to_owned(), 0)]);
        let response = driver.turn(|shard, turn| shard.offset_delete(turn, &request));
        assert_eq!((response.error_code, response.topics.len()), (expected.code(), 0), "{group}");
        unchanged(&driver, log_len);
    }
    let mut driver = with_simple_group();
    let request = delete("simple", &[("t".to_owned(), 0), ("t".to_owned(), 1)]);
    let response = driver.turn(|shard, turn| shard.offset_delete(turn, &request));
    assert_eq!(response.error_code, 0);
    assert!(response.topics.iter().all(|topic| topic.partitions[0].error_code == 0));
    assert_eq!((driver.log.len(), driver.shard.offset_count()), (2, 0), "a tombstone for what was there");
    assert_eq!(driver.shard.group_count(), 1, "the group stays until the next expiry");
}

#[test]
fn a_group_is_deleted_with_its_offsets() {
    let mut driver = with_simple_group();
    let delete = |driver: &mut Driver, group: &str| {
        driver.turn(|shard, turn| shard.delete_group(turn, &GroupId(text(group))))
    };
    assert_eq!(delete(&mut driver, "none"), GroupIdNotFound);
    unchanged(&driver, 1);
    assert_eq!(delete(&mut driver, "simple"), ErrorCode::None);
    assert_eq!((driver.shard.group_count(), driver.shard.offset_count()), (0, 0));
    assert_eq!(delete(&mut driver, "simple"), GroupIdNotFound);
    unchanged(&driver, 3);
}

#[test]
fn a_long_expiry_takes_many_small_turns() {
    const MAX_BYTES: usize = 4_000;
    let config = GroupCoordinatorConfig {
        max_record_bytes: MAX_BYTES,
        offsets_retention_ms: 1_000,
        offsets_retention_check_interval_ms: 5_000,
        ..GroupCoordinatorConfig::default()
    };
    for end in ["expiry", "deleted topic"] {
        let mut driver = driver(config.clone());
        for group in ["a", "b", "c"] {
            for first in (0..200).step_by(20) {
                let parts: Vec<_> = (first..first + 20).map(|number| part(number, 1, "")).collect();
                let request = commit(group, "", -1, &parts);
                driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
            }
        }
        assert_eq!(driver.shard.offset_count(), 600);
        let mut turns = 0;
        let mut bounded = |records: &[GroupRecord]| {
            assert!(records.iter().map(size_bytes).sum::<usize>() < MAX_BYTES);
            turns += 1;
        };
        match end {
            "expiry" => {
                let deadline_ms = driver.shard.next_deadline().expect("the next expiry");
                driver.now.wall_ms += deadline_ms - driver.now.monotonic_ms;
                driver.now.monotonic_ms = deadline_ms;
            }
            _ => {
                driver.topics.remove("t");
                let names = [text("t")];
                driver.turn(|shard, turn| {
                    shard.topics_deleted(turn, &names);
                    bounded(&turn.records);
                });
            }
        }
        while driver.shard.next_deadline() == Some(driver.now.monotonic_ms) {
            driver.turn(|shard, turn| {
                assert!(shard.fire_next(turn));
                bounded(&turn.records);
            });
        }
        assert!(turns > 5, "{end}: {turns}");
        assert_eq!(driver.shard.offset_count(), 0, "{end}");
        assert_eq!(driver.shard.group_count(), if end == "expiry" { 0 } else { 3 });
        let reloaded = driver.reloaded();
        assert!(reloaded.offsets == driver.shard.offsets && reloaded.groups == driver.shard.groups);
    }
}

#[test]
fn groups_are_listed_by_state_and_type_in_any_case() {
    let driver = with_simple_group();
    let all = driver.shard.list_groups(&[], &[]);
    assert_eq!(all.len(), 1);
    assert_eq!((&*all[0].group_id.0, &*all[0].protocol_type), ("simple", ""));
    assert_eq!((&*all[0].group_state, &*all[0].group_type), ("Empty", "classic"));
    for (states, types, found) in [
        (vec![" empty "], vec![], 1),
        (vec!["STABLE", "EMPTY"], vec!["Classic"], 1),
        (vec!["Stable"], vec![], 0),
        (vec!["nonsense"], vec![], 0),
        (vec![], vec!["consumer"], 0),
        (vec![], vec!["consumer", "CLASSIC"], 1),
        (vec![], vec![" classic"], 0),
    ] {
        let texts = |names: &[&str]| names.iter().map(|name| text(name)).collect::<Vec<_>>();
        let listed = driver.shard.list_groups(&texts(&states), &texts(&types));
        assert_eq!(listed.len(), found, "{states:?} {types:?}");
    }
}
