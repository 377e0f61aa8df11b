//! What a crash may leave, case by case.

use super::compacting::StopsAfter;
use super::*;
use crate::fs::{INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, segment_path};
use crate::recovery::CutReason;

/// Ends and sizes of what was written before the crash.
struct Crashed {
    dir: tempfile::TempDir,
    offsets: Vec<(i64, i64)>,
    ends: Vec<LogOffsetMetadata>,
    bases: Vec<i64>,
    recovery_point: i64,
}

/// A log of several segments that dies: what is below batch 60 was synced, with the rolled segments.
fn crashed() -> Crashed {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 0)).unwrap();
    let mut ends = Vec::new();
    for i in 0..100 {
        ends.push(log.append(&batch(2, 300), context(WriteMode::Plain)).unwrap().end);
        if i == 59 {
            log.sync().unwrap();
            log.sync_sealed().unwrap();
        }
    }
    let bases: Vec<i64> = log.inner.segments.load().segments.iter().map(|s| s.base_offset()).collect();
    let recovery_point = log.recovery_point();
    assert_eq!(recovery_point, 119);
    assert!(bases.len() >= 4 && bases[1] < 120);
    Crashed { offsets: read_all(&log), dir, ends, bases, recovery_point }
}

impl Crashed {
    fn path(&self, base: i64, suffix: &str) -> PathBuf {
        segment_path(self.dir.path(), base, suffix)
    }

    fn change(&self, base: i64, suffix: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.path(base, suffix)).unwrap();
        change(&mut bytes);
        std::fs::write(self.path(base, suffix), bytes).unwrap();
    }

    fn open(&self) -> (Log, Recovered) {
        let hint = hint(false, self.recovery_point);
        Log::open(self.dir.path(), small_segments(), plain_env(), hint).unwrap()
    }

    /// Opens, and expects the log to end after `batches` batches, twice: the cut itself has to last.
    fn expect(&self, batches: usize, reason: impl Fn(&CutReason) -> bool) -> Recovered {
        let (log, recovered) = self.open();
        let cut = recovered.cut.as_ref().expect("something was cut");
        assert!(reason(&cut.reason), "{cut:?}");
        assert_eq!(read_all(&log), self.offsets[..batches]);
        assert_eq!(log.log_end(), self.ends[batches - 1]);
        assert_eq!((log.durable_end(), log.recovery_point()), (log.log_end(), log.log_end().offset - 1));
        assert_eq!(cut.from_offset, log.log_end().offset);
        drop(log);
        let (log, again) = self.open();
        assert_eq!(again.cut, None);
        assert_eq!(read_all(&log), self.offsets[..batches]);
        let next = log.append(&batch(1, 10), context(WriteMode::Plain)).unwrap();
        assert_eq!(next.base_offset, self.ends[batches - 1].offset);
        recovered
    }

    /// Index in `ends` of the last batch of the segment before the last, which nobody synced.
    fn in_the_middle(&self) -> (usize, i64) {
        let base = self.bases[self.bases.len() - 2];
        assert!(base >= self.recovery_point);
        let first = self.offsets.iter().position(|(offset, _)| *offset == base).unwrap();
        (first + 2, base)
    }
}

#[test]
fn whole_batches_stay_and_only_what_is_past_the_recovery_point_is_looked_at() {
    let crashed = crashed();
    let recovered = crashed.expect(100, |reason| *reason == CutReason::Zeros);
    let past = crashed.bases.windows(2).filter(|pair| pair[1] > 120).count() + 1;
    assert_eq!(recovered.scanned_segments, past);
}

#[test]
fn a_torn_batch_is_cut() {
    let crashed = crashed();
    let last = *crashed.bases.last().unwrap();
    let position = crashed.ends[99].position as usize;
    crashed.change(last, LOG_SUFFIX, |bytes| bytes.truncate(position - 1));
    crashed.expect(99, |reason| matches!(reason, CutReason::Incomplete { .. }));
}

#[test]
fn a_header_without_its_records_is_cut() {
    let crashed = crashed();
    let last = *crashed.bases.last().unwrap();
    let start = crashed.ends[98].position as usize;
    crashed.change(last, LOG_SUFFIX, |bytes| bytes[start + 61..].fill(0));
    crashed.expect(99, |reason| *reason == CutReason::CrcMismatch);
}

#[test]
fn a_flipped_bit_cuts_the_rest_of_the_log() {
    let crashed = crashed();
    let (at, base) = crashed.in_the_middle();
    let inside = crashed.ends[at].position as usize - 3;
    crashed.change(base, LOG_SUFFIX, |bytes| bytes[inside] ^= 4);
    let recovered = crashed.expect(at, |reason| *reason == CutReason::CrcMismatch);
    let cut = recovered.cut.unwrap();
    assert_eq!((cut.segment_base_offset, cut.removed_segments), (base, 1));
    assert!(!crashed.path(*crashed.bases.last().unwrap(), LOG_SUFFIX).exists());
}

#[test]
fn a_hole_of_zeros_cuts_the_rest_of_the_log() {
    let crashed = crashed();
    let (at, base) = crashed.in_the_middle();
    let from = crashed.ends[at - 1].position as usize;
    crashed.change(base, LOG_SUFFIX, |bytes| bytes[from..from + 200].fill(0));
    crashed.expect(at, |reason| *reason == CutReason::Zeros);
}

#[test]
fn a_segment_that_lost_its_tail_at_a_batch_boundary_cuts_the_rest() {
    let crashed = crashed();
    let (at, base) = crashed.in_the_middle();
    let end = crashed.ends[at - 1].position as usize;
    crashed.change(base, LOG_SUFFIX, |bytes| bytes.truncate(end));
    crashed.expect(at, |reason| matches!(reason, CutReason::MissingRecords { .. }));
}

#[test]
fn a_rolled_segment_that_was_not_cut_to_its_batches_yet_loses_nothing() {
    let crashed = crashed();
    let (_, base) = crashed.in_the_middle();
    crashed.change(base, LOG_SUFFIX, |bytes| bytes.extend([0; 5000]));
    crashed.change(crashed.bases[crashed.bases.len() - 3], LOG_SUFFIX, |bytes| bytes.extend([0xab; 77]));
    let (log, _) = crashed.open();
    assert_eq!(read_all(&log), crashed.offsets);
    log.close().unwrap();
    // The same under the mark of a clean stop.
    crashed.change(base, LOG_SUFFIX, |bytes| bytes.extend([0; 5000]));
    let (log, _) = Log::open(crashed.dir.path(), small_segments(), plain_env(), hint(true, 0)).unwrap();
    assert_eq!(read_all(&log), crashed.offsets);
}

#[test]
fn missing_short_and_long_indexes_are_written_anew() {
    for (suffix, change) in [
        (INDEX_SUFFIX, None),
        (TIME_INDEX_SUFFIX, None),
        (INDEX_SUFFIX, Some(&(|b: &mut Vec<u8>| b.extend([0; 80])) as &dyn Fn(&mut Vec<u8>))),
        (INDEX_SUFFIX, Some(&|b: &mut Vec<u8>| b.truncate(b.len() - 3))),
        (INDEX_SUFFIX, Some(&|b: &mut Vec<u8>| b.fill(0xee))),
        (TIME_INDEX_SUFFIX, Some(&|b: &mut Vec<u8>| b.truncate(b.len() - 1))),
    ] {
        let crashed = crashed();
        let good = std::fs::read(crashed.path(0, suffix)).unwrap();
        match change {
            None => std::fs::remove_file(crashed.path(0, suffix)).unwrap(),
            Some(change) => crashed.change(0, suffix, change),
        }
        let (log, recovered) = crashed.open();
        assert_eq!(recovered.rebuilt_indexes, 1);
        assert_eq!(read_all(&log), crashed.offsets, "{suffix}");
        assert_eq!(std::fs::read(crashed.path(0, suffix)).unwrap(), good, "{suffix}");
    }
}

#[test]
fn an_index_that_was_written_anew_by_half_is_not_believed() {
    let records_of_a_segment = 25;
    for steps in 0..200 {
        let crashed = crashed();
        std::fs::remove_file(crashed.path(0, INDEX_SUFFIX)).unwrap();
        std::fs::remove_file(crashed.path(0, TIME_INDEX_SUFFIX)).unwrap();
        let fs = Arc::new(StopsAfter::steps(steps));
        let hint = hint(false, crashed.recovery_point);
        let env = env_with(fs, None);
        let stopped = Log::open(crashed.dir.path(), small_segments(), env, hint).is_err();
        let (log, _) = crashed.open();
        let first = log.inner.segments.load().segments[0].clone();
        assert_eq!(
            first.max_timestamp().map(|(newest_ms, _)| newest_ms),
            Some(NOW_MS + 1),
            "after {steps} steps"
        );
        let found = log.offset_for_timestamp(NOW_MS + 1).unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp_ms), (1, NOW_MS + 1), "after {steps} steps");
        if !stopped {
            assert!(steps > 5 && first.end().next_offset > records_of_a_segment);
            return;
        }
    }
    panic!("the log is never opened");
}

#[test]
fn damage_below_the_recovery_point_is_told_and_not_cut() {
    let crashed = crashed();
    std::fs::remove_file(crashed.path(0, INDEX_SUFFIX)).unwrap();
    crashed.change(0, LOG_SUFFIX, |bytes| bytes[100] ^= 1);
    let hint = hint(false, crashed.recovery_point);
    let opened = Log::open(crashed.dir.path(), small_segments(), plain_env(), hint);
    assert!(matches!(opened, Err(OpenLogError::Damaged { position: 0, .. })));
    assert!(crashed.path(*crashed.bases.last().unwrap(), LOG_SUFFIX).exists());
}

#[test]
fn a_mark_of_a_clean_stop_on_a_log_that_was_not_closed_loses_nothing() {
    let crashed = crashed();
    let hint = hint(true, crashed.recovery_point);
    let (log, recovered) = Log::open(crashed.dir.path(), small_segments(), plain_env(), hint).unwrap();
    assert!(recovered.scanned_segments > 0);
    assert_eq!(read_all(&log), crashed.offsets);
}

#[test]
fn leftovers_are_tidied_and_a_segment_that_is_none_takes_no_others_place() {
    let crashed = crashed();
    let put = |name: &str| {
        std::fs::write(crashed.dir.path().join(name), b"x").unwrap();
        crashed.dir.path().join(name)
    };
    let gone = [
        put("00000000000000000000.log.deleted"),
        put("00000000000000000007.index"),
        put("00000000000000000007.timeindex"),
        put("00000000000000009999.snapshot"),
        put("00000000000000000033.snapshot"),
        put("leader-epoch-checkpoint.tmp"),
        put(prepare::NEXT_SEGMENT_NAME),
    ];
    let kept = put("a-file-of-somebody");
    crashed.expect(100, |reason| *reason == CutReason::Zeros);
    for path in gone {
        assert!(!path.exists(), "{}", path.display());
    }
    assert!(kept.exists());
    put("00000000000000000000.log.swap");
    let opened = Log::open(crashed.dir.path(), small_segments(), plain_env(), hint(true, 0));
    assert!(
        matches!(opened, Err(OpenLogError::Io { .. })),
        "what is to take a segment's place is no segment"
    );
}

#[test]
fn producers_are_known_again_whatever_happened_to_the_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let of = |producer, sequence| {
        BatchBuilder::new().producer(producer, 0, sequence).record(NOW_MS, None, Some(&[1; 500])).build()
    };
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 0)).unwrap();
    for sequence in 0..100 {
        for producer in 1..4 {
            log.append(&of(producer, sequence), context(WriteMode::Plain)).unwrap();
        }
    }
    log.sync().unwrap();
    log.sync_sealed().unwrap();
    let recovery_point = log.recovery_point();
    drop(log);
    let snapshots = || {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == &SNAPSHOT_SUFFIX[1..]))
            .collect();
        paths.sort();
        paths
    };
    for damage in 0..3 {
        match damage {
            0 => {}
            1 => std::fs::write(snapshots().last().unwrap(), b"garbage").unwrap(),
            _ => snapshots().iter().for_each(|path| std::fs::remove_file(path).unwrap()),
        }
        let hint = hint(false, recovery_point);
        let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint).unwrap();
        assert_eq!(log.producers(), 3, "{damage}");
        for producer in 1..4 {
            assert!(log.append(&of(producer, 99), context(WriteMode::Plain)).unwrap().duplicate);
            let gap = log.append(&of(producer, 101), context(WriteMode::Plain));
            assert!(matches!(gap, Err(AppendError::Sequence(_))));
        }
    }
}

#[test]
fn a_snapshot_from_before_the_first_segment_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let of = |sequence| {
        BatchBuilder::new().producer(1, 0, sequence).record(NOW_MS, None, Some(&[1; 2000])).build()
    };
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 0)).unwrap();
    log.append(&of(0), context(WriteMode::Plain)).unwrap();
    log.close().unwrap();
    drop(log);
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 1)).unwrap();
    for sequence in 1..30 {
        log.append(&of(sequence), context(WriteMode::Plain)).unwrap();
    }
    for _ in 0..10 {
        log.append(&batch(1, 2000), context(WriteMode::Plain)).unwrap();
    }
    log.advance_log_start_offset(35).unwrap();
    let base = log.inner.segments.load().segments[0].base_offset();
    assert!(base > 30);
    drop(log);
    let hint = OpenHint { log_start_offset: 35, ..hint(false, 1) };
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint).unwrap();
    // The snapshot of the stop at offset 1 knows sequence 0 only; the one of the roll is right.
    assert_eq!(log.append(&of(30), context(WriteMode::Plain)).unwrap().base_offset, 40);
    assert!(!segment_path(dir.path(), 1, SNAPSHOT_SUFFIX).exists());
}

#[test]
fn when_everything_above_the_log_start_is_lost_the_log_starts_there() {
    let crashed = crashed();
    let hint = OpenHint { log_start_offset: 500, ..hint(false, 0) };
    let (log, _) = Log::open(crashed.dir.path(), small_segments(), plain_env(), hint).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end().offset, log.segment_count()), (500, 500, 0));
    assert_eq!(log.append(&batch(1, 1), context(WriteMode::Plain)).unwrap().base_offset, 500);
}

#[test]
fn after_a_crash_the_batches_before_the_last_roll_are_known_as_duplicates_too() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 5000, ..LogConfig::default() };
    let (log, _) = Log::open(dir.path(), config.clone(), plain_env(), hint(true, 0)).unwrap();
    let send = |log: &Log, sequence: i32| {
        let batch =
            BatchBuilder::new().producer(7, 0, sequence).record(NOW_MS, None, Some(&[1; 900])).build();
        log.append(&batch, context(WriteMode::Plain)).unwrap()
    };
    let rolled: Vec<i64> = (0..12)
        .map(|sequence| send(&log, sequence))
        .filter(|sent| sent.rolled)
        .map(|sent| sent.base_offset)
        .collect();
    // A producer has up to five batches under way, and the answers of all of them may be lost.
    assert!(rolled.iter().any(|base| (8..12).contains(base)), "{rolled:?}");
    log.sync().unwrap();
    log.sync_sealed().unwrap();
    let recovery_point = log.recovery_point();
    drop(log);
    let (log, _) = Log::open(dir.path(), config, plain_env(), hint(false, recovery_point)).unwrap();
    for sequence in 7..12 {
        let again = send(&log, sequence);
        assert!(again.duplicate && again.base_offset == i64::from(sequence), "{sequence}: {again:?}");
    }
    assert_eq!(send(&log, 12).base_offset, 12);
}

#[test]
fn after_a_crash_a_long_log_is_not_gone_through_for_its_producers() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 4 << 20, ..LogConfig::default() };
    let (log, _) = Log::open(dir.path(), config.clone(), plain_env(), hint(true, 0)).unwrap();
    let value = vec![1; 1 << 20];
    let send = |log: &Log, producer: i64, sequence: i32, value: &[u8]| {
        let batch =
            BatchBuilder::new().producer(producer, 0, sequence).record(NOW_MS, None, Some(value)).build();
        log.append(&batch, context(WriteMode::Plain)).unwrap()
    };
    for sequence in 0..3 {
        send(&log, 6, sequence, b"early");
    }
    for sequence in 0..50 {
        send(&log, 7, sequence, &value);
    }
    log.sync().unwrap();
    log.sync_sealed().unwrap();
    let recovery_point = log.recovery_point();
    drop(log);
    let (log, _) = Log::open(dir.path(), config, plain_env(), hint(false, recovery_point)).unwrap();
    for sequence in 45..50 {
        assert!(send(&log, 7, sequence, &value).duplicate, "{sequence}");
    }
    // From the snapshot: only the last batch is there, so the log wasn't read from its start.
    assert!(send(&log, 6, 2, b"early").duplicate);
    let again = BatchBuilder::new().producer(6, 0, 1).record(NOW_MS, None, Some(b"early")).build();
    assert!(matches!(log.append(&again, context(WriteMode::Plain)), Err(AppendError::Sequence(_))));
}
