//! The file operations that a log does, behind a trait so that tests can make them fail on order.
//!
//! Every method has the real operation as its default; files themselves are ordinary [`std::fs::File`]s.

use rustix::fs::{FallocateFlags, fallocate, fdatasync, fsync};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// File operations of a log and of a log directory.
pub trait Fs: Send + Sync + std::fmt::Debug {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Opens an existing file for reading.
    fn open_to_read(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    /// Creates a file that must not exist, for reading and writing.
    fn create_new(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Opens a file for reading and writing, creating it when missing.
    fn open_or_create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    /// Writes all of `parts`, one after the other, at `position`.
    fn write_all_at(&self, file: &File, parts: &[&[u8]], position: u64) -> io::Result<()> {
        write_all_vectored_at(file, parts, position)
    }

    /// Reserves blocks for `len` bytes from `offset` and extends the file to cover them; they read as zeros.
    fn allocate(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        Ok(fallocate(file, FallocateFlags::empty(), offset, len)?)
    }

    /// Sets the length of the file.
    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    /// fdatasync: the data, and what of the metadata is needed to read it back.
    fn sync_data(&self, file: &File) -> io::Result<()> {
        Ok(fdatasync(file)?)
    }

    /// fsync: data and metadata.
    fn sync_all(&self, file: &File) -> io::Result<()> {
        Ok(fsync(file)?)
    }

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Ok(fsync(File::open(dir)?)?)
    }

    /// Renames a file or directory, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    /// Unlinks a file.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    /// Whether a shared writable map of a file in `dir` can be trusted: fallocate reserves what a later store
    /// into the map needs, so that a store never meets a full disk. Not so on network, 9p and copy-on-write
    /// file systems.
    fn supports_mapping(&self, dir: &Path) -> bool {
        mapping_trusted(dir)
    }
}

/// The file system as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

impl Fs for RealFs {}

/// The file system for those who only look: files are opened for reading, and whatever would change one is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOnlyFs;

impl Fs for ReadOnlyFs {
    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn create_new(&self, _path: &Path) -> io::Result<File> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open_or_create(&self, _path: &Path) -> io::Result<File> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write_all_at(&self, _file: &File, _parts: &[&[u8]], _position: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _file: &File, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&self, _file: &File, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// File systems on which a map of a preallocated file is known to be sound: ext2/3/4, xfs, tmpfs and overlay
/// (which is refused where its upper layer can't fallocate, at the first allocation).
const MAPPING_FILE_SYSTEMS: [u64; 4] = [0xef53, 0x5846_5342, 0x0102_1994, 0x794c_7630];

fn mapping_trusted(dir: &Path) -> bool {
    #[allow(clippy::unnecessary_cast)] // the width of f_type differs between architectures
    rustix::fs::statfs(dir).is_ok_and(|stat| MAPPING_FILE_SYSTEMS.contains(&(stat.f_type as u64)))
}

/// What one write takes of the parts; more go with the next.
const MAX_SLICES: usize = 8;

fn write_all_vectored_at(file: &File, parts: &[&[u8]], mut position: u64) -> io::Result<()> {
    for parts in parts.chunks(MAX_SLICES) {
        let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = io::IoSlice::new(part);
        }
        let mut left = &mut slices[..];
        // Without the empty ones in front.
        io::IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match rustix::io::pwritev(file, left, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    io::IoSlice::advance_slices(&mut left, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Writes `contents` to `path` so that a crash leaves the old file or the new one: a temporary file, fsync,
/// rename. The caller makes the directory durable.
pub fn replace_file(fs: &dyn Fs, path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let file = fs.open_or_create(&temporary)?;
    fs.set_len(&file, 0)?;
    fs.write_all_at(&file, &[contents], 0)?;
    fs.sync_all(&file)?;
    fs.rename(&temporary, path)
}

/// Suffix of the records of a segment.
pub const LOG_SUFFIX: &str = ".log";
/// Suffix of a segment's offset index.
pub const INDEX_SUFFIX: &str = ".index";
/// Suffix of a segment's time index.
pub const TIME_INDEX_SUFFIX: &str = ".timeindex";
/// Suffix of a segment's index of aborted transactions.
pub const TXN_INDEX_SUFFIX: &str = ".txnindex";
/// Suffix of a snapshot of the producers' state.
pub const SNAPSHOT_SUFFIX: &str = ".snapshot";
/// Added to a file that is about to be unlinked.
pub const DELETED_SUFFIX: &str = ".deleted";

/// Path of a segment's file: the base offset in 20 digits, and the suffix.
pub fn segment_path(dir: &Path, base_offset: i64, suffix: &str) -> PathBuf {
    dir.join(format!("{base_offset:020}{suffix}"))
}

/// The offset in a segment file's name, when it is one with this suffix.
pub fn offset_of_name(name: &str, suffix: &str) -> Option<i64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectored_writes_land_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealFs.create_new(&dir.path().join("f")).unwrap();
        RealFs.write_all_at(&file, &[b"ab", b"", b"cde"], 3).unwrap();
        RealFs.write_all_at(&file, &[], 0).unwrap();
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"\0\0\0abcde");
    }

    #[test]
    fn names_have_twenty_digits() {
        assert_eq!(segment_path(Path::new("d"), 42, LOG_SUFFIX), Path::new("d/00000000000000000042.log"));
        assert_eq!(offset_of_name("00000000000000000042.log", LOG_SUFFIX), Some(42));
        assert_eq!(offset_of_name("0042.log", LOG_SUFFIX), None);
        assert_eq!(offset_of_name("00000000000000000042.log.deleted", LOG_SUFFIX), None);
        assert_eq!(offset_of_name("99999999999999999999.log", LOG_SUFFIX), None);
        assert_eq!(offset_of_name("+0000000000000000042.log", LOG_SUFFIX), None);
    }

    #[test]
    fn a_replaced_file_has_the_new_contents_and_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        replace_file(&RealFs, &path, b"a longer first").unwrap();
        replace_file(&RealFs, &path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_allocated_stretch_reads_as_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealFs.create_new(&dir.path().join("f")).unwrap();
        RealFs.allocate(&file, 0, 8192).unwrap();
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), vec![0; 8192]);
    }
}
