//! The queue of the maintenance thread: partitions that have rolled a segment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::partition::Partition;

#[derive(Debug, Default)]
struct Queue {
    rolled: VecDeque<Arc<Partition>>,
    stopping: bool,
}

/// Partitions whose rolled segments wait to be finished. A partition is here once at most.
#[derive(Debug, Default)]
pub(crate) struct Background {
    queue: Mutex<Queue>,
    work: Condvar,
}

impl Background {
    /// A segment of `partition` was rolled.
    pub(super) fn rolled(&self, partition: &Arc<Partition>) {
        let mut queue = self.queue.lock();
        if !queue.rolled.iter().any(|queued| Arc::ptr_eq(queued, partition)) {
            queue.rolled.push_back(Arc::clone(partition));
            self.work.notify_one();
        }
    }

    /// The next partition that has rolled, waiting for one at most `timeout`; none while stopping.
    pub(crate) fn next_rolled(&self, timeout: Duration) -> Option<Arc<Partition>> {
        let mut queue = self.queue.lock();
        if queue.rolled.is_empty() && !queue.stopping {
            self.work.wait_for(&mut queue, timeout);
        }
        if queue.stopping { None } else { queue.rolled.pop_front() }
    }

    /// Makes the thread end. What is left in the queue is finished when the logs are closed.
    pub(crate) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.work.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.queue.lock().stopping
    }
}
