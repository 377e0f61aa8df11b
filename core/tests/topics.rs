//! Topic administration through a whole broker, by raw frames. Codes and texts are those that Apache Kafka 4.3.0 gave
//! to the same requests; where they differ, the handler's file says so.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::path::Path;

use common::raw::RawClient;
use fluxmq::broker::{self, BrokerHandle};
use fluxmq::config::BrokerConfig;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use fluxmq_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use fluxmq_protocol::messages::create_topics_response::CreatableTopicResult;
use fluxmq_protocol::messages::delete_topics_request::DeleteTopicState;
use fluxmq_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use fluxmq_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use fluxmq_protocol::messages::metadata_request::MetadataRequestTopic;
use fluxmq_protocol::messages::metadata_response::MetadataResponseTopic;
use fluxmq_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeLogDirsRequest, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, MetadataRequest,
    TopicName,
};
use tempfile::TempDir;
use uuid::Uuid;

const TOPIC_OPERATIONS: i32 = 3576;
const CLUSTER_OPERATIONS: i32 = 8096;

struct Fixture {
    client: RawClient,
    address: SocketAddr,
    broker: Option<BrokerHandle>,
    _directory: TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let stopped = self.broker.take().map(BrokerHandle::shutdown);
        assert!(std::thread::panicking() || stopped.is_none_or(|stopped| stopped.is_ok()));
    }
}

fn fixture(settings: &[(&str, &str)]) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path(), settings);
    let address = broker.addr();
    Fixture { client: RawClient::connect(address), address, broker: Some(broker), _directory: directory }
}

fn start(directory: &Path, settings: &[(&str, &str)]) -> BrokerHandle {
    let mut config = BrokerConfig::for_tests(directory);
    for (key, value) in settings {
        match *key {
            "auto.create.topics.enable" => config.auto_create_topics_enable = value.parse().unwrap(),
            "delete.topic.enable" => config.delete_topic_enable = value.parse().unwrap(),
            "num.partitions" => config.num_partitions = value.parse().unwrap(),
            "broker.rack" => config.broker_rack = Some((*value).to_owned()),
            key => panic!("{key}"),
        }
    }
    broker::start(config).unwrap()
}

fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

fn topic(text: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(text))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
}

fn assigned(text: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|(index, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
    });
    topic(text, -1, -1).with_assignments(assignments.collect())
}

fn configured(text: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs.iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string((*key).to_owned()))
            .with_value(value.map(|value| StrBytes::from_string(value.to_owned())))
    });
    topic(text, 1, 1).with_configs(configs.collect())
}

impl Fixture {
    fn try_create(&mut self, version: i16, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
        self.create_request(version, topics, false)
    }

    fn validate(&mut self, version: i16, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
        self.create_request(version, topics, true)
    }

    fn create_request(
        &mut self,
        version: i16,
        topics: Vec<CreatableTopic>,
        validate_only: bool,
    ) -> Vec<CreatableTopicResult> {
        let request = CreateTopicsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(10_000)
            .with_validate_only(validate_only);
        let response = self.client.call(version, &request);
        assert_eq!(response.throttle_time_ms, 0);
        response.topics
    }

    fn create(&mut self, topics: &[(&str, i32)]) {
        let topics = topics.iter().map(|(text, partitions)| topic(text, *partitions, 1)).collect();
        for result in self.try_create(7, topics) {
            assert_eq!(result.error_code, 0, "{result:?}");
        }
    }

    fn metadata(&mut self, version: i16, names: Option<&[&str]>) -> Vec<MetadataResponseTopic> {
        let topics = names.map(|names| {
            names.iter().map(|text| MetadataRequestTopic::default().with_name(Some(name(text)))).collect()
        });
        let request =
            MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(version < 4);
        let mut topics = self.client.call(version, &request).topics;
        topics.sort_by_key(|topic| topic.name.clone());
        topics
    }

    fn id_of(&mut self, text: &str) -> Uuid {
        self.metadata(12, Some(&[text]))[0].topic_id
    }

    fn names(&mut self) -> Vec<String> {
        let topics = self.metadata(12, None);
        topics.into_iter().map(|topic| topic.name.unwrap().to_string()).collect()
    }
}

/// Name, code and text of each result.
fn outcomes(results: &[CreatableTopicResult]) -> Vec<(&str, i16, Option<&str>)> {
    results
        .iter()
        .map(|result| (result.name.as_str(), result.error_code, result.error_message.as_deref()))
        .collect()
}

#[test]
fn create_topics_checks_names_and_counts() {
    let mut fixture = fixture(&[("num.partitions", "3")]);
    let results = fixture.try_create(7, vec![topic("p.a", 2, 1), topic("p_a", 1, 1), topic("b", -1, -1)]);
    // Kafka compares a name with the topics that are there, not with the others of the request.
    assert_eq!(outcomes(&results), [("p.a", 0, None), ("p_a", 0, None), ("b", 0, None)]);
    assert_eq!((results[0].num_partitions, results[0].replication_factor), (2, 1));
    assert_eq!(results[2].num_partitions, 3);
    assert!(!results[2].topic_id.is_nil());
    assert_eq!(fixture.id_of("b"), results[2].topic_id);

    let long = "x".repeat(250);
    let too_long =
        format!("Topic name is invalid: the length of '{long}' is longer than the max allowed length 249");
    let cases: &[(CreatableTopic, i16, &str)] = &[
        (topic("p.a", 2, 1), 36, "Topic 'p.a' already exists."),
        (topic("b", 2, 1), 36, "Topic 'b' already exists."),
        (topic("", 1, 1), 17, "Topic name is invalid: the empty string is not allowed"),
        (topic(".", 1, 1), 17, "Topic name is invalid: '.' is not allowed"),
        (topic("..", 1, 1), 17, "Topic name is invalid: '..' is not allowed"),
        (
            topic("a b", 1, 1),
            17,
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        (topic(&long, 1, 1), 17, &too_long),
        (topic("v", 0, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (topic("v", -2, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (topic("v", 1, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (topic("v", 1, -2), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (topic("v", 0, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (
            topic("v", 1, 3),
            38,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because \
             only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
        ),
        (
            topic("__cluster_metadata", 1, 1),
            42,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
    ];
    for (asked, code, text) in cases {
        for version in [2, 7] {
            let results = fixture.try_create(version, vec![asked.clone()]);
            assert_eq!(outcomes(&results), [(asked.name.as_str(), *code, Some(*text))], "v{version}");
            assert_eq!((results[0].num_partitions, results[0].replication_factor), (-1, -1));
            assert!(results[0].topic_id.is_nil());
        }
    }
    let results = fixture.try_create(7, vec![topic("p-a", 1, 1), topic(&"x".repeat(249), 1, 1)]);
    assert!(results.iter().all(|result| result.error_code == 0), "{results:?}");
    fixture.create(&[("c.d", 1)]);
    let results = fixture.try_create(7, vec![topic("c_d", 1, 1)]);
    assert_eq!(outcomes(&results), [("c_d", 17, Some("Topic 'c_d' collides with existing topic: c.d"))]);
}

#[test]
fn create_topics_refuses_duplicates_and_excess_as_kafka_does() {
    let mut fixture = fixture(&[]);
    let results = fixture.try_create(7, vec![topic("d", 1, 1), topic("e", 1, 1), topic("d", 2, 1)]);
    assert_eq!(outcomes(&results), [("e", 0, None), ("d", 42, Some("Duplicate topic name."))]);
    assert_eq!(fixture.names(), ["e"]);

    let excess = Some("Excessively large number of partitions per request.");
    let results = fixture.try_create(7, vec![topic("big", 10_000, 1), topic("small", 1, 1)]);
    assert_eq!(outcomes(&results), [("big", 44, excess), ("small", 44, excess)]);
    let results = fixture.try_create(7, vec![topic("big", i32::MAX, 1)]);
    assert_eq!(outcomes(&results), [("big", 44, excess)]);
    let results = fixture.try_create(7, vec![topic("big", 10_000, 1)]);
    let batch = Some("Unable to perform excessively large batch operation.");
    assert_eq!(outcomes(&results), [("big", 44, batch)]);
    assert_eq!(fixture.try_create(7, Vec::new()).len(), 0);
    assert_eq!(fixture.names(), ["e"]);
}

#[test]
fn create_topics_takes_assignments_to_this_broker_alone() {
    let mut fixture = fixture(&[]);
    let cases: &[(CreatableTopic, i16, &str)] = &[
        (
            assigned("m", &[(0, &[1])]).with_num_partitions(2),
            42,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (
            assigned("m", &[(0, &[1])]).with_replication_factor(1),
            42,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        (
            assigned("m", &[(0, &[1]), (2, &[1])]),
            39,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (assigned("m", &[(1, &[1])]), 39, "partitions should be a consecutive 0-based integer sequence"),
        (assigned("m", &[(-1, &[1])]), 39, "partitions should be a consecutive 0-based integer sequence"),
        (
            assigned("m", &[(0, &[1]), (0, &[1])]),
            39,
            "Found multiple manual partition assignments for partition 0",
        ),
        (assigned("m", &[(0, &[])]), 39, "The manual partition assignment includes an empty replica list."),
        (
            assigned("m", &[(0, &[2])]),
            39,
            "The manual partition assignment includes broker 2, but no such broker is registered.",
        ),
        (
            assigned("m", &[(0, &[1, 0])]),
            39,
            "The manual partition assignment includes broker 0, but no such broker is registered.",
        ),
        (
            assigned("m", &[(0, &[1, 1])]),
            39,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
    ];
    for (asked, code, text) in cases {
        assert_eq!(outcomes(&fixture.try_create(7, vec![asked.clone()])), [("m", *code, Some(*text))]);
    }
    let results = fixture.try_create(7, vec![assigned("m", &[(1, &[1]), (0, &[1])])]);
    assert_eq!((results[0].error_code, results[0].num_partitions, results[0].replication_factor), (0, 2, 1));
    assert_eq!(fixture.metadata(12, Some(&["m"]))[0].partitions.len(), 2);
}

#[test]
fn create_topics_checks_and_tells_settings() {
    let mut fixture = fixture(&[]);
    let cases: &[(CreatableTopic, &str)] = &[
        (
            configured("c", &[("retention.ms", None), ("x", None), ("y", Some("1"))]),
            "Null value not supported for topic configs: retention.ms,x",
        ),
        (configured("c", &[("nonsense", Some("1"))]), "Unknown topic config name: nonsense"),
        (
            configured("c", &[("retention.ms", Some("abc"))]),
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            configured("c", &[("retention.ms", Some("-2"))]),
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (
            configured("c", &[("cleanup.policy", Some("foo"))]).with_num_partitions(0),
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
    ];
    for (asked, text) in cases {
        assert_eq!(outcomes(&fixture.try_create(7, vec![asked.clone()])), [("c", 40, Some(*text))]);
    }
    let asked = configured("c", &[("retention.ms", Some("1")), ("retention.ms", Some("1000"))]);
    for version in 2..=7 {
        let results = fixture.validate(version, vec![asked.clone()]);
        assert_eq!(outcomes(&results), [("c", 0, None)]);
        let configs = results[0].configs.as_ref().unwrap();
        if version < 5 {
            assert_eq!((configs.len(), results[0].num_partitions), (0, -1));
            continue;
        }
        assert_eq!(configs.len(), 33, "Kafka 4.3 lists as many");
        assert!(configs.is_sorted_by_key(|config| config.name.to_string()));
        let found = |key: &str| configs.iter().find(|config| &*config.name == key).unwrap();
        let retention = found("retention.ms");
        assert_eq!((retention.value.as_deref(), retention.config_source), (Some("1000"), 1));
        let cleanup = found("cleanup.policy");
        assert_eq!((cleanup.value.as_deref(), cleanup.config_source), (Some("delete"), 5));
        assert!(configs.iter().all(|config| !config.read_only && !config.is_sensitive));
    }
    assert_eq!(fixture.names(), Vec::<String>::new(), "validation creates nothing");
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

    let mut closed = self::fixture(&[("auto.create.topics.enable", "false")]);
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
fn create_partitions_only_adds() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("b", 1), ("p", 2)]);
    let more = |text: &str, count: i32| {
        CreatePartitionsTopic::default().with_name(name(text)).with_count(count).with_assignments(None)
    };
    let assign = |text: &str, count: i32, assignments: &[&[i32]]| {
        let assignments = assignments.iter().map(|brokers| {
            CreatePartitionsAssignment::default()
                .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
        });
        more(text, count).with_assignments(Some(assignments.collect()))
    };
    let call = |fixture: &mut Fixture, version: i16, topics: Vec<CreatePartitionsTopic>, only: bool| {
        let request = CreatePartitionsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(10_000)
            .with_validate_only(only);
        let results = fixture.client.call(version, &request).results;
        results
            .into_iter()
            .map(|result| (result.error_code, result.error_message.map(|text| text.to_string())))
            .collect::<Vec<_>>()
    };
    let cases = [
        (more("b", 1), 37, Some("Topic already has 1 partition(s).")),
        (more("p", 1), 37, Some("The topic p currently has 2 partition(s); 1 would not be an increase.")),
        (more("p", -5), 37, Some("The topic p currently has 2 partition(s); -5 would not be an increase.")),
        (more("nope", 3), 3, None),
        (more("", 3), 3, None),
        (
            assign("b", 3, &[&[1]]),
            39,
            Some("Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."),
        ),
        (
            assign("b", 3, &[]),
            39,
            Some("Attempted to add 2 additional partition(s), but only 0 assignment(s) were specified."),
        ),
        (
            assign("b", 3, &[&[1], &[2]]),
            39,
            Some("The manual partition assignment includes broker 2, but no such broker is registered."),
        ),
        (
            assign("b", 3, &[&[1], &[]]),
            39,
            Some("The manual partition assignment includes an empty replica list."),
        ),
        (more("b", 10_002), 44, Some("Excessively large number of partitions per request.")),
    ];
    for (asked, code, text) in cases {
        for only in [true, false] {
            let results = call(&mut fixture, 3, vec![asked.clone()], only);
            assert_eq!(results, [(code, text.map(str::to_owned))]);
        }
    }
    let duplicate = (42, Some("Duplicate topic name.".to_owned()));
    let results = call(&mut fixture, 3, vec![more("p", 4), more("b", 2), more("p", 4)], true);
    assert_eq!(results, [duplicate, (0, None)]);
    assert_eq!(fixture.metadata(12, Some(&["b"]))[0].partitions.len(), 1, "validation adds nothing");
    for (version, count) in (0..=3).zip(2..) {
        assert_eq!(call(&mut fixture, version, vec![more("b", count)], false), [(0, None)]);
        let partitions = &fixture.metadata(12, Some(&["b"]))[0].partitions;
        assert_eq!(i32::try_from(partitions.len()).unwrap(), count);
    }
    assert_eq!(call(&mut fixture, 3, vec![assign("p", 4, &[&[1], &[1]])], false), [(0, None)]);
}

#[test]
fn delete_topics_by_name_and_by_id() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("a", 1), ("b", 2), ("c", 1), ("d", 1)]);
    let ids: Vec<Uuid> = ["a", "b", "c", "d"].map(|text| fixture.id_of(text)).into();
    let by_name = |fixture: &mut Fixture, version: i16, texts: &[&str]| {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(texts.iter().copied().map(name).collect())
            .with_timeout_ms(10_000);
        sorted(fixture.client.call(version, &request).responses)
    };
    let by_state = |fixture: &mut Fixture, topics: &[(Option<&str>, Uuid)]| {
        let topics = topics
            .iter()
            .map(|(text, id)| DeleteTopicState::default().with_name(text.map(name)).with_topic_id(*id));
        let request = DeleteTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(10_000);
        sorted(fixture.client.call(6, &request).responses)
    };
    fn sorted(
        mut results: Vec<fluxmq_protocol::messages::delete_topics_response::DeletableTopicResult>,
    ) -> Vec<(Option<String>, i16, Option<String>)> {
        results.sort_by_key(|result| (result.name.clone(), result.topic_id));
        results
            .into_iter()
            .map(|result| {
                let text = result.error_message.map(|text| text.to_string());
                (result.name.map(|name| name.to_string()), result.error_code, text)
            })
            .collect()
    }
    let outcome = |text: Option<&str>, code: i16, message: Option<&str>| {
        (text.map(str::to_owned), code, message.map(str::to_owned))
    };
    let nil = Uuid::nil();
    let unknown_name = Some("This server does not host this topic-partition.");
    let duplicate = Some("Duplicate topic name.");
    let supplied = Some("The provided topic name maps to an ID that was already supplied.");

    for version in 1..=5 {
        let text = |message| if version >= 5 { message } else { None };
        assert_eq!(
            by_name(&mut fixture, version, &["nope", "a", "a", ""]),
            [
                outcome(Some(""), 3, text(unknown_name)),
                outcome(Some("a"), 42, text(duplicate)),
                outcome(Some("nope"), 3, text(unknown_name)),
            ]
        );
    }
    let stranger = Uuid::from_u128(77 << 90);
    let twice = Uuid::from_u128(78 << 90);
    assert_eq!(
        by_state(
            &mut fixture,
            &[
                (None, nil),
                (Some("a"), ids[0]),
                (Some("nope"), nil),
                (None, stranger),
                (None, twice),
                (None, twice),
                (Some("x"), nil),
                (Some("x"), nil),
            ]
        ),
        [
            outcome(None, 42, Some("Neither topic name nor id were specified.")),
            outcome(None, 100, Some("This server does not host this topic ID.")),
            outcome(None, 42, Some("Duplicate topic id.")),
            outcome(Some("a"), 42, Some("You may not specify both topic name and topic id.")),
            outcome(Some("nope"), 3, unknown_name),
            outcome(Some("x"), 42, duplicate),
        ]
    );
    assert_eq!(
        by_state(&mut fixture, &[(None, ids[1]), (Some("b"), nil)]),
        [outcome(Some("b"), 42, supplied)]
    );
    assert_eq!(
        by_state(&mut fixture, &[(None, ids[1]), (None, ids[1]), (Some("b"), nil)]),
        [outcome(None, 42, Some("Duplicate topic id.")), outcome(Some("b"), 42, supplied)]
    );
    assert_eq!(fixture.names(), ["a", "b", "c", "d"], "nothing was deleted so far");

    assert_eq!(
        by_state(&mut fixture, &[(None, ids[1]), (Some("a"), nil)]),
        [outcome(Some("a"), 0, None), outcome(Some("b"), 0, None)]
    );
    assert_eq!(by_name(&mut fixture, 1, &["c"]), [outcome(Some("c"), 0, None)]);
    assert_eq!(by_name(&mut fixture, 5, &["d"]), [outcome(Some("d"), 0, None)]);
    assert_eq!(fixture.names(), Vec::<String>::new());
    fixture.create(&[("b", 1)]);
    assert_ne!(fixture.id_of("b"), ids[1]);
}

#[test]
fn deletion_can_be_switched_off() {
    let mut fixture = fixture(&[("delete.topic.enable", "false")]);
    fixture.create(&[("a", 1)]);
    for version in 1..=6 {
        let request = if version < 6 {
            DeleteTopicsRequest::default().with_topic_names(vec![name("a")])
        } else {
            DeleteTopicsRequest::default()
                .with_topics(vec![DeleteTopicState::default().with_name(Some(name("a")))])
        };
        let results = fixture.client.call(version, &request).responses;
        assert_eq!(results.len(), 1);
        assert_eq!((&results[0].name, &results[0].error_message), (&Some(name("a")), &None));
        assert_eq!(results[0].error_code, if version < 3 { 42 } else { 73 }, "v{version}");
    }
    assert_eq!(fixture.names(), ["a"]);
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

#[test]
fn topics_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut known = Vec::new();
    for round in 0..3 {
        let broker = start(directory.path(), &[]);
        let address = broker.addr();
        let mut fixture = Fixture {
            client: RawClient::connect(address),
            address,
            broker: Some(broker),
            _directory: tempfile::tempdir().unwrap(),
        };
        let described: Vec<_> = fixture
            .metadata(12, None)
            .into_iter()
            .map(|topic| (topic.topic_id, topic.partitions.len()))
            .collect();
        assert_eq!(described, known, "round {round}");
        match round {
            0 => {
                fixture.create(&[("a", 1), ("b", 3)]);
                known = vec![(fixture.id_of("a"), 1), (fixture.id_of("b"), 3)];
            }
            1 => {
                let request = DeleteTopicsRequest::default().with_topic_names(vec![name("a")]);
                assert_eq!(fixture.client.call(5, &request).responses[0].error_code, 0);
                let more = CreatePartitionsTopic::default()
                    .with_name(name("b"))
                    .with_count(4)
                    .with_assignments(None);
                let request = CreatePartitionsRequest::default().with_topics(vec![more]);
                assert_eq!(fixture.client.call(3, &request).results[0].error_code, 0);
                known = vec![(known[1].0, 4)];
            }
            _ => {}
        }
    }
}
