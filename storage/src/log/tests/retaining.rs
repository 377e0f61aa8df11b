//! Retention on files.

use super::*;
use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

const HOUR_MS: i64 = 3_600_000;

fn open(dir: &Path) -> Log {
    let config = LogConfig { segment_bytes: 4000, ..LogConfig::default() };
    Log::open(dir, config, plain_env(), hint(true, 0)).unwrap().0
}

/// Ten records of about 400 bytes for each age, a segment to each.
fn write(log: &Log, ages_ms: &[i64]) {
    for age_ms in ages_ms {
        for _ in 0..10 {
            let record = BatchBuilder::new().record(NOW_MS - age_ms, None, Some(&[7; 320]));
            log.append(&record.build(), context(WriteMode::Plain)).unwrap();
        }
        log.roll_if_due(i64::MAX).unwrap();
    }
}

fn limits(log: &Log, retention_ms: Option<i64>, retention_bytes: Option<u64>) -> RetentionLimits {
    RetentionLimits { retention_ms, retention_bytes, high_watermark: log.log_end().offset }
}

fn apply(log: &Log, limits: &RetentionLimits) -> Option<(usize, i64)> {
    let outcome = log.apply_retention(limits, NOW_MS, |_| panic!("nothing lies in the future")).unwrap()?;
    Some((outcome.segments, outcome.log_start_offset))
}

#[test]
fn what_is_too_old_goes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    write(&log, &[5 * HOUR_MS, 4 * HOUR_MS, HOUR_MS, 3 * HOUR_MS]);
    assert_eq!(apply(&log, &limits(&log, Some(6 * HOUR_MS), None)), None);
    let early = RetentionLimits { high_watermark: 15, ..limits(&log, Some(2 * HOUR_MS), None) };
    assert_eq!(apply(&log, &early), Some((1, 10)), "not what is above the high watermark");
    assert_eq!(apply(&log, &limits(&log, Some(2 * HOUR_MS), None)), Some((1, 20)));
    assert_eq!((log.log_start_offset(), log.segment_count()), (20, 3));
    assert_eq!(read_all(&log).first().unwrap().0, 20);
    log.close().unwrap();
    assert_eq!(open(dir.path()).log_start_offset(), 20);
}

#[test]
fn what_is_too_much_goes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    write(&log, &[0, 0, 0, 0]);
    let bytes = log.size_bytes();
    assert_eq!(apply(&log, &limits(&log, None, Some(bytes))), None);
    assert_eq!(apply(&log, &limits(&log, None, Some(bytes / 2))), Some((2, 20)));
    assert_eq!(log.size_bytes(), bytes / 2);
}

#[test]
fn the_active_segment_goes_too_and_another_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for _ in 0..3 {
        log.append(&batch(1, 10), context(WriteMode::Plain)).unwrap();
    }
    assert_eq!(apply(&log, &limits(&log, Some(0), None)), None, "it is just as old as is allowed");
    let later = limits(&log, Some(0), None);
    let outcome = log.apply_retention(&later, NOW_MS + HOUR_MS, |_| ()).unwrap().unwrap();
    assert_eq!((outcome.segments, outcome.log_start_offset), (1, 3));
    assert_eq!((log.log_start_offset(), log.log_end().offset, log.size_bytes()), (3, 3, 0));
    assert_eq!(log.apply_retention(&later, NOW_MS + HOUR_MS, |_| ()).unwrap(), None, "an empty one stays");
    let appended = log.append(&batch(1, 10), context(WriteMode::Plain)).unwrap();
    assert_eq!(appended.base_offset, 3);
    log.close().unwrap();
    let log = open(dir.path());
    assert_eq!((log.log_start_offset(), read_all(&log).len()), (3, 1));
}

#[test]
fn a_log_without_a_record_keeps_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    assert_eq!(apply(&log, &limits(&log, Some(0), Some(0))), None);
    assert_eq!(log.segment_count(), 0);
}

#[test]
fn the_time_of_the_file_counts_where_a_record_lies_in_the_future() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    write(&log, &[-HOUR_MS, 5 * HOUR_MS, 0]);
    let age = |base_offset: i64, ms: i64| {
        let path = crate::fs::segment_path(dir.path(), base_offset, crate::fs::LOG_SUFFIX);
        let at = UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
        File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    };
    let keeps = limits(&log, Some(2 * HOUR_MS), None);
    let mut in_future = Vec::new();
    age(0, NOW_MS - HOUR_MS);
    assert_eq!(log.apply_retention(&keeps, NOW_MS, |ms| in_future.push(ms)).unwrap(), None);
    age(0, NOW_MS - 3 * HOUR_MS);
    let outcome = log.apply_retention(&keeps, NOW_MS, |ms| in_future.push(ms)).unwrap().unwrap();
    assert_eq!((outcome.segments, outcome.log_start_offset), (2, 20));
    assert_eq!(in_future, [NOW_MS + HOUR_MS; 2]);
}

#[test]
fn an_append_that_comes_between_spares_the_active_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.append(&batch(1, 10), context(WriteMode::Plain)).unwrap();
    let all = limits(&log, Some(0), None);
    log.append(&batch(1, 10), context(WriteMode::Plain)).unwrap();
    assert_eq!(log.apply_retention(&all, NOW_MS + HOUR_MS, |_| ()).unwrap(), None);
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn a_segment_that_the_start_has_passed_goes_when_it_is_no_longer_active() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for _ in 0..5 {
        log.append(&batch(1, 300), context(WriteMode::Plain)).unwrap();
    }
    assert_eq!(log.advance_log_start_offset(5).unwrap(), 5);
    assert_eq!(log.segment_count(), 1, "it is active");
    log.roll_if_due(i64::MAX).unwrap();
    log.append(&batch(1, 300), context(WriteMode::Plain)).unwrap();
    let size_bytes = log.size_bytes();
    let outcome =
        log.apply_retention(&limits(&log, None, Some(size_bytes / 6)), NOW_MS, |_| ()).unwrap().unwrap();
    assert_eq!((outcome.segments, outcome.log_start_offset), (1, 5));
    assert_eq!((log.segment_count(), log.size_bytes()), (1, size_bytes - outcome.bytes));
    assert_eq!(log.advance_log_start_offset(3).unwrap(), 5, "it doesn't go back");
}

#[test]
fn a_deleted_log_gives_nothing_of_what_has_its_name_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 0)).unwrap();
    for _ in 0..200 {
        log.append(&batch(1, 1000), context(WriteMode::Plain)).unwrap();
    }
    log.sync().unwrap();
    log.sync_sealed().unwrap();
    let (end, held) = (log.log_end(), log.read(0, 1 << 20, log.log_end(), true).unwrap());
    let before = held.to_vec().unwrap();
    // Of the rolled segments only two are open.
    log.read(150, 1 << 20, end, true).unwrap();
    log.read(120, 1 << 20, end, true).unwrap();
    log.mark_deleted();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, vec![7; 16 << 10]).unwrap();
    }
    assert!(matches!(log.read(0, 1 << 20, end, true), Err(ReadError::Deleted)));
    assert_eq!(held.to_vec().unwrap(), before, "who reads already goes on");
}
