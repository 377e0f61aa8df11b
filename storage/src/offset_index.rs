//! The offset index of a segment, in Kafka's format: entries of 8 bytes, the last offset of a batch relative to
//! the segment's base offset and the position of that batch in the segment, both big-endian.
//!
//! The entries of an index that grows are kept here until [`OffsetIndex::spill`] writes them, so that an append
//! doesn't pay a system call for them; look-ups see both. What a crash takes is rebuilt from the segment.

use crate::fs::Fs;
use crate::segment::read_up_to_at;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Bytes of an entry.
pub const OFFSET_INDEX_ENTRY_BYTES: usize = 8;
/// Bytes looked at in one read while searching a file.
const SEARCH_PAGE_BYTES: usize = 4096;
const ENTRIES_PER_PAGE: usize = SEARCH_PAGE_BYTES / OFFSET_INDEX_ENTRY_BYTES;

/// An offset and the place of the batch that ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetPosition {
    /// Last offset of the batch, relative to the segment's base offset.
    pub relative_offset: u32,
    /// Position of the batch's first byte.
    pub position: u32,
}

impl OffsetPosition {
    pub(crate) fn parse(bytes: &[u8]) -> OffsetPosition {
        OffsetPosition {
            relative_offset: u32::from_be_bytes(bytes[..4].try_into().expect("4 bytes")),
            position: u32::from_be_bytes(bytes[4..8].try_into().expect("4 bytes")),
        }
    }
}

/// A file of entries of a fixed size that is opened at its first use.
#[derive(Debug)]
pub(crate) struct EntryFile {
    path: PathBuf,
    /// It can be opened by its name.
    named: bool,
    file: OnceLock<File>,
}

impl EntryFile {
    pub(crate) fn new(path: PathBuf) -> EntryFile {
        EntryFile { path, named: true, file: OnceLock::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, which exists. A look-up doesn't create one: its segment may just be going.
    pub(crate) fn file(&self, fs: &dyn Fs) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        if !self.named {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = match fs.open(&self.path) {
            // A file system that had errors is read-only by now. What lies there can still be read.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => fs.open_to_read(&self.path)?,
            opened => opened?,
        };
        Ok(self.file.get_or_init(|| file))
    }

    /// From now on the file isn't opened any more: its name is about to go or to become another's.
    pub(crate) fn forget_name(&mut self) {
        self.named = false;
    }

    /// Gives the descriptor back; the next use opens the file anew.
    pub(crate) fn close(&mut self) {
        self.file.take();
    }

    /// The file, created when missing.
    pub(crate) fn file_for_writing(&self, fs: &dyn Fs) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = fs.open_or_create(&self.path)?;
        Ok(self.file.get_or_init(|| file))
    }
}

/// The offset index of one segment. Not locked: the segment does that.
#[derive(Debug)]
pub struct OffsetIndex {
    file: EntryFile,
    /// Entries that are in the file.
    entries_in_file: usize,
    /// Entries after those.
    tail: Vec<OffsetPosition>,
    /// The offset of the first entry of each page of the file, so that a look-up reads one page. Incomplete, and then
    /// not used, where the file was there before.
    page_first_offsets: Vec<u32>,
}

impl OffsetIndex {
    /// An index at `path`, of which `entries_in_file` entries are there already.
    pub fn new(path: PathBuf, entries_in_file: usize) -> OffsetIndex {
        OffsetIndex {
            file: EntryFile::new(path),
            entries_in_file,
            tail: Vec::new(),
            page_first_offsets: Vec::new(),
        }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Number of entries, written out or not.
    pub fn entries(&self) -> usize {
        self.entries_in_file + self.tail.len()
    }

    /// Number of entries that the file doesn't have yet.
    pub fn tail_entries(&self) -> usize {
        self.tail.len()
    }

    /// Adds an entry; offsets only grow.
    pub fn append(&mut self, relative_offset: u32, position: u32) {
        self.tail.push(OffsetPosition { relative_offset, position });
    }

    /// Writes the entries that the file doesn't have yet, without syncing.
    pub fn spill(&mut self, fs: &dyn Fs) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.tail.len() * OFFSET_INDEX_ENTRY_BYTES);
        for entry in &self.tail {
            bytes.extend_from_slice(&entry.relative_offset.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
        }
        let at = (self.entries_in_file * OFFSET_INDEX_ENTRY_BYTES) as u64;
        fs.write_all_at(self.file.file_for_writing(fs)?, &[&bytes], at)?;
        for (index, entry) in (self.entries_in_file..).zip(&self.tail) {
            if index == self.page_first_offsets.len() * ENTRIES_PER_PAGE {
                self.page_first_offsets.push(entry.relative_offset);
            }
        }
        self.entries_in_file += self.tail.len();
        self.tail = Vec::new();
        Ok(())
    }

    /// Writes everything out and cuts the file to the entries. An empty index has an empty file.
    pub fn seal(&mut self, fs: &dyn Fs) -> io::Result<()> {
        self.spill(fs)?;
        fs.set_len(self.file.file_for_writing(fs)?, (self.entries_in_file * OFFSET_INDEX_ENTRY_BYTES) as u64)
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

    /// The last entry whose offset is not above `relative_offset`, or `None` when there is none: the search then
    /// starts at the segment's start.
    pub fn lookup(&self, relative_offset: u32, fs: &dyn Fs) -> io::Result<Option<OffsetPosition>> {
        if self.tail.first().is_some_and(|first| first.relative_offset <= relative_offset) {
            let after = self.tail.partition_point(|entry| entry.relative_offset <= relative_offset);
            return Ok(Some(self.tail[after - 1]));
        }
        if self.entries_in_file == 0 {
            return Ok(None);
        }
        let file = self.file.file(fs)?;
        let not_after = |entry: &[u8]| OffsetPosition::parse(entry).relative_offset <= relative_offset;
        let page = if self.page_first_offsets.len() == self.entries_in_file.div_ceil(ENTRIES_PER_PAGE) {
            self.page_first_offsets.partition_point(|first| *first <= relative_offset).saturating_sub(1)
        } else {
            search_pages(file, OFFSET_INDEX_ENTRY_BYTES, self.entries_in_file, not_after)?
        };
        let found = search_page(file, OFFSET_INDEX_ENTRY_BYTES, self.entries_in_file, page, not_after)?;
        Ok(found.map(|entry| OffsetPosition::parse(&entry)))
    }

    /// The first entry whose batch begins at `position` or after it.
    pub fn first_from_position(&self, position: u32, fs: &dyn Fs) -> io::Result<Option<OffsetPosition>> {
        let (mut low, mut high) = (0, self.entries_in_file); // number of entries before it
        while low < high {
            let middle = low.midpoint(high);
            if self.entry_in_file(middle, fs)?.position < position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low < self.entries_in_file {
            return self.entry_in_file(low, fs).map(Some);
        }
        let at = self.tail.partition_point(|entry| entry.position < position);
        Ok(self.tail.get(at).copied())
    }

    fn entry_in_file(&self, at: usize, fs: &dyn Fs) -> io::Result<OffsetPosition> {
        let mut bytes = [0; OFFSET_INDEX_ENTRY_BYTES];
        read_entries(self.file.file(fs)?, &mut bytes, at * OFFSET_INDEX_ENTRY_BYTES)?;
        Ok(OffsetPosition::parse(&bytes))
    }

    /// The last entry.
    pub fn last(&self, fs: &dyn Fs) -> io::Result<Option<OffsetPosition>> {
        self.lookup(u32::MAX, fs)
    }
}

/// The last entry for which `not_after` holds, in a file of sorted entries: first among pages, then inside one.
pub(crate) fn search_file(
    file: &File,
    entry_bytes: usize,
    entries: usize,
    not_after: impl Fn(&[u8]) -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let page = search_pages(file, entry_bytes, entries, &not_after)?;
    search_page(file, entry_bytes, entries, page, not_after)
}

/// The last page for whose first entry `not_after` holds, or the first page.
fn search_pages(
    file: &File,
    entry_bytes: usize,
    entries: usize,
    not_after: impl Fn(&[u8]) -> bool,
) -> io::Result<usize> {
    let per_page = SEARCH_PAGE_BYTES / entry_bytes;
    let mut first = vec![0; entry_bytes];
    let (mut low, mut high) = (0, entries.div_ceil(per_page)); // the page is in [low, high)
    while low + 1 < high {
        let middle = low.midpoint(high);
        read_entries(file, &mut first, middle * per_page * entry_bytes)?;
        if not_after(&first) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The last entry of a page for which `not_after` holds.
fn search_page(
    file: &File,
    entry_bytes: usize,
    entries: usize,
    page: usize,
    not_after: impl Fn(&[u8]) -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let per_page = SEARCH_PAGE_BYTES / entry_bytes;
    let from = page * per_page;
    let mut page = vec![0; (entries - from).min(per_page) * entry_bytes];
    read_entries(file, &mut page, from * entry_bytes)?;
    let (mut low, mut high) = (0, page.len() / entry_bytes); // number of entries for which it holds
    while low < high {
        let middle = low.midpoint(high);
        if not_after(&page[middle * entry_bytes..][..entry_bytes]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low.checked_sub(1).map(|at| page[at * entry_bytes..][..entry_bytes].to_vec()))
}

fn read_entries(file: &File, buffer: &mut [u8], at: usize) -> io::Result<()> {
    if read_up_to_at(file, buffer, at as u64)? < buffer.len() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an index is shorter than its entries"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    #[test]
    fn lookups_see_the_file_and_the_tail() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000000000000000000.index");
        let mut index = OffsetIndex::new(path.clone(), 0);
        assert_eq!(index.lookup(5, &RealFs).unwrap(), None);
        for i in 0..3000u32 {
            index.append(i * 10 + 9, i * 100);
            if i == 1234 || i == 2500 {
                index.spill(&RealFs).unwrap();
            }
        }
        for target in (0..30_050).step_by(7) {
            let expected = (target >= 9)
                .then(|| ((target - 9) / 10).min(2999))
                .map(|i| OffsetPosition { relative_offset: i * 10 + 9, position: i * 100 });
            assert_eq!(index.lookup(target, &RealFs).unwrap(), expected, "{target}");
        }
        for position in (0..300_200u32).step_by(31) {
            let expected = (position <= 299_900).then(|| position.div_ceil(100) * 100);
            let found = index.first_from_position(position, &RealFs).unwrap();
            assert_eq!(found.map(|entry| entry.position), expected, "{position}");
        }
        assert_eq!(index.last(&RealFs).unwrap().unwrap().position, 299_900);
        index.seal(&RealFs).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 3000 * 8);
        assert_eq!(&bytes[8..16], &[0, 0, 0, 19, 0, 0, 0, 100]);
        let mut reopened = OffsetIndex::new(path, 3000);
        for i in 3000..5000 {
            reopened.append(i * 10 + 9, i * 100);
        }
        reopened.spill(&RealFs).unwrap();
        for target in (9..50_000).step_by(7) {
            let position = reopened.lookup(target, &RealFs).unwrap().unwrap().position;
            assert_eq!(position, (target - 9) / 10 * 100, "{target}");
        }
    }

    #[test]
    fn sealing_cuts_what_lies_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        std::fs::write(&path, [7; 800]).unwrap();
        let mut index = OffsetIndex::new(path.clone(), 0);
        index.append(1, 0);
        index.seal(&RealFs).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0, 0, 0, 1, 0, 0, 0, 0]);
    }
}
