//! Room on the volume. A part of it is kept free: below that records of clients are refused, early and with an error that
//! they try again for, so that commits, checkpoints, retention and whatever else has to be written still can be.
//!
//! The reserve is no promise: others write to the volume too, and it is looked at once a second. A volume that is really
//! full fails an append, and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::once_a_minute::OnceAMinute;

/// What is kept free unless told otherwise: so much, or this part of a smaller volume.
const RESERVE_BYTES: u64 = 64 << 20;
const RESERVE_PART: u64 = 100;

/// Whether there is room, and when it was last said that there is none.
#[derive(Debug)]
pub struct Space {
    /// `log.dir.reserve.bytes`.
    reserve_bytes: i64,
    low: AtomicBool,
    said: OnceAMinute,
}

/// The size of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// All of it.
    pub total_bytes: u64,
    /// What this process could still write.
    pub free_bytes: u64,
}

/// What the operator has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceNews {
    /// Records are refused, since less than the reserve is free.
    Low {
        /// What is to be kept free.
        reserve_bytes: u64,
    },
    /// They are taken again.
    Enough,
}

impl Space {
    /// With `log.dir.reserve.bytes`.
    pub(super) fn new(reserve_bytes: i64) -> Space {
        Space { reserve_bytes, low: AtomicBool::new(false), said: OnceAMinute::default() }
    }

    /// Whether records of clients are refused.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Takes note of the volume's size, and gives what is to be said of it.
    pub(super) fn look(&self, volume: Volume, now: Instant) -> Option<SpaceNews> {
        let reserve_bytes = match u64::try_from(self.reserve_bytes) {
            Ok(bytes) => bytes,
            Err(_) => RESERVE_BYTES.min(volume.total_bytes / RESERVE_PART),
        };
        let was_low = self.is_low();
        // Some more before it is taken for enough, or it would change with every segment that goes.
        let enough_bytes = if was_low { reserve_bytes + reserve_bytes / 4 } else { reserve_bytes };
        let is_low = volume.free_bytes < enough_bytes;
        self.low.store(is_low, Ordering::Relaxed);
        if is_low {
            self.may_say(now).then_some(SpaceNews::Low { reserve_bytes })
        } else if was_low {
            self.said.forget();
            Some(SpaceNews::Enough)
        } else {
            None
        }
    }

    /// Whether it is to be said that there is no room: once a minute.
    pub(super) fn may_say(&self, now: Instant) -> bool {
        self.said.may_say(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MB: u64 = 1 << 20;

    #[test]
    fn less_than_the_reserve_is_low_until_there_is_some_more() {
        let (space, now) = (Space::new(100), Instant::now());
        let look = |free_bytes, seconds| {
            let volume = Volume { total_bytes: 1000, free_bytes };
            let news = space.look(volume, now + Duration::from_secs(seconds));
            (news, space.is_low())
        };
        let low = Some(SpaceNews::Low { reserve_bytes: 100 });
        assert_eq!(look(100, 0), (None, false));
        assert_eq!(look(99, 1), (low, true));
        assert_eq!(look(50, 60), (None, true));
        assert_eq!(look(124, 61), (low, true), "said again after a minute");
        assert_eq!(look(125, 62), (Some(SpaceNews::Enough), false));
        assert_eq!(look(110, 63), (None, false));
        assert_eq!(look(1, 64), (low, true), "and at once when it is news");
    }

    #[test]
    fn the_reserve_goes_by_the_volume_unless_it_is_set() {
        let is_low = |reserve_bytes, total_bytes, free_bytes| {
            let space = Space::new(reserve_bytes);
            space.look(Volume { total_bytes, free_bytes }, Instant::now());
            space.is_low()
        };
        assert!(is_low(-1, 1000 * MB, 10 * MB - 1) && !is_low(-1, 1000 * MB, 10 * MB));
        assert!(is_low(-1, 100_000 * MB, 64 * MB - 1) && !is_low(-1, 100_000 * MB, 64 * MB));
        assert!(!is_low(0, 1000 * MB, 0), "off");
    }
}
