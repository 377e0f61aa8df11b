//! What the APIs that change metadata share: a request is done on the blocking pool, after those before it and before
//! the connection's next one.

use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::{Decodable, Encodable};

use crate::broker::Broker;
use crate::request::{Outcome, RequestContext};

/// Has `change` do the request, given the version too, and answers with what it returns.
pub(super) fn outcome<Q, A>(
    context: &RequestContext,
    body: Bytes,
    change: fn(&Broker, &Q, i16) -> A,
) -> Outcome
where
    Q: Decodable + Send + 'static,
    A: Encodable + Send + 'static,
{
    let request: Q = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let context = context.detached();
    Outcome::Exclusive(Box::pin(async move {
        let (broker, version) = (Arc::clone(context.broker()), context.api_version);
        let metadata = &context.broker().metadata;
        let response =
            metadata.in_turn(&context.broker().blocking, move || change(&broker, &request, version)).await;
        context.respond(&response)
    }))
}
