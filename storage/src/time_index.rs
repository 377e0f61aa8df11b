//! The time index of a segment, in Kafka's format: entries of 12 bytes, the largest timestamp so far and the
//! last offset of the first batch that has it, relative to the segment's base offset; both big-endian and
//! neither ever falling.
//!
//! Kept in memory until written, as the offset index is.

use crate::fs::{Fs, replace_file};
use crate::offset_index::{EntryFile, search_file};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of an entry.
pub const TIME_INDEX_ENTRY_BYTES: usize = 12;

/// A timestamp and the last offset of the batch it was seen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampEntry {
    /// Largest timestamp up to and including that batch, in milliseconds.
    pub timestamp_ms: i64,
    /// Last offset of the batch, relative to the segment's base offset.
    pub relative_offset: u32,
}

impl TimestampEntry {
    pub(crate) fn parse(bytes: &[u8]) -> TimestampEntry {
        TimestampEntry {
            timestamp_ms: i64::from_be_bytes(bytes[..8].try_into().expect("8 bytes")),
            relative_offset: u32::from_be_bytes(bytes[8..12].try_into().expect("4 bytes")),
        }
    }
}

/// The time index of one segment. Not locked: the segment does that.
#[derive(Debug)]
pub struct TimeIndex {
    file: EntryFile,
    entries_in_file: usize,
    tail: Vec<TimestampEntry>,
    /// The last entry, in the file or not.
    last: Option<TimestampEntry>,
}

impl TimeIndex {
    /// An index at `path`, of which `entries_in_file` entries are there already.
    pub fn open(path: PathBuf, entries_in_file: usize, fs: &dyn Fs) -> io::Result<TimeIndex> {
        let mut index =
            TimeIndex { file: EntryFile::new(path), entries_in_file, tail: Vec::new(), last: None };
        index.last = index.lookup(i64::MAX, fs)?;
        // A sealed segment holds no descriptor of its indexes until somebody searches them.
        index.file.close();
        Ok(index)
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Number of entries, written out or not.
    pub fn entries(&self) -> usize {
        self.entries_in_file + self.tail.len()
    }

    /// The last entry.
    pub fn last(&self) -> Option<TimestampEntry> {
        self.last
    }

    /// Adds an entry when its timestamp is above the last one's.
    pub fn maybe_append(&mut self, entry: TimestampEntry) {
        let newer = match self.last {
            Some(last) => {
                entry.timestamp_ms > last.timestamp_ms && entry.relative_offset >= last.relative_offset
            }
            None => entry.timestamp_ms > crate::batch::NO_TIMESTAMP,
        };
        if newer {
            self.tail.push(entry);
            self.last = Some(entry);
        }
    }

    /// Writes the entries that the file doesn't have yet, without syncing.
    pub fn spill(&mut self, fs: &dyn Fs) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let at = (self.entries_in_file * TIME_INDEX_ENTRY_BYTES) as u64;
        fs.write_all_at(self.file.file_for_writing(fs)?, &[&encode(&self.tail)], at)?;
        self.entries_in_file += self.tail.len();
        self.tail = Vec::new();
        Ok(())
    }

    /// Writes everything out and cuts the file to the entries. An empty index has an empty file.
    pub fn seal(&mut self, fs: &dyn Fs) -> io::Result<()> {
        self.spill(fs)?;
        fs.set_len(self.file.file_for_writing(fs)?, (self.entries_in_file * TIME_INDEX_ENTRY_BYTES) as u64)
    }

    /// Writes all entries in place of whatever file is there, at once and durably but for the file's name. None were written
    /// before.
    pub fn replace(&mut self, fs: &dyn Fs) -> io::Result<()> {
        debug_assert_eq!(self.entries_in_file, 0);
        replace_file(fs, self.file.path(), &encode(&self.tail))?;
        self.file.close();
        self.entries_in_file = std::mem::take(&mut self.tail).len();
        Ok(())
    }

    /// Makes what was written durable.
    pub fn sync(&self, fs: &dyn Fs) -> io::Result<()> {
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

    /// The last entry whose timestamp is not above `timestamp_ms`.
    pub fn lookup(&self, timestamp_ms: i64, fs: &dyn Fs) -> io::Result<Option<TimestampEntry>> {
        if self.tail.first().is_some_and(|first| first.timestamp_ms <= timestamp_ms) {
            let after = self.tail.partition_point(|entry| entry.timestamp_ms <= timestamp_ms);
            return Ok(Some(self.tail[after - 1]));
        }
        if self.entries_in_file == 0 {
            return Ok(None);
        }
        let found =
            search_file(self.file.file(fs)?, TIME_INDEX_ENTRY_BYTES, self.entries_in_file, |entry| {
                TimestampEntry::parse(entry).timestamp_ms <= timestamp_ms
            })?;
        Ok(found.map(|entry| TimestampEntry::parse(&entry)))
    }
}

fn encode(entries: &[TimestampEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * TIME_INDEX_ENTRY_BYTES);
    for entry in entries {
        bytes.extend_from_slice(&entry.timestamp_ms.to_be_bytes());
        bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    fn entry(timestamp_ms: i64, relative_offset: u32) -> TimestampEntry {
        TimestampEntry { timestamp_ms, relative_offset }
    }

    #[test]
    fn only_later_timestamps_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let mut index = TimeIndex::open(path.clone(), 0, &RealFs).unwrap();
        for (timestamp, offset) in [(-1, 0), (100, 3), (100, 9), (90, 10), (101, 12)] {
            index.maybe_append(entry(timestamp, offset));
        }
        assert_eq!(index.entries(), 2);
        index.seal(&RealFs).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 101, 0, 0, 0, 12]);
        let reopened = TimeIndex::open(path, 2, &RealFs).unwrap();
        assert_eq!(reopened.last(), Some(entry(101, 12)));
    }

    #[test]
    fn lookups_see_the_file_and_the_tail() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = TimeIndex::open(dir.path().join("t"), 0, &RealFs).unwrap();
        for i in 0..1000u32 {
            index.maybe_append(entry(1000 + i64::from(i) * 10, i));
            if i == 700 {
                index.spill(&RealFs).unwrap();
            }
        }
        assert_eq!(index.lookup(999, &RealFs).unwrap(), None);
        assert_eq!(index.lookup(1000, &RealFs).unwrap(), Some(entry(1000, 0)));
        assert_eq!(index.lookup(5_015, &RealFs).unwrap(), Some(entry(5_010, 401)));
        assert_eq!(index.lookup(9_999, &RealFs).unwrap(), Some(entry(9_990, 899)));
        assert_eq!(index.lookup(i64::MAX, &RealFs).unwrap(), Some(entry(10_990, 999)));
    }
}
