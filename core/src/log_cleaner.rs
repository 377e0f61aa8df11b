//! The log cleaner: threads that compact the logs of topics with `cleanup.policy=compact`, the dirtiest first.
//!
//! What a round does is in `fluxmq_storage::log`; here is which log is next, and how fast it goes. As in Kafka
//! (`LogCleanerManager`) a log whose round fails on its files or records is left alone until the next start, and the
//! others go on.

mod throttle;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fluxmq_storage::log::{Cleanable, Compacted, CompactionError, CompactionRules, OffsetMap};
use parking_lot::{Condvar, Mutex};

use self::throttle::Throttle;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::partitions::PartitionManager;
use crate::partitions::partition::{Partition, PartitionName};

/// The threads.
#[derive(Debug)]
pub struct LogCleaner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    partitions: Arc<PartitionManager>,
    clock: Clock,
    backoff: Duration,
    map_bytes: usize,
    map_load_factor: f64,
    throttle: Mutex<Throttle>,
    /// Logs that a thread has in hand, and those that can't be compacted.
    not_to_take: Mutex<HashSet<PartitionName>>,
    stopping: Mutex<bool>,
    stop: Condvar,
}

impl LogCleaner {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(partitions: Arc<PartitionManager>, config: &BrokerConfig, clock: Clock) -> io::Result<Self> {
        let config = &config.log_cleaner;
        if config.threads == 0 {
            tracing::warn!(
                "the log cleaner is off: compacted topics, and with them committed offsets, only grow"
            );
        }
        let shared = Arc::new(Shared {
            partitions,
            clock,
            backoff: Duration::from_millis(config.backoff_ms),
            map_bytes: config.dedupe_buffer_size / config.threads.max(1),
            map_load_factor: config.io_buffer_load_factor,
            throttle: Mutex::new(Throttle::new(config.io_max_bytes_per_second, Instant::now())),
            not_to_take: Mutex::default(),
            stopping: Mutex::new(false),
            stop: Condvar::new(),
        });
        let mut threads = Vec::new();
        for number in 0..config.threads {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("log-cleaner-{number}"));
            threads.push(thread.spawn(move || shared.run())?);
        }
        Ok(LogCleaner { shared, threads })
    }

    /// Ends the threads, and the rounds they are in. Returns false when one had panicked.
    pub fn stop(self) -> bool {
        *self.shared.stopping.lock() = true;
        self.shared.stop.notify_all();
        let ended: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        ended.iter().all(Result::is_ok)
    }
}

impl Shared {
    fn run(&self) {
        while self.goes_on_after(Duration::ZERO) {
            let cleaned = match self.take_dirtiest() {
                Some((partition, cleanable)) => self.clean(&partition, &cleanable),
                None => false,
            };
            if !cleaned && !self.goes_on_after(self.backoff) {
                return;
            }
        }
    }

    /// Waits; false once the cleaner is to stop.
    fn goes_on_after(&self, pause: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping && !pause.is_zero() {
            self.stop.wait_for(&mut stopping, pause);
        }
        !*stopping
    }

    /// The log with the largest share that no round has seen, among those for which it is time.
    fn take_dirtiest(&self) -> Option<(Arc<Partition>, Cleanable)> {
        if self.partitions.is_offline() {
            return None;
        }
        let now_ms = self.clock.now_ms();
        let mut not_to_take = self.not_to_take.lock();
        let candidates = self.partitions.all().into_iter().filter(|partition| {
            let config = partition.config();
            config.cleanup_policy.compact
                && !partition.is_offline()
                && !not_to_take.contains(partition.name())
        });
        let due = candidates.filter_map(|partition| match partition.cleanable(now_ms) {
            (cleanable, true) => Some((partition, cleanable)),
            _ => None,
        });
        let dirtiest = due.max_by(|(_, one), (_, other)| one.dirty_ratio().total_cmp(&other.dirty_ratio()));
        not_to_take.extend(dirtiest.iter().map(|(partition, _)| partition.name().clone()));
        dirtiest
    }

    /// One round. False if it is better to wait before the next.
    fn clean(&self, partition: &Partition, cleanable: &Cleanable) -> bool {
        let started = Instant::now();
        let config = partition.config();
        let rules =
            CompactionRules { delete_retention_ms: config.delete_retention_ms, now_ms: self.clock.now_ms() };
        drop(config);
        let mut map = OffsetMap::new(self.map_bytes, self.map_load_factor);
        let mut pace = |bytes| {
            let pause = self.throttle.lock().take(bytes, Instant::now());
            self.goes_on_after(pause)
        };
        let result = partition.log().compact(cleanable, rules, &mut map, &mut pace);
        drop(map);
        let (name, mut is_lost, mut cleaned) = (partition.name(), false, false);
        match result {
            Ok(done) => {
                partition.set_cleaned_until(done.cleaned_until);
                log_round(name, cleanable, &done, started.elapsed());
                if let Err(error) = self.partitions.checkpoint_cleaned() {
                    tracing::warn!(%error, "how far logs are compacted is written at the next round");
                }
                // A round that got nowhere would come again at once.
                cleaned = done.cleaned_until > cleanable.first_dirty_offset;
            }
            Err(CompactionError::Stopped) => {}
            Err(CompactionError::NoSpace(error)) => {
                tracing::warn!(partition = %name, %error, "no space to compact a log; it is tried again");
            }
            Err(CompactionError::Offline(offline)) => {
                partition.storage_failed(&format_args!("{name}: {offline}"));
            }
            Err(error @ (CompactionError::Unreadable { .. } | CompactionError::Io { .. })) => {
                tracing::error!(
                    partition = %name,
                    error = &error as &dyn std::error::Error,
                    "a log is not compacted any more until the next start; it is served as it is"
                );
                is_lost = !partition.is_deleted();
            }
        }
        if !is_lost {
            self.not_to_take.lock().remove(name);
        }
        cleaned
    }
}

fn log_round(name: &PartitionName, cleanable: &Cleanable, done: &Compacted, took: Duration) {
    tracing::info!(
        partition = %name,
        from = cleanable.first_dirty_offset,
        until = done.cleaned_until,
        keys = done.keys,
        segments = format_args!("{} -> {}", done.segments_before, done.segments_after),
        bytes = format_args!("{} -> {}", done.bytes_before, done.bytes_after),
        ms = took.as_millis(),
        "compacted a log"
    );
}
