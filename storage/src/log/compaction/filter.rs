//! What compaction leaves of a batch.

use super::offset_map::OffsetMap;
use super::transactions::CleanedTransactions;
use crate::batch::{
    self, BatchHeader, BatchRules, ControlMarker, OpenError, Record, RecordsError, verify_stored,
};
use crate::codec::CodecError;
use std::collections::HashMap;

/// A batch that can't be compacted because it can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBatch {
    /// It isn't whole, or its checksum doesn't match.
    #[error(transparent)]
    Stored(#[from] batch::StoredBatchError),
    /// Its records can't be had.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its records are none.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// What is left of it can't be compressed again.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    All,
    /// This in its place.
    Changed(Vec<u8>),
}

/// A producer's last batch: its last offset, where there is one, and the producer's epoch.
pub(super) type LastRecords = HashMap<i64, (Option<i64>, i16)>;

/// The rules of a round.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    pub(super) map: &'a OffsetMap,
    pub(super) transactions: CleanedTransactions,
    pub(super) last_records: LastRecords,
    pub(super) delete_retention_ms: i64,
    pub(super) now_ms: i64,
}

impl Filter<'_> {
    /// What is left of the batch at the start of `bytes`. If `keep_offset` that is at least a batch without records, for
    /// the offset that comes after it.
    ///
    /// As in Kafka: of each key the last record stays. A record without a value, or a marker without a transaction, first
    /// gets a time until which it stays (KIP-534). The last batch of a producer stays, without its records if need be:
    /// it says which sequence number comes next.
    pub(super) fn apply(&mut self, bytes: &[u8], keep_offset: bool) -> Result<Left, UnreadableBatch> {
        let header = verify_stored(bytes)?;
        let marker = if header.is_control() { ControlMarker::of_batch(bytes) } else { None };
        let discardable = self.transactions.follow(&header, marker);
        let keep_empty = keep_offset || self.is_last_of_producer(&header);
        let horizon_passed = header.delete_horizon_ms().is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
        if discardable && (!header.is_control() || horizon_passed) {
            return Ok(emptied(&header, keep_empty));
        }
        let opened = batch::open(bytes, BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES)?;
        let mut kept = Vec::with_capacity(usize::try_from(header.records_count).unwrap_or(0).min(1 << 16));
        for record in opened.records() {
            let record = record?;
            if header.is_control() || self.keeps(&record, horizon_passed) {
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(emptied(&header, keep_empty));
        }
        let waits =
            if header.is_control() { discardable } else { kept.iter().any(|record| record.value.is_none()) };
        let horizon_ms = match header.delete_horizon_ms() {
            None if waits => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            horizon_ms => horizon_ms,
        };
        if kept.len() == header.records_count as usize && horizon_ms == header.delete_horizon_ms() {
            return Ok(Left::All);
        }
        Ok(Left::Changed(batch::rewrite(&header, &kept, horizon_ms)?))
    }

    fn keeps(&self, record: &Record<'_>, horizon_passed: bool) -> bool {
        if record.offset >= self.map.end_offset() {
            return true;
        }
        // What has no key was written before the topic was compacted.
        let Some(key) = record.key else { return false };
        let is_last = self.map.get(key).is_none_or(|last| record.offset >= last);
        is_last && (record.value.is_some() || !horizon_passed)
    }

    fn is_last_of_producer(&self, batch: &BatchHeader) -> bool {
        // A producer that isn't remembered any more needs nothing.
        batch.has_producer_id()
            && self.last_records.get(&batch.producer_id).is_some_and(|(last_offset, epoch)| match last_offset
            {
                Some(last_offset) => *last_offset == batch.last_offset(),
                None => batch.is_control() && batch.producer_epoch == *epoch,
            })
    }
}

fn emptied(header: &BatchHeader, keep_empty: bool) -> Left {
    match keep_empty {
        false => Left::Nothing,
        true if header.records_count == 0 => Left::All,
        true => Left::Changed(header.without_records().to_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests;
