//! What the records of a consumer group do to it. After compaction they come in the order of the last write of each
//! key, so a member's record may come before its group's, and a tombstone for what was never seen.

use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue, GroupRecord,
};

use super::group::ConsumerGroup;
use super::member::{ConsumerGroupMember, LEAVE_EPOCH, MemberState};
use super::records::partition_epochs;
use super::subscriptions::ResolvedRegularExpression;
use crate::group::Group;
use crate::shard::GroupShard;
use crate::turn::Now;

/// The assignment epoch of a group whose target assignment was deleted.
const NO_ASSIGNMENT_EPOCH: i32 = -1;

impl GroupShard {
    /// Does what a record of a consumer group says. Records of other kinds are none of its business.
    pub(crate) fn replay_consumer_group(&mut self, _now: Now, record: GroupRecord) {
        let Some((group_id, is_tombstone)) = group_of(&record) else { return };
        if matches!(record, GroupRecord::ConsumerGroupMetadata(_, None)) {
            // Of a group whose records were compacted away, offsets may have made a classic group without members. One
            // that somebody is about to join took this group's place.
            let is_deleted = match self.groups.get(group_id) {
                Some(Group::Classic(group)) => {
                    group.is_empty() && group.protocol_type().is_none() && !group.has_pending_joins()
                }
                _ => true,
            };
            if is_deleted {
                self.groups.remove(group_id);
            }
            return;
        }
        match self.groups.get_mut(group_id) {
            Some(Group::Consumer(group)) => group.replay(record),
            _ if is_tombstone => {}
            // A classic group that only offsets have made gives way.
            _ => {
                let group_id = group_id.clone();
                let mut group = ConsumerGroup::new(group_id.clone());
                group.replay(record);
                self.groups.insert(group_id, Group::Consumer(group));
            }
        }
    }
}

/// The group of a record, and whether the record deletes something.
fn group_of(record: &GroupRecord) -> Option<(&StrBytes, bool)> {
    Some(match record {
        GroupRecord::ConsumerGroupPartitionMetadata(key, value) => (&key.group_id, value.is_none()),
        GroupRecord::ConsumerGroupMetadata(key, value) => (&key.group_id, value.is_none()),
        GroupRecord::ConsumerGroupMemberMetadata(key, value) => (&key.group_id, value.is_none()),
        GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => (&key.group_id, value.is_none()),
        GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => (&key.group_id, value.is_none()),
        GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => (&key.group_id, value.is_none()),
        GroupRecord::ConsumerGroupRegularExpression(key, value) => (&key.group_id, value.is_none()),
        _ => return None,
    })
}

impl ConsumerGroup {
    /// Does what a record of this group says, except for the deletion of the group itself.
    pub(crate) fn replay(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::ConsumerGroupPartitionMetadata(_, value) => {
                self.has_partition_metadata_record = value.is_some();
            }
            GroupRecord::ConsumerGroupMetadata(_, Some(value)) => {
                self.group_epoch = value.epoch;
                self.metadata_hash = value.metadata_hash.unwrap_or(0);
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, Some(value)) => {
                self.replay_member(key.member_id, value);
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, None) => self.remove_member(&key.member_id),
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(_, value) => {
                let epoch_and_time =
                    value.map(|value| (value.assignment_epoch, value.assignment_timestamp.unwrap_or(0)));
                (self.assignment_epoch, self.assignment_timestamp_ms) =
                    epoch_and_time.unwrap_or((NO_ASSIGNMENT_EPOCH, 0));
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, Some(value)) => {
                let topics = value.topic_partitions.into_iter();
                let topics = topics.filter(|topic| !topic.partitions.is_empty());
                let topics = topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect()));
                self.target_assignment.insert(key.member_id, Arc::new(topics.collect()));
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, None) => {
                self.target_assignment.remove(&key.member_id);
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, Some(value)) => {
                self.replay_current_assignment(key.member_id, &value);
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, None) => {
                if let Some(member) = self.members.get(&key.member_id) {
                    let mut member = ConsumerGroupMember::clone(member);
                    member.member_epoch = LEAVE_EPOCH;
                    member.previous_member_epoch = LEAVE_EPOCH;
                    member.assigned_partitions = Arc::default();
                    member.partitions_pending_revocation = Arc::default();
                    self.update_member(member);
                }
            }
            GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                let resolved = value.map(|value| ResolvedRegularExpression {
                    topics: Arc::new(value.topics.into_iter().collect()),
                    version: value.version,
                    timestamp_ms: value.timestamp,
                });
                self.set_resolved(&key.regular_expression, resolved);
            }
            _ => {}
        }
    }

    fn known_or_new(&self, member_id: StrBytes) -> ConsumerGroupMember {
        let known = self.members.get(&member_id).map(|member| ConsumerGroupMember::clone(member));
        known.unwrap_or_else(|| ConsumerGroupMember::new(member_id))
    }

    fn replay_member(&mut self, member_id: StrBytes, value: ConsumerGroupMemberMetadataValue) {
        let mut member = self.known_or_new(member_id);
        member.instance_id = value.instance_id;
        member.rack_id = value.rack_id;
        member.client_id = value.client_id;
        member.client_host = value.client_host;
        member.subscribed_topic_names = Arc::new(value.subscribed_topic_names.into_iter().collect());
        member.subscribed_topic_regex = value.subscribed_topic_regex;
        member.rebalance_timeout_ms = value.rebalance_timeout_ms;
        member.server_assignor_name = value.server_assignor;
        member.classic_member_metadata = value.classic_member_metadata;
        self.update_member(member);
    }

    fn replay_current_assignment(
        &mut self,
        member_id: StrBytes,
        value: &ConsumerGroupCurrentMemberAssignmentValue,
    ) {
        let mut member = self.known_or_new(member_id);
        member.member_epoch = value.member_epoch;
        member.previous_member_epoch = value.previous_member_epoch;
        member.state = MemberState::from_value(value.state);
        member.assigned_partitions =
            Arc::new(partition_epochs(&value.assigned_partitions, value.member_epoch));
        member.partitions_pending_revocation =
            Arc::new(partition_epochs(&value.partitions_pending_revocation, value.member_epoch));
        self.update_member(member);
    }
}
