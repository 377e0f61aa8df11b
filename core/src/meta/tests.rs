//! Metadata through its facade, on the embedded store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use uuid::Uuid;

use super::*;
use crate::partitions::partition::PartitionName;

fn name(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn new_topic(text: &str, partition_count: i32) -> NewTopic {
    let overrides = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
    NewTopic { name: name(text), partition_count, overrides, config: Arc::default() }
}

fn reopened(directory: &Path) -> (Metadata, Vec<StoredTopic>) {
    Metadata::open(directory).unwrap()
}

#[test]
fn a_created_topic_is_seen_by_name_and_id_and_stored() {
    let directory = tempfile::tempdir().unwrap();
    let partitions = PartitionManager::for_tests(directory.path());
    let id;
    {
        let (metadata, stored) = reopened(directory.path());
        assert!(stored.is_empty());
        let before = metadata.topics();
        let made = metadata.create_topics(&partitions, vec![new_topic("a", 3)]);
        id = made[0].as_ref().unwrap().id;
        let topics = metadata.topics();
        let topic = topics.by_name("a").unwrap();
        assert!(Arc::ptr_eq(topic, topics.by_id(id).unwrap()));
        assert_eq!((topic.partition_count(), topics.partition_count(), topics.topic_count()), (3, 3, 1));
        assert_eq!(topic.partition(2).unwrap().name().index, 2);
        assert!(topic.partition(3).is_none() && topic.partition(-1).is_none());
        assert!(before.by_name("a").is_none(), "an image that was taken doesn't change");
    }
    let (_, stored) = reopened(directory.path());
    assert_eq!(stored.len(), 1);
    assert_eq!((&*stored[0].name, stored[0].id), ("a", id));
    assert_eq!(stored[0].leader_epochs, [0, 0, 0]);
    assert_eq!(stored[0].overrides["retention.ms"], "1000");
}

#[test]
fn one_request_creates_what_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let (metadata, _) = reopened(directory.path());
    let partitions = PartitionManager::for_tests(directory.path());
    metadata.create_topics(&partitions, vec![new_topic("a.b", 1)]);
    let made = metadata
        .create_topics(&partitions, vec![new_topic("a.b", 1), new_topic("a_b", 1), new_topic("c", 2)]);
    assert_eq!(made[0].as_ref().err().unwrap().to_string(), "Topic 'a.b' already exists.");
    assert_eq!(made[1].as_ref().err().unwrap().to_string(), "Topic 'a_b' collides with existing topic: a.b");
    assert_eq!(made[2].as_ref().unwrap().partition_count(), 2);
    assert_eq!(metadata.topics().topic_count(), 2);
    let nothing = metadata.create_topics(&partitions, vec![new_topic("c", 1)]);
    assert!(matches!(nothing[0], Err(CreateTopicError::AlreadyExists(_))));
}

#[test]
fn the_broker_refuses_more_partitions_than_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let (metadata, _) = reopened(directory.path());
    let partitions = PartitionManager::for_tests(directory.path());
    let too_many = i32::try_from(MAX_PARTITIONS).unwrap() + 1;
    let made = metadata.create_topics(&partitions, vec![new_topic("a", too_many), new_topic("b", 1)]);
    assert!(matches!(made[0], Err(CreateTopicError::TooManyPartitions { existing: 0, .. })));
    assert!(made[1].is_ok());
    let grown = metadata.create_partitions(&partitions, "b", too_many);
    assert!(matches!(grown, Err(CreatePartitionsError::TooManyPartitions { existing: 1, .. })));
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let partitions = PartitionManager::for_tests(directory.path());
    {
        let (metadata, _) = reopened(directory.path());
        metadata.create_topics(&partitions, vec![new_topic("a", 2)]);
        let first = Arc::clone(&metadata.topics().by_name("a").unwrap().partitions[0]);
        let grown = metadata.create_partitions(&partitions, "a", 4).unwrap();
        assert_eq!(grown.partition_count(), 4);
        assert!(Arc::ptr_eq(&grown.partitions[0], &first), "the old partitions stay as they are");
        assert_eq!(metadata.topics().partition_count(), 4);
        for (topic, count, text) in [
            ("a", 4, "Topic already has 4 partition(s)."),
            ("a", 3, "The topic a currently has 4 partition(s); 3 would not be an increase."),
            ("a", -1, "The topic a currently has 4 partition(s); -1 would not be an increase."),
            ("b", 4, "This server does not host this topic-partition."),
        ] {
            let error = metadata.create_partitions(&partitions, topic, count).err().unwrap();
            assert_eq!(error.to_string(), text);
        }
        metadata.create_partitions(&partitions, "a", 5).unwrap();
    }
    let (_, stored) = reopened(directory.path());
    assert_eq!(stored[0].leader_epochs.len(), 5);
}

#[test]
fn a_deleted_topic_is_gone_and_its_name_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let partitions = PartitionManager::for_tests(directory.path());
    let second;
    {
        let (metadata, _) = reopened(directory.path());
        let made = metadata.create_topics(&partitions, vec![new_topic("a.b", 2), new_topic("c", 1)]);
        let first = made[0].as_ref().unwrap().id;
        let unknown = Uuid::from_u128(7 << 100);
        let deleted = metadata.delete_topics(&partitions, &[unknown, first]);
        assert!(matches!(deleted[0], Err(DeleteTopicError::UnknownTopicId)));
        assert_eq!(&*deleted[1].as_ref().unwrap().name, "a.b");
        let topics = metadata.topics();
        assert!(topics.by_name("a.b").is_none() && topics.by_id(first).is_none());
        assert_eq!(topics.partition_count(), 1);
        let again = metadata.create_topics(&partitions, vec![new_topic("a_b", 1)]);
        second = again[0].as_ref().unwrap().id;
        assert_ne!(first, second);
    }
    let (_, stored) = reopened(directory.path());
    assert_eq!(stored.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), ["a_b", "c"]);
    assert_eq!(stored[0].id, second);
}

#[test]
fn leader_epochs_are_stored_before_they_are_used() {
    let directory = tempfile::tempdir().unwrap();
    {
        let (metadata, _) = reopened(directory.path());
        let made = metadata.create_topics(
            &PartitionManager::for_tests(directory.path()),
            vec![new_topic("a", 3), new_topic("b", 1)],
        );
        assert!(made.iter().all(Result::is_ok));
    }
    let last_in_log = |topic: usize, index: usize| match (topic, index) {
        (0, 1) => Some(4),
        (0, 2) => Some(0),
        _ => None,
    };
    let (metadata, mut stored) = reopened(directory.path());
    metadata.bump_leader_epochs(&mut stored, last_in_log, true).unwrap();
    assert_eq!(stored[0].leader_epochs, [1, 5, 1]);
    assert_eq!(stored[1].leader_epochs, [1]);
    drop(metadata);

    let (metadata, mut stored) = reopened(directory.path());
    assert_eq!(stored[0].leader_epochs, [1, 5, 1]);
    metadata.bump_leader_epochs(&mut stored, last_in_log, false).unwrap();
    assert_eq!(stored[0].leader_epochs, [1, 5, 1], "a clean start goes on under the same epoch");
    metadata.bump_leader_epochs(&mut stored, |_, _| None, true).unwrap();
    metadata.bump_leader_epochs(&mut stored, |_, _| None, true).unwrap();
    assert_eq!(stored[0].leader_epochs, [3, 7, 3]);

    // What is published afterwards can be changed: the revisions were carried along.
    let partitions = PartitionManager::for_tests(directory.path());
    let opened: Vec<_> = stored
        .into_iter()
        .map(|topic| {
            let logs = (0..)
                .zip(topic.leader_epochs.clone())
                .map(|(index, epoch)| {
                    let partition = PartitionName { topic: topic.name.clone(), topic_id: topic.id, index };
                    partitions.create(partition, Arc::default(), epoch).unwrap()
                })
                .collect();
            topic.open(Arc::default(), logs)
        })
        .collect();
    metadata.publish(opened);
    assert_eq!(metadata.topics().by_name("a").unwrap().partitions[1].leader_epoch(), 7);
    metadata.create_partitions(&partitions, "a", 4).unwrap();
    drop(metadata);
    let (_, stored) = reopened(directory.path());
    assert_eq!(stored[0].leader_epochs, [3, 7, 3, 0]);
}

#[test]
fn producer_ids_are_never_given_twice() {
    let directory = tempfile::tempdir().unwrap();
    {
        let (metadata, _) = reopened(directory.path());
        assert_eq!(metadata.allocate_producer_id_block(1000).unwrap(), 0);
        assert_eq!(metadata.allocate_producer_id_block(1000).unwrap(), 1000);
    }
    let (metadata, _) = reopened(directory.path());
    assert_eq!(metadata.allocate_producer_id_block(1).unwrap(), 2000);
    let key = PRODUCER_IDS_KEY.to_owned();
    let last = records::encode(&ProducerIdsRecord::new(i64::MAX));
    metadata.store.transact(&[], vec![Write::Put(key, last)]).unwrap();
    assert!(matches!(metadata.allocate_producer_id_block(1), Err(MetadataError::ProducerIdsExhausted)));
}

#[test]
fn a_damaged_or_newer_entry_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    for (value, text) in [("{}", "damaged"), (r#"{"version":9}"#, "has version 9")] {
        let store = RedbStore::open(directory.path()).unwrap();
        store.transact(&[], vec![Write::Put(topic_key("a"), value.into())]).unwrap();
        drop(store);
        let error = Metadata::open(directory.path()).err().unwrap();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn a_change_by_someone_else_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let (metadata, _) = reopened(directory.path());
    let partitions = PartitionManager::for_tests(directory.path());
    let id = metadata.create_topics(&partitions, vec![new_topic("a", 1)])[0].as_ref().unwrap().id;
    metadata.store.transact(&[], vec![Write::Put(topic_key("a"), b"{}".to_vec())]).unwrap();
    let deleted = metadata.delete_topics(&partitions, &[id]);
    assert!(
        matches!(&deleted[0], Err(DeleteTopicError::Metadata(error)) if matches!(**error, MetadataError::Conflict(_)))
    );
    assert!(metadata.topics().by_id(id).is_some());
}
