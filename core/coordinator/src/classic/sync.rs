//! SyncGroup, versions 0–5: the leader brings the assignment, the others come for it.
//!
//! A follower that comes before the leader waits until the assignment is there, the rebalance starts anew, or the time
//! to sync is up.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use fluxmq_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use fluxmq_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::group::{ClassicGroup, ClassicGroupState};
use super::rebalance::{Work, sync_error};
use super::record::size_bytes;
use crate::group::Timer;
use crate::shard::GroupShard;
use crate::turn::{Requester, Token, Turn};

impl GroupShard {
    /// Answers a SyncGroup, now or in a later turn, through [`Turn::reply_sync`] with `token`.
    pub fn sync_group(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: SyncGroupRequest,
        token: Token,
    ) {
        if let Err(error) = self.checked_sync(turn, requester, request, token) {
            turn.reply_sync(token, sync_error(error));
        }
    }

    fn checked_sync(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: SyncGroupRequest,
        token: Token,
    ) -> Result<(), ErrorCode> {
        // KIP-559: from version 5 on, the protocol has to be named.
        if requester.api_version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if self.is_consumer_group(&request.group_id) {
            let response = self.classic_sync_to_consumer_group(turn, &request)?;
            turn.reply_sync(token, response);
            return Ok(());
        }
        let (group, mut work) =
            self.classic_group(turn, &request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
        group.validate_sync(&request)?;
        work.sync(group, request, token)
    }
}

impl ClassicGroup {
    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |asked: &Option<StrBytes>, own: &Option<StrBytes>| matches!((asked, own), (Some(asked), Some(own)) if asked != own);
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn sync_response(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.clone())
            .with_protocol_name(self.protocol_name.clone())
            .with_assignment(assignment)
    }
}

impl Work<'_, '_> {
    fn sync(
        &mut self,
        group: &mut ClassicGroup,
        request: SyncGroupRequest,
        token: Token,
    ) -> Result<(), ErrorCode> {
        match group.state {
            ClassicGroupState::Empty => Err(ErrorCode::UnknownMemberId),
            ClassicGroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            ClassicGroupState::CompletingRebalance => {
                self.await_assignment(group, &request.member_id, token);
                if group.is_leader(&request.member_id) {
                    self.assign(group, request.assignments);
                }
                Ok(())
            }
            ClassicGroupState::Stable => {
                self.has_synced(group, &request.member_id);
                let assignment =
                    group.members.get(&request.member_id).map(|member| member.assignment.clone());
                self.answer_sync(token, group.sync_response(assignment.unwrap_or_default()));
                Ok(())
            }
        }
    }

    /// A sync that the member gave up is answered at once. Kafka never answers it.
    fn await_assignment(&mut self, group: &mut ClassicGroup, member_id: &StrBytes, token: Token) {
        self.has_synced(group, member_id);
        let superseded =
            group.members.get_mut(member_id).and_then(|member| member.awaiting_sync.replace(token));
        if let Some(superseded) = superseded {
            self.answer_sync(superseded, sync_error(ErrorCode::RebalanceInProgress));
        }
    }

    fn has_synced(&mut self, group: &mut ClassicGroup, member_id: &StrBytes) {
        group.pending_sync.remove(member_id);
        if group.pending_sync.is_empty() {
            self.timers.cancel(&Timer::ClassicSync(group.group_id.clone()));
        }
    }

    /// Members that the leader left out get nothing. The replay of the record makes the group stable.
    fn assign(&mut self, group: &mut ClassicGroup, brought: Vec<SyncGroupRequestAssignment>) {
        let brought = brought.into_iter().map(|brought| (brought.member_id, brought.assignment));
        let brought: HashMap<_, _> = brought.collect();
        let assigned = |member_id: &StrBytes| {
            brought.get(member_id).map(|bytes| Bytes::copy_from_slice(bytes)).unwrap_or_default()
        };
        let assignments: BTreeMap<StrBytes, Bytes> =
            group.members.keys().map(|member_id| (member_id.clone(), assigned(member_id))).collect();
        let record = group.to_record(|member| assignments[&member.member_id].clone());
        if size_bytes(&record) > self.config.max_record_bytes {
            self.fail_sync(group, ErrorCode::UnknownServerError);
            self.prepare_rebalance(group);
            return;
        }
        self.turn.records.push(record);
        for (member_id, assignment) in assignments {
            if let Some(token) = group.take_awaiting_sync(&member_id) {
                self.answer_sync(token, group.sync_response(assignment));
                self.restart_session(group, &member_id);
            }
        }
    }
}
