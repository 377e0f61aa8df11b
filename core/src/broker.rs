//! The broker: what every request can reach, its start and its stop.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::meta::Metadata;
use crate::net::listener::Listener;
use crate::partitions::PartitionManager;

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
    /// The wall clock.
    pub clock: Clock,
    /// Where clients connect.
    pub listeners: Vec<Arc<Listener>>,
    /// Runs what may take long.
    pub blocking: BlockingPool,
}

/// A small pool of threads for whatever may hold a thread for more than about a millisecond: cold reads, work on
/// disk, recompression.
#[derive(Clone)]
pub struct BlockingPool {
    runtime: tokio::runtime::Handle,
}

impl BlockingPool {
    /// A pool on the blocking threads of `runtime`; their number was bounded when it was built.
    #[must_use]
    pub fn new(runtime: tokio::runtime::Handle) -> Self {
        BlockingPool { runtime }
    }

    /// Runs `work` on the pool. The future may be awaited on any thread.
    ///
    /// # Panics
    /// The future carries on a panic of `work`, and panics when the pool is gone.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let done = self.runtime.spawn_blocking(work);
        async move {
            match done.await {
                Ok(value) => value,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => panic!("the blocking pool is gone"),
                },
            }
        }
    }
}
