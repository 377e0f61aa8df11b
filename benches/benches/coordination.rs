//! The group coordinator in its broker, without the network: what a turn costs, and how long a start reads groups.
//!
//! `cargo bench -p fluxmq-benches --bench coordination`. Prints the time of a heartbeat of KIP-848 that changes nothing,
//! of commits of 1 and of 10 partitions, each with its append, under the policies `acks` (whose syncs run beside the
//! turns) and `never`; then the time that a start takes to read a million committed offsets of 10,000 groups.
//! On a machine that does other things the CPU times say more than the clock. `DIR=…` takes another place for the data
//! than the system's temporary directory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fluxmq::config::{BrokerConfig, FlushPolicy};
use fluxmq::coordination::OFFSETS_TOPIC;
use fluxmq::meta::NewTopic;
use fluxmq::server::{self, BrokerHandle};
use fluxmq_coordinator::Requester;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId, OffsetCommitRequest, TopicName};
use uuid::Uuid;

const TURNS: u32 = 200_000;
const GROUPS: usize = 10_000;
const OFFSETS: usize = 1_000_000;

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn requester(api_version: i16) -> Requester {
    let client_host = text("/127.0.0.1");
    Requester { api_version, client_id: text("bench"), client_host, fresh_id: Uuid::from_u128(1) }
}

fn start(dir: &std::path::Path, policy: FlushPolicy) -> BrokerHandle {
    let config = BrokerConfig { log_flush_policy: policy, ..BrokerConfig::for_tests(dir) };
    let handle = server::start(config).expect("the broker starts");
    let broker = handle.broker();
    let new = |name: &str, partition_count| NewTopic {
        name: text(name),
        partition_count,
        overrides: std::collections::BTreeMap::new(),
        config: Arc::new(broker.config.topic_defaults.clone()),
    };
    if broker.metadata.topics().by_name(OFFSETS_TOPIC).is_none() {
        let topics = vec![new(OFFSETS_TOPIC, 50), new("orders", 10)];
        let created = broker.metadata.create_topics(&broker.partitions, topics);
        assert!(created.iter().all(Result::is_ok));
    }
    handle
}

fn commit(group: usize, first: i32, partitions: i32, offset: i64) -> OffsetCommitRequest {
    let partition = |index| {
        OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(offset)
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions((first..first + partitions).map(partition).collect());
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(format!("application-{group:05}"))))
        .with_topics(vec![topic])
}

fn run_commit(broker: &fluxmq::broker::Broker, request: &OffsetCommitRequest, requester: &Requester) {
    let answered = broker
        .groups
        .turn(&request.group_id, |shard, turn| shard.offset_commit(turn, requester, request))
        .expect("the shard takes requests");
    assert_eq!(answered.value.topics[0].partitions[0].error_code, 0);
}

/// A beginning by the clock, and by the CPU time of this thread and of this process.
struct Began {
    at: Instant,
    thread: Duration,
    process: Duration,
}

impl Began {
    fn now() -> Self {
        Began { at: Instant::now(), thread: thread_cpu(), process: process_cpu() }
    }
}

/// CPU time of this thread: the first number of its schedstat, in nanoseconds.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the run time");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds");
    Duration::from_nanos(nanos)
}

/// CPU time of this process, in hundredths of a second.
fn process_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux tells the run time");
    let after_name = text.rsplit(") ").next().expect("a name in brackets");
    let fields = after_name.split(' ').skip(11).take(2);
    Duration::from_millis(fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn print_turns(what: &str, policy: FlushPolicy, began: &Began) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(TURNS);
    println!(
        "{what}, {policy:?}: {:.2} µs a turn, {:.2} µs of CPU",
        micros(began.at.elapsed()),
        micros(thread_cpu() - began.thread)
    );
}

fn turns(policy: FlushPolicy) {
    let dir = directory();
    let handle = start(dir.path(), policy);
    let broker = handle.broker();
    let group_id = GroupId(text("consumers"));
    let join = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id.clone())
        .with_member_id(text("member"))
        .with_rebalance_timeout_ms(300_000)
        .with_subscribed_topic_names(Some(vec![TopicName(text("orders"))]))
        .with_topic_partitions(Some(Vec::new()));
    let heartbeat = |request: &ConsumerGroupHeartbeatRequest| {
        let turn = broker
            .groups
            .turn(&group_id, |shard, turn| shard.consumer_group_heartbeat(turn, &requester(1), request))
            .expect("the shard takes requests");
        assert_eq!(turn.value.error_code, 0, "{:?}", turn.value.error_message);
        turn.value.member_epoch
    };
    let epoch = heartbeat(&join);
    let again = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id.clone())
        .with_member_id(text("member"))
        .with_member_epoch(epoch)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None);
    let began = Began::now();
    for _ in 0..TURNS {
        heartbeat(&again);
    }
    print_turns("heartbeat of KIP-848", policy, &began);
    for partitions in [1, 10] {
        let requests: Vec<_> = (0..1_000).map(|group| commit(group, 0, partitions, 7)).collect();
        let requester = requester(8);
        let began = Began::now();
        for turn in 0..TURNS as usize {
            run_commit(broker, &requests[turn % requests.len()], &requester);
        }
        print_turns(&format!("commit of {partitions}"), policy, &began);
    }
    handle.shutdown().expect("the broker stops");
}

/// A million offsets, by commits of `partitions` each.
fn load(partitions: i32) {
    let dir = directory();
    let handle = start(dir.path(), FlushPolicy::Never);
    let requester = requester(8);
    let commits = OFFSETS / partitions.unsigned_abs() as usize;
    for number in 0..commits {
        let (group, round) = (number % GROUPS, (number / GROUPS) as i32);
        let request = commit(group, round * partitions, partitions, number as i64);
        run_commit(handle.broker(), &request, &requester);
    }
    handle.shutdown().expect("the broker stops");
    let began = Began::now();
    let handle = start(dir.path(), FlushPolicy::Never);
    let groups = &handle.broker().groups;
    while groups.is_loading() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(groups.count(), GROUPS);
    let ms = groups.stats.load_ms.load(Ordering::Relaxed);
    println!(
        "{OFFSETS} offsets of {GROUPS} groups in {commits} commits: read in {ms} ms, {} ms of CPU for the start",
        (process_cpu() - began.process).as_millis()
    );
    handle.shutdown().expect("the broker stops");
}

fn directory() -> tempfile::TempDir {
    match std::env::var_os("DIR") {
        Some(place) => tempfile::tempdir_in(place),
        None => tempfile::tempdir(),
    }
    .expect("a directory for the data")
}

fn main() {
    // `cargo test` runs benchmarks too, to see that they still work; this one is long.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for policy in [FlushPolicy::Acks, FlushPolicy::Never] {
        turns(policy);
    }
    load(10);
    load(1);
}
