//! A listener, and the addresses that clients are told.

use std::net::SocketAddr;

use crate::config::SecurityProtocol;

/// A listener that is bound.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Kafka's listener name.
    pub name: String,
    /// How bytes travel on it.
    pub security_protocol: SecurityProtocol,
    /// The addresses that are really bound.
    pub bound: Vec<SocketAddr>,
    /// Host that Metadata and DescribeCluster give to clients of this listener.
    pub advertised_host: String,
    /// Port that they give.
    pub advertised_port: u16,
}
