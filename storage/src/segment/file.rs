//! The file of a segment's records, and when it is open.
//!
//! A segment that isn't durable holds its file. The file of a durable one is opened when it is asked for, and closed when
//! others need its place ([`OpenSegments`]). Its name is good until the segment is deleted, or replaced by a compacted one, or
//! its log is deleted: before that it is opened for good or never again.

use super::Segment;
use crate::fs::{Fs, LOG_SUFFIX};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rustix::io::ReadWriteFlags;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

/// The kernel's default read-ahead: what one look at the page cache stands for.
const READ_AHEAD_BYTES: usize = 128 * 1024;

/// The open file of a segment.
#[derive(Debug)]
pub struct SegmentFile {
    file: File,
    base_offset: i64,
    /// The same in all files of one segment, each opened after the one before was closed.
    segment: Arc<()>,
}

impl SegmentFile {
    pub(crate) fn new(file: File, base_offset: i64) -> SegmentFile {
        SegmentFile { file, base_offset, segment: Arc::default() }
    }

    /// The descriptor, for sendfile.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Base offset of the segment.
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Fills `buffer` from `position` on.
    ///
    /// # Errors
    /// What pread says; `UnexpectedEof` when the file ends before.
    pub fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    /// Fills `buffer` from `position` on if all of it is in the page cache (preadv2 with RWF_NOWAIT), without a look
    /// at the disk. Where it gives `false` the contents of `buffer` are of no use.
    pub fn read_cached_at(&self, buffer: &mut [u8], position: u64) -> bool {
        let len = buffer.len();
        let buffers = &mut [IoSliceMut::new(buffer)];
        matches!(rustix::io::preadv2(&self.file, buffers, position, ReadWriteFlags::NOWAIT), Ok(n) if n == len)
    }

    /// Whether `[position, position + len)` is in the page cache, as one byte per read-ahead window tells
    /// (preadv2 with RWF_NOWAIT); `false` where that isn't supported.
    pub fn resident(&self, position: u64, len: usize) -> bool {
        let mut byte = [0];
        let mut probe = |at: usize| {
            let buffer = &mut [IoSliceMut::new(&mut byte)];
            let read = rustix::io::preadv2(&self.file, buffer, position + at as u64, ReadWriteFlags::NOWAIT);
            matches!(read, Ok(1))
        };
        (0..len).step_by(READ_AHEAD_BYTES).all(&mut probe) && (len == 0 || probe(len - 1))
    }
}

/// Reads until `buffer` is full or the file ends; gives the number of bytes.
pub(crate) fn read_up_to_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A segment's file while it is open.
#[derive(Debug)]
pub(super) struct FileSlot {
    open: ArcSwapOption<SegmentFile>,
    /// Asked for since [`OpenSegments`] looked.
    used: AtomicBool,
    access: Mutex<Access>,
    segment: Arc<()>,
    open_segments: Arc<OpenSegments>,
}

#[derive(Debug)]
struct Access {
    /// The file can be opened by its name.
    named: bool,
    /// [`OpenSegments`] may close it.
    listed: bool,
}

impl FileSlot {
    pub(super) fn new(file: File, base_offset: i64, open_segments: Arc<OpenSegments>) -> FileSlot {
        let file = SegmentFile::new(file, base_offset);
        FileSlot {
            segment: Arc::clone(&file.segment),
            open: ArcSwapOption::from_pointee(file),
            used: AtomicBool::new(true),
            access: Mutex::new(Access { named: true, listed: false }),
            open_segments,
        }
    }

    fn open(&self, path: &Path, base_offset: i64, fs: &dyn Fs) -> io::Result<Arc<SegmentFile>> {
        let file = fs.open_to_read(path)?;
        let file = Arc::new(SegmentFile { file, base_offset, segment: Arc::clone(&self.segment) });
        self.open.store(Some(Arc::clone(&file)));
        self.used.store(true, Ordering::Relaxed);
        Ok(file)
    }
}

impl Segment {
    /// The file of the records, opened if it isn't open.
    ///
    /// # Errors
    /// What opening gives; `NotFound` when the segment has gone.
    pub(crate) fn file(self: &Arc<Segment>, fs: &dyn Fs) -> io::Result<Arc<SegmentFile>> {
        let slot = &self.file;
        if let Some(file) = slot.open.load_full() {
            if !slot.used.load(Ordering::Relaxed) {
                slot.used.store(true, Ordering::Relaxed);
            }
            return Ok(file);
        }
        let file = {
            let mut access = slot.access.lock();
            if let Some(file) = slot.open.load_full() {
                return Ok(file);
            }
            if !access.named {
                return Err(io::ErrorKind::NotFound.into());
            }
            access.listed = true;
            slot.open(&self.path(LOG_SUFFIX), self.base_offset, fs)?
        };
        slot.open_segments.admit(self);
        Ok(file)
    }

    /// From now on the files may be closed: all of them are on disk, and nothing is written to them any more.
    pub(super) fn let_close(self: &Arc<Segment>) {
        let may_close = {
            let mut access = self.file.access.lock();
            access.named && !std::mem::replace(&mut access.listed, true)
        };
        if may_close {
            self.file.open_segments.admit(self);
        }
    }

    fn close_files(&self) {
        let mut access = self.file.access.lock();
        access.listed = false;
        if access.named {
            self.file.open.store(None);
            self.indexes.write().close();
        }
    }

    /// Opens all files for as long as the segment is held: their names are about to be another's.
    ///
    /// # Errors
    /// What opening gives.
    pub(crate) fn keep_open(&self, fs: &dyn Fs) -> io::Result<()> {
        debug_assert!(self.is_durable());
        let mut access = self.file.access.lock();
        if access.named && self.file.open.load().is_none() {
            self.file.open(&self.path(LOG_SUFFIX), self.base_offset, fs)?;
        }
        let mut indexes = self.indexes.write();
        indexes.pin(fs)?;
        indexes.forget_names();
        access.named = false;
        Ok(())
    }

    /// From now on no file is opened by its name any more, which is about to go or to become another's. What is open stays so.
    pub(crate) fn forget_names(&self) {
        self.file.access.lock().named = false;
        self.indexes.write().forget_names();
    }

    /// Whether somebody holds a file of this segment, beside the segment itself.
    pub(crate) fn is_read(&self) -> bool {
        let open = self.file.open.load_full();
        let files = Arc::strong_count(&self.file.segment) - 1;
        // The slot holds its file, and so does this function.
        files > usize::from(open.is_some()) || open.is_some_and(|file| Arc::strong_count(&file) > 2)
    }

    /// Whether a file is this segment's.
    pub(crate) fn owns(&self, file: &SegmentFile) -> bool {
        Arc::ptr_eq(&self.file.segment, &file.segment)
    }

    /// When the file was last written to.
    pub(crate) fn modified(&self) -> io::Result<SystemTime> {
        let metadata = match &*self.file.open.load() {
            Some(file) => file.file.metadata(),
            None => std::fs::metadata(self.path(LOG_SUFFIX)),
        };
        metadata?.modified()
    }
}

/// The durable segments whose files are open: so many at most, but for those that are just being read. One that wasn't read
/// for long is closed for the next.
#[derive(Debug)]
pub struct OpenSegments {
    max: usize,
    /// In the order in which they were looked at. Those that have gone stay until it is their turn.
    listed: Mutex<VecDeque<Weak<Segment>>>,
}

impl OpenSegments {
    /// At most `max` of them, or one.
    pub fn new(max: usize) -> OpenSegments {
        OpenSegments { max: max.max(1), listed: Mutex::default() }
    }

    /// Takes a segment whose file was opened, and closes another's in its place.
    fn admit(&self, segment: &Arc<Segment>) {
        let mut closing = Vec::new();
        {
            let mut listed = self.listed.lock();
            listed.push_back(Arc::downgrade(segment));
            while listed.len() > self.max {
                let Some(first) = listed.pop_front().and_then(|first| first.upgrade()) else { continue };
                // Each has a second chance: a turn, in which it may be used again.
                if first.file.used.swap(false, Ordering::Relaxed) {
                    listed.push_back(Arc::downgrade(&first));
                } else {
                    closing.push(first);
                }
            }
        }
        closing.iter().for_each(|segment| segment.close_files());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{RealFs, segment_path};
    use crate::segment::SegmentEnd;

    fn open_files(segments: &[Arc<Segment>]) -> Vec<usize> {
        (0..segments.len()).filter(|at| segments[*at].file.open.load().is_some()).collect()
    }

    /// Durable segments of one byte each, which is their number.
    fn segments(dir: &Path, count: u8, open_segments: &Arc<OpenSegments>) -> Vec<Arc<Segment>> {
        let make = |number: u8| {
            let path = segment_path(dir, i64::from(number), LOG_SUFFIX);
            std::fs::write(&path, [number]).unwrap();
            let file = RealFs.open(&path).unwrap();
            let segment =
                Segment::empty(dir, i64::from(number), file, 0, &RealFs, Arc::clone(open_segments)).unwrap();
            segment.set_end(SegmentEnd { next_offset: i64::from(number) + 1, position: 1 });
            segment.mark_durable();
            segment
        };
        (0..count).map(make).collect()
    }

    fn read(segment: &Arc<Segment>) -> u8 {
        let mut byte = [0];
        segment.file(&RealFs).unwrap().read_exact_at(&mut byte, 0).unwrap();
        byte[0]
    }

    #[test]
    fn no_more_than_so_many_are_open_and_all_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let segments = segments(dir.path(), 10, &Arc::new(OpenSegments::new(3)));
        assert_eq!(open_files(&segments).len(), 3);
        for _ in 0..3 {
            for (number, segment) in segments.iter().enumerate() {
                assert_eq!(usize::from(read(segment)), number);
                assert!(open_files(&segments).len() <= 3);
            }
        }
    }

    #[test]
    fn what_is_used_all_the_time_stays_open() {
        let dir = tempfile::tempdir().unwrap();
        let segments = segments(dir.path(), 10, &Arc::new(OpenSegments::new(3)));
        let first = segments[0].file(&RealFs).unwrap();
        for segment in &segments[1..] {
            read(segment);
            assert!(Arc::ptr_eq(&segments[0].file(&RealFs).unwrap(), &first));
        }
    }

    #[test]
    fn a_file_that_is_held_is_told_after_it_was_closed_and_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let segments = segments(dir.path(), 3, &Arc::new(OpenSegments::new(1)));
        assert!(!segments[0].is_read());
        let held = segments[0].file(&RealFs).unwrap();
        assert!(segments[0].is_read());
        read(&segments[1]);
        read(&segments[2]);
        assert!(segments[0].is_read());
        let anew = segments[0].file(&RealFs).unwrap();
        assert!(!Arc::ptr_eq(&held, &anew) && segments[0].owns(&held) && segments[0].owns(&anew));
        assert!(!segments[1].owns(&held));
        drop(anew);
        assert!(segments[0].is_read());
        drop(held);
        assert!(!segments[0].is_read());
    }

    #[test]
    fn once_its_name_is_anothers_a_segment_is_what_it_was_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let segments = segments(dir.path(), 4, &Arc::new(OpenSegments::new(1)));
        assert_eq!(open_files(&segments), [3]);
        segments[0].keep_open(&RealFs).unwrap();
        segments[1].forget_names();
        segments[3].forget_names();
        for (number, segment) in segments.iter().enumerate() {
            std::fs::remove_file(segment_path(dir.path(), number as i64, LOG_SUFFIX)).unwrap();
            std::fs::write(segment.path(LOG_SUFFIX), [9]).unwrap();
        }
        read(&segments[2]);
        assert_eq!(read(&segments[0]), 0);
        assert_eq!(segments[1].file(&RealFs).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read(&segments[3]), 3);
    }
}
