//! ConsumerGroupHeartbeat (key 68), v0–1. KIP-848 (v0), KIP-1082 (member ids chosen by the client, v1; patterns).
//!
//! One turn takes the member's subscription and what it owns, and answers with what it should own.

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::group_request;
use crate::request::{Outcome, RequestContext};

/// Has a turn of the group's shard do the member's heartbeat.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: ConsumerGroupHeartbeatRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let groups = &context.broker().groups;
    if !groups.serves_consumer_groups() {
        return Outcome::Ready(context.respond(&failed(ErrorCode::UnsupportedVersion)));
    }
    let requester = if request.member_id.is_empty() {
        group_request::with_fresh_id(context)
    } else {
        group_request::requester(context)
    };
    let turned = groups
        .turn(&request.group_id, |shard, turn| shard.consumer_group_heartbeat(turn, &requester, &request));
    group_request::answer(context, turned, failed)
}

fn failed(code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default().with_error_code(code.code())
}
