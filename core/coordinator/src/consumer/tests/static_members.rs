//! Static members (KIP-345): an instance keeps what it has while it is away for a short time.

use super::*;
use crate::consumer::member::STATIC_LEAVE_EPOCH;

fn static_join(member_id: &str, instance_id: &str) -> ConsumerGroupHeartbeatRequest {
    join(member_id, &["foo"]).with_instance_id(Some(text(instance_id)))
}

fn leave(member_id: &str, instance_id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    request(member_id, epoch).with_instance_id(Some(text(instance_id)))
}

/// Two static members that share `foo`.
fn two() -> (Fixture, [Consumer; 2]) {
    let mut fixture = Fixture::new();
    let mut consumers = [("a", "one"), ("b", "two")]
        .map(|(id, instance)| Consumer::join_as(&mut fixture, &static_join(id, instance)));
    settle(&mut fixture, &mut consumers);
    (fixture, consumers)
}

#[test]
fn an_instance_that_comes_back_has_what_it_had() {
    let (mut fixture, [a, mut b]) = two();
    let epoch = fixture.group().group_epoch;
    let response = fixture.beat(&leave("a", "one", STATIC_LEAVE_EPOCH));
    assert_eq!((response.error_code, response.member_epoch), (0, -2));
    assert_eq!(fixture.member("a").member_epoch, -2);
    assert_eq!(fixture.member("a").assignment_epoch(Uuid::from_u128(FOO), a.owned[&FOO][0]), Some(0));
    b.beat(&mut fixture);
    assert_eq!(b.owned.len(), 1, "nobody gets what it had");

    let back = Consumer::join_as(&mut fixture, &static_join("c", "one"));
    assert_eq!((back.epoch, &back.owned), (epoch, &a.owned));
    assert_eq!(fixture.group().group_epoch, epoch, "no rebalance");
    assert!(fixture.group().member("a").is_none());
    assert_eq!(fixture.group().static_members[&text("one")], text("c"));
    assert_eq!(fixture.refused(&leave("a", "one", 3)).0, ErrorCode::FencedInstanceId.code());
    assert_eq!(fixture.refused(&request("a", 3)).0, ErrorCode::UnknownMemberId.code());
}

#[test]
fn an_instance_may_come_back_under_the_same_id() {
    let (mut fixture, [a, _]) = two();
    let epoch = fixture.group().group_epoch;
    fixture.beat(&leave("a", "one", STATIC_LEAVE_EPOCH));
    let back = Consumer::join_as(&mut fixture, &static_join("a", "one"));
    assert_eq!((back.epoch, back.owned), (epoch, a.owned));
}

#[test]
fn an_instance_that_comes_back_with_other_topics_is_assigned_anew() {
    let (mut fixture, [a, b]) = two();
    fixture.beat(&leave("a", "one", STATIC_LEAVE_EPOCH));
    let other = join("c", &["foo", "bar"]).with_instance_id(Some(text("one")));
    let back = Consumer::join_as(&mut fixture, &other);
    assert_eq!((back.epoch, back.owned.get(&BAR)), (4, Some(&vec![0, 1])));
    assert!(back.owned.get(&FOO).is_none_or(|kept| kept.iter().all(|index| a.owned[&FOO].contains(index))));
    let mut consumers = [back, b];
    settle(&mut fixture, &mut consumers);
    assert_eq!(all_owned(&consumers), partitions(&[(FOO, &[0, 1, 2]), (BAR, &[0, 1])]));
}

#[test]
fn an_instance_that_stays_away_leaves() {
    let (mut fixture, [_, mut b]) = two();
    b.beat(&mut fixture);
    fixture.beat(&leave("a", "one", STATIC_LEAVE_EPOCH));
    fixture.pass(44_999);
    b.beat(&mut fixture);
    assert_eq!(fixture.group().members.len(), 2);
    fixture.pass(1);
    assert_eq!(fixture.group().members.len(), 1);
    assert!(!fixture.group().static_members.contains_key(&text("one")));
    b.beat(&mut fixture);
    assert_eq!(b.count(), 3);
}

#[test]
fn an_instance_that_leaves_for_good_is_gone() {
    let (mut fixture, [_, mut b]) = two();
    let response = fixture.beat(&leave("a", "one", -1));
    assert_eq!((response.error_code, response.member_epoch), (0, -1));
    b.beat(&mut fixture);
    assert_eq!((fixture.group().members.len(), b.count()), (1, 3));
}

#[test]
fn an_instance_is_one_member_at_a_time() {
    let (mut fixture, _) = two();
    let taken = "Static member c with instance id one cannot join the group because the instance id is owned by a \
                 member.";
    let fenced = "Static member c with instance id one was fenced by member a.";
    let table = [
        (static_join("c", "one"), ErrorCode::UnreleasedInstanceId, taken),
        // Even if it is the member itself, until it leaves or its session ends.
        (static_join("a", "one"), ErrorCode::UnreleasedInstanceId, &taken.replace("member c", "member a")),
        (leave("c", "one", 3), ErrorCode::FencedInstanceId, fenced),
        (leave("c", "one", -1), ErrorCode::FencedInstanceId, fenced),
        (leave("c", "one", -2), ErrorCode::FencedInstanceId, fenced),
        (leave("a", "three", 3), ErrorCode::UnknownMemberId, "Instance id three is unknown."),
        (leave("a", "three", -2), ErrorCode::UnknownMemberId, "Instance id three is unknown."),
    ];
    for (request, code, message) in table {
        assert_eq!(fixture.refused(&request), (code.code(), message.to_owned()), "{request:?}");
    }
}

#[test]
fn what_an_away_instance_was_giving_up_is_free() {
    let mut fixture = Fixture::new();
    let a = Consumer::join_as(&mut fixture, &static_join("a", "one"));
    let mut b = Consumer::join(&mut fixture, "b", &["foo"]);
    // It was told to give up one, and leaves without a word.
    fixture.beat(&a.request());
    fixture.beat(&leave("a", "one", STATIC_LEAVE_EPOCH));
    b.beat(&mut fixture);
    assert_eq!(b.count(), 1);
    fixture.pass(1);
    let mut consumers = [Consumer::join_as(&mut fixture, &static_join("a", "one")), b];
    settle(&mut fixture, &mut consumers);
    assert_eq!(consumers.map(|consumer| consumer.count()), [2, 1]);
}
