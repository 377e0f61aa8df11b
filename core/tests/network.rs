//! The network edge, by raw frames: order, limits, and what a client that breaks the rules gets.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::broker::{Client, TestBroker, frame, request};
use fluxmq::config::TopicConfig;
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, ProduceRequest, ProduceResponse, TopicName,
};
use fluxmq_protocol::{Decodable, ErrorCode, StrBytes};
use fluxmq_storage::batch::BatchBuilder;

fn api_versions(version: i16, correlation_id: i32) -> Vec<u8> {
    let body = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("network-test"))
        .with_client_software_version(StrBytes::from_static_str("1.0"));
    request(ApiKey::ApiVersions, version, correlation_id, &body)
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).unwrap();
    let mut payload = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut payload).unwrap();
    payload
}

fn read_api_versions(stream: &mut TcpStream, version: i16) -> (i32, ApiVersionsResponse) {
    let payload = read_frame(stream);
    let correlation_id = i32::from_be_bytes(payload[..4].try_into().unwrap());
    let mut body = &payload[4..];
    let response = ApiVersionsResponse::decode(&mut body, version).unwrap();
    assert!(body.is_empty());
    (correlation_id, response)
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn every_version_of_api_versions_is_answered_from_the_table() {
    let broker = TestBroker::start();
    let mut stream = broker.connect().stream;
    for version in 0..=4 {
        stream.write_all(&api_versions(version, 100 + i32::from(version))).unwrap();
        let (correlation_id, response) = read_api_versions(&mut stream, version);
        assert_eq!(correlation_id, 100 + i32::from(version));
        assert_eq!(response.error_code, 0);
        let listed: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        let table: Vec<_> = fluxmq::dispatch::TABLE
            .iter()
            .map(|api| (api.key as i16, api.advertised_min_version, api.max_version))
            .collect();
        assert_eq!(listed, table);
    }
    broker.handle.shutdown().unwrap();
}

#[test]
fn a_newer_api_versions_is_answered_in_version_0() {
    let broker = TestBroker::start();
    let mut stream = broker.connect().stream;
    // Version 5 with fields that nobody knows yet.
    let mut payload = vec![0, 18, 0, 5, 0, 0, 0, 77];
    payload.extend([0xff, 0xff, 0, 9, 9, 9, 9]);
    stream.write_all(&frame(&payload)).unwrap();
    let (correlation_id, response) = read_api_versions(&mut stream, 0);
    assert_eq!(correlation_id, 77);
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
    assert_eq!(response.api_keys.len(), 1);
    assert_eq!((response.api_keys[0].api_key, response.api_keys[0].max_version), (18, 4));
    // The connection is as good as before.
    stream.write_all(&api_versions(3, 78)).unwrap();
    assert_eq!(read_api_versions(&mut stream, 3).0, 78);
}

#[test]
fn a_software_name_that_kafka_refuses_is_an_invalid_request() {
    let broker = TestBroker::start();
    let mut stream = broker.connect().stream;
    let body = ApiVersionsRequest::default().with_client_software_name(StrBytes::from_static_str("a b"));
    stream.write_all(&request(ApiKey::ApiVersions, 3, 5, &body)).unwrap();
    let (_, response) = read_api_versions(&mut stream, 3);
    assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
    assert!(response.api_keys.is_empty());
}

#[test]
fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let broker = TestBroker::start();
    let bytes: Vec<u8> = (0..300).flat_map(|id| api_versions((id % 5) as i16, id)).collect();
    for chunk_bytes in [1, 3, 7, 64, 1000, bytes.len()] {
        let mut stream = broker.connect().stream;
        let mut sender = stream.try_clone().unwrap();
        let to_send = bytes.clone();
        let sending = std::thread::spawn(move || {
            for chunk in to_send.chunks(chunk_bytes) {
                sender.write_all(chunk).unwrap();
            }
        });
        for id in 0..300 {
            assert_eq!(read_api_versions(&mut stream, (id % 5) as i16).0, id);
        }
        sending.join().unwrap();
    }
}

#[test]
fn unknown_apis_versions_and_garbage_close_the_connection_and_no_other() {
    let broker = TestBroker::with(|config| config.socket_request_max_bytes = 1 << 20);
    let mut other = broker.connect().stream;
    let cases: [(&str, Vec<u8>); 7] = [
        ("unknown API", frame(&[0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff])),
        ("negative API", frame(&[0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff])),
        ("unserved version", frame(&[0, 3, 0x7f, 0, 0, 0, 0, 1, 0xff, 0xff])),
        ("empty frame", frame(&[])),
        ("header cut short", frame(&[0, 18, 0, 0, 0, 0])),
        ("too large", ((1 << 20) + 1u32).to_be_bytes().to_vec()),
        ("negative length", (-1i32).to_be_bytes().to_vec()),
    ];
    for (what, bytes) in cases {
        let mut stream = broker.connect().stream;
        stream.write_all(&bytes).unwrap();
        assert!(is_closed(&mut stream), "{what}");
    }
    other.write_all(&api_versions(0, 1)).unwrap();
    assert_eq!(read_api_versions(&mut other, 0).0, 1);
}

#[test]
fn what_was_asked_before_a_half_close_is_answered() {
    let broker = TestBroker::start();
    let mut stream = broker.connect().stream;
    stream.write_all(&[api_versions(0, 1), api_versions(0, 2)].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_api_versions(&mut stream, 0).0, 1);
    assert_eq!(read_api_versions(&mut stream, 0).0, 2);
    assert!(is_closed(&mut stream));
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let broker = TestBroker::with(|config| config.connections_max_idle_ms = 400);
    let mut idle = broker.connect().stream;
    let mut busy = broker.connect().stream;
    for id in 0..12 {
        busy.write_all(&api_versions(0, id)).unwrap();
        assert_eq!(read_api_versions(&mut busy, 0).0, id);
        std::thread::sleep(Duration::from_millis(100));
    }
    idle.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(is_closed(&mut idle));
}

#[test]
fn the_limit_per_address_closes_and_the_total_limit_waits() {
    let broker = TestBroker::with(|config| config.max_connections_per_ip = 1);
    let _first = broker.connect().stream;
    let mut second = broker.connect().stream;
    assert!(is_closed(&mut second));

    let broker = TestBroker::with(|config| config.max_connections = 1);
    let first = broker.connect().stream;
    let mut second = broker.connect().stream;
    second.write_all(&api_versions(0, 9)).unwrap();
    second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "answered although max.connections is reached");
    drop(first);
    second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(read_api_versions(&mut second, 0).0, 9);
}

#[test]
fn a_stopping_broker_answers_what_it_has_read_and_ends() {
    let broker = TestBroker::start();
    let address = broker.handle.addr();
    let mut stream = broker.connect().stream;
    stream.write_all(&api_versions(0, 1)).unwrap();
    assert_eq!(read_api_versions(&mut stream, 0).0, 1);
    broker.handle.shutdown().unwrap();
    assert!(is_closed(&mut stream));
    assert!(TcpStream::connect(address).is_err());
}

/// A produce request to topic `t`, with a batch of one record of `value_bytes` for each of the partitions.
fn produce(acks: i16, partitions: std::ops::Range<i32>, value_bytes: usize) -> ProduceRequest {
    let value = vec![7; value_bytes];
    let batch = BatchBuilder::new().record(1000, None, Some(&value)).build();
    let records = Bytes::copy_from_slice(batch.bytes());
    let partitions = partitions
        .map(|index| PartitionProduceData::default().with_index(index).with_records(Some(records.clone())))
        .collect();
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_data(partitions);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_reached_the_socket_before_the_client_closed_it_is_appended() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let end = || topic.partition(0).unwrap().log_end().offset;
    // With acks=1 the unread responses make the client's system reset the connection, and forget what it has not sent:
    // all of that goes out in one segment.
    for (acks, value_bytes, requests) in [(0, 100, 500), (0, 100_000, 50), (1, 100, 100)] {
        let before = end();
        let mut client = broker.connect();
        let frame = |id| request(ApiKey::Produce, 9, id, &produce(acks, 0..1, value_bytes));
        client.stream.write_all(&(0..requests).flat_map(frame).collect::<Vec<u8>>()).unwrap();
        drop(client);
        wait_for(&format!("acks={acks}, {requests} × {value_bytes} bytes"), || {
            end() == before + i64::from(requests)
        });
    }
}

#[test]
fn large_frames_share_little_memory_without_waiting_for_each_other_forever() {
    let broker = TestBroker::with(|config| config.queued_max_request_bytes = 1 << 20);
    broker.create_topic("t", 5, TopicConfig::default());
    let frame = request(ApiKey::Produce, 9, 1, &produce(1, 0..5, 1_000_000));
    // Half of each frame is there before the second half of any.
    let mut clients: Vec<Client> = (0..6).map(|_| broker.connect()).collect();
    let senders: Vec<_> = clients
        .iter()
        .map(|client| {
            let (mut stream, frame) = (client.stream.try_clone().unwrap(), frame.clone());
            std::thread::spawn(move || {
                let (first, second) = frame.split_at(frame.len() / 2);
                stream.write_all(first).unwrap();
                std::thread::sleep(Duration::from_millis(50));
                stream.write_all(second).unwrap();
            })
        })
        .collect();
    for client in &mut clients {
        let response: ProduceResponse = client.receive(ApiKey::Produce, 9, 1);
        for partition in &response.responses[0].partition_responses {
            assert_eq!(partition.error_code, 0);
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    wait_for("everything is given back", || broker.handle.broker().request_budget.used_bytes() == 0);
}

#[test]
fn an_announced_frame_costs_its_first_chunk_only() {
    let broker = TestBroker::start();
    let mut clients: Vec<Client> = (0..20).map(|_| broker.connect()).collect();
    for client in &mut clients {
        client.stream.write_all(&(100u32 << 20).to_be_bytes()).unwrap();
        client.stream.write_all(&[0, 0, 0, 9, 0, 0, 0, 1]).unwrap();
    }
    let used = || broker.handle.broker().request_budget.used_bytes();
    wait_for("all frames are begun", || used() >= 20 * (2 << 20));
    assert_eq!(used(), 20 * (2 << 20));
    drop(clients);
    wait_for("everything is given back", || used() == 0);
}

#[test]
fn a_pipelined_request_waits_for_one_that_must_be_alone() {
    let broker = TestBroker::start();
    let mut client = broker.connect();
    for version in 1..=4 {
        // The creation and the produce go out together; the second finds the topic.
        let name = StrBytes::from_string(format!("t{version}"));
        let topic = fluxmq_protocol::messages::create_topics_request::CreatableTopic::default()
            .with_name(TopicName(name.clone()))
            .with_num_partitions(1)
            .with_replication_factor(1);
        let create = fluxmq_protocol::messages::CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(10_000);
        let mut produce = produce(1, 0..1, 10);
        produce.topic_data[0].name = TopicName(name);
        let both =
            [request(ApiKey::CreateTopics, 5, 1, &create), request(ApiKey::Produce, 9, 2, &produce)].concat();
        client.stream.write_all(&both).unwrap();
        let created: fluxmq_protocol::messages::CreateTopicsResponse =
            client.receive(ApiKey::CreateTopics, 5, 1);
        assert_eq!(created.topics[0].error_code, 0);
        let produced: ProduceResponse = client.receive(ApiKey::Produce, 9, 2);
        assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    }
}
