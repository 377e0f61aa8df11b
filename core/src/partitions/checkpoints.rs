//! The checkpoint files of the log directory, in Kafka's format and under Kafka's names.
//!
//! They are written one after another under a lock, from what the logs say at that moment.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use fluxmq_storage::checkpoint::PartitionOffsets;
use fluxmq_storage::log_dir::{LogDir, OffsetCheckpoint};

use super::data_dir::DataDir;
use super::partition::{Partition, PartitionName};
use super::{PartitionManager, all_tried};

/// The files that decide what is looked at, and kept, when a log is opened after a crash or compacted.
const TRUSTED: [OffsetCheckpoint; 3] =
    [OffsetCheckpoint::RecoveryPoint, OffsetCheckpoint::LogStart, OffsetCheckpoint::Cleaner];

/// What stands in each file, so that an idle broker writes nothing.
#[derive(Debug)]
pub(super) struct Checkpointed {
    files: Vec<(OffsetCheckpoint, PartitionOffsets)>,
}

impl Checkpointed {
    /// What the last run has left.
    pub(super) fn read(dir: &LogDir) -> Self {
        Checkpointed { files: TRUSTED.map(|file| (file, dir.read_checkpoint(file))).into() }
    }

    /// What a file says of a partition.
    pub(super) fn offset(&self, file: OffsetCheckpoint, partition: &PartitionName) -> Option<i64> {
        self.get(file)?.get(&key(partition)).copied()
    }

    fn get(&self, file: OffsetCheckpoint) -> Option<&PartitionOffsets> {
        self.files.iter().find(|(known, _)| *known == file).map(|(_, offsets)| offsets)
    }

    fn set(&mut self, file: OffsetCheckpoint, offsets: PartitionOffsets) {
        self.files.retain(|(known, _)| *known != file);
        self.files.push((file, offsets));
    }
}

fn key(name: &PartitionName) -> (String, i32) {
    (name.topic.to_string(), name.index)
}

impl DataDir {
    /// Takes out of the files what they say of partitions that are not among the `kept`, durably. A partition that is
    /// made under a name that was used before must not be opened by what is said of the old one: its records would be
    /// taken for deleted, or for known to be on disk.
    pub(super) fn keep_checkpoints(&self, kept: impl Fn(&str, i32) -> bool) -> io::Result<()> {
        let mut checkpointed = self.checkpointed.lock();
        for file in TRUSTED {
            let Some(known) = checkpointed.get(file) else { continue };
            if known.keys().all(|(topic, index)| kept(topic, *index)) {
                continue;
            }
            let mut offsets = known.clone();
            offsets.retain(|(topic, index), _| kept(topic, *index));
            self.log_dir.write_checkpoint(file, &offsets)?;
            checkpointed.set(file, offsets);
        }
        Ok(())
    }

    /// The same for one partition, with a look-up where there is nothing to take out.
    pub(super) fn forget_checkpoints(&self, name: &PartitionName) -> io::Result<()> {
        let is_known = {
            let checkpointed = self.checkpointed.lock();
            TRUSTED.iter().any(|file| checkpointed.offset(*file, name).is_some())
        };
        if !is_known {
            return Ok(());
        }
        self.keep_checkpoints(|topic, index| (topic, index) != (&*name.topic, name.index))
    }
}

impl PartitionManager {
    /// Takes deleted partitions out of the files, so that those made later under their names need not.
    ///
    /// # Errors
    /// What the file system gives; it is done then before there are partitions of those names.
    pub fn forget_deleted(&self) -> io::Result<()> {
        // Not under the partitions' lock, which whoever writes a checkpoint takes while holding that of the files.
        let partitions = self.all();
        self.inner.dirs.iter().filter(|dir| !dir.is_offline()).try_for_each(|dir| {
            let here = partitions.iter().filter(|partition| partition.lies_in(dir));
            let names: HashSet<(&str, i32)> =
                here.map(|partition| (&*partition.name().topic, partition.index())).collect();
            dir.keep_checkpoints(|topic, index| names.contains(&(topic, index)))
        })
    }

    /// Writes the recovery points.
    ///
    /// # Errors
    /// What the file system gives; the old file is still whole.
    pub fn checkpoint_recovery_points(&self) -> io::Result<()> {
        self.checkpoint(OffsetCheckpoint::RecoveryPoint, |partition| Some(partition.log().recovery_point()))
    }

    /// Writes the high watermarks; nothing here depends on them, Kafka's tools and brokers read them.
    ///
    /// # Errors
    /// What the file system gives; the old file is still whole.
    pub fn checkpoint_high_watermarks(&self) -> io::Result<()> {
        self.checkpoint(OffsetCheckpoint::Replication, |partition| Some(partition.high_watermark().offset))
    }

    /// Writes the log start offsets. Once this returns they hold after a crash too.
    ///
    /// # Errors
    /// What the file system gives; the old file is still whole.
    pub fn checkpoint_log_start_offsets(&self) -> io::Result<()> {
        self.checkpoint(OffsetCheckpoint::LogStart, |partition| {
            let start = partition.log_start_offset();
            (start > 0).then_some(start)
        })
    }

    /// Writes how far compaction has come. What is written too late is gone through once more.
    ///
    /// # Errors
    /// What the file system gives; the old file is still whole.
    pub fn checkpoint_cleaned(&self) -> io::Result<()> {
        self.checkpoint(OffsetCheckpoint::Cleaner, Partition::cleaned_until)
    }

    fn checkpoint(
        &self,
        file: OffsetCheckpoint,
        offset: impl Fn(&Partition) -> Option<i64>,
    ) -> io::Result<()> {
        let write = |dir: &Arc<DataDir>| -> io::Result<()> {
            let mut checkpointed = dir.checkpointed.lock();
            let offsets: PartitionOffsets = self
                .all()
                .iter()
                .filter(|partition| partition.lies_in(dir) && !partition.is_absent())
                .filter_map(|partition| Some((key(partition.name()), offset(partition)?)))
                .collect();
            if checkpointed.get(file) != Some(&offsets) {
                dir.log_dir.write_checkpoint(file, &offsets)?;
                checkpointed.set(file, offsets);
            }
            Ok(())
        };
        // Those that can be written are, whatever comes of the others.
        let online = self.inner.dirs.iter().filter(|dir| !dir.is_offline());
        all_tried(online.map(write))
    }
}
