//! What a crash must not do to a partition.

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
    let new = manager.load(&[topic(7_002)]).unwrap()[0][0].clone();
    assert_eq!(ends(&new), (0, 3));
}

#[test]
fn nor_when_its_directory_is_made_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    leave_checkpoints(&by_hand(dir.path(), FlushPolicy::Acks));
    for end in [0, 3] {
        // The crash came between the metadata's commit and the directory, and another one soon after the start.
        let manager = by_hand(dir.path(), FlushPolicy::Acks);
        let new = manager.load(&[topic(7_002)]).unwrap()[0][0].clone();
        assert_eq!(ends(&new), (0, end));
        new.append(&batch(3), Acks::All, NOW_MS).unwrap();
        new.sync_now();
    }
}
