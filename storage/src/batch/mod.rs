//! Record batches, message format v2 (KIP-98): the header, the checks an append makes, building and opening.
//!
//! A batch is carried as the producer wrote it. [`check`] looks at it (CRC-32C, shape, bounds, uncompressed records)
//! and gives a [`CheckedBatch`], which is what a log appends; docs/decisions/001-batch-checks.md says how far it looks.

mod builder;
mod check;
mod convert;
mod header;
mod records;
mod rewrite;
mod rules;

pub use builder::{BatchBuilder, RecordHeader, end_transaction_marker};
pub use check::{
    BatchError, CheckedBatch, MAX_RECORD_ERRORS, MIN_LENGTH, RecordError, StoredBatchError, check,
    needs_opening, verify_stored,
};
pub use convert::{convert, needs_conversion};
pub use header::{
    BatchHeader, HEADER_SIZE_BYTES, HeaderError, HeaderPatch, LOG_OVERHEAD_BYTES, NO_LEADER_EPOCH,
    NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TimestampType, decrement_sequence,
    increment_sequence,
};
pub use records::{ControlMarker, OpenError, OpenedBatch, Record, Records, RecordsError, open};
pub use rewrite::rewrite;
pub use rules::{BatchRules, CompressionRule};
