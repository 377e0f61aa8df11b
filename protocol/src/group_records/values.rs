//! The values of the records, field by field as Kafka's schemas have them.

use bytes::Bytes;
use uuid::Uuid;

use super::RecordError;
use super::field::{Field, read_array, read_tagged, write_length, write_tagged};
use crate::StrBytes;
use crate::reader::{Reader, ShapeError};

/// A struct whose fields stand one after the other, with tagged ones behind them where it is flexible. A tagged field
/// is written when there is one.
macro_rules! message {
    (
        $(#[$doc:meta])*
        struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
        $(tagged { $($(#[$tag_doc:meta])* $tag:literal => $tagged:ident: $tagged_type:ty,)* })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($($(#[$tag_doc])* pub $tagged: Option<$tagged_type>,)*)?
        }

        impl Field for $name {
            fn read(reader: &mut Reader<'_>, flexible: bool) -> Result<Self, RecordError> {
                #[allow(unused_mut)]
                let mut message = Self {
                    $($field: <$type as Field>::read(reader, flexible)?,)*
                    $($($tagged: None,)*)?
                };
                if flexible {
                    read_tagged(reader, |_tag, _field| {
                        $($(if _tag == $tag {
                            message.$tagged = Some(<$tagged_type as Field>::read(_field, true)?);
                        })*)?
                        Ok(())
                    })?;
                }
                Ok(message)
            }

            fn write(&self, out: &mut Vec<u8>, flexible: bool) {
                $(self.$field.write(out, flexible);)*
                if flexible {
                    #[allow(unused_mut)]
                    let mut tagged = Vec::new();
                    $($(if let Some(value) = &self.$tagged {
                        let mut bytes = Vec::new();
                        value.write(&mut bytes, true);
                        tagged.push(($tag, bytes));
                    })*)?
                    write_tagged(out, &tagged);
                }
            }
        }
    };
}

message! {
    /// Partitions of one topic.
    struct TopicPartitions {
        /// The topic.
        topic_id: Uuid,
        /// The partitions' numbers.
        partitions: Vec<i32>,
    }
}

message! {
    /// Partitions of one topic that a member owns.
    struct AssignedTopicPartitions {
        /// The topic.
        topic_id: Uuid,
        /// The partitions' numbers.
        partitions: Vec<i32>,
    }
    tagged {
        /// The member epoch at which each of the partitions was assigned, in the same order.
        0 => assignment_epochs: Vec<i32>,
    }
}

message! {
    /// The epoch of a consumer group.
    struct ConsumerGroupMetadataValue {
        /// The group epoch.
        epoch: i32,
    }
    tagged {
        /// The hash of the topics that the group is subscribed to; Kafka leaves it out where it is 0.
        0 => metadata_hash: i64,
    }
}

message! {
    /// What Kafka 4.0 knew of the topics of a consumer group. Later ones keep a hash and write tombstones of these.
    struct ConsumerGroupPartitionMetadataValue {
        /// The topics.
        topics: Vec<TopicMetadata>,
    }
}

message! {
    /// One topic of a [`ConsumerGroupPartitionMetadataValue`].
    struct TopicMetadata {
        /// The topic.
        topic_id: Uuid,
        /// Its name.
        topic_name: StrBytes,
        /// How many partitions it had.
        num_partitions: i32,
        /// Where the replicas of its partitions were.
        partition_metadata: Vec<PartitionMetadata>,
    }
}

message! {
    /// One partition of a [`TopicMetadata`].
    struct PartitionMetadata {
        /// The partition's number.
        partition: i32,
        /// The racks of its replicas.
        racks: Vec<StrBytes>,
    }
}

message! {
    /// What a member of a consumer group said about itself.
    struct ConsumerGroupMemberMetadataValue {
        /// `group.instance.id` of a static member.
        instance_id: Option<StrBytes>,
        /// `client.rack`.
        rack_id: Option<StrBytes>,
        /// The client's own name.
        client_id: StrBytes,
        /// The client's address, as `/127.0.0.1`.
        client_host: StrBytes,
        /// The topics it is subscribed to by name.
        subscribed_topic_names: Vec<StrBytes>,
        /// The pattern it is subscribed by.
        subscribed_topic_regex: Option<StrBytes>,
        /// How long it may take to give up partitions.
        rebalance_timeout_ms: i32,
        /// The assignor it asks for.
        server_assignor: Option<StrBytes>,
    }
    tagged {
        /// There for a member that speaks the classic protocol.
        0 => classic_member_metadata: ClassicMemberMetadata,
    }
}

message! {
    /// A protocol of a [`ClassicMemberMetadata`].
    struct ClassicProtocol {
        /// Its name.
        name: StrBytes,
        /// The member's subscription under it.
        metadata: Bytes,
    }
}

message! {
    /// The epoch of a consumer group's target assignment.
    struct ConsumerGroupTargetAssignmentMetadataValue {
        /// The group epoch that it was computed for.
        assignment_epoch: i32,
    }
    tagged {
        /// When it was computed, in milliseconds since the Unix epoch; Kafka leaves it out where it is 0.
        0 => assignment_timestamp: i64,
    }
}

message! {
    /// What one member of a consumer group is to own in the end.
    struct ConsumerGroupTargetAssignmentMemberValue {
        /// The partitions.
        topic_partitions: Vec<TopicPartitions>,
    }
}

message! {
    /// What one member of a consumer group owns now.
    struct ConsumerGroupCurrentMemberAssignmentValue {
        /// The epoch that the member is expected to send.
        member_epoch: i32,
        /// The one before, for a member that did not get the last answer.
        previous_member_epoch: i32,
        /// 0 stable, 1 unrevoked partitions, 2 unreleased partitions, 127 unknown.
        state: i8,
        /// What it owns.
        assigned_partitions: Vec<AssignedTopicPartitions>,
        /// What it has to give up.
        partitions_pending_revocation: Vec<AssignedTopicPartitions>,
    }
}

message! {
    /// What a pattern that members are subscribed by stands for.
    struct ConsumerGroupRegularExpressionValue {
        /// The topics that match.
        topics: Vec<StrBytes>,
        /// The version of the topics' image that it was resolved against.
        version: i64,
        /// When it was resolved, in milliseconds since the Unix epoch.
        timestamp: i64,
    }
}

/// A member of a consumer group that speaks the classic protocol.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassicMemberMetadata {
    /// Its session timeout.
    pub session_timeout_ms: i32,
    /// The protocols it supports, the preferred one first.
    pub supported_protocols: Vec<ClassicProtocol>,
}

/// In front of a nullable struct that is there.
const PRESENT: i8 = 1;

/// A nullable struct: a mark stands in front. Null is never written, since then the tagged field is left out.
impl Field for ClassicMemberMetadata {
    fn read(reader: &mut Reader<'_>, flexible: bool) -> Result<Self, RecordError> {
        let position = reader.position();
        match reader.int8()? {
            PRESENT => {}
            mark => return Err(ShapeError::BadMark { position, mark }.into()),
        }
        let session_timeout_ms = i32::read(reader, flexible)?;
        let supported_protocols = Vec::read(reader, flexible)?;
        reader.skip_tagged_fields()?;
        Ok(ClassicMemberMetadata { session_timeout_ms, supported_protocols })
    }

    fn write(&self, out: &mut Vec<u8>, flexible: bool) {
        PRESENT.write(out, flexible);
        self.session_timeout_ms.write(out, flexible);
        self.supported_protocols.write(out, flexible);
        write_tagged(out, &[]);
    }
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetCommitValue {
    /// The next offset to be consumed.
    pub offset: i64,
    /// The leader epoch of the last record consumed, −1 if the client did not say.
    pub leader_epoch: i32,
    /// Whatever the client keeps with it.
    pub metadata: StrBytes,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub commit_timestamp: i64,
    /// When it expires, for commits of clients that set a retention themselves; −1 otherwise.
    pub expire_timestamp: i64,
    /// The topic's id; nil where it was not known.
    pub topic_id: Uuid,
}

impl OffsetCommitValue {
    /// As Kafka 4.3 chooses: v1 has the time of expiry, v4 the topic's id.
    pub(super) fn written_version(&self) -> i16 {
        if self.expire_timestamp == -1 { 4 } else { 1 }
    }

    pub(super) fn read(reader: &mut Reader<'_>, version: i16) -> Result<Self, RecordError> {
        let flexible = version >= 4;
        let offset = i64::read(reader, false)?;
        let leader_epoch = if version >= 3 { i32::read(reader, false)? } else { -1 };
        let metadata = StrBytes::read(reader, flexible)?;
        let commit_timestamp = i64::read(reader, false)?;
        let expire_timestamp = if version == 1 { i64::read(reader, false)? } else { -1 };
        let mut topic_id = Uuid::nil();
        if flexible {
            read_tagged(reader, |tag, field| {
                if tag == 0 {
                    topic_id = Uuid::read(field, true)?;
                }
                Ok(())
            })?;
        }
        Ok(OffsetCommitValue { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, topic_id })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, version: i16) {
        let flexible = version >= 4;
        self.offset.write(out, false);
        if version >= 3 {
            self.leader_epoch.write(out, false);
        }
        self.metadata.write(out, flexible);
        self.commit_timestamp.write(out, false);
        if version == 1 {
            self.expire_timestamp.write(out, false);
        }
        if flexible {
            let topic_id = (!self.topic_id.is_nil()).then(|| (0, self.topic_id.as_bytes().to_vec()));
            write_tagged(out, topic_id.as_slice());
        }
    }
}

/// A classic group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMetadataValue {
    /// The protocol type, "consumer" for consumers; empty for a group that only commits offsets.
    pub protocol_type: StrBytes,
    /// The generation.
    pub generation: i32,
    /// The protocol that the group chose.
    pub protocol: Option<StrBytes>,
    /// The member id of the leader.
    pub leader: Option<StrBytes>,
    /// When the group came into its present state, in milliseconds since the Unix epoch; −1 if unknown.
    pub current_state_timestamp: i64,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberMetadata {
    /// The member's id.
    pub member_id: StrBytes,
    /// `group.instance.id` of a static member.
    pub group_instance_id: Option<StrBytes>,
    /// The client's own name.
    pub client_id: StrBytes,
    /// The client's address, as `/127.0.0.1`.
    pub client_host: StrBytes,
    /// How long it may take to join again; −1 in records older than that.
    pub rebalance_timeout: i32,
    /// How long it may be silent.
    pub session_timeout: i32,
    /// Its subscription under the group's protocol.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

impl GroupMetadataValue {
    /// The version that Kafka 4.3 writes.
    pub(super) const WRITTEN_VERSION: i16 = 3;

    pub(super) fn read(reader: &mut Reader<'_>, version: i16) -> Result<Self, RecordError> {
        let flexible = version >= 4;
        let protocol_type = StrBytes::read(reader, flexible)?;
        let generation = i32::read(reader, false)?;
        let protocol = Option::read(reader, flexible)?;
        let leader = Option::read(reader, flexible)?;
        let current_state_timestamp = if version >= 2 { i64::read(reader, false)? } else { -1 };
        let members = read_array(reader, flexible, |reader| MemberMetadata::read(reader, version))?;
        if flexible {
            reader.skip_tagged_fields()?;
        }
        Ok(GroupMetadataValue {
            protocol_type,
            generation,
            protocol,
            leader,
            current_state_timestamp,
            members,
        })
    }

    /// Writes [`Self::WRITTEN_VERSION`].
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.protocol_type.write(out, false);
        self.generation.write(out, false);
        self.protocol.write(out, false);
        self.leader.write(out, false);
        self.current_state_timestamp.write(out, false);
        write_length(out, self.members.len(), false);
        for member in &self.members {
            member.member_id.write(out, false);
            member.group_instance_id.write(out, false);
            member.client_id.write(out, false);
            member.client_host.write(out, false);
            member.rebalance_timeout.write(out, false);
            member.session_timeout.write(out, false);
            member.subscription.write(out, false);
            member.assignment.write(out, false);
        }
    }
}

impl MemberMetadata {
    fn read(reader: &mut Reader<'_>, version: i16) -> Result<Self, RecordError> {
        let flexible = version >= 4;
        let member_id = StrBytes::read(reader, flexible)?;
        let group_instance_id = if version >= 3 { Option::read(reader, flexible)? } else { None };
        let client_id = StrBytes::read(reader, flexible)?;
        let client_host = StrBytes::read(reader, flexible)?;
        let rebalance_timeout = if version >= 1 { i32::read(reader, false)? } else { -1 };
        let session_timeout = i32::read(reader, false)?;
        let subscription = Bytes::read(reader, flexible)?;
        let assignment = Bytes::read(reader, flexible)?;
        if flexible {
            reader.skip_tagged_fields()?;
        }
        Ok(MemberMetadata {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            rebalance_timeout,
            session_timeout,
            subscription,
            assignment,
        })
    }
}
