//! Compaction of a log against what its readers know: of each key the last committed record.

use super::transactions::{end, try_send};
use super::*;
use crate::batch::{BatchHeader, BatchRules, CompressionRule, ControlMarker, convert, open as open_batch};
use crate::codec::Codec;
use crate::log::compaction::{CompactionLimits, CompactionRules, OffsetMap};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::atomic::AtomicUsize;

const HOUR_MS: i64 = 3_600_000;
const RETENTION_MS: i64 = HOUR_MS;

/// A file system that comes to a stop after a number of steps.
#[derive(Debug)]
pub(super) struct StopsAfter(AtomicUsize);

impl StopsAfter {
    pub(super) fn steps(steps: usize) -> StopsAfter {
        StopsAfter(AtomicUsize::new(steps))
    }

    fn never() -> StopsAfter {
        StopsAfter::steps(usize::MAX)
    }

    fn step(&self) -> io::Result<()> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
            usize::MAX => Some(left),
            left => left.checked_sub(1),
        });
        left.map(|_| ()).map_err(|_| io::ErrorKind::Other.into())
    }
}

impl Fs for StopsAfter {
    fn write_all_at(&self, file: &File, parts: &[&[u8]], position: u64) -> io::Result<()> {
        self.step().and_then(|()| RealFs.write_all_at(file, parts, position))
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        self.step().and_then(|()| RealFs.set_len(file, len))
    }

    fn sync_all(&self, file: &File) -> io::Result<()> {
        self.step().and_then(|()| RealFs.sync_all(file))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step().and_then(|()| RealFs.sync_dir(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step().and_then(|()| RealFs.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step().and_then(|()| RealFs.remove_file(path))
    }
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 4000, index_interval_bytes: 500, compact: true, ..LogConfig::default() }
}

/// A record as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp: i64,
}

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// Follows what a record says of its key.
fn fold(values: &mut Values, record: &Written) {
    match &record.value {
        Some(value) => _ = values.insert(record.key.clone(), value.clone()),
        None => _ = values.remove(&record.key),
    }
}

/// What a reader finds.
struct Found {
    /// Every record that isn't a marker, by offset.
    records: BTreeMap<i64, Written>,
    /// What readers of committed records know in the end.
    committed: Values,
}

/// Reads the log up to the last stable offset as a consumer does.
fn read_keyed(log: &Log) -> Found {
    let mut next = log.log_start_offset();
    let end = log.first_unstable_offset(log.log_end().offset).unwrap_or_else(|| log.log_end());
    let mut aborted = log.aborted_transactions(next, end.offset).unwrap();
    aborted.sort_by_key(|transaction| transaction.first_offset);
    let mut aborted = aborted.into_iter().peekable();
    let mut skipped = HashSet::new();
    let mut found = Found { records: BTreeMap::new(), committed: Values::new() };
    while next < end.offset {
        let bytes = log.read(next, 1 << 20, end, true).unwrap().to_vec().unwrap();
        assert!(!bytes.is_empty(), "nothing at {next}");
        let mut at = 0;
        while at < bytes.len() {
            let header = verify_stored(&bytes[at..]).unwrap();
            assert!(header.last_offset() >= next, "offsets only rise");
            while let Some(begun) = aborted.next_if(|one| one.first_offset <= header.last_offset()) {
                skipped.insert(begun.producer_id);
            }
            if let Some(marker) = ControlMarker::of_batch(&bytes[at..]) {
                if !marker.is_commit {
                    skipped.remove(&header.producer_id);
                }
            } else if !header.is_control() {
                let is_skipped = header.is_transactional() && skipped.contains(&header.producer_id);
                let opened = open_batch(&bytes[at..], 1 << 20).unwrap();
                // A batch comes whole though its first records may lie before the log start.
                for record in opened.records().map(Result::unwrap).filter(|one| one.offset >= next) {
                    let written = Written {
                        key: record.key.unwrap().to_vec(),
                        value: record.value.map(<[u8]>::to_vec),
                        timestamp: record.timestamp,
                    };
                    if !is_skipped {
                        fold(&mut found.committed, &written);
                    }
                    found.records.insert(record.offset, written);
                }
            }
            next = header.next_offset();
            at += header.size_in_bytes();
        }
    }
    found
}

#[derive(Debug, Clone, Copy)]
enum Op {
    /// Records of one batch, each with a key or, at times, a tombstone.
    Append {
        first_key: u8,
        records: u8,
        tombstones: bool,
        codec: Codec,
    },
    Idempotent {
        producer: i64,
        key: u8,
    },
    Retry {
        producer: i64,
    },
    InTransaction {
        producer: i64,
        key: u8,
    },
    End {
        producer: i64,
        is_commit: bool,
    },
    Roll,
    Advance {
        share: f64,
    },
    Compact {
        /// Room for a few keys only.
        small_map: bool,
        later_ms: i64,
    },
    /// A round that comes so far and no further, after which the log is opened again; which may be cut short too.
    CutShort {
        steps: usize,
        recovery_steps: usize,
    },
    Reopen {
        clean: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let codec = prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Gzip)];
    prop_oneof![
        10 => (0u8..12, 1u8..6, any::<bool>(), codec).prop_map(|(first_key, records, tombstones, codec)| {
            Op::Append { first_key, records, tombstones, codec }
        }),
        5 => (1i64..4, 0u8..12).prop_map(|(producer, key)| Op::Idempotent { producer, key }),
        2 => (1i64..4).prop_map(|producer| Op::Retry { producer }),
        8 => (11i64..14, 0u8..12).prop_map(|(producer, key)| Op::InTransaction { producer, key }),
        6 => (11i64..14, any::<bool>()).prop_map(|(producer, is_commit)| Op::End { producer, is_commit }),
        2 => Just(Op::Roll),
        1 => (0.0..0.5).prop_map(|share| Op::Advance { share }),
        4 => (any::<bool>(), prop_oneof![Just(0), Just(HOUR_MS / 2), Just(2 * HOUR_MS)])
            .prop_map(|(small_map, later_ms)| Op::Compact { small_map, later_ms }),
        2 => (0usize..60, 0usize..40).prop_map(|(steps, recovery_steps)| Op::CutShort { steps, recovery_steps }),
        1 => any::<bool>().prop_map(|clean| Op::Reopen { clean }),
    ]
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
    /// Its producer's transaction is open.
    Open(i64),
}

struct Model {
    dir: tempfile::TempDir,
    fs: Arc<StopsAfter>,
    log: Log,
    written: BTreeMap<i64, (Written, Fate)>,
    /// By idempotent producer: the last sequence, its offset and key.
    last: HashMap<i64, (i32, i64, u8)>,
    /// By transactional producer: the next sequence.
    sequences: HashMap<i64, i32>,
    cleaned_until: Option<i64>,
    /// What no round has seen, whether it came to its end or not, begins here.
    unseen_from: i64,
    now_ms: i64,
}

impl Model {
    fn new() -> Model {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let fs = Arc::new(StopsAfter::never());
        let env = env_with(fs.clone(), None);
        let (log, _) = Log::open(dir.path(), config(), env, hint(true, 0)).unwrap();
        Model {
            dir,
            fs,
            log,
            written: BTreeMap::new(),
            last: HashMap::new(),
            sequences: HashMap::new(),
            cleaned_until: None,
            unseen_from: 0,
            now_ms: NOW_MS,
        }
    }

    fn record(key: u8, count: usize) -> Written {
        let value = vec![key; 20 + count % 60];
        Written { key: vec![b'k', key], value: Some(value), timestamp: NOW_MS + count as i64 }
    }

    fn append(&mut self, builder: BatchBuilder, records: Vec<Written>, codec: Codec) -> i64 {
        let batch = records
            .iter()
            .fold(builder, |builder, one| builder.record(one.timestamp, Some(&one.key), one.value.as_deref()))
            .build();
        let rules = BatchRules {
            compression: CompressionRule::Codec { codec, level: None },
            ..BatchRules::defaults(NOW_MS)
        };
        let appended = self.log.append(&convert(&batch, &rules).unwrap(), context(WriteMode::Plain)).unwrap();
        let records = records.into_iter().map(|record| (record, Fate::Committed));
        self.written.extend((appended.base_offset..).zip(records));
        appended.base_offset
    }

    fn apply(&mut self, op: Op) {
        let count = self.written.len();
        match op {
            Op::Append { first_key, records, tombstones, codec } => {
                let mut batch: Vec<Written> = (0..records)
                    .map(|i| Self::record((first_key + i) % 12, count + usize::from(i)))
                    .collect();
                if tombstones {
                    batch.iter_mut().step_by(2).for_each(|record| record.value = None);
                }
                self.append(BatchBuilder::new(), batch, codec);
            }
            Op::Idempotent { producer, key } => {
                let sequence = self.last.get(&producer).map_or(0, |(sequence, ..)| sequence + 1);
                let builder = BatchBuilder::new().producer(producer, 0, sequence);
                let offset = self.append(builder, vec![Self::record(key, count)], Codec::None);
                self.last.insert(producer, (sequence, offset, key));
            }
            Op::Retry { producer } => self.retry(producer),
            Op::InTransaction { producer, key } => {
                let sequence = self.sequences.entry(producer).or_insert(0);
                let record = Self::record(key, count);
                let builder = BatchBuilder::new().producer(producer, 0, *sequence).transactional();
                let batch =
                    builder.record(record.timestamp, Some(&record.key), record.value.as_deref()).build();
                *sequence += 1;
                let offset = try_send(&self.log, &batch).unwrap().base_offset;
                self.written.insert(offset, (record, Fate::Open(producer)));
            }
            Op::End { producer, is_commit } => {
                let fate = if is_commit { Fate::Committed } else { Fate::Aborted };
                let open = self.written.values_mut().filter(|(_, fate)| *fate == Fate::Open(producer));
                let ended = open.map(|(_, open)| *open = fate).count();
                if ended > 0 {
                    end(&self.log, producer, is_commit);
                }
            }
            Op::Roll => _ = self.log.roll_if_due(i64::MAX).unwrap(),
            Op::Advance { share } => {
                let (start, end) = (self.log.log_start_offset(), self.stable_end());
                let to = start + ((end - start) as f64 * share) as i64;
                assert_eq!(self.log.advance_log_start_offset(to).unwrap(), to);
                self.written = self.written.split_off(&to);
            }
            Op::Compact { small_map, later_ms } => {
                self.now_ms += later_ms;
                self.compact(small_map).unwrap();
            }
            Op::CutShort { steps, recovery_steps } => {
                self.log.sync().unwrap();
                let cleaned_until = self.cleaned_until;
                self.fs.0.store(steps, Ordering::Relaxed);
                if self.compact(false).is_err() {
                    self.cleaned_until = cleaned_until;
                }
                // The first recovery may not come to its end either.
                self.fs.0.store(recovery_steps, Ordering::Relaxed);
                let _ = self.try_open(false);
                self.fs.0.store(usize::MAX, Ordering::Relaxed);
                self.open(false);
            }
            Op::Reopen { clean } => {
                if clean {
                    self.log.close().unwrap();
                } else {
                    self.log.sync().unwrap();
                }
                self.open(clean);
            }
        }
    }

    /// What a producer asks that hasn't heard of its last batch.
    fn retry(&mut self, producer: i64) {
        let Some((sequence, offset, key)) = self.last.get(&producer).copied() else { return };
        if offset < self.log.log_start_offset() {
            return;
        }
        let batch =
            BatchBuilder::new().producer(producer, 0, sequence).record(1, Some(&[b'k', key]), None).build();
        let appended = self.log.append(&batch, context(WriteMode::Plain)).unwrap();
        assert!(appended.duplicate, "a producer's last batch is known");
        assert_eq!(appended.base_offset, offset);
    }

    fn stable_end(&self) -> i64 {
        let end = self.log.log_end().offset;
        self.log.first_unstable_offset(end).map_or(end, |unstable| unstable.offset)
    }

    fn cleanable(&self) -> Cleanable {
        let limits = CompactionLimits {
            checkpoint: self.cleaned_until,
            last_stable_offset: self.stable_end(),
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
        };
        self.log.cleanable(&limits, self.now_ms)
    }

    fn compact(&mut self, small_map: bool) -> Result<Compacted, CompactionError> {
        let cleanable = self.cleanable();
        let mut map = OffsetMap::new(if small_map { 0 } else { 1 << 16 }, if small_map { 0.3 } else { 0.9 });
        let rules = CompactionRules { delete_retention_ms: RETENTION_MS, now_ms: self.now_ms };
        let done = self.log.compact(&cleanable, rules, &mut map, &mut |_| true);
        let seen = done.as_ref().map_or(cleanable.first_uncleanable_offset, |done| done.cleaned_until);
        self.unseen_from = self.unseen_from.max(seen);
        let done = done?;
        assert!(done.cleaned_until >= cleanable.first_dirty_offset);
        assert!(done.cleaned_until <= cleanable.first_uncleanable_offset.max(cleanable.first_dirty_offset));
        assert!(
            small_map
                || done.cleaned_until == cleanable.first_uncleanable_offset
                || done.segments_before == 0
        );
        self.cleaned_until = Some(done.cleaned_until);
        Ok(done)
    }

    fn try_open(&self, clean: bool) -> Result<(Log, Recovered), OpenLogError> {
        let env = env_with(self.fs.clone(), None);
        let hint = OpenHint {
            log_start_offset: self.log.log_start_offset(),
            ..hint(clean, self.log.recovery_point())
        };
        Log::open(self.dir.path(), config(), env, hint)
    }

    fn open(&mut self, clean: bool) {
        let end = self.log.log_end().offset;
        let (log, recovered) = self.try_open(clean).unwrap();
        assert!(recovered.cut.is_none_or(|cut| cut.reason == CutReason::Zeros && cut.from_offset == end));
        assert_eq!(log.log_end().offset, end);
        self.log = log;
    }

    /// Readers know just what was written and committed, and see no record that wasn't written.
    fn check(&self) {
        let found = read_keyed(&self.log);
        let mut committed = Values::new();
        for (_, (record, fate)) in self.written.range(..self.stable_end()) {
            if *fate == Fate::Committed {
                fold(&mut committed, record);
            }
        }
        assert_eq!(found.committed, committed);
        for (offset, record) in &found.records {
            assert_eq!(Some(record), self.written.get(offset).map(|(record, _)| record), "offset {offset}");
        }
        // What no round has seen is all there, but for what was aborted.
        let unseen = self.unseen_from.max(self.log.log_start_offset());
        for (offset, (record, fate)) in self.written.range(unseen..self.stable_end().max(unseen)) {
            let is_there = found.records.get(offset) == Some(record);
            assert!(is_there || *fate == Fate::Aborted, "offset {offset} of {unseen} and more");
        }
        for offset in [self.log.log_start_offset(), unseen, self.log.log_end().offset] {
            self.log.locate(offset).unwrap();
        }
        for timestamp in [NOW_MS, NOW_MS + 40, i64::MAX] {
            let expected = self.log.offset_for_timestamp(timestamp).unwrap().map(|found| found.offset);
            let first =
                found.records.iter().find(|(_, record)| record.timestamp >= timestamp).map(|(at, _)| *at);
            let (Some(expected), Some(first)) = (expected, first) else { continue };
            assert!(expected <= first, "the first record with {timestamp} or more");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: super::model::cases(300),
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn readers_of_a_compacted_log_know_the_last_value_of_each_key(ops in proptest::collection::vec(op(), 1..120)) {
        static TALLY: Tally = Tally::new("compaction");
        let is_crash = |op: &&Op| matches!(op, Op::CutShort { .. } | Op::Reopen { clean: false });
        TALLY.case(ops.len(), ops.iter().filter(is_crash).count());
        let mut model = Model::new();
        for op in ops {
            model.apply(op);
        }
        model.check();
        model.apply(Op::Compact { small_map: false, later_ms: 0 });
        model.check();
        model.apply(Op::Reopen { clean: true });
        model.check();
        for producer in 1..4 {
            model.retry(producer);
        }
    }
}

/// Writes some thousand records of twelve keys, a part of them in transactions.
fn filled() -> Model {
    let mut model = Model::new();
    for i in 0..150u8 {
        model.apply(Op::Append {
            first_key: i % 12,
            records: 4,
            tombstones: i % 10 == 0,
            codec: Codec::None,
        });
        model.apply(Op::Idempotent { producer: 1 + i64::from(i % 3), key: i % 12 });
        model.apply(Op::InTransaction { producer: 11 + i64::from(i % 3), key: i % 7 });
        if i % 4 == 0 {
            model.apply(Op::End { producer: 11 + i64::from(i / 4 % 3), is_commit: i % 8 == 0 });
        }
    }
    for producer in 11..14 {
        model.apply(Op::End { producer, is_commit: producer != 12 });
    }
    model.apply(Op::Roll);
    model.log.sync().unwrap();
    model
}

#[test]
fn a_round_leaves_the_last_record_of_each_key_in_fewer_segments() {
    let mut model = filled();
    let (segments, bytes) = (model.log.segment_count(), model.log.size_bytes());
    let done = model.compact(false).unwrap();
    model.check();
    assert_eq!((done.segments_before, done.bytes_before), (segments - 1, bytes));
    assert_eq!(done.bytes_after, model.log.size_bytes());
    assert_eq!(done.segments_after, done.segments_before, "each was full");
    assert!(read_keyed(&model.log).records.len() <= 12, "one of each key, or its tombstone");
    let cleanable = model.cleanable();
    assert_eq!((cleanable.cleanable_bytes, cleanable.dirty_ratio()), (0, 0.0));
    // Each round puts those together that fit into one by now.
    model.compact(false).unwrap();
    assert!(model.log.segment_count() < segments / 5);
    // Tombstones and markers go when their time has come.
    model.now_ms += 2 * RETENTION_MS;
    model.compact(false).unwrap();
    model.check();
    let known = read_keyed(&model.log);
    assert!(known.records.values().all(|record| record.value.is_some()));
    assert_eq!(known.records.len(), known.committed.len());
    // The last batch of a producer stays for its sequence, and if it was aborted what says so stays with it.
    let aborted: Vec<i64> =
        model.log.aborted_transactions(0, i64::MAX).unwrap().iter().map(|one| one.producer_id).collect();
    assert_eq!(aborted, [12]);
    // It comes to rest.
    let sizes: Vec<u64> = (0..4).map(|_| model.compact(false).unwrap().bytes_after).collect();
    assert_eq!(sizes[2], sizes[3]);
}

/// Stops the round that comes after `rounds` others at each of its steps.
fn crash_at_any_step(rounds: usize) {
    let mut outcomes = HashSet::new();
    for steps in (0..).step_by(if rounds == 0 { 5 } else { 1 }) {
        let mut model = filled();
        for _ in 0..rounds {
            model.compact(false).unwrap();
            model.cleaned_until = None;
        }
        let (before, bytes) = (model.log.segment_count(), model.log.size_bytes());
        model.fs.0.store(steps, Ordering::Relaxed);
        let done = model.compact(false).is_ok();
        for recovery_steps in (0..30).step_by(3) {
            model.fs.0.store(recovery_steps, Ordering::Relaxed);
            let _ = model.try_open(false);
        }
        model.fs.0.store(usize::MAX, Ordering::Relaxed);
        if !done {
            model.cleaned_until = None;
        }
        model.open(false);
        outcomes.insert(if rounds == 0 {
            model.log.size_bytes() < bytes
        } else {
            model.log.segment_count() < before
        });
        let names = std::fs::read_dir(model.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names
            .filter(|name| {
                let name = name.to_str().unwrap();
                [".cleaned", ".swap", ".tmp", ".deleted"].iter().any(|suffix| name.ends_with(suffix))
            })
            .collect();
        assert!(left.is_empty(), "{left:?}");
        let cleaned_until = model.cleaned_until.take();
        if done {
            model.cleaned_until = cleaned_until;
            model.check();
            break;
        }
        let found = read_keyed(&model.log);
        model.compact(false).unwrap();
        model.check();
        assert_eq!(found.committed, read_keyed(&model.log).committed);
        for producer in 1..4 {
            model.retry(producer);
        }
        assert!(steps < 2000);
    }
    assert_eq!(outcomes.len(), 2, "some crashes came before the first swap, and some after it");
}

#[test]
fn a_crash_at_any_step_leaves_the_old_segment_or_the_new_one() {
    crash_at_any_step(0);
}

#[test]
fn a_crash_at_any_step_leaves_all_of_the_old_segments_or_the_new_one() {
    crash_at_any_step(1);
}

#[test]
fn readers_of_what_is_replaced_go_on() {
    let mut model = filled();
    let log = model.log.clone();
    let old = log.inner.segments.load_full();
    let slice = log.read(0, 1 << 20, log.log_end(), true).unwrap();
    let bytes = slice.to_vec().unwrap();
    let aborted = log.aborted_transactions(0, i64::MAX).unwrap();
    model.compact(false).unwrap();
    assert_eq!(slice.to_vec().unwrap(), bytes);
    // One that took the list of segments before looks into their indexes only now.
    for segment in &old.segments {
        let middle = segment.base_offset() + (segment.end().next_offset - segment.base_offset()) / 2;
        let found = segment.locate(middle, segment.end().position, &RealFs).unwrap();
        assert!(found.is_none_or(|found| found.header.last_offset() >= middle));
    }
    let mut again = Vec::new();
    old.segments
        .iter()
        .for_each(|one| _ = one.aborted_transactions(0, i64::MAX, &mut again, &RealFs).unwrap());
    assert_eq!(again, aborted);
    // An old slice's positions mean nothing in the new segments: the list is one that is long enough.
    assert!(!log.aborted_transactions_in(0, &slice).unwrap().is_empty());
    drop((slice, old));
    log.unlink_deleted(None);
    let names = std::fs::read_dir(model.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_str().unwrap().ends_with(".deleted")));
}

#[test]
fn a_round_stops_when_it_is_told_to_or_the_log_has_gone() {
    let mut model = filled();
    let cleanable = model.cleanable();
    let rules = CompactionRules { delete_retention_ms: RETENTION_MS, now_ms: NOW_MS };
    let mut seen_bytes = 0;
    let mut pace = |bytes| {
        seen_bytes += bytes;
        seen_bytes < 20_000
    };
    let stopped = model.log.compact(&cleanable, rules, &mut OffsetMap::new(1 << 16, 0.9), &mut pace);
    assert!(matches!(stopped, Err(CompactionError::Stopped)), "{stopped:?}");
    model.check();

    // Records that go while a round reads them.
    let log = model.log.clone();
    let mut shorten = |_| {
        log.advance_log_start_offset(log.log_end().offset).unwrap();
        true
    };
    let stopped = model.log.compact(&cleanable, rules, &mut OffsetMap::new(1 << 16, 0.9), &mut shorten);
    assert!(matches!(stopped, Err(CompactionError::Stopped)), "{stopped:?}");
    model.written.clear();
    model.check();
}

#[test]
fn a_damaged_batch_stops_the_round_and_is_left_where_it_is() {
    let mut model = filled();
    let path = crate::fs::segment_path(model.dir.path(), 0, crate::fs::LOG_SUFFIX);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let before = model.log.size_bytes();
    let error = model.compact(false).unwrap_err();
    assert!(matches!(error, CompactionError::Unreadable { .. }), "{error}");
    assert_eq!((model.log.size_bytes(), model.log.offline()), (before, None));
}

#[test]
fn a_read_goes_past_batches_without_a_record_unless_nothing_follows() {
    let mut model = Model::new();
    for _ in 0..400 {
        model.apply(Op::Idempotent { producer: 1, key: 1 });
    }
    model.apply(Op::Roll);
    model.compact(false).unwrap();
    let (log, end) = (&model.log, model.log.log_end());
    assert!(log.segment_count() > 5, "each of which has a batch without a record");
    let slice = log.read(0, 1 << 20, end, true).unwrap();
    let header = BatchHeader::parse(&slice.to_vec().unwrap()).unwrap();
    assert_eq!((header.records_count, header.base_offset), (1, 399));
    // What a reader may see ends before.
    let until = log.locate(200).unwrap();
    let slice = log.read(0, 1 << 20, until, true).unwrap();
    let header = BatchHeader::parse(&slice.to_vec().unwrap()).unwrap();
    assert_eq!((header.records_count, slice.len()), (0, header.size_in_bytes()));
    assert!(header.base_offset > 100 && header.next_offset() <= 200, "{header:?}");
}
