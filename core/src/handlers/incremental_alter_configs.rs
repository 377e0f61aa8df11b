//! IncrementalAlterConfigs (key 44), v0–1. KIP-339, KIP-848 (groups).
//!
//! Changes the settings of topics and of groups, each resource on its own, all of its keys or none, stored before the
//! answer leaves. Deliberately not here: settings of the broker, which are read at start, levels of its log, client
//! metrics (KIP-714), alter policies.

use bytes::Bytes;
use fluxmq_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use fluxmq_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::altered_settings::{self, Asked, Change};
use super::metadata_change;
use crate::broker::Broker;
use crate::error::ApiError;
use crate::request::{Outcome, RequestContext};

/// Changes settings on the blocking pool, in turn with the other changes of metadata.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    metadata_change::outcome(context, body, |broker, request, _| alter(broker, request))
}

fn alter(broker: &Broker, request: &IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let asked = request.resources.iter().map(|resource| {
        let changes = resource.configs.iter().map(|config| Change {
            key: &config.name,
            operation: config.config_operation,
            value: config.value.as_deref(),
        });
        Asked {
            kind: resource.resource_type,
            name: &resource.resource_name,
            changes: changes.collect(),
            replaces: false,
        }
    });
    let asked: Vec<Asked<'_>> = asked.collect();
    let done = altered_settings::alter(broker, &asked, request.validate_only);
    let responses = asked.iter().zip(done).map(|(asked, done)| {
        let error = done.err().unwrap_or(ApiError::bare(ErrorCode::None));
        AlterConfigsResourceResponse::default()
            .with_error_code(error.code.code())
            .with_error_message(error.wire_message())
            .with_resource_type(asked.kind)
            // A copy: the name in the request keeps the whole frame in memory.
            .with_resource_name(StrBytes::from_string(asked.name.to_owned()))
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}
