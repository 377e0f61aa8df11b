//! ConsumerGroupDescribe (key 69), v0–1. KIP-848 (v0), KIP-1099 (the kind of a member, v1).

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::consumer_group_describe_response::DescribedGroup;
use fluxmq_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId};

use super::{authorized_operations, group_request};
use crate::request::{Outcome, RequestContext};

/// Has each shard describe its groups.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: ConsumerGroupDescribeRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let groups = &context.broker().groups;
    if !groups.serves_consumer_groups() {
        let refused = request.group_ids.iter().map(|id| failed(id, ErrorCode::UnsupportedVersion));
        let response = ConsumerGroupDescribeResponse::default().with_groups(refused.collect());
        return Outcome::Ready(context.respond(&response));
    }
    let mut described = group_request::of_groups(
        groups,
        &request.group_ids,
        |shard, turn, ids| shard.consumer_group_describe(turn.topics, ids),
        failed,
    );
    if request.include_authorized_operations {
        for group in described.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations = authorized_operations::GROUP;
        }
    }
    described.answer(context, |groups| ConsumerGroupDescribeResponse::default().with_groups(groups), failed)
}

fn failed(id: &GroupId, code: ErrorCode) -> DescribedGroup {
    DescribedGroup::default().with_group_id(id.clone()).with_error_code(code.code())
}
