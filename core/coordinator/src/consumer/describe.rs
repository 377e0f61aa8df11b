//! ConsumerGroupDescribe 0–1. Who may see what, and the authorised operations, are the caller's business.

use std::collections::BTreeMap;

use fluxmq_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use fluxmq_protocol::messages::{GroupId, TopicName};
use fluxmq_protocol::{ErrorCode, StrBytes};
use uuid::Uuid;

use super::group::ConsumerGroup;
use super::member::ConsumerGroupMember;
use crate::group::Group;
use crate::shard::{GroupShard, told};
use crate::turn::Topics;

/// `MemberType` of a member that speaks the classic protocol (KIP-1099).
const CLASSIC_MEMBER: i8 = 0;
/// `MemberType` of a member that speaks the consumer protocol.
const CONSUMER_MEMBER: i8 = 1;

impl GroupShard {
    /// Describes groups, in the order asked for.
    #[must_use]
    pub fn consumer_group_describe(&self, topics: &dyn Topics, ids: &[GroupId]) -> Vec<DescribedGroup> {
        ids.iter().map(|id| self.describe_one(topics, id)).collect()
    }

    fn describe_one(&self, topics: &dyn Topics, id: &GroupId) -> DescribedGroup {
        let refused = |code: ErrorCode, message: Option<String>| {
            DescribedGroup::default()
                .with_group_id(id.clone())
                .with_error_code(code.code())
                .with_error_message(message.map(told))
        };
        if id.is_empty() {
            return refused(ErrorCode::InvalidGroupId, None);
        }
        match self.groups.get(&id.0) {
            Some(Group::Consumer(group)) => self.describe_group(topics, group),
            Some(Group::Classic(_)) => {
                refused(ErrorCode::GroupIdNotFound, Some(format!("Group {} is not a consumer group.", id.0)))
            }
            None => refused(ErrorCode::GroupIdNotFound, Some(format!("Group {} not found.", id.0))),
        }
    }

    fn describe_group(&self, topics: &dyn Topics, group: &ConsumerGroup) -> DescribedGroup {
        let default = self.config.consumer_assignors.first().map_or("", |assignor| assignor.name());
        let assignor = group.preferred_server_assignor(None, None);
        DescribedGroup::default()
            .with_group_id(GroupId(group.group_id.clone()))
            .with_group_state(StrBytes::from_static_str(group.state().name()))
            .with_group_epoch(group.group_epoch)
            .with_assignment_epoch(group.assignment_epoch)
            .with_assignor_name(assignor.unwrap_or_else(|| StrBytes::from_static_str(default)))
            .with_members(
                group.members.values().map(|member| describe_member(topics, group, member)).collect(),
            )
    }
}

fn describe_member(topics: &dyn Topics, group: &ConsumerGroup, member: &ConsumerGroupMember) -> Member {
    // What it was told to give up is still its own.
    let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic_id, partitions) in
        member.assigned_partitions.iter().chain(member.partitions_pending_revocation.iter())
    {
        owned.entry(*topic_id).or_default().extend(partitions.keys());
    }
    let target = group.target_assignment.get(&member.member_id);
    let target = target.iter().flat_map(|target| target.iter());
    let target = target.map(|(topic_id, partitions)| (*topic_id, partitions.iter().copied().collect()));
    Member::default()
        .with_member_id(member.member_id.clone())
        .with_instance_id(member.instance_id.clone())
        .with_rack_id(member.rack_id.clone())
        .with_member_epoch(member.member_epoch)
        .with_client_id(member.client_id.clone())
        .with_client_host(member.client_host.clone())
        .with_subscribed_topic_names(member.subscribed_topic_names.iter().cloned().map(TopicName).collect())
        .with_subscribed_topic_regex(member.subscribed_topic_regex.clone())
        .with_assignment(assignment(topics, owned.into_iter()))
        .with_target_assignment(assignment(topics, target))
        .with_member_type(if member.uses_classic_protocol() { CLASSIC_MEMBER } else { CONSUMER_MEMBER })
}

/// Partitions of topics that exist.
fn assignment(topics: &dyn Topics, partitions: impl Iterator<Item = (Uuid, Vec<i32>)>) -> Assignment {
    let partitions = partitions.filter_map(|(topic_id, partitions)| {
        let (name, _) = topics.by_id(topic_id)?;
        let topic = TopicPartitions::default().with_topic_id(topic_id).with_topic_name(TopicName(name));
        Some(topic.with_partitions(partitions))
    });
    Assignment::default().with_topic_partitions(partitions.collect())
}
