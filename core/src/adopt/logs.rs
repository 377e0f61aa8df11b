//! Whether the logs of the metadata's partitions are there, and can be read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use fluxmq_storage::log_dir::{LogDir, PartitionDir};

use super::AdoptError;
use super::plan::{LeftOut, some_of};
use crate::meta::import::Import;

/// Where a batch has its message format, in every one that there was.
const MAGIC_AT: usize = 16;
/// The only format that FluxMQ reads.
const MAGIC_V2: u8 = 2;

/// Every partition has its directory here, with records in the format that is read. Other directories are left to the
/// start, which sets them aside.
pub(super) fn check(dir: &LogDir, import: &Import, left_out: &mut Vec<LeftOut>) -> Result<(), AdoptError> {
    let failed = |source| AdoptError::Io { path: dir.path().to_owned(), source };
    let listing = dir.list().map_err(failed)?;
    let mut found: BTreeMap<(&str, i32), &PartitionDir> =
        listing.partitions.iter().map(|log| ((log.topic.as_str(), log.partition), log)).collect();
    let mut missing = Vec::new();
    for (name, topic) in &import.topics {
        for (index, _) in (0..).zip(&topic.leader_epochs) {
            match found.remove(&(name.as_str(), index)) {
                Some(log) if log.topic_id == Some(topic.id) => check_format(&log.path)?,
                _ => missing.push(format!("{name}-{index}")),
            }
        }
    }
    if !missing.is_empty() {
        let partitions = some_of(&missing);
        return Err(AdoptError::MissingLogs { path: dir.path().to_owned(), partitions });
    }
    let strays: Vec<String> = found.keys().map(|(topic, index)| format!("{topic}-{index}")).collect();
    if !strays.is_empty() {
        let strays = some_of(&strays);
        left_out.push(format!("directories of no topic: {strays}; the start renames them to -stray"));
    }
    Ok(())
}

/// Looks at the first batch of each segment: formats didn't change back.
fn check_format(log: &Path) -> Result<(), AdoptError> {
    for entry in fs::read_dir(log).map_err(|source| AdoptError::Io { path: log.to_owned(), source })? {
        let path = entry.map_err(|source| AdoptError::Io { path: log.to_owned(), source })?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        match magic(&path) {
            Ok(Some(magic)) if magic < MAGIC_V2 => return Err(AdoptError::MessageFormat { path, magic }),
            Ok(_) => {}
            Err(source) => return Err(AdoptError::Io { path, source }),
        }
    }
    Ok(())
}

/// None for a segment without records.
fn magic(segment: &Path) -> io::Result<Option<u8>> {
    let mut bytes = [0; MAGIC_AT + 1];
    match File::open(segment)?.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes[MAGIC_AT])),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
