//! Replaying the records of committed offsets into a shard, as at the load of `__consumer_offsets`: a million commits of
//! ten thousand groups, of ten partitions each.
//!
//! `cargo bench -p fluxmq-benches --bench group_replay`. Before the times it prints what the offsets take in memory:
//! the growth of this process's anonymous memory per group and per offset, records not counted.

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use fluxmq_coordinator::{GroupCoordinatorConfig, GroupShard, Now};
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use uuid::Uuid;

const GROUPS: usize = 10_000;
const RECORDS: usize = 1_000_000;
const PARTITIONS: usize = 10;
const CHUNK: usize = 100;
const NOW: Now = Now { monotonic_ms: 0, wall_ms: 1_700_000_000_000 };

/// Commits of all groups in turn, partition after partition.
fn record(number: usize, topics: usize, partitions: usize) -> GroupRecord {
    let (group, round) = (number % GROUPS, number / GROUPS);
    let (topic, partition) = (round / partitions % topics, round % partitions);
    let key = OffsetCommitKey {
        group: StrBytes::from_string(format!("application-{group:05}")),
        topic: StrBytes::from_string(format!("orders.placed.{topic}")),
        partition: partition as i32,
    };
    let value = OffsetCommitValue {
        offset: number as i64,
        leader_epoch: 3,
        metadata: StrBytes::new(),
        commit_timestamp: NOW.wall_ms,
        expire_timestamp: -1,
        topic_id: Uuid::from_u128(topic as u128 + 1),
    };
    GroupRecord::OffsetCommit(key, Some(value))
}

fn shard() -> GroupShard {
    GroupShard::new(Arc::new(GroupCoordinatorConfig::default()))
}

fn decoded((key, value): &(Bytes, Option<Bytes>)) -> GroupRecord {
    GroupRecord::decode(key, value.as_deref()).expect("a record of our own")
}

/// Anonymous memory of this process.
fn anonymous_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find(|line| line.starts_with("RssAnon")).expect("Linux tells RssAnon");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number of KiB") * 1024
}

/// What the groups of a shard take that have committed `topics` × `partitions` offsets each.
fn print_memory(topics: usize, partitions: usize) {
    let mut shard = shard();
    let before = anonymous_bytes();
    (0..GROUPS * topics * partitions)
        .for_each(|number| shard.replay(NOW, record(number, topics, partitions)));
    let (bytes, offsets) = (anonymous_bytes() - before, shard.offset_count());
    assert_eq!((shard.group_count(), offsets), (GROUPS, GROUPS * topics * partitions));
    println!(
        "{GROUPS} groups, {topics} topics × {partitions} partitions: {} bytes per group, {} per offset",
        bytes / GROUPS,
        bytes / offsets
    );
}

fn replay(criterion: &mut Criterion) {
    let records = (0..RECORDS).map(|number| record(number, 1, PARTITIONS).encode());
    let encoded: Vec<_> = records.map(|encoded| encoded.expect("no text is too long")).collect();
    let mut group = criterion.benchmark_group("group_replay");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| encoded.iter().for_each(|record| drop(black_box(decoded(record)))));
    });
    group.bench_function("replay", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                let mut shard = shard();
                // In chunks: at a load the record was decoded just before, and is in the cache.
                for chunk in encoded.chunks(CHUNK) {
                    let records: Vec<_> = chunk.iter().map(decoded).collect();
                    let began = Instant::now();
                    records.into_iter().for_each(|record| shard.replay(NOW, record));
                    took += began.elapsed();
                }
            }
            took
        });
    });
    group.bench_function("decode and replay", |bencher| {
        let replay = |mut shard: GroupShard| {
            encoded.iter().for_each(|record| shard.replay(NOW, decoded(record)));
            shard
        };
        bencher.iter_batched(shard, replay, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, replay);

/// Topics and partitions of the groups whose memory is measured.
const SIZES: [(usize, usize); 4] = [(1, 1), (1, 10), (1, 100), (10, 10)];

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let Some(size) = arguments.iter().find_map(|argument| argument.strip_prefix("memory=")) {
        let (topics, partitions) = SIZES[size.parse::<usize>().expect("a number")];
        print_memory(topics, partitions);
        return;
    }
    for size in 0..SIZES.len() {
        // In a process of its own: an allocator keeps what was freed.
        let program = std::env::current_exe().expect("the path of this program");
        let done = Command::new(program).arg(format!("memory={size}")).status();
        assert!(done.expect("this program starts").success());
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
