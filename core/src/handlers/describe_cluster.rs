//! DescribeCluster (key 60), v0–2. KIP-700, KIP-919 (endpoint types), KIP-1073 (fenced brokers: there are none).
//!
//! There are no controller listeners, so a client that asks for controllers gets the error of a broker's listener.

use bytes::Bytes;
use fluxmq_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use fluxmq_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::authorized_operations;
use crate::meta::cluster::Node;
use crate::request::{Outcome, RequestContext};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Answers at once.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request = context.decode(body);
    context.outcome(request.map(|request| answer(&request, &Node::of(context))))
}

fn answer(request: &DescribeClusterRequest, node: &Node) -> DescribeClusterResponse {
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
            return refusal(ErrorCode::MismatchedEndpointType, StrBytes::from_static_str(message));
        }
        unknown => {
            let message = format!("Unsupported endpoint type {unknown}");
            return refusal(ErrorCode::UnsupportedEndpointType, StrBytes::from_string(message));
        }
    }
    let operations = if request.include_cluster_authorized_operations {
        authorized_operations::CLUSTER
    } else {
        authorized_operations::NOT_ASKED
    };
    let broker = DescribeClusterBroker::default()
        .with_broker_id(node.id)
        .with_host(node.host.clone())
        .with_port(node.port)
        .with_rack(node.rack.clone());
    DescribeClusterResponse::default()
        .with_cluster_id(node.cluster_id.clone())
        .with_controller_id(node.id)
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(operations)
}

fn refusal(error: ErrorCode, message: StrBytes) -> DescribeClusterResponse {
    DescribeClusterResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(message))
        .with_controller_id(BrokerId(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node {
            id: BrokerId(7),
            host: "h".into(),
            port: 9092,
            rack: Some("r".into()),
            cluster_id: "abc".into(),
        }
    }

    #[test]
    fn one_broker_that_is_the_controller() {
        let request = DescribeClusterRequest::default().with_endpoint_type(BROKERS);
        let response = answer(&request, &node());
        assert_eq!((response.error_code, response.controller_id), (0, BrokerId(7)));
        assert_eq!(response.cluster_id, StrBytes::from_static_str("abc"));
        assert_eq!(response.brokers.len(), 1);
        let broker = &response.brokers[0];
        assert_eq!((broker.broker_id, &*broker.host, broker.port), (BrokerId(7), "h", 9092));
        assert_eq!((broker.rack.as_deref(), broker.is_fenced), (Some("r"), false));
        assert_eq!(response.cluster_authorized_operations, i32::MIN);
        let response = answer(&request.with_include_cluster_authorized_operations(true), &node());
        assert_eq!(response.cluster_authorized_operations, 0b1_1111_1010_0000);
    }

    #[test]
    fn other_endpoint_types_are_refused() {
        for (endpoint_type, code, text) in [
            (
                2,
                114,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            ),
            (0, 115, "Unsupported endpoint type 0"),
            (-3, 115, "Unsupported endpoint type -3"),
        ] {
            let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
            let response = answer(&request, &node());
            assert_eq!(response.error_code, code);
            assert_eq!(response.error_message.as_deref(), Some(text));
            assert_eq!((response.brokers.len(), response.controller_id), (0, BrokerId(-1)));
        }
    }
}
