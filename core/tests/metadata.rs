//! What clients are told of topics, brokers and log directories, through a whole broker, by raw frames. Codes and texts are
//! those that Apache Kafka 4.3.0 gave to the same requests; where they differ, the handler's file says so.

#![allow(clippy::unwrap_used)]

mod common;

use common::admin::{Fixture, fixture, name};
use common::raw::RawClient;
use fluxmq_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use fluxmq_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use fluxmq_protocol::messages::metadata_request::MetadataRequestTopic;
use fluxmq_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeLogDirsRequest, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, MetadataRequest,
};
use uuid::Uuid;

const TOPIC_OPERATIONS: i32 = 3576;
const CLUSTER_OPERATIONS: i32 = 8096;

/// Names with codes and partitions, and the cursor.
type Pages = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

fn pages(response: DescribeTopicPartitionsResponse) -> Pages {
    let topics = response.topics.into_iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        (topic.name.unwrap().to_string(), topic.error_code, indexes)
    });
    let cursor = response.next_cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (topics.collect(), cursor)
}

#[test]
fn metadata_answers_by_name() {
    let mut fixture = fixture(&[("auto.create.topics.enable", "false")]);
    fixture.create(&[("b", 2)]);
    for version in 0..=13 {
        let topics = fixture.metadata(version, Some(&["b", "nope", "b", "a b", "__consumer_offsets", ""]));
        let codes: Vec<_> =
            topics.iter().map(|topic| (topic.name.as_ref().unwrap().as_str(), topic.error_code)).collect();
        assert_eq!(
            codes,
            [("", 17), ("__consumer_offsets", 3), ("a b", 17), ("b", 0), ("nope", 3)],
            "v{version}"
        );
        assert_eq!(topics[1].is_internal, version >= 1);
        let topic = &topics[3];
        assert_eq!(!topic.topic_id.is_nil(), version >= 10);
        assert_eq!(topic.topic_authorized_operations, i32::MIN);
        for (index, partition) in (0..).zip(&topic.partitions) {
            assert_eq!((partition.error_code, partition.partition_index), (0, index));
            assert_eq!(partition.leader_id, BrokerId(1));
            assert_eq!(partition.replica_nodes, [BrokerId(1)]);
            assert_eq!(partition.isr_nodes, [BrokerId(1)]);
            assert!(partition.offline_replicas.is_empty());
            assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 });
        }
    }
}

#[test]
fn metadata_tells_all_topics_or_none() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("a", 1), ("b", 2)]);
    for version in 0..=13 {
        let count = fixture.metadata(version, Some(&[])).len();
        assert_eq!(
            count,
            if version == 0 { 2 } else { 0 },
            "v{version}: an empty list means all in v0 alone"
        );
        if version > 0 {
            assert_eq!(fixture.metadata(version, None).len(), 2, "v{version}");
        }
    }
}

#[test]
fn metadata_tells_many_partitions_in_turn_with_other_requests() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("many", 1_001), ("few", 1)]);
    let all = MetadataRequest::default().with_topics(None);
    for version in [1, 9, 12] {
        let first = fixture.client.send(version, &all);
        let second = fixture.client.send(2, &DescribeClusterRequest::default());
        let response = fixture.client.receive_to::<MetadataRequest>(version, first);
        let mut counts: Vec<_> = response.topics.iter().map(|topic| topic.partitions.len()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 1_001]);
        assert_eq!(fixture.client.receive_to::<DescribeClusterRequest>(2, second).brokers.len(), 1);
    }
}

#[test]
fn metadata_tells_the_broker_and_what_was_asked_for() {
    let mut fixture = fixture(&[("broker.rack", "r1")]);
    fixture.create(&[("b", 1)]);
    let port = i32::from(fixture.address.port());
    for version in 0..=13 {
        let request = MetadataRequest::default()
            .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(name("b")))]))
            .with_include_cluster_authorized_operations((8..=10).contains(&version))
            .with_include_topic_authorized_operations(version >= 8);
        let response = fixture.client.call(version, &request);
        assert_eq!(response.brokers.len(), 1);
        let broker = &response.brokers[0];
        assert_eq!((broker.node_id, &*broker.host, broker.port), (BrokerId(1), "127.0.0.1", port));
        assert_eq!(broker.rack.as_deref(), (version >= 1).then_some("r1"));
        assert_eq!(response.controller_id, BrokerId(if version >= 1 { 1 } else { -1 }));
        assert_eq!(response.cluster_id.map(|id| id.len()), (version >= 2).then_some(22));
        let cluster_operations = if (8..=10).contains(&version) { CLUSTER_OPERATIONS } else { i32::MIN };
        assert_eq!(response.cluster_authorized_operations, cluster_operations);
        let topic_operations = if version >= 8 { TOPIC_OPERATIONS } else { i32::MIN };
        assert_eq!(response.topics[0].topic_authorized_operations, topic_operations);
        assert_eq!((response.error_code, response.throttle_time_ms), (0, 0));
    }
}

#[test]
fn metadata_answers_by_id_from_v12() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("b", 2)]);
    let known = fixture.id_of("b");
    let unknown = Uuid::from_u128(77);
    let ask = |fixture: &mut Fixture, version: i16, topics: &[(Option<&str>, Uuid)]| {
        let topics = topics
            .iter()
            .map(|(text, id)| MetadataRequestTopic::default().with_name(text.map(name)).with_topic_id(*id));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_include_topic_authorized_operations(true);
        fixture.client.call(version, &request)
    };
    for version in 12..=13 {
        let response = ask(&mut fixture, version, &[(None, known), (None, unknown), (None, known)]);
        assert_eq!(response.topics.len(), 2);
        let (found, missing) = (&response.topics[0], &response.topics[1]);
        assert_eq!((found.error_code, found.topic_id, found.partitions.len()), (0, known, 2));
        assert_eq!(found.name, Some(name("b")));
        assert_eq!((missing.error_code, missing.topic_id, &missing.name), (100, unknown, &None));
        assert_eq!(missing.topic_authorized_operations, i32::MIN);
        let response = ask(&mut fixture, version, &[(Some("b"), unknown), (Some("b"), Uuid::nil())]);
        assert_eq!(response.topics.len(), 1, "a name beside an id isn't looked at");
        assert_eq!(response.topics[0].error_code, 100);
    }
    for (version, topics) in [
        (10, &[(None, known)][..]),
        (11, &[(Some("b"), known)]),
        (11, &[(None, Uuid::nil()), (Some("b"), Uuid::nil())]),
        (12, &[(None, Uuid::nil())]),
        (13, &[(None, Uuid::nil()), (Some("b"), Uuid::nil())]),
    ] {
        let response = ask(&mut fixture, version, topics);
        assert_eq!(response.topics.len(), topics.len());
        for (answered, (text, id)) in response.topics.iter().zip(topics) {
            assert_eq!((answered.error_code, answered.topic_id), (42, *id), "v{version}");
            assert_eq!(answered.name, Some(name(text.unwrap_or_default())));
        }
        assert!(response.brokers.is_empty() && response.cluster_id.is_none());
        assert_eq!(response.controller_id, BrokerId(-1));
        assert_eq!(response.error_code, if version >= 13 { 42 } else { 0 });
    }
}

#[test]
fn metadata_creates_topics_by_the_clients_and_the_brokers_leave() {
    let mut fixture = fixture(&[("num.partitions", "2")]);
    fixture.create(&[("p.a", 1)]);
    let ask = |fixture: &mut Fixture, texts: &[&str], allow: bool| {
        let topics =
            texts.iter().map(|text| MetadataRequestTopic::default().with_name(Some(name(text)))).collect();
        let request =
            MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(allow);
        let response = fixture.client.call(12, &request);
        let codes: Vec<_> =
            response.topics.iter().map(|topic| (topic.error_code, topic.partitions.len())).collect();
        codes
    };
    assert_eq!(ask(&mut fixture, &["new"], false), [(3, 0)]);
    assert_eq!(ask(&mut fixture, &["new", "a b", "p_a", "p.a"], true), [(0, 2), (17, 0), (17, 0), (0, 1)]);
    assert_eq!(ask(&mut fixture, &["__consumer_offsets", "__cluster_metadata"], true), [(3, 0), (3, 0)]);
    // Up to v3 a client can't say that it doesn't want this.
    assert_eq!(fixture.metadata(0, Some(&["old"]))[0].partitions.len(), 2);
    assert_eq!(fixture.metadata(3, Some(&["older"]))[0].partitions.len(), 2);
    assert_eq!(fixture.names(), ["new", "old", "older", "p.a"]);
    drop(fixture);

    let mut closed = common::admin::fixture(&[("auto.create.topics.enable", "false")]);
    assert_eq!(ask(&mut closed, &["new"], true), [(3, 0)]);
    assert_eq!(closed.names(), Vec::<String>::new());
}

#[test]
fn a_topic_is_created_once_however_many_ask() {
    let fixture = fixture(&[]);
    let address = fixture.address;
    let ids: Vec<Uuid> = std::thread::scope(|scope| {
        let ask = || {
            let topic = MetadataRequestTopic::default().with_name(Some(name("t")));
            let request = MetadataRequest::default()
                .with_topics(Some(vec![topic]))
                .with_allow_auto_topic_creation(true);
            let response = RawClient::connect(address).call(12, &request);
            assert_eq!(response.topics[0].error_code, 0);
            response.topics[0].topic_id
        };
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0] && !id.is_nil()));
}

#[test]
fn describe_cluster_tells_brokers_alone() {
    let mut fixture = fixture(&[]);
    for version in 0..=2 {
        for asked in [false, true] {
            let request = DescribeClusterRequest::default()
                .with_include_cluster_authorized_operations(asked)
                .with_include_fenced_brokers(version == 2);
            let response = fixture.client.call(version, &request);
            assert_eq!((response.error_code, response.controller_id), (0, BrokerId(1)));
            assert_eq!((response.cluster_id.len(), response.brokers.len()), (22, 1));
            let operations = if asked { CLUSTER_OPERATIONS } else { i32::MIN };
            assert_eq!(response.cluster_authorized_operations, operations);
        }
    }
    for (endpoint_type, code) in [(2, 114), (3, 115)] {
        let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
        let response = fixture.client.call(2, &request);
        assert_eq!((response.error_code, response.brokers.len()), (code, 0));
    }
}

#[test]
fn describe_topic_partitions_goes_page_by_page() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("b", 2), ("p.a", 2), ("p-a", 1)]);
    let mut ask = |texts: &[&str], limit: i32, cursor: Option<(&str, i32)>| {
        let topics = texts.iter().map(|text| TopicRequest::default().with_name(name(text))).collect();
        let cursor = cursor
            .map(|(text, index)| Cursor::default().with_topic_name(name(text)).with_partition_index(index));
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(topics)
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        pages(fixture.client.call(0, &request))
    };
    let topic = |text: &str, code: i16, indexes: &[i32]| (text.to_owned(), code, indexes.to_vec());
    let at = |text: &str, index: i32| Some((text.to_owned(), index));

    assert_eq!(
        ask(&[], 100, None),
        (vec![topic("b", 0, &[0, 1]), topic("p-a", 0, &[0]), topic("p.a", 0, &[0, 1])], None)
    );
    assert_eq!(ask(&[], 2, None), (vec![topic("b", 0, &[0, 1])], at("p-a", 0)));
    assert_eq!(
        ask(&[], 2, Some(("p-a", 0))),
        (vec![topic("p-a", 0, &[0]), topic("p.a", 0, &[0])], at("p.a", 1))
    );
    assert_eq!(ask(&[], 2, Some(("p.a", 1))), (vec![topic("p.a", 0, &[1])], None));
    assert_eq!(ask(&[], 1, Some(("c", 0))), (vec![topic("p-a", 0, &[0])], at("p.a", 0)));
    assert_eq!(
        ask(&["p.a", "b", "nope", "a b", "b"], 2000, None),
        (
            vec![
                topic("a b", 17, &[]),
                topic("b", 0, &[0, 1]),
                topic("nope", 3, &[]),
                topic("p.a", 0, &[0, 1])
            ],
            None
        )
    );
    assert_eq!(ask(&["p.a", "b", "nope"], 2, None), (vec![topic("b", 0, &[0, 1])], at("nope", 0)));
    assert_eq!(
        ask(&["p.a", "b", "nope"], 1, Some(("nope", 0))),
        (vec![topic("nope", 3, &[]), topic("p.a", 0, &[0])], at("p.a", 1))
    );
    assert_eq!(ask(&["b"], 0, None), (vec![topic("b", 0, &[0])], at("b", 1)));
    assert_eq!(ask(&["b"], -1, None), (vec![topic("b", 0, &[0])], at("b", 1)));
    assert_eq!(ask(&["b"], 1, Some(("b", 9))), (vec![topic("b", 0, &[])], None));
    assert_eq!(ask(&["b"], 1, Some(("b", i32::MAX))), (vec![topic("b", 0, &[])], None));
    assert_eq!(ask(&["b"], 1, Some(("b", -1))), (vec![topic("b", 42, &[])], None));
    assert_eq!(
        ask(&["p.a", "b"], 1, Some(("c", 0))),
        (vec![topic("p.a", 42, &[]), topic("b", 42, &[])], None)
    );

    let response = fixture.client.call(0, &DescribeTopicPartitionsRequest::default());
    let partition = &response.topics[0].partitions[0];
    assert_eq!(response.topics[0].topic_authorized_operations, TOPIC_OPERATIONS);
    assert_eq!((partition.leader_id, partition.leader_epoch), (BrokerId(1), 0));
    assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![BrokerId(1)], &vec![BrokerId(1)]));
    assert_eq!(partition.eligible_leader_replicas, Some(Vec::new()));
    assert_eq!(partition.last_known_elr, Some(Vec::new()));
}

#[test]
fn describe_log_dirs_tells_sizes() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("a", 1), ("b", 2)]);
    for version in 1..=4 {
        let mut ask = |topics: Option<&[(&str, &[i32])]>| {
            let topics = topics.map(|topics| {
                topics
                    .iter()
                    .map(|(text, indexes)| {
                        DescribableLogDirTopic::default()
                            .with_topic(name(text))
                            .with_partitions(indexes.to_vec())
                    })
                    .collect()
            });
            let response =
                fixture.client.call(version, &DescribeLogDirsRequest::default().with_topics(topics));
            assert_eq!((response.error_code, response.results.len()), (0, 1));
            let directory = &response.results[0];
            assert_eq!(directory.error_code, 0);
            assert!(directory.log_dir.starts_with('/'));
            assert_eq!(directory.total_bytes > 0, version >= 4);
            assert_eq!(directory.usable_bytes > 0, version >= 4);
            let mut topics: Vec<_> = directory
                .topics
                .iter()
                .map(|topic| {
                    let mut partitions: Vec<_> = topic
                        .partitions
                        .iter()
                        .map(|partition| (partition.partition_index, partition.partition_size))
                        .collect();
                    partitions.sort_unstable();
                    (topic.name.to_string(), partitions)
                })
                .collect();
            topics.sort();
            topics
        };
        let (a, b) = (("a".to_owned(), vec![(0, 0)]), ("b".to_owned(), vec![(0, 0), (1, 0)]));
        assert_eq!(ask(None), [a, b.clone()]);
        assert_eq!(ask(Some(&[("b", &[0, 1, 7, -1, 0]), ("nope", &[0]), ("b", &[1]), ("a", &[4])])), [b]);
        assert_eq!(ask(Some(&[])), []);
    }
}
