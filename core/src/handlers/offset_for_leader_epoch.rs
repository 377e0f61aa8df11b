//! OffsetForLeaderEpoch (key 23), v2–4. KIP-101, KIP-279 (the largest epoch up to the one asked for), KIP-320
//! (consumers check for truncation after a change of leader).

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use fluxmq_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use fluxmq_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::fetch_planner::Source;
use crate::meta::topics::Topic;
use crate::request::{Outcome, RequestContext};

/// Answers for each partition with the largest epoch up to the one asked for, and where it ended.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let response = context.decode(body).map(|request: OffsetForLeaderEpochRequest| {
        let image = context.broker().metadata.topics();
        let topics = request.topics.into_iter().map(|topic| {
            let known = image.by_name(&topic.topic);
            let partitions =
                topic.partitions.iter().map(|asked| answer(known.map(|topic| &**topic), asked)).collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    });
    context.outcome(response)
}

fn answer(topic: Option<&Topic>, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(asked.partition);
    let Some(partition) = topic.and_then(|topic| topic.partition(asked.partition)) else {
        return answer.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    match partition.check(asked.current_leader_epoch) {
        Ok(()) => {
            let (epoch, end_offset) = partition.end_offset_for_epoch(asked.leader_epoch);
            answer.with_leader_epoch(epoch).with_end_offset(end_offset)
        }
        Err(error) => answer.with_error_code(error.code()),
    }
}
