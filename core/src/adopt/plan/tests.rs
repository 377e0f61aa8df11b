use fluxmq_protocol::StrBytes;
use uuid::Uuid;

use super::*;
use crate::adopt::image::PartitionImage;
use crate::config::Settings;

fn broker() -> BrokerConfig {
    BrokerConfig::from_settings(Settings::default()).unwrap()
}

fn partition(leader: i32, replicas: &[i32], leader_epoch: i32) -> PartitionImage {
    PartitionImage { replicas: replicas.to_vec(), leader, leader_epoch }
}

/// A cluster of node 1 with topic `a` of two partitions.
fn cluster() -> MetadataImage {
    let partitions = BTreeMap::from([(0, partition(-1, &[1], 4)), (1, partition(1, &[1], 0))]);
    let topic = TopicImage { id: Uuid::from_u128(700), partitions };
    MetadataImage {
        topics: BTreeMap::from([("a".to_owned(), topic)]),
        controllers: BTreeSet::from([1]),
        next_producer_id: 3000,
        ..Default::default()
    }
}

fn set(image: &mut MetadataImage, resource: (i8, &str), key: &str, value: &str) {
    let settings = image.configs.entry((resource.0, resource.1.to_owned())).or_default();
    settings.insert(key.to_owned(), value.to_owned());
}

const TOPIC_A: (i8, &str) = (resource_type::TOPIC, "a");

fn planned(image: MetadataImage) -> Result<Plan, PlanError> {
    plan(&ClusterMetadata { image, end_offset: 52 }, 1, &broker())
}

fn texts(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn topics_are_taken_with_their_ids_epochs_and_settings() {
    let mut image = cluster();
    set(&mut image, TOPIC_A, "cleanup.policy", "compact");
    set(&mut image, TOPIC_A, "message.downconversion.enable", "true");
    let plan = planned(image).unwrap();
    let expected = ImportedTopic {
        id: Uuid::from_u128(700),
        leader_epochs: vec![4, 0],
        configs: texts(&[("cleanup.policy", "compact")]),
    };
    assert_eq!(plan.import.topics, BTreeMap::from([("a".to_owned(), expected)]));
    assert_eq!((plan.import.next_producer_id, plan.import.features_epoch), (3000, 52));
    assert_eq!(plan.left_out, ["topic a: message.downconversion.enable, unknown to topics of Kafka 4"]);
}

#[test]
fn groups_and_features_are_taken_as_far_as_they_are_known() {
    let mut image = cluster();
    set(&mut image, (resource_type::GROUP, "g"), "consumer.session.timeout.ms", "50000");
    set(&mut image, (resource_type::GROUP, "h"), "from.a.later.kafka", "1");
    image.feature_levels = BTreeMap::from([
        ("metadata.version".to_owned(), 30),
        ("share.version".to_owned(), 1),
        ("transaction.version".to_owned(), 3),
    ]);
    let plan = planned(image).unwrap();
    let session = texts(&[("consumer.session.timeout.ms", "50000")]);
    assert_eq!(plan.import.groups, BTreeMap::from([("g".to_owned(), session)]));
    let levels = [("group.version".to_owned(), 0), ("transaction.version".to_owned(), 2)];
    assert_eq!(plan.import.feature_levels, BTreeMap::from(levels));
    assert_eq!(
        plan.left_out,
        [
            "group h: from.a.later.kafka, unknown to groups of Kafka 4.3",
            "transaction.version=3: FluxMQ knows it up to 2",
            "features that FluxMQ doesn't have: metadata.version=30, share.version=1",
        ]
    );
}

#[test]
fn settings_of_brokers_and_what_secures_the_cluster_are_told() {
    let mut image = cluster();
    let all = (resource_type::BROKER, "");
    set(&mut image, all, "log.retention.ms", "1000");
    set(&mut image, all, "log.segment.bytes", "2000000");
    set(&mut image, (resource_type::BROKER, "1"), "log.retention.ms", "2000");
    set(&mut image, (resource_type::BROKER, "2"), "log.retention.ms", "3000");
    set(&mut image, (resource_type::BROKER, "1"), "ssl.keystore.password", "secret");
    set(&mut image, all, "min.insync.replicas", "1");
    set(&mut image, (resource_type::CLIENT_METRICS, "m"), "interval.ms", "1000");
    image.access_control_entries.insert(Uuid::from_u128(1));
    let user = vec![(StrBytes::from_static_str("user"), None)];
    image.client_quotas.insert((user, StrBytes::from_static_str("producer_byte_rate")));
    image.passed_over.extend([PassedOver::ScramCredentials, PassedOver::NoOp]);
    assert_eq!(
        planned(image).unwrap().left_out,
        [
            "the broker's setting log.retention.ms: start with --override log.retention.ms=2000",
            "the broker's setting log.segment.bytes: start with --override log.segment.bytes=2000000",
            "settings of brokers without effect here: ssl.keystore.password",
            "1 subscriptions to metrics of clients: FluxMQ takes none",
            "ACLs (1): with FluxMQ whoever can connect may do everything",
            "client quotas (1): FluxMQ has none",
            "SCRAM credentials: FluxMQ doesn't ask who connects",
        ]
    );
}

#[test]
fn other_nodes_are_refused() {
    let mut image = cluster();
    image.controllers.extend([2, 3]);
    assert_eq!(planned(image).unwrap_err(), PlanError::OtherControllers("2, 3".to_owned()));
    for elsewhere in [partition(2, &[1], 0), partition(1, &[1, 2], 0), partition(-1, &[2], 0)] {
        let mut image = cluster();
        let topic = image.topics.get_mut("a").unwrap();
        topic.partitions.extend((1..8).map(|index| (index, elsewhere.clone())));
        let names = "a-1, a-2, a-3, a-4, a-5 and 2 more".to_owned();
        assert_eq!(planned(image).unwrap_err(), PlanError::OtherNodes(names));
    }
}

#[test]
fn settings_that_a_start_would_refuse_are_found_now() {
    let mut image = cluster();
    set(&mut image, TOPIC_A, "retention.ms", "never");
    let text = planned(image).unwrap_err().to_string();
    assert!(text.starts_with("settings that FluxMQ refuses: topic a: Invalid value never"), "{text}");
    let mut image = cluster();
    set(&mut image, TOPIC_A, "remote.storage.enable", "true");
    assert_eq!(planned(image).unwrap_err(), PlanError::TieredStorage("a".to_owned()));
}

#[test]
fn a_topic_with_a_hole_is_refused() {
    let mut image = cluster();
    image.topics.get_mut("a").unwrap().partitions.remove(&0);
    let missing = |partition| PlanError::MissingPartition { topic: "a".to_owned(), partition };
    assert_eq!(planned(image).unwrap_err(), missing(0));
    let mut image = cluster();
    image.topics.get_mut("a").unwrap().partitions.clear();
    assert_eq!(planned(image).unwrap_err(), missing(0));
}
