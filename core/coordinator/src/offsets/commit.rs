//! OffsetCommit (KIP-848 for the errors of consumer groups).

use fluxmq_protocol::group_records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use fluxmq_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use fluxmq_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use fluxmq_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};
use uuid::Uuid;

use crate::consumer::CommitPartitionValidator;
use crate::group::Group;
use crate::shard::GroupShard;
use crate::turn::{Requester, Turn};

/// In `retention_time_ms`: as long as the broker keeps offsets.
const NO_RETENTION_TIME: i64 = -1;

impl GroupShard {
    /// Commits offsets of a group: for a member of its present generation or epoch, or for anyone if the group has no
    /// members and the request names no generation. A group that isn't there yet comes into being with such a commit.
    /// Unless the answer is an error for all partitions, it is one for those whose metadata is too long.
    pub fn offset_commit(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &OffsetCommitRequest,
    ) -> OffsetCommitResponse {
        turn.all_in_records = true;
        match self.checked_commit(turn, requester, request) {
            Ok(response) => response,
            Err(error) => answer(request, |_| error),
        }
    }

    fn checked_commit(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &OffsetCommitRequest,
    ) -> Result<OffsetCommitResponse, ErrorCode> {
        let generation_or_epoch = request.generation_id_or_member_epoch;
        let group = self.groups.get(&request.group_id.0);
        let validator = match group {
            Some(group) => group.validate_offset_commit(
                &request.member_id,
                request.group_instance_id.as_ref(),
                generation_or_epoch,
                false,
                requester.api_version,
            )?,
            None if generation_or_epoch < 0 => CommitPartitionValidator::ACCEPT_ALL,
            None if requester.api_version >= 9 => return Err(ErrorCode::GroupIdNotFound),
            None => return Err(ErrorCode::IllegalGeneration),
        };
        let commit_timestamp = turn.now.wall_ms;
        let expire_timestamp = match request.retention_time_ms {
            NO_RETENTION_TIME => -1,
            retention_ms => commit_timestamp.saturating_add(retention_ms),
        };
        let mut records = Vec::new();
        for topic in &request.topics {
            let topic_id = turn.topics.by_name(&topic.name).map_or(Uuid::nil(), |(id, _)| id);
            for partition in &topic.partitions {
                if self.metadata_too_long(partition.committed_metadata.as_ref()) {
                    continue;
                }
                validator.validate(topic_id, partition.partition_index)?;
                let key = OffsetCommitKey {
                    group: request.group_id.0.clone(),
                    topic: topic.name.0.clone(),
                    partition: partition.partition_index,
                };
                let value = OffsetCommitValue {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.clone().unwrap_or_default(),
                    commit_timestamp,
                    expire_timestamp,
                    topic_id,
                };
                records.push(GroupRecord::OffsetCommit(key, Some(value)));
            }
        }
        self.fits_in_a_batch(&records)?;
        let is_classic = matches!(group, Some(Group::Classic(_)));
        if is_classic {
            self.classic_commit_is_heartbeat(turn, &request.group_id, &request.member_id);
        }
        turn.records.append(&mut records);
        Ok(answer(request, |partition| self.metadata_error(partition.committed_metadata.as_ref())))
    }

    /// What a partition is answered whose offset is committed with this metadata, unless all are refused.
    pub(super) fn metadata_error(&self, metadata: Option<&StrBytes>) -> ErrorCode {
        match self.metadata_too_long(metadata) {
            true => ErrorCode::OffsetMetadataTooLarge,
            false => ErrorCode::None,
        }
    }

    /// `offset.metadata.max.bytes`, which Kafka counts in UTF-16 code units.
    pub(super) fn metadata_too_long(&self, metadata: Option<&StrBytes>) -> bool {
        let max = usize::try_from(self.config.offset_metadata_max_bytes).unwrap_or(0);
        metadata.is_some_and(|text| text.len() > max && text.encode_utf16().count() > max)
    }
}

/// An answer with an error for each partition of the request.
fn answer(
    request: &OffsetCommitRequest,
    error: impl Fn(&OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error(partition).code())
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}
