//! The log lines about clients that break the rules, so many a second and no more.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

const LINES_PER_SECOND: u32 = 10;

/// Lets a few lines through each second, and counts the rest.
pub struct Violations {
    began: Instant,
    second: AtomicU64,
    lines: AtomicU32,
    total: AtomicU64,
}

impl Default for Violations {
    fn default() -> Self {
        Violations {
            began: Instant::now(),
            second: AtomicU64::new(0),
            lines: AtomicU32::new(0),
            total: AtomicU64::new(0),
        }
    }
}

impl Violations {
    /// Counts a violation, and runs `log` unless this second has had its lines.
    pub fn log(&self, log: impl FnOnce()) {
        self.log_at(self.began.elapsed().as_secs(), log);
    }

    /// Violations since the start, logged or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn log_at(&self, second: u64, log: impl FnOnce()) {
        self.total.fetch_add(1, Ordering::Relaxed);
        if self.second.swap(second, Ordering::Relaxed) != second {
            let suppressed = self.lines.swap(0, Ordering::Relaxed).saturating_sub(LINES_PER_SECOND);
            if suppressed > 0 {
                tracing::info!("{suppressed} more lines about closed connections were left out");
            }
        }
        if self.lines.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND {
            log();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_lines() {
        let violations = Violations::default();
        let mut lines = 0;
        for _ in 0..25 {
            violations.log_at(1, || lines += 1);
        }
        assert_eq!(lines, 10);
        violations.log_at(2, || lines += 1);
        assert_eq!(lines, 11);
        assert_eq!(violations.total(), 26);
    }
}
