//! The driver of transactions on a data directory of its own: what it does between a decision and the completion, and
//! what a start finds of it.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxmq_protocol::messages::{EndTxnRequest, InitProducerIdRequest, ProducerId};
use fluxmq_protocol::transaction_records::TransactionRecord;
use fluxmq_storage::batch::{BatchBuilder, ControlMarker, end_transaction_marker};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};

use super::*;
use crate::blocking::BlockingPool;
use crate::clock::Clock;
use crate::config::{Origin, Settings, TopicConfig};
use crate::meta::{Metadata, NewTopic};
use crate::open_data::open_data;
use crate::partitions::PartitionManager;
use crate::partitions::high_watermark::Acks;
use crate::partitions::partition::{EndTransaction, Partition};

const NOW_MS: i64 = 1_700_000_000_000;
const TIMEOUT_MS: i32 = 60_000;
/// The version of EndTxn with which the epoch rises.
const BUMPING: i16 = 5;

/// A coordinator over a directory, without a broker around it.
struct Fixture {
    runtime: tokio::runtime::Runtime,
    clock: Clock,
    partitions: Arc<PartitionManager>,
    metadata: Arc<Metadata>,
    config: Arc<BrokerConfig>,
    producer_ids: Arc<ProducerIds>,
    groups: Arc<GroupCoordinator>,
    transactions: Arc<TransactionCoordinator>,
}

impl Fixture {
    fn open(dir: &Path) -> Self {
        let mut settings = Settings::default();
        settings.set("log.dirs", dir.to_string_lossy(), Origin::Flag("test"));
        settings.set("transaction.state.log.num.partitions", "3", Origin::Flag("test"));
        let config = Arc::new(BrokerConfig::from_settings(settings).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let clock = Clock::fixed(NOW_MS);
        let (metadata, partitions) = open_data(&config, &clock).unwrap();
        let (metadata, partitions) = (Arc::new(metadata), Arc::new(partitions));
        let pool = BlockingPool::new(runtime.handle().clone());
        let groups = GroupCoordinator::start(
            &config,
            Arc::clone(&metadata),
            Arc::clone(&partitions),
            clock.clone(),
            pool,
        );
        let producer_ids = Arc::new(ProducerIds::default());
        let transactions = TransactionCoordinator::start(&config, &groups, &producer_ids);
        let fixture =
            Fixture { runtime, clock, partitions, metadata, config, producer_ids, groups, transactions };
        wait_for("the shards", || !fixture.transactions.is_loading());
        fixture
    }

    /// With the topic of transactions, the topic `t` of two partitions, and producer ids at hand.
    fn made(dir: &Path) -> Self {
        let fixture = Self::open(dir);
        fixture.runtime.block_on(fixture.transactions.ensure_topic()).unwrap();
        fixture.make_topic("t");
        fixture.producer_ids.reserve(&fixture.metadata).unwrap();
        fixture
    }

    fn make_topic(&self, name: &'static str) {
        let topic = NewTopic {
            name: StrBytes::from_static_str(name),
            partition_count: 2,
            overrides: std::collections::BTreeMap::new(),
            config: Arc::new(TopicConfig::from_overrides(&self.config, &[].into()).unwrap()),
        };
        self.metadata.create_topics(&self.partitions, vec![topic]).remove(0).unwrap();
    }

    /// Gives the id its producer id, as InitProducerId does.
    fn init(&self, id: &'static str) -> Result<(i64, i16), ErrorCode> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(TIMEOUT_MS);
        let answered = self.transactions.turn(id, |shard, turn| shard.init_producer_id(turn, 4, &request))?;
        let answer = answered.value;
        match ErrorCode::from_code(answer.error_code).unwrap() {
            ErrorCode::None => Ok((answer.producer_id.0, answer.producer_epoch)),
            code => Err(code),
        }
    }

    fn admit(&self, id: &'static str, producer: (i64, i16), add: bool) -> Vec<ErrorCode> {
        let asked = ProducedInTransaction {
            transactional_id: text(id),
            producer_id: producer.0,
            producer_epoch: producer.1,
            partitions: vec![(text("t"), 0), (text("t"), 1)],
            add,
        };
        self.transactions.admit_produce(&asked).unwrap().value
    }

    /// Adds both partitions of `t`, and writes a batch into the first.
    fn write(&self, id: &'static str, producer: (i64, i16)) {
        assert_eq!(self.admit(id, producer, true), [ErrorCode::None; 2]);
        let batch = BatchBuilder::new()
            .producer(producer.0, producer.1, 0)
            .transactional()
            .record(NOW_MS, None, Some(b"value"))
            .build();
        let partition = self.partition("t", 0);
        let guard =
            partition.log().maybe_start_verification(producer.0, 0, producer.1, true, NOW_MS).unwrap();
        let context = TransactionContext { guard, ..TransactionContext::NONE };
        partition.append_as(AppendOrigin::Client, &batch, Acks::All, NOW_MS, context).unwrap();
    }

    fn end(&self, id: &'static str, producer: (i64, i16), commit: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(ProducerId(producer.0))
            .with_producer_epoch(producer.1)
            .with_committed(commit);
        let ended = self.transactions.turn(id, |shard, turn| shard.end_txn(turn, BUMPING, &request));
        ended.unwrap().value.error_code
    }

    fn state(&self, id: &'static str) -> String {
        let id = TransactionalId(text(id));
        let described = self.transactions.turn(&id, |shard, _| shard.describe_transaction(&id));
        described.unwrap().value.transaction_state.to_string()
    }

    fn partition(&self, topic: &str, index: i32) -> Arc<Partition> {
        let topics = self.metadata.topics();
        topics.by_name(topic).unwrap().partition(index).unwrap().clone()
    }

    /// Ends transactions until the id is in the state.
    fn run_until(&self, id: &'static str, state: &str) {
        let ended = async {
            let markers = self.runtime.spawn(Arc::clone(&self.transactions).run_markers());
            let deadline = Instant::now() + Duration::from_secs(10);
            while self.state(id) != state {
                assert!(Instant::now() < deadline, "{id} is {} and not {state}", self.state(id));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            markers.abort();
        };
        self.runtime.block_on(ended);
    }

    fn close(self) {
        self.transactions.stop();
        self.groups.stop();
        self.partitions.shut_down().unwrap();
    }
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what} took too long");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn marker_of(producer: (i64, i16), commit: bool) -> EndTransaction {
    EndTransaction {
        producer_id: producer.0,
        producer_epoch: producer.1 + 1,
        commit,
        coordinator_epoch: 0,
        transaction_version: 2,
    }
}

#[test]
fn a_topic_with_kafkas_settings() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    let topic = Arc::clone(fixture.metadata.topics().by_name(TRANSACTIONS_TOPIC).unwrap());
    let overrides = topic.overrides.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    assert_eq!(
        overrides.collect::<Vec<_>>(),
        [
            ("cleanup.policy", "compact"),
            ("compression.type", "uncompressed"),
            ("min.insync.replicas", "1"),
            ("segment.bytes", "104857600"),
            ("unclean.leader.election.enable", "false"),
        ]
    );
    assert_eq!(
        (topic.is_internal, topic.partition_count(), fixture.transactions.shard_count()),
        (true, 3, 3)
    );
    fixture.close();
}

#[test]
fn what_produce_asks_is_verified_or_added() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    let producer = fixture.init("id").unwrap();
    assert_eq!(fixture.admit("id", producer, false), [ErrorCode::TransactionAbortable; 2]);
    assert_eq!(fixture.admit("id", producer, true), [ErrorCode::None; 2]);
    assert_eq!(fixture.admit("id", producer, false), [ErrorCode::None; 2]);
    assert_eq!(fixture.admit("id", (producer.0, 7), true), [ErrorCode::ProducerFenced; 2]);
    assert_eq!(fixture.end("id", producer, true), 0);
    // Until its markers are written.
    assert_eq!(fixture.admit("id", (producer.0, 1), true), [ErrorCode::ConcurrentTransactions; 2]);
    fixture.run_until("id", "CompleteCommit");
    assert_eq!(fixture.admit("id", (producer.0, 1), true), [ErrorCode::None; 2]);
    fixture.close();
}

#[test]
fn what_was_decided_before_the_end_is_carried_out_after_it() {
    let dir = tempfile::tempdir().unwrap();
    for (id, commit, written) in
        [("commits", true, 0), ("aborts", false, 0), ("half", true, 1), ("all", false, 2)]
    {
        let fixture = match dir.path().read_dir().unwrap().next() {
            None => Fixture::made(dir.path()),
            Some(_) => Fixture::open(dir.path()),
        };
        fixture.producer_ids.reserve(&fixture.metadata).unwrap();
        let producer = fixture.init(id).unwrap();
        fixture.write(id, producer);
        assert_eq!(fixture.end(id, producer, commit), 0);
        // Markers that the end came after. Their epoch says that they were written.
        for index in 0..written {
            fixture.partition("t", index).append_marker(&marker_of(producer, commit), NOW_MS).unwrap();
        }
        drop(fixture);

        // Not closed: as after a kill.
        let fixture = Fixture::open(dir.path());
        let markers_before = [0, 1].map(|index| fixture.partition("t", index).log_end().offset);
        fixture.run_until(id, if commit { "CompleteCommit" } else { "CompleteAbort" });
        let markers: i64 = [0, 1]
            .into_iter()
            .zip(markers_before)
            .map(|(index, before)| fixture.partition("t", index).log_end().offset - before)
            .sum();
        // A partition without data takes a marker of version 2 twice only if the first has left nothing of it.
        assert!(markers <= 2 && (written == 2 || markers >= 1), "{id}: {markers}");
        fixture.close();
    }
}

#[test]
fn a_repeated_marker_waits_for_the_first_to_be_durable() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    let producer = fixture.init("id").unwrap();
    fixture.write("id", producer);
    let partition = fixture.partition("t", 0);
    wait_for("the sync", || partition.durable_end() == 1);
    // In the log, and nothing asks for its sync.
    let EndTransaction { producer_id, producer_epoch, commit, coordinator_epoch, transaction_version } =
        marker_of(producer, true);
    let marker = ControlMarker { is_commit: commit, coordinator_epoch };
    let batch = end_transaction_marker(producer_id, producer_epoch, marker, NOW_MS);
    let context = TransactionContext { version: transaction_version, ..TransactionContext::NONE };
    partition.append_as(AppendOrigin::Coordinator, &batch, Acks::Leader, NOW_MS, context).unwrap();
    assert_eq!((partition.log_end().offset, partition.durable_end()), (2, 1));

    assert_eq!(fixture.end("id", producer, true), 0);
    fixture.run_until("id", "CompleteCommit");
    assert_eq!((partition.log_end().offset, partition.durable_end()), (2, 2));
    fixture.close();
}

#[test]
fn a_partition_that_is_gone_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    let producer = fixture.init("id").unwrap();
    fixture.write("id", producer);
    assert_eq!(fixture.end("id", producer, true), 0);
    let topic = fixture.metadata.topics().by_name("t").unwrap().id;
    fixture.metadata.delete_topics(&fixture.partitions, &[topic]).remove(0).unwrap();
    fixture.run_until("id", "CompleteCommit");
    fixture.close();
}

#[test]
fn a_marker_that_is_refused_leaves_the_transaction_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    let (refused, other) = (fixture.init("refused").unwrap(), fixture.init("other").unwrap());
    fixture.write("refused", refused);
    // A newer coordinator has ended it.
    let newer = EndTransaction { coordinator_epoch: 7, ..marker_of(refused, false) };
    let newer = EndTransaction { transaction_version: 0, producer_epoch: refused.1, ..newer };
    fixture.partition("t", 0).append_marker(&newer, NOW_MS).unwrap();
    assert_eq!(fixture.end("refused", refused, true), 0);
    fixture.write("other", other);
    assert_eq!(fixture.end("other", other, true), 0);
    fixture.run_until("other", "CompleteCommit");
    assert_eq!(fixture.state("refused"), "PrepareCommit");
    fixture.close();
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    let producer = fixture.init("id").unwrap();
    fixture.write("id", producer);
    let timers = fixture.runtime.spawn(Arc::clone(&fixture.transactions).run_timers());
    let late_ms = i64::from(TIMEOUT_MS) + 20_000;
    fixture.clock.set(NOW_MS + late_ms);
    fixture.clock.set_monotonic(late_ms);
    fixture.run_until("id", "CompleteAbort");
    timers.abort();
    // As if its own abort had been lost: it may ask for that again, and not for a commit.
    assert_eq!(fixture.end("id", producer, true), ErrorCode::InvalidTxnState.code());
    assert_eq!(fixture.end("id", producer, false), 0);
    fixture.close();
}

#[test]
fn a_new_id_waits_for_the_next_block_of_producer_ids() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    while fixture.producer_ids.try_next().is_some() {}
    assert_eq!(fixture.init("id"), Err(ErrorCode::CoordinatorLoadInProgress));
    wait_for("the next block", || fixture.producer_ids.has_next());
    assert_eq!(fixture.init("id"), Ok((1_000, 0)));
    fixture.close();
}

#[test]
fn markers_that_are_left_twice_end_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    let producer = fixture.init("id").unwrap();
    fixture.write("id", producer);
    let end = |commit| {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text("id")))
            .with_producer_id(ProducerId(producer.0))
            .with_producer_epoch(producer.1)
            .with_committed(commit);
        // A client of version 0: the epoch stays.
        fixture
            .transactions
            .turn("id", |shard, turn| shard.end_txn(turn, 3, &request))
            .unwrap()
            .value
            .error_code
    };
    assert_eq!(end(true), 0);
    let panics = || fixture.transactions.turn("id", |_, _| panic!("a fault of the machine, made by a test"));
    assert!(std::panic::catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(fixture.transactions.turn("id", |_, _| ()).is_err(), "it is being read");
    wait_for("the shard", || !fixture.transactions.is_loading());
    let wait = async {
        let markers = fixture.runtime.spawn(Arc::clone(&fixture.transactions).run_markers());
        while fixture.state("id") != "CompleteCommit" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(fixture.admit("id", producer, true), [ErrorCode::None; 2]);
        let end = fixture.partition("t", 0).log_end().offset;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(fixture.partition("t", 0).log_end().offset, end, "nothing ends the next transaction");
        markers.abort();
    };
    fixture.runtime.block_on(wait);
    assert_eq!((fixture.partition("t", 0).log_end().offset, fixture.state("id")), (2, "Ongoing".to_owned()));
    fixture.close();
}

#[test]
fn a_turn_that_the_log_does_not_take_leaves_the_shard_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::made(dir.path());
    let producer = fixture.init("id").unwrap();
    let recovery = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("id"))))
        .with_transaction_timeout_ms(TIMEOUT_MS)
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1);
    let recover = |with: &TransactionRecord, count| {
        let answered = fixture.transactions.turn("id", |shard, turn| {
            let answer = shard.init_producer_id(turn, 4, &recovery);
            turn.records.extend(std::iter::repeat_n(with.clone(), count));
            answer
        });
        answered.map(|answered| (answered.value.producer_id.0, answered.value.producer_epoch))
    };
    // Longer than a text can be.
    let long = TransactionRecord { transactional_id: StrBytes::from_string("x".repeat(40_000)), value: None };
    for _ in 0..3 {
        assert_eq!(recover(&long, 1), Err(ErrorCode::UnknownServerError));
        let asked = fixture.transactions.turn("id", |shard, _| shard.transaction(&text("id")).cloned());
        let epoch = asked.expect("it is not read again").value.unwrap().producer_epoch;
        assert_eq!(epoch, producer.1);
    }
    // The second time it is the same producer, which has not got the answer.
    for _ in 0..2 {
        assert_eq!(recover(&long, 0), Ok((producer.0, producer.1 + 1)));
    }
    fixture.close();
}
