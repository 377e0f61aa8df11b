//! A stretch of a segment's file: what a fetch answers with. It keeps the file open, so deletion doesn't reach it.

use crate::segment::SegmentFile;
use std::io;
use std::sync::Arc;

/// Bytes `[position, position + len)` of a segment's file, all published, so none of them changes again.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    file: Option<Arc<SegmentFile>>,
    position: u64,
    len: u32,
}

impl Slice {
    /// No bytes.
    pub fn empty() -> Slice {
        Slice::default()
    }

    pub(crate) fn new(file: Arc<SegmentFile>, position: u64, len: u32) -> Slice {
        Slice { file: Some(file), position, len }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// There are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The file, for sendfile; `None` only when the slice is empty.
    pub fn file(&self) -> Option<&Arc<SegmentFile>> {
        self.file.as_ref()
    }

    /// Where in the file the slice starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// A part of the slice, `[from, from + len)` of it.
    ///
    /// # Panics
    /// When the part reaches beyond the slice.
    pub fn part(&self, from: u32, len: u32) -> Slice {
        assert!(from.checked_add(len).is_some_and(|end| end <= self.len), "a part lies inside its slice");
        Slice { file: self.file.clone(), position: self.position + u64::from(from), len }
    }

    /// Fills `buffer` with the bytes from `from` of the slice on.
    ///
    /// # Errors
    /// What pread says, and `UnexpectedEof` when the buffer reaches beyond the slice.
    pub fn read_at(&self, buffer: &mut [u8], from: usize) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        match &self.file {
            Some(file) if from + buffer.len() <= self.len() => {
                file.read_exact_at(buffer, self.position + from as u64)
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Fills `buffer` with the first bytes of the slice if all of them are in the page cache; `false` also where the
    /// kernel or the file system can't say, and when the buffer is longer than the slice.
    pub fn read_cached(&self, buffer: &mut [u8]) -> bool {
        buffer.len() <= self.len()
            && self.file.as_ref().is_none_or(|file| file.read_cached_at(buffer, self.position))
    }

    /// All bytes, copied.
    ///
    /// # Errors
    /// What pread says.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len()];
        self.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Whether the bytes are in the page cache, as far as a look at one byte per read-ahead window tells. `false`
    /// also where the kernel or the file system can't say.
    pub fn resident(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.resident(self.position, self.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, RealFs};

    fn slice_of(bytes: &[u8]) -> (tempfile::TempDir, Slice) {
        let dir = tempfile::tempdir().unwrap();
        let file = RealFs.create_new(&dir.path().join("f")).unwrap();
        RealFs.write_all_at(&file, &[bytes], 0).unwrap();
        (dir, Slice::new(Arc::new(SegmentFile::new(file, 0)), 2, bytes.len() as u32 - 2))
    }

    #[test]
    fn a_slice_reads_its_own_bytes_only() {
        let (_dir, slice) = slice_of(b"0123456789");
        assert_eq!(slice.to_vec().unwrap(), b"23456789");
        assert_eq!(slice.part(1, 3).to_vec().unwrap(), b"345");
        let mut buffer = [0; 3];
        slice.read_at(&mut buffer, 5).unwrap();
        assert_eq!(&buffer, b"789");
        assert!(slice.read_at(&mut buffer, 6).is_err());
    }

    #[test]
    fn what_was_just_written_is_resident() {
        let (_dir, slice) = slice_of(&[1; 300_000]);
        assert!(slice.resident());
        assert!(Slice::empty().resident());
        let mut buffer = vec![0; slice.len()];
        assert!(slice.read_cached(&mut buffer));
        assert!(buffer.iter().all(|byte| *byte == 1));
        buffer.push(0);
        assert!(!slice.read_cached(&mut buffer), "longer than the slice");
        assert!(Slice::empty().read_cached(&mut []));
    }

    #[test]
    fn what_left_the_page_cache_is_not_resident() {
        let (_dir, slice) = slice_of(&[1; 300_000]);
        let file = slice.file().unwrap();
        rustix::fs::fsync(file.fd()).unwrap();
        rustix::fs::fadvise(file.fd(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
        // tmpfs keeps its pages whatever it is told.
        let tmpfs = rustix::fs::fstatfs(file.fd()).unwrap().f_type == 0x0102_1994;
        assert!(tmpfs || !slice.resident());
        assert!(tmpfs || !slice.read_cached(&mut vec![0; slice.len()]));
    }
}
