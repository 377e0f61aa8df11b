//! The records of `__cluster_metadata`: what the controllers of a Kafka 4.3 cluster keep there. They are read alone.
//!
//! A record's key is null. Its value is a frame version, the type of the record and the version of its message, each an
//! unsigned varint, then the message; every message is flexible in all of its versions. What only concerns nodes and
//! controllers isn't decoded: [`MetadataRecord::PassedOver`].
//!
//! As for the records of groups, every length and count is checked against the bytes left before memory is reserved
//! for it, and decoded values are copies. Bytes behind a message are refused, as Kafka does.

use bytes::BytesMut;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::reader::{Reader, ShapeError};
use crate::record_schema::{
    Layout, TooLong, Value, read_tagged_section, schema, write_tagged, write_unsigned_varint,
};

#[cfg(test)]
mod tests;

/// The only frame version there is.
const FRAME_VERSION: u32 = 1;

/// Types of resources that have settings, as records number them.
pub mod resource_type {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// A broker, or all of them where the name is empty.
    pub const BROKER: i8 = 4;
    /// What clients are asked to measure.
    pub const CLIENT_METRICS: i8 = 16;
    /// A group.
    pub const GROUP: i8 = 32;
}

/// [`PartitionChangeRecord::leader`] where the leader didn't change.
pub const NO_LEADER_CHANGE: i32 = -2;

/// Why a record can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataRecordError {
    /// The value is cut short, or a length in it is none.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A frame of another version.
    #[error("frame version {frame_version} is not known")]
    UnknownFrame {
        /// The version, from the value.
        frame_version: u32,
    },
    /// A record of another type, from a later Kafka.
    #[error("record type {record_type} is not known")]
    UnknownType {
        /// The type, from the value.
        record_type: u32,
    },
    /// The message is of a version that is not known.
    #[error("record type {record_type} in version {version} is not known")]
    UnknownVersion {
        /// The type, from the value.
        record_type: u32,
        /// The version, from the value.
        version: u32,
    },
    /// There are bytes behind the message.
    #[error("{left_bytes} bytes behind a record of type {record_type}")]
    TrailingBytes {
        /// The type, from the value.
        record_type: u32,
        /// How many.
        left_bytes: usize,
    },
}

schema! {
    /// A topic, version 0. The names here and below are Kafka's.
    TopicRecord {
        /// The topic's name.
        name: StrBytes = StrBytes::default();
        /// The topic's id.
        topic_id: Uuid = Uuid::nil();
    }

    /// A partition, versions 0 to 2.
    PartitionRecord {
        /// The partition's index.
        partition_id: i32 = -1;
        /// The topic's id.
        topic_id: Uuid = Uuid::nil();
        /// The nodes with a replica, the preferred one first.
        replicas: Vec<i32> = Vec::new();
        /// The replicas in sync.
        isr: Vec<i32> = Vec::new();
        /// The replicas that are being removed.
        removing_replicas: Vec<i32> = Vec::new();
        /// The replicas that are being added.
        adding_replicas: Vec<i32> = Vec::new();
        /// The leader; -1 for none.
        leader: i32 = -1;
        /// The leader's epoch.
        leader_epoch: i32 = -1;
        /// Rises with every change of the partition.
        partition_epoch: i32 = -1;
        /// The log directory of each replica.
        directories: Vec<Uuid> = Vec::new(), since 1;
    }, tagged {
        /// 1 while the partition recovers from an unclean election.
        0 => leader_recovery_state: i8 = 0;
        /// The eligible leader replicas (KIP-966).
        1 => eligible_leader_replicas: Option<Vec<i32>> = None;
        /// The last known ones of them.
        2 => last_known_elr: Option<Vec<i32>> = None;
    }

    /// What changed of a partition, versions 0 to 2. None is no change.
    PartitionChangeRecord {
        /// The partition's index.
        partition_id: i32 = -1;
        /// The topic's id.
        topic_id: Uuid = Uuid::nil();
    }, tagged {
        /// The replicas in sync.
        0 => isr: Option<Vec<i32>> = None;
        /// The leader; -1 for none, [`NO_LEADER_CHANGE`] for no change.
        1 => leader: i32 = NO_LEADER_CHANGE;
        /// The nodes with a replica.
        2 => replicas: Option<Vec<i32>> = None;
        /// The replicas that are being removed.
        3 => removing_replicas: Option<Vec<i32>> = None;
        /// The replicas that are being added.
        4 => adding_replicas: Option<Vec<i32>> = None;
        /// -1 for no change.
        5 => leader_recovery_state: i8 = -1;
        /// The eligible leader replicas.
        6 => eligible_leader_replicas: Option<Vec<i32>> = None;
        /// The last known ones of them.
        7 => last_known_elr: Option<Vec<i32>> = None;
        /// The log directory of each replica.
        8 => directories: Option<Vec<Uuid>> = None;
    }

    /// A topic is gone, with its partitions and settings, version 0.
    RemoveTopicRecord {
        /// The topic's id.
        topic_id: Uuid = Uuid::nil();
    }

    /// A setting, version 0.
    ConfigRecord {
        /// The kind of resource, see [`resource_type`].
        resource_type: i8 = 0;
        /// The resource's name.
        resource_name: StrBytes = StrBytes::default();
        /// The key.
        name: StrBytes = StrBytes::default();
        /// None removes the setting.
        value: Option<StrBytes> = None;
    }

    /// The level of a feature, version 0.
    FeatureLevelRecord {
        /// The feature's name.
        name: StrBytes = StrBytes::default();
        /// 0 is off.
        feature_level: i16 = 0;
    }

    /// A block of producer ids was handed out, version 0.
    ProducerIdsRecord {
        /// The broker that got it.
        broker_id: i32 = 0;
        /// That broker's epoch.
        broker_epoch: i64 = -1;
        /// The first id of the next block.
        next_producer_id: i64 = 0;
    }

    /// A controller, version 0.
    RegisterControllerRecord {
        /// The controller's id.
        controller_id: i32 = 0;
        /// Differs from process to process.
        incarnation_id: Uuid = Uuid::nil();
        /// Was once of use in leaving ZooKeeper.
        zk_migration_ready: bool = false;
        /// Where it listens.
        end_points: Vec<ControllerEndpoint> = Vec::new();
        /// What it supports.
        features: Vec<ControllerFeature> = Vec::new();
    }

    /// Where a controller listens.
    ControllerEndpoint {
        /// The listener's name.
        name: StrBytes = StrBytes::default();
        /// The host.
        host: StrBytes = StrBytes::default();
        /// The port.
        port: u16 = 0;
        /// The security protocol.
        security_protocol: i16 = 0;
    }

    /// A feature that a controller supports.
    ControllerFeature {
        /// The feature's name.
        name: StrBytes = StrBytes::default();
        /// The lowest level.
        min_supported_version: i16 = 0;
        /// The highest level.
        max_supported_version: i16 = 0;
    }

    /// An ACL, version 0.
    AccessControlEntryRecord {
        /// The entry's id.
        id: Uuid = Uuid::nil();
        /// The kind of resource.
        resource_type: i8 = 0;
        /// The resource's name, or what it begins with.
        resource_name: StrBytes = StrBytes::default();
        /// How the name is meant.
        pattern_type: i8 = 0;
        /// Whom it is about.
        principal: StrBytes = StrBytes::default();
        /// From which host.
        host: StrBytes = StrBytes::default();
        /// The operation.
        operation: i8 = 0;
        /// Allowed or denied.
        permission_type: i8 = 0;
    }

    /// An ACL is gone, version 0.
    RemoveAccessControlEntryRecord {
        /// The entry's id.
        id: Uuid = Uuid::nil();
    }

    /// A quota, version 0.
    ClientQuotaRecord {
        /// Whose it is.
        entity: Vec<EntityData> = Vec::new();
        /// What is bounded.
        key: StrBytes = StrBytes::default();
        /// The bits of a 64-bit floating-point number.
        value: i64 = 0;
        /// Whether the quota is gone.
        remove: bool = false;
    }

    /// A part of whom a quota is for.
    EntityData {
        /// `user`, `client-id` or `ip`.
        entity_type: StrBytes = StrBytes::default();
        /// None is the default of that type.
        entity_name: Option<StrBytes> = None;
    }
}

/// Records that only concern nodes, controllers and credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassedOver {
    /// Brokers: which there are, which are fenced, who clears their replicas' state.
    Brokers,
    /// Nothing; written to show that the controller lives.
    NoOp,
    /// SCRAM credentials.
    ScramCredentials,
    /// Delegation tokens.
    DelegationTokens,
    /// How far the way from ZooKeeper had come.
    ZkMigration,
}

/// A record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataRecord {
    /// A topic.
    Topic(TopicRecord),
    /// A partition.
    Partition(PartitionRecord),
    /// What changed of a partition.
    PartitionChange(PartitionChangeRecord),
    /// A topic is gone.
    RemoveTopic(RemoveTopicRecord),
    /// A setting.
    Config(ConfigRecord),
    /// The level of a feature.
    FeatureLevel(FeatureLevelRecord),
    /// A block of producer ids was handed out.
    ProducerIds(ProducerIdsRecord),
    /// A controller.
    RegisterController(RegisterControllerRecord),
    /// An ACL.
    AccessControlEntry(AccessControlEntryRecord),
    /// An ACL is gone.
    RemoveAccessControlEntry(RemoveAccessControlEntryRecord),
    /// A quota.
    ClientQuota(ClientQuotaRecord),
    /// The records up to the next end belong together (KIP-868).
    BeginTransaction,
    /// They count.
    EndTransaction,
    /// They don't.
    AbortTransaction,
    /// Was not decoded.
    PassedOver(PassedOver),
}

impl MetadataRecord {
    /// Reads the value of a record of the topic.
    ///
    /// # Errors
    /// See [`MetadataRecordError`].
    pub fn decode(value: &[u8]) -> Result<Self, MetadataRecordError> {
        let mut input = Reader::new(value);
        let frame_version = input.unsigned_varint()?;
        if frame_version != FRAME_VERSION {
            return Err(MetadataRecordError::UnknownFrame { frame_version });
        }
        let record_type = input.unsigned_varint()?;
        let version = input.unsigned_varint()?;
        let mut message = Message { input, record_type, version, size_bytes: value.len() };
        // Types 6, 13 and 16 were given up before a release.
        Ok(match record_type {
            0 | 1 | 7 | 8 | 17 | 28 => Self::PassedOver(PassedOver::Brokers),
            2 => Self::Topic(message.read(0)?),
            3 => Self::Partition(message.read(2)?),
            4 => Self::Config(message.read(0)?),
            5 => Self::PartitionChange(message.read(2)?),
            9 => Self::RemoveTopic(message.read(0)?),
            10 | 26 => Self::PassedOver(PassedOver::DelegationTokens),
            11 | 22 => Self::PassedOver(PassedOver::ScramCredentials),
            12 => Self::FeatureLevel(message.read(0)?),
            14 => Self::ClientQuota(message.read(0)?),
            15 => Self::ProducerIds(message.read(0)?),
            18 => Self::AccessControlEntry(message.read(0)?),
            19 => Self::RemoveAccessControlEntry(message.read(0)?),
            20 => Self::PassedOver(PassedOver::NoOp),
            21 => Self::PassedOver(PassedOver::ZkMigration),
            23 => Self::BeginTransaction,
            24 => Self::EndTransaction,
            25 => Self::AbortTransaction,
            27 => Self::RegisterController(message.read(0)?),
            _ => return Err(MetadataRecordError::UnknownType { record_type }),
        })
    }
}

/// What stands behind the frame.
struct Message<'a> {
    input: Reader<'a>,
    record_type: u32,
    version: u32,
    /// Of the whole value.
    size_bytes: usize,
}

impl Message<'_> {
    /// Reads the message, of which the versions 0 to `last_version` are known.
    fn read<T: Value>(&mut self, last_version: i16) -> Result<T, MetadataRecordError> {
        let (record_type, version) = (self.record_type, self.version);
        let known = i16::try_from(version).ok().filter(|version| *version <= last_version);
        let Some(known) = known else {
            return Err(MetadataRecordError::UnknownVersion { record_type, version });
        };
        let message = T::read(&mut self.input, Layout { version: known, flexible: true })?;
        match self.size_bytes - self.input.position() {
            0 => Ok(message),
            left_bytes => Err(MetadataRecordError::TrailingBytes { record_type, left_bytes }),
        }
    }
}
