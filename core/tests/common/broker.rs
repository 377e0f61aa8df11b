//! A broker inside the test, and raw frames to it.

#![allow(clippy::unwrap_used, unreachable_pub)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxmq::config::{BrokerConfig, TopicConfig};
use fluxmq::meta::NewTopic;
use fluxmq::meta::topics::Topic;
use fluxmq::server::{self, BrokerHandle};
use fluxmq_protocol::messages::{ApiKey, RequestHeader};
use fluxmq_protocol::{Decodable, Encodable, StrBytes};

/// A broker over a directory that is kept, once its coordinators have read what is there.
pub fn start(directory: &tempfile::TempDir) -> BrokerHandle {
    let handle = server::start(BrokerConfig::for_tests(directory.path())).unwrap();
    let broker = handle.broker();
    let deadline = Instant::now() + Duration::from_secs(20);
    while broker.groups.is_loading() || broker.transactions.is_loading() {
        assert!(Instant::now() < deadline, "groups or transactions are not read");
        std::thread::sleep(Duration::from_millis(1));
    }
    handle
}

/// A broker with its data in a directory of its own.
pub struct TestBroker {
    pub handle: BrokerHandle,
    pub dir: tempfile::TempDir,
}

impl TestBroker {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig::for_tests(dir.path());
        change(&mut config);
        TestBroker { handle: server::start(config).unwrap(), dir }
    }

    pub fn create_topic(&self, name: &'static str, partitions: i32, config: TopicConfig) -> Arc<Topic> {
        let broker = self.handle.broker();
        let topic = NewTopic {
            name: StrBytes::from_static_str(name),
            partition_count: partitions,
            overrides: BTreeMap::new(),
            config: Arc::new(config),
        };
        broker.metadata.create_topics(&broker.partitions, vec![topic]).remove(0).unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.handle.addr())
    }
}

/// A connection that speaks frames.
pub struct Client {
    pub stream: TcpStream,
    next_correlation_id: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, next_correlation_id: 0 }
    }

    /// Sends a request, and gives its correlation id.
    pub fn send(&mut self, key: ApiKey, version: i16, body: &impl Encodable) -> i32 {
        self.next_correlation_id += 1;
        self.stream.write_all(&request(key, version, self.next_correlation_id, body)).unwrap();
        self.next_correlation_id
    }

    /// Receives the response to the request with that id.
    pub fn receive<R: Decodable>(&mut self, key: ApiKey, version: i16, correlation_id: i32) -> R {
        let payload = self.receive_payload();
        assert_eq!(i32::from_be_bytes(payload[..4].try_into().unwrap()), correlation_id);
        let mut body = &payload[4..];
        if key.response_header_version(version) >= 1 {
            assert_eq!(body[0], 0, "no tagged fields in the header");
            body = &body[1..];
        }
        let response = R::decode(&mut body, version).unwrap();
        assert!(body.is_empty(), "{} bytes behind the response", body.len());
        response
    }

    pub fn call<R: Decodable>(&mut self, key: ApiKey, version: i16, body: &impl Encodable) -> R {
        let correlation_id = self.send(key, version, body);
        self.receive(key, version, correlation_id)
    }

    pub fn receive_payload(&mut self) -> Vec<u8> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).unwrap();
        let mut payload = vec![0; u32::from_be_bytes(prefix) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        payload
    }

    /// Whether the broker has closed the connection, or does so before the read times out.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A frame around a payload.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[..], payload].concat()
}

/// A request frame.
pub fn request(key: ApiKey, version: i16, correlation_id: i32, body: &impl Encodable) -> Vec<u8> {
    let mut payload = Vec::new();
    RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("raw-frames")))
        .encode(&mut payload, key.request_header_version(version))
        .unwrap();
    body.encode(&mut payload, version).unwrap();
    frame(&payload)
}
