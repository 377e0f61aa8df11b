//! The acceptor, which deals connections to the network threads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::listener::Listener;
use super::thread::NetworkHandle;
use crate::broker::Broker;
use crate::request::ConnectionInfo;

/// How long the acceptor rests after an error such as having no descriptors left.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections and deals them round-robin to `threads`, until the task is aborted.
pub async fn accept(
    socket: tokio::net::TcpListener,
    listener: Arc<Listener>,
    broker: Arc<Broker>,
    threads: Arc<[NetworkHandle]>,
) {
    let limits = &broker.connection_limits;
    loop {
        limits.wait_for_room().await;
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                broker.violations.log(|| tracing::warn!(listener = listener.name, %error, "cannot accept"));
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
                continue;
            }
        };
        // A client of IPv4 on a socket of IPv6 is known by its own address.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Some(permit) = limits.admit(peer.ip()) else {
            broker.violations.log(|| tracing::info!(%peer, "closed: max.connections.per.ip is reached"));
            continue;
        };
        // Fails when the client has gone already.
        let Ok(stream) = prepare(stream, broker.config.socket_send_buffer_bytes) else { continue };
        let thread = &threads[permit.id as usize % threads.len()];
        let info = ConnectionInfo {
            broker: Arc::clone(&broker),
            id: permit.id,
            peer,
            listener: Arc::clone(&listener),
        };
        thread.deal(stream, info, permit);
    }
}

fn prepare(stream: tokio::net::TcpStream, send_buffer_bytes: i32) -> io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(&stream);
    socket.set_keepalive(true)?;
    if let Ok(bytes) = usize::try_from(send_buffer_bytes) {
        socket.set_send_buffer_size(bytes)?;
    }
    stream.into_std()
}

/// Errors that speak of the connection that was to be accepted, not of the listener (see accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
