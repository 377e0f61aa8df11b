//! DescribeTopicPartitions (key 75), v0. KIP-966: partitions page by page, behind a cursor.
//!
//! The lists of eligible leaders are empty: one replica is always the leader.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::messages::describe_topic_partitions_request::Cursor as RequestCursor;
use fluxmq_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use fluxmq_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::authorized_operations;
use crate::meta::{Topic, TopicsImage, names};
use crate::partitions::partition::Partition;
use crate::request::{Outcome, RequestContext};

/// Answers from the image.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let node = BrokerId(context.broker().config.node_id);
    let request = context.decode(body);
    let broker = context.broker();
    let limit = broker.config.max_request_partition_size_limit;
    context.outcome(request.map(|request| answer(&request, node, &broker.metadata.topics(), limit)))
}

fn answer(
    request: &DescribeTopicPartitionsRequest,
    node: BrokerId,
    image: &TopicsImage,
    partition_limit: i32,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let cursor = request.cursor.as_ref();
    let from = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    let wanted: BTreeSet<&str> = if all {
        image.iter().map(|topic| &*topic.name).filter(|name| *name >= from).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= from).collect()
    };
    if cursor.is_some_and(|cursor| cursor.partition_index < 0 || !(all || wanted.contains(from))) {
        return refusal(request);
    }
    let mut page = Page {
        left: request.response_partition_limit.clamp(1, partition_limit),
        response: DescribeTopicPartitionsResponse::default(),
    };
    for name in wanted {
        let first = match cursor {
            Some(RequestCursor { topic_name, partition_index, .. }) if topic_name.as_str() == name => {
                *partition_index
            }
            _ => 0,
        };
        match image.by_name(name) {
            Some(topic) => page.add(topic, first, node),
            None => page.add_unknown(name),
        }
        if page.response.next_cursor.is_some() {
            break;
        }
    }
    page.response
}

/// What Kafka answers to a cursor that makes no sense.
fn refusal(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(topic.name.clone()))
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

/// An answer that is being filled, in the order of the names.
struct Page {
    left: i32,
    response: DescribeTopicPartitionsResponse,
}

impl Page {
    /// Adds as many of the topic's partitions from `first` as there is room for.
    fn add(&mut self, topic: &Arc<Topic>, first: i32, node: BrokerId) {
        if self.left == 0 {
            return self.end_at(&topic.name, 0);
        }
        let end = topic.partition_count().min(first.saturating_add(self.left));
        let partitions: Vec<_> = (first..end)
            .filter_map(|index| topic.partition(index))
            .map(|partition| describe(partition, node))
            .collect();
        self.left -= end.saturating_sub(first).max(0);
        self.response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(TopicName(topic.name.clone())))
                .with_topic_id(topic.id)
                .with_is_internal(topic.is_internal)
                .with_partitions(partitions)
                .with_topic_authorized_operations(authorized_operations::TOPIC),
        );
        if end < topic.partition_count() {
            self.end_at(&topic.name, end);
        }
    }

    fn add_unknown(&mut self, name: &str) {
        let copy = StrBytes::from_string(name.to_owned());
        if self.left == 0 {
            return self.end_at(&copy, 0);
        }
        let error = if names::validate(name).is_ok() {
            ErrorCode::UnknownTopicOrPartition
        } else {
            ErrorCode::InvalidTopicException
        };
        self.response.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_error_code(error.code())
                .with_name(Some(TopicName(copy)))
                .with_is_internal(names::is_internal(name))
                .with_topic_authorized_operations(authorized_operations::TOPIC),
        );
    }

    fn end_at(&mut self, name: &StrBytes, partition_index: i32) {
        let cursor =
            Cursor::default().with_topic_name(TopicName(name.clone())).with_partition_index(partition_index);
        self.response.next_cursor = Some(cursor);
    }
}

fn describe(partition: &Partition, node: BrokerId) -> DescribeTopicPartitionsResponsePartition {
    let described = DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(partition.name().index)
        .with_leader_epoch(partition.leader_epoch())
        .with_replica_nodes(vec![node])
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()));
    if partition.is_offline() {
        described.with_leader_id(BrokerId(-1)).with_offline_replicas(vec![node])
    } else {
        described.with_leader_id(node).with_isr_nodes(vec![node])
    }
}
