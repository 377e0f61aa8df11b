//! Looking through segments after a crash: which batches are whole, and where to cut.
//!
//! A batch counts when its header parses, it ends before the file does, its CRC-32C matches, its base offset is
//! the expected one and its leader epoch isn't below the last. The first that doesn't is where the log ends:
//! whatever follows it was never acknowledged as durable, since a sync covers everything before its end.

use crate::batch::{BatchHeader, HEADER_SIZE_BYTES, HeaderError};
use crate::segment::read_up_to_at;
use crc_fast::{CrcAlgorithm, Digest};
use std::fs::File;
use std::io;

/// Read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// First byte that the checksum of a batch covers.
const CRC_FROM: usize = 21;

/// Why the log was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutReason {
    /// Zeros: reserved, but nothing was written or nothing reached the disk.
    Zeros,
    /// What lies there isn't a batch header.
    NotABatch(HeaderError),
    /// The batch reaches beyond the file.
    Incomplete {
        /// Bytes that the batch has.
        size_bytes: usize,
        /// Bytes that are left.
        available_bytes: usize,
    },
    /// The checksum doesn't match.
    CrcMismatch,
    /// The batch has another base offset than comes next.
    UnexpectedOffset {
        /// What comes next.
        expected: i64,
        /// What the batch says.
        found: i64,
    },
    /// The leader epoch is below that of the batch before.
    EpochFell {
        /// Of the batch before.
        last: i32,
        /// Of this one.
        found: i32,
    },
    /// The next segment starts at a later offset than this one ends.
    MissingRecords {
        /// Where this segment ends.
        expected: i64,
        /// Where the next one starts.
        found: i64,
    },
}

/// Where and why a log was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The log end afterwards.
    pub from_offset: i64,
    /// Segment that was cut.
    pub segment_base_offset: i64,
    /// Position at which it was.
    pub position: u32,
    /// Bytes that went with the cut, zeros and later segments included.
    pub truncated_bytes: u64,
    /// Later segments that were removed.
    pub removed_segments: usize,
    /// Why.
    pub reason: CutReason,
}

/// What opening a log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments that were looked through batch by batch.
    pub scanned_segments: usize,
    /// Their bytes.
    pub scanned_bytes: u64,
    /// Those among them that were known to be on disk, but whose indexes were missing or didn't fit.
    pub rebuilt_indexes: usize,
    /// Where the log was cut, if it was.
    pub cut: Option<Cut>,
}

/// How far a scan got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// End of the last whole batch.
    pub position: u32,
    /// Offset after it.
    pub next_offset: i64,
    /// Leader epoch of the last batch, or what it started with.
    pub last_epoch: i32,
    /// Why it ended before the file did.
    pub stopped: Option<CutReason>,
}

/// What batches have to keep to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanRules {
    /// Base offset of the first batch.
    pub first_offset: i64,
    /// Leader epoch that the first batch must not fall below.
    pub last_epoch: i32,
    /// Compaction may have removed batches and records.
    pub gaps_allowed: bool,
}

/// Goes through the first `len` bytes of a segment, and calls `seen` with each whole batch and its position.
///
/// # Errors
/// What reading gives, or `seen`.
pub(crate) fn scan(
    file: &File,
    len: u64,
    rules: ScanRules,
    mut seen: impl FnMut(&BatchHeader, u32) -> io::Result<()>,
) -> io::Result<Scanned> {
    let mut scanned =
        Scanned { position: 0, next_offset: rules.first_offset, last_epoch: rules.last_epoch, stopped: None };
    let mut chunk = vec![0; CHUNK_BYTES];
    // [chunk_at, chunk_at + chunk_len) of the file is in `chunk`.
    let (mut chunk_at, mut chunk_len) = (0u64, 0usize);
    while u64::from(scanned.position) < len {
        let position = u64::from(scanned.position);
        let available = usize::try_from(len - position).expect("a segment is smaller than the address space");
        let mut inside = (position - chunk_at) as usize;
        if inside + HEADER_SIZE_BYTES > chunk_len {
            chunk_at = position;
            chunk_len = read_up_to_at(file, &mut chunk[..CHUNK_BYTES.min(available)], position)?;
            inside = 0;
        }
        let header = match header_at(&chunk[inside..chunk_len], available, rules, &scanned) {
            Ok(header) => header,
            Err(reason) => {
                scanned.stopped = Some(reason);
                break;
            }
        };
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        let end = position + header.size_in_bytes() as u64;
        let mut at = position + CRC_FROM as u64;
        while at < end {
            if at >= chunk_at + chunk_len as u64 {
                chunk_at = at;
                let left = usize::try_from(len - at).expect("checked above");
                chunk_len = read_up_to_at(file, &mut chunk[..CHUNK_BYTES.min(left)], at)?;
                if chunk_len == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let from = (at - chunk_at) as usize;
            let to = chunk_len.min((end - chunk_at) as usize);
            digest.update(&chunk[from..to]);
            at = chunk_at + to as u64;
        }
        if digest.finalize() as u32 != header.crc {
            scanned.stopped = Some(CutReason::CrcMismatch);
            break;
        }
        seen(&header, scanned.position)?;
        scanned.position = end as u32;
        scanned.next_offset = header.next_offset();
        scanned.last_epoch = header.partition_leader_epoch;
    }
    Ok(scanned)
}

/// The header at the start of `bytes`, checked in everything but the CRC.
fn header_at(
    bytes: &[u8],
    available: usize,
    rules: ScanRules,
    scanned: &Scanned,
) -> Result<BatchHeader, CutReason> {
    let start = &bytes[..bytes.len().min(HEADER_SIZE_BYTES)];
    if start.iter().all(|byte| *byte == 0) {
        return Err(CutReason::Zeros);
    }
    let header = BatchHeader::parse(start).map_err(CutReason::NotABatch)?;
    let size_bytes = header.size_in_bytes();
    if size_bytes > available {
        return Err(CutReason::Incomplete { size_bytes, available_bytes: available });
    }
    let (expected, found) = (scanned.next_offset, header.base_offset);
    // With gaps the offsets may jump ahead, but neither back nor so far that they overflow.
    let fits = if rules.gaps_allowed { found >= expected } else { found == expected };
    if !fits || header.last_offset_delta < 0 || header.next_offset() <= found {
        return Err(CutReason::UnexpectedOffset { expected, found });
    }
    let (last, found) = (scanned.last_epoch, header.partition_leader_epoch);
    if found < last {
        return Err(CutReason::EpochFell { last, found });
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, HeaderPatch};
    use std::io::Write;

    fn batch(base_offset: i64, leader_epoch: i32, value_bytes: usize) -> Vec<u8> {
        let batch = BatchBuilder::new()
            .record(1000 + base_offset, None, Some(&vec![7; value_bytes]))
            .record(1001 + base_offset, None, Some(b"second"))
            .build();
        let patch = HeaderPatch { base_offset, leader_epoch, log_append_time_ms: None };
        let mut bytes = batch.bytes().to_vec();
        bytes[..HEADER_SIZE_BYTES].copy_from_slice(&patch.header_bytes(batch.bytes()));
        bytes
    }

    fn scan_bytes(bytes: &[u8], gaps_allowed: bool) -> (Scanned, Vec<(i64, u32)>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut seen = Vec::new();
        let rules = ScanRules { first_offset: 10, last_epoch: -1, gaps_allowed };
        let scanned = scan(&file, bytes.len() as u64, rules, |header, position| {
            seen.push((header.base_offset, position));
            Ok(())
        });
        (scanned.unwrap(), seen)
    }

    fn whole() -> (Vec<u8>, usize) {
        // The second batch is larger than what is read at once, the third starts in the middle of a chunk.
        let mut bytes = batch(10, 1, 100);
        bytes.extend(batch(12, 1, 300_000));
        let last = bytes.len();
        bytes.extend(batch(14, 2, 50));
        (bytes, last)
    }

    #[test]
    fn whole_batches_are_seen_one_by_one() {
        let (bytes, last) = whole();
        let (scanned, seen) = scan_bytes(&bytes, false);
        assert_eq!(scanned.stopped, None);
        assert_eq!(
            (scanned.position as usize, scanned.next_offset, scanned.last_epoch),
            (bytes.len(), 16, 2)
        );
        assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [10, 12, 14]);
        assert_eq!(seen[2].1 as usize, last);
    }

    #[test]
    fn the_scan_stops_at_the_first_bad_batch() {
        let (good, last) = whole();
        let stops = |bytes: &[u8]| {
            let (scanned, _) = scan_bytes(bytes, false);
            (scanned.position as usize, scanned.stopped.unwrap())
        };
        let mut flipped = good.clone();
        flipped[last - 5] ^= 1;
        let second = batch(10, 1, 100).len();
        assert_eq!(stops(&flipped), (second, CutReason::CrcMismatch));

        let torn = &good[..good.len() - 1];
        let size_bytes = good.len() - last;
        let incomplete = CutReason::Incomplete { size_bytes, available_bytes: size_bytes - 1 };
        assert_eq!(stops(torn), (last, incomplete));

        let mut zeros = good.clone();
        zeros.resize(zeros.len() + 5000, 0);
        assert_eq!(stops(&zeros), (good.len(), CutReason::Zeros));

        let mut garbage = good.clone();
        garbage.extend([0xff; 100]);
        assert!(matches!(stops(&garbage), (at, CutReason::NotABatch(_)) if at == good.len()));

        let mut jumped = good.clone();
        jumped.extend(batch(17, 2, 1));
        let jump = CutReason::UnexpectedOffset { expected: 16, found: 17 };
        assert_eq!(stops(&jumped), (good.len(), jump));

        let mut fell = good.clone();
        fell.extend(batch(16, 1, 1));
        assert_eq!(stops(&fell), (good.len(), CutReason::EpochFell { last: 2, found: 1 }));
    }

    #[test]
    fn after_compaction_offsets_may_jump_ahead_but_not_back() {
        let (good, _) = whole();
        let mut jumped = good.clone();
        jumped.extend(batch(17, 2, 1));
        assert_eq!(scan_bytes(&jumped, true).0.stopped, None);
        let mut back = good.clone();
        back.extend(batch(15, 2, 1));
        let (scanned, _) = scan_bytes(&back, true);
        assert_eq!(scanned.stopped, Some(CutReason::UnexpectedOffset { expected: 16, found: 15 }));
    }
}
