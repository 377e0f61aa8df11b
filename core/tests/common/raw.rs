//! A client that sends one request at a time, of any version, and decodes the answer of that version.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
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

    /// Sends the request and decodes its answer, which must have no byte left over.
    pub(crate) fn call<Q: Request>(&mut self, version: i16, request: &Q) -> Q::Response {
        self.send(version, request);
        self.receive::<Q>(version)
    }

    /// Sends every request before it reads the first answer.
    #[allow(dead_code)] // not every test needs it
    pub(crate) fn call_all<Q: Request>(&mut self, version: i16, requests: &[Q]) -> Vec<Q::Response> {
        let first = self.correlation_id;
        for request in requests {
            self.send(version, request);
        }
        self.correlation_id = first;
        requests
            .iter()
            .map(|_| {
                self.correlation_id += 1;
                self.receive::<Q>(version)
            })
            .collect()
    }

    /// Whether the broker closes the connection without another byte.
    #[allow(dead_code)] // not every test needs it
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Sends the request alone.
    pub(crate) fn send<Q: Request>(&mut self, version: i16, request: &Q) {
        self.correlation_id += 1;
        let mut frame = vec![0; 4];
        RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("raw")))
            .encode(&mut frame, Q::header_version(version))
            .unwrap();
        request.encode(&mut frame, version).unwrap();
        let len_bytes = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&len_bytes.to_be_bytes());
        self.stream.write_all(&frame).unwrap();
    }

    /// Reads the answer to the request sent last.
    pub(crate) fn receive<Q: Request>(&mut self, version: i16) -> Q::Response {
        let key = ApiKey::try_from(Q::KEY).unwrap();
        let mut len_bytes = [0; 4];
        self.stream.read_exact(&mut len_bytes).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(len_bytes) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        let mut rest = bytes::Bytes::from(frame);
        let header = ResponseHeader::decode(&mut rest, key.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id, "{key:?} v{version}");
        let response = Q::Response::decode(&mut rest, version)
            .unwrap_or_else(|error| panic!("{key:?} v{version} answer: {error}"));
        assert!(rest.is_empty(), "{key:?} v{version}: {} bytes left over", rest.len());
        response
    }
}
