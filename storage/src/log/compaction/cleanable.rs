//! What of a log can be compacted, and whether it is time.

/// Bounds on what is compacted, of a topic's configuration and the log's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionLimits {
    /// Where the last round ended, as `cleaner-offset-checkpoint` has it.
    pub checkpoint: Option<i64>,
    /// The last stable offset: what isn't decided stays.
    pub last_stable_offset: i64,
    /// `min.compaction.lag.ms`: younger records stay.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: with an older record a round is due however little there is to compact.
    pub max_compaction_lag_ms: i64,
}

/// The part of a log that a round would go through, and what that is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleanable {
    /// Up to here the last rounds have come.
    pub first_dirty_offset: i64,
    /// Up to here a round may go: the end of a segment, so that no other mark lies within what is replaced.
    pub first_uncleanable_offset: i64,
    /// Bytes before the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes between the two.
    pub cleanable_bytes: u64,
    /// There is a record older than `max.compaction.lag.ms`.
    pub overdue: bool,
}

impl Cleanable {
    /// The share of bytes that no round has seen, of those that a round would read: Kafka's cleanable ratio.
    pub fn dirty_ratio(&self) -> f64 {
        self.cleanable_bytes as f64 / (self.clean_bytes + self.cleanable_bytes).max(1) as f64
    }
}

/// A segment as the choice sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) base_offset: i64,
    pub(super) size_bytes: u64,
    /// Timestamp of its first batch, where it has one.
    pub(super) first_ms: Option<i64>,
    /// Its largest timestamp.
    pub(super) newest_ms: i64,
}

/// The choice among `rolled`, all segments but the active one, which starts at `active_base_offset`.
pub(super) fn cleanable(
    rolled: &[Candidate],
    active_base_offset: i64,
    log_start_offset: i64,
    limits: &CompactionLimits,
    now_ms: i64,
) -> Cleanable {
    // A checkpoint that doesn't fit is that of another log, or of one whose records have gone.
    let known = limits.checkpoint.filter(|offset| (log_start_offset..=active_base_offset).contains(offset));
    let first_dirty_offset = known.unwrap_or(log_start_offset);
    let end_of = |at: usize| rolled.get(at + 1).map_or(active_base_offset, |next| next.base_offset);
    let first_dirty = (0..rolled.len()).find(|at| end_of(*at) > first_dirty_offset).unwrap_or(rolled.len());
    let (clean, dirty) = rolled.split_at(first_dirty);
    let is_young = |one: &&Candidate| {
        limits.min_compaction_lag_ms > 0
            && one.newest_ms > now_ms.saturating_sub(limits.min_compaction_lag_ms)
    };
    let bound = dirty.iter().find(is_young).map_or(active_base_offset, |one| one.base_offset);
    let bound = bound.min(limits.last_stable_offset);
    let count = (first_dirty..rolled.len()).take_while(|at| end_of(*at) <= bound).count();
    let cleanable_bytes = dirty[..count].iter().map(|one| one.size_bytes).sum();
    let oldest_ms = dirty.iter().filter_map(|one| one.first_ms).filter(|first| *first > 0).min();
    let latest_due_ms = now_ms.saturating_sub(limits.max_compaction_lag_ms.max(0));
    Cleanable {
        first_dirty_offset,
        first_uncleanable_offset: match count {
            0 => first_dirty_offset,
            _ => end_of(first_dirty + count - 1),
        },
        clean_bytes: clean.iter().map(|one| one.size_bytes).sum(),
        cleanable_bytes,
        overdue: cleanable_bytes > 0 && oldest_ms.is_some_and(|oldest| oldest < latest_due_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000_000;
    const LIMITS: CompactionLimits = CompactionLimits {
        checkpoint: None,
        last_stable_offset: i64::MAX,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
    };

    /// Segments of ten offsets and 100 bytes from offset 0 on, each with the age of its records.
    fn choose(ages_ms: &[i64], log_start_offset: i64, limits: CompactionLimits) -> Cleanable {
        let rolled: Vec<Candidate> = (0i64..)
            .zip(ages_ms)
            .map(|(at, age_ms)| Candidate {
                base_offset: at * 10,
                size_bytes: 100,
                first_ms: Some(NOW_MS - age_ms),
                newest_ms: NOW_MS - age_ms,
            })
            .collect();
        cleanable(&rolled, ages_ms.len() as i64 * 10, log_start_offset, &limits, NOW_MS)
    }

    #[track_caller]
    fn check(found: Cleanable, offsets: (i64, i64), bytes: (u64, u64)) {
        assert_eq!((found.first_dirty_offset, found.first_uncleanable_offset), offsets);
        assert_eq!((found.clean_bytes, found.cleanable_bytes), bytes);
    }

    #[test]
    fn all_but_the_active_segment_from_the_checkpoint_on() {
        check(choose(&[9; 4], 0, LIMITS), (0, 40), (0, 400));
        let at = |offset| CompactionLimits { checkpoint: Some(offset), ..LIMITS };
        check(choose(&[9; 4], 0, at(20)), (20, 40), (200, 200));
        // Half way into a segment, since the map of keys was full.
        check(choose(&[9; 4], 0, at(25)), (25, 40), (200, 200));
        check(choose(&[9; 4], 0, at(40)), (40, 40), (400, 0));
        check(choose(&[], 0, LIMITS), (0, 0), (0, 0));
    }

    #[test]
    fn a_checkpoint_that_does_not_fit_is_not_believed() {
        let at = |offset| CompactionLimits { checkpoint: Some(offset), ..LIMITS };
        check(choose(&[9; 4], 0, at(41)), (0, 40), (0, 400));
        check(choose(&[9; 4], 15, at(10)), (15, 40), (100, 300));
    }

    #[test]
    fn nothing_that_is_undecided_or_too_young() {
        let limits = CompactionLimits { last_stable_offset: 25, ..LIMITS };
        check(choose(&[9; 4], 0, limits), (0, 20), (0, 200));
        let limits = CompactionLimits { min_compaction_lag_ms: 50, ..LIMITS };
        check(choose(&[90, 50, 49, 90], 0, limits), (0, 20), (0, 200));
        check(choose(&[1; 4], 0, limits), (0, 0), (0, 0));
        // An undecided record below the checkpoint: the topic was not a compacted one before.
        let limits = CompactionLimits { checkpoint: Some(20), last_stable_offset: 5, ..LIMITS };
        check(choose(&[9; 4], 0, limits), (20, 20), (200, 0));
    }

    #[test]
    fn overdue_by_the_oldest_record() {
        let limits = CompactionLimits { max_compaction_lag_ms: 50, ..LIMITS };
        assert!(choose(&[51, 10], 0, limits).overdue);
        assert!(!choose(&[50, 10], 0, limits).overdue);
        let cleaned = CompactionLimits { checkpoint: Some(10), ..limits };
        assert!(!choose(&[51, 10], 0, cleaned).overdue);
        let undecided = CompactionLimits { last_stable_offset: 0, ..limits };
        assert!(!choose(&[51, 10], 0, undecided).overdue, "there is nothing that could be done");
    }
}
