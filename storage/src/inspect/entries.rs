//! Reading the entries of an index one after the other.

use crate::segment::read_up_to_at;
use std::fs::File;
use std::io;

/// Entries read at once.
const ENTRIES_PER_READ: u64 = 512;

/// The entries of `N` bytes that a file had when it was opened. What is appended later is not looked at.
#[derive(Debug)]
pub(super) struct Entries<const N: usize> {
    file: File,
    len: u64,
    position: u64,
    chunk: Vec<u8>,
    chunk_at: u64,
}

impl<const N: usize> Entries<N> {
    pub(super) fn new(file: File) -> io::Result<Entries<N>> {
        let len = file.metadata()?.len();
        Ok(Entries { file, len, position: 0, chunk: Vec::new(), chunk_at: 0 })
    }

    /// Where the next entry lies.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes behind the last whole entry.
    pub(super) fn trailing_bytes(&self) -> u64 {
        self.len % N as u64
    }

    /// Takes the next entry, with its position; `None` behind the last whole one.
    ///
    /// # Errors
    /// What reading gives; `UnexpectedEof` when the file has become shorter.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, [u8; N])>> {
        let entry = self.peek()?;
        if entry.is_some() {
            self.position += N as u64;
        }
        Ok(entry)
    }

    /// The next entry, without taking it.
    ///
    /// # Errors
    /// As [`Entries::next`].
    pub(super) fn peek(&mut self) -> io::Result<Option<(u64, [u8; N])>> {
        if self.len - self.position < N as u64 {
            return Ok(None);
        }
        let mut from = (self.position - self.chunk_at) as usize;
        if from + N > self.chunk.len() {
            let wanted = (self.len - self.position).min(ENTRIES_PER_READ * N as u64) as usize;
            self.chunk.resize(wanted, 0);
            let read = read_up_to_at(&self.file, &mut self.chunk, self.position)?;
            self.chunk.truncate(read);
            self.chunk_at = self.position;
            from = 0;
            if read < N {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let entry = self.chunk[from..from + N].try_into().expect("N bytes");
        Ok(Some((self.position, entry)))
    }

    /// Whether everything from the next entry to the end of the file is zeros. Takes it.
    ///
    /// # Errors
    /// As [`Entries::next`].
    pub(super) fn rest_is_zeros(&mut self) -> io::Result<bool> {
        let mut zeros = true;
        while let Some((_, entry)) = self.next()? {
            zeros &= entry.iter().all(|byte| *byte == 0);
        }
        Ok(zeros)
    }
}
