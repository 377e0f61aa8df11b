//! The headers of a segment's batches one after the other, with few reads.

use super::{SegmentFile, read_up_to_at};
use crate::batch::{BatchHeader, HEADER_SIZE_BYTES};
use std::io;

/// Bytes read at once while going from batch header to batch header.
const HEADER_WINDOW_BYTES: usize = 4096;

/// Goes from batch header to batch header below a position.
pub(crate) struct Headers<'a> {
    file: &'a SegmentFile,
    limit: u32,
    window: [u8; HEADER_WINDOW_BYTES],
    window_position: u32,
    window_len: usize,
}

impl<'a> Headers<'a> {
    pub(crate) fn new(file: &'a SegmentFile, limit: u32) -> Headers<'a> {
        Headers { file, limit, window: [0; HEADER_WINDOW_BYTES], window_position: 0, window_len: 0 }
    }

    /// The header at `position`, `None` at the limit.
    ///
    /// # Errors
    /// `InvalidData` when what lies there is no batch that ends before the limit.
    pub(crate) fn at(&mut self, position: u32) -> io::Result<Option<BatchHeader>> {
        if position >= self.limit {
            return Ok(None);
        }
        let inside = position.checked_sub(self.window_position).map(|from| from as usize);
        let from = match inside {
            Some(from) if from + HEADER_SIZE_BYTES <= self.window_len => from,
            _ => {
                let len = HEADER_WINDOW_BYTES.min((self.limit - position) as usize);
                self.window_len =
                    read_up_to_at(self.file.file(), &mut self.window[..len], u64::from(position))?;
                self.window_position = position;
                0
            }
        };
        let header = plausible_header(&self.window[from..self.window_len], position, self.limit)?;
        Ok(Some(header))
    }
}

/// The header at the start of `bytes`, which lie at `position`, if there can be a batch with it before `limit`: what is read
/// without a look at the checksum must not lead past a batch.
pub(super) fn plausible_header(bytes: &[u8], position: u32, limit: u32) -> io::Result<BatchHeader> {
    let header = BatchHeader::parse(bytes).map_err(|error| invalid_data(position, &error.to_string()))?;
    let (size_bytes, left) = (header.size_in_bytes(), (limit - position) as usize);
    if size_bytes > left {
        return Err(invalid_data(position, &format!("a batch of {size_bytes} bytes where {left} are left")));
    }
    if header.last_offset_delta < 0 || header.next_offset() <= header.base_offset {
        return Err(invalid_data(position, "a batch that ends before it begins"));
    }
    Ok(header)
}

fn invalid_data(position: u32, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("at position {position}: {what}"))
}
