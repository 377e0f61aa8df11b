//! Records as Kafka 4.3.0 wrote them: fixtures/metadata_records.txt has values of its metadata log.

use super::*;

/// A value of Kafka's, by its name.
fn fixture(name: &str) -> Vec<u8> {
    let lines = include_str!("../../tests/fixtures/metadata_records.txt").lines();
    let hex = lines.filter_map(|line| line.split_once(' ')).find(|(found, _)| *found == name).unwrap().1;
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn decode(name: &str) -> MetadataRecord {
    MetadataRecord::decode(&fixture(name)).unwrap()
}

const TOPIC_ID: Uuid = Uuid::from_u128(0x384e_da2c_cf23_499b_8aca_c954_a81b_e506);

#[test]
fn topics_and_partitions_of_kafka_are_read() {
    let topic = TopicRecord { name: "orders".into(), topic_id: TOPIC_ID };
    assert_eq!(decode("topic"), MetadataRecord::Topic(topic));
    let partition = PartitionRecord {
        partition_id: 1,
        topic_id: TOPIC_ID,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: vec![Uuid::from_u128(0x2d99_99ac_9b40_73a5_5e61_e489_d7d2_d0ae)],
        ..Default::default()
    };
    assert_eq!(decode("partition"), MetadataRecord::Partition(partition));
    let change = PartitionChangeRecord {
        partition_id: 1,
        topic_id: TOPIC_ID,
        isr: Some(Vec::new()),
        leader: -1,
        eligible_leader_replicas: Some(vec![1]),
        last_known_elr: Some(vec![1]),
        ..Default::default()
    };
    assert_eq!(decode("partition-change"), MetadataRecord::PartitionChange(change));
    assert!(matches!(decode("remove-topic"), MetadataRecord::RemoveTopic(gone) if !gone.topic_id.is_nil()));
}

#[test]
fn settings_and_levels_of_kafka_are_read() {
    let config = |resource_type, resource_name: &str, name: &str, value: Option<&str>| {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let value = value.map(text);
        let (resource_name, name) = (text(resource_name), text(name));
        MetadataRecord::Config(ConfigRecord { resource_type, resource_name, name, value })
    };
    use resource_type::{BROKER, GROUP, TOPIC};
    assert_eq!(decode("topic-config"), config(TOPIC, "orders", "cleanup.policy", Some("compact")));
    assert_eq!(decode("topic-config-removed"), config(TOPIC, "orders", "retention.ms", None));
    assert_eq!(decode("group-config"), config(GROUP, "g1", "consumer.session.timeout.ms", Some("50000")));
    assert_eq!(decode("broker-config"), config(BROKER, "", "min.insync.replicas", Some("1")));
    for (name, feature, feature_level) in
        [("feature-level", "metadata.version", 30), ("feature-level-off", "streams.version", 0)]
    {
        let level = FeatureLevelRecord { name: StrBytes::from_static_str(feature), feature_level };
        assert_eq!(decode(name), MetadataRecord::FeatureLevel(level));
    }
    let ids = ProducerIdsRecord { broker_id: 1, broker_epoch: 12, next_producer_id: 1000 };
    assert_eq!(decode("producer-ids"), MetadataRecord::ProducerIds(ids));
}

#[test]
fn what_is_only_counted_is_read_whole() {
    let MetadataRecord::RegisterController(controller) = decode("register-controller") else {
        unreachable!()
    };
    assert_eq!((controller.controller_id, controller.features.len()), (1, 7));
    let endpoint = &controller.end_points[0];
    assert_eq!((&*endpoint.name, &*endpoint.host, endpoint.port), ("CONTROLLER", "localhost", 29293));
    let MetadataRecord::AccessControlEntry(entry) = decode("access-control-entry") else { unreachable!() };
    assert_eq!((&*entry.resource_name, &*entry.principal, &*entry.host), ("orders", "User:alice", "*"));
    let MetadataRecord::ClientQuota(quota) = decode("client-quota") else { unreachable!() };
    assert_eq!((&*quota.key, f64::from_bits(quota.value as u64)), ("producer_byte_rate", 1024.0));
    assert_eq!(quota.entity[0].entity_name.as_deref(), Some("alice"));
    assert!(!quota.remove);
}

#[test]
fn what_concerns_nodes_is_passed_over_by_name() {
    for (name, expected) in [
        ("register-broker", PassedOver::Brokers),
        ("broker-registration-change", PassedOver::Brokers),
        ("no-op", PassedOver::NoOp),
        ("scram", PassedOver::ScramCredentials),
    ] {
        assert_eq!(decode(name), MetadataRecord::PassedOver(expected));
    }
    assert_eq!(decode("begin-transaction"), MetadataRecord::BeginTransaction);
    assert_eq!(decode("end-transaction"), MetadataRecord::EndTransaction);
}

#[test]
fn what_is_not_known_is_refused() {
    use MetadataRecordError::*;
    let decode = MetadataRecord::decode;
    assert_eq!(decode(&[0, 2, 0]), Err(UnknownFrame { frame_version: 0 }));
    for record_type in [6, 13, 29] {
        assert_eq!(decode(&[1, record_type, 0]), Err(UnknownType { record_type: record_type.into() }));
    }
    let mut newer = fixture("partition");
    newer[2] = 3;
    assert_eq!(decode(&newer), Err(UnknownVersion { record_type: 3, version: 3 }));
    let longer = [&fixture("topic")[..], &[0]].concat();
    assert_eq!(decode(&longer), Err(TrailingBytes { record_type: 2, left_bytes: 1 }));
}

#[test]
fn a_cut_record_is_refused_at_every_byte() {
    for name in ["topic", "partition", "partition-change", "topic-config", "register-controller"] {
        let whole = fixture(name);
        for end in 0..whole.len() {
            let decoded = MetadataRecord::decode(&whole[..end]);
            assert!(matches!(decoded, Err(MetadataRecordError::Shape(_))), "{name} {end}: {decoded:?}");
        }
    }
}

#[test]
fn a_count_must_fit_in_the_bytes_left() {
    let mut huge = fixture("partition");
    // The compact count of the replicas becomes one of five bytes.
    huge.splice(23..24, [0xff, 0xff, 0xff, 0xff, 0x07]);
    let decoded = MetadataRecord::decode(&huge);
    assert!(
        matches!(decoded, Err(MetadataRecordError::Shape(ShapeError::NotEnoughBytes { position: 28, .. }))),
        "{decoded:?}"
    );
}
