//! Why a request of a consumer group's member is refused, with Kafka's messages.

use fluxmq_protocol::{ErrorCode, StrBytes};

use crate::assignors::AssignError;
use crate::shard::told;

/// Why a request of a member is refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ConsumerGroupError {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("ServerAssignor {given} is not supported. Supported assignors: {supported}.")]
    UnsupportedAssignor { given: StrBytes, supported: String },
    #[error("SubscribedTopicRegex `{regex}` is not a valid regular expression: {description}.")]
    InvalidRegularExpression { regex: StrBytes, description: String },
    #[error("Group {0} not found.")]
    GroupNotFound(StrBytes),
    #[error("Consumer group {0} not found.")]
    ConsumerGroupNotFound(StrBytes),
    #[error("Group {0} is not a consumer group.")]
    NotAConsumerGroup(StrBytes),
    #[error("Cannot upgrade classic group {group_id} to consumer group because {reason}.")]
    CannotUpgrade { group_id: StrBytes, reason: &'static str },
    #[error("The consumer group has reached its maximum capacity of {0} members.")]
    GroupMaxSizeReached(i32),
    #[error("Member {member_id} is not a member of group {group_id}.")]
    UnknownMember { member_id: StrBytes, group_id: StrBytes },
    #[error("Instance id {0} is unknown.")]
    UnknownInstance(StrBytes),
    #[error(
        "Static member {member_id} with instance id {instance_id} cannot join the group because the instance id is \
         owned by {owner} member."
    )]
    UnreleasedInstance { member_id: StrBytes, instance_id: StrBytes, owner: StrBytes },
    #[error("Static member {member_id} with instance id {instance_id} was fenced by member {owner}.")]
    FencedInstance { member_id: StrBytes, instance_id: StrBytes, owner: StrBytes },
    #[error(
        "The consumer group member has a greater member epoch ({received}) than the one known by the group \
         coordinator ({known}). The member must abandon all its partitions and rejoin."
    )]
    GreaterMemberEpoch { received: i32, known: i32 },
    #[error(
        "The consumer group member has a smaller member epoch ({received}) than the one known by the group \
         coordinator ({known}). The member must abandon all its partitions and rejoin."
    )]
    SmallerMemberEpoch { received: i32, known: i32 },
    #[error(
        "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin."
    )]
    UnknownMemberState,
    #[error(transparent)]
    Assignment(#[from] AssignError),
    #[error("The records of the request are too large for one batch.")]
    RecordsTooLarge,
}

impl ConsumerGroupError {
    /// Kafka's code for it.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidRequest(_) => ErrorCode::InvalidRequest,
            Self::UnsupportedAssignor { .. } => ErrorCode::UnsupportedAssignor,
            Self::InvalidRegularExpression { .. } => ErrorCode::InvalidRegularExpression,
            Self::GroupNotFound(_)
            | Self::ConsumerGroupNotFound(_)
            | Self::NotAConsumerGroup(_)
            | Self::CannotUpgrade { .. } => ErrorCode::GroupIdNotFound,
            Self::GroupMaxSizeReached(_) => ErrorCode::GroupMaxSizeReached,
            Self::UnknownMember { .. } | Self::UnknownInstance(_) => ErrorCode::UnknownMemberId,
            Self::UnreleasedInstance { .. } => ErrorCode::UnreleasedInstanceId,
            Self::FencedInstance { .. } => ErrorCode::FencedInstanceId,
            Self::GreaterMemberEpoch { .. } | Self::SmallerMemberEpoch { .. } | Self::UnknownMemberState => {
                ErrorCode::FencedMemberEpoch
            }
            Self::Assignment(_) | Self::RecordsTooLarge => ErrorCode::UnknownServerError,
        }
    }

    /// What the response says of it. Kafka says nothing of its own failures.
    pub(crate) fn message(&self) -> Option<StrBytes> {
        (self.code() != ErrorCode::UnknownServerError).then(|| told(self.to_string()))
    }
}
