//! Transactions as the partitions' readers and writers see them, by raw frames: Produce, Fetch, ListOffsets,
//! DescribeProducers. The markers are appended to the partitions themselves; the coordinator has its own tests.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::broker::{Client, TestBroker};
use fluxmq::config::TopicConfig;
use fluxmq::meta::topics::Topic;
use fluxmq::partitions::high_watermark::Acks;
use fluxmq::partitions::partition::{EndTransaction, Partition};
use fluxmq_protocol::messages::describe_producers_request::TopicRequest;
use fluxmq_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use fluxmq_protocol::messages::fetch_response::PartitionData;
use fluxmq_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::produce_response::PartitionProduceResponse;
use fluxmq_protocol::messages::{
    ApiKey, DescribeProducersRequest, DescribeProducersResponse, FetchRequest, FetchResponse,
    ListOffsetsRequest, ListOffsetsResponse, ProduceRequest, ProduceResponse, TopicName, TransactionalId,
};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::batch::{BatchBuilder, CheckedBatch};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};

fn now_ms() -> i64 {
    fluxmq::clock::Clock::default().now_ms()
}

fn plain(value_bytes: usize) -> CheckedBatch {
    BatchBuilder::new().record(now_ms(), None, Some(&vec![7; value_bytes])).build()
}

fn transactional(producer_id: i64, epoch: i16, sequence: i32, value_bytes: usize) -> CheckedBatch {
    BatchBuilder::new()
        .producer(producer_id, epoch, sequence)
        .transactional()
        .record(now_ms(), Some(b"key"), Some(&vec![7; value_bytes]))
        .build()
}

/// Appends a transactional batch as if the coordinator had agreed.
fn write(partition: &Arc<Partition>, producer_id: i64, sequence: i32, value_bytes: usize) -> i64 {
    let log = partition.log();
    let guard = log.maybe_start_verification(producer_id, sequence, 0, false, now_ms()).unwrap();
    let batch = transactional(producer_id, 0, sequence, value_bytes);
    let transaction = TransactionContext { guard, ..TransactionContext::NONE };
    let origin = AppendOrigin::Client;
    partition.append_as(origin, &batch, Acks::Leader, now_ms(), transaction).unwrap().appended.base_offset
}

fn end(partition: &Arc<Partition>, producer_id: i64, commit: bool) -> i64 {
    let end = EndTransaction {
        producer_id,
        producer_epoch: 0,
        commit,
        coordinator_epoch: 3,
        transaction_version: 1,
    };
    partition.append_marker(&end, now_ms()).unwrap().appended.base_offset
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn fetch(topic: &Topic, version: i16, from_offset: i64, isolation_level: i8) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(from_offset)
        .with_partition_max_bytes(10 << 20);
    let mut topic_request = FetchTopic::default().with_partitions(vec![partition]);
    if version >= 13 {
        topic_request.topic_id = topic.id;
    } else {
        topic_request.topic = TopicName(topic.name.clone());
    }
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_isolation_level(isolation_level)
        .with_topics(vec![topic_request])
}

fn only(response: &FetchResponse) -> &PartitionData {
    assert_eq!(response.error_code, 0);
    &response.responses[0].partitions[0]
}

fn aborted(data: &PartitionData) -> Option<Vec<(i64, i64)>> {
    let list = data.aborted_transactions.as_ref()?;
    Some(list.iter().map(|one| (one.producer_id.0, one.first_offset)).collect())
}

/// What lies in the log between two places.
fn stored(partition: &Partition, from_offset: i64, end_offset: i64) -> Bytes {
    let until = partition.log().locate(end_offset).unwrap();
    partition.log().read(from_offset, u32::MAX, until, true).unwrap().to_vec().unwrap().into()
}

#[test]
fn committed_reads_end_before_an_open_transaction_and_name_the_aborted_ones() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let partition = topic.partition(0).unwrap();
    partition.append(&plain(10), Acks::Leader, now_ms()).unwrap();
    write(partition, 7, 0, 50_000);
    end(partition, 7, false);
    write(partition, 8, 0, 10);
    end(partition, 8, true);
    partition.append(&plain(100_000), Acks::Leader, now_ms()).unwrap();
    let open_at = write(partition, 9, 0, 10);
    partition.append(&plain(10), Acks::Leader, now_ms()).unwrap();
    wait_until("the markers are durable", || partition.last_stable_offset().offset == open_at);
    let mut client = broker.connect();
    for version in 4..=18 {
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &fetch(&topic, version, 0, 1));
        let data = only(&response);
        assert_eq!((data.error_code, data.high_watermark, data.last_stable_offset), (0, 8, open_at));
        assert_eq!(aborted(data), Some(vec![(7, 1)]), "v{version}");
        assert_eq!(data.records.as_ref().unwrap(), &stored(partition, 0, open_at), "v{version}");
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &fetch(&topic, version, 0, 0));
        let data = only(&response);
        assert_eq!((data.high_watermark, data.last_stable_offset), (8, open_at), "told in both");
        assert_eq!(aborted(data), None);
        assert_eq!(data.records.as_ref().unwrap(), &stored(partition, 0, 8), "v{version}");
    }
    for (from_offset, expected) in [(2, vec![(7, 1)]), (3, vec![]), (open_at, vec![])] {
        let response: FetchResponse = client.call(ApiKey::Fetch, 12, &fetch(&topic, 12, from_offset, 1));
        let data = only(&response);
        assert_eq!(aborted(data), Some(expected), "from {from_offset}");
        assert_eq!(data.records.as_ref().unwrap().is_empty(), from_offset == open_at);
    }
}

#[test]
fn a_committed_long_poll_ends_with_the_durable_marker() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let partition = topic.partition(0).unwrap();
    write(partition, 7, 0, 100);
    let mut client = broker.connect();
    let mut any = broker.connect();
    let poll = fetch(&topic, 12, 0, 1).with_max_wait_ms(20_000).with_min_bytes(100);
    let id = client.send(ApiKey::Fetch, 12, &poll);
    wait_until("the fetch waits", || partition.waiting().0 == 1);
    let response: FetchResponse = any.call(ApiKey::Fetch, 12, &poll.clone().with_isolation_level(0));
    assert!(!only(&response).records.as_ref().unwrap().is_empty(), "uncommitted reads don't wait");
    partition.append(&plain(500), Acks::Leader, now_ms()).unwrap();
    assert_eq!(partition.waiting().0, 1, "what is behind an open transaction doesn't count");
    let began = Instant::now();
    end(partition, 7, false);
    let response: FetchResponse = client.receive(ApiKey::Fetch, 12, id);
    assert!(began.elapsed() < Duration::from_secs(10));
    let data = only(&response);
    assert_eq!((data.last_stable_offset, aborted(data)), (3, Some(vec![(7, 0)])));
    assert_eq!(partition.waiting().0, 0);
}

fn list_offset(client: &mut Client, timestamp: i64, isolation_level: i8) -> (i16, i64) {
    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(isolation_level)
        .with_topics(vec![topic]);
    let response: ListOffsetsResponse = client.call(ApiKey::ListOffsets, 7, &request);
    let partition = &response.topics[0].partitions[0];
    (partition.error_code, partition.offset)
}

#[test]
fn offsets_are_listed_below_what_is_decided() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let partition = topic.partition(0).unwrap();
    partition.append(&plain(10), Acks::Leader, now_ms()).unwrap();
    let before = now_ms() + 1;
    wait_until("a millisecond passes", || now_ms() > before);
    write(partition, 7, 0, 10);
    let mut client = broker.connect();
    const LATEST: i64 = -1;
    const MAX_TIMESTAMP: i64 = -3;
    assert_eq!(list_offset(&mut client, LATEST, 0), (0, 2));
    assert_eq!(list_offset(&mut client, LATEST, 1), (0, 1));
    assert_eq!(list_offset(&mut client, before, 0), (0, 1));
    assert_eq!(list_offset(&mut client, before, 1), (0, -1));
    assert_eq!(list_offset(&mut client, MAX_TIMESTAMP, 0), (0, 1));
    assert_eq!(list_offset(&mut client, MAX_TIMESTAMP, 1), (0, -1));
    end(partition, 7, true);
    wait_until("the marker is durable", || partition.last_stable_offset().offset == 3);
    assert_eq!(list_offset(&mut client, LATEST, 1), (0, 3));
    assert_eq!(list_offset(&mut client, before, 1), (0, 1));
}

#[test]
fn an_isolation_level_that_is_none_fails_the_request() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    topic.partition(0).unwrap().append(&plain(10), Acks::Leader, now_ms()).unwrap();
    let mut client = broker.connect();
    let unknown = ErrorCode::UnknownServerError.code();
    for isolation_level in [-1, 2] {
        for version in 4..=18 {
            let request = fetch(&topic, version, 0, isolation_level);
            let response: FetchResponse = client.call(ApiKey::Fetch, version, &request);
            assert_eq!(response.error_code, if version >= 7 { unknown } else { 0 }, "v{version}");
            // Clients of topic ids know the code of the request.
            let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
            let told: Vec<_> = partitions.map(|data| (data.error_code, data.high_watermark)).collect();
            assert_eq!(told, [(unknown, -1)][usize::from(version >= 13)..], "v{version}");
        }
        assert_eq!(list_offset(&mut client, -1, isolation_level), (unknown, -1));
    }
}

fn produce(
    client: &mut Client,
    version: i16,
    topic: &Topic,
    transactional_id: Option<&'static str>,
    batches: &[&CheckedBatch],
) -> Vec<PartitionProduceResponse> {
    let partitions = (0..).zip(batches).map(|(index, batch)| {
        PartitionProduceData::default().with_index(index).with_records(Some(batch.bytes().clone()))
    });
    let mut data = TopicProduceData::default().with_partition_data(partitions.collect());
    if version >= 13 {
        data.topic_id = topic.id;
    } else {
        data.name = TopicName(topic.name.clone());
    }
    let request = ProduceRequest::default()
        .with_transactional_id(transactional_id.map(|id| TransactionalId(StrBytes::from_static_str(id))))
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![data]);
    let response: ProduceResponse = client.call(ApiKey::Produce, version, &request);
    response.responses.into_iter().flat_map(|topic| topic.partition_responses).collect()
}

fn codes(responses: &[PartitionProduceResponse]) -> Vec<ErrorCode> {
    responses.iter().map(|response| ErrorCode::from_code(response.error_code).unwrap()).collect()
}

#[test]
fn the_first_batch_of_a_transaction_needs_the_coordinator() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 2, TopicConfig::default());
    let mut client = broker.connect();
    let first = transactional(7, 0, 0, 10);
    let answer = produce(&mut client, 12, &topic, None, &[&first]);
    assert_eq!(codes(&answer), [ErrorCode::TransactionalIdAuthorizationFailed]);
    for version in [3, 10, 11, 12, 13] {
        let answer = produce(&mut client, version, &topic, Some("id"), &[&first, &plain(10)]);
        assert_eq!(codes(&answer), [ErrorCode::NotEnoughReplicas, ErrorCode::None], "v{version}");
        if version >= 8 {
            let message = answer[0].error_message.as_deref().unwrap();
            assert!(message.starts_with("Unable to verify the partition has been added"), "{message}");
        }
    }
    assert_eq!(topic.partition(0).unwrap().log_end().offset, 0);
    let answer = produce(&mut client, 12, &topic, Some("id"), &[&first, &transactional(8, 0, 0, 10)]);
    assert_eq!(codes(&answer), [ErrorCode::InvalidProducerIdMapping; 2]);
    let message = answer[0].error_message.as_deref();
    assert_eq!(message, Some("Transactional records contained more than one producer ID"));
    // A transactional id alone, with an ordinary batch, changes nothing.
    let answer = produce(&mut client, 12, &topic, Some("id"), &[&plain(10)]);
    assert_eq!((codes(&answer), answer[0].base_offset), (vec![ErrorCode::None], 0));
}

#[test]
fn an_open_transaction_is_written_on_without_the_coordinator() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let partition = topic.partition(0).unwrap();
    write(partition, 7, 0, 10);
    let mut client = broker.connect();
    for (sequence, version) in [(1, 3), (2, 11), (3, 12), (4, 13)] {
        let answer = produce(&mut client, version, &topic, Some("id"), &[&transactional(7, 0, sequence, 10)]);
        let told = (codes(&answer), answer[0].base_offset);
        assert_eq!(told, (vec![ErrorCode::None], i64::from(sequence)), "v{version}");
    }
    let gap = produce(&mut client, 12, &topic, Some("id"), &[&transactional(7, 0, 9, 10)]);
    assert_eq!(codes(&gap), [ErrorCode::OutOfOrderSequenceNumber]);
    let outside = BatchBuilder::new().producer(7, 0, 5).record(now_ms(), None, Some(b"x")).build();
    let outside = produce(&mut client, 12, &topic, None, &[&outside]);
    assert_eq!(codes(&outside), [ErrorCode::InvalidTxnState]);
    end(partition, 7, true);
    // Sent again after the marker: as in Kafka the coordinator is asked first, though the log has it.
    let again = produce(&mut client, 11, &topic, Some("id"), &[&transactional(7, 0, 4, 10)]);
    assert_eq!(codes(&again), [ErrorCode::NotEnoughReplicas]);
}

#[test]
fn an_old_epoch_is_refused_without_the_coordinator() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let partition = topic.partition(0).unwrap();
    write(partition, 7, 0, 10);
    let end = EndTransaction {
        producer_id: 7,
        producer_epoch: 4,
        commit: false,
        coordinator_epoch: 0,
        transaction_version: 2,
    };
    partition.append_marker(&end, now_ms()).unwrap();
    let mut client = broker.connect();
    for version in [11, 12] {
        let answer = produce(&mut client, version, &topic, Some("id"), &[&transactional(7, 3, 1, 10)]);
        assert_eq!(codes(&answer), [ErrorCode::InvalidProducerEpoch], "v{version}");
        assert_eq!(answer[0].error_message, None);
    }
}

#[test]
fn verification_can_be_switched_off_for_producers_that_add_their_partitions() {
    let broker = TestBroker::with(|config| config.transaction_partition_verification_enable = false);
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let partition = topic.partition(0).unwrap();
    let mut client = broker.connect();
    let answer = produce(&mut client, 11, &topic, Some("id"), &[&transactional(7, 0, 0, 10)]);
    assert_eq!(codes(&answer), [ErrorCode::None]);
    wait_until("it is durable", || partition.high_watermark().offset == 1);
    assert_eq!(partition.last_stable_offset().offset, 0);
    let answer = produce(&mut client, 12, &topic, Some("other"), &[&transactional(8, 0, 0, 10)]);
    assert_eq!(codes(&answer), [ErrorCode::NotEnoughReplicas], "a newer producer never adds it itself");
}

#[test]
fn a_bad_batch_of_an_open_transaction_is_refused_for_what_it_is() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig { max_message_bytes: 500, ..TopicConfig::default() });
    let partition = topic.partition(0).unwrap();
    let mut client = broker.connect();
    let large = |sequence| transactional(7, 0, sequence, 1000);
    let answer = produce(&mut client, 12, &topic, Some("id"), &[&large(0)]);
    assert_eq!(codes(&answer), [ErrorCode::NotEnoughReplicas], "the coordinator is asked first");
    write(partition, 7, 0, 10);
    let answer = produce(&mut client, 12, &topic, Some("id"), &[&large(1)]);
    assert_eq!(codes(&answer), [ErrorCode::MessageTooLarge]);
}

#[test]
fn producers_are_described() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let partition = topic.partition(0).unwrap();
    write(partition, 7, 0, 10);
    end(partition, 7, true);
    let open_at = write(partition, 7, 1, 10);
    let idempotent = BatchBuilder::new().producer(6, 2, 40).record(now_ms(), None, Some(b"x")).build();
    partition.append(&idempotent, Acks::Leader, now_ms()).unwrap();
    let mut client = broker.connect();
    let asked = |name: &'static str, indexes: &[i32]| {
        TopicRequest::default()
            .with_name(TopicName(StrBytes::from_static_str(name)))
            .with_partition_indexes(indexes.to_vec())
    };
    let request = DescribeProducersRequest::default().with_topics(vec![
        asked("t", &[0, 5]),
        asked("none", &[0]),
        asked("a b", &[0]),
    ]);
    let response: DescribeProducersResponse = client.call(ApiKey::DescribeProducers, 0, &request);
    let told: Vec<_> = response
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| (partition.error_code, partition.error_message.is_some()))
        .collect();
    assert_eq!(told, [(0, false), (3, false), (3, true), (17, true)]);
    let producers: Vec<_> = response.topics[0].partitions[0]
        .active_producers
        .iter()
        .map(|one| {
            (
                one.producer_id.0,
                one.producer_epoch,
                one.last_sequence,
                one.coordinator_epoch,
                one.current_txn_start_offset,
            )
        })
        .collect();
    assert_eq!(producers, [(6, 2, 40, -1, -1), (7, 0, 1, 3, open_at)]);
}
