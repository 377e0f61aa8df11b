//! FindCoordinator (key 10), v0–6. KIP-98 (key types, v1), KIP-699 (many keys, v4), KIP-932 (share, v6).
//!
//! This broker coordinates every group. The topic of the groups is made when a client first asks, and the answer waits
//! for it; Kafka answers COORDINATOR_NOT_AVAILABLE meanwhile.
//!
//! Deliberately not here: transactions and share groups. A transactional id is refused with the reason and a code that
//! the producer takes for final, where it would ask again until its time is up on others: UNSUPPORTED_VERSION for
//! those that send v4 and later; before, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, the one code that librdkafka gives up
//! on. A share key is INVALID_REQUEST, as in Kafka for what is no share key.

use std::sync::Arc;

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
const NO_TRANSACTIONS: &str = "Transactions are not served by this broker yet.";
/// What Kafka's old answers say beside the code 0.
const NO_ERROR_TEXT: &str = "NONE";

/// Answers with this broker.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: FindCoordinatorRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let found = match request.key_type {
        GROUP => match context.broker().groups.has_topic() {
            Ok(true) => Ok(Node::of(context)),
            Ok(false) => return make_topic(context, request),
            Err(code) => Err(ApiError::bare(code)),
        },
        TRANSACTION if context.api_version < FIRST_VERSION_WITH_KEYS => {
            Err(ApiError::new(ErrorCode::TransactionalIdAuthorizationFailed, NO_TRANSACTIONS))
        }
        TRANSACTION => Err(ApiError::new(ErrorCode::UnsupportedVersion, NO_TRANSACTIONS)),
        SHARE => Err(ApiError::bare(ErrorCode::InvalidRequest)),
        _ => Err(ApiError::new(ErrorCode::InvalidRequest, MALFORMED)),
    };
    Outcome::Ready(context.respond(&response(request, context.api_version, &found)))
}

/// Answers once the topic of the groups is made.
fn make_topic(context: &RequestContext, request: FindCoordinatorRequest) -> Outcome {
    let (context, node) = (context.detached(), Node::of(context));
    Outcome::Exclusive(Box::pin(async move {
        let groups = Arc::clone(&context.broker().groups);
        let found = groups.ensure_topic().await.map(|()| node).map_err(ApiError::bare);
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
