//! The checkpoint files of the log directory, in Kafka's format and under Kafka's names.
//!
//! They are written one after another under a lock, from what the logs say at that moment.

use std::io;

use fluxmq_storage::checkpoint::PartitionOffsets;
use fluxmq_storage::log_dir::OffsetCheckpoint;

use super::PartitionManager;
use super::partition::Partition;

/// What was last written to each file, so that an idle broker writes nothing.
#[derive(Debug, Default)]
pub(super) struct Checkpointed {
    files: Vec<(OffsetCheckpoint, PartitionOffsets)>,
}

impl Checkpointed {
    fn get(&self, file: OffsetCheckpoint) -> Option<&PartitionOffsets> {
        self.files.iter().find(|(known, _)| *known == file).map(|(_, offsets)| offsets)
    }

    fn set(&mut self, file: OffsetCheckpoint, offsets: PartitionOffsets) {
        self.files.retain(|(known, _)| *known != file);
        self.files.push((file, offsets));
    }
}

impl PartitionManager {
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

    fn checkpoint(
        &self,
        file: OffsetCheckpoint,
        offset: impl Fn(&Partition) -> Option<i64>,
    ) -> io::Result<()> {
        let mut checkpointed = self.inner.checkpointed.lock();
        let offsets: PartitionOffsets = self
            .all()
            .iter()
            .filter_map(|partition| {
                let name = partition.name();
                Some(((name.topic.to_string(), name.index), offset(partition)?))
            })
            .collect();
        if checkpointed.get(file) != Some(&offsets) {
            self.inner.dir.write_checkpoint(file, &offsets)?;
            checkpointed.set(file, offsets);
        }
        Ok(())
    }
}
