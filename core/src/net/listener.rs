//! Listeners: binding them, and the limits on connections.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::Notify;

use crate::config::{BrokerConfig, ListenerConfig, SecurityProtocol};

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

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host is no address and its name cannot be resolved.
    #[error("listener {name}: host {host:?} cannot be resolved: {error}")]
    Resolve {
        /// The listener.
        name: String,
        /// The host it was to listen on.
        host: String,
        /// The resolver's error.
        error: io::Error,
    },
    /// The address cannot be bound.
    #[error("listener {name}: cannot listen on {address}: {error}")]
    Bind {
        /// The listener.
        name: String,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
}

/// Binds a listener of the configuration. Connections queue up until an acceptor takes them.
///
/// # Errors
/// See [`BindError`].
pub fn bind(
    listener: &ListenerConfig,
    config: &BrokerConfig,
) -> Result<(Listener, Vec<std::net::TcpListener>), BindError> {
    let addresses = listener.bind_addresses().map_err(|error| BindError::Resolve {
        name: listener.name.clone(),
        host: listener.host.clone(),
        error,
    })?;
    let mut sockets = Vec::new();
    let mut bound = Vec::new();
    let mut port = listener.port;
    for mut address in addresses {
        // A port chosen by the system is the same for every address of one listener.
        address.set_port(port);
        let socket = match bind_socket(address, config) {
            // A machine without IPv6 still has the IPv4 half of the wildcard, and `localhost` without `::1`.
            Err(error) if is_without_ipv6(&error) && listener.host.is_empty() => {
                address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
                bind_socket(address, config)
            }
            Err(error) if is_without_ipv6(&error) && address.is_ipv6() && !sockets.is_empty() => continue,
            result => result,
        };
        let bind_error = |error| BindError::Bind { name: listener.name.clone(), address, error };
        let socket = socket.map_err(bind_error)?;
        let local = socket.local_addr().map_err(bind_error)?;
        port = local.port();
        bound.push(local);
        sockets.push(socket);
    }
    let advertised_port = if listener.advertised_port == 0 { port } else { listener.advertised_port };
    let listener = Listener {
        name: listener.name.clone(),
        security_protocol: listener.security_protocol,
        bound,
        advertised_host: listener.advertised_host.clone(),
        advertised_port,
    };
    Ok((listener, sockets))
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_socket(address: SocketAddr, config: &BrokerConfig) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let SocketAddr::V6(v6) = address {
        // The wildcard takes IPv4 too; a single IPv6 address has nothing to do with IPv4.
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    if let Ok(bytes) = usize::try_from(config.socket_receive_buffer_bytes) {
        // Before listen, so that the window of accepted connections is scaled for it.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(config.socket_listen_backlog_size)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// `max.connections` and `max.connections.per.ip`.
pub struct ConnectionLimits {
    max_connections: usize,
    per_ip_default: usize,
    per_ip_overrides: HashMap<IpAddr, usize>,
    /// Addresses are counted only when a limit for them was set.
    counts_ips: bool,
    open: AtomicUsize,
    opened: AtomicU64,
    by_ip: Mutex<HashMap<IpAddr, usize>>,
    closed: Notify,
}

/// A place among the connections, given back when dropped.
pub struct ConnectionPermit {
    limits: Arc<ConnectionLimits>,
    ip: Option<IpAddr>,
    /// Number of the connection.
    pub id: u64,
}

impl ConnectionLimits {
    /// The limits of the configuration.
    #[must_use]
    pub fn new(config: &BrokerConfig) -> Arc<Self> {
        let limit = |value: i32| usize::try_from(value).unwrap_or(0);
        let mut per_ip_overrides = HashMap::new();
        for (host, value) in &config.max_connections_per_ip_overrides {
            match (host.as_str(), 0).to_socket_addrs() {
                Ok(addresses) => {
                    per_ip_overrides.extend(addresses.map(|address| (address.ip(), limit(*value))));
                }
                Err(error) => {
                    tracing::warn!(%host, %error, "max.connections.per.ip.overrides: host cannot be resolved");
                }
            }
        }
        Arc::new(ConnectionLimits {
            max_connections: limit(config.max_connections),
            per_ip_default: limit(config.max_connections_per_ip),
            counts_ips: config.max_connections_per_ip != i32::MAX || !per_ip_overrides.is_empty(),
            per_ip_overrides,
            open: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            by_ip: Mutex::default(),
            closed: Notify::new(),
        })
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections opened since the start.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Waits while `max.connections` are open, as Kafka's acceptor does.
    pub(super) async fn wait_for_room(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open() < self.max_connections {
                return;
            }
            closed.await;
        }
    }

    /// A place for a connection from `ip`, or `None` when that address has its number already.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<ConnectionPermit> {
        if self.counts_ips {
            let limit = self.per_ip_overrides.get(&ip).copied().unwrap_or(self.per_ip_default);
            let mut by_ip = self.by_ip.lock();
            let count = by_ip.entry(ip).or_default();
            if *count >= limit {
                if *count == 0 {
                    by_ip.remove(&ip);
                }
                return None;
            }
            *count += 1;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let id = self.opened.fetch_add(1, Ordering::Relaxed);
        Some(ConnectionPermit { limits: Arc::clone(self), ip: self.counts_ips.then_some(ip), id })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(ip) = self.ip {
            let mut by_ip = self.limits.by_ip.lock();
            if let Some(count) = by_ip.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    by_ip.remove(&ip);
                }
            }
        }
        self.limits.open.fetch_sub(1, Ordering::Relaxed);
        self.limits.closed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(max_connections: i32, per_ip: i32) -> BrokerConfig {
        let mut config = BrokerConfig::for_tests(std::path::Path::new("/nonexistent"));
        config.max_connections = max_connections;
        config.max_connections_per_ip = per_ip;
        config
    }

    #[test]
    fn connections_per_ip_are_counted_and_given_back() {
        let mut config = config(i32::MAX, 2);
        config.max_connections_per_ip_overrides = vec![("127.0.0.2".into(), 0)];
        let limits = ConnectionLimits::new(&config);
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let first = limits.admit(ip).unwrap();
        let _second = limits.admit(ip).unwrap();
        assert!(limits.admit(ip).is_none());
        assert!(limits.admit("127.0.0.3".parse().unwrap()).is_some());
        assert!(limits.admit("127.0.0.2".parse().unwrap()).is_none());
        drop(first);
        assert!(limits.admit(ip).is_some());
    }

    #[tokio::test]
    async fn the_acceptor_waits_for_a_place() {
        let limits = ConnectionLimits::new(&config(1, i32::MAX));
        limits.wait_for_room().await;
        let permit = limits.admit("127.0.0.1".parse().unwrap()).unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(20), limits.wait_for_room());
        assert!(waiting.await.is_err());
        drop(permit);
        limits.wait_for_room().await;
        assert_eq!(limits.open(), 0);
        assert_eq!(limits.opened(), 1);
    }

    #[test]
    fn a_port_chosen_by_the_system_is_advertised() {
        let config = config(1, 1);
        let (listener, sockets) = bind(&config.listeners[0], &config).unwrap();
        assert_eq!(sockets.len(), 1);
        assert_ne!(listener.advertised_port, 0);
        assert_eq!(listener.bound[0].port(), listener.advertised_port);
        let mut taken = config.listeners[0].clone();
        taken.port = listener.advertised_port;
        assert!(matches!(bind(&taken, &config), Err(BindError::Bind { .. })));
    }
}
