//! A shared writable map of a segment, for appending only. The one file with `unsafe`.
//!
//! The map is never read through: readers use sendfile or pread, so that a page that can't be brought back is an
//! error and not a signal. Stores go only to bytes that [`Populate::populate`] has made writable before, inside
//! a stretch of the file that fallocate has reserved, so that a store doesn't meet a full disk either.

use memmap2::{Advice, MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// The right to store into a map. There is one for each map, and storing needs it mutably, so stores don't race.
#[derive(Debug)]
pub struct SegmentMap {
    map: Arc<MmapRaw>,
}

/// The right to make pages of a map writable ahead of the stores; may be used from another thread.
#[derive(Debug, Clone)]
pub struct Populate {
    map: Arc<MmapRaw>,
}

impl SegmentMap {
    /// Maps the first `len` bytes of the file, which need not exist yet.
    ///
    /// Huge pages are refused for it: with them each fdatasync was seen to take ten times as long.
    pub fn new(file: &File, len: usize) -> io::Result<SegmentMap> {
        let map = MmapOptions::new().len(len).map_raw(file)?;
        // Kernels without transparent huge pages refuse the advice, and have nothing to turn off.
        let _ = map.advise(Advice::NoHugePage);
        Ok(SegmentMap { map: Arc::new(map) })
    }

    /// Bytes that are mapped.
    pub fn len_bytes(&self) -> usize {
        self.map.len()
    }

    /// A handle with which another thread makes pages writable.
    pub fn populate_handle(&self) -> Populate {
        Populate { map: Arc::clone(&self.map) }
    }

    /// Copies `parts`, one after the other, to `position`. The caller has populated those bytes, and doesn't
    /// shorten the file while the map lives.
    ///
    /// # Panics
    /// When the parts reach beyond the map.
    pub fn store(&mut self, position: usize, parts: &[&[u8]]) {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let end = position.checked_add(total).expect("a segment is smaller than the address space");
        assert!(end <= self.map.len(), "a store of {total} bytes at {position} reaches beyond the map");
        let mut at = position;
        for part in parts {
            // SAFETY: [at, at + part.len()) lies inside the map (asserted above) and the map stays while `self`
            // holds the Arc. `part` can't overlap the map: nothing hands out references into it. Only the one
            // `SegmentMap` of a map stores into it and this takes `&mut self`, so no other store in this process
            // races; nothing in this process loads from the map. The kernel's own reads and writes of the same
            // pages (sendfile, pread, writeback) are no accesses of the Rust program.
            unsafe {
                std::ptr::copy_nonoverlapping(part.as_ptr(), self.map.as_mut_ptr().add(at), part.len());
            }
            at += part.len();
        }
    }
}

impl Populate {
    /// Faults the pages of `[from, to)` in for writing (MADV_POPULATE_WRITE, Linux 5.14). Bytes don't change.
    ///
    /// # Errors
    /// EINVAL where the kernel doesn't know the advice; EFAULT where a store would have raised SIGBUS, because
    /// the file is shorter or the device failed.
    pub fn populate(&self, from: usize, to: usize) -> io::Result<()> {
        self.map.advise_range(Advice::PopulateWrite, from, to.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn file_of(len: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len).unwrap();
        file
    }

    #[test]
    fn stores_are_seen_by_pread_at_once() {
        let file = file_of(1 << 16);
        let mut map = SegmentMap::new(&file, 1 << 20).unwrap();
        map.populate_handle().populate(0, 1 << 16).unwrap();
        map.store(5000, &[b"head", b"", b"body"]);
        let mut seen = [0; 8];
        file.read_exact_at(&mut seen, 5000).unwrap();
        assert_eq!(&seen, b"headbody");
    }

    #[test]
    fn populating_beyond_the_file_is_an_error_not_a_signal() {
        let file = file_of(4096);
        let map = SegmentMap::new(&file, 1 << 20).unwrap();
        assert!(map.populate_handle().populate(0, 1 << 20).is_err());
    }

    #[test]
    #[should_panic(expected = "beyond the map")]
    fn a_store_beyond_the_map_is_refused() {
        let file = file_of(8192);
        let mut map = SegmentMap::new(&file, 8192).unwrap();
        map.store(8190, &[b"abc"]);
    }
}
