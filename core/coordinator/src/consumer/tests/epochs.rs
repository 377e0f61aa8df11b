//! Epochs: who is fenced, which answers may get lost, when a group is assigned anew.

use super::*;

#[test]
fn a_member_is_fenced_by_an_epoch_that_is_not_its_own() {
    let mut fixture = Fixture::new();
    let mut consumers = ["a", "b"].map(|id| Consumer::join(&mut fixture, id, &["foo"]));
    settle(&mut fixture, &mut consumers);
    let rejoin = "The member must abandon all its partitions and rejoin.";
    let table = [
        (4, "greater member epoch (4) than the one known by the group coordinator (3)"),
        (1, "smaller member epoch (1) than the one known by the group coordinator (3)"),
        // The previous epoch, by a member that doesn't say what it owns.
        (2, "smaller member epoch (2) than the one known by the group coordinator (3)"),
    ];
    for (epoch, reason) in table {
        let message = format!("The consumer group member has a {reason}. {rejoin}");
        assert_eq!(fixture.refused(&request("a", epoch)), (110, message));
    }
    // It joins again, and has what it had.
    let again = Consumer::join(&mut fixture, "a", &["foo"]);
    assert_eq!((again.epoch, again.owned), (3, consumers[0].owned.clone()));
}

#[test]
fn an_answer_may_get_lost() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join(&mut fixture, "a", &["foo"]);
    Consumer::join(&mut fixture, "b", &["foo"]);
    a.beat(&mut fixture);
    // It gave up what it had to; the answer with epoch 3 doesn't reach it.
    let lost = fixture.beat(&a.request());
    assert_eq!((lost.member_epoch, a.epoch), (3, 2));
    a.beat(&mut fixture);
    assert_eq!(a.epoch, 3);
    // With something that isn't its own it would be fenced.
    let owns_all = request("a", 2).with_topic_partitions(topic_partitions(&[(FOO, &[0, 1, 2])]));
    assert_eq!(fixture.refused(&owns_all).0, 110);
}

#[test]
fn a_join_may_get_lost() {
    let mut fixture = Fixture::new();
    let first = fixture.beat(&join("a", &["foo"]));
    let records = fixture.driver.log.len();
    let second = fixture.beat(&join("a", &["foo"]));
    assert_eq!((first, fixture.driver.log.len()), (second, records));
}

#[test]
fn assignments_keep_their_distance() {
    let mut fixture = Fixture::with(|config| config.consumer_assignment_interval_ms = 1_000);
    let mut a = Consumer::join(&mut fixture, "a", &["foo"]);
    assert_eq!((a.epoch, a.count()), (2, 3), "the first one is made at once");
    fixture.pass(999);
    let b = Consumer::join(&mut fixture, "b", &["foo"]);
    assert_eq!((b.epoch, b.count()), (2, 0), "it is in the group, with nothing in the last assignment");
    let group = fixture.group();
    assert_eq!((group.group_epoch, group.assignment_epoch), (3, 2));
    assert_eq!(fixture.state(), ConsumerGroupState::Assigning);
    fixture.pass(1);
    a.beat(&mut fixture);
    assert_eq!((fixture.group().assignment_epoch, a.count()), (3, 2));
    let mut consumers = [a, b];
    settle(&mut fixture, &mut consumers);
    assert_eq!(consumers.map(|consumer| consumer.count()), [2, 1]);
    // A clock that is set back doesn't hold up the group.
    fixture.driver.now.wall_ms -= 1_000_000;
    let c = Consumer::join(&mut fixture, "c", &["foo"]);
    assert_eq!((c.epoch, fixture.group().assignment_epoch), (4, 4));
}

#[test]
fn a_topic_that_is_left_is_given_up_before_the_next_assignment() {
    let mut fixture = Fixture::with(|config| config.consumer_assignment_interval_ms = 1_000);
    let mut a = Consumer::join(&mut fixture, "a", &["foo", "bar"]);
    let fewer = a.request().with_subscribed_topic_names(Some(names(&["foo"])));
    let response = fixture.beat(&fewer);
    assert_eq!((response.member_epoch, assigned(&response)), (2, Some(partitions(&[(FOO, &[0, 1, 2])]))));
    let group = fixture.group();
    assert_eq!((group.group_epoch, group.assignment_epoch), (3, 2));
    a.take(&response);
    a.beat(&mut fixture);
    fixture.pass(1_000);
    a.beat(&mut fixture);
    assert_eq!((a.epoch, a.owned), (3, partitions(&[(FOO, &[0, 1, 2])])));
}

#[test]
fn a_group_without_topics_is_stable() {
    let mut fixture = Fixture::new();
    let a = Consumer::join(&mut fixture, "a", &[]);
    // Nothing changed since the group began.
    assert_eq!((a.epoch, a.count(), fixture.state()), (1, 0, ConsumerGroupState::Stable));
    let b = Consumer::join(&mut fixture, "b", &["none"]);
    assert_eq!((b.epoch, b.count()), (2, 0));
}
