//! Syncing: the assignment, those that wait for it, and the ends of that wait.

use super::*;

/// Members that have joined and not synced: the leader first.
fn joined(clients: &mut Clients, count: usize) -> Vec<StrBytes> {
    let tokens: Vec<_> = (0..count).map(|_| clients.join(join().version(3))).collect();
    clients.advance(2 * DELAY_MS);
    tokens.into_iter().map(|token| clients.join_reply(token).member_id).collect()
}

#[test]
fn followers_that_come_first_wait_for_the_leader() {
    let mut clients = clients();
    let members = joined(&mut clients, 3);
    let early = clients.sync(1, &members[1], &[]);
    assert!(clients.waits(early));
    let records = clients.driver.log.len();
    let unknown = text("nobody");
    let assignments = [(&members[1], "old"), (&members[0], "p0"), (&unknown, "p9"), (&members[1], "p1")];
    let leader = clients.sync(1, &members[0], &assignments);
    // One record, which has everything.
    assert_eq!((clients.driver.log.len(), clients.state()), (records + 1, ClassicGroupState::Stable));
    let reply = clients.sync_reply(early);
    assert_eq!((reply.error_code, &reply.assignment[..]), (0, &b"p1"[..]));
    assert_eq!(
        (reply.protocol_type.as_deref(), reply.protocol_name.as_deref()),
        (Some("consumer"), Some("range"))
    );
    assert_eq!(clients.sync_reply(leader).assignment[..], *b"p0");
    // One that the leader left out gets nothing, and who comes again gets the same again.
    for (member, expected) in [(2, ""), (1, "p1")] {
        let late = clients.sync(1, &members[member], &[]);
        let reply = clients.sync_reply(late);
        assert_eq!((reply.error_code, &reply.assignment[..]), (0, expected.as_bytes()));
    }
    // All have synced: nothing is waited for.
    assert_eq!(clients.driver.shard.timers.deadline(&Timer::ClassicSync(text("g"))), None);
}

#[test]
fn before_version_5_the_protocol_need_not_be_named() {
    let mut clients = clients();
    let members = joined(&mut clients, 1);
    let mut request = sync(1, &members[0], &[]);
    (request.protocol_type, request.protocol_name) = (None, None);
    let token = clients.sync_in(5, request.clone());
    assert_eq!(code(clients.sync_reply(token).error_code), ErrorCode::InconsistentGroupProtocol);
    let token = clients.sync_in(4, request);
    assert_eq!(clients.sync_reply(token).error_code, 0);
}

#[test]
fn a_leader_that_never_syncs_is_out_when_time_is_up() {
    let mut clients = clients();
    let members = joined(&mut clients, 2);
    let follower = clients.sync(1, &members[1], &[]);
    clients.live(i64::from(REBALANCE_MS) - 1_000, 1, &[&members[0]]);
    clients.advance(999);
    assert!(clients.waits(follower));
    clients.advance(1);
    let reply = clients.sync_reply(follower);
    assert_eq!((code(reply.error_code), reply.assignment.len()), (ErrorCode::RebalanceInProgress, 0));
    assert_eq!((clients.state(), clients.group().num_members()), (ClassicGroupState::PreparingRebalance, 1));
    let token = clients.join(join().version(3).member(&members[1]));
    let reply = clients.join_reply(token);
    assert_eq!((reply.generation_id, &reply.leader), (2, &members[1]));
    assert_eq!(clients.heartbeat(1, &members[0]), ErrorCode::UnknownMemberId);
}

#[test]
fn a_follower_that_never_syncs_is_out_too() {
    let mut clients = clients();
    let members = joined(&mut clients, 2);
    clients.sync(1, &members[0], &[(&members[1], "p")]);
    clients.live(i64::from(REBALANCE_MS), 1, &[&members[0], &members[1]]);
    assert_eq!((clients.state(), clients.group().num_members()), (ClassicGroupState::PreparingRebalance, 1));
}

#[test]
fn a_sync_during_the_next_rebalance_is_told_so() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join()]);
    clients.join(join().member(&members[0]));
    let token = clients.sync(1, &members[1], &[]);
    assert_eq!(code(clients.sync_reply(token).error_code), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_sync_that_the_member_gave_up_is_answered() {
    let mut clients = clients();
    let members = joined(&mut clients, 2);
    let given_up = clients.sync(1, &members[1], &[]);
    let again = clients.sync(1, &members[1], &[]);
    assert_eq!(code(clients.sync_reply(given_up).error_code), ErrorCode::RebalanceInProgress);
    clients.sync(1, &members[0], &[(&members[1], "p")]);
    assert_eq!(clients.sync_reply(again).assignment[..], *b"p");
}

#[test]
fn an_assignment_that_the_log_does_not_take_fails_the_generation() {
    let mut clients = Clients::new(GroupCoordinatorConfig { max_record_bytes: 4_000, ..config() });
    let members = joined(&mut clients, 2);
    let records = clients.driver.log.len();
    let follower = clients.sync(1, &members[1], &[]);
    let leader = clients.sync(1, &members[0], &[(&members[1], &"x".repeat(4_000))]);
    for token in [leader, follower] {
        let reply = clients.sync_reply(token);
        assert_eq!((code(reply.error_code), reply.assignment.len()), (ErrorCode::UnknownServerError, 0));
    }
    assert_eq!((clients.driver.log.len(), clients.state()), (records, ClassicGroupState::PreparingRebalance));
    let tokens: Vec<_> = members.iter().map(|member| clients.join(join().member(member))).collect();
    assert!(tokens.into_iter().all(|token| clients.join_reply(token).generation_id == 2));
}

#[test]
fn what_is_assigned_is_kept_once() {
    let mut clients = clients();
    let members = joined(&mut clients, 1);
    let token = clients.sync(1, &members[0], &[(&members[0], "partitions")]);
    let first = clients.sync_reply(token);
    let token = clients.sync(1, &members[0], &[]);
    let kept = clients.group().members().next().unwrap().assignment.as_ptr();
    // After a replay the group has the record's own copy; later answers share it.
    assert_eq!(clients.sync_reply(token).assignment.as_ptr(), kept);
    assert_eq!(first.assignment[..], *b"partitions");
}
