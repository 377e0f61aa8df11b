//! Drives the group coordinator: one [`GroupShard`](fluxmq_coordinator::GroupShard) for each partition of `__consumer_offsets`, its turns, its log.
//!
//! A request is one turn of its group's shard: under the shard's lock the machine says which records it leaves, they
//! are appended as one batch and replayed into the shard; the answer leaves once the log is durable up to there.
//! Handlers call
//!
//! - [`GroupCoordinator::turn`] for a request of one group that is answered in its own turn,
//! - [`GroupCoordinator::exchange`] for JoinGroup and SyncGroup, whose answer may come from a later turn,
//! - [`GroupCoordinator::shard_of`] and [`GroupCoordinator::turn_at`] where a request names many groups, or all,
//! - [`GroupCoordinator::turn_in_transaction`] for offsets that a producer's transaction commits.
//!
//! They run on the network thread that read the request. What they give back says what the answer has to wait for:
//! see [`wait`]. Errors are the codes to answer with.

pub mod config;
mod load;
mod offsets_topic;
mod offsets_transactions;
mod settings;
mod shards;
#[cfg(test)]
mod tests;
mod timers;
mod topics;
pub mod transactions;
mod turn;
pub mod wait;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use fluxmq_coordinator::GroupCoordinatorConfig;
use fluxmq_protocol::{ErrorCode, StrBytes};
use parking_lot::Mutex;

use self::config::CoordinationConfig;
use self::settings::GroupOverrides;
use self::shards::Shards;
use self::timers::Alarm;
use crate::blocking::BlockingPool;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::meta::Metadata;
use crate::partitions::PartitionManager;

/// The topic that groups and their offsets are kept in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The group coordinator of this broker, which coordinates every group.
pub struct GroupCoordinator {
    /// What the machines are told.
    machine_config: Arc<GroupCoordinatorConfig>,
    config: CoordinationConfig,
    broker_config: Arc<BrokerConfig>,
    metadata: Arc<Metadata>,
    partitions: Arc<PartitionManager>,
    clock: Clock,
    blocking: BlockingPool,
    overrides: GroupOverrides,
    /// The shards of the topic as it is; none while there is no topic.
    shards: ArcSwapOption<Shards>,
    /// The image of the topics that `shards` was last held against.
    followed_version: AtomicI64,
    /// Held while `shards` is replaced.
    following: Mutex<()>,
    next_token: AtomicU64,
    alarm: Alarm,
    stopped: AtomicBool,
    /// What is counted.
    pub stats: Stats,
}

/// Counters of the coordinator.
#[derive(Debug, Default)]
pub struct Stats {
    /// Turns of shards.
    pub turns: AtomicU64,
    /// Time in turns, their appends included, in nanoseconds.
    pub turn_time_ns: AtomicU64,
    /// Records that turns have left.
    pub records: AtomicU64,
    /// How long the last load took that read a record, in milliseconds.
    pub load_ms: AtomicU64,
}

impl GroupCoordinator {
    /// A coordinator of the groups in the topics of `metadata`. What is stored of them is being read when this
    /// returns.
    #[must_use]
    pub fn start(
        config: &Arc<BrokerConfig>,
        metadata: Arc<Metadata>,
        partitions: Arc<PartitionManager>,
        clock: Clock,
        blocking: BlockingPool,
    ) -> Arc<Self> {
        let coordinator = Arc::new(GroupCoordinator {
            machine_config: Arc::new(config::machine_config(config)),
            config: CoordinationConfig::of(config),
            broker_config: Arc::clone(config),
            overrides: GroupOverrides::new(Arc::clone(&metadata), config),
            metadata,
            partitions,
            clock,
            blocking,
            shards: ArcSwapOption::empty(),
            followed_version: AtomicI64::new(-1),
            following: Mutex::default(),
            next_token: AtomicU64::new(0),
            alarm: Alarm::default(),
            stopped: AtomicBool::new(false),
            stats: Stats::default(),
        });
        coordinator.follow();
        coordinator
    }

    /// The number of the shard that `group_id` belongs to.
    ///
    /// # Errors
    /// What to answer: the topic of the groups does not exist, or the broker stops.
    pub fn shard_of(self: &Arc<Self>, group_id: &str) -> Result<usize, ErrorCode> {
        Ok(self.current()?.of_group(group_id))
    }

    /// How many shards there are; 0 while the topic of the groups does not exist.
    pub fn shard_count(self: &Arc<Self>) -> usize {
        self.current().map_or(0, |shards| shards.len())
    }

    /// How many groups the shards hold that can be asked now.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.shards.load().as_ref().map_or(0, |shards| shards.group_count())
    }

    /// Whether ConsumerGroupHeartbeat is served: `group.coordinator.rebalance.protocols`.
    #[must_use]
    pub fn serves_consumer_groups(&self) -> bool {
        self.machine_config.consumer_groups_enabled
    }

    /// Whether the coordinator of transactions is asked before a transaction commits its first offsets to a partition:
    /// `transaction.partition.verification.enable`.
    #[must_use]
    pub fn verifies_transactions(&self) -> bool {
        self.config.verifies_transactions
    }

    /// Whether shards are being read, so that some groups are answered with COORDINATOR_LOAD_IN_PROGRESS.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.shards.load().as_ref().is_some_and(|shards| shards.is_loading())
    }

    /// Tells the shards that topics were deleted: what is committed for them goes. A load that is under way keeps it, as
    /// does a crash: then it goes when it expires.
    pub fn topics_deleted(self: &Arc<Self>, names: &[StrBytes]) {
        if names.is_empty() {
            return;
        }
        let told = |index| self.turn_at(index, |shard, turn| shard.topics_deleted(turn, names)).is_ok();
        let missed = (0..self.shard_count()).filter(|index| !told(*index)).count();
        if missed > 0 {
            tracing::warn!(missed, "shards keep what is committed for deleted topics until it expires");
        }
    }

    /// Ends the coordinator before the partitions are closed: requests that wait are answered with NOT_COORDINATOR,
    /// later ones with COORDINATOR_NOT_AVAILABLE.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _following = self.following.lock();
        if let Some(shards) = self.shards.swap(None) {
            shards.unload();
        }
    }
}
