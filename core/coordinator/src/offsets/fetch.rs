//! OffsetFetch (KIP-447 for stable offsets, KIP-709 for many groups, KIP-848 for member epochs).

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use fluxmq_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

use super::pending::GroupPending;
use super::store::{Committed, GroupOffsets};
use crate::shard::GroupShard;

const NO_OFFSET: i64 = -1;
const NO_LEADER_EPOCH: i32 = -1;

/// What is known of a group's offsets.
struct Known<'a> {
    offsets: Option<&'a GroupOffsets>,
    /// What open transactions have committed, if that matters.
    pending: Option<&'a GroupPending>,
}

impl GroupShard {
    /// What a group has committed for the topics of the request, or for all if it names none. A group that isn't there
    /// has committed nothing, which is no error. If only stable offsets are asked for, there is an error for partitions
    /// for which an open transaction has committed.
    #[must_use]
    pub fn offset_fetch(
        &self,
        request: &OffsetFetchRequestGroup,
        require_stable: bool,
    ) -> OffsetFetchResponseGroup {
        let response = OffsetFetchResponseGroup::default().with_group_id(request.group_id.clone());
        let group = self.groups.get(&request.group_id.0);
        let allowed =
            group.map(|group| group.validate_offset_fetch(request.member_id.as_ref(), request.member_epoch));
        if let Some(Err(error)) = allowed {
            return response.with_error_code(error.code());
        }
        let known = Known {
            offsets: group.and_then(|_| self.offsets.group(&request.group_id)),
            pending: self.offsets.pending(&request.group_id).filter(|_| require_stable),
        };
        response.with_topics(match &request.topics {
            Some(topics) => topics.iter().map(|topic| known.asked(topic)).collect(),
            None => known.all(),
        })
    }
}

impl Known<'_> {
    fn asked(&self, topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
        let partitions = topic.partition_indexes.iter().map(|&index| {
            let committed = self.offsets.and_then(|offsets| offsets.get(&topic.name, index));
            self.partition(&topic.name, index, committed)
        });
        OffsetFetchResponseTopics::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    }

    /// Partitions that have been committed, whatever open transactions have committed besides.
    fn all(&self) -> Vec<OffsetFetchResponseTopics> {
        let Some(offsets) = self.offsets else { return Vec::new() };
        let topics = offsets.topics().map(|topic| {
            let partitions = offsets
                .partitions(topic)
                .map(|(index, committed)| self.partition(topic, index, Some(committed)));
            let name = StrBytes::from_string(topic.to_owned());
            OffsetFetchResponseTopics::default().with_name(name.into()).with_partitions(partitions.collect())
        });
        topics.collect()
    }

    fn partition(
        &self,
        topic: &str,
        index: i32,
        committed: Option<Committed<'_>>,
    ) -> OffsetFetchResponsePartitions {
        if self.pending.is_some_and(|pending| pending.contains(topic, index)) {
            return answer(index, None).with_error_code(ErrorCode::UnstableOffsetCommit.code());
        }
        answer(index, committed)
    }
}

fn answer(index: i32, committed: Option<Committed<'_>>) -> OffsetFetchResponsePartitions {
    let (offset, leader_epoch, metadata) = match committed {
        Some(committed) => (committed.offset, committed.leader_epoch, committed.metadata),
        None => (NO_OFFSET, NO_LEADER_EPOCH, ""),
    };
    let metadata = StrBytes::from_string(metadata.to_owned());
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(Some(metadata))
        .with_error_code(ErrorCode::None.code())
}
