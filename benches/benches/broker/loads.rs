//! What the clients do.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fluxmq_benches::batch_of;
use fluxmq_benches::wire::frame;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{BrokerId, FetchRequest, ProduceRequest, TopicName};
use fluxmq_storage::codec::Codec;
use rustix::event::epoll;

use crate::server::{receive, settle};
use crate::{CONNECTIONS, MEGABYTE, TOPIC};

/// Requests of one large producer that wait for their answers.
const IN_FLIGHT: usize = 5;

/// A frame, and the number of records and of bytes of its batch.
pub(crate) fn produce_frame(batch_bytes: usize, acks: i16) -> (Vec<u8>, usize, usize) {
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

pub(crate) fn fetch_frame(offset: usize, max_bytes: usize) -> Vec<u8> {
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

pub(crate) fn produce(mut stream: TcpStream, frame: Vec<u8>, answered: bool) -> impl FnMut(usize) {
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

pub(crate) fn fetch(mut stream: TcpStream, frames: Vec<Vec<u8>>, bytes: usize) -> impl FnMut(usize) {
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
pub(crate) fn ping_pong(mut streams: Vec<TcpStream>, frame: Vec<u8>) -> impl FnMut(usize) {
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

/// One small request after the other, each after the answer to the last; notes how long each took.
pub(crate) fn round_trips<'a>(
    mut stream: TcpStream,
    frame: Vec<u8>,
    latencies: &'a mut Vec<Duration>,
) -> impl FnMut(usize) + 'a {
    let mut buffer = vec![0; 4096];
    move |requests| {
        latencies.clear();
        for _ in 0..requests {
            let sent = Instant::now();
            stream.write_all(&frame).expect("a server");
            receive(&mut stream, &mut buffer);
            latencies.push(sent.elapsed());
        }
    }
}
