//! Sessions and the ends of waits: members that fall silent, members that do not join again.

use super::*;
use crate::testing::requester;

#[test]
fn a_member_that_falls_silent_is_out_and_the_others_share() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join()]);
    clients.live(i64::from(SESSION_MS) - 1_000, 1, &[&members[0]]);
    clients.advance(999);
    assert_eq!(clients.group().num_members(), 2);
    clients.advance(1);
    assert_eq!(clients.group().num_members(), 1);
    assert_eq!(clients.heartbeat(1, &members[1]), ErrorCode::UnknownMemberId);
    assert_eq!(clients.heartbeat(1, &members[0]), ErrorCode::RebalanceInProgress);
    let token = clients.join(join().member(&members[0]));
    assert_eq!(clients.join_reply(token).generation_id, 2);
}

#[test]
fn the_last_to_fall_silent_leaves_an_empty_group() {
    let mut clients = clients();
    clients.stable(vec![join()]);
    let records = clients.driver.log.len();
    clients.advance(i64::from(SESSION_MS));
    assert_eq!((clients.state(), clients.driver.log.len()), (ClassicGroupState::Empty, records + 1));
    let group = clients.group();
    assert_eq!((group.generation, group.leader.clone(), group.protocol_name.clone()), (2, None, None));
    // The type stays, and since when it is empty, for offsets to expire by.
    assert_eq!(group.protocol_type().map(|name| &**name), Some("consumer"));
    assert_eq!(group.state_timestamp_ms, Some(clients.driver.now.wall_ms));
    assert!(clients.driver.shard.next_deadline().is_none_or(|deadline_ms| deadline_ms > 100_000));
    // It is as good as new, but that its generations go on.
    let members = clients.stable(vec![join()]);
    assert_eq!((clients.group().generation, members.len()), (3, 1));
}

#[test]
fn members_that_do_not_join_again_are_out_but_static_ones_stay_until_their_session_ends() {
    let long = || join().with(|request| request.session_timeout_ms = 100_000);
    let mut clients = clients();
    let members = clients.stable(vec![long(), long(), long().instance("i")]);
    let leader = clients.join(long().member(&members[0]));
    clients.advance(i64::from(REBALANCE_MS) - 1);
    assert!(clients.waits(leader));
    clients.advance(1);
    let reply = clients.join_reply(leader);
    let left: Vec<_> = reply.members.iter().map(|member| &member.member_id).collect();
    assert_eq!(left, [&members[0], &members[2]]);
    assert_eq!(clients.heartbeat(2, &members[1]), ErrorCode::UnknownMemberId);
    assert_eq!(clients.heartbeat(1, &members[2]), ErrorCode::IllegalGeneration);
}

#[test]
fn a_leader_that_does_not_join_again_is_replaced() {
    let long = || join().with(|request| request.session_timeout_ms = 100_000);
    let mut clients = clients();
    // Static, so that it stays.
    let members = clients.stable(vec![long().instance("i"), long()]);
    let follower = clients.join(long().member(&members[1]).protocols(&[("range", b"new")]));
    clients.advance(i64::from(REBALANCE_MS));
    let reply = clients.join_reply(follower);
    assert_eq!((&reply.leader, reply.members.len()), (&members[1], 2));
}

#[test]
fn static_members_none_of_which_joins_again_end_with_their_sessions() {
    let long = |instance| join().instance(instance).with(|request| request.session_timeout_ms = 150_000);
    let mut clients = clients();
    let members = clients.stable(vec![long("i"), long("j")]);
    clients.leave(&[(&members[0], None)]);
    clients.advance(2 * i64::from(REBALANCE_MS));
    assert_eq!((clients.state(), clients.group().num_members()), (ClassicGroupState::PreparingRebalance, 1));
    clients.advance(i64::from(REBALANCE_MS));
    assert_eq!(clients.state(), ClassicGroupState::Empty);
}

#[test]
fn a_wait_is_as_good_as_a_heartbeat_but_for_a_first_join() {
    // A member of the group may wait for as long as the others take.
    let mut clients = clients();
    let members = clients.stable(vec![join(), join()]);
    let waiting = clients.join(join().member(&members[0]));
    clients.live(i64::from(SESSION_MS) * 2, 1, &[&members[1]]);
    assert!(clients.waits(waiting));
    assert_eq!(clients.group().num_members(), 2);
    // A new one is out after five minutes, whatever its session timeout is.
    let patient = || join().version(3).with(|request| request.rebalance_timeout_ms = 1_000_000);
    let mut clients = Clients::new(config());
    let members = clients.stable(vec![patient()]);
    let new = clients.join(patient());
    clients.live(5 * 60_000 - 1_000, 1, &[&members[0]]);
    clients.advance(999);
    assert!(clients.waits(new));
    clients.advance(1);
    let reply = clients.join_reply(new);
    assert_eq!((code(reply.error_code), &*reply.member_id), (ErrorCode::UnknownMemberId, ""));
}

#[test]
fn when_a_rebalance_completes_sessions_start_anew() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join()]);
    clients.advance(i64::from(SESSION_MS) - 1);
    let leader = clients.join(join().member(&members[0]));
    clients.join(join().member(&members[1]));
    assert_eq!(clients.join_reply(leader).generation_id, 2);
    clients.advance(i64::from(SESSION_MS) - 1);
    assert_eq!(clients.group().num_members(), 2);
    // And a sync that waited is one more sign of life.
    clients.sync(2, &members[1], &[]);
    clients.sync(2, &members[0], &[]);
    clients.advance(i64::from(SESSION_MS) - 1);
    assert_eq!(clients.group().num_members(), 2);
    clients.advance(1);
    assert_eq!(clients.state(), ClassicGroupState::Empty);
}

#[test]
fn a_new_member_that_dies_ends_the_wait_for_it() {
    let mut clients = clients();
    let members = clients.stable(vec![join().version(3)]);
    let pending = clients.new_id(join());
    let leader = clients.join(join().member(&members[0]));
    clients.leave(&[(&pending, None)]);
    assert_eq!(clients.join_reply(leader).members.len(), 1);
}

#[test]
fn a_commit_is_as_good_as_a_heartbeat() {
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id_or_member_epoch(1);
    let mut clients = clients();
    let members = clients.stable(vec![join()]);
    let commit = commit.with_member_id(members[0].clone());
    for _ in 0..3 {
        clients.advance(i64::from(SESSION_MS) - 1);
        let requester = requester(9);
        clients.driver.turn(|shard, turn| shard.offset_commit(turn, &requester, &commit));
    }
    assert_eq!(clients.group().num_members(), 1);
    clients.advance(i64::from(SESSION_MS));
    assert_eq!(clients.state(), ClassicGroupState::Empty);
}
