//! What went wrong, as Kafka's error codes: the one place where errors of the broker's parts become codes.

use fluxmq_protocol::{ErrorCode, StrBytes};

use crate::config::ConfigError;
use crate::meta::{CreatePartitionsError, CreateTopicError, DeleteTopicError};

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
