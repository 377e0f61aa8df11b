//! Reading a topic of transactions to its end, over and over, under one isolation and the other: Fetch 12 without a
//! session, a connection for each partition, no more than a client's `max.partition.fetch.bytes` at once.

use std::time::{Duration, Instant};

use fluxmq_benches::figures::{BrokerProcess, Figures, Options};
use fluxmq_benches::wire::{Connections, PATIENCE, frame, response, text};
use fluxmq_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use fluxmq_protocol::messages::{BrokerId, FetchRequest, TopicName};
use fluxmq_storage::batch::BatchHeader;

use crate::producers::{FILLED, filled_partitions};

const FETCH_VERSION: i16 = 12;
const PARTITION_MAX_BYTES: i32 = 1 << 20;
const MAX_BYTES: i32 = 50 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Isolation {
    ReadUncommitted = 0,
    ReadCommitted = 1,
}

/// What reading has cost and brought.
#[derive(Default)]
struct Pass {
    cpu_s: f64,
    elapsed: Duration,
    bytes: u64,
    aborted: usize,
}

/// Reads under either isolation in turn, each time the other one first.
pub(crate) fn run(options: &Options, figures: &mut Figures) {
    let mut connections = Connections::open(&options.bootstrap(), filled_partitions(options) as usize);
    let (passes, readings) = (options.get("passes", 7), options.get("readings", 4));
    let mut read = |isolation, readings| pass(&mut connections, options.broker(), isolation, readings);
    read(Isolation::ReadUncommitted, 1);
    let (mut committed, mut uncommitted) = (Vec::new(), Vec::new());
    for number in 0..passes {
        let mut turns = [Isolation::ReadUncommitted, Isolation::ReadCommitted];
        turns.rotate_left(number % 2);
        for isolation in turns {
            let read = read(isolation, readings);
            let one = if isolation == Isolation::ReadCommitted { &mut committed } else { &mut uncommitted };
            one.push(read);
        }
    }
    assert_eq!(committed[0].bytes, uncommitted[0].bytes, "either isolation reads all of it");
    assert!(committed[0].aborted > 0, "no aborted transaction");
    let ratios = committed.iter().zip(&uncommitted).map(|(committed, all)| committed.cpu_s / all.cpu_s);
    figures.add_decimals("committed_to_uncommitted_cpu", median(ratios.collect()));
    for (name, passes) in [("committed", &committed), ("uncommitted", &uncommitted)] {
        let gb = |pass: &Pass| pass.bytes as f64 / 1e9;
        let cpu = passes.iter().map(|pass| pass.cpu_s / gb(pass)).collect();
        let rate = passes.iter().map(|pass| gb(pass) / pass.elapsed.as_secs_f64()).collect();
        figures.add_decimals(&format!("{name}_cpu_s_per_gb"), median(cpu));
        figures.add_decimals(&format!("{name}_gb_per_s"), median(rate));
    }
    figures.add_decimals("gb", committed[0].bytes as f64 / readings as f64 / 1e9);
    figures.add("aborted", committed[0].aborted / readings);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[at - 1], values[at]) } else { values[at] }
}

fn pass(connections: &mut Connections, broker: BrokerProcess, isolation: Isolation, readings: usize) -> Pass {
    let (mut pass, cpu_s, started) = (Pass::default(), broker.cpu_s(), Instant::now());
    for _ in 0..readings {
        read_to_the_end(connections, isolation, &mut pass);
    }
    pass.cpu_s = broker.cpu_s() - cpu_s;
    pass.elapsed = started.elapsed();
    pass
}

fn read_to_the_end(connections: &mut Connections, isolation: Isolation, pass: &mut Pass) {
    let mut offsets = vec![0; connections.count()];
    let mut reading = offsets.len();
    for partition in 0..reading {
        connections.send(partition, &fetch(partition, 0, isolation));
    }
    let deadline = Instant::now() + PATIENCE;
    while reading > 0 {
        assert!(Instant::now() < deadline, "the end is not reached: {offsets:?}");
        for (partition, answer) in connections.receive(deadline) {
            let mut answer = response::<FetchRequest>(FETCH_VERSION, answer);
            let answer = answer.responses.remove(0).partitions.remove(0);
            assert_eq!(answer.error_code, 0, "partition {partition}");
            pass.aborted += answer.aborted_transactions.map_or(0, |aborted| aborted.len());
            let mut records = answer.records.unwrap_or_default();
            while let Ok(header) = BatchHeader::parse(&records) {
                if header.size_in_bytes() > records.len() {
                    break;
                }
                offsets[partition] = header.next_offset();
                pass.bytes += header.size_in_bytes() as u64;
                let _ = records.split_to(header.size_in_bytes());
            }
            if offsets[partition] < answer.high_watermark {
                connections.send(partition, &fetch(partition, offsets[partition], isolation));
            } else {
                reading -= 1;
            }
        }
    }
}

fn fetch(partition: usize, offset: i64, isolation: Isolation) -> Vec<u8> {
    let wanted = FetchPartition::default()
        .with_partition(partition as i32)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(PARTITION_MAX_BYTES);
    let topic = FetchTopic::default().with_topic(TopicName(text(FILLED))).with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(MAX_BYTES)
        .with_isolation_level(isolation as i8)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    frame(FETCH_VERSION, &request)
}
