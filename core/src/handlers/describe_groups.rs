//! DescribeGroups (key 15), v0–6. KIP-345 (instance ids, v4), KIP-430 (authorised operations, v3), KIP-1043 (an error for
//! a group that isn't there, v6).
//!
//! Describes classic groups; a consumer group is none of them, as in Kafka.

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::describe_groups_response::DescribedGroup;
use fluxmq_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::{authorized_operations, group_request};
use crate::request::{Outcome, RequestContext};

/// The first version that can ask for authorised operations.
const FIRST_VERSION_WITH_OPERATIONS: i16 = 3;

/// Has each shard describe its groups.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: DescribeGroupsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let version = context.api_version;
    let mut described = group_request::of_groups(
        &context.broker().groups,
        &request.groups,
        |shard, _, ids| shard.describe_groups(version, ids),
        failed,
    );
    if version >= FIRST_VERSION_WITH_OPERATIONS && request.include_authorized_operations {
        for group in described.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations = authorized_operations::GROUP;
        }
    }
    described.answer(context, |groups| DescribeGroupsResponse::default().with_groups(groups), failed)
}

fn failed(id: &GroupId, code: ErrorCode) -> DescribedGroup {
    DescribedGroup::default().with_group_id(id.clone()).with_error_code(code.code())
}
