//! The target assignment: what each member of a group is to have, made by a server-side assignor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use uuid::Uuid;

use super::error::ConsumerGroupError;
use super::group::ConsumerGroup;
use super::member::ConsumerGroupMember;
use super::records;
use super::subscriptions::Subscriptions;
use crate::assignors::{self, Assignment, GroupSpec, MemberSpec};
use crate::config::{Assignor, GroupCoordinatorConfig};
use crate::turn::Turn;

/// A target assignment, as one member sees it.
pub(super) struct Target {
    /// The group epoch that it is for.
    pub(super) epoch: i32,
    /// What the member is to have.
    pub(super) assignment: Arc<Assignment>,
}

/// A group as it is with one member changed or added.
pub(super) struct Changed<'a> {
    pub(super) group: &'a ConsumerGroup,
    pub(super) group_epoch: i32,
    pub(super) subscriptions: &'a Subscriptions,
    /// The member as it was. One that joins was nothing.
    pub(super) old: &'a ConsumerGroupMember,
    pub(super) member: &'a ConsumerGroupMember,
}

impl Changed<'_> {
    /// The target assignment of the group's epoch: a new one if there is none yet and the last one is old enough
    /// (`group.consumer.assignment.interval.ms`), else the last one.
    ///
    /// # Errors
    /// [`ConsumerGroupError::Assignment`] if the assignor fails.
    pub(super) fn target(
        &self,
        config: &GroupCoordinatorConfig,
        turn: &mut Turn<'_>,
    ) -> Result<Target, ConsumerGroupError> {
        if self.group.assignment_epoch >= self.group_epoch || !self.is_due(config, turn) {
            let member = self.member;
            return Ok(Target {
                epoch: self.group.assignment_epoch,
                assignment: self.group.target_assignment(&member.member_id, member.instance_id.as_ref()),
            });
        }
        let preferred = self.group.preferred_server_assignor(Some(self.old), Some(self.member));
        let assignor = preferred.as_deref().and_then(Assignor::from_name);
        let assignor = assignor.or(config.consumer_assignors.first().copied()).unwrap_or(Assignor::Uniform);
        self.assign(assignor, turn)
    }

    fn is_due(&self, config: &GroupCoordinatorConfig, turn: &Turn<'_>) -> bool {
        let interval_ms = turn.settings.consumer_assignment_interval_ms(&self.group.group_id);
        let interval_ms = i64::from(interval_ms.unwrap_or(config.consumer_assignment_interval_ms));
        let made_at_ms = self.group.assignment_timestamp_ms;
        let now_ms = turn.now.wall_ms;
        // A clock that was set back must not hold up the group.
        made_at_ms == 0 || interval_ms == 0 || now_ms < made_at_ms || now_ms - made_at_ms >= interval_ms
    }

    fn assign(&self, assignor: Assignor, turn: &mut Turn<'_>) -> Result<Target, ConsumerGroupError> {
        let topics = turn.topics;
        let members = self.members();
        // Members that subscribe to the same topics share one set.
        let mut sets: HashMap<Arc<BTreeSet<StrBytes>>, BTreeSet<Uuid>> = HashMap::new();
        let names: Vec<_> =
            members.values().map(|(member, _)| self.subscriptions.topics_of(member)).collect();
        for names in &names {
            sets.entry(Arc::clone(names)).or_insert_with(|| {
                names.iter().filter_map(|name| topics.by_name(name)).map(|(topic_id, _)| topic_id).collect()
            });
        }
        let spec = GroupSpec {
            members: members
                .values()
                .zip(&names)
                .map(|((member, target), names)| MemberSpec {
                    member_id: &member.member_id,
                    instance_id: member.instance_id.as_deref(),
                    subscribed_topic_ids: &sets[names],
                    target,
                })
                .collect(),
            subscription_type: self.subscriptions.subscription_type(members.len()),
        };
        let partition_count = |topic_id| topics.by_id(topic_id).map(|(_, partitions)| partitions);
        let assignments = assignors::assign(assignor, &spec, &partition_count)?;
        let group_id = &self.group.group_id;
        let mut own = Arc::default();
        for ((member_id, _), assignment) in members.iter().zip(assignments) {
            let known = self.group.target_assignment.get(*member_id);
            if known.map(Arc::as_ref) != Some(&assignment) {
                turn.records.push(records::target_assignment_member(group_id, member_id, &assignment));
            }
            if **member_id == self.member.member_id {
                own = Arc::new(assignment);
            }
        }
        turn.records.push(records::target_assignment_metadata(group_id, self.group_epoch, turn.now.wall_ms));
        Ok(Target { epoch: self.group_epoch, assignment: own })
    }

    /// The members of the group, with the change, and what each of them was to have.
    fn members(&self) -> BTreeMap<&StrBytes, (&ConsumerGroupMember, Arc<Assignment>)> {
        let group = self.group;
        let target_of = |member_id| group.target_assignment.get(member_id).cloned().unwrap_or_default();
        let mut members: BTreeMap<_, _> =
            group.members.iter().map(|(id, member)| (id, (member.as_ref(), target_of(id)))).collect();
        let instance_id = self.member.instance_id.as_ref();
        let replaced = instance_id.and_then(|instance_id| group.static_members.get(instance_id));
        let mut target = target_of(&self.member.member_id);
        if let Some(replaced) = replaced.filter(|replaced| **replaced != self.member.member_id) {
            members.remove(replaced);
            target = target_of(replaced);
        }
        members.insert(&self.member.member_id, (self.member, target));
        members
    }
}
