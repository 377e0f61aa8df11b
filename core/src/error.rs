//! What went wrong, as Kafka's error codes: the one place where errors of the broker's parts become codes.

use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::batch::BatchError;
use fluxmq_storage::log::{self, ReadError};
use fluxmq_storage::producer_state::SequenceError;

use crate::config::ConfigError;
use crate::config::group::GroupConfigError;
use crate::meta::{CreatePartitionsError, CreateTopicError, DeleteTopicError, MetadataError};
use crate::partitions::partition::{AppendError, CommitState, DeleteRecordsError, LeaderEpochError};

/// Kafka's own text for INVALID_REQUEST.
pub(crate) const MALFORMED: &str = "This most likely occurs because of a request being malformed by the client library \
     or the message was sent to an incompatible broker. See the broker logs for more details.";

/// A code with the text that some responses carry beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What a person reads; Kafka leaves it out where the code says it all.
    pub message: Option<String>,
}

impl ApiError {
    /// A code with its text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// A code alone.
    pub fn bare(code: ErrorCode) -> Self {
        Self { code, message: None }
    }

    /// The text as a response's field.
    pub fn wire_message(&self) -> Option<StrBytes> {
        self.message.clone().map(StrBytes::from_string)
    }
}

/// The code of a read that gave nothing.
pub fn read_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => ErrorCode::CorruptMessage,
        ReadError::Deleted => ErrorCode::UnknownTopicOrPartition,
        ReadError::Offline(_) | ReadError::Io(_) => ErrorCode::KafkaStorageError,
    }
}

impl From<&CreateTopicError> for ErrorCode {
    fn from(error: &CreateTopicError) -> Self {
        match error {
            CreateTopicError::AlreadyExists(_) => Self::TopicAlreadyExists,
            CreateTopicError::Collides { .. } => Self::InvalidTopicException,
            CreateTopicError::TooManyPartitions { .. } => Self::PolicyViolation,
            CreateTopicError::Metadata(_) | CreateTopicError::Partition(_) => Self::KafkaStorageError,
        }
    }
}

impl From<&CreatePartitionsError> for ErrorCode {
    fn from(error: &CreatePartitionsError) -> Self {
        match error {
            CreatePartitionsError::UnknownTopic => Self::UnknownTopicOrPartition,
            CreatePartitionsError::Unchanged(_) | CreatePartitionsError::NotAnIncrease { .. } => {
                Self::InvalidPartitions
            }
            CreatePartitionsError::TooManyPartitions { .. } => Self::PolicyViolation,
            CreatePartitionsError::Metadata(_) | CreatePartitionsError::Partition(_) => {
                Self::KafkaStorageError
            }
        }
    }
}

impl From<&DeleteTopicError> for ErrorCode {
    fn from(error: &DeleteTopicError) -> Self {
        match error {
            DeleteTopicError::UnknownTopicId => Self::UnknownTopicId,
            DeleteTopicError::Metadata(_) => Self::KafkaStorageError,
        }
    }
}

impl From<CreateTopicError> for ApiError {
    fn from(error: CreateTopicError) -> Self {
        Self::new(ErrorCode::from(&error), error.to_string())
    }
}

impl From<CreatePartitionsError> for ApiError {
    fn from(error: CreatePartitionsError) -> Self {
        match error {
            // Kafka throws this one without a text of its own, and sends none.
            CreatePartitionsError::UnknownTopic => Self::bare(ErrorCode::UnknownTopicOrPartition),
            error => Self::new(ErrorCode::from(&error), error.to_string()),
        }
    }
}

impl From<DeleteTopicError> for ApiError {
    fn from(error: DeleteTopicError) -> Self {
        Self::new(ErrorCode::from(&error), error.to_string())
    }
}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorCode::InvalidConfig, error.to_string())
    }
}

impl From<GroupConfigError> for ApiError {
    fn from(error: GroupConfigError) -> Self {
        Self::new(ErrorCode::InvalidConfig, error.to_string())
    }
}

impl From<MetadataError> for ApiError {
    fn from(error: MetadataError) -> Self {
        Self::new(ErrorCode::KafkaStorageError, error.to_string())
    }
}

/// The code for a batch that was refused before the append.
pub fn code_of_batch_error(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::NoBatch
        | BatchError::MultipleBatches
        | BatchError::UnsupportedMagic(_)
        | BatchError::BaseOffsetNotZero(_)
        | BatchError::InvalidOffsetRange(_)
        | BatchError::InvalidCount(_)
        | BatchError::CountMismatch { .. }
        | BatchError::ControlBatch
        | BatchError::InvalidSequence { .. }
        | BatchError::InvalidRecords(_)
        | BatchError::Records(_) => ErrorCode::InvalidRecord,
        BatchError::ZstdNotAllowed => ErrorCode::UnsupportedCompressionType,
        BatchError::UnknownCodec(_) | BatchError::Codec(_) => ErrorCode::UnknownServerError,
        BatchError::InvalidLength(_) | BatchError::InvalidMagic(_) | BatchError::CrcMismatch { .. } => {
            ErrorCode::CorruptMessage
        }
        BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        BatchError::InvalidTimestamp(_) => ErrorCode::InvalidTimestamp,
    }
}

/// The code for a batch that its producer may not append.
pub fn code_of_sequence_error(error: &SequenceError) -> ErrorCode {
    match error {
        SequenceError::InvalidProducerEpoch { .. } | SequenceError::MarkerEpochNotAbove { .. } => {
            ErrorCode::InvalidProducerEpoch
        }
        SequenceError::TransactionCoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        SequenceError::NotInTransaction { .. } | SequenceError::TransactionOpen { .. } => {
            ErrorCode::InvalidTxnState
        }
        SequenceError::OutOfOrderSequence { .. }
        | SequenceError::AboveLowestSequence { .. }
        | SequenceError::NewProducerNotAtZero { .. }
        | SequenceError::NewEpochNotAtZero { .. } => ErrorCode::OutOfOrderSequenceNumber,
    }
}

impl From<&AppendError> for ErrorCode {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::Deleted => Self::UnknownTopicOrPartition,
            AppendError::Log(log::AppendError::Sequence(error)) => code_of_sequence_error(error),
            AppendError::Log(log::AppendError::LargerThanSegment { .. }) => Self::RecordListTooLarge,
            // The broker is stopping: it leads the partition no more.
            AppendError::Log(log::AppendError::Closed) => Self::NotLeaderOrFollower,
            AppendError::Offline
            | AppendError::NearlyFull
            | AppendError::Log(log::AppendError::NoSpace(_) | log::AppendError::Offline(_)) => {
                Self::KafkaStorageError
            }
        }
    }
}

impl From<CommitState> for ErrorCode {
    /// The answer once nothing is left to wait for, or the request's time is up.
    fn from(state: CommitState) -> Self {
        match state {
            CommitState::Committed => Self::None,
            CommitState::Pending => Self::RequestTimedOut,
            CommitState::Offline => Self::KafkaStorageError,
            CommitState::Deleted => Self::UnknownTopicOrPartition,
        }
    }
}

impl From<LeaderEpochError> for ErrorCode {
    fn from(error: LeaderEpochError) -> Self {
        match error {
            LeaderEpochError::Fenced => Self::FencedLeaderEpoch,
            LeaderEpochError::Unknown => Self::UnknownLeaderEpoch,
        }
    }
}

impl From<&DeleteRecordsError> for ErrorCode {
    fn from(error: &DeleteRecordsError) -> Self {
        match error {
            DeleteRecordsError::OffsetOutOfRange(_) => Self::OffsetOutOfRange,
            DeleteRecordsError::PolicyViolation => Self::PolicyViolation,
            DeleteRecordsError::Offline => Self::KafkaStorageError,
            DeleteRecordsError::Deleted => Self::UnknownTopicOrPartition,
        }
    }
}

/// The code of a request to the group coordinator whose records met `code`: Kafka's mapping from what a log answers to
/// what a coordinator does.
pub fn coordinator_code(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        code => code,
    }
}
