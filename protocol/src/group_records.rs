//! The records of `__consumer_offsets`: what Kafka 4.3's group coordinator keeps there, in its bytes.
//!
//! A key is the type of the record (16 bits) and the key's fields; a value is its version (16 bits) and the value's
//! fields; a record without a value is a tombstone. Every version that Kafka 4.3 reads is read, the one that it
//! writes is written. What share and streams groups keep in the topic is [`RecordError::UnknownType`].
//!
//! The topic is read from disk, and a client can produce to it: every length and count is checked against the bytes
//! left before memory is reserved for it. Decoded values are copies, so that none keeps the batch it came from.
//!
//! Tagged fields that aren't known are passed over and not kept; a known one must take the size it says, where Kafka
//! doesn't look. Bytes behind a key or value are ignored, as Kafka does.

use bytes::Bytes;

pub use self::values::*;
use crate::reader::{Reader, ShapeError};
pub use crate::record_schema::TooLong;
use crate::record_schema::{Layout, Value, prefixed};

mod values;

#[cfg(test)]
mod tests;

/// Why a record can't be read. Kafka passes over one of a type it doesn't know, and refuses to load the partition in
/// the other cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The key or value is cut short, or a length in it is none.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A record of another type: of share groups, streams groups, or from a later Kafka.
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

/// The type that offset commits had before Kafka 0.9. Read, never written.
const LEGACY_OFFSET_COMMIT: i16 = 0;

macro_rules! group_records {
    ($(
        $(#[$doc:meta])*
        $name:ident = $record_type:literal($key:ident, $value:ident), up to $last:literal, flexible from $flexible:literal;
    )*) => {
        /// A record of a classic or consumer group. Without a value it is a tombstone.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum GroupRecord {
            $($(#[$doc])* $name($key, Option<$value>),)*
        }

        impl GroupRecord {
            /// The number in front of the key.
            pub fn record_type(&self) -> i16 {
                match self {
                    $(Self::$name(..) => $record_type,)*
                }
            }

            /// Whether the record has no value.
            pub fn is_tombstone(&self) -> bool {
                match self {
                    $(Self::$name(_, value) => value.is_none(),)*
                }
            }

            /// The bytes of the key and of the value; no value is a tombstone.
            ///
            /// # Errors
            /// A string of more than 32,767 bytes, as in Kafka. Requests can't carry one, but a member id made of a
            /// client id of that length can get there.
            pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), TooLong> {
                let version = self.written_version();
                match self {
                    $(Self::$name(key, value) => {
                        let key = prefixed($record_type, false, key)?;
                        let flexible = version >= $flexible;
                        let value = value.as_ref().map(|value| prefixed(version, flexible, value)).transpose()?;
                        Ok((key, value))
                    })*
                }
            }

            /// Reads a record of the topic. `value` is none for a tombstone.
            ///
            /// # Errors
            /// See [`RecordError`].
            pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, RecordError> {
                let mut input = Reader::new(key);
                let record_type = input.int16()?;
                if record_type == LEGACY_OFFSET_COMMIT {
                    let key = unversioned(&mut input)?;
                    let value = value.map(|value| versioned(record_type, value, 0, 1)).transpose()?;
                    return Ok(Self::OffsetCommit(key, value));
                }
                match record_type {
                    $($record_type => {
                        let key = unversioned(&mut input)?;
                        let value =
                            value.map(|value| versioned(record_type, value, $last, $flexible)).transpose()?;
                        Ok(Self::$name(key, value))
                    })*
                    _ => Err(RecordError::UnknownType { record_type }),
                }
            }
        }
    };
}

group_records! {
    /// A committed offset.
    OffsetCommit = 1(OffsetCommitKey, OffsetCommitValue), up to 4, flexible from 4;
    /// A classic group.
    GroupMetadata = 2(GroupMetadataKey, GroupMetadataValue), up to 4, flexible from 4;
    /// A consumer group's epoch.
    ConsumerGroupMetadata = 3(ConsumerGroupMetadataKey, ConsumerGroupMetadataValue), up to 0, flexible from 0;
    /// A consumer group's topics.
    ConsumerGroupPartitionMetadata = 4(ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue),
        up to 0, flexible from 0;
    /// A consumer group's member.
    ConsumerGroupMemberMetadata = 5(ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue),
        up to 0, flexible from 0;
    /// The epoch of a consumer group's target assignment.
    ConsumerGroupTargetAssignmentMetadata = 6(
        ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue
    ), up to 0, flexible from 0;
    /// The target assignment of a consumer group's member.
    ConsumerGroupTargetAssignmentMember = 7(
        ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue
    ), up to 0, flexible from 0;
    /// The current assignment of a consumer group's member.
    ConsumerGroupCurrentMemberAssignment = 8(
        ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue
    ), up to 0, flexible from 0;
    /// A consumer group's regular expression.
    ConsumerGroupRegularExpression = 16(ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue),
        up to 0, flexible from 0;
}

impl GroupRecord {
    /// The version of the value that Kafka 4.3 writes. The expiry time of an offset exists in version 1 alone; the
    /// leader epoch and the topic id get lost then. Group metadata stays at 3, which brokers before 3.5 can read.
    fn written_version(&self) -> i16 {
        match self {
            Self::OffsetCommit(_, Some(value)) if value.expire_timestamp != -1 => 1,
            Self::OffsetCommit(..) => 4,
            Self::GroupMetadata(..) => 3,
            _ => 0,
        }
    }
}

/// A key's fields: the same in every type's only version.
fn unversioned<T: Value>(input: &mut Reader<'_>) -> Result<T, ShapeError> {
    T::read(input, Layout { version: 0, flexible: false })
}

fn versioned<T: Value>(record_type: i16, value: &[u8], last: i16, flexible: i16) -> Result<T, RecordError> {
    let mut input = Reader::new(value);
    let version = input.int16()?;
    if !(0..=last).contains(&version) {
        return Err(RecordError::UnknownVersion { record_type, version });
    }
    Ok(T::read(&mut input, Layout { version, flexible: version >= flexible })?)
}
