//! The keys and values of the records of `__consumer_offsets`, as Kafka 4.3 defines them. The names are Kafka's.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::reader::{Reader, ShapeError};
use crate::record_schema::{
    Layout, Tagged, TooLong, Value, read_tagged_section, schema, write_tagged, write_unsigned_varint,
};

schema! {
    /// The offset that a group committed for a partition.
    OffsetCommitKey {
        /// The group.
        group: StrBytes = StrBytes::default();
        /// The topic's name.
        topic: StrBytes = StrBytes::default();
        /// The partition's index.
        partition: i32 = 0;
    }

    /// A committed offset, versions 0 to 4.
    OffsetCommitValue {
        /// The offset to go on from.
        offset: i64 = 0;
        /// The leader epoch of the last consumed record; -1 for none.
        leader_epoch: i32 = -1, since 3;
        /// What the client wants to keep with the offset.
        metadata: StrBytes = StrBytes::default();
        /// When it was committed, in ms since the epoch.
        commit_timestamp: i64 = 0;
        /// When it expires, in ms since the epoch; -1 where the broker's retention decides.
        expire_timestamp: i64 = -1, since 1, until 1;
    }, tagged {
        /// The topic's id; nil where the commit had none.
        0 => topic_id: Uuid;
    }

    /// A group of the classic protocol.
    GroupMetadataKey {
        /// The group.
        group: StrBytes = StrBytes::default();
    }

    /// The state of a classic group after a rebalance, versions 0 to 4.
    GroupMetadataValue {
        /// The protocol type, such as `consumer`; empty for a group that has none.
        protocol_type: StrBytes = StrBytes::default();
        /// The generation.
        generation: i32 = 0;
        /// The protocol that the members agreed on.
        protocol: Option<StrBytes> = None;
        /// The leader's member id.
        leader: Option<StrBytes> = None;
        /// When the group came into its state, in ms since the epoch; -1 where not known.
        current_state_timestamp: i64 = -1, since 2;
        /// The members; none for an empty group.
        members: Vec<MemberMetadata> = Vec::new();
    }

    /// A member of a classic group.
    MemberMetadata {
        /// The member's id.
        member_id: StrBytes = StrBytes::default();
        /// The instance id of a static member.
        group_instance_id: Option<StrBytes> = None, since 3;
        /// The client id.
        client_id: StrBytes = StrBytes::default();
        /// The client's address.
        client_host: StrBytes = StrBytes::default();
        /// In ms; -1 where the record is older than the field.
        rebalance_timeout: i32 = -1, since 1;
        /// In ms.
        session_timeout: i32 = 0;
        /// The metadata of the agreed protocol, as the member sent it.
        subscription: Bytes = Bytes::new();
        /// The assignment, as the leader sent it.
        assignment: Bytes = Bytes::new();
    }

    /// A group of the consumer protocol (KIP-848).
    ConsumerGroupMetadataKey {
        /// The group.
        group_id: StrBytes = StrBytes::default();
    }

    /// The epoch of a consumer group.
    ConsumerGroupMetadataValue {
        /// The group epoch.
        epoch: i32 = 0;
    }, tagged {
        /// The hash of the topics that the group is subscribed to; Kafka leaves it out where it is 0.
        0 => metadata_hash: Option<i64>;
    }

    /// The topics of a consumer group. Kafka 4.1 and later write tombstones only.
    ConsumerGroupPartitionMetadataKey {
        /// The group.
        group_id: StrBytes = StrBytes::default();
    }

    /// The topics that a consumer group was subscribed to.
    ConsumerGroupPartitionMetadataValue {
        /// The topics.
        topics: Vec<TopicMetadata> = Vec::new();
    }

    /// A topic of a [`ConsumerGroupPartitionMetadataValue`].
    TopicMetadata {
        /// The topic's id.
        topic_id: Uuid = Uuid::nil();
        /// The topic's name.
        topic_name: StrBytes = StrBytes::default();
        /// How many partitions it had.
        num_partitions: i32 = 0;
        /// The racks of its partitions; not used since Kafka 4.0.
        partition_metadata: Vec<PartitionMetadata> = Vec::new();
    }

    /// The racks of a partition.
    PartitionMetadata {
        /// The partition's index.
        partition: i32 = 0;
        /// The racks of its replicas.
        racks: Vec<StrBytes> = Vec::new();
    }

    /// A member of a consumer group: what it asked for.
    ConsumerGroupMemberMetadataKey {
        /// The group.
        group_id: StrBytes = StrBytes::default();
        /// The member's id.
        member_id: StrBytes = StrBytes::default();
    }

    /// What a member of a consumer group asked for.
    ConsumerGroupMemberMetadataValue {
        /// The instance id of a static member.
        instance_id: Option<StrBytes> = None;
        /// The rack that the member is in.
        rack_id: Option<StrBytes> = None;
        /// The client id.
        client_id: StrBytes = StrBytes::default();
        /// The client's address.
        client_host: StrBytes = StrBytes::default();
        /// The topics it subscribed to by name.
        subscribed_topic_names: Vec<StrBytes> = Vec::new();
        /// The regular expression it subscribed with.
        subscribed_topic_regex: Option<StrBytes> = None;
        /// In ms; -1 for none.
        rebalance_timeout_ms: i32 = -1;
        /// The server's assignor that it asked for.
        server_assignor: Option<StrBytes> = None;
    }, tagged {
        /// What a member that uses the classic protocol sent in JoinGroup; none for the consumer protocol, and
        /// then written as null. A record without the field has an empty one, as in Kafka.
        0 => classic_member_metadata: Option<ClassicMemberMetadata>;
    }

    /// A consumer group's member that uses the classic protocol.
    ClassicMemberMetadata {
        /// In ms.
        session_timeout_ms: i32 = 0;
        /// The protocols that it supports, in its order of preference.
        supported_protocols: Vec<ClassicProtocol> = Vec::new();
    }

    /// A protocol of a [`ClassicMemberMetadata`].
    ClassicProtocol {
        /// The name, such as `range`.
        name: StrBytes = StrBytes::default();
        /// The subscription, as the member sent it.
        metadata: Bytes = Bytes::new();
    }

    /// The target assignment of a consumer group as a whole.
    ConsumerGroupTargetAssignmentMetadataKey {
        /// The group.
        group_id: StrBytes = StrBytes::default();
    }

    /// The epoch of a target assignment.
    ConsumerGroupTargetAssignmentMetadataValue {
        /// The group epoch that it was computed for.
        assignment_epoch: i32 = 0;
    }, tagged {
        /// When the computation ended, in ms since the epoch; Kafka leaves it out where it is 0.
        0 => assignment_timestamp: Option<i64>;
    }

    /// The target assignment of one member.
    ConsumerGroupTargetAssignmentMemberKey {
        /// The group.
        group_id: StrBytes = StrBytes::default();
        /// The member's id.
        member_id: StrBytes = StrBytes::default();
    }

    /// The partitions that a member is to have.
    ConsumerGroupTargetAssignmentMemberValue {
        /// By topic.
        topic_partitions: Vec<TopicPartitions> = Vec::new();
    }

    /// Partitions of a topic in a target assignment.
    TopicPartitions {
        /// The topic's id.
        topic_id: Uuid = Uuid::nil();
        /// The partitions' indexes.
        partitions: Vec<i32> = Vec::new();
    }

    /// What a member of a consumer group has at present.
    ConsumerGroupCurrentMemberAssignmentKey {
        /// The group.
        group_id: StrBytes = StrBytes::default();
        /// The member's id.
        member_id: StrBytes = StrBytes::default();
    }

    /// A member's epochs, state and partitions.
    ConsumerGroupCurrentMemberAssignmentValue {
        /// The epoch expected in the member's next heartbeat.
        member_epoch: i32 = 0;
        /// The epoch before, for a member that didn't get the answer with the new one.
        previous_member_epoch: i32 = 0;
        /// The number of the member's state.
        state: i8 = 0;
        /// The partitions that it owns.
        assigned_partitions: Vec<AssignedTopicPartitions> = Vec::new();
        /// The partitions that it has to give up.
        partitions_pending_revocation: Vec<AssignedTopicPartitions> = Vec::new();
    }

    /// Partitions of a topic in a current assignment.
    AssignedTopicPartitions {
        /// The topic's id.
        topic_id: Uuid = Uuid::nil();
        /// The partitions' indexes.
        partitions: Vec<i32> = Vec::new();
    }, tagged {
        /// The member epoch at which each of the partitions was assigned, in their order; none in records of
        /// Kafka before 4.3.
        0 => assignment_epochs: Option<Vec<i32>>;
    }

    /// A regular expression that members of a consumer group subscribed with.
    ConsumerGroupRegularExpressionKey {
        /// The group.
        group_id: StrBytes = StrBytes::default();
        /// The expression.
        regular_expression: StrBytes = StrBytes::default();
    }

    /// The topics that a regular expression stands for.
    ConsumerGroupRegularExpressionValue {
        /// The topics' names.
        topics: Vec<StrBytes> = Vec::new();
        /// The version of the metadata that it was resolved with.
        version: i64 = 0;
        /// When it was resolved, in ms since the epoch.
        timestamp: i64 = 0;
    }
}

impl Tagged for Option<ClassicMemberMetadata> {
    fn absent() -> Self {
        Some(ClassicMemberMetadata::default())
    }
}

/// Nullable structs are tagged fields only, and have a mark in front: 0 for null.
impl Value for Option<ClassicMemberMetadata> {
    const LEAST_BYTES: usize = 1;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        if input.unsigned_varint()? == 0 {
            return Ok(None);
        }
        ClassicMemberMetadata::read(input, layout).map(Some)
    }

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
        write_unsigned_varint(u32::from(self.is_some()), out);
        self.as_ref().map_or(Ok(()), |metadata| metadata.write(out, layout))
    }
}
