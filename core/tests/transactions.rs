//! Transactions over raw connections: from the producer's id to the markers, what ends a zombie, and what a restart
//! leaves.

#![allow(clippy::unwrap_used)]

mod common;

use common::broker::{TestBroker, start};
use common::offset_apis::text;
use common::raw::RawClient;
use common::transaction_apis::{
    Producer, add, describe, end, find_coordinator, init, set_level, try_init, wait_for_state,
};
use fluxmq::config::FlushPolicy;
use fluxmq::server::BrokerHandle;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FindCoordinatorRequest, MetadataRequest, ProduceRequest,
    TopicName, TransactionalId,
};
use fluxmq_storage::batch::{BatchBuilder, BatchHeader};

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const INVALID_TIMEOUT: i16 = 50;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const PRODUCER_FENCED: i16 = 90;
const INVALID_MAPPING: i16 = 49;
const NOT_COORDINATOR: i16 = 16;

/// A connection to a broker that has the topic `t` of two partitions and that of transactions.
fn connect(broker: &BrokerHandle) -> RawClient {
    let mut client = RawClient::connect(broker.addr());
    make_topic(&mut client, "t", 2);
    find_coordinator(&mut client);
    client
}

fn make_topic(client: &mut RawClient, name: &str, partitions: i32) {
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
}

/// The batches in a partition of `t`: producer id, epoch, and whether they are markers.
fn batches(broker: &BrokerHandle, index: i32) -> Vec<(i64, i16, bool)> {
    let topics = broker.broker().metadata.topics();
    let partition = topics.by_name("t").unwrap().partition(index).unwrap();
    let slice = partition.log().read(0, 1 << 20, partition.log_end(), true).unwrap();
    let mut bytes = vec![0; slice.len()];
    slice.read_at(&mut bytes, 0).unwrap();
    let mut rest = &bytes[..];
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let header = BatchHeader::parse(rest).unwrap();
        batches.push((header.producer_id, header.producer_epoch, header.is_control()));
        rest = &rest[header.size_in_bytes()..];
    }
    batches
}

#[test]
fn a_transaction_ends_with_a_marker_in_each_of_its_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = connect(&broker);
    let mut producer = init(&mut client, "id");
    assert_eq!((producer.epoch, describe(&mut client, "id")), (0, (0, "Empty".to_owned())));
    assert_eq!(add(&mut client, 3, &producer, "t", &[0, 1]), [0, 0]);
    for version in 0..=3 {
        let refused = add(&mut client, version, &producer, "__transaction_state", &[0]);
        assert_eq!(refused, [TOPIC_AUTHORIZATION_FAILED], "v{version}: it isn't for clients");
    }
    assert_eq!(describe(&mut client, "id"), (0, "Ongoing".to_owned()));
    assert_eq!(end(&mut client, 4, &producer, true).error_code, 0);
    wait_for_state(&mut client, "id", "CompleteCommit");
    assert_eq!(batches(&broker, 0), [(producer.id, 0, true)]);
    assert_eq!(batches(&broker, 1), [(producer.id, 0, true)]);
    // It is asked again, and then another end.
    assert_eq!(end(&mut client, 4, &producer, true).error_code, 0);
    assert_eq!(end(&mut client, 4, &producer, false).error_code, INVALID_TXN_STATE);
    // Of version 2 the epoch of the marker is the next one, which the producer goes on with.
    assert_eq!(add(&mut client, 3, &producer, "t", &[1]), [0]);
    let ended = end(&mut client, 5, &producer, false);
    assert_eq!((ended.error_code, ended.producer_id.0, ended.producer_epoch), (0, producer.id, 1));
    wait_for_state(&mut client, "id", "CompleteAbort");
    assert_eq!(batches(&broker, 1), [(producer.id, 0, true), (producer.id, 1, true)]);
    producer.epoch = 1;
    assert_eq!(add(&mut client, 3, &producer, "t", &[1]), [0]);
    broker.shutdown().unwrap();
}

#[test]
fn a_producer_that_comes_again_fences_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = connect(&broker);
    let zombie = init(&mut client, "id");
    assert_eq!(add(&mut client, 3, &zombie, "t", &[0]), [0]);
    // Its transaction is aborted first, under an epoch that it doesn't have.
    let producer = init(&mut client, "id");
    assert_eq!((producer.id, producer.epoch), (zombie.id, 2));
    assert_eq!(batches(&broker, 0), [(zombie.id, 1, true)]);
    for (version, fenced) in [(1, INVALID_PRODUCER_EPOCH), (3, PRODUCER_FENCED)] {
        assert_eq!(add(&mut client, version, &zombie, "t", &[0]), [fenced]);
        assert_eq!(end(&mut client, version, &zombie, true).error_code, fenced);
    }
    let mut other = producer.clone();
    other.id += 1_000;
    assert_eq!(end(&mut client, 4, &other, true).error_code, INVALID_MAPPING);
    other.transactional_id = "unknown".to_owned();
    assert_eq!(add(&mut client, 3, &other, "t", &[0]), [INVALID_MAPPING]);
    assert_eq!(try_init(&mut client, 4, "id", 900_001).error_code, INVALID_TIMEOUT);
    broker.shutdown().unwrap();
}

#[test]
fn transactions_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = connect(&broker);
    let producer = init(&mut client, "id");
    assert_eq!(add(&mut client, 3, &producer, "t", &[0]), [0]);
    assert_eq!(set_level(&mut client, 1, "transaction.version", 0, 2).0, 0);
    broker.shutdown().unwrap();

    let broker = start(&directory);
    let mut client = RawClient::connect(broker.addr());
    assert_eq!(describe(&mut client, "id"), (0, "Ongoing".to_owned()));
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("raw"))
        .with_client_software_version(text("1"));
    let answer = client.call(4, &request);
    let finalized = answer.finalized_features.iter();
    let finalized: Vec<_> = finalized.map(|one| (one.name.as_str(), one.max_version_level)).collect();
    assert_eq!((answer.finalized_features_epoch, finalized), (1, vec![("group.version", 1)]));
    assert_eq!(end(&mut client, 4, &producer, true).error_code, 0);
    wait_for_state(&mut client, "id", "CompleteCommit");
    // With a new block of producer ids.
    assert!(init(&mut client, "other").id > producer.id);
    broker.shutdown().unwrap();
}

#[test]
fn the_topic_is_made_when_a_coordinator_is_looked_for() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = RawClient::connect(broker.addr());
    assert_eq!(try_init(&mut client, 4, "id", 1_000).error_code, NOT_COORDINATOR);
    assert_eq!(try_init(&mut client, 4, "id", 0).error_code, INVALID_TIMEOUT);
    let port = i32::from(broker.addr().port());
    let keys = vec![text("a"), text("b")];
    let request = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(keys);
    let found = client.call(4, &request);
    let ports: Vec<_> = found.coordinators.iter().map(|found| (found.error_code, found.port)).collect();
    assert_eq!(ports, [(0, port), (0, port)]);
    let topics = client.call(12, &MetadataRequest::default().with_topics(None)).topics;
    let made: Vec<_> = topics
        .iter()
        .map(|topic| (topic.name.as_ref().unwrap().as_str(), topic.partitions.len(), topic.is_internal))
        .collect();
    assert_eq!(made, [("__transaction_state", 50, true)]);
    assert_eq!(try_init(&mut client, 4, "id", 1_000).error_code, 0);
    broker.shutdown().unwrap();
}

const WIDE: i32 = 8;

/// Writes a record to each partition of `wide` in a transaction, whose first batches add them, and commits it.
fn transact(client: &mut RawClient, producer: &mut Producer) {
    let batch = BatchBuilder::new()
        .producer(producer.id, producer.epoch, 0)
        .transactional()
        .record(0, None, Some(b"value"))
        .build();
    let partition =
        |index| PartitionProduceData::default().with_index(index).with_records(Some(batch.bytes().clone()));
    let data = TopicProduceData::default()
        .with_name(TopicName(text("wide")))
        .with_partition_data((0..WIDE).map(partition).collect());
    let request = ProduceRequest::default()
        .with_transactional_id(Some(TransactionalId(text(&producer.transactional_id))))
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data]);
    let answer = client.call(12, &request);
    let codes = answer.responses[0].partition_responses.iter().map(|partition| partition.error_code);
    assert_eq!(codes.collect::<Vec<_>>(), [0; WIDE as usize], "of {producer:?}");
    let ended = end(client, 5, producer, true);
    assert_eq!((ended.error_code, ended.producer_id.0), (0, producer.id));
    producer.epoch = ended.producer_epoch;
}

/// The markers of the last transaction may come at any moment while the next one begins.
#[test]
fn a_transaction_begins_as_soon_as_the_last_one_is_complete() {
    for policy in [FlushPolicy::Never, FlushPolicy::Acks] {
        let broker = TestBroker::with(|config| {
            config.log_flush_policy = policy;
            // Who waits as long as this isn't answered in time.
            config.add_partitions_to_txn_retry_backoff_ms = 60_000;
            config.add_partitions_to_txn_retry_backoff_max_ms = 60_000;
        });
        let broker = &broker.handle;
        make_topic(&mut connect(broker), "wide", WIDE);
        std::thread::scope(|threads| {
            for number in 0..8 {
                threads.spawn(move || {
                    let mut client = connect(broker);
                    let mut producer = init(&mut client, &format!("id-{number}"));
                    (0..150).for_each(|_| transact(&mut client, &mut producer));
                });
            }
        });
    }
}
