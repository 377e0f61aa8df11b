//! Topics come, go and grow.

use super::*;

#[test]
fn a_topic_grows() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join(&mut fixture, "a", &["foo"]);
    fixture.driver.topics.set("foo", FOO, 5);
    a.beat(&mut fixture);
    assert_eq!((a.epoch, a.owned.clone()), (3, partitions(&[(FOO, &[0, 1, 2, 3, 4])])));
    // Another topic is none of its business.
    fixture.driver.topics.set("baz", 3, 1);
    assert_eq!(fixture.records_of(|fixture| drop(a.beat(fixture))), []);
}

#[test]
fn a_topic_is_deleted_and_made_again() {
    let mut fixture = Fixture::new();
    let mut consumers = ["a", "b"].map(|id| Consumer::join(&mut fixture, id, &["foo", "bar"]));
    settle(&mut fixture, &mut consumers);
    fixture.driver.topics.remove("foo");
    settle(&mut fixture, &mut consumers);
    assert_eq!(all_owned(&consumers), partitions(&[(BAR, &[0, 1])]));
    // Under the same name, with another id.
    fixture.driver.topics.set("foo", 7, 1);
    settle(&mut fixture, &mut consumers);
    assert_eq!(all_owned(&consumers), partitions(&[(BAR, &[0, 1]), (7, &[0])]));
}

#[test]
fn a_topic_is_made_that_members_wait_for() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join(&mut fixture, "a", &["later"]);
    assert_eq!((a.epoch, a.count()), (2, 0));
    fixture.driver.topics.set("later", 9, 1);
    a.beat(&mut fixture);
    assert_eq!((a.epoch, a.owned), (3, partitions(&[(9, &[0])])));
}

#[test]
fn members_with_other_subscriptions_share_what_they_have_in_common() {
    let mut fixture = Fixture::new();
    let mut consumers = [
        Consumer::join(&mut fixture, "a", &["foo"]),
        Consumer::join(&mut fixture, "b", &["foo", "bar"]),
        Consumer::join(&mut fixture, "c", &["bar"]),
    ];
    settle(&mut fixture, &mut consumers);
    assert_eq!(all_owned(&consumers), partitions(&[(FOO, &[0, 1, 2]), (BAR, &[0, 1])]));
    assert!(!consumers[0].owned.contains_key(&BAR) && !consumers[2].owned.contains_key(&FOO));
}

#[test]
fn the_racks_of_replicas_are_in_the_hash() {
    let hash = |rack: Option<&str>| {
        let mut fixture = Fixture::with(|config| config.broker_rack = rack.map(str::to_owned));
        Consumer::join(&mut fixture, "a", &["foo"]);
        fixture.group().metadata_hash
    };
    assert_ne!(hash(None), hash(Some("rack-1")));
}
