//! What the requests of groups have in common: who asks, and how a turn's answer leaves, which those of transactions
//! share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fluxmq_coordinator::shard::owned;
use fluxmq_coordinator::{GroupShard, Reply, Requester, Turn};
use fluxmq_protocol::messages::GroupId;
use fluxmq_protocol::{Encodable, ErrorCode, StrBytes};
use uuid::Uuid;

use crate::coordination::GroupCoordinator;
use crate::coordination::wait::{Answered, DurableAt, Exchange};
use crate::request::{Outcome, RequestContext, Response};

/// Who asks. The id that a new member would be given is nil: see [`with_fresh_id`].
pub(super) fn requester(context: &RequestContext) -> Requester {
    Requester {
        api_version: context.api_version,
        client_id: context.client_id.clone().unwrap_or_default(),
        client_host: StrBytes::from_string(client_host(context.peer().ip())),
        fresh_id: Uuid::nil(),
    }
}

/// Who asks, with a random id for a new member.
pub(super) fn with_fresh_id(context: &RequestContext) -> Requester {
    Requester { fresh_id: Uuid::new_v4(), ..requester(context) }
}

/// An address as Java prints it, which is what Kafka shows of a member.
fn client_host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:x}"));
            format!("/{}", groups.join(":"))
        }
    }
}

/// The answer to a request that was answered in its own turn, once it is durable. `failed` says what to answer in its
/// place; it may be kept while the answer waits.
pub(super) fn answer<M: Encodable>(
    context: &RequestContext,
    turned: Result<Answered<M>, ErrorCode>,
    failed: impl FnOnce(ErrorCode) -> M + Send + 'static,
) -> Outcome {
    let answered = match turned {
        Ok(answered) => answered,
        Err(code) => return Outcome::Ready(context.respond(&failed(code))),
    };
    let response = context.respond(&answered.value);
    let Some(durable) = answered.durable else { return Outcome::Ready(response) };
    let context = context.detached();
    Outcome::wait_holding(response.memory_bytes(), async move {
        match durable.reached().await {
            Ok(()) => response,
            Err(code) => context.respond(&failed(code)),
        }
    })
}

/// The answer to a request that turns of several shards have answered together, once all of them are durable. `failed`
/// says what to answer in its place when one can't be.
pub(super) fn answer_of_all<M: Encodable + 'static>(
    context: &RequestContext,
    response: &M,
    waits: Vec<DurableAt>,
    failed: fn(ErrorCode) -> M,
) -> Outcome {
    let response = context.respond(response);
    if waits.is_empty() {
        return Outcome::Ready(response);
    }
    let context = context.detached();
    Outcome::wait_holding(response.memory_bytes(), async move {
        for durable in waits {
            if let Err(code) = durable.reached().await {
                return context.respond(&failed(code));
            }
        }
        response
    })
}

/// The answer to a request that may be answered by a later turn, once it is given and durable.
pub(super) fn answer_later(
    context: &RequestContext,
    exchange: Result<Exchange, ErrorCode>,
    respond: fn(&RequestContext, Result<Reply, ErrorCode>) -> Response,
) -> Outcome {
    let mut exchange = match exchange {
        Ok(exchange) => exchange,
        Err(code) => return Outcome::Ready(respond(context, Err(code))),
    };
    match exchange.try_answer() {
        Some(Ok(Answered { value, durable: None })) => return Outcome::Ready(respond(context, Ok(value))),
        Some(Err(code)) => return Outcome::Ready(respond(context, Err(code))),
        Some(Ok(Answered { value, durable: Some(durable) })) => {
            let context = context.detached();
            return Outcome::wait(async move {
                let reached = durable.reached().await;
                respond(&context, reached.map(|()| value))
            });
        }
        None => {}
    }
    let context = context.detached();
    Outcome::wait(async move {
        let outcome = match exchange.answer().await {
            Ok(Answered { value, durable: None }) => Ok(value),
            Ok(Answered { value, durable: Some(durable) }) => durable.reached().await.map(|()| value),
            Err(code) => Err(code),
        };
        respond(&context, outcome)
    })
}

/// About what the description of a group takes while it waits, without what it shares with its shard.
const GROUP_MEMORY_BYTES: usize = 4 << 10;

/// What is said of each group of a request that names many.
pub(super) struct OfGroups<G> {
    by_shard: Vec<OfShard<G>>,
}

struct OfShard<G> {
    ids: Vec<GroupId>,
    groups: Vec<G>,
    durable: Option<DurableAt>,
}

/// Runs one turn in each shard that one of the groups belongs to, with the ids that are its own. `failed` says what to
/// answer for a group whose shard can't.
pub(super) fn of_groups<G>(
    coordinator: &Arc<GroupCoordinator>,
    ids: &[GroupId],
    work: impl Fn(&mut GroupShard, &mut Turn<'_>, &[GroupId]) -> Vec<G>,
    failed: fn(&GroupId, ErrorCode) -> G,
) -> OfGroups<G> {
    let mut by_shard: BTreeMap<Result<usize, i16>, Vec<GroupId>> = BTreeMap::new();
    for id in ids {
        // By the code's number, since codes have no order.
        let shard = coordinator.shard_of(id).map_err(ErrorCode::code);
        by_shard.entry(shard).or_default().push(id.clone());
    }
    let of_shard = |(shard, ids): (Result<usize, i16>, Vec<GroupId>)| {
        let shard = shard.map_err(|code| ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError));
        let turned =
            shard.and_then(|index| coordinator.turn_at(index, |shard, turn| work(shard, turn, &ids)));
        match turned {
            Ok(Answered { value, durable }) => OfShard { ids, groups: value, durable },
            Err(code) => {
                let groups = ids.iter().map(|id| failed(id, code)).collect();
                OfShard { ids, groups, durable: None }
            }
        }
    };
    OfGroups { by_shard: by_shard.into_iter().map(of_shard).collect() }
}

impl<G: Send + 'static> OfGroups<G> {
    /// What is said of each group, to be completed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut G> {
        self.by_shard.iter_mut().flat_map(|shard| &mut shard.groups)
    }

    /// The answer, once all of it is durable.
    pub(super) fn answer<M: Encodable + 'static>(
        self,
        context: &RequestContext,
        build: fn(Vec<G>) -> M,
        failed: fn(&GroupId, ErrorCode) -> G,
    ) -> Outcome {
        let gather = move |by_shard: Vec<OfShard<G>>| {
            build(by_shard.into_iter().flat_map(|shard| shard.groups).collect())
        };
        if self.by_shard.iter().all(|shard| shard.durable.is_none()) {
            return Outcome::Ready(context.respond(&gather(self.by_shard)));
        }
        let context = context.detached();
        let mut by_shard = self.by_shard;
        // What is said shares most of its bytes with the shards. The names are views into the frame, which goes.
        let named: usize = by_shard.iter().map(|shard| shard.ids.len()).sum();
        for shard in &mut by_shard {
            shard.ids.iter_mut().for_each(|id| *id = GroupId(owned(id)));
        }
        Outcome::wait_holding(named * GROUP_MEMORY_BYTES, async move {
            for shard in &mut by_shard {
                if let Some(durable) = shard.durable.take()
                    && let Err(code) = durable.reached().await
                {
                    shard.groups = shard.ids.iter().map(|id| failed(id, code)).collect();
                }
            }
            context.respond(&gather(by_shard))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::client_host;

    #[test]
    fn addresses_as_java_prints_them() {
        for (address, text) in [
            ("127.0.0.1", "/127.0.0.1"),
            ("::ffff:10.1.2.3", "/10.1.2.3"),
            ("::1", "/0:0:0:0:0:0:0:1"),
            ("2001:db8::ff00:42:8329", "/2001:db8:0:0:0:ff00:42:8329"),
        ] {
            assert_eq!(client_host(address.parse().unwrap()), text);
        }
    }
}
