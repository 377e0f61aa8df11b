//! The thread that prepares segments ahead of the appends: extents, writable pages, the next segment's file.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use fluxmq_storage::log::{PrepareTask, Preparer};
use parking_lot::{Condvar, Mutex};

/// The tasks of all logs, in the order in which they were asked for. A log has at most two here.
#[derive(Debug, Default)]
pub(super) struct PrepareQueue {
    tasks: Mutex<VecDeque<PrepareTask>>,
    work: Condvar,
    stopping: AtomicBool,
}

impl Preparer for PrepareQueue {
    fn submit(&self, task: PrepareTask) {
        self.tasks.lock().push_back(task);
        self.work.notify_one();
    }
}

impl PrepareQueue {
    /// The body of the thread. A log that needs more than one step goes behind the others after each, so that one
    /// that fills quickly doesn't keep them waiting. `after_step` is called when space may have been taken.
    pub(super) fn run(&self, mut after_step: impl FnMut()) {
        while let Some(task) = self.next() {
            if let Some(rest) = task.run() {
                self.tasks.lock().push_back(rest);
            }
            after_step();
        }
    }

    fn next(&self) -> Option<PrepareTask> {
        let mut tasks = self.tasks.lock();
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return None;
            }
            if let Some(task) = tasks.pop_front() {
                return Some(task);
            }
            self.work.wait(&mut tasks);
        }
    }

    /// Makes [`run`](Self::run) return after the step it is in. What is not prepared is written the plain way.
    pub(super) fn stop(&self) {
        let _tasks = self.tasks.lock();
        self.stopping.store(true, Ordering::Release);
        self.work.notify_all();
    }
}
