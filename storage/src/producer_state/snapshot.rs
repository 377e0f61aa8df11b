//! The snapshot file `<offset>.snapshot`, version 1 of Kafka's `ProducerSnapshot`: a version, a CRC-32C of all that
//! follows it, and one entry per producer with its last batch.

use super::ProducerStates;
use super::entry::{Batch, Entry};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const COUNT_AT: usize = 6;
const ENTRIES_AT: usize = 10;
const ENTRY_SIZE_BYTES: usize = 46;

/// Why a snapshot can't be used: the state is rebuilt from an older one, or from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Fewer or more bytes than the entries take.
    #[error("producer snapshot of {0} bytes has the wrong length for its entries")]
    WrongLength(usize),
    /// A version that isn't known.
    #[error("unknown producer snapshot version {0}")]
    UnknownVersion(i16),
    /// CRC-32C doesn't match.
    #[error("producer snapshot has CRC {stored:#010x}, its bytes {computed:#010x}")]
    CrcMismatch {
        /// CRC in the file.
        stored: u32,
        /// CRC of the bytes.
        computed: u32,
    },
}

impl ProducerStates {
    /// The contents of a snapshot file. Only the last batch of each producer is kept there, so that after a restart
    /// a duplicate of an earlier one is out of order instead, as in Kafka.
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENTRIES_AT + self.producers.len() * ENTRY_SIZE_BYTES);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        let count = i32::try_from(self.producers.len()).expect("fewer producers than an i32 counts");
        out.extend_from_slice(&count.to_be_bytes());
        for (producer_id, entry) in &self.producers {
            out.extend_from_slice(&producer_id.to_be_bytes());
            out.extend_from_slice(&entry.producer_epoch.to_be_bytes());
            out.extend_from_slice(&entry.last.last_sequence.to_be_bytes());
            out.extend_from_slice(&entry.last.last_offset.to_be_bytes());
            out.extend_from_slice(&entry.last.offset_delta.to_be_bytes());
            out.extend_from_slice(&entry.last_timestamp_ms.to_be_bytes());
            out.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
            out.extend_from_slice(&entry.current_txn_first_offset.to_be_bytes());
        }
        let crc = crc_fast::crc32_iscsi(&out[COUNT_AT..]);
        out[CRC_AT..COUNT_AT].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Replaces the state by that of a snapshot file; producers idle for `expiration_ms` are left out.
    ///
    /// # Errors
    /// What is wrong with the file; the state is unchanged then.
    pub fn load_snapshot(
        &mut self,
        bytes: &[u8],
        now_ms: i64,
        expiration_ms: i64,
    ) -> Result<(), SnapshotError> {
        let mut rest = checked_entries(bytes)?;
        self.producers.clear();
        while let Some(producer_id) = take(&mut rest) {
            let entry = read_entry(&mut rest).ok_or(SnapshotError::WrongLength(bytes.len()))?;
            if !entry.is_expired(now_ms, expiration_ms) {
                self.producers.insert(i64::from_be_bytes(producer_id), entry);
            }
        }
        while self.producers.len() > self.max_producers {
            let before = self.producers.len();
            self.forget_least_recent();
            if self.producers.len() == before {
                break;
            }
        }
        self.give_back_memory();
        Ok(())
    }
}

/// A producer as a snapshot has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Its id.
    pub producer_id: i64,
    /// Latest epoch.
    pub producer_epoch: i16,
    /// Last sequence number of its last batch, or -1.
    pub last_sequence: i32,
    /// Last offset of its last batch, or -1.
    pub last_offset: i64,
    /// Last offset less the first one of that batch.
    pub offset_delta: i32,
    /// Timestamp of its last batch or marker, in milliseconds.
    pub timestamp_ms: i64,
    /// Epoch of the coordinator that wrote its last marker, or -1.
    pub coordinator_epoch: i32,
    /// First offset of the transaction that is open, or -1.
    pub current_txn_first_offset: i64,
}

/// All entries of a snapshot file, in its order.
///
/// # Errors
/// What is wrong with the file.
pub fn snapshot_entries(bytes: &[u8]) -> Result<Vec<SnapshotEntry>, SnapshotError> {
    let mut rest = checked_entries(bytes)?;
    let mut entries = Vec::with_capacity(rest.len() / ENTRY_SIZE_BYTES);
    while let Some(producer_id) = take(&mut rest) {
        let entry = read_entry(&mut rest).ok_or(SnapshotError::WrongLength(bytes.len()))?;
        entries.push(SnapshotEntry {
            producer_id: i64::from_be_bytes(producer_id),
            producer_epoch: entry.producer_epoch,
            last_sequence: entry.last.last_sequence,
            last_offset: entry.last.last_offset,
            offset_delta: entry.last.offset_delta,
            timestamp_ms: entry.last_timestamp_ms,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_first_offset: entry.current_txn_first_offset,
        });
    }
    Ok(entries)
}

/// The bytes of the entries, once version, length and CRC are known to hold.
fn checked_entries(bytes: &[u8]) -> Result<&[u8], SnapshotError> {
    let wrong_length = SnapshotError::WrongLength(bytes.len());
    let version = i16::from_be_bytes(*bytes.first_chunk().ok_or(wrong_length)?);
    if version != VERSION {
        return Err(SnapshotError::UnknownVersion(version));
    }
    let mut rest = &bytes[CRC_AT..];
    let stored = u32::from_be_bytes(take(&mut rest).ok_or(wrong_length)?);
    let count = i32::from_be_bytes(take(&mut rest).ok_or(wrong_length)?);
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY_SIZE_BYTES)) != Some(rest.len()) {
        return Err(wrong_length);
    }
    let computed = crc_fast::crc32_iscsi(&bytes[COUNT_AT..]);
    if stored == computed { Ok(rest) } else { Err(SnapshotError::CrcMismatch { stored, computed }) }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (field, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*field)
}

fn read_entry(rest: &mut &[u8]) -> Option<Entry> {
    let producer_epoch = i16::from_be_bytes(take(rest)?);
    let last_sequence = i32::from_be_bytes(take(rest)?);
    let last_offset = i64::from_be_bytes(take(rest)?);
    let offset_delta = i32::from_be_bytes(take(rest)?);
    let timestamp_ms = i64::from_be_bytes(take(rest)?);
    let mut entry = Entry::empty();
    if last_offset >= 0 {
        entry.add_batch(producer_epoch, Batch { last_offset, timestamp_ms, last_sequence, offset_delta });
    }
    entry.producer_epoch = producer_epoch;
    entry.last_timestamp_ms = timestamp_ms;
    entry.coordinator_epoch = i32::from_be_bytes(take(rest)?);
    entry.current_txn_first_offset = i64::from_be_bytes(take(rest)?).max(-1);
    Some(entry)
}
