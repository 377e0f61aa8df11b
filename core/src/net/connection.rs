//! One connection: frames in, requests dispatched in their order, responses out in the same order.
//!
//! Everything is one task. A frame's ordered work is done when its handler returns; waits (acks=all, long polls) stand
//! in a queue and are polled only at its head. Reading pauses while the queue or the memory of requests is full, and
//! while a request must be alone. A connection that waits for its next frame holds no buffer.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, BufMut, Bytes};
use fluxmq_protocol::frame;
use fluxmq_protocol::messages::ApiKey;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::budget::{Charge, FrameBuffer};
use super::thread::{NetworkThread, SCRATCH_BYTES, Slot};
use super::writer::Writer;
use crate::dispatch;
use crate::request::{CloseReason, ConnectionInfo, Outcome, OutcomeFuture, Response, ResponseFuture};

/// Responses that a connection may have waiting.
const MAX_PENDING: usize = 256;
/// Memory that the waiting responses of a connection may take before reading pauses. A single response may be larger.
const MAX_PENDING_BYTES: usize = 1 << 20;
/// What one connection may receive before the others of its thread have their turn.
const TURN_BYTES: usize = 2 << 20;
const PREFIX_BYTES: usize = 4;

/// What the network thread wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Read no more, answer what was read, close.
    Drain,
    /// Close: nothing came or went for `connections.max.idle.ms`.
    CloseIdle,
    /// Close: a large frame took too long while the memory for requests was exhausted.
    CloseSlow,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The client closed it.
    Client,
    /// The socket failed.
    Io(io::Error),
    /// The records of a response could not be read: what was sent of it is a fragment.
    Unsendable(io::Error),
    /// The broker stops.
    Drained,
    /// `connections.max.idle.ms`.
    Idle,
    /// See [`Order::CloseSlow`].
    Slow,
    /// Closed because of a request.
    Refused(CloseReason),
}

enum PendingState {
    Ready(Response),
    Wait(ResponseFuture),
    Exclusive { future: OutcomeFuture, _charge: Charge },
}

struct Pending {
    state: PendingState,
    /// Row of the API in the dispatch table.
    row: usize,
    received_at: Instant,
    memory_bytes: usize,
}

/// Where the next bytes go.
enum Reading {
    /// Between two frames, or inside the length prefix: so many bytes of it are there.
    Prefix { have: usize, bytes: [u8; PREFIX_BYTES] },
    /// Inside a frame that did not come with one recv.
    Body(FrameBuffer),
}

const BETWEEN_FRAMES: Reading = Reading::Prefix { have: 0, bytes: [0; PREFIX_BYTES] };

/// A connection and its state.
pub struct Connection {
    stream: TcpStream,
    info: Arc<ConnectionInfo>,
    slot: Rc<Slot>,
    thread: Rc<NetworkThread>,
    reading: Reading,
    /// The last frame did not fit the scratch buffer: the next one is probably as large, and only its prefix is read
    /// before its buffer is there.
    expects_large: bool,
    /// Received, not yet looked at: reading was paused.
    unread: Bytes,
    waits_for_memory: bool,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    exclusive: bool,
    /// The head of the queue was not looked at, since the writer has enough to send.
    held_back: bool,
    writer: Writer,
    /// The client has closed its sending side.
    read_closed: bool,
    /// Nothing can be sent any more; what was received is handled all the same.
    write_failed: bool,
    /// Set once nothing more is read; the connection closes when what is pending has been sent.
    ending: Option<End>,
}

enum Progress {
    Made,
    Waiting,
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(stream: TcpStream, info: ConnectionInfo, slot: Rc<Slot>, thread: Rc<NetworkThread>) -> Self {
        Connection {
            stream,
            info: Arc::new(info),
            slot,
            thread,
            reading: BETWEEN_FRAMES,
            expects_large: false,
            unread: Bytes::new(),
            waits_for_memory: false,
            pending: VecDeque::new(),
            pending_bytes: 0,
            exclusive: false,
            held_back: false,
            writer: Writer::default(),
            read_closed: false,
            write_failed: false,
            ending: None,
        }
    }

    /// Goes on until nothing can be done without the client, the disk or another thread.
    pub fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.slot.note_waker(cx.waker());
        match self.slot.take_order() {
            Some(Order::CloseIdle) => return Poll::Ready(End::Idle),
            Some(Order::CloseSlow) => return Poll::Ready(End::Slow),
            Some(Order::Drain) => self.end(End::Drained),
            None => {}
        }
        let mut turn_bytes = TURN_BYTES;
        loop {
            self.poll_pending(cx);
            self.poll_write(cx);
            if self.held_back && self.writer_has_room() {
                continue;
            }
            if !self.may_read() {
                return self.poll_end();
            }
            if turn_bytes == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_read(cx, &mut turn_bytes) {
                Ok(Progress::Made) => {}
                Ok(Progress::Waiting) => return Poll::Pending,
                Err(error) => self.end(End::Io(error)),
            }
        }
    }

    fn end(&mut self, end: End) {
        if self.ending.is_none() {
            self.ending = Some(end);
        }
    }

    fn poll_end(&mut self) -> Poll<End> {
        match &self.ending {
            Some(End::Io(_) | End::Unsendable(_)) => {}
            Some(_) if self.pending.is_empty() && self.writer.is_empty() => {}
            _ => return Poll::Pending,
        }
        Poll::Ready(self.ending.take().unwrap_or(End::Client))
    }

    fn may_read(&self) -> bool {
        self.ending.is_none()
            && !self.exclusive
            && self.pending.len() < MAX_PENDING
            && self.pending_bytes + self.writer.memory_bytes() < MAX_PENDING_BYTES
    }

    fn writer_has_room(&self) -> bool {
        self.writer.memory_bytes() < MAX_PENDING_BYTES
    }

    /// Polls what must be alone, and the head of the queue; hands what is ready to the writer, as long as that has room.
    fn poll_pending(&mut self, cx: &mut Context<'_>) {
        self.held_back = false;
        if self.exclusive
            && let Some(last) = self.pending.back_mut()
            && let PendingState::Exclusive { future, .. } = &mut last.state
        {
            match poll_caught(future, cx) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(outcome)) => self.exclusive_ended(outcome, cx),
                Err(reason) => {
                    self.exclusive = false;
                    self.pending.pop_back();
                    self.panicked(reason);
                }
            }
        }
        loop {
            self.held_back = !self.pending.is_empty() && !self.writer_has_room();
            let Some(head) = self.pending.front_mut().filter(|_| !self.held_back) else { return };
            let response = match &mut head.state {
                PendingState::Exclusive { .. } => return,
                PendingState::Wait(future) => match poll_caught(future, cx) {
                    Ok(Poll::Pending) => return,
                    Ok(Poll::Ready(response)) => Some(response),
                    Err(reason) => {
                        // What comes after in the queue cannot be sent without this one.
                        self.pending.clear();
                        self.pending_bytes = 0;
                        self.exclusive = false;
                        return self.panicked(reason);
                    }
                },
                PendingState::Ready(_) => None,
            };
            let Some(head) = self.pending.pop_front() else { return };
            self.pending_bytes -= head.memory_bytes;
            let ((_, Some(response)) | (PendingState::Ready(response), None)) = (head.state, response) else {
                return;
            };
            self.info.broker.metrics.responded(head.row, head.received_at);
            if !self.write_failed {
                self.writer.push(response);
            }
        }
    }

    /// What had to be alone, the last of the queue, has ended.
    fn exclusive_ended(&mut self, outcome: Outcome, cx: &mut Context<'_>) {
        self.exclusive = false;
        let Some(last) = self.pending.back_mut() else { return };
        match outcome {
            Outcome::Ready(response) => {
                last.memory_bytes = response.memory_bytes();
                self.pending_bytes += last.memory_bytes;
                last.state = PendingState::Ready(response);
            }
            Outcome::Wait { response, held_bytes } => {
                last.memory_bytes = held_bytes;
                self.pending_bytes += held_bytes;
                last.state = PendingState::Wait(response);
            }
            Outcome::Exclusive(_) | Outcome::ExclusiveThen(_) => {
                if let PendingState::Exclusive { future, .. } = &mut last.state {
                    self.exclusive = true;
                    *future = exclusive_future(outcome);
                    cx.waker().wake_by_ref();
                }
            }
            Outcome::NoResponse => {
                self.info.broker.metrics.responded(last.row, last.received_at);
                self.pending.pop_back();
            }
            Outcome::Close(reason) => {
                self.pending.pop_back();
                self.end(End::Refused(reason));
            }
        }
    }

    fn panicked(&mut self, reason: CloseReason) {
        self.info.broker.metrics.panics.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.end(End::Refused(reason));
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) {
        if self.writer.is_empty() {
            return;
        }
        let mut staging = self.thread.staging.take();
        let flushed = self.writer.poll_flush(cx, &self.stream, &mut staging, &self.info.broker.blocking);
        self.thread.staging.set(staging);
        let sent_bytes = self.writer.take_sent_bytes();
        if sent_bytes > 0 {
            self.info.broker.metrics.bytes_out.fetch_add(sent_bytes, std::sync::atomic::Ordering::Relaxed);
            self.slot.note_activity(&self.thread);
        }
        if let Poll::Ready(Err(error)) = flushed {
            if !is_of_the_peer(&error) {
                self.end(End::Unsendable(error));
            }
            // The client reads no more, but what it sent before is in the socket and is read to its end.
            self.write_failed = true;
            self.writer.clear();
            self.pending.retain(|pending| matches!(pending.state, PendingState::Exclusive { .. }));
            self.pending_bytes = 0;
        }
    }

    /// Receives once and handles the frames that are complete.
    fn poll_read(&mut self, cx: &mut Context<'_>, turn_bytes: &mut usize) -> io::Result<Progress> {
        if self.waits_for_memory {
            let budget = self.thread.pool.budget();
            budget.wake_on_change(cx.waker());
            if budget.is_exhausted() && !self.grow_if_full() {
                return Ok(Progress::Waiting);
            }
            self.waits_for_memory = false;
        }
        if !self.unread.is_empty() {
            let unread = std::mem::take(&mut self.unread);
            self.take_frames(unread);
            return Ok(Progress::Made);
        }
        let received_bytes = match &mut self.reading {
            Reading::Body(buffer) => {
                if buffer.is_full() && !buffer.grow() {
                    self.waits_for_memory = true;
                    return Ok(Progress::Made);
                }
                let (bytes, room) = buffer.spare();
                poll_receive(&mut self.stream, cx, bytes.limit(room.min(*turn_bytes)))
            }
            Reading::Prefix { have, bytes } => {
                let mut scratch = self.thread.scratch.take();
                scratch.clear();
                scratch.reserve(SCRATCH_BYTES);
                scratch.put_slice(&bytes[..*have]);
                let room = if self.expects_large { PREFIX_BYTES } else { SCRATCH_BYTES } - *have;
                let received = poll_receive(&mut self.stream, cx, (&mut scratch).limit(room));
                let chunk = scratch.split().freeze();
                self.thread.scratch.set(scratch);
                if let Poll::Ready(Ok(received_bytes)) = received
                    && received_bytes > 0
                {
                    self.received(received_bytes, turn_bytes);
                    self.reading = BETWEEN_FRAMES;
                    self.take_frames(chunk);
                    return Ok(Progress::Made);
                }
                received
            }
        };
        match received_bytes {
            Poll::Pending => Ok(Progress::Waiting),
            Poll::Ready(Ok(0)) => {
                self.read_closed = true;
                // A client that has gone is not waited for until others let it be answered: a long poll, a group that is
                // not complete. What it produced is answered if it can be.
                self.pending.retain(|pending| {
                    !waits_for_others(dispatch::TABLE[pending.row].key)
                        || !matches!(pending.state, PendingState::Wait(_))
                });
                self.end(End::Client);
                Ok(Progress::Made)
            }
            Poll::Ready(Ok(received_bytes)) => {
                self.received(received_bytes, turn_bytes);
                if let Reading::Body(buffer) = &self.reading
                    && buffer.is_complete()
                    && let Reading::Body(buffer) = std::mem::replace(&mut self.reading, BETWEEN_FRAMES)
                {
                    self.slot.note_frame(&self.thread, false);
                    self.handle(buffer.into_bytes());
                }
                Ok(Progress::Made)
            }
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    fn received(&mut self, received_bytes: usize, turn_bytes: &mut usize) {
        *turn_bytes = turn_bytes.saturating_sub(received_bytes);
        self.slot.note_activity(&self.thread);
        self.info
            .broker
            .metrics
            .bytes_in
            .fetch_add(received_bytes as u64, std::sync::atomic::Ordering::Relaxed);
    }

    fn grow_if_full(&mut self) -> bool {
        if let Reading::Body(buffer) = &mut self.reading { buffer.is_full() && buffer.grow() } else { false }
    }

    /// Handles the frames that are complete in `chunk`; what follows them goes to `reading`, or to `unread` when
    /// reading must pause.
    fn take_frames(&mut self, mut chunk: Bytes) {
        while !chunk.is_empty() {
            if !self.may_read() {
                // A copy, so that a paused connection does not keep the whole scratch buffer.
                self.unread = Bytes::copy_from_slice(&chunk);
                return;
            }
            let Some(&prefix) = chunk.first_chunk::<PREFIX_BYTES>() else {
                let mut bytes = [0; PREFIX_BYTES];
                bytes[..chunk.len()].copy_from_slice(&chunk);
                self.reading = Reading::Prefix { have: chunk.len(), bytes };
                return;
            };
            let max_bytes = usize::try_from(self.info.broker.config.socket_request_max_bytes).unwrap_or(0);
            let frame_bytes = match frame::length(prefix, max_bytes) {
                Ok(frame_bytes) => frame_bytes,
                Err(error) => return self.end(End::Refused(CloseReason::Malformed(error.to_string()))),
            };
            if chunk.len() - PREFIX_BYTES < frame_bytes {
                let Some(mut buffer) = self.thread.pool.start(frame_bytes) else {
                    self.waits_for_memory = true;
                    self.unread = Bytes::copy_from_slice(&chunk);
                    return;
                };
                buffer.extend(&chunk[PREFIX_BYTES..]);
                self.expects_large = frame_bytes > SCRATCH_BYTES;
                self.slot.note_frame(&self.thread, true);
                self.reading = Reading::Body(buffer);
                return;
            }
            chunk.advance(PREFIX_BYTES);
            self.expects_large = false;
            self.handle(chunk.split_to(frame_bytes));
        }
    }

    /// Does the ordered part of one request.
    fn handle(&mut self, frame: Bytes) {
        let frame_bytes = frame.len();
        let received_at = Instant::now();
        let (row, outcome) = dispatch::request(&self.info, frame, received_at);
        let mut memory_bytes = 0;
        let state = match outcome {
            Outcome::Ready(response) => {
                memory_bytes = response.memory_bytes();
                PendingState::Ready(response)
            }
            Outcome::Wait { response, held_bytes } => {
                memory_bytes = held_bytes;
                PendingState::Wait(response)
            }
            Outcome::Exclusive(_) | Outcome::ExclusiveThen(_) => {
                let future = exclusive_future(outcome);
                self.exclusive = true;
                // The future may hold a view of the frame, and with it the scratch buffer.
                let held_bytes = frame_bytes.max(SCRATCH_BYTES);
                let _charge = Charge::forced(self.thread.pool.budget(), held_bytes);
                PendingState::Exclusive { future, _charge }
            }
            Outcome::NoResponse => return self.info.broker.metrics.responded(row, received_at),
            Outcome::Close(reason) => {
                if reason == CloseReason::Panic {
                    return self.panicked(reason);
                }
                return self.end(End::Refused(reason));
            }
        };
        if self.write_failed && !self.exclusive {
            return;
        }
        self.pending_bytes += memory_bytes;
        self.pending.push_back(Pending { state, row, received_at, memory_bytes });
    }

    /// One line for a connection that ended by a fault of either side.
    pub fn log_end(&self, end: &End) {
        let peer = self.info.peer;
        let violations = &self.info.broker.violations;
        match end {
            End::Client | End::Drained => tracing::debug!(%peer, ?end, "connection closed"),
            End::Io(error) => tracing::debug!(%peer, %error, "connection closed"),
            End::Unsendable(error) => {
                tracing::error!(%peer, %error, "closed: the records of a response cannot be read");
            }
            End::Idle => tracing::debug!(%peer, "closed: idle for connections.max.idle.ms"),
            End::Slow => violations.log(|| {
                tracing::info!(%peer, "closed: a slow frame while queued.max.request.bytes is used up");
            }),
            End::Refused(CloseReason::Panic) => {
                tracing::error!(%peer, "closed: the handler of a request panicked");
            }
            End::Refused(reason) => violations.log(|| tracing::info!(%peer, "closed: {reason}")),
        }
    }
}

fn poll_receive(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    mut into: impl BufMut,
) -> Poll<io::Result<usize>> {
    pin!(stream.read_buf(&mut into)).as_mut().poll(cx)
}

fn poll_caught<T>(
    future: &mut Pin<Box<dyn Future<Output = T> + Send>>,
    cx: &mut Context<'_>,
) -> Result<Poll<T>, CloseReason> {
    std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))).map_err(|_| CloseReason::Panic)
}

/// Whether a failed send speaks of the connection, and not of the file that was sent.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable,
        NotConnected, TimedOut,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | TimedOut
    )
}

/// Whether an answer of this API may wait for what other clients do.
fn waits_for_others(key: ApiKey) -> bool {
    matches!(key, ApiKey::Fetch | ApiKey::JoinGroup | ApiKey::SyncGroup)
}

/// The work of an outcome that must be alone.
fn exclusive_future(outcome: Outcome) -> OutcomeFuture {
    match outcome {
        Outcome::Exclusive(future) => Box::pin(async { Outcome::Ready(future.await) }),
        Outcome::ExclusiveThen(future) => future,
        other => Box::pin(std::future::ready(other)),
    }
}
