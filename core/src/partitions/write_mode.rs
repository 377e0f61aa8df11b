//! Which of the two ways to write a partition's segment is used: the prepared map, or plain writes.
//!
//! A page of the map that was written out is made read-only again by the kernel, so a stream that is synced every
//! few appends pays a fault per append; a plain write does not. A stream of small batches that nobody waits on disk for
//! is cheapest through the map; for large ones the log itself prefers writes. Both are coherent in the page cache, so the way may change between any two appends.

use std::sync::atomic::{AtomicU32, Ordering};

use fluxmq_storage::log::WriteMode;

use super::high_watermark::Visibility;

/// A share of 1.0 in the running average.
const ONE: u32 = 1 << 16;
/// One append that waits for a sync moves the average an eighth of the way: about six in a row switch to plain.
const RISE_SHIFT: u32 = 3;
/// One that does not moves it a 64th: some 130 in a row switch back.
const FALL_SHIFT: u32 = 6;
/// From this share on, plain writes.
const TO_PLAIN: u32 = ONE / 2;
/// From this share down, the map.
const TO_MAPPED: u32 = ONE / 8;
/// Set in the state while plain writes are in use; the average never needs that bit.
const PLAIN: u32 = 1 << 31;

/// The way one partition is written, with hysteresis over the appends that waited for a sync.
#[derive(Debug)]
pub struct WriteModeSwitch {
    /// The running average, and `PLAIN`. Updated without a lock: a lost step only delays a switch.
    state: AtomicU32,
}

impl WriteModeSwitch {
    /// Starts with the map, or with plain writes where every append is synced.
    #[must_use]
    pub fn new(first: WriteMode) -> Self {
        let state = match first {
            WriteMode::Mapped => 0,
            WriteMode::Plain => ONE | PLAIN,
        };
        WriteModeSwitch { state: AtomicU32::new(state) }
    }

    /// The way to write an append that waits for `visibility`.
    pub fn next(&self, visibility: Visibility) -> WriteMode {
        let state = self.state.load(Ordering::Relaxed);
        let (average, plain) = (state & !PLAIN, state & PLAIN != 0);
        let average = match visibility {
            Visibility::WhenDurable => average + ((ONE - average) >> RISE_SHIFT),
            Visibility::AtAppend => average - (average >> FALL_SHIFT),
        };
        let plain = if plain { average > TO_MAPPED } else { average >= TO_PLAIN };
        let next = if plain { average | PLAIN } else { average };
        if next != state {
            self.state.store(next, Ordering::Relaxed);
        }
        if plain { WriteMode::Plain } else { WriteMode::Mapped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appends(switch: &WriteModeSwitch, visibility: Visibility, until: WriteMode) -> usize {
        (1..1000).find(|_| switch.next(visibility) == until).expect("it switches")
    }

    #[test]
    fn switches_after_a_run_and_not_on_every_other_append() {
        let switch = WriteModeSwitch::new(WriteMode::Mapped);
        assert_eq!(switch.next(Visibility::AtAppend), WriteMode::Mapped);
        assert_eq!(switch.next(Visibility::WhenDurable), WriteMode::Mapped, "one alone does not switch");
        let up = appends(&switch, Visibility::WhenDurable, WriteMode::Plain);
        assert!((4..=8).contains(&up), "{up}");
        // A mixed stream stays where it is.
        for _ in 0..1000 {
            assert_eq!(switch.next(Visibility::AtAppend), WriteMode::Plain);
            assert_eq!(switch.next(Visibility::WhenDurable), WriteMode::Plain);
        }
        let down = appends(&switch, Visibility::AtAppend, WriteMode::Mapped);
        assert!((100..=200).contains(&down), "{down}");
    }

    #[test]
    fn a_synced_partition_starts_plain() {
        assert_eq!(WriteModeSwitch::new(WriteMode::Plain).next(Visibility::WhenDurable), WriteMode::Plain);
    }
}
