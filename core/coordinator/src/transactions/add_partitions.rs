//! AddPartitionsToTxn, versions 0–5 (KIP-98; batches and verification by brokers: KIP-890), and AddOffsetsToTxn,
//! versions 0–4. A batch names transactions of many shards, so what is asked here is one of them; the caller makes one of
//! a request of versions 0–3, and checks that the partitions exist.

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use fluxmq_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use fluxmq_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use fluxmq_protocol::transaction_records::TransactionState;
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::shard::TransactionShard;
use super::transaction::Transaction;
use super::turn::TransactionTurn;
use super::version::TransactionVersion;
use crate::shard::owned;

/// Before it a client takes PRODUCER_FENCED for something unknown. The same of both APIs.
const FIRST_VERSION_OF_FENCED: i16 = 2;
/// About what a record takes beside its partitions, also with the fields that its end will add.
const RECORD_BYTES: usize = 160;
/// The topic that committed offsets are kept in.
const OFFSETS_TOPIC: StrBytes = StrBytes::from_static_str("__consumer_offsets");

/// Who asks, and for which transactional id.
struct Producer<'a> {
    transactional_id: &'a StrBytes,
    id: i64,
    epoch: i16,
}

impl TransactionShard {
    /// Adds partitions to the transaction of an id, which begins with the first; or says which of them are in it.
    pub fn add_partitions_to_txn(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        api_version: i16,
        asked: &AddPartitionsToTxnTransaction,
    ) -> AddPartitionsToTxnResult {
        let producer = Producer {
            transactional_id: &asked.transactional_id.0,
            id: asked.producer_id.0,
            epoch: asked.producer_epoch,
        };
        if asked.verify_only {
            return match self.checked_verify(&producer) {
                Ok(transaction) => {
                    answer(asked, |topic, partition| match transaction.contains(&topic.name, partition) {
                        true => ErrorCode::None,
                        false => ErrorCode::TransactionAbortable,
                    })
                }
                Err(error) => answer(asked, |_, _| error),
            };
        }
        let mut added: BTreeMap<StrBytes, BTreeSet<i32>> = BTreeMap::new();
        for topic in &asked.topics {
            added.entry(owned(&topic.name)).or_default().extend(&topic.partitions);
        }
        let client_version = TransactionVersion::of_add_partitions_to_txn(api_version);
        let error = known_to_client(api_version, self.checked_add(turn, &producer, added, client_version));
        answer(asked, |_, _| error)
    }

    /// Adds the partition of `__consumer_offsets` that a group's offsets go to. Clients that speak version 2 don't ask
    /// for it: TxnOffsetCommit does.
    pub fn add_offsets_to_txn(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        api_version: i16,
        request: &AddOffsetsToTxnRequest,
        offsets_partition: i32,
    ) -> AddOffsetsToTxnResponse {
        let producer = Producer {
            transactional_id: &request.transactional_id.0,
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        let added = BTreeMap::from([(OFFSETS_TOPIC, BTreeSet::from([offsets_partition]))]);
        let result = self.checked_add(turn, &producer, added, TransactionVersion::V0);
        AddOffsetsToTxnResponse::default().with_error_code(known_to_client(api_version, result).code())
    }

    fn checked_add(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        producer: &Producer<'_>,
        added: BTreeMap<StrBytes, BTreeSet<i32>>,
        client_version: TransactionVersion,
    ) -> Result<(), ErrorCode> {
        let id = producer.transactional_id;
        if id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let entry = self.ids.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let transaction = &entry.transaction;
        // Before anything else: the producer may already have the id that takes over when this is complete.
        if transaction.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        producer.check(transaction)?;
        let is_in = |(topic, partitions): (&StrBytes, &BTreeSet<i32>)| {
            partitions.iter().all(|partition| transaction.contains(topic, *partition))
        };
        if transaction.state == TransactionState::Ongoing && added.iter().all(is_in) {
            return Ok(());
        }
        let next = transaction.with_partitions(added, client_version, turn.now.wall_ms);
        let topics = next.partitions.iter();
        let partitions_bytes: usize =
            topics.map(|(topic, partitions)| topic.len() + 8 + 4 * partitions.len()).sum();
        if RECORD_BYTES + id.len() + partitions_bytes > self.config.max_record_bytes {
            return Err(ErrorCode::UnknownServerError);
        }
        let last_epoch = entry.last.epoch;
        self.transit(turn, id, &next, last_epoch);
        Ok(())
    }

    fn checked_verify(&self, producer: &Producer<'_>) -> Result<&Transaction, ErrorCode> {
        if producer.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let transaction =
            self.transaction(producer.transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        producer.check(transaction)?;
        if transaction.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        Ok(transaction)
    }
}

impl Producer<'_> {
    fn check(&self, transaction: &Transaction) -> Result<(), ErrorCode> {
        if transaction.producer_id != self.id {
            Err(ErrorCode::InvalidProducerIdMapping)
        } else if transaction.producer_epoch != self.epoch {
            Err(ErrorCode::ProducerFenced)
        } else {
            Ok(())
        }
    }
}

fn known_to_client(api_version: i16, result: Result<(), ErrorCode>) -> ErrorCode {
    match result {
        Ok(()) => ErrorCode::None,
        Err(ErrorCode::ProducerFenced) if api_version < FIRST_VERSION_OF_FENCED => {
            ErrorCode::InvalidProducerEpoch
        }
        Err(error) => error,
    }
}

/// An answer with an error for each partition that was asked for.
fn answer(
    asked: &AddPartitionsToTxnTransaction,
    error: impl Fn(&AddPartitionsToTxnTopic, i32) -> ErrorCode,
) -> AddPartitionsToTxnResult {
    let topics = asked.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|&partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(partition)
                .with_partition_error_code(error(topic, partition).code())
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResult::default()
        .with_transactional_id(asked.transactional_id.clone())
        .with_topic_results(topics.collect())
}
