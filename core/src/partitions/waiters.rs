//! Those who wait for a partition: fetches for the high watermark or the last stable offset, producers for the durable
//! end.
//!
//! Both wait for several partitions at once and are woken once. A waiter is shared between the task that sleeps on
//! it and the partitions it watches; whoever completes it takes the waker out, so that the waking itself happens
//! outside of every lock.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use fluxmq_storage::LogOffsetMetadata;
use futures_util::task::AtomicWaker;

use super::partition::Partition;

/// A Fetch that found fewer than its `min_bytes` and waits for more.
///
/// Partitions report the bytes by which the mark moves that it may read up to; the waiter is ready once they sum up to what was
/// missing, or when something happened that needs a new look at once.
#[derive(Debug)]
pub struct FetchWaiter {
    missing_bytes: AtomicI64,
    ready: AtomicBool,
    waker: AtomicWaker,
}

impl FetchWaiter {
    /// A waiter for `missing_bytes` more bytes than were there when the fetch was planned.
    #[must_use]
    pub fn new(missing_bytes: i64) -> Arc<Self> {
        Arc::new(FetchWaiter {
            missing_bytes: AtomicI64::new(missing_bytes),
            ready: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// Whether the fetch is worth planning again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Ready once enough bytes came or the waiter was called off. Keeps one waker: for one task.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_ready() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// As [`poll_ready`](Self::poll_ready), to be awaited. The deadline is the caller's.
    pub async fn ready(&self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// Makes the waiter ready whatever is missing, and wakes its task.
    pub fn wake(&self) {
        if let Some(waker) = self.take_waker() {
            waker.wake();
        }
    }

    /// Counts `bytes` that came; the waker to call if that made the waiter ready.
    pub(super) fn arrived(&self, bytes: i64) -> Option<Waker> {
        if self.ready.load(Ordering::Relaxed) {
            return None;
        }
        // fetch_update rather than fetch_sub: i64::MAX means "enough", twice of it must not wrap around.
        let before = self
            .missing_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |missing| Some(missing.saturating_sub(bytes)))
            .unwrap_or(0);
        if before.saturating_sub(bytes) <= 0 { self.take_waker() } else { None }
    }

    /// Makes the waiter ready; the waker to call if it was not.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        if self.ready.swap(true, Ordering::AcqRel) { None } else { self.waker.take() }
    }
}

/// A [`FetchWaiter`] and the partitions it is registered with; dropping it takes it off all of them.
#[derive(Debug)]
pub struct FetchWait {
    waiter: Arc<FetchWaiter>,
    partitions: Vec<Arc<Partition>>,
}

impl FetchWait {
    /// See [`FetchWaiter::new`]. Watches nothing yet.
    #[must_use]
    pub fn new(missing_bytes: i64) -> Self {
        FetchWait { waiter: FetchWaiter::new(missing_bytes), partitions: Vec::new() }
    }

    /// Watches `partition`, whose high watermark was `seen` when the fetch was planned: what it moved since counts.
    pub fn watch(&mut self, partition: &Arc<Partition>, seen: LogOffsetMetadata) {
        partition.register_fetch_waiter(&self.waiter, seen);
        self.partitions.push(Arc::clone(partition));
    }

    /// As [`watch`](Self::watch), for a fetch under read_committed: the mark is the last stable offset.
    pub fn watch_committed(&mut self, partition: &Arc<Partition>, seen: LogOffsetMetadata) {
        partition.register_committed_waiter(&self.waiter, seen);
        self.partitions.push(Arc::clone(partition));
    }

    /// Waits until the fetch is worth planning again. The deadline is the caller's.
    pub async fn ready(&self) {
        self.waiter.ready().await;
    }
}

impl Drop for FetchWait {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.unregister_fetch_waiter(&self.waiter);
        }
    }
}

/// The side of a [`CommitWait`] that partitions hold.
#[derive(Debug, Default)]
pub(super) struct CommitSignal {
    pending: AtomicUsize,
    waker: AtomicWaker,
}

impl CommitSignal {
    /// One partition is done with; the waker to call if it was the last.
    fn complete_one(&self) -> Option<Waker> {
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 { self.waker.take() } else { None }
    }
}

/// A Produce whose batches wait for a sync, in one or many partitions.
#[derive(Debug, Default)]
pub struct CommitWait {
    signal: Arc<CommitSignal>,
    partitions: Vec<(Arc<Partition>, i64)>,
}

impl CommitWait {
    /// Waits for nothing yet.
    #[must_use]
    pub fn new() -> Self {
        CommitWait::default()
    }

    /// Waits for the durable end of `partition` to reach `end_offset`, the offset after the batch.
    pub fn watch(&mut self, partition: &Arc<Partition>, end_offset: i64) {
        self.signal.pending.fetch_add(1, Ordering::Relaxed);
        if partition.register_commit(&self.signal, end_offset) {
            self.partitions.push((Arc::clone(partition), end_offset));
        } else {
            self.signal.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether nothing was left to wait for when the partitions were asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Waits until every partition reached its offset, or failed: ask
    /// [`Partition::commit_state`](super::partition::Partition::commit_state) which. The deadline is the caller's.
    pub async fn done(&self) {
        poll_fn(|cx| {
            if self.signal.pending.load(Ordering::Acquire) == 0 {
                return Poll::Ready(());
            }
            self.signal.waker.register(cx.waker());
            if self.signal.pending.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for CommitWait {
    fn drop(&mut self) {
        if self.signal.pending.load(Ordering::Acquire) > 0 {
            for (partition, _) in &self.partitions {
                partition.unregister_commit(&self.signal);
            }
        }
    }
}

/// The producers that wait for one partition, by offset.
#[derive(Debug, Default)]
pub(super) struct CommitQueue {
    waiting: VecDeque<(i64, Arc<CommitSignal>)>,
}

impl CommitQueue {
    /// Adds a wait for `end_offset`. Two threads that append to one partition may come here out of order.
    pub(super) fn push(&mut self, end_offset: i64, signal: Arc<CommitSignal>) {
        let at =
            self.waiting.iter().rposition(|(offset, _)| *offset <= end_offset).map_or(0, |before| before + 1);
        self.waiting.insert(at, (end_offset, signal));
    }

    /// Completes every wait for an offset up to `durable_end`, in order; wakers to call go to `wakers`.
    pub(super) fn complete_through(&mut self, durable_end: i64, wakers: &mut Vec<Waker>) {
        while let Some((_, signal)) = self.waiting.pop_front_if(|(offset, _)| *offset <= durable_end) {
            wakers.extend(signal.complete_one());
        }
    }

    /// Completes every wait: the partition failed or is gone.
    pub(super) fn complete_all(&mut self, wakers: &mut Vec<Waker>) {
        self.complete_through(i64::MAX, wakers);
    }

    /// Forgets the waits of a producer that gave up.
    pub(super) fn remove(&mut self, signal: &Arc<CommitSignal>) {
        self.waiting.retain(|(_, other)| !Arc::ptr_eq(other, signal));
    }

    /// Producers waiting.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_is_ready_once_its_bytes_came() {
        let waiter = FetchWaiter::new(100);
        assert!(waiter.arrived(60).is_none());
        assert!(!waiter.is_ready());
        waiter.arrived(40);
        assert!(waiter.is_ready());
        waiter.arrived(i64::MAX);
        waiter.arrived(i64::MAX);
        assert!(waiter.is_ready());
    }

    #[test]
    fn a_segment_boundary_counts_as_enough() {
        let waiter = FetchWaiter::new(i64::MAX);
        waiter.arrived(i64::MAX);
        assert!(waiter.is_ready());
    }

    #[test]
    fn commits_complete_in_offset_order_and_only_up_to_the_mark() {
        let signals: Vec<Arc<CommitSignal>> = (0..4).map(|_| Arc::default()).collect();
        let mut queue = CommitQueue::default();
        for (offset, index) in [(10, 0), (30, 2), (20, 1), (40, 3)] {
            signals[index].pending.fetch_add(1, Ordering::Relaxed);
            queue.push(offset, Arc::clone(&signals[index]));
        }
        assert_eq!(queue.waiting.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [10, 20, 30, 40]);
        let mut wakers = Vec::new();
        queue.complete_through(29, &mut wakers);
        let pending = |i: usize| signals[i].pending.load(Ordering::Relaxed);
        assert_eq!([pending(0), pending(1), pending(2), pending(3)], [0, 0, 1, 1]);
        queue.remove(&signals[2]);
        queue.complete_all(&mut wakers);
        assert_eq!([pending(2), pending(3)], [1, 0], "a wait that gave up is not completed");
        assert_eq!(queue.len(), 0);
    }
}
