//! AddOffsetsToTxn (key 25), v0–4. KIP-98, KIP-588 (PRODUCER_FENCED, v2), KIP-890 (TRANSACTION_ABORTABLE, v4).
//!
//! The first offsets of a group may be committed here, before anybody has looked for the group's coordinator: then the
//! topic of the groups is made. Kafka knows the partition without it.

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{group_request, transaction_request};
use crate::request::{Outcome, RequestContext};

/// Has a turn of the id's shard add the partition of the group's offsets to the transaction.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: AddOffsetsToTxnRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if !matches!(context.broker().groups.has_topic(), Ok(false)) {
        return add(context, &request);
    }
    let context = context.detached();
    Outcome::ExclusiveThen(Box::pin(async move {
        match context.broker().groups.ensure_topic().await {
            Ok(()) => add(&context, &request),
            Err(code) => Outcome::Ready(context.respond(&failure(code))),
        }
    }))
}

fn add(context: &RequestContext, request: &AddOffsetsToTxnRequest) -> Outcome {
    let turned = context.broker().groups.shard_of(&request.group_id).and_then(|partition| {
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        transaction_request::turn(context, &request.transactional_id, |shard, turn| {
            shard.add_offsets_to_txn(turn, context.api_version, request, partition)
        })
    });
    group_request::answer(context, turned, failure)
}

fn failure(code: ErrorCode) -> AddOffsetsToTxnResponse {
    AddOffsetsToTxnResponse::default().with_error_code(code.code())
}
