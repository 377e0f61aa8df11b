//! A client of raw frames, of any version: it sends what it is told, valid or not, and sees what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use fluxmq_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use fluxmq_protocol::{Decodable, Encodable, Request, StrBytes};

/// A connection for raw requests.
pub(crate) struct RawClient {
    stream: TcpStream,
    correlation_id: i32,
}

impl RawClient {
    /// Connects; every read gives up after a while.
    pub(crate) fn connect(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation_id: 0 }
    }

    /// The address that the broker sees as its peer.
    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// The socket itself.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends the request and decodes its answer, which must have no byte left over.
    pub(crate) fn call<Q: Request>(&mut self, version: i16, request: &Q) -> Q::Response {
        self.send(version, request);
        self.receive::<Q>(version)
    }

    /// Sends every request before it reads the first answer.
    pub(crate) fn call_all<Q: Request>(&mut self, version: i16, requests: &[Q]) -> Vec<Q::Response> {
        let sent: Vec<_> = requests.iter().map(|request| self.send(version, request)).collect();
        sent.into_iter().map(|correlation_id| self.receive_to::<Q>(version, correlation_id)).collect()
    }

    /// Whether the broker closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.receive_frame().is_none()
    }

    /// Sends the request alone, and returns its correlation id.
    pub(crate) fn send<Q: Request>(&mut self, version: i16, request: &Q) -> i32 {
        self.correlation_id += 1;
        let mut body = Vec::new();
        request.encode(&mut body, version).unwrap();
        let key = ApiKey::try_from(Q::KEY).unwrap();
        self.stream.write_all(&frame(key, version, self.correlation_id, &body)).unwrap();
        self.correlation_id
    }

    /// Sends bytes as they are. A broker that has closed the connection already is no error.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            assert!(is_closed(error.kind()), "{error}");
        }
    }

    /// Reads the answer to the request sent last.
    pub(crate) fn receive<Q: Request>(&mut self, version: i16) -> Q::Response {
        self.receive_to::<Q>(version, self.correlation_id)
    }

    /// Reads the next answer, which must be to the request with this correlation id.
    pub(crate) fn receive_to<Q: Request>(&mut self, version: i16, correlation_id: i32) -> Q::Response {
        let key = ApiKey::try_from(Q::KEY).unwrap();
        let frame = self.receive_frame();
        let frame = frame.unwrap_or_else(|| panic!("{key:?} v{version}: the connection was closed"));
        let mut rest = bytes::Bytes::from(frame);
        let header = ResponseHeader::decode(&mut rest, key.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, correlation_id, "{key:?} v{version}");
        let response = Q::Response::decode(&mut rest, version)
            .unwrap_or_else(|error| panic!("{key:?} v{version} answer: {error}"));
        assert!(rest.is_empty(), "{key:?} v{version}: {} bytes left over", rest.len());
        response
    }

    /// The next frame without its length, or none where the broker has closed the connection.
    pub(crate) fn receive_frame(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        if let Err(error) = self.stream.read_exact(&mut length) {
            let closed = error.kind() == ErrorKind::UnexpectedEof || is_closed(error.kind());
            assert!(closed, "neither an answer nor a close: {error}");
            return None;
        }
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        Some(frame)
    }
}

/// A complete frame around a body, valid or not.
pub(crate) fn frame(key: ApiKey, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("raw")))
        .encode(&mut payload, key.request_header_version(version))
        .unwrap();
    payload.extend_from_slice(body);
    with_length(&payload)
}

/// A payload with its length in front.
pub(crate) fn with_length(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_be_bytes()[..], payload].concat()
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}
