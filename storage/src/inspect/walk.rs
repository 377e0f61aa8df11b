//! Going through a segment batch by batch, past batches whose checksum doesn't match, up to where there is no batch.

use crate::batch::{BatchHeader, BatchRules, HEADER_SIZE_BYTES, HeaderError};
use crate::segment::read_up_to_at;
use crc_fast::{CrcAlgorithm, Digest};
use std::fs::File;
use std::io;

/// Read at once, or a batch if that is larger.
const CHUNK_BYTES: usize = 256 << 10;
/// A batch that says that it is larger than this is not kept in memory: its checksum alone is looked at.
const MAX_HELD_BATCH_BYTES: usize = BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES;
/// First byte that the checksum of a batch covers.
const CRC_FROM: usize = 21;

/// A batch where it lies in its file.
#[derive(Debug)]
pub(super) struct WalkedBatch<'a> {
    pub(super) position: u64,
    pub(super) header: BatchHeader,
    pub(super) computed_crc: u32,
    /// The whole batch; `None` for one that is too large to be held.
    pub(super) bytes: Option<&'a [u8]>,
}

impl WalkedBatch<'_> {
    pub(super) fn crc_matches(&self) -> bool {
        self.header.crc == self.computed_crc
    }
}

/// Why there is no batch at a position, though the file goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Zeros up to the end of the file.
    #[error("{bytes} bytes of zeros up to the end of the file")]
    Zeros {
        /// Number of them.
        bytes: u64,
    },
    /// Zeros, and something else behind them.
    #[error("{bytes} bytes of zeros where a batch has to begin, and other bytes behind them")]
    ZerosInside {
        /// Number of them.
        bytes: u64,
    },
    /// What lies there isn't a batch header.
    #[error("no batch header: {0}")]
    NotABatch(HeaderError),
    /// The batch reaches beyond the file.
    #[error("a batch of {size_bytes} bytes where the file has {available_bytes} left")]
    Incomplete {
        /// Bytes that the batch has.
        size_bytes: u64,
        /// Bytes that are left.
        available_bytes: u64,
    },
}

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Batch(WalkedBatch<'a>),
    Stopped(Stop),
    End,
}

/// Reads a segment from its start to where its file ended when the walk began.
#[derive(Debug)]
pub(super) struct Walk {
    file: File,
    len: u64,
    position: u64,
    /// The bytes of the file from `chunk_at` on.
    chunk: Vec<u8>,
    chunk_at: u64,
}

impl Walk {
    pub(super) fn new(file: File) -> io::Result<Walk> {
        let len = file.metadata()?.len();
        Ok(Walk { file, len, position: 0, chunk: Vec::new(), chunk_at: 0 })
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Where the next step looks.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Takes what comes next, whether its checksum matches or not. After [`Step::Stopped`] it stays where it is.
    ///
    /// # Errors
    /// What reading gives; `UnexpectedEof` when the file has become shorter.
    pub(super) fn next(&mut self) -> io::Result<Step<'_>> {
        let zeros = match self.zeros() {
            // A segment that is rolled is cut to its batches.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.has_shrunk()? => self.zeros(),
            zeros => zeros,
        };
        if let Some(stop) = zeros? {
            return Ok(Step::Stopped(stop));
        }
        let (position, left) = (self.position, self.len - self.position);
        if left == 0 {
            return Ok(Step::End);
        }
        let start = self.hold(position, left.min(HEADER_SIZE_BYTES as u64) as usize)?;
        let header = match BatchHeader::parse(start) {
            Ok(header) => header,
            Err(error) => return Ok(Step::Stopped(Stop::NotABatch(error))),
        };
        let size_bytes = header.size_in_bytes();
        if size_bytes as u64 > left {
            let stop = Stop::Incomplete { size_bytes: size_bytes as u64, available_bytes: left };
            return Ok(Step::Stopped(stop));
        }
        self.position += size_bytes as u64;
        if size_bytes > MAX_HELD_BATCH_BYTES {
            let computed_crc = self.crc_of(position, size_bytes as u64)?;
            return Ok(Step::Batch(WalkedBatch { position, header, computed_crc, bytes: None }));
        }
        let bytes = self.hold(position, size_bytes)?;
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        digest.update(&bytes[CRC_FROM..]);
        let computed_crc = digest.finalize() as u32;
        Ok(Step::Batch(WalkedBatch { position, header, computed_crc, bytes: Some(bytes) }))
    }

    /// Goes back to a position, and reads the file anew, up to where it ends by now.
    ///
    /// # Errors
    /// The length can't be read.
    pub(super) fn again_from(&mut self, position: u64) -> io::Result<()> {
        self.len = self.file.metadata()?.len().max(position);
        self.position = position;
        self.chunk.clear();
        Ok(())
    }

    /// So many bytes from a position on, which the file has.
    fn hold(&mut self, position: u64, bytes: usize) -> io::Result<&[u8]> {
        let mut from = position.checked_sub(self.chunk_at).map_or(usize::MAX, |from| from as usize);
        if from.checked_add(bytes).is_none_or(|to| to > self.chunk.len()) {
            let wanted = bytes.max(CHUNK_BYTES).min((self.len - position) as usize);
            self.chunk.resize(wanted, 0);
            let read = read_up_to_at(&self.file, &mut self.chunk, position)?;
            self.chunk.truncate(read);
            self.chunk.shrink_to(wanted.max(CHUNK_BYTES));
            self.chunk_at = position;
            if read < bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            from = 0;
        }
        Ok(&self.chunk[from..from + bytes])
    }

    /// Whether the file has become shorter, but not by what was gone through already.
    fn has_shrunk(&mut self) -> io::Result<bool> {
        let len = self.file.metadata()?.len();
        let has_shrunk = (self.position..self.len).contains(&len);
        if has_shrunk {
            self.len = len;
        }
        Ok(has_shrunk)
    }

    /// How many zeros there are where a header has to be, if it is zeros.
    fn zeros(&mut self) -> io::Result<Option<Stop>> {
        let left = self.len - self.position;
        let start = self.hold(self.position, left.min(HEADER_SIZE_BYTES as u64) as usize)?;
        if left == 0 || start.iter().any(|byte| *byte != 0) {
            return Ok(None);
        }
        let mut at = self.position;
        while at < self.len {
            let here = (self.len - at).min(CHUNK_BYTES as u64) as usize;
            let bytes = self.hold(at, here)?;
            if let Some(zeros) = bytes.iter().position(|byte| *byte != 0) {
                return Ok(Some(Stop::ZerosInside { bytes: at + zeros as u64 - self.position }));
            }
            at += here as u64;
        }
        Ok(Some(Stop::Zeros { bytes: self.len - self.position }))
    }

    fn crc_of(&mut self, position: u64, size_bytes: u64) -> io::Result<u32> {
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        let (mut at, end) = (position + CRC_FROM as u64, position + size_bytes);
        while at < end {
            let here = (end - at).min(CHUNK_BYTES as u64) as usize;
            digest.update(self.hold(at, here)?);
            at += here as u64;
        }
        Ok(digest.finalize() as u32)
    }
}
