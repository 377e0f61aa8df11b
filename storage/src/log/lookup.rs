//! Look-ups by timestamp (ListOffsets). They read the files and open a batch: not for a network thread.

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
