//! Heartbeat (key 12), v0–4. KIP-345 (static members, v3).

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::group_request;
use crate::request::{Outcome, RequestContext};

/// Has a turn of the group's shard hear of the member.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: HeartbeatRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let turned =
        context.broker().groups.turn(&request.group_id, |shard, turn| shard.heartbeat(turn, &request));
    group_request::answer(context, turned, |code| {
        // As in Kafka: the member learns how things are from its next heartbeat, with nothing lost.
        let code = if code == ErrorCode::CoordinatorLoadInProgress { ErrorCode::None } else { code };
        HeartbeatResponse::default().with_error_code(code.code())
    })
}
