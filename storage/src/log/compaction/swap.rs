//! Putting a compacted segment in the place of those it was made of, so that a crash at any step leaves them or it.
//!
//! As in Kafka the new files are written under `.cleaned`, and are what counts once they are called `.swap`. Here the
//! records get that name last, with everything else on disk; and lose it last. So whoever finds records under `.swap`
//! knows that they are whole, and goes on where the crash came. The new segment reaches to where the last of the old
//! ones ended, which says which these are.

use crate::fs::{
    Fs, INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, offset_of_name,
    segment_path,
};
use crate::segment::{Headers, SegmentFile};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is being written.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// A file that takes the place of others.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

const INDEX_SUFFIXES: [&str; 3] = [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX];

fn path_of(dir: &Path, base_offset: i64, suffix: &str, state: &str) -> PathBuf {
    segment_path(dir, base_offset, &format!("{suffix}{state}"))
}

/// Where a file of a new segment is written.
pub(super) fn cleaned_path(dir: &Path, base_offset: i64, suffix: &str) -> PathBuf {
    path_of(dir, base_offset, suffix, CLEANED_SUFFIX)
}

/// Removes what was written of a new segment.
pub(super) fn discard(dir: &Path, base_offset: i64, fs: &dyn Fs) {
    for suffix in INDEX_SUFFIXES.into_iter().chain([LOG_SUFFIX]) {
        if let Err(error) = remove_if_there(&cleaned_path(dir, base_offset, suffix), fs) {
            tracing::warn!(dir = %dir.display(), base_offset, %error, "a file of a compaction that was given up stays");
        }
    }
}

/// Decides for the new segment, whose files are all on disk. After an error nobody knows what a crash would leave.
pub(super) fn commit(dir: &Path, base_offset: i64, fs: &dyn Fs) -> io::Result<()> {
    for suffixes in [&INDEX_SUFFIXES[..], &[LOG_SUFFIX]] {
        for suffix in suffixes {
            let swap = path_of(dir, base_offset, suffix, SWAP_SUFFIX);
            fs.rename(&cleaned_path(dir, base_offset, suffix), &swap)?;
        }
        fs.sync_dir(dir)?;
    }
    Ok(())
}

/// Gives the files their names, once the segments after the first of those replaced are gone.
pub(super) fn complete(dir: &Path, base_offset: i64, fs: &dyn Fs) -> io::Result<()> {
    // That the others are gone is on disk before nothing tells any more that they have to.
    fs.sync_dir(dir)?;
    for suffix in INDEX_SUFFIXES.into_iter().chain([LOG_SUFFIX]) {
        fs.rename(&path_of(dir, base_offset, suffix, SWAP_SUFFIX), &segment_path(dir, base_offset, suffix))?;
    }
    fs.sync_dir(dir)
}

/// Brings to its end what a crash has left of a compaction, Kafka's or ours, in a directory with these names.
///
/// # Errors
/// What the file system gives; `InvalidData` if the new segment is damaged.
pub(in crate::log) fn recover(dir: &Path, names: &[String], fs: &dyn Fs) -> io::Result<()> {
    let left = LeftOver::of(names);
    for base_offset in left.swapped {
        if left.first_cleaned.is_some_and(|cleaned| cleaned < base_offset) {
            // Kafka was splitting a segment and hadn't written all of its parts (KAFKA-6264).
            continue;
        }
        let swap = path_of(dir, base_offset, LOG_SUFFIX, SWAP_SUFFIX);
        let next_offset = next_offset_of(&swap, base_offset, fs)?;
        tracing::info!(file = %swap.display(), next_offset, "a compaction that a crash cut short is brought to its end");
        for old in left.segments.iter().filter(|old| **old > base_offset && **old < next_offset) {
            for suffix in INDEX_SUFFIXES.into_iter().chain([SNAPSHOT_SUFFIX, LOG_SUFFIX]) {
                remove_if_there(&segment_path(dir, *old, suffix), fs)?;
            }
        }
        fs.sync_dir(dir)?;
        for suffix in INDEX_SUFFIXES {
            let (swap, path) =
                (path_of(dir, base_offset, suffix, SWAP_SUFFIX), segment_path(dir, base_offset, suffix));
            match fs.rename(&swap, &path) {
                // It may have come that far before. Kafka's may be missing, so that what is there is the old
                // segment's: these are made anew. The aborted transactions of the old one include the new one's.
                Err(error) if error.kind() == io::ErrorKind::NotFound && suffix != TXN_INDEX_SUFFIX => {
                    remove_if_there(&path, fs)?;
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs.sync_dir(dir)?;
        fs.rename(&swap, &segment_path(dir, base_offset, LOG_SUFFIX))?;
        fs.sync_dir(dir)?;
    }
    names
        .iter()
        .filter(|name| name.ends_with(SWAP_SUFFIX))
        .try_for_each(|name| remove_if_there(&dir.join(name), fs))
}

/// What a crash has left in a directory.
#[derive(Debug, Default)]
struct LeftOver {
    /// Base offsets of the segments.
    segments: Vec<i64>,
    /// Base offsets of the records under `.swap`, ascending.
    swapped: Vec<i64>,
    /// The least base offset of records under `.cleaned`.
    first_cleaned: Option<i64>,
}

impl LeftOver {
    fn of(names: &[String]) -> LeftOver {
        let mut left = LeftOver::default();
        for name in names {
            if let Some(base_offset) = offset_of_name(name, LOG_SUFFIX) {
                left.segments.push(base_offset);
            } else if let Some(name) = name.strip_suffix(SWAP_SUFFIX) {
                left.swapped.extend(offset_of_name(name, LOG_SUFFIX));
            } else if let Some(name) = name.strip_suffix(CLEANED_SUFFIX) {
                let base_offset = offset_of_name(name, LOG_SUFFIX);
                left.first_cleaned = [left.first_cleaned, base_offset].into_iter().flatten().min();
            }
        }
        left.swapped.sort_unstable();
        left
    }
}

/// The offset after the last batch of a file.
fn next_offset_of(path: &Path, base_offset: i64, fs: &dyn Fs) -> io::Result<i64> {
    let file = fs.open(path)?;
    let too_large =
        |_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is too large", path.display()));
    let limit = u32::try_from(file.metadata()?.len()).map_err(too_large)?;
    let file = SegmentFile::new(file, base_offset);
    let (mut headers, mut position, mut next_offset) = (Headers::new(&file, limit), 0, base_offset);
    while let Some(header) = headers.at(position)? {
        position += header.size_in_bytes() as u32;
        next_offset = header.next_offset();
    }
    Ok(next_offset)
}

fn remove_if_there(path: &Path, fs: &dyn Fs) -> io::Result<()> {
    match fs.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
