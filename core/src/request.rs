//! What a handler is given with a request, and what it answers with.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fluxmq_protocol::messages::ApiKey;
use fluxmq_protocol::{Decodable, Encodable, StrBytes, decode, parts};

use crate::broker::Broker;
use crate::net::listener::Listener;

/// A complete response frame: the length, the header and the body, with slices of segment files in between.
pub type Response = parts::Parts<fluxmq_storage::slice::Slice>;

/// A response that is not ready yet. It must end by its own deadline.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// An outcome that is not ready yet.
pub type OutcomeFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a handler did with a request.
pub enum Outcome {
    /// The complete response.
    Ready(Response),
    /// Everything that has an order is done and the future only waits (acks=all, a long poll). It is polled once it is
    /// at the head of the connection's responses; later frames of the connection are handled meanwhile.
    Wait {
        /// The answer.
        response: ResponseFuture,
        /// What the answer takes in memory while it waits, which counts against the connection's bound.
        held_bytes: usize,
    },
    /// The next frame of this connection must not be looked at before the future has ended (work on disk,
    /// recompression). It is polled at once, also while earlier responses are waiting.
    Exclusive(ResponseFuture),
    /// As `Exclusive`, for work whose end is one of the other outcomes: a wait, no answer, a close.
    ExclusiveThen(OutcomeFuture),
    /// acks=0 that succeeded: nothing is sent.
    NoResponse,
    /// The connection is closed without a response, as Kafka does.
    Close(CloseReason),
}

impl Outcome {
    /// A wait that holds next to nothing.
    pub fn wait(response: impl Future<Output = Response> + Send + 'static) -> Self {
        Outcome::wait_holding(0, response)
    }

    /// A wait whose answer is made already, or rests on what is.
    pub fn wait_holding(
        held_bytes: usize,
        response: impl Future<Output = Response> + Send + 'static,
    ) -> Self {
        Outcome::Wait { response: Box::pin(response), held_bytes }
    }
}

/// Why a connection was closed by the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The frame, its header or its body cannot be read as the API and version it claims.
    Malformed(String),
    /// An API or version that is not served.
    UnsupportedVersion {
        /// The key on the wire.
        api_key: i16,
        /// The version on the wire.
        api_version: i16,
    },
    /// A produce request with acks=0 failed; closing is the only way to tell the client.
    AcksZeroFailed(String),
    /// The handler panicked.
    Panic,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Malformed(what) => write!(f, "malformed request: {what}"),
            CloseReason::UnsupportedVersion { api_key, api_version } => {
                write!(f, "API key {api_key} version {api_version} is not served")
            }
            CloseReason::AcksZeroFailed(what) => write!(f, "produce request with acks=0 failed: {what}"),
            CloseReason::Panic => f.write_str("the handler of the request panicked"),
        }
    }
}

/// What is known about a connection for as long as it lives.
pub struct ConnectionInfo {
    /// The broker that was connected to.
    pub broker: Arc<Broker>,
    /// Number of the connection, unique in this process.
    pub id: u64,
    /// Address of the client.
    pub peer: SocketAddr,
    /// Where the client connected.
    pub listener: Arc<Listener>,
}

/// A request's head, and where it came from. Cheap to clone into a future.
#[derive(Clone)]
pub struct RequestContext {
    /// The connection that the request came on.
    pub connection: Arc<ConnectionInfo>,
    /// The API.
    pub api_key: ApiKey,
    /// The version, within the table's range.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// The client's own name, a view into the frame: a future that outlives the handler copies it or drops it.
    pub client_id: Option<StrBytes>,
    /// When the last byte of the frame had arrived.
    pub received_at: Instant,
}

impl RequestContext {
    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.connection.broker
    }

    /// Address of the client.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.connection.peer
    }

    /// Where the client connected: Metadata answers with this listener's advertised address.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        &self.connection.listener
    }

    /// A copy for a future that outlives the handler: without the view into the frame.
    #[must_use]
    pub fn detached(&self) -> Self {
        RequestContext { client_id: None, ..self.clone() }
    }

    /// Decodes the request's body, bounds-checked before anything is allocated.
    ///
    /// # Errors
    /// [`CloseReason::Malformed`]: Kafka closes the connection of a client whose request cannot be parsed.
    pub fn decode<T: Decodable>(&self, body: Bytes) -> Result<T, CloseReason> {
        decode::decode(self.api_key, self.api_version, body).map_err(|error| {
            CloseReason::Malformed(format!("{:?} v{}: {error}", self.api_key, self.api_version))
        })
    }

    /// Encodes the response to this request.
    ///
    /// # Panics
    /// When the message holds something that the request's version cannot say: a fault of the handler. Dispatch
    /// catches it and closes the connection.
    #[must_use]
    pub fn respond<M: Encodable>(&self, message: &M) -> Response {
        parts::encode(self.api_key, self.api_version, self.correlation_id, message).unwrap_or_else(|error| {
            panic!("{:?} v{} response cannot be encoded: {error}", self.api_key, self.api_version)
        })
    }

    /// Shorthand for a request that failed to decode or was answered at once.
    pub fn outcome<M: Encodable>(&self, result: Result<M, CloseReason>) -> Outcome {
        match result {
            Ok(message) => Outcome::Ready(self.respond(&message)),
            Err(reason) => Outcome::Close(reason),
        }
    }
}

/// Does one request. Called in the order of the connection's frames, on a network thread: whatever may take over about
/// a millisecond goes to [`Broker::blocking`] inside an [`Outcome::Exclusive`] or [`Outcome::Wait`].
pub type Handler = fn(&RequestContext, Bytes) -> Outcome;
