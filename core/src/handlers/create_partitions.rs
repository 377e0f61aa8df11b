//! CreatePartitions (key 37), v0–3. KIP-195, KIP-599 (mutation quotas: the throttle time is 0, no quota is kept).
//!
//! Partitions exist, logs on disk and all, when the answer leaves, so `timeout_ms` isn't looked at.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use fluxmq_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use fluxmq_protocol::messages::{BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, TopicName};

use super::{metadata_change, replica_assignment};
use crate::broker::Broker;
use crate::error::ApiError;
use crate::meta::{MAX_PARTITIONS_PER_REQUEST, check_new_count};
use crate::request::{Outcome, RequestContext};

/// Creates, or only checks, on the blocking pool.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    metadata_change::outcome(context, body, create)
}

fn create(broker: &Broker, request: &CreatePartitionsRequest, _version: i16) -> CreatePartitionsResponse {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *counts.entry(&topic.name).or_default() += 1;
    }
    let duplicates: BTreeSet<&TopicName> =
        request.topics.iter().map(|topic| &topic.name).filter(|name| counts[name.as_str()] > 1).collect();
    let duplicate = ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.");
    let mut results: Vec<_> = duplicates.into_iter().map(|name| result(name, &duplicate)).collect();
    // Kafka takes up to this many in one request.
    let mut left = MAX_PARTITIONS_PER_REQUEST;
    for topic in request.topics.iter().filter(|topic| counts[topic.name.as_str()] == 1) {
        let error = match create_for(broker, topic, request.validate_only, &mut left) {
            Ok(()) => ApiError::bare(ErrorCode::None),
            Err(error) => error,
        };
        results.push(result(&topic.name, &error));
    }
    CreatePartitionsResponse::default().with_results(results)
}

fn create_for(
    broker: &Broker,
    topic: &CreatePartitionsTopic,
    validate_only: bool,
    left: &mut usize,
) -> Result<(), ApiError> {
    let image = broker.metadata.topics();
    let current = check_new_count(&image, &topic.name, topic.count)?;
    let added = usize::try_from(topic.count - current.partition_count()).expect("checked to be an increase");
    if let Some(assignments) = &topic.assignments {
        if assignments.len() != added {
            let message = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        for assignment in assignments {
            replica_assignment::check(&assignment.broker_ids, BrokerId(broker.config.node_id))?;
        }
    }
    *left = left.checked_sub(added).ok_or_else(|| {
        ApiError::new(ErrorCode::PolicyViolation, "Excessively large number of partitions per request.")
    })?;
    if !validate_only {
        broker.metadata.create_partitions(&broker.partitions, &topic.name, topic.count)?;
    }
    Ok(())
}

fn result(name: &TopicName, error: &ApiError) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default()
        .with_name(name.clone())
        .with_error_code(error.code.code())
        .with_error_message(error.wire_message())
}
