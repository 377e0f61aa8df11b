//! InitProducerId (key 22), v0–5. KIP-98, KIP-360 (a producer that names its id and epoch, v3), KIP-890.
//!
//! An idempotent producer always gets a new id with epoch 0, whatever it had before, as in Kafka. That of a
//! transactional id is for its coordinator to say, who has it durable before the answer.

use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::{group_request, transaction_request};
use crate::request::{Outcome, RequestContext};

const NO_PRODUCER_ID: i64 = -1;
const NO_PRODUCER_EPOCH: i16 = -1;

/// Answers with a new producer id. The disk is touched once in a thousand times.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: InitProducerIdRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if let Some(error) = refused(&request, context.broker().transactions.max_timeout_ms()) {
        return Outcome::Ready(context.respond(&failure(error)));
    }
    if request.transactional_id.is_some() {
        return of_transactional_id(context, request);
    }
    if let Some(producer_id) = context.broker().producer_ids.try_next() {
        return Outcome::Ready(context.respond(&success(producer_id)));
    }
    let context = context.detached();
    Outcome::wait(async move {
        let broker = context.broker().clone();
        let allocated =
            context.broker().blocking.run(move || broker.producer_ids.next(&broker.metadata)).await;
        let response = allocated.map_or_else(
            |error| {
                tracing::error!(%error, "no producer id can be given");
                // What Kafka answers while it has no block: every client tries again.
                failure(ErrorCode::CoordinatorLoadInProgress)
            },
            success,
        );
        context.respond(&response)
    })
}

/// Has a turn of the id's shard give it its producer id, with one at hand in case that it is new.
fn of_transactional_id(context: &RequestContext, request: InitProducerIdRequest) -> Outcome {
    if context.broker().producer_ids.has_next() {
        return in_turn(context, &request);
    }
    let context = context.detached();
    Outcome::ExclusiveThen(Box::pin(async move {
        let broker = Arc::clone(context.broker());
        let reserved = context.broker().blocking.run(move || broker.producer_ids.reserve(&broker.metadata));
        if let Err(error) = reserved.await {
            tracing::error!(%error, "no producer id can be given");
        }
        in_turn(&context, &request)
    }))
}

fn in_turn(context: &RequestContext, request: &InitProducerIdRequest) -> Outcome {
    let id = request.transactional_id.as_ref().map_or("", |id| id.as_str());
    let turned = transaction_request::turn(context, id, |shard, turn| {
        shard.init_producer_id(turn, context.api_version, request)
    });
    group_request::answer(context, turned, failure)
}

/// What is refused before anything is looked up.
fn refused(request: &InitProducerIdRequest, max_timeout_ms: i32) -> Option<ErrorCode> {
    let (id, epoch) = (request.producer_id.0, request.producer_epoch);
    if (id == NO_PRODUCER_ID) != (epoch == NO_PRODUCER_EPOCH) {
        return Some(ErrorCode::InvalidRequest);
    }
    let transactional_id = request.transactional_id.as_ref()?;
    if transactional_id.is_empty() {
        Some(ErrorCode::InvalidRequest)
    } else if !(1..=max_timeout_ms).contains(&request.transaction_timeout_ms) {
        Some(ErrorCode::InvalidTransactionTimeout)
    } else {
        None
    }
}

fn success(producer_id: i64) -> InitProducerIdResponse {
    InitProducerIdResponse::default().with_producer_id(ProducerId(producer_id)).with_producer_epoch(0)
}

fn failure(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(error.code())
        .with_producer_id(ProducerId(NO_PRODUCER_ID))
        .with_producer_epoch(NO_PRODUCER_EPOCH)
}

#[cfg(test)]
mod tests {
    use fluxmq_protocol::StrBytes;
    use fluxmq_protocol::messages::TransactionalId;

    use super::*;

    #[test]
    fn refusals_in_kafkas_order() {
        let request = |id: i64, epoch: i16, transactional_id: Option<&'static str>, timeout_ms: i32| {
            InitProducerIdRequest::default()
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(epoch)
                .with_transactional_id(
                    transactional_id.map(|id| TransactionalId(StrBytes::from_static_str(id))),
                )
                .with_transaction_timeout_ms(timeout_ms)
        };
        for (request, expected) in [
            (request(-1, -1, None, i32::MAX), None),
            (request(7, 3, None, 0), None),
            (request(-1, 3, None, 0), Some(ErrorCode::InvalidRequest)),
            (request(7, -1, Some("t"), 1), Some(ErrorCode::InvalidRequest)),
            (request(-1, -1, Some(""), 1), Some(ErrorCode::InvalidRequest)),
            (request(-1, -1, Some("t"), 0), Some(ErrorCode::InvalidTransactionTimeout)),
            (request(-1, -1, Some("t"), 900_001), Some(ErrorCode::InvalidTransactionTimeout)),
            (request(-1, -1, Some("t"), 900_000), None),
        ] {
            assert_eq!(refused(&request, 900_000), expected, "{request:?}");
        }
    }
}
