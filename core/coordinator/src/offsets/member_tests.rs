//! The offset APIs and those of whole groups where groups have members, of both kinds.

use fluxmq_protocol::ErrorCode::{
    self, FencedInstanceId, GroupSubscribedToTopic, IllegalGeneration, NonEmptyGroup, StaleMemberEpoch,
    UnknownMemberId, UnsupportedVersion,
};
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::messages::leave_group_request::MemberIdentity;
use fluxmq_protocol::messages::{
    ConsumerGroupHeartbeatRequest, GroupId, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};
use fluxmq_protocol::{StrBytes, group_records::GroupRecord};
use uuid::Uuid;

use super::requests::{commit, delete, fetch_all, txn_commit};
use crate::config::GroupCoordinatorConfig;
use crate::testing::{Driver, requester, text};
use crate::turn::{Reply, Requester, Token};

const RETENTION_MS: i64 = 1_000_000;
const CHECK_INTERVAL_MS: i64 = 100_000;
const SESSION_MS: i32 = 1_800_000;
const GENERATION: i32 = 1;
const OK: ErrorCode = ErrorCode::None;

fn driver() -> Driver {
    let mut driver = Driver::new(GroupCoordinatorConfig {
        offsets_retention_ms: RETENTION_MS,
        offsets_retention_check_interval_ms: CHECK_INTERVAL_MS,
        consumer_session_timeout_ms: SESSION_MS,
        consumer_max_session_timeout_ms: SESSION_MS,
        ..GroupCoordinatorConfig::default()
    });
    driver.topics.set("t", 1, 4);
    driver.topics.set("u", 2, 4);
    driver
}

/// A stable group `classic` of a dynamic member and of one with the instance id `i`, who read topic `t`.
fn classic(protocol_type: &str) -> (Driver, [StrBytes; 2]) {
    let mut driver = driver();
    for (number, instance) in [(1, None), (2, Some(text("i")))] {
        let subscription: &[u8] = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(bytes::Bytes::from_static(subscription));
        let version = if instance.is_some() { 5 } else { 3 };
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text("classic")))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(10_000)
            .with_group_instance_id(instance)
            .with_protocol_type(text(protocol_type))
            .with_protocols(vec![protocol]);
        let asks = Requester { fresh_id: Uuid::from_u128(number.into()), ..requester(version) };
        driver.turn(|shard, turn| shard.join_group(turn, &asks, request, Token(number)));
    }
    driver.advance(10_000);
    let mut ids = [StrBytes::new(), StrBytes::new()];
    for (token, reply) in std::mem::take(&mut driver.replies) {
        let Reply::JoinGroup(reply) = reply else { panic!("{reply:?}") };
        assert_eq!((reply.error_code, reply.generation_id), (0, GENERATION));
        ids[token.0 as usize - 1] = reply.member_id;
    }
    for (member_id, instance) in [(&ids[0], None), (&ids[1], Some(text("i")))] {
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text("classic")))
            .with_member_id(member_id.clone())
            .with_group_instance_id(instance)
            .with_generation_id(GENERATION);
        driver.turn(|shard, turn| shard.sync_group(turn, &requester(4), request, Token(9)));
    }
    assert_eq!(state(&driver, "classic"), "Stable");
    (driver, ids)
}

/// A group `consumer` whose member `m` reads topic `t`, and the member's epoch.
fn consumer() -> (Driver, i32) {
    let mut driver = driver();
    let mut epoch = 0;
    // The second heartbeat brings nothing new: the epoch is one that was current before.
    for topics in [vec![text("t")], vec![text("t"), text("none")]] {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("consumer")))
            .with_member_id(text("m"))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(Some(topics.into_iter().map(Into::into).collect()))
            .with_topic_partitions(Some(Vec::new()));
        let response =
            driver.turn(|shard, turn| shard.consumer_group_heartbeat(turn, &requester(1), &request));
        assert_eq!(response.error_code, 0, "{response:?}");
        epoch = response.member_epoch;
        driver.advance(2_000);
    }
    (driver, epoch)
}

fn state(driver: &Driver, group: &str) -> String {
    let listed = driver.shard.list_groups(&[], &[]);
    let found = listed.iter().find(|listed| *listed.group_id.0 == *group);
    found.map(|listed| listed.group_state.to_string()).unwrap_or_default()
}

/// Commits offset 5 of partition 0 of the topic.
fn commits(driver: &mut Driver, by: (&str, &str, Option<&str>, i32), topic: &str, version: i16) -> ErrorCode {
    let (group, member_id, instance, generation) = by;
    let request = commit(group, member_id, generation, &[(topic.to_owned(), 0, 5, String::new())])
        .with_group_instance_id(instance.map(text));
    let response = driver.turn(|shard, turn| shard.offset_commit(turn, &requester(version), &request));
    ErrorCode::from_code(response.topics[0].partitions[0].error_code).unwrap()
}

/// As [`commits`], in a transaction.
fn txn_commits(
    driver: &mut Driver,
    by: (&str, &str, Option<&str>, i32),
    topic: &str,
    version: i16,
) -> ErrorCode {
    let (group, member_id, instance, generation) = by;
    let request = txn_commit(7, group, member_id, generation, &[(topic.to_owned(), 0, 5, String::new())])
        .with_group_instance_id(instance.map(text));
    let response = driver.turn(|shard, turn| shard.txn_offset_commit(turn, &requester(version), &request));
    ErrorCode::from_code(response.topics[0].partitions[0].error_code).unwrap()
}

fn delete_offset(driver: &mut Driver, group: &str, topic: &str) -> (i16, Option<i16>) {
    let request = delete(group, &[(topic.to_owned(), 0)]);
    let response = driver.turn(|shard, turn| shard.offset_delete(turn, &request));
    (response.error_code, response.topics.first().map(|topic| topic.partitions[0].error_code))
}

fn delete_group(driver: &mut Driver, group: &str) -> ErrorCode {
    let id = GroupId(text(group));
    driver.turn(|shard, turn| shard.delete_group(turn, &id))
}

fn topics_of(driver: &Driver, group: &str) -> Vec<String> {
    let response = driver.shard.offset_fetch(&fetch_all(group), false);
    response.topics.iter().map(|topic| topic.name.to_string()).collect()
}

fn leave_classic(driver: &mut Driver, ids: &[StrBytes; 2]) {
    let members = ids.iter().map(|id| MemberIdentity::default().with_member_id(id.clone()));
    let request =
        LeaveGroupRequest::default().with_group_id(GroupId(text("classic"))).with_members(members.collect());
    driver.turn(|shard, turn| shard.leave_group(turn, &requester(5), &request));
    assert_eq!(state(driver, "classic"), "Empty");
}

#[test]
fn who_commits_to_a_classic_group_is_a_member_of_its_generation() {
    let (mut driver, [dynamic, fixed]) = classic("consumer");
    let cases: [(&str, Option<&str>, i32, ErrorCode); 10] = [
        ("", None, -1, UnknownMemberId),
        ("other", None, GENERATION, UnknownMemberId),
        ("", None, GENERATION, UnknownMemberId),
        (&dynamic, None, -1, IllegalGeneration),
        (&dynamic, None, GENERATION - 1, IllegalGeneration),
        (&dynamic, None, GENERATION + 1, IllegalGeneration),
        (&dynamic, Some("i"), GENERATION, FencedInstanceId),
        (&fixed, Some("k"), GENERATION, UnknownMemberId),
        (&fixed, Some("i"), GENERATION, OK),
        (&dynamic, None, GENERATION, OK),
    ];
    for (member_id, instance, generation, expected) in cases {
        for version in [2, 8, 9] {
            let log_len = driver.log.len();
            let error = commits(&mut driver, ("classic", member_id, instance, generation), "t", version);
            assert_eq!(error, expected, "{member_id} {instance:?} {generation} v{version}");
            assert_eq!(driver.log.len() > log_len, expected == OK);
        }
    }
    // Fetching needs no membership.
    assert_eq!(topics_of(&driver, "classic"), ["t"]);
}

#[test]
fn who_commits_to_a_classic_group_in_a_transaction_is_nobody_or_a_member_of_its_generation() {
    let (mut driver, [dynamic, fixed]) = classic("consumer");
    let cases: [(&str, Option<&str>, i32, ErrorCode); 11] = [
        ("", None, -1, OK),
        ("other", None, GENERATION, UnknownMemberId),
        ("other", None, -1, UnknownMemberId),
        ("", None, GENERATION, UnknownMemberId),
        ("", Some("i"), -1, FencedInstanceId),
        (&dynamic, None, -1, IllegalGeneration),
        (&dynamic, None, GENERATION - 1, IllegalGeneration),
        (&dynamic, None, GENERATION + 1, IllegalGeneration),
        (&dynamic, Some("i"), GENERATION, FencedInstanceId),
        (&fixed, Some("i"), GENERATION, OK),
        (&dynamic, None, GENERATION, OK),
    ];
    for (member_id, instance, generation, expected) in cases {
        for version in [0, 3, 5] {
            let log_len = driver.log.len();
            let by = ("classic", member_id, instance, generation);
            let error = txn_commits(&mut driver, by, "t", version);
            assert_eq!(error, expected, "{member_id} {instance:?} {generation} v{version}");
            assert_eq!(driver.log.len() > log_len, expected == OK);
        }
    }
    driver.end_transaction(7, true);
    assert_eq!(topics_of(&driver, "classic"), ["t"]);
}

#[test]
fn a_commit_in_a_transaction_is_no_heartbeat() {
    let (mut driver, [dynamic, _]) = classic("consumer");
    driver.advance(i64::from(SESSION_MS) - 1_000);
    let by = ("classic", &*dynamic, None, GENERATION);
    assert_eq!(txn_commits(&mut driver, by, "t", 3), OK);
    driver.advance(2_000);
    assert_eq!(txn_commits(&mut driver, by, "t", 3), UnknownMemberId);
}

#[test]
fn a_classic_group_is_deleted_and_loses_offsets_only_without_readers() {
    let (mut driver, ids) = classic("consumer");
    for topic in ["t", "u"] {
        assert_eq!(commits(&mut driver, ("classic", &ids[0], None, GENERATION), topic, 9), OK);
    }
    assert_eq!(delete_group(&mut driver, "classic"), NonEmptyGroup);
    assert_eq!(delete_offset(&mut driver, "classic", "t"), (0, Some(GroupSubscribedToTopic.code())));
    assert_eq!(delete_offset(&mut driver, "classic", "u"), (0, Some(0)));
    assert_eq!(topics_of(&driver, "classic"), ["t"]);
    leave_classic(&mut driver, &ids);
    assert_eq!(delete_offset(&mut driver, "classic", "t"), (0, Some(0)));
    assert_eq!((delete_group(&mut driver, "classic"), driver.shard.group_count()), (OK, 0));
    assert_eq!(driver.reloaded().group_count(), 0);

    // What members of another type read is not known.
    let (mut driver, ids) = classic("connect");
    assert_eq!(delete_offset(&mut driver, "classic", "u"), (NonEmptyGroup.code(), None));
    leave_classic(&mut driver, &ids);
    assert_eq!(delete_offset(&mut driver, "classic", "u"), (0, Some(0)));
}

#[test]
fn offsets_of_a_classic_group_expire_when_it_is_empty_or_does_not_read() {
    let (mut driver, ids) = classic("consumer");
    for topic in ["t", "u"] {
        assert_eq!(commits(&mut driver, ("classic", &ids[0], None, GENERATION), topic, 9), OK);
    }
    let alive = |driver: &mut Driver| {
        for id in &ids {
            let heartbeat = fluxmq_protocol::messages::HeartbeatRequest::default()
                .with_group_id(GroupId(text("classic")))
                .with_member_id(id.clone())
                .with_generation_id(GENERATION);
            let response = driver.turn(|shard, turn| shard.heartbeat(turn, &heartbeat));
            assert_eq!(response.error_code, 0);
        }
    };
    driver.advance(RETENTION_MS - 2 * CHECK_INTERVAL_MS);
    assert_eq!(topics_of(&driver, "classic"), ["t", "u"]);
    alive(&mut driver);
    driver.advance(3 * CHECK_INTERVAL_MS);
    assert_eq!(topics_of(&driver, "classic"), ["t"], "nobody reads u");
    leave_classic(&mut driver, &ids);
    let emptied_ms = driver.now.wall_ms;
    driver.advance(RETENTION_MS - CHECK_INTERVAL_MS);
    assert_eq!(topics_of(&driver, "classic"), ["t"], "counts since the group is empty");
    // A load does not start the count anew.
    driver.restart();
    driver.advance(2 * CHECK_INTERVAL_MS);
    assert!(driver.now.wall_ms < emptied_ms + RETENTION_MS + 2 * CHECK_INTERVAL_MS);
    assert_eq!((topics_of(&driver, "classic").len(), driver.shard.group_count()), (0, 0));
    assert_eq!(driver.reloaded().group_count(), 0);
}

#[test]
fn who_commits_to_a_consumer_group_is_at_its_epoch() {
    let (mut driver, epoch) = consumer();
    assert!(epoch > 1, "an older epoch is to be tried");
    let cases: [(&str, i32, i16, &str, ErrorCode); 10] = [
        ("", -1, 9, "t", UnknownMemberId),
        ("other", epoch, 9, "t", UnknownMemberId),
        ("other", -1, 9, "t", UnknownMemberId),
        ("m", epoch, 8, "t", UnsupportedVersion),
        ("m", epoch + 1, 9, "t", StaleMemberEpoch),
        ("m", -1, 9, "t", StaleMemberEpoch),
        // Owned since the first epoch: taken at any since (KIP-1251). Never owned: refused.
        ("m", epoch - 1, 9, "t", OK),
        ("m", epoch - 1, 9, "u", StaleMemberEpoch),
        ("m", epoch, 9, "u", OK),
        ("m", epoch, 9, "t", OK),
    ];
    for (member_id, member_epoch, version, topic, expected) in cases {
        let log_len = driver.log.len();
        let error = commits(&mut driver, ("consumer", member_id, None, member_epoch), topic, version);
        assert_eq!(error, expected, "{member_id} {member_epoch} v{version} {topic}");
        assert_eq!(driver.log.len() > log_len, expected == OK);
    }
    // One partition that is refused refuses all.
    let partitions = ["t", "u"].map(|topic| (topic.to_owned(), 0, 8, String::new()));
    let request = commit("consumer", "m", epoch - 1, &partitions);
    let log_len = driver.log.len();
    let response = driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
    let errors = response.topics.iter().map(|topic| topic.partitions[0].error_code);
    assert!(errors.eq([StaleMemberEpoch.code(); 2]));
    assert_eq!(driver.log.len(), log_len);
}

#[test]
fn who_commits_to_a_consumer_group_in_a_transaction_is_nobody_or_at_its_epoch() {
    let (mut driver, epoch) = consumer();
    assert!(epoch > 1, "an older epoch is to be tried");
    let cases: [(&str, Option<&str>, i32, &str, ErrorCode); 11] = [
        ("", None, -1, "t", OK),
        ("", Some("i"), -1, "t", UnknownMemberId),
        ("", None, epoch, "t", UnknownMemberId),
        ("other", None, epoch, "t", UnknownMemberId),
        ("other", None, -1, "t", UnknownMemberId),
        ("m", None, epoch + 1, "t", IllegalGeneration),
        ("m", None, -1, "t", IllegalGeneration),
        // Owned since the first epoch: taken at any since. Never owned, or no topic at all: refused.
        ("m", None, epoch - 1, "t", OK),
        ("m", None, epoch - 1, "u", IllegalGeneration),
        ("m", None, epoch - 1, "none", IllegalGeneration),
        ("m", None, epoch, "none", OK),
    ];
    for (member_id, instance, member_epoch, topic, expected) in cases {
        for version in [0, 3, 5] {
            let log_len = driver.log.len();
            let by = ("consumer", member_id, instance, member_epoch);
            let error = txn_commits(&mut driver, by, topic, version);
            assert_eq!(error, expected, "{member_id} {instance:?} {member_epoch} {topic} v{version}");
            assert_eq!(driver.log.len() > log_len, expected == OK);
        }
    }
    // One partition that is refused refuses all.
    let partitions = ["t", "u"].map(|topic| (topic.to_owned(), 0, 8, String::new()));
    let request = txn_commit(7, "consumer", "m", epoch - 1, &partitions);
    let log_len = driver.log.len();
    let response = driver.turn(|shard, turn| shard.txn_offset_commit(turn, &requester(5), &request));
    let errors = response.topics.iter().map(|topic| topic.partitions[0].error_code);
    assert!(errors.eq([IllegalGeneration.code(); 2]));
    assert_eq!(driver.log.len(), log_len);
}

#[test]
fn who_fetches_from_a_consumer_group_by_name_is_at_its_epoch() {
    let (mut driver, epoch) = consumer();
    assert_eq!(commits(&mut driver, ("consumer", "m", None, epoch), "t", 9), OK);
    for (member_id, member_epoch, expected) in [
        (None, -1, OK),
        (Some("m"), epoch, OK),
        (Some("m"), epoch - 1, StaleMemberEpoch),
        (Some("m"), epoch + 1, StaleMemberEpoch),
        (Some("other"), epoch, UnknownMemberId),
        (Some(""), -1, UnknownMemberId),
        (None, epoch, UnknownMemberId),
    ] {
        let request =
            fetch_all("consumer").with_member_id(member_id.map(text)).with_member_epoch(member_epoch);
        let response = driver.shard.offset_fetch(&request, false);
        assert_eq!(response.error_code, expected.code(), "{member_id:?} {member_epoch}");
        assert_eq!(response.topics.len(), usize::from(expected == OK));
    }
}

#[test]
fn a_consumer_group_goes_with_its_offsets_once_it_is_empty() {
    let (mut driver, epoch) = consumer();
    for topic in ["t", "u"] {
        assert_eq!(commits(&mut driver, ("consumer", "m", None, epoch), topic, 9), OK);
    }
    assert_eq!(delete_group(&mut driver, "consumer"), NonEmptyGroup);
    assert_eq!(delete_offset(&mut driver, "consumer", "t"), (0, Some(GroupSubscribedToTopic.code())));
    driver.advance(RETENTION_MS + CHECK_INTERVAL_MS);
    assert_eq!(topics_of(&driver, "consumer"), ["t"], "nobody reads u");
    let listed = driver.shard.list_groups(&[], &[text("consumer")]);
    assert_eq!(
        (listed.len(), &*listed[0].protocol_type, &*listed[0].group_type),
        (1, "consumer", "consumer")
    );

    let leave = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("consumer")))
        .with_member_id(text("m"))
        .with_member_epoch(-1);
    let response = driver.turn(|shard, turn| shard.consumer_group_heartbeat(turn, &requester(1), &leave));
    assert_eq!((response.error_code, &*state(&driver, "consumer")), (0, "Empty"));
    // The commit is older than the retention already: the next look takes it, and the group with it.
    driver.advance(CHECK_INTERVAL_MS);
    assert_eq!((driver.shard.group_count(), driver.shard.offset_count()), (0, 0));
    let reloaded = driver.reloaded();
    assert_eq!((reloaded.group_count(), reloaded.offset_count()), (0, 0));
}

#[test]
fn an_empty_consumer_group_is_deleted_by_request() {
    let (mut driver, _) = consumer();
    let leave = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text("consumer")))
        .with_member_id(text("m"))
        .with_member_epoch(-1);
    driver.turn(|shard, turn| shard.consumer_group_heartbeat(turn, &requester(1), &leave));
    // As Kafka: anyone may commit now.
    assert_eq!(commits(&mut driver, ("consumer", "", None, -1), "t", 9), OK);
    let id = GroupId(text("consumer"));
    let (error, records) = driver.turn(|shard, turn| (shard.delete_group(turn, &id), turn.records.clone()));
    assert_eq!(error, OK);
    assert!(matches!(records[0], GroupRecord::OffsetCommit(_, None)), "{records:?}");
    assert!(matches!(records.last(), Some(GroupRecord::ConsumerGroupMetadata(_, None))));
    assert_eq!((driver.shard.group_count(), driver.reloaded().group_count()), (0, 0));
}
