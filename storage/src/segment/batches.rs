//! The batches of a segment one after the other, with few reads.

use super::{SegmentFile, plausible_header, read_up_to_at};
use crate::batch::{BatchHeader, HEADER_SIZE_BYTES};
use std::io;

/// Read at once, or a batch if that is larger.
const CHUNK_BYTES: usize = 256 << 10;

/// Reads batch after batch from a segment's start to a position at the end of one.
pub(crate) struct Batches<'a> {
    file: &'a SegmentFile,
    limit: u32,
    /// Of the first byte in `chunk`.
    position: u32,
    chunk: Vec<u8>,
    /// Bytes of the chunk that were given.
    given: usize,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(file: &'a SegmentFile, limit: u32) -> Batches<'a> {
        Batches { file, limit, position: 0, chunk: Vec::new(), given: 0 }
    }

    /// The next batch, with its position: whole, but its checksum isn't looked at. `None` at the end.
    ///
    /// # Errors
    /// What reading gives; `InvalidData` when what comes next is no batch that ends before the limit.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u32, BatchHeader, &[u8])>> {
        let position = self.position + self.given as u32;
        let left = (self.limit - position) as usize;
        if left == 0 {
            return Ok(None);
        }
        self.hold(HEADER_SIZE_BYTES.min(left))?;
        let header = plausible_header(&self.chunk[self.given..], position, self.limit)?;
        let size_bytes = header.size_in_bytes();
        self.hold(size_bytes)?;
        let from = self.given;
        self.given += size_bytes;
        Ok(Some((position, header, &self.chunk[from..from + size_bytes])))
    }

    /// Sees to it that the chunk has so many bytes that were not given yet.
    fn hold(&mut self, bytes: usize) -> io::Result<()> {
        if self.chunk.len() - self.given >= bytes {
            return Ok(());
        }
        self.chunk.drain(..self.given);
        self.position += self.given as u32;
        self.given = 0;
        let held = self.chunk.len();
        let wanted = bytes.max(CHUNK_BYTES).min((self.limit - self.position) as usize);
        self.chunk.resize(wanted, 0);
        let at = u64::from(self.position) + held as u64;
        let read = read_up_to_at(self.file.file(), &mut self.chunk[held..], at)?;
        self.chunk.truncate(held + read);
        if self.chunk.len() < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> SegmentFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        SegmentFile::new(file, 0)
    }

    #[test]
    fn batches_of_all_sizes_come_whole() {
        let sizes = [10, 300_000, 0, 262_000, 5, 700_000, 1];
        let batches: Vec<Vec<u8>> = sizes
            .iter()
            .map(|size| BatchBuilder::new().record(1, None, Some(&vec![7; *size])).build().bytes().to_vec())
            .collect();
        let bytes = batches.concat();
        let file = file_of(&bytes);
        let mut reader = Batches::new(&file, bytes.len() as u32);
        let mut at = 0;
        for batch in &batches {
            let (position, header, found) = reader.next().unwrap().unwrap();
            assert_eq!((position as usize, header.size_in_bytes(), found), (at, batch.len(), &batch[..]));
            at += batch.len();
        }
        assert!(reader.next().unwrap().is_none());

        let kind = |limit: usize, bytes: &[u8]| {
            let file = file_of(bytes);
            let mut reader = Batches::new(&file, limit as u32);
            loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(error) => return Some(error.kind()),
                }
            }
        };
        assert_eq!(kind(bytes.len() - 1, &bytes), Some(io::ErrorKind::InvalidData));
        assert_eq!(kind(bytes.len() + 1, &bytes), Some(io::ErrorKind::UnexpectedEof));
        let mut zeros = bytes.clone();
        zeros.resize(bytes.len() + 100, 0);
        assert_eq!(kind(zeros.len(), &zeros), Some(io::ErrorKind::InvalidData));
    }
}
