//! JoinGroup (key 11), v0–9. KIP-62 (rebalance timeout, v1), KIP-394 (member ids first, v4), KIP-345 (static members,
//! v5), KIP-559 (protocol type, v7), KIP-800 (reasons, v8), KIP-814 (skipping the assignment, v9).
//!
//! The answer comes when the group is complete, or its time is up: until then the connection's later requests are
//! handled, and answered after this one.

use bytes::Bytes;
use fluxmq_coordinator::Reply;
use fluxmq_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::group_request;
use crate::request::{Outcome, RequestContext, Response};

/// The first version in which "no protocol" is null; before it is empty.
const FIRST_VERSION_WITHOUT_PROTOCOL: i16 = 7;

/// Has a turn of the group's shard take the member in.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: JoinGroupRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let requester = group_request::with_fresh_id(context);
    let group_id = request.group_id.clone();
    let exchange = context.broker().groups.exchange(&group_id, |shard, turn, token| {
        shard.join_group(turn, &requester, request, token);
    });
    group_request::answer_later(context, exchange, respond)
}

fn respond(context: &RequestContext, outcome: Result<Reply, ErrorCode>) -> Response {
    let response = match outcome {
        Ok(Reply::JoinGroup(response)) => response,
        Ok(Reply::SyncGroup(_)) => unreachable!("a JoinGroup has its own kind of answer"),
        Err(code) => {
            let no_protocol = (context.api_version < FIRST_VERSION_WITHOUT_PROTOCOL).then(StrBytes::default);
            JoinGroupResponse::default().with_error_code(code.code()).with_protocol_name(no_protocol)
        }
    };
    context.respond(&response)
}
