//! What a crash, or a deletion at a bad moment, must not do to a partition.

use std::time::Duration;

use super::*;

fn topic(id: u128) -> TopicToLoad {
    let topic_id = Uuid::from_u128(id);
    TopicToLoad { name: name(0).topic, id: topic_id, config: Arc::default(), leader_epochs: vec![0] }
}

fn create_with_id(manager: &PartitionManager, id: u128) -> Arc<Partition> {
    let name = PartitionName { topic_id: Uuid::from_u128(id), ..name(0) };
    manager.create(name, Arc::default(), 0).unwrap()
}

/// Leaves checkpoints of a partition that is deleted then: nothing below offset 10, all of it on disk.
fn leave_checkpoints(manager: &PartitionManager) {
    let old = create_with_id(manager, 7_001);
    old.append(&batch(10), Acks::Leader, NOW_MS).unwrap();
    manager.delete_records(&old, 10).unwrap();
    manager.checkpoint_recovery_points().unwrap();
    manager.checkpoint_log_start_offsets().unwrap();
    manager.delete(&old).unwrap();
}

fn ends(partition: &Partition) -> (i64, i64) {
    (partition.log_start_offset(), partition.log_end().offset)
}

#[test]
fn a_new_topic_does_not_lose_its_records_to_the_checkpoints_of_an_old_one() {
    let dir = TempDir::new().unwrap();
    {
        let manager = by_hand(dir.path(), FlushPolicy::Acks);
        leave_checkpoints(&manager);
        let new = create_with_id(&manager, 7_002);
        new.append(&batch(3), Acks::All, NOW_MS).unwrap();
        new.sync_now();
    }
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let new = manager.load(&[topic(7_002)], false).unwrap()[0][0].clone();
    assert_eq!(ends(&new), (0, 3));
}

#[test]
fn nor_when_its_directory_is_made_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    leave_checkpoints(&by_hand(dir.path(), FlushPolicy::Acks));
    for end in [0, 3] {
        // The crash came between the metadata's commit and the directory, and another one soon after the start.
        let manager = by_hand(dir.path(), FlushPolicy::Acks);
        let new = manager.load(&[topic(7_002)], false).unwrap()[0][0].clone();
        assert_eq!(ends(&new), (0, end));
        new.append(&batch(3), Acks::All, NOW_MS).unwrap();
        new.sync_now();
    }
}

/// Tells when a sync begins, and holds it for a while.
#[derive(Debug)]
struct SlowSync(std::sync::mpsc::SyncSender<()>);

impl Fs for SlowSync {
    fn sync_data(&self, file: &std::fs::File) -> io::Result<()> {
        self.0.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        RealFs.sync_data(file)
    }
}

#[test]
fn a_topic_deleted_during_its_sync_does_not_take_the_directory_offline() {
    let dir = TempDir::new().unwrap();
    let (began, begins) = std::sync::mpsc::sync_channel(10);
    let fs = Arc::new(SlowSync(began));
    let manager = start(dir.path(), &BrokerConfig::for_tests(dir.path()), fs, 0);
    let partition = create_with_id(&manager, 7_001);
    // The first append makes a file, so the sync ends with the directory.
    partition.append(&batch(1), Acks::All, NOW_MS).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| partition.sync_now());
        begins.recv().unwrap();
        manager.delete(&partition).unwrap();
    });
    assert!(!manager.is_offline(), "{:?}", manager.flusher().health.reason());
}

#[test]
fn whoever_still_holds_a_deleted_partition_leaves_its_successor_alone() {
    let dir = TempDir::new().unwrap();
    let manager = by_hand(dir.path(), FlushPolicy::Acks);
    let config = TopicConfig { segment_ms: 0, ..TopicConfig::default() };
    let old = create(&manager, config);
    old.append(&batch(5), Acks::Leader, NOW_MS).unwrap();
    manager.roll_by_time(NOW_MS + 1);
    old.append(&batch(5), Acks::Leader, NOW_MS).unwrap();
    manager.delete(&old).unwrap();
    let new = create_with_id(&manager, 7_002);
    new.append(&batch(3), Acks::All, NOW_MS).unwrap();
    new.sync_now();
    let files = || {
        let mut names: Vec<_> =
            std::fs::read_dir(new.log().dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    assert!(manager.delete_records(&old, 6).is_err());
    old.sync_now();
    old.sync_sealed();
    assert_eq!(files(), before);
    assert!(!manager.is_offline());
}
