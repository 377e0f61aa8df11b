//! OffsetDelete (KIP-496).

use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use fluxmq_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use fluxmq_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::tombstone;
use crate::group::Group;
use crate::shard::GroupShard;
use crate::turn::Turn;

impl GroupShard {
    /// Deletes committed offsets of a group, those of open transactions too, except in topics that its members are
    /// subscribed to. A group of another protocol type than `consumer`, whose subscriptions aren't known, must be empty.
    pub fn offset_delete(
        &mut self,
        turn: &mut Turn<'_>,
        request: &OffsetDeleteRequest,
    ) -> OffsetDeleteResponse {
        turn.all_in_records = true;
        match self.checked_delete(turn, request) {
            Ok(topics) => OffsetDeleteResponse::default().with_topics(topics),
            Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
        }
    }

    fn checked_delete(
        &self,
        turn: &mut Turn<'_>,
        request: &OffsetDeleteRequest,
    ) -> Result<Vec<OffsetDeleteResponseTopic>, ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.groups.get(&request.group_id.0).ok_or(ErrorCode::GroupIdNotFound)?;
        group.validate_offset_delete()?;
        let (offsets, pending) =
            (self.offsets.group(&request.group_id), self.offsets.pending(&request.group_id));
        let committed = |topic: &OffsetDeleteRequestTopic, partition| {
            offsets.is_some_and(|offsets| offsets.get(&topic.name, partition).is_some())
                || pending.is_some_and(|pending| pending.contains(&topic.name, partition))
        };
        let mut records = Vec::new();
        for topic in request.topics.iter().filter(|topic| !group.is_subscribed_to_topic(&topic.name)) {
            let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
            records.extend(
                partitions
                    .filter(|partition| committed(topic, *partition))
                    .map(|partition| tombstone(&request.group_id, &topic.name, partition)),
            );
        }
        self.fits_in_a_batch(&records)?;
        turn.records.append(&mut records);
        Ok(request.topics.iter().map(|topic| answer(group, topic)).collect())
    }

    /// One for each partition, whether an offset is committed, or an open transaction has committed one, or both.
    pub(crate) fn tombstones_of_all_offsets(&self, group_id: &StrBytes) -> Vec<GroupRecord> {
        let mut records = Vec::new();
        if let Some(offsets) = self.offsets.group(group_id) {
            for topic in offsets.topics() {
                let name = StrBytes::from_string(topic.to_owned());
                let partitions = offsets.partitions(topic).map(|(partition, _)| partition);
                records.extend(partitions.map(|partition| tombstone(group_id, &name, partition)));
            }
        }
        if let Some(pending) = self.offsets.pending(group_id) {
            for topic in pending.topics() {
                let name = StrBytes::from_string(topic.to_owned());
                let partitions = self.offsets.only_pending(group_id, topic);
                records.extend(partitions.map(|partition| tombstone(group_id, &name, partition)));
            }
        }
        records
    }
}

fn answer(group: &Group, topic: &OffsetDeleteRequestTopic) -> OffsetDeleteResponseTopic {
    let error = match group.is_subscribed_to_topic(&topic.name) {
        true => ErrorCode::GroupSubscribedToTopic,
        false => ErrorCode::None,
    };
    let partitions = topic.partitions.iter().map(|partition| {
        OffsetDeleteResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(error.code())
    });
    OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
}
