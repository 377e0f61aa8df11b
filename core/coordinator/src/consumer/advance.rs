//! One step of one member: its subscription, the group's epoch, the target assignment, and what it owns after that.
//! The consumer protocol's heartbeat and the classic protocol's join both end here.

use std::borrow::Cow;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;

use super::error::ConsumerGroupError;
use super::group::{Checked, ConsumerGroup};
use super::member::{ConsumerGroupMember, MemberState};
use super::metadata_hash::metadata_hash;
use super::reconcile::Reconciliation;
use super::records;
use super::regular_expressions::Refresh;
use super::target_assignment::Changed;
use crate::config::GroupCoordinatorConfig;
use crate::group::{Group, Timer};
use crate::shard::GroupShard;
use crate::turn::Turn;

/// Where a step led.
#[derive(Debug)]
pub(super) struct Advanced {
    /// The member as the records of the step leave it.
    pub(super) member: ConsumerGroupMember,
    /// Whether what it may use is different from before.
    pub(super) assignment_changed: bool,
    /// Whether it was reconciled, and is to be timed accordingly.
    reconciled: bool,
    checked: Checked,
}

/// Takes a member from `old` to `new` and as far to its target assignment as it gets. Changes nothing but the turn's
/// records: the caller sees to the timers with [`GroupShard::after_advance`].
///
/// # Errors
/// If the request is to be refused; the records of the turn must be dropped then.
pub(super) fn advance(
    config: &GroupCoordinatorConfig,
    turn: &mut Turn<'_>,
    group: &ConsumerGroup,
    old: &ConsumerGroupMember,
    new: Option<ConsumerGroupMember>,
    owned: Option<&[TopicPartitions]>,
) -> Result<Advanced, ConsumerGroupError> {
    let mut checked = group.checked;
    let mut subscriptions = Cow::Borrowed(&group.subscriptions);
    let mut bump = false;
    let mut has_subscription_changed = false;
    if let Some(new) = &new {
        turn.records.push(records::member_metadata(&group.group_id, new));
        let names_changed = new.subscribed_topic_names != old.subscribed_topic_names;
        let regex_changed = new.subscribed_topic_regex != old.subscribed_topic_regex;
        if names_changed || regex_changed {
            subscriptions.to_mut().replace_member(Some(old), Some(new));
        }
        bump = names_changed;
        has_subscription_changed = names_changed || regex_changed;
    }
    let member = new.as_ref().unwrap_or(old);
    let refresh = Refresh { config, group, old, member };
    bump |= refresh.run(turn, &mut subscriptions, &mut checked)?;

    let mut group_epoch = group.group_epoch;
    let topics_version = turn.topics.version();
    if bump || checked.topics_version != Some(topics_version) {
        let hash = metadata_hash(subscriptions.topic_names(), turn.topics, config.broker_rack.as_deref());
        if bump || hash != group.metadata_hash {
            group_epoch += 1;
            turn.records.push(records::group_metadata(&group.group_id, group_epoch, hash));
        }
        if group.has_partition_metadata_record {
            turn.records.push(records::partition_metadata_tombstone(&group.group_id));
        }
        checked.topics_version = Some(topics_version);
    }

    let changed = Changed { group, group_epoch, subscriptions: &subscriptions, old, member };
    let target = changed.target(config, turn)?;
    let next = Reconciliation {
        group,
        topics: turn.topics,
        target_epoch: target.epoch,
        target: &target.assignment,
        subscriptions: &subscriptions,
        has_subscription_changed,
        owned,
    }
    .next(member)?;
    let reconciled = next.is_some();
    if let Some(next) = &next {
        turn.records.push(records::current_assignment(&group.group_id, next));
    }
    let member = next.or(new).unwrap_or_else(|| old.clone());
    let assignment_changed = member.assigned_partitions != old.assigned_partitions;
    Ok(Advanced { member, assignment_changed, reconciled, checked })
}

impl GroupShard {
    /// Does what a step has to do besides its records. `group_id` keeps no request's frame in memory.
    pub(super) fn after_advance(&mut self, turn: &Turn<'_>, group_id: &StrBytes, advanced: &Advanced) {
        let member = &advanced.member;
        if advanced.reconciled && !member.uses_classic_protocol() {
            let timer = Timer::ConsumerRebalance(group_id.clone(), member.member_id.clone());
            if member.state == MemberState::UnrevokedPartitions {
                let deadline_ms = turn.now.monotonic_ms + i64::from(member.rebalance_timeout_ms);
                self.timers.schedule(timer, deadline_ms);
            } else {
                self.timers.cancel(&timer);
            }
        }
        if let Some(Group::Consumer(group)) = self.groups.get_mut(group_id) {
            group.checked = advanced.checked;
        }
    }
}
