//! Heartbeat, versions 0–4: a member lives, and learns that it has to join again.

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::group::ClassicGroupState;
use crate::shard::GroupShard;
use crate::turn::Turn;

impl GroupShard {
    /// Restarts the session of the member; `REBALANCE_IN_PROGRESS` while the group waits for it to join.
    pub fn heartbeat(&mut self, turn: &mut Turn<'_>, request: &HeartbeatRequest) -> HeartbeatResponse {
        let error = self.checked_heartbeat(turn, request).err().unwrap_or(ErrorCode::None);
        HeartbeatResponse::default().with_error_code(error.code())
    }

    fn checked_heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if self.is_consumer_group(&request.group_id) {
            return self.classic_heartbeat_to_consumer_group(turn, request);
        }
        let (group, mut work) =
            self.classic_group(turn, &request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
        group.validate_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        work.restart_session(group, &request.member_id);
        match group.state {
            ClassicGroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }
}
