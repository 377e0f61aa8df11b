//! The machines of the transactions.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_coordinator::transactions::{LastProducers, MarkersToWrite, ProducerIds as FreshProducerIds};
use fluxmq_coordinator::{Now, TransactionCoordinatorConfig, TransactionShard, TransactionTurn};
use fluxmq_protocol::group_records::TooLong;
use fluxmq_protocol::transaction_records::{TransactionRecord, TransactionRecordError};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use super::ended::EndWaiters;
use super::markers::{Ending, WRITING_AT_ONCE};
use super::{TRANSACTIONS_TOPIC, TransactionCoordinator};
use crate::config::BrokerConfig;
use crate::coordination::GroupCoordinator;
use crate::coordination::config::{self, CoordinationConfig};
use crate::coordination::machine::{Left, Machine, Undecoded};
use crate::coordination::shards::Shards;
use crate::coordination::wait::DurableAt;
use crate::fail_point;
use crate::partitions::partition::Partition;
use crate::partitions::producer_ids::ProducerIds;

/// What the shards of transactions are told, and what they reach.
pub struct Transactions {
    pub(super) config: Arc<TransactionCoordinatorConfig>,
    /// Write the markers of their partitions themselves.
    pub(super) groups: Arc<GroupCoordinator>,
    producer_ids: Arc<ProducerIds>,
    /// Transactions whose end was decided: no more than there are transactional ids, but for those of shards that are
    /// read again.
    ending: mpsc::UnboundedSender<Ending>,
    pub(super) end_waiters: EndWaiters,
    /// Taken while a transaction's markers are written.
    pub(super) writing: Semaphore,
    /// Until the task runs that takes them.
    to_end: Mutex<Option<mpsc::UnboundedReceiver<Ending>>>,
}

impl Transactions {
    pub(super) fn new(
        config: &BrokerConfig,
        groups: Arc<GroupCoordinator>,
        producer_ids: Arc<ProducerIds>,
    ) -> Self {
        let (ending, to_end) = mpsc::unbounded_channel();
        Transactions {
            config: Arc::new(config::transaction_machine_config(config)),
            groups,
            producer_ids,
            ending,
            end_waiters: EndWaiters::default(),
            writing: Semaphore::new(WRITING_AT_ONCE),
            to_end: Mutex::new(Some(to_end)),
        }
    }

    /// The transactions to end, for the one task that does.
    pub(super) fn take_to_end(&self) -> Option<mpsc::UnboundedReceiver<Ending>> {
        self.to_end.lock().take()
    }
}

/// Producer ids from the block that is reserved.
struct Reserved<'a> {
    ids: &'a ProducerIds,
    used_up: Cell<bool>,
}

impl FreshProducerIds for Reserved<'_> {
    fn fresh(&self) -> Option<i64> {
        let fresh = self.ids.try_next();
        self.used_up.set(fresh.is_none());
        fresh
    }
}

impl Machine for Transactions {
    type Shard = TransactionShard;
    type Turn<'a> = TransactionTurn<'a>;
    type Record = TransactionRecord;
    type Notes = LastProducers;
    type Effects = Vec<MarkersToWrite>;

    const TOPIC: &'static str = TRANSACTIONS_TOPIC;
    const WHAT: &'static str = "transactions";

    fn topic_settings(config: &CoordinationConfig) -> Vec<(&'static str, String)> {
        vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "uncompressed".to_owned()),
            ("min.insync.replicas", "1".to_owned()),
            ("segment.bytes", config.topic_segment_bytes.to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
        ]
    }

    fn new_shard(&self) -> TransactionShard {
        TransactionShard::new(Arc::clone(&self.config))
    }

    fn count(shard: &TransactionShard) -> usize {
        shard.id_count()
    }

    fn next_deadline(shard: &TransactionShard) -> Option<i64> {
        shard.next_deadline()
    }

    fn loaded(shard: &mut TransactionShard, turn: &mut TransactionTurn<'_>) {
        shard.loaded(turn);
    }

    fn fire_next(shard: &mut TransactionShard, turn: &mut TransactionTurn<'_>) {
        shard.fire_next(turn);
    }

    fn replay(shard: &mut TransactionShard, now: Now, record: TransactionRecord) {
        shard.replay(now, record);
    }

    /// There are none: what Kafka has left is taken as it says, whoever wrote it.
    fn replay_transactional(shard: &mut TransactionShard, now: Now, _: i64, record: TransactionRecord) {
        shard.replay(now, record);
    }

    fn note(shard: &mut TransactionShard, last_producers: LastProducers) {
        shard.note(last_producers);
    }

    fn replay_end_transaction_marker(_: &mut TransactionShard, _: i64, _: bool) {}

    fn encode(record: &TransactionRecord) -> Result<(Bytes, Option<Bytes>), TooLong> {
        record.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<TransactionRecord, Undecoded> {
        TransactionRecord::decode(key, value).map_err(|error| match error {
            TransactionRecordError::UnknownType { .. } | TransactionRecordError::UnknownVersion { .. } => {
                Undecoded::Unknown(error.to_string())
            }
            error => Undecoded::Damaged(error.to_string()),
        })
    }

    fn in_turn<T>(
        driver: &TransactionCoordinator,
        partition: &Partition,
        now: Now,
        work: impl FnOnce(&mut TransactionTurn<'_>) -> T,
    ) -> (T, Left<Self>) {
        let producer_ids = Reserved { ids: &driver.machine.producer_ids, used_up: Cell::new(false) };
        let mut turn = TransactionTurn::new(now, partition.leader_epoch(), driver.version(), &producer_ids);
        let value = work(&mut turn);
        let TransactionTurn { records, last_producers, markers, .. } = turn;
        if !markers.is_empty() {
            fail_point::reached(fail_point::BEFORE_PREPARE);
        }
        if producer_ids.used_up.get() {
            driver.reserve_producer_ids();
        }
        let left = Left {
            records,
            transaction: None,
            replies: Vec::new(),
            notes: last_producers,
            all_in_records: true,
            effects: markers,
        };
        (value, left)
    }

    fn carry_out(
        driver: &Arc<TransactionCoordinator>,
        shards: &Arc<Shards<Self>>,
        index: usize,
        effects: Vec<MarkersToWrite>,
        durable: Option<DurableAt>,
    ) {
        for markers in effects {
            let ending = Ending { shards: Arc::clone(shards), index, markers, decided: durable.clone() };
            // The task goes when the broker stops; the next start writes them.
            let _ = driver.machine.ending.send(ending);
        }
    }
}

impl TransactionCoordinator {
    /// Has the next block of producer ids reserved. The turn that found none left is taken again by whoever asked.
    fn reserve_producer_ids(&self) {
        let (producer_ids, metadata) = (Arc::clone(&self.machine.producer_ids), Arc::clone(&self.metadata));
        // Runs whether the future is polled or not.
        drop(self.blocking.run(move || {
            if let Err(error) = producer_ids.reserve(&metadata) {
                tracing::error!(%error, "no producer id can be given");
            }
        }));
    }
}
