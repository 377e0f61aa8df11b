//! DescribeTransactions (key 65), v0. KIP-664.
//!
//! Each transactional id is described in a turn of its own.

use bytes::Bytes;
use fluxmq_coordinator::shard::owned;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::describe_transactions_response::TransactionState;
use fluxmq_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, TransactionalId};

use super::transaction_request;
use crate::request::{Outcome, RequestContext};

/// Has each id's shard describe it.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: DescribeTransactionsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let mut described = Vec::new();
    let mut waits = Vec::new();
    for id in &request.transactional_ids {
        match transaction_request::turn(context, id, |shard, _| shard.describe_transaction(id)) {
            Ok(answered) => {
                waits.extend(answered.durable.map(|durable| (described.len(), durable)));
                described.push(answered.value);
            }
            Err(code) => described.push(failure(id.clone(), code)),
        }
    }
    if waits.is_empty() {
        return Outcome::Ready(context.respond(&response(described)));
    }
    let context = context.detached();
    // The ids are views into the frame, which goes; the topics are shared with the shards.
    let mut held_bytes = 0;
    for transaction in &mut described {
        transaction.transactional_id = TransactionalId(owned(&transaction.transactional_id));
        let partitions: usize = transaction.topics.iter().map(|topic| topic.partitions.len()).sum();
        held_bytes += size_of::<TransactionState>()
            + transaction.transactional_id.len()
            + partitions * size_of::<i32>();
    }
    Outcome::wait_holding(held_bytes, async move {
        for (place, durable) in waits {
            if let Err(code) = durable.reached().await {
                let id = described[place].transactional_id.clone();
                described[place] = failure(id, code);
            }
        }
        context.respond(&response(described))
    })
}

fn failure(id: TransactionalId, code: ErrorCode) -> TransactionState {
    TransactionState::default().with_transactional_id(id).with_error_code(code.code())
}

fn response(described: Vec<TransactionState>) -> DescribeTransactionsResponse {
    DescribeTransactionsResponse::default().with_transaction_states(described)
}
