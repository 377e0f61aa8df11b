//! LeaveGroup, versions 0–5: one member leaves; from version 3 on many, static ones by their instance id (KIP-345).
//! The reasons that they give (KIP-800) are for logs, and there are none here.

use fluxmq_protocol::messages::leave_group_request::MemberIdentity;
use fluxmq_protocol::messages::leave_group_response::MemberResponse;
use fluxmq_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::group::{ClassicGroup, ClassicGroupState};
use super::rebalance::Work;
use crate::group::Timer;
use crate::shard::GroupShard;
use crate::turn::{Requester, Turn};

/// Before it a request names one member, and its error stands for the request.
const FIRST_VERSION_OF_MANY: i16 = 3;

impl GroupShard {
    /// Takes members out of their group, each by itself: one that is unknown does not keep the others in.
    pub fn leave_group(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &LeaveGroupRequest,
    ) -> LeaveGroupResponse {
        if request.group_id.is_empty() {
            return LeaveGroupResponse::default().with_error_code(ErrorCode::InvalidGroupId.code());
        }
        let one;
        let leaving = match requester.api_version >= FIRST_VERSION_OF_MANY {
            true => &request.members[..],
            false => {
                one = [MemberIdentity::default().with_member_id(request.member_id.clone())];
                &one[..]
            }
        };
        let members = if self.is_consumer_group(&request.group_id) {
            self.classic_leave_to_consumer_group(turn, &request.group_id, leaving)
        } else if let Some((group, mut work)) = self.classic_group(turn, &request.group_id) {
            work.leave(group, leaving)
        } else {
            leaving.iter().map(|member| left(member, ErrorCode::UnknownMemberId)).collect()
        };
        if requester.api_version >= FIRST_VERSION_OF_MANY {
            return LeaveGroupResponse::default().with_members(members);
        }
        LeaveGroupResponse::default().with_error_code(members[0].error_code)
    }
}

impl Work<'_, '_> {
    fn leave(&mut self, group: &mut ClassicGroup, leaving: &[MemberIdentity]) -> Vec<MemberResponse> {
        let mut responses = Vec::with_capacity(leaving.len());
        let mut anyone = false;
        for member in leaving {
            let result = self.leave_one(group, member);
            anyone |= result.is_ok();
            responses.push(left(member, result.err().unwrap_or(ErrorCode::None)));
        }
        if anyone && group.state != ClassicGroupState::Empty {
            self.prepare_or_complete(group);
        }
        responses
    }

    fn leave_one(&mut self, group: &mut ClassicGroup, leaving: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance_id = leaving.group_instance_id.as_ref();
        let member_id: StrBytes = if leaving.member_id.is_empty() {
            let member_id = instance_id.and_then(|id| group.static_members.get(id));
            member_id.cloned().ok_or(ErrorCode::UnknownMemberId)?
        } else if group.pending_join.remove(&leaving.member_id) {
            let timer = Timer::ClassicPendingMember(group.group_id.clone(), leaving.member_id.clone());
            self.timers.cancel(&timer);
            return Ok(());
        } else {
            group.validate_member(&leaving.member_id, instance_id)?;
            leaving.member_id.clone()
        };
        self.remove_member(group, &member_id);
        Ok(())
    }
}

fn left(member: &MemberIdentity, error: ErrorCode) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(member.member_id.clone())
        .with_group_instance_id(member.group_instance_id.clone())
        .with_error_code(error.code())
}
