//! The cluster as a client sees it: one broker, which is the controller too.

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::BrokerId;

use crate::request::RequestContext;

/// What the broker tells a client about itself, on the listener where the client connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `node.id`.
    pub id: BrokerId,
    /// The listener's advertised host.
    pub host: StrBytes,
    /// The listener's advertised port.
    pub port: i32,
    /// `broker.rack`.
    pub rack: Option<StrBytes>,
    /// The cluster's id: 22 characters.
    pub cluster_id: StrBytes,
}

impl Node {
    /// This broker, as the request's client is told of it.
    pub fn of(context: &RequestContext) -> Self {
        let (broker, listener) = (context.broker(), context.listener());
        Self {
            id: BrokerId(broker.config.node_id),
            host: StrBytes::from_string(listener.advertised_host.clone()),
            port: i32::from(listener.advertised_port),
            rack: broker.config.broker_rack.clone().map(StrBytes::from_string),
            cluster_id: StrBytes::from_string(broker.cluster_id.clone()),
        }
    }
}
