//! `listeners`, `advertised.listeners` and `listener.security.protocol.map`.
//!
//! Where a listener takes every address of the machine and nothing says what to advertise, clients are told the
//! machine's host name if it resolves to an address that is not loopback, else the address from which the machine
//! reaches others. Kafka refuses `0.0.0.0` there.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use super::settings::{Origin, Settings};

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

/// `host:port` as it is written in an address: an IPv6 address in brackets.
#[must_use]
pub fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether `host` means this machine only.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether `host` means every address of the machine.
#[must_use]
pub fn is_wildcard(host: &str) -> bool {
    host.is_empty() || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

/// One `NAME://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.name, host_and_port(&self.host, self.port))
    }
}

impl Endpoint {
    /// Reads `NAME://host:port`; names are upper case from here on, as Kafka makes them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not NAME://host:port");
        let (name, address) = text.split_once("://").ok_or_else(wrong)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').map(|inside| inside.strip_suffix(']')) {
            Some(inside) => inside.ok_or_else(wrong)?,
            None => host,
        };
        if name.is_empty() || host.contains(['[', ']', '/', ' ']) {
            return Err(wrong());
        }
        let port = port.parse().map_err(|_| format!("{port} in {text} is not a port from 0 to 65535"))?;
        Ok(Endpoint { name: name.to_uppercase(), host: host.to_owned(), port })
    }
}

/// A fault in one of the listener keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListenerFault {
    pub(super) key: &'static str,
    pub(super) reason: String,
    pub(super) allowed: &'static str,
}

const LISTENERS: &str = "listeners";
const ADVERTISED: &str = "advertised.listeners";
const PROTOCOL_MAP: &str = "listener.security.protocol.map";
const ENDPOINTS: &str = "a list of NAME://host:port";
const PROTOCOLS: &str = "a list of NAME:PLAINTEXT";

/// What the listener keys say, read but not yet put together.
pub(super) struct ListenerKeys<'a> {
    pub(super) listeners: &'a [String],
    pub(super) advertised: &'a [String],
    pub(super) protocol_map: &'a str,
    pub(super) controller_names: &'a [String],
}

/// Reads the endpoints of the list in `key`.
pub(super) fn endpoints(key: &'static str, list: &[String]) -> Result<Vec<Endpoint>, ListenerFault> {
    list.iter()
        .filter(|text| !text.is_empty())
        .map(|text| Endpoint::parse(text).map_err(|reason| ListenerFault { key, reason, allowed: ENDPOINTS }))
        .collect()
}

/// Puts the listener keys together: the client listeners, in their order, each with what clients are told.
/// `machine_host` is asked for this machine's name only where it is needed.
pub(super) fn resolve(
    keys: &ListenerKeys<'_>,
    machine_host: impl Fn() -> String,
) -> Result<Vec<ListenerConfig>, ListenerFault> {
    let fault = |key, reason: String, allowed| Err(ListenerFault { key, reason, allowed });
    let is_controller = |endpoint: &Endpoint| {
        keys.controller_names.iter().any(|name| name.eq_ignore_ascii_case(&endpoint.name))
    };
    let protocols = protocol_map(keys.protocol_map)?;
    let mut endpoints_to_open = endpoints(LISTENERS, keys.listeners)?;
    endpoints_to_open.retain(|endpoint| !is_controller(endpoint));
    let mut advertised = endpoints(ADVERTISED, keys.advertised)?;
    advertised.retain(|endpoint| !is_controller(endpoint));

    if endpoints_to_open.is_empty() {
        return fault(LISTENERS, "no listener is left for clients".into(), ENDPOINTS);
    }
    for (index, endpoint) in endpoints_to_open.iter().enumerate() {
        for other in &endpoints_to_open[..index] {
            if other.name == endpoint.name {
                return fault(LISTENERS, format!("{} is there twice", other.name), "each name once");
            }
            if other.port == endpoint.port && other.port != 0 && other.host == endpoint.host {
                let reason = format!("{other} and {endpoint} have one address");
                return fault(LISTENERS, reason, "each address once");
            }
        }
    }
    for endpoint in &advertised {
        if !endpoints_to_open.iter().any(|open| open.name == endpoint.name) {
            let reason = format!("{} is not in listeners", endpoint.name);
            return fault(ADVERTISED, reason, "names that are in listeners");
        }
        if is_wildcard(&endpoint.host) && !endpoint.host.is_empty() {
            let reason = format!("clients cannot connect to {}", endpoint.host);
            return fault(ADVERTISED, reason, "a host name or address that clients can reach");
        }
    }

    let mut listeners = Vec::with_capacity(endpoints_to_open.len());
    for endpoint in endpoints_to_open {
        match protocols.get(&endpoint.name).map(String::as_str) {
            Some("PLAINTEXT") => {}
            Some(protocol) => {
                let reason = format!("{endpoint} needs {protocol}, which is not served yet");
                return fault(LISTENERS, reason, "listeners whose security protocol is PLAINTEXT");
            }
            None => {
                let reason = format!("{} has no security protocol", endpoint.name);
                return fault(PROTOCOL_MAP, reason, PROTOCOLS);
            }
        }
        let told = advertised.iter().find(|told| told.name == endpoint.name);
        let host = told.map_or(endpoint.host.as_str(), |told| told.host.as_str());
        listeners.push(ListenerConfig {
            advertised_host: if is_wildcard(host) { machine_host() } else { host.to_owned() },
            advertised_port: told.map_or(endpoint.port, |told| told.port),
            name: endpoint.name,
            security_protocol: SecurityProtocol::Plaintext,
            host: endpoint.host,
            port: endpoint.port,
        });
    }
    Ok(listeners)
}

/// Fills in what follows from other settings: listeners that are not set follow from the advertised ones, and
/// `host` and `port`, where they are given, take the place of the first client listener's. What that listener
/// advertises follows its port, unless the advertised addresses were given on the command line. Settings that cannot be
/// read are left alone: they are refused later, with their origin.
pub fn complete(settings: &mut Settings, host: Option<&str>, port: Option<u16>) {
    let list = |settings: &Settings, key: &'static str| -> Option<Vec<Endpoint>> {
        let items: Vec<String> = settings.text(key)?.split(',').map(|item| item.trim().to_owned()).collect();
        endpoints(key, &items).ok()
    };
    let joined = |list: &[Endpoint]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let advertised = list(settings, ADVERTISED).filter(|list| !list.is_empty());
    let advertised_origin = settings.get(ADVERTISED).map(|setting| setting.origin.clone());
    let from_flag = matches!(advertised_origin, Some(Origin::Flag(_)));

    if let (None, Some(advertised), Some(origin)) = (settings.get(LISTENERS), &advertised, &advertised_origin)
    {
        // Kafka's containers listen on every address, since the port is published from outside.
        let in_container = matches!(origin, Origin::Environment(_));
        let opened: Vec<Endpoint> = advertised
            .iter()
            .map(|told| {
                let host =
                    if is_loopback(&told.host) && !in_container { told.host.clone() } else { String::new() };
                Endpoint { host, ..told.clone() }
            })
            .collect();
        settings.set(LISTENERS, joined(&opened), origin.clone());
    }
    if host.is_none() && port.is_none() {
        return;
    }
    let opened = match settings.get(LISTENERS) {
        Some(_) => list(settings, LISTENERS),
        None => Some(vec![Endpoint { name: "PLAINTEXT".into(), host: "localhost".into(), port: 9092 }]),
    };
    let controllers = settings.text("controller.listener.names").unwrap_or_default().to_uppercase();
    let is_client = |endpoint: &&mut Endpoint| {
        !controllers.split(',').any(|controller| controller.trim() == endpoint.name)
    };
    let Some(mut opened) = opened else { return };
    let Some(first) = opened.iter_mut().find(is_client) else { return };
    let (name, old_port) = (first.name.clone(), first.port);
    if let Some(host) = host {
        host.clone_into(&mut first.host);
    }
    first.port = port.unwrap_or(old_port);
    let new_port = first.port;
    let flag = if port.is_some() { "--port" } else { "--host" };
    settings.set(LISTENERS, joined(&opened), Origin::Flag(flag));
    if let (Some(mut advertised), Some(origin), false) = (advertised, advertised_origin, from_flag) {
        for told in advertised.iter_mut().filter(|told| told.name == name && told.port == old_port) {
            told.port = new_port;
        }
        settings.set(ADVERTISED, joined(&advertised), origin);
    }
}

fn protocol_map(text: &str) -> Result<HashMap<String, String>, ListenerFault> {
    let fault = |reason| ListenerFault { key: PROTOCOL_MAP, reason, allowed: PROTOCOLS };
    let mut protocols = HashMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, protocol) =
            entry.rsplit_once(':').ok_or_else(|| fault(format!("{entry} is not NAME:PROTOCOL")))?;
        let protocol = protocol.trim().to_uppercase();
        if !["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(&protocol.as_str()) {
            return Err(fault(format!("{protocol} is no security protocol")));
        }
        protocols.insert(name.trim().to_uppercase(), protocol);
    }
    Ok(protocols)
}

/// A name or address by which other machines may reach this one; `localhost` when there is none.
pub(super) fn machine_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let reachable = |address: SocketAddr| !address.ip().is_loopback() && !address.ip().is_unspecified();
    if !name.is_empty() && (name, 0).to_socket_addrs().is_ok_and(|mut found| found.any(reachable)) {
        return name.to_owned();
    }
    outgoing_address().map_or_else(|| "localhost".to_owned(), |address| address.to_string())
}

/// The address that a packet to another network would leave from. Nothing is sent: connecting a datagram socket only
/// picks the route.
fn outgoing_address() -> Option<IpAddr> {
    let pick = |bind: &str, to: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback() && !address.is_unspecified()).then_some(address)
    };
    pick("0.0.0.0:0", "192.0.2.1:9").or_else(|| pick("[::]:0", "[2001:db8::1]:9"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str =
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT";

    fn resolved(listeners: &str, advertised: &str) -> Result<Vec<String>, String> {
        let list = |text: &str| text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
        let keys = ListenerKeys {
            listeners: &list(listeners),
            advertised: &list(advertised),
            protocol_map: MAP,
            controller_names: &["CONTROLLER".into()],
        };
        let shown = |listener: &ListenerConfig| {
            let bind = host_and_port(&listener.host, listener.port);
            let told = host_and_port(&listener.advertised_host, listener.advertised_port);
            format!("{} {bind} {told}", listener.name)
        };
        resolve(&keys, || "machine".into())
            .map(|found| found.iter().map(shown).collect())
            .map_err(|fault| format!("{}: {}", fault.key, fault.reason))
    }

    #[test]
    fn listeners_and_what_clients_are_told() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("PLAINTEXT://localhost:9092", "", &["PLAINTEXT localhost:9092 localhost:9092"]),
            ("plaintext://[::1]:9092", "", &["PLAINTEXT [::1]:9092 [::1]:9092"]),
            ("PLAINTEXT://:9092", "", &["PLAINTEXT :9092 machine:9092"]),
            ("PLAINTEXT://0.0.0.0:9092", "", &["PLAINTEXT 0.0.0.0:9092 machine:9092"]),
            ("PLAINTEXT://[::]:9092", "", &["PLAINTEXT [::]:9092 machine:9092"]),
            ("PLAINTEXT://127.0.0.1:0", "", &["PLAINTEXT 127.0.0.1:0 127.0.0.1:0"]),
            (
                "PLAINTEXT://:9092,CONTROLLER://:9093",
                "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
                &["PLAINTEXT :9092 localhost:9092"],
            ),
            (
                "CONTROLLER://:29093, HOST://:9092, PLAINTEXT://:19092",
                "HOST://localhost:9092,PLAINTEXT://broker:19092",
                &["HOST :9092 localhost:9092", "PLAINTEXT :19092 broker:19092"],
            ),
            (
                "PLAINTEXT://127.0.0.1:9092,HOST://[::1]:9092",
                "HOST://[2001:db8::7]:1",
                &["PLAINTEXT 127.0.0.1:9092 127.0.0.1:9092", "HOST [::1]:9092 [2001:db8::7]:1"],
            ),
        ];
        for (listeners, advertised, expected) in cases {
            assert_eq!(resolved(listeners, advertised).unwrap(), *expected, "{listeners} {advertised}");
        }
    }

    #[test]
    fn faults_name_the_key_and_the_endpoint() {
        let cases = [
            ("localhost:9092", "", "listeners: localhost:9092 is not NAME://host:port"),
            ("PLAINTEXT://localhost", "", "listeners: PLAINTEXT://localhost is not NAME://host:port"),
            (
                "PLAINTEXT://x:99999",
                "",
                "listeners: 99999 in PLAINTEXT://x:99999 is not a port from 0 to 65535",
            ),
            ("PLAINTEXT://[::1:9092", "", "listeners: PLAINTEXT://[::1:9092 is not NAME://host:port"),
            ("CONTROLLER://:9093", "", "listeners: no listener is left for clients"),
            ("", "", "listeners: no listener is left for clients"),
            ("PLAINTEXT://:1,PLAINTEXT://:2", "", "listeners: PLAINTEXT is there twice"),
            ("PLAINTEXT://:1,HOST://:1", "", "listeners: PLAINTEXT://:1 and HOST://:1 have one address"),
            ("SSL://:9093", "", "listeners: SSL://:9093 needs SSL, which is not served yet"),
            ("OTHER://:9093", "", "listener.security.protocol.map: OTHER has no security protocol"),
            ("PLAINTEXT://:1", "HOST://x:1", "advertised.listeners: HOST is not in listeners"),
            (
                "PLAINTEXT://:1",
                "PLAINTEXT://0.0.0.0:1",
                "advertised.listeners: clients cannot connect to 0.0.0.0",
            ),
        ];
        for (listeners, advertised, expected) in cases {
            assert_eq!(resolved(listeners, advertised).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_machine_has_a_name_or_address_that_is_no_wildcard() {
        assert!(!is_wildcard(&machine_host()));
    }

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
