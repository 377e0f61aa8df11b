//! A log against a plain list of batches, through clean stops and crashes that take what was not synced.

mod transactions;

use super::compacting::StopsAfter;
use super::*;
use crate::batch::{HEADER_SIZE_BYTES, HeaderPatch};
use crate::fs::{
    INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, segment_path,
};
use proptest::prelude::*;
use std::collections::HashMap;

/// What a crash does to bytes of a file that were not synced.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Kept,
    Truncated,
    ZeroTail,
    ZeroHole,
    FlippedBits,
    Gone,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Append { records: usize, value_bytes: usize, mapped: bool, timestamp: i64 },
    AppendIdempotent { producer: i64, value_bytes: usize },
    Retry { producer: i64 },
    Transaction(transactions::TxnOp),
    Read { from: f64, max_bytes: u32, min_one: bool },
    Lookup { timestamp: i64 },
    Prepare,
    Sync,
    SyncSealed,
    Checkpoint,
    RollByTime,
    Advance { to: f64 },
    Retain { share: f64 },
    Reopen,
    Crash { at: f64, active: Damage, older: Damage, indexes: bool, snapshots: bool, again_after: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        2 => Just(Damage::Kept),
        1 => Just(Damage::Truncated),
        1 => Just(Damage::ZeroTail),
        1 => Just(Damage::ZeroHole),
        1 => Just(Damage::FlippedBits),
        1 => Just(Damage::Gone),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (1usize..5, 0usize..900, any::<bool>(), 0i64..5000).prop_map(
            |(records, value_bytes, mapped, timestamp)| Op::Append { records, value_bytes, mapped, timestamp }
        ),
        6 => (1i64..4, 0usize..900)
            .prop_map(|(producer, value_bytes)| Op::AppendIdempotent { producer, value_bytes }),
        1 => (1i64..4).prop_map(|producer| Op::Retry { producer }),
        12 => transactions::op().prop_map(Op::Transaction),
        4 => (0.0..1.0, 0u32..6000, any::<bool>())
            .prop_map(|(from, max_bytes, min_one)| Op::Read { from, max_bytes, min_one }),
        1 => (0i64..6000).prop_map(|timestamp| Op::Lookup { timestamp }),
        3 => Just(Op::Prepare),
        2 => Just(Op::Sync),
        1 => Just(Op::SyncSealed),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::RollByTime),
        1 => (0.0..1.0).prop_map(|to| Op::Advance { to }),
        1 => (0.0..1.0).prop_map(|share| Op::Retain { share }),
        1 => Just(Op::Reopen),
        1 => (0.0..1.0, damage(), damage(), any::<bool>(), any::<bool>(), 0..30usize).prop_map(
            |(at, active, older, indexes, snapshots, again_after)| {
                Op::Crash { at, active, older, indexes, snapshots, again_after }
            }
        ),
    ]
}

/// A batch as it should stand in the file.
#[derive(Debug, Clone)]
struct Stored {
    base_offset: i64,
    next_offset: i64,
    bytes: Vec<u8>,
    timestamps: Vec<i64>,
    producer: Option<(i64, i32)>,
    part: Option<transactions::Part>,
}

struct Model {
    dir: tempfile::TempDir,
    log: Log,
    preparer: Arc<ManualPreparer>,
    batches: Vec<Stored>,
    start: i64,
    checkpointed: i64,
    sequences: HashMap<i64, i32>,
    /// Added to producer ids: where all records were lost, nothing says which producers the log still knows.
    generation: i64,
    /// Markers below were said to be final.
    final_below: i64,
    /// There was a crash, of which producer snapshots may have been lost.
    crashed: bool,
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 6000, index_interval_bytes: 700, ..LogConfig::default() }
}

impl Model {
    fn new() -> Model {
        // In memory where there is such a place: the many syncs aren't what is tested here.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (env, preparer) = mapped_env();
        let (log, _) = Log::open(dir.path(), config(), env, hint(true, 0)).unwrap();
        Model {
            dir,
            log,
            preparer,
            batches: Vec::new(),
            start: 0,
            checkpointed: 0,
            sequences: HashMap::new(),
            generation: 0,
            final_below: 0,
            crashed: false,
        }
    }

    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.next_offset)
    }

    fn append(&mut self, batch: &CheckedBatch, mapped: bool, timestamps: Vec<i64>) {
        let mode = if mapped { WriteMode::Mapped } else { WriteMode::Plain };
        self.append_with(batch, context(mode), timestamps);
    }

    fn append_with(&mut self, batch: &CheckedBatch, context: AppendContext, timestamps: Vec<i64>) {
        let base_offset = self.end();
        let appended = self.log.append(batch, context).unwrap();
        assert_eq!((appended.base_offset, appended.duplicate), (base_offset, false));
        let patch = HeaderPatch { base_offset, leader_epoch: 3, log_append_time_ms: None };
        let mut bytes = batch.bytes().to_vec();
        bytes[..HEADER_SIZE_BYTES].copy_from_slice(&patch.header_bytes(batch.bytes()));
        let header = batch.header();
        let producer = header.has_producer_id().then_some((header.producer_id, header.base_sequence));
        let next_offset = base_offset + timestamps.len() as i64;
        assert_eq!(appended.end.offset, next_offset);
        self.batches.push(Stored { base_offset, next_offset, bytes, timestamps, producer, part: None });
    }

    fn idempotent(producer: i64, sequence: i32, value_bytes: usize) -> CheckedBatch {
        BatchBuilder::new()
            .producer(producer, 0, sequence)
            .record(NOW_MS, None, Some(&vec![sequence as u8; value_bytes]))
            .build()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Append { records, value_bytes, mapped, timestamp } => {
                let timestamps: Vec<i64> = (0..records as i64).map(|i| timestamp + i * 3).collect();
                let value = vec![records as u8; value_bytes];
                let batch =
                    timestamps.iter().fold(BatchBuilder::new(), |b, t| b.record(*t, None, Some(&value)));
                self.append(&batch.build(), mapped, timestamps);
            }
            Op::AppendIdempotent { producer, value_bytes } => {
                let producer = producer + self.generation;
                let sequence = self.sequences.get(&producer).copied().unwrap_or(0);
                self.append(&Self::idempotent(producer, sequence, value_bytes), true, vec![NOW_MS]);
                self.sequences.insert(producer, sequence + 1);
            }
            Op::Retry { producer } => {
                let producer = producer + self.generation;
                let last = self.batches.iter().rev().find(|b| b.producer.is_some_and(|p| p.0 == producer));
                // With its records gone a producer may be forgotten.
                let Some(last) = last.filter(|last| last.base_offset >= self.start) else { return };
                let (_, sequence) = last.producer.unwrap();
                let value_bytes = 10;
                let retried = Self::idempotent(producer, sequence, value_bytes);
                let appended = self.log.append(&retried, context(WriteMode::Plain)).unwrap();
                assert!(appended.duplicate);
                assert_eq!(appended.base_offset, last.base_offset);
                let gap = Self::idempotent(producer, sequence + 2, value_bytes);
                assert!(matches!(
                    self.log.append(&gap, context(WriteMode::Plain)),
                    Err(AppendError::Sequence(_))
                ));
            }
            Op::Transaction(op) => self.apply_txn(op),
            Op::Read { from, max_bytes, min_one } => self.read(from, max_bytes, min_one),
            Op::Lookup { timestamp } => {
                let expected = self
                    .batches
                    .iter()
                    .flat_map(|b| {
                        b.timestamps.iter().enumerate().map(|(i, t)| (b.base_offset + i as i64, *t))
                    })
                    .find(|(offset, t)| *offset >= self.start && *t >= timestamp);
                let found = self.log.offset_for_timestamp(timestamp).unwrap();
                assert_eq!(found.map(|found| (found.offset, found.timestamp_ms)), expected);
            }
            Op::Prepare => self.preparer.run(),
            Op::Sync => assert_eq!(self.log.sync().unwrap().offset, self.log.log_end().offset),
            Op::SyncSealed => self.log.sync_sealed().unwrap(),
            Op::RollByTime => {
                self.log.roll_if_due(i64::MAX).unwrap();
            }
            Op::Checkpoint => self.checkpointed = self.log.recovery_point(),
            Op::Retain { share } => {
                let bytes = (self.log.size_bytes() as f64 * share) as u64;
                let limits = RetentionLimits {
                    retention_ms: None,
                    retention_bytes: Some(bytes),
                    high_watermark: self.end(),
                };
                let before_bytes = self.log.size_bytes();
                if let Some(outcome) = self.log.apply_retention(&limits, NOW_MS, |_| ()).unwrap() {
                    assert!(outcome.log_start_offset >= self.start);
                    assert_eq!(self.log.size_bytes(), before_bytes - outcome.bytes);
                    assert!(self.log.size_bytes() >= bytes, "no more than what is too much");
                    self.start = outcome.log_start_offset;
                    self.final_below = self.final_below.max(self.start);
                }
            }
            Op::Advance { to } => {
                let to = self.start + ((self.end() - self.start) as f64 * to) as i64;
                assert_eq!(self.log.advance_log_start_offset(to).unwrap(), to);
                self.start = to;
                // As seen by whoever asks: what ended below the log start is gone.
                self.final_below = self.final_below.max(to);
            }
            Op::Reopen => {
                self.log.close().unwrap();
                self.checkpointed = self.log.recovery_point();
                let recovered = self.open(true);
                assert_eq!(recovered, Recovered::default());
                assert_eq!(self.log.log_end().offset, self.end());
                self.final_below = self.end();
            }
            Op::Crash { at, active, older, indexes, snapshots, again_after } => {
                self.damage(at, active, older, indexes, snapshots);
                // The first recovery may not come to its end.
                let env = env_with(Arc::new(StopsAfter::steps(again_after)), None);
                let hint = OpenHint { log_start_offset: self.start, ..hint(false, self.checkpointed) };
                let _ = Log::open(self.dir.path(), config(), env, hint);
                self.recover();
            }
        }
    }

    fn open(&mut self, clean: bool) -> Recovered {
        let (env, preparer) = mapped_env();
        let hint = OpenHint { log_start_offset: self.start, ..hint(clean, self.checkpointed) };
        let (log, recovered) = Log::open(self.dir.path(), config(), env, hint).unwrap();
        self.log = log;
        self.preparer = preparer;
        recovered
    }

    /// Does to the files what a crash may do to what was not synced.
    fn damage(&mut self, at: f64, active: Damage, older: Damage, indexes: bool, snapshots: bool) {
        let durable = self.log.durable_end();
        let recovery_point = self.log.recovery_point();
        assert!(self.checkpointed <= recovery_point && recovery_point <= durable.offset);
        let segments: Vec<(i64, bool)> = self
            .log
            .inner
            .segments
            .load()
            .segments
            .iter()
            .map(|s| (s.base_offset(), s.is_durable()))
            .collect();
        let last = segments.len().saturating_sub(1);
        let never_synced = durable.offset == self.log.log_start_offset() && durable.position == 0;
        for (i, &(base, on_disk)) in segments.iter().enumerate() {
            let finished = segments.get(i + 1).is_some_and(|next| next.0 <= recovery_point);
            let path = segment_path(self.dir.path(), base, LOG_SUFFIX);
            let safe = match base.cmp(&durable.segment_base_offset) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => durable.position as usize,
                std::cmp::Ordering::Greater => 0,
            };
            let damage = if i == last { active } else { older };
            let mut bytes = std::fs::read(&path).unwrap();
            let from = safe + ((bytes.len() - safe) as f64 * at) as usize;
            match damage {
                Damage::Kept => {}
                Damage::Truncated => bytes.truncate(from),
                Damage::ZeroTail => bytes[from..].fill(0),
                Damage::ZeroHole => {
                    let to = bytes.len().min(from + 512);
                    bytes[from..to].fill(0);
                }
                Damage::FlippedBits => {
                    // More than the leader epoch, which lies outside the checksum.
                    bytes.iter_mut().skip(from).take(8).for_each(|byte| *byte ^= 8);
                }
                // The directory alone was made durable, and the name of its first file was not.
                Damage::Gone if last == 0 && never_synced => std::fs::remove_file(&path).unwrap(),
                // Without the first one the log would start later, as if it had been deleted on purpose.
                Damage::Gone if i > 0 && base > durable.segment_base_offset => {
                    std::fs::remove_file(&path).unwrap();
                }
                Damage::Gone => {}
            }
            if path.exists() {
                std::fs::write(&path, &bytes).unwrap();
            }
            if indexes && !on_disk {
                for suffix in [INDEX_SUFFIX, TIME_INDEX_SUFFIX] {
                    std::fs::write(segment_path(self.dir.path(), base, suffix), [0xab; 24]).unwrap();
                }
                if !finished {
                    let txn_index = segment_path(self.dir.path(), base, TXN_INDEX_SUFFIX);
                    std::fs::write(txn_index, Model::plausible_index(base)).unwrap();
                }
            }
            if snapshots && base > recovery_point {
                let snapshot = segment_path(self.dir.path(), base, SNAPSHOT_SUFFIX);
                std::fs::write(snapshot, b"torn").unwrap();
            }
        }
    }

    /// Opens what a crash has left, and holds it against what has to be there.
    fn recover(&mut self) {
        let (durable, before) = (self.log.durable_end(), self.end());
        self.open(false);
        let end = self.log.log_end().offset;
        let lowest = durable.offset.max(self.start);
        // The log start may be beyond what was synced, and then all may be gone up to it.
        assert!(end >= lowest && end <= before, "{lowest} <= {end} <= {before}");
        self.batches.retain(|batch| batch.next_offset <= end);
        if self.log.segment_count() == 0 {
            // Everything above the log start was lost: the next offset is the log start itself.
            assert_eq!(end, self.start);
            self.generation += 10;
            self.batches = vec![Stored {
                base_offset: end,
                next_offset: end,
                bytes: Vec::new(),
                timestamps: Vec::new(),
                producer: None,
                part: None,
            }];
        }
        self.sequences.clear();
        for batch in &self.batches {
            if let Some((producer, sequence)) = batch.producer {
                self.sequences.insert(producer, sequence + 1);
            }
        }
        assert_eq!(self.log.durable_end().offset, end);
        self.checkpointed = self.checkpointed.min(end);
        self.final_below = end;
        self.crashed = true;
        if self.log.segment_count() == 0 {
            self.end_forgotten();
        }
    }

    fn read(&self, from: f64, max_bytes: u32, min_one: bool) {
        let end = self.log.log_end();
        let offset = self.start + ((end.offset - self.start) as f64 * from) as i64;
        let slice = self.log.read(offset, max_bytes, end, min_one).unwrap();
        let Some(at) = self.batches.iter().position(|batch| batch.next_offset > offset) else {
            assert!(slice.is_empty());
            return;
        };
        let bytes = slice.to_vec().unwrap();
        let expected: Vec<u8> =
            self.batches[at..].iter().flat_map(|batch| batch.bytes.iter().copied()).collect();
        assert!(expected.starts_with(&bytes), "other bytes at {offset}");
        let first = self.batches[at].bytes.len();
        if min_one {
            assert!(bytes.len() >= first && bytes.len() <= first.max(max_bytes as usize));
        } else {
            assert!(bytes.len() <= max_bytes as usize);
            assert_eq!(
                bytes.is_empty(),
                (max_bytes as usize) < first,
                "the first batch comes whole or not at all"
            );
        }
    }

    /// Everything that the model has can be read, and nothing else.
    fn check(&mut self) {
        self.check_first_unstable(self.end());
        self.check_aborted(self.start, self.end());
        assert_eq!(self.log.log_start_offset(), self.start);
        assert_eq!(self.log.log_end().offset, self.end());
        let mut offset = self.start;
        let mut batches = self.batches.iter().skip_while(|batch| batch.next_offset <= self.start);
        while offset < self.end() {
            let bytes = self.log.read(offset, 1 << 20, self.log.log_end(), true).unwrap().to_vec().unwrap();
            let mut at = 0;
            while at < bytes.len() {
                let batch = batches.next().unwrap();
                assert!(bytes[at..].starts_with(&batch.bytes), "other bytes at {offset}");
                at += batch.bytes.len();
                offset = batch.next_offset;
            }
        }
        assert!(batches.next().is_none());
    }
}

/// How many cases to run: PROPTEST_CASES, or `by_default`.
pub(super) fn cases(by_default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(by_default)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(400), max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_log_does_what_a_list_of_batches_does(ops in proptest::collection::vec(op(), 1..120)) {
        static TALLY: Tally = Tally::new("model");
        TALLY.case(ops.len(), ops.iter().filter(|op| matches!(op, Op::Crash { .. })).count());
        let mut model = Model::new();
        for op in ops {
            model.apply(op);
        }
        model.check();
        model.apply(Op::Reopen);
        model.check();
    }
}
