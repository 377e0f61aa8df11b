//! `fluxmq adopt`: what it refuses, without a change, and what it makes of a small directory. A directory that Apache
//! Kafka made is for client-tests/test_adopt.py.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::raw::RawClient;
use fluxmq::config::BrokerConfig;
use fluxmq::server;
use fluxmq_protocol::messages::MetadataRequest;
use fluxmq_storage::batch::BatchBuilder;
use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log_dir::LogDir;
use tempfile::TempDir;
use uuid::Uuid;

const TOPIC_ID: Uuid = Uuid::from_u128(700);
const METADATA_LOG: &str = "__cluster_metadata-0/00000000000000000000.log";
const META_PROPERTIES: &str = "#\ncluster.id=4L6g3nShT-eMCtK--X86sw\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=1\n\
                               version=1\n";

/// The value of the record of topic `a`.
fn topic() -> Vec<u8> {
    [&[1, 2, 0, 2, b'a'][..], TOPIC_ID.as_bytes(), &[0]].concat()
}

/// The value of the record of the topic's only partition, with one replica, and without a leader.
fn partition(replica: u8) -> Vec<u8> {
    let none = [0xff; 4];
    let lists = [&[2, 0, 0, 0, replica][..], &[1], &[1], &[1]].concat();
    let epochs = [none, [0, 0, 0, 7], [0, 0, 0, 9]].concat();
    [&[1, 3, 1, 0, 0, 0, 0][..], TOPIC_ID.as_bytes(), &lists, &epochs, &[1, 0]].concat()
}

fn write_metadata(dir: &Path, values: &[Vec<u8>]) {
    let add = |batch: BatchBuilder, value: &Vec<u8>| batch.record(1, None, Some(value));
    let batch = values.iter().fold(BatchBuilder::new(), add).build();
    fs::write(dir.join(METADATA_LOG), batch.bytes()).unwrap();
}

/// What Kafka leaves of a node with a topic `a` without records.
fn kafkas() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    fs::write(path.join("meta.properties"), META_PROPERTIES).unwrap();
    fs::write(path.join(".kafka_cleanshutdown"), r#"{"version":0,"brokerEpoch":12}"#).unwrap();
    fs::create_dir(path.join("__cluster_metadata-0")).unwrap();
    write_metadata(path, &[topic(), partition(1)]);
    fs::create_dir(path.join("a-0")).unwrap();
    let id = fluxmq_storage::meta_properties::encode_uuid(TOPIC_ID);
    fs::write(path.join("a-0/partition.metadata"), format!("version: 0\ntopic_id: {id}")).unwrap();
    dir
}

/// Exit code, standard output and standard error.
fn fluxmq(args: &[&str], dir: &Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fluxmq")).args(args).arg(dir).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Every file in a directory, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false => {
                    // Closing the lock's file would give up a lock that this process has.
                    let bytes = if path.ends_with(".lock") { Vec::new() } else { fs::read(&path).unwrap() };
                    files.insert(path, bytes);
                }
            }
        }
    }
    files
}

#[track_caller]
fn assert_refused(dir: &Path, end_of_line: &str) {
    let before = files(dir);
    let (code, out, errors) = fluxmq(&["adopt"], dir);
    assert_eq!((code, out.as_str()), (2, ""), "{errors}");
    assert!(errors.starts_with("fluxmq: ") && errors.ends_with(&format!("{end_of_line}\n")), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(files(dir) == before, "something was changed: {:?}", files(dir).keys());
}

#[test]
fn what_is_no_directory_of_kafka_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_refused(dir.path(), "is no data directory of Apache Kafka: it has no meta.properties");
    let (code, _, errors) = fluxmq(&["adopt"], &dir.path().join("none"));
    assert_eq!(code, 2, "{errors}");
    assert!(!dir.path().join("none").exists());
    fs::write(dir.path().join("meta.properties"), META_PROPERTIES).unwrap();
    assert_refused(dir.path(), "with one log directory, can be adopted");

    server::start(BrokerConfig::for_tests(dir.path())).unwrap().shutdown().unwrap();
    assert_refused(dir.path(), "is FluxMQ's already");
}

#[test]
fn what_is_in_use_or_was_not_stopped_cleanly_is_refused() {
    let dir = kafkas();
    let lock = LogDir::open(dir.path(), None, 1, Arc::new(RealFs)).unwrap();
    assert_refused(dir.path(), "is in use by another process");
    drop(lock);
    fs::remove_file(dir.path().join(".lock")).unwrap();
    fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    assert_refused(dir.path(), "start it with Apache Kafka and stop it with SIGTERM");
}

#[test]
fn another_format_of_the_directory_is_refused() {
    let dir = kafkas();
    let properties = dir.path().join("meta.properties");
    fs::write(&properties, META_PROPERTIES.replace("version=1", "version=0")).unwrap();
    assert_refused(dir.path(), "meta.properties has format version 0; this broker reads version 1");
    fs::write(&properties, META_PROPERTIES.replace("directory.id", "#")).unwrap();
    assert_refused(dir.path(), "start and stop it with Apache Kafka 4 first");
}

#[test]
fn metadata_that_is_damaged_or_of_several_nodes_is_refused() {
    let dir = kafkas();
    let whole = fs::read(dir.path().join(METADATA_LOG)).unwrap();
    fs::write(dir.path().join(METADATA_LOG), &whole[..whole.len() - 1]).unwrap();
    assert_refused(
        dir.path(),
        &format!("a batch of {} bytes where {} are left", whole.len(), whole.len() - 1),
    );
    write_metadata(dir.path(), &[topic(), partition(1), vec![1, 99, 0]]);
    assert_refused(dir.path(), "offset 2: record type 99 is not known");
    write_metadata(dir.path(), &[topic(), partition(2)]);
    assert_refused(
        dir.path(),
        "replicas or leaders are on other nodes (a-0); only a cluster of one node can be adopted",
    );
}

#[test]
fn partitions_that_lie_elsewhere_are_refused() {
    let dir = kafkas();
    fs::rename(dir.path().join("a-0"), dir.path().join("b-0")).unwrap();
    assert_refused(
        dir.path(),
        "doesn't hold all partitions of the metadata: a-0 missing, or another topic's",
    );
}

#[test]
fn records_in_an_old_format_are_refused() {
    let dir = kafkas();
    let mut batch = BatchBuilder::new().record(1, None, Some(b"v")).build().bytes().to_vec();
    let segment = dir.path().join("a-0/00000000000000000000.log");
    batch[16] = 1;
    fs::write(&segment, &batch).unwrap();
    assert_refused(
        dir.path(),
        "a-0/00000000000000000000.log has records in message format v1; FluxMQ reads v2",
    );
    batch[16] = 2;
    fs::write(&segment, &batch).unwrap();
    assert_eq!(fluxmq(&["adopt"], dir.path()).0, 0);
}

#[test]
fn a_directory_that_was_not_adopted_is_not_served() {
    let dir = kafkas();
    let before = files(&dir.path().join("a-0"));
    let (code, _, errors) =
        fluxmq(&["--port", "0", "--override", "http.listener=", "--data-dir"], dir.path());
    assert_eq!(code, 2);
    assert!(errors.ends_with("make it FluxMQ's with `fluxmq adopt` first\n"), "{errors}");
    assert_eq!(files(&dir.path().join("a-0")), before);
    assert!(fluxmq(&["adopt"], dir.path()).0 == 0);
}

#[test]
fn an_adopted_directory_is_served_and_keeps_kafkas_metadata() {
    let dir = kafkas();
    fs::create_dir(dir.path().join("stray-3")).unwrap();
    let (code, out, errors) = fluxmq(&["adopt"], dir.path());
    assert_eq!((code, errors.as_str()), (0, ""));
    for line in [
        "cluster id 4L6g3nShT-eMCtK--X86sw, node 1\n",
        "topics: 1, with 1 partitions; 0 have settings of their own\n",
        "features: group.version=0, transaction.version=0\n",
        "left out: directories of no topic: stray-3; the start renames them to -stray\n",
        &format!("start it with: fluxmq --data-dir {}\n", dir.path().canonicalize().unwrap().display()),
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    let kafkas_log = fs::read(dir.path().join(METADATA_LOG)).unwrap();
    for _ in 0..2 {
        let broker = server::start(BrokerConfig::for_tests(dir.path())).unwrap();
        let mut client = RawClient::connect(broker.addr());
        let topics = client.call(12, &MetadataRequest::default().with_topics(None)).topics;
        assert_eq!((topics.len(), topics[0].topic_id), (1, TOPIC_ID));
        assert_eq!(topics[0].partitions[0].leader_epoch, 7);
        broker.shutdown().unwrap();
    }
    assert_eq!(fs::read(dir.path().join(METADATA_LOG)).unwrap(), kafkas_log);
    assert!(!dir.path().join("stray-3").exists());
    assert_refused(dir.path(), "is FluxMQ's already");
}
