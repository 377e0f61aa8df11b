//! Appends into the prepared map, and what the preparer does.

use super::*;
use crate::batch::{ControlMarker, end_transaction_marker};

fn mapped_is_possible(dir: &Path) -> bool {
    RealFs.supports_mapping(dir)
}

fn prepared_end(log: &Log) -> Option<u64> {
    log.inner.writer.lock().active.as_ref()?.map.as_ref().map(|map| map.prepared_end)
}

#[test]
fn appends_use_the_map_once_it_is_prepared() {
    let dir = tempfile::tempdir().unwrap();
    if !mapped_is_possible(dir.path()) {
        return;
    }
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    log.append(&batch(3, 100), context(WriteMode::Mapped)).unwrap();
    assert_eq!(prepared_end(&log), None, "the first append is a write");
    preparer.run();
    let prepared = prepared_end(&log).unwrap();
    assert!(prepared >= prepare::MIN_AHEAD_BYTES);
    let mut position = log.log_end().position;
    for i in 0..2000 {
        // Plain appends in between go to the same bytes of the file.
        let mode = if i % 7 == 3 { WriteMode::Plain } else { WriteMode::Mapped };
        let appended = log.append(&batch(1 + i % 4, 900), context(mode)).unwrap();
        assert!(appended.end.position > position);
        position = appended.end.position;
        if i % 10 == 0 {
            preparer.run();
        }
    }
    assert!(prepared_end(&log).unwrap() > u64::from(position));
    let offsets = read_all(&log);
    assert_eq!(offsets.len(), 2001);
    let end = log.close().unwrap();
    let file = crate::fs::segment_path(dir.path(), 0, crate::fs::LOG_SUFFIX);
    assert_eq!(file.metadata().unwrap().len(), u64::from(end.position), "cut to its batches");
    drop(log);
    let (log, recovered) = Log::open(dir.path(), LogConfig::default(), plain_env(), hint(true, 0)).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert_eq!(read_all(&log), offsets);
}

#[test]
fn without_the_preparer_in_time_appends_are_written_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    log.append(&batch(1, 10), context(WriteMode::Mapped)).unwrap();
    preparer.run();
    for _ in 0..40 {
        log.append(&batch(1, 5000), context(WriteMode::Mapped)).unwrap();
    }
    if let Some(prepared) = prepared_end(&log) {
        assert!(u64::from(log.log_end().position) > prepared, "appends went on past the prepared pages");
    }
    assert_eq!(read_all(&log).len(), 41);
    // A stretch that was overtaken is skipped, and the map is used again.
    preparer.run();
    if let Some(prepared) = prepared_end(&log) {
        assert!(prepared > u64::from(log.log_end().position));
    }
    log.append(&batch(1, 10), context(WriteMode::Mapped)).unwrap();
    assert_eq!(read_all(&log).len(), 42);
}

#[test]
fn large_batches_are_written_and_ask_for_no_pages_nor_do_markers() {
    let dir = tempfile::tempdir().unwrap();
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    let large = batch(1, 9000);
    let commit = ControlMarker { is_commit: true, coordinator_epoch: 0 };
    let marker = end_transaction_marker(7, 0, commit, NOW_MS);
    let by_coordinator = AppendContext { origin: AppendOrigin::Coordinator, ..context(WriteMode::Mapped) };
    for _ in 0..100 {
        log.append(&large, context(WriteMode::Mapped)).unwrap();
        log.append(&marker, by_coordinator).unwrap();
        preparer.run();
        assert_eq!(prepared_end(&log), None);
    }
    let allocated_end = log.inner.writer.lock().active.as_ref().unwrap().allocated_end;
    assert!(allocated_end > u64::from(log.log_end().position), "space is reserved ahead all the same");
    // Small ones do, and what they left unused takes large ones.
    log.append(&batch(1, 10), context(WriteMode::Mapped)).unwrap();
    preparer.run();
    let prepared = prepared_end(&log);
    assert_eq!(prepared.is_some(), mapped_is_possible(dir.path()));
    log.append(&large, context(WriteMode::Mapped)).unwrap();
    preparer.run();
    assert_eq!(prepared_end(&log), prepared);
    assert_eq!(read_all(&log).len(), 202);
}

#[test]
fn zeros_go_ahead_of_writes_that_come_fast() {
    let dir = tempfile::tempdir().unwrap();
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    let ends = || {
        let writer = log.inner.writer.lock();
        let active = writer.active.as_ref().unwrap();
        (active.filled_end, u64::from(active.position), active.allocated_end)
    };
    let append = |mode, now_ms| {
        log.append(&batch(1, 20_000), AppendContext { now_ms, ..context(mode) }).unwrap();
        preparer.run();
    };
    append(WriteMode::Mapped, NOW_MS);
    assert_eq!(ends().0, 0, "nothing is known of its rate yet");
    for _ in 0..200 {
        append(WriteMode::Plain, NOW_MS);
        let (filled, _, allocated) = ends();
        assert!(filled <= allocated, "no block is taken that was not reserved: {filled} {allocated}");
    }
    let (filled, position, _) = ends();
    assert!(filled > position && filled.is_multiple_of(append::FILL_UNIT_BYTES), "{filled} {position}");
    let file = std::fs::read(crate::fs::segment_path(dir.path(), 0, crate::fs::LOG_SUFFIX)).unwrap();
    assert!(file[position as usize..].iter().all(|byte| *byte == 0));
    (0..1000).for_each(|i| append(WriteMode::Mapped, NOW_MS + i * 5000));
    assert!(ends().0 < ends().1, "a slow log would keep them in memory for long");
    let offsets = read_all(&log);
    assert_eq!(offsets.len(), 1201);
    drop(log);
    let (log, _) = Log::open(dir.path(), LogConfig::default(), plain_env(), hint(false, 0)).unwrap();
    assert_eq!(read_all(&log), offsets);
}

#[test]
fn the_next_segment_is_there_before_the_roll() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() };
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), config.clone(), env, hint(true, 0)).unwrap();
    let next = dir.path().join(prepare::NEXT_SEGMENT_NAME);
    let mut rolls = 0;
    let mut ahead = 0;
    for _ in 0..1000 {
        let before = next.exists();
        let appended = log.append(&batch(2, 2000), context(WriteMode::Mapped)).unwrap();
        if appended.rolled {
            rolls += 1;
            ahead += usize::from(before);
            assert!(!next.exists());
        }
        preparer.run();
    }
    assert!(rolls >= 3);
    assert_eq!(ahead, rolls, "each roll found its file");
    assert!(log.inner.sealing.lock().is_empty(), "rolled segments were finished");
    assert_eq!(read_all(&log).len(), 1000);
    log.close().unwrap();
    assert!(!next.exists());
    drop(log);
    let (log, recovered) = Log::open(dir.path(), config, plain_env(), hint(true, 0)).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert_eq!(read_all(&log).len(), 1000);
}

#[test]
fn an_idle_map_is_dropped_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    log.append(&batch(1, 10), context(WriteMode::Mapped)).unwrap();
    preparer.run();
    if prepared_end(&log).is_none() {
        return;
    }
    log.drop_idle_map(NOW_MS + 999, 1000);
    assert!(prepared_end(&log).is_some());
    log.drop_idle_map(NOW_MS + 1000, 1000);
    assert_eq!(prepared_end(&log), None);
    log.append(&batch(1, 10), context(WriteMode::Mapped)).unwrap();
    preparer.run();
    assert!(prepared_end(&log).is_some());
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn the_distance_prepared_follows_the_rate() {
    let dir = tempfile::tempdir().unwrap();
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    let ahead = || log.inner.writer.lock().active.as_ref().unwrap().ahead_bytes;
    let append = |now_ms| {
        log.append(&batch(10, 3000), AppendContext { now_ms, ..context(WriteMode::Mapped) }).unwrap();
        preparer.run();
    };
    (0..200).for_each(|_| append(NOW_MS));
    let fast = ahead();
    assert!(fast >= 1 << 20, "{fast}");
    (0..400).for_each(|i| append(NOW_MS + i * 5000));
    assert_eq!(ahead(), prepare::MIN_AHEAD_BYTES);
    assert_eq!(read_all(&log).len(), 600);
}

#[test]
fn an_idle_log_reserves_little() {
    let dir = tempfile::tempdir().unwrap();
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    log.append(&batch(1, 10), context(WriteMode::Mapped)).unwrap();
    preparer.run();
    let file = crate::fs::segment_path(dir.path(), 0, crate::fs::LOG_SUFFIX);
    assert!(file.metadata().unwrap().len() <= 128 << 10);
}

#[test]
fn a_segment_that_was_rolled_by_time_and_never_written_is_cut_at_the_close() {
    let dir = tempfile::tempdir().unwrap();
    let (env, _) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    log.append(&batch(1, 10), context(WriteMode::Mapped)).unwrap();
    log.close().unwrap();
    drop(log);
    let (env, preparer) = mapped_env();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 1)).unwrap();
    assert!(log.roll_if_due(i64::MAX).unwrap());
    preparer.run();
    log.close().unwrap();
    drop(log);
    let (log, recovered) = Log::open(dir.path(), LogConfig::default(), plain_env(), hint(true, 1)).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert_eq!((log.log_end().offset, log.segment_count()), (1, 2));
}
