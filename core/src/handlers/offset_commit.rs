//! OffsetCommit (key 8), v2–9. KIP-320 (leader epochs, v6), KIP-345 (static members, v7), KIP-848 (member epochs, v9).
//!
//! Partitions that don't exist are refused here, the others together by a turn of the group's shard. Deliberately not
//! here: topic ids (v10).

use bytes::Bytes;
use fluxmq_coordinator::shard::owned;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use fluxmq_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use fluxmq_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, TopicName};

use super::by_topic::ByTopic;
use super::group_request;
use crate::coordination::wait::Answered;
use crate::meta::topics::TopicsImage;
use crate::request::{Outcome, RequestContext};

/// Has a turn of the group's shard commit the offsets.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let mut request: OffsetCommitRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let refused = context.broker().metadata.with_topics(|topics| take_unknown(&mut request, topics));
    if request.topics.is_empty() {
        let response = OffsetCommitResponse::default().with_topics(refused.into_topics());
        return Outcome::Ready(context.respond(&response));
    }
    let requester = group_request::requester(context);
    let turned = context
        .broker()
        .groups
        .turn(&request.group_id, |shard, turn| shard.offset_commit(turn, &requester, &request));
    let turned =
        turned.map(|answered| Answered { value: merged(refused.clone(), answered.value), ..answered });
    let mut topics = request.topics;
    if turned.as_ref().is_ok_and(|answered| answered.durable.is_some()) {
        // What is kept for the case of a failure must not keep the frame.
        for topic in &mut topics {
            topic.name = owned_name(&topic.name);
            topic.partitions.iter_mut().for_each(|partition| partition.committed_metadata = None);
        }
    }
    group_request::answer(context, turned, move |code| merged(refused, failure(&topics, code)))
}

/// Takes the partitions that don't exist out of the request, and answers them.
fn take_unknown(
    request: &mut OffsetCommitRequest,
    topics: &TopicsImage,
) -> ByTopic<OffsetCommitResponseTopic> {
    let mut refused = ByTopic::new();
    request.topics.retain_mut(|topic| {
        let known = topics.by_name(&topic.name);
        if known.is_none() {
            refused.entry(&owned_name(&topic.name), new_topic);
        }
        topic.partitions.retain(|partition| {
            let index = partition.partition_index;
            let exists = known.is_some_and(|topic| topic.partition(index).is_some());
            if !exists {
                let answer = answered(index, ErrorCode::UnknownTopicOrPartition);
                refused.entry(&owned_name(&topic.name), new_topic).partitions.push(answer);
            }
            exists
        });
        !topic.partitions.is_empty()
    });
    refused
}

/// As Kafka: what was refused comes first.
fn merged(
    mut refused: ByTopic<OffsetCommitResponseTopic>,
    response: OffsetCommitResponse,
) -> OffsetCommitResponse {
    if refused.is_empty() {
        return response;
    }
    for topic in response.topics {
        refused.entry(&topic.name, new_topic).partitions.extend(topic.partitions);
    }
    OffsetCommitResponse::default().with_topics(refused.into_topics())
}

/// The same error for all that was asked of the group.
fn failure(topics: &[OffsetCommitRequestTopic], code: ErrorCode) -> OffsetCommitResponse {
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| answered(partition.partition_index, code));
        new_topic(topic.name.clone()).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// A copy that does not keep the frame.
fn owned_name(name: &TopicName) -> TopicName {
    TopicName(owned(name))
}

fn new_topic(name: TopicName) -> OffsetCommitResponseTopic {
    OffsetCommitResponseTopic::default().with_name(name)
}

fn answered(index: i32, code: ErrorCode) -> OffsetCommitResponsePartition {
    OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code.code())
}
