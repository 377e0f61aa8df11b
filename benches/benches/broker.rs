//! CPU of a whole broker process, alternating with bare loops that do the same unavoidable work over the same sockets.
//!
//! - `produce0`, `produce1`: one producer, batches of 1 MB, acks 0 and 1. Bare: receive, CRC-32C, pwrite.
//! - `small`: 64 producers, batches of 16 KB, acks=1, one request in flight each. Bare: two epoll threads that receive,
//!   check the CRC and copy into memory that is there.
//! - `fetch`, `fetch16`: one consumer, answers of 1 MB and 16 KB from the page cache. Bare: a header and sendfile, or
//!   one send of a copy.
//!
//! `cargo build --release && cargo bench -p fluxmq-benches --bench broker [-- what=produce1,fetch rounds=5 gb=2
//! broker=target/release/fluxmq port=21800 dir=/path]`
//!
//! The congestion control `bbr` distorts loopback: where it is the default, run this in a network namespace of its own,
//! `unshare -n sh -c 'ip link set lo up; echo cubic > /proc/sys/net/ipv4/tcp_congestion_control; …'`.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fluxmq_benches::batch_of;
use fluxmq_benches::figures::BrokerProcess;
use fluxmq_benches::wire::frame;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{
    ApiVersionsRequest, BrokerId, CreateTopicsRequest, FetchRequest, ProduceRequest, TopicName,
};
use fluxmq_storage::codec::Codec;
use parking_lot::Mutex;
use rustix::event::epoll;
use rustix::fs::FallocateFlags;

const TOPIC: &str = "measured";
const MEGABYTE: usize = 1 << 20;
const SEGMENT_BYTES: usize = 256 << 20;
const CONNECTIONS: usize = 64;
const IN_FLIGHT: usize = 5;
/// Bytes of a fetch response before the records, about.
const FETCH_HEAD_BYTES: usize = 96;
/// Requests of the bare loops below this are asked for an answer only.
const SMALL_FRAME_BYTES: usize = 512;

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
        what: get("what", "produce0,produce1,small,fetch,fetch16").split(',').map(Into::into).collect(),
    };
    if let Some(role) = arguments.get("role") {
        return bare_server(role, &options);
    }
    for what in &options.what {
        let (mut bare, mut broker) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            let mut runs = [(&mut bare, false), (&mut broker, true)];
            if round % 2 == 1 {
                runs.reverse();
            }
            for (results, is_broker) in runs {
                std::fs::create_dir_all(&options.dir).expect("a directory");
                let server = Server::start(&options, what, is_broker);
                results.push(measure(&options, what, &server));
                drop(server);
                std::fs::remove_dir_all(&options.dir).expect("it is there");
            }
        }
        report(what, "bare loop", &mut bare);
        report(what, "broker", &mut broker);
        println!(
            "{what:9} broker / bare loop: median {:.2}, least {:.2}",
            median(&broker).cpu_us / median(&bare).cpu_us,
            broker[0].cpu_us / bare[0].cpu_us,
        );
    }
}

#[derive(Clone, Copy)]
struct Run {
    /// Of the server, for a request.
    cpu_us: f64,
    cpu_s_per_gb: f64,
    requests_per_s: f64,
}

fn median(sorted: &[Run]) -> Run {
    sorted[sorted.len() / 2]
}

fn report(what: &str, who: &str, runs: &mut [Run]) {
    runs.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
    let (least, middle) = (runs[0], median(runs));
    println!(
        "{what:9} {who:9} us/request {:.2} (least {:.2})  cpu s/GB {:.3} (least {:.3})  requests/s {:.0}",
        middle.cpu_us, least.cpu_us, middle.cpu_s_per_gb, least.cpu_s_per_gb, middle.requests_per_s,
    );
}

/// The broker, or this program again as a bare loop.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(options: &Options, what: &str, is_broker: bool) -> Server {
        let port = options.port + u16::from(is_broker);
        let mut command = if is_broker {
            let mut command = Command::new(&options.broker);
            command.arg("--data-dir").arg(options.dir.join("data")).args(["--port", &port.to_string()]);
            command.args(["--override", "http.listener=", "--log-level", "warn"]);
            command
        } else {
            let mut command = Command::new(std::env::current_exe().expect("it runs"));
            command.arg(format!("role={what}")).arg(format!("dir={}", options.dir.display()));
            command.arg(format!("port={port}")).arg(format!("gb={}", options.bytes / 1_000_000_000));
            command
        };
        let process = command.stdout(Stdio::null()).spawn().expect("a server that can be started");
        Server { process, port }
    }

    fn connect(&self) -> TcpStream {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                stream.set_nodelay(true).expect("a socket option");
                return stream;
            }
            assert!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// CPU time of the process so far, to the system's 10 ms.
    fn cpu_us(&self) -> f64 {
        BrokerProcess::of(&self.process).cpu_s() * 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

/// Reads one response to its end and gives its length.
fn receive(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).expect("an answer");
    let length = u32::from_be_bytes(prefix) as usize;
    let mut left = length;
    while left > 0 {
        let room = left.min(buffer.len());
        let received = stream.read(&mut buffer[..room]).expect("an answer");
        assert!(received > 0, "the server closed the connection");
        left -= received;
    }
    length
}

/// Waits until the server has seen everything that was sent before on the connection.
fn settle(stream: &mut TcpStream) {
    stream.write_all(&frame(0, &ApiVersionsRequest::default())).expect("a server");
    receive(stream, &mut [0; 4096]);
}

/// A frame, and the number of records and of bytes of its batch.
fn produce_frame(batch_bytes: usize, acks: i16) -> (Vec<u8>, usize, usize) {
    let batch = batch_of(batch_bytes - 1200, 1000, Codec::None);
    let records = i64::from(batch.header().records_count);
    let partition = PartitionProduceData::default().with_records(Some(batch.bytes().clone()));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partition_data(vec![partition]);
    let request =
        ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    (frame(12, &request), usize::try_from(records).expect("a count"), batch.bytes().len())
}

fn fetch_frame(offset: usize, max_bytes: usize) -> Vec<u8> {
    let max_bytes = i32::try_from(max_bytes).expect("small");
    let partition = FetchPartition::default()
        .with_fetch_offset(i64::try_from(offset).expect("an offset"))
        .with_partition_max_bytes(max_bytes);
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(max_bytes)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    frame(12, &request)
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
            if server.port != options.port {
                produce(stream.try_clone().expect("a descriptor"), frame, true)(batches);
            }
            let frames = (0..batches).map(|batch| fetch_frame(batch * records, bytes)).collect();
            // Sendfile is quick: more bytes for the clock's 10 ms.
            (2 * options.bytes / bytes, bytes, Box::new(fetch(stream, frames, bytes)))
        }
        _ => panic!("produce0, produce1, small, fetch, fetch16: {what}"),
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
    }
}

fn produce(mut stream: TcpStream, frame: Vec<u8>, answered: bool) -> impl FnMut(usize) {
    let mut buffer = vec![0; 4096];
    move |requests| {
        for request in 0..requests {
            if answered && request >= IN_FLIGHT {
                receive(&mut stream, &mut buffer);
            }
            stream.write_all(&frame).expect("a server");
        }
        if answered {
            (0..requests.min(IN_FLIGHT)).for_each(|_| assert!(receive(&mut stream, &mut buffer) > 0));
        }
        settle(&mut stream);
    }
}

fn fetch(mut stream: TcpStream, frames: Vec<Vec<u8>>, bytes: usize) -> impl FnMut(usize) {
    let mut buffer = vec![0; MEGABYTE];
    let mut next = 0;
    move |requests| {
        for _ in 0..requests {
            stream.write_all(&frames[next % frames.len()]).expect("a server");
            next += 1;
            let received = receive(&mut stream, &mut buffer);
            assert!(received.abs_diff(bytes) < 2048, "{received} instead of {bytes} bytes");
        }
    }
}

/// Each connection has one request in flight; one thread serves them all.
fn ping_pong(mut streams: Vec<TcpStream>, frame: Vec<u8>) -> impl FnMut(usize) {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    for (index, stream) in streams.iter().enumerate() {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&poll, stream, data, epoll::EventFlags::IN).expect("epoll");
    }
    let mut events = Vec::with_capacity(CONNECTIONS);
    let mut buffer = vec![0; 4096];
    move |requests| {
        streams.iter_mut().for_each(|stream| stream.write_all(&frame).expect("a server"));
        let (mut sent, mut answered) = (CONNECTIONS, 0);
        while answered < requests {
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None).expect("epoll");
            for event in &events {
                let stream = &mut streams[event.data.u64() as usize];
                receive(stream, &mut buffer);
                answered += 1;
                if sent < requests {
                    stream.write_all(&frame).expect("a server");
                    sent += 1;
                }
            }
        }
    }
}

fn bare_server(what: &str, options: &Options) {
    let listener = TcpListener::bind(("127.0.0.1", options.port)).expect("a free port");
    match what {
        "small" => bare_epoll(&listener),
        "produce0" | "produce1" => {
            bare_produce(accept(&listener), &options.dir, options.bytes, what == "produce1");
        }
        _ => bare_fetch(accept(&listener), &options.dir, if what == "fetch" { MEGABYTE } else { 16 << 10 }),
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a client");
    stream.set_nodelay(true).expect("a socket option");
    stream
}

/// An answer of `bytes` after the length.
fn answer(bytes: usize) -> Vec<u8> {
    let mut answer = vec![0; 4 + bytes];
    answer[..4].copy_from_slice(&u32::try_from(bytes).expect("small").to_be_bytes());
    answer
}

fn file(dir: &Path, index: usize) -> std::fs::File {
    let path = dir.join(format!("bare-{index}"));
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(path);
    file.expect("a file")
}

fn bare_produce(mut stream: TcpStream, dir: &Path, bytes: usize, answered: bool) {
    let segments = bytes / SEGMENT_BYTES + 2;
    let files: Vec<_> = (0..segments).map(|index| file(dir, index)).collect();
    for file in &files {
        rustix::fs::fallocate(file.as_fd(), FallocateFlags::empty(), 0, SEGMENT_BYTES as u64).expect("space");
    }
    let (mut buffer, answer, mut written) = (vec![0; 2 * MEGABYTE], answer(46), 0);
    let mut prefix = [0; 4];
    while stream.read_exact(&mut prefix).is_ok() {
        let length = u32::from_be_bytes(prefix) as usize;
        stream.read_exact(&mut buffer[..length]).expect("a frame");
        if length >= SMALL_FRAME_BYTES {
            std::hint::black_box(crc_fast::crc32_iscsi(&buffer[..length]));
            let (segment, position) = (written / SEGMENT_BYTES % segments, written % SEGMENT_BYTES);
            files[segment].write_all_at(&buffer[..length], position as u64).expect("space");
            written += MEGABYTE;
        }
        if answered || length < SMALL_FRAME_BYTES {
            stream.write_all(&answer).expect("a client");
        }
    }
}

fn bare_fetch(mut stream: TcpStream, dir: &Path, bytes: usize) {
    let file = file(dir, 0);
    for position in (0..SEGMENT_BYTES / 2).step_by(MEGABYTE) {
        file.write_all_at(&vec![7; MEGABYTE], position as u64).expect("space");
    }
    let mut head = answer(FETCH_HEAD_BYTES);
    head[..4].copy_from_slice(&u32::try_from(FETCH_HEAD_BYTES + bytes).expect("small").to_be_bytes());
    let topic_created = answer(46);
    let (mut buffer, mut prefix, mut next) = (vec![0; 4096], [0; 4], 0);
    let mut first = true;
    while stream.read_exact(&mut prefix).is_ok() {
        stream.read_exact(&mut buffer[..u32::from_be_bytes(prefix) as usize]).expect("a frame");
        if std::mem::take(&mut first) {
            stream.write_all(&topic_created).expect("a client");
            continue;
        }
        let mut position = (next % (SEGMENT_BYTES / 2 / bytes) * bytes) as u64;
        next += 1;
        if bytes < 32 << 10 {
            let mut copy = head.clone();
            copy.resize(head.len() + bytes, 0);
            file.read_exact_at(&mut copy[head.len()..], position).expect("bytes");
            stream.write_all(&copy).expect("a client");
            continue;
        }
        rustix::net::send(&stream, &head, rustix::net::SendFlags::MORE).expect("a client");
        let end = position + bytes as u64;
        while position < end {
            let left = (end - position) as usize;
            rustix::fs::sendfile(&stream, &file, Some(&mut position), left).expect("a client");
        }
    }
}

fn bare_epoll(listener: &TcpListener) {
    let polls = [(); 2].map(|()| epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll"));
    std::thread::scope(|scope| {
        for poll in &polls {
            scope.spawn(|| bare_epoll_thread(poll.as_fd()));
        }
        for index in 0.. {
            let stream = accept(listener);
            let data = epoll::EventData::new_u64(stream.as_raw_fd() as u64);
            let poll = &polls[index % 2];
            let mut accepted = ACCEPTED.lock();
            let stream = accepted.entry(stream.as_raw_fd() as u64).or_insert(stream);
            epoll::add(poll, &*stream, data, epoll::EventFlags::IN).expect("epoll");
        }
    });
}

/// Connections that were accepted, by descriptor, until their thread takes them.
static ACCEPTED: Mutex<BTreeMap<u64, TcpStream>> = Mutex::new(BTreeMap::new());

struct BareConnection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

fn bare_epoll_thread(poll: std::os::fd::BorrowedFd<'_>) {
    let mut log = vec![1; SEGMENT_BYTES];
    let mut position = 0;
    let (small, mut events) = (answer(46), Vec::with_capacity(256));
    let mut connections: HashMap<u64, BareConnection> = HashMap::new();
    loop {
        events.clear();
        epoll::wait(poll, rustix::buffer::spare_capacity(&mut events), None).expect("epoll");
        for event in &events {
            let id = event.data.u64();
            let connection = connections.entry(id).or_insert_with(|| BareConnection {
                stream: ACCEPTED.lock().remove(&id).expect("it was accepted"),
                buffer: vec![0; 40 << 10],
                filled: 0,
            });
            let BareConnection { stream, buffer, filled } = connection;
            let received =
                rustix::net::recv(&*stream, &mut buffer[*filled..], rustix::net::RecvFlags::DONTWAIT);
            let Ok((received, _)) = received else { continue };
            if received == 0 {
                connections.remove(&id);
                continue;
            }
            *filled += received;
            let mut start = 0;
            while let Some(prefix) = buffer[start..*filled].first_chunk::<4>() {
                let end = start + 4 + u32::from_be_bytes(*prefix) as usize;
                if end > *filled {
                    break;
                }
                let body = &buffer[start + 4..end];
                std::hint::black_box(crc_fast::crc32_iscsi(body));
                position = if position + body.len() > log.len() { 0 } else { position };
                log[position..position + body.len()].copy_from_slice(body);
                position += body.len();
                stream.write_all(&small).expect("a client");
                start = end;
            }
            buffer.copy_within(start..*filled, 0);
            *filled -= start;
        }
    }
}
