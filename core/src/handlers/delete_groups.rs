//! DeleteGroups (key 42), v0–2. KIP-229.
//!
//! Each group is deleted in a turn of its own, with its offsets.

use std::collections::HashSet;

use bytes::Bytes;
use fluxmq_coordinator::shard::owned;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::delete_groups_response::DeletableGroupResult;
use fluxmq_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use crate::request::{Outcome, RequestContext};

/// Has each group's shard delete it. A group that is named twice is deleted once.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: DeleteGroupsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let mut named = HashSet::new();
    let mut results = Vec::new();
    let mut waits = Vec::new();
    for id in request.groups_names.iter().filter(|id| named.insert(*id)) {
        let turned = context.broker().groups.turn(id, |shard, turn| shard.delete_group(turn, id));
        match turned {
            Ok(answered) => {
                waits.extend(answered.durable.map(|durable| (results.len(), durable)));
                results.push(result(id, answered.value));
            }
            Err(code) => results.push(result(id, code)),
        }
    }
    if waits.is_empty() {
        return Outcome::Ready(context.respond(&DeleteGroupsResponse::default().with_results(results)));
    }
    let context = context.detached();
    // The names are views into the frame, which goes.
    let mut held_bytes = 0;
    for result in &mut results {
        result.group_id = GroupId(owned(&result.group_id));
        held_bytes += size_of::<DeletableGroupResult>() + result.group_id.len();
    }
    Outcome::wait_holding(held_bytes, async move {
        for (place, durable) in waits {
            if let Err(code) = durable.reached().await {
                results[place].error_code = code.code();
            }
        }
        context.respond(&DeleteGroupsResponse::default().with_results(results))
    })
}

fn result(id: &GroupId, code: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(code.code())
}
