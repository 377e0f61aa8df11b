//! Metrics and health over HTTP.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use common::broker::TestBroker;
use fluxmq_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

/// The status line and the body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn metrics_and_health_are_served() {
    let broker = TestBroker::with(|config| config.http_listener = Some("127.0.0.1:0".into()));
    let http = broker.handle.http_addr().unwrap();
    assert_eq!(get(http, "/healthz"), ("HTTP/1.1 200 OK".into(), "ok\n".into()));
    assert_eq!(get(http, "/readyz"), ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    assert_eq!(get(http, "/nothing").0, "HTTP/1.1 404 Not Found");

    let mut client = broker.connect();
    for _ in 0..3 {
        let _: ApiVersionsResponse = client.call(ApiKey::ApiVersions, 0, &ApiVersionsRequest::default());
    }
    let (status, page) = get(http, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "# TYPE fluxmq_bytes_in_total counter",
        "# TYPE fluxmq_connections gauge",
        "fluxmq_connections 1",
        "fluxmq_messages_in_total 0",
        "fluxmq_request_duration_microseconds_count{api=\"ApiVersions\"} 3",
        "fluxmq_request_duration_microseconds_bucket{api=\"ApiVersions\",le=\"+Inf\"} 3",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in:\n{page}");
    }
    assert!(!page.contains("api=\"Fetch\""), "an API that nobody asked has no lines");
}

#[test]
fn a_port_that_is_taken_does_not_keep_the_broker_from_serving() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let broker = TestBroker::with(|config| config.http_listener = Some(address));
    assert_eq!(broker.handle.http_addr(), None);
    let _: ApiVersionsResponse =
        broker.connect().call(ApiKey::ApiVersions, 0, &ApiVersionsRequest::default());
}
