//! What it costs to find a stretch of a log to answer a fetch with: in the active segment, in rolled ones that are open, and
//! in rolled ones whose files have to be opened first. Nothing is read from the stretch. Logs lie in the temporary directory
//! (`TMPDIR`).
//!
//! `cargo bench -p fluxmq-benches --bench read`

use criterion::{Criterion, criterion_group, criterion_main};
use fluxmq_benches::{NOW_MS, batch_of};
use fluxmq_storage::codec::Codec;
use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log::{AppendContext, Log, LogConfig, LogEnv, OpenHint, WriteMode};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};
use fluxmq_storage::segment::OpenSegments;
use std::path::Path;
use std::sync::Arc;

const SEGMENTS: usize = 64;
const MAX_BYTES: u32 = 64 << 10;

/// A log of so many rolled segments, with the base offsets of all segments.
fn log(dir: &Path, open_segments: usize) -> (Log, Vec<i64>) {
    let env = LogEnv {
        open_segments: Arc::new(OpenSegments::new(open_segments)),
        ..LogEnv::new(Arc::new(RealFs), None)
    };
    let hint = OpenHint { clean: true, recovery_point: 0, log_start_offset: 0, now_ms: NOW_MS };
    let config = LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() };
    let (log, _) = Log::open(dir, config, env, hint).expect("an empty log opens");
    let context = AppendContext {
        leader_epoch: 0,
        now_ms: NOW_MS,
        mode: WriteMode::Plain,
        origin: AppendOrigin::Client,
        transaction: TransactionContext::NONE,
    };
    let batch = batch_of(16 << 10, 1000, Codec::None);
    let mut base_offsets = Vec::new();
    while base_offsets.len() <= SEGMENTS {
        let end = log.append(&batch, context).expect("an append").end;
        if base_offsets.last() != Some(&end.segment_base_offset) {
            base_offsets.push(end.segment_base_offset);
        }
    }
    log.sync().expect("a disk");
    log.sync_sealed().expect("a disk");
    (log, base_offsets)
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for (name, open_segments, rolled) in
        [("active", 1, false), ("rolled-open", 1000, true), ("rolled-opened", 1, true)]
    {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (log, base_offsets) = log(dir.path(), open_segments);
        let end = log.log_end();
        let mut turn = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                turn += 1;
                // In the middle of a segment, so that its index is asked.
                let segment = if rolled { turn % SEGMENTS } else { SEGMENTS };
                let from_offset = base_offsets[segment] + if rolled { 500 } else { 0 };
                log.read(from_offset, MAX_BYTES, end, true).expect("it is there")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
