//! How fast the log cleaner may read and write: `log.cleaner.io.max.bytes.per.second`, over all threads.

use std::time::{Duration, Instant};

/// Waits shorter than this are left to the next call.
const LEAST_PAUSE: Duration = Duration::from_millis(20);
/// What wasn't used for so long is not made up for.
const MEMORY: Duration = Duration::from_secs(1);

/// Gives each call the pause that keeps all of them at the rate.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: f64,
    /// When what was taken so far is paid for.
    paid_at: Instant,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: f64, now: Instant) -> Throttle {
        Throttle { bytes_per_second, paid_at: now }
    }

    /// Takes some bytes, and gives how long to wait before the next ones.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        let price_s = bytes as f64 / self.bytes_per_second.max(1.0);
        let from = self.paid_at.max(now.checked_sub(MEMORY).unwrap_or(now));
        // A year is as good as for ever, and can be added.
        self.paid_at = from + Duration::from_secs_f64(price_s.min(3.2e7));
        let pause = self.paid_at.saturating_duration_since(now);
        if pause < LEAST_PAUSE { Duration::ZERO } else { pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_takes_come_to_the_rate() {
        let start = Instant::now();
        let mut throttle = Throttle::new(1_000_000.0, start);
        let mut now = start;
        for _ in 0..30_000 {
            now += throttle.take(100, now);
        }
        let took = (now - start).as_secs_f64();
        assert!((1.9..=3.1).contains(&took), "3 MB at 1 MB/s in {took} s, of which a second was saved up");
    }

    #[test]
    fn without_a_bound_nobody_waits() {
        let now = Instant::now();
        let mut throttle = Throttle::new(f64::MAX, now);
        assert_eq!(throttle.take(1 << 40, now), Duration::ZERO);
        let mut throttle = Throttle::new(0.0, now);
        assert!(throttle.take(1 << 40, now) > Duration::from_secs(1_000_000), "and nothing overflows");
    }
}
