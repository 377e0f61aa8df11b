//! ApiVersions (key 18), v0–4. KIP-35, KIP-511 (client software name, answer to an unsupported version), KIP-584
//! (features, v3), KIP-1022 (features whose lowest level is 0, v4).
//!
//! The ranges are those of the dispatch table, the features those of [`Feature`]. Deliberately not here: features that are not served are not listed; v5 (cluster id and node id, KIP-1242) is answered as any version that is not served.

use bytes::Bytes;
use fluxmq_protocol::error::ErrorCode;
use fluxmq_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use fluxmq_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use fluxmq_protocol::{StrBytes, parts};

use crate::meta::features::{Feature, Features};
use crate::request::{CloseReason, Outcome, RequestContext};
use crate::served_api::ServedApi;

/// The first version that has features.
const FIRST_VERSION_WITH_FEATURES: i16 = 3;
/// The first version whose clients can read a feature with the level 0.
const FIRST_VERSION_WITH_LEVEL_0: i16 = 4;

/// Answers with the table's ranges, or INVALID_REQUEST when the client gives itself a name that Kafka refuses.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let response = context.decode(body).map(|request: ApiVersionsRequest| {
        if context.api_version >= 3
            && !(is_software_name(&request.client_software_name)
                && is_software_name(&request.client_software_version))
        {
            return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
        }
        let ranges = context.broker().apis.iter().map(range).collect();
        let features = context.broker().metadata.features();
        with_features(ApiVersionsResponse::default().with_api_keys(ranges), context.api_version, &features)
    });
    context.outcome(response)
}

/// The answer, in v0, to a version of ApiVersions that is not served: UNSUPPORTED_VERSION and the versions that are.
pub fn unsupported_version(correlation_id: i32, own: ServedApi) -> Outcome {
    let response = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(vec![range(&own)]);
    match parts::encode(ApiKey::ApiVersions, 0, correlation_id, &response) {
        Ok(response) => Outcome::Ready(response),
        Err(error) => Outcome::Close(CloseReason::Malformed(error.to_string())),
    }
}

fn with_features(response: ApiVersionsResponse, version: i16, features: &Features) -> ApiVersionsResponse {
    if version < FIRST_VERSION_WITH_FEATURES {
        return response;
    }
    let name = |feature: Feature| StrBytes::from_static_str(feature.name());
    let finalized = |feature: Feature| {
        let level = features.level(feature);
        let finalized = FinalizedFeatureKey::default()
            .with_name(name(feature))
            .with_min_version_level(level)
            .with_max_version_level(level);
        (level > 0).then_some(finalized)
    };
    let supported = |feature: Feature| {
        SupportedFeatureKey::default()
            .with_name(name(feature))
            .with_min_version(0)
            .with_max_version(feature.max_level())
    };
    let shown = Feature::ALL.into_iter().filter(|_| version >= FIRST_VERSION_WITH_LEVEL_0);
    response
        .with_supported_features(shown.map(supported).collect())
        .with_finalized_features_epoch(features.epoch)
        .with_finalized_features(Feature::ALL.into_iter().filter_map(finalized).collect())
}

fn range(api: &ServedApi) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key as i16)
        .with_min_version(api.min_version)
        .with_max_version(api.max_version)
}

/// Letters and digits, with dots and hyphens between them.
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names_as_kafka_reads_them() {
        for good in ["a", "apache-kafka-java", "4.4.0", "9", "a-.b"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a b", "ä", "a_b", "a\n"] {
            assert!(!is_software_name(bad), "{bad:?}");
        }
    }
}
