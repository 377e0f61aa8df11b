//! Group commit: threads that sync partitions with waiting producers.
//!
//! An append that waits for a sync puts its partition on the queue and goes on; whatever is appended while a sync
//! runs is covered by the next. One sync answers everyone whose batch lies before the end it saw. Syncs that may linger
//! are begun in `rounds`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::background::Background;
use super::once_a_minute::OnceAMinute;
use super::partition::Partition;
use super::rounds::Rounds;
use super::space::Space;

/// What can't be done since the table of open files is full, or the disk, is tried again after so long.
pub(super) const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Queued, or in the hands of a flusher.
const BUSY: u8 = 1;
/// Someone asked after the flusher took its view of the log end, or nobody took one yet.
const DIRTY: u8 = 2;

/// Where a partition is on its way through the queue: idle (neither bit), queued (both), flushing (busy), flushing
/// and asked again (both). Every transition writes, so that each is ordered after the append it stands for.
#[derive(Debug, Default)]
pub(super) struct FlushState(AtomicU8);

impl FlushState {
    /// Asks for a sync. True when the caller must put the partition on the queue.
    fn request(&self) -> bool {
        self.0.fetch_or(BUSY | DIRTY, Ordering::AcqRel) & BUSY == 0
    }

    /// A flusher is about to look at the log end: what was appended before is covered.
    fn begin(&self) {
        self.0.fetch_and(!DIRTY, Ordering::AcqRel);
    }

    /// The sync is over. True when it was asked for again meanwhile: still busy, to be synced once more.
    fn finish(&self) -> bool {
        self.0.compare_exchange(BUSY, 0, Ordering::AcqRel, Ordering::Acquire).is_err()
    }
}

/// The log directory's health: sticky once a write or a sync failed.
///
/// After a failed fdatasync the kernel may have dropped the dirty pages and report the next one as good, so nothing
/// in the directory can be promised any more until recovery has read it back.
#[derive(Debug, Default)]
pub struct LogDirHealth {
    offline: AtomicBool,
    reason: Mutex<Option<String>>,
}

impl LogDirHealth {
    /// Whether the directory takes no more requests: `KAFKA_STORAGE_ERROR`.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// The first failure, for the operator.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    /// Takes the directory offline; the first reason stays. True for the call that did.
    fn fail(&self, reason: &dyn std::fmt::Display) -> bool {
        let mut first = self.reason.lock();
        if first.is_none() {
            *first = Some(reason.to_string());
        }
        !self.offline.swap(true, Ordering::AcqRel)
    }
}

/// What syncing cost, for metrics. Relaxed counters.
#[derive(Debug, Default)]
pub struct FlushStats {
    /// Syncs done.
    pub syncs: AtomicU64,
    /// Time spent in them, in microseconds.
    pub sync_time_us: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    dirty: VecDeque<Arc<Partition>>,
    lingering: Rounds<Arc<Partition>>,
    stopping: bool,
    failure_to_announce: bool,
}

/// The queue of partitions to sync, shared by the partitions of a log directory and its flushers.
#[derive(Debug)]
pub struct Flusher {
    queue: Mutex<Queue>,
    work: Condvar,
    /// What the maintenance thread is told.
    pub(super) background: Arc<Background>,
    /// The health of the directory that the partitions lie in.
    pub health: LogDirHealth,
    /// The room on its volume.
    pub space: Space,
    /// What syncing cost.
    pub stats: FlushStats,
    out_of_files: OnceAMinute,
}

/// What a flusher thread is woken for.
enum Work {
    Sync(Arc<Partition>),
    AnnounceFailure,
    Stop,
}

impl Flusher {
    /// For a directory on whose volume `log.dir.reserve.bytes` are kept free.
    pub(super) fn new(reserve_bytes: i64, background: Arc<Background>) -> Flusher {
        Flusher {
            queue: Mutex::default(),
            work: Condvar::new(),
            background,
            health: LogDirHealth::default(),
            space: Space::new(reserve_bytes),
            stats: FlushStats::default(),
            out_of_files: OnceAMinute::default(),
        }
    }

    /// Asks for a sync of everything appended to `partition` so far.
    pub(super) fn request(&self, partition: &Arc<Partition>) {
        if partition.flush_state().request() {
            self.push(Arc::clone(partition));
        }
    }

    fn push(&self, partition: Arc<Partition>) {
        let linger = partition.sync_linger();
        let mut queue = self.queue.lock();
        if linger.is_zero() {
            queue.dirty.push_back(partition);
            self.work.notify_one();
            return;
        }
        let nobody_waited = queue.lingering.due().is_none();
        let last_asked = Arc::clone(&partition);
        if queue.lingering.ask(partition, last_asked.last_asked(), linger, Instant::now()) {
            self.begin_round(&mut queue);
        } else if nobody_waited {
            // Someone has to look at the clock.
            self.work.notify_one();
        }
    }

    fn begin_round(&self, queue: &mut Queue) {
        let Queue { dirty, lingering, .. } = queue;
        for partition in lingering.begin() {
            dirty.push_back(partition);
            self.work.notify_one();
        }
    }

    /// Takes the log directory offline and has a flusher thread wake everyone who waits in it.
    pub(super) fn storage_failed(&self, reason: &dyn std::fmt::Display) {
        if self.health.fail(reason) {
            tracing::error!("a log directory is offline until a restart: {reason}");
            self.queue.lock().failure_to_announce = true;
            self.work.notify_one();
        }
    }

    /// Makes the threads in [`run`](Self::run) return once the queue is empty.
    pub(super) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.work.notify_all();
    }

    fn next(&self) -> Work {
        let mut queue = self.queue.lock();
        loop {
            if std::mem::take(&mut queue.failure_to_announce) {
                return Work::AnnounceFailure;
            }
            if let Some(partition) = queue.dirty.pop_front() {
                return Work::Sync(partition);
            }
            match queue.lingering.due() {
                Some(due) if queue.stopping || due <= Instant::now() => self.begin_round(&mut queue),
                Some(due) => {
                    self.work.wait_until(&mut queue, due);
                }
                None if queue.stopping => return Work::Stop,
                None => self.work.wait(&mut queue),
            }
        }
    }

    /// The body of a flusher thread. `announce_failure` fails every waiter of the directory.
    pub(super) fn run(&self, announce_failure: &dyn Fn()) {
        let mut wakers = Vec::new();
        loop {
            match self.next() {
                Work::Sync(partition) => {
                    let mut next = Some(partition);
                    while let Some(partition) = next {
                        next =
                            if self.sync(&partition, &mut wakers) { self.exchange(partition) } else { None };
                    }
                }
                Work::AnnounceFailure => announce_failure(),
                Work::Stop => return,
            }
        }
    }

    /// Syncs `partition` once and wakes those it satisfies. True when it was asked for again meanwhile.
    fn sync(&self, partition: &Arc<Partition>, wakers: &mut Vec<Waker>) -> bool {
        partition.flush_state().begin();
        let started = Instant::now();
        let covered = partition.sync(wakers);
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stats.syncs.fetch_add(1, Ordering::Relaxed);
        self.stats.sync_time_us.fetch_add(took, Ordering::Relaxed);
        wakers.drain(..).for_each(Waker::wake);
        if !covered && !self.queue.lock().stopping {
            if self.out_of_files.may_say(Instant::now()) {
                tracing::warn!(
                    partition = %partition.name(),
                    "no more files can be opened: who waits for a sync goes on waiting; raise the limit on open files, or close connections"
                );
            }
            std::thread::sleep(FULL_PAUSE);
            partition.flush_state().request();
        }
        partition.flush_state().finish()
    }

    /// Puts `again` behind the others and returns the first; alone it stays with this thread, without waking another.
    /// None when it lingers.
    fn exchange(&self, again: Arc<Partition>) -> Option<Arc<Partition>> {
        if !again.sync_linger().is_zero() {
            self.push(again);
            return None;
        }
        let mut queue = self.queue.lock();
        match queue.dirty.pop_front() {
            None => Some(again),
            Some(first) => {
                queue.dirty.push_back(again);
                Some(first)
            }
        }
    }

    /// Syncs what is queued now, on the calling thread.
    #[cfg(test)]
    pub(super) fn run_queued(&self) -> usize {
        let queued = std::mem::take(&mut self.queue.lock().dirty);
        for partition in &queued {
            if self.sync(partition, &mut Vec::new()) {
                self.push(Arc::clone(partition));
            }
        }
        queued.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_on_the_queue_once_and_again_when_asked_while_syncing() {
        let state = FlushState::default();
        assert!(state.request(), "idle: to be queued");
        assert!(!state.request(), "queued already");
        state.begin();
        assert!(!state.finish(), "nobody asked meanwhile: idle");
        assert!(state.request());
        state.begin();
        assert!(!state.request(), "a flusher has it: asked again");
        assert!(state.finish(), "so it goes round once more");
        state.begin();
        assert!(!state.finish());
    }

    #[test]
    fn the_first_failure_is_the_reason() {
        let health = LogDirHealth::default();
        assert!(!health.is_offline());
        assert!(health.fail(&"input/output error"));
        assert!(!health.fail(&"another"));
        assert!(health.is_offline());
        assert_eq!(health.reason().as_deref(), Some("input/output error"));
    }
}
