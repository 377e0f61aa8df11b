//! One bit of a log's files is another than it was: nothing panics, and no reader is given a record that was never written.

use super::transactions::{end, send};
use super::*;
use crate::fs::segment_path;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How the log is opened: after a clean stop or not, and how far back from its end the recovery point lies.
const STARTS: [(&str, bool, i64); 3] =
    [("clean", true, 0), ("all looked at", false, i64::MAX), ("recovered", false, 1)];

fn config() -> LogConfig {
    LogConfig { segment_bytes: 1500, index_interval_bytes: 150, ..LogConfig::default() }
}

/// A log with batches of all kinds in several segments, closed; and its batches by offset.
fn written(dir: &Path) -> BTreeMap<i64, Vec<u8>> {
    let (log, _) = Log::open(dir, config(), plain_env(), hint(true, 0)).unwrap();
    log.assign_leader_epoch(3).unwrap();
    for round in 0..3i32 {
        for i in 0..3 {
            log.append(&batch(1 + i, 60), context(WriteMode::Plain)).unwrap();
        }
        let builder = BatchBuilder::new().producer(9, 0, round);
        log.append(&builder.record(NOW_MS, Some(b"k"), Some(&[1; 90])).build(), context(WriteMode::Plain))
            .unwrap();
        send(&log, 5, round);
        end(&log, 5, round == 1);
    }
    let mut batches = BTreeMap::new();
    let mut next = 0;
    while next < log.log_end().offset {
        let bytes = log.read(next, 1, log.log_end(), true).unwrap().to_vec().unwrap();
        let header = verify_stored(&bytes).unwrap();
        batches.insert(header.base_offset, bytes[..header.size_in_bytes()].to_vec());
        next = header.next_offset();
    }
    assert!(log.segment_count() >= 3);
    log.close().unwrap();
    batches
}

/// Its transactions that were aborted: producer, first offset, and offset of the marker.
const ABORTED: [(i64, i64, i64); 2] = [(5, 7, 8), (5, 25, 26)];

/// What comes of a start and of reading everything.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Everything is there.
    Nothing,
    /// A part of the end was cut off, and that was said.
    Cut,
    /// The log isn't opened.
    Refused,
    /// A reader comes to a batch whose checksum is wrong, or that is none.
    FoundByReader,
    /// A batch has another offset or leader epoch, which the format leaves out of the checksum.
    OffsetOrEpoch,
    /// Records are missing, and nothing says so.
    Missing,
    /// Readers of committed records get another list of aborted transactions.
    OtherAborted,
}

/// Reads as a consumer does, and holds what passes its checksum against what was written.
fn read_through(log: &Log, written: &BTreeMap<i64, Vec<u8>>, cut: bool) -> Outcome {
    let (mut next, end) = (log.log_start_offset(), log.log_end());
    let (mut outcome, mut seen) = (if cut { Outcome::Cut } else { Outcome::Nothing }, 0);
    while next < end.offset {
        let Ok(slice) = log.read(next, 1 << 20, end, true) else { return Outcome::FoundByReader };
        let bytes = slice.to_vec().unwrap();
        let mut at = 0;
        while at < bytes.len() {
            let Ok(header) = verify_stored(&bytes[at..]) else { return Outcome::FoundByReader };
            let batch = &bytes[at..at + header.size_in_bytes()];
            // Behind the base offset, the length, the leader epoch, the magic and the checksum itself.
            let is_one = |original: &&Vec<u8>| original[21..] == batch[21..];
            assert!(written.values().any(|original| is_one(&original)), "a batch that nobody wrote");
            if written.get(&header.base_offset).is_none_or(|original| original != batch) {
                outcome = Outcome::OffsetOrEpoch;
            }
            if header.next_offset() <= next {
                return Outcome::OffsetOrEpoch;
            }
            next = header.next_offset();
            at += header.size_in_bytes();
            seen += 1;
        }
        if at == 0 {
            return Outcome::FoundByReader;
        }
    }
    // A look-up by time answers or refuses: it may begin too late where the time index is wrong.
    let _ = log.offset_for_timestamp(NOW_MS);
    let aborted = log.aborted_transactions(log.log_start_offset(), end.offset);
    let aborted: Vec<_> =
        aborted.iter().flatten().map(|one| (one.producer_id, one.first_offset, one.last_offset)).collect();
    match outcome {
        Outcome::Nothing if aborted != ABORTED => Outcome::OtherAborted,
        Outcome::Nothing if seen < written.len() => Outcome::Missing,
        outcome => outcome,
    }
}

#[test]
fn every_bit_that_flips_is_harmless_or_noticed() {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let source = dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let batches = written(&source);
    let end = batches.last_key_value().map(|(_, batch)| verify_stored(batch).unwrap().next_offset()).unwrap();
    let files: BTreeMap<String, Vec<u8>> = std::fs::read_dir(&source)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    let work = dir.path().join("work");
    let mut counts: BTreeMap<(&str, String, Outcome), usize> = BTreeMap::new();
    for (start, clean, back) in STARTS {
        for (name, contents) in &files {
            let kind = name.rsplit_once('.').map_or(name.as_str(), |(_, suffix)| suffix).to_owned();
            for at in 0..contents.len() {
                let _ = std::fs::remove_dir_all(&work);
                std::fs::create_dir(&work).unwrap();
                for (other, contents) in &files {
                    std::fs::write(work.join(other), contents).unwrap();
                }
                let mut flipped = contents.clone();
                flipped[at] ^= 1 << (at % 8);
                std::fs::write(work.join(name), &flipped).unwrap();
                let what = format!("{start}, {name}, byte {at}");
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    let hint = hint(clean, end.saturating_sub(back).max(0));
                    match Log::open(&work, config(), plain_env(), hint) {
                        Ok((log, recovered)) => read_through(&log, &batches, recovered.cut.is_some()),
                        Err(_) => Outcome::Refused,
                    }
                }));
                let outcome = outcome.unwrap_or_else(|_| panic!("{what}"));
                assert!(!matches!(outcome, Outcome::Missing | Outcome::OtherAborted), "{what}: {outcome:?}");
                if outcome == Outcome::OffsetOrEpoch {
                    assert_eq!(kind, "log", "{what}");
                    let inside = place_in_batch(&source, &batches, name, at);
                    assert!(inside < 8 || (12..16).contains(&inside), "{what}, byte {inside} of its batch");
                    assert!(start != "all looked at" || inside >= 12, "{what}: a scan sees another offset");
                }
                *counts.entry((start, kind.clone(), outcome)).or_default() += 1;
            }
        }
    }
    for ((start, kind, outcome), count) in &counts {
        println!("{start:14} {kind:25} {count:5} {outcome:?}");
    }
    let flipped: usize = counts.values().sum();
    println!("{flipped} bits flipped, panics 0, records served that nobody wrote 0");
}

/// Where in its batch a byte of a segment lies.
fn place_in_batch(dir: &Path, batches: &BTreeMap<i64, Vec<u8>>, name: &str, at: usize) -> usize {
    let base_offset: i64 = name.trim_end_matches(".log").parse().unwrap();
    let len = std::fs::metadata(segment_path(dir, base_offset, ".log")).unwrap().len() as usize;
    let mut position = 0;
    for batch in batches.range(base_offset..).map(|(_, batch)| batch) {
        if at < position + batch.len() {
            return at - position;
        }
        position += batch.len();
        assert!(position <= len);
    }
    panic!("no batch there")
}
