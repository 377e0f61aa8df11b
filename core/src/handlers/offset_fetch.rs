//! OffsetFetch (key 9), v1–9. KIP-447 (`require_stable`, v7), KIP-709 (many groups, v8), KIP-848 (member epochs, v9).
//!
//! Each group is asked in a turn of its shard; the answer waits until what it rests on is durable. Deliberately not
//! here: topic ids (v10).

use bytes::Bytes;
use fluxmq_coordinator::shard::owned;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use fluxmq_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use fluxmq_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};

use crate::coordination::wait::DurableAt;
use crate::request::{Outcome, RequestContext};

/// The first version with an error for a whole group.
const FIRST_VERSION_WITH_GROUP_ERROR: i16 = 2;
/// The first version that asks for many groups.
const FIRST_VERSION_WITH_GROUPS: i16 = 8;
const NO_OFFSET: i64 = -1;

/// A group's answer, what it waits for, and the error to give in its place.
struct Found {
    response: OffsetFetchResponseGroup,
    durable: Option<DurableAt>,
    asked: OffsetFetchRequestGroup,
}

/// Has each group's shard say what is committed.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: OffsetFetchRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let (version, require_stable) = (context.api_version, request.require_stable);
    let mut found: Vec<Found> =
        groups(request, version).into_iter().map(|group| find(context, group, require_stable)).collect();
    if found.iter().all(|group| group.durable.is_none()) {
        return Outcome::Ready(context.respond(&in_version(found, version)));
    }
    let context = context.detached();
    found.iter_mut().for_each(Found::detach);
    Outcome::wait_holding(found.iter().map(Found::size_bytes).sum(), async move {
        for group in &mut found {
            let Some(durable) = group.durable.take() else { continue };
            if let Err(code) = durable.reached().await {
                group.response = failure(&group.asked, as_kafka(code), version);
            }
        }
        context.respond(&in_version(found, version))
    })
}

impl Found {
    /// Copies the names, which are views into the frame.
    fn detach(&mut self) {
        for id in [&mut self.asked.group_id, &mut self.response.group_id] {
            *id = GroupId(owned(id));
        }
        let asked = self.asked.topics.iter_mut().flatten().map(|topic| &mut topic.name);
        for name in asked.chain(self.response.topics.iter_mut().map(|topic| &mut topic.name)) {
            *name = TopicName(owned(name));
        }
    }

    /// About what it takes in memory.
    fn size_bytes(&self) -> usize {
        let topics = self.response.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let metadata = partitions.map(|has| has.metadata.as_ref().map_or(0, |text| text.len()));
            topic.partitions.len() * size_of::<OffsetFetchResponsePartitions>() + metadata.sum::<usize>()
        });
        let asked = self.asked.topics.iter().flatten();
        let asked = asked.map(|topic| topic.partition_indexes.len() * size_of::<i32>());
        size_of::<Found>() + topics.sum::<usize>() + asked.sum::<usize>()
    }
}

/// What is asked of each group; of one group before v8.
fn groups(request: OffsetFetchRequest, version: i16) -> Vec<OffsetFetchRequestGroup> {
    if version >= FIRST_VERSION_WITH_GROUPS {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| {
            OffsetFetchRequestTopics::default()
                .with_name(topic.name)
                .with_partition_indexes(topic.partition_indexes)
        });
        topics.collect()
    });
    vec![OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_topics(topics)]
}

fn find(context: &RequestContext, asked: OffsetFetchRequestGroup, require_stable: bool) -> Found {
    let turned =
        context.broker().groups.turn(&asked.group_id, |shard, _| shard.offset_fetch(&asked, require_stable));
    match turned {
        Ok(answered) => Found { response: answered.value, durable: answered.durable, asked },
        Err(code) => {
            Found { response: failure(&asked, as_kafka(code), context.api_version), durable: None, asked }
        }
    }
}

/// Kafka says NOT_COORDINATOR here where other requests of groups say COORDINATOR_NOT_AVAILABLE.
fn as_kafka(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorNotAvailable => ErrorCode::NotCoordinator,
        code => code,
    }
}

/// The error of a whole group, which v1 can only say partition by partition.
fn failure(asked: &OffsetFetchRequestGroup, code: ErrorCode, version: i16) -> OffsetFetchResponseGroup {
    let group = OffsetFetchResponseGroup::default().with_group_id(asked.group_id.clone());
    if version >= FIRST_VERSION_WITH_GROUP_ERROR {
        return group.with_error_code(code.code());
    }
    let topics = asked.topics.iter().flatten().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(*index)
                .with_committed_offset(NO_OFFSET)
                .with_error_code(code.code())
        });
        OffsetFetchResponseTopics::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    group.with_topics(topics.collect())
}

fn in_version(found: Vec<Found>, version: i16) -> OffsetFetchResponse {
    let mut groups = found.into_iter().map(|group| group.response);
    if version >= FIRST_VERSION_WITH_GROUPS {
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let group = groups.next().expect("before v8 one group is asked");
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|has| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(has.partition_index)
                .with_committed_offset(has.committed_offset)
                .with_committed_leader_epoch(has.committed_leader_epoch)
                .with_metadata(has.metadata)
                .with_error_code(has.error_code)
        });
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_error_code(group.error_code).with_topics(topics.collect())
}
