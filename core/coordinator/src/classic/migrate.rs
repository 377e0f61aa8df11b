//! What a classic group does when it becomes a consumer group, and what it needs to be made of one (KIP-848).

use bytes::Bytes;
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::group::{ClassicGroup, ClassicGroupState};
use super::member::ClassicGroupMember;
use super::rebalance::{join_error, sync_error};
use crate::group::Group;
use crate::shard::GroupShard;
use crate::turn::{Now, Turn};

impl ClassicGroup {
    /// A stable group of consumers without assignments; none if they have no protocol in common. The first one leads.
    pub(crate) fn of_consumers(
        group_id: &StrBytes,
        generation: i32,
        members: Vec<ClassicGroupMember>,
        now: Now,
    ) -> Option<Self> {
        let mut group = ClassicGroup::new(group_id.clone());
        group.generation = generation;
        let protocol_type = StrBytes::from_static_str("consumer");
        for member in members {
            group.add(&protocol_type, member);
        }
        group.protocol_name = Some(group.select_protocol()?);
        group.transition_to(ClassicGroupState::Stable, now.wall_ms);
        group.compute_subscribed_topics();
        Some(group)
    }

    /// What a member says for the group's protocol.
    pub(crate) fn metadata_of(&self, member_id: &StrBytes) -> Bytes {
        let member = self.members.get(member_id);
        member.map(|member| member.metadata(self.protocol_name.as_ref())).unwrap_or_default()
    }

    /// Sets what a member is assigned.
    pub(crate) fn assign(&mut self, member_id: &StrBytes, assignment: Bytes) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.assignment = assignment;
        }
    }
}

impl GroupShard {
    /// Tells everybody who waits in a classic group to join again: it becomes a consumer group.
    pub(crate) fn send_waiting_members_to_rejoin(&mut self, turn: &mut Turn<'_>, group_id: &StrBytes) {
        let Some((group, mut work)) = self.classic_group(turn, group_id) else { return };
        for member_id in group.members.keys().cloned().collect::<Vec<_>>() {
            if let Some(waiter) = group.take_awaiting_join(&member_id) {
                work.answer_join(waiter, join_error(&member_id, ErrorCode::RebalanceInProgress));
            }
            if let Some(token) = group.take_awaiting_sync(&member_id) {
                work.answer_sync(token, sync_error(ErrorCode::RebalanceInProgress));
            }
        }
    }

    /// Puts a classic group in the place of a consumer group. Its members' sessions start; they are to join again if
    /// `rebalance`.
    pub(crate) fn become_classic_group(&mut self, turn: &mut Turn<'_>, group: ClassicGroup, rebalance: bool) {
        let group_id = group.group_id.clone();
        self.groups.insert(group_id.clone(), Group::Classic(group));
        let Some((group, mut work)) = self.classic_group(turn, &group_id) else { return };
        for member in group.members() {
            work.schedule_session(group, &member.member_id, member.session_timeout_ms);
        }
        if rebalance {
            work.prepare_rebalance(group);
        }
    }
}
