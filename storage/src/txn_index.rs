//! The index of the aborted transactions of a segment, in Kafka's format: entries of 34 bytes in the order of their
//! markers, all fields big-endian. A transaction stands in the index of the segment that has its marker, however many
//! segments back it began.
//!
//! There is no file before there is an entry. Entries are kept in memory until written, as those of the offset index
//! are. Unlike the other indexes this one can't be sparse: records of a transaction that is missing here would be read
//! as committed. So what a crash may have taken is written anew as a whole.

use crate::fs::{Fs, replace_file};
use crate::offset_index::EntryFile;
use crate::segment::read_up_to_at;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of an entry.
pub const TXN_INDEX_ENTRY_BYTES: usize = 34;
/// The only version of an entry that there is.
const VERSION: i16 = 0;
/// Entries read at once.
const ENTRIES_PER_READ: usize = 120;

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Offset of its first record in the partition.
    pub first_offset: i64,
    /// Offset of its marker.
    pub last_offset: i64,
    /// The last stable offset once the marker was there, with every marker taken as final. Each transaction that is
    /// aborted later begins at this offset or after it.
    pub last_stable_offset: i64,
}

impl AbortedTransaction {
    fn to_bytes(self) -> [u8; TXN_INDEX_ENTRY_BYTES] {
        let mut bytes = [0; TXN_INDEX_ENTRY_BYTES];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        let fields = [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset];
        for (slot, field) in bytes[2..].chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// `None` for a version that isn't known.
    pub(crate) fn parse(bytes: &[u8]) -> Option<AbortedTransaction> {
        let (version, fields) = bytes.split_first_chunk::<2>()?;
        let mut fields = fields.chunks_exact(8).map(|f| i64::from_be_bytes(f.try_into().expect("8 bytes")));
        let entry = AbortedTransaction {
            producer_id: fields.next()?,
            first_offset: fields.next()?,
            last_offset: fields.next()?,
            last_stable_offset: fields.next()?,
        };
        (i16::from_be_bytes(*version) == VERSION).then_some(entry)
    }
}

/// The index of one segment. Not locked: the segment does that.
#[derive(Debug)]
pub struct TxnIndex {
    file: EntryFile,
    entries_in_file: usize,
    tail: Vec<AbortedTransaction>,
}

impl TxnIndex {
    /// An index at `path`, of which `entries_in_file` entries are there already.
    pub fn new(path: PathBuf, entries_in_file: usize) -> TxnIndex {
        TxnIndex { file: EntryFile::new(path), entries_in_file, tail: Vec::new() }
    }

    /// Number of entries that the file doesn't have yet.
    pub fn tail_entries(&self) -> usize {
        self.tail.len()
    }

    /// Adds an entry; markers only come later in the log.
    pub fn append(&mut self, entry: AbortedTransaction) {
        self.tail.push(entry);
    }

    /// Writes the entries that the file doesn't have yet, without syncing.
    pub fn spill(&mut self, fs: &dyn Fs) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let at = (self.entries_in_file * TXN_INDEX_ENTRY_BYTES) as u64;
        fs.write_all_at(self.file.file_for_writing(fs)?, &[&encode(&self.tail)], at)?;
        self.entries_in_file += self.tail.len();
        self.tail = Vec::new();
        Ok(())
    }

    /// Writes everything out and cuts the file to the entries; a write that a full disk refused may have left more.
    pub fn seal(&mut self, fs: &dyn Fs) -> io::Result<()> {
        self.spill(fs)?;
        if self.entries_in_file == 0 {
            return Ok(());
        }
        fs.set_len(self.file.file_for_writing(fs)?, (self.entries_in_file * TXN_INDEX_ENTRY_BYTES) as u64)
    }

    /// Makes what was written durable.
    pub fn sync(&self, fs: &dyn Fs) -> io::Result<()> {
        if self.entries_in_file == 0 {
            return Ok(());
        }
        fs.sync_all(self.file.file(fs)?)
    }

    /// Gives the descriptor back; the next look-up opens the file anew.
    pub fn close(&mut self) {
        self.file.close();
    }

    /// From now on the file is not opened by its name any more.
    pub(crate) fn forget_name(&mut self) {
        self.file.forget_name();
    }

    /// Opens the file, where look-ups need one.
    pub fn pin(&self, fs: &dyn Fs) -> io::Result<()> {
        if self.entries_in_file > 0 { self.file.file(fs).map(drop) } else { Ok(()) }
    }

    /// Adds to `found` the transactions whose records or marker may lie in `[from_offset, upper_bound_offset)`.
    /// Tells whether that was all of them: else the indexes of later segments may have more.
    ///
    /// # Errors
    /// What reading gives; `InvalidData` for an entry of another version.
    pub fn overlapping(
        &self,
        from_offset: i64,
        upper_bound_offset: i64,
        found: &mut Vec<AbortedTransaction>,
        fs: &dyn Fs,
    ) -> io::Result<bool> {
        let mut take = |entry: &AbortedTransaction| {
            if entry.last_offset >= from_offset && entry.first_offset < upper_bound_offset {
                found.push(*entry);
            }
            entry.last_stable_offset >= upper_bound_offset
        };
        if self.entries_in_file > 0 {
            let file = self.file.file(fs)?;
            let mut at = before_first_ending_from(file, self.entries_in_file, from_offset)?;
            while at < self.entries_in_file {
                let page = read_entries(file, at, ENTRIES_PER_READ.min(self.entries_in_file - at))?;
                if page.iter().any(&mut take) {
                    return Ok(true);
                }
                at += page.len();
            }
        }
        let at = self.tail.partition_point(|entry| entry.last_offset < from_offset);
        Ok(self.tail[at..].iter().any(take))
    }
}

/// The number of entries in the file at `path`, 0 when there is none; `None` when they can't be those of a segment
/// with the offsets `[base_offset, next_offset)`.
///
/// # Errors
/// What reading gives.
pub(crate) fn entries_of_file(path: &Path, base_offset: i64, next_offset: i64) -> io::Result<Option<usize>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(0)),
        Err(error) => return Err(error),
    };
    if !bytes.len().is_multiple_of(TXN_INDEX_ENTRY_BYTES) {
        return Ok(None);
    }
    let mut lowest = base_offset;
    for bytes in bytes.chunks_exact(TXN_INDEX_ENTRY_BYTES) {
        let Some(entry) = AbortedTransaction::parse(bytes) else { return Ok(None) };
        let marker_fits = (lowest..next_offset).contains(&entry.last_offset);
        if !marker_fits || entry.first_offset >= entry.last_offset || entry.first_offset < 0 {
            return Ok(None);
        }
        lowest = entry.last_offset + 1;
    }
    Ok(Some(bytes.len() / TXN_INDEX_ENTRY_BYTES))
}

/// Writes a whole index in place of whatever file is there, durably but for the file's name.
pub(crate) fn write_entries(path: &Path, entries: &[AbortedTransaction], fs: &dyn Fs) -> io::Result<()> {
    replace_file(fs, path, &encode(entries))
}

fn encode(entries: &[AbortedTransaction]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.to_bytes()).collect()
}

/// An index not above that of the first entry whose marker is at `offset` or after it, and less than a read below it: to
/// look closer would take more reads than it saves.
fn before_first_ending_from(file: &File, entries: usize, offset: i64) -> io::Result<usize> {
    let (mut low, mut high) = (0, entries);
    while high - low >= ENTRIES_PER_READ {
        let middle = low.midpoint(high);
        if read_entries(file, middle, 1)?[0].last_offset < offset {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn read_entries(file: &File, at: usize, count: usize) -> io::Result<Vec<AbortedTransaction>> {
    let mut bytes = vec![0; count * TXN_INDEX_ENTRY_BYTES];
    if read_up_to_at(file, &mut bytes, (at * TXN_INDEX_ENTRY_BYTES) as u64)? < bytes.len() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an index is shorter than its entries"));
    }
    let entries = bytes.chunks_exact(TXN_INDEX_ENTRY_BYTES).map(AbortedTransaction::parse);
    entries.collect::<Option<Vec<_>>>().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "an aborted transaction of a version that isn't known")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use proptest::prelude::*;

    fn entry(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTransaction {
        let [first_offset, last_offset, last_stable_offset] = [first, last, stable];
        AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset }
    }

    #[test]
    fn the_file_has_kafkas_bytes_and_comes_with_the_first_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.txnindex");
        let mut index = TxnIndex::new(path.clone(), 0);
        index.seal(&RealFs).unwrap();
        index.sync(&RealFs).unwrap();
        assert!(!path.exists());
        index.append(entry(0x11, 0x22, 0x0133, 0x44));
        index.seal(&RealFs).unwrap();
        index.sync(&RealFs).unwrap();
        let mut expected = vec![0, 0]; // version
        for field in [[0x00, 0x11], [0x00, 0x22], [0x01, 0x33], [0x00, 0x44]] {
            expected.extend_from_slice(&[0; 6]);
            expected.extend_from_slice(&field);
        }
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(entries_of_file(&path, 0, 1000).unwrap(), Some(1));
    }

    #[test]
    fn a_replaced_index_has_its_own_entries_and_goes_on_behind_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        std::fs::write(&path, [0xee; 200]).unwrap();
        write_entries(&path, &[entry(1, 0, 5, 6)], &RealFs).unwrap();
        let mut index = TxnIndex::new(path.clone(), 1);
        index.append(entry(2, 3, 9, 10));
        index.seal(&RealFs).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), encode(&[entry(1, 0, 5, 6), entry(2, 3, 9, 10)]));
    }

    #[test]
    fn files_that_cannot_belong_to_the_segment_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let check = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            entries_of_file(&path, 100, 200).unwrap()
        };
        let good = encode(&[entry(1, 90, 100, 95), entry(2, 95, 199, 200)]);
        assert_eq!(check(&good), Some(2));
        assert_eq!(check(&[]), Some(0));
        assert_eq!(check(&good[..67]), None);
        let other_version = [&[0, 1], &good[2..]].concat();
        assert_eq!(check(&other_version), None);
        for bad in [
            [entry(1, 90, 99, 95), entry(2, 95, 199, 200)],
            [entry(1, 90, 100, 95), entry(2, 95, 200, 200)],
            [entry(1, 90, 110, 95), entry(2, 95, 110, 200)],
            [entry(1, 110, 110, 95), entry(2, 95, 120, 200)],
        ] {
            assert_eq!(check(&encode(&bad)), None, "{bad:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(entries_of_file(&path, 100, 200).unwrap(), Some(0));
    }

    proptest! {
        /// Transactions that end one after the other, some of them aborted; what is found in a range is what a
        /// search through all of them finds, wherever the file ends and the tail begins.
        #[test]
        fn what_overlaps_is_found(
            ends in proptest::collection::vec((0i64..20, any::<bool>()), 1..300),
            spilled in 0usize..300,
            ranges in proptest::collection::vec((0i64..2000, 0i64..300), 1..20),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut index = TxnIndex::new(dir.path().join("t"), 0);
            // Markers have even offsets, and transactions begin at odd ones up to 40 before: a record is no marker.
            let all: Vec<_> = ends.iter().enumerate().map(|(i, (back, aborted))| {
                let last = 50 + 2 * i as i64;
                (last - 1 - 2 * back, last, *aborted)
            }).collect();
            let mut aborted = Vec::new();
            for (i, (first, last, is_aborted)) in all.iter().enumerate() {
                if *is_aborted {
                    let open = all[i + 1..].iter().map(|later| later.0).filter(|first| first < last).min();
                    aborted.push(entry(i as i64, *first, *last, open.unwrap_or(last + 1)));
                    index.append(*aborted.last().unwrap());
                }
                if i == spilled {
                    index.spill(&RealFs).unwrap();
                }
            }
            for (from, len) in ranges {
                let mut found = Vec::new();
                index.overlapping(from, from + len, &mut found, &RealFs).unwrap();
                let expected: Vec<_> = aborted
                    .iter()
                    .filter(|entry| entry.last_offset >= from && entry.first_offset < from + len)
                    .copied()
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }

        #[test]
        fn any_file_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("t");
            std::fs::write(&path, &bytes).unwrap();
            if let Some(entries) = entries_of_file(&path, 0, i64::MAX).unwrap() {
                let index = TxnIndex::new(path, entries);
                let mut found = Vec::new();
                index.overlapping(0, i64::MAX, &mut found, &RealFs).unwrap();
            }
        }
    }
}
