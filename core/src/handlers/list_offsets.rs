//! ListOffsets (key 2), v1–10. KIP-79 (by timestamp), KIP-98 (isolation), KIP-207 and KIP-320 (leader epochs),
//! KIP-734 (maximum timestamp), KIP-405 and KIP-1005 (tiers), KIP-1075 (timeout).
//!
//! Deliberately not here: there are no tiers, so that the earliest local offset is the earliest and there is no latest
//! tiered one; and no answer waits for remote storage, which is all that the timeout of v10 is for. OFFSET_NOT_AVAILABLE
//! is never answered: the high watermark of a single replica does not fall behind the start of its epoch.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use fluxmq_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::log::TimestampOffset;

use crate::error::read_code;
use crate::meta::topics::TopicsImage;
use crate::partitions::partition::Partition;
use crate::request::{Outcome, RequestContext};

const LATEST_TIMESTAMP: i64 = -1;
const EARLIEST_TIMESTAMP: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
const LATEST_TIERED_TIMESTAMP: i64 = -5;
const CONSUMER_REPLICA_ID: i32 = -1;
const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;
const NONE: i64 = -1;
const NO_EPOCH: i32 = -1;

/// Answers at once, or from the blocking pool when a timestamp must be looked up in the files.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: ListOffsetsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if !matches!(request.isolation_level, READ_UNCOMMITTED | READ_COMMITTED) {
        return Outcome::Ready(context.respond(&refused(request, ErrorCode::UnknownServerError)));
    }
    let questions = questions(&request, context.api_version, &context.broker().metadata.topics());
    if questions.iter().flat_map(|topic| &topic.partitions).any(|question| question.reads_files) {
        let context = RequestContext { client_id: None, ..context.clone() };
        let broker = Arc::clone(context.broker());
        return Outcome::Exclusive(Box::pin(
            broker.blocking.run(move || context.respond(&answer(questions, context.api_version))),
        ));
    }
    Outcome::Ready(context.respond(&answer(questions, context.api_version)))
}

/// The end of what a client may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visible {
    HighWatermark,
    LastStableOffset,
    LogEnd,
}

struct Topic {
    name: StrBytes,
    partitions: Vec<Question>,
}

struct Question {
    index: i32,
    timestamp: i64,
    current_leader_epoch: i32,
    visible: Visible,
    reads_files: bool,
    partition: Result<Arc<Partition>, ErrorCode>,
}

/// What is asked, each partition once. One that is listed twice is answered once, with INVALID_REQUEST.
fn questions(request: &ListOffsetsRequest, version: i16, image: &TopicsImage) -> Vec<Topic> {
    let visible = match (request.replica_id.0, request.isolation_level) {
        (CONSUMER_REPLICA_ID, READ_COMMITTED) => Visible::LastStableOffset,
        (CONSUMER_REPLICA_ID, _) => Visible::HighWatermark,
        _ => Visible::LogEnd,
    };
    let mut topics: Vec<Topic> = Vec::with_capacity(request.topics.len());
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut seen: HashMap<(usize, i32), usize> = HashMap::new();
    for topic in &request.topics {
        let known = image.by_name(&topic.name);
        let place = *places.entry(&topic.name).or_insert_with(|| {
            let name = known.map_or_else(|| topic.name.0.clone(), |topic| topic.name.clone());
            topics.push(Topic { name, partitions: Vec::new() });
            topics.len() - 1
        });
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let questions = &mut topics[place].partitions;
            if let Some(&first) = seen.get(&(place, index)) {
                questions[first].partition = Err(ErrorCode::InvalidRequest);
                questions[first].reads_files = false;
                continue;
            }
            seen.insert((place, index), questions.len());
            let resolved = if is_served(partition.timestamp, version) {
                known
                    .and_then(|topic| topic.partition(index))
                    .map(Arc::clone)
                    .ok_or(ErrorCode::UnknownTopicOrPartition)
            } else {
                Err(ErrorCode::UnsupportedVersion)
            };
            let looks_up = partition.timestamp >= 0 || partition.timestamp == MAX_TIMESTAMP;
            questions.push(Question {
                index,
                timestamp: partition.timestamp,
                current_leader_epoch: partition.current_leader_epoch,
                visible,
                reads_files: looks_up && resolved.is_ok(),
                partition: resolved,
            });
        }
    }
    topics
}

/// Whether a version may ask for `timestamp`: the negative ones that stand for something came one by one.
fn is_served(timestamp: i64, version: i16) -> bool {
    match timestamp {
        0.. | LATEST_TIMESTAMP | EARLIEST_TIMESTAMP => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL_TIMESTAMP => version >= 8,
        LATEST_TIERED_TIMESTAMP => version >= 9,
        _ => false,
    }
}

fn answer(topics: Vec<Topic>, version: i16) -> ListOffsetsResponse {
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|question| {
            let response = ListOffsetsPartitionResponse::default().with_partition_index(question.index);
            match question
                .partition
                .as_ref()
                .map_err(|error| *error)
                .and_then(|partition| look_up(partition, question))
            {
                Ok(found) => response
                    .with_timestamp(found.timestamp_ms)
                    .with_offset(found.offset)
                    .with_leader_epoch(if version >= 4 { found.leader_epoch } else { NO_EPOCH }),
                Err(error) => without_offset(response, error),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(TopicName(topic.name)).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// The refusal of a whole request, told in each of its partitions.
fn refused(request: ListOffsetsRequest, error: ErrorCode) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let response = |index| ListOffsetsPartitionResponse::default().with_partition_index(index);
        let partitions = topic.partitions.iter().map(|asked| asked.partition_index);
        ListOffsetsTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions.map(|index| without_offset(response(index), error)).collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn without_offset(response: ListOffsetsPartitionResponse, error: ErrorCode) -> ListOffsetsPartitionResponse {
    response.with_error_code(error.code()).with_timestamp(NONE).with_offset(NONE).with_leader_epoch(NO_EPOCH)
}

fn look_up(partition: &Arc<Partition>, question: &Question) -> Result<TimestampOffset, ErrorCode> {
    use super::fetch_planner::Source;
    partition.check(question.current_leader_epoch)?;
    let end_offset = match question.visible {
        Visible::HighWatermark => partition.high_watermark().offset,
        Visible::LastStableOffset => partition.last_stable_offset().offset,
        Visible::LogEnd => partition.log_end().offset,
    };
    let nothing = TimestampOffset { timestamp_ms: NONE, offset: NONE, leader_epoch: NO_EPOCH };
    let at = |offset, leader_epoch| TimestampOffset { timestamp_ms: NONE, offset, leader_epoch };
    let found = match question.timestamp {
        LATEST_TIMESTAMP => return Ok(at(end_offset, partition.leader_epoch())),
        EARLIEST_TIMESTAMP | EARLIEST_LOCAL_TIMESTAMP => {
            let offset = partition.log_start_offset();
            // A log that nothing was appended to yet starts in the epoch that its first record will have.
            let epoch = partition.log().epoch_for_offset(offset).unwrap_or(partition.leader_epoch());
            return Ok(at(offset, epoch));
        }
        LATEST_TIERED_TIMESTAMP => return Ok(nothing),
        MAX_TIMESTAMP => partition.log().max_timestamp(),
        timestamp => partition.log().offset_for_timestamp(timestamp),
    };
    match found {
        Ok(found) => Ok(found.filter(|found| found.offset < end_offset).unwrap_or(nothing)),
        Err(error) => {
            partition.read_failed(&error);
            Err(read_code(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxmq_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

    #[test]
    fn negative_timestamps_are_served_from_the_version_that_brought_them() {
        for (timestamp, first) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (0, 1), (i64::MAX, 1)] {
            for version in 1..=10 {
                assert_eq!(is_served(timestamp, version), version >= first, "{timestamp} v{version}");
            }
        }
        assert!(!is_served(-6, 10));
        assert!(!is_served(i64::MIN, 10));
    }

    #[test]
    fn a_partition_listed_twice_is_answered_once() {
        let partition = |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(5);
        let topic = |indexes: &[i32]| {
            ListOffsetsTopic::default()
                .with_name(TopicName(StrBytes::from_static_str("t")))
                .with_partitions(indexes.iter().map(|&index| partition(index)).collect())
        };
        let request = ListOffsetsRequest::default().with_topics(vec![topic(&[0, 1]), topic(&[2, 0])]);
        let response = answer(questions(&request, 10, &TopicsImage::default()), 10);
        assert_eq!(response.topics.len(), 1);
        let answers: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.partition_index, partition.error_code, partition.offset))
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(answers, [(0, ErrorCode::InvalidRequest.code(), -1), (1, unknown, -1), (2, unknown, -1)]);
    }
}
