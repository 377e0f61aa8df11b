//! ListGroups (key 16), v0–5. KIP-518 (state filter, v4), KIP-848 (types, v5).
//!
//! Lists what every shard holds in its memory. While one is being read the answer is COORDINATOR_LOAD_IN_PROGRESS,
//! without groups; one that cannot be read is left out, as in Kafka.

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use super::group_request;
use crate::request::{Outcome, RequestContext};

/// Has each shard list its groups.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: ListGroupsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let groups = &context.broker().groups;
    let mut listed = Vec::new();
    let mut waits = Vec::new();
    for index in 0..groups.shard_count() {
        let turned = groups
            .turn_at(index, |shard, _| shard.list_groups(&request.states_filter, &request.types_filter));
        match turned {
            Ok(answered) => {
                listed.extend(answered.value);
                waits.extend(answered.durable);
            }
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => return Outcome::Ready(context.respond(&failure(code))),
        }
    }
    group_request::answer_of_all(context, &ListGroupsResponse::default().with_groups(listed), waits, failure)
}

fn failure(code: ErrorCode) -> ListGroupsResponse {
    ListGroupsResponse::default().with_error_code(code.code())
}
