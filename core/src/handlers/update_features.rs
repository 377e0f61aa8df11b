//! UpdateFeatures (key 57), v0–2. KIP-584, KIP-778 (kinds of downgrades, and only checking, v1), KIP-1022 (no results for
//! single features, v2).
//!
//! Changes the levels of `group.version` and `transaction.version`, all that are named or none. It takes effect at once:
//! there is one broker. Deliberately not here: `metadata.version` and Kafka's other features, which this broker has
//! none of.

use bytes::Bytes;
use fluxmq_protocol::messages::update_features_request::FeatureUpdateKey;
use fluxmq_protocol::messages::update_features_response::UpdatableFeatureResult;
use fluxmq_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::metadata_change;
use crate::broker::Broker;
use crate::error::ApiError;
use crate::meta::features::{Feature, Features};
use crate::request::{Outcome, RequestContext};

/// The first version in which a downgrade is asked for by its kind. Before it a level can only be raised.
const FIRST_VERSION_WITH_TYPES: i16 = 1;
/// The first version without results for single features.
const FIRST_VERSION_WITHOUT_RESULTS: i16 = 2;
/// What Kafka says of a feature that was updated.
const UPDATED: &str = "NONE";
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// Why the levels stay as they are.
enum Kept {
    /// The request is refused.
    Refused(ApiError),
    /// It was only to be checked.
    Checked,
}

impl<E: Into<ApiError>> From<E> for Kept {
    fn from(error: E) -> Self {
        Kept::Refused(error.into())
    }
}

/// Changes the levels after the changes of metadata before it.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    metadata_change::outcome(context, body, update)
}

fn update(broker: &Broker, request: &UpdateFeaturesRequest, version: i16) -> UpdateFeaturesResponse {
    let updated = broker.metadata.update_features(|levels| {
        let update = |update| checked(update, version, levels, broker.config.node_id);
        let updates = request.feature_updates.iter().map(update).collect::<Result<Vec<_>, ApiError>>()?;
        if request.validate_only { Err(Kept::Checked) } else { Ok(updates) }
    });
    if let Err(Kept::Refused(error)) = updated {
        let message = format!(
            "The update failed for all features since the following feature had an error: {}",
            error.message.unwrap_or_default()
        );
        return UpdateFeaturesResponse::default()
            .with_error_code(error.code.code())
            .with_error_message(Some(StrBytes::from_string(message)));
    }
    let results = request.feature_updates.iter().filter(|_| version < FIRST_VERSION_WITHOUT_RESULTS);
    let result = |update: &FeatureUpdateKey| {
        UpdatableFeatureResult::default()
            .with_feature(update.feature.clone())
            .with_error_message(Some(StrBytes::from_static_str(UPDATED)))
    };
    UpdateFeaturesResponse::default().with_error_message(None).with_results(results.map(result).collect())
}

/// The feature that is meant, and its level, if it may be changed so.
fn checked(
    update: &FeatureUpdateKey,
    version: i16,
    levels: &Features,
    node_id: i32,
) -> Result<(Feature, i16), ApiError> {
    let name = update.feature.as_str();
    let level = update.max_version_level;
    let refused = |why: &str| {
        let message = format!("Invalid update version {level} for feature {name}. {why}");
        Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message))
    };
    let kind = if version < FIRST_VERSION_WITH_TYPES { UPGRADE } else { update.upgrade_type };
    if !matches!(kind, UPGRADE | SAFE_DOWNGRADE | UNSAFE_DOWNGRADE) {
        return refused("The controller does not support the given upgrade type.");
    }
    if level < 0 {
        return refused("A feature version cannot be less than 0.");
    }
    let Some(feature) = Feature::of_name(name) else {
        return match level {
            0 => refused(&format!("Feature {name} not found.")),
            _ => refused(&format!("Local controller {node_id} does not support this feature.")),
        };
    };
    if level > feature.max_level() {
        let max = feature.max_level();
        return refused(&format!("Local controller {node_id} only supports versions 0-{max}"));
    }
    let current = levels.level(feature);
    if level < current && kind == UPGRADE {
        return refused(
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.",
        );
    }
    if level > current && kind != UPGRADE {
        return refused("Can't downgrade to a newer version.");
    }
    Ok((feature, level))
}
