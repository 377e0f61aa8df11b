//! The records of `__consumer_offsets`, as Kafka 4.3 writes and reads them.
//!
//! A key starts with the type of the record, a value with its version (both int16). Source: the schemas in Kafka's
//! group-coordinator module; KIP-848 for those of consumer groups, KIP-1043 and later for what came after.

mod field;
mod values;

use bytes::Bytes;

use self::field::Field;
pub use self::values::*;
use crate::StrBytes;
use crate::reader::{Reader, ShapeError};

/// Why a record can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A field runs out of bytes, or a length is none.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A text is not UTF-8.
    #[error("text at byte {position} is not UTF-8")]
    NotUtf8 {
        /// Where in the key or value.
        position: usize,
    },
    /// A record of another type: of share groups, streams groups, or from a later Kafka. Kafka passes over those.
    #[error("record type {record_type} is not known")]
    UnknownType {
        /// The type, from the key.
        record_type: i16,
    },
    /// The value is of a version that is not known.
    #[error("record type {record_type} in version {version} is not known")]
    UnknownVersion {
        /// The type, from the key.
        record_type: i16,
        /// The version, from the value.
        version: i16,
    },
}

macro_rules! group_records {
    ($($(#[$doc:meta])* $name:ident($type:literal) { $($field:ident),+ } => $value:ident;)*) => {
        /// A record: its key, and its value or none, which takes back what the key stood for.
        #[derive(Clone, Debug, PartialEq)]
        pub enum GroupRecord {
            $($(#[$doc])* $name(keys::$name, Option<$value>),)*
        }

        impl GroupRecord {
            /// Key and value as they are written to the log.
            #[must_use]
            pub fn encode(&self) -> (Bytes, Option<Bytes>) {
                match self {
                    $(GroupRecord::$name(key, value) => {
                        let mut out = Vec::new();
                        i16::write(&$type, &mut out, false);
                        $(key.$field.write(&mut out, false);)+
                        (out.into(), value.as_ref().map(Value::encode))
                    })*
                }
            }

            fn decode_as(
                record_type: i16,
                key: &mut Reader<'_>,
                value: Option<&[u8]>,
            ) -> Result<Self, RecordError> {
                match record_type {
                    $($type => Ok(GroupRecord::$name(
                        keys::$name { $($field: Field::read(key, false)?),+ },
                        value.map(|value| Value::decode(record_type, value)).transpose()?,
                    )),)*
                    record_type => Err(RecordError::UnknownType { record_type }),
                }
            }
        }
    };
}

group_records! {
    /// An offset that a group committed.
    OffsetCommit(1) { group, topic, partition } => OffsetCommitValue;
    /// A classic group.
    GroupMetadata(2) { group } => GroupMetadataValue;
    /// A consumer group's epoch.
    ConsumerGroupMetadata(3) { group_id } => ConsumerGroupMetadataValue;
    /// The topics of a consumer group, as Kafka 4.0 kept them.
    ConsumerGroupPartitionMetadata(4) { group_id } => ConsumerGroupPartitionMetadataValue;
    /// A member of a consumer group.
    ConsumerGroupMemberMetadata(5) { group_id, member_id } => ConsumerGroupMemberMetadataValue;
    /// The epoch of a consumer group's target assignment.
    ConsumerGroupTargetAssignmentMetadata(6) { group_id } => ConsumerGroupTargetAssignmentMetadataValue;
    /// The target assignment of a member.
    ConsumerGroupTargetAssignmentMember(7) { group_id, member_id } => ConsumerGroupTargetAssignmentMemberValue;
    /// The current assignment of a member.
    ConsumerGroupCurrentMemberAssignment(8) { group_id, member_id } => ConsumerGroupCurrentMemberAssignmentValue;
    /// What a pattern stands for.
    ConsumerGroupRegularExpression(16) { group_id, regular_expression } => ConsumerGroupRegularExpressionValue;
}

/// The type that offsets had in Kafka's first days; same fields as type 1.
const LEGACY_OFFSET_COMMIT: i16 = 0;

impl GroupRecord {
    /// Reads a record. Nothing of it points into `key` or `value`; what it takes in memory is bounded by their length.
    ///
    /// # Errors
    /// The bytes are not what type and version say.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, RecordError> {
        let mut key = Reader::new(key);
        let record_type = match key.int16()? {
            LEGACY_OFFSET_COMMIT => 1,
            record_type => record_type,
        };
        Self::decode_as(record_type, &mut key, value)
    }
}

/// The keys, by the name of their record.
mod keys {
    use super::StrBytes;

    macro_rules! keys {
        ($($name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)+ })*) => {$(
            /// The key of the record of this name.
            #[derive(Clone, Debug, PartialEq, Eq, Hash)]
            pub struct $name { $($(#[$doc])* pub $field: $type,)+ }
        )*};
    }

    keys! {
        OffsetCommit {
            /// The group.
            group: StrBytes,
            /// The topic.
            topic: StrBytes,
            /// The partition's number.
            partition: i32,
        }
        GroupMetadata {
            /// The group.
            group: StrBytes,
        }
        ConsumerGroupMetadata {
            /// The group.
            group_id: StrBytes,
        }
        ConsumerGroupPartitionMetadata {
            /// The group.
            group_id: StrBytes,
        }
        ConsumerGroupMemberMetadata {
            /// The group.
            group_id: StrBytes,
            /// The member.
            member_id: StrBytes,
        }
        ConsumerGroupTargetAssignmentMetadata {
            /// The group.
            group_id: StrBytes,
        }
        ConsumerGroupTargetAssignmentMember {
            /// The group.
            group_id: StrBytes,
            /// The member.
            member_id: StrBytes,
        }
        ConsumerGroupCurrentMemberAssignment {
            /// The group.
            group_id: StrBytes,
            /// The member.
            member_id: StrBytes,
        }
        ConsumerGroupRegularExpression {
            /// The group.
            group_id: StrBytes,
            /// The pattern.
            regular_expression: StrBytes,
        }
    }
}

pub use self::keys::{
    ConsumerGroupCurrentMemberAssignment as ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupMemberMetadata as ConsumerGroupMemberMetadataKey,
    ConsumerGroupMetadata as ConsumerGroupMetadataKey,
    ConsumerGroupPartitionMetadata as ConsumerGroupPartitionMetadataKey,
    ConsumerGroupRegularExpression as ConsumerGroupRegularExpressionKey,
    ConsumerGroupTargetAssignmentMember as ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMetadata as ConsumerGroupTargetAssignmentMetadataKey,
    GroupMetadata as GroupMetadataKey, OffsetCommit as OffsetCommitKey,
};

/// A value with its version in front.
trait Value: Sized {
    fn encode(&self) -> Bytes;
    fn decode(record_type: i16, value: &[u8]) -> Result<Self, RecordError>;
}

/// Those that have one version, a flexible one.
macro_rules! only_version {
    ($($name:ident),* $(,)?) => {$(
        impl Value for $name {
            fn encode(&self) -> Bytes {
                let mut out = vec![0, 0];
                Field::write(self, &mut out, true);
                out.into()
            }

            fn decode(record_type: i16, value: &[u8]) -> Result<Self, RecordError> {
                let mut reader = Reader::new(value);
                match reader.int16()? {
                    0 => Field::read(&mut reader, true),
                    version => Err(RecordError::UnknownVersion { record_type, version }),
                }
            }
        }
    )*};
}

only_version!(
    ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataValue,
    ConsumerGroupMemberMetadataValue,
    ConsumerGroupTargetAssignmentMetadataValue,
    ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupRegularExpressionValue,
);

impl Value for OffsetCommitValue {
    fn encode(&self) -> Bytes {
        let version = self.written_version();
        let mut out = version.to_be_bytes().to_vec();
        self.write(&mut out, version);
        out.into()
    }

    fn decode(record_type: i16, value: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(value);
        match reader.int16()? {
            version @ 0..=4 => Self::read(&mut reader, version),
            version => Err(RecordError::UnknownVersion { record_type, version }),
        }
    }
}

impl Value for GroupMetadataValue {
    fn encode(&self) -> Bytes {
        let mut out = Self::WRITTEN_VERSION.to_be_bytes().to_vec();
        self.write(&mut out);
        out.into()
    }

    fn decode(record_type: i16, value: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(value);
        match reader.int16()? {
            version @ 0..=4 => Self::read(&mut reader, version),
            version => Err(RecordError::UnknownVersion { record_type, version }),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    fn commit(expire_timestamp: i64, topic_id: Uuid) -> GroupRecord {
        let key = OffsetCommitKey { group: text("g"), topic: text("t"), partition: 3 };
        let value = OffsetCommitValue {
            offset: 7,
            leader_epoch: if expire_timestamp == -1 { 2 } else { -1 },
            metadata: text("m"),
            commit_timestamp: 1_000,
            expire_timestamp,
            topic_id,
        };
        GroupRecord::OffsetCommit(key, Some(value))
    }

    fn back(record: &GroupRecord) -> Result<GroupRecord, RecordError> {
        let (key, value) = record.encode();
        GroupRecord::decode(&key, value.as_deref())
    }

    #[test]
    fn a_commit_is_written_as_kafka_writes_it() {
        let (key, value) = commit(-1, Uuid::nil()).encode();
        assert_eq!(key, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3][..]);
        let with_id = [0, 4, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, 2, b'm', 0, 0, 0, 0, 0, 0, 3, 0xe8, 0];
        assert_eq!(value.unwrap(), with_id[..]);
        let (_, value) = commit(2_000, Uuid::nil()).encode();
        let with_expiry =
            [0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0, 7, 0xd0];
        assert_eq!(value.unwrap(), with_expiry[..]);
    }

    #[test]
    fn records_come_back_as_they_were() {
        let member = MemberMetadata {
            member_id: text("m"),
            group_instance_id: Some(text("i")),
            client_id: text("c"),
            client_host: text("/127.0.0.1"),
            rebalance_timeout: 1,
            session_timeout: 2,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::new(),
        };
        let group = GroupMetadataValue {
            protocol_type: text("consumer"),
            generation: 5,
            protocol: Some(text("range")),
            leader: None,
            current_state_timestamp: 9,
            members: vec![member],
        };
        let classic = ClassicMemberMetadata {
            session_timeout_ms: 4,
            supported_protocols: vec![ClassicProtocol {
                name: text("range"),
                metadata: Bytes::from_static(b"x"),
            }],
        };
        let key = ConsumerGroupMemberMetadataKey { group_id: text("g"), member_id: text("m") };
        let value = ConsumerGroupMemberMetadataValue {
            subscribed_topic_names: vec![text("a"), text("b")],
            classic_member_metadata: Some(classic),
            ..Default::default()
        };
        for record in [
            commit(-1, Uuid::from_u128(8)),
            commit(2_000, Uuid::nil()),
            GroupRecord::GroupMetadata(GroupMetadataKey { group: text("g") }, Some(group)),
            GroupRecord::GroupMetadata(GroupMetadataKey { group: text("g") }, None),
            GroupRecord::ConsumerGroupMemberMetadata(key, Some(value)),
        ] {
            assert_eq!(back(&record), Ok(record));
        }
    }

    #[test]
    fn other_types_and_versions_are_told_apart() {
        assert_eq!(GroupRecord::decode(&[0, 10], None), Err(RecordError::UnknownType { record_type: 10 }));
        let unknown = RecordError::UnknownVersion { record_type: 2, version: 5 };
        assert_eq!(GroupRecord::decode(&[0, 2, 0, 1, b'g'], Some(&[0, 5])), Err(unknown));
        assert!(matches!(GroupRecord::decode(&[0], None), Err(RecordError::Shape(_))));
    }
}
