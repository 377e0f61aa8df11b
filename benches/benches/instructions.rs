//! Instructions of what every record goes through, as callgrind counts them: the same on a busy machine as on one at rest.
//!
//! `scripts/instructions.sh`. Beside each path stands its count; more than three in a hundred above it fail. What is to
//! cost more from now on gets another number here, and the commit says why. Counted for x86-64, built for no particular
//! processor.
#![expect(missing_docs, reason = "the attribute makes a module of each function")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fluxmq::metrics::Metrics;
use fluxmq_benches::{NOW_MS, batch_of};
use fluxmq_coordinator::{GroupCoordinatorConfig, GroupShard, Now};
use fluxmq_protocol::decode::decode;
use fluxmq_protocol::fetch_response::{FetchBody, FetchPartition, FetchTopic, Records, encode_fetch};
use fluxmq_protocol::group_records::{GroupRecord, OffsetCommitKey, OffsetCommitValue};
use fluxmq_protocol::messages::fetch_response::PartitionData;
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{ApiKey, ProduceRequest, TopicName};
use fluxmq_protocol::{Encodable, StrBytes};
use fluxmq_storage::batch::{BatchRules, CheckedBatch, check};
use fluxmq_storage::codec::Codec;
use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log::{AppendContext, Log, LogConfig, LogEnv, OpenHint, WriteMode};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig};
use uuid::Uuid;

/// So often each is done, so that what happens once doesn't count.
const TIMES: usize = 100;
const BATCH_BYTES: usize = 16 << 10;
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 17;

/// Fails above `count`, and three in a hundred on top.
fn about(count: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, count + count * 3 / 100)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

fn batch(codec: Codec) -> (Bytes, BatchRules) {
    // A bound on the age of records is one of the questions that only the records answer.
    let before_max_ms = if codec == Codec::None { i64::MAX } else { 1_000_000 };
    (
        batch_of(BATCH_BYTES, 1000, codec).bytes().clone(),
        BatchRules { before_max_ms, ..BatchRules::defaults(NOW_MS) },
    )
}

#[library_benchmark(config = about(1_089_380))]
#[bench::of_16_kb(batch(Codec::None))]
fn check_a_batch((batch, rules): (Bytes, BatchRules)) -> usize {
    (0..TIMES).filter(|_| check(black_box(&batch), &rules).is_ok()).count()
}

#[library_benchmark(config = about(16_685_915))]
#[bench::of_16_kb(batch(Codec::Lz4))]
fn look_into_a_batch_of_lz4((batch, rules): (Bytes, BatchRules)) -> usize {
    (0..TIMES).filter(|_| check(black_box(&batch), &rules).is_ok()).count()
}

/// A log in a directory of its own.
struct Opened {
    log: Log,
    _dir: tempfile::TempDir,
}

const CONTEXT: AppendContext = AppendContext {
    leader_epoch: 0,
    now_ms: NOW_MS,
    mode: WriteMode::Plain,
    origin: AppendOrigin::Client,
    transaction: TransactionContext::NONE,
};

/// With some batches in it.
fn opened() -> (Opened, CheckedBatch) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let hint = OpenHint { clean: true, recovery_point: 0, log_start_offset: 0, now_ms: NOW_MS };
    let env = LogEnv::new(Arc::new(RealFs), None);
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint).expect("an empty log opens");
    let batch = batch_of(BATCH_BYTES, 1000, Codec::None);
    (0..TIMES).for_each(|_| _ = log.append(&batch, CONTEXT).expect("an append"));
    (Opened { log, _dir: dir }, batch)
}

#[library_benchmark(config = about(90_240))]
#[bench::of_16_kb(opened())]
fn append((opened, batch): (Opened, CheckedBatch)) -> (Opened, CheckedBatch) {
    (0..TIMES).for_each(|_| _ = black_box(opened.log.append(&batch, CONTEXT)));
    (opened, batch)
}

#[library_benchmark(config = about(516_630))]
#[bench::of_64_kb(opened())]
fn find_a_stretch((opened, batch): (Opened, CheckedBatch)) -> (Opened, CheckedBatch) {
    let end = opened.log.log_end();
    (0..TIMES as i64).for_each(|number| _ = black_box(opened.log.read(number * 7, 64 << 10, end, true)));
    (opened, batch)
}

fn produce_body() -> Bytes {
    let records = batch_of(BATCH_BYTES, 1000, Codec::None).bytes().clone();
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("measurements")))
        .with_partition_data(vec![PartitionProduceData::default().with_records(Some(records))]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let mut body = BytesMut::new();
    request.encode(&mut body, PRODUCE_VERSION).expect("every field fits the version");
    body.freeze()
}

#[library_benchmark(config = about(212_560))]
#[bench::of_one_batch(produce_body())]
fn decode_a_produce_request(body: Bytes) -> usize {
    let decoded = |_: &usize| {
        decode::<ProduceRequest>(ApiKey::Produce, PRODUCE_VERSION, black_box(body.clone())).is_ok()
    };
    (0..TIMES).filter(decoded).count()
}

fn fetch_bodies() -> Vec<FetchBody<()>> {
    let partition = |index| FetchPartition {
        data: PartitionData::default().with_partition_index(index).with_high_watermark(1_000_000),
        records: Records::Slice { slice: (), len_bytes: BATCH_BYTES },
    };
    let topic = FetchTopic {
        topic: TopicName(StrBytes::from_static_str("measurements")),
        topic_id: Uuid::from_u128(1),
        partitions: (0..8).map(partition).collect(),
    };
    let body = FetchBody {
        throttle_time_ms: 0,
        error_code: 0,
        session_id: 0,
        responses: vec![topic],
        node_endpoints: Vec::new(),
    };
    vec![body; TIMES]
}

#[library_benchmark(config = about(1_218_737))]
#[bench::of_8_partitions(fetch_bodies())]
fn encode_a_fetch_response(bodies: Vec<FetchBody<()>>) -> usize {
    bodies.into_iter().filter_map(|body| black_box(encode_fetch(FETCH_VERSION, 1, body)).ok()).count()
}

fn commits() -> (GroupShard, Vec<(Bytes, Option<Bytes>)>) {
    let commit = |number: usize| {
        let key = OffsetCommitKey {
            group: StrBytes::from_static_str("application"),
            topic: StrBytes::from_static_str("measurements"),
            partition: (number % 8) as i32,
        };
        let value = OffsetCommitValue {
            offset: number as i64,
            leader_epoch: 3,
            metadata: StrBytes::new(),
            commit_timestamp: NOW_MS,
            expire_timestamp: -1,
            topic_id: Uuid::from_u128(1),
        };
        GroupRecord::OffsetCommit(key, Some(value)).encode().expect("no text is too long")
    };
    (GroupShard::new(Arc::new(GroupCoordinatorConfig::default())), (0..TIMES).map(commit).collect())
}

#[library_benchmark(config = about(282_101))]
#[bench::of_one_partition(commits())]
fn replay_a_commit((mut shard, commits): (GroupShard, Vec<(Bytes, Option<Bytes>)>)) -> GroupShard {
    for (key, value) in &commits {
        let record = GroupRecord::decode(key, value.as_deref()).expect("a record of our own");
        shard.replay(Now { monotonic_ms: 0, wall_ms: NOW_MS }, record);
    }
    shard
}

#[library_benchmark(config = about(10_807))]
#[bench::of_a_response((Metrics::of_apis(64), Instant::now()))]
fn count((metrics, received_at): (Metrics, Instant)) -> u64 {
    (0..TIMES).for_each(|number| metrics.responded(number % 64, received_at));
    metrics.requests(0)
}

library_benchmark_group!(
    name = paths,
    benchmarks = [
        check_a_batch,
        look_into_a_batch_of_lz4,
        append,
        find_a_stretch,
        decode_a_produce_request,
        encode_a_fetch_response,
        replay_a_commit,
        count
    ]
);

main!(library_benchmark_groups = paths);
