//! Subscriptions by regular expression.

use super::*;

fn matching(member_id: &str, regex: &str) -> ConsumerGroupHeartbeatRequest {
    join(member_id, &[]).with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text(regex)))
}

fn resolved(fixture: &Fixture, regex: &str) -> Option<Vec<String>> {
    let resolved = fixture.group().subscriptions.resolved().get(&text(regex))?;
    Some(resolved.topics.iter().map(ToString::to_string).collect())
}

#[test]
fn a_member_gets_the_topics_that_match() {
    let mut fixture = Fixture::new();
    let a = Consumer::join_as(&mut fixture, &matching("a", "fo+|b.*"));
    assert_eq!(a.owned, partitions(&[(FOO, &[0, 1, 2]), (BAR, &[0, 1])]));
    assert_eq!(resolved(&fixture, "fo+|b.*"), Some(vec!["bar".to_owned(), "foo".to_owned()]));
    let b = Consumer::join_as(&mut fixture, &matching("b", "o"));
    assert_eq!(resolved(&fixture, "o"), Some(vec![]), "the whole name has to match");
    let mut consumers = [a, b];
    settle(&mut fixture, &mut consumers);
    assert_eq!(consumers.map(|consumer| consumer.count()), [5, 0]);
}

#[test]
fn names_and_an_expression_go_together() {
    let mut fixture = Fixture::new();
    let both = join("a", &["foo"]).with_subscribed_topic_regex(Some(text("ba.")));
    let mut a = Consumer::join_as(&mut fixture, &both);
    assert_eq!(a.owned, partitions(&[(FOO, &[0, 1, 2]), (BAR, &[0, 1])]));
    let names_only = a.request().with_subscribed_topic_regex(Some(text("")));
    a.take(&fixture.beat(&names_only));
    settle(&mut fixture, std::slice::from_mut(&mut a));
    assert_eq!(a.owned, partitions(&[(FOO, &[0, 1, 2])]));
    assert_eq!(resolved(&fixture, "ba."), None);
}

#[test]
fn a_topic_that_is_made_later_is_found_within_ten_seconds() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join_as(&mut fixture, &matching("a", "ba."));
    a.beat(&mut fixture);
    fixture.driver.topics.set("baz", 3, 1);
    fixture.pass(10_000);
    assert_eq!(fixture.records_of(|fixture| drop(a.beat(fixture))), []);
    fixture.pass(1);
    a.beat(&mut fixture);
    assert_eq!((a.epoch, a.owned.clone()), (3, partitions(&[(BAR, &[0, 1]), (3, &[0])])));
    fixture.driver.topics.remove("bar");
    fixture.pass(10_001);
    settle(&mut fixture, std::slice::from_mut(&mut a));
    assert_eq!(a.owned, partitions(&[(3, &[0])]));
    // A new look that finds the same leaves nothing.
    fixture.driver.topics.set("other", 4, 1);
    fixture.pass(10_001);
    assert_eq!(fixture.records_of(|fixture| drop(a.beat(fixture))), []);
}

#[test]
fn a_deleted_topic_is_given_up_at_once() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join_as(&mut fixture, &matching("a", "ba.|foo"));
    fixture.driver.topics.remove("foo");
    settle(&mut fixture, std::slice::from_mut(&mut a));
    assert_eq!(a.owned, partitions(&[(BAR, &[0, 1])]));
}

#[test]
fn members_share_an_expression_until_the_last_one_drops_it() {
    let mut fixture = Fixture::new();
    let mut consumers = ["a", "b"].map(|id| Consumer::join_as(&mut fixture, &matching(id, "foo")));
    settle(&mut fixture, &mut consumers);
    assert_eq!(all_owned(&consumers), partitions(&[(FOO, &[0, 1, 2])]));
    let change = consumers[0].request().with_subscribed_topic_regex(Some(text("bar")));
    consumers[0].take(&fixture.beat(&change));
    assert!(resolved(&fixture, "foo").is_some() && resolved(&fixture, "bar").is_some());
    settle(&mut fixture, &mut consumers);
    assert_eq!(consumers[0].owned, partitions(&[(BAR, &[0, 1])]));
    assert_eq!(consumers[1].owned, partitions(&[(FOO, &[0, 1, 2])]));
    fixture.beat(&request("b", -1));
    assert_eq!(resolved(&fixture, "foo"), None);
    settle(&mut fixture, &mut consumers[..1]);
    fixture.beat(&request("a", -1));
    assert_eq!(fixture.group().subscriptions.resolved().len(), 0);
}

#[test]
fn what_an_expression_no_longer_matches_goes_to_others() {
    let mut fixture = Fixture::new();
    let mut consumers =
        [Consumer::join(&mut fixture, "a", &["foo"]), Consumer::join_as(&mut fixture, &matching("b", "foo"))];
    settle(&mut fixture, &mut consumers);
    assert_eq!(consumers[1].count(), 1);
    // The group's topics are the same, and the new expression matches none.
    let nothing = consumers[1].request().with_subscribed_topic_regex(Some(text("none")));
    consumers[1].take(&fixture.beat(&nothing));
    settle(&mut fixture, &mut consumers);
    assert_eq!(consumers.map(|consumer| consumer.count()), [3, 0]);
}

#[test]
fn after_a_restart_expressions_are_looked_at_again() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join_as(&mut fixture, &matching("a", "ba."));
    fixture.driver.restart();
    assert_eq!(fixture.records_of(|fixture| drop(a.beat(fixture))), []);
    fixture.driver.restart();
    fixture.driver.topics.set("baz", 3, 1);
    a.beat(&mut fixture);
    assert_eq!(a.owned, partitions(&[(BAR, &[0, 1]), (3, &[0])]));
}

#[test]
fn a_bad_expression_changes_nothing() {
    let mut fixture = Fixture::new();
    let a = Consumer::join_as(&mut fixture, &matching("a", "foo"));
    let before = fixture.group().clone();
    let bad = a.request().with_subscribed_topic_regex(Some(text("a**")));
    let (code, message) = fixture.refused(&bad);
    assert_eq!(code, ErrorCode::InvalidRegularExpression.code());
    assert!(
        message.starts_with("SubscribedTopicRegex `a**` is not a valid regular expression: "),
        "{message}"
    );
    assert_eq!(fixture.group(), &before);
}
