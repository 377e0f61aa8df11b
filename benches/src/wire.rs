//! Frames, and non-blocking connections that one thread serves.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::{
    ApiKey, CreateTopicsRequest, FindCoordinatorRequest, MetadataRequest, RequestHeader, ResponseHeader,
    TopicName,
};
use fluxmq_protocol::{Decodable, Encodable, Request, StrBytes};
use rustix::event::epoll;
use uuid::Uuid;

/// How long anything may take before the run fails.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Errors that go away: COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
pub const COORDINATOR_NOT_THERE: [i16; 3] = [14, 15, 16];
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// A string of the protocol.
pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// A request as it goes over the wire.
pub fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let key = ApiKey::try_from(R::KEY).expect("a known API");
    let mut bytes = vec![0; 4];
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("benches")))
        .encode(&mut bytes, key.request_header_version(version))
        .expect("a header");
    request.encode(&mut bytes, version).expect("every field fits the version");
    let length = u32::try_from(bytes.len() - 4).expect("a frame");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// The response in a frame without its length.
pub fn response<R: Request>(version: i16, frame: Vec<u8>) -> R::Response {
    let key = ApiKey::try_from(R::KEY).expect("a known API");
    let mut bytes = Bytes::from(frame);
    ResponseHeader::decode(&mut bytes, key.response_header_version(version)).expect("a header");
    R::Response::decode(&mut bytes, version).expect("a response")
}

/// Sends one request and waits for its answer.
pub fn call<R: Request>(stream: &mut TcpStream, version: i16, request: &R) -> R::Response {
    stream.write_all(&frame(version, request)).expect("a broker");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("an answer");
    response::<R>(version, answer)
}

/// Sends one request until it is answered with something else than that the coordinator isn't there.
pub fn call_coordinator<R: Request>(
    stream: &mut TcpStream,
    version: i16,
    request: &R,
    mut codes: impl FnMut(&R::Response) -> Vec<i16>,
) -> R::Response {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = call(stream, version, request);
        if !codes(&answer).iter().any(|code| COORDINATOR_NOT_THERE.contains(code)) {
            return answer;
        }
        assert!(Instant::now() < deadline, "the coordinator does not answer");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A connection to a broker that may be starting still.
pub fn connect(bootstrap: &str) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(stream) = TcpStream::connect(bootstrap) {
            stream.set_nodelay(true).expect("a socket option");
            return stream;
        }
        assert!(Instant::now() < deadline, "nobody listens on {bootstrap}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a coordinator is asked for.
#[derive(Clone, Copy, Debug)]
pub enum CoordinatorOf {
    /// Groups.
    Groups = 0,
    /// Transactional ids.
    Transactions = 1,
}

/// Creates a topic unless it is there, and waits until the coordinator is; returns the topic's id.
pub fn set_up(bootstrap: &str, topic: &str, partitions: i32, coordinator: CoordinatorOf) -> Uuid {
    let mut stream = connect(bootstrap);
    let wanted = CreatableTopic::default()
        .with_name(TopicName(text(topic)))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_timeout_ms(60_000).with_topics(vec![wanted]);
    let error = call(&mut stream, 5, &request).topics[0].error_code;
    assert!(error == 0 || error == TOPIC_ALREADY_EXISTS, "creating {topic}: error {error}");
    let find = FindCoordinatorRequest::default()
        .with_key_type(coordinator as i8)
        .with_coordinator_keys(vec![text("any")]);
    let found = call_coordinator(&mut stream, 4, &find, |found| vec![found.coordinators[0].error_code]);
    assert_eq!(found.coordinators[0].error_code, 0, "no coordinator");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = call(&mut stream, 12, &MetadataRequest::default().with_topics(None)).topics;
        let found = found.iter().find(|found| found.name.as_ref().is_some_and(|name| ***name == *topic));
        if let Some(found) = found.filter(|found| found.error_code == 0) {
            return found.topic_id;
        }
        assert!(Instant::now() < deadline, "{topic} is not there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
    received: Vec<u8>,
}

/// Connections to one broker, and what has arrived on them.
pub struct Connections {
    poll: OwnedFd,
    connections: Vec<Connection>,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
}

impl Connections {
    /// Opens `count` connections.
    pub fn open(bootstrap: &str, count: usize) -> Connections {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        let connections = (0..count).map(|index| {
            let stream = connect(bootstrap);
            stream.set_nonblocking(true).expect("a socket option");
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&poll, &stream, data, epoll::EventFlags::IN).expect("epoll");
            Connection { stream, unsent: Vec::new(), received: Vec::new() }
        });
        let connections = connections.collect();
        Connections { poll, connections, events: Vec::with_capacity(1024), buffer: vec![0; 256 << 10] }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.connections.len()
    }

    /// Sends a frame; what the socket doesn't take is kept.
    pub fn send(&mut self, index: usize, frame: &[u8]) {
        let connection = &mut self.connections[index];
        if !connection.unsent.is_empty() {
            connection.unsent.extend_from_slice(frame);
            return;
        }
        let sent = connection.write(frame);
        if sent < frame.len() {
            connection.unsent.extend_from_slice(&frame[sent..]);
            self.watch(index, epoll::EventFlags::IN | epoll::EventFlags::OUT);
        }
    }

    fn watch(&self, index: usize, flags: epoll::EventFlags) {
        let stream = &self.connections[index].stream;
        epoll::modify(&self.poll, stream, epoll::EventData::new_u64(index as u64), flags).expect("epoll");
    }

    /// Waits until something arrives, no longer than until `until`, and returns the frames that did, without their
    /// lengths, by connection.
    pub fn receive(&mut self, until: Instant) -> Vec<(usize, Vec<u8>)> {
        let wait = until.saturating_duration_since(Instant::now());
        let wait = rustix::event::Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        self.events.clear();
        let waited = epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut self.events), Some(&wait));
        assert!(matches!(waited, Ok(_) | Err(rustix::io::Errno::INTR)), "epoll: {waited:?}");
        let mut frames = Vec::new();
        for event in std::mem::take(&mut self.events) {
            let (index, flags) = (event.data.u64() as usize, event.flags);
            if flags.contains(epoll::EventFlags::OUT) {
                self.connections[index].flush();
                if self.connections[index].unsent.is_empty() {
                    self.watch(index, epoll::EventFlags::IN);
                }
            }
            self.connections[index].read(&mut self.buffer, |frame| frames.push((index, frame)));
        }
        self.events = Vec::with_capacity(1024);
        frames
    }
}

impl Connection {
    /// Writes what the socket takes, and says how much that was.
    fn write(&self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match (&self.stream).write(&bytes[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the broker closed a connection: {error}"),
            }
        }
        written
    }

    fn flush(&mut self) {
        let sent = self.write(&self.unsent);
        self.unsent.drain(..sent);
    }

    fn read(&mut self, buffer: &mut [u8], mut on_frame: impl FnMut(Vec<u8>)) {
        match self.stream.read(buffer) {
            Ok(0) => panic!("the broker closed a connection"),
            Ok(read) => self.received.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the broker closed a connection: {error}"),
        }
        let mut at = 0;
        while let Some(length) = self.received[at..].first_chunk::<4>() {
            let end = at + 4 + u32::from_be_bytes(*length) as usize;
            if end > self.received.len() {
                break;
            }
            on_frame(self.received[at + 4..end].to_vec());
            at = end;
        }
        self.received.drain(..at);
    }
}
