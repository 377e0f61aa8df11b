//! How long the slowest appends take at a steady 400 MB/s that nobody syncs, beside bare writers of the same bytes:
//! a write to a file that another thread reserves ahead, and a copy to a map that another thread makes writable ahead.
//! Rolls are among them.
//!
//! `cargo bench -p fluxmq-benches --bench append_tail [-- dir=/path rounds=5 mb=1000 mb_per_s=400 sizes=16384,1000000]`

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use fluxmq_benches::figures::Options;
use fluxmq_benches::{NOW_MS, batch_of};
use fluxmq_storage::batch::CheckedBatch;
use fluxmq_storage::codec::Codec;
use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log::{
    AppendContext, Log, LogConfig, LogEnv, OpenHint, PrepareTask, Preparer, WriteMode,
};
use fluxmq_storage::mmap::{Populate, SegmentMap};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};
use rustix::fs::FallocateFlags;

const SEGMENT_BYTES: u64 = 256 << 20;
/// What a bare writer's other thread does ahead, in steps of a megabyte.
const AHEAD_BYTES: u64 = 16 << 20;
const STEP_BYTES: u64 = 1 << 20;
/// In place of a position, once all is appended.
const DONE: u64 = u64::MAX / 2;

/// Appends a batch at a pace to something new in a directory, and says how long each append took.
type Writer = fn(&Path, &CheckedBatch, Pace) -> Vec<Duration>;

fn main() {
    let options = Options::of_command_line();
    let dir: PathBuf = options.get("dir", PathBuf::from("append-tail.tmp"));
    let (rounds, mb, mb_per_s): (usize, u64, u64) =
        (options.get("rounds", 5), options.get("mb", 1000), options.get("mb_per_s", 400));
    let writers: [(&str, Writer); 3] = [("log", log), ("bare write", bare_write), ("bare map", bare_map)];
    for size in options.get("sizes", "16384,1000000".to_owned()).split(',') {
        let size: usize = size.parse().expect("a number of bytes");
        let batch = batch_of(size - 1200, 1000, Codec::None);
        let bytes = batch.bytes().len() as u64;
        let pace =
            Pace { count: mb * 1_000_000 / bytes, every: Duration::from_nanos(bytes * 1000 / mb_per_s) };
        let mut p999 = [(); 3].map(|()| Vec::new());
        for round in 0..rounds {
            for turn in 0..writers.len() {
                let turn = (round + turn) % writers.len();
                std::fs::create_dir_all(&dir).expect("a directory");
                let mut latencies = writers[turn].1(&dir, &batch, pace);
                std::fs::remove_dir_all(&dir).expect("it is there");
                latencies.sort_unstable();
                let at =
                    |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e6;
                println!(
                    "{bytes:8} {:10} p50 {:.1} p99 {:.1} p99.9 {:.1} us",
                    writers[turn].0,
                    at(0.5),
                    at(0.99),
                    at(0.999)
                );
                p999[turn].push(at(0.999));
            }
        }
        p999.iter_mut().for_each(|values| values.sort_by(f64::total_cmp));
        let by = |of: fn(f64, f64) -> f64, at: usize| p999[0][at] / of(p999[1][at], p999[2][at]);
        for (who, of) in
            [("best bare writer", f64::min as fn(f64, f64) -> f64), ("bare write", |write, _| write)]
        {
            println!(
                "{bytes:8} log / {who}, p99.9: median {:.2}, least {:.2}",
                by(of, rounds / 2),
                by(of, 0)
            );
        }
    }
}

/// Appends that are due at even distances.
#[derive(Clone, Copy)]
struct Pace {
    count: u64,
    every: Duration,
}

impl Pace {
    /// How many are filled by batches of so many bytes.
    fn segments(self, bytes: u64) -> usize {
        usize::try_from(self.count / (SEGMENT_BYTES / bytes) + 1).expect("few")
    }

    /// How long each took. One that comes late because of the last begins at once.
    fn run(self, mut append: impl FnMut()) -> Vec<Duration> {
        let started = Instant::now();
        (0..self.count)
            .map(|number| {
                let due = started + self.every * u32::try_from(number).expect("few");
                while Instant::now() < due {
                    std::hint::spin_loop();
                }
                let began = Instant::now();
                append();
                began.elapsed()
            })
            .collect()
    }
}

#[derive(Debug)]
struct PreparerThread(mpsc::Sender<PrepareTask>);

impl Preparer for PreparerThread {
    fn submit(&self, task: PrepareTask) {
        // The thread ends with the last log.
        let _ = self.0.send(task);
    }
}

fn log(dir: &Path, batch: &CheckedBatch, pace: Pace) -> Vec<Duration> {
    let (tasks, queue) = mpsc::channel::<PrepareTask>();
    let preparer = std::thread::spawn(move || {
        for mut task in queue {
            while let Some(rest) = task.run() {
                task = rest;
            }
        }
    });
    let env = LogEnv::new(Arc::new(RealFs), Some(Arc::new(PreparerThread(tasks))));
    let hint = OpenHint { clean: true, recovery_point: 0, log_start_offset: 0, now_ms: NOW_MS };
    let (log, _) = Log::open(dir, LogConfig::default(), env, hint).expect("an empty directory");
    let started = Instant::now();
    let latencies = pace.run(|| {
        let now_ms = NOW_MS + i64::try_from(started.elapsed().as_millis()).expect("short");
        let context = AppendContext {
            leader_epoch: 0,
            now_ms,
            mode: WriteMode::Mapped,
            origin: AppendOrigin::Client,
            transaction: TransactionContext::NONE,
        };
        log.append(batch, context).expect("space");
    });
    drop(log);
    preparer.join().expect("it ends");
    latencies
}

/// A thread does `prepare` to each stretch of the segments, a number and a position, before an append needs it.
fn ahead(
    pace: Pace,
    bytes: u64,
    prepare: impl Fn(usize, u64) + Sync,
    mut append: impl FnMut(usize, u64),
) -> Vec<Duration> {
    let per_segment = SEGMENT_BYTES / bytes;
    let position = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in (0..).step_by(STEP_BYTES as usize) {
                while at >= position.load(Ordering::Acquire) + AHEAD_BYTES {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let segment = at / SEGMENT_BYTES;
                if segment as usize >= pace.segments(bytes) || position.load(Ordering::Acquire) == DONE {
                    return;
                }
                prepare(segment as usize, at % SEGMENT_BYTES);
            }
        });
        // The first stretch is there before the first append.
        std::thread::sleep(Duration::from_millis(50));
        let mut number = 0;
        let latencies = pace.run(|| {
            let (segment, at) = (number / per_segment, number % per_segment * bytes);
            append(segment as usize, at);
            number += 1;
            position.store(segment * SEGMENT_BYTES + at + bytes, Ordering::Release);
        });
        position.store(DONE, Ordering::Release);
        latencies
    })
}

fn files(dir: &Path, count: usize) -> Vec<File> {
    let open = |index| {
        let path = dir.join(format!("bare-{index}"));
        File::options().read(true).write(true).create_new(true).open(path).expect("a new file")
    };
    (0..count).map(open).collect()
}

fn reserve(file: &File, from: u64) {
    rustix::fs::fallocate(file.as_fd(), FallocateFlags::empty(), from, STEP_BYTES).expect("space");
}

fn bare_write(dir: &Path, batch: &CheckedBatch, pace: Pace) -> Vec<Duration> {
    let bytes = batch.bytes();
    let files = files(dir, pace.segments(bytes.len() as u64));
    let prepare = |segment: usize, from| reserve(&files[segment], from);
    let append = |segment: usize, at| files[segment].write_all_at(bytes, at).expect("space");
    ahead(pace, bytes.len() as u64, prepare, append)
}

fn bare_map(dir: &Path, batch: &CheckedBatch, pace: Pace) -> Vec<Duration> {
    let bytes = batch.bytes();
    let files = files(dir, pace.segments(bytes.len() as u64));
    let map = |file| SegmentMap::new(file, SEGMENT_BYTES as usize).expect("a file system with maps");
    let mut maps: Vec<SegmentMap> = files.iter().map(map).collect();
    let populates: Vec<Populate> = maps.iter().map(SegmentMap::populate_handle).collect();
    let prepare = |segment: usize, from| {
        reserve(&files[segment], from);
        let to = from + STEP_BYTES;
        populates[segment].populate(from as usize, to as usize).expect("it is reserved");
    };
    let append = |segment: usize, at| maps[segment].store(at as usize, &[bytes]);
    ahead(pace, bytes.len() as u64, prepare, append)
}
