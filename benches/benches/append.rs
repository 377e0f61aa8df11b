//! What an append costs the calling thread: sequence check, header, the copy into the segment, index, publish.
//! Into the prepared map and with a write, without syncing. Logs lie in the temporary directory (`TMPDIR`).
//!
//! `cargo bench -p fluxmq-benches --bench append`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fluxmq_benches::{NOW_MS, batch_of};
use fluxmq_storage::codec::Codec;
use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log::{
    AppendContext, Log, LogConfig, LogEnv, OpenHint, PrepareTask, Preparer, WriteMode,
};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// A log is given up for a new one at this size, so that a run doesn't fill the disk: within one segment.
const LOG_SIZE_BYTES: u64 = 200 << 20;

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
    LogEnv { fs: Arc::new(RealFs), preparer: Some(Arc::new(Thread(tasks))) }
}

fn append(c: &mut Criterion) {
    let env = env();
    let mut group = c.benchmark_group("append");
    for (size, batch_bytes) in [("16KB", 16 << 10), ("1MB", 1_000_000)] {
        let batch = batch_of(batch_bytes, 1000, Codec::None);
        group.throughput(Throughput::Bytes(batch.bytes().len() as u64));
        for (name, mode) in [("mapped", WriteMode::Mapped), ("plain", WriteMode::Plain)] {
            let context = AppendContext {
                leader_epoch: 0,
                now_ms: NOW_MS,
                mode,
                origin: AppendOrigin::Client,
                transaction: TransactionContext::NONE,
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
                        while left > 0 && log.size_bytes() < LOG_SIZE_BYTES {
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
