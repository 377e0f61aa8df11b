//! Transactions over partitions: what a reader of committed records may see, and when it is woken.

use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};

use super::super::partition::{AppendOutcome, EndTransaction};
use super::*;

/// Appends a batch of a transaction, as if the coordinator had agreed.
fn write(partition: &Arc<Partition>, producer_id: i64, base_sequence: i32, acks: Acks) -> AppendOutcome {
    let guard =
        partition.log().maybe_start_verification(producer_id, base_sequence, 0, false, NOW_MS).unwrap();
    let batch = BatchBuilder::new()
        .producer(producer_id, 0, base_sequence)
        .transactional()
        .record(NOW_MS, None, Some(b"value"))
        .build();
    let transaction = TransactionContext { guard, ..TransactionContext::NONE };
    partition.append_as(AppendOrigin::Client, &batch, acks, NOW_MS, transaction).unwrap()
}

fn end(partition: &Arc<Partition>, producer_id: i64, commit: bool) -> AppendOutcome {
    let end = EndTransaction {
        producer_id,
        producer_epoch: 0,
        commit,
        coordinator_epoch: 0,
        transaction_version: 1,
    };
    partition.append_marker(&end, NOW_MS).unwrap()
}

fn marks(partition: &Partition) -> (i64, i64) {
    let (high_watermark, stable) = partition.high_watermark_and_last_stable_offset();
    (high_watermark.offset, stable.offset)
}

#[test]
fn the_last_stable_offset_moves_on_a_durable_marker() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    partition.append(&batch(2), Acks::Leader, NOW_MS).unwrap();
    assert_eq!(marks(&partition), (2, 2));
    write(&partition, 7, 0, Acks::Leader);
    partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    assert_eq!(marks(&partition), (4, 2));
    assert_eq!(end(&partition, 7, true).commit_at, Some(5));
    // Another producer's acks=1 takes the marker along: seen, but a crash could take it back.
    partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    assert_eq!(marks(&partition), (6, 2));
    manager.flusher().run_queued();
    assert_eq!(marks(&partition), (6, 6));
    write(&partition, 8, 0, Acks::All);
    assert_eq!(marks(&partition), (6, 6), "not to be seen yet anyway");
    manager.flusher().run_queued();
    assert_eq!(marks(&partition), (7, 6));
}

#[test]
fn under_interval_and_never_a_marker_counts_at_its_append() {
    for policy in [FlushPolicy::Interval, FlushPolicy::Never] {
        let dir = TempDir::new().unwrap();
        let manager = by_hand(dir.path(), policy);
        let partition = create(&manager, TopicConfig::default());
        write(&partition, 7, 0, Acks::All);
        assert_eq!(marks(&partition), (1, 0));
        assert_eq!(end(&partition, 7, false).commit_at, None);
        assert_eq!(marks(&partition), (2, 2));
    }
}

#[test]
fn committed_fetches_count_what_is_decided() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    let mut any = FetchWait::new(1);
    any.watch(&partition, partition.high_watermark());
    let mut committed = FetchWait::new(1);
    let seen = partition.last_stable_offset();
    committed.watch_committed(&partition, seen);
    write(&partition, 7, 0, Acks::Leader);
    assert!(is_ready(&any) && !is_ready(&committed));
    end(&partition, 7, true);
    partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    assert_eq!(marks(&partition), (3, 0));
    assert!(!is_ready(&committed), "seen, not durable");
    manager.flusher().run_queued();
    assert_eq!(marks(&partition), (3, 3));
    assert!(is_ready(&committed), "the sync moved the last stable offset and nothing else");
    let mut late = FetchWait::new(1);
    late.watch_committed(&partition, seen);
    assert!(is_ready(&late), "what was decided between the plan and the wait counts");
    assert_eq!(partition.waiting(), (3, 0));
    drop((any, committed, late));
    assert_eq!(partition.waiting(), (0, 0));
}

#[test]
fn committed_fetches_wait_for_as_many_bytes_as_they_miss() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Never);
    let partition = create(&manager, TopicConfig::default());
    let size = i64::try_from(batch(1).bytes().len()).unwrap();
    let mut wait = FetchWait::new(3 * size);
    wait.watch_committed(&partition, partition.last_stable_offset());
    partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    write(&partition, 7, 0, Acks::Leader);
    for _ in 0..3 {
        partition.append(&batch(1), Acks::Leader, NOW_MS).unwrap();
    }
    assert!(!is_ready(&wait), "one batch is decided");
    end(&partition, 7, true);
    assert!(is_ready(&wait));
}

#[test]
fn a_deleted_partition_answers_committed_fetches() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    write(&partition, 7, 0, Acks::Leader);
    let mut wait = FetchWait::new(1);
    wait.watch_committed(&partition, partition.last_stable_offset());
    manager.delete(&partition).unwrap();
    assert!(is_ready(&wait));
    let end = EndTransaction {
        producer_id: 7,
        producer_epoch: 0,
        commit: true,
        coordinator_epoch: 0,
        transaction_version: 1,
    };
    assert!(matches!(partition.append_marker(&end, NOW_MS), Err(AppendError::Deleted)));
}

#[test]
fn records_are_deleted_past_an_open_transaction() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let partition = create(&manager, TopicConfig::default());
    write(&partition, 7, 0, Acks::Leader);
    partition.append(&batch(5), Acks::Leader, NOW_MS).unwrap();
    assert_eq!(marks(&partition), (6, 0));
    assert_eq!(manager.delete_records(&partition, 3).unwrap(), 3);
    assert_eq!(marks(&partition), (6, 3), "the transaction is held to begin at the log start");
    end(&partition, 7, false);
    manager.flusher().run_queued();
    assert_eq!(marks(&partition), (7, 7));
}

#[test]
fn what_is_open_holds_the_last_stable_offset_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let topics = [TopicToLoad {
        name: name(0).topic,
        id: name(0).topic_id,
        config: Arc::default(),
        leader_epochs: vec![0],
    }];
    for clean in [true, false] {
        let (open_at, ended) = {
            let manager = by_hand(dir.path(), FlushPolicy::Acks);
            let partition = manager.load(&topics, false).unwrap()[0][0].clone();
            if partition.last_stable_offset() != partition.high_watermark() {
                end(&partition, 8, true);
            }
            let sequence = i32::from(!clean);
            write(&partition, 7, sequence, Acks::All);
            let ended = end(&partition, 7, false).appended.last_offset;
            let open_at = write(&partition, 8, sequence, Acks::All).appended.base_offset;
            if clean {
                manager.shut_down().unwrap();
            } else {
                manager.flusher().run_queued();
            }
            (open_at, ended)
        };
        let manager = by_hand(dir.path(), FlushPolicy::Acks);
        let partition = manager.load(&topics, false).unwrap()[0][0].clone();
        assert_eq!(marks(&partition), (open_at + 1, open_at), "clean: {clean}");
        let aborted = partition.log().aborted_transactions(ended - 1, open_at).unwrap();
        let aborted: Vec<_> = aborted.iter().map(|one| (one.producer_id, one.last_offset)).collect();
        assert_eq!(aborted, [(7, ended)], "clean: {clean}");
        if clean {
            manager.shut_down().unwrap();
        }
    }
}
