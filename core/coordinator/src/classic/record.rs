//! A classic group and its record. What is in the record changes here when it is replayed.

use std::collections::HashSet;

use bytes::Bytes;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::{GroupMetadataKey, GroupMetadataValue, GroupRecord, MemberMetadata};

use super::group::{ClassicGroup, ClassicGroupState};
use super::member::ClassicGroupMember;
use crate::group::{Group, Timer};
use crate::shard::GroupShard;
use crate::timers::Timers;
use crate::turn::Now;

/// What a record takes in its batch beside key and value, or more.
const RECORD_OVERHEAD_BYTES: usize = 128;

impl GroupShard {
    pub(crate) fn replay_group_metadata(
        &mut self,
        _now: Now,
        key: GroupMetadataKey,
        value: Option<GroupMetadataValue>,
    ) {
        match (self.groups.get_mut(&key.group), value) {
            (Some(Group::Classic(group)), Some(value)) => group.replay(value),
            (_, Some(value)) => {
                let group = ClassicGroup::from_record(key.group.clone(), value);
                self.groups.insert(key.group, Group::Classic(group));
            }
            (Some(Group::Classic(group)), None) => {
                group.cancel_timers(&mut self.timers);
                self.groups.remove(&key.group);
            }
            // A group that became a consumer group is no longer this record's.
            (Some(Group::Consumer(_)) | None, None) => {}
        }
    }
}

impl ClassicGroup {
    /// The group as its record tells, as after a load. One without members is empty, any other stable.
    pub(crate) fn from_record(group_id: StrBytes, value: GroupMetadataValue) -> Self {
        let mut group = ClassicGroup::new(group_id);
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type).filter(|protocol_type| !protocol_type.is_empty());
        group.protocol_name = value.protocol;
        group.leader = value.leader;
        group.state_timestamp_ms = known_timestamp(value.current_state_timestamp);
        if !value.members.is_empty() {
            group.state = ClassicGroupState::Stable;
        }
        let protocol_type = group.protocol_type.clone().unwrap_or_default();
        for record in value.members {
            let member = ClassicGroupMember::from_record(record, group.protocol_name.as_ref());
            group.add(&protocol_type, member);
        }
        group.compute_subscribed_topics();
        group
    }

    /// Makes it so what the record says. A group in a rebalance is ahead of its records, but for those by which the
    /// rebalance ends: the assignment, and that no member is left.
    pub(super) fn replay(&mut self, value: GroupMetadataValue) {
        let same_generation = value.generation == self.generation;
        let next_generation = value.generation == self.generation.wrapping_add(1);
        match self.state {
            ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable
                if same_generation && !value.members.is_empty() =>
            {
                self.settle(value);
            }
            ClassicGroupState::PreparingRebalance if next_generation && value.members.is_empty() => {
                self.replace(value);
            }
            ClassicGroupState::PreparingRebalance | ClassicGroupState::CompletingRebalance => {}
            ClassicGroupState::Empty | ClassicGroupState::Stable => self.replace(value),
        }
    }

    fn replace(&mut self, value: GroupMetadataValue) {
        let pending_join = std::mem::take(&mut self.pending_join);
        *self = ClassicGroup::from_record(self.group_id.clone(), value);
        self.pending_join = pending_join;
    }

    /// The assignment of this generation. What the members support beside the chosen protocol is in no record: members
    /// that are known keep it.
    fn settle(&mut self, value: GroupMetadataValue) {
        self.protocol_type = Some(value.protocol_type);
        self.protocol_name = value.protocol;
        self.leader = value.leader;
        let mut changed = self.drop_members_not_in(&value.members);
        for record in value.members {
            changed |= self.settle_member(record);
        }
        self.state = ClassicGroupState::Stable;
        self.state_timestamp_ms = known_timestamp(value.current_state_timestamp);
        if changed {
            self.compute_subscribed_topics();
        }
    }

    fn drop_members_not_in(&mut self, records: &[MemberMetadata]) -> bool {
        let kept: HashSet<_> = records.iter().map(|record| &record.member_id).collect();
        let gone: Vec<_> = self.members.keys().filter(|id| !kept.contains(id)).cloned().collect();
        gone.iter().for_each(|id| drop(self.take(id)));
        !gone.is_empty()
    }

    fn settle_member(&mut self, record: MemberMetadata) -> bool {
        let known = self.members.get(&record.member_id).is_some_and(|member| {
            member.to_record(self.protocol_name.as_ref(), record.assignment.clone()) == record
        });
        let loaded = ClassicGroupMember::from_record(record, self.protocol_name.as_ref());
        match self.members.get_mut(&loaded.member_id).filter(|_| known) {
            Some(member) => {
                member.assignment = loaded.assignment;
                member.rebalance_timeout_ms = loaded.rebalance_timeout_ms;
            }
            None => {
                self.take(&loaded.member_id);
                self.put(loaded);
            }
        }
        !known
    }

    /// The record of the group as it is, with the assignment that is given for each member.
    pub(crate) fn to_record(&self, assignment: impl Fn(&ClassicGroupMember) -> Bytes) -> GroupRecord {
        let protocol = self.protocol_name.as_ref();
        let members = self.members().map(|member| member.to_record(protocol, assignment(member))).collect();
        self.record_with(GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol_name.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_timestamp_ms.unwrap_or(-1),
            members,
        })
    }

    /// The record that ends a rebalance from which no member came out.
    pub(super) fn record_of_becoming_empty(&self, wall_ms: i64) -> GroupRecord {
        self.record_with(GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation.wrapping_add(1),
            protocol: None,
            leader: None,
            current_state_timestamp: wall_ms,
            members: Vec::new(),
        })
    }

    fn record_with(&self, value: GroupMetadataValue) -> GroupRecord {
        GroupRecord::GroupMetadata(GroupMetadataKey { group: self.group_id.clone() }, Some(value))
    }

    fn cancel_timers(&self, timers: &mut Timers<Timer>) {
        timers.cancel(&Timer::ClassicJoin(self.group_id.clone()));
        timers.cancel(&Timer::ClassicSync(self.group_id.clone()));
        for member_id in self.members.keys() {
            timers.cancel(&Timer::ClassicSession(self.group_id.clone(), member_id.clone()));
        }
        for member_id in &self.pending_join {
            timers.cancel(&Timer::ClassicPendingMember(self.group_id.clone(), member_id.clone()));
        }
    }
}

fn known_timestamp(timestamp_ms: i64) -> Option<i64> {
    (timestamp_ms != -1).then_some(timestamp_ms)
}

/// What the record of a classic group takes in a batch, or a little more. 0 for other records.
pub(crate) fn size_bytes(record: &GroupRecord) -> usize {
    let GroupRecord::GroupMetadata(key, Some(value)) = record else { return 0 };
    let text = |text: Option<&StrBytes>| 2 + text.map_or(0, |text| text.len());
    let member = |member: &MemberMetadata| {
        text(Some(&member.member_id))
            + text(member.group_instance_id.as_ref())
            + text(Some(&member.client_id))
            + text(Some(&member.client_host))
            + 16
            + member.subscription.len()
            + member.assignment.len()
    };
    RECORD_OVERHEAD_BYTES
        + text(Some(&key.group))
        + text(Some(&value.protocol_type))
        + text(value.protocol.as_ref())
        + text(value.leader.as_ref())
        + 16
        + value.members.iter().map(member).sum::<usize>()
}
