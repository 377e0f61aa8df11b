//! What a transactional producer should not send, or can't finish: each request is answered with Kafka's code and changes
//! nothing, and whoever comes after a client that died finds its transaction whole or gone.

#![allow(clippy::unwrap_used)]

mod common;

use common::broker::start;
use common::offset_apis::text;
use common::offsets_in_transactions::{self, TxnProducer, errors, stable_at_last};
use common::raw::RawClient;
use common::transaction_apis::{self, Producer, init, until_done};
use fluxmq::server::BrokerHandle;
use fluxmq_protocol::messages::describe_producers_request::TopicRequest;
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use fluxmq_protocol::messages::{
    AddOffsetsToTxnRequest, DescribeProducersRequest, DescribeTransactionsRequest, GroupId,
    InitProducerIdRequest, ListTransactionsRequest, ProduceRequest, ProducerId, TopicName, TransactionalId,
    WriteTxnMarkersRequest,
};
use fluxmq_storage::batch::BatchBuilder;

const NONE: i16 = 0;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_GROUP_ID: i16 = 24;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const INVALID_REQUEST: i16 = 42;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const INVALID_TRANSACTION_TIMEOUT: i16 = 50;
const TRANSACTION_COORDINATOR_FENCED: i16 = 52;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const PRODUCER_FENCED: i16 = 90;
const TRANSACTION_ABORTABLE: i16 = 120;

/// A version that is told INVALID_PRODUCER_EPOCH in place of PRODUCER_FENCED.
const BEFORE_FENCED: i16 = 1;

fn connect(broker: &BrokerHandle) -> RawClient {
    let mut client = offsets_in_transactions::connect(broker);
    transaction_apis::find_coordinator(&mut client);
    client
}

/// What a producer's batch of one record says of it.
#[derive(Clone, Copy)]
struct Batch {
    sequence: i32,
    transactional: bool,
}

/// Writes a batch, once the transaction before has ended; gives the code.
fn produce(
    client: &mut RawClient,
    version: i16,
    producer: &Producer,
    transactional_id: Option<&str>,
    partition: i32,
    batch: Batch,
) -> i16 {
    let mut builder = BatchBuilder::new().producer(producer.id, producer.epoch, batch.sequence);
    if batch.transactional {
        builder = builder.transactional();
    }
    let records = builder.record(fluxmq::clock::Clock::default().now_ms(), None, Some(b"value")).build();
    let data =
        PartitionProduceData::default().with_index(partition).with_records(Some(records.bytes().clone()));
    let topic = TopicProduceData::default().with_name(TopicName(text("t"))).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]);
    let answer = until_done(
        || client.call(version, &request),
        |answer| answer.responses[0].partition_responses[0].error_code,
    );
    answer.responses[0].partition_responses[0].error_code
}

/// A broker in which `open` has a transaction with a record in `t-0`, and `taken` belongs to another producer by now.
struct World {
    broker: BrokerHandle,
    client: RawClient,
    open: Producer,
    zombie: Producer,
    taken: Producer,
}

const NEXT: Batch = Batch { sequence: 1, transactional: true };

impl World {
    fn new(directory: &tempfile::TempDir) -> Self {
        let broker = start(directory);
        let mut client = connect(&broker);
        let zombie = init(&mut client, "taken");
        let first = Batch { sequence: 0, transactional: true };
        assert_eq!(transaction_apis::add(&mut client, 3, &zombie, "t", &[1]), [NONE]);
        assert_eq!(produce(&mut client, 9, &zombie, Some("taken"), 1, first), NONE);
        let taken = init(&mut client, "taken");
        let open = init(&mut client, "open");
        assert_eq!(transaction_apis::add(&mut client, 3, &open, "t", &[0]), [NONE]);
        assert_eq!(produce(&mut client, 9, &open, Some("open"), 0, first), NONE);
        World { broker, client, open, zombie, taken }
    }

    /// All that requests about transactions can change, as clients and the logs tell it.
    fn state(&mut self) -> String {
        let listed = self.client.call(0, &ListTransactionsRequest::default()).transaction_states;
        let mut ids: Vec<_> = listed.into_iter().map(|one| one.transactional_id).collect();
        ids.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        let described =
            self.client.call(0, &DescribeTransactionsRequest::default().with_transactional_ids(ids));
        let of_t = TopicRequest::default().with_name(TopicName(text("t"))).with_partition_indexes(vec![0, 1]);
        let producers = self.client.call(0, &DescribeProducersRequest::default().with_topics(vec![of_t]));
        let topics = self.broker.broker().metadata.topics();
        let ends = ["t", "__transaction_state", "__consumer_offsets"].map(|name| {
            let partitions = (0..).map_while(|index| topics.by_name(name).unwrap().partition(index).cloned());
            let ends = partitions.map(|one| (one.log_end().offset, one.last_stable_offset().offset));
            ends.filter(|ends| *ends != (0, 0)).collect::<Vec<_>>()
        });
        format!("{described:?}\n{producers:?}\n{ends:?}")
    }

    fn init(&mut self, version: i16, request: &InitProducerIdRequest) -> i16 {
        self.client.call(version, request).error_code
    }

    fn add(&mut self, version: i16, producer: &Producer, topic: &str) -> i16 {
        transaction_apis::add(&mut self.client, version, producer, topic, &[0])[0]
    }

    fn add_offsets(&mut self, version: i16, producer: &Producer, group: &str) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(&producer.transactional_id)))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_group_id(GroupId(text(group)));
        self.client.call(version, &request).error_code
    }

    fn commit_offsets(&mut self, version: i16, producer: &Producer, group: &str) -> i16 {
        let committing = TxnProducer {
            transactional_id: TransactionalId(text(&producer.transactional_id)),
            producer_id: ProducerId(producer.id),
            producer_epoch: producer.epoch,
            version,
        };
        errors(&self.client.call(version, &committing.commit(group, "t", 0, 9)))[0]
    }

    fn produce(&mut self, version: i16, producer: &Producer, partition: i32, batch: Batch) -> i16 {
        produce(&mut self.client, version, producer, Some(&producer.transactional_id), partition, batch)
    }

    fn end(&mut self, version: i16, producer: &Producer, commit: bool) -> i16 {
        transaction_apis::end(&mut self.client, version, producer, commit).error_code
    }

    fn mark(&mut self, producer: &Producer, coordinator_epoch: i32, topic: &str) -> i16 {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partition_indexes(vec![1]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_transaction_result(true)
            .with_coordinator_epoch(coordinator_epoch)
            .with_topics(vec![topic]);
        let answer = self.client.call(1, &WriteTxnMarkersRequest::default().with_markers(vec![marker]));
        answer.markers[0].topics[0].partitions[0].error_code
    }
}

/// The same producer, but for its id or epoch.
fn with_id(producer: &Producer, transactional_id: &str) -> Producer {
    Producer { transactional_id: transactional_id.to_owned(), ..producer.clone() }
}
fn stranger(producer: &Producer) -> Producer {
    Producer { id: producer.id + 1_000_000, ..producer.clone() }
}
fn from_the_future(producer: &Producer) -> Producer {
    Producer { epoch: producer.epoch + 1, ..producer.clone() }
}

fn init_request(transactional_id: &str, timeout_ms: i32) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(transactional_id))))
        .with_transaction_timeout_ms(timeout_ms)
}
fn recovery_of(producer: &Producer) -> InitProducerIdRequest {
    init_request(&producer.transactional_id, 60_000)
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}

/// What is asked for, how it is asked, and the code.
type Row = (&'static str, fn(&mut World) -> i16, i16);

/// Each row is answered with its code, and changes nothing.
fn check(api: &str, rows: &[Row]) {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(&directory);
    let before = world.state();
    for (what, ask, code) in rows {
        assert_eq!(ask(&mut world), *code, "{api}: {what}");
        assert_eq!(world.state(), before, "{api}: {what}");
    }
    // It was there to be changed.
    assert_eq!(world.end(4, &world.open.clone(), true), NONE);
    assert_ne!(world.state(), before, "{api}");
    drop(world.client);
    world.broker.shutdown().unwrap();
}

#[test]
fn init_producer_id() {
    check(
        "InitProducerId",
        &[
            ("no id", |w| w.init(4, &init_request("", 60_000)), INVALID_REQUEST),
            ("no time", |w| w.init(4, &init_request("open", 0)), INVALID_TRANSACTION_TIMEOUT),
            ("negative time", |w| w.init(4, &init_request("open", -1)), INVALID_TRANSACTION_TIMEOUT),
            ("too much time", |w| w.init(4, &init_request("open", 900_001)), INVALID_TRANSACTION_TIMEOUT),
            (
                "an epoch without a producer id",
                |w| w.init(4, &init_request("open", 60_000).with_producer_epoch(3)),
                INVALID_REQUEST,
            ),
            ("a stranger recovers", |w| w.init(4, &recovery_of(&stranger(&w.open))), PRODUCER_FENCED),
            (
                "a stranger recovers, v3",
                |w| w.init(3, &recovery_of(&stranger(&w.open))),
                INVALID_PRODUCER_EPOCH,
            ),
            ("a zombie recovers", |w| w.init(4, &recovery_of(&w.zombie)), PRODUCER_FENCED),
            (
                "an epoch nobody has recovers",
                |w| w.init(4, &recovery_of(&from_the_future(&w.taken))),
                PRODUCER_FENCED,
            ),
        ],
    );
}

#[test]
fn add_partitions_to_txn() {
    check(
        "AddPartitionsToTxn",
        &[
            ("no id", |w| w.add(3, &with_id(&w.open, ""), "t"), INVALID_REQUEST),
            ("an unknown id", |w| w.add(3, &with_id(&w.open, "unknown"), "t"), INVALID_PRODUCER_ID_MAPPING),
            ("a stranger", |w| w.add(3, &stranger(&w.open), "t"), INVALID_PRODUCER_ID_MAPPING),
            ("a zombie", |w| w.add(3, &w.zombie.clone(), "t"), PRODUCER_FENCED),
            ("a zombie of old", |w| w.add(BEFORE_FENCED, &w.zombie.clone(), "t"), INVALID_PRODUCER_EPOCH),
            ("an epoch nobody has", |w| w.add(3, &from_the_future(&w.open), "t"), PRODUCER_FENCED),
            ("no topic", |w| w.add(3, &w.open.clone(), "none"), UNKNOWN_TOPIC_OR_PARTITION),
            (
                "not for clients",
                |w| w.add(3, &w.open.clone(), "__transaction_state"),
                TOPIC_AUTHORIZATION_FAILED,
            ),
        ],
    );
}

#[test]
fn add_offsets_to_txn() {
    check(
        "AddOffsetsToTxn",
        &[
            ("no id", |w| w.add_offsets(3, &with_id(&w.open, ""), "g"), INVALID_REQUEST),
            (
                "an unknown id",
                |w| w.add_offsets(3, &with_id(&w.open, "unknown"), "g"),
                INVALID_PRODUCER_ID_MAPPING,
            ),
            ("a stranger", |w| w.add_offsets(3, &stranger(&w.open), "g"), INVALID_PRODUCER_ID_MAPPING),
            ("a zombie", |w| w.add_offsets(3, &w.zombie.clone(), "g"), PRODUCER_FENCED),
            (
                "a zombie of old",
                |w| w.add_offsets(BEFORE_FENCED, &w.zombie.clone(), "g"),
                INVALID_PRODUCER_EPOCH,
            ),
        ],
    );
}

#[test]
fn txn_offset_commit() {
    check(
        "TxnOffsetCommit",
        &[
            ("offsets not added", |w| w.commit_offsets(3, &w.open.clone(), "g"), INVALID_TXN_STATE),
            ("the same, v4", |w| w.commit_offsets(4, &w.open.clone(), "g"), TRANSACTION_ABORTABLE),
            ("no group", |w| w.commit_offsets(5, &w.open.clone(), ""), INVALID_GROUP_ID),
            ("no id", |w| w.commit_offsets(5, &with_id(&w.open, ""), "g"), INVALID_REQUEST),
            (
                "an unknown id",
                |w| w.commit_offsets(5, &with_id(&w.open, "unknown"), "g"),
                INVALID_PRODUCER_ID_MAPPING,
            ),
            ("a stranger", |w| w.commit_offsets(5, &stranger(&w.open), "g"), INVALID_PRODUCER_ID_MAPPING),
            ("a zombie", |w| w.commit_offsets(5, &w.zombie.clone(), "g"), INVALID_PRODUCER_EPOCH),
        ],
    );
}

#[test]
fn produce_in_a_transaction() {
    check(
        "Produce",
        &[
            (
                "a gap",
                |w| w.produce(12, &w.open.clone(), 0, Batch { sequence: 5, ..NEXT }),
                OUT_OF_ORDER_SEQUENCE_NUMBER,
            ),
            (
                "a batch outside of the open transaction",
                |w| w.produce(12, &w.open.clone(), 0, Batch { transactional: false, ..NEXT }),
                INVALID_TXN_STATE,
            ),
            (
                "a transactional batch under no id",
                |w| produce(&mut w.client, 12, &w.open.clone(), None, 0, NEXT),
                TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            ),
            (
                "a partition that was not added",
                |w| w.produce(10, &w.open.clone(), 1, Batch { sequence: 0, ..NEXT }),
                INVALID_TXN_STATE,
            ),
            (
                "the same, v11",
                |w| w.produce(11, &w.open.clone(), 1, Batch { sequence: 0, ..NEXT }),
                TRANSACTION_ABORTABLE,
            ),
            ("a zombie", |w| w.produce(9, &w.zombie.clone(), 1, NEXT), INVALID_PRODUCER_EPOCH),
            ("a zombie, v12", |w| w.produce(12, &w.zombie.clone(), 1, NEXT), INVALID_PRODUCER_EPOCH),
            (
                "a zombie elsewhere",
                |w| w.produce(12, &w.zombie.clone(), 0, Batch { sequence: 0, ..NEXT }),
                INVALID_PRODUCER_EPOCH,
            ),
            (
                "a stranger",
                |w| w.produce(12, &stranger(&w.open), 0, Batch { sequence: 0, ..NEXT }),
                INVALID_PRODUCER_ID_MAPPING,
            ),
        ],
    );
}

#[test]
fn end_txn() {
    check(
        "EndTxn",
        &[
            ("no id", |w| w.end(4, &with_id(&w.open, ""), true), INVALID_REQUEST),
            ("an unknown id", |w| w.end(4, &with_id(&w.open, "unknown"), true), INVALID_PRODUCER_ID_MAPPING),
            ("a stranger", |w| w.end(4, &stranger(&w.open), true), INVALID_PRODUCER_ID_MAPPING),
            ("a stranger, v5", |w| w.end(5, &stranger(&w.open), true), INVALID_PRODUCER_ID_MAPPING),
            ("a zombie", |w| w.end(4, &w.zombie.clone(), true), PRODUCER_FENCED),
            ("a zombie, v5", |w| w.end(5, &w.zombie.clone(), false), PRODUCER_FENCED),
            ("a zombie of old", |w| w.end(BEFORE_FENCED, &w.zombie.clone(), true), INVALID_PRODUCER_EPOCH),
            ("an epoch nobody has", |w| w.end(4, &from_the_future(&w.open), true), PRODUCER_FENCED),
            ("an epoch nobody has, v5", |w| w.end(5, &from_the_future(&w.open), true), PRODUCER_FENCED),
            ("nothing to commit", |w| w.end(4, &w.taken.clone(), true), INVALID_TXN_STATE),
            ("nothing to commit, v5", |w| w.end(5, &w.taken.clone(), true), INVALID_TXN_STATE),
        ],
    );
}

#[test]
fn write_txn_markers() {
    check(
        "WriteTxnMarkers",
        &[
            ("of an old epoch", |w| w.mark(&w.zombie.clone(), 0, "t"), INVALID_PRODUCER_EPOCH),
            (
                "of a coordinator before the last",
                |w| w.mark(&w.taken.clone(), -1, "t"),
                TRANSACTION_COORDINATOR_FENCED,
            ),
            ("no topic", |w| w.mark(&w.taken.clone(), 0, "none"), UNKNOWN_TOPIC_OR_PARTITION),
        ],
    );
}

/// What a client does in a transaction, one request each, by the two protocols.
const PLAINLY: [&str; 5] = ["add", "produce", "add offsets", "commit offsets", "end"];
const ADDING: [&str; 3] = ["produce", "commit offsets", "end"];

fn step(client: &mut RawClient, producer: &Producer, version: i16, what: &str) -> i16 {
    let adds = version >= 5;
    let mut committing = TxnProducer {
        transactional_id: TransactionalId(text(&producer.transactional_id)),
        producer_id: ProducerId(producer.id),
        producer_epoch: producer.epoch,
        version,
    };
    match what {
        "add" => transaction_apis::add(client, 3, producer, "t", &[0])[0],
        "produce" => {
            let first = Batch { sequence: 0, transactional: true };
            let version = if adds { 12 } else { 9 };
            produce(client, version, producer, Some(&producer.transactional_id), 0, first)
        }
        "add offsets" => {
            committing.add_offsets(client, "g");
            NONE
        }
        "commit offsets" => {
            let request = committing.commit("g", "t", 0, 100 + i64::from(producer.epoch));
            committing.send(client, &request)[0]
        }
        _ => {
            committing.end(client, true);
            NONE
        }
    }
}

/// The client goes after each of its requests in turn. Whoever is next with its id finds what it wrote committed if it
/// had asked for that, and nothing of it otherwise.
#[test]
fn a_client_that_dies_leaves_a_whole_transaction_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = connect(&broker);
    let topics = broker.broker().metadata.topics();
    let partition = topics.by_name("t").unwrap().partition(0).unwrap();
    let mut committed = 3;
    for (version, steps) in [(3, &PLAINLY[..]), (5, &ADDING[..])] {
        for until in 0..=steps.len() {
            let what = format!("v{version}, after {:?}", &steps[..until]);
            let mut dying = RawClient::connect(broker.addr());
            let producer = init(&mut dying, "dying");
            let begins_at = partition.log_end().offset;
            for name in &steps[..until] {
                assert_eq!(step(&mut dying, &producer, version, name), NONE, "{what}");
            }
            drop(dying);
            if until == steps.len() {
                committed = 100 + i64::from(producer.epoch);
            }
            let next = init(&mut client, "dying");
            assert!((next.id, next.epoch) > (producer.id, producer.epoch), "{what}");
            assert_eq!(stable_at_last(&mut client, "g"), [committed], "{what}");
            let end = partition.log_end();
            assert_eq!(partition.last_stable_offset().offset, end.offset, "{what}: nothing is open");
            let aborted = partition.log().aborted_transactions(begins_at, end.offset).unwrap();
            let wrote = steps[..until].contains(&"produce");
            let in_vain = wrote && until < steps.len();
            let began: Vec<_> = aborted.iter().map(|one| (one.producer_id, one.first_offset)).collect();
            assert_eq!(began, if in_vain { vec![(producer.id, begins_at)] } else { vec![] }, "{what}");
        }
    }
    drop(client);
    broker.shutdown().unwrap();
}
