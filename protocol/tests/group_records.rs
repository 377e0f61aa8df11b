//! The records of `__consumer_offsets` and the consumer protocol against Kafka's own classes, whose bytes are in
//! fixtures/group_records.txt (java-tests/kafka/GroupRecordCases.java prints them), and against any bytes.
#![allow(clippy::unwrap_used)]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/group_records.rs"]
mod support;

use std::collections::BTreeSet;

use bytes::Bytes;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::consumer_protocol;
use fluxmq_protocol::group_records::*;
use fluxmq_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use fluxmq_protocol::messages::consumer_protocol_subscription::TopicPartition as Owned;
use fluxmq_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName};
use proptest::prelude::*;
use uuid::Uuid;

use support::decode_is_bounded_and_stable;

const TOPIC_ID: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
const OTHER_ID: Uuid = Uuid::from_u128(0xffff_ffff_ffff_ffff_0000_0000_0000_0001);
const TIME_MS: i64 = 1_700_000_000_000;

/// A record as Kafka wrote it.
struct Case {
    name: String,
    record_type: String,
    version: Option<i16>,
    content: String,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

fn cases() -> Vec<Case> {
    let case = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [record_type, version, content, key, value] = fields[..] else { panic!("{line}") };
        Case {
            name: format!("{record_type} {version} {content}"),
            record_type: record_type.to_owned(),
            version: version.parse().ok(),
            content: content.to_owned(),
            key: bytes(key).unwrap_or_default(),
            value: bytes(value),
        }
    };
    include_str!("fixtures/group_records.txt").lines().map(case).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (hex != "-").then(|| (0..hex.len()).step_by(2).map(byte).collect())
}

fn records() -> impl Iterator<Item = Case> {
    let other = |name: &str| matches!(name, "Subscription" | "Assignment");
    cases().into_iter().filter(move |case| !other(&case.record_type))
}

/// What the case must decode to; none for the types of other groups.
fn expected(case: &Case) -> Option<GroupRecord> {
    let all = case.content != "none";
    let has_value = case.version.is_some();
    let version = case.version.unwrap_or(0);
    let group: StrBytes = "group".into();
    let group_id = group.clone();
    let member_id: StrBytes = "member".into();
    Some(match &case.record_type[..] {
        "OffsetCommit" | "LegacyOffsetCommit" => {
            let value = if all {
                OffsetCommitValue {
                    offset: 1 << 40,
                    leader_epoch: if version >= 3 { 5 } else { -1 },
                    metadata: "méta".into(),
                    commit_timestamp: TIME_MS,
                    expire_timestamp: if version == 1 { TIME_MS + 100_000 } else { -1 },
                    topic_id: if version >= 4 { TOPIC_ID } else { Uuid::nil() },
                }
            } else {
                OffsetCommitValue::default()
            };
            let key = OffsetCommitKey { group, topic: "topic".into(), partition: 7 };
            GroupRecord::OffsetCommit(key, has_value.then_some(value))
        }
        "GroupMetadata" => {
            let value = if all { group_metadata(version) } else { GroupMetadataValue::default() };
            GroupRecord::GroupMetadata(GroupMetadataKey { group }, has_value.then_some(value))
        }
        "ConsumerGroupMetadata" => {
            let value = ConsumerGroupMetadataValue { epoch: 11, metadata_hash: Some(-2) };
            let value = if all { value } else { Default::default() };
            GroupRecord::ConsumerGroupMetadata(
                ConsumerGroupMetadataKey { group_id },
                has_value.then_some(value),
            )
        }
        "ConsumerGroupPartitionMetadata" => {
            let value = if all { partition_metadata() } else { Default::default() };
            let key = ConsumerGroupPartitionMetadataKey { group_id };
            GroupRecord::ConsumerGroupPartitionMetadata(key, has_value.then_some(value))
        }
        "ConsumerGroupMemberMetadata" => {
            let value = match &case.content[..] {
                "all" => member_metadata(),
                "empty-classic" => ConsumerGroupMemberMetadataValue {
                    classic_member_metadata: Some(ClassicMemberMetadata::default()),
                    ..Default::default()
                },
                _ => ConsumerGroupMemberMetadataValue::default(),
            };
            let key = ConsumerGroupMemberMetadataKey { group_id, member_id };
            GroupRecord::ConsumerGroupMemberMetadata(key, has_value.then_some(value))
        }
        "ConsumerGroupTargetAssignmentMetadata" => {
            let value = ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch: 12,
                assignment_timestamp: Some(TIME_MS),
            };
            let value = if all { value } else { Default::default() };
            let key = ConsumerGroupTargetAssignmentMetadataKey { group_id };
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, has_value.then_some(value))
        }
        "ConsumerGroupTargetAssignmentMember" => {
            let topic_partitions = vec![
                TopicPartitions { topic_id: TOPIC_ID, partitions: vec![0, 3] },
                TopicPartitions { topic_id: OTHER_ID, partitions: Vec::new() },
            ];
            let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions };
            let value = if all { value } else { Default::default() };
            let key = ConsumerGroupTargetAssignmentMemberKey { group_id, member_id };
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, has_value.then_some(value))
        }
        "ConsumerGroupCurrentMemberAssignment" => {
            let key = ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id };
            let value = current_assignment(&case.content);
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, has_value.then_some(value))
        }
        "ConsumerGroupRegularExpression" => {
            let value = ConsumerGroupRegularExpressionValue {
                topics: vec!["a".into(), "ab".into()],
                version: 99,
                timestamp: TIME_MS,
            };
            let value = if all { value } else { Default::default() };
            let key = ConsumerGroupRegularExpressionKey { group_id, regular_expression: "a.*".into() };
            GroupRecord::ConsumerGroupRegularExpression(key, has_value.then_some(value))
        }
        _ => return None,
    })
}

fn group_metadata(version: i16) -> GroupMetadataValue {
    let at_least = |first: i16, value: i32| if version >= first { value } else { -1 };
    let first = MemberMetadata {
        member_id: "member-1".into(),
        group_instance_id: (version >= 3).then(|| "instance-1".into()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout: at_least(1, 300_000),
        session_timeout: 45_000,
        subscription: Bytes::from_static(&[0, 1, 2]),
        assignment: Bytes::from_static(&[3, 4]),
    };
    let second = MemberMetadata {
        member_id: "member-2".into(),
        group_instance_id: None,
        client_id: "".into(),
        client_host: "/::1".into(),
        rebalance_timeout: at_least(1, 1),
        session_timeout: 2,
        subscription: Bytes::from_static(&[0; 300]),
        assignment: Bytes::new(),
    };
    GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 3,
        protocol: Some("range".into()),
        leader: Some("member-1".into()),
        current_state_timestamp: if version >= 2 { TIME_MS } else { -1 },
        members: vec![first, second],
    }
}

fn partition_metadata() -> ConsumerGroupPartitionMetadataValue {
    let racks = vec![
        PartitionMetadata { partition: 0, racks: vec!["a".into(), "b".into()] },
        PartitionMetadata { partition: 1, racks: Vec::new() },
    ];
    let topic = |topic_id, topic_name: &'static str, num_partitions, partition_metadata| TopicMetadata {
        topic_id,
        topic_name: topic_name.into(),
        num_partitions,
        partition_metadata,
    };
    let topics = vec![topic(TOPIC_ID, "topic", 2, racks), topic(OTHER_ID, "other", 1, Vec::new())];
    ConsumerGroupPartitionMetadataValue { topics }
}

fn member_metadata() -> ConsumerGroupMemberMetadataValue {
    let protocol = |name: &'static str, metadata: &'static [u8]| ClassicProtocol {
        name: name.into(),
        metadata: Bytes::from_static(metadata),
    };
    ConsumerGroupMemberMetadataValue {
        instance_id: Some("instance".into()),
        rack_id: Some("rack".into()),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        subscribed_topic_names: vec!["a".into(), "b".into()],
        subscribed_topic_regex: Some("a.*".into()),
        rebalance_timeout_ms: 300_000,
        server_assignor: Some("uniform".into()),
        classic_member_metadata: Some(ClassicMemberMetadata {
            session_timeout_ms: 45_000,
            supported_protocols: vec![protocol("range", &[0, 1]), protocol("sticky", &[0; 200])],
        }),
    }
}

fn current_assignment(content: &str) -> ConsumerGroupCurrentMemberAssignmentValue {
    let topic = |topic_id, partitions: &[i32], epochs: Option<&[i32]>| AssignedTopicPartitions {
        topic_id,
        partitions: partitions.to_vec(),
        assignment_epochs: epochs.map(<[i32]>::to_vec),
    };
    match content {
        "all" => ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: 13,
            previous_member_epoch: 12,
            state: 1,
            assigned_partitions: vec![topic(TOPIC_ID, &[0, 1], Some(&[11, 13]))],
            partitions_pending_revocation: vec![topic(OTHER_ID, &[5], None)],
        },
        "null-epochs" => ConsumerGroupCurrentMemberAssignmentValue {
            assigned_partitions: vec![topic(TOPIC_ID, &[0], None)],
            ..Default::default()
        },
        _ => ConsumerGroupCurrentMemberAssignmentValue::default(),
    }
}

#[test]
fn every_version_that_kafka_knows_is_read() {
    for case in records() {
        let decoded = GroupRecord::decode(&case.key, case.value.as_deref());
        match expected(&case) {
            Some(record) => assert_eq!(decoded, Ok(record), "{}", case.name),
            None => {
                assert!(
                    matches!(decoded, Err(RecordError::UnknownType { .. })),
                    "{}: {decoded:?}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn the_version_that_kafka_writes_is_written_in_its_bytes() {
    let mut compared = BTreeSet::new();
    for case in records() {
        let Some(record) = expected(&case) else { continue };
        // These read as another record that Kafka writes: without the field, and with the present type.
        let rewritten = case.record_type == "LegacyOffsetCommit"
            || matches!(&case.content[..], "unknown-tag" | "null-epochs");
        let (key, value) = record.encode().unwrap();
        if rewritten
            || value.as_deref().map(|value| value[..2].to_vec())
                != case.value.as_deref().map(|value| value[..2].to_vec())
        {
            continue;
        }
        assert_eq!((&key[..], value.as_deref()), (&case.key[..], case.value.as_deref()), "{}", case.name);
        compared.insert(case.name);
    }
    let written = |name: &str, version: i16| {
        [format!("{name} {version} all"), format!("{name} {version} none"), format!("{name} - tombstone")]
    };
    let mut all: BTreeSet<String> = [
        "ConsumerGroupMetadata",
        "ConsumerGroupPartitionMetadata",
        "ConsumerGroupMemberMetadata",
        "ConsumerGroupTargetAssignmentMetadata",
        "ConsumerGroupTargetAssignmentMember",
        "ConsumerGroupCurrentMemberAssignment",
        "ConsumerGroupRegularExpression",
    ]
    .into_iter()
    .flat_map(|name| written(name, 0))
    .collect();
    all.extend(written("OffsetCommit", 4));
    all.extend(written("GroupMetadata", 3));
    all.insert("OffsetCommit 1 all".to_owned());
    all.insert("ConsumerGroupMemberMetadata 0 empty-classic".to_owned());
    assert_eq!(compared, all);
}

#[test]
fn consumer_protocol_messages_are_kafkas() {
    let name = |name: &'static str| TopicName(name.into());
    let owned = |topic, partitions| Owned::default().with_topic(name(topic)).with_partitions(partitions);
    let assigned =
        |topic, partitions| Assigned::default().with_topic(name(topic)).with_partitions(partitions);
    let subscription = ConsumerProtocolSubscription::default()
        .with_topics(vec!["a".into(), "b".into()])
        .with_user_data(Some(Bytes::from_static(&[1, 2])))
        .with_owned_partitions(vec![owned("a", vec![0, 2]), owned("b", vec![1])])
        .with_generation_id(4)
        .with_rack_id(Some("rack".into()));
    let assignment = ConsumerProtocolAssignment::default()
        .with_assigned_partitions(vec![assigned("a", vec![0, 2]), assigned("b", vec![1])])
        .with_user_data(Some(Bytes::from_static(&[3])));
    let mut compared = 0;
    for case in cases() {
        let (Some(version), Some(value)) = (case.version, case.value.map(Bytes::from)) else { continue };
        let encoded = match &case.record_type[..] {
            "Subscription" => {
                let decoded = consumer_protocol::decode_subscription(&value).unwrap();
                assert_eq!(decoded.topics, subscription.topics);
                assert_eq!(decoded.rack_id.is_some(), version >= 3, "{}", case.name);
                consumer_protocol::encode_subscription(&subscription, version).unwrap()
            }
            "Assignment" => {
                assert_eq!(consumer_protocol::decode_assignment(&value), Ok(assignment.clone()));
                consumer_protocol::encode_assignment(&assignment, version).unwrap()
            }
            _ => continue,
        };
        assert_eq!(encoded, value, "{}", case.name);
        compared += 1;
    }
    assert_eq!(compared, 8);
}

fn text() -> impl Strategy<Value = StrBytes> {
    any::<String>().prop_map(StrBytes::from_string)
}

fn blob() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn some<T: std::fmt::Debug>(element: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(element, 0..5)
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn maybe<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(value)
}

prop_compose! {
    fn classic_member()(
        member_id in text(), group_instance_id in maybe(text()), client_id in text(), client_host in text(),
        rebalance_timeout: i32, session_timeout: i32, subscription in blob(), assignment in blob(),
    ) -> MemberMetadata {
        MemberMetadata {
            member_id, group_instance_id, client_id, client_host, rebalance_timeout, session_timeout, subscription,
            assignment,
        }
    }
}

prop_compose! {
    fn classic_metadata()(
        session_timeout_ms: i32,
        protocols in some((text(), blob())),
    ) -> ClassicMemberMetadata {
        let protocol = |(name, metadata)| ClassicProtocol { name, metadata };
        ClassicMemberMetadata { session_timeout_ms, supported_protocols: protocols.into_iter().map(protocol).collect() }
    }
}

prop_compose! {
    fn member()(
        instance_id in maybe(text()), rack_id in maybe(text()), client_id in text(), client_host in text(),
        subscribed_topic_names in some(text()), subscribed_topic_regex in maybe(text()), rebalance_timeout_ms: i32,
        server_assignor in maybe(text()), classic_member_metadata in maybe(classic_metadata()),
    ) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id, rack_id, client_id, client_host, subscribed_topic_names, subscribed_topic_regex,
            rebalance_timeout_ms, server_assignor, classic_member_metadata,
        }
    }
}

fn assigned() -> impl Strategy<Value = Vec<AssignedTopicPartitions>> {
    let epochs = maybe(proptest::collection::vec(any::<i32>(), 1..5));
    some((uuid(), some(any::<i32>()), epochs).prop_map(|(topic_id, partitions, assignment_epochs)| {
        AssignedTopicPartitions { topic_id, partitions, assignment_epochs }
    }))
}

fn topics() -> impl Strategy<Value = Vec<TopicMetadata>> {
    let racks = (any::<i32>(), some(text()));
    let racks = some(racks.prop_map(|(partition, racks)| PartitionMetadata { partition, racks }));
    some((uuid(), text(), any::<i32>(), racks).prop_map(
        |(topic_id, topic_name, num_partitions, partition_metadata)| TopicMetadata {
            topic_id,
            topic_name,
            num_partitions,
            partition_metadata,
        },
    ))
}

/// Any record that comes back as it was: an offset with an expiry time has neither leader epoch nor topic id, and
/// what Kafka leaves out (0, an empty array) is none.
fn record() -> impl Strategy<Value = GroupRecord> {
    let not_zero = || maybe(any::<i64>().prop_filter("left out", |value| *value != 0));
    let commit = (any::<i64>(), any::<i32>(), text(), any::<i64>(), maybe(0_i64..), uuid()).prop_map(
        |(offset, leader_epoch, metadata, commit_timestamp, expires, topic_id)| OffsetCommitValue {
            offset,
            leader_epoch: if expires.is_some() { -1 } else { leader_epoch },
            metadata,
            commit_timestamp,
            expire_timestamp: expires.unwrap_or(-1),
            topic_id: if expires.is_some() { Uuid::nil() } else { topic_id },
        },
    );
    let group = (text(), any::<i32>(), maybe(text()), maybe(text()), any::<i64>(), some(classic_member()))
        .prop_map(|(protocol_type, generation, protocol, leader, current_state_timestamp, members)| {
            GroupMetadataValue {
                protocol_type,
                generation,
                protocol,
                leader,
                current_state_timestamp,
                members,
            }
        });
    let target = some(
        (uuid(), some(any::<i32>()))
            .prop_map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions }),
    );
    let current = (any::<i32>(), any::<i32>(), any::<i8>(), assigned(), assigned()).prop_map(
        |(member_epoch, previous_member_epoch, state, assigned_partitions, partitions_pending_revocation)| {
            ConsumerGroupCurrentMemberAssignmentValue {
                member_epoch,
                previous_member_epoch,
                state,
                assigned_partitions,
                partitions_pending_revocation,
            }
        },
    );
    let regex = (some(text()), any::<i64>(), any::<i64>()).prop_map(|(topics, version, timestamp)| {
        ConsumerGroupRegularExpressionValue { topics, version, timestamp }
    });
    prop_oneof![
        ((text(), text(), any::<i32>()), maybe(commit)).prop_map(|((group, topic, partition), value)| {
            GroupRecord::OffsetCommit(OffsetCommitKey { group, topic, partition }, value)
        }),
        (text(), maybe(group))
            .prop_map(|(group, value)| GroupRecord::GroupMetadata(GroupMetadataKey { group }, value)),
        (text(), maybe((any::<i32>(), not_zero()))).prop_map(|(group_id, value)| {
            let value =
                value.map(|(epoch, metadata_hash)| ConsumerGroupMetadataValue { epoch, metadata_hash });
            GroupRecord::ConsumerGroupMetadata(ConsumerGroupMetadataKey { group_id }, value)
        }),
        (text(), maybe(topics())).prop_map(|(group_id, value)| {
            let value = value.map(|topics| ConsumerGroupPartitionMetadataValue { topics });
            GroupRecord::ConsumerGroupPartitionMetadata(ConsumerGroupPartitionMetadataKey { group_id }, value)
        }),
        (text(), text(), maybe(member())).prop_map(|(group_id, member_id, value)| {
            let key = ConsumerGroupMemberMetadataKey { group_id, member_id };
            GroupRecord::ConsumerGroupMemberMetadata(key, value)
        }),
        (text(), maybe((any::<i32>(), not_zero()))).prop_map(|(group_id, value)| {
            let value = value.map(|(assignment_epoch, assignment_timestamp)| {
                ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp }
            });
            let key = ConsumerGroupTargetAssignmentMetadataKey { group_id };
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value)
        }),
        (text(), text(), maybe(target)).prop_map(|(group_id, member_id, value)| {
            let value =
                value.map(|topic_partitions| ConsumerGroupTargetAssignmentMemberValue { topic_partitions });
            let key = ConsumerGroupTargetAssignmentMemberKey { group_id, member_id };
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value)
        }),
        (text(), text(), maybe(current)).prop_map(|(group_id, member_id, value)| {
            let key = ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id };
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value)
        }),
        (text(), text(), maybe(regex)).prop_map(|(group_id, regular_expression, value)| {
            let key = ConsumerGroupRegularExpressionKey { group_id, regular_expression };
            GroupRecord::ConsumerGroupRegularExpression(key, value)
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(record in record()) {
        let (key, value) = record.encode().unwrap();
        prop_assert_eq!(GroupRecord::decode(&key, value.as_deref()), Ok(record));
    }

    #[test]
    fn any_bytes_are_decoded_within_bounds(
        key in proptest::collection::vec(any::<u8>(), 0..40),
        value in maybe(proptest::collection::vec(any::<u8>(), 0..200)),
        known in proptest::option::weighted(0.9, 0_i16..=16),
        version in proptest::option::weighted(0.9, 0_i16..=4),
    ) {
        let mut key = key;
        if let (Some(known), [first, second, ..]) = (known, &mut key[..]) {
            [*first, *second] = known.to_be_bytes();
        }
        let mut value = value;
        if let (Some(version), Some([first, second, ..])) = (version, value.as_deref_mut()) {
            [*first, *second] = version.to_be_bytes();
        }
        decode_is_bounded_and_stable(&key, value.as_deref());
    }

    #[test]
    fn changed_records_are_decoded_within_bounds(
        case in proptest::sample::select(records().map(|case| (case.key, case.value)).collect::<Vec<_>>()),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<proptest::sample::Index>(),
    ) {
        let (key, Some(mut value)) = case else { return Ok(()) };
        for (at, byte) in changes {
            let at = at.index(value.len());
            value[at] = byte;
        }
        decode_is_bounded_and_stable(&key, Some(&value));
        decode_is_bounded_and_stable(&key, Some(&value[..cut.index(value.len())]));
        decode_is_bounded_and_stable(&key[..cut.index(key.len())], Some(&value));
    }
}

#[test]
fn arrays_that_announce_much_hold_little() {
    // A million empty topic names, and a million members that are cut off behind the first.
    let regex = GroupRecord::ConsumerGroupRegularExpression(Default::default(), None).encode().unwrap().0;
    let names = [&[0, 0, 0xc1, 0x84, 0x3d][..], &[1; 1_000_000], &[0; 17]].concat();
    decode_is_bounded_and_stable(&regex, Some(&names));
    let group = GroupRecord::GroupMetadata(Default::default(), None).encode().unwrap().0;
    let members =
        [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &100_000_i32.to_be_bytes(), &[0xff; 1_000_000]].concat();
    decode_is_bounded_and_stable(&group, Some(&members));
}
