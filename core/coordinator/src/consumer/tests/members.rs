//! Members come and go.

use super::*;
use crate::group::Timer;

#[test]
fn one_member_gets_everything_and_heartbeats_leave_nothing() {
    let mut fixture = Fixture::new();
    let mut consumer = Consumer::join(&mut fixture, "a", &["foo", "bar"]);
    assert_eq!(
        (consumer.epoch, consumer.owned.clone()),
        (2, partitions(&[(FOO, &[0, 1, 2]), (BAR, &[0, 1])]))
    );
    assert_eq!(fixture.state(), ConsumerGroupState::Stable);
    let records = fixture.driver.log.len();
    for _ in 0..3 {
        let response = consumer.beat(&mut fixture);
        assert_eq!((response.assignment, response.heartbeat_interval_ms), (None, 5_000));
        let response = fixture.beat(&request("a", 2));
        assert_eq!((response.assignment, response.member_epoch), (None, 2));
    }
    // A full request is answered in full, and leaves nothing either.
    let full = consumer.request().with_rebalance_timeout_ms(NEVER_MS);
    let full = full.with_subscribed_topic_names(Some(names(&["bar", "foo"])));
    assert_eq!(assigned(&fixture.beat(&full)), Some(consumer.owned));
    assert_eq!(fixture.driver.log.len(), records);
}

#[test]
fn a_new_member_gets_what_the_others_gave_up() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join(&mut fixture, "a", &["foo"]);
    let mut b = Consumer::join(&mut fixture, "b", &["foo"]);
    // Epoch 3 is assigned, but a partition that is b's has still an owner.
    assert_eq!((b.epoch, b.count()), (3, 0));
    assert_eq!(fixture.state(), ConsumerGroupState::Reconciling);
    let response = a.beat(&mut fixture);
    assert_eq!((response.member_epoch, a.count()), (2, 2), "told to give up one, at the old epoch");
    assert_eq!(b.beat(&mut fixture).assignment, None, "not given up yet");
    a.beat(&mut fixture);
    assert_eq!(a.epoch, 3);
    b.beat(&mut fixture);
    assert_eq!(b.count(), 1);
    assert_eq!(fixture.state(), ConsumerGroupState::Stable);
    assert_eq!(all_owned(&[a, b]), partitions(&[(FOO, &[0, 1, 2])]));
}

#[test]
fn what_a_member_leaves_goes_to_the_others() {
    let mut fixture = Fixture::new();
    let mut consumers = ["a", "b"].map(|id| Consumer::join(&mut fixture, id, &["foo"]));
    settle(&mut fixture, &mut consumers);
    let [mut a, b] = consumers;
    let response = fixture.beat(&request("b", -1));
    assert_eq!((response.error_code, response.member_epoch), (0, -1));
    assert_eq!(response.member_id.as_deref(), Some("b"));
    assert_eq!(fixture.state(), ConsumerGroupState::Assigning);
    a.beat(&mut fixture);
    assert_eq!((a.epoch, a.count()), (4, 3));
    assert_eq!(fixture.refused(&b.request()).0, 25);
    for kind in [Timer::ConsumerSession, Timer::ConsumerRebalance] {
        assert_eq!(fixture.driver.shard.timers.deadline(&kind(text(GROUP), text("b"))), None);
    }
}

#[test]
fn a_group_without_members_is_empty_and_can_be_deleted() {
    let mut fixture = Fixture::new();
    Consumer::join(&mut fixture, "a", &["foo"]);
    let delete = |fixture: &mut Fixture| {
        let answer =
            fixture.driver.turn(|shard, turn| shard.delete_group(turn, &GroupId(text(GROUP))).code());
        fixture.check();
        answer
    };
    assert_eq!(delete(&mut fixture), 68);
    fixture.beat(&request("a", -1));
    assert_eq!((fixture.state(), fixture.group().group_epoch), (ConsumerGroupState::Empty, 3));
    // Somebody may join again: epochs go on.
    assert_eq!(Consumer::join(&mut fixture, "b", &["foo"]).epoch, 4);
    fixture.beat(&request("b", -1));
    assert_eq!(delete(&mut fixture), 0);
    assert!(fixture.find().is_none());
    assert_eq!(Consumer::join(&mut fixture, "c", &["foo"]).epoch, 2);
}

#[test]
fn a_member_that_is_not_heard_of_leaves() {
    let mut fixture = Fixture::new();
    let mut consumers = ["a", "b"].map(|id| Consumer::join(&mut fixture, id, &["foo"]));
    settle(&mut fixture, &mut consumers);
    let [mut a, b] = consumers;
    fixture.pass(44_999);
    a.beat(&mut fixture);
    assert_eq!(fixture.group().members.len(), 2);
    fixture.pass(1);
    assert_eq!(fixture.group().members.len(), 1);
    let (code, message) = fixture.refused(&b.request());
    assert_eq!((code, message.as_str()), (25, "Member b is not a member of group group."));
    a.beat(&mut fixture);
    assert_eq!(a.count(), 3);
    fixture.pass(45_000);
    assert_eq!(fixture.state(), ConsumerGroupState::Empty);
}

#[test]
fn a_member_that_gives_up_too_slowly_leaves() {
    let mut fixture = Fixture::with(|config| {
        config.consumer_assignment_interval_ms = 0;
        config.consumer_session_timeout_ms = NEVER_MS;
    });
    let a = Consumer::join_as(&mut fixture, &join("a", &["foo"]).with_rebalance_timeout_ms(10_000));
    let mut b = Consumer::join(&mut fixture, "b", &["foo"]);
    for _ in 0..3 {
        // It hears that it is to give up one, and keeps all.
        fixture.beat(&a.request());
        fixture.pass(3_000);
    }
    assert_eq!(fixture.group().members.len(), 2);
    fixture.pass(1_000);
    assert_eq!(fixture.group().members.len(), 1);
    assert_eq!(fixture.refused(&a.request()).0, 25);
    b.beat(&mut fixture);
    assert_eq!(b.count(), 3);
}

#[test]
fn a_member_that_gave_up_in_time_stays() {
    let mut fixture = Fixture::with(|config| {
        config.consumer_assignment_interval_ms = 0;
        config.consumer_session_timeout_ms = NEVER_MS;
    });
    let slow = join("a", &["foo"]).with_rebalance_timeout_ms(10_000);
    let mut consumers = [Consumer::join_as(&mut fixture, &slow), Consumer::join(&mut fixture, "b", &["foo"])];
    settle(&mut fixture, &mut consumers);
    fixture.pass(20_000);
    assert_eq!(fixture.group().members.len(), 2);
}

#[test]
fn timers_go_on_after_a_restart() {
    let mut fixture = Fixture::with(|config| config.consumer_assignment_interval_ms = 0);
    let a = Consumer::join_as(&mut fixture, &join("a", &["foo"]).with_rebalance_timeout_ms(10_000));
    let mut b = Consumer::join(&mut fixture, "b", &["foo"]);
    fixture.beat(&a.request());
    fixture.pass(9_000);
    fixture.driver.restart();
    fixture.check();
    fixture.pass(9_999);
    b.beat(&mut fixture);
    assert_eq!(fixture.group().members.len(), 2);
    fixture.pass(1);
    assert_eq!(fixture.group().members.len(), 1, "a didn't give up within its rebalance timeout");
    fixture.pass(45_000);
    assert_eq!(fixture.state(), ConsumerGroupState::Empty);
}

#[test]
fn a_full_group_takes_only_those_who_are_in_it() {
    let mut fixture = Fixture::with(|config| {
        config.consumer_assignment_interval_ms = 0;
        config.consumer_max_size = 1;
    });
    let mut a = Consumer::join(&mut fixture, "a", &["foo"]);
    let refusal = (81, "The consumer group has reached its maximum capacity of 1 members.".to_owned());
    assert_eq!(fixture.refused(&join("b", &["foo"])), refusal);
    a.beat(&mut fixture);
    assert_eq!(Consumer::join(&mut fixture, "a", &["foo"]).epoch, 2);
}

#[test]
fn version_0_is_given_an_id() {
    let mut fixture = Fixture::new();
    let response = fixture.beat_as(&join("", &["foo"]), 0);
    let id = response.member_id.clone().unwrap();
    assert_eq!(id.as_str(), "AAAAAAAAAAAAAAAAAAAAAQ");
    assert_eq!(assigned(&response), Some(partitions(&[(FOO, &[0, 1, 2])])));
    assert_eq!(fixture.beat_as(&request(&id, 2), 0).error_code, 0);
}

#[test]
fn the_assignor_is_the_one_that_most_ask_for() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join(&mut fixture, "a", &["foo"]);
    assert_eq!(fixture.group().preferred_server_assignor(None, None), None);
    let range = a.request().with_server_assignor(Some(text("range")));
    a.take(&fixture.beat(&range));
    assert_eq!(fixture.group().preferred_server_assignor(None, None), Some(text("range")));
    assert_eq!(fixture.group().group_epoch, 2, "another assignor alone makes no new epoch");
    let mut b =
        Consumer::join_as(&mut fixture, &join("b", &["foo"]).with_server_assignor(Some(text("range"))));
    let mut c =
        Consumer::join_as(&mut fixture, &join("c", &["foo"]).with_server_assignor(Some(text("uniform"))));
    settle_all(&mut fixture, &mut [&mut a, &mut b, &mut c]);
    assert_eq!([&a, &b, &c].map(|consumer| consumer.owned[&FOO].clone()), [vec![0], vec![1], vec![2]]);
}

fn settle_all(fixture: &mut Fixture, consumers: &mut [&mut Consumer]) {
    for _ in 0..5 {
        consumers.iter_mut().for_each(|consumer| drop(consumer.beat(fixture)));
    }
    assert_eq!(fixture.state(), ConsumerGroupState::Stable);
}
