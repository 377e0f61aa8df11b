//! Look-ups by timestamp (ListOffsets). They read the files and open a batch: not for a network thread.

use super::{Log, ReadError};
use crate::batch::{self, BatchRules};
use crate::fs::Fs;
use crate::segment::{Headers, LocatedBatch, Segment};
use std::io;
use std::sync::Arc;

/// A record found by its timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Timestamp of the record, in milliseconds.
    pub timestamp_ms: i64,
    /// Its offset.
    pub offset: i64,
    /// The leader epoch of its batch, or -1.
    pub leader_epoch: i32,
}

impl Log {
    /// The first record, by offset, whose timestamp is at least `timestamp_ms`; `None` when all are earlier. As in
    /// Kafka, segments are told apart by their largest timestamps, and only one batch is opened.
    ///
    /// # Errors
    /// See [`ReadError`]; a batch that can't be opened is `InvalidData`.
    pub fn offset_for_timestamp(&self, timestamp_ms: i64) -> Result<Option<TimestampOffset>, ReadError> {
        self.inner.check_online()?;
        let log_start_offset = self.log_start_offset();
        let segments = self.inner.segments.load_full();
        for segment in &segments.segments {
            // The active segment's end first: its largest timestamp may already be that of a later batch.
            let end = segment.end();
            let latest = segment.max_timestamp().map(|(timestamp, _)| timestamp);
            if end.next_offset <= log_start_offset || latest.is_none_or(|latest| latest < timestamp_ms) {
                continue;
            }
            let fs = self.inner.fs();
            let file = segment.file(fs)?;
            let mut position = segment.time_position(timestamp_ms, log_start_offset, fs)?;
            let mut headers = Headers::new(&file, end.position);
            while let Some(header) = headers.at(position)? {
                let located = LocatedBatch { position, header };
                position = located.end_position();
                if header.max_timestamp < timestamp_ms || header.last_offset() < log_start_offset {
                    continue;
                }
                let found = first_record(segment, &located, fs, |timestamp, offset| {
                    timestamp >= timestamp_ms && offset >= log_start_offset
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// The first record that has the largest timestamp of the log (KIP-734); `None` while no record has one.
    ///
    /// # Errors
    /// See [`ReadError`]; a batch that can't be opened is `InvalidData`.
    pub fn max_timestamp(&self) -> Result<Option<TimestampOffset>, ReadError> {
        self.inner.check_online()?;
        let segments = self.inner.segments.load_full();
        let mut latest: Option<(&Arc<Segment>, i64, i64)> = None;
        for segment in &segments.segments {
            if let Some((timestamp_ms, last_offset)) = segment.max_timestamp()
                && latest.is_none_or(|(_, before, _)| timestamp_ms > before)
            {
                latest = Some((segment, timestamp_ms, last_offset));
            }
        }
        let Some((segment, timestamp_ms, last_offset)) = latest else { return Ok(None) };
        let limit = segment.end().position;
        let Some(located) = segment.locate(last_offset, limit, self.inner.fs())? else { return Ok(None) };
        Ok(first_record(segment, &located, self.inner.fs(), |timestamp, _| timestamp == timestamp_ms)?)
    }
}

/// Opens a batch and gives the first record that `wanted` (timestamp, offset) takes.
fn first_record(
    segment: &Arc<Segment>,
    located: &LocatedBatch,
    fs: &dyn Fs,
    wanted: impl Fn(i64, i64) -> bool,
) -> io::Result<Option<TimestampOffset>> {
    let bytes = segment.read_batch(located, fs)?;
    let opened = batch::open(&bytes, BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    for record in opened.records() {
        let record = record.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if wanted(record.timestamp, record.offset) {
            return Ok(Some(TimestampOffset {
                timestamp_ms: record.timestamp,
                offset: record.offset,
                leader_epoch: located.header.partition_leader_epoch,
            }));
        }
    }
    Ok(None)
}
