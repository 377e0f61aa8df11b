//! FindCoordinator (key 10), v0–6. KIP-98 (key types, v1), KIP-699 (many keys, v4), KIP-932 (share, v6).
//!
//! This broker coordinates every group and every transaction. The topic of the groups, or of the transactions, is made
//! when a client first asks, and the answer waits for it; Kafka answers COORDINATOR_NOT_AVAILABLE meanwhile.
//!
//! Deliberately not here: share groups. A share key is INVALID_REQUEST, as in Kafka for what is no share key.

use bytes::Bytes;
use fluxmq_protocol::messages::find_coordinator_response::Coordinator;
use fluxmq_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use crate::error::{ApiError, MALFORMED};
use crate::meta::cluster::Node;
use crate::request::{Outcome, RequestContext};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// The first version with many keys.
const FIRST_VERSION_WITH_KEYS: i16 = 4;
/// What Kafka's old answers say beside the code 0.
const NO_ERROR_TEXT: &str = "NONE";

/// Answers with this broker.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: FindCoordinatorRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let has_topic = |kind| match kind {
        TRANSACTION => context.broker().transactions.has_topic(),
        _ => context.broker().groups.has_topic(),
    };
    let found = match request.key_type {
        kind @ (GROUP | TRANSACTION) => match has_topic(kind) {
            Ok(true) => Ok(Node::of(context)),
            Ok(false) => return make_topic(context, request),
            Err(code) => Err(ApiError::bare(code)),
        },
        SHARE => Err(ApiError::bare(ErrorCode::InvalidRequest)),
        _ => Err(ApiError::new(ErrorCode::InvalidRequest, MALFORMED)),
    };
    Outcome::Ready(context.respond(&response(request, context.api_version, &found)))
}

/// Answers once the topic of the groups, or of the transactions, is made.
fn make_topic(context: &RequestContext, request: FindCoordinatorRequest) -> Outcome {
    let (context, node) = (context.detached(), Node::of(context));
    Outcome::Exclusive(Box::pin(async move {
        let broker = context.broker();
        let made = match request.key_type {
            TRANSACTION => broker.transactions.ensure_topic().await,
            _ => broker.groups.ensure_topic().await,
        };
        let found = made.map(|()| node).map_err(ApiError::bare);
        context.respond(&response(request, context.api_version, &found))
    }))
}

fn response(
    request: FindCoordinatorRequest,
    version: i16,
    found: &Result<Node, ApiError>,
) -> FindCoordinatorResponse {
    let (id, host, port) = match found {
        Ok(node) => (node.id, node.host.clone(), node.port),
        Err(_) => (BrokerId(-1), StrBytes::default(), -1),
    };
    let (code, message) = match found {
        Ok(_) => (ErrorCode::None, None),
        Err(error) => (error.code, error.wire_message()),
    };
    if version < FIRST_VERSION_WITH_KEYS {
        let fallback = || match code {
            ErrorCode::None => StrBytes::from_static_str(NO_ERROR_TEXT),
            code => StrBytes::from_string(code.to_string()),
        };
        return FindCoordinatorResponse::default()
            .with_error_code(code.code())
            .with_error_message(Some(message.unwrap_or_else(fallback)))
            .with_node_id(id)
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(code.code())
            .with_error_message(Some(message.clone().unwrap_or_default()))
            .with_node_id(id)
            .with_host(host.clone())
            .with_port(port)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
