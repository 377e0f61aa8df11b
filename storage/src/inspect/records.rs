//! Reading all records of a stored batch.

use crate::batch::{BatchHeader, BatchRules, OpenError, RecordsError, open};

/// Why the records of a batch whose checksum matches can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsFault {
    /// The batch doesn't open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A record isn't one.
    #[error("record {index}: {error}")]
    Record {
        /// Place of the record in the batch, from 0.
        index: usize,
        /// What is wrong with it.
        error: RecordsError,
    },
    /// The offset of a record lies outside its batch, or not behind that of the record before.
    #[error("record {index} has offset delta {offset_delta}, the batch reaches to {last_offset_delta}")]
    OffsetDelta {
        /// Place of the record in the batch, from 0.
        index: usize,
        /// What it says.
        offset_delta: i32,
        /// What the header says of the last record.
        last_offset_delta: i32,
    },
    /// The batch is larger than what is read into memory.
    #[error("a batch of {0} bytes is not opened")]
    TooLarge(usize),
}

/// Reads the records of a whole batch and gives their number. `bytes` is `None` for a batch that is too large.
///
/// # Errors
/// The first record that isn't one, or whose offset isn't one of the batch's.
pub(super) fn check_records(header: &BatchHeader, bytes: Option<&[u8]>) -> Result<u64, RecordsFault> {
    let bytes = bytes.ok_or(RecordsFault::TooLarge(header.size_in_bytes()))?;
    let opened = open(bytes, BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES)?;
    let mut lowest = 0;
    let mut count = 0;
    for (index, record) in opened.records().enumerate() {
        let record = record.map_err(|error| RecordsFault::Record { index, error })?;
        let offset_delta = record.offset_delta;
        if offset_delta < lowest || offset_delta > header.last_offset_delta {
            let last_offset_delta = header.last_offset_delta;
            return Err(RecordsFault::OffsetDelta { index, offset_delta, last_offset_delta });
        }
        lowest = offset_delta.saturating_add(1);
        count += 1;
    }
    Ok(count)
}
