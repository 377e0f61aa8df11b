//! A network thread: a current-thread runtime, and the connections that were dealt to it, one task each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::budget::BufferPool;
use super::connection::{self, Connection};
use super::listener::ConnectionPermit;
use super::writer::STAGING_BYTES;
use crate::broker::Broker;
use crate::request::ConnectionInfo;

/// One recv takes at most this much where small frames are expected.
pub const SCRATCH_BYTES: usize = 64 << 10;
/// How often connections are looked at for idleness, at the least.
const SWEEP_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// While the memory for requests is exhausted, a frame may take its sender this long.
const SLOW_FRAME: Duration = Duration::from_secs(30);

enum Command {
    Connection(TcpStream, ConnectionInfo, ConnectionPermit),
    Drain { until: Instant },
}

/// How the acceptor and the broker reach a network thread.
pub struct NetworkHandle {
    commands: mpsc::UnboundedSender<Command>,
}

impl NetworkHandle {
    /// Hands a connection over. After [`NetworkHandle::drain`] it is closed at once.
    pub fn deal(&self, stream: TcpStream, info: ConnectionInfo, permit: ConnectionPermit) {
        // Fails only when the thread has ended, and then dropping the stream closes it.
        let _ = self.commands.send(Command::Connection(stream, info, permit));
    }

    /// Has every connection answer what it has read, and close; then the thread ends. Clients that have not taken
    /// their answers by `until` are not waited for.
    pub fn drain(&self, until: Instant) {
        let _ = self.commands.send(Command::Drain { until });
    }
}

/// Starts network thread number `index`.
///
/// # Errors
/// When the system refuses the thread or the runtime's descriptors.
pub fn spawn(index: usize, broker: &Arc<Broker>) -> io::Result<(NetworkHandle, std::thread::JoinHandle<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let (commands, inbox) = mpsc::unbounded_channel();
    let broker = Arc::clone(broker);
    let thread = std::thread::Builder::new().name(format!("net-{index}")).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, serve(broker, inbox));
    })?;
    Ok((NetworkHandle { commands }, thread))
}

/// What the connections of one network thread share.
pub struct NetworkThread {
    /// Where small frames are received.
    pub scratch: Cell<BytesMut>,
    /// Where small parts of responses are gathered.
    pub staging: Cell<Vec<u8>>,
    /// Buffers of larger frames.
    pub pool: Arc<BufferPool>,
    /// Time since the thread began, as of the last sweep.
    coarse_now: Cell<Duration>,
    slots: RefCell<HashMap<u64, Rc<Slot>>>,
}

/// What the sweep knows about a connection.
#[derive(Default)]
pub struct Slot {
    last_active: Cell<Duration>,
    /// When the frame that is being received was begun.
    frame_begun: Cell<Option<Duration>>,
    order: Cell<Option<connection::Order>>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    /// What the thread wants of the connection, once.
    pub fn take_order(&self) -> Option<connection::Order> {
        self.order.take()
    }

    /// Remembers how to wake the connection's task.
    pub fn note_waker(&self, waker: &Waker) {
        let mut noted = self.waker.borrow_mut();
        if !noted.as_ref().is_some_and(|noted| noted.will_wake(waker)) {
            *noted = Some(waker.clone());
        }
    }

    /// Bytes went in or out.
    pub fn note_activity(&self, thread: &NetworkThread) {
        self.last_active.set(thread.coarse_now.get());
    }

    /// A frame larger than the scratch buffer begins, or has arrived.
    pub fn note_frame(&self, thread: &NetworkThread, receiving: bool) {
        self.frame_begun.set(receiving.then(|| thread.coarse_now.get()));
    }

    fn give(&self, order: connection::Order) {
        self.order.set(Some(order));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

async fn serve(broker: Arc<Broker>, mut inbox: mpsc::UnboundedReceiver<Command>) {
    let thread = Rc::new(NetworkThread {
        scratch: Cell::new(BytesMut::with_capacity(SCRATCH_BYTES)),
        staging: Cell::new(vec![0; STAGING_BYTES]),
        pool: BufferPool::new(Arc::clone(&broker.request_budget)),
        coarse_now: Cell::new(Duration::ZERO),
        slots: RefCell::default(),
    });
    let began = Instant::now();
    let max_idle = u64::try_from(broker.config.connections_max_idle_ms).ok().map(Duration::from_millis);
    let interval = max_idle
        .map_or(SWEEP_INTERVAL_MAX, |idle| (idle / 4).clamp(Duration::from_millis(10), SWEEP_INTERVAL_MAX));
    let mut sweep = tokio::time::interval(interval);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut drain_until = None;
    // With no connection left to drain, the last task's end is seen at the next sweep at the latest.
    loop {
        tokio::select! {
            // Connections that are dealt after that are closed with the inbox.
            command = inbox.recv(), if drain_until.is_none() => match command {
                Some(Command::Connection(stream, info, permit)) => open(&thread, stream, info, permit),
                command @ (Some(Command::Drain { .. }) | None) => {
                    drain_until = match command {
                        Some(Command::Drain { until }) => Some(until),
                        _ => Some(Instant::now()),
                    };
                    for slot in thread.slots.borrow().values() {
                        slot.give(connection::Order::Drain);
                    }
                    sweep = tokio::time::interval(Duration::from_millis(5));
                }
            },
            _ = sweep.tick() => {
                if let Some(until) = drain_until {
                    if thread.slots.borrow().is_empty() || Instant::now() >= until {
                        return;
                    }
                    continue;
                }
                thread.coarse_now.set(began.elapsed());
                thread.sweep(max_idle);
            }
        }
    }
}

fn open(thread: &Rc<NetworkThread>, stream: TcpStream, info: ConnectionInfo, permit: ConnectionPermit) {
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(peer = %info.peer, %error, "closed: the connection cannot be watched");
            return;
        }
    };
    let slot = Rc::new(Slot::default());
    slot.note_activity(thread);
    let registered = Registered { thread: Rc::clone(thread), id: info.id };
    thread.slots.borrow_mut().insert(info.id, Rc::clone(&slot));
    let thread = Rc::clone(thread);
    tokio::task::spawn_local(async move {
        let _held = (permit, registered);
        let mut connection = Box::new(Connection::new(stream, info, slot, thread));
        let end = std::future::poll_fn(|cx| connection.poll_run(cx)).await;
        connection.log_end(&end);
    });
}

/// A connection's place among those of its thread, given back however its task ends.
struct Registered {
    thread: Rc<NetworkThread>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.thread.slots.borrow_mut().remove(&self.id);
    }
}

impl NetworkThread {
    fn sweep(&self, max_idle: Option<Duration>) {
        let now = self.coarse_now.get();
        let exhausted = self.pool.budget().is_exhausted();
        for slot in self.slots.borrow().values() {
            if max_idle.is_some_and(|max_idle| now.saturating_sub(slot.last_active.get()) > max_idle) {
                slot.give(connection::Order::CloseIdle);
            } else if exhausted
                && slot.frame_begun.get().is_some_and(|begun| now.saturating_sub(begun) > SLOW_FRAME)
            {
                slot.give(connection::Order::CloseSlow);
            }
        }
        self.pool.trim();
    }
}
