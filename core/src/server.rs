//! A broker's start and its stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::blocking::BlockingPool;
use crate::broker::{Broker, Lifecycle};
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::coordination::GroupCoordinator;
use crate::coordination::transactions::TransactionCoordinator;
use crate::handlers::fetch_session::FetchSessions;
use crate::log_cleaner::LogCleaner;
use crate::maintenance::Maintenance;
use crate::metrics::{Metrics, throughput};
use crate::net::acceptor;
use crate::net::budget::RequestBudget;
use crate::net::listener::{self, BindError, ConnectionLimits, Listener};
use crate::net::thread::{self, NetworkHandle};
use crate::net::violations::Violations;
use crate::open_data::{self, OpenDataError};
use crate::partitions::producer_ids::ProducerIds;
use crate::{dispatch, http};

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The data directory cannot be opened.
    #[error(transparent)]
    Data(#[from] OpenDataError),
    /// The system refused a thread, a directory or a descriptor.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
}

/// Why a broker did not stop cleanly. Its logs are recovered at the next start.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The shutdown timeout has passed.
    #[error("the broker did not stop within {0:?}")]
    Timeout(Duration),
    /// A thread of the broker panicked.
    #[error("a thread of the broker panicked")]
    Panic,
}

/// A broker that runs.
pub struct BrokerHandle {
    broker: Arc<Broker>,
    http_addr: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    control: JoinHandle<()>,
}

/// A stop waits this long, or half of its timeout, for clients to take their answers; the rest is for the logs.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Threads of the blocking pool.
const BLOCKING_THREADS: usize = 16;

/// Starts a broker and returns once it accepts connections.
///
/// # Errors
/// See [`StartError`].
pub fn start(config: BrokerConfig) -> Result<BrokerHandle, StartError> {
    let io_error = |what| move |error| StartError::Io { what, error };
    raise_descriptor_limit();
    let config = Arc::new(config);
    let mut listeners = Vec::new();
    let mut sockets = Vec::new();
    for listener in &config.listeners {
        let (listener, bound) = listener::bind(listener, &config)?;
        let listener = Arc::new(listener);
        sockets.extend(bound.into_iter().map(|socket| (socket, Arc::clone(&listener))));
        listeners.push(listener);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("blocking")
        .build()
        .map_err(io_error("the runtime cannot be built"))?;
    let (started, to_run) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let handle = runtime.handle().clone();
    let http = config.http_listener.as_deref().and_then(http::bind);
    let http_addr = http.as_ref().and_then(|listener| listener.local_addr().ok());
    let control = std::thread::Builder::new()
        .name("control".into())
        .spawn(move || runtime.block_on(control(http, to_run, stopped)))
        .map_err(io_error("the control thread cannot be started"))?;
    let clock = Clock::default();
    let (metadata, partitions) = open_data::open_data(&config, &clock)?;
    let (metadata, partitions) = (Arc::new(metadata), Arc::new(partitions));
    let maintenance = Maintenance::start(Arc::clone(&partitions), &config, clock.clone())
        .map_err(io_error("the maintenance thread cannot be started"))?;
    let cleaner = LogCleaner::start(Arc::clone(&partitions), &config, clock.clone())
        .map_err(io_error("a thread of the log cleaner cannot be started"))?;
    let blocking = BlockingPool::new(handle);
    let groups = GroupCoordinator::start(
        &config,
        Arc::clone(&metadata),
        Arc::clone(&partitions),
        clock.clone(),
        blocking.clone(),
    );
    let producer_ids = Arc::new(ProducerIds::default());
    let transactions = TransactionCoordinator::start(&config, &groups, &producer_ids);
    let broker = Arc::new(Broker {
        cluster_id: partitions.cluster_id().to_owned(),
        metadata,
        partitions,
        groups,
        transactions,
        producer_ids,
        clock,
        listeners,
        blocking,
        request_budget: RequestBudget::new(config.queued_max_request_bytes),
        connection_limits: ConnectionLimits::new(&config),
        violations: Violations::default(),
        metrics: Metrics::of_apis(dispatch::TABLE.len()),
        apis: dispatch::served().collect(),
        fetch_sessions: FetchSessions::new(
            usize::try_from(config.max_incremental_fetch_session_cache_slots).unwrap_or(0),
        ),
        lifecycle: Lifecycle::default(),
        config,
    });
    let (handles, threads): (Vec<NetworkHandle>, Vec<_>) = (0..broker.config.num_network_threads.max(1))
        .map(|index| thread::spawn(index, &broker))
        .collect::<io::Result<Vec<_>>>()
        .map_err(io_error("a network thread cannot be started"))?
        .into_iter()
        .unzip();
    broker.lifecycle.set_ready();
    let running = Control {
        broker: Arc::clone(&broker),
        handles: handles.into(),
        threads,
        sockets,
        maintenance,
        cleaner,
    };
    // Fails only when the control thread has panicked, which the stop will tell.
    let _ = started.send(running);
    Ok(BrokerHandle { broker, http_addr, stop, control })
}

impl BrokerHandle {
    /// The broker itself.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The first address that is bound.
    ///
    /// # Panics
    /// Never: a broker has a listener.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.broker.listeners[0].bound[0]
    }

    /// Where metrics and health are served, if they are.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// Stops: no new connections, answers to what was read, logs synced, the clean-shutdown mark.
    ///
    /// # Errors
    /// See [`StopError`].
    pub fn shutdown(self) -> Result<(), StopError> {
        let timeout = Duration::from_millis(self.broker.config.shutdown_timeout_ms);
        let deadline = Instant::now() + timeout;
        let _ = self.stop.send(());
        while !self.control.is_finished() {
            if Instant::now() >= deadline {
                return Err(StopError::Timeout(timeout));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.control.join().map_err(|_| StopError::Panic)
    }
}

/// Runs everything that is not on the way of a record. Ends when the broker has stopped, or did not start.
async fn control(
    http: Option<TcpListener>,
    to_run: oneshot::Receiver<Control>,
    stopped: oneshot::Receiver<()>,
) {
    let started = http::StartedBroker::default();
    let mut tasks = JoinSet::new();
    if let Some(listener) = http {
        tasks.spawn(http::serve(listener, Arc::clone(&started)));
    }
    if let Ok(control) = to_run.await {
        let _ = started.set(Arc::clone(&control.broker));
        control.run(tasks, stopped).await;
    }
}

/// What the control thread needs once the broker has started.
struct Control {
    broker: Arc<Broker>,
    handles: Arc<[NetworkHandle]>,
    threads: Vec<JoinHandle<()>>,
    maintenance: Maintenance,
    cleaner: LogCleaner,
    sockets: Vec<(TcpListener, Arc<Listener>)>,
}

impl Control {
    async fn run(self, mut tasks: JoinSet<()>, stopped: oneshot::Receiver<()>) {
        for (socket, listener) in self.sockets {
            match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => {
                    let (broker, handles) = (Arc::clone(&self.broker), Arc::clone(&self.handles));
                    tasks.spawn(acceptor::accept(socket, listener, broker, handles));
                }
                Err(error) => tracing::error!(listener = listener.name, %error, "cannot accept"),
            }
        }
        let interval = Duration::from_millis(self.broker.config.throughput_log_interval_ms);
        if !interval.is_zero() {
            tasks.spawn(throughput::log_throughput(Arc::clone(&self.broker), interval));
        }
        tasks.spawn(Arc::clone(&self.broker.groups).run_timers());
        tasks.spawn(Arc::clone(&self.broker.transactions).run_timers());
        tasks.spawn(Arc::clone(&self.broker.transactions).run_markers());
        let _ = stopped.await;
        self.broker.lifecycle.set_stopping();
        // Before the connections are drained: they would wait for groups to be complete.
        self.broker.transactions.stop();
        self.broker.groups.stop();
        tasks.shutdown().await;
        let timeout = Duration::from_millis(self.broker.config.shutdown_timeout_ms);
        let until = Instant::now() + (timeout / 2).min(DRAIN_MAX);
        for handle in self.handles.iter() {
            handle.drain(until);
        }
        for thread in self.threads {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        let (broker, maintenance, cleaner) = (self.broker, self.maintenance, self.cleaner);
        let closed = tokio::task::spawn_blocking(move || {
            cleaner.stop();
            maintenance.stop();
            broker.partitions.shut_down()
        });
        let closed = closed.await;
        if let Ok(Err(error)) = closed {
            tracing::error!(%error, "not a clean shutdown: the next start recovers the logs");
        }
    }
}

/// Every connection and every segment takes a descriptor, and the soft limit is 1,024 on many machines.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit on open files stays as it is");
        }
    }
}
