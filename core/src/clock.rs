//! The one place that asks the system for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock milliseconds for timestamps in batches and files. No decision about order or ownership rests on it.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds that a test has set in place of the system's time; `None` outside tests.
    fixed: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// A clock that stands at `now_ms` until [`Clock::set`] moves it.
    #[must_use]
    pub fn fixed(now_ms: i64) -> Self {
        Clock { fixed: Some(Arc::new(AtomicI64::new(now_ms))) }
    }

    /// Moves a fixed clock; does nothing to the system's.
    pub fn set(&self, now_ms: i64) {
        if let Some(fixed) = &self.fixed {
            fixed.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.fixed {
            Some(fixed) => fixed.load(Ordering::Relaxed),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
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
        assert_eq!(seen_by_another.now_ms(), 5);
        clock.set(7);
        assert_eq!(seen_by_another.now_ms(), 7);
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(Clock::default().now_ms() > 1_577_836_800_000);
    }
}
