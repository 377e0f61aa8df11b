//! Kafka's checkpoint files: text with a version, a count of entries and one entry per line.
//!
//! Used by `recovery-point-offset-checkpoint`, `replication-offset-checkpoint`, `log-start-offset-checkpoint` and
//! `cleaner-offset-checkpoint` (topic, partition, offset) and by `leader-epoch-checkpoint` (epoch, start offset).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The only version there is of both formats.
const VERSION: i32 = 0;

/// Why a checkpoint file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file can't be read.
    #[error("can't read the checkpoint file: {0}")]
    Io(#[from] io::Error),
    /// The first line is a number, but not a version that is known.
    #[error("unknown checkpoint version {0}")]
    UnknownVersion(i32),
    /// A line is not what the format has there.
    #[error("malformed line {line_number} in a checkpoint file: {line:?}")]
    MalformedLine {
        /// From 1.
        line_number: usize,
        /// The line, cut at 200 characters.
        line: String,
    },
    /// The second line announces another number of entries than follow: the file is cut off or patched.
    #[error("checkpoint file announces {announced} entries and has {found}")]
    CountMismatch {
        /// From the second line.
        announced: i64,
        /// Lines after it.
        found: usize,
    },
}

/// Offsets by topic and partition.
pub type PartitionOffsets = BTreeMap<(String, i32), i64>;

/// The text of an offset checkpoint.
pub fn encode_offsets(offsets: &PartitionOffsets) -> String {
    encode(offsets, |out, ((topic, partition), offset)| write!(out, "{topic} {partition} {offset}"))
}

/// Reads the text of an offset checkpoint; an empty text is an empty map, as in Kafka.
///
/// # Errors
/// An unknown version, a line that isn't `topic partition offset`, or a wrong count.
pub fn parse_offsets(text: &str) -> Result<PartitionOffsets, CheckpointError> {
    parse(text, |fields| match *fields {
        [topic, partition, offset] => {
            Some(((topic.to_owned(), partition.parse().ok()?), offset.parse().ok()?))
        }
        _ => None,
    })
    .map(|entries| entries.into_iter().collect())
}

/// Reads an offset checkpoint; a missing file is an empty map.
///
/// # Errors
/// As [`parse_offsets`], and what reading the file gives.
pub fn read_offsets(path: &Path) -> Result<PartitionOffsets, CheckpointError> {
    parse_offsets(&read_text(path)?)
}

/// Writes an offset checkpoint with [`write_atomically`].
///
/// # Errors
/// What the file system gives; the old file is then still whole.
pub fn write_offsets(path: &Path, offsets: &PartitionOffsets) -> io::Result<()> {
    write_atomically(path, encode_offsets(offsets).as_bytes())
}

/// The text of a checkpoint with one line per entry.
pub(crate) fn encode<I>(entries: I, line: impl Fn(&mut String, I::Item) -> std::fmt::Result) -> String
where
    I: IntoIterator,
    I::IntoIter: ExactSizeIterator,
{
    let entries = entries.into_iter();
    let mut out = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        line(&mut out, entry).expect("writing to a String doesn't fail");
        out.push('\n');
    }
    out
}

/// Reads the lines of a checkpoint; `entry` gets the fields of a line, and `None` from it is a malformed line.
pub(crate) fn parse<T>(text: &str, entry: impl Fn(&[&str]) -> Option<T>) -> Result<Vec<T>, CheckpointError> {
    let malformed = |line_number: usize, line: &str| CheckpointError::MalformedLine {
        line_number,
        line: line.chars().take(200).collect(),
    };
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let Some((_, first)) = lines.next() else { return Ok(Vec::new()) };
    let version: i32 = first.parse().map_err(|_| malformed(1, first))?;
    if version != VERSION {
        return Err(CheckpointError::UnknownVersion(version));
    }
    let Some((_, second)) = lines.next() else { return Ok(Vec::new()) };
    let announced: i64 = second.parse().map_err(|_| malformed(2, second))?;
    // The count isn't used to reserve memory: it may be anything.
    let mut entries = Vec::new();
    let mut fields = Vec::with_capacity(4);
    for (line_number, line) in lines {
        fields.clear();
        fields.extend(line.split_ascii_whitespace());
        entries.push(entry(&fields).ok_or_else(|| malformed(line_number, line))?);
    }
    if i64::try_from(entries.len()) != Ok(announced) {
        return Err(CheckpointError::CountMismatch { announced, found: entries.len() });
    }
    Ok(entries)
}

/// The text of a file; empty when the file is missing.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// Replaces a file so that a reader, also after a power cut, finds the old contents or the new, never a mixture:
/// `<path>.tmp` is written and synced, renamed over the file, and the directory synced.
///
/// # Errors
/// What the file system gives. Before the rename the old file is untouched; after it only the durability of the
/// rename is in doubt.
pub fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = PathBuf::from(tmp);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&tmp)?;
    file.write_all(contents)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&tmp, path)?;
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offsets(entries: &[(&str, i32, i64)]) -> PartitionOffsets {
        entries.iter().map(|&(topic, partition, offset)| ((topic.to_owned(), partition), offset)).collect()
    }

    #[test]
    fn the_text_is_kafkas() {
        let map = offsets(&[("tp1", 0, 5), ("tp1", 1, 123_456_789_012)]);
        assert_eq!(encode_offsets(&map), "0\n2\ntp1 0 5\ntp1 1 123456789012\n");
        assert_eq!(encode_offsets(&PartitionOffsets::new()), "0\n0\n");
    }

    #[test]
    fn unfinished_and_odd_files_read_as_kafka_reads_them() {
        assert_eq!(parse_offsets("").unwrap(), PartitionOffsets::new());
        assert_eq!(parse_offsets("0\n").unwrap(), PartitionOffsets::new());
        assert_eq!(parse_offsets("0\r\n1\r\na  0\t7\r\n").unwrap(), offsets(&[("a", 0, 7)]));
        assert_eq!(parse_offsets("0\n1\na 0 7").unwrap(), offsets(&[("a", 0, 7)]));
    }

    #[test]
    fn each_fault_has_its_error() {
        assert!(matches!(parse_offsets("1\n0\n"), Err(CheckpointError::UnknownVersion(1))));
        assert!(matches!(
            parse_offsets("x\n0\n"),
            Err(CheckpointError::MalformedLine { line_number: 1, .. })
        ));
        assert!(matches!(
            parse_offsets("0\nx\n"),
            Err(CheckpointError::MalformedLine { line_number: 2, .. })
        ));
        for line in ["a 0", "a 0 1 2", "a b 1", "a 0 c", "", "a 0 99999999999999999999"] {
            let text = format!("0\n2\nok 0 1\n{line}\n");
            let error = parse_offsets(&text).unwrap_err();
            assert!(
                matches!(error, CheckpointError::MalformedLine { line_number: 4, .. }),
                "{line:?}: {error}"
            );
        }
        for (text, announced, found) in [("0\n2\na 0 1\n", 2, 1), ("0\n0\na 0 1\n", 0, 1), ("0\n-1\n", -1, 0)]
        {
            match parse_offsets(text) {
                Err(CheckpointError::CountMismatch { announced: a, found: f }) => {
                    assert_eq!((a, f), (announced, found));
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recovery-point-offset-checkpoint");
        assert_eq!(read_offsets(&path).unwrap(), PartitionOffsets::new());
        let long = offsets(&[("a-long-topic-name", 3, 1 << 40), ("b", 0, 2)]);
        write_offsets(&path, &long).unwrap();
        assert_eq!(read_offsets(&path).unwrap(), long);
        // A temporary left by a crash is longer than the new contents and must not shine through.
        fs::write(dir.path().join("recovery-point-offset-checkpoint.tmp"), vec![b'x'; 4096]).unwrap();
        let short = offsets(&[("b", 0, 3)]);
        write_offsets(&path, &short).unwrap();
        assert_eq!(read_offsets(&path).unwrap(), short);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        write_atomically(&path, b"old").unwrap();
        fs::create_dir(dir.path().join("checkpoint.tmp")).unwrap();
        assert!(write_atomically(&path, b"new").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    proptest! {
        #[test]
        fn offsets_round_trip(entries in proptest::collection::btree_map(
            ("[a-zA-Z0-9._-]{1,40}", 0i32..), any::<i64>(), 0..20)) {
            prop_assert_eq!(parse_offsets(&encode_offsets(&entries)).unwrap(), entries);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-z \\n-]{0,60}") {
            let _ = parse_offsets(&text);
        }
    }
}
