//! Static members (KIP-345): they come back without their id, take their place again, and fence who they were.

use super::*;

fn two() -> (Clients, Vec<StrBytes>) {
    let mut clients = clients();
    let members = clients.stable(vec![join().instance("i"), join().instance("j")]);
    (clients, members)
}

#[test]
fn one_that_comes_back_to_a_stable_group_takes_its_place_without_a_rebalance() {
    // The leader, in a version that can skip the assignment (KIP-814).
    let (mut clients, members) = two();
    let records = clients.driver.log.len();
    let back = clients.joined(join().instance("i").client("other"));
    assert_eq!((back.error_code, back.generation_id, back.skip_assignment), (0, 1, true));
    assert_ne!(back.member_id, members[0]);
    assert!(back.member_id.starts_with("i-"), "{}", back.member_id);
    assert_eq!((&back.leader, back.members.len()), (&back.member_id, 2));
    assert_eq!((clients.state(), clients.driver.log.len()), (ClassicGroupState::Stable, records + 1));
    let token = clients.sync(1, &back.member_id, &[]);
    assert_eq!(clients.sync_reply(token).assignment[..], *b"a0");
    // Kafka keeps the client's name of before.
    let member = clients.group().members.get(&back.member_id).unwrap();
    assert_eq!(&*member.client_id, "client");

    // The leader, before that: it is not told that it leads.
    let (mut clients, members) = two();
    let back = clients.joined(join().version(8).instance("i"));
    assert_eq!((&back.leader, back.members.len(), back.skip_assignment), (&members[0], 0, false));

    // A follower.
    let (mut clients, members) = two();
    let back = clients.joined(join().instance("j"));
    assert_eq!((&back.leader, back.members.len(), back.skip_assignment), (&members[0], 0, false));
    assert_eq!(clients.state(), ClassicGroupState::Stable);
}

#[test]
fn who_it_was_is_fenced_everywhere() {
    let (mut clients, members) = two();
    let back = clients.joined(join().instance("i")).member_id;
    let old = &members[0];
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(1)
        .with_member_id(old.clone())
        .with_group_instance_id(Some(text("i")));
    assert_eq!(clients.heartbeat_request(&heartbeat), ErrorCode::FencedInstanceId);
    let joined = clients.joined(join().instance("i").member(old));
    assert_eq!((code(joined.error_code), &joined.member_id), (ErrorCode::FencedInstanceId, old));
    let token = clients.sync_in(5, sync(1, old, &[]).with_group_instance_id(Some(text("i"))));
    assert_eq!(code(clients.sync_reply(token).error_code), ErrorCode::FencedInstanceId);
    assert_eq!(clients.leave(&[(old, Some("i"))]), [ErrorCode::FencedInstanceId]);
    let commit = clients.group().validate_offset_commit(old, Some(&text("i")), 1, false);
    assert_eq!(commit, Err(ErrorCode::FencedInstanceId));
    // Without the instance id it is not known at all.
    assert_eq!(clients.heartbeat(1, old), ErrorCode::UnknownMemberId);
    assert_eq!(clients.heartbeat(1, &back), ErrorCode::None);
    assert_eq!(clients.driver.shard.timers.deadline(&Timer::ClassicSession(text("g"), old.clone())), None);
}

#[test]
fn one_that_changes_the_protocol_starts_a_rebalance() {
    let mut clients = clients();
    let both = || join().protocols(&[("range", b""), ("sticky", b"")]);
    let members = clients.stable(vec![both().instance("i"), both().instance("j")]);
    let back = clients.join(join().protocols(&[("sticky", b"")]).instance("j"));
    assert!(clients.waits(back));
    assert_eq!(clients.state(), ClassicGroupState::PreparingRebalance);
    clients.join(both().instance("i").member(&members[0]));
    let reply = clients.join_reply(back);
    assert_eq!((reply.generation_id, reply.protocol_name.as_deref()), (2, Some("sticky")));
}

#[test]
fn one_that_comes_back_during_a_rebalance_takes_part_in_it() {
    // While members join.
    let (mut clients, members) = two();
    let old = clients.join(join().instance("i").member(&members[0]));
    let back = clients.join(join().instance("i"));
    let fenced = clients.join_reply(old);
    assert_eq!((code(fenced.error_code), &fenced.member_id), (ErrorCode::FencedInstanceId, &members[0]));
    assert!(clients.waits(back));
    clients.join(join().instance("j").member(&members[1]));
    let reply = clients.join_reply(back);
    assert_eq!((reply.generation_id, reply.members.len()), (2, 2));

    // While the assignment is waited for: everyone joins again.
    let waiting = clients.sync(2, &members[1], &[]);
    let again = clients.join(join().instance("j"));
    assert_eq!(code(clients.sync_reply(waiting).error_code), ErrorCode::FencedInstanceId);
    let leader = clients.join(join().instance("i").member(&reply.member_id));
    assert_eq!((clients.join_reply(again).generation_id, clients.join_reply(leader).generation_id), (3, 3));
}

#[test]
fn one_that_joins_with_its_id_is_a_member_like_any_other() {
    let (mut clients, members) = two();
    let follower = clients.joined(join().instance("j").member(&members[1]));
    assert_eq!((follower.error_code, follower.generation_id), (0, 1));
    // An instance id that nobody has comes without a member id first.
    let unknown = clients.joined(join().instance("k").member(&members[1]));
    assert_eq!(code(unknown.error_code), ErrorCode::UnknownMemberId);
    let other = clients.joined(join().instance("i").member(&members[1]));
    assert_eq!(code(other.error_code), ErrorCode::FencedInstanceId);
}

#[test]
fn one_that_the_log_does_not_take_back_stays_who_it_was() {
    let (mut clients, members) = two();
    let config = GroupCoordinatorConfig { max_record_bytes: 1_000, ..config() };
    clients.driver.shard.config = std::sync::Arc::new(config);
    let before = everything(&clients.driver.shard);
    let large = join().protocols(&[("range", &[0; 1_000])]);
    let refused = clients.joined(large.instance("i"));
    assert_eq!((code(refused.error_code), &*refused.member_id), (ErrorCode::UnknownServerError, ""));
    assert_eq!((&refused.leader, refused.generation_id), (&members[0], 1));
    assert_eq!(everything(&clients.driver.shard), before);
}

#[test]
fn topics_are_those_of_who_came_back() {
    let subscribed = |topic: u8| -> &'static [u8] {
        match topic {
            b'a' => b"\0\0\0\0\0\x01\0\x01a\xff\xff\xff\xff",
            _ => b"\0\0\0\0\0\x01\0\x01b\xff\xff\xff\xff",
        }
    };
    let mut clients = clients();
    clients.stable(vec![join().instance("i").protocols(&[("range", subscribed(b'a'))])]);
    let group = clients.group();
    assert!(group.is_subscribed_to_topic("a") && !group.is_subscribed_to_topic("b"));
    clients.joined(join().instance("i").protocols(&[("range", subscribed(b'b'))]));
    let group = clients.group();
    assert!(!group.is_subscribed_to_topic("a") && group.is_subscribed_to_topic("b"));
}

#[test]
fn members_that_leave_themselves_no_time_to_join_are_looked_at_now_and_then() {
    let mut clients = clients();
    let hasty = join().instance("i").with(|join| join.rebalance_timeout_ms = 0);
    let patient = join();
    let members = clients.stable(vec![hasty, patient]);
    assert_eq!(clients.leave(&[(&members[1], None)]), [ErrorCode::None]);
    assert_eq!(clients.state(), ClassicGroupState::PreparingRebalance);
    let deadline = |clients: &Clients| clients.driver.shard.timers.deadline(&Timer::ClassicJoin(text("g")));
    clients.driver.advance(0);
    let due = deadline(&clients).expect("it is looked at again");
    assert!(due >= clients.driver.now.monotonic_ms + 1_000, "it would be due at once, for ever");
    // Its session ends all the same.
    clients.driver.advance(i64::from(SESSION_MS) + 1_000);
    assert_eq!((clients.state(), deadline(&clients)), (ClassicGroupState::Empty, None));
}
