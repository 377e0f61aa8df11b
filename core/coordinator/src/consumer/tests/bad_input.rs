//! What is refused, with which code and which words, and that nothing changes then.

use fluxmq_protocol::messages::OffsetCommitRequest;
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

use super::*;
use crate::config::Assignor;

#[test]
fn heartbeats_that_make_no_sense_are_refused() {
    let mut fixture = Fixture::new();
    Consumer::join(&mut fixture, "a", &["foo"]);
    let before = fixture.group().clone();
    let invalid = ErrorCode::InvalidRequest;
    let table = [
        (join("", &["foo"]), invalid, "MemberId can't be empty."),
        (join(" \t", &["foo"]), invalid, "MemberId can't be empty."),
        (request("", 1), invalid, "MemberId can't be empty."),
        (join("b", &["foo"]).with_group_id(GroupId(text(""))), invalid, "GroupId can't be empty."),
        (join("b", &["foo"]).with_group_id(GroupId(text("  "))), invalid, "GroupId can't be empty."),
        (join("b", &["foo"]).with_instance_id(Some(text(""))), invalid, "InstanceId can't be empty."),
        (join("b", &["foo"]).with_rack_id(Some(text(" "))), invalid, "RackId can't be empty."),
        (
            join("b", &["foo"]).with_rebalance_timeout_ms(-1),
            invalid,
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            join("b", &["foo"]).with_topic_partitions(None),
            invalid,
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            join("b", &["foo"]).with_topic_partitions(topic_partitions(&[(FOO, &[0])])),
            invalid,
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            join("b", &["foo"]).with_subscribed_topic_names(None),
            invalid,
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (request("a", -2), invalid, "InstanceId can't be null."),
        (request("a", -3), invalid, "MemberEpoch is invalid."),
        (
            join("b", &["foo"]).with_server_assignor(Some(text("sticky"))),
            ErrorCode::UnsupportedAssignor,
            "ServerAssignor sticky is not supported. Supported assignors: uniform, range.",
        ),
        (
            join("b", &[]).with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text("("))),
            ErrorCode::InvalidRegularExpression,
            "SubscribedTopicRegex `(` is not a valid regular expression: missing closing ).",
        ),
        (request("b", 1), ErrorCode::UnknownMemberId, "Member b is not a member of group group."),
        (request("b", -1), ErrorCode::UnknownMemberId, "Member b is not a member of group group."),
        (
            request("a", 1).with_group_id(GroupId(text("other"))),
            ErrorCode::GroupIdNotFound,
            "Consumer group other not found.",
        ),
        (
            request("a", -1).with_group_id(GroupId(text("other"))),
            ErrorCode::GroupIdNotFound,
            "Group other not found.",
        ),
    ];
    for (request, code, message) in table {
        assert_eq!(fixture.refused(&request), (code.code(), message.to_owned()), "{request:?}");
        assert_eq!(fixture.group(), &before);
    }
}

#[test]
fn only_the_assignors_of_the_broker_are_supported() {
    let mut fixture = Fixture::with(|config| config.consumer_assignors = vec![Assignor::Range]);
    let uniform = join("a", &["foo"]).with_server_assignor(Some(text("uniform")));
    let message = "ServerAssignor uniform is not supported. Supported assignors: range.";
    assert_eq!(fixture.refused(&uniform), (ErrorCode::UnsupportedAssignor.code(), message.to_owned()));
}

#[test]
fn a_classic_group_is_no_consumer_group() {
    let mut fixture = Fixture::new();
    fixture.driver.turn(|shard, turn| {
        let commit = OffsetCommitRequest::default().with_group_id(GroupId(text(GROUP)));
        let topic = OffsetCommitRequestTopic::default().with_name(TopicName(text("foo")));
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
        let commit = commit
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        shard.offset_commit(turn, &requester(9), &commit)
    });
    let message = "Group group is not a consumer group.".to_owned();
    for epoch in [1, -1] {
        let refusal = fixture.refused(&request("a", epoch));
        assert_eq!(refusal, (ErrorCode::GroupIdNotFound.code(), message.clone()));
    }
    // A group without members becomes one with the first that joins.
    assert_eq!(Consumer::join(&mut fixture, "a", &["foo"]).count(), 3);
    assert_eq!(fixture.driver.shard.offset_count(), 1);
}

#[test]
fn records_that_do_not_fit_are_not_written() {
    let mut fixture = Fixture::with(|config| config.max_record_bytes = 1_000);
    fixture.driver.topics.set("many", 3, 1_000);
    let response = fixture.beat(&join("a", &["many"]));
    assert_eq!((response.error_code, response.error_message), (-1, None));
    assert!(fixture.find().is_none() && fixture.driver.log.is_empty());
    assert_eq!(fixture.driver.shard.timers.len(), Fixture::new().driver.shard.timers.len());
    assert_eq!(Consumer::join(&mut fixture, "a", &["foo"]).count(), 3);
}
