//! What a load makes of the log, and what records of other writers mean.

use fluxmq_protocol::group_records::{GroupMetadataKey, GroupMetadataValue, GroupRecord, MemberMetadata};

use super::*;
use crate::group::OffsetsExpire;
use crate::testing::Logged;

fn member(member_id: &str) -> MemberMetadata {
    MemberMetadata {
        member_id: text(member_id),
        group_instance_id: None,
        client_id: text("client"),
        client_host: text("/127.0.0.1"),
        rebalance_timeout: REBALANCE_MS,
        session_timeout: SESSION_MS,
        subscription: Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"),
        assignment: Bytes::from_static(b"p"),
    }
}

fn value(members: Vec<MemberMetadata>) -> GroupMetadataValue {
    GroupMetadataValue {
        protocol_type: text("consumer"),
        generation: 7,
        protocol: Some(text("range")),
        leader: members.first().map(|member| member.member_id.clone()),
        current_state_timestamp: 5,
        members,
    }
}

/// A log with these values for group "g".
fn loaded(config: GroupCoordinatorConfig, values: Vec<Option<GroupMetadataValue>>) -> Clients {
    let mut clients = Clients::new(config);
    for value in values {
        let record = GroupRecord::GroupMetadata(GroupMetadataKey { group: text("g") }, value);
        clients.driver.log.push(Logged::Record(None, record.encode().expect("a record that fits")));
    }
    clients.driver.restart();
    clients
}

#[test]
fn a_restart_keeps_a_stable_group_and_its_members_go_on() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join().instance("i")]);
    clients.advance(5_000);
    clients.driver.restart();
    assert_eq!(clients.state(), ClassicGroupState::Stable);
    // A whole session more for each.
    clients.advance(i64::from(SESSION_MS) - 1);
    for member_id in &members {
        assert_eq!(clients.heartbeat(1, member_id), ErrorCode::None);
        let token = clients.sync(1, member_id, &[]);
        assert!(!clients.sync_reply(token).assignment.is_empty());
    }
    // Nothing new in a join: the loaded group knows the protocol that was chosen.
    assert_eq!(clients.joined(join().member(&members[1]).instance("i")).generation_id, 1);
    clients.advance(i64::from(SESSION_MS));
    assert_eq!((clients.state(), clients.group().generation), (ClassicGroupState::Empty, 2));
}

#[test]
fn a_restart_in_a_rebalance_goes_back_to_what_was_before() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join()]);
    clients.join(join().member(&members[0]));
    clients.join(join().member(&members[1]));
    assert_eq!(clients.state(), ClassicGroupState::CompletingRebalance);
    clients.driver.restart();
    assert_eq!((clients.state(), clients.group().generation), (ClassicGroupState::Stable, 1));
    let token = clients.sync(2, &members[0], &[]);
    assert_eq!(code(clients.sync_reply(token).error_code), ErrorCode::IllegalGeneration);
    // They join again, as they do after every loss of a coordinator.
    let leader = clients.join(join().member(&members[0]));
    clients.join(join().member(&members[1]).protocols(&[("range", b"new")]));
    assert_eq!(clients.join_reply(leader).generation_id, 2);
}

#[test]
fn records_say_what_state_a_group_is_in() {
    let clients = loaded(config(), vec![Some(value(vec![member("m")]))]);
    let group = clients.group();
    assert_eq!(
        (group.state(), group.generation, group.state_timestamp_ms),
        (ClassicGroupState::Stable, 7, Some(5))
    );
    assert!(group.is_subscribed_to_topic("t") && !group.is_subscribed_to_topic("u"));
    assert_eq!(group.offsets_expire(), Some(OffsetsExpire::SinceCommit));
    assert_eq!(group.validate_delete_group(), Err(ErrorCode::NonEmptyGroup));
    assert_eq!(group.validate_offset_delete(), Ok(()));

    let clients = loaded(config(), vec![Some(value(vec![]))]);
    let group = clients.group();
    assert_eq!(
        (group.state(), group.offsets_expire()),
        (ClassicGroupState::Empty, Some(OffsetsExpire::Since(5)))
    );
    assert!(!group.is_subscribed_to_topic("t"));
    assert_eq!(group.validate_delete_group(), Ok(()));

    // Of before timestamps, and of a group that never had members.
    let mut old = value(vec![]);
    old.current_state_timestamp = -1;
    assert_eq!(loaded(config(), vec![Some(old)]).group().offsets_expire(), Some(OffsetsExpire::SinceCommit));
    let mut never = value(vec![]);
    never.protocol_type = text("");
    let clients = loaded(config(), vec![Some(never)]);
    assert_eq!((clients.group().protocol_type(), clients.group().is_subscribed_to_topic("t")), (None, false));

    let clients = loaded(config(), vec![Some(value(vec![member("m")])), None]);
    assert_eq!(clients.driver.shard.group_count(), 0);
}

#[test]
fn other_protocol_types_say_nothing_of_topics() {
    let mut connect = value(vec![member("m")]);
    connect.protocol_type = text("connect");
    let clients = loaded(config(), vec![Some(connect)]);
    let group = clients.group();
    assert_eq!((group.is_subscribed_to_topic("t"), group.offsets_expire()), (false, None));
    assert_eq!(group.validate_offset_delete(), Err(ErrorCode::NonEmptyGroup));
    // A consumer whose subscription can't be read may read anything, and nothing expires.
    let mut unreadable = member("m");
    unreadable.subscription = Bytes::from_static(b"\0");
    let clients = loaded(config(), vec![Some(value(vec![unreadable]))]);
    let group = clients.group();
    assert_eq!((group.is_subscribed_to_topic("t"), group.offsets_expire()), (true, None));
}

#[test]
fn an_older_record_has_no_rebalance_timeout() {
    let mut old = member("m");
    old.rebalance_timeout = -1;
    let clients = loaded(config(), vec![Some(value(vec![old]))]);
    assert_eq!(clients.group().rebalance_timeout_ms(), SESSION_MS);
}

#[test]
fn a_group_without_a_protocol_ends_with_its_sessions() {
    let mut odd = value(vec![member("m")]);
    (odd.protocol, odd.leader) = (None, None);
    let mut clients = loaded(config(), vec![Some(odd)]);
    assert_eq!(clients.group().leader.as_deref(), Some("m"));
    let described = clients.driver.shard.describe_groups(6, &[GroupId(text("g"))]).remove(0);
    assert_eq!((&*described.group_state, described.members.len()), ("Stable", 1));
    let refused = clients.joined(join());
    assert_eq!(code(refused.error_code), ErrorCode::InconsistentGroupProtocol);
    clients.advance(i64::from(SESSION_MS));
    assert_eq!(clients.state(), ClassicGroupState::Empty);
    clients.stable(vec![join()]);
}

#[test]
fn too_large_a_group_is_asked_to_join_again() {
    let config = GroupCoordinatorConfig { group_max_size: 2, ..config() };
    let mut clients = loaded(config, vec![Some(value(vec![member("a"), member("b"), member("c")]))]);
    assert_eq!(clients.state(), ClassicGroupState::PreparingRebalance);
    let kept = ["c", "b"].map(|member_id| clients.join(join().member(member_id)));
    let out = clients.joined(join().member("a"));
    assert_eq!(code(out.error_code), ErrorCode::GroupMaxSizeReached);
    clients.advance(i64::from(REBALANCE_MS));
    assert!(kept.into_iter().all(|token| clients.join_reply(token).generation_id == 8));
}

#[test]
fn a_deleted_group_leaves_no_timers() {
    let mut clients = clients();
    clients.new_id(join());
    assert!(!clients.driver.shard.timers.is_empty());
    clients
        .driver
        .turn(|shard, turn| assert_eq!(shard.delete_group(turn, &GroupId(text("g"))), ErrorCode::None));
    let left: Vec<_> = everything(&clients.driver.shard).1.into_iter().map(|(_, timer)| timer).collect();
    assert!(left.iter().all(|timer| *timer == Timer::OffsetExpiry), "{left:?}");
    assert_eq!(clients.driver.shard.group_count(), 0);
}
