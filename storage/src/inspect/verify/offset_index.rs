//! An offset index against the batches of its segment.

use super::finding::{AtNextStart, Condition, Found, Place};
use crate::inspect::entries::Entries;
use crate::offset_index::{OFFSET_INDEX_ENTRY_BYTES, OffsetPosition};
use std::io;
use std::path::PathBuf;

/// Follows the batches, entry by entry.
#[derive(Debug)]
pub(super) struct OffsetIndexCheck {
    path: PathBuf,
    entries: Entries<OFFSET_INDEX_ENTRY_BYTES>,
    base_offset: i64,
    last: Option<OffsetPosition>,
    /// The entry of several batches that were appended at once, as Kafka writes it: the place of the first of them and
    /// the last offset of the last, which is still to come.
    pending: Option<(u64, OffsetPosition)>,
    /// Zeros at the end are what is usual there.
    growing: bool,
    done: bool,
}

impl OffsetIndexCheck {
    pub(super) fn new(
        path: PathBuf,
        entries: Entries<OFFSET_INDEX_ENTRY_BYTES>,
        base_offset: i64,
        growing: bool,
    ) -> OffsetIndexCheck {
        OffsetIndexCheck { path, entries, base_offset, last: None, pending: None, growing, done: false }
    }

    fn add(&self, at: u64, condition: Condition, found: &mut Found) {
        found.add(&self.path, Place::Position(at), condition, AtNextStart::Rebuilt);
    }

    fn offset(&self, entry: OffsetPosition) -> i64 {
        self.base_offset.saturating_add(i64::from(entry.relative_offset))
    }

    fn wrong_offset(&self, at: u64, entry: OffsetPosition, found: &mut Found) {
        let (offset, position) = (self.offset(entry), entry.position);
        self.add(at, Condition::OffsetIndexWrongOffset { offset, position }, found);
    }

    /// The next batch; `last_offset` is `None` where its header can't be trusted.
    pub(super) fn batch(
        &mut self,
        position: u64,
        last_offset: Option<i64>,
        found: &mut Found,
    ) -> io::Result<()> {
        self.resolve(last_offset, found);
        while !self.done {
            let Some((at, bytes)) = self.entries.peek()? else { return Ok(()) };
            // The first batch of a segment has no entry, so that none is zeros.
            if bytes == [0; OFFSET_INDEX_ENTRY_BYTES] {
                return self.zeros(found);
            }
            let entry = OffsetPosition::parse(&bytes);
            if u64::from(entry.position) > position {
                return Ok(());
            }
            self.entries.next()?;
            let ascends = |last: OffsetPosition| {
                entry.relative_offset > last.relative_offset && entry.position > last.position
            };
            if !self.last.is_none_or(ascends) {
                self.add(at, Condition::IndexNotAscending, found);
                continue;
            }
            self.last = Some(entry);
            if let Some((at, waiting)) = self.pending.take() {
                // What was appended at once ends before the next entry.
                self.wrong_offset(at, waiting, found);
            }
            let offset = self.offset(entry);
            if u64::from(entry.position) < position {
                let position = entry.position;
                self.add(at, Condition::OffsetIndexNoBatch { offset, position }, found);
            } else if let Some(last_offset) = last_offset {
                if offset > last_offset {
                    self.pending = Some((at, entry));
                } else if offset < last_offset {
                    self.wrong_offset(at, entry, found);
                }
            }
        }
        Ok(())
    }

    /// Holds a batch against the entry that waits for the last of several.
    fn resolve(&mut self, last_offset: Option<i64>, found: &mut Found) {
        let Some((at, entry)) = self.pending else { return };
        match last_offset {
            Some(last_offset) if last_offset < self.offset(entry) => return,
            Some(last_offset) if last_offset > self.offset(entry) => self.wrong_offset(at, entry, found),
            _ => {}
        }
        self.pending = None;
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
            let at = self.entries.position().max(self.entries.len() - self.entries.trailing_bytes());
            self.add(at, Condition::IndexTrailingBytes(self.entries.trailing_bytes()), found);
        }
        if !complete || self.done {
            return Ok(());
        }
        if let Some((at, entry)) = self.pending {
            self.wrong_offset(at, entry, found);
        }
        let Some((at, bytes)) = self.entries.peek()? else { return Ok(()) };
        if bytes == [0; OFFSET_INDEX_ENTRY_BYTES] {
            return self.zeros(found);
        }
        // Those behind it wait for it, so that nothing can be said of them.
        let entry = OffsetPosition::parse(&bytes);
        let (offset, position) = (self.offset(entry), entry.position);
        self.add(at, Condition::OffsetIndexNoBatch { offset, position }, found);
        Ok(())
    }
}
