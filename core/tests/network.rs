//! The network edge, by raw frames: order, limits, and what a client that breaks the rules gets.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use fluxmq::broker::{self, BrokerHandle};
use fluxmq::config::BrokerConfig;
use fluxmq_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader};
use fluxmq_protocol::{Decodable, Encodable, ErrorCode, StrBytes};

fn broker_with(change: impl FnOnce(&mut BrokerConfig)) -> (BrokerHandle, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::for_tests(dir.path());
    change(&mut config);
    (broker::start(config).unwrap(), dir)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[..], payload].concat()
}

fn request(key: ApiKey, version: i16, correlation_id: i32, body: &impl Encodable) -> Vec<u8> {
    let mut payload = Vec::new();
    RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("network-test")))
        .encode(&mut payload, key.request_header_version(version))
        .unwrap();
    body.encode(&mut payload, version).unwrap();
    frame(&payload)
}

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
    let (broker, _dir) = broker_with(|_| {});
    let mut stream = connect(broker.addr());
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
    broker.shutdown().unwrap();
}

#[test]
fn a_newer_api_versions_is_answered_in_version_0() {
    let (broker, _dir) = broker_with(|_| {});
    let mut stream = connect(broker.addr());
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
    let (broker, _dir) = broker_with(|_| {});
    let mut stream = connect(broker.addr());
    let body = ApiVersionsRequest::default().with_client_software_name(StrBytes::from_static_str("a b"));
    stream.write_all(&request(ApiKey::ApiVersions, 3, 5, &body)).unwrap();
    let (_, response) = read_api_versions(&mut stream, 3);
    assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
    assert!(response.api_keys.is_empty());
}

#[test]
fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let (broker, _dir) = broker_with(|_| {});
    let bytes: Vec<u8> = (0..300).flat_map(|id| api_versions((id % 5) as i16, id)).collect();
    for chunk_bytes in [1, 3, 7, 64, 1000, bytes.len()] {
        let mut stream = connect(broker.addr());
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
    let (broker, _dir) = broker_with(|config| config.socket_request_max_bytes = 1 << 20);
    let mut other = connect(broker.addr());
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
        let mut stream = connect(broker.addr());
        stream.write_all(&bytes).unwrap();
        assert!(is_closed(&mut stream), "{what}");
    }
    other.write_all(&api_versions(0, 1)).unwrap();
    assert_eq!(read_api_versions(&mut other, 0).0, 1);
}

#[test]
fn what_was_asked_before_a_half_close_is_answered() {
    let (broker, _dir) = broker_with(|_| {});
    let mut stream = connect(broker.addr());
    stream.write_all(&[api_versions(0, 1), api_versions(0, 2)].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_api_versions(&mut stream, 0).0, 1);
    assert_eq!(read_api_versions(&mut stream, 0).0, 2);
    assert!(is_closed(&mut stream));
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let (broker, _dir) = broker_with(|config| config.connections_max_idle_ms = 400);
    let mut idle = connect(broker.addr());
    let mut busy = connect(broker.addr());
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
    let (broker, _dir) = broker_with(|config| config.max_connections_per_ip = 1);
    let _first = connect(broker.addr());
    let mut second = connect(broker.addr());
    assert!(is_closed(&mut second));

    let (broker, _dir) = broker_with(|config| config.max_connections = 1);
    let first = connect(broker.addr());
    let mut second = connect(broker.addr());
    second.write_all(&api_versions(0, 9)).unwrap();
    second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "answered although max.connections is reached");
    drop(first);
    second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(read_api_versions(&mut second, 0).0, 9);
}

#[test]
fn a_stopping_broker_answers_what_it_has_read_and_ends() {
    let (broker, _dir) = broker_with(|_| {});
    let address = broker.addr();
    let mut stream = connect(address);
    stream.write_all(&api_versions(0, 1)).unwrap();
    assert_eq!(read_api_versions(&mut stream, 0).0, 1);
    broker.shutdown().unwrap();
    assert!(is_closed(&mut stream));
    assert!(TcpStream::connect(address).is_err());
}
