//! OffsetFetch (KIP-709 for many groups, KIP-848 for member epochs).

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use fluxmq_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

use super::store::{Committed, GroupOffsets};
use crate::shard::GroupShard;

impl GroupShard {
    /// What a group has committed for the topics of the request, or for all if it names none. A group that isn't there
    /// has committed nothing, which is no error. Whether only stable offsets are asked for makes no difference: there
    /// are no offsets of transactions that are still open.
    #[must_use]
    pub fn offset_fetch(&self, request: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
        let response = OffsetFetchResponseGroup::default().with_group_id(request.group_id.clone());
        let group = self.groups.get(&request.group_id.0);
        let allowed =
            group.map(|group| group.validate_offset_fetch(request.member_id.as_ref(), request.member_epoch));
        if let Some(Err(error)) = allowed {
            return response.with_error_code(error.code());
        }
        let offsets = group.and_then(|_| self.offsets.group(&request.group_id));
        response.with_topics(match &request.topics {
            Some(topics) => topics.iter().map(|topic| asked(offsets, topic)).collect(),
            None => offsets.map(all).unwrap_or_default(),
        })
    }
}

fn asked(offsets: Option<&GroupOffsets>, topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|&index| {
        let committed = offsets.and_then(|offsets| offsets.get(&topic.name, index));
        partition(index, committed)
    });
    OffsetFetchResponseTopics::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
}

fn all(offsets: &GroupOffsets) -> Vec<OffsetFetchResponseTopics> {
    let topics = offsets.topics().map(|topic| {
        let partitions =
            offsets.partitions(topic).map(|(index, committed)| partition(index, Some(committed)));
        let name = StrBytes::from_string(topic.to_owned());
        OffsetFetchResponseTopics::default().with_name(name.into()).with_partitions(partitions.collect())
    });
    topics.collect()
}

fn partition(index: i32, committed: Option<Committed<'_>>) -> OffsetFetchResponsePartitions {
    let (offset, leader_epoch, metadata) = match committed {
        Some(committed) => (committed.offset, committed.leader_epoch, committed.metadata),
        None => (-1, -1, ""),
    };
    let metadata = StrBytes::from_string(metadata.to_owned());
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(Some(metadata))
        .with_error_code(ErrorCode::None.code())
}
