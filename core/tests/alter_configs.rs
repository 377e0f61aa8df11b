//! IncrementalAlterConfigs: what it changes is in force, is shown, and is there after a restart; what it refuses has
//! changed nothing. Codes and texts as Apache Kafka 4.3.0 answered.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::raw::RawClient;
use fluxmq::config::BrokerConfig;
use fluxmq::server::{self, BrokerHandle};
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::describe_configs_request::DescribeConfigsResource;
use fluxmq_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{
    ConsumerGroupHeartbeatRequest, CreateTopicsRequest, DescribeConfigsRequest, FindCoordinatorRequest,
    GroupId, IncrementalAlterConfigsRequest, ProduceRequest, TopicName,
};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::batch::BatchBuilder;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

struct Fixture {
    broker: BrokerHandle,
    client: RawClient,
}

impl Fixture {
    fn start(directory: &Path) -> Self {
        let broker = server::start(BrokerConfig::for_tests(directory)).unwrap();
        let client = RawClient::connect(broker.addr());
        Fixture { broker, client }
    }

    fn create_topic(&mut self, name: &str) {
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(1)
            .with_replication_factor(1);
        let response = self.client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
        assert_eq!(response.topics[0].error_code, 0);
    }

    fn alter_all(
        &mut self,
        resources: &[(i8, &str, &[Change<'_>])],
        validate_only: bool,
    ) -> Vec<(i16, String)> {
        let resources = resources.iter().map(|(kind, name, changes)| {
            let configs = changes.iter().map(|(key, operation, value)| {
                AlterableConfig::default()
                    .with_name(text(key))
                    .with_config_operation(*operation)
                    .with_value(value.map(text))
            });
            AlterConfigsResource::default()
                .with_resource_type(*kind)
                .with_resource_name(text(name))
                .with_configs(configs.collect())
        });
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(resources.collect())
            .with_validate_only(validate_only);
        let response = self.client.call(1, &request);
        let result = response.responses.into_iter();
        result.map(|one| (one.error_code, one.error_message.unwrap_or_default().to_string())).collect()
    }

    fn alter(&mut self, kind: i8, name: &str, changes: &[Change<'_>]) -> (i16, String) {
        self.alter_all(&[(kind, name, changes)], false).remove(0)
    }

    fn set(&mut self, kind: i8, name: &str, key: &str, value: &str) {
        assert_eq!(self.alter(kind, name, &[(key, SET, Some(value))]), (0, String::new()));
    }

    /// The value and where it comes from.
    fn described(&mut self, kind: i8, name: &str, key: &str) -> (String, i8) {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(Some(vec![text(key)]));
        let response = self.client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]));
        let config = &response.results[0].configs[0];
        (config.value.clone().unwrap_or_default().to_string(), config.config_source)
    }

    fn produce(&mut self, topic: &str, value_bytes: usize) -> ErrorCode {
        let batch = BatchBuilder::new().record(1_000, None, Some(&vec![b'x'; value_bytes])).build();
        let partition = PartitionProduceData::default().with_records(Some(batch.bytes().clone()));
        let topic = TopicProduceData::default()
            .with_name(TopicName(text(topic)))
            .with_partition_data(vec![partition]);
        let request =
            ProduceRequest::default().with_acks(1).with_timeout_ms(5_000).with_topic_data(vec![topic]);
        let response = self.client.call(9, &request);
        ErrorCode::from_code(response.responses[0].partition_responses[0].error_code).unwrap()
    }
}

#[test]
fn a_groups_settings_are_told_to_its_members_and_stay() {
    let directory = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::start(directory.path());
    fixture.set(GROUP, "g", "consumer.heartbeat.interval.ms", "7000");
    fixture.set(GROUP, "g", "consumer.session.timeout.ms", " 50000 ");
    assert_eq!(fixture.described(GROUP, "g", "consumer.session.timeout.ms"), ("50000".into(), 8));
    assert_eq!(
        fixture.alter(GROUP, "g", &[("consumer.session.timeout.ms", DELETE, None)]),
        (0, String::new())
    );
    assert_eq!(fixture.described(GROUP, "g", "consumer.session.timeout.ms"), ("45000".into(), 5));
    fixture.broker.shutdown().unwrap();

    let mut fixture = Fixture::start(directory.path());
    assert_eq!(fixture.described(GROUP, "g", "consumer.heartbeat.interval.ms"), ("7000".into(), 8));
    assert_eq!(fixture.described(GROUP, "h", "consumer.heartbeat.interval.ms"), ("5000".into(), 5));
    fixture.create_topic("t");
    fixture.client.call(0, &FindCoordinatorRequest::default().with_key(text("g")));
    for (group, interval_ms) in [("g", 7_000), ("h", 5_000)] {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_member_id(text("member"))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
            .with_topic_partitions(Some(Vec::new()));
        let response = fixture.client.call(1, &request);
        assert_eq!((response.error_code, response.heartbeat_interval_ms), (0, interval_ms), "{group}");
    }
    fixture.broker.shutdown().unwrap();
}

#[test]
fn a_topics_settings_hold_at_once_and_stay() {
    let directory = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::start(directory.path());
    fixture.create_topic("t");
    assert_eq!(fixture.produce("t", 2_000), ErrorCode::None);
    fixture.set(TOPIC, "t", "max.message.bytes", "1000");
    assert_eq!(fixture.produce("t", 2_000), ErrorCode::MessageTooLarge);
    assert_eq!(fixture.produce("t", 500), ErrorCode::None);
    let changes = [("cleanup.policy", APPEND, Some("compact,delete")), ("retention.ms", SET, Some("5000"))];
    assert_eq!(fixture.alter(TOPIC, "t", &changes), (0, String::new()));
    assert_eq!(fixture.described(TOPIC, "t", "cleanup.policy"), ("delete,compact".into(), 1));
    // Compacted now: a record needs a key.
    assert_eq!(fixture.produce("t", 500), ErrorCode::InvalidRecord);
    assert_eq!(fixture.alter(TOPIC, "t", &[("cleanup.policy", SUBTRACT, Some("compact,none"))]).0, 0);
    assert_eq!(fixture.produce("t", 500), ErrorCode::None);
    fixture.broker.shutdown().unwrap();

    let mut fixture = Fixture::start(directory.path());
    assert_eq!(fixture.described(TOPIC, "t", "cleanup.policy"), ("delete".into(), 1));
    assert_eq!(fixture.described(TOPIC, "t", "retention.ms"), ("5000".into(), 1));
    assert_eq!(fixture.produce("t", 2_000), ErrorCode::MessageTooLarge);
    assert_eq!(fixture.alter(TOPIC, "t", &[("max.message.bytes", DELETE, None)]).0, 0);
    assert_eq!(fixture.produce("t", 2_000), ErrorCode::None);
    fixture.broker.shutdown().unwrap();
}

#[test]
fn a_segment_is_rolled_at_the_new_size() {
    let directory = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::start(directory.path());
    fixture.create_topic("t");
    fixture.set(TOPIC, "t", "segment.bytes", "1048576");
    for _ in 0..3 {
        assert_eq!(fixture.produce("t", 600_000), ErrorCode::None);
    }
    let segments = std::fs::read_dir(directory.path().join("t-0")).unwrap();
    let segments = segments
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"));
    assert_eq!(segments.count(), 3);
    fixture.broker.shutdown().unwrap();
}

#[test]
fn what_is_refused_has_changed_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::start(directory.path());
    fixture.create_topic("t");
    let cases: [(i8, &str, &[Change<'_>], i16, &str); 22] = [
        (
            GROUP,
            "g",
            &[
                ("consumer.heartbeat.interval.ms", SET, Some("7000")),
                ("consumer.session.timeout.ms", SET, Some("1000")),
            ],
            40,
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (GROUP, "g", &[("nope", SET, Some("1"))], 40, "Unknown group config name: nope"),
        (GROUP, "g", &[("nope", DELETE, None)], 0, ""),
        (GROUP, "g", &[], 0, ""),
        (
            GROUP,
            "g",
            &[("consumer.session.timeout.ms", APPEND, Some("1"))],
            40,
            "Can't APPEND to key consumer.session.timeout.ms because its type is not LIST.",
        ),
        (
            GROUP,
            "g",
            &[("nope", SUBTRACT, Some("1"))],
            40,
            "Can't SUBTRACT to key nope because its type is not LIST.",
        ),
        (GROUP, "g", &[("a", SET, None), ("b", APPEND, None)], 42, "Null value not supported for : a, b"),
        (GROUP, "g", &[("a", SET, Some("1")), ("a", DELETE, None)], 42, "Error due to duplicate config keys"),
        (GROUP, "g", &[("a", 9, Some("1"))], 42, "Unknown operations type 9"),
        (GROUP, "", &[("nope", SET, Some("1"))], 42, "Default group resources are not allowed."),
        (
            GROUP,
            "",
            &[("nope", APPEND, Some("1"))],
            40,
            "Can't APPEND to key nope because its type is not LIST.",
        ),
        (TOPIC, "t", &[("nope", SET, Some("1"))], 40, "Unknown topic config name: nope"),
        (
            TOPIC,
            "t",
            &[("retention.ms", SET, Some("abc")), ("segment.ms", SET, Some("5"))],
            40,
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (TOPIC, "nosuch", &[("retention.ms", SET, Some("1"))], 3, "The topic 'nosuch' does not exist."),
        (
            TOPIC,
            "nosuch",
            &[("retention.ms", SET, Some("abc"))],
            40,
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            TOPIC,
            "a b",
            &[("retention.ms", SET, Some("1"))],
            17,
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        (TOPIC, "", &[("retention.ms", SET, Some("1"))], 42, "Default topic resources are not allowed."),
        (
            BROKER,
            "7",
            &[("log.retention.ms", SET, Some("1"))],
            42,
            "Unexpected broker id, expected 1, but received 7",
        ),
        (
            BROKER,
            "x",
            &[("log.retention.ms", SET, Some("1"))],
            42,
            "Node id must be an integer, but it is: x",
        ),
        (
            BROKER,
            "1",
            &[("broker.rack", SET, Some("1"))],
            42,
            "Cannot update these configs dynamically: [broker.rack]",
        ),
        (77, "x", &[("a", SET, Some("b"))], 42, "Unknown resource type 77"),
        (0, "x", &[], 42, "Unknown resource type 0"),
    ];
    for (kind, name, changes, code, message) in cases {
        assert_eq!(
            fixture.alter(kind, name, changes),
            (code, message.to_owned()),
            "{kind} {name} {changes:?}"
        );
    }
    let twice: [(i8, &str, &[Change<'_>]); 2] = [(GROUP, "g", &[]), (GROUP, "g", &[])];
    let refused = (42, "Each resource must appear at most once.".to_owned());
    assert_eq!(fixture.alter_all(&twice, false), [refused.clone(), refused]);
    let valid: [(i8, &str, &[Change<'_>]); 2] = [
        (GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))]),
        (TOPIC, "t", &[("retention.ms", SET, Some("5"))]),
    ];
    assert_eq!(fixture.alter_all(&valid, true), [(0, String::new()), (0, String::new())]);

    assert_eq!(fixture.described(GROUP, "g", "consumer.heartbeat.interval.ms").1, 5);
    assert_eq!(fixture.described(GROUP, "g", "consumer.session.timeout.ms").1, 5);
    assert_eq!(fixture.described(TOPIC, "t", "retention.ms").1, 5);
    assert_eq!(fixture.described(TOPIC, "t", "segment.ms").1, 5);
    fixture.broker.shutdown().unwrap();
}
