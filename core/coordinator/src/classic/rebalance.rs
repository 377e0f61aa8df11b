//! The course of a rebalance: it is prepared, members join, it completes, they sync; and the timers that end each wait.

use bytes::Bytes;
use fluxmq_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::group::{ClassicGroup, ClassicGroupState, InitialRebalance};
use super::member::JoinWaiter;
use crate::config::GroupCoordinatorConfig;
use crate::group::{Group, Timer};
use crate::shard::GroupShard;
use crate::timers::Timers;
use crate::turn::{Token, Turn};

/// Between two looks at a group of static members that don't join.
const MIN_RETRY_MS: i32 = 1_000;

/// What a transition of a group needs beside the group.
pub(super) struct Work<'w, 't> {
    pub(super) config: &'w GroupCoordinatorConfig,
    pub(super) timers: &'w mut Timers<Timer>,
    pub(super) turn: &'w mut Turn<'t>,
}

impl GroupShard {
    /// The classic group of this name, and what its transitions need.
    pub(super) fn classic_group<'w, 't>(
        &'w mut self,
        turn: &'w mut Turn<'t>,
        group_id: &StrBytes,
    ) -> Option<(&'w mut ClassicGroup, Work<'w, 't>)> {
        match self.groups.get_mut(group_id) {
            Some(Group::Classic(group)) => {
                Some((group, Work { config: &self.config, timers: &mut self.timers, turn }))
            }
            _ => None,
        }
    }

    /// Members of loaded groups are given a session each. Too large a group gets the chance to shrink.
    pub(crate) fn classic_groups_loaded(&mut self, turn: &mut Turn<'_>) {
        for group in self.groups.values_mut() {
            let Group::Classic(group) = group else { continue };
            let mut work = Work { config: &self.config, timers: &mut self.timers, turn };
            for member in group.members() {
                work.schedule_session(group, &member.member_id, member.session_timeout_ms);
            }
            if group.num_members() > work.group_max_size() {
                work.prepare_rebalance(group);
            }
        }
    }

    pub(crate) fn classic_timer(&mut self, turn: &mut Turn<'_>, timer: Timer) {
        match timer {
            Timer::ClassicSession(group_id, member_id) => {
                let Some((group, mut work)) = self.classic_group(turn, &group_id) else { return };
                let member = group.members.get(&member_id);
                if member.is_some_and(|member| !member.has_satisfied_heartbeat()) {
                    work.remove_member(group, &member_id);
                    work.member_has_gone(group);
                }
            }
            Timer::ClassicPendingMember(group_id, member_id) => {
                let Some((group, mut work)) = self.classic_group(turn, &group_id) else { return };
                group.pending_join.remove(&member_id);
                if group.state == ClassicGroupState::PreparingRebalance && group.has_all_members_joined() {
                    work.complete_join(group);
                }
            }
            Timer::ClassicJoin(group_id) => {
                let Some((group, mut work)) = self.classic_group(turn, &group_id) else { return };
                work.join_time_is_up(group);
            }
            Timer::ClassicSync(group_id) => {
                let Some((group, mut work)) = self.classic_group(turn, &group_id) else { return };
                work.sync_time_is_up(group);
            }
            _ => {}
        }
    }
}

impl Work<'_, '_> {
    /// Starts a rebalance where one can be started, and otherwise ends the wait of the one that is going on, if nobody
    /// is waited for any more.
    pub(super) fn prepare_or_complete(&mut self, group: &mut ClassicGroup) {
        if group.state == ClassicGroupState::PreparingRebalance {
            self.maybe_complete_join(group);
        } else {
            self.prepare_rebalance(group);
        }
    }

    /// Asks the members to join again, those that wait for an assignment included. The first rebalance of an empty
    /// group waits for more members; later ones wait for those that there are.
    pub(super) fn prepare_rebalance(&mut self, group: &mut ClassicGroup) {
        if group.state == ClassicGroupState::CompletingRebalance {
            self.fail_sync(group, ErrorCode::RebalanceInProgress);
        }
        group.pending_sync.clear();
        self.timers.cancel(&Timer::ClassicSync(group.group_id.clone()));
        let is_initial = group.is_empty();
        group.transition_to(ClassicGroupState::PreparingRebalance, self.turn.now.wall_ms);
        if is_initial {
            let delay_ms = self.config.group_initial_rebalance_delay_ms;
            let remaining_ms = group.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            group.initial = Some(InitialRebalance { delay_ms, remaining_ms, member_added: false });
            self.schedule_join(group, delay_ms);
        } else if group.has_all_members_joined() {
            self.complete_join(group);
        } else {
            self.schedule_join(group, group.rebalance_timeout_ms());
        }
    }

    /// Completes the join if everyone is there. The first rebalance of an empty group takes its time all the same.
    pub(super) fn maybe_complete_join(&mut self, group: &mut ClassicGroup) {
        if group.state == ClassicGroupState::PreparingRebalance
            && group.initial.is_none()
            && group.has_all_members_joined()
        {
            self.complete_join(group);
        }
    }

    /// Members were removed: the others share what they had.
    pub(super) fn member_has_gone(&mut self, group: &mut ClassicGroup) {
        match group.state {
            ClassicGroupState::Stable | ClassicGroupState::CompletingRebalance => {
                self.prepare_rebalance(group);
            }
            ClassicGroupState::PreparingRebalance if group.has_all_members_joined() => {
                self.complete_join(group);
            }
            ClassicGroupState::PreparingRebalance | ClassicGroupState::Empty => {}
        }
    }

    fn join_time_is_up(&mut self, group: &mut ClassicGroup) {
        if group.state != ClassicGroupState::PreparingRebalance {
            return;
        }
        match &mut group.initial {
            Some(initial) if initial.member_added && initial.remaining_ms > 0 => {
                let delay_ms = self.config.group_initial_rebalance_delay_ms.min(initial.remaining_ms);
                let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
                *initial = InitialRebalance { delay_ms, remaining_ms, member_added: false };
                self.schedule_join(group, delay_ms);
            }
            _ => self.complete_join(group),
        }
    }

    /// Those that have not joined are out, but for static members, which keep their place until their session ends. The
    /// others make the next generation, or the group is empty.
    pub(super) fn complete_join(&mut self, group: &mut ClassicGroup) {
        self.timers.cancel(&Timer::ClassicJoin(group.group_id.clone()));
        let late = group.members().filter(|member| member.awaiting_join.is_none() && !member.is_static());
        for member_id in late.map(|member| member.member_id.clone()).collect::<Vec<_>>() {
            self.remove_member(group, &member_id);
        }
        if group.num_members() == 0 {
            self.turn.records.push(group.record_of_becoming_empty(self.turn.now.wall_ms));
            return;
        }
        if !group.elect_joined_leader() {
            // Static members only, none of which has joined. Each time that this is tried brings them nearer to the end
            // of their sessions, also where they have left themselves no time to join.
            if let Some(initial) = &mut group.initial {
                initial.remaining_ms = 0;
            }
            self.schedule_join(group, group.rebalance_timeout_ms().max(MIN_RETRY_MS));
            return;
        }
        group.start_generation(self.turn.now.wall_ms);
        let members: Vec<_> = group.members.keys().cloned().collect();
        for member_id in members {
            if let Some(waiter) = group.take_awaiting_join(&member_id) {
                self.answer_join(waiter, group.join_response(&member_id));
            }
            self.restart_session(group, &member_id);
            if let Some(member) = group.members.get_mut(&member_id) {
                member.is_new = false;
            }
            group.pending_sync.insert(member_id);
        }
        let deadline_ms = self.deadline(group.rebalance_timeout_ms());
        self.timers.schedule(Timer::ClassicSync(group.group_id.clone()), deadline_ms);
    }

    /// Those that have not asked for their assignment are out.
    fn sync_time_is_up(&mut self, group: &mut ClassicGroup) {
        let waits = matches!(group.state, ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable);
        if !waits || group.pending_sync.is_empty() {
            return;
        }
        for member_id in std::mem::take(&mut group.pending_sync) {
            self.remove_member(group, &member_id);
        }
        self.prepare_rebalance(group);
    }

    /// Nobody gets the assignment that was waited for.
    pub(super) fn fail_sync(&mut self, group: &mut ClassicGroup, error: ErrorCode) {
        let mut waiting = Vec::new();
        for member in group.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.awaiting_sync.take() {
                waiting.push((member.member_id.clone(), token));
            }
        }
        for (member_id, token) in waiting {
            self.answer_sync(token, sync_error(error));
            self.restart_session(group, &member_id);
        }
    }

    /// Takes a member out and answers what waits of it. Kafka leaves a waiting SyncGroup without an answer.
    pub(super) fn remove_member(&mut self, group: &mut ClassicGroup, member_id: &StrBytes) {
        self.timers.cancel(&Timer::ClassicSession(group.group_id.clone(), member_id.clone()));
        let Some(removed) = group.remove(member_id) else { return };
        if let Some(waiter) = removed.awaiting_join {
            self.answer_join(waiter, join_error(&StrBytes::default(), ErrorCode::UnknownMemberId));
        }
        if let Some(token) = removed.awaiting_sync {
            self.answer_sync(token, sync_error(ErrorCode::UnknownMemberId));
        }
    }

    /// The member was heard of: its session starts anew.
    pub(super) fn restart_session(&mut self, group: &ClassicGroup, member_id: &StrBytes) {
        if let Some(member) = group.members.get(member_id) {
            self.schedule_session(group, &member.member_id, member.session_timeout_ms);
        }
    }

    /// `member_id`: the group's own copy.
    pub(super) fn schedule_session(&mut self, group: &ClassicGroup, member_id: &StrBytes, timeout_ms: i32) {
        let timer = Timer::ClassicSession(group.group_id.clone(), member_id.clone());
        self.timers.schedule(timer, self.deadline(timeout_ms));
    }

    fn schedule_join(&mut self, group: &ClassicGroup, timeout_ms: i32) {
        self.timers.schedule(Timer::ClassicJoin(group.group_id.clone()), self.deadline(timeout_ms));
    }

    pub(super) fn deadline(&self, timeout_ms: i32) -> i64 {
        self.turn.now.monotonic_ms + i64::from(timeout_ms)
    }

    pub(super) fn group_max_size(&self) -> usize {
        usize::try_from(self.config.group_max_size).unwrap_or(0)
    }

    /// Before version 7 the protocol's name can't be null.
    pub(super) fn answer_join(&mut self, waiter: JoinWaiter, mut response: JoinGroupResponse) {
        response.protocol_name = match response.protocol_name.filter(|name| !name.is_empty()) {
            None if waiter.api_version < 7 => Some(StrBytes::default()),
            name => name,
        };
        self.turn.reply_join(waiter.token, response);
    }

    pub(super) fn answer_sync(&mut self, token: Token, response: SyncGroupResponse) {
        self.turn.reply_sync(token, response);
    }
}

/// A JoinGroup that failed.
pub(super) fn join_error(member_id: &StrBytes, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse::default().with_member_id(member_id.clone()).with_error_code(error.code())
}

/// A SyncGroup that failed.
pub(super) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}
