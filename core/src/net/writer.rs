//! Sends the responses of one connection: bytes from memory, slices of segment files by sendfile or, when small, by a
//! copy along with the bytes around them.
//!
//! A response that waits for its client holds its own bytes and open files only. Slices that are not in the page cache
//! are brought there by the blocking pool, so that a disk never holds a network thread.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use fluxmq_protocol::Part;
use fluxmq_storage::slice::Slice;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::blocking::BlockingPool;
use crate::request::Response;

/// Slices from this size on go by sendfile; below it a copy is cheaper.
pub const SENDFILE_MIN_BYTES: usize = 32 << 10;
/// What is gathered into one send.
pub const STAGING_BYTES: usize = 128 << 10;
/// Bytes in memory up to this size are gathered; larger ones are sent from where they lie.
const GATHER_MAX_BYTES: usize = 32 << 10;
/// How much of a slice is looked up in the page cache, and sent, at a time.
const WINDOW_BYTES: usize = 1 << 20;
/// How far apart the bytes are that a cold read touches.
const TOUCH_STEP_BYTES: usize = 64 << 10;
/// Room for so many parts is kept for the next responses.
const KEPT_PARTS: usize = 64;
/// What one connection may send before the others of its thread have their turn.
const TURN_BYTES: usize = 4 << 20;

/// What a part in the queue costs beside its bytes: its place, and what it keeps alive of its response.
const PART_MEMORY_BYTES: usize = 256;

/// What a connection has to send, in order.
#[derive(Default)]
pub struct Writer {
    queue: VecDeque<Part<Slice>>,
    /// What a send took only a part of.
    unsent: Bytes,
    /// Sent bytes of the slice at the head.
    head_sent: usize,
    /// Bytes of the slice at the head that are known to be in the page cache.
    head_resident: usize,
    warming: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    memory_bytes: usize,
    sent_bytes: u64,
}

impl Writer {
    /// Queues a response behind those before it.
    pub fn push(&mut self, response: Response) {
        for part in response {
            if let Part::Bytes(bytes) = &part {
                self.memory_bytes += bytes.len();
            }
            self.queue.push_back(part);
        }
    }

    /// Whether everything is with the socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.unsent.is_empty()
    }

    /// Memory that waits to be sent, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes + self.unsent.len() + self.queue.len() * PART_MEMORY_BYTES
    }

    /// Bytes sent since the last call.
    pub fn take_sent_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.sent_bytes)
    }

    /// Drops everything: the client will never read it.
    pub fn clear(&mut self) {
        *self = Writer { sent_bytes: self.sent_bytes, ..Writer::default() };
    }

    /// Sends until everything is sent, the socket is full or a cold slice must be waited for.
    ///
    /// # Errors
    /// What the socket says; `UnexpectedEof` when a slice is shorter than announced, after which nothing sensible can
    /// follow on the connection.
    pub fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &TcpStream,
        staging: &mut [u8],
        blocking: &BlockingPool,
    ) -> Poll<io::Result<()>> {
        let mut turn_bytes = TURN_BYTES;
        loop {
            if !self.unsent.is_empty() {
                let sent = ready!(poll_send(cx, stream, &self.unsent, false))?;
                self.unsent.advance(sent);
                self.sent_bytes += sent as u64;
                continue;
            }
            if let Some(warming) = &mut self.warming {
                ready!(warming.as_mut().poll(cx));
                self.warming = None;
            }
            let gathered_bytes = self.gather(staging, blocking)?;
            if gathered_bytes > 0 {
                let more = self.warming.is_none() && !self.queue.is_empty();
                let sent = match poll_send(cx, stream, &staging[..gathered_bytes], more) {
                    Poll::Ready(sent) => sent?,
                    Poll::Pending => 0,
                };
                self.sent_bytes += sent as u64;
                if sent < gathered_bytes {
                    self.unsent = Bytes::copy_from_slice(&staging[sent..gathered_bytes]);
                }
                turn_bytes = turn_bytes.saturating_sub(sent);
                if sent == 0 {
                    // The waker stands with the socket already, from the send that was not taken.
                    return Poll::Pending;
                }
                continue;
            }
            if self.warming.is_some() {
                continue;
            }
            let Some(head) = self.queue.front_mut() else {
                if self.queue.capacity() > KEPT_PARTS {
                    self.queue = VecDeque::new();
                }
                return Poll::Ready(Ok(()));
            };
            let sent = match head {
                Part::Bytes(bytes) => {
                    let sent = ready!(poll_send(cx, stream, bytes, false))?;
                    bytes.advance(sent);
                    self.memory_bytes -= sent;
                    if bytes.is_empty() {
                        self.queue.pop_front();
                    }
                    sent
                }
                Part::Slice { slice, .. } => {
                    let window_bytes = (self.head_resident - self.head_sent).min(WINDOW_BYTES);
                    let sent = ready!(poll_sendfile(cx, stream, slice, self.head_sent, window_bytes))?;
                    if sent == 0 {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    self.head_sent += sent;
                    if self.head_sent == slice.len() {
                        self.pop_slice();
                    }
                    sent
                }
            };
            self.sent_bytes += sent as u64;
            turn_bytes = turn_bytes.saturating_sub(sent);
            if turn_bytes == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Moves small parts from the queue into `staging`, and gives the bytes there. Stops before what goes out on its
    /// own, and before a slice that is not in the page cache, for which `warming` is set.
    fn gather(&mut self, staging: &mut [u8], blocking: &BlockingPool) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(head) = self.queue.front() {
            match head {
                Part::Bytes(bytes) => {
                    if bytes.len() > GATHER_MAX_BYTES || bytes.len() > staging.len() - filled {
                        break;
                    }
                    staging[filled..filled + bytes.len()].copy_from_slice(bytes);
                    filled += bytes.len();
                    self.memory_bytes -= bytes.len();
                    self.queue.pop_front();
                }
                Part::Slice { slice, .. } if slice.is_empty() => self.pop_slice(),
                Part::Slice { slice, .. } => {
                    let len = slice.len();
                    let is_small = len < SENDFILE_MIN_BYTES;
                    if is_small && len > staging.len() - filled {
                        break;
                    }
                    if self.head_resident <= self.head_sent {
                        // One call that tells whether the bytes are in the page cache and brings them.
                        if is_small && slice.read_cached(&mut staging[filled..filled + len]) {
                            filled += len;
                            self.pop_slice();
                            continue;
                        }
                        let until = (self.head_sent + WINDOW_BYTES).min(len);
                        let window = slice.part(self.head_sent as u32, (until - self.head_sent) as u32);
                        self.head_resident = until;
                        if !window.resident() {
                            self.warming = Some(Box::pin(blocking.run(move || touch(&window))));
                            break;
                        }
                    }
                    if !is_small {
                        break;
                    }
                    slice.read_at(&mut staging[filled..filled + len], 0)?;
                    filled += len;
                    self.pop_slice();
                }
            }
        }
        Ok(filled)
    }

    fn pop_slice(&mut self) {
        self.queue.pop_front();
        self.head_sent = 0;
        self.head_resident = 0;
    }
}

/// Brings a slice into the page cache. What fails here fails again, and is reported, when the slice is sent.
fn touch(slice: &Slice) {
    if let Some(file) = slice.file() {
        let len = std::num::NonZeroU64::new(slice.len() as u64);
        let _ = rustix::fs::fadvise(file.fd(), slice.position(), len, rustix::fs::Advice::WillNeed);
    }
    let mut byte = [0];
    for from in (0..slice.len()).step_by(TOUCH_STEP_BYTES).chain([slice.len() - 1]) {
        if slice.read_at(&mut byte, from).is_err() {
            return;
        }
    }
}

fn poll_send(cx: &mut Context<'_>, stream: &TcpStream, bytes: &[u8], more: bool) -> Poll<io::Result<usize>> {
    let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
    poll_write(cx, stream, || rustix::net::send(stream, bytes, flags).map_err(io::Error::from))
}

fn poll_sendfile(
    cx: &mut Context<'_>,
    stream: &TcpStream,
    slice: &Slice,
    from: usize,
    len: usize,
) -> Poll<io::Result<usize>> {
    let Some(file) = slice.file() else { return Poll::Ready(Ok(0)) };
    poll_write(cx, stream, || {
        let mut position = slice.position() + from as u64;
        rustix::fs::sendfile(stream, file.fd(), Some(&mut position), len).map_err(io::Error::from)
    })
}

fn poll_write(
    cx: &mut Context<'_>,
    stream: &TcpStream,
    mut write: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match stream.try_io(Interest::WRITABLE, &mut write) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_write_ready(cx))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}
