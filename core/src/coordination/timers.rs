//! The shards' timers: one task that sleeps until the earliest of them is due.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Coordinator;
use super::machine::Machine;
use super::shards::{NO_DEADLINE, Shards};

/// The longest sleep, so that a clock that runs differently is noticed.
const MAX_SLEEP_MS: i64 = 3_600_000;

/// How a turn wakes the task.
#[derive(Debug)]
pub(super) struct Alarm {
    /// What the task sleeps until.
    earliest_ms: AtomicI64,
    earlier: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm { earliest_ms: AtomicI64::new(NO_DEADLINE), earlier: Notify::new() }
    }
}

impl Alarm {
    /// A shard has a timer at `deadline_ms`, which was stored before this call.
    pub(super) fn note(&self, deadline_ms: i64) {
        if deadline_ms < self.earliest_ms.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }
}

impl<M: Machine> Coordinator<M> {
    /// Fires timers until the task is aborted.
    pub async fn run_timers(self: Arc<Self>) {
        loop {
            // From here on every turn that has a timer wakes the task again, or its deadline is read below.
            self.alarm.earliest_ms.store(NO_DEADLINE, Ordering::SeqCst);
            let shards = self.shards.load_full();
            let earliest_ms =
                shards.iter().flat_map(|shards| shards.deadlines()).min().unwrap_or(NO_DEADLINE);
            self.alarm.earliest_ms.store(earliest_ms, Ordering::SeqCst);
            let sleep_ms = earliest_ms.saturating_sub(self.clock.monotonic_ms());
            if let (Some(shards), ..=0) = (&shards, sleep_ms) {
                self.fire_due(shards).await;
                continue;
            }
            let sleep = Duration::from_millis(sleep_ms.min(MAX_SLEEP_MS).unsigned_abs());
            tokio::select! {
                () = tokio::time::sleep(sleep), if earliest_ms != NO_DEADLINE => {}
                () = self.alarm.earlier.notified() => {}
            }
        }
    }

    /// Fires one timer of each shard that has one due, in a turn of its own. One, so that a shard with many, or with one
    /// that is due again at once, doesn't keep the others waiting.
    async fn fire_due(self: &Arc<Self>, shards: &Arc<Shards<M>>) {
        let now_ms = self.clock.monotonic_ms();
        for (index, deadline_ms) in shards.deadlines().enumerate() {
            if deadline_ms <= now_ms {
                self.fire_one(shards, index);
                tokio::task::yield_now().await;
            }
        }
    }

    /// A panic throws the shard away, as in any turn, and not the task.
    fn fire_one(self: &Arc<Self>, shards: &Arc<Shards<M>>, index: usize) {
        let turn = || self.turn_in(shards, index, |shard, turn| M::fire_next(shard, turn));
        match std::panic::catch_unwind(AssertUnwindSafe(turn)) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(shard = index, %error, "a timer of {} found its shard gone", M::WHAT);
            }
            Err(_) => {
                tracing::error!(shard = index, "a timer of {} panicked; its shard is read again", M::WHAT);
            }
        }
    }
}
