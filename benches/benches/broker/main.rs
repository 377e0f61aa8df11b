//! CPU of a whole broker process, alternating with bare loops that do the same unavoidable work over the same sockets.
//!
//! - `produce0`, `produce1`: one producer, batches of 1 MB, acks 0 and 1. Bare: receive, CRC-32C, and a pwrite, or making
//!   the next pages of a map writable and a copy there.
//! - `small`: 64 producers, batches of 16 KB, acks=1, one request in flight each. Bare: two epoll threads that receive,
//!   check the CRC and copy into memory that is there.
//! - `fetch`, `fetch16`: one consumer, answers of 1 MB and 16 KB from the page cache. Bare: a header and sendfile, or
//!   one send of a copy.
//! - `roundtrip`: one producer, a batch of one small record with acks=1 after the answer to the last. Bare: receive, send.
//!
//! `cargo build --release && cargo bench -p fluxmq-benches --bench broker [-- what=produce1,fetch rounds=5 gb=2
//! broker=target/release/fluxmq port=21800 dir=/path]`
//!
//! The congestion control `bbr` distorts loopback: where it is the default, run this in a network namespace of its own,
//! `unshare -n sh -c 'ip link set lo up; echo cubic > /proc/sys/net/ipv4/tcp_congestion_control; …'`.

mod bare;
mod loads;
mod server;

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Instant;

use fluxmq_benches::wire::frame;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::{CreateTopicsRequest, TopicName};

use loads::{fetch, fetch_frame, ping_pong, produce, produce_frame, round_trips};
use server::{Server, receive};

const TOPIC: &str = "measured";
const MEGABYTE: usize = 1 << 20;
const SEGMENT_BYTES: usize = 256 << 20;
const CONNECTIONS: usize = 64;
/// One record of 1,000 bytes.
const SMALL_BATCH_BYTES: usize = 1300;
const ROUND_TRIPS: usize = 30_000;

struct Options {
    broker: PathBuf,
    dir: PathBuf,
    port: u16,
    rounds: usize,
    bytes: usize,
    what: Vec<String>,
}

fn main() {
    let arguments: HashMap<String, String> = std::env::args()
        .filter_map(|argument| argument.split_once('=').map(|(key, value)| (key.into(), value.into())))
        .collect();
    let get = |key: &str, default: &str| arguments.get(key).cloned().unwrap_or_else(|| default.into());
    let number = |key: &str, default: &str| get(key, default).parse::<usize>().expect("a number");
    let options = Options {
        broker: get("broker", concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/fluxmq")).into(),
        dir: get("dir", "broker-bench.tmp").into(),
        port: u16::try_from(number("port", "21800")).expect("a port"),
        rounds: number("rounds", "5"),
        bytes: number("gb", "2") * 1_000_000_000,
        what: get("what", "produce0,produce1,small,fetch,fetch16,roundtrip")
            .split(',')
            .map(Into::into)
            .collect(),
    };
    if let Some(role) = arguments.get("role") {
        return bare::serve(role, &options);
    }
    for what in &options.what {
        compare(&options, what);
    }
}

/// Takes turns with the bare loops of one kind of load, and prints all of it.
fn compare(options: &Options, what: &str) {
    let mut servers = vec![("broker", None), ("bare loop", Some(what.to_owned()))];
    if what.starts_with("produce") {
        servers.push(("bare map", Some(format!("{what}-map"))));
    }
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); servers.len()];
    for round in 0..options.rounds {
        for turn in 0..servers.len() {
            let turn = (round + turn) % servers.len();
            std::fs::create_dir_all(&options.dir).expect("a directory");
            let server = Server::start(options, servers[turn].1.as_deref());
            runs[turn].push(measure(options, what, &server));
            drop(server);
            std::fs::remove_dir_all(&options.dir).expect("it is there");
        }
    }
    for ((who, _), runs) in servers.iter().zip(&runs) {
        report(what, who, runs);
    }
    for ((who, _), bare) in servers.iter().zip(&runs).skip(1) {
        let ratio = |of: fn(&Run) -> f64| {
            (median(&runs[0], of) / median(bare, of), least(&runs[0], of) / least(bare, of))
        };
        let (middle, lowest) =
            if what == "roundtrip" { ratio(|run| run.p50_us) } else { ratio(|run| run.cpu_us) };
        println!("{what:9} broker / {who}: median {middle:.2}, least {lowest:.2}");
    }
}

#[derive(Clone, Copy, Default)]
struct Run {
    /// Of the server, for a request.
    cpu_us: f64,
    cpu_s_per_gb: f64,
    requests_per_s: f64,
    /// Of round trips.
    p50_us: f64,
    p99_us: f64,
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn least(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    runs.iter().map(of).fold(f64::INFINITY, f64::min)
}

fn report(what: &str, who: &str, runs: &[Run]) {
    let both = |of: fn(&Run) -> f64, digits| {
        format!("{:.digits$} (least {:.digits$})", median(runs, of), least(runs, of))
    };
    let rate = median(runs, |run| run.requests_per_s);
    print!("{what:9} {who:9} us/request {}  ", both(|run| run.cpu_us, 2));
    if what == "roundtrip" {
        println!("p50 {} us  p99 {} us", both(|run| run.p50_us, 1), both(|run| run.p99_us, 1));
    } else {
        println!("cpu s/GB {}  requests/s {rate:.0}", both(|run| run.cpu_s_per_gb, 3));
    }
}

fn measure(options: &Options, what: &str, server: &Server) -> Run {
    let mut stream = server.connect();
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_timeout_ms(10_000).with_topics(vec![topic]);
    stream.write_all(&frame(5, &request)).expect("a server");
    receive(&mut stream, &mut [0; 4096]);
    let (requests, bytes, work): (usize, usize, Box<dyn FnMut(usize)>) = match what {
        "produce0" | "produce1" => {
            let acks = i16::from(what == "produce1");
            let (frame, ..) = produce_frame(MEGABYTE, acks);
            (options.bytes / frame.len(), frame.len(), Box::new(produce(stream, frame, acks != 0)))
        }
        "roundtrip" => return round_trip(server, stream),
        "small" => {
            let (frame, ..) = produce_frame(16 << 10, 1);
            let requests = options.bytes / frame.len() / CONNECTIONS * CONNECTIONS;
            let streams = (0..CONNECTIONS).map(|_| server.connect()).collect();
            (requests, frame.len(), Box::new(ping_pong(streams, frame)))
        }
        "fetch" | "fetch16" => {
            let batch_bytes = if what == "fetch" { MEGABYTE } else { 16 << 10 };
            let (frame, records, bytes) = produce_frame(batch_bytes, 1);
            let batches = SEGMENT_BYTES / 2 / bytes;
            if server.is_broker {
                produce(stream.try_clone().expect("a descriptor"), frame, true)(batches);
            }
            let frames = (0..batches).map(|batch| fetch_frame(batch * records, bytes)).collect();
            // Sendfile is quick: more bytes for the clock's 10 ms.
            (2 * options.bytes / bytes, bytes, Box::new(fetch(stream, frames, bytes)))
        }
        _ => panic!("produce0, produce1, small, fetch, fetch16, roundtrip: {what}"),
    };
    run(server, requests, bytes, work)
}

fn run(server: &Server, requests: usize, bytes: usize, mut work: impl FnMut(usize)) -> Run {
    // Buffers, the topic's first segment, the clock frequency.
    work(requests / 16 / CONNECTIONS * CONNECTIONS);
    let (started, cpu) = (Instant::now(), server.cpu_us());
    work(requests);
    let (wall, cpu_us) = (started.elapsed().as_secs_f64(), server.cpu_us() - cpu);
    Run {
        cpu_us: cpu_us / requests as f64,
        cpu_s_per_gb: cpu_us / 1e6 / (requests * bytes) as f64 * 1e9,
        requests_per_s: requests as f64 / wall,
        ..Run::default()
    }
}

fn round_trip(server: &Server, stream: TcpStream) -> Run {
    let mut latencies = Vec::new();
    let (frame, ..) = produce_frame(SMALL_BATCH_BYTES, 1);
    let bytes = frame.len();
    let figures = run(server, ROUND_TRIPS, bytes, round_trips(stream, frame, &mut latencies));
    latencies.sort_unstable();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    Run { p50_us: at(0.5), p99_us: at(0.99), ..figures }
}
