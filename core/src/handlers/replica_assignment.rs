//! Manual replica assignments, as CreateTopics and CreatePartitions carry them, on a cluster of one broker.

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::BrokerId;

use crate::error::ApiError;

/// Checks the replicas of one partition in Kafka's order: the only list that passes names this broker, once.
///
/// # Errors
/// INVALID_REPLICA_ASSIGNMENT with Kafka's text.
pub(super) fn check(broker_ids: &[BrokerId], node: BrokerId) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    if broker_ids.is_empty() {
        return invalid("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut sorted: Vec<i32> = broker_ids.iter().map(|id| id.0).collect();
    sorted.sort_unstable();
    for (place, id) in sorted.iter().enumerate() {
        if *id != node.0 {
            return invalid(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if place > 0 {
            return invalid(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_broker_once() {
        let text = |ids: &[i32]| {
            let ids: Vec<_> = ids.iter().copied().map(BrokerId).collect();
            check(&ids, BrokerId(1)).err().map(|error| error.message.unwrap())
        };
        assert_eq!(text(&[1]), None);
        assert!(text(&[]).unwrap().ends_with("an empty replica list."));
        assert!(text(&[2]).unwrap().ends_with("broker 2, but no such broker is registered."));
        assert!(text(&[1, 0]).unwrap().ends_with("broker 0, but no such broker is registered."));
        assert!(text(&[1, 1]).unwrap().ends_with("the broker 1 more than once."));
    }
}
