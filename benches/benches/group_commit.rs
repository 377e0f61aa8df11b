//! Producers that each append 16 KB with acks=all and wait, against the bare loop of the same work: a mutex, a
//! pwrite, and one thread that calls fdatasync for all who wait.
//!
//! The bare loop goes on to another reserved file when one is full, as a log does: a sync of blocks that were never
//! written has to note that they are now. A second one begins again at the start of its file, and is spared that; its
//! figures say what the note costs.
//!
//! `cargo bench -p fluxmq-benches --bench group_commit [-- dir=/path seconds=2 rounds=5 producers=8]`. The three are
//! run in turns; what counts is their ratio in one run of this program.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use fluxmq::clock::Clock;
use fluxmq::config::{BrokerConfig, TopicConfig};
use fluxmq::partitions::PartitionManager;
use fluxmq::partitions::high_watermark::Acks;
use fluxmq::partitions::partition::{Partition, PartitionName};
use fluxmq::partitions::waiters::CommitWait;
use fluxmq_protocol::StrBytes;
use fluxmq_storage::batch::{BatchBuilder, CheckedBatch};
use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log_dir::LogDir;
use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

const BATCH_BYTES: usize = 16 * 1024;
const SEGMENT_BYTES: u64 = 256 << 20;

struct Options {
    dir: PathBuf,
    seconds: u64,
    rounds: usize,
    producers: usize,
    partitions: usize,
}

#[derive(Clone, Copy)]
struct Run {
    commits_per_s: f64,
    syncs_per_s: f64,
    cpu_us: f64,
    p50_us: u64,
    p99_us: u64,
}

fn main() {
    let mut options = Options {
        dir: PathBuf::from("group-commit.tmp"),
        seconds: 2,
        rounds: 5,
        producers: 8,
        partitions: 1,
    };
    for argument in std::env::args().skip(1) {
        let number = |value: &str| value.parse().expect("a number");
        match argument.split_once('=') {
            Some(("dir", value)) => options.dir = PathBuf::from(value),
            Some(("seconds", value)) => options.seconds = number(value),
            Some(("rounds", value)) => options.rounds = usize::try_from(number(value)).expect("small"),
            Some(("producers", value)) => options.producers = usize::try_from(number(value)).expect("small"),
            Some(("partitions", value)) => {
                options.partitions = usize::try_from(number(value)).expect("small");
            }
            _ => {}
        }
    }
    let runs: [fn(&Options) -> Run; 3] = [bare_log, bare_overwriting, partitions];
    let mut results = [(); 3].map(|()| Vec::new());
    for round in 0..options.rounds {
        for turn in 0..3 {
            let turn = (round + turn) % 3;
            results[turn].push(runs[turn](&options));
        }
    }
    let [bare, overwriting, ours] = results;
    report("bare loop", &bare);
    report("overwriting", &overwriting);
    report("partitions", &ours);
    println!("{} producers, {} partitions, by those of", options.producers, options.partitions);
    for (what, bare) in [("bare loop", &bare), ("overwriting", &overwriting)] {
        println!(
            "{what:11} commits/s {:.2}  cpu {:.2}",
            median(&ours, |run| run.commits_per_s) / median(bare, |run| run.commits_per_s),
            median(&ours, |run| run.cpu_us) / median(bare, |run| run.cpu_us),
        );
    }
}

fn report(what: &str, runs: &[Run]) {
    println!(
        "{what:11} commits/s {:.0}  fdatasync/s {:.0}  p50 {:.0} us  p99 {:.0} us  cpu {:.1} us/commit",
        median(runs, |run| run.commits_per_s),
        median(runs, |run| run.syncs_per_s),
        median(runs, |run| run.p50_us as f64),
        median(runs, |run| run.p99_us as f64),
        median(runs, |run| run.cpu_us),
    );
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU time of this process in microseconds, to the system's 10 ms.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("it has a name").split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().expect("ticks")).sum();
    ticks * 10_000.0
}

/// Runs `commit` in as many threads as there are producers, and measures.
fn measure(options: &Options, syncs: &AtomicU64, commit: impl Fn(usize) + Sync) -> Run {
    let stop = AtomicBool::new(false);
    let latencies = Mutex::new(Vec::new());
    let (started, cpu, syncs_before) = (Instant::now(), cpu_us(), syncs.load(Ordering::Relaxed));
    std::thread::scope(|scope| {
        for producer in 0..options.producers {
            let (stop, latencies, commit) = (&stop, &latencies, &commit);
            scope.spawn(move || {
                let mut own = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let at = Instant::now();
                    commit(producer);
                    own.push(u64::try_from(at.elapsed().as_micros()).expect("short"));
                }
                latencies.lock().extend(own);
            });
        }
        std::thread::sleep(Duration::from_secs(options.seconds));
        stop.store(true, Ordering::Relaxed);
    });
    let wall_s = started.elapsed().as_secs_f64();
    let mut latencies = latencies.into_inner();
    latencies.sort_unstable();
    let commits = latencies.len();
    Run {
        commits_per_s: commits as f64 / wall_s,
        syncs_per_s: (syncs.load(Ordering::Relaxed) - syncs_before) as f64 / wall_s,
        cpu_us: (cpu_us() - cpu) / commits as f64,
        p50_us: latencies[commits / 2],
        p99_us: latencies[commits * 99 / 100],
    }
}

struct Bare {
    file: Arc<File>,
    position: u64,
    appended: u64,
    durable: u64,
}

fn bare_log(options: &Options) -> Run {
    let files = AtomicU64::new(0);
    bare_loop(options, |dir, full| {
        // What it holds is durable before the next one takes anything.
        full.map_or(Ok(()), |full| rustix::fs::fdatasync(full.as_fd())).expect("a disk");
        reserved(&dir.join(files.fetch_add(1, Ordering::Relaxed).to_string()))
    })
}

fn bare_overwriting(options: &Options) -> Run {
    bare_loop(options, |dir, full| full.unwrap_or_else(|| reserved(&dir.join("again"))))
}

fn reserved(path: &Path) -> Arc<File> {
    let file = File::create(path).expect("a file");
    rustix::fs::fallocate(file.as_fd(), rustix::fs::FallocateFlags::empty(), 0, SEGMENT_BYTES)
        .expect("space");
    Arc::new(file)
}

/// `next` gives the file to write from its start when there is none yet, or the one that it gets is full.
fn bare_loop(options: &Options, next: impl Fn(&Path, Option<Arc<File>>) -> Arc<File> + Sync) -> Run {
    let dir = options.dir.join("bare");
    std::fs::create_dir_all(&dir).expect("a directory");
    let bytes = vec![7_u8; BATCH_BYTES];
    let state = Mutex::new(Bare { file: next(&dir, None), position: 0, appended: 0, durable: 0 });
    let changed = Condvar::new();
    let (stop, syncs) = (AtomicBool::new(false), AtomicU64::new(0));
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let (file, end) = {
                    let mut state = state.lock();
                    while state.appended == state.durable {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        changed.wait_for(&mut state, Duration::from_millis(5));
                    }
                    (Arc::clone(&state.file), state.appended)
                };
                rustix::fs::fdatasync(file.as_fd()).expect("a disk");
                syncs.fetch_add(1, Ordering::Relaxed);
                state.lock().durable = end;
                changed.notify_all();
            }
        });
        let run = measure(options, &syncs, |_| {
            let end = {
                let mut state = state.lock();
                if state.position == SEGMENT_BYTES {
                    let full = Arc::clone(&state.file);
                    (state.file, state.position) = (next(&dir, Some(full)), 0);
                }
                state.file.write_all_at(&bytes, state.position).expect("a disk");
                state.position += BATCH_BYTES as u64;
                state.appended += 1;
                state.appended
            };
            changed.notify_all();
            let mut state = state.lock();
            while state.durable < end {
                changed.wait(&mut state);
            }
        });
        stop.store(true, Ordering::Relaxed);
        run
    });
    drop(state);
    std::fs::remove_dir_all(dir).expect("it is there");
    run
}

fn batch() -> CheckedBatch {
    let value = vec![7_u8; 1000];
    let mut batch = BatchBuilder::new();
    while batch.size_in_bytes() + value.len() < BATCH_BYTES {
        batch = batch.record(1_700_000_000_000, None, Some(&value));
    }
    batch.build()
}

fn open(dir: &Path) -> PartitionManager {
    let config = BrokerConfig::for_tests(dir);
    let log_dir = LogDir::open(dir, None, config.node_id, Arc::new(RealFs)).expect("a directory");
    PartitionManager::start(vec![log_dir], Arc::new(RealFs), &config, Clock::default()).expect("threads")
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    while future.as_mut().poll(&mut context).is_pending() {
        std::thread::park();
    }
}

fn partitions(options: &Options) -> Run {
    let dir = options.dir.join("partitions");
    let manager = open(&dir);
    let name = |index| PartitionName {
        topic: StrBytes::from_static_str("bench"),
        topic_id: Uuid::from_u128(1000),
        index,
    };
    let count = i32::try_from(options.partitions).expect("small");
    let partitions: Vec<Arc<Partition>> = (0..count)
        .map(|index| manager.create(name(index), Arc::new(TopicConfig::default()), 0).expect("a partition"))
        .collect();
    let batch = batch();
    let run = measure(options, &manager.dirs()[0].flusher().stats.syncs, |producer| {
        let partition = &partitions[producer % partitions.len()];
        let outcome = partition.append(&batch, Acks::All, 1_700_000_000_000).expect("an append");
        if let Some(end_offset) = outcome.commit_at {
            let mut wait = CommitWait::new();
            wait.watch(partition, end_offset);
            block_on(wait.done());
        }
    });
    drop(partitions);
    drop(manager);
    std::fs::remove_dir_all(dir).expect("it is there");
    run
}
