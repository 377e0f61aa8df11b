//! Producers with a transactional id and a connection each, one transaction after the other.

use std::time::{Duration, Instant};

use fluxmq_benches::figures::{Figures, Options, Stretch};
use fluxmq_benches::wire::{
    COORDINATOR_NOT_THERE, Connections, CoordinatorOf, PATIENCE, frame, response, set_up, text,
};
use fluxmq_protocol::messages::{
    EndTxnRequest, InitProducerIdRequest, ProduceRequest, ProducerId, TransactionalId,
};

use crate::produce_request::{self, EncodedRequest};

pub(crate) const INIT_PRODUCER_ID_VERSION: i16 = 5;
const END_TXN_VERSION: i16 = 5;
/// A client's `retry.backoff.ms`: how long until it tries again.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);
const NOT_ENOUGH_REPLICAS: i16 = 19;
const CONCURRENT_TRANSACTIONS: i16 = 51;

/// What a producer asks next, or waits for the answer to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asks {
    InitProducerId,
    Produce,
    EndTxn,
}

struct Producer {
    transactional_id: TransactionalId,
    id: i64,
    epoch: i16,
    request: EncodedRequest,
    asks: Asks,
    /// Set while it waits to ask again.
    asks_at: Option<Instant>,
    /// Requests of this transaction that were answered.
    produced: i32,
    /// Transactions that it has begun.
    begun: usize,
    begun_at: Instant,
    /// When it has begun to end it.
    ending_at: Instant,
}

/// Transactions under way.
struct Producers {
    connections: Connections,
    producers: Vec<Producer>,
    /// Records of a batch, and requests of a transaction.
    batch: i32,
    requests: i32,
    /// How many transactions go before one that is aborted; 0 for none.
    abort_every: usize,
    ended: u64,
    retries: u64,
    /// By transaction: from its first request, and from its end's, to the answer.
    transactions: Vec<Duration>,
    ends: Vec<Duration>,
}

/// InitProducerId of a transactional id.
pub(crate) fn init_producer_id(transactional_id: &TransactionalId) -> Vec<u8> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id.clone()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    frame(INIT_PRODUCER_ID_VERSION, &request)
}

/// Whether a client tries again.
pub(crate) fn passes(code: i16) -> bool {
    COORDINATOR_NOT_THERE.contains(&code) || [NOT_ENOUGH_REPLICAS, CONCURRENT_TRANSACTIONS].contains(&code)
}

/// What the producers write.
struct Shape {
    topic: &'static str,
    partitions: i32,
    producers: i32,
    /// Records of a transaction, of a batch at the most, and the bytes of each.
    records: usize,
    batch: usize,
    value_bytes: usize,
    abort_every: usize,
}

impl Producers {
    fn new(options: &Options, shape: &Shape) -> Producers {
        let &Shape { topic, partitions, records, value_bytes, .. } = shape;
        set_up(&options.bootstrap(), topic, partitions, CoordinatorOf::Transactions);
        let batch = records.min(shape.batch);
        let batches = records.div_ceil(batch);
        let of_a_request = batches.min(partitions as usize);
        let producer = |number: i32| {
            let transactional_id = TransactionalId(text(&format!("{topic}-{records}-{number}")));
            let written: Vec<i32> =
                (number..).take(of_a_request).map(|partition| partition % partitions).collect();
            Producer {
                request: EncodedRequest::new(&transactional_id, topic, &written, batch, value_bytes),
                transactional_id,
                id: -1,
                epoch: -1,
                asks: Asks::InitProducerId,
                asks_at: None,
                produced: 0,
                begun: 0,
                begun_at: Instant::now(),
                ending_at: Instant::now(),
            }
        };
        let producers: Vec<Producer> = (0..shape.producers).map(producer).collect();
        let mut all = Producers {
            connections: Connections::open(&options.bootstrap(), producers.len()),
            producers,
            batch: batch as i32,
            requests: batches.div_ceil(of_a_request) as i32,
            abort_every: shape.abort_every,
            ended: 0,
            retries: 0,
            transactions: Vec::new(),
            ends: Vec::new(),
        };
        (0..all.producers.len()).for_each(|at| all.ask(at));
        let deadline = Instant::now() + PATIENCE;
        while all.producers.iter().any(|producer| producer.asks == Asks::InitProducerId) {
            assert!(Instant::now() < deadline, "no producer ids");
            all.step();
        }
        all
    }

    fn ask(&mut self, at: usize) {
        let producer = &mut self.producers[at];
        producer.asks_at = None;
        match producer.asks {
            Asks::InitProducerId => self.connections.send(at, &init_producer_id(&producer.transactional_id)),
            Asks::Produce => {
                let sequence = producer.produced * self.batch;
                let frame = producer.request.of_producer(producer.id, producer.epoch, sequence);
                self.connections.send(at, frame);
            }
            Asks::EndTxn => {
                let aborts = self.abort_every > 0 && producer.begun.is_multiple_of(self.abort_every);
                let request = EndTxnRequest::default()
                    .with_transactional_id(producer.transactional_id.clone())
                    .with_producer_id(ProducerId(producer.id))
                    .with_producer_epoch(producer.epoch)
                    .with_committed(!aborts);
                self.connections.send(at, &frame(END_TXN_VERSION, &request));
            }
        }
    }

    fn begin(&mut self, at: usize) {
        let producer = &mut self.producers[at];
        (producer.asks, producer.produced) = (Asks::Produce, 0);
        producer.begun += 1;
        producer.begun_at = Instant::now();
        self.ask(at);
    }

    /// Takes the answers that have come, and asks what is due again. Returns the producers that have nothing to do.
    fn step(&mut self) -> Vec<usize> {
        let now = Instant::now();
        let mut next = now + PATIENCE;
        for at in 0..self.producers.len() {
            match self.producers[at].asks_at {
                Some(due) if due <= now => self.ask(at),
                Some(due) => next = next.min(due),
                None => {}
            }
        }
        let mut free = Vec::new();
        for (at, answer) in self.connections.receive(next) {
            let code = self.answered(at, answer);
            let producer = &mut self.producers[at];
            if passes(code) {
                producer.asks_at = Some(Instant::now() + RETRY_BACKOFF);
                self.retries += 1;
                continue;
            }
            assert_eq!(code, 0, "producer {at} in its transaction {}, {:?}", producer.begun, producer.asks);
            match producer.asks {
                Asks::InitProducerId => {
                    producer.asks = Asks::Produce;
                    free.push(at);
                }
                Asks::Produce => {
                    producer.produced += 1;
                    if producer.produced == self.requests {
                        producer.asks = Asks::EndTxn;
                        producer.ending_at = Instant::now();
                    }
                    self.ask(at);
                }
                Asks::EndTxn => {
                    self.transactions.push(producer.begun_at.elapsed());
                    self.ends.push(producer.ending_at.elapsed());
                    self.ended += 1;
                    free.push(at);
                }
            }
        }
        free
    }

    /// Notes what an answer says of the producer, and gives its code.
    fn answered(&mut self, at: usize, answer: Vec<u8>) -> i16 {
        let producer = &mut self.producers[at];
        let (code, id, epoch) = match producer.asks {
            Asks::InitProducerId => {
                let answer = response::<InitProducerIdRequest>(INIT_PRODUCER_ID_VERSION, answer);
                (answer.error_code, answer.producer_id, answer.producer_epoch)
            }
            Asks::Produce => {
                let answer = response::<ProduceRequest>(produce_request::VERSION, answer);
                let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
                return partitions.map(|partition| partition.error_code).find(|code| *code != 0).unwrap_or(0);
            }
            Asks::EndTxn => {
                let answer = response::<EndTxnRequest>(END_TXN_VERSION, answer);
                (answer.error_code, answer.producer_id, answer.producer_epoch)
            }
        };
        if code == 0 {
            (producer.id, producer.epoch) = (*id, epoch);
        }
        code
    }

    /// Transactions one after the other, while `go_on` says so of the number that was begun.
    fn run(&mut self, mut go_on: impl FnMut(u64) -> bool) {
        let mut begun = 0;
        let mut idle = 0;
        let mut free: Vec<usize> = (0..self.producers.len()).collect();
        while idle < self.producers.len() {
            for at in free {
                if go_on(begun) {
                    self.begin(at);
                    begun += 1;
                } else {
                    idle += 1;
                }
            }
            free = if idle < self.producers.len() { self.step() } else { Vec::new() };
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        self.run(|_| Instant::now() < end);
    }
}

/// As many transactions as are committed.
pub(crate) fn closed_loop(options: &Options, figures: &mut Figures) {
    let shape = Shape {
        topic: "transactions",
        partitions: options.get("partitions", 16),
        producers: options.get("producers", 1),
        records: options.get("records", 1),
        batch: options.get("batch", 1000),
        value_bytes: options.get("value_bytes", 100),
        abort_every: 0,
    };
    let mut producers = Producers::new(options, &shape);
    producers.run_for(options.seconds("warmup", 3.0));
    (producers.ended, producers.retries) = (0, 0);
    producers.transactions.clear();
    producers.ends.clear();
    let stretch = Stretch::begin(options.broker());
    producers.run_for(options.seconds("seconds", 10.0));
    stretch.end("transaction", producers.ended, figures);
    figures.add_latencies("commit_", &mut producers.ends);
    figures.add_latencies("whole_", &mut producers.transactions);
    figures.add("retries", producers.retries);
    figures.add("rss_kb", options.broker().rss_kb());
}

/// The topic that [`fill`] writes.
pub(crate) const FILLED: &str = "filled";

/// The number of its partitions.
pub(crate) fn filled_partitions(options: &Options) -> i32 {
    options.get("partitions", 4)
}

/// As many transactions as make up so many bytes.
pub(crate) fn fill(options: &Options, figures: &mut Figures) {
    let shape = Shape {
        topic: FILLED,
        partitions: filled_partitions(options),
        producers: options.get("producers", 4),
        records: options.get("records", 10_240),
        batch: options.get("batch", 160),
        value_bytes: options.get("value_bytes", 100),
        abort_every: options.get("abort_every", 10),
    };
    let mut producers = Producers::new(options, &shape);
    let wanted = options.get("bytes", 1_000_000_000) / (shape.records * shape.value_bytes) as u64;
    producers.run(|begun| begun < wanted);
    figures.add("transactions", producers.ended);
}
