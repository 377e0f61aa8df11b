//! Damage of each kind, and what is found.

use super::*;
use crate::fs::segment_path;
use crate::inspect::Stop;
use crate::inspect::verify::{AtNextStart, Condition, Place};
use crate::leader_epochs::LEADER_EPOCH_CHECKPOINT;
use crate::log::OpenLogError;
use crate::txn_index::TXN_INDEX_ENTRY_BYTES;

/// The one thing that is wrong.
#[track_caller]
fn only(path: &Path) -> Finding {
    let mut found = damage(path);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// Opens the log as a start does.
fn open(written: &Written, clean: bool, recovery_point: i64) -> Result<i64, OpenLogError> {
    let config = LogConfig { segment_bytes: 8 << 10, index_interval_bytes: 600, ..LogConfig::default() };
    let env = LogEnv::new(Arc::new(RealFs), None);
    let hint = OpenHint { clean, recovery_point, log_start_offset: 0, now_ms: NOW_MS };
    Log::open(&written.partition(), config, env, hint).map(|(log, _)| log.log_end().offset)
}

#[test]
fn nothing_is_wrong_with_what_the_log_writes() {
    let written = written(30);
    let (totals, findings) = verified(written.dir.path()).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
    assert!(written.files(".log").len() > 3 && !written.files(".txnindex").is_empty());
    assert_eq!((totals.partitions, totals.segments), (1, written.files(".log").len() as u64));
    assert_eq!((totals.batches, totals.records, totals.gaps), (written.batches, written.records, 0));
    let bytes: u64 = written.files(".log").iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(totals.bytes, bytes);
    // By itself, with the checkpoints beside it, and without any.
    assert_eq!(verified(&written.partition()).unwrap().0, totals);
    assert!(damage(&written.partition()).is_empty());
    let copy = tempfile::tempdir().unwrap();
    for path in written.files("") {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    assert!(verified(copy.path()).unwrap().1.is_empty());
    written.unmark();
    assert!(verified(written.dir.path()).unwrap().1.is_empty());
}

#[test]
fn what_is_no_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(verified(dir.path()), Err(VerifyError::NoLogs(_))));
    assert!(matches!(verified(&dir.path().join("x")), Err(VerifyError::Io { .. })));
}

#[test]
fn a_flipped_bit_in_a_batch() {
    let written = written(30);
    let log = &written.files(".log")[1];
    written.change(log, |bytes| bytes[70] ^= 1);
    let finding = only(written.dir.path());
    assert!(matches!(finding.condition, Condition::BatchCrcMismatch { .. }), "{finding:?}");
    assert_eq!((&finding.path, finding.place), (log, Place::Position(0)));
    // After a clean stop the files are trusted.
    assert_eq!(finding.at_next_start, AtNextStart::NotNoticed);
    assert_eq!(open(&written, true, written.end).unwrap(), written.end);
}

#[test]
fn after_a_crash_a_damaged_batch_past_the_recovery_point_is_where_the_log_is_cut() {
    let written = written(30);
    let base = |path: &Path| -> i64 { path.file_stem().unwrap().to_str().unwrap().parse().unwrap() };
    let logs = written.files(".log");
    written.unmark();
    let recovery = written.dir.path().join(OffsetCheckpoint::RecoveryPoint.file_name());
    write_offsets(&recovery, &[(("t".to_owned(), 0), base(&logs[2]))].into()).unwrap();
    written.change(&logs[2], |bytes| bytes[70] ^= 1);
    let finding = only(written.dir.path());
    assert!(matches!(finding.condition, Condition::BatchCrcMismatch { .. }), "{finding:?}");
    assert_eq!(finding.at_next_start, AtNextStart::Cut);
    // What was finished is trusted, as long as its chain of batches holds.
    written.change(&logs[0], |bytes| bytes[70] ^= 1);
    let fates: Vec<AtNextStart> = damage(written.dir.path()).iter().map(|f| f.at_next_start).collect();
    assert_eq!(fates, [AtNextStart::NotNoticed, AtNextStart::Cut]);
    assert_eq!(open(&written, false, base(&logs[2])).unwrap(), base(&logs[2]));
}

#[test]
fn a_finished_segment_that_cannot_be_gone_through_is_refused() {
    let written = written(30);
    let logs = written.files(".log");
    written.unmark();
    written.change(&logs[0], |bytes| bytes.truncate(bytes.len() - 10));
    let finding = &damage(written.dir.path())[0];
    assert!(matches!(finding.condition, Condition::NoBatch(Stop::Incomplete { .. })), "{finding:?}");
    assert_eq!(finding.at_next_start, AtNextStart::Refused);
    let refused = open(&written, false, written.end);
    assert!(matches!(refused, Err(OpenLogError::Damaged { .. })), "{refused:?}");
}

#[test]
fn a_truncated_batch_at_the_end() {
    let written = written(30);
    let log = written.files(".log").pop().unwrap();
    written.change(&log, |bytes| bytes.truncate(bytes.len() - 10));
    let finding = &damage(written.dir.path())[0];
    assert!(matches!(finding.condition, Condition::NoBatch(Stop::Incomplete { .. })), "{finding:?}");
    assert_eq!(finding.at_next_start, AtNextStart::Cut);
    let end = open(&written, true, written.end).unwrap();
    assert!(end < written.end);
}

#[test]
fn zeros_at_the_end_are_reserved_space_unless_the_log_was_closed() {
    let written = written(30);
    let log = written.files(".log").pop().unwrap();
    let len = log.metadata().unwrap().len();
    written.change(&log, |bytes| bytes.resize(bytes.len() + 5000, 0));
    let finding = only(written.dir.path());
    assert!(matches!(finding.condition, Condition::ZerosInClosedSegment { bytes: 5000 }), "{finding:?}");
    assert_eq!((finding.place, finding.at_next_start), (Place::Position(len), AtNextStart::Cut));
    written.unmark();
    let findings = verified(written.dir.path()).unwrap().1;
    assert_eq!(findings.len(), 1);
    assert!(matches!(findings[0].condition, Condition::ReservedSpace { bytes: 5000 }));
    written.change(&log, |bytes| *bytes.last_mut().unwrap() = 1);
    let finding = only(written.dir.path());
    assert!(matches!(finding.condition, Condition::NoBatch(Stop::ZerosInside { bytes: 4999 })));
    assert_eq!(open(&written, false, 0).unwrap(), written.end);
}

#[test]
fn a_missing_segment_is_a_gap_and_its_indexes_are_told() {
    let written = written(30);
    std::fs::remove_file(&written.files(".log")[1]).unwrap();
    let (totals, findings) = verified(written.dir.path()).unwrap();
    assert_eq!(totals.gaps, 1);
    let without = |f: &&Finding| matches!(f.condition, Condition::IndexWithoutSegment);
    assert_eq!(findings.iter().filter(without).count(), 3, "{findings:#?}");
}

#[test]
fn wrong_offsets_and_epochs_outside_the_checksum() {
    let written = written(30);
    let log = written.files(".log").remove(2);
    let whole = std::fs::read(&log).unwrap();
    written.change(&log, |bytes| bytes[7] ^= 0x80);
    let found = damage(written.dir.path());
    assert!(found.iter().any(|f| matches!(f.condition, Condition::OffsetFell { .. })), "{found:#?}");
    std::fs::write(&log, &whole).unwrap();
    written.change(&log, |bytes| bytes[15] = 4);
    let found = damage(written.dir.path());
    assert!(matches!(found[0].condition, Condition::LeaderEpochDiffers { batch: 4, .. }), "{found:#?}");
    std::fs::write(&log, &whole).unwrap();
    let first = written.files(".log").remove(0);
    written.change(&first, |bytes| bytes[15] = 9);
    let found = damage(written.dir.path());
    assert!(found.iter().any(|f| matches!(f.condition, Condition::LeaderEpochFell { last: 9, found: 3 })));
}

#[test]
fn records_that_do_not_read_though_the_checksum_matches() {
    let written = written(30);
    let log = written.files(".log").remove(0);
    written.change(&log, |bytes| {
        // The records say that they are one more.
        bytes[60] += 1;
        let mut header = crate::batch::BatchHeader::parse(bytes).unwrap();
        let size_bytes = header.size_in_bytes();
        header.crc = header.compute_crc(&bytes[61..size_bytes]);
        bytes[..61].copy_from_slice(&header.to_bytes());
    });
    let finding = only(written.dir.path());
    assert!(matches!(finding.condition, Condition::Records(_)), "{finding:?}");
    assert_eq!(finding.at_next_start, AtNextStart::NotNoticed);
}

#[test]
fn indexes_that_do_not_agree() {
    let written = written(30);
    for (suffix, at) in [(".index", 3), (".index", 7), (".timeindex", 7)] {
        let path = written.files(suffix).remove(1);
        let whole = std::fs::read(&path).unwrap();
        written.change(&path, |bytes| bytes[at] ^= 1);
        let finding = &damage(written.dir.path())[0];
        assert_eq!(finding.path, path);
        let expected = match (suffix, at) {
            (".index", 3) => matches!(finding.condition, Condition::OffsetIndexWrongOffset { .. }),
            (".index", _) => matches!(finding.condition, Condition::OffsetIndexNoBatch { .. }),
            _ => matches!(finding.condition, Condition::TimeIndexWrongTimestamp { .. }),
        };
        assert!(expected, "{finding:?}");
        // The first entry isn't looked at by a clean start.
        assert_eq!(finding.at_next_start, AtNextStart::NotNoticed);
        std::fs::write(&path, &whole).unwrap();
        written.change(&path, |bytes| bytes.truncate(bytes.len() - 1));
        let finding = &damage(written.dir.path())[0];
        assert!(matches!(finding.condition, Condition::IndexTrailingBytes(_)), "{finding:?}");
        assert_eq!(finding.at_next_start, AtNextStart::Rebuilt);
        std::fs::remove_file(&path).unwrap();
        let finding = only(written.dir.path());
        assert!(matches!(finding.condition, Condition::IndexMissing), "{finding:?}");
        assert_eq!((finding.path, finding.at_next_start), (path.clone(), AtNextStart::Rebuilt));
        std::fs::write(&path, &whole).unwrap();
    }
    let path = written.files(".timeindex").remove(1);
    written.change(&path, |bytes| bytes.truncate(bytes.len() - 12));
    assert!(matches!(only(written.dir.path()).condition, Condition::TimeIndexEndsEarly { .. }));
}

#[test]
fn indexes_that_repeat_an_entry_or_end_in_zeros() {
    let written = written(30);
    for (suffix, entry_bytes) in [(".index", 8), (".timeindex", 12)] {
        let path = written.files(suffix).pop().unwrap();
        let whole = std::fs::read(&path).unwrap();
        written.change(&path, |bytes| bytes.extend_from_within(..entry_bytes));
        let found = damage(written.dir.path());
        assert!(!found.is_empty() && found.iter().all(|f| f.path == path), "{suffix} {found:#?}");
        std::fs::write(&path, &whole).unwrap();
        written.change(&path, |bytes| bytes.resize(bytes.len() + 3 * entry_bytes, 0));
        assert!(matches!(only(written.dir.path()).condition, Condition::IndexZeros));
        std::fs::write(&path, &whole).unwrap();
    }
    written.unmark();
    let path = written.files(".index").pop().unwrap();
    written.change(&path, |bytes| bytes.resize(bytes.len() + 80, 0));
    let findings = verified(written.dir.path()).unwrap().1;
    assert!(matches!(findings[..], [Finding { condition: Condition::ReservedIndexSpace { bytes: 80 }, .. }]));
    // As Kafka has it in an active segment without an entry.
    for (suffix, bytes) in [(".index", 800), (".timeindex", 1200)] {
        std::fs::write(written.files(suffix).pop().unwrap(), vec![0; bytes]).unwrap();
    }
    let findings = verified(written.dir.path()).unwrap().1;
    let reserved = |f: &Finding| matches!(f.condition, Condition::ReservedIndexSpace { bytes: 800 | 1200 });
    assert!(findings.len() == 2 && findings.iter().all(reserved), "{findings:#?}");
}

#[test]
fn aborted_transactions_that_do_not_agree() {
    let written = written(30);
    let path = written.files(".txnindex").remove(0);
    let whole = std::fs::read(&path).unwrap();
    let found_with = |change: &dyn Fn(&mut Vec<u8>)| {
        written.change(&path, change);
        let found = damage(written.dir.path());
        assert!(found.iter().all(|finding| finding.path == path), "{found:#?}");
        std::fs::write(&path, &whole).unwrap();
        found
    };
    // Producer, first offset, marker's offset, last stable offset.
    let found = found_with(&|bytes| bytes[9] ^= 1);
    assert!(matches!(found[0].condition, Condition::TxnIndexNoMarker { .. }), "{found:#?}");
    assert!(matches!(found[1].condition, Condition::AbortedTransactionMissing { .. }), "{found:#?}");
    assert_eq!(found[0].at_next_start, AtNextStart::NotNoticed);
    let found = found_with(&|bytes| bytes[17] += 1);
    assert!(matches!(found[0].condition, Condition::TxnIndexFirstOffset { .. }), "{found:#?}");
    let found = found_with(&|bytes| bytes[10] = 0xff);
    assert!(matches!(found[0].condition, Condition::TxnIndexRange { .. }), "{found:#?}");
    let found = found_with(&|bytes| bytes[25] += 1);
    let no_marker = |f: &Finding| matches!(f.condition, Condition::TxnIndexNoMarker { .. });
    assert!(found.iter().any(no_marker), "{found:#?}");
    let found = found_with(&|bytes| bytes[33] += 1);
    assert!(matches!(found[0].condition, Condition::TxnIndexStableOffset { .. }), "{found:#?}");
    let found = found_with(&|bytes| bytes[1] = 1);
    assert!(matches!(found[0].condition, Condition::TxnIndexVersion), "{found:#?}");
    assert_eq!(found[0].at_next_start, AtNextStart::Rebuilt);
    let found = found_with(&|bytes| bytes.truncate(bytes.len() - TXN_INDEX_ENTRY_BYTES));
    assert!(matches!(found[..], [Finding { condition: Condition::AbortedTransactionMissing { .. }, .. }]));
    let found = found_with(&|bytes| bytes.truncate(bytes.len() - 1));
    assert!(found.iter().any(|f| matches!(f.condition, Condition::IndexTrailingBytes(33))), "{found:#?}");
    std::fs::remove_file(&path).unwrap();
    let found = damage(written.dir.path());
    assert!(found.iter().all(|f| matches!(f.condition, Condition::AbortedTransactionMissing { .. })));
    assert!(!found.is_empty());
}

#[test]
fn snapshots_epochs_and_checkpoints() {
    let written = written(30);
    let snapshot = written.files(".snapshot").remove(1);
    let whole = std::fs::read(&snapshot).unwrap();
    written.change(&snapshot, |bytes| bytes[20] ^= 1);
    let finding = only(written.dir.path());
    assert!(matches!(finding.condition, Condition::Snapshot(_)), "{finding:?}");
    assert_eq!(finding.path, snapshot);
    std::fs::write(&snapshot, whole).unwrap();
    let beyond = segment_path(&written.partition(), written.end + 5, ".snapshot");
    std::fs::copy(&snapshot, &beyond).unwrap();
    assert!(matches!(only(written.dir.path()).condition, Condition::SnapshotBeyondEnd { .. }));
    std::fs::remove_file(beyond).unwrap();

    let epochs = written.partition().join(LEADER_EPOCH_CHECKPOINT);
    let whole = std::fs::read_to_string(&epochs).unwrap();
    for (text, parses) in [("0\n1\n3 0\n", true), ("0\n2\n3 0\n", false), ("0\n1\n3 7\n", true), ("", true)] {
        std::fs::write(&epochs, text).unwrap();
        let found = damage(written.dir.path());
        let expected = |f: &Finding| match f.condition {
            Condition::LeaderEpochDiffers { .. } => parses,
            Condition::LeaderEpochs(_) => !parses,
            _ => false,
        };
        assert!(!found.is_empty() && found.iter().all(expected), "{text:?} {found:#?}");
    }
    std::fs::write(&epochs, whole).unwrap();

    let recovery = written.dir.path().join(OffsetCheckpoint::RecoveryPoint.file_name());
    write_offsets(&recovery, &[(("t".to_owned(), 0), written.end - 1)].into()).unwrap();
    assert!(matches!(only(written.dir.path()).condition, Condition::NotClosedEnd { .. }));
    write_offsets(&recovery, &[(("t".to_owned(), 0), written.end)].into()).unwrap();
    let start = written.dir.path().join(OffsetCheckpoint::LogStart.file_name());
    write_offsets(&start, &[(("t".to_owned(), 0), written.end + 1), (("u".to_owned(), 1), 5)].into())
        .unwrap();
    let findings = verified(written.dir.path()).unwrap().1;
    assert!(matches!(findings[0].condition, Condition::CheckpointWithoutPartition(1)));
    assert!(matches!(findings[1].condition, Condition::CheckpointBeyondEnd { .. }), "{findings:#?}");
    std::fs::write(&start, "0\nx\n").unwrap();
    let finding = only(written.dir.path());
    assert!(matches!(finding.condition, Condition::Checkpoint(_)));
    assert_eq!(finding.at_next_start, AtNextStart::TakenAsEmpty);
}

#[test]
fn strays_are_named() {
    let written = written(2);
    std::fs::write(written.partition().join("notes.txt"), "x").unwrap();
    std::fs::write(written.partition().join("next-segment.prepared"), "x").unwrap();
    std::fs::create_dir(written.dir.path().join("t-1.0123-delete")).unwrap();
    std::fs::create_dir(written.dir.path().join("t-1.0123-stray")).unwrap();
    std::fs::write(written.dir.path().join("core"), "x").unwrap();
    let findings = verified(written.dir.path()).unwrap().1;
    let strays = findings.iter().filter(|f| matches!(f.condition, Condition::Stray));
    let names: Vec<_> = strays.map(|f| f.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["core", "t-1.0123-stray", "notes.txt"]);
    assert_eq!(findings.len(), 5);
    assert!(findings.iter().all(|f| f.condition.is_note()), "{findings:#?}");
    std::fs::write(written.partition().join(PARTITION_METADATA), "x").unwrap();
    std::fs::write(written.dir.path().join("meta.properties"), "version=7\n").unwrap();
    let found = damage(written.dir.path());
    assert!(matches!(found[0].condition, Condition::MetaProperties(_)));
    assert!(matches!(found[1].condition, Condition::PartitionMetadata));
}
