//! What would be said over and over is said once a minute.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const SAY_AGAIN: Duration = Duration::from_secs(60);

/// When something was last said.
#[derive(Debug, Default)]
pub(super) struct OnceAMinute(Mutex<Option<Instant>>);

impl OnceAMinute {
    /// Whether it is to be said now.
    pub(super) fn may_say(&self, now: Instant) -> bool {
        let mut said = self.0.lock();
        let may = said.is_none_or(|last| now.saturating_duration_since(last) >= SAY_AGAIN);
        if may {
            *said = Some(now);
        }
        may
    }

    /// It is over: the next time is the first one.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}
