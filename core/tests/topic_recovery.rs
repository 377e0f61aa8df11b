//! Topics whose change was cut off between the metadata and the disk, and directories that the metadata doesn't know.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::raw::RawClient;
use fluxmq::config::BrokerConfig;
use fluxmq::meta::redb::{FILE_NAME, RedbStore};
use fluxmq::meta::store::{MetaStore, Write};
use fluxmq::server;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::metadata_response::MetadataResponseTopic;
use fluxmq_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, OffsetForLeaderEpochRequest, ProduceRequest,
    TopicName,
};
use fluxmq_storage::batch::BatchBuilder;

fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

/// Runs a broker on the directory, has `session` talk to it, and stops it cleanly.
fn with_broker<T>(directory: &Path, session: impl FnOnce(&mut RawClient) -> T) -> T {
    let broker = server::start(BrokerConfig::for_tests(directory)).unwrap();
    let result = session(&mut RawClient::connect(broker.addr()));
    broker.shutdown().unwrap();
    result
}

fn create(client: &mut RawClient, text: &str, partitions: i32) -> i16 {
    let topic = CreatableTopic::default()
        .with_name(name(text))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic])).topics[0].error_code
}

fn topics(client: &mut RawClient) -> Vec<MetadataResponseTopic> {
    client.call(12, &MetadataRequest::default().with_topics(None)).topics
}

/// The partitions' directories and what became of them, by name without the random part.
fn directories(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            match (name.find('.'), name.rfind('-')) {
                (Some(dot), Some(dash)) => format!("{}{}", &name[..dot], &name[dash..]),
                _ => name,
            }
        })
        .collect();
    names.sort();
    names
}

fn path(directory: &Path, partition: &str) -> PathBuf {
    directory.join(partition)
}

#[test]
fn directories_that_a_crash_kept_from_being_made_are_made_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    with_broker(directory.path(), |client| assert_eq!(create(client, "t", 3), 0));
    fs::remove_dir_all(path(directory.path(), "t-1")).unwrap();
    fs::remove_dir_all(path(directory.path(), "t-2")).unwrap();
    with_broker(directory.path(), |client| {
        let topics = topics(client);
        assert_eq!((topics[0].error_code, topics[0].partitions.len()), (0, 3));
    });
    assert_eq!(directories(directory.path()), ["t-0", "t-1", "t-2"]);
}

/// Names of the files in a partition's directory, and what `partition.metadata` says.
fn files(directory: &Path, partition: &str) -> (Vec<String>, String) {
    let entries = fs::read_dir(path(directory, partition)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    (names, fs::read_to_string(path(directory, partition).join("partition.metadata")).unwrap())
}

fn produce(client: &mut RawClient, partition: i32) -> (i16, i64) {
    let batch = BatchBuilder::new().record(1_700_000_000_000, None, Some(b"value")).build();
    let data =
        PartitionProduceData::default().with_index(partition).with_records(Some(batch.bytes().clone()));
    let topic = TopicProduceData::default().with_name(name("t")).with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic]);
    let answer = &client.call(9, &request).responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

#[test]
fn a_partition_without_a_record_has_no_file_but_its_topics_id() {
    let directory = tempfile::tempdir().unwrap();
    with_broker(directory.path(), |client| assert_eq!(create(client, "t", 3), 0));
    for unclean in [false, true, true] {
        if unclean {
            fs::remove_file(directory.path().join(".kafka_cleanshutdown")).unwrap();
        }
        with_broker(directory.path(), |client| assert_eq!(topics(client)[0].error_code, 0));
        for partition in ["t-0", "t-1", "t-2"] {
            assert_eq!(files(directory.path(), partition).0, ["partition.metadata"]);
        }
    }
    with_broker(directory.path(), |client| assert_eq!(produce(client, 1), (0, 0)));
    assert!(files(directory.path(), "t-1").0.contains(&"00000000000000000000.log".to_owned()));
    assert_eq!(files(directory.path(), "t-2").0, ["partition.metadata"]);
}

/// What a crash may leave between the directory and its first segment.
#[test]
fn directories_that_a_crash_has_left_unfinished_are_completed() {
    let directory = tempfile::tempdir().unwrap();
    with_broker(directory.path(), |client| assert_eq!(create(client, "t", 4), 0));
    let (_, whole) = files(directory.path(), "t-0");
    fs::remove_file(path(directory.path(), "t-0/partition.metadata")).unwrap();
    fs::write(path(directory.path(), "t-1/partition.metadata"), "").unwrap();
    fs::write(path(directory.path(), "t-2/partition.metadata"), &whole[..whole.len() - 3]).unwrap();
    fs::write(path(directory.path(), "t-3/00000000000000000000.log"), "").unwrap();
    fs::remove_file(directory.path().join(".kafka_cleanshutdown")).unwrap();
    with_broker(directory.path(), |client| {
        for partition in 0..4 {
            assert_eq!(produce(client, partition), (0, 0));
        }
    });
    for partition in ["t-0", "t-1", "t-2", "t-3"] {
        assert_eq!(files(directory.path(), partition).1, whole);
    }
    assert_eq!(directories(directory.path()), ["t-0", "t-1", "t-2", "t-3"]);
}

#[test]
fn epochs_that_an_empty_log_was_led_under_ended_where_it_starts() {
    let directory = tempfile::tempdir().unwrap();
    with_broker(directory.path(), |client| assert_eq!(create(client, "t", 1), 0));
    for _ in 0..2 {
        fs::remove_file(directory.path().join(".kafka_cleanshutdown")).unwrap();
        with_broker(directory.path(), |_| ());
    }
    let ended = with_broker(directory.path(), |client| {
        [0, 1, 2, 3, -1].map(|epoch| {
            let asked = OffsetForLeaderPartition::default().with_leader_epoch(epoch);
            let topic = OffsetForLeaderTopic::default().with_topic(name("t")).with_partitions(vec![asked]);
            let answer = client.call(4, &OffsetForLeaderEpochRequest::default().with_topics(vec![topic]));
            let partition = &answer.topics[0].partitions[0];
            (partition.error_code, partition.leader_epoch, partition.end_offset)
        })
    });
    assert_eq!(ended, [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, -1, -1), (0, -1, -1)]);
}

#[test]
fn what_the_metadata_does_not_know_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let first = with_broker(directory.path(), |client| {
        assert_eq!(create(client, "t", 1), 0);
        topics(client)[0].topic_id
    });
    let old = fs::read(path(directory.path(), "t-0/partition.metadata")).unwrap();
    fs::create_dir(path(directory.path(), "stranger-0")).unwrap();
    fs::create_dir(path(directory.path(), "t-1")).unwrap();
    let second = with_broker(directory.path(), |client| {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
        assert_eq!(client.call(5, &request).responses[0].error_code, 0);
        assert_eq!(create(client, "t", 1), 0);
        topics(client)[0].topic_id
    });
    assert_ne!(first, second);
    // The files of the topic that was deleted, under the name of the one that is.
    fs::write(path(directory.path(), "t-0/partition.metadata"), old).unwrap();
    with_broker(directory.path(), |client| assert_eq!(topics(client)[0].topic_id, second));
    let found = directories(directory.path());
    let count = |wanted: &str| found.iter().filter(|name| *name == wanted).count();
    assert_eq!(
        (count("t-0"), count("t-0-stray"), count("t-1-stray"), count("stranger-0-stray")),
        (1, 1, 1, 1),
        "{found:?}"
    );
}

#[test]
fn a_topic_whose_log_cannot_be_made_is_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    with_broker(directory.path(), |client| {
        fs::write(path(directory.path(), "t-1"), "in the way").unwrap();
        assert_eq!(create(client, "t", 2), 56);
        assert!(topics(client).is_empty());
        fs::remove_file(path(directory.path(), "t-1")).unwrap();
        assert_eq!(create(client, "t", 2), 0);
        assert_eq!(topics(client)[0].partitions.len(), 2);
    });
}

#[test]
fn the_leader_epoch_rises_after_an_unclean_end_alone() {
    let directory = tempfile::tempdir().unwrap();
    let epoch = |client: &mut RawClient| topics(client)[0].partitions[0].leader_epoch;
    with_broker(directory.path(), |client| assert_eq!(create(client, "t", 1), 0));
    for (unclean, expected) in [(false, 0), (true, 1), (false, 1), (true, 2), (true, 3)] {
        if unclean {
            fs::remove_file(directory.path().join(".kafka_cleanshutdown")).unwrap();
        }
        assert_eq!(with_broker(directory.path(), epoch), expected);
    }
}

#[test]
fn metadata_of_a_newer_broker_keeps_this_one_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    with_broker(directory.path(), |client| assert_eq!(create(client, "t", 1), 0));
    let store = RedbStore::open(directory.path()).unwrap();
    let newer = Write::Put("topics/t".to_owned(), br#"{"version":2}"#.to_vec());
    store.transact(&[], vec![newer]).unwrap();
    drop(store);
    let error = server::start(BrokerConfig::for_tests(directory.path())).err().unwrap();
    assert!(error.to_string().contains("topics/t has version 2"), "{error}");
    assert!(directory.path().join(FILE_NAME).exists());
    assert_eq!(directories(directory.path()), ["t-0"], "nothing was touched");
}
