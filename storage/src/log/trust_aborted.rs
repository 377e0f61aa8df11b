//! While a log is opened: whether an index of aborted transactions can be taken as its file says.

use super::open::{LostTxnIndex, OpenLogError, Opening};
use crate::batch::{BatchHeader, ControlMarker};
use crate::fs::{TXN_INDEX_SUFFIX, segment_path};
use crate::segment::Segment;
use crate::txn_index::{AbortedTransaction, entries_of_file};
use std::io;
use std::sync::Arc;

impl Opening<'_> {
    /// Takes the index of aborted transactions as its file says, or notes that it has to be written anew.
    pub(super) fn trust_aborted(
        &mut self,
        segment: &Arc<Segment>,
        base_offset: i64,
        next_offset: i64,
    ) -> Result<(), OpenLogError> {
        let path = segment_path(self.dir, base_offset, TXN_INDEX_SUFFIX);
        match entries_of_file(&path, base_offset, next_offset).map_err(|error| self.failed(error))? {
            Some(entries) => segment.open_aborted(entries),
            None => {
                tracing::warn!(path = %path.display(), "a damaged index of aborted transactions is written anew");
                self.changed = true;
                self.recovered.rebuilt_indexes += 1;
                self.txn_indexes_lost.push(LostTxnIndex { base_offset, markers: true });
            }
        }
        Ok(())
    }

    /// Holds the indexes of aborted transactions that were taken as their files say against the log: they have no checksum,
    /// and by a wrong entry readers of committed records would be given what was aborted.
    pub(super) fn check_aborted(&mut self, segments: &[Arc<Segment>]) -> io::Result<()> {
        for (at, segment) in segments.iter().enumerate() {
            let base_offset = segment.base_offset();
            if !segment.has_aborted()
                || self.txn_indexes_lost.iter().any(|lost| lost.base_offset == base_offset)
            {
                continue;
            }
            let mut entries = Vec::new();
            segment.aborted_transactions(base_offset, i64::MAX, &mut entries, self.fs)?;
            for entry in entries {
                if !self.is_in_log(&entry, &segments[..=at])? {
                    let path = segment_path(self.dir, base_offset, TXN_INDEX_SUFFIX);
                    tracing::warn!(path = %path.display(), ?entry, "an index of aborted transactions has what the log hasn't");
                    self.changed = true;
                    self.recovered.rebuilt_indexes += 1;
                    self.txn_indexes_lost.push(LostTxnIndex { base_offset, markers: true });
                    break;
                }
            }
        }
        self.txn_indexes_lost.sort_by_key(|lost| lost.base_offset);
        Ok(())
    }

    /// Whether a transaction that was aborted with a marker in the last of the segments is there: its marker, and the first
    /// of its batches, unless compaction or retention may have taken that.
    fn is_in_log(&self, entry: &AbortedTransaction, segments: &[Arc<Segment>]) -> io::Result<bool> {
        let find = |offset: i64| -> io::Result<Option<(BatchHeader, Vec<u8>)>> {
            let after = segments.partition_point(|segment| segment.base_offset() <= offset);
            let Some(segment) = after.checked_sub(1).map(|at| &segments[at]) else { return Ok(None) };
            let found = match segment.locate(offset, segment.end().position, self.fs) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
                found => found?,
            };
            let Some(batch) = found.filter(|batch| batch.header.base_offset == offset) else {
                return Ok(None);
            };
            Ok(Some((batch.header, segment.read_batch(&batch, self.fs)?)))
        };
        let is_producers = |header: &BatchHeader| header.producer_id == entry.producer_id;
        let marker = find(entry.last_offset)?;
        let aborts = marker.is_some_and(|(header, bytes)| {
            is_producers(&header) && ControlMarker::of_batch(&bytes).is_some_and(|marker| !marker.is_commit)
        });
        let may_be_gone = self.config.compact
            || segments.first().is_none_or(|first| entry.first_offset < first.base_offset())
            || entry.first_offset < self.hint.log_start_offset;
        let begins = match find(entry.first_offset)? {
            Some((header, _)) => is_producers(&header) && header.is_transactional() && !header.is_control(),
            None => may_be_gone,
        };
        Ok(aborts && begins && entry.last_stable_offset <= entry.last_offset + 1)
    }
}
