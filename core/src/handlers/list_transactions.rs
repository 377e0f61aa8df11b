//! ListTransactions (key 66), v0–2. KIP-664, KIP-994 (by duration, v1), KIP-1152 (by a pattern of ids, v2).
//!
//! Lists what every shard holds in its memory. While one is being read the answer is COORDINATOR_LOAD_IN_PROGRESS,
//! without transactions; one that cannot be read is left out, as in Kafka.

use bytes::Bytes;
use fluxmq_coordinator::transactions::ListFilters;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};

use super::group_request;
use crate::request::{Outcome, RequestContext};

/// Has each shard list the transactional ids that are asked for.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: ListTransactionsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let Ok(filters) = ListFilters::new(&request) else {
        return Outcome::Ready(context.respond(&failure(ErrorCode::InvalidRegularExpression)));
    };
    let transactions = &context.broker().transactions;
    let mut listed = Vec::new();
    let mut waits = Vec::new();
    for index in 0..transactions.shard_count() {
        let turned = transactions.turn_at(index, |shard, turn| shard.list_transactions(turn.now, &filters));
        match turned {
            Ok(answered) => {
                listed.extend(answered.value);
                waits.extend(answered.durable);
            }
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => return Outcome::Ready(context.respond(&failure(code))),
        }
    }
    let response = ListTransactionsResponse::default()
        .with_unknown_state_filters(filters.unknown_states().to_vec())
        .with_transaction_states(listed);
    group_request::answer_of_all(context, &response, waits, failure)
}

fn failure(code: ErrorCode) -> ListTransactionsResponse {
    ListTransactionsResponse::default().with_error_code(code.code())
}
