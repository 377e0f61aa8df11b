//! AlterConfigs (key 33), v0–2. KIP-133. Clients since Kafka 2.3 send IncrementalAlterConfigs instead.
//!
//! Replaces the settings of topics and of groups: what isn't named is unset. Deliberately not here: what
//! IncrementalAlterConfigs leaves out too.

use bytes::Bytes;
use fluxmq_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use fluxmq_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::altered_settings::{self, Asked, Change, SET};
use super::metadata_change;
use crate::broker::Broker;
use crate::error::ApiError;
use crate::request::{Outcome, RequestContext};

/// Replaces settings on the blocking pool, in turn with the other changes of metadata.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    metadata_change::outcome(context, body, |broker, request, _| alter(broker, request))
}

fn alter(broker: &Broker, request: &AlterConfigsRequest) -> AlterConfigsResponse {
    let asked = request.resources.iter().map(|resource| {
        let changes = resource.configs.iter().map(|config| Change {
            key: &config.name,
            operation: SET,
            value: config.value.as_deref(),
        });
        Asked {
            kind: resource.resource_type,
            name: &resource.resource_name,
            changes: changes.collect(),
            replaces: true,
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
    AlterConfigsResponse::default().with_responses(responses.collect())
}
