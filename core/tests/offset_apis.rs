//! What clients should not ask of the APIs of committed offsets, through a whole broker: Kafka's code for each, and the
//! offsets as they were. And that what was committed is there after a restart.

#![allow(clippy::unwrap_used)]

mod common;

use common::offset_apis::{commit, delete_offset, fetch, fetched, text};
use common::raw::RawClient;
use fluxmq::config::BrokerConfig;
use fluxmq::server::{self, BrokerHandle};
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::{
    CreateTopicsRequest, DeleteGroupsRequest, DeleteTopicsRequest, FindCoordinatorRequest, GroupId,
    ListGroupsRequest, OffsetCommitRequest, TopicName,
};

const OFFSET_METADATA_TOO_LARGE: i16 = 12;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const NOT_COORDINATOR: i16 = 16;
const ILLEGAL_GENERATION: i16 = 22;
const INVALID_GROUP_ID: i16 = 24;
const UNKNOWN_MEMBER_ID: i16 = 25;
const GROUP_ID_NOT_FOUND: i16 = 69;

struct Fixture {
    broker: BrokerHandle,
    client: RawClient,
    directory: tempfile::TempDir,
}

/// A broker with the topics `t` and `u` of two partitions each, where group `g` has committed offset 7 of `t-0`.
fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let broker = server::start(BrokerConfig::for_tests(directory.path())).unwrap();
    let mut client = RawClient::connect(broker.addr());
    let topics = ["t", "u"].map(|name| {
        let name = TopicName(text(name));
        CreatableTopic::default().with_name(name).with_num_partitions(2).with_replication_factor(1)
    });
    client.call(7, &CreateTopicsRequest::default().with_topics(topics.to_vec()));
    client.call(0, &FindCoordinatorRequest::default().with_key(text("g")));
    assert_eq!(commit_errors(&mut client, 9, &commit("g", "t", 0, 7)), [("t".to_owned(), 0, 0)]);
    Fixture { broker, client, directory }
}

/// (topic, partition, error) of each partition of an answer.
fn commit_errors(
    client: &mut RawClient,
    version: i16,
    request: &OffsetCommitRequest,
) -> Vec<(String, i32, i16)> {
    let response = client.call(version, request);
    let partitions = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|has| (topic.name.to_string(), has.partition_index, has.error_code))
    });
    partitions.collect()
}

fn all_offsets(client: &mut RawClient, group: &str) -> Vec<(String, i32, i64)> {
    let (error, partitions) = fetched(&client.call(9, &fetch(9, group, None)));
    assert_eq!(error, 0);
    partitions.into_iter().map(|(topic, partition, offset, ..)| (topic, partition, offset)).collect()
}

fn has(topic: &str, partition: i32, offset: i64) -> (String, i32, i64) {
    (topic.to_owned(), partition, offset)
}

#[test]
fn partitions_that_do_not_exist_are_refused_and_the_others_committed() {
    let Fixture { broker, mut client, directory: _directory } = fixture();
    let mut request = commit("g", "t", 1, 11);
    let beyond = request.topics[0].partitions[0].clone().with_partition_index(2);
    let negative = request.topics[0].partitions[0].clone().with_partition_index(-1);
    request.topics[0].partitions.extend([beyond, negative]);
    request.topics.push(commit("g", "u", 0, 12).topics.remove(0));
    request.topics.push(commit("g", "none", 0, 13).topics.remove(0));
    for version in 2..=9 {
        // As Kafka: the refused ones first.
        let refused = |topic: &str, partition| (topic.to_owned(), partition, UNKNOWN_TOPIC_OR_PARTITION);
        let done = |topic: &str, partition| (topic.to_owned(), partition, 0);
        let expected = [refused("t", 2), refused("t", -1), done("t", 1), refused("none", 0), done("u", 0)];
        assert_eq!(commit_errors(&mut client, version, &request), expected, "v{version}");
        assert_eq!(all_offsets(&mut client, "g"), [has("t", 0, 7), has("t", 1, 11), has("u", 0, 12)]);
    }
    assert_eq!(commit_errors(&mut client, 9, &commit("g", "none", 0, 1)), [("none".to_owned(), 0, 3)]);
    assert_eq!(commit_errors(&mut client, 9, &commit("g", "t", 0, 1).with_topics(vec![])), []);
    broker.shutdown().unwrap();
}

#[test]
fn commits_of_who_is_no_member_are_refused() {
    let Fixture { broker, mut client, directory: _directory } = fixture();
    let cases = [
        ("none", "", 0, GROUP_ID_NOT_FOUND, ILLEGAL_GENERATION),
        ("none", "member", 5, GROUP_ID_NOT_FOUND, ILLEGAL_GENERATION),
        ("g", "", 0, UNKNOWN_MEMBER_ID, UNKNOWN_MEMBER_ID),
        ("g", "member", 1, UNKNOWN_MEMBER_ID, UNKNOWN_MEMBER_ID),
    ];
    for (group, member, generation, since_v9, before) in cases {
        for version in 2..=9 {
            let request = commit(group, "t", 0, 99)
                .with_member_id(text(member))
                .with_generation_id_or_member_epoch(generation);
            let expected = if version >= 9 { since_v9 } else { before };
            let errors = commit_errors(&mut client, version, &request);
            assert_eq!(errors, [("t".to_owned(), 0, expected)], "{group} {member} {generation} v{version}");
        }
    }
    let mut request = commit("g", "t", 0, 99);
    request.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4_097)));
    let errors = commit_errors(&mut client, 9, &request);
    assert_eq!(errors, [("t".to_owned(), 0, OFFSET_METADATA_TOO_LARGE)]);
    assert_eq!(all_offsets(&mut client, "g"), [has("t", 0, 7)]);
    assert_eq!(all_offsets(&mut client, "none"), []);
    broker.shutdown().unwrap();
}

#[test]
fn offsets_are_not_deleted_where_they_should_not() {
    let Fixture { broker, mut client, directory: _directory } = fixture();
    // An error of the group goes before those of its partitions.
    for (group, topic, partition, expected) in [
        ("", "t", 0, INVALID_GROUP_ID),
        ("none", "t", 0, GROUP_ID_NOT_FOUND),
        ("none", "none", 0, GROUP_ID_NOT_FOUND),
    ] {
        let response = client.call(0, &delete_offset(group, topic, partition));
        assert_eq!((response.error_code, response.topics.len()), (expected, 0), "{group} {topic}");
    }
    for (topic, partition) in [("none", 0), ("t", 2), ("t", -1)] {
        let response = client.call(0, &delete_offset("g", topic, partition));
        assert_eq!(response.error_code, 0);
        assert_eq!(response.topics[0].partitions[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
    }
    let mut request = delete_offset("g", "t", 1);
    request.topics.extend(delete_offset("g", "none", 0).topics);
    let response = client.call(0, &request);
    let errors: Vec<_> = response
        .topics
        .iter()
        .map(|topic| (topic.name.to_string(), topic.partitions[0].error_code))
        .collect();
    assert_eq!(errors, [("none".to_owned(), UNKNOWN_TOPIC_OR_PARTITION), ("t".to_owned(), 0)]);
    assert_eq!(all_offsets(&mut client, "g"), [has("t", 0, 7)]);
    broker.shutdown().unwrap();
}

#[test]
fn groups_are_deleted_once_and_listed_by_what_there_is() {
    let Fixture { broker, mut client, directory: _directory } = fixture();
    let names = ["none", "g", "g", ""].map(|name| GroupId(text(name)));
    let response = client.call(2, &DeleteGroupsRequest::default().with_groups_names(names.to_vec()));
    let results: Vec<_> =
        response.results.iter().map(|result| (result.group_id.to_string(), result.error_code)).collect();
    let result = |name: &str, error| (name.to_owned(), error);
    assert_eq!(results, [result("none", GROUP_ID_NOT_FOUND), result("g", 0), result("", GROUP_ID_NOT_FOUND)]);
    assert_eq!(all_offsets(&mut client, "g"), []);

    assert_eq!(commit_errors(&mut client, 9, &commit("h", "t", 0, 1)), [("t".to_owned(), 0, 0)]);
    for (states, types, found) in
        [(vec!["nonsense"], vec![], 0), (vec![], vec!["nonsense"], 0), (vec!["eMpTy"], vec!["cLaSsIc"], 1)]
    {
        let texts = |names: Vec<&str>| names.into_iter().map(text).collect::<Vec<_>>();
        let request =
            ListGroupsRequest::default().with_states_filter(texts(states)).with_types_filter(texts(types));
        let response = client.call(5, &request);
        assert_eq!((response.error_code, response.groups.len()), (0, found), "{request:?}");
    }
    broker.shutdown().unwrap();
}

#[test]
fn without_the_topic_of_the_groups_nobody_coordinates() {
    let directory = tempfile::tempdir().unwrap();
    let broker = server::start(BrokerConfig::for_tests(directory.path())).unwrap();
    let mut client = RawClient::connect(broker.addr());
    for version in 1..=9 {
        let (group, partitions) = fetched(&client.call(version, &fetch(version, "g", Some(("t", 0)))));
        if version >= 2 {
            assert_eq!((group, partitions), (NOT_COORDINATOR, vec![]), "v{version}");
        } else {
            let failed = ("t".to_owned(), 0, -1, -1, String::new(), NOT_COORDINATOR);
            assert_eq!((group, partitions), (0, vec![failed]), "v{version}");
        }
    }
    let response = client.call(5, &ListGroupsRequest::default());
    assert_eq!((response.error_code, response.groups.len()), (0, 0));
    let names = vec![GroupId(text("g"))];
    let response = client.call(2, &DeleteGroupsRequest::default().with_groups_names(names));
    assert_eq!(response.results[0].error_code, NOT_COORDINATOR);
    let response = client.call(0, &delete_offset("g", "t", 0));
    assert_eq!((response.error_code, response.topics.len()), (NOT_COORDINATOR, 0));
    broker.shutdown().unwrap();
}

#[test]
fn what_was_committed_is_there_after_a_restart_and_goes_with_its_topic() {
    let Fixture { broker, mut client, directory } = fixture();
    for number in 0..20 {
        let group = format!("group-{number}");
        for (topic, partition) in [("t", 0), ("t", 1), ("u", 0)] {
            let errors = commit_errors(&mut client, 9, &commit(&group, topic, partition, number));
            assert_eq!(errors, [(topic.to_owned(), partition, 0)]);
        }
    }
    broker.shutdown().unwrap();
    let broker = server::start(BrokerConfig::for_tests(directory.path())).unwrap();
    let mut client = RawClient::connect(broker.addr());
    let all = |number| [has("t", 0, number), has("t", 1, number), has("u", 0, number)];
    for number in 0..20 {
        assert_eq!(all_offsets(&mut client, &format!("group-{number}")), all(number));
    }
    let names = vec![TopicName(text("t"))];
    let response =
        client.call(5, &DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(10_000));
    assert_eq!(response.responses[0].error_code, 0);
    for number in 0..20 {
        assert_eq!(all_offsets(&mut client, &format!("group-{number}")), [has("u", 0, number)]);
    }
    broker.shutdown().unwrap();
}
