//! ConsumerGroupDescribe and what ListGroups shows.

use fluxmq_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup};

use super::*;

fn describe(fixture: &Fixture, group: &str) -> DescribedGroup {
    let ids = [GroupId(text(group))];
    fixture.driver.shard.consumer_group_describe(&fixture.driver.topics, &ids).pop().unwrap()
}

fn topics(assignment: &Assignment) -> Vec<(String, u128, Vec<i32>)> {
    let topics = assignment.topic_partitions.iter();
    topics
        .map(|topic| (topic.topic_name.to_string(), topic.topic_id.as_u128(), topic.partitions.clone()))
        .collect()
}

#[test]
fn a_group_is_described_with_what_its_members_have_and_are_to_have() {
    let mut fixture = Fixture::new();
    let first = join("a", &["foo"])
        .with_instance_id(Some(text("one")))
        .with_rack_id(Some(text("rack")))
        .with_server_assignor(Some(text("range")));
    let mut a = Consumer::join_as(&mut fixture, &first);
    Consumer::join_as(&mut fixture, &join("b", &["foo"]).with_subscribed_topic_regex(Some(text("fo+"))));
    a.beat(&mut fixture);
    let group = describe(&fixture, GROUP);
    assert_eq!((group.error_code, group.group_id.0.as_str()), (0, GROUP));
    assert_eq!((group.group_state.as_str(), group.assignor_name.as_str()), ("Reconciling", "range"));
    assert_eq!((group.group_epoch, group.assignment_epoch, group.authorized_operations), (3, 3, i32::MIN));
    let [one, other] = group.members.as_slice() else { panic!("{:?}", group.members) };
    assert_eq!((one.member_id.as_str(), one.instance_id.as_deref()), ("a", Some("one")));
    assert_eq!((one.rack_id.as_deref(), one.member_epoch, one.member_type), (Some("rack"), 2, 1));
    assert_eq!((one.client_id.as_str(), one.client_host.as_str()), ("client", "/127.0.0.1"));
    assert_eq!(one.subscribed_topic_names, names(&["foo"]));
    assert_eq!(topics(&one.assignment), [("foo".to_owned(), FOO, vec![0, 1, 2])], "what it gives up as well");
    assert_eq!(topics(&one.target_assignment), [("foo".to_owned(), FOO, vec![0, 1])]);
    assert_eq!((other.subscribed_topic_regex.as_deref(), topics(&other.assignment)), (Some("fo+"), vec![]));
    assert_eq!(topics(&other.target_assignment), [("foo".to_owned(), FOO, vec![2])]);
    // A topic that is gone isn't shown.
    fixture.driver.topics.remove("foo");
    assert_eq!(topics(&describe(&fixture, GROUP).members[0].assignment), []);
}

#[test]
fn groups_that_are_none_are_told_apart() {
    let mut fixture = Fixture::new();
    let table = [
        ("", ErrorCode::InvalidGroupId, None),
        ("none", ErrorCode::GroupIdNotFound, Some("Group none not found.")),
    ];
    for (id, code, message) in table {
        let group = describe(&fixture, id);
        assert_eq!((group.error_code, group.error_message.as_deref()), (code.code(), message));
        assert_eq!((group.group_id.0.as_str(), group.group_state.as_str()), (id, ""));
    }
    Consumer::join(&mut fixture, "a", &["foo"]);
    fixture.beat(&request("a", -1));
    let group = describe(&fixture, GROUP);
    assert_eq!((group.group_state.as_str(), group.assignor_name.as_str()), ("Empty", "uniform"));
}

#[test]
fn a_group_is_listed_as_a_consumer_group() {
    let mut fixture = Fixture::new();
    Consumer::join(&mut fixture, "a", &["foo"]);
    let [group] = fixture.driver.shard.list_groups(&[], &[text("Consumer")]).try_into().unwrap();
    assert_eq!((group.group_id.0.as_str(), group.protocol_type.as_str()), (GROUP, "consumer"));
    assert_eq!((group.group_state.as_str(), group.group_type.as_str()), ("Stable", "consumer"));
    assert_eq!(fixture.driver.shard.list_groups(&[text("empty")], &[]), []);
}
