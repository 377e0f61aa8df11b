//! A log directory: its checkpoints, what doesn't belong there, and its partitions one after the other.

use super::finding::{AtNextStart, Condition, Found, Place};
use super::partition::{self, Context, is_left_over};
use super::{Observer, Totals};
use crate::checkpoint::{PartitionOffsets, read_offsets};
use crate::inspect::FileKind;
use crate::log_dir::{CLEAN_SHUTDOWN_FILE, LOCK_FILE, Listing, OffsetCheckpoint, parse_partition_name};
use crate::meta_properties::{META_PROPERTIES, MetaProperties};
use std::io;
use std::path::Path;

/// Files that FluxMQ keeps beside Kafka's.
const OWN_PREFIX: &str = "fluxmq-";

/// Whether the directory is one of logs: it has one of the files that lie there, or directories of partitions.
pub(super) fn is_log_dir(path: &Path) -> io::Result<bool> {
    if path.join(META_PROPERTIES).exists() {
        return Ok(true);
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let is_checkpoint = matches!(FileKind::of(&entry.path()), Some(FileKind::Checkpoint(_)));
        let name = entry.file_name();
        let is_partition = entry.file_type()?.is_dir()
            && name.to_str().is_some_and(|name| parse_partition_name(name).is_some());
        if is_checkpoint || is_partition {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the files of a log directory say of its partitions.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    clean: bool,
    recovery_points: PartitionOffsets,
    log_starts: PartitionOffsets,
    high_watermarks: PartitionOffsets,
    cleaned: PartitionOffsets,
}

impl Checkpoints {
    /// Reads them; one that can't be read is a finding and taken as empty.
    pub(super) fn read(dir: &Path, found: &mut Found) -> Checkpoints {
        let mut offsets = |checkpoint: OffsetCheckpoint| {
            let path = dir.join(checkpoint.file_name());
            read_offsets(&path).unwrap_or_else(|error| {
                found.add(&path, Place::Whole, Condition::Checkpoint(error), AtNextStart::TakenAsEmpty);
                PartitionOffsets::new()
            })
        };
        Checkpoints {
            recovery_points: offsets(OffsetCheckpoint::RecoveryPoint),
            log_starts: offsets(OffsetCheckpoint::LogStart),
            high_watermarks: offsets(OffsetCheckpoint::Replication),
            cleaned: offsets(OffsetCheckpoint::Cleaner),
            clean: dir.join(CLEAN_SHUTDOWN_FILE).exists(),
        }
    }

    /// What they say of the partition with this directory.
    pub(super) fn context(&self, partition: &Path) -> Context {
        let name = partition.file_name().and_then(|name| name.to_str()).and_then(parse_partition_name);
        let key = name.map(|(topic, partition)| (topic.to_owned(), partition));
        let offset = |offsets: &PartitionOffsets| key.as_ref().and_then(|key| offsets.get(key).copied());
        Context {
            clean: self.clean,
            // One that isn't named has none that would cover its segments.
            recovery_point: Some(offset(&self.recovery_points).unwrap_or(0)),
            closed_at: offset(&self.recovery_points),
            log_start_offset: offset(&self.log_starts),
            high_watermark: offset(&self.high_watermarks),
        }
    }

    /// The offsets of a checkpoint.
    fn offsets(&self, checkpoint: OffsetCheckpoint) -> &PartitionOffsets {
        match checkpoint {
            OffsetCheckpoint::RecoveryPoint => &self.recovery_points,
            OffsetCheckpoint::LogStart => &self.log_starts,
            OffsetCheckpoint::Replication => &self.high_watermarks,
            OffsetCheckpoint::Cleaner => &self.cleaned,
        }
    }
}

/// Goes through a log directory.
///
/// # Errors
/// The directory can't be read.
pub(super) fn verify(dir: &Path, totals: &mut Totals, observer: &mut dyn Observer) -> io::Result<()> {
    let mut found = Found::default();
    let checkpoints = Checkpoints::read(dir, &mut found);
    let listing = Listing::read(dir)?;
    meta_properties(dir, &mut found);
    files(dir, &mut found)?;
    for path in &listing.deleted {
        found.add(path, Place::Whole, Condition::DeletedDirectory, AtNextStart::Removed);
    }
    for path in &listing.others {
        found.add(path, Place::Whole, Condition::Stray, AtNextStart::Nothing);
    }
    for checkpoint in OffsetCheckpoint::ALL {
        let has_directory = |(topic, partition): &(String, i32)| {
            listing.partitions.iter().any(|dir| (&dir.topic, dir.partition) == (topic, *partition))
        };
        let without = checkpoints.offsets(checkpoint).keys().filter(|key| !has_directory(key)).count();
        if without > 0 {
            let path = dir.join(checkpoint.file_name());
            let condition = Condition::CheckpointWithoutPartition(without);
            found.add(&path, Place::Whole, condition, AtNextStart::Corrected);
        }
    }
    partition::tell(found, observer);
    let logs = listing.partitions.iter().map(|partition| &partition.path).chain(&listing.cluster_metadata);
    for path in logs {
        if let Err(error) = partition::verify(path, &checkpoints.context(path), totals, observer) {
            let mut found = Found::default();
            let condition = match error.kind() {
                io::ErrorKind::NotFound => Condition::Replaced,
                _ => Condition::Unreadable(error),
            };
            found.add(path, Place::Whole, condition, AtNextStart::Refused);
            partition::tell(found, observer);
        }
    }
    Ok(())
}

fn meta_properties(dir: &Path, found: &mut Found) {
    let path = dir.join(META_PROPERTIES);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            if let Err(error) = MetaProperties::parse(&text) {
                found.add(&path, Place::Whole, Condition::MetaProperties(error), AtNextStart::Refused);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            found.add(&path, Place::Whole, Condition::MetaPropertiesMissing, AtNextStart::WrittenAnew);
        }
        Err(error) => found.add(&path, Place::Whole, Condition::Unreadable(error), AtNextStart::Refused),
    }
}

fn files(dir: &Path, found: &mut Found) -> io::Result<()> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let known = matches!(FileKind::of(&path), Some(FileKind::Checkpoint(_)))
            || [LOCK_FILE, CLEAN_SHUTDOWN_FILE, META_PROPERTIES].contains(&name.as_str())
            || name.starts_with(OWN_PREFIX);
        if is_left_over(&path) {
            found.add(&path, Place::Whole, Condition::LeftOver, AtNextStart::WrittenAnew);
        } else if !known {
            found.add(&path, Place::Whole, Condition::Stray, AtNextStart::Nothing);
        }
    }
    Ok(())
}
