//! Partitions over real logs, with the flushers' work done by hand where its moment matters.

mod crashes;
mod transactions;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fluxmq_protocol::StrBytes;
use fluxmq_storage::LogOffsetMetadata;
use fluxmq_storage::batch::{BatchBuilder, CheckedBatch};
use fluxmq_storage::fs::{Fs, RealFs};
use futures_util::FutureExt;
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::high_watermark::Acks;
use super::partition::{AppendError, CommitState, DeleteRecordsError, LeaderEpochError};
use super::waiters::{CommitWait, FetchWait};
use super::*;
use crate::config::CleanupPolicy;

const NOW_MS: i64 = 1_700_000_000_000;

pub(super) fn start(
    dir: &Path,
    config: &BrokerConfig,
    fs: Arc<dyn Fs>,
    flusher_threads: usize,
) -> PartitionManager {
    let log_dir = LogDir::open(dir, None, config.node_id, fs.clone()).unwrap();
    PartitionManager::start_with(vec![log_dir], fs, config, Clock::fixed(NOW_MS), flusher_threads).unwrap()
}

/// A manager whose flushers are this test.
fn by_hand(dir: &Path, policy: FlushPolicy) -> PartitionManager {
    let config = BrokerConfig { log_flush_policy: policy, ..BrokerConfig::for_tests(dir) };
    start(dir, &config, Arc::new(RealFs), 0)
}

fn name(index: i32) -> PartitionName {
    PartitionName { topic: StrBytes::from_static_str("topic"), topic_id: Uuid::from_u128(7_000), index }
}

fn create(manager: &PartitionManager, config: TopicConfig) -> Arc<Partition> {
    manager.create(name(0), Arc::new(config), 0).unwrap()
}

fn batch(records: usize) -> CheckedBatch {
    (0..records).fold(BatchBuilder::new(), |batch, _| batch.record(NOW_MS, None, Some(b"value"))).build()
}

fn idempotent(producer_id: i64, base_sequence: i32, records: usize) -> CheckedBatch {
    let builder = BatchBuilder::new().producer(producer_id, 0, base_sequence);
    (0..records).fold(builder, |batch, _| batch.record(NOW_MS, None, Some(b"value"))).build()
}

fn is_done(wait: &CommitWait) -> bool {
    wait.done().now_or_never().is_some()
}

fn is_ready(wait: &FetchWait) -> bool {
    wait.ready().now_or_never().is_some()
}

#[test]
fn acks_all_is_seen_and_answered_when_it_is_durable() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    let outcome = partition.append(&batch(3), Acks::All, NOW_MS).unwrap();
    assert_eq!((outcome.appended.base_offset, outcome.appended.last_offset), (0, 2));
    assert_eq!(outcome.commit_at, Some(3));
    assert_eq!((partition.high_watermark().offset, partition.log_end().offset), (0, 3));
    let mut wait = CommitWait::new();
    wait.watch(&partition, 3);
    assert!(!is_done(&wait));
    assert_eq!(partition.commit_state(3), CommitState::Pending);
    assert_eq!(manager.flusher().run_queued(), 1);
    assert!(is_done(&wait));
    assert_eq!(partition.commit_state(3), CommitState::Committed);
    assert_eq!(partition.high_watermark(), partition.log_end());
    assert_eq!(manager.flusher().run_queued(), 0, "one sync was enough");
}

#[test]
fn acks_1_shows_what_waits_but_does_not_answer_it() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    partition.append(&batch(1), Acks::All, NOW_MS).unwrap();
    let mut wait = CommitWait::new();
    wait.watch(&partition, 1);
    let outcome = partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    assert_eq!(outcome.commit_at, None);
    assert_eq!((partition.high_watermark().offset, partition.durable_end()), (2, 0));
    assert!(!is_done(&wait), "seen, but not on disk");
    manager.flusher().run_queued();
    assert!(is_done(&wait));
    assert_eq!(partition.durable_end(), 2);
}

#[test]
fn under_always_nothing_is_seen_before_its_sync() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Always);
    let partition = create(&manager, TopicConfig::default());
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let before = partition.high_watermark();
        let outcome = partition.append(&batch(1), acks, NOW_MS).unwrap();
        assert_eq!(outcome.commit_at, Some(outcome.appended.last_offset + 1), "{acks:?}");
        assert_eq!(partition.high_watermark(), before);
        assert_eq!(manager.flusher().run_queued(), 1);
        assert_eq!(partition.high_watermark(), partition.log_end());
    }
}

#[test]
fn under_interval_and_never_it_moves_at_the_append() {
    for policy in [FlushPolicy::Interval, FlushPolicy::Never] {
        let dir = TempDir::new().unwrap();
        let manager = by_hand(dir.path(), policy);
        let partition = create(&manager, TopicConfig::default());
        assert_eq!(partition.append(&batch(1), Acks::All, NOW_MS).unwrap().commit_at, None);
        assert_eq!(partition.high_watermark().offset, 1);
        assert_eq!(manager.flusher().run_queued(), 0);
    }
}

#[test]
fn the_append_that_reaches_flush_messages_waits_for_its_sync() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Interval);
    let partition = create(&manager, TopicConfig { flush_messages: 10, ..TopicConfig::default() });
    assert_eq!(partition.append(&batch(9), Acks::Leader, NOW_MS).unwrap().commit_at, None);
    assert_eq!(partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap().commit_at, Some(10));
    assert_eq!(manager.flusher().run_queued(), 1);
    assert_eq!(partition.durable_end(), 10);
    assert_eq!(partition.append(&batch(9), Acks::Leader, NOW_MS).unwrap().commit_at, None, "counted anew");
}

#[test]
fn a_duplicate_gets_the_first_offsets_and_waits_for_them_to_be_durable() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    let first = partition.append(&idempotent(5, 0, 2), Acks::Leader, NOW_MS).unwrap();
    assert_eq!(first.commit_at, None);
    let again = partition.append(&idempotent(5, 0, 2), Acks::All, NOW_MS).unwrap();
    assert!(again.appended.duplicate);
    assert_eq!((again.appended.base_offset, again.appended.last_offset), (0, 1));
    assert_eq!(again.commit_at, Some(2), "acks=1 had not synced it");
    assert_eq!(partition.log_end().offset, 2);
    assert_eq!(manager.flusher().run_queued(), 1);
    let third = partition.append(&idempotent(5, 0, 2), Acks::All, NOW_MS).unwrap();
    assert_eq!(third.commit_at, None, "on disk already");
}

#[test]
fn sequences_are_checked_and_survive_clean_and_unclean_ends() {
    let dir = TempDir::new().unwrap();
    let topics = [TopicToLoad {
        name: name(0).topic,
        id: name(0).topic_id,
        config: Arc::default(),
        leader_epochs: vec![0],
    }];
    for clean in [true, false] {
        {
            let manager = by_hand(dir.path(), FlushPolicy::Acks);
            let partition = manager.load(&topics, false).unwrap()[0][0].clone();
            let base = i32::try_from(partition.log_end().offset).unwrap();
            partition.append(&idempotent(5, base, 2), Acks::All, NOW_MS).unwrap();
            if clean {
                manager.shut_down().unwrap();
            } else {
                manager.flusher().run_queued();
            }
        }
        let manager = by_hand(dir.path(), FlushPolicy::Acks);
        assert_eq!(manager.is_unclean(), !clean);
        let partition = manager.load(&topics, false).unwrap()[0][0].clone();
        let end = partition.log_end().offset;
        let base = i32::try_from(end).unwrap();
        assert_eq!(
            (partition.high_watermark().offset, partition.durable_end()),
            (end, end),
            "all of it is seen"
        );
        let again = partition.append(&idempotent(5, base - 2, 2), Acks::All, NOW_MS).unwrap();
        assert!(again.appended.duplicate, "clean: {clean}");
        let gap = partition.append(&idempotent(5, base + 1, 1), Acks::All, NOW_MS).unwrap_err();
        assert!(matches!(gap, AppendError::Log(fluxmq_storage::log::AppendError::Sequence(_))), "{gap}");
        manager.shut_down().unwrap();
    }
}

#[test]
fn a_leader_epoch_holds_from_the_next_start_on() {
    let dir = TempDir::new().unwrap();
    let topic = |stored: i32| TopicToLoad {
        name: name(0).topic,
        id: name(0).topic_id,
        config: Arc::default(),
        leader_epochs: vec![stored],
    };
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = manager.load(&[topic(3)], false).unwrap()[0][0].clone();
    assert_eq!(partition.leader_epoch(), 3);
    partition.set_leader_epoch(4).unwrap();
    assert_eq!(partition.check_leader_epoch(-1), Ok(()));
    assert_eq!(partition.check_leader_epoch(4), Ok(()));
    assert_eq!(partition.check_leader_epoch(3), Err(LeaderEpochError::Fenced));
    assert_eq!(partition.check_leader_epoch(5), Err(LeaderEpochError::Unknown));
    partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    drop(partition);
    manager.shut_down().unwrap();
    drop(manager);
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = manager.load(&[topic(3)], false).unwrap()[0][0].clone();
    assert_eq!(partition.leader_epoch(), 4, "the log knows better than an older metadata");
}

#[test]
fn fetches_are_woken_by_what_they_miss() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    let size = i64::try_from(batch(1).bytes().len()).unwrap();
    let mut wait = FetchWait::new(2 * size);
    wait.watch(&partition, partition.high_watermark());
    partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    assert!(!is_ready(&wait), "half of it");
    partition.append(&batch(1), Acks::All, NOW_MS).unwrap();
    assert!(!is_ready(&wait), "not to be seen yet");
    manager.flusher().run_queued();
    assert!(is_ready(&wait));
    let mut late = FetchWait::new(1);
    late.watch(&partition, LogOffsetMetadata { offset: 0, segment_base_offset: 0, position: 0 });
    assert!(is_ready(&late), "what came between the plan and the wait counts");
    assert_eq!(partition.waiting(), (2, 0));
    drop((wait, late));
    assert_eq!(partition.waiting(), (0, 0));
}

#[test]
fn a_producer_that_gave_up_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    partition.append(&batch(1), Acks::All, NOW_MS).unwrap();
    let mut wait = CommitWait::new();
    wait.watch(&partition, 1);
    assert_eq!(partition.waiting(), (0, 1));
    drop(wait);
    assert_eq!(partition.waiting(), (0, 0));
}

#[test]
fn a_deleted_partition_answers_those_who_wait_and_takes_nothing_more() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    partition.append(&batch(1), Acks::All, NOW_MS).unwrap();
    let mut produce = CommitWait::new();
    produce.watch(&partition, 1);
    let mut fetch = FetchWait::new(1);
    fetch.watch(&partition, partition.high_watermark());
    manager.delete(&partition).unwrap();
    assert!(is_done(&produce) && is_ready(&fetch));
    assert_eq!(partition.commit_state(1), CommitState::Deleted);
    assert!(matches!(partition.append(&batch(1), Acks::Leader, NOW_MS), Err(AppendError::Deleted)));
    assert!(manager.all().is_empty());
    manager.flusher().run_queued();
    assert!(!manager.is_offline(), "a sync that was queued is no failure");
}

#[derive(Debug, Default)]
struct FailingSync(AtomicBool);

impl Fs for FailingSync {
    fn sync_data(&self, file: &std::fs::File) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(5));
        }
        RealFs.sync_data(file)
    }
}

#[test]
fn a_failed_sync_takes_the_whole_directory_offline_for_good() {
    let dir = TempDir::new().unwrap();
    let fs = Arc::new(FailingSync::default());
    let manager = start(dir.path(), &BrokerConfig::for_tests(dir.path()), fs.clone(), 1);
    let broken = manager.create(name(0), Arc::default(), 0).unwrap();
    let other = manager.create(name(1), Arc::default(), 0).unwrap();
    let mut fetch = FetchWait::new(1);
    fetch.watch(&other, other.high_watermark());
    fs.0.store(true, Ordering::Relaxed);
    broken.append(&batch(1), Acks::All, NOW_MS).unwrap();
    let mut produce = CommitWait::new();
    produce.watch(&broken, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(10), async {
            produce.done().await;
            fetch.ready().await;
        })
        .await
        .expect("both are woken");
    });
    assert_eq!(broken.commit_state(1), CommitState::Offline);
    fs.0.store(false, Ordering::Relaxed);
    for partition in [&broken, &other] {
        assert!(matches!(partition.append(&batch(1), Acks::Leader, NOW_MS), Err(AppendError::Offline)));
    }
    assert!(manager.flusher().health.reason().unwrap().contains("Input/output error"));
    assert!(manager.create(name(2), Arc::default(), 0).is_err());
    assert!(manager.shut_down().is_err(), "no mark of a clean shutdown");
    assert!(!dir.path().join(".kafka_cleanshutdown").exists());
}

#[test]
fn records_are_deleted_up_to_the_high_watermark() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    partition.append(&batch(5), Acks::Leader, NOW_MS).unwrap();
    partition.append(&batch(5), Acks::All, NOW_MS).unwrap();
    for bad in [6, -2] {
        let error = manager.delete_records(&partition, bad).unwrap_err();
        assert!(matches!(error, DeleteRecordsError::OffsetOutOfRange(offset) if offset == bad), "{error}");
    }
    assert_eq!(manager.delete_records(&partition, 2).unwrap(), 2);
    assert!(partition.durable_end() >= 2, "the log must not end below its start after a crash");
    assert_eq!(manager.delete_records(&partition, 1).unwrap(), 2, "never back");
    assert_eq!(manager.delete_records(&partition, -1).unwrap(), partition.high_watermark().offset);
    manager.checkpoint_log_start_offsets().unwrap();
    let text = std::fs::read_to_string(dir.path().join("log-start-offset-checkpoint")).unwrap();
    assert_eq!(text, "0\n1\ntopic 0 10\n");

    let policy = CleanupPolicy { compact: true, delete: false };
    let config = TopicConfig { cleanup_policy: policy, ..TopicConfig::default() };
    let compacted = manager.create(name(1), Arc::new(config), 0).unwrap();
    let error = manager.delete_records(&compacted, 0).unwrap_err();
    assert!(matches!(error, DeleteRecordsError::PolicyViolation));
}

#[test]
fn what_the_metadata_does_not_know_is_set_aside() {
    let dir = TempDir::new().unwrap();
    {
        let manager = by_hand(dir.path(), FlushPolicy::Acks);
        create(&manager, TopicConfig::default()).append(&batch(1), Acks::Leader, NOW_MS).unwrap();
        manager.shut_down().unwrap();
    }
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    assert!(manager.load(&[], false).unwrap().is_empty());
    let names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.ends_with("stray")), "{names:?}");
}

#[test]
fn what_waited_for_flush_ms_is_synced() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig { flush_ms: 1000, ..TopicConfig::default() });
    partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    partition.append(&batch(1), Acks::Leader, NOW_MS + 900).unwrap();
    manager.flush_by_time(NOW_MS + 999);
    assert_eq!(manager.flusher().run_queued(), 0);
    manager.flush_by_time(NOW_MS + 1000);
    assert_eq!(manager.flusher().run_queued(), 1);
    assert_eq!(partition.durable_end(), 2);
    manager.flush_by_time(NOW_MS + 9000);
    assert_eq!(manager.flusher().run_queued(), 0, "nothing new");
}

#[test]
fn a_rolled_segment_is_finished_and_the_recovery_point_moves_past_it() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let config = TopicConfig { segment_bytes: 1 << 20, segment_ms: 60_000, ..TopicConfig::default() };
    let partition = create(&manager, config);
    partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    manager.roll_by_time(NOW_MS + 60_000);
    assert_eq!(partition.log().segment_count(), 1);
    manager.roll_by_time(NOW_MS + 60_001);
    assert_eq!(partition.log().segment_count(), 2);
    let rolled =
        manager.background().next_rolled(std::time::Duration::ZERO).expect("the maintenance is told");
    partition.sync_now();
    rolled.sync_sealed();
    assert_eq!(partition.log().recovery_point(), 1);
    manager.checkpoint_recovery_points().unwrap();
    let file = dir.path().join("recovery-point-offset-checkpoint");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "0\n1\ntopic 0 1\n");
    std::fs::remove_file(&file).unwrap();
    manager.checkpoint_recovery_points().unwrap();
    assert!(!file.exists(), "what is not new is not written again");
}

#[test]
fn a_deleted_partitions_files_go_after_their_delay() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig { file_delete_delay_ms: 1000, ..TopicConfig::default() });
    manager.delete(&partition).unwrap();
    let deleted = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with("-delete")).count()
    };
    manager.remove_deleted(NOW_MS + 999).unwrap();
    assert_eq!(deleted(), 1);
    manager.remove_deleted(NOW_MS + 1000).unwrap();
    assert_eq!(deleted(), 0);
}

/// Producers on four threads, a consumer on a fifth, real flushers: whoever waits is woken.
#[test]
fn nobody_sleeps_through_a_sync_or_an_append() {
    const PRODUCERS: i64 = 4;
    const BATCHES: i64 = 200;
    let dir = TempDir::new().unwrap();
    let manager = PartitionManager::for_tests(dir.path());
    let partition = create(&manager, TopicConfig::default());
    let batch = batch(1);
    let wait_for = |what: &str, future: Pin<Box<dyn Future<Output = ()> + '_>>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(std::time::Duration::from_secs(20), future).await.expect(what);
        });
    };
    std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let (partition, batch, wait_for) = (&partition, &batch, &wait_for);
            scope.spawn(move || {
                for place in 0..BATCHES {
                    let acks = if (place + producer) % 3 == 0 { Acks::Leader } else { Acks::All };
                    let outcome = partition.append(batch, acks, NOW_MS).unwrap();
                    if let Some(end_offset) = outcome.commit_at {
                        let mut wait = CommitWait::new();
                        wait.watch(partition, end_offset);
                        wait_for("a producer is answered", Box::pin(wait.done()));
                        assert_eq!(partition.commit_state(end_offset), CommitState::Committed);
                    }
                    assert!(partition.high_watermark().offset > outcome.appended.last_offset);
                }
            });
        }
        scope.spawn(|| {
            loop {
                let seen = partition.high_watermark();
                if seen.offset == PRODUCERS * BATCHES {
                    break;
                }
                let mut wait = FetchWait::new(1);
                wait.watch(&partition, seen);
                wait_for("a consumer is woken", Box::pin(wait.ready()));
            }
        });
    });
    assert_eq!(partition.waiting(), (0, 0));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Append(Acks, usize),
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (prop_oneof![Just(Acks::None), Just(Acks::Leader), Just(Acks::All)], 1..4usize)
            .prop_map(|(acks, records)| Op::Append(acks, records)),
        Just(Op::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the order of appends and syncs: the high watermark is what the policy allows, those who wait are
    /// answered exactly when a sync covers them, and so in order.
    #[test]
    fn marks_and_answers_follow_the_policy(
        policy in prop_oneof![Just(FlushPolicy::Acks), Just(FlushPolicy::Always)],
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let dir = TempDir::new().unwrap();
        let manager = by_hand(dir.path(), policy);
        let partition = create(&manager, TopicConfig::default());
        let (mut end, mut durable, mut seen) = (0, 0, 0);
        let mut waits: Vec<(i64, CommitWait)> = Vec::new();
        for op in ops {
            match op {
                Op::Append(acks, records) => {
                    let outcome = partition.append(&batch(records), acks, NOW_MS).unwrap();
                    prop_assert_eq!(outcome.appended.base_offset, end);
                    end = outcome.appended.last_offset + 1;
                    let waits_for_sync = policy == FlushPolicy::Always || acks == Acks::All;
                    prop_assert_eq!(outcome.commit_at, waits_for_sync.then_some(end));
                    if waits_for_sync {
                        let mut wait = CommitWait::new();
                        wait.watch(&partition, end);
                        waits.push((end, wait));
                    } else {
                        seen = end;
                    }
                }
                Op::Flush => {
                    if manager.flusher().run_queued() > 0 {
                        durable = end;
                    }
                }
            }
            prop_assert_eq!(partition.high_watermark().offset, seen.max(durable));
            prop_assert_eq!(partition.durable_end(), durable);
            for (offset, wait) in &waits {
                prop_assert_eq!(is_done(wait), *offset <= durable, "offset {} durable {}", offset, durable);
            }
        }
    }
}

#[test]
fn a_log_that_cannot_be_opened_takes_nobody_with_it() {
    let dir = TempDir::new().unwrap();
    let topic = || TopicToLoad {
        name: name(0).topic,
        id: name(0).topic_id,
        config: Arc::new(TopicConfig::default()),
        leader_epochs: vec![0, 0],
    };
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    for index in 0..2 {
        let partition = manager.create(name(index), Arc::new(TopicConfig::default()), 0).unwrap();
        partition.append(&batch(3), Acks::All, NOW_MS).unwrap();
        partition.sync_now();
    }
    drop(manager);
    let in_the_way = dir.path().join("topic-0/00000000000000000000.log.swap");
    std::fs::write(&in_the_way, "no batch").unwrap();

    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partitions = manager.load(&[topic()], false).unwrap().remove(0);
    assert_eq!([0, 1].map(|index: usize| partitions[index].is_offline()), [true, false]);
    assert!(matches!(partitions[0].append(&batch(1), Acks::All, NOW_MS), Err(AppendError::Offline)));
    assert!(partitions[0].log().read(0, 100, partitions[0].log_end(), true).is_err());
    // What the maintenance does to all of them.
    manager.roll_by_time(i64::MAX);
    manager.apply_retention(i64::MAX).unwrap();
    manager.checkpoint_recovery_points().unwrap();
    assert!(!manager.is_offline(), "the directory is fine");
    partitions[1].append(&batch(1), Acks::All, NOW_MS).unwrap();
    manager.shut_down().unwrap_err();
    drop((manager, partitions));

    std::fs::remove_file(in_the_way).unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    assert!(manager.is_unclean(), "its log is looked at again");
    let partitions = manager.load(&[topic()], false).unwrap().remove(0);
    assert_eq!([0, 1].map(|index: usize| partitions[index].log_end().offset), [3, 4]);
    manager.shut_down().unwrap();
}

/// A manager over several directories.
fn over(dirs: &[&Path]) -> PartitionManager {
    let config = BrokerConfig { log_flush_policy: FlushPolicy::Acks, ..BrokerConfig::for_tests(dirs[0]) };
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let open = |dir: &&Path| LogDir::open(dir, Some("cluster"), config.node_id, fs.clone()).unwrap();
    let dirs = dirs.iter().map(open).collect();
    PartitionManager::start_with(dirs, fs.clone(), &config, Clock::fixed(NOW_MS), 1).unwrap()
}

fn wide_topic(partitions: usize) -> TopicToLoad {
    TopicToLoad {
        name: name(0).topic,
        id: name(0).topic_id,
        config: Arc::new(TopicConfig::default()),
        leader_epochs: vec![0; partitions],
    }
}

#[test]
fn partitions_are_dealt_to_the_directories_and_found_there_again() {
    let (a, b, c) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let dirs = [a.path(), b.path(), c.path()];
    let manager = over(&dirs);
    for index in 0..6 {
        let partition = manager.create(name(index), Arc::new(TopicConfig::default()), 0).unwrap();
        partition.append(&batch(1 + index as usize), Acks::All, NOW_MS).unwrap();
    }
    let count = |dir: &Path| {
        std::fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    };
    assert_eq!(dirs.map(count), [2, 2, 2]);
    manager.shut_down().unwrap();
    drop(manager);
    let manager = over(&dirs);
    assert!(!manager.is_unclean());
    let partitions = manager.load(&[wide_topic(7)], false).unwrap().remove(0);
    let ends: Vec<i64> = partitions.iter().map(|partition| partition.log_end().offset).collect();
    assert_eq!(ends, [1, 2, 3, 4, 5, 6, 0], "the last one was made");
}

#[test]
fn a_directory_that_fails_leaves_the_others_serving() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let dirs = [a.path(), b.path()];
    let manager = over(&dirs);
    let partitions: Vec<_> = (0..4)
        .map(|index| manager.create(name(index), Arc::new(TopicConfig::default()), 0).unwrap())
        .collect();
    partitions[1].storage_failed(&"made by a test");
    assert_eq!([0, 1, 2, 3].map(|index: usize| partitions[index].is_offline()), [false, true, false, true]);
    assert!(!manager.is_offline());
    for (partition, fails) in partitions.iter().zip([false, true, false, true]) {
        assert_eq!(partition.append(&batch(2), Acks::Leader, NOW_MS).is_err(), fails);
    }
    let next = manager.create(name(4), Arc::new(TopicConfig::default()), 0).unwrap();
    assert!(
        next.lies_in(&manager.dirs()[0]) && !next.lies_in(&manager.dirs()[1]),
        "though it has more partitions"
    );
    manager.checkpoint_recovery_points().unwrap();
    assert!(manager.shut_down().unwrap_err().to_string().contains("made by a test"));
    assert_eq!(dirs.map(|dir| dir.join(".kafka_cleanshutdown").exists()), [true, false]);
    partitions[0].storage_failed(&"made by a test");
    assert!(manager.is_offline());
    assert!(matches!(
        manager.create(name(5), Arc::new(TopicConfig::default()), 0),
        Err(PartitionError::Offline)
    ));
}

#[test]
fn what_may_lie_in_a_directory_that_is_not_there_is_offline_and_not_made() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let manager = over(&[a.path(), b.path()]);
    for index in 0..4 {
        let partition = manager.create(name(index), Arc::new(TopicConfig::default()), 0).unwrap();
        partition.append(&batch(3), Acks::All, NOW_MS).unwrap();
    }
    manager.shut_down().unwrap();
    drop(manager);

    let manager = over(&[a.path()]);
    let partitions = manager.load(&[wide_topic(4)], true).unwrap().remove(0);
    assert_eq!([0, 1, 2, 3].map(|index: usize| partitions[index].is_absent()), [false, true, false, true]);
    assert!(matches!(partitions[1].append(&batch(1), Acks::Leader, NOW_MS), Err(AppendError::Offline)));
    partitions[0].append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    manager.delete(&partitions[3]).unwrap();
    manager.shut_down().unwrap();
    drop((manager, partitions));

    let manager = over(&[a.path(), b.path()]);
    let partitions = manager.load(&[wide_topic(4)], false).unwrap().remove(0);
    let ends: Vec<i64> = partitions.iter().map(|partition| partition.log_end().offset).collect();
    assert_eq!(ends, [4, 3, 3, 3]);
}

#[test]
fn a_partition_in_two_directories_is_refused() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for dir in [a.path(), b.path()] {
        let manager = over(&[dir]);
        manager.create(name(0), Arc::new(TopicConfig::default()), 0).unwrap();
    }
    let manager = over(&[a.path(), b.path()]);
    assert!(matches!(manager.load(&[wide_topic(1)], false), Err(PartitionError::Twice { .. })));
}
