//! EndTxn (key 26), v0–5. KIP-98, KIP-588 (PRODUCER_FENCED, v2), KIP-890 (TRANSACTION_ABORTABLE, v4; the epoch rises with
//! the end, v5).
//!
//! The answer leaves when the decision is durable; the markers are written after that.

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use super::{group_request, transaction_request};
use crate::request::{Outcome, RequestContext};

/// Has a turn of the id's shard decide the end of its transaction.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: EndTxnRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let turned = transaction_request::turn(context, &request.transactional_id, |shard, turn| {
        shard.end_txn(turn, context.api_version, &request)
    });
    group_request::answer(context, turned, failure)
}

fn failure(code: ErrorCode) -> EndTxnResponse {
    EndTxnResponse::default()
        .with_error_code(code.code())
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}
