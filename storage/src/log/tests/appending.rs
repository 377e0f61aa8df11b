//! Offsets, timestamps, rolls, reads, look-ups and the log start.

use super::*;
use crate::batch::{BatchHeader, HEADER_SIZE_BYTES};
use crate::fs::{INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, segment_path};
use bytes::Bytes;

fn open(dir: &Path, config: LogConfig) -> Log {
    Log::open(dir, config, plain_env(), hint(true, 0)).unwrap().0
}

fn at(now_ms: i64) -> AppendContext {
    AppendContext { now_ms, ..context(WriteMode::Plain) }
}

fn batch_at(timestamps: &[i64]) -> CheckedBatch {
    timestamps.iter().fold(BatchBuilder::new(), |b, t| b.record(*t, None, Some(b"value"))).build()
}

#[test]
fn the_stored_batch_has_offset_and_epoch_and_the_callers_is_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    log.append(&batch(2, 5), context(WriteMode::Plain)).unwrap();
    let mine = batch(3, 5);
    let before = mine.bytes().clone();
    let appended = log.append(&mine, context(WriteMode::Plain)).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset, appended.log_append_time_ms), (2, 4, -1));
    assert_eq!(before.to_vec(), mine.bytes().to_vec());
    let stored = log.read(2, 1 << 20, log.log_end(), true).unwrap().to_vec().unwrap();
    let header = verify_stored(&stored).unwrap();
    assert_eq!((header.base_offset, header.partition_leader_epoch), (2, 3));
    assert_eq!(stored[16..], before[16..], "nothing else has changed");
}

#[test]
fn under_log_append_time_the_log_sets_the_timestamp_and_the_crc() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    let log = open(dir.path(), config);
    let appended = log.append(&batch_at(&[5, 6]), at(NOW_MS + 7)).unwrap();
    assert_eq!(appended.log_append_time_ms, NOW_MS + 7);
    let stored = log.read(0, 1 << 20, log.log_end(), true).unwrap().to_vec().unwrap();
    let header = verify_stored(&stored).unwrap();
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, NOW_MS + 7);
    let found = log.offset_for_timestamp(NOW_MS).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp_ms), (0, NOW_MS + 7));
}

#[test]
fn a_retried_batch_gets_its_offsets_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig::default();
    let log = open(dir.path(), config.clone());
    let of = |sequence| BatchBuilder::new().producer(7, 0, sequence).record(NOW_MS, None, Some(b"v")).build();
    log.append(&batch(4, 1), context(WriteMode::Plain)).unwrap();
    let first = log.append(&of(0), context(WriteMode::Plain)).unwrap();
    let again = log.append(&of(0), context(WriteMode::Plain)).unwrap();
    assert!(again.duplicate && !first.duplicate);
    assert_eq!((again.base_offset, again.last_offset, again.end), (4, 4, first.end));
    let gap = log.append(&of(2), context(WriteMode::Plain));
    assert!(matches!(gap, Err(AppendError::Sequence(_))));
    log.close().unwrap();
    let log = open(dir.path(), config);
    assert_eq!(log.producers(), 1);
    assert!(log.append(&of(0), context(WriteMode::Plain)).unwrap().duplicate);
    assert_eq!(log.append(&of(1), context(WriteMode::Plain)).unwrap().base_offset, 5);
}

#[test]
fn a_segment_is_rolled_by_size_by_record_time_and_by_clock() {
    let dir = tempfile::tempdir().unwrap();
    let size = batch_at(&[0]).bytes().len() as u32;
    let config = LogConfig { segment_bytes: 3 * size, segment_ms: 1000, ..LogConfig::default() };
    let log = open(dir.path(), config);
    let rolled = |timestamps: &[i64], now_ms| log.append(&batch_at(timestamps), at(now_ms)).unwrap().rolled;
    assert!(!rolled(&[50], 10_000));
    assert!(!rolled(&[1050], 90_000), "the records' time counts, and isn't yet above segment.ms");
    assert!(rolled(&[1051], 90_000));
    assert!(!rolled(&[1052], 90_000));
    assert!(!rolled(&[1053], 90_000));
    assert!(rolled(&[1054], 90_000), "three fill a segment");
    assert!(!log.roll_if_due(2054).unwrap());
    assert!(log.roll_if_due(2055).unwrap());
    assert!(!log.roll_if_due(9_000_000).unwrap(), "an empty segment isn't rolled");
    assert!(!rolled(&[-1], 100_000));
    assert!(!rolled(&[-1], 3055), "without timestamps the clock counts, from the segment's creation on");
    assert!(rolled(&[-1], 3056));
    let too_large = log.append(&batch(1, 1000), at(1));
    assert!(matches!(too_large, Err(AppendError::LargerThanSegment { .. })));
}

#[test]
fn a_segment_is_rolled_when_an_index_is_full_or_an_offset_too_far() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { index_interval_bytes: 0, segment_index_bytes: 48, ..LogConfig::default() };
    let log = open(dir.path(), config);
    let mut rolls = Vec::new();
    for i in 0..12 {
        if log.append(&batch_at(&[NOW_MS + i]), at(NOW_MS)).unwrap().rolled {
            rolls.push(i);
        }
    }
    // Four time index entries fit, one of which is kept for the roll, and the first batch gets none.
    assert_eq!(rolls, [4, 8]);

    let far = {
        let one = batch_at(&[NOW_MS]);
        let last_offset_delta = i32::MAX - 6;
        let header = BatchHeader { last_offset_delta, records_count: i32::MAX - 5, ..*one.header() };
        let header = BatchHeader { crc: header.compute_crc(one.records_bytes()), ..header };
        let mut bytes = one.bytes().to_vec();
        bytes[..HEADER_SIZE_BYTES].copy_from_slice(&header.to_bytes());
        CheckedBatch::from_own_parts(Bytes::from(bytes), header)
    };
    let before = log.log_end().offset;
    assert!(log.append(&far, at(NOW_MS)).unwrap().rolled, "too far from the segment's base");
    assert!(!log.append(&batch_at(&[NOW_MS; 6]), at(NOW_MS)).unwrap().rolled, "the last that fits");
    assert!(log.append(&batch_at(&[NOW_MS]), at(NOW_MS)).unwrap().rolled);
    assert_eq!(log.read(before, 10, log.log_end(), true).unwrap().len(), far.bytes().len());
}

#[test]
fn a_read_keeps_to_its_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_segments());
    let one = batch(2, 100);
    let size = one.bytes().len();
    let mut ends = Vec::new();
    for _ in 0..100 {
        ends.push(log.append(&one, context(WriteMode::Plain)).unwrap().end);
    }
    let end = log.log_end();
    let len = |from, max, until, min_one| log.read(from, max, until, min_one).unwrap().len();
    assert_eq!(len(0, 10, end, true), size, "the first batch comes whole");
    assert_eq!(len(0, 10, end, false), 0, "or not at all");
    assert_eq!(len(0, size as u32 - 1, end, false), 0);
    assert_eq!(len(0, size as u32, end, false), size);
    assert_eq!(len(0, size as u32 + 5, end, false), size + 5);
    assert_eq!(len(0, 0, end, false), 0);
    assert_eq!(len(0, size as u32 + 5, end, true), size + 5, "and the last may not");
    assert_eq!(log.read(3, 1 << 20, end, true).unwrap().position(), size as u64, "inside the second batch");
    assert_eq!(len(2, 1 << 20, ends[3], true), 3 * size);
    assert_eq!(len(8, 1 << 20, ends[3], true), 0, "at the bound");
    assert_eq!(len(100, 1 << 20, ends[3], true), 0, "beyond the bound, in a later segment");
    assert_eq!(len(200, 1 << 20, end, true), 0, "at the log end");
    assert!(matches!(log.read(201, 1, end, true), Err(ReadError::OffsetOutOfRange { .. })));
    assert!(matches!(log.read(-1, 1, end, true), Err(ReadError::OffsetOutOfRange { .. })));
    assert_eq!(log.locate(2).unwrap(), LogOffsetMetadata { offset: 2, ..ends[0] });
    assert_eq!(log.locate(200).unwrap(), end);
    // A segment's last batch ends at its end, and the next offset is in the next segment.
    let second = log.inner.segments.load().segments[1].base_offset();
    assert_eq!(log.locate(second).unwrap().segment_base_offset, second);
    assert_eq!(log.read(second - 1, 1 << 20, end, true).unwrap().len(), size);
}

#[test]
fn a_consumer_at_the_tail_reads_what_one_from_far_behind_does() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_segments());
    for i in 0..150 {
        let before = log.log_end();
        let one = batch(1 + i % 3, i * 5);
        let end = log.append(&one, context(WriteMode::Plain)).unwrap().end;
        let slice = log.read(before.offset, 1 << 20, end, true).unwrap();
        assert_eq!(slice.len(), one.bytes().len());
        let header = verify_stored(&slice.to_vec().unwrap()).unwrap();
        assert_eq!(header.base_offset, before.offset);
        let list = log.inner.segments.load();
        for offset in (end.offset - 40).max(0)..end.offset {
            let active = list.segments.last().unwrap();
            let found = active.locate(offset, active.end().position, &RealFs).unwrap();
            if let Some(start) = active.recent_start(offset) {
                assert_eq!(start, found.unwrap().position, "{offset}");
                assert_eq!(found.unwrap().header.base_offset, offset);
            }
        }
    }
    log.close().unwrap();
    drop(log);
    let log = open(dir.path(), small_segments());
    let base = log.log_end().segment_base_offset;
    assert_eq!(log.read(base, 1 << 20, log.log_end(), true).unwrap().position(), 0);
}

#[test]
fn records_are_found_by_their_timestamps() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 4096, index_interval_bytes: 200, ..LogConfig::default() };
    let log = open(dir.path(), config.clone());
    assert_eq!(log.max_timestamp().unwrap(), None);
    assert_eq!(log.offset_for_timestamp(0).unwrap(), None);
    let mut all = Vec::new();
    for i in 0..300i64 {
        // Neither sorted between batches nor inside them.
        let timestamps = [1000 + i * 10, 1000 + i * 10 + (i % 7) * 25, 995 + i * 10];
        log.append(&batch_at(&timestamps), context(WriteMode::Plain)).unwrap();
        all.extend(timestamps);
    }
    assert!(log.segment_count() > 3);
    let check = |log: &Log| {
        for target in (900..4300).step_by(13) {
            let expected = all.iter().position(|t| *t >= target).map(|at| TimestampOffset {
                timestamp_ms: all[at],
                offset: at as i64,
                leader_epoch: 3,
            });
            assert_eq!(log.offset_for_timestamp(target).unwrap(), expected, "{target}");
        }
        let largest = *all.iter().max().unwrap();
        let at = all.iter().position(|t| *t == largest).unwrap() as i64;
        let found = log.max_timestamp().unwrap().unwrap();
        assert_eq!((found.timestamp_ms, found.offset), (largest, at));
    };
    check(&log);
    log.close().unwrap();
    check(&log);
    check(&open(dir.path(), config));
}

#[test]
fn moving_the_log_start_deletes_whole_segments_and_spares_readers() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_segments());
    for _ in 0..200 {
        log.append(&batch(1, 300), context(WriteMode::Plain)).unwrap();
    }
    log.sync().unwrap();
    log.sync_sealed().unwrap();
    let bases: Vec<i64> = log.inner.segments.load().segments.iter().map(|s| s.base_offset()).collect();
    let held = log.read(0, 1 << 20, log.log_end(), true).unwrap();
    let bytes = held.to_vec().unwrap();
    assert_eq!(log.advance_log_start_offset(bases[2] + 1).unwrap(), bases[2] + 1);
    assert_eq!(log.segment_count(), bases.len() - 2);
    assert!(matches!(log.read(bases[2], 1, log.log_end(), true), Err(ReadError::OffsetOutOfRange { .. })));
    assert_eq!(log.read(bases[2] + 1, 1 << 20, log.log_end(), true).unwrap().position() % 7, {
        log.locate(bases[2] + 1).unwrap().position as u64 % 7
    });
    assert_eq!(held.to_vec().unwrap(), bytes, "a reader keeps what it has");
    let names = || {
        let mut names: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".deleted"))
            .collect();
        names.sort();
        names
    };
    assert!(names().iter().any(|name| name == "00000000000000000000.log.deleted"));
    drop(held);
    log.unlink_deleted(None);
    assert!(names().is_empty());
    assert_eq!(log.advance_log_start_offset(3).unwrap(), bases[2] + 1, "it doesn't go back");
    assert!(matches!(log.advance_log_start_offset(201), Err(LogStartError::BeyondEnd { .. })));
    assert_eq!(log.advance_log_start_offset(200).unwrap(), 200);
    assert_eq!((log.segment_count(), log.log_end().offset), (1, 200), "the active segment stays");
    assert_eq!(log.read(200, 1, log.log_end(), true).unwrap().len(), 0);
    log.close().unwrap();
    let (log, _) = Log::open(
        dir.path(),
        small_segments(),
        plain_env(),
        OpenHint { log_start_offset: 200, ..hint(true, 200) },
    )
    .unwrap();
    assert_eq!((log.log_start_offset(), log.log_end().offset), (200, 200));
}

#[test]
fn leader_epochs_answer_where_they_ended() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), LogConfig::default());
    log.assign_leader_epoch(1).unwrap();
    let under = |leader_epoch| AppendContext { leader_epoch, ..context(WriteMode::Plain) };
    log.append(&batch(4, 1), under(1)).unwrap();
    log.assign_leader_epoch(5).unwrap();
    log.append(&batch(2, 1), under(5)).unwrap();
    assert_eq!(log.latest_epoch(), Some(5));
    assert_eq!(log.end_offset_for_epoch(1), (1, 4));
    assert_eq!(log.end_offset_for_epoch(4), (1, 4));
    assert_eq!(log.end_offset_for_epoch(5), (5, 6));
    assert_eq!((log.epoch_for_offset(3), log.epoch_for_offset(4)), (Some(1), Some(5)));
    // Not closed: the epochs are found in the batches too.
    drop(log);
    std::fs::remove_file(dir.path().join("leader-epoch-checkpoint")).unwrap();
    let (log, _) = Log::open(dir.path(), LogConfig::default(), plain_env(), hint(false, 0)).unwrap();
    assert_eq!(log.end_offset_for_epoch(1), (1, 4));
}

#[test]
fn a_closed_log_has_exactly_the_files_of_kafka() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_segments());
    for _ in 0..50 {
        log.append(&batch(1, 700), context(WriteMode::Plain)).unwrap();
    }
    let bases: Vec<i64> = log.inner.segments.load().segments.iter().map(|s| s.base_offset()).collect();
    log.close().unwrap();
    let mut expected: Vec<PathBuf> = vec![dir.path().join("leader-epoch-checkpoint")];
    for base in &bases {
        for suffix in [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX] {
            expected.push(segment_path(dir.path(), *base, suffix));
        }
    }
    for offset in bases[1..].iter().chain([&50]) {
        expected.push(segment_path(dir.path(), *offset, SNAPSHOT_SUFFIX));
    }
    expected.sort();
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert_eq!(found, expected);
    // Each index entry names a batch's last offset and where it starts.
    for base in bases {
        let log_bytes = std::fs::read(segment_path(dir.path(), base, LOG_SUFFIX)).unwrap();
        let index = std::fs::read(segment_path(dir.path(), base, INDEX_SUFFIX)).unwrap();
        assert!(!index.is_empty());
        for entry in index.chunks(8) {
            let relative = u32::from_be_bytes(entry[..4].try_into().unwrap());
            let position = u32::from_be_bytes(entry[4..].try_into().unwrap());
            let header = verify_stored(&log_bytes[position as usize..]).unwrap();
            assert_eq!(header.last_offset(), base + i64::from(relative));
        }
        let times = std::fs::read(segment_path(dir.path(), base, TIME_INDEX_SUFFIX)).unwrap();
        let last = times.chunks(12).next_back().unwrap();
        assert_eq!(i64::from_be_bytes(last[..8].try_into().unwrap()), NOW_MS);
    }
}
