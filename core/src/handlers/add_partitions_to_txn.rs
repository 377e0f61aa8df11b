//! AddPartitionsToTxn (key 24), v0–5. KIP-98, KIP-588 (PRODUCER_FENCED, v2), KIP-890 (many transactions, and verification,
//! v4).
//!
//! Versions 4 and 5 are those of brokers among each other; what Produce asks here goes the direct way. Each transaction
//! is added to in a turn of its own. Partitions that don't exist, or that a client may not write to, keep the others of
//! their transaction from being added.

use bytes::Bytes;
use fluxmq_coordinator::shard::owned;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction;
use fluxmq_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use fluxmq_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, TopicName, TransactionalId,
};

use super::transaction_request;
use crate::meta::names;
use crate::request::{Outcome, RequestContext};

/// The first version with many transactions.
const FIRST_VERSION_WITH_TRANSACTIONS: i16 = 4;
/// About what the answer for a partition takes while it waits.
const PARTITION_MEMORY_BYTES: usize = size_of::<AddPartitionsToTxnPartitionResult>();

/// Has a turn for each transaction add to it, or verify what is in it.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: AddPartitionsToTxnRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let mut results = Vec::new();
    let mut waits = Vec::new();
    for asked in transactions(request, context.api_version) {
        if let Some(refused) = refused(context, &asked) {
            results.push(refused);
            continue;
        }
        let turned = transaction_request::turn(context, &asked.transactional_id, |shard, turn| {
            shard.add_partitions_to_txn(turn, context.api_version, &asked)
        });
        match turned {
            Ok(answered) => {
                waits.extend(answered.durable.map(|durable| (results.len(), durable)));
                results.push(answered.value);
            }
            Err(code) => results.push(result(&asked, |_, _| code)),
        }
    }
    if waits.is_empty() {
        return Outcome::Ready(context.respond(&response(results, context.api_version)));
    }
    let context = context.detached();
    let held_bytes = detach(&mut results);
    Outcome::wait_holding(held_bytes, async move {
        for (place, durable) in waits {
            if let Err(code) = durable.reached().await {
                let topics = results[place].topic_results.iter_mut();
                for partition in topics.flat_map(|topic| &mut topic.results_by_partition) {
                    partition.partition_error_code = code.code();
                }
            }
        }
        context.respond(&response(results, context.api_version))
    })
}

/// What is asked for, in the form of the newest versions.
fn transactions(request: AddPartitionsToTxnRequest, version: i16) -> Vec<AddPartitionsToTxnTransaction> {
    if version >= FIRST_VERSION_WITH_TRANSACTIONS {
        return request.transactions;
    }
    let only = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(request.v3_and_below_transactional_id)
        .with_producer_id(request.v3_and_below_producer_id)
        .with_producer_epoch(request.v3_and_below_producer_epoch)
        .with_topics(request.v3_and_below_topics);
    vec![only]
}

/// The refusal of a transaction with a partition that doesn't exist or, asked by a client, is of an internal topic.
fn refused(
    context: &RequestContext,
    asked: &AddPartitionsToTxnTransaction,
) -> Option<AddPartitionsToTxnResult> {
    context.broker().metadata.with_topics(|topics| {
        let is_client = context.api_version < FIRST_VERSION_WITH_TRANSACTIONS;
        let refusal = |topic: &TopicName, partition: i32| {
            if is_client && names::is_internal(topic) {
                return Some(ErrorCode::TopicAuthorizationFailed);
            }
            let is_there = topics.by_name(topic).is_some_and(|topic| topic.partition(partition).is_some());
            (!is_there).then_some(ErrorCode::UnknownTopicOrPartition)
        };
        let mut asked_partitions = asked
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|&partition| (&topic.name, partition)));
        asked_partitions.any(|(topic, partition)| refusal(topic, partition).is_some()).then(|| {
            result(asked, |topic, partition| {
                refusal(topic, partition).unwrap_or(ErrorCode::OperationNotAttempted)
            })
        })
    })
}

fn result(
    asked: &AddPartitionsToTxnTransaction,
    code: impl Fn(&TopicName, i32) -> ErrorCode,
) -> AddPartitionsToTxnResult {
    let topics = asked.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|&partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(partition)
                .with_partition_error_code(code(&topic.name, partition).code())
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResult::default()
        .with_transactional_id(asked.transactional_id.clone())
        .with_topic_results(topics.collect())
}

/// Copies the names, which are views into the frame. Returns about what the results take.
fn detach(results: &mut [AddPartitionsToTxnResult]) -> usize {
    let mut held_bytes = 0;
    for result in results {
        result.transactional_id = TransactionalId(owned(&result.transactional_id));
        held_bytes += size_of::<AddPartitionsToTxnResult>() + result.transactional_id.len();
        for topic in &mut result.topic_results {
            topic.name = TopicName(owned(&topic.name));
            held_bytes += size_of::<AddPartitionsToTxnTopicResult>()
                + topic.name.len()
                + topic.results_by_partition.len() * PARTITION_MEMORY_BYTES;
        }
    }
    held_bytes
}

fn response(mut results: Vec<AddPartitionsToTxnResult>, version: i16) -> AddPartitionsToTxnResponse {
    if version >= FIRST_VERSION_WITH_TRANSACTIONS {
        return AddPartitionsToTxnResponse::default().with_results_by_transaction(results);
    }
    let only = results.pop().map(|result| result.topic_results);
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(only.unwrap_or_default())
}
