//! The records that turns leave, and what records of other versions do.

use fluxmq_protocol::group_records::{
    AssignedTopicPartitions, ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupPartitionMetadataKey,
    ConsumerGroupPartitionMetadataValue, OffsetCommitKey, OffsetCommitValue,
};

use super::*;
use crate::consumer::records;

/// The kinds of records, and `-` for those that delete.
fn kinds(records: &[GroupRecord]) -> Vec<String> {
    let kind = |record: &GroupRecord| {
        let text = format!("{record:?}");
        let name = text.split('(').next().unwrap().replace("ConsumerGroup", "");
        if text.ends_with(", None)") { format!("-{name}") } else { name }
    };
    records.iter().map(kind).collect()
}

#[test]
fn a_turn_leaves_its_records_in_the_order_of_kafka() {
    let mut fixture = Fixture::new();
    let joined = fixture.records_of(|fixture| drop(Consumer::join(fixture, "a", &["foo"])));
    let expected = [
        "MemberMetadata",
        "Metadata",
        "TargetAssignmentMember",
        "TargetAssignmentMetadata",
        "CurrentMemberAssignment",
    ];
    assert_eq!(kinds(&joined), expected);
    let left = fixture.records_of(|fixture| drop(fixture.beat(&request("a", -1))));
    let expected = ["-CurrentMemberAssignment", "-TargetAssignmentMember", "-MemberMetadata", "Metadata"];
    assert_eq!(kinds(&left), expected);
    let deleted = fixture.records_of(|fixture| {
        fixture.driver.turn(|shard, turn| shard.delete_group(turn, &GroupId(text(GROUP))));
    });
    assert_eq!(kinds(&deleted), ["-TargetAssignmentMetadata", "-PartitionMetadata", "-Metadata"]);
}

#[test]
fn what_kafka_4_0_wrote_of_topics_is_taken_away() {
    let mut fixture = Fixture::new();
    let mut a = Consumer::join(&mut fixture, "a", &["foo"]);
    let key = ConsumerGroupPartitionMetadataKey { group_id: text(GROUP) };
    let value = ConsumerGroupPartitionMetadataValue { topics: Vec::new() };
    fixture.driver.turn(|_, turn| {
        turn.records.push(GroupRecord::ConsumerGroupPartitionMetadata(key, Some(value)));
    });
    assert!(fixture.group().has_partition_metadata_record);
    fixture.driver.topics.set("foo", FOO, 4);
    let records = fixture.records_of(|fixture| drop(a.beat(fixture)));
    assert!(kinds(&records).contains(&"-PartitionMetadata".to_owned()), "{records:?}");
    assert!(!fixture.group().has_partition_metadata_record);
}

#[test]
fn partitions_without_epochs_have_that_of_the_member() {
    let mut fixture = Fixture::new();
    Consumer::join(&mut fixture, "a", &["foo"]);
    let key = ConsumerGroupCurrentMemberAssignmentKey { group_id: text(GROUP), member_id: text("a") };
    let assigned = |assignment_epochs| AssignedTopicPartitions {
        topic_id: Uuid::from_u128(FOO),
        partitions: vec![0, 1],
        assignment_epochs,
    };
    // None, too few, and as many as there are.
    for (written, epoch) in [(None, 9), (Some(vec![3]), 9), (Some(vec![3, 4]), 4)] {
        let value = ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: 9,
            previous_member_epoch: 8,
            state: 0,
            assigned_partitions: vec![assigned(written)],
            partitions_pending_revocation: Vec::new(),
        };
        fixture.driver.turn(|_, turn| {
            turn.records.push(GroupRecord::ConsumerGroupCurrentMemberAssignment(key.clone(), Some(value)));
        });
        fixture.check();
        assert_eq!(fixture.member("a").assignment_epoch(Uuid::from_u128(FOO), 1), Some(epoch));
    }
}

#[test]
fn a_log_may_start_anywhere() {
    let mut fixture = Fixture::new();
    let mut consumers = ["a", "b"].map(|id| Consumer::join(&mut fixture, id, &["foo"]));
    settle(&mut fixture, &mut consumers);
    fixture.beat(&request("b", -1));
    let log: Vec<GroupRecord> = fixture.driver.records_since(0).collect();
    for start in 0..log.len() {
        let mut shard = GroupShard::new(fixture.config.clone().into());
        log[start..].iter().for_each(|record| shard.replay(fixture.driver.now, record.clone()));
        // What has been said since is known, whatever came before.
        let Some(Group::Consumer(group)) = shard.groups.get(GROUP.as_bytes()) else { panic!("no group") };
        assert_eq!(group.group_epoch, fixture.group().group_epoch);
    }
    // What only offsets have made goes with the group.
    let commit = OffsetCommitKey { group: text(GROUP), topic: text("foo"), partition: 0 };
    let mut shard = GroupShard::new(fixture.config.clone().into());
    shard.replay(fixture.driver.now, GroupRecord::OffsetCommit(commit, Some(OffsetCommitValue::default())));
    assert_eq!(shard.group_count(), 1);
    shard.replay(fixture.driver.now, records::group_metadata_tombstone(&text(GROUP)));
    assert_eq!(shard.group_count(), 0);
    // Tombstones alone make no group.
    let mut shard = GroupShard::new(fixture.config.clone().into());
    let tombstones = log.into_iter().filter(|record| format!("{record:?}").ends_with(", None)"));
    tombstones.for_each(|record| shard.replay(fixture.driver.now, record));
    assert_eq!(shard.group_count(), 0);
}

#[test]
fn sizes_are_not_less_than_what_is_written() {
    let mut fixture = Fixture::new();
    let long = "x".repeat(300);
    let request = join(&long, &["foo", "bar"])
        .with_instance_id(Some(text(&long)))
        .with_rack_id(Some(text(&long)))
        .with_subscribed_topic_regex(Some(text("(foo|bar)")));
    let records = fixture.records_of(|fixture| drop(fixture.beat(&request)));
    assert_eq!(records.len(), 6);
    for record in &records {
        let (key, value) = record.encode().unwrap();
        let written = key.len() + value.map_or(0, |value| value.len());
        assert!(records::size_bytes(record) >= written + 8, "{record:?}");
    }
}
