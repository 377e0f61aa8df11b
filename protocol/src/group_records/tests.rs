use super::*;

fn commit() -> GroupRecord {
    GroupRecord::OffsetCommit(
        OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 7 },
        Some(OffsetCommitValue {
            offset: 42,
            leader_epoch: 5,
            metadata: "m".into(),
            commit_timestamp: 1_700_000_000_000,
            ..Default::default()
        }),
    )
}

fn decode(key: &[u8], value: Option<&[u8]>) -> GroupRecord {
    match GroupRecord::decode(key, value) {
        Ok(record) => record,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_commit_is_written_in_version_4() {
    let (key, value) = commit().encode().expect("encodes");
    assert_eq!(key[..], [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 7]);
    let value = value.expect("has a value");
    assert_eq!(value[..2], [0, 4]);
    assert_eq!(value[2..14], [0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 5]);
    assert_eq!(value[14..16], [2, b'm']);
    assert_eq!(value[24..], [0], "no tagged field");
    assert_eq!(decode(&key, Some(&value)), commit());
}

#[test]
fn the_topic_id_is_a_tagged_field() {
    let GroupRecord::OffsetCommit(key, Some(value)) = commit() else { unreachable!() };
    let topic_id = uuid::Uuid::from_u128(0x0102_0304);
    let record = GroupRecord::OffsetCommit(key, Some(OffsetCommitValue { topic_id, ..value }));
    let (key, value) = record.encode().expect("encodes");
    let value = value.expect("has a value");
    assert_eq!(value[24..27], [1, 0, 16], "one field, tag 0, 16 bytes");
    assert_eq!(decode(&key, Some(&value)), record);
}

#[test]
fn a_commit_with_an_expiry_time_is_written_in_version_1() {
    let GroupRecord::OffsetCommit(key, Some(value)) = commit() else { unreachable!() };
    let expiring = OffsetCommitValue { expire_timestamp: 9, ..value.clone() };
    let (key_bytes, value_bytes) =
        GroupRecord::OffsetCommit(key.clone(), Some(expiring.clone())).encode().expect("encodes");
    let value_bytes = value_bytes.expect("has a value");
    assert_eq!(value_bytes[..2], [0, 1]);
    let expected = GroupRecord::OffsetCommit(key, Some(OffsetCommitValue { leader_epoch: -1, ..expiring }));
    assert_eq!(decode(&key_bytes, Some(&value_bytes)), expected);
}

#[test]
fn a_legacy_commit_is_read_and_written_as_a_commit() {
    let key = [0, 0, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 7];
    let value = [0, 0, 0, 0, 0, 0, 0, 0, 0, 42, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 0, 9];
    let GroupRecord::OffsetCommit(key, Some(read)) = decode(&key, Some(&value)) else { unreachable!() };
    assert_eq!((read.offset, read.leader_epoch, read.commit_timestamp), (42, -1, 9));
    let (key, _) = GroupRecord::OffsetCommit(key, None).encode().expect("encodes");
    assert_eq!(key[..2], [0, 1]);
    let unknown = GroupRecord::decode(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Some(&[0, 1]));
    assert_eq!(unknown, Err(RecordError::UnknownVersion { record_type: 0, version: 1 }));
}

#[test]
fn a_tombstone_has_no_value() {
    let GroupRecord::OffsetCommit(key, _) = commit() else { unreachable!() };
    let tombstone = GroupRecord::OffsetCommit(key, None);
    let (key, value) = tombstone.encode().expect("encodes");
    assert_eq!(value, None);
    assert!(tombstone.is_tombstone());
    assert_eq!(decode(&key, None), tombstone);
}

#[test]
fn other_types_are_left_to_the_caller() {
    for record_type in [-1, 9, 10, 17, 23, 24, i16::MAX] {
        let decoded = GroupRecord::decode(&record_type.to_be_bytes(), Some(&[]));
        assert_eq!(decoded, Err(RecordError::UnknownType { record_type }));
    }
}

#[test]
fn a_member_of_the_consumer_protocol_says_so() {
    let key = ConsumerGroupMemberMetadataKey { group_id: "g".into(), member_id: "m".into() };
    let modern = ConsumerGroupMemberMetadataValue::default();
    let record = GroupRecord::ConsumerGroupMemberMetadata(key.clone(), Some(modern));
    let (key_bytes, value) = record.encode().expect("encodes");
    let value = value.expect("has a value");
    assert_eq!(value[value.len() - 4..], [1, 0, 1, 0], "one tagged field, tag 0, one byte: null");
    assert_eq!(decode(&key_bytes, Some(&value)), record);

    // Without the tagged field it is an empty struct.
    let mut without = value[..value.len() - 4].to_vec();
    without.push(0);
    let empty = Some(ClassicMemberMetadata::default());
    let classic = ConsumerGroupMemberMetadataValue { classic_member_metadata: empty, ..Default::default() };
    let expected = GroupRecord::ConsumerGroupMemberMetadata(key, Some(classic));
    assert_eq!(decode(&key_bytes, Some(&without)), expected);
}

#[test]
fn a_count_must_fit_in_the_bytes_left() {
    // Version 0, then a compact array of 2^31 topics.
    let (key, _) =
        GroupRecord::ConsumerGroupRegularExpression(Default::default(), None).encode().expect("encodes");
    let value = [0, 0, 0x81, 0x80, 0x80, 0x80, 0x08, 0, 0];
    let error = GroupRecord::decode(&key, Some(&value));
    assert!(matches!(error, Err(RecordError::Shape(ShapeError::NotEnoughBytes { .. }))), "{error:?}");
}

#[test]
fn a_tagged_field_must_take_the_size_it_says() {
    let (key, _) = GroupRecord::ConsumerGroupMetadata(Default::default(), None).encode().expect("encodes");
    let value = [0, 0, 0, 0, 0, 1, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    let error = ShapeError::TaggedFieldSize { position: 9, tag: 0, size_bytes: 9 };
    assert_eq!(GroupRecord::decode(&key, Some(&value)), Err(RecordError::Shape(error)));
}

#[test]
fn what_kafka_leaves_out_is_left_out() {
    let value_of = |record: GroupRecord| record.encode().expect("encodes").1.expect("has a value");
    let group = |metadata_hash| {
        let value = ConsumerGroupMetadataValue { epoch: 1, metadata_hash };
        value_of(GroupRecord::ConsumerGroupMetadata(ConsumerGroupMetadataKey::default(), Some(value)))
    };
    assert_eq!(group(Some(0)), group(None));
    assert_eq!(group(None)[..], [0, 0, 0, 0, 0, 1, 0]);
    let member = |assignment_epochs| {
        let topic = AssignedTopicPartitions { assignment_epochs, ..Default::default() };
        let value = ConsumerGroupCurrentMemberAssignmentValue {
            assigned_partitions: vec![topic],
            ..Default::default()
        };
        value_of(GroupRecord::ConsumerGroupCurrentMemberAssignment(Default::default(), Some(value)))
    };
    assert_eq!(member(Some(Vec::new())), member(None));
    assert_eq!(member(Some(vec![1])).len(), member(None).len() + 7);
}

#[test]
fn text_that_is_not_utf_8_is_replaced() {
    let record = decode(&[0, 2, 0, 2, b'g', 0xff], None);
    assert_eq!(record, GroupRecord::GroupMetadata(GroupMetadataKey { group: "g\u{fffd}".into() }, None));
}

#[test]
fn a_string_that_no_record_can_hold_is_refused() {
    let group: String = "g".repeat(usize::from(u16::MAX));
    let key = GroupMetadataKey { group: group.into() };
    assert_eq!(GroupRecord::GroupMetadata(key, None).encode(), Err(TooLong { length: 65_535 }));
}

#[test]
fn decoded_values_are_copies() {
    let (key, value) = commit().encode().expect("encodes");
    let mut value = value.expect("has a value").to_vec();
    let decoded = decode(&key, Some(&value));
    value.fill(0);
    assert_eq!(decoded, commit());
}
