//! Drives the transaction coordinator: one shard for each partition of `__transaction_state`, its turns, its log, and the
//! markers that its transactions end with.
//!
//! What it shares with the groups is in [`super`]: a request is a turn of its transactional id's shard. A turn that
//! decides a transaction's end leaves markers, which `markers` writes once the decision is durable.

mod ended;
mod machine;
mod markers;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use fluxmq_coordinator::transactions::TransactionVersion;
use fluxmq_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use fluxmq_protocol::messages::{ProducerId, TopicName, TransactionalId};
use fluxmq_protocol::{ErrorCode, StrBytes};
use tokio::sync::futures::Notified;

pub use self::machine::Transactions;
use super::config::CoordinationConfig;
use super::wait::Answered;
use super::{Coordinator, GroupCoordinator};
use crate::config::BrokerConfig;
use crate::meta::features::Feature;
use crate::partitions::producer_ids::ProducerIds;

/// The topic that transactions are kept in.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// The version of AddPartitionsToTxn that asks what a Produce or a TxnOffsetCommit wants of a transaction.
const VERSION_OF_BROKERS: i16 = 5;

/// The transaction coordinator of this broker, which coordinates every transactional id.
pub type TransactionCoordinator = Coordinator<Transactions>;

/// What Produce asks of the transaction that its batches say they belong to.
#[derive(Clone, Debug)]
pub struct ProducedInTransaction {
    /// Whose transaction it is.
    pub transactional_id: StrBytes,
    /// The producer id of the batches.
    pub producer_id: i64,
    /// Their epoch.
    pub producer_epoch: i16,
    /// Topics and partitions that are written to.
    pub partitions: Vec<(StrBytes, i32)>,
    /// Whether partitions that don't belong to the transaction yet are added to it (KIP-890, Produce 12 and later);
    /// otherwise they must have been added.
    pub add: bool,
}

impl TransactionCoordinator {
    /// A coordinator of the transactions in the topics that `groups` knows. What is stored of them is being read when
    /// this returns.
    #[must_use]
    pub fn start(
        config: &Arc<BrokerConfig>,
        groups: &Arc<GroupCoordinator>,
        producer_ids: &Arc<ProducerIds>,
    ) -> Arc<Self> {
        let transactions = Transactions::new(config, Arc::clone(groups), Arc::clone(producer_ids));
        Self::start_with(
            transactions,
            CoordinationConfig::of_transactions(config),
            config,
            Arc::clone(&groups.metadata),
            Arc::clone(&groups.partitions),
            groups.clock.clone(),
            groups.blocking.clone(),
        )
    }

    /// The longest timeout that a producer can ask for: `transaction.max.timeout.ms`.
    #[must_use]
    pub fn max_timeout_ms(&self) -> i32 {
        self.machine.config.transaction_max_timeout_ms
    }

    /// The cluster's level of `transaction.version`.
    pub(super) fn version(&self) -> TransactionVersion {
        TransactionVersion::from_level(self.metadata.features().level(Feature::Transaction))
    }

    /// Ends once a transaction of the id that is being ended may be complete. Where it is not ended here, or is written
    /// for slowly, whoever waits has to have a bound.
    pub fn when_ended(&self, transactional_id: &str) -> Notified<'_> {
        self.machine.end_waiters.wait(transactional_id)
    }

    /// Verifies that partitions belong to a transaction, or adds them. Gives a code for each partition, in their order;
    /// they hold once what the answer rests on is durable.
    ///
    /// # Errors
    /// The code for all of them.
    pub fn admit_produce(
        self: &Arc<Self>,
        asked: &ProducedInTransaction,
    ) -> Result<Answered<Vec<ErrorCode>>, ErrorCode> {
        let topic = |(name, partition): &(StrBytes, i32)| {
            AddPartitionsToTxnTopic::default()
                .with_name(TopicName(name.clone()))
                .with_partitions(vec![*partition])
        };
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(TransactionalId(asked.transactional_id.clone()))
            .with_producer_id(ProducerId(asked.producer_id))
            .with_producer_epoch(asked.producer_epoch)
            .with_verify_only(!asked.add)
            .with_topics(asked.partitions.iter().map(topic).collect());
        // In Kafka it is the partition's leader who asks, and without the topic there is nobody to ask.
        if !self.has_topic()? {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let answered = self.turn(&asked.transactional_id, |shard, turn| {
            shard.add_partitions_to_txn(turn, VERSION_OF_BROKERS, &transaction)
        })?;
        let results = answered.value.topic_results.iter().flat_map(|topic| &topic.results_by_partition);
        let code = |code| ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
        let codes = results.map(|result| code(result.partition_error_code)).collect();
        Ok(Answered { value: codes, durable: answered.durable })
    }
}
