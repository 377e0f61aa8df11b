//! Members go: they say so, or their time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::error::ConsumerGroupError;
use super::group::ConsumerGroup;
use super::heartbeat::check_instance;
use super::member::{ConsumerGroupMember, MemberState, STATIC_LEAVE_EPOCH};
use super::metadata_hash::metadata_hash;
use super::records;
use crate::config::GroupCoordinatorConfig;
use crate::group::{Group, Timer};
use crate::shard::GroupShard;
use crate::turn::Turn;

impl GroupShard {
    /// A member leaves; a static one may mean to come back.
    pub(super) fn consumer_group_leave(
        &mut self,
        turn: &mut Turn<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ConsumerGroupError> {
        let group_id = &request.group_id.0;
        let group = match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => group,
            Some(Group::Classic(_)) => return Err(ConsumerGroupError::NotAConsumerGroup(group_id.clone())),
            None => return Err(ConsumerGroupError::GroupNotFound(group_id.clone())),
        };
        let member_id = &request.member_id;
        let member = match &request.instance_id {
            None => group.members.get(member_id).ok_or_else(|| ConsumerGroupError::UnknownMember {
                member_id: member_id.clone(),
                group_id: group_id.clone(),
            })?,
            Some(instance_id) => check_instance(group.static_member(instance_id), member_id, instance_id)?,
        };
        let member = Arc::clone(member);
        let group_id = group.group_id.clone();
        if request.instance_id.is_some() && request.member_epoch == STATIC_LEAVE_EPOCH {
            turn.records.push(records::current_assignment(&group_id, &away(&member)));
            // It keeps its session: that is how long the others wait for it.
            self.timers.cancel(&Timer::ConsumerRebalance(group_id, member.member_id.clone()));
        } else {
            self.fence_consumer_group_members(turn, &group_id, &[Arc::clone(&member)]);
        }
        Ok(ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(member.member_id.clone()))
            .with_member_epoch(request.member_epoch))
    }

    /// Takes members out of their group, which gets a new epoch: the next heartbeat of another member assigns what they
    /// had.
    pub(super) fn fence_consumer_group_members(
        &mut self,
        turn: &mut Turn<'_>,
        group_id: &StrBytes,
        members: &[Arc<ConsumerGroupMember>],
    ) {
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        if members.is_empty() {
            return;
        }
        if let Some(downgrade) = self.downgrade_without(turn, group, members) {
            self.downgrade(turn, downgrade);
            return;
        }
        remove_members(&self.config, turn, group, members);
        for member in members {
            self.cancel_consumer_timers(group_id, &member.member_id);
        }
    }

    /// The time of a member is up, or of what it was to do.
    pub(crate) fn consumer_timer(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        let (Timer::ConsumerSession(group_id, member_id)
        | Timer::ConsumerRebalance(group_id, member_id)
        | Timer::ConsumerClassicJoin(group_id, member_id)
        | Timer::ConsumerClassicSync(group_id, member_id)) = timer
        else {
            return;
        };
        let Some(Group::Consumer(group)) = self.groups.get(&group_id) else { return };
        if let Some(member) = group.members.get(&member_id) {
            self.fence_consumer_group_members(turn, &group_id, &[Arc::clone(member)]);
        }
    }

    /// Stops all timers of a member.
    pub(super) fn cancel_consumer_timers(&mut self, group_id: &StrBytes, member_id: &StrBytes) {
        for timer in [
            Timer::ConsumerSession,
            Timer::ConsumerRebalance,
            Timer::ConsumerClassicJoin,
            Timer::ConsumerClassicSync,
        ] {
            self.timers.cancel(&timer(group_id.clone(), member_id.clone()));
        }
    }

    /// Arms the timers after a load: every member has a whole session to be heard of.
    pub(crate) fn consumer_groups_loaded(&mut self, turn: &mut Turn<'_>) {
        let now_ms = turn.now.monotonic_ms;
        for group in self.groups.values() {
            let Group::Consumer(group) = group else { continue };
            let session_ms = turn.settings.consumer_session_timeout_ms(&group.group_id);
            let session_ms = i64::from(session_ms.unwrap_or(self.config.consumer_session_timeout_ms));
            for member in group.members.values() {
                let names = || (group.group_id.clone(), member.member_id.clone());
                let (group_id, member_id) = names();
                self.timers.schedule(Timer::ConsumerSession(group_id, member_id), now_ms + session_ms);
                if member.state == MemberState::UnrevokedPartitions {
                    let (group_id, member_id) = names();
                    let deadline_ms = now_ms + i64::from(member.rebalance_timeout_ms);
                    self.timers.schedule(Timer::ConsumerRebalance(group_id, member_id), deadline_ms);
                }
            }
        }
    }
}

/// The records that take members out of a group.
fn remove_members(
    config: &GroupCoordinatorConfig,
    turn: &mut Turn<'_>,
    group: &ConsumerGroup,
    members: &[Arc<ConsumerGroupMember>],
) {
    let mut subscriptions = group.subscriptions.clone();
    for member in members {
        records::remove_member(&mut turn.records, &group.group_id, &member.member_id);
        subscriptions.replace_member(Some(member), None);
    }
    let regexes: BTreeSet<&StrBytes> = members.iter().filter_map(|member| member.regex()).collect();
    for regex in regexes {
        if !subscriptions.regexes().contains_key(regex) {
            turn.records.push(records::regular_expression_tombstone(&group.group_id, regex));
            subscriptions.set_resolved(regex, None);
        }
    }
    let hash = metadata_hash(subscriptions.topic_names(), turn.topics, config.broker_rack.as_deref());
    turn.records.push(records::group_metadata(&group.group_id, group.group_epoch + 1, hash));
}

/// A static member that left for a while: what it is assigned stays its own. It may commit with any epoch after it
/// comes back, so its assignment epochs start over.
fn away(member: &ConsumerGroupMember) -> ConsumerGroupMember {
    let mut away = member.clone();
    away.member_epoch = STATIC_LEAVE_EPOCH;
    away.partitions_pending_revocation = Arc::default();
    away.assigned_partitions = Arc::new(
        member
            .assigned_partitions
            .iter()
            .map(|(topic_id, partitions)| {
                (*topic_id, partitions.keys().map(|partition| (*partition, 0)).collect::<BTreeMap<_, _>>())
            })
            .collect(),
    );
    away
}
