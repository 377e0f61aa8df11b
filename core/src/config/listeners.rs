//! `listeners`, `advertised.listeners` and `listener.security.protocol.map`.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// How bytes travel on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encryption nor authentication.
    Plaintext,
}

/// One place where the broker listens, and what clients are told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Kafka's listener name, upper case.
    pub name: String,
    /// How bytes travel on it.
    pub security_protocol: SecurityProtocol,
    /// Host name or address to bind; empty means every address of the machine. IPv6 without brackets.
    pub host: String,
    /// Port to bind; 0 lets the system choose.
    pub port: u16,
    /// Host that Metadata and DescribeCluster give to clients.
    pub advertised_host: String,
    /// Port that clients are given; 0 means the port that was really bound.
    pub advertised_port: u16,
}

impl ListenerConfig {
    /// The socket addresses to bind: one for an address or the wildcard, all that the name resolves to for a name
    /// (`localhost` is usually both `127.0.0.1` and `::1`). The wildcard is `[::]`, which also takes IPv4; a machine
    /// without IPv6 must fall back to `0.0.0.0`.
    ///
    /// # Errors
    /// The resolver's error when the name cannot be resolved.
    pub fn bind_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if self.host.is_empty() {
            return Ok(vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), self.port)]);
        }
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_and_addresses_bind_to_one_socket_each() {
        let listener = |host: &str| ListenerConfig {
            name: "PLAINTEXT".into(),
            security_protocol: SecurityProtocol::Plaintext,
            host: host.into(),
            port: 9092,
            advertised_host: "localhost".into(),
            advertised_port: 9092,
        };
        assert_eq!(listener("").bind_addresses().unwrap(), ["[::]:9092".parse().unwrap()]);
        assert_eq!(listener("::1").bind_addresses().unwrap(), ["[::1]:9092".parse().unwrap()]);
        assert_eq!(listener("127.0.0.1").bind_addresses().unwrap(), ["127.0.0.1:9092".parse().unwrap()]);
    }
}
