//! LeaveGroup (key 13), v0–5. KIP-345 (several members, v3), KIP-800 (reasons, v5).

use bytes::Bytes;
use fluxmq_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::group_request;
use crate::request::{Outcome, RequestContext};

/// Has a turn of the group's shard let the members go.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: LeaveGroupRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let requester = group_request::requester(context);
    let turned = context
        .broker()
        .groups
        .turn(&request.group_id, |shard, turn| shard.leave_group(turn, &requester, &request));
    group_request::answer(context, turned, |code| LeaveGroupResponse::default().with_error_code(code.code()))
}
