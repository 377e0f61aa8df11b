//! WriteTxnMarkers (key 27), v1. KIP-98.
//!
//! What coordinators send to the leaders of a transaction's partitions, and what `kafka-transactions --abort` ends a
//! transaction with that hangs. This broker's own coordinator writes its markers without it. The markers of one request
//! are appended in its order; the answer leaves when all of them are durable. As in Kafka, one without partitions isn't
//! answered, and one without a producer is UNKNOWN_SERVER_ERROR. Deliberately not here: v2, which says by which version a
//! transaction ends (KIP-1228).

use bytes::Bytes;
use fluxmq_coordinator::shard::owned;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use fluxmq_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use fluxmq_protocol::messages::{TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use crate::coordination::wait::{Answered, DurableAt};
use crate::partitions::partition::EndTransaction;
use crate::request::{Outcome, RequestContext};

/// The version of transactions that a marker ends by which doesn't say it.
const UNTOLD_VERSION: i16 = 0;

/// Where the code of a marker stands in the answer, and what it waits for.
struct Wait {
    marker: usize,
    topic: usize,
    partition: usize,
    durable: DurableAt,
}

/// Appends the markers.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: WriteTxnMarkersRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let mut waits = Vec::new();
    let written = |(place, marker): (usize, &WritableTxnMarker)| write(context, place, marker, &mut waits);
    let has_partitions =
        |marker: &&WritableTxnMarker| marker.topics.iter().any(|topic| !topic.partition_indexes.is_empty());
    let mut markers: Vec<_> =
        request.markers.iter().filter(has_partitions).enumerate().map(written).collect();
    if waits.is_empty() {
        return Outcome::Ready(context.respond(&response(markers)));
    }
    let context = context.detached();
    // The names are views into the frame, which goes.
    let mut held_bytes = 0;
    for topic in markers.iter_mut().flat_map(|marker| &mut marker.topics) {
        topic.name = TopicName(owned(&topic.name));
        held_bytes += size_of::<WritableTxnMarkerTopicResult>()
            + topic.name.len()
            + topic.partitions.len() * size_of::<WritableTxnMarkerPartitionResult>();
    }
    Outcome::wait_holding(held_bytes, async move {
        for Wait { marker, topic, partition, durable } in waits {
            if let Err(code) = durable.reached().await {
                let code = as_leader(code);
                markers[marker].topics[topic].partitions[partition].error_code = code.code();
            }
        }
        context.respond(&response(markers))
    })
}

/// Appends one marker to each of its partitions.
fn write(
    context: &RequestContext,
    place: usize,
    marker: &WritableTxnMarker,
    waits: &mut Vec<Wait>,
) -> WritableTxnMarkerResult {
    let end = EndTransaction {
        producer_id: marker.producer_id.0,
        producer_epoch: marker.producer_epoch,
        commit: marker.transaction_result,
        coordinator_epoch: marker.coordinator_epoch,
        transaction_version: UNTOLD_VERSION,
    };
    let topics = marker.topics.iter().enumerate().map(|(topic_place, topic)| {
        let partitions = topic.partition_indexes.iter().enumerate().map(|(partition_place, &index)| {
            let appended = if end.producer_id < 0 || end.producer_epoch < 0 {
                Err(ErrorCode::UnknownServerError)
            } else {
                context.broker().transactions.append_marker_to(&topic.name, index, &end)
            };
            let code = match appended {
                Ok(Answered { durable, .. }) => {
                    waits.extend(durable.map(|durable| Wait {
                        marker: place,
                        topic: topic_place,
                        partition: partition_place,
                        durable,
                    }));
                    ErrorCode::None
                }
                Err(code) => as_leader(code),
            };
            WritableTxnMarkerPartitionResult::default()
                .with_partition_index(index)
                .with_error_code(code.code())
        });
        WritableTxnMarkerTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics.collect())
}

/// A coordinator expects the codes of leaders.
fn as_leader(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorNotAvailable
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::NotCoordinator => ErrorCode::NotLeaderOrFollower,
        code => code,
    }
}

fn response(markers: Vec<WritableTxnMarkerResult>) -> WriteTxnMarkersResponse {
    WriteTxnMarkersResponse::default().with_markers(markers)
}
