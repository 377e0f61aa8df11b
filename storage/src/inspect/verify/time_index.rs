//! A time index against the batches of its segment.

use super::finding::{AtNextStart, Condition, Found, Place};
use crate::batch::{BatchHeader, NO_TIMESTAMP};
use crate::inspect::entries::Entries;
use crate::time_index::{TIME_INDEX_ENTRY_BYTES, TimestampEntry};
use std::io;
use std::path::PathBuf;

/// Follows the batches, entry by entry.
#[derive(Debug)]
pub(super) struct TimeIndexCheck {
    path: PathBuf,
    entries: Entries<TIME_INDEX_ENTRY_BYTES>,
    base_offset: i64,
    last: Option<TimestampEntry>,
    /// Largest timestamp of the batches so far.
    largest_ms: i64,
    /// The index may lack entries, and zeros at the end are what is usual there.
    growing: bool,
    done: bool,
}

impl TimeIndexCheck {
    pub(super) fn new(
        path: PathBuf,
        entries: Entries<TIME_INDEX_ENTRY_BYTES>,
        base_offset: i64,
        growing: bool,
    ) -> TimeIndexCheck {
        let (last, largest_ms) = (None, NO_TIMESTAMP);
        TimeIndexCheck { path, entries, base_offset, last, largest_ms, growing, done: false }
    }

    fn add(&self, at: u64, condition: Condition, found: &mut Found) {
        found.add(&self.path, Place::Position(at), condition, AtNextStart::Rebuilt);
    }

    fn offset(&self, entry: TimestampEntry) -> i64 {
        self.base_offset.saturating_add(i64::from(entry.relative_offset))
    }

    /// A batch whose header can't be trusted: from here on nothing is known of the largest timestamp.
    pub(super) fn damaged_batch(&mut self) {
        self.done = true;
    }

    /// The next batch.
    pub(super) fn batch(&mut self, header: &BatchHeader, found: &mut Found) -> io::Result<()> {
        while !self.done {
            let Some((at, bytes)) = self.entries.peek()? else { break };
            if bytes == [0; TIME_INDEX_ENTRY_BYTES] && (at > 0 || header.max_timestamp != 0) {
                return self.zeros(found);
            }
            let entry = TimestampEntry::parse(&bytes);
            let (timestamp_ms, offset) = (entry.timestamp_ms, self.offset(entry));
            if offset > header.last_offset() {
                break;
            }
            self.entries.next()?;
            let ascends = |last: TimestampEntry| {
                timestamp_ms > last.timestamp_ms && entry.relative_offset >= last.relative_offset
            };
            if !self.last.is_none_or(ascends) {
                self.add(at, Condition::IndexNotAscending, found);
                continue;
            }
            self.last = Some(entry);
            if offset < header.base_offset {
                self.add(at, Condition::TimeIndexNoBatch { timestamp_ms, offset }, found);
            } else if timestamp_ms != header.max_timestamp || timestamp_ms < self.largest_ms {
                let largest_ms = match timestamp_ms < self.largest_ms {
                    true => self.largest_ms,
                    false => header.max_timestamp,
                };
                let condition = Condition::TimeIndexWrongTimestamp { timestamp_ms, offset, largest_ms };
                self.add(at, condition, found);
            }
        }
        self.largest_ms = self.largest_ms.max(header.max_timestamp);
        Ok(())
    }

    fn zeros(&mut self, found: &mut Found) -> io::Result<()> {
        let at = self.entries.position();
        self.done = true;
        let condition = Condition::of_zeros(&mut self.entries, self.growing)?;
        self.add(at, condition, found);
        Ok(())
    }

    /// The segment has ended, with its last batch if `complete`, else where it can't be read any further.
    pub(super) fn end(mut self, complete: bool, found: &mut Found) -> io::Result<()> {
        if self.entries.trailing_bytes() > 0 {
            let at = self.entries.len() - self.entries.trailing_bytes();
            self.add(at, Condition::IndexTrailingBytes(self.entries.trailing_bytes()), found);
        }
        if !complete || self.done {
            return Ok(());
        }
        if let Some((at, bytes)) = self.entries.peek()? {
            if bytes == [0; TIME_INDEX_ENTRY_BYTES] {
                return self.zeros(found);
            }
            // Those behind it wait for it, so that nothing can be said of them.
            let entry = TimestampEntry::parse(&bytes);
            let (timestamp_ms, offset) = (entry.timestamp_ms, self.offset(entry));
            self.add(at, Condition::TimeIndexNoBatch { timestamp_ms, offset }, found);
        } else if !self.growing && self.last.map_or(NO_TIMESTAMP, |last| last.timestamp_ms) < self.largest_ms
        {
            let condition = Condition::TimeIndexEndsEarly { largest_ms: self.largest_ms };
            self.add(self.entries.position(), condition, found);
        }
        Ok(())
    }
}
