//! OffsetDelete (key 47), v0. KIP-496.
//!
//! Partitions that don't exist are refused here, the others by a turn of the group's shard.

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use fluxmq_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse, TopicName};

use super::by_topic::ByTopic;
use super::group_request;
use crate::coordination::wait::Answered;
use crate::meta::topics::TopicsImage;
use crate::request::{Outcome, RequestContext};

/// Has a turn of the group's shard delete the offsets.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let mut request: OffsetDeleteRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let refused = context.broker().metadata.with_topics(|topics| take_unknown(&mut request, topics));
    // The group is looked at even if no partition is left: its error goes before theirs.
    let turned =
        context.broker().groups.turn(&request.group_id, |shard, turn| shard.offset_delete(turn, &request));
    let turned = turned.map(|answered| Answered { value: merged(refused, answered.value), ..answered });
    group_request::answer(context, turned, |code| {
        OffsetDeleteResponse::default().with_error_code(code.code())
    })
}

/// Takes the partitions that don't exist out of the request, and answers them.
fn take_unknown(
    request: &mut OffsetDeleteRequest,
    topics: &TopicsImage,
) -> ByTopic<OffsetDeleteResponseTopic> {
    let mut refused = ByTopic::new();
    request.topics.retain_mut(|topic| {
        let known = topics.by_name(&topic.name);
        if known.is_none() {
            refused.entry(&topic.name, new_topic);
        }
        topic.partitions.retain(|partition| {
            let index = partition.partition_index;
            let exists = known.is_some_and(|topic| topic.partition(index).is_some());
            if !exists {
                let answer = OffsetDeleteResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(ErrorCode::UnknownTopicOrPartition.code());
                refused.entry(&topic.name, new_topic).partitions.push(answer);
            }
            exists
        });
        !topic.partitions.is_empty()
    });
    refused
}

/// As Kafka: an error of the group is the whole answer, else what was refused comes first.
fn merged(
    mut refused: ByTopic<OffsetDeleteResponseTopic>,
    response: OffsetDeleteResponse,
) -> OffsetDeleteResponse {
    if refused.is_empty() || response.error_code != 0 {
        return response;
    }
    for topic in response.topics {
        refused.entry(&topic.name, new_topic).partitions.extend(topic.partitions);
    }
    OffsetDeleteResponse::default().with_topics(refused.into_topics())
}

fn new_topic(name: TopicName) -> OffsetDeleteResponseTopic {
    OffsetDeleteResponseTopic::default().with_name(name)
}
