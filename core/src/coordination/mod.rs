//! Drives the coordinators: one machine for each partition of the topic that they are kept in, its turns, its log. For groups that
//! is a [`GroupShard`](fluxmq_coordinator::GroupShard) and `__consumer_offsets`, for transactions a
//! [`TransactionShard`](fluxmq_coordinator::TransactionShard) and `__transaction_state`; [`machine`] says what they have
//! in common, and [`transactions`] what happens when one ends.
//!
//! A request is one turn of its group's or transactional id's shard: under the shard's lock the machine says which records it leaves, they
//! are appended as one batch and replayed into the shard; the answer leaves once the log is durable up to there.
//! Handlers call
//!
//! - [`Coordinator::turn`] for a request of one id that is answered in its own turn,
//! - [`GroupCoordinator::exchange`] for JoinGroup and SyncGroup, whose answer may come from a later turn,
//! - [`Coordinator::shard_of`] and [`Coordinator::turn_at`] where a request names many, or all,
//! - [`GroupCoordinator::turn_in_transaction`] for offsets that a producer's transaction commits.
//!
//! They run on the network thread that read the request. What they give back says what the answer has to wait for:
//! see [`wait`]. Errors are the codes to answer with.

pub mod config;
mod groups;
mod internal_topic;
mod load;
pub mod machine;
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
use fluxmq_protocol::{ErrorCode, StrBytes};
use parking_lot::Mutex;

use self::config::CoordinationConfig;
use self::groups::Groups;
use self::machine::Machine;
use self::shards::Shards;
use self::timers::Alarm;
use crate::blocking::BlockingPool;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::meta::Metadata;
use crate::meta::features::Feature;
use crate::partitions::PartitionManager;

/// The topic that groups and their offsets are kept in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The group coordinator of this broker, which coordinates every group.
pub type GroupCoordinator = Coordinator<Groups>;

/// Drives the machines of one kind, one for each partition of their topic.
pub struct Coordinator<M: Machine> {
    /// What the machines are told.
    machine: M,
    config: CoordinationConfig,
    broker_config: Arc<BrokerConfig>,
    metadata: Arc<Metadata>,
    partitions: Arc<PartitionManager>,
    clock: Clock,
    blocking: BlockingPool,
    /// The shards of the topic as it is; none while there is no topic.
    shards: ArcSwapOption<Shards<M>>,
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

impl<M: Machine> Coordinator<M> {
    fn start_with(
        machine: M,
        config: CoordinationConfig,
        broker_config: &Arc<BrokerConfig>,
        metadata: Arc<Metadata>,
        partitions: Arc<PartitionManager>,
        clock: Clock,
        blocking: BlockingPool,
    ) -> Arc<Self> {
        let coordinator = Arc::new(Coordinator {
            machine,
            config,
            broker_config: Arc::clone(broker_config),
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

    /// The number of the shard that `id` belongs to: a group, or a transactional id.
    ///
    /// # Errors
    /// What to answer: the topic does not exist, or the broker stops.
    pub fn shard_of(self: &Arc<Self>, id: &str) -> Result<usize, ErrorCode> {
        Ok(self.current()?.of_id(id))
    }

    /// How many shards there are; 0 while the topic does not exist.
    pub fn shard_count(self: &Arc<Self>) -> usize {
        self.current().map_or(0, |shards| shards.len())
    }

    /// How many groups, or transactional ids, the shards hold that can be asked now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shards.load().as_ref().map_or(0, |shards| shards.count())
    }

    /// Whether shards are being read, so that some requests are answered with COORDINATOR_LOAD_IN_PROGRESS.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.shards.load().as_ref().is_some_and(|shards| shards.is_loading())
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
        let groups = Groups::new(config, &metadata);
        let driven = CoordinationConfig::of_groups(config);
        Self::start_with(groups, driven, config, metadata, partitions, clock, blocking)
    }

    /// Whether ConsumerGroupHeartbeat is served: `group.coordinator.rebalance.protocols`, and the feature `group.version`.
    #[must_use]
    pub fn serves_consumer_groups(&self) -> bool {
        self.machine.config.consumer_groups_enabled && self.metadata.features().level(Feature::Group) > 0
    }

    /// Whether the coordinator of transactions is asked before a transaction commits its first offsets to a partition:
    /// `transaction.partition.verification.enable`.
    #[must_use]
    pub fn verifies_transactions(&self) -> bool {
        self.machine.verifies_transactions
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
}
