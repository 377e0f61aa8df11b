//! Retention: segments at the start of the log go when they are too old, or when the log is too large without them.
//!
//! By Kafka's rules: a segment is as old as its newest record, size is looked at before age, the active segment goes too
//! (another takes its place), and nothing at or above the high watermark does. Where Kafka keeps a segment for as long as
//! a record of it lies in the future, the time of its file counts instead.

use super::{Log, LogStartError};
use crate::segment::{Segment, is_full};

/// How much of a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionLimits {
    /// `retention.ms`: age of a segment's newest record. `None` keeps it for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`: bytes of all segments. `None` is without a bound.
    pub retention_bytes: Option<u64>,
    /// Nothing from here on is deleted.
    pub high_watermark: i64,
}

/// What retention has deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionOutcome {
    /// Whole segments.
    pub segments: usize,
    /// Their batches.
    pub bytes: u64,
    /// The new log start.
    pub log_start_offset: i64,
}

/// A segment as retention sees it.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The first offset behind it.
    end_offset: i64,
    size_bytes: u64,
    /// When its newest record was written.
    newest_ms: i64,
}

/// How many of the segments go, from the first on.
fn deletable(candidates: &[Candidate], limits: &RetentionLimits, now_ms: i64) -> usize {
    let total_bytes: u64 = candidates.iter().map(|one| one.size_bytes).sum();
    let mut excess_bytes = limits.retention_bytes.map_or(0, |limit| total_bytes.saturating_sub(limit));
    let mut too_large = |one: &Candidate| match excess_bytes.checked_sub(one.size_bytes) {
        Some(rest) if excess_bytes > 0 => {
            excess_bytes = rest;
            true
        }
        _ => false,
    };
    let too_old = |one: &Candidate| {
        limits.retention_ms.is_some_and(|limit_ms| now_ms.saturating_sub(one.newest_ms) > limit_ms)
    };
    let may_go = |one: &&Candidate| one.end_offset <= limits.high_watermark && one.size_bytes > 0;
    let by_size = candidates.iter().take_while(may_go).take_while(|one| too_large(one)).count();
    by_size + candidates[by_size..].iter().take_while(may_go).take_while(|one| too_old(one)).count()
}

impl Log {
    /// Deletes what the limits don't keep, and moves the log start there; `None` if all is kept. A segment whose newest
    /// record lies in the future is handed to `in_future` with that time, in milliseconds.
    ///
    /// # Errors
    /// As for [`Log::advance_log_start_offset`].
    pub fn apply_retention(
        &self,
        limits: &RetentionLimits,
        now_ms: i64,
        mut in_future: impl FnMut(i64),
    ) -> Result<Option<RetentionOutcome>, LogStartError> {
        let segments = self.inner.segments.load_full();
        let candidates: Vec<Candidate> = segments
            .segments
            .iter()
            .map(|segment| Candidate {
                end_offset: segment.end().next_offset,
                size_bytes: u64::from(segment.end().position),
                newest_ms: newest_ms(segment, now_ms, &mut in_future),
            })
            .collect();
        let mut count = deletable(&candidates, limits, now_ms);
        if count == candidates.len()
            && count > 0
            && !self.roll_at(candidates[count - 1].end_offset, now_ms)?
        {
            count -= 1;
        }
        let Some(last) = candidates[..count].last() else { return Ok(None) };
        let log_start_offset = self.advance_log_start_offset(last.end_offset)?;
        let bytes = candidates[..count].iter().map(|one| one.size_bytes).sum();
        Ok(Some(RetentionOutcome { segments: count, bytes, log_start_offset }))
    }

    /// Rolls the active segment if the log still ends at `end_offset`. Returns whether it did; on a full disk it doesn't.
    fn roll_at(&self, end_offset: i64, now_ms: i64) -> Result<bool, LogStartError> {
        let inner = &*self.inner;
        inner.check_online()?;
        let mut writer = inner.writer.lock();
        if writer.next_offset != end_offset || writer.active.is_none() {
            return Ok(false);
        }
        match inner.roll(&mut writer, now_ms) {
            Ok(()) => Ok(true),
            Err(error) if is_full(&error) => Ok(false),
            Err(error) => Err(inner.fail("rolling a segment", &error).into()),
        }
    }
}

/// When the newest record of a segment was written, as far as that can be believed.
fn newest_ms(segment: &Segment, now_ms: i64, in_future: &mut impl FnMut(i64)) -> i64 {
    let newest_ms = segment.max_timestamp().map(|(timestamp_ms, _)| timestamp_ms);
    match newest_ms {
        Some(newest_ms) if newest_ms <= now_ms => return newest_ms,
        Some(newest_ms) => in_future(newest_ms),
        None => {}
    }
    // A file without a time is kept.
    segment.modified_ms().unwrap_or(now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000_000;

    /// Segments of ten offsets each: size and age.
    fn candidates(of: &[(u64, i64)]) -> Vec<Candidate> {
        let candidate = |(index, (size_bytes, age_ms)): (usize, &(u64, i64))| Candidate {
            end_offset: (index as i64 + 1) * 10,
            size_bytes: *size_bytes,
            newest_ms: NOW_MS - age_ms,
        };
        of.iter().enumerate().map(candidate).collect()
    }

    #[track_caller]
    fn check(of: &[(u64, i64)], retention_ms: Option<i64>, retention_bytes: Option<u64>, goes: usize) {
        let limits = RetentionLimits { retention_ms, retention_bytes, high_watermark: i64::MAX };
        assert_eq!(deletable(&candidates(of), &limits, NOW_MS), goes);
    }

    #[test]
    fn by_age_from_the_first_on() {
        let aged = [(100, 50), (100, 40), (100, 10), (100, 45)];
        check(&aged, None, None, 0);
        check(&aged, Some(50), None, 0);
        check(&aged, Some(49), None, 1);
        check(&aged, Some(30), None, 2);
        check(&aged, Some(0), None, 4);
        check(&[(100, -5)], Some(0), None, 0);
    }

    #[test]
    fn by_size_down_to_what_is_still_enough() {
        let sized = [(100, 0), (100, 0), (100, 0)];
        check(&sized, None, Some(300), 0);
        check(&sized, None, Some(201), 0);
        check(&sized, None, Some(200), 1);
        check(&sized, None, Some(150), 1);
        check(&sized, None, Some(100), 2);
        check(&sized, None, Some(0), 3);
    }

    #[test]
    fn by_age_what_size_has_left() {
        let both = [(100, 0), (100, 40), (100, 0)];
        check(&both, Some(30), None, 0);
        check(&both, Some(30), Some(200), 2);
    }

    #[test]
    fn nothing_from_the_high_watermark_on_and_no_empty_segment() {
        let aged = [(100, 50), (100, 50), (0, 50)];
        check(&aged, Some(10), Some(0), 2);
        let limits = |high_watermark| RetentionLimits {
            retention_ms: Some(10),
            retention_bytes: Some(0),
            high_watermark,
        };
        assert_eq!(deletable(&candidates(&aged), &limits(20), NOW_MS), 2);
        assert_eq!(deletable(&candidates(&aged), &limits(19), NOW_MS), 1);
        assert_eq!(deletable(&candidates(&aged), &limits(9), NOW_MS), 0);
        assert_eq!(deletable(&[], &limits(9), NOW_MS), 0);
    }
}
