//! The one place that asks the system for the time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where the monotonic milliseconds begin.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time, twice: wall-clock milliseconds for timestamps in batches and files, monotonic milliseconds for timeouts.
/// No decision about order or ownership rests on the wall clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// What a test has set in place of the system's time; `None` outside tests.
    fixed: Option<Arc<Fixed>>,
}

#[derive(Debug)]
struct Fixed {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicI64,
}

impl Clock {
    /// A clock that stands at `now_ms`, and at 0 monotonic milliseconds, until it is moved.
    #[must_use]
    pub fn fixed(now_ms: i64) -> Self {
        let fixed = Fixed { wall_ms: AtomicI64::new(now_ms), monotonic_ms: AtomicI64::new(0) };
        Clock { fixed: Some(Arc::new(fixed)) }
    }

    /// Sets the wall clock of a fixed clock; does nothing to the system's.
    pub fn set(&self, now_ms: i64) {
        if let Some(fixed) = &self.fixed {
            fixed.wall_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Sets the monotonic milliseconds of a fixed clock; does nothing to the system's.
    pub fn set_monotonic(&self, monotonic_ms: i64) {
        if let Some(fixed) = &self.fixed {
            fixed.monotonic_ms.store(monotonic_ms, Ordering::Relaxed);
        }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.fixed {
            Some(fixed) => fixed.wall_ms.load(Ordering::Relaxed),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Milliseconds that only grow, since some moment in this process.
    #[must_use]
    pub fn monotonic_ms(&self) -> i64 {
        match &self.fixed {
            Some(fixed) => fixed.monotonic_ms.load(Ordering::Relaxed),
            None => i64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn a_fixed_clock_moves_only_when_it_is_set() {
        let clock = Clock::fixed(5);
        let seen_by_another = clock.clone();
        assert_eq!((seen_by_another.now_ms(), seen_by_another.monotonic_ms()), (5, 0));
        clock.set(7);
        assert_eq!((seen_by_another.now_ms(), seen_by_another.monotonic_ms()), (7, 0));
        clock.set_monotonic(3);
        assert_eq!((seen_by_another.now_ms(), seen_by_another.monotonic_ms()), (7, 3));
    }

    #[test]
    fn the_system_clock_is_past_2020_and_the_monotonic_one_grows() {
        let clock = Clock::default();
        assert!(clock.now_ms() > 1_577_836_800_000);
        let before = clock.monotonic_ms();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(clock.monotonic_ms() > before);
    }
}
