//! What committed offsets need to know of a classic group: who may commit, fetch and delete, and what expires.

use fluxmq_protocol::group_records::{GroupMetadataKey, GroupRecord};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::group::{ClassicGroup, ClassicGroupState};
use crate::group::OffsetsExpire;
use crate::shard::GroupShard;
use crate::turn::Turn;

impl ClassicGroup {
    /// Whether offsets may be committed. Anyone may while the group is empty, members of this generation otherwise,
    /// and not while the group waits for its assignment, since the partitions may be another member's by then. A
    /// transactional producer need not tell for whom it commits, and commits during a rebalance too.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`, `ILLEGAL_GENERATION`, `REBALANCE_IN_PROGRESS`
    pub(crate) fn validate_offset_commit(
        &self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.validate_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !is_transactional && !self.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        if !is_transactional && self.state == ClassicGroupState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether offsets may be deleted in topics that nobody in the group reads.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP` if the group has members and they don't say what they read.
    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        if self.is_empty() || self.uses_consumer_protocol() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// Whether the group may be deleted.
    ///
    /// # Errors
    /// `NON_EMPTY_GROUP`
    pub(crate) fn validate_delete_group(&self) -> Result<(), ErrorCode> {
        if self.is_empty() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    /// Whether a member reads the topic; yes for all where a consumer said something unreadable.
    pub(crate) fn is_subscribed_to_topic(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic.as_bytes()),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Since when the retention of its offsets counts (KIP-211): since the group is empty, or since the commit for
    /// a group that never had members and for topics that a stable one does not read. None while nothing expires.
    pub(crate) fn offsets_expire(&self) -> Option<OffsetsExpire> {
        if self.protocol_type.is_none() {
            return Some(OffsetsExpire::SinceCommit);
        }
        match self.state {
            ClassicGroupState::Empty => {
                Some(self.state_timestamp_ms.map_or(OffsetsExpire::SinceCommit, OffsetsExpire::Since))
            }
            ClassicGroupState::Stable if self.uses_consumer_protocol() => {
                self.subscribed_topics.as_ref().map(|_| OffsetsExpire::SinceCommit)
            }
            _ => None,
        }
    }

    /// The record that deletes the group, without its offsets.
    pub(crate) fn create_group_tombstones(&self, records: &mut Vec<GroupRecord>) {
        let key = GroupMetadataKey { group: self.group_id.clone() };
        records.push(GroupRecord::GroupMetadata(key, None));
    }
}

impl GroupShard {
    /// A member that commits lives: in old clients the thread that commits is the one that sends heartbeats.
    pub(crate) fn classic_commit_is_heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        group_id: &StrBytes,
        member_id: &StrBytes,
    ) {
        let Some((group, mut work)) = self.classic_group(turn, group_id) else { return };
        if matches!(group.state, ClassicGroupState::Stable | ClassicGroupState::PreparingRebalance) {
            work.restart_session(group, member_id);
        }
    }
}
