//! Tests of the machine, and what drives it in them: a clock that is set, producer ids that are counted, and a log of
//! encoded records that is replayed as the broker does it.

mod add_partitions;
mod end_txn;
mod init_producer_id;
mod list;
mod markers;
mod replay;
mod timers;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use fluxmq_protocol::messages::{
    EndTxnRequest, InitProducerIdRequest, ProducerId, TopicName, TransactionalId,
};
use fluxmq_protocol::transaction_records::{TransactionRecord, TransactionState};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::*;
use crate::testing::text;
use crate::turn::Now;

/// The newest version of each API with version 2 of transactions, and the newest without.
const V2: i16 = 5;
const V1_END_TXN: i16 = 4;
const V1_ADD_PARTITIONS: i16 = 3;
const COORDINATOR_EPOCH: i32 = 7;
const TIMEOUT_MS: i32 = 60_000;

/// Ids from 1,000 on, or none.
#[derive(Debug, Default)]
struct CountedIds {
    given: Cell<i64>,
    none: Cell<bool>,
}

impl ProducerIds for CountedIds {
    fn fresh(&self) -> Option<i64> {
        if self.none.get() {
            return None;
        }
        self.given.set(self.given.get() + 1);
        Some(999 + self.given.get())
    }
}

/// A shard, its log and its surroundings.
struct Driver {
    shard: TransactionShard,
    now: Now,
    version: TransactionVersion,
    ids: CountedIds,
    /// Key and value of each record.
    log: Vec<(Bytes, Option<Bytes>)>,
    /// Markers that nobody has written yet.
    markers: Vec<MarkersToWrite>,
    config: Arc<TransactionCoordinatorConfig>,
}

impl Driver {
    fn with(config: TransactionCoordinatorConfig, version: TransactionVersion) -> Self {
        let config = Arc::new(config);
        let mut driver = Driver {
            shard: TransactionShard::new(Arc::clone(&config)),
            now: Now { monotonic_ms: 1_000, wall_ms: 1_700_000_000_000 },
            version,
            ids: CountedIds::default(),
            log: Vec::new(),
            markers: Vec::new(),
            config,
        };
        driver.turn(TransactionShard::loaded);
        driver
    }

    fn at(version: TransactionVersion) -> Self {
        Self::with(TransactionCoordinatorConfig::default(), version)
    }

    /// One turn: what it leaves is appended and replayed. Gives what `transition` gives.
    fn turn<T>(
        &mut self,
        transition: impl FnOnce(&mut TransactionShard, &mut TransactionTurn<'_>) -> T,
    ) -> T {
        let mut turn = TransactionTurn::new(self.now, COORDINATOR_EPOCH, self.version, &self.ids);
        let result = transition(&mut self.shard, &mut turn);
        let TransactionTurn { records, last_producers, markers, .. } = turn;
        for record in records {
            let encoded = record.encode().expect("no text is too long");
            assert_eq!(decoded(&encoded), record, "what is written says all that is replayed");
            self.shard.replay(self.now, record);
            self.log.push(encoded);
        }
        self.shard.note(last_producers);
        self.markers.extend(markers);
        result
    }

    /// Lets time pass, and does what is due at the moment when it is.
    fn advance(&mut self, by_ms: i64) {
        let end_ms = self.now.monotonic_ms + by_ms;
        while let Some(deadline_ms) = self.shard.next_deadline().filter(|deadline_ms| *deadline_ms <= end_ms)
        {
            self.set_monotonic(deadline_ms.max(self.now.monotonic_ms));
            self.turn(|shard, turn| {
                assert!(shard.fire_next(turn), "a deadline that is due and does nothing");
            });
        }
        self.set_monotonic(end_ms);
    }

    fn set_monotonic(&mut self, monotonic_ms: i64) {
        self.now.wall_ms += monotonic_ms - self.now.monotonic_ms;
        self.now.monotonic_ms = monotonic_ms;
    }

    /// What a broker that starts on this log has.
    fn reloaded(&self) -> TransactionShard {
        let mut shard = TransactionShard::new(Arc::clone(&self.config));
        self.log.iter().for_each(|encoded| shard.replay(self.now, decoded(encoded)));
        shard
    }

    /// Stops and starts the broker.
    fn restart(&mut self) {
        self.shard = self.reloaded();
        self.markers.clear();
        self.turn(TransactionShard::loaded);
    }

    /// What the log says of the id, which has to be there.
    fn of(&self, id: &str) -> &Transaction {
        self.shard.transaction(&text(id)).expect("the id is known")
    }

    /// Epoch and state of the id.
    fn epoch_and_state(&self, id: &str) -> (i16, TransactionState) {
        (self.of(id).producer_epoch, self.of(id).state)
    }

    fn init_with(&mut self, version: i16, request: &InitProducerIdRequest) -> Result<(i64, i16), ErrorCode> {
        let response = self.turn(|shard, turn| shard.init_producer_id(turn, version, request));
        outcome(response.error_code, response.producer_id.0, response.producer_epoch)
    }

    fn init(&mut self, id: &str) -> Result<(i64, i16), ErrorCode> {
        self.init_with(V2, &init(id))
    }

    /// InitProducerId of a producer that names what it has.
    fn recover(&mut self, id: &str, producer: (i64, i16)) -> Result<(i64, i16), ErrorCode> {
        self.init_with(V2, &init(id).with_producer_id(ProducerId(producer.0)).with_producer_epoch(producer.1))
    }

    fn add_in(
        &mut self,
        version: i16,
        id: &str,
        producer: (i64, i16),
        partitions: &[(&str, i32)],
    ) -> Vec<ErrorCode> {
        let asked = transaction(id, producer, partitions);
        let result = self.turn(|shard, turn| shard.add_partitions_to_txn(turn, version, &asked));
        partition_errors(&result)
    }

    fn add(&mut self, id: &str, producer: (i64, i16), partitions: &[(&str, i32)]) {
        let errors = self.add_in(V1_ADD_PARTITIONS, id, producer, partitions);
        assert_eq!(errors, vec![ErrorCode::None; partitions.len()]);
    }

    fn end(
        &mut self,
        version: i16,
        id: &str,
        producer: (i64, i16),
        commit: bool,
    ) -> Result<(i64, i16), ErrorCode> {
        let request = end(id, producer, commit);
        let response = self.turn(|shard, turn| shard.end_txn(turn, version, &request));
        outcome(response.error_code, response.producer_id.0, response.producer_epoch)
    }

    /// Writes all markers: their transactions are complete.
    fn write_markers(&mut self) -> Vec<MarkersToWrite> {
        let markers = std::mem::take(&mut self.markers);
        for of in &markers {
            let complete = self.turn(|shard, turn| {
                shard.markers_written(turn, &of.transactional_id, of.producer_id, of.producer_epoch)
            });
            assert!(complete, "{of:?}");
        }
        markers
    }

    /// An id with a producer whose epoch is this.
    fn producer_at(&mut self, id: &str, epoch: i16) -> (i64, i16) {
        let (producer_id, _) = self.init(id).expect("a new id");
        self.set(id, |transaction| transaction.producer_epoch = epoch);
        (producer_id, epoch)
    }

    /// A producer in this state. In those after Ongoing its transaction has a partition.
    fn in_state(&mut self, id: &str, epoch: i16, state: TransactionState) -> (i64, i16) {
        use TransactionState::*;
        let producer = self.producer_at(id, epoch);
        if state == Empty {
            return producer;
        }
        self.add(id, producer, &[("t", 0)]);
        self.set(id, |transaction| {
            transaction.state = state;
            if matches!(state, CompleteCommit | CompleteAbort) {
                transaction.partitions.clear();
            }
        });
        producer
    }

    /// Writes a record that no request leads to.
    fn set(&mut self, id: &str, change: impl FnOnce(&mut Transaction)) {
        let mut transaction = self.of(id).clone();
        change(&mut transaction);
        self.turn(|shard, turn| shard.transit(turn, &text(id), &transaction, -1));
    }

    /// What is refused changes nothing and leaves nothing.
    fn refused<T>(&mut self, request: impl FnOnce(&mut Self) -> T) -> T {
        let before = (hard_state(&self.shard), self.log.len(), self.markers.len());
        let result = request(self);
        assert_eq!((hard_state(&self.shard), self.log.len(), self.markers.len()), before);
        result
    }
}

/// All that the log says.
fn hard_state(shard: &TransactionShard) -> BTreeMap<StrBytes, Transaction> {
    let entries = shard.ids.iter();
    entries.map(|(id, entry)| (id.clone(), entry.transaction.clone())).collect()
}

fn decoded((key, value): &(Bytes, Option<Bytes>)) -> TransactionRecord {
    TransactionRecord::decode(key, value.as_deref()).expect("a record of our own")
}

fn outcome(error_code: i16, producer_id: i64, epoch: i16) -> Result<(i64, i16), ErrorCode> {
    match ErrorCode::from_code(error_code).expect("a code of Kafka's") {
        ErrorCode::None => Ok((producer_id, epoch)),
        error => {
            assert_eq!((producer_id, epoch), (-1, -1), "an error gives no id");
            Err(error)
        }
    }
}

fn init(id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(id))))
        .with_transaction_timeout_ms(TIMEOUT_MS)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

fn end(id: &str, (producer_id, epoch): (i64, i16), commit: bool) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(epoch)
        .with_committed(commit)
}

/// Partitions of a transaction, each in a topic entry of its own.
fn transaction(
    id: &str,
    (producer_id, epoch): (i64, i16),
    partitions: &[(&str, i32)],
) -> AddPartitionsToTxnTransaction {
    let topics = partitions.iter().map(|(topic, partition)| {
        AddPartitionsToTxnTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![*partition])
    });
    AddPartitionsToTxnTransaction::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(epoch)
        .with_topics(topics.collect())
}

fn partition_errors(
    result: &fluxmq_protocol::messages::add_partitions_to_txn_response::AddPartitionsToTxnResult,
) -> Vec<ErrorCode> {
    let partitions = result.topic_results.iter().flat_map(|topic| &topic.results_by_partition);
    partitions.map(|partition| ErrorCode::from_code(partition.partition_error_code).unwrap()).collect()
}
