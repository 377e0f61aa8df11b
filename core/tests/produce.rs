//! Produce, InitProducerId and DeleteRecords through a whole broker, by raw frames.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use common::raw::RawClient;
use fluxmq::config::{BrokerConfig, FlushPolicy};
use fluxmq::partitions::partition::Partition;
use fluxmq::server::{self, BrokerHandle};
use fluxmq_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use fluxmq_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::produce_response::PartitionProduceResponse;
use fluxmq_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, InitProducerIdRequest, ProduceRequest, TopicName,
};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::batch::{self, BatchBuilder, BatchHeader, BatchRules, CompressionRule};
use fluxmq_storage::codec::Codec;
use tempfile::TempDir;
use uuid::Uuid;

const ALL: i16 = -1;

struct Fixture {
    client: RawClient,
    broker: BrokerHandle,
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = start(directory.path(), change);
        Fixture { client: RawClient::connect(broker.addr()), broker, directory }
    }

    fn in_directory(directory: TempDir) -> Self {
        let broker = start(directory.path(), |_| {});
        Fixture { client: RawClient::connect(broker.addr()), broker, directory }
    }

    fn create(&mut self, topic: &str, configs: &[(&str, &str)]) -> Uuid {
        let configs = configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        });
        let topic = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let response = self.client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
        response.topics[0].topic_id
    }

    fn partition(&self, topic: &str) -> Arc<Partition> {
        self.broker
            .broker()
            .metadata
            .with_topics(|topics| topics.by_name(topic).unwrap().partitions[0].clone())
    }

    fn produce(&mut self, version: i16, request: &ProduceRequest) -> PartitionProduceResponse {
        let response = self.client.call(version, request);
        assert_eq!(response.responses.len(), 1);
        assert_eq!(response.responses[0].partition_responses.len(), 1);
        response.responses[0].partition_responses[0].clone()
    }

    /// The code of producing `records` to `topic` in the newest version that names topics.
    fn code(&mut self, topic: &str, acks: i16, records: Bytes) -> ErrorCode {
        code(&self.produce(12, &request(topic, acks, records)))
    }
}

fn start(directory: &Path, change: impl FnOnce(&mut BrokerConfig)) -> BrokerHandle {
    let mut config = BrokerConfig::for_tests(directory);
    change(&mut config);
    server::start(config).unwrap()
}

fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

fn request(topic: &str, acks: i16, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

fn by_id(id: Uuid, acks: i16, records: Bytes) -> ProduceRequest {
    let mut request = request("", acks, records);
    request.topic_data[0].topic_id = id;
    request
}

fn code(response: &PartitionProduceResponse) -> ErrorCode {
    ErrorCode::from_code(response.error_code).unwrap()
}

fn now_ms() -> i64 {
    fluxmq::clock::Clock::default().now_ms()
}

fn records(count: usize) -> Bytes {
    build(BatchBuilder::new(), count)
}

fn build(builder: BatchBuilder, count: usize) -> Bytes {
    let now_ms = now_ms();
    let batch = (0..count).fold(builder, |batch, _| batch.record(now_ms, None, Some(b"some value")));
    batch.build().bytes().clone()
}

fn compressed(codec: Codec) -> Bytes {
    let rules = BatchRules {
        compression: CompressionRule::Codec { codec, level: None },
        ..BatchRules::defaults(now_ms())
    };
    let checked = batch::check(&records(3), &rules).unwrap();
    batch::convert(&checked, &rules).unwrap().bytes().clone()
}

/// The records with a field of the header changed and the CRC made good again.
fn altered(change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let bytes = records(3);
    let mut header = BatchHeader::parse(&bytes).unwrap();
    change(&mut header);
    header.crc = header.compute_crc(&bytes[61..]);
    [&header.to_bytes()[..], &bytes[61..]].concat().into()
}

#[test]
fn every_version_appends_and_answers_with_offsets() {
    let mut f = Fixture::new();
    let id = f.create("t", &[]);
    let mut next = 0;
    for version in 3..=13 {
        for acks in [1, ALL] {
            let request =
                if version < 13 { request("t", acks, records(2)) } else { by_id(id, acks, records(2)) };
            let response = f.produce(version, &request);
            assert_eq!(code(&response), ErrorCode::None, "v{version}");
            assert_eq!(response.base_offset, next, "v{version} acks {acks}");
            assert_eq!(response.log_append_time_ms, -1);
            assert_eq!(response.log_start_offset, if version >= 5 { 0 } else { -1 });
            next += 2;
        }
    }
    let response = f.client.call(13, &by_id(id, 1, records(1)));
    assert_eq!((response.responses[0].topic_id, &*response.responses[0].name.0), (id, ""));
    f.broker.shutdown().unwrap();
}

#[test]
fn what_is_refused_and_with_which_code() {
    let mut f = Fixture::new();
    f.create("t", &[]);
    f.create("two", &[("min.insync.replicas", "2")]);
    f.create("small", &[("max.message.bytes", "200")]);
    f.create("segment", &[("segment.bytes", "1048576"), ("max.message.bytes", "10000000")]);
    f.create("compacted", &[("cleanup.policy", "compact")]);
    f.create("__consumer_offsets", &[]);
    let long_ago = BatchBuilder::new().record(now_ms() + 7_200_000, None, Some(b"x")).build().bytes().clone();
    let mut bad_crc = records(1).to_vec();
    *bad_crc.last_mut().unwrap() ^= 1;
    let mut old_magic = records(1).to_vec();
    old_magic[16] = 1;
    let large = build(BatchBuilder::new(), 60_000);
    assert!(large.len() > 1_048_588);
    let expected = [
        ("t", 1, records(1), ErrorCode::None),
        ("t", 2, records(1), ErrorCode::InvalidRequiredAcks),
        ("t", -2, records(1), ErrorCode::InvalidRequiredAcks),
        ("none", 1, records(1), ErrorCode::UnknownTopicOrPartition),
        ("none", 2, records(1), ErrorCode::UnknownTopicOrPartition),
        ("t", 1, Bytes::new(), ErrorCode::InvalidRecord),
        ("t", 1, old_magic.into(), ErrorCode::InvalidRecord),
        ("t", 1, [records(1), records(1)].concat().into(), ErrorCode::InvalidRecord),
        ("t", 1, bad_crc.into(), ErrorCode::CorruptMessage),
        ("t", 1, large.clone(), ErrorCode::MessageTooLarge),
        ("small", 1, records(20), ErrorCode::MessageTooLarge),
        ("segment", 1, large, ErrorCode::RecordListTooLarge),
        ("t", 1, long_ago, ErrorCode::InvalidTimestamp),
        ("t", 1, altered(|header| header.records_count = 4), ErrorCode::InvalidRecord),
        ("t", 1, altered(|header| header.base_offset = 1), ErrorCode::InvalidRecord),
        ("t", 1, altered(|header| header.attributes |= 0x20), ErrorCode::InvalidRecord),
        ("t", 1, altered(|header| header.producer_id = 1), ErrorCode::InvalidRecord),
        ("two", ALL, records(1), ErrorCode::None),
        ("two", 1, records(1), ErrorCode::None),
        ("compacted", 1, records(1), ErrorCode::InvalidRecord),
        ("__consumer_offsets", 1, records(1), ErrorCode::InvalidTopicException),
    ];
    for (place, (topic, acks, records, expected)) in expected.into_iter().enumerate() {
        assert_eq!(f.code(topic, acks, records), expected, "row {place}: {topic} acks {acks}");
    }
    let unknown_partition = {
        let mut request = request("t", 1, records(1));
        request.topic_data[0].partition_data[0].index = 2;
        f.produce(12, &request)
    };
    assert_eq!(code(&unknown_partition), ErrorCode::UnknownTopicOrPartition);
    let unknown_id = f.produce(13, &by_id(Uuid::from_u128(1), 1, records(1)));
    assert_eq!(code(&unknown_id), ErrorCode::UnknownTopicId);
    assert_eq!(unknown_id.base_offset, -1);
    let null = {
        let mut request = request("t", 1, records(1));
        request.topic_data[0].partition_data[0].records = None;
        f.produce(12, &request)
    };
    assert_eq!(code(&null), ErrorCode::InvalidRecord);
    f.broker.shutdown().unwrap();
}

#[test]
fn zstd_is_refused_below_version_7() {
    let mut f = Fixture::new();
    f.create("t", &[]);
    for version in 3..=12 {
        let response = f.produce(version, &request("t", 1, compressed(Codec::Zstd)));
        let expected = if version < 7 { ErrorCode::UnsupportedCompressionType } else { ErrorCode::None };
        assert_eq!(code(&response), expected, "v{version}");
    }
    f.broker.shutdown().unwrap();
}

#[test]
fn a_refused_record_is_named_since_version_8() {
    let mut f = Fixture::new();
    f.create("t", &[]);
    let bad = BatchBuilder::new()
        .record(now_ms(), None, Some(b"fine"))
        .record(now_ms() + 7_200_000, None, Some(b"too late"))
        .build();
    for version in [7, 8, 12] {
        let response = f.produce(version, &request("t", 1, bad.bytes().clone()));
        assert_eq!(code(&response), ErrorCode::InvalidTimestamp);
        assert_eq!(response.log_start_offset, 0, "Kafka knows it by then");
        if version < 8 {
            assert!(response.record_errors.is_empty() && response.error_message.is_none());
        } else {
            assert_eq!(response.record_errors.len(), 1);
            assert_eq!(response.record_errors[0].batch_index, 1);
            assert_eq!(
                response.error_message.as_deref(),
                Some("One or more records have been rejected due to invalid timestamp")
            );
        }
    }
    f.broker.shutdown().unwrap();
}

#[test]
fn one_bad_partition_does_not_keep_the_others_back() {
    let mut f = Fixture::new();
    f.create("t", &[]);
    let mut both = request("t", ALL, Bytes::new());
    let good = PartitionProduceData::default().with_index(1).with_records(Some(records(3)));
    both.topic_data[0].partition_data.push(good);
    both.topic_data.push(request("none", ALL, records(1)).topic_data.remove(0));
    let response = f.client.call(12, &both);
    let codes: Vec<_> =
        response.responses.iter().flat_map(|topic| &topic.partition_responses).map(code).collect();
    assert_eq!(codes, [ErrorCode::InvalidRecord, ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(response.responses[0].partition_responses[1].base_offset, 0);
    assert_eq!(&*response.responses[1].name.0, "none");
    f.broker.shutdown().unwrap();
}

#[test]
fn the_append_time_of_the_log_is_answered() {
    let mut f = Fixture::new();
    f.create("t", &[("message.timestamp.type", "LogAppendTime")]);
    let before = now_ms();
    let response = f.produce(12, &request("t", 1, records(1)));
    assert!((before..=now_ms()).contains(&response.log_append_time_ms), "{response:?}");
    f.broker.shutdown().unwrap();
}

#[test]
fn batches_are_stored_in_the_topics_codec() {
    let mut f = Fixture::new();
    for (topic, codec) in
        [("gzip", Codec::Gzip), ("snappy", Codec::Snappy), ("lz4", Codec::Lz4), ("zstd", Codec::Zstd)]
    {
        f.create(topic, &[("compression.type", topic)]);
        for (acks, sent) in [(1, records(3)), (ALL, compressed(Codec::Gzip)), (ALL, compressed(Codec::Zstd))]
        {
            assert_eq!(f.code(topic, acks, sent), ErrorCode::None, "{topic}");
        }
        let partition = f
            .broker
            .broker()
            .metadata
            .with_topics(|topics| topics.by_name(topic).unwrap().partitions[0].clone());
        assert_eq!(partition.high_watermark().offset, 9);
        for offset in [0, 3, 6] {
            let slice = partition.log().read(offset, 1, partition.high_watermark(), true).unwrap();
            let header = BatchHeader::parse(&slice.to_vec().unwrap()).unwrap();
            assert_eq!((header.base_offset, header.codec()), (offset, Some(codec)), "{topic}");
        }
    }
    f.broker.shutdown().unwrap();
}

#[test]
fn acks_0_is_not_answered_and_a_failure_closes() {
    let mut f = Fixture::new();
    f.create("t", &[]);
    f.create("zstd", &[("compression.type", "zstd")]);
    f.client.send(12, &request("t", 0, records(1)));
    f.client.send(12, &request("zstd", 0, records(1)));
    let response = f.produce(12, &request("t", 1, records(1)));
    assert_eq!(response.base_offset, 1, "the answer is to the third request");
    let response = f.produce(12, &request("zstd", 1, records(1)));
    assert_eq!(response.base_offset, 1);
    for bad in
        [request("none", 0, records(1)), request("zstd", 0, altered(|header| header.records_count = 9))]
    {
        let mut client = RawClient::connect(f.broker.addr());
        client.send(12, &bad);
        assert!(client.is_closed());
    }
    f.broker.shutdown().unwrap();
}

#[test]
fn pipelined_requests_are_appended_and_answered_in_order() {
    let mut f = Fixture::new();
    f.create("t", &[]);
    f.create("gzip", &[("compression.type", "gzip")]);
    let topics = ["t", "gzip", "t", "t", "gzip", "t"];
    let requests: Vec<_> = topics
        .iter()
        .enumerate()
        .map(|(place, topic)| request(topic, if place % 2 == 0 { ALL } else { 1 }, records(1)))
        .collect();
    let responses = f.client.call_all(12, &requests);
    let offsets: Vec<_> =
        responses.iter().map(|response| response.responses[0].partition_responses[0].base_offset).collect();
    assert_eq!(offsets, [0, 0, 1, 2, 1, 3]);
    f.broker.shutdown().unwrap();
}

/// What a crash at this moment leaves: the files as they are, without the lock.
fn crashed(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let copied =
        std::process::Command::new("cp").arg("-r").arg(directory.join(".")).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    copy
}

fn idempotent_init() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1)
}

#[test]
fn idempotent_producers_are_held_to_their_sequence() {
    let sent = |id, epoch, sequence| build(BatchBuilder::new().producer(id, epoch, sequence), 2);
    let mut f = Fixture::new();
    f.create("t", &[]);
    let id = f.client.call(5, &idempotent_init()).producer_id.0;
    for sequence in (0..14).step_by(2) {
        assert_eq!(f.code("t", ALL, sent(id, 0, sequence)), ErrorCode::None);
    }
    let check = |f: &mut Fixture, known: &[i32]| {
        for sequence in known.iter().copied() {
            let offset = i64::from(sequence);
            for acks in [1, ALL] {
                let again = f.produce(12, &request("t", acks, sent(id, 0, sequence)));
                assert_eq!(
                    (code(&again), again.base_offset),
                    (ErrorCode::None, offset),
                    "sequence {sequence}"
                );
            }
        }
        assert_eq!(f.code("t", ALL, sent(id, 0, 40)), ErrorCode::OutOfOrderSequenceNumber);
        assert_eq!(f.code("t", ALL, sent(id, 1, 5)), ErrorCode::OutOfOrderSequenceNumber);
    };
    check(&mut f, &[12, 4, 10]);
    let directory = f.directory;
    f.broker.shutdown().unwrap();
    let mut f = Fixture::in_directory(directory);
    // Kafka's snapshot holds a producer's last batch alone.
    check(&mut f, &[12]);
    for sequence in [14, 16, 18] {
        assert_eq!(f.code("t", ALL, sent(id, 0, sequence)), ErrorCode::None);
    }
    let copy = crashed(f.directory.path());
    f.broker.shutdown().unwrap();
    let mut f = Fixture::in_directory(copy);
    check(&mut f, &[18, 14, 16]);
    assert_eq!(f.code("t", ALL, sent(id, 0, 20)), ErrorCode::None);
    assert_eq!(f.code("t", ALL, sent(id, 3, 0)), ErrorCode::None);
    assert_eq!(f.code("t", ALL, sent(id, 2, 0)), ErrorCode::InvalidProducerEpoch);
    f.broker.shutdown().unwrap();
}

#[test]
fn producer_ids_are_new_for_every_version_and_every_ask() {
    let mut f = Fixture::new();
    let mut seen = Vec::new();
    for version in 0..=5 {
        let mut request = idempotent_init();
        let first = f.client.call(version, &request);
        assert_eq!((first.error_code, first.producer_epoch), (0, 0), "v{version}");
        seen.push(first.producer_id.0);
        if version >= 3 {
            request = request.with_producer_id(first.producer_id).with_producer_epoch(7);
            let again = f.client.call(version, &request);
            assert_eq!((again.error_code, again.producer_epoch), (0, 0));
            seen.push(again.producer_id.0);
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    f.broker.shutdown().unwrap();
}

#[test]
fn records_are_deleted_and_stay_so_after_a_crash() {
    let delete = |topic: &str, partition: i32, offset: i64| {
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000)
    };
    let copy = {
        let mut f = Fixture::new();
        f.create("t", &[]);
        f.create("compacted", &[("cleanup.policy", "compact")]);
        f.create("__consumer_offsets", &[]);
        assert_eq!(f.code("t", ALL, records(10)), ErrorCode::None);
        let rows = [
            ("t", 0, 3, 3, ErrorCode::None),
            ("t", 0, 2, 3, ErrorCode::None),
            ("t", 0, 11, -1, ErrorCode::OffsetOutOfRange),
            ("t", 0, -2, -1, ErrorCode::OffsetOutOfRange),
            ("t", 7, 0, -1, ErrorCode::UnknownTopicOrPartition),
            ("none", 0, 0, -1, ErrorCode::UnknownTopicOrPartition),
            ("compacted", 0, 0, -1, ErrorCode::PolicyViolation),
            ("__consumer_offsets", 0, 0, -1, ErrorCode::InvalidTopicException),
        ];
        for version in 0..=2 {
            for (topic, partition, offset, low_watermark, expected) in rows {
                let response = f.client.call(version, &delete(topic, partition, offset));
                let result = &response.topics[0].partitions[0];
                let found = ErrorCode::from_code(result.error_code).unwrap();
                assert_eq!((found, result.low_watermark), (expected, low_watermark), "{topic} {offset}");
            }
        }
        let response = f.produce(12, &request("t", 1, records(1)));
        assert_eq!(response.log_start_offset, 3);
        let copy = crashed(f.directory.path());
        f.broker.shutdown().unwrap();
        copy
    };
    let broker = start(copy.path(), |_| {});
    let mut client = RawClient::connect(broker.addr());
    let all = client.call(2, &delete("t", 0, -1));
    assert_eq!((all.topics[0].partitions[0].error_code, all.topics[0].partitions[0].low_watermark), (0, 11));
    let partition =
        broker.broker().metadata.with_topics(|topics| topics.by_name("t").unwrap().partitions[0].clone());
    assert_eq!(partition.leader_epoch(), 1, "after an unclean end under a new epoch");
    broker.shutdown().unwrap();
}

#[test]
fn under_always_acks_1_waits_for_the_sync_too() {
    let mut f = Fixture::with(|config| config.log_flush_policy = FlushPolicy::Always);
    f.create("t", &[]);
    for acks in [1, ALL, 1] {
        assert_eq!(f.code("t", acks, records(1)), ErrorCode::None);
        let partition = f
            .broker
            .broker()
            .metadata
            .with_topics(|topics| topics.by_name("t").unwrap().partitions[0].clone());
        assert_eq!(partition.durable_end(), partition.log_end().offset);
    }
    f.broker.shutdown().unwrap();
}

#[test]
fn a_failed_disk_is_a_storage_error_for_whoever_asks() {
    let mut f = Fixture::new();
    f.create("t", &[]);
    assert_eq!(f.code("t", ALL, records(1)), ErrorCode::None);
    let partition = f.partition("t");
    partition.storage_failed(&"input/output error");
    for acks in [1, ALL] {
        let response = f.produce(12, &request("t", acks, records(1)));
        assert_eq!((code(&response), response.base_offset), (ErrorCode::KafkaStorageError, -1));
        assert_eq!(response.log_start_offset, -1);
    }
    let delete = DeleteRecordsTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![DeleteRecordsPartition::default().with_offset(1)]);
    let deleted = f.client.call(2, &DeleteRecordsRequest::default().with_topics(vec![delete]));
    assert_eq!(deleted.topics[0].partitions[0].error_code, ErrorCode::KafkaStorageError.code());
    f.broker.shutdown().unwrap();
}

#[test]
fn a_request_without_time_is_answered_at_once_and_appended_all_the_same() {
    let mut f = Fixture::new();
    f.create("t", &[]);
    for offset in 0..50 {
        let response = f.produce(12, &request("t", ALL, records(1)).with_timeout_ms(0));
        // Either the sync was quicker than the look at the clock, or not; the offset is told in both cases, as Kafka
        // does.
        assert!(matches!(code(&response), ErrorCode::None | ErrorCode::RequestTimedOut), "{response:?}");
        assert_eq!(response.base_offset, offset);
    }
    assert_eq!(f.code("t", ALL, records(1)), ErrorCode::None);
    assert_eq!(f.partition("t").durable_end(), 51);
    f.broker.shutdown().unwrap();
}
