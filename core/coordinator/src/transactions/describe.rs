//! DescribeTransactions, version 0 (KIP-664).

use fluxmq_protocol::messages::describe_transactions_response::{TopicData, TransactionState as Described};
use fluxmq_protocol::messages::{ProducerId, TopicName, TransactionalId};
use fluxmq_protocol::transaction_records::TransactionState;
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::shard::TransactionShard;

impl TransactionShard {
    /// What is known of an id. Until all markers are written the transaction has all its partitions; Kafka takes each
    /// out when its marker is.
    #[must_use]
    pub fn describe_transaction(&self, transactional_id: &TransactionalId) -> Described {
        let described = Described::default().with_transactional_id(transactional_id.clone());
        if transactional_id.is_empty() {
            return described.with_error_code(ErrorCode::InvalidRequest.code());
        }
        let Some(transaction) = self.transaction(transactional_id) else {
            return described.with_error_code(ErrorCode::TransactionalIdNotFound.code());
        };
        let topics = transaction.partitions.iter().map(|(topic, partitions)| {
            TopicData::default()
                .with_topic(TopicName(topic.clone()))
                .with_partitions(partitions.iter().copied().collect())
        });
        described
            .with_transaction_state(StrBytes::from_static_str(state_name(transaction.state)))
            .with_transaction_timeout_ms(transaction.timeout_ms)
            .with_transaction_start_time_ms(transaction.start_ms)
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_producer_epoch(transaction.producer_epoch)
            .with_topics(topics.collect())
    }
}

/// A state as clients are told it.
pub(super) fn state_name(state: TransactionState) -> &'static str {
    match state {
        TransactionState::Empty => "Empty",
        TransactionState::Ongoing => "Ongoing",
        TransactionState::PrepareCommit => "PrepareCommit",
        TransactionState::PrepareAbort => "PrepareAbort",
        TransactionState::CompleteCommit => "CompleteCommit",
        TransactionState::CompleteAbort => "CompleteAbort",
    }
}
