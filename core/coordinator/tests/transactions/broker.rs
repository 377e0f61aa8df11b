//! The broker around a shard: it appends what turns leave to a log, replays it, hands out answers when the log is
//! durable that far, and writes markers. It can be killed: what was not durable may be lost, and with it the answers
//! that waited for it and the markers that were on their way.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_coordinator::Now;
use fluxmq_coordinator::transactions::{
    MarkersToWrite, ProducerIds, TransactionCoordinatorConfig, TransactionShard, TransactionTurn,
    TransactionVersion,
};
use fluxmq_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use fluxmq_protocol::messages::{
    EndTxnRequest, InitProducerIdRequest, ProducerId, TopicName, TransactionalId,
};
use fluxmq_protocol::transaction_records::TransactionRecord;
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::partition::{Partition, Tag};
use super::rng::Rng;

pub const TIMEOUT_MS: i32 = 30_000;
const TOPIC: &str = "t";

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Who asks: an instance of a client.
pub type Instance = usize;
/// A producer id and its epoch.
pub type Producer = (i64, i16);

#[derive(Clone, Debug)]
pub enum Request {
    Init { expected: Option<Producer> },
    Add { producer: Producer, partitions: Vec<i32> },
    Produce { producer: Producer, partition: i32, tag: Tag, value: u64 },
    End { producer: Producer, commit: bool },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Has(Producer),
    Done,
    Refused(ErrorCode),
    /// The broker was killed, or the connection: the request may or may not have been done.
    Disconnected,
}

#[derive(Debug, Default)]
struct CountedIds {
    given: Cell<i64>,
    none: Cell<bool>,
}

impl ProducerIds for CountedIds {
    fn fresh(&self) -> Option<i64> {
        self.given.set(self.given.get() + 1);
        (!self.none.get()).then(|| self.given.get())
    }
}

/// What waits for the durability of a turn's records.
#[derive(Debug)]
enum Waiting {
    Answer(Instance, Answer),
    /// The coordinator has the partition: the data can be appended.
    Append {
        instance: Instance,
        producer: Producer,
        partition: i32,
        tag: Tag,
        value: u64,
        verification: u64,
    },
    Markers(MarkersToWrite),
}

/// Markers on their way: which partitions have none yet, and where those that were written end.
#[derive(Debug)]
struct Job {
    of: MarkersToWrite,
    left: BTreeSet<i32>,
    written: Vec<(i32, usize)>,
}

pub struct Broker {
    pub shard: TransactionShard,
    pub now: Now,
    pub version: TransactionVersion,
    pub partitions: Vec<Partition>,
    config: Arc<TransactionCoordinatorConfig>,
    ids: CountedIds,
    coordinator_epoch: i32,
    log: Vec<(Bytes, Option<Bytes>)>,
    durable: usize,
    held: VecDeque<(usize, Vec<Waiting>)>,
    jobs: Vec<Job>,
    /// Answers to appends, when the partition is durable that far.
    appended: Vec<(Instance, i32, usize)>,
    /// Who was given each id, in the order of the log, and where in it.
    owners: Vec<(usize, String, Instance)>,
}

impl Broker {
    pub fn new(config: TransactionCoordinatorConfig, version: TransactionVersion, partitions: usize) -> Self {
        let config = Arc::new(config);
        let mut broker = Broker {
            shard: TransactionShard::new(Arc::clone(&config)),
            now: Now { monotonic_ms: 1_000, wall_ms: 1_700_000_000_000 },
            version,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            config,
            ids: CountedIds::default(),
            coordinator_epoch: 0,
            log: Vec::new(),
            durable: 0,
            held: VecDeque::new(),
            jobs: Vec::new(),
            appended: Vec::new(),
            owners: Vec::new(),
        };
        broker.turn(TransactionShard::loaded);
        broker
    }

    /// One turn: its records are appended and replayed, its markers held.
    fn turn<T>(
        &mut self,
        transition: impl FnOnce(&mut TransactionShard, &mut TransactionTurn<'_>) -> T,
    ) -> T {
        let mut turn = TransactionTurn::new(self.now, self.coordinator_epoch, self.version, &self.ids);
        let result = transition(&mut self.shard, &mut turn);
        let TransactionTurn { records, last_producers, markers, .. } = turn;
        for record in records {
            self.append(record);
        }
        self.shard.note(last_producers);
        self.held.push_back((self.log.len(), markers.into_iter().map(Waiting::Markers).collect()));
        result
    }

    /// Appends and replays a record: one of a turn, or what a schedule begins with.
    pub fn append(&mut self, record: TransactionRecord) {
        self.log.push(record.encode().expect("no text is too long"));
        self.shard.replay(self.now, record);
    }

    fn hold(&mut self, waiting: Waiting) {
        self.held.back_mut().expect("a turn was held").1.push(waiting);
    }

    pub fn request(&mut self, instance: Instance, id: &str, client: TransactionVersion, request: &Request) {
        let bumps = client.bumps_epoch();
        match request {
            Request::Init { expected } => {
                let (producer_id, epoch) = expected.unwrap_or((-1, -1));
                let request = InitProducerIdRequest::default()
                    .with_transactional_id(Some(TransactionalId(text(id))))
                    .with_transaction_timeout_ms(TIMEOUT_MS)
                    .with_producer_id(ProducerId(producer_id))
                    .with_producer_epoch(epoch);
                let response = self.turn(|shard, turn| shard.init_producer_id(turn, 5, &request));
                let answer = match code(response.error_code) {
                    ErrorCode::None => {
                        self.owners.push((self.log.len(), id.to_owned(), instance));
                        Answer::Has((response.producer_id.0, response.producer_epoch))
                    }
                    error => Answer::Refused(error),
                };
                self.hold(Waiting::Answer(instance, answer));
            }
            Request::Add { producer, partitions } => {
                let answer = match self.add(id, *producer, partitions, 3, false) {
                    ErrorCode::None => {
                        self.check_owner(id, instance);
                        Answer::Done
                    }
                    error => Answer::Refused(error),
                };
                self.hold(Waiting::Answer(instance, answer));
            }
            Request::Produce { producer, partition, tag, value } => {
                let (producer, partition, tag, value) = (*producer, *partition, *tag, *value);
                if self.partition(partition).is_open(producer.0, producer.1) {
                    let result = self.partition(partition).append(producer, (tag, value), None);
                    assert_eq!(result, Ok(()));
                    let end = self.partition(partition).len();
                    self.appended.push((instance, partition, end));
                    return;
                }
                let verification = self.partition(partition).verification(producer.0);
                let error = self.add(id, producer, &[partition], if bumps { 5 } else { 4 }, !bumps);
                self.hold(match error {
                    ErrorCode::None => {
                        self.check_owner(id, instance);
                        Waiting::Append { instance, producer, partition, tag, value, verification }
                    }
                    error => Waiting::Answer(instance, Answer::Refused(error)),
                });
            }
            Request::End { producer, commit } => {
                let request = EndTxnRequest::default()
                    .with_transactional_id(TransactionalId(text(id)))
                    .with_producer_id(ProducerId(producer.0))
                    .with_producer_epoch(producer.1)
                    .with_committed(*commit);
                let version = if bumps { 5 } else { 4 };
                let response = self.turn(|shard, turn| shard.end_txn(turn, version, &request));
                let answer = match code(response.error_code) {
                    ErrorCode::None => {
                        self.check_owner(id, instance);
                        match bumps {
                            true => Answer::Has((response.producer_id.0, response.producer_epoch)),
                            false => Answer::Has(*producer),
                        }
                    }
                    error => Answer::Refused(error),
                };
                self.hold(Waiting::Answer(instance, answer));
            }
        }
    }

    fn add(
        &mut self,
        id: &str,
        producer: Producer,
        partitions: &[i32],
        version: i16,
        verify_only: bool,
    ) -> ErrorCode {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(text(TOPIC)))
            .with_partitions(partitions.to_vec());
        let asked = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(ProducerId(producer.0))
            .with_producer_epoch(producer.1)
            .with_verify_only(verify_only)
            .with_topics(vec![topic]);
        let result = self.turn(|shard, turn| shard.add_partitions_to_txn(turn, version, &asked));
        code(result.topic_results[0].results_by_partition[0].partition_error_code)
    }

    /// Only who was given the id last may do anything with it.
    fn check_owner(&self, id: &str, instance: Instance) {
        let owner = self.owners.iter().rev().find(|(_, of, _)| of == id).map(|(_, _, owner)| *owner);
        assert_eq!(owner, Some(instance), "{id} is of another");
    }

    fn partition(&mut self, partition: i32) -> &mut Partition {
        &mut self.partitions[usize::try_from(partition).unwrap()]
    }

    pub fn fire_timers(&mut self) {
        let mut fired = 0;
        while self.shard.next_deadline().is_some_and(|deadline_ms| deadline_ms <= self.now.monotonic_ms) {
            assert!(self.turn(TransactionShard::fire_next), "a deadline that is due does something");
            fired += 1;
            assert!(fired < 1_000, "timers that never end");
        }
    }

    /// Makes the logs durable, and does what waited for that. Gives the answers.
    pub fn flush(&mut self) -> Vec<(Instance, Answer)> {
        self.partitions.iter_mut().for_each(Partition::flush);
        let mut answers = Vec::new();
        for (instance, ..) in std::mem::take(&mut self.appended) {
            answers.push((instance, Answer::Done));
        }
        self.durable = self.log.len();
        for waiting in std::mem::take(&mut self.held).into_iter().flat_map(|(_, waiting)| waiting) {
            match waiting {
                Waiting::Answer(instance, answer) => answers.push((instance, answer)),
                Waiting::Append { instance, producer, partition, tag, value, verification } => {
                    let of = self.partition(partition);
                    match of.append(producer, (tag, value), Some(verification)) {
                        Ok(()) => {
                            let end = of.len();
                            self.appended.push((instance, partition, end));
                        }
                        Err(error) => answers.push((instance, Answer::Refused(error))),
                    }
                }
                Waiting::Markers(of) => {
                    let left = of.partitions.values().flatten().copied().collect();
                    self.jobs.push(Job { of, left, written: Vec::new() });
                }
            }
        }
        answers
    }

    /// Writes markers: some of them, or all. Transactions whose markers are durable are complete.
    pub fn write_markers(&mut self, mut writes: impl FnMut() -> bool) {
        let mut jobs = std::mem::take(&mut self.jobs);
        for job in &mut jobs {
            for partition in job.left.clone() {
                if writes() {
                    let of = self.partition(partition);
                    of.mark(&job.of);
                    job.written.push((partition, of.len()));
                    job.left.remove(&partition);
                }
            }
        }
        for job in jobs {
            let durable =
                job.written.iter().all(|(partition, end)| self.partition(*partition).is_durable(*end));
            if !job.left.is_empty() || !durable {
                self.jobs.push(job);
                continue;
            }
            let MarkersToWrite { transactional_id, producer_id, producer_epoch, .. } = &job.of;
            let complete = self.turn(|shard, turn| {
                shard.markers_written(turn, transactional_id, *producer_id, *producer_epoch)
            });
            assert!(complete, "nobody else completes it: {job:?}");
        }
    }

    /// Kills the broker and starts it again. Of the turns that weren't durable, some survive: a prefix. Gives what
    /// clients get to see of that.
    pub fn restart(&mut self, rng: &mut Rng) -> Vec<(Instance, Answer)> {
        let ends = std::iter::once(self.durable).chain(self.held.iter().map(|(end, _)| *end));
        let ends: Vec<usize> = ends.collect();
        self.log.truncate(ends[rng.below(ends.len())]);
        self.durable = self.log.len();
        self.owners.retain(|(end, ..)| *end <= self.durable);
        self.partitions.iter_mut().for_each(|partition| partition.crash(rng));
        let waiting = std::mem::take(&mut self.held).into_iter().flat_map(|(_, waiting)| waiting);
        let cut_off = waiting.filter_map(|waiting| match waiting {
            Waiting::Answer(instance, _) | Waiting::Append { instance, .. } => Some(instance),
            Waiting::Markers(_) => None,
        });
        let appends = std::mem::take(&mut self.appended).into_iter().map(|(instance, ..)| instance);
        let answers = cut_off.chain(appends).map(|instance| (instance, Answer::Disconnected)).collect();
        self.jobs.clear();
        self.coordinator_epoch += 1;
        self.shard = self.reloaded();
        self.turn(TransactionShard::loaded);
        answers
    }

    /// What a broker that starts on this log has.
    pub fn reloaded(&self) -> TransactionShard {
        let mut shard = TransactionShard::new(Arc::clone(&self.config));
        for (key, value) in &self.log {
            let record = TransactionRecord::decode(key, value.as_deref()).expect("a record of our own");
            shard.replay(self.now, record);
        }
        shard
    }

    pub fn has_markers_to_write(&self) -> bool {
        !self.jobs.is_empty()
    }

    pub fn hide_producer_ids(&self, none: bool) {
        self.ids.none.set(none);
    }

    pub fn pass(&mut self, by_ms: i64) {
        self.now.monotonic_ms += by_ms;
        self.now.wall_ms += by_ms;
    }
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).expect("a code of Kafka's")
}
