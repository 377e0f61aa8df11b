//! What Kafka checks of a ConsumerGroupHeartbeat before it looks at the group.

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::ConsumerGroupHeartbeatRequest;

use super::error::ConsumerGroupError;
use super::member::{JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH};
use crate::config::{Assignor, GroupCoordinatorConfig};

/// The first version whose members make their ids themselves (KIP-1082).
const FIRST_CLIENT_MADE_ID_VERSION: i16 = 1;

/// Checks a request.
///
/// # Errors
/// [`ConsumerGroupError::InvalidRequest`] or [`ConsumerGroupError::UnsupportedAssignor`].
pub(super) fn check_heartbeat(
    config: &GroupCoordinatorConfig,
    request: &ConsumerGroupHeartbeatRequest,
    api_version: i16,
) -> Result<(), ConsumerGroupError> {
    let epoch = request.member_epoch;
    if api_version >= FIRST_CLIENT_MADE_ID_VERSION || epoch > JOIN_EPOCH || epoch == LEAVE_EPOCH {
        not_blank(Some(&request.member_id), "MemberId can't be empty.")?;
    }
    not_blank(Some(&request.group_id), "GroupId can't be empty.")?;
    not_blank(request.instance_id.as_ref(), "InstanceId can't be empty.")?;
    not_blank(request.rack_id.as_ref(), "RackId can't be empty.")?;
    if epoch == JOIN_EPOCH {
        require(request.rebalance_timeout_ms != -1, "RebalanceTimeoutMs must be provided in first request.")?;
        let owns_nothing = request.topic_partitions.as_ref().is_some_and(Vec::is_empty);
        require(owns_nothing, "TopicPartitions must be empty when (re-)joining.")?;
        require(
            request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some(),
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        )?;
    } else if epoch == STATIC_LEAVE_EPOCH {
        require(request.instance_id.is_some(), "InstanceId can't be null.")?;
    }
    require(epoch >= STATIC_LEAVE_EPOCH, "MemberEpoch is invalid.")?;
    match &request.server_assignor {
        Some(given) if !is_supported(config, given) => {
            let supported: Vec<&str> =
                config.consumer_assignors.iter().map(|assignor| assignor.name()).collect();
            let supported = supported.join(", ");
            Err(ConsumerGroupError::UnsupportedAssignor { given: given.clone(), supported })
        }
        _ => Ok(()),
    }
}

fn is_supported(config: &GroupCoordinatorConfig, name: &str) -> bool {
    Assignor::from_name(name).is_some_and(|assignor| config.consumer_assignors.contains(&assignor))
}

fn require(holds: bool, message: &'static str) -> Result<(), ConsumerGroupError> {
    if holds { Ok(()) } else { Err(ConsumerGroupError::InvalidRequest(message)) }
}

/// Blank as Java's `trim` sees it: nothing but characters up to the space.
fn not_blank(text: Option<&StrBytes>, message: &'static str) -> Result<(), ConsumerGroupError> {
    require(text.is_none_or(|text| text.chars().any(|character| character > ' ')), message)
}
