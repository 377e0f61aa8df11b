//! The broker: what every request can reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::blocking::BlockingPool;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::coordination::GroupCoordinator;
use crate::coordination::transactions::TransactionCoordinator;
use crate::handlers::fetch_session::FetchSessions;
use crate::meta::Metadata;
use crate::metrics::Metrics;
use crate::net::budget::RequestBudget;
use crate::net::listener::{ConnectionLimits, Listener};
use crate::net::violations::Violations;
use crate::partitions::PartitionManager;
use crate::partitions::producer_ids::ProducerIds;
use crate::served_api::ServedApi;

/// What every request can reach. One per process, or one per test.
pub struct Broker {
    /// What the broker was told at start.
    pub config: Arc<BrokerConfig>,
    /// The cluster's id, as `meta.properties` has it: 22 characters.
    pub cluster_id: String,
    /// Topics, their ids, settings and leader epochs.
    pub metadata: Arc<Metadata>,
    /// The partitions that this broker leads.
    pub partitions: Arc<PartitionManager>,
    /// Coordinates the groups.
    pub groups: Arc<GroupCoordinator>,
    /// Coordinates the transactions.
    pub transactions: Arc<TransactionCoordinator>,
    /// Ids for idempotent and transactional producers.
    pub producer_ids: Arc<ProducerIds>,
    /// The wall clock.
    pub clock: Clock,
    /// Where clients connect.
    pub listeners: Vec<Arc<Listener>>,
    /// Runs what may take long.
    pub blocking: BlockingPool,
    /// Memory that requests may hold.
    pub request_budget: Arc<RequestBudget>,
    /// `max.connections` and `max.connections.per.ip`.
    pub connection_limits: Arc<ConnectionLimits>,
    /// The log lines about clients that break the rules.
    pub violations: Violations,
    /// The APIs that are served, in the order of the dispatch table.
    pub apis: Box<[ServedApi]>,
    /// What is counted.
    pub metrics: Metrics,
    /// Incremental fetch sessions.
    pub fetch_sessions: FetchSessions,
    /// Starting, ready or stopping.
    pub lifecycle: Lifecycle,
}

/// Whether requests are taken.
#[derive(Default)]
pub struct Lifecycle(AtomicU8);

impl Lifecycle {
    const READY: u8 = 1;
    const STOPPING: u8 = 2;

    /// Logs are recovered and connections are accepted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::READY
    }

    /// The broker stops: a request that only waits answers with what it has. Every connection is woken to see it.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::STOPPING
    }

    /// Requests are taken from now on.
    pub(crate) fn set_ready(&self) {
        self.0.store(Self::READY, Ordering::SeqCst);
    }

    /// The stop has begun.
    pub(crate) fn set_stopping(&self) {
        self.0.store(Self::STOPPING, Ordering::SeqCst);
    }
}
