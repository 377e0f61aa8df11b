//! Every error that a request can have, in every state: the code is Kafka's, and the group is what it was.

use super::*;

/// Groups in each state, with a leader that is dynamic and a follower that is static "i".
fn in_state(state: ClassicGroupState) -> (Clients, Vec<StrBytes>) {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join().instance("i")]);
    match state {
        ClassicGroupState::Stable => {}
        ClassicGroupState::PreparingRebalance => {
            clients.join(join().member(&members[0]));
        }
        ClassicGroupState::CompletingRebalance => {
            clients.join(join().member(&members[0]));
            clients.join(join().member(&members[1]).instance("i").protocols(&[("range", b"")]));
        }
        ClassicGroupState::Empty => {
            clients.leave(&[(&members[0], None), ("", Some("i"))]);
        }
    }
    clients.driver.replies.clear();
    assert_eq!(clients.state(), state);
    (clients, members)
}

const STATES: [ClassicGroupState; 4] = [
    ClassicGroupState::Empty,
    ClassicGroupState::PreparingRebalance,
    ClassicGroupState::CompletingRebalance,
    ClassicGroupState::Stable,
];

/// Runs what is refused and sees that it left nothing.
fn refused<T>(clients: &mut Clients, request: impl FnOnce(&mut Clients) -> T) -> T {
    let before = (everything(&clients.driver.shard), clients.driver.log.len());
    let result = request(clients);
    assert_eq!((everything(&clients.driver.shard), clients.driver.log.len()), before);
    result
}

#[test]
fn joins_that_are_refused() {
    use ErrorCode::*;
    let unknown_type = || join().with(|request| request.protocol_type = text("connect"));
    let cases: [(&str, Join, ErrorCode, &str); 9] = [
        (
            "no group",
            join().member("m").with(|request| request.group_id = GroupId::default()),
            InvalidGroupId,
            "m",
        ),
        (
            "short session",
            join().member("m").with(|request| request.session_timeout_ms = 5_999),
            InvalidSessionTimeout,
            "m",
        ),
        (
            "long session",
            join().with(|request| request.session_timeout_ms = 1_800_001),
            InvalidSessionTimeout,
            "",
        ),
        (
            "unknown group",
            join().member("m").with(|request| request.group_id = GroupId(text("x"))),
            UnknownMemberId,
            "m",
        ),
        ("unknown member", join().member("m"), UnknownMemberId, "m"),
        ("unknown member, known instance", join().member("m").instance("i"), FencedInstanceId, "m"),
        ("unknown instance", join().member("m").instance("k"), UnknownMemberId, "m"),
        ("no protocols", join().protocols(&[]), InconsistentGroupProtocol, ""),
        ("no type", join().with(|request| request.protocol_type = text("")), InconsistentGroupProtocol, ""),
    ];
    for state in STATES {
        let (mut clients, members) = in_state(state);
        for (case, join, expected, member_id) in cases.clone() {
            let expected = match (case, state) {
                ("unknown member, known instance", ClassicGroupState::Empty) => UnknownMemberId,
                _ => expected,
            };
            let reply = refused(&mut clients, |clients| clients.joined(join));
            assert_eq!(
                (code(reply.error_code), &*reply.member_id),
                (expected, member_id),
                "{case}, {state:?}"
            );
        }
        if state == ClassicGroupState::Empty {
            continue;
        }
        for other in [unknown_type(), join().protocols(&[("other", b"")])] {
            for member_id in ["", &members[0]] {
                let reply = refused(&mut clients, |clients| clients.joined(other.clone().member(member_id)));
                assert_eq!(code(reply.error_code), InconsistentGroupProtocol, "{state:?}");
                assert_eq!(&*reply.member_id, member_id);
            }
        }
    }
}

#[test]
fn a_pending_member_that_turns_static_is_not_understood() {
    let mut clients = clients();
    let member_id = clients.new_id(join());
    let reply = refused(&mut clients, |clients| clients.joined(join().member(&member_id).instance("i")));
    assert_eq!((code(reply.error_code), &*reply.member_id), (ErrorCode::UnknownServerError, ""));
}

#[test]
fn an_id_that_no_record_takes_is_not_given_out() {
    let mut clients = clients();
    clients.new_id(join());
    let long: &'static str = Box::leak("x".repeat(32_767 - 36).into_boxed_str());
    for join in [join().client(long), join().instance(long)] {
        let reply = refused(&mut clients, |clients| clients.joined(join));
        assert_eq!(code(reply.error_code), ErrorCode::UnknownServerError);
    }
    let fits = clients.new_id(join().client(&long[1..]));
    assert_eq!(fits.len(), 32_767);
}

#[test]
fn a_group_whose_record_is_too_large_is_not_made() {
    let mut clients = Clients::new(GroupCoordinatorConfig { max_record_bytes: 200, ..config() });
    let large = join().with(|request| request.group_id = GroupId(text(&"g".repeat(200))));
    let reply = refused(&mut clients, |clients| clients.joined(large));
    assert_eq!(code(reply.error_code), ErrorCode::UnknownServerError);
}

#[test]
fn a_group_is_made_even_by_a_member_that_it_does_not_take() {
    let mut clients = clients();
    let reply = clients.joined(join().protocols(&[]));
    assert_eq!(code(reply.error_code), ErrorCode::InconsistentGroupProtocol);
    assert_eq!((clients.state(), clients.driver.log.len()), (ClassicGroupState::Empty, 1));
}

#[test]
fn syncs_that_are_refused() {
    use ErrorCode::*;
    for state in STATES {
        let (mut clients, members) = in_state(state);
        let generation = clients.group().generation;
        let member = |at: usize| sync(generation, &members[at], &[]);
        let no_group = |mut request: SyncGroupRequest, name: &str| {
            request.group_id = GroupId(text(name));
            request
        };
        let mut protocol = member(0);
        protocol.protocol_name = Some(text("other"));
        let mut kind = member(0);
        kind.protocol_type = Some(text("connect"));
        let mut unnamed = member(0);
        unnamed.protocol_name = Option::None;
        let cases = [
            ("no group", no_group(member(0), ""), InvalidGroupId),
            ("unknown group", no_group(member(0), "x"), UnknownMemberId),
            ("unknown member", sync(generation, &text("m"), &[]), UnknownMemberId),
            ("unknown instance", member(0).with_group_instance_id(Some(text("k"))), UnknownMemberId),
            ("other's instance", member(0).with_group_instance_id(Some(text("i"))), FencedInstanceId),
            ("generation", sync(generation - 1, &members[0], &[]), IllegalGeneration),
            ("protocol", protocol, InconsistentGroupProtocol),
            ("type", kind, InconsistentGroupProtocol),
            ("unnamed", unnamed, InconsistentGroupProtocol),
        ];
        for (case, request, expected) in cases {
            let expected = match (case, state) {
                ("no group" | "unnamed", _) => expected,
                (_, ClassicGroupState::Empty) => UnknownMemberId,
                _ => expected,
            };
            let token = refused(&mut clients, |clients| clients.sync_in(5, request));
            assert_eq!(code(clients.sync_reply(token).error_code), expected, "{case}, {state:?}");
        }
    }
}

#[test]
fn heartbeats_that_are_refused() {
    use ErrorCode::*;
    for state in STATES {
        let (mut clients, members) = in_state(state);
        let generation = clients.group().generation;
        let good = HeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id(generation)
            .with_member_id(members[0].clone());
        let cases = [
            ("no group", good.clone().with_group_id(GroupId::default()), InvalidGroupId),
            ("unknown group", good.clone().with_group_id(GroupId(text("x"))), UnknownMemberId),
            ("unknown member", good.clone().with_member_id(text("m")), UnknownMemberId),
            ("no member", good.clone().with_member_id(text("")), UnknownMemberId),
            ("other's instance", good.clone().with_group_instance_id(Some(text("i"))), FencedInstanceId),
            ("unknown instance", good.clone().with_group_instance_id(Some(text("k"))), UnknownMemberId),
            ("generation", good.clone().with_generation_id(generation + 1), IllegalGeneration),
        ];
        for (case, request, expected) in cases {
            let expected = match state {
                ClassicGroupState::Empty if case != "no group" => UnknownMemberId,
                _ => expected,
            };
            let error = refused(&mut clients, |clients| clients.heartbeat_request(&request));
            assert_eq!(error, expected, "{case}, {state:?}");
        }
        let expected = match state {
            ClassicGroupState::Empty => UnknownMemberId,
            ClassicGroupState::PreparingRebalance => RebalanceInProgress,
            ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable => None,
        };
        assert_eq!(clients.heartbeat_request(&good), expected);
    }
}

#[test]
fn leaves_that_are_refused() {
    for state in STATES {
        let (mut clients, members) = in_state(state);
        let errors = refused(&mut clients, |clients| {
            clients.leave(&[("m", None), ("", None), ("", Some("k")), (&members[0], Some("k"))])
        });
        assert_eq!(errors, [ErrorCode::UnknownMemberId; 4], "{state:?}");
        let mut elsewhere = leave(&[("m", None), ("n", Some("k"))]);
        elsewhere.group_id = GroupId(text("x"));
        let response = refused(&mut clients, |clients| clients.leave_in(5, &elsewhere));
        let errors: Vec<_> = response.members.iter().map(|member| code(member.error_code)).collect();
        assert_eq!((response.error_code, errors), (0, vec![ErrorCode::UnknownMemberId; 2]));
        elsewhere.group_id = GroupId::default();
        let response = refused(&mut clients, |clients| clients.leave_in(5, &elsewhere));
        assert_eq!((code(response.error_code), response.members.len()), (ErrorCode::InvalidGroupId, 0));
    }
}

#[test]
fn commits_that_are_refused() {
    use ErrorCode::*;
    for state in STATES {
        let (clients, members) = in_state(state);
        let group = clients.group();
        let generation = group.generation;
        let (nobody, unknown, instance) = (text(""), text("m"), text("i"));
        // As Kafka's tables have it: member, instance, generation; then Empty, while members join, others.
        type Case<'a> = (&'a StrBytes, Option<&'a StrBytes>, i32, [Result<(), ErrorCode>; 2]);
        let cases: [Case<'_>; 7] = [
            (&nobody, Option::None, -1, [Ok(()), Err(UnknownMemberId)]),
            (&members[0], Option::None, -1, [Ok(()), Err(IllegalGeneration)]),
            (&nobody, Option::None, generation, [Err(UnknownMemberId), Err(UnknownMemberId)]),
            (&unknown, Option::None, generation, [Err(UnknownMemberId), Err(UnknownMemberId)]),
            (&members[0], Some(&instance), generation, [Err(UnknownMemberId), Err(FencedInstanceId)]),
            (&members[0], Option::None, generation - 1, [Err(UnknownMemberId), Err(IllegalGeneration)]),
            (&members[0], Option::None, generation, [Err(UnknownMemberId), Ok(())]),
        ];
        for (member_id, instance_id, generation, [empty, members]) in cases {
            let expected = match (state, members) {
                (ClassicGroupState::Empty, _) => empty,
                (ClassicGroupState::CompletingRebalance, Ok(())) => Err(RebalanceInProgress),
                _ => members,
            };
            let result = group.validate_offset_commit(member_id, instance_id, generation, false);
            assert_eq!(result, expected, "{member_id}, {instance_id:?}, {generation}, {state:?}");
            // In a transaction nobody need be named, and a rebalance is no reason.
            let expected = match (member_id.as_str(), generation, state) {
                ("", -1, _) => Ok(()),
                (_, _, ClassicGroupState::Empty) => empty,
                _ => members,
            };
            let result = group.validate_offset_commit(member_id, instance_id, generation, true);
            assert_eq!(result, expected, "txn: {member_id}, {instance_id:?}, {generation}, {state:?}");
        }
    }
}
