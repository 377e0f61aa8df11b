//! What is done to the partitions in the background, by one thread: checkpoints, syncs by time, rolls by time,
//! retention, finishing rolled segments, forgetting idle producers, unlinking what was deleted.
//!
//! Compaction has threads of its own, in `log_cleaner`.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::{BrokerConfig, FlushPolicy};
use crate::partitions::PartitionManager;

/// Kafka's `replica.high.watermark.checkpoint.interval.ms`, at its default.
const HIGH_WATERMARK_INTERVAL_MS: u64 = 5_000;
/// How often the logs are looked at for `flush.ms`, unless `log.flush.scheduler.interval.ms` asks for more often.
/// Kafka's own default is never, whatever `flush.ms` says; here `flush.ms` alone is enough.
const FLUSH_CHECK_INTERVAL_MS: u64 = 1_000;
/// How often idle maps are dropped and deleted files unlinked.
const TIDY_INTERVAL_MS: u64 = 15_000;
/// How often the room on the volume is looked at.
const SPACE_INTERVAL_MS: u64 = 1_000;
/// A log that nothing was appended to for so long gives its map back: a process has a bounded number of them.
const IDLE_MAP_MS: i64 = 60_000;

/// The thread.
#[derive(Debug)]
pub struct Maintenance {
    partitions: Arc<PartitionManager>,
    thread: JoinHandle<()>,
}

impl Maintenance {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(partitions: Arc<PartitionManager>, config: &BrokerConfig, clock: Clock) -> io::Result<Self> {
        let schedule = Schedule::new(config, Instant::now());
        let expiration_ms = i64::from(config.producer_id_expiration_ms);
        let worker = Worker { partitions: Arc::clone(&partitions), clock, expiration_ms };
        let thread =
            std::thread::Builder::new().name("maintenance".into()).spawn(move || worker.run(schedule))?;
        Ok(Maintenance { partitions, thread })
    }

    /// Ends the thread after the work it is in. Returns false when it had panicked.
    pub fn stop(self) -> bool {
        self.partitions.background().stop();
        self.thread.join().is_ok()
    }
}

/// The work that comes again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    RecoveryPoints,
    LogStartOffsets,
    HighWatermarks,
    FlushByTime,
    Space,
    Retention,
    ExpireProducers,
    Tidy,
}

/// When each task is due next.
#[derive(Debug)]
struct Schedule {
    rows: Vec<(Task, Duration, Instant)>,
}

impl Schedule {
    fn new(config: &BrokerConfig, now: Instant) -> Self {
        let scheduler_ms = u64::try_from(config.log_flush_scheduler_interval_ms).unwrap_or(u64::MAX);
        let ms = |value: i64| u64::try_from(value).unwrap_or(1).max(1);
        let rows = [
            (Task::RecoveryPoints, ms(config.log_flush_offset_checkpoint_interval_ms.into())),
            (Task::LogStartOffsets, ms(config.log_flush_start_offset_checkpoint_interval_ms.into())),
            (Task::HighWatermarks, HIGH_WATERMARK_INTERVAL_MS),
            (Task::FlushByTime, scheduler_ms.clamp(1, FLUSH_CHECK_INTERVAL_MS)),
            (Task::Space, SPACE_INTERVAL_MS),
            (Task::Retention, ms(config.log_retention_check_interval_ms)),
            (Task::ExpireProducers, ms(config.producer_id_expiration_check_interval_ms.into())),
            (Task::Tidy, TIDY_INTERVAL_MS),
        ];
        let first = Duration::from_millis(ms(config.log_initial_task_delay_ms));
        let rows = rows.map(|(task, interval_ms)| {
            let interval = Duration::from_millis(interval_ms);
            (task, interval, now + interval.min(first))
        });
        Schedule { rows: rows.into() }
    }

    /// The first task that is due, put off by its interval; or how long none is.
    fn next(&mut self, now: Instant) -> Result<Task, Duration> {
        let row = self.rows.iter_mut().min_by_key(|(_, _, due)| *due).expect("the schedule has rows");
        let (task, interval, due) = row;
        if *due > now {
            return Err(*due - now);
        }
        *due = now + *interval;
        Ok(*task)
    }
}

struct Worker {
    partitions: Arc<PartitionManager>,
    clock: Clock,
    expiration_ms: i64,
}

impl Worker {
    fn run(&self, mut schedule: Schedule) {
        let background = self.partitions.background();
        while !background.is_stopping() {
            match schedule.next(Instant::now()) {
                Ok(task) => self.run_task(task),
                Err(idle) => {
                    if let Some(rolled) = background.next_rolled(idle)
                        && self.partitions.policy() != FlushPolicy::Never
                    {
                        rolled.sync_sealed();
                    }
                }
            }
        }
    }

    fn run_task(&self, task: Task) {
        // What was synced before the failure stays as it is; recovery sorts it out.
        if self.partitions.is_offline() {
            return;
        }
        let now_ms = self.clock.now_ms();
        let written = match task {
            Task::RecoveryPoints => self.partitions.checkpoint_recovery_points(),
            Task::LogStartOffsets => self.partitions.checkpoint_log_start_offsets(),
            Task::HighWatermarks => self.partitions.checkpoint_high_watermarks(),
            Task::FlushByTime => {
                self.partitions.flush_by_time(now_ms);
                Ok(())
            }
            Task::Space => self.partitions.watch_space(),
            Task::Retention => {
                self.partitions.roll_by_time(now_ms);
                self.partitions.apply_retention(now_ms)
            }
            Task::ExpireProducers => {
                let partitions = self.partitions.all();
                partitions.iter().for_each(|one| one.log().expire_producers(now_ms, self.expiration_ms));
                Ok(())
            }
            Task::Tidy => {
                for partition in self.partitions.all().iter().filter(|partition| !partition.is_offline()) {
                    partition.log().drop_idle_map(now_ms, IDLE_MAP_MS);
                    partition.log().unlink_deleted(Some(now_ms));
                }
                self.partitions.remove_deleted(now_ms)
            }
        };
        if let Err(error) = written {
            tracing::warn!(?task, %error, "maintenance failed and is tried again at its next turn");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_in_the_order_in_which_they_are_due() {
        let config = BrokerConfig::for_tests(std::path::Path::new("unused"));
        let start = Instant::now();
        let mut schedule = Schedule::new(&config, start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(schedule.next(start), Err(Duration::from_secs(1)));
        assert_eq!(schedule.next(at(1)), Ok(Task::FlushByTime));
        assert_eq!(schedule.next(at(1)), Ok(Task::Space));
        assert_eq!(schedule.next(at(1)), Err(Duration::from_secs(1)));
        // After a long stall every task is due once, not as often as it was missed.
        let mut due = Vec::new();
        while let Ok(task) = schedule.next(at(600)) {
            due.push(task);
        }
        assert_eq!(due.len(), 8, "{due:?}");
    }
}
