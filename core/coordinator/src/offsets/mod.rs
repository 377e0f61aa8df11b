//! Committed offsets: OffsetCommit, TxnOffsetCommit, OffsetFetch, OffsetDelete, and how offsets end (KIP-211, deleted
//! topics).

mod commit;
mod delete;
mod fetch;
#[cfg(test)]
mod member_tests;
#[cfg(test)]
mod mixed_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_tests;
mod pending;
#[cfg(test)]
mod requests;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod txn_commit;
#[cfg(test)]
mod txn_tests;

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};

pub use self::pending::GroupPending;
pub use self::store::{Committed, GroupOffsets, Offsets};
use crate::group::Group;
use crate::shard::{GroupShard, owned};

impl GroupShard {
    pub(crate) fn replay_offset_commit(&mut self, key: &OffsetCommitKey, value: Option<&OffsetCommitValue>) {
        let OffsetCommitKey { group, topic, partition } = key;
        let Some(value) = value else {
            self.offsets.remove(group, topic, *partition);
            return;
        };
        self.group_of_offsets(group);
        self.offsets.put(group, topic, *partition, committed(value));
    }

    /// Of an open transaction.
    pub(crate) fn replay_pending_offset(
        &mut self,
        producer_id: i64,
        key: &OffsetCommitKey,
        value: &OffsetCommitValue,
    ) {
        self.group_of_offsets(&key.group);
        self.offsets.put_pending(producer_id, &key.group, &key.topic, key.partition, committed(value));
    }

    /// Offsets have a group.
    fn group_of_offsets(&mut self, group_id: &StrBytes) {
        if !self.groups.contains_key(group_id) {
            let id = owned(group_id);
            self.groups.insert(id.clone(), Group::simple(id));
        }
    }

    /// How many offsets the groups of this shard have committed.
    #[must_use]
    pub fn offset_count(&self) -> usize {
        self.offsets.len()
    }

    /// Kafka appends what a request writes as one batch, or not at all, and writes no text of more than 32,767 bytes.
    ///
    /// # Errors
    /// `UNKNOWN_SERVER_ERROR`
    pub(crate) fn fits_in_a_batch(&self, records: &[GroupRecord]) -> Result<(), ErrorCode> {
        let size_bytes: usize = records.iter().map(size_bytes).sum();
        match size_bytes <= self.config.max_record_bytes && records.iter().all(can_be_written) {
            true => Ok(()),
            false => Err(ErrorCode::UnknownServerError),
        }
    }
}

/// What a record says.
fn committed(value: &OffsetCommitValue) -> Committed<'_> {
    Committed {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: &value.metadata,
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: (value.expire_timestamp != -1).then_some(value.expire_timestamp),
        topic_id: value.topic_id,
    }
}

/// Whether no text is too long. Records without values only name what others have named.
fn can_be_written(record: &GroupRecord) -> bool {
    let fits = |text: &StrBytes| i16::try_from(text.len()).is_ok();
    match record {
        GroupRecord::OffsetCommit(key, Some(value)) => {
            fits(&key.group) && fits(&key.topic) && fits(&value.metadata)
        }
        _ => true,
    }
}

/// The record that deletes an offset.
pub(crate) fn tombstone(group_id: &StrBytes, topic: &StrBytes, partition: i32) -> GroupRecord {
    let key = OffsetCommitKey { group: group_id.clone(), topic: topic.clone(), partition };
    GroupRecord::OffsetCommit(key, None)
}

/// About what a record takes in a batch, a few bytes too much.
pub(crate) fn size_bytes(record: &GroupRecord) -> usize {
    match record {
        GroupRecord::OffsetCommit(key, value) => {
            20 + key.group.len()
                + key.topic.len()
                + value.as_ref().map_or(0, |value| 48 + value.metadata.len())
        }
        _ => 256,
    }
}
