//! Requests of the offset APIs, for tests.

use std::collections::BTreeMap;

use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use fluxmq_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use fluxmq_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetDeleteRequest, ProducerId, TopicName, TransactionalId,
    TxnOffsetCommitRequest,
};

use crate::testing::text;

/// A commit of (topic, partition, offset, metadata), each in a topic entry of its own.
pub(super) fn commit(
    group: &str,
    member_id: &str,
    generation: i32,
    partitions: &[(String, i32, i64, String)],
) -> OffsetCommitRequest {
    let topics = partitions.iter().map(|(topic, partition, offset, metadata)| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(text(metadata)));
        OffsetCommitRequestTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![partition])
    });
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member_id))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(topics.collect())
}

/// The epoch of producers that commit.
pub(super) const PRODUCER_EPOCH: i16 = 3;

/// As [`commit`], in a transaction of the producer.
pub(super) fn txn_commit(
    producer_id: i64,
    group: &str,
    member_id: &str,
    generation: i32,
    partitions: &[(String, i32, i64, String)],
) -> TxnOffsetCommitRequest {
    let topics = partitions.iter().map(|(topic, partition, offset, metadata)| {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(text(metadata)));
        TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![partition])
    });
    TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(text("transactional")))
        .with_group_id(GroupId(text(group)))
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(PRODUCER_EPOCH)
        .with_member_id(text(member_id))
        .with_generation_id(generation)
        .with_topics(topics.collect())
}

/// A fetch of what is committed for (topic, partition).
pub(super) fn fetch(group: &str, partitions: &[(String, i32)]) -> OffsetFetchRequestGroup {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        OffsetFetchRequestTopics::default()
            .with_name(TopicName(text(topic)))
            .with_partition_indexes(partitions)
    });
    fetch_all(group).with_topics(Some(topics.collect()))
}

/// A fetch of all that a group has committed.
pub(super) fn fetch_all(group: &str) -> OffsetFetchRequestGroup {
    OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(None)
}

/// A deletion of what is committed for (topic, partition).
pub(super) fn delete(group: &str, partitions: &[(String, i32)]) -> OffsetDeleteRequest {
    let topics = partitions.iter().map(|(topic, partition)| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(*partition);
        OffsetDeleteRequestTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![partition])
    });
    OffsetDeleteRequest::default().with_group_id(GroupId(text(group))).with_topics(topics.collect())
}
