//! TxnOffsetCommit: offsets that count once the producer's transaction is committed (KIP-98; KIP-447 for the checks of
//! members).

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::group_records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use fluxmq_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use fluxmq_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use uuid::Uuid;

use crate::consumer::CommitPartitionValidator;
use crate::shard::GroupShard;
use crate::turn::{Producer, Requester, Turn};

/// In `expire_timestamp`: as long as the broker keeps offsets.
const NO_EXPIRY: i64 = -1;

impl GroupShard {
    /// Commits offsets of a group in a producer's transaction: for a member of its present generation or epoch, or for
    /// nobody in particular, as all requests before version 3. A group that isn't there yet comes into being with such a
    /// commit that names no generation.
    /// Unless the answer is an error for all partitions, it is one for those whose metadata is too long.
    ///
    /// Whether the producer may write, and has a transaction in which it may write here, is for the log to say. When it
    /// refuses the records, the shard is as it was: such a commit changes nothing but by its records.
    pub fn txn_offset_commit(
        &self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &TxnOffsetCommitRequest,
    ) -> TxnOffsetCommitResponse {
        turn.all_in_records = true;
        match self.checked_txn_commit(turn, requester, request) {
            Ok(()) => answer(request, |partition| self.metadata_error(partition.committed_metadata.as_ref())),
            // Transactional producers know nothing of epochs of members.
            Err(ErrorCode::StaleMemberEpoch) => answer(request, |_| ErrorCode::IllegalGeneration),
            Err(error) => answer(request, |_| error),
        }
    }

    fn checked_txn_commit(
        &self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &TxnOffsetCommitRequest,
    ) -> Result<(), ErrorCode> {
        let validator = self.validate_txn_commit(requester, request)?;
        let mut records = Vec::new();
        for topic in &request.topics {
            let topic_id = turn.topics.by_name(&topic.name).map(|(id, _)| id);
            if topic_id.is_none() && !validator.accepts_all() {
                return Err(ErrorCode::IllegalGeneration);
            }
            let topic_id = topic_id.unwrap_or(Uuid::nil());
            for partition in &topic.partitions {
                if self.metadata_too_long(partition.committed_metadata.as_ref()) {
                    continue;
                }
                validator.validate(topic_id, partition.partition_index)?;
                records.push(record(request, topic, partition, topic_id, turn.now.wall_ms));
            }
        }
        self.fits_in_a_batch(&records)?;
        if !records.is_empty() {
            turn.transaction = Some(Producer { id: request.producer_id.0, epoch: request.producer_epoch });
            turn.records.append(&mut records);
        }
        Ok(())
    }

    fn validate_txn_commit(
        &self,
        requester: &Requester,
        request: &TxnOffsetCommitRequest,
    ) -> Result<CommitPartitionValidator<'_>, ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.groups.get(&request.group_id.0) {
            Some(group) => group.validate_offset_commit(
                &request.member_id,
                request.group_instance_id.as_ref(),
                request.generation_id,
                true,
                requester.api_version,
            ),
            None if request.generation_id < 0 => Ok(CommitPartitionValidator::ACCEPT_ALL),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }
}

fn record(
    request: &TxnOffsetCommitRequest,
    topic: &TxnOffsetCommitRequestTopic,
    partition: &TxnOffsetCommitRequestPartition,
    topic_id: Uuid,
    commit_timestamp: i64,
) -> GroupRecord {
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
        expire_timestamp: NO_EXPIRY,
        topic_id,
    };
    GroupRecord::OffsetCommit(key, Some(value))
}

/// An answer with an error for each partition of the request.
fn answer(
    request: &TxnOffsetCommitRequest,
    error: impl Fn(&TxnOffsetCommitRequestPartition) -> ErrorCode,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error(partition).code())
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}
