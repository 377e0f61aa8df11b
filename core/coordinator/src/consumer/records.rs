//! The records of consumer groups.

use std::collections::BTreeMap;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::{
    AssignedTopicPartitions, ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataKey, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue, GroupRecord, TopicPartitions,
};
use uuid::Uuid;

use super::group::ConsumerGroup;
use super::member::{ConsumerGroupMember, PartitionEpochs};
use super::subscriptions::ResolvedRegularExpression;
use crate::assignors::Assignment;

/// What a member subscribes to, and what it said of itself.
pub(crate) fn member_metadata(group_id: &StrBytes, member: &ConsumerGroupMember) -> GroupRecord {
    GroupRecord::ConsumerGroupMemberMetadata(
        ConsumerGroupMemberMetadataKey { group_id: group_id.clone(), member_id: member.member_id.clone() },
        Some(ConsumerGroupMemberMetadataValue {
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: member.subscribed_topic_names.iter().cloned().collect(),
            subscribed_topic_regex: member.subscribed_topic_regex.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            server_assignor: member.server_assignor_name.clone(),
            classic_member_metadata: member.classic_member_metadata.clone(),
        }),
    )
}

pub(crate) fn member_metadata_tombstone(group_id: &StrBytes, member_id: &StrBytes) -> GroupRecord {
    let key = ConsumerGroupMemberMetadataKey { group_id: group_id.clone(), member_id: member_id.clone() };
    GroupRecord::ConsumerGroupMemberMetadata(key, None)
}

/// The epoch of a group.
pub(crate) fn group_metadata(group_id: &StrBytes, epoch: i32, metadata_hash: i64) -> GroupRecord {
    GroupRecord::ConsumerGroupMetadata(
        ConsumerGroupMetadataKey { group_id: group_id.clone() },
        Some(ConsumerGroupMetadataValue {
            epoch,
            metadata_hash: Some(metadata_hash).filter(|hash| *hash != 0),
        }),
    )
}

pub(crate) fn group_metadata_tombstone(group_id: &StrBytes) -> GroupRecord {
    GroupRecord::ConsumerGroupMetadata(ConsumerGroupMetadataKey { group_id: group_id.clone() }, None)
}

/// Takes away what versions before 4.1 wrote of a group's topics.
pub(crate) fn partition_metadata_tombstone(group_id: &StrBytes) -> GroupRecord {
    let key = ConsumerGroupPartitionMetadataKey { group_id: group_id.clone() };
    GroupRecord::ConsumerGroupPartitionMetadata(key, None)
}

/// What a member is to have.
pub(crate) fn target_assignment_member(
    group_id: &StrBytes,
    member_id: &StrBytes,
    assignment: &Assignment,
) -> GroupRecord {
    let topic_partitions = assignment.iter().map(|(topic_id, partitions)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.iter().copied().collect(),
    });
    GroupRecord::ConsumerGroupTargetAssignmentMember(
        ConsumerGroupTargetAssignmentMemberKey { group_id: group_id.clone(), member_id: member_id.clone() },
        Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions: topic_partitions.collect() }),
    )
}

pub(crate) fn target_assignment_member_tombstone(group_id: &StrBytes, member_id: &StrBytes) -> GroupRecord {
    let key =
        ConsumerGroupTargetAssignmentMemberKey { group_id: group_id.clone(), member_id: member_id.clone() };
    GroupRecord::ConsumerGroupTargetAssignmentMember(key, None)
}

/// The epoch of the target assignment, and when it was made.
pub(crate) fn target_assignment_metadata(
    group_id: &StrBytes,
    assignment_epoch: i32,
    assignment_timestamp: i64,
) -> GroupRecord {
    GroupRecord::ConsumerGroupTargetAssignmentMetadata(
        ConsumerGroupTargetAssignmentMetadataKey { group_id: group_id.clone() },
        Some(ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch,
            assignment_timestamp: Some(assignment_timestamp).filter(|timestamp| *timestamp != 0),
        }),
    )
}

pub(crate) fn target_assignment_metadata_tombstone(group_id: &StrBytes) -> GroupRecord {
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group_id.clone() };
    GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, None)
}

/// What a member has, and at which epoch.
pub(crate) fn current_assignment(group_id: &StrBytes, member: &ConsumerGroupMember) -> GroupRecord {
    GroupRecord::ConsumerGroupCurrentMemberAssignment(
        ConsumerGroupCurrentMemberAssignmentKey {
            group_id: group_id.clone(),
            member_id: member.member_id.clone(),
        },
        Some(ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: member.member_epoch,
            previous_member_epoch: member.previous_member_epoch,
            state: member.state.value(),
            assigned_partitions: topic_partitions(&member.assigned_partitions),
            partitions_pending_revocation: topic_partitions(&member.partitions_pending_revocation),
        }),
    )
}

pub(crate) fn current_assignment_tombstone(group_id: &StrBytes, member_id: &StrBytes) -> GroupRecord {
    let key =
        ConsumerGroupCurrentMemberAssignmentKey { group_id: group_id.clone(), member_id: member_id.clone() };
    GroupRecord::ConsumerGroupCurrentMemberAssignment(key, None)
}

/// What a regular expression matches.
pub(crate) fn regular_expression(
    group_id: &StrBytes,
    regex: &StrBytes,
    resolved: &ResolvedRegularExpression,
) -> GroupRecord {
    GroupRecord::ConsumerGroupRegularExpression(
        ConsumerGroupRegularExpressionKey { group_id: group_id.clone(), regular_expression: regex.clone() },
        Some(ConsumerGroupRegularExpressionValue {
            topics: resolved.topics.iter().cloned().collect(),
            version: resolved.version,
            timestamp: resolved.timestamp_ms,
        }),
    )
}

pub(crate) fn regular_expression_tombstone(group_id: &StrBytes, regex: &StrBytes) -> GroupRecord {
    let key =
        ConsumerGroupRegularExpressionKey { group_id: group_id.clone(), regular_expression: regex.clone() };
    GroupRecord::ConsumerGroupRegularExpression(key, None)
}

/// Takes a member out of a group.
pub(crate) fn remove_member(records: &mut Vec<GroupRecord>, group_id: &StrBytes, member_id: &StrBytes) {
    records.push(current_assignment_tombstone(group_id, member_id));
    records.push(target_assignment_member_tombstone(group_id, member_id));
    records.push(member_metadata_tombstone(group_id, member_id));
}

/// Puts a static member in the place of the one that has its instance id.
pub(crate) fn replace_member(
    records: &mut Vec<GroupRecord>,
    group: &ConsumerGroup,
    old: &ConsumerGroupMember,
    new: &ConsumerGroupMember,
) {
    let group_id = &group.group_id;
    let target = group.target_assignment.get(&old.member_id).cloned().unwrap_or_default();
    remove_member(records, group_id, &old.member_id);
    records.push(member_metadata(group_id, new));
    records.push(target_assignment_member(group_id, &new.member_id, &target));
    records.push(current_assignment(group_id, new));
}

impl ConsumerGroup {
    /// The records that delete the group.
    pub(crate) fn create_group_tombstones(&self, records: &mut Vec<GroupRecord>) {
        let group_id = &self.group_id;
        let ids = || self.members.keys();
        records.extend(ids().map(|id| current_assignment_tombstone(group_id, id)));
        records.extend(ids().map(|id| target_assignment_member_tombstone(group_id, id)));
        records.push(target_assignment_metadata_tombstone(group_id));
        records.extend(ids().map(|id| member_metadata_tombstone(group_id, id)));
        let regexes = self.subscriptions.resolved().keys();
        records.extend(regexes.map(|regex| regular_expression_tombstone(group_id, regex)));
        records.push(partition_metadata_tombstone(group_id));
        records.push(group_metadata_tombstone(group_id));
    }
}

fn topic_partitions(assignment: &PartitionEpochs) -> Vec<AssignedTopicPartitions> {
    let topics = assignment.iter().map(|(topic_id, epochs)| AssignedTopicPartitions {
        topic_id: *topic_id,
        partitions: epochs.keys().copied().collect(),
        assignment_epochs: Some(epochs.values().copied().collect()),
    });
    topics.collect()
}

/// What a record says that a member has. Versions before 4.3 wrote no epochs of single partitions: it is the member's
/// then.
pub(crate) fn partition_epochs(topics: &[AssignedTopicPartitions], member_epoch: i32) -> PartitionEpochs {
    let default = member_epoch.max(0);
    let mut assignment = PartitionEpochs::new();
    for topic in topics {
        let epochs =
            topic.assignment_epochs.as_deref().filter(|epochs| epochs.len() == topic.partitions.len());
        let partitions: BTreeMap<i32, i32> = match epochs {
            Some(epochs) => topic.partitions.iter().copied().zip(epochs.iter().copied()).collect(),
            None => topic.partitions.iter().map(|partition| (*partition, default)).collect(),
        };
        if !partitions.is_empty() {
            assignment.insert(topic.topic_id, partitions);
        }
    }
    assignment
}

/// About how many bytes a record takes in a batch; not less.
pub(crate) fn size_bytes(record: &GroupRecord) -> usize {
    const FIXED: usize = 64;
    let optional = |text: &Option<StrBytes>| text.as_ref().map_or(0, |text| text.len());
    let text = |text: &StrBytes| 3 + text.len();
    let own = match record {
        GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
            text(&key.group_id)
                + text(&key.member_id)
                + value.as_ref().map_or(0, |value| {
                    let classic = value.classic_member_metadata.iter();
                    let protocols = classic.flat_map(|classic| &classic.supported_protocols);
                    let protocols =
                        protocols.map(|protocol| 16 + protocol.name.len() + protocol.metadata.len());
                    optional(&value.instance_id)
                        + optional(&value.rack_id)
                        + value.client_id.len()
                        + value.client_host.len()
                        + value.subscribed_topic_names.iter().map(text).sum::<usize>()
                        + optional(&value.subscribed_topic_regex)
                        + optional(&value.server_assignor)
                        + protocols.sum::<usize>()
                })
        }
        GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
            let topics = value.iter().flat_map(|value| &value.topic_partitions);
            let topics = topics.map(|topic| 24 + 4 * topic.partitions.len());
            text(&key.group_id) + text(&key.member_id) + topics.sum::<usize>()
        }
        GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
            let topics = value.iter().flat_map(|value| {
                value.assigned_partitions.iter().chain(&value.partitions_pending_revocation)
            });
            let topics = topics.map(|topic| 32 + 8 * topic.partitions.len());
            text(&key.group_id) + text(&key.member_id) + topics.sum::<usize>()
        }
        GroupRecord::ConsumerGroupRegularExpression(key, value) => {
            let topics = value.iter().flat_map(|value| &value.topics);
            text(&key.group_id) + text(&key.regular_expression) + topics.map(text).sum::<usize>()
        }
        GroupRecord::ConsumerGroupMetadata(key, _) => text(&key.group_id),
        GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, _) => text(&key.group_id),
        GroupRecord::ConsumerGroupPartitionMetadata(key, _) => text(&key.group_id),
        _ => 0,
    };
    FIXED + own
}

/// An id as Kafka writes it: base64 without padding, in the alphabet that is safe in a URL.
pub(crate) fn kafka_uuid(id: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(22);
    for chunk in id.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            let sextet = bits >> (18 - 6 * index) & 0x3f;
            text.push(char::from(ALPHABET[usize::try_from(sextet).unwrap_or(0)]));
        }
    }
    text
}
