//! DescribeProducers (key 61), v0. KIP-664.
//!
//! What the logs know of their producers: with it Kafka's tools find transactions that nobody ends.

use bytes::Bytes;
use fluxmq_protocol::messages::describe_producers_request::TopicRequest;
use fluxmq_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use fluxmq_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::producer_state::ActiveProducer;

use crate::broker::Broker;
use crate::error::ApiError;
use crate::meta::names;
use crate::partitions::partition::Partition;
use crate::request::{Outcome, RequestContext};

/// Kafka's `currentTxnStartOffset` of a producer without an open transaction.
const NO_TRANSACTION: i64 = -1;
const UNKNOWN_TOPIC: &str = "This server does not host this topic-partition.";

/// A partition may know 200,000 producers, so they are copied on the blocking pool.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: DescribeProducersRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let context = context.detached();
    Outcome::Exclusive(Box::pin(async move {
        let broker = context.broker().clone();
        let topics = move || request.topics.iter().map(|topic| describe_topic(&broker, topic)).collect();
        let topics = context.broker().blocking.run(topics).await;
        context.respond(&DescribeProducersResponse::default().with_topics(topics))
    }))
}

fn describe_topic(broker: &Broker, asked: &TopicRequest) -> TopicResponse {
    let known = match names::validate(&asked.name) {
        Err(error) => Err(ApiError::new(ErrorCode::InvalidTopicException, error.to_string())),
        Ok(()) => broker
            .metadata
            .with_topics(|topics| topics.by_name(&asked.name).cloned())
            .ok_or_else(|| ApiError::new(ErrorCode::UnknownTopicOrPartition, UNKNOWN_TOPIC)),
    };
    let partitions = asked.partition_indexes.iter().map(|&index| {
        let response = PartitionResponse::default().with_partition_index(index);
        let producers = match &known {
            Ok(topic) => match topic.partition(index) {
                Some(partition) => producers_of(partition).map_err(ApiError::bare),
                None => Err(ApiError::bare(ErrorCode::UnknownTopicOrPartition)),
            },
            Err(error) => Err(error.clone()),
        };
        match producers {
            Ok(producers) => response.with_active_producers(producers),
            Err(error) => {
                response.with_error_code(error.code.code()).with_error_message(error.wire_message())
            }
        }
    });
    TopicResponse::default()
        .with_name(StrBytes::from_string(asked.name.to_string()).into())
        .with_partitions(partitions.collect())
}

fn producers_of(partition: &Partition) -> Result<Vec<ProducerState>, ErrorCode> {
    if partition.is_deleted() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    if partition.is_offline() {
        return Err(ErrorCode::KafkaStorageError);
    }
    let mut producers = partition.log().active_producers();
    producers.sort_unstable_by_key(|producer| producer.producer_id);
    Ok(producers.iter().map(state_of).collect())
}

fn state_of(producer: &ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(producer.producer_id.into())
        .with_producer_epoch(i32::from(producer.producer_epoch))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp_ms)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.current_txn_start_offset.unwrap_or(NO_TRANSACTION))
}
