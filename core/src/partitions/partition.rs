//! One partition as the broker sees it.

use fluxmq_protocol::StrBytes;
use uuid::Uuid;

/// The name of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionName {
    /// The topic's name.
    pub topic: StrBytes,
    /// The topic's id (KIP-516).
    pub topic_id: Uuid,
    /// The partition's number within the topic.
    pub index: i32,
}

impl std::fmt::Display for PartitionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// One partition of a topic.
#[derive(Debug)]
pub struct Partition {
    name: PartitionName,
    leader_epoch: i32,
}

impl Partition {
    pub(super) fn new(name: PartitionName, leader_epoch: i32) -> Self {
        Self { name, leader_epoch }
    }

    /// Topic, topic id and number.
    #[must_use]
    pub fn name(&self) -> &PartitionName {
        &self.name
    }

    /// The epoch of this broker's leadership.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }
}
