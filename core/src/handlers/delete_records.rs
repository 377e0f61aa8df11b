//! DeleteRecords (key 21), v0–2. KIP-107.
//!
//! Moves the log start offset, which is on disk before the answer. The files behind it go with the next retention
//! pass. Deliberately not here: the request's timeout, which in Kafka bounds the wait for other replicas.

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use fluxmq_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use fluxmq_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use crate::broker::Broker;
use crate::request::{Outcome, RequestContext};

/// Kafka's `INVALID_LOW_WATERMARK`.
const NO_LOW_WATERMARK: i64 = -1;

/// Deletes the records before the given offsets.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: DeleteRecordsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let context = context.detached();
    Outcome::Exclusive(Box::pin(async move {
        let broker = context.broker().clone();
        let response = context.broker().blocking.run(move || delete_records(&broker, &request)).await;
        context.respond(&response)
    }))
}

fn delete_records(broker: &Broker, request: &DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics: Vec<DeleteRecordsTopicResult> = request
        .topics
        .iter()
        .map(|topic| {
            let partitions =
                topic.partitions.iter().map(|partition| move_log_start(broker, topic, partition));
            DeleteRecordsTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        })
        .collect();
    let moved = topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code == 0);
    if moved && let Err(error) = broker.partitions.checkpoint_log_start_offsets() {
        tracing::error!(%error, "the log start offsets cannot be written");
        for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            if partition.error_code == 0 {
                *partition = failure(partition.partition_index, ErrorCode::KafkaStorageError);
            }
        }
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

fn move_log_start(
    broker: &Broker,
    topic: &DeleteRecordsTopic,
    partition: &DeleteRecordsPartition,
) -> DeleteRecordsPartitionResult {
    let index = partition.partition_index;
    let found = broker.metadata.with_topics(|topics| {
        let topic = topics.by_name(&topic.name)?;
        Some((topic.partition(index)?.clone(), topic.is_internal))
    });
    let Some((found, is_internal)) = found else {
        return failure(index, ErrorCode::UnknownTopicOrPartition);
    };
    if is_internal {
        return failure(index, ErrorCode::InvalidTopicException);
    }
    match broker.partitions.delete_records(&found, partition.offset) {
        Ok(low_watermark) => DeleteRecordsPartitionResult::default()
            .with_partition_index(index)
            .with_low_watermark(low_watermark),
        Err(error) => failure(index, ErrorCode::from(&error)),
    }
}

fn failure(index: i32, error: ErrorCode) -> DeleteRecordsPartitionResult {
    DeleteRecordsPartitionResult::default()
        .with_partition_index(index)
        .with_low_watermark(NO_LOW_WATERMARK)
        .with_error_code(error.code())
}
