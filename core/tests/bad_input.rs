//! What no client should send: each is answered with Kafka's code where Kafka answers, or closed where it closes,
//! with one log line that names the peer, in bounded memory, and without effect on other connections.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::child::ChildBroker;
use common::raw::{self, RawClient};
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{
    ApiKey, ApiVersionsRequest, CreateTopicsRequest, FetchRequest, FindCoordinatorRequest, GroupId,
    MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, TopicName,
};
use fluxmq_protocol::{Encodable, ErrorCode, StrBytes, sample};
use fluxmq_storage::batch::BatchBuilder;

/// The broker prints so many lines a second about clients that break the rules (10): stay below.
const BETWEEN_LINES: Duration = Duration::from_millis(125);

fn is_alive(client: &mut RawClient) {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("raw"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let response = client.call(3, &request);
    assert_eq!(response.error_code, 0);
}

fn topic_name(name: &'static str) -> TopicName {
    StrBytes::from_static_str(name).into()
}

fn create_topic(client: &mut RawClient, name: &'static str) {
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let response = client.call(5, &request);
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
}

fn produce(topic: &'static str, acks: i16, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

/// The error code and base offset that a produce request of one partition is answered with.
fn produced(client: &mut RawClient, topic: &'static str, records: Bytes) -> (i16, i64) {
    let response = client.call(9, &produce(topic, 1, records));
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

fn fetch(topic: &'static str, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

fn batch(value: &[u8]) -> Bytes {
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    BatchBuilder::new().record(now_ms, None, Some(value)).build().bytes().clone()
}

/// A body that ends in a count of two billion elements.
fn huge(start: &[u8]) -> Vec<u8> {
    [start, &[0x7f, 0xff, 0xff, 0xff]].concat()
}

/// The same for flexible versions.
fn huge_compact(start: &[u8]) -> Vec<u8> {
    [start, &[0xff, 0xff, 0xff, 0xff, 0x07]].concat()
}

#[test]
fn what_cannot_be_read_closes_its_connection_alone_with_one_line() {
    let broker = ChildBroker::start(&[]);
    let mut other = RawClient::connect(broker.address);
    is_alive(&mut other);
    let before_kib = broker.anonymous_kib();

    let no_frames: [(&str, Vec<u8>); 9] = [
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("TLS", vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
        ("negative length", vec![0xff; 4]),
        ("most negative length", vec![0x80, 0, 0, 0]),
        ("length above socket.request.max.bytes", (104_857_601u32).to_be_bytes().to_vec()),
        ("empty frame", vec![0; 4]),
        ("frame too short for a header", raw::with_length(&[0, 18, 0, 0, 0, 0, 0])),
        ("client id longer than the frame", raw::with_length(&[0, 18, 0, 0, 0, 0, 0, 1, 0x7f, 0xff])),
        ("random bytes", raw::with_length(&[0xd1, 0x3c, 0x9a, 0x70, 0x55, 0x0e, 0xb2, 0x91, 0x4f, 0x08])),
    ];
    let not_served: [(&str, Vec<u8>); 5] = [
        ("unknown API key", raw::with_length(&[0x03, 0xe8, 0, 0, 0, 0, 0, 1, 0xff, 0xff])),
        ("negative API key", raw::with_length(&[0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff])),
        ("an API between brokers", raw::with_length(&[0, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff])),
        ("Metadata of the future", raw::frame(ApiKey::Metadata, 99, 1, &[])),
        ("Produce before its first version", raw::frame(ApiKey::Produce, 2, 1, &[0; 10])),
    ];
    let fetch_4 = [&[0xff; 4][..], &[0; 13]].concat();
    let fetch_12 = [&fetch_4[..], &[0; 8]].concat();
    let refused: Vec<(ApiKey, i16, Vec<u8>)> = vec![
        (ApiKey::Metadata, 0, huge(&[])),
        (ApiKey::Metadata, 0, (-1i32).to_be_bytes().to_vec()),
        (ApiKey::Metadata, 1, (-2i32).to_be_bytes().to_vec()),
        (ApiKey::Metadata, 9, huge_compact(&[])),
        (ApiKey::Metadata, 4, [&1i32.to_be_bytes()[..], &[0, 2, 0xff, 0xfe, 1]].concat()),
        (ApiKey::Metadata, 4, [&1i32.to_be_bytes()[..], &[0x7f, 0xff, b'a', 1]].concat()),
        (ApiKey::ApiVersions, 3, huge_compact(&[2, b'a', 2, b'b'])),
        (ApiKey::Produce, 3, huge(&[0xff, 0xff, 0, 1, 0, 0, 0, 9])),
        (ApiKey::Produce, 9, huge_compact(&[0, 0, 1, 0, 0, 0, 9])),
        (ApiKey::Fetch, 4, huge(&fetch_4)),
        (ApiKey::Fetch, 4, huge(&[&fetch_4[..], &[0, 0, 0, 1, 0, 1, b't']].concat())),
        (ApiKey::Fetch, 12, huge_compact(&fetch_12)),
        (ApiKey::ListOffsets, 1, huge(&[0xff; 4])),
        (ApiKey::CreateTopics, 2, huge(&[])),
        (ApiKey::CreateTopics, 5, huge_compact(&[])),
        (ApiKey::DeleteTopics, 1, huge(&[])),
        (ApiKey::CreatePartitions, 0, huge(&[])),
        (ApiKey::DeleteRecords, 0, huge(&[])),
        (ApiKey::DescribeConfigs, 1, huge(&[])),
        (ApiKey::DescribeLogDirs, 1, huge(&[])),
        (ApiKey::OffsetForLeaderEpoch, 2, huge(&[])),
        (ApiKey::DescribeTopicPartitions, 0, huge_compact(&[])),
        (ApiKey::InitProducerId, 0, vec![0x7f, 0xff]),
        (ApiKey::OffsetCommit, 2, huge(&[&[0, 1, b'g'][..], &[0xff; 4], &[0, 0], &[0xff; 8]].concat())),
        (ApiKey::OffsetCommit, 9, huge_compact(&[2, b'g', 0xff, 0xff, 0xff, 0xff, 1, 0])),
        (ApiKey::OffsetFetch, 1, huge(&[0, 1, b'g'])),
        (ApiKey::OffsetFetch, 1, [&[0, 1, b'g'][..], &[0xff; 4]].concat()),
        (ApiKey::OffsetFetch, 8, huge_compact(&[])),
        (ApiKey::OffsetDelete, 0, huge(&[0, 1, b'g'])),
        (ApiKey::DescribeGroups, 0, huge(&[])),
        (ApiKey::ListGroups, 4, huge_compact(&[])),
        (ApiKey::DeleteGroups, 0, huge(&[])),
    ];

    let mut closes = |what: &str, bytes: &[u8]| {
        // The system may give a connection the port of an earlier one.
        let before = broker.line_count();
        let mut client = RawClient::connect(broker.address);
        client.send_bytes(bytes);
        assert_eq!(client.receive_frame(), None, "{what}");
        is_alive(&mut other);
        thread::sleep(BETWEEN_LINES);
        let lines = broker.await_lines_with(&client.address().to_string(), before);
        assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
        lines[0].clone()
    };
    for (what, bytes) in no_frames.iter().chain(&not_served) {
        closes(what, bytes);
    }
    for (api_key, version, body) in refused {
        let what = format!("{api_key:?} v{version} {body:x?}");
        let line = closes(&what, &raw::frame(api_key, version, 1, &body));
        assert!(line.contains(&format!("{api_key:?}")) && !line.contains("not served"), "{what}: {line}");
    }
    let grown_kib = broker.anonymous_kib().saturating_sub(before_kib);
    assert!(grown_kib < 16 << 10, "{grown_kib} KiB more than before");
}

#[test]
fn a_version_of_api_versions_that_is_not_served_is_answered_in_version_0() {
    let broker = ChildBroker::start(&[]);
    let mut client = RawClient::connect(broker.address);
    for version in [5, 99, i16::MAX] {
        client.send_bytes(&raw::frame(ApiKey::ApiVersions, version, 7, &[0xff; 9]));
        let response = client.receive_to::<ApiVersionsRequest>(0, 7);
        assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
        let ranges: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        assert_eq!(ranges, [(18, 0, 4)]);
    }
    is_alive(&mut client);
}

/// Random bodies of every API that doesn't wait: an answer or a close, and the broker lives on.
#[test]
fn random_bodies_are_answered_or_closed() {
    let broker = ChildBroker::start(&[]);
    let mut other = RawClient::connect(broker.address);
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let apis: Vec<_> = fluxmq::dispatch::TABLE.iter().filter(|api| api.key != ApiKey::Fetch).collect();
    for round in 0..300 {
        let api = &apis[round % apis.len()];
        let versions = (api.max_version - api.min_version + 1) as u64;
        let version = api.min_version + (random() % versions) as i16;
        let mut body = sample::body(api.key, version, random()).unwrap().to_vec();
        body.resize(body.len() + 8, 0);
        let at = random() as usize % (body.len() - 7);
        body[at..at + 8].copy_from_slice(&random().to_be_bytes());
        let mut client = RawClient::connect(broker.address);
        client.send_bytes(&raw::frame(api.key, version, 1, &body));
        // A produce request with acks=0 has no answer: the close of our side ends it.
        client.stream().shutdown(std::net::Shutdown::Write).unwrap();
        if let Some(response) = client.receive_frame() {
            assert_eq!(response[..4], [0, 0, 0, 1], "correlation id");
        }
        if round % 50 == 0 {
            is_alive(&mut other);
        }
    }
    is_alive(&mut other);
}

#[test]
fn batches_that_kafka_refuses_are_answered_with_its_codes() {
    let broker = ChildBroker::start(&[]);
    let mut client = RawClient::connect(broker.address);
    create_topic(&mut client, "checked");
    assert_eq!(produced(&mut client, "checked", batch(b"first")), (0, 0));

    let good = batch(b"value");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        Bytes::from(bytes)
    };
    let last = good.len() - 2;
    let cases = [
        ("bad CRC", with(17, !good[17]), ErrorCode::CorruptMessage),
        ("a bit flipped in a record", with(last, good[last] ^ 1), ErrorCode::CorruptMessage),
        ("magic 1", with(16, 1), ErrorCode::InvalidRecord),
        ("two batches", Bytes::from([&good[..], &good[..]].concat()), ErrorCode::InvalidRecord),
        ("no batch", Bytes::new(), ErrorCode::InvalidRecord),
    ];
    for (what, records, error) in cases {
        assert_eq!(produced(&mut client, "checked", records), (error.code(), -1), "{what}");
    }
    // None of them took an offset, and the connection is as good as before.
    assert_eq!(produced(&mut client, "checked", good.clone()), (0, 1));

    // With acks=0 a close is all that can be said.
    client.send(9, &produce("checked", 0, with(17, !good[17])));
    assert_eq!(client.receive_frame(), None);
    let mut client = RawClient::connect(broker.address);
    assert_eq!(produced(&mut client, "checked", good), (0, 2));
}

#[test]
fn responses_leave_in_the_order_of_the_requests() {
    let broker = ChildBroker::start(&[]);
    let mut client = RawClient::connect(broker.address);
    create_topic(&mut client, "quiet");
    create_topic(&mut client, "busy");
    let began = Instant::now();
    let waits = client.send(4, &fetch("quiet", 700));
    let produces = client.send(9, &produce("busy", -1, batch(b"value")));
    let looks = client.send(9, &MetadataRequest::default());
    // Its turn comes before the batch is durable, and so visible: it waits for that.
    let reads = client.send(4, &fetch("busy", 10_000));

    let fetched = client.receive_to::<FetchRequest>(4, waits);
    assert!(began.elapsed() >= Duration::from_millis(650), "answered after {:?}", began.elapsed());
    assert_eq!(fetched.responses[0].partitions[0].records.as_deref(), Some(&b""[..]));
    let acknowledged = client.receive_to::<ProduceRequest>(9, produces);
    assert_eq!(acknowledged.responses[0].partition_responses[0].error_code, 0);
    let metadata = client.receive_to::<MetadataRequest>(9, looks);
    assert_eq!(metadata.brokers.len(), 1);
    let fetched = client.receive_to::<FetchRequest>(4, reads);
    let records = fetched.responses[0].partitions[0].records.as_ref().unwrap();
    assert!(records.ends_with(b"value\0"), "what was produced before is read: {records:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "answered after {:?}", began.elapsed());
}

/// Sends requests without reading answers until the broker takes no more; how many bytes it took.
fn fill(client: &RawClient, request: &[u8]) -> usize {
    let mut stream = client.stream();
    stream.set_write_timeout(Some(Duration::from_millis(700))).unwrap();
    let many = request.repeat(1 + (64 << 10) / request.len());
    let mut sent_bytes = 0;
    loop {
        match stream.write(&many) {
            Ok(bytes) => sent_bytes += bytes,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return sent_bytes;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent_bytes < 256 << 20, "the broker reads on and on");
    }
}

#[test]
fn a_client_that_stops_reading_is_not_read_from() {
    let broker = ChildBroker::start(&[]);
    let mut other = RawClient::connect(broker.address);
    create_topic(&mut other, "large");
    let value = vec![7; 900_000];
    for offset in 0..4 {
        assert_eq!(produced(&mut other, "large", batch(&value)), (0, offset));
    }
    let before_kib = broker.anonymous_kib();

    let mut body = Vec::new();
    fetch("large", 0).encode(&mut body, 4).unwrap();
    let fetches = raw::frame(ApiKey::Fetch, 4, 1, &body);
    let metadata = raw::frame(ApiKey::Metadata, 1, 1, &(-1i32).to_be_bytes());
    let stuck: Vec<_> = [&fetches, &metadata, &fetches, &metadata]
        .map(|request| {
            let client = RawClient::connect(broker.address);
            let sent_bytes = fill(&client, request);
            assert!(sent_bytes > 0);
            client
        })
        .into();
    let grown_kib = broker.anonymous_kib().saturating_sub(before_kib);
    assert!(grown_kib < 24 << 10, "{grown_kib} KiB more than before, for {} clients", stuck.len());
    is_alive(&mut other);
    assert_eq!(produced(&mut other, "large", batch(b"value")), (0, 4));
}

/// Answers that are made already and wait for a sync count as those do that wait for their client.
#[test]
fn answers_that_wait_for_a_sync_are_not_piled_up() {
    let broker = ChildBroker::start(&["offsets.topic.num.partitions=1"]);
    let mut client = RawClient::connect(broker.address);
    let topic = CreatableTopic::default()
        .with_name(topic_name("t"))
        .with_num_partitions(200)
        .with_replication_factor(1);
    let response = client.call(5, &CreateTopicsRequest::default().with_topics(vec![topic]));
    assert_eq!(response.topics[0].error_code, 0);
    let find = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("g"));
    assert_eq!(client.call(3, &find).error_code, 0);
    let commit = |partitions: std::ops::Range<i32>, metadata: &str| {
        let partitions = partitions.map(|index| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(index)
                .with_committed_metadata(Some(StrBytes::from_string(metadata.to_owned())))
        });
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name("t"))
            .with_partitions(partitions.collect());
        OffsetCommitRequest::default()
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_topics(vec![topic])
    };
    let response = client.call(8, &commit(0..200, &"m".repeat(4_000)));
    assert!(response.topics[0].partitions.iter().all(|partition| partition.error_code == 0));
    let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(StrBytes::from_static_str("g")));
    let fetch = OffsetFetchRequest::default().with_groups(vec![group.with_topics(None)]);

    // Every fetch is large and rests on a commit that was sent just before it; all of them come at once.
    let mut pairs = Vec::new();
    let (mut body, version) = (Vec::new(), 8);
    commit(0..1, "").encode(&mut body, version).unwrap();
    pairs.extend(raw::frame(ApiKey::OffsetCommit, version, 1, &body));
    body.clear();
    fetch.encode(&mut body, version).unwrap();
    pairs.extend(raw::frame(ApiKey::OffsetFetch, version, 2, &body));
    let before_kib = broker.anonymous_kib();
    let mut stuck = RawClient::connect(broker.address);
    stuck.send_bytes(&pairs.repeat(128));
    let mut most_kib = 0;
    for _ in 0..50 {
        most_kib = most_kib.max(broker.anonymous_kib().saturating_sub(before_kib));
        thread::sleep(Duration::from_millis(20));
    }
    assert!(most_kib < 24 << 10, "{most_kib} KiB more than before");
    // All are answered once they are read.
    for _ in 0..128 {
        assert_eq!(stuck.receive_frame().unwrap()[..4], [0, 0, 0, 1]);
        assert!(stuck.receive_frame().unwrap().len() > 790_000);
    }
    is_alive(&mut client);
}

#[test]
fn frames_that_never_end_take_no_memory() {
    let broker = ChildBroker::start(&[]);
    let mut other = RawClient::connect(broker.address);
    is_alive(&mut other);
    let before_kib = broker.anonymous_kib();
    let unfinished: Vec<_> = (0..200)
        .map(|_| {
            let mut client = RawClient::connect(broker.address);
            client.send_bytes(
                &[&104_857_600u32.to_be_bytes()[..], &[0, 0, 0, 9, 0, 0, 0, 1], &[0; 1000]].concat(),
            );
            client
        })
        .collect();
    is_alive(&mut other);
    let grown_kib = broker.anonymous_kib().saturating_sub(before_kib);
    assert!(grown_kib < 24 << 10, "{grown_kib} KiB more than before, for {} frames", unfinished.len());
    drop(unfinished);
    is_alive(&mut other);
}
