//! SyncGroup (key 14), v0–5. KIP-345 (static members, v3), KIP-559 (protocol type and name, v5).
//!
//! The leader's answer leaves once its assignment is durable, the others' with it.

use bytes::Bytes;
use fluxmq_coordinator::Reply;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::group_request;
use crate::request::{Outcome, RequestContext, Response};

/// Has a turn of the group's shard take the assignment, or wait for it.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: SyncGroupRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let requester = group_request::requester(context);
    let group_id = request.group_id.clone();
    let exchange = context.broker().groups.exchange(&group_id, |shard, turn, token| {
        shard.sync_group(turn, &requester, request, token);
    });
    group_request::answer_later(context, exchange, respond)
}

fn respond(context: &RequestContext, outcome: Result<Reply, ErrorCode>) -> Response {
    let response = match outcome {
        Ok(Reply::SyncGroup(response)) => response,
        Ok(Reply::JoinGroup(_)) => unreachable!("a SyncGroup has its own kind of answer"),
        Err(code) => SyncGroupResponse::default().with_error_code(code.code()),
    };
    context.respond(&response)
}
