//! Leaving, and what is told of groups.

use super::*;

#[test]
fn many_leave_at_once_each_with_its_own_answer() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join(), join().instance("i"), join().instance("j"), join()]);
    let pending = clients.new_id(join());
    let errors = clients.leave(&[
        (&members[0], None),
        ("nobody", None),
        ("", Some("i")),
        ("", Some("nobody")),
        ("", None),
        (&members[1], Some("j")),
        (&members[3], Some("j")),
        (&pending, None),
        (&members[0], None),
    ]);
    use ErrorCode::{FencedInstanceId, UnknownMemberId};
    let none = ErrorCode::None;
    let expected = [
        none,
        UnknownMemberId,
        none,
        UnknownMemberId,
        UnknownMemberId,
        FencedInstanceId,
        none,
        none,
        UnknownMemberId,
    ];
    assert_eq!(errors, expected);
    let left: Vec<_> = clients.group().members().map(|member| &member.member_id).collect();
    assert_eq!(left, [&members[1], &members[4]]);
    assert_eq!(
        (clients.state(), clients.group().pending_join.len()),
        (ClassicGroupState::PreparingRebalance, 0)
    );
    // They lead again who are left.
    let tokens = [1, 4].map(|at| clients.join(join().member(&members[at])));
    assert!(tokens.into_iter().all(|token| clients.join_reply(token).leader == members[1]));
}

#[test]
fn an_answer_names_whom_it_is_about() {
    let mut clients = clients();
    let members = clients.stable(vec![join().instance("i")]);
    let response = clients.leave_in(5, &leave(&[("", Some("i")), (&members[0], None)]));
    let named: Vec<_> = response
        .members
        .iter()
        .map(|member| (&*member.member_id, member.group_instance_id.as_deref()))
        .collect();
    assert_eq!(named, [("", Some("i")), (&*members[0], None)]);
}

#[test]
fn before_version_3_one_leaves_and_its_error_is_the_requests() {
    let mut clients = clients();
    let members = clients.stable(vec![join()]);
    let request = |member_id: &str| {
        LeaveGroupRequest::default().with_group_id(GroupId(text("g"))).with_member_id(text(member_id))
    };
    for (member_id, expected) in [("nobody", ErrorCode::UnknownMemberId), (&members[0], ErrorCode::None)] {
        let response = clients.leave_in(2, &request(member_id));
        assert_eq!((code(response.error_code), response.members.len()), (expected, 0));
    }
    assert_eq!(clients.state(), ClassicGroupState::Empty);
    let mut elsewhere = request("m");
    elsewhere.group_id = GroupId(text("other"));
    assert_eq!(code(clients.leave_in(0, &elsewhere).error_code), ErrorCode::UnknownMemberId);
    elsewhere.group_id = GroupId::default();
    assert_eq!(code(clients.leave_in(0, &elsewhere).error_code), ErrorCode::InvalidGroupId);
}

#[test]
fn one_that_leaves_while_it_waits_is_answered() {
    let mut clients = clients();
    let members = clients.stable(vec![join(), join(), join()]);
    let waiting = clients.join(join().member(&members[0]));
    clients.leave(&[(&members[0], None)]);
    assert_eq!(code(clients.join_reply(waiting).error_code), ErrorCode::UnknownMemberId);
    let tokens = [1, 2].map(|at| clients.join(join().member(&members[at])));
    assert!(tokens.into_iter().all(|token| clients.join_reply(token).generation_id == 2));
    let waiting = clients.sync(2, &members[2], &[]);
    clients.leave(&[(&members[2], None)]);
    assert_eq!(code(clients.sync_reply(waiting).error_code), ErrorCode::UnknownMemberId);
    assert_eq!(clients.state(), ClassicGroupState::PreparingRebalance);
}

#[test]
fn all_that_leave_during_the_first_rebalance_do_not_end_it() {
    let mut clients = clients();
    let token = clients.join(join().instance("i"));
    clients.leave(&[("", Some("i"))]);
    assert_eq!(code(clients.join_reply(token).error_code), ErrorCode::UnknownMemberId);
    assert_eq!(clients.state(), ClassicGroupState::PreparingRebalance);
    clients.advance(DELAY_MS);
    assert_eq!((clients.state(), clients.group().generation), (ClassicGroupState::Empty, 1));
}

#[test]
fn describe_groups_tells_each_state() {
    let mut clients = clients();
    let describe = |clients: &Clients, version| {
        clients.driver.shard.describe_groups(version, &[GroupId(text("g"))]).remove(0)
    };
    let dead = describe(&clients, 5);
    assert_eq!((dead.error_code, &*dead.group_state, dead.error_message), (0, "Dead", None));
    let dead = describe(&clients, 6);
    assert_eq!((code(dead.error_code), &*dead.group_state), (ErrorCode::GroupIdNotFound, "Dead"));
    assert_eq!(dead.error_message.as_deref(), Some("Group g not found."));

    let token = clients.join(join().version(3).protocols(&[("range", b"meta")]));
    let preparing = describe(&clients, 6);
    assert_eq!(
        (&*preparing.group_state, &*preparing.protocol_type, &*preparing.protocol_data),
        ("PreparingRebalance", "consumer", "")
    );
    assert_eq!((preparing.members.len(), preparing.members[0].member_metadata.len()), (1, 0));
    clients.advance(DELAY_MS);
    assert_eq!(&*describe(&clients, 6).group_state, "CompletingRebalance");
    let member_id = clients.join_reply(token).member_id;
    clients.sync(1, &member_id, &[(&member_id, "p")]);
    let stable = describe(&clients, 6);
    assert_eq!((&*stable.group_state, &*stable.protocol_data, &**stable.group_id), ("Stable", "range", "g"));
    let member = &stable.members[0];
    assert_eq!(
        (&member.member_id, &*member.client_id, &*member.client_host),
        (&member_id, "client", "/127.0.0.1")
    );
    assert_eq!((&member.member_metadata[..], &member.member_assignment[..]), (&b"meta"[..], &b"p"[..]));
    clients.leave(&[(&member_id, None)]);
    let empty = describe(&clients, 6);
    assert_eq!((&*empty.group_state, &*empty.protocol_type, empty.members.len()), ("Empty", "consumer", 0));
}
