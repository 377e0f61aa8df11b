//! Joining: the first rebalance of a group, ids for new members, the vote, the size, members that join again.

use super::*;

#[test]
fn the_first_rebalance_waits_while_members_come() {
    let mut clients = clients();
    let first = clients.join(join().version(3));
    clients.advance(DELAY_MS - 1);
    let second = clients.join(join().version(3));
    clients.advance(1);
    // The second came in time: it waits as long again, and nobody else comes.
    clients.advance(DELAY_MS - 1);
    assert!(clients.waits(first) && clients.waits(second));
    clients.advance(1);
    let (first, second) = (clients.join_reply(first), clients.join_reply(second));
    assert_eq!((first.error_code, first.generation_id, first.members.len()), (0, 1, 2));
    assert_eq!((&first.leader, &second.leader), (&first.member_id, &first.member_id));
    assert_eq!((second.generation_id, second.members.len()), (1, 0));
    assert_eq!((&*first.protocol_name.unwrap(), &*first.protocol_type.unwrap()), ("range", "consumer"));
    assert_eq!(&*first.member_id, "client-00000000-0000-0000-0000-000000000001");
    assert_eq!(clients.state(), ClassicGroupState::CompletingRebalance);
}

#[test]
fn the_first_rebalance_does_not_wait_longer_than_a_rebalance_may() {
    let mut clients = clients();
    let short = || join().version(3).with(|request| request.rebalance_timeout_ms = 7_000);
    let first = clients.join(short());
    for _ in 0..4 {
        clients.advance(1_700);
        clients.join(short());
    }
    // 3 s, 3 s more, and 1 s more.
    clients.advance(199);
    assert!(clients.waits(first));
    clients.advance(1);
    assert_eq!(clients.join_reply(first).members.len(), 5);
}

#[test]
fn a_new_group_is_in_the_log_before_its_first_member_is() {
    let mut clients = clients();
    clients.new_id(join());
    assert_eq!(clients.driver.log.len(), 1);
    let loaded = clients.driver.reloaded();
    let group = classic(&loaded, "g").unwrap();
    assert_eq!((group.state(), group.generation, group.protocol_type()), (ClassicGroupState::Empty, 0, None));
    // Kafka's record of an empty group, version 3: no type, generation 0, no protocol, no leader, the time, no members.
    let (key, value) = clients.driver.encoded_since(0).next().unwrap();
    assert_eq!(key[..], *b"\0\x02\0\x01g");
    let value = value.as_ref().unwrap();
    assert_eq!(value[..12], *b"\0\x03\0\0\0\0\0\0\xff\xff\xff\xff");
    assert_eq!(value[12..20], 1_700_000_000_000_i64.to_be_bytes());
    assert_eq!(value[20..], *b"\0\0\0\0");
}

#[test]
fn from_version_4_on_a_new_member_is_given_an_id_first() {
    let mut clients = clients();
    let member_id = clients.new_id(join().client("c"));
    assert!(member_id.starts_with("c-"), "{member_id}");
    assert_eq!(clients.group().num_members(), 0);
    let token = clients.join(join().member(&member_id));
    clients.advance(DELAY_MS);
    let joined = clients.join_reply(token);
    assert_eq!((joined.error_code, &joined.member_id), (0, &member_id));
}

#[test]
fn an_id_that_is_used_is_no_longer_taken_back() {
    let mut clients = clients();
    let short = || join().with(|request| request.session_timeout_ms = 6_000);
    let member_id = clients.new_id(short());
    clients.advance(2_000);
    let first = clients.join(short().member(&member_id));
    clients.advance(2_000);
    clients.join(join().instance("i"));
    // The id was given out for six seconds. The rebalance goes on after that, since another member came.
    clients.advance(3_999);
    assert!(clients.waits(first));
    clients.advance(1);
    assert_eq!(clients.join_reply(first).members.len(), 2);
}

#[test]
fn an_id_that_is_not_used_is_taken_back() {
    let mut clients = clients();
    let member_id = clients.new_id(join());
    clients.advance(i64::from(SESSION_MS) - 1);
    assert_eq!(clients.group().pending_join.len(), 1);
    clients.advance(1);
    assert!(
        clients.group().pending_join.is_empty()
            && clients
                .driver
                .shard
                .timers
                .deadline(&Timer::ClassicPendingMember(text("g"), member_id.clone()))
                .is_none()
    );
    assert_eq!(code(clients.joined(join().member(&member_id)).error_code), ErrorCode::UnknownMemberId);
}

#[test]
fn a_rebalance_waits_for_ids_that_were_given_out() {
    let mut clients = clients();
    let members = clients.stable(vec![join()]);
    let pending = clients.new_id(join());
    let leader = clients.join(join().member(&members[0]));
    assert!(clients.waits(leader));
    let new = clients.join(join().member(&pending));
    let (leader, new) = (clients.join_reply(leader), clients.join_reply(new));
    assert_eq!((leader.generation_id, new.generation_id, leader.members.len()), (2, 2, 2));

    // Or until they are taken back.
    let mut clients = clients_with_pending();
    clients.0.advance(i64::from(SESSION_MS));
    assert_eq!(clients.0.join_reply(clients.1).members.len(), 1);
}

fn clients_with_pending() -> (Clients, Token) {
    let mut clients = clients();
    let members = clients.stable(vec![join()]);
    clients.new_id(join());
    let leader = clients.join(join().member(&members[0]));
    (clients, leader)
}

#[test]
fn most_votes_choose_the_protocol() {
    type Supported = &'static [(&'static str, &'static [u8])];
    let cases: [(&[Supported], &str); 5] = [
        (&[&[("range", b""), ("sticky", b"")]], "range"),
        (&[&[("a", b""), ("b", b"")], &[("b", b""), ("a", b"")], &[("b", b""), ("a", b"")]], "b"),
        // The first choice of two is not a candidate, since the third does not support it.
        (&[&[("c", b""), ("a", b"")], &[("c", b""), ("a", b"")], &[("a", b"")]], "a"),
        // A draw is decided by the order of Java's hash map: roundrobin is in bucket 10, range in 9.
        (&[&[("roundrobin", b""), ("range", b"")], &[("range", b""), ("roundrobin", b"")]], "range"),
        // Named twice is supported once.
        (&[&[("a", b"1"), ("a", b"2")], &[("b", b""), ("a", b"")]], "a"),
    ];
    for (members, expected) in cases {
        let mut clients = clients();
        let tokens: Vec<_> =
            members.iter().map(|protocols| clients.join(join().version(3).protocols(protocols))).collect();
        clients.advance(2 * DELAY_MS);
        for token in tokens {
            let reply = clients.join_reply(token);
            assert_eq!(reply.protocol_name.as_deref(), Some(expected), "{members:?}");
        }
    }
}

#[test]
fn the_leader_is_told_what_the_members_said_for_the_protocol() {
    let mut clients = clients();
    let first = clients.join(join().version(3).protocols(&[("x", b"1x"), ("range", b"1r")]));
    let second = clients.join(join().instance("i").protocols(&[("range", b"2r")]));
    clients.advance(2 * DELAY_MS);
    let (first, second) = (clients.join_reply(first), clients.join_reply(second));
    let told: Vec<_> = first
        .members
        .iter()
        .map(|member| (&member.member_id, member.group_instance_id.as_deref(), &member.metadata[..]))
        .collect();
    assert_eq!(told, [(&first.member_id, None, &b"1r"[..]), (&second.member_id, Some("i"), b"2r")]);
    // Shared, not copied: the bytes are those that the group keeps.
    let kept = clients.group().members().next().unwrap().metadata(Some(&text("range")));
    assert_eq!(first.members[0].metadata.as_ptr(), kept.as_ptr());
}

#[test]
fn the_name_of_the_protocol_is_never_null_before_version_7() {
    for (version, expected) in [(0, Some("")), (6, Some("")), (7, None), (9, None)] {
        let mut clients = clients();
        let reply = clients.joined(join().version(version).member("unknown"));
        assert_eq!(reply.protocol_name.as_deref(), expected, "version {version}");
        assert_eq!((reply.generation_id, &*reply.member_id), (-1, "unknown"));
    }
}

#[test]
fn in_version_0_the_session_timeout_is_the_rebalance_timeout() {
    for (version, expected) in [(0, SESSION_MS), (1, REBALANCE_MS)] {
        let mut clients = clients();
        clients.join(join().version(version));
        assert_eq!(clients.group().rebalance_timeout_ms(), expected);
    }
}

#[test]
fn a_member_that_joins_again_with_nothing_new_is_told_what_is() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join()]);
    let follower = clients.joined(join().member(&members[1]));
    assert_eq!((follower.error_code, follower.generation_id, follower.members.len()), (0, 1, 0));
    assert_eq!((&follower.leader, follower.skip_assignment), (&members[0], false));
    assert_eq!(clients.state(), ClassicGroupState::Stable);
    // With other metadata it starts a rebalance; everyone else has to join too.
    let follower = clients.join(join().member(&members[1]).protocols(&[("range", b"new")]));
    assert!(clients.waits(follower));
    assert_eq!(clients.heartbeat(1, &members[0]), ErrorCode::RebalanceInProgress);
    let leader = clients.join(join().member(&members[0]));
    let (leader, follower) = (clients.join_reply(leader), clients.join_reply(follower));
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    // In the next phase the same holds, for the leader too.
    let again = clients.joined(join().member(&members[0]));
    assert_eq!((again.generation_id, again.members), (2, leader.members));
    // A leader of a stable group always starts one.
    clients.sync(2, &members[0], &[]);
    let leader = clients.join(join().member(&members[0]));
    assert!(clients.waits(leader));
}

#[test]
fn other_metadata_while_the_assignment_is_waited_for_starts_anew() {
    let mut clients = clients();
    let tokens: Vec<_> = (0..2).map(|_| clients.join(join().version(3))).collect();
    clients.advance(2 * DELAY_MS);
    let members: Vec<_> = tokens.into_iter().map(|token| clients.join_reply(token).member_id).collect();
    let waiting = clients.sync(1, &members[1], &[]);
    let first = clients.join(join().member(&members[0]).protocols(&[("range", b"new")]));
    assert_eq!(code(clients.sync_reply(waiting).error_code), ErrorCode::RebalanceInProgress);
    let second = clients.join(join().member(&members[1]));
    assert_eq!((clients.join_reply(first).generation_id, clients.join_reply(second).generation_id), (2, 2));
}

#[test]
fn a_join_that_the_member_gave_up_is_answered() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join()]);
    let given_up = clients.join(join().member(&members[0]));
    let again = clients.join(join().member(&members[0]));
    let reply = clients.join_reply(given_up);
    assert_eq!((code(reply.error_code), &reply.member_id), (ErrorCode::RebalanceInProgress, &members[0]));
    clients.join(join().member(&members[1]));
    assert_eq!(clients.join_reply(again).generation_id, 2);
}

#[test]
fn a_group_takes_no_more_members_than_it_may() {
    let mut clients = Clients::new(GroupCoordinatorConfig { group_max_size: 2, ..config() });
    let full = |response: &JoinGroupResponse| {
        (code(response.error_code), response.member_id.is_empty()) == (ErrorCode::GroupMaxSizeReached, true)
    };
    // While the first rebalance goes on, those that wait count.
    let first = clients.join(join().version(3));
    let second = clients.join(join().version(3));
    assert!(full(&clients.joined(join().version(3))));
    let waits = clients.group().members().next().unwrap().member_id.clone();
    let first = [first, clients.join(join().version(3).member(&waits))];
    assert_eq!(code(clients.join_reply(first[0]).error_code), ErrorCode::RebalanceInProgress);
    let first = first[1];
    clients.advance(2 * DELAY_MS);
    let members = [clients.join_reply(first).member_id, clients.join_reply(second).member_id];
    assert!(full(&clients.joined(join())));
    clients.sync(1, &members[0], &[]);
    assert!(full(&clients.joined(join())));
    // A member that has a place keeps it.
    let again = clients.join(join().member(&members[0]));
    assert!(clients.waits(again));
    assert_eq!(clients.group().num_members(), 2);
}

#[test]
fn in_a_rebalance_the_first_to_join_are_kept() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join(), join()]);
    let config = GroupCoordinatorConfig { group_max_size: 2, ..config() };
    clients.driver.shard.config = std::sync::Arc::new(config);
    let kept: Vec<_> =
        [2, 0].map(|at| clients.join(join().member(&members[at]).protocols(&[("range", b"!")]))).into();
    // Those two have joined; the third is out, though it is a member.
    let out = clients.joined(join().member(&members[1]));
    assert_eq!(code(out.error_code), ErrorCode::GroupMaxSizeReached);
    assert_eq!(clients.group().num_members(), 2);
    clients.advance(i64::from(REBALANCE_MS));
    for token in kept {
        assert_eq!(clients.join_reply(token).generation_id, 2);
    }
}

#[test]
fn an_id_is_of_no_use_in_a_group_that_is_full_by_then() {
    let mut clients = Clients::new(GroupCoordinatorConfig { group_max_size: 1, ..config() });
    let early = clients.new_id(join());
    clients.join(join().instance("i"));
    let late = clients.joined(join().member(&early));
    assert_eq!(code(late.error_code), ErrorCode::GroupMaxSizeReached);
    assert!(clients.group().pending_join.is_empty());
}

#[test]
fn a_thousand_members_join_and_sync() {
    let mut clients = Clients::new(GroupCoordinatorConfig { group_max_size: 1_000, ..config() });
    let request = |clients: &mut Clients| {
        let requester = clients.requester(3, "client");
        let token = Token(clients.requests);
        let request = join().protocols(&[("range", &[7; 512])]).request;
        clients.driver.turn(|shard, turn| shard.join_group(turn, &requester, request, token));
        token
    };
    let tokens: Vec<_> = (0..1_000).map(|_| request(&mut clients)).collect();
    clients.advance(2 * DELAY_MS);
    let replies: Vec<_> = std::mem::take(&mut clients.driver.replies);
    let Reply::JoinGroup(leader) = &replies[0].1 else { panic!("{:?}", replies[0]) };
    assert_eq!((replies.len(), leader.members.len()), (1_000, 1_000));
    let members: Vec<_> = clients.group().members.keys().cloned().collect();
    let assignments: Vec<_> = members.iter().map(|member_id| (member_id, "partitions")).collect();
    let request = sync(1, &leader.member_id, &assignments);
    let requester = clients.requester(5, "client");
    let token = Token(clients.requests);
    clients.driver.turn(|shard, turn| shard.sync_group(turn, &requester, request, token));
    clients.check();
    assert_eq!((clients.state(), tokens.len()), (ClassicGroupState::Stable, 1_000));
}
