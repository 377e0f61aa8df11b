//! Groups over raw connections: who waits for whom, and what becomes of them when the broker stops or is killed.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::broker::start;
use common::classic_apis::{join, join_request, sync};
use common::offset_apis::{commit, fetch, fetched, text};
use common::raw::RawClient;
use fluxmq::server::BrokerHandle;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::delete_topics_request::DeleteTopicState;
use fluxmq_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, OffsetCommitRequest, TopicName,
};

const NOT_COORDINATOR: i16 = 16;
const REBALANCE_IN_PROGRESS: i16 = 27;

/// A connection to a broker that has the topic `t` and that of the groups.
fn connect(broker: &BrokerHandle) -> RawClient {
    let mut client = RawClient::connect(broker.addr());
    let topic = CreatableTopic::default()
        .with_name(TopicName(text("t")))
        .with_num_partitions(1)
        .with_replication_factor(1);
    client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
    let found = client.call(0, &FindCoordinatorRequest::default().with_key(text("g")));
    assert_eq!((found.error_code, found.port), (0, i32::from(broker.addr().port())));
    client
}

/// The offsets that a group has committed.
fn committed(client: &mut RawClient, group: &str) -> Vec<i64> {
    let (error, offsets) = fetched(&client.call(8, &fetch(8, group, None)));
    assert_eq!(error, 0);
    offsets.into_iter().map(|(_, _, offset, ..)| offset).collect()
}

/// A second member waits in JoinGroup for the first, which is in the group and does not join again.
fn waiting_member(broker: &BrokerHandle) -> (RawClient, StrBytes, RawClient) {
    let mut first = connect(broker);
    let joined = join(&mut first, 9, "g");
    sync(&mut first, 5, "g", &joined);
    let mut second = connect(broker);
    let required = second.call(9, &join_request("g", ""));
    second.send(9, &join_request("g", &required.member_id));
    // Once the first is told to join again the second's request has been handled.
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(1)
        .with_member_id(joined.member_id.clone());
    let deadline = Instant::now() + Duration::from_secs(10);
    while first.call(4, &heartbeat).error_code != REBALANCE_IN_PROGRESS {
        assert!(Instant::now() < deadline, "the second member does not start a rebalance");
    }
    (first, joined.member_id, second)
}

#[test]
fn a_member_waits_until_the_others_have_joined() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let (mut first, first_id, mut second) = waiting_member(&broker);
    // Requests of another group on the same connection are handled meanwhile, and answered afterwards.
    let commit_id = second.send(8, &commit("other", "t", 0, 5));
    let deadline = Instant::now() + Duration::from_secs(10);
    while committed(&mut first, "other") != [5] {
        assert!(Instant::now() < deadline, "the commit is not handled");
    }
    let again = first.call(9, &join_request("g", &first_id));
    assert_eq!((again.error_code, again.generation_id, again.members.len()), (0, 2, 2));
    let joined = second.receive_to::<JoinGroupRequest>(9, commit_id - 1);
    assert_eq!((joined.error_code, joined.generation_id, joined.leader), (0, 2, first_id));
    let committed = second.receive_to::<OffsetCommitRequest>(8, commit_id);
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);
    drop((first, second));
    broker.shutdown().unwrap();
}

#[test]
fn a_stop_does_not_wait_for_a_group_to_be_complete() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let (first, _, mut second) = waiting_member(&broker);
    let stopping = std::thread::spawn(move || {
        let began = Instant::now();
        broker.shutdown().unwrap();
        began.elapsed()
    });
    assert_eq!(second.receive::<JoinGroupRequest>(9).error_code, NOT_COORDINATOR);
    drop((first, second));
    let took = stopping.join().unwrap();
    assert!(took < Duration::from_secs(3), "the stop took {took:?}");
}

#[test]
fn a_connection_that_is_closed_in_a_rebalance_goes_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let (first, _, second) = waiting_member(&broker);
    let open = || broker.broker().connection_limits.open();
    assert_eq!(open(), 2);
    drop(second);
    let deadline = Instant::now() + Duration::from_secs(10);
    while open() > 1 {
        assert!(Instant::now() < deadline, "the connection is kept until its group is complete");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(first);
    broker.shutdown().unwrap();
}

#[test]
fn commits_and_members_are_there_after_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = connect(&broker);
    let joined = join(&mut client, 9, "g");
    sync(&mut client, 5, "g", &joined);
    let by_member = commit("g", "t", 0, 42)
        .with_generation_id_or_member_epoch(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(client.call(8, &by_member).topics[0].partitions[0].error_code, 0);
    drop(client);
    broker.shutdown().unwrap();

    let broker = start(&directory);
    let mut client = connect(&broker);
    assert_eq!(committed(&mut client, "g"), [42]);
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id);
    assert_eq!(client.call(4, &heartbeat).error_code, 0, "the member is in its group as before");
    drop(client);
    broker.shutdown().unwrap();
}

#[test]
fn what_is_committed_for_a_deleted_topic_is_gone_with_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = connect(&broker);
    assert_eq!(client.call(8, &commit("g", "t", 0, 1)).topics[0].partitions[0].error_code, 0);
    let topic = DeleteTopicState::default().with_name(Some(TopicName(text("t"))));
    let deleted = client.call(6, &DeleteTopicsRequest::default().with_topics(vec![topic]));
    assert_eq!(deleted.responses[0].error_code, 0);
    assert!(committed(&mut client, "g").is_empty());
    drop(client);
    broker.shutdown().unwrap();
}
