//! Which syncs are begun together.
//!
//! Most logs are synced as soon as somebody waits. The logs of a coordinator are many, and each of their appends is
//! small: at a steady rate nearly every commit would have a sync of its own. So a sync that may linger waits until as
//! many partitions ask as have asked within the last linger, or until its own linger is over, and all that wait begin
//! at once. What comes for the same partition meanwhile costs nothing more, and threads are woken once for all.
//!
//! Where few ask, nothing is waited for: a lone member that commits and waits is answered as fast as the disk allows.
//! Nor where the same partitions come again as soon as they are answered: the last of them begins the round.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// With fewer partitions than this at once there is nothing to gather.
const FEW: usize = 4;

/// The window in which a partition has asked last.
#[derive(Debug, Default)]
pub(super) struct LastAsked(AtomicU64);

/// What waits for the next round to begin.
#[derive(Debug)]
pub(super) struct Rounds<T> {
    waiting: Vec<T>,
    /// When the first of those that wait has waited long enough.
    due: Option<Instant>,
    /// Numbers the stretches of one linger in which partitions are counted, from 1.
    window: u64,
    window_ends: Option<Instant>,
    /// Partitions that have asked in this window.
    asked: usize,
    /// Partitions that had asked in the window before.
    expected: usize,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Rounds { waiting: Vec::new(), due: None, window: 0, window_ends: None, asked: 0, expected: 0 }
    }
}

impl<T> Rounds<T> {
    /// A partition asks for a sync that may linger so long. True when the round is to begin.
    pub(super) fn ask(&mut self, asking: T, last: &LastAsked, linger: Duration, now: Instant) -> bool {
        if self.window_ends.is_none_or(|ends| now >= ends) {
            let follows = self.window_ends.is_some_and(|ended| now < ended + linger);
            self.expected = if follows { self.asked } else { 0 };
            self.asked = 0;
            self.window += 1;
            self.window_ends = Some(now + linger);
        }
        self.asked += usize::from(last.0.swap(self.window, Ordering::Relaxed) != self.window);
        self.waiting.push(asking);
        let due = *self.due.get_or_insert(now + linger);
        self.expected < FEW || self.waiting.len() >= self.expected || now >= due
    }

    /// When the round begins whoever asks until then; none while nobody waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Begins the round: takes all that wait.
    pub(super) fn begin(&mut self) -> std::vec::Drain<'_, T> {
        self.due = None;
        self.waiting.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_millis(5);

    fn at(began: Instant, us: u64) -> Instant {
        began + Duration::from_micros(us)
    }

    #[test]
    fn a_lone_partition_never_waits() {
        let (mut rounds, last, began) = (Rounds::default(), LastAsked::default(), Instant::now());
        for n in 0..1000 {
            assert!(rounds.ask((), &last, LINGER, at(began, n * 200)), "{n}");
            assert_eq!(rounds.begin().count(), 1);
            assert_eq!(rounds.due(), None);
        }
    }

    #[test]
    fn partitions_that_ask_again_when_they_are_answered_begin_with_the_last_of_them() {
        let (mut rounds, began) = (Rounds::default(), Instant::now());
        let last: Vec<_> = (0..16).map(|_| LastAsked::default()).collect();
        let mut begun = Vec::new();
        for n in 0..100 {
            for (index, last) in last.iter().enumerate() {
                if rounds.ask((), last, LINGER, at(began, n * 1000 + 10 * index as u64)) {
                    begun.push((n, rounds.begin().count()));
                }
            }
        }
        // Those of the first window each on their own, then all together.
        assert!(begun[..80].iter().all(|(_, size)| *size == 1));
        assert!(begun[80..].iter().all(|(_, size)| *size == 16), "{begun:?}");
        assert_eq!(begun.last(), Some(&(99, 16)));
    }

    #[test]
    fn at_a_steady_rate_over_many_partitions_a_round_takes_about_a_linger() {
        let (mut rounds, began) = (Rounds::default(), Instant::now());
        let last: Vec<_> = (0..50).map(|_| LastAsked::default()).collect();
        let mut sizes = Vec::new();
        for n in 0..5_000u64 {
            let now = at(began, n * 100);
            if rounds.due().is_some_and(|due| due <= now) {
                sizes.push(rounds.begin().count());
            }
            if rounds.ask((), &last[(n * 7 % 50) as usize], LINGER, now) {
                sizes.push(rounds.begin().count());
            }
        }
        assert!(sizes[60..].iter().all(|size| *size >= 40), "{sizes:?}");
    }

    #[test]
    fn nothing_waits_longer_than_its_linger() {
        let (mut rounds, began) = (Rounds::default(), Instant::now());
        let last: Vec<_> = (0..8).map(|_| LastAsked::default()).collect();
        for last in &last {
            assert!(rounds.ask((), last, LINGER, began));
            rounds.begin();
        }
        let later = at(began, 6_000);
        assert!(!rounds.ask((), &last[0], LINGER, later), "eight are expected");
        assert!(!rounds.ask((), &last[1], LINGER, at(began, 7_000)));
        assert_eq!(rounds.due(), Some(later + LINGER));
        assert!(rounds.ask((), &last[2], LINGER, later + LINGER));
        assert_eq!(rounds.begin().count(), 3);
        // After a pause nobody is expected.
        assert!(rounds.ask((), &last[0], LINGER, at(began, 60_000)));
    }
}
