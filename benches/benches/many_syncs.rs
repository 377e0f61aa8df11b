//! Many files that each got a little: an fdatasync for each of them, by as many threads as a log directory has flushers,
//! against one syncfs for all. Also while somebody else writes to the file system, which syncfs has to wait for too.
//!
//! `cargo bench -p fluxmq-benches --bench many_syncs [-- dir=/path rounds=15]`. The two are done in turn.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use fluxmq_benches::figures::Options;
use rustix::fs::{FallocateFlags, fallocate, fdatasync, syncfs};
use rustix::time::{ClockId, clock_gettime};

const FLUSHERS: usize = 4;
const APPEND_BYTES: usize = 16 << 10;
const FILE_BYTES: u64 = 4 << 20;
const OTHERS_BYTES: usize = 1 << 20;

/// CPU time of this process in milliseconds.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn file(path: &Path) -> File {
    let file = File::options().create(true).truncate(true).write(true).open(path).expect("a file");
    fallocate(file.as_fd(), FallocateFlags::empty(), 0, FILE_BYTES).expect("room");
    file.sync_all().expect("a disk");
    file
}

fn each(files: &[File]) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..FLUSHERS.min(files.len()) {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    fdatasync(file.as_fd()).expect("a disk");
                }
            });
        }
    });
}

fn all_at_once(files: &[File]) {
    syncfs(files[0].as_fd()).expect("a disk");
}

fn main() {
    let options = Options::of_command_line();
    let (dir, rounds) = (options.get("dir", PathBuf::from("many-syncs.tmp")), options.get("rounds", 15));
    std::fs::create_dir_all(&dir).expect("a directory");
    let bytes = vec![7_u8; APPEND_BYTES];
    println!(
        "files  others' MB   fdatasync each: ms, CPU ms   one syncfs: ms, CPU ms   time of syncfs to that of fdatasync"
    );
    for others_mb in [0, 16, 128] {
        let others = File::create(dir.join("others")).expect("a file");
        for count in [1, 4, 16, 64, 256, 1000] {
            let files: Vec<File> = (0..count).map(|n| file(&dir.join(n.to_string()))).collect();
            let mut took = [(); 2].map(|()| (Vec::new(), Vec::new()));
            for round in 0..rounds {
                for (at, way) in [each, all_at_once].into_iter().enumerate() {
                    let position = (2 * round + at as u64) * APPEND_BYTES as u64 % FILE_BYTES;
                    files.iter().for_each(|file| file.write_all_at(&bytes, position).expect("room"));
                    for mb in 0..others_mb {
                        others
                            .write_all_at(&vec![round as u8; OTHERS_BYTES], mb * OTHERS_BYTES as u64)
                            .expect("room");
                    }
                    let (began, cpu) = (Instant::now(), cpu_ms());
                    way(&files);
                    took[at].0.push(began.elapsed().as_secs_f64() * 1000.0);
                    took[at].1.push(cpu_ms() - cpu);
                }
            }
            let [(each_ms, each_cpu), (all_ms, all_cpu)] = took.map(|(ms, cpu)| (median(ms), median(cpu)));
            println!(
                "{count:5} {others_mb:10} {each_ms:17.2} {each_cpu:9.2} {all_ms:16.2} {all_cpu:9.2} {:24.2}",
                all_ms / each_ms
            );
        }
    }
    std::fs::remove_dir_all(dir).expect("it is there");
}
