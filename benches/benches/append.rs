//! What an append costs the calling thread: sequence check, header, the copy into the segment, index, publish.
//! Into the prepared map and with a write, without syncing; and what a producer with an id, and its transaction, add.
//! Logs lie in the temporary directory (`TMPDIR`).
//!
//! `cargo bench -p fluxmq-benches --bench append`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fluxmq_benches::{NOW_MS, batch_of, restamp};
use fluxmq_storage::batch::{self, BatchRules, CheckedBatch};
use fluxmq_storage::codec::Codec;
use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log::{
    AppendContext, Log, LogConfig, LogEnv, OpenHint, PrepareTask, Preparer, WriteMode,
};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext, VerificationGuard};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// A log is given up for a new one at this size, so that a run doesn't fill the disk: within one segment.
const LOG_SIZE_BYTES: u64 = 200 << 20;
const PRODUCER_ID: i64 = 7;
/// The bit of the attributes.
const TRANSACTIONAL: i16 = 0x10;

/// The preparer's thread, as a broker runs it.
#[derive(Debug)]
struct Thread(mpsc::Sender<PrepareTask>);

impl Preparer for Thread {
    fn submit(&self, task: PrepareTask) {
        // The thread ends with the benchmark, after the logs.
        let _ = self.0.send(task);
    }
}

fn env() -> LogEnv {
    let (tasks, queue) = mpsc::channel::<PrepareTask>();
    thread::spawn(move || {
        for task in queue {
            let mut next = Some(task);
            while let Some(task) = next {
                next = task.run();
            }
        }
    });
    LogEnv::new(Arc::new(RealFs), Some(Arc::new(Thread(tasks))))
}

/// Whose batches are appended.
#[derive(Clone, Copy, PartialEq)]
enum Writer {
    Plain,
    Idempotent,
    Transactional,
}

impl Writer {
    /// The next of its batches.
    fn batch(self, batch: &CheckedBatch, base_sequence: i32) -> CheckedBatch {
        if self == Writer::Plain {
            return batch.clone();
        }
        let mut bytes = batch.bytes().to_vec();
        restamp(&mut bytes, |header| {
            (header.producer_id, header.producer_epoch, header.base_sequence) =
                (PRODUCER_ID, 0, base_sequence);
            if self == Writer::Transactional {
                header.attributes |= TRANSACTIONAL;
            }
        });
        batch::check(&bytes.into(), &BatchRules::defaults(NOW_MS)).expect("a batch that was built here")
    }
}

fn append(c: &mut Criterion) {
    let env = env();
    let mut group = c.benchmark_group("append");
    for (size, batch_bytes) in [("16KB", 16 << 10), ("1MB", 1_000_000)] {
        let batch = batch_of(batch_bytes, 1000, Codec::None);
        group.throughput(Throughput::Bytes(batch.bytes().len() as u64));
        for (name, mode, writer) in [
            ("mapped", WriteMode::Mapped, Writer::Plain),
            ("mapped-idempotent", WriteMode::Mapped, Writer::Idempotent),
            ("mapped-transactional", WriteMode::Mapped, Writer::Transactional),
            ("plain", WriteMode::Plain, Writer::Plain),
        ] {
            let context = AppendContext {
                leader_epoch: 0,
                now_ms: NOW_MS,
                mode,
                origin: AppendOrigin::Client,
                transaction: TransactionContext { guard: VerificationGuard::UNCHECKED, version: 0 },
            };
            group.bench_function(BenchmarkId::new(size, name), |b| {
                b.iter_custom(|iterations| {
                    let mut spent = Duration::ZERO;
                    let mut left = iterations;
                    while left > 0 {
                        let dir = tempfile::tempdir().expect("a temporary directory");
                        let hint =
                            OpenHint { clean: true, recovery_point: 0, log_start_offset: 0, now_ms: NOW_MS };
                        let (log, _) = Log::open(dir.path(), LogConfig::default(), env.clone(), hint)
                            .expect("an empty log opens");
                        let mut sequence = 0;
                        while left > 0 && log.size_bytes() < LOG_SIZE_BYTES {
                            let batch = writer.batch(&batch, sequence);
                            sequence += batch.header().records_count;
                            let started = Instant::now();
                            log.append(&batch, context).expect("an append");
                            spent += started.elapsed();
                            left -= 1;
                        }
                        log.mark_deleted();
                    }
                    spent
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = append
}
criterion_main!(benches);
