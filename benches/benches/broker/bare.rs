//! The bare loops: what a server of these requests can't avoid, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use fluxmq_storage::mmap::{Populate, SegmentMap};
use parking_lot::Mutex;
use rustix::event::epoll;
use rustix::fs::FallocateFlags;

use crate::{MEGABYTE, Options, SEGMENT_BYTES};

/// Bytes of a fetch response before the records, about.
const FETCH_HEAD_BYTES: usize = 96;
/// Requests of the bare loops below this are asked for an answer only.
const SMALL_FRAME_BYTES: usize = 512;

/// Runs the loop that is named, until its client closes.
pub(crate) fn serve(role: &str, options: &Options) {
    let listener = TcpListener::bind(("127.0.0.1", options.port)).expect("a free port");
    let (what, how) = role.split_once('-').unwrap_or((role, ""));
    match what {
        "small" => bare_epoll(&listener),
        "roundtrip" => bare_ping_pong(accept(&listener)),
        "produce0" | "produce1" => {
            let segments = Segments::reserve(&options.dir, options.bytes / SEGMENT_BYTES + 2, how == "map");
            bare_produce(accept(&listener), segments, what == "produce1");
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

/// Reserved files that are filled one after the other and then again, with writes or through maps.
struct Segments {
    files: Vec<(std::fs::File, Option<(SegmentMap, Populate)>)>,
    written: usize,
}

impl Segments {
    fn reserve(dir: &Path, count: usize, mapped: bool) -> Segments {
        let files = (0..count).map(|index| {
            let file = file(dir, index);
            rustix::fs::fallocate(file.as_fd(), FallocateFlags::empty(), 0, SEGMENT_BYTES as u64)
                .expect("space");
            let map = mapped.then(|| {
                let map = SegmentMap::new(&file, SEGMENT_BYTES).expect("a file system with maps");
                let populate = map.populate_handle();
                (map, populate)
            });
            (file, map)
        });
        Segments { files: files.collect(), written: 0 }
    }

    /// Takes a batch of about a megabyte. Each begins at a megabyte, where the kernel takes large folios.
    fn append(&mut self, batch: &[u8]) {
        let segment = self.written / SEGMENT_BYTES % self.files.len();
        let position = self.written % SEGMENT_BYTES;
        match &mut self.files[segment] {
            (file, None) => file.write_all_at(batch, position as u64).expect("space"),
            (_, Some((map, populate))) => {
                populate.populate(position, position + MEGABYTE).expect("it is reserved");
                map.store(position, &[&batch[..batch.len().min(MEGABYTE)]]);
            }
        }
        self.written += MEGABYTE;
    }
}

fn bare_produce(mut stream: TcpStream, mut segments: Segments, answered: bool) {
    let (mut buffer, answer) = (vec![0; 2 * MEGABYTE], answer(46));
    let mut prefix = [0; 4];
    while stream.read_exact(&mut prefix).is_ok() {
        let length = u32::from_be_bytes(prefix) as usize;
        stream.read_exact(&mut buffer[..length]).expect("a frame");
        if length >= SMALL_FRAME_BYTES {
            std::hint::black_box(crc_fast::crc32_iscsi(&buffer[..length]));
            segments.append(&buffer[..length]);
        }
        if answered || length < SMALL_FRAME_BYTES {
            stream.write_all(&answer).expect("a client");
        }
    }
}

/// Receives, answers, and does nothing in between.
fn bare_ping_pong(mut stream: TcpStream) {
    let (mut buffer, answer) = (vec![0; 4096], answer(46));
    while stream.read(&mut buffer).is_ok_and(|received| received > 0) {
        stream.write_all(&answer).expect("a client");
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
