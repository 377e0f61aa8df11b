//! ApiVersions (key 18), v0–4. KIP-35, KIP-511 (client software name, answer to an unsupported version), KIP-584
//! (features).
//!
//! The ranges are those of the dispatch table. Deliberately not here: features are listed only when they are served
//! and none is yet; v5 (cluster id and node id, KIP-1242) is answered as any version that is not served.

use bytes::Bytes;
use fluxmq_protocol::error::ErrorCode;
use fluxmq_protocol::messages::api_versions_response::ApiVersion;
use fluxmq_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use fluxmq_protocol::parts;

use crate::dispatch;
use crate::request::{CloseReason, Outcome, RequestContext};

/// Answers with the table's ranges, or INVALID_REQUEST when the client gives itself a name that Kafka refuses.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let response = context.decode(body).map(|request: ApiVersionsRequest| {
        if context.api_version >= 3
            && !(is_software_name(&request.client_software_name)
                && is_software_name(&request.client_software_version))
        {
            return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
        }
        ApiVersionsResponse::default().with_api_keys(dispatch::TABLE.iter().map(range).collect())
    });
    context.outcome(response)
}

/// The answer, in v0, to a version of ApiVersions that is not served: UNSUPPORTED_VERSION and the versions that are.
pub fn unsupported_version(correlation_id: i32) -> Outcome {
    let own_range = dispatch::TABLE.iter().filter(|api| api.key == ApiKey::ApiVersions).map(range).collect();
    let response = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(own_range);
    match parts::encode(ApiKey::ApiVersions, 0, correlation_id, &response) {
        Ok(response) => Outcome::Ready(response),
        Err(error) => Outcome::Close(CloseReason::Malformed(error.to_string())),
    }
}

fn range(api: &dispatch::Api) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key as i16)
        .with_min_version(api.advertised_min_version)
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
