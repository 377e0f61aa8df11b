use fluxmq_storage::batch::BatchBuilder;
use tempfile::TempDir;

use super::*;

/// The value of a topic's record.
fn topic(name: &str, id: u8) -> Vec<u8> {
    [&[1, 2, 0, name.len() as u8 + 1], name.as_bytes(), &[id; 16], &[0]].concat()
}

const NO_OP: [u8; 4] = [1, 20, 0, 0];

/// A batch of records with these values.
fn records(base_offset: i64, values: &[&[u8]]) -> Vec<u8> {
    let add = |batch: BatchBuilder, value: &&[u8]| batch.record(1, None, Some(value));
    at(base_offset, values.iter().fold(BatchBuilder::new(), add))
}

/// A batch of one control record of this type.
fn control(base_offset: i64, kind: u8) -> Vec<u8> {
    at(base_offset, BatchBuilder::new().control().record(1, Some(&[0, 0, 0, kind]), Some(&[0, 0])))
}

fn at(base_offset: i64, batch: BatchBuilder) -> Vec<u8> {
    let mut bytes = batch.build().bytes().to_vec();
    // Outside of the checksum.
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes
}

fn snapshot(values: &[&[u8]]) -> Vec<Vec<u8>> {
    vec![control(0, 3), records(1, values), control(1 + values.len() as i64, 4)]
}

fn write(dir: &TempDir, name: &str, batches: &[Vec<u8>]) {
    fs::write(dir.path().join(name), batches.concat()).unwrap();
}

const FIRST_LOG: &str = "00000000000000000000.log";

/// The names of the topics, and where the log ends.
fn read_from(dir: &TempDir) -> (Vec<String>, i64) {
    let metadata = read(dir.path()).unwrap();
    (metadata.image.topics.into_keys().collect(), metadata.end_offset)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn segments_are_read_in_order_and_control_batches_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, gone) = (topic("a", 1), topic("b", 2), [&[1, 9, 0][..], &[1; 16], &[0]].concat());
    write(&dir, "00000000000000000004.log", &[records(4, &[&gone]), records(5, &[&b])]);
    write(&dir, FIRST_LOG, &[control(0, 2), records(1, &[&a, &NO_OP]), control(3, 2)]);
    write(&dir, "00000000000000000000.index", &[vec![7]]);
    write(&dir, "00000000000000000000.log.deleted", &[vec![7]]);
    assert_eq!(read_from(&dir), (names(&["b"]), 6));
}

#[test]
fn the_latest_snapshot_stands_for_what_is_below_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, c) = (topic("a", 1), topic("b", 2), topic("c", 3));
    write(&dir, "00000000000000000002-0000000001.checkpoint", &[vec![7]]);
    write(&dir, "00000000000000000009-0000000001.checkpoint.part", &[vec![7]]);
    write(&dir, "00000000000000000007-0000000002.checkpoint", &snapshot(&[&a, &b]));
    // One record of the batch is in the snapshot.
    write(&dir, "00000000000000000005.log", &[records(5, &[&NO_OP, &b, &c])]);
    assert_eq!(read_from(&dir), (names(&["a", "b", "c"]), 8));
    // All of the log is.
    write(&dir, "00000000000000000005.log", &[records(5, &[&a])]);
    assert_eq!(read_from(&dir), (names(&["a", "b"]), 7));
    write(&dir, "00000000000000000005.log", &[]);
    assert_eq!(read_from(&dir), (names(&["a", "b"]), 7));
}

#[test]
fn what_is_missing_is_noticed() {
    use MetadataLogError::{Empty, Gap, NoFooter};
    let dir = tempfile::tempdir().unwrap();
    let a = topic("a", 1);
    assert!(matches!(read(dir.path()), Err(Empty { .. })));
    write(&dir, FIRST_LOG, &[records(0, &[&a]), records(2, &[&NO_OP])]);
    assert!(matches!(read(dir.path()), Err(Gap { expected: 1, found: 2, .. })));
    write(&dir, FIRST_LOG, &[records(3, &[&a])]);
    assert!(matches!(read(dir.path()), Err(Gap { expected: 0, found: 3, .. })));
    let whole = snapshot(&[&a]);
    write(&dir, "00000000000000000003-0000000001.checkpoint", &whole);
    assert_eq!(read(dir.path()).unwrap_err().to_string(), {
        // Topic a is in the snapshot, and again behind it.
        let path = dir.path().join(FIRST_LOG);
        format!("{}, offset 3: topic a is made twice", path.display())
    });
    write(&dir, "00000000000000000003-0000000001.checkpoint", &whole[..2]);
    assert!(matches!(read(dir.path()), Err(NoFooter { .. })));
    write(&dir, "00000000000000000003-0000000001.checkpoint", &[whole[0].clone(), whole[2].clone()]);
    assert!(matches!(read(dir.path()), Err(Gap { expected: 1, found: 2, .. })));
}

#[test]
fn damage_is_refused_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let batch = records(0, &[&topic("a", 1)]);
    write(&dir, FIRST_LOG, std::slice::from_ref(&batch));
    assert_eq!(read_from(&dir), (names(&["a"]), 1));
    for end in 1..batch.len() {
        write(&dir, FIRST_LOG, &[batch[..end].to_vec()]);
        assert!(matches!(read(dir.path()), Err(MetadataLogError::Batch { position: 0, .. })), "{end}");
    }
    for changed in (0..batch.len()).filter(|at| !(12..16).contains(at)) {
        let mut bytes = batch.clone();
        bytes[changed] ^= 0x40;
        write(&dir, FIRST_LOG, &[bytes]);
        // The base offset and the leader epoch are outside of the checksum.
        assert!(read(dir.path()).is_err(), "{changed}");
    }
    write(&dir, FIRST_LOG, &[batch, vec![0; 100]]);
    assert!(matches!(read(dir.path()), Err(MetadataLogError::Batch { .. })));
}

#[test]
fn a_record_that_is_not_understood_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, FIRST_LOG, &[records(0, &[&NO_OP, &[1, 99, 0]])]);
    let text = read(dir.path()).unwrap_err().to_string();
    assert!(text.ends_with(".log, offset 1: record type 99 is not known"), "{text}");
    write(&dir, FIRST_LOG, &[at(0, BatchBuilder::new().record(1, None, None))]);
    let text = read(dir.path()).unwrap_err().to_string();
    assert!(text.ends_with(".log, offset 0: a record without a value"), "{text}");
}
