//! JoinGroup, versions 0–9: a member comes, comes again, or comes back after a restart (KIP-345), is given an id first
//! (KIP-394, from version 4), may skip the assignment (KIP-814, version 9). The reason that a client gives (KIP-800) is
//! for logs, and there are none here.

use fluxmq_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::group::{ClassicGroup, ClassicGroupState};
use super::member::{ClassicGroupMember, JoinWaiter, Protocol};
use super::rebalance::{Work, join_error, sync_error};
use super::record::size_bytes;
use crate::group::{Group, Timer};
use crate::shard::{GroupShard, owned};
use crate::turn::{Requester, Token, Turn};

/// How long the first join of a member may wait. Its client sends no heartbeats until it has the answer.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1_000;

/// A JoinGroup on its way through the group.
struct Join<'r> {
    requester: &'r Requester,
    request: &'r JoinGroupRequest,
    waiter: JoinWaiter,
}

/// What became of a JoinGroup: an answer, or none yet.
type Answer = Option<JoinGroupResponse>;

impl GroupShard {
    /// Answers a JoinGroup, now or in a later turn, through [`Turn::reply_join`] with `token`.
    pub fn join_group(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        mut request: JoinGroupRequest,
        token: Token,
    ) {
        let api_version = requester.api_version;
        if api_version == 0 {
            // Version 0 knows one timeout only.
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        let waiter = JoinWaiter { token, api_version };
        let join = Join { requester, request: &request, waiter };
        let answer = match self.check_join(turn, &join) {
            Ok(()) => match self.classic_group(turn, &request.group_id) {
                Some((group, mut work)) => work.join(group, &join),
                None => Some(self.classic_join_to_consumer_group(turn, requester, &request)),
            },
            Err(error) => Some(join_error(&request.member_id, error)),
        };
        if let Some(response) = answer {
            let mut work = Work { config: &self.config, timers: &mut self.timers, turn };
            work.answer_join(waiter, response);
        }
    }

    /// What is checked before the group is looked at. Makes the group if there is none, or a consumer group without
    /// members, with a record that says so.
    fn check_join(&mut self, turn: &mut Turn<'_>, join: &Join<'_>) -> Result<(), ErrorCode> {
        let request = join.request;
        let session_timeouts_ms =
            self.config.group_min_session_timeout_ms..=self.config.group_max_session_timeout_ms;
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if !session_timeouts_ms.contains(&request.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let empty_consumer_group = match self.groups.get(&request.group_id.0) {
            Some(Group::Consumer(group)) if group.is_empty() => Some(group),
            Some(_) => return Ok(()),
            None => None,
        };
        if !request.member_id.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        let group_id = owned(&request.group_id);
        let mut group = ClassicGroup::new(group_id.clone());
        group.state_timestamp_ms = Some(turn.now.wall_ms);
        let record = group.to_record(|member| member.assignment.clone());
        if size_bytes(&record) > self.config.max_record_bytes {
            return Err(ErrorCode::UnknownServerError);
        }
        if let Some(group) = empty_consumer_group {
            group.create_group_tombstones(&mut turn.records);
        }
        turn.records.push(record);
        self.groups.insert(group_id, Group::Classic(group));
        Ok(())
    }
}

impl Work<'_, '_> {
    fn join(&mut self, group: &mut ClassicGroup, join: &Join<'_>) -> Answer {
        let request = join.request;
        if !group.accepts_joining_member(&request.member_id, self.group_max_size()) {
            self.remove_member(group, &request.member_id);
            self.forget_pending(group, &request.member_id);
            return Some(join_error(&StrBytes::default(), ErrorCode::GroupMaxSizeReached));
        }
        if !group.supports_protocols(&request.protocol_type, &request.protocols) {
            return Some(join_error(&request.member_id, ErrorCode::InconsistentGroupProtocol));
        }
        if request.member_id.is_empty() {
            self.join_new_member(group, join)
        } else if group.pending_join.contains(&request.member_id) {
            if request.group_instance_id.is_some() {
                // Only dynamic members are given an id to come back with.
                return Some(join_error(&StrBytes::default(), ErrorCode::UnknownServerError));
            }
            self.forget_pending(group, &request.member_id);
            self.add_member(group, join, &owned(&request.member_id));
            None
        } else {
            self.join_known_member(group, join)
        }
    }

    fn join_new_member(&mut self, group: &mut ClassicGroup, join: &Join<'_>) -> Answer {
        let instance_id = join.request.group_instance_id.as_ref();
        let prefix = instance_id.unwrap_or(&join.requester.client_id);
        let member_id = StrBytes::from_string(format!("{prefix}-{}", join.requester.fresh_id));
        if i16::try_from(member_id.len()).is_err() || group.members.contains_key(&member_id) {
            return Some(join_error(&StrBytes::default(), ErrorCode::UnknownServerError));
        }
        let existing = instance_id.and_then(|id| group.static_members.get(id)).cloned();
        match (instance_id, existing) {
            (_, Some(old_member_id)) => self.replace_static_member(group, join, &old_member_id, &member_id),
            (None, None) if join.waiter.api_version >= 4 => {
                let timer = Timer::ClassicPendingMember(group.group_id.clone(), member_id.clone());
                self.timers.schedule(timer, self.deadline(join.request.session_timeout_ms));
                group.pending_join.insert(member_id.clone());
                Some(join_error(&member_id, ErrorCode::MemberIdRequired))
            }
            (_, None) => {
                self.add_member(group, join, &member_id);
                None
            }
        }
    }

    fn join_known_member(&mut self, group: &mut ClassicGroup, join: &Join<'_>) -> Answer {
        let member_id = &join.request.member_id;
        if let Err(error) = group.validate_member(member_id, join.request.group_instance_id.as_ref()) {
            return Some(join_error(member_id, error));
        }
        let matches =
            group.members.get(member_id).is_some_and(|member| member.matches(&join.request.protocols));
        let nothing_new = match group.state {
            // It did not get the answer to its last join.
            ClassicGroupState::CompletingRebalance => matches,
            // The leader joins again when there is something that only it can see, such as new partitions.
            ClassicGroupState::Stable => matches && !group.is_leader(member_id),
            ClassicGroupState::PreparingRebalance | ClassicGroupState::Empty => false,
        };
        if nothing_new {
            return Some(group.join_response(member_id));
        }
        self.update_member(group, join, member_id);
        self.prepare_or_complete(group);
        None
    }

    fn add_member(&mut self, group: &mut ClassicGroup, join: &Join<'_>, member_id: &StrBytes) {
        if let Some(initial) = &mut group.initial {
            initial.member_added = true;
        }
        let instance_id = join.request.group_instance_id.as_ref().map(owned);
        let member = ClassicGroupMember {
            client_id: owned(&join.requester.client_id),
            client_host: owned(&join.requester.client_host),
            rebalance_timeout_ms: join.request.rebalance_timeout_ms,
            session_timeout_ms: join.request.session_timeout_ms,
            protocols: Protocol::copied(&join.request.protocols),
            awaiting_join: Some(join.waiter),
            is_new: true,
            ..ClassicGroupMember::new(member_id.clone(), instance_id)
        };
        group.add(&owned(&join.request.protocol_type), member);
        self.schedule_session(group, member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.prepare_or_complete(group);
    }

    /// A join that the member gave up is answered at once. Kafka never answers it.
    fn update_member(&mut self, group: &mut ClassicGroup, join: &Join<'_>, member_id: &StrBytes) {
        let timeouts = (join.request.rebalance_timeout_ms, join.request.session_timeout_ms);
        let superseded = group.update_member(member_id, &join.request.protocols, timeouts, join.waiter);
        if let Some(superseded) = superseded {
            self.answer_join(superseded, join_error(member_id, ErrorCode::RebalanceInProgress));
        }
    }

    fn forget_pending(&mut self, group: &mut ClassicGroup, member_id: &StrBytes) {
        group.pending_join.remove(member_id);
        self.timers.cancel(&Timer::ClassicPendingMember(group.group_id.clone(), member_id.clone()));
    }

    /// A static member comes back without its id (KIP-345). It takes the place and the assignment of the one that it
    /// was; if that changes nothing for the others, without a rebalance.
    fn replace_static_member(
        &mut self,
        group: &mut ClassicGroup,
        join: &Join<'_>,
        old_member_id: &StrBytes,
        member_id: &StrBytes,
    ) -> Answer {
        let Some(old) = group.members.get(old_member_id).cloned() else {
            return Some(join_error(&StrBytes::default(), ErrorCode::UnknownServerError));
        };
        let old_leader = group.leader.clone();
        let new = ClassicGroupMember {
            member_id: member_id.clone(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            ..old.clone()
        };
        group.replace_static(old_member_id, new);
        self.update_member(group, join, member_id);
        let keeps_protocol =
            group.state == ClassicGroupState::Stable && group.select_protocol() == group.protocol_name;
        let record = keeps_protocol.then(|| group.to_record(|member| member.assignment.clone()));
        if record.as_ref().is_some_and(|record| size_bytes(record) > self.config.max_record_bytes) {
            group.replace_static(member_id, old);
            let response = group.join_response(member_id).with_member_id(StrBytes::default());
            return Some(response.with_error_code(ErrorCode::UnknownServerError.code()));
        }
        self.fence(group, &old);
        self.restart_session(group, member_id);
        let Some(record) = record else {
            match group.state {
                ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable => {
                    self.prepare_rebalance(group);
                }
                ClassicGroupState::PreparingRebalance | ClassicGroupState::Empty => {
                    self.maybe_complete_join(group);
                }
            }
            return None;
        };
        self.turn.records.push(record);
        group.compute_subscribed_topics();
        group.take_awaiting_join(member_id);
        let mut response = group.join_response(member_id);
        if join.waiter.api_version >= 9 {
            // A leader learns who the members are and that there is nothing to assign (KIP-814).
            response.skip_assignment = group.is_leader(member_id);
        } else {
            // One that leads does not learn so, or it would assign anew in a group that is stable.
            response.leader = old_leader.unwrap_or_default();
            response.members.clear();
        }
        Some(response)
    }

    /// What waits of a member whose instance id is another's now.
    fn fence(&mut self, group: &ClassicGroup, old: &ClassicGroupMember) {
        self.timers.cancel(&Timer::ClassicSession(group.group_id.clone(), old.member_id.clone()));
        if let Some(waiter) = old.awaiting_join {
            self.answer_join(waiter, join_error(&old.member_id, ErrorCode::FencedInstanceId));
        }
        if let Some(token) = old.awaiting_sync {
            self.answer_sync(token, sync_error(ErrorCode::FencedInstanceId));
        }
    }
}
