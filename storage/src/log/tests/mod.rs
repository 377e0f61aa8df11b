//! Tests of a log as a whole, on the real file system.

mod appending;
mod compacting;
mod faults;
mod flipping;
mod mapped;
mod model;
mod recovering;
mod retaining;
mod stress;
mod transactions;

use super::*;
use crate::batch::{BatchBuilder, CheckedBatch, verify_stored};
use crate::fs::RealFs;
use crate::producer_state::{AppendOrigin, TransactionContext};
use std::sync::atomic::AtomicU64;

/// What a model has done so far, said from time to time when it runs for long.
struct Tally {
    name: &'static str,
    cases: AtomicU64,
    operations: AtomicU64,
    crashes: AtomicU64,
}

impl Tally {
    const fn new(name: &'static str) -> Tally {
        let [cases, operations, crashes] = [const { AtomicU64::new(0) }; 3];
        Tally { name, cases, operations, crashes }
    }

    fn case(&self, operations: usize, crashes: usize) {
        let operations = self.operations.fetch_add(operations as u64, Ordering::Relaxed) + operations as u64;
        let crashes = self.crashes.fetch_add(crashes as u64, Ordering::Relaxed) + crashes as u64;
        let cases = self.cases.fetch_add(1, Ordering::Relaxed) + 1;
        if cases.is_multiple_of(10_000) {
            println!("{}: {cases} cases, {operations} operations, {crashes} crashes", self.name);
        }
    }
}

const NOW_MS: i64 = 1_700_000_000_000;

/// Runs tasks when told to.
#[derive(Debug, Default)]
struct ManualPreparer {
    tasks: Mutex<Vec<PrepareTask>>,
}

impl Preparer for ManualPreparer {
    fn submit(&self, task: PrepareTask) {
        self.tasks.lock().push(task);
    }
}

impl ManualPreparer {
    fn run(&self) {
        loop {
            let tasks = std::mem::take(&mut *self.tasks.lock());
            if tasks.is_empty() {
                return;
            }
            let more = tasks.into_iter().filter_map(PrepareTask::run).collect::<Vec<_>>();
            self.tasks.lock().extend(more);
        }
    }
}

/// With so few rolled segments open at once that most reads have to open theirs.
fn env_with(fs: Arc<dyn Fs>, preparer: Option<Arc<dyn Preparer>>) -> LogEnv {
    LogEnv { open_segments: Arc::new(OpenSegments::new(2)), ..LogEnv::new(fs, preparer) }
}

fn plain_env() -> LogEnv {
    env_with(Arc::new(RealFs), None)
}

fn mapped_env() -> (LogEnv, Arc<ManualPreparer>) {
    let preparer = Arc::new(ManualPreparer::default());
    (env_with(Arc::new(RealFs), Some(preparer.clone())), preparer)
}

fn hint(clean: bool, recovery_point: i64) -> OpenHint {
    OpenHint { clean, recovery_point, log_start_offset: 0, now_ms: NOW_MS }
}

fn context(mode: WriteMode) -> AppendContext {
    AppendContext {
        leader_epoch: 3,
        now_ms: NOW_MS,
        mode,
        origin: AppendOrigin::Client,
        transaction: TransactionContext::NONE,
    }
}

fn batch(records: usize, value_bytes: usize) -> CheckedBatch {
    let mut builder = BatchBuilder::new();
    for i in 0..records {
        builder = builder.record(NOW_MS + i as i64, Some(b"key"), Some(&vec![i as u8; value_bytes]));
    }
    builder.build()
}

/// Reads everything from the log start on, checks every batch and gives the offsets.
fn read_all(log: &Log) -> Vec<(i64, i64)> {
    let mut offsets = Vec::new();
    let mut next = log.log_start_offset();
    let end = log.log_end();
    while next < end.offset {
        let bytes = log.read(next, 1 << 20, end, true).unwrap().to_vec().unwrap();
        assert!(!bytes.is_empty(), "nothing at {next}");
        let mut at = 0;
        while let Ok(header) = verify_stored(&bytes[at..]) {
            offsets.push((header.base_offset, header.last_offset()));
            next = header.next_offset();
            at += header.size_in_bytes();
        }
        assert!(at > 0, "no whole batch at {next}");
    }
    offsets
}

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 16 << 10, index_interval_bytes: 1024, ..LogConfig::default() }
}

#[test]
fn what_was_appended_is_read_back_and_is_there_after_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (log, recovered) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 0)).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert_eq!((log.log_end().offset, log.segment_count()), (0, 0));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "an idle log has no files");
    let mut expected = Vec::new();
    for i in 0..200 {
        let appended = log.append(&batch(1 + i % 3, 300), context(WriteMode::Plain)).unwrap();
        assert_eq!(appended.end, log.log_end());
        expected.push((appended.base_offset, appended.last_offset));
    }
    assert_eq!(read_all(&log), expected);
    assert!(log.segment_count() > 5);
    let end = log.close().unwrap();
    assert_eq!((end.offset, log.recovery_point()), (399, 399));
    assert!(matches!(log.append(&batch(1, 1), context(WriteMode::Plain)), Err(AppendError::Closed)));
    drop(log);
    let (log, recovered) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 399)).unwrap();
    assert_eq!(recovered, Recovered::default(), "nothing is looked through after a clean stop");
    assert_eq!(read_all(&log), expected);
    assert_eq!(log.log_end(), end);
    assert_eq!(log.latest_epoch(), Some(3));
    let appended = log.append(&batch(1, 10), context(WriteMode::Plain)).unwrap();
    assert_eq!(appended.base_offset, 399);
}

#[test]
fn after_a_crash_batches_past_the_recovery_point_are_looked_through() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 0)).unwrap();
    for _ in 0..100 {
        log.append(&batch(2, 300), context(WriteMode::Plain)).unwrap();
    }
    let expected = read_all(&log);
    drop(log);
    let (log, recovered) = Log::open(dir.path(), small_segments(), plain_env(), hint(false, 0)).unwrap();
    assert_eq!(recovered.scanned_segments, log.segment_count());
    let cut = recovered.cut.unwrap();
    assert_eq!((cut.reason, cut.from_offset), (CutReason::Zeros, 200), "the reserved stretch goes");
    assert_eq!(read_all(&log), expected);
}
