//! An index of aborted transactions against the markers of its segment.

use super::finding::{AtNextStart, Condition, Found, Place};
use crate::inspect::entries::Entries;
use crate::txn_index::{AbortedTransaction, TXN_INDEX_ENTRY_BYTES};
use std::io;
use std::path::PathBuf;

/// A marker, and what the batches before it say of its transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marker {
    pub(super) producer_id: i64,
    pub(super) offset: i64,
    pub(super) aborts: bool,
    /// First offset of the transaction, as far as it is in the log.
    pub(super) first_offset: Option<i64>,
    /// First offset of the transactions that are open behind the marker, or the offset after it.
    pub(super) first_open: i64,
}

/// Follows the markers, entry by entry.
#[derive(Debug)]
pub(super) struct TxnIndexCheck {
    path: PathBuf,
    /// Without a file there is no entry.
    entries: Option<Entries<TXN_INDEX_ENTRY_BYTES>>,
    /// The index may lack entries.
    growing: bool,
    /// Entries say where their markers are, and these lie behind one another.
    last_offset: i64,
    done: bool,
}

impl TxnIndexCheck {
    pub(super) fn new(
        path: PathBuf,
        entries: Option<Entries<TXN_INDEX_ENTRY_BYTES>>,
        base_offset: i64,
        growing: bool,
    ) -> TxnIndexCheck {
        TxnIndexCheck { path, entries, growing, last_offset: base_offset.saturating_sub(1), done: false }
    }

    fn add(&self, place: Place, condition: Condition, found: &mut Found) {
        found.add(&self.path, place, condition, AtNextStart::Rebuilt);
    }

    /// A batch that can't be read may have been a marker.
    pub(super) fn damaged_batch(&mut self) {
        self.done = true;
    }

    /// Takes the next entry that can be one, if its marker's offset isn't above `offset`.
    fn entry_up_to(
        &mut self,
        offset: i64,
        found: &mut Found,
    ) -> io::Result<Option<(Place, AbortedTransaction)>> {
        while !self.done {
            let Some(entries) = &mut self.entries else { return Ok(None) };
            let Some((at, bytes)) = entries.peek()? else { return Ok(None) };
            let place = Place::Position(at);
            let Some(entry) = AbortedTransaction::parse(&bytes) else {
                self.add(place, Condition::TxnIndexVersion, found);
                self.done = true;
                return Ok(None);
            };
            if entry.last_offset > offset {
                return Ok(None);
            }
            entries.next()?;
            if entry.last_offset <= self.last_offset {
                self.add(place, Condition::IndexNotAscending, found);
                continue;
            }
            self.last_offset = entry.last_offset;
            return Ok(Some((place, entry)));
        }
        Ok(None)
    }

    fn no_marker(&self, place: Place, entry: &AbortedTransaction, found: &mut Found) {
        let (producer_id, last_offset) = (entry.producer_id, entry.last_offset);
        self.add(place, Condition::TxnIndexNoMarker { producer_id, last_offset }, found);
    }

    /// The next marker.
    pub(super) fn marker(&mut self, marker: Marker, found: &mut Found) -> io::Result<()> {
        while let Some((place, entry)) = self.entry_up_to(marker.offset, found)? {
            if entry.last_offset < marker.offset || !marker.aborts || entry.producer_id != marker.producer_id
            {
                self.no_marker(place, &entry, found);
                continue;
            }
            self.entry_of(marker, place, &entry, found);
            return Ok(());
        }
        if let (true, Some(first_offset), false, false) =
            (marker.aborts, marker.first_offset, self.growing, self.done)
        {
            let (producer_id, last_offset) = (marker.producer_id, marker.offset);
            let condition = Condition::AbortedTransactionMissing { producer_id, first_offset, last_offset };
            self.add(Place::Offset(last_offset), condition, found);
        }
        Ok(())
    }

    fn entry_of(&self, marker: Marker, place: Place, entry: &AbortedTransaction, found: &mut Found) {
        let (producer_id, first_offset, last_offset) =
            (entry.producer_id, entry.first_offset, entry.last_offset);
        if first_offset < 0 || first_offset >= last_offset {
            self.add(place, Condition::TxnIndexRange { first_offset, last_offset }, found);
        } else if let Some(first) = marker.first_offset.filter(|first| *first < first_offset) {
            let condition = Condition::TxnIndexFirstOffset { producer_id, first_offset, found: first };
            self.add(place, condition, found);
        }
        if !(0..=marker.first_open).contains(&entry.last_stable_offset) {
            let (last_stable_offset, largest) = (entry.last_stable_offset, marker.first_open);
            self.add(place, Condition::TxnIndexStableOffset { last_stable_offset, largest }, found);
        }
    }

    /// The segment has ended, with its last batch if `complete`, else where it can't be read any further.
    pub(super) fn end(mut self, complete: bool, found: &mut Found) -> io::Result<()> {
        let trailing = self.entries.as_ref().map_or(0, Entries::trailing_bytes);
        if trailing > 0 {
            self.add(Place::Whole, Condition::IndexTrailingBytes(trailing), found);
        }
        while complete && let Some((place, entry)) = self.entry_up_to(i64::MAX, found)? {
            self.no_marker(place, &entry, found);
        }
        Ok(())
    }
}
