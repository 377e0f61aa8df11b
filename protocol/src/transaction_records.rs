//! The records of `__transaction_state`: what Kafka 4.3's transaction coordinator keeps there, in its bytes.
//!
//! A key is the number 0 (16 bits) and the transactional id; a value is its version (16 bits) and what is known of the
//! id; a record without a value is a tombstone. Which version is written is the caller's choice: Kafka's follows the
//! feature `transaction.version`. Version 1 (KIP-890) adds the tagged fields; version 0 has no place for them.
//!
//! As for the records of groups, every length and count is checked against the bytes left before memory is reserved
//! for it, decoded values are copies, and bytes behind a key or value are ignored.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;

use crate::reader::{Reader, ShapeError};
pub use crate::record_schema::TooLong;
use crate::record_schema::{
    Layout, Value, prefixed, read_tagged_section, schema, write_tagged, write_unsigned_varint,
};

#[cfg(test)]
mod tests;

/// The number in front of the key: the only type of record in the topic.
const TRANSACTION_LOG: i16 = 0;
/// The newest version of the value, and the first with tagged fields.
const LAST_VERSION: i16 = 1;
const FIRST_FLEXIBLE_VERSION: i16 = 1;

/// Why a record can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionRecordError {
    /// The key or value is cut short, or a length in it is none.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A record of another type, from a later Kafka, which Kafka passes over.
    #[error("record type {record_type} is not known")]
    UnknownType {
        /// The type, from the key.
        record_type: i16,
    },
    /// The value is of a version that is not known, which Kafka passes over too.
    #[error("version {version} of a transaction's value is not known")]
    UnknownVersion {
        /// The version, from the value.
        version: i16,
    },
    /// The value is of a state that is none, or of one that is never written. Kafka gives up loading the partition.
    #[error("{status} is no state of a transaction")]
    UnknownState {
        /// The state's number.
        status: i8,
    },
}

/// The state of a transactional id, as records number it. The states 6 and 7 of Kafka (dead, and being fenced) are
/// never written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum TransactionState {
    /// No transaction since the producer was initialised.
    Empty = 0,
    /// Partitions have been added.
    Ongoing = 1,
    /// To be committed: that is decided, and not all markers are written.
    PrepareCommit = 2,
    /// To be aborted: that is decided, and not all markers are written.
    PrepareAbort = 3,
    /// The last transaction was committed.
    CompleteCommit = 4,
    /// The last transaction was aborted.
    CompleteAbort = 5,
}

impl TransactionState {
    /// All states, by number.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Its number in records.
    #[must_use]
    pub fn id(self) -> i8 {
        self as i8
    }

    /// The state of this number.
    #[must_use]
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }
}

schema! {
    /// What is known of a transactional id, versions 0 and 1. The names are Kafka's.
    TransactionLogValue {
        /// The producer id in use.
        producer_id: i64 = 0;
        /// The producer's epoch.
        producer_epoch: i16 = 0;
        /// The transaction timeout, in ms.
        transaction_timeout_ms: i32 = 0;
        /// The number of a [`TransactionState`].
        transaction_status: i8 = 0;
        /// The partitions in the transaction; none where there is no transaction.
        transaction_partitions: Option<Vec<PartitionsSchema>> = Some(Vec::new());
        /// When this was written last, in ms since the epoch.
        transaction_last_update_timestamp_ms: i64 = 0;
        /// When the transaction began, in ms since the epoch; -1 where there is none.
        transaction_start_timestamp_ms: i64 = 0;
    }, tagged {
        /// The producer id before this was written; -1 for none.
        0 => previous_producer_id: i64 = -1;
        /// The producer id that replaces an exhausted one when the transaction is complete; -1 for none.
        1 => next_producer_id: i64 = -1;
        /// The transaction version that the client spoke.
        2 => client_transaction_version: i16 = 0;
        /// The epoch that goes with the next producer id; -1 for none. Kafka 4.3 knows it and doesn't write it.
        3 => next_producer_epoch: i16 = -1;
    }

    /// Partitions of a topic.
    PartitionsSchema {
        /// The topic's name.
        topic: StrBytes = StrBytes::default();
        /// The partitions' indexes.
        partition_ids: Vec<i32> = Vec::new();
    }
}

/// A record of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRecord {
    /// The transactional id.
    pub transactional_id: StrBytes,
    /// None is a tombstone.
    pub value: Option<VersionedValue>,
}

/// A value and the version that it is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedValue {
    /// 0 or 1. In 0 the tagged fields are lost.
    pub version: i16,
    /// What is known of the id.
    pub value: TransactionLogValue,
}

impl TransactionRecord {
    /// The bytes of the key and of the value; no value is a tombstone.
    ///
    /// # Errors
    /// A string of more than 32,767 bytes, as in Kafka.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), TooLong> {
        let key = prefixed(TRANSACTION_LOG, false, &self.transactional_id)?;
        let value = self.value.as_ref().map(|VersionedValue { version, value }| {
            prefixed(*version, *version >= FIRST_FLEXIBLE_VERSION, value)
        });
        Ok((key, value.transpose()?))
    }

    /// Reads a record of the topic. `value` is none for a tombstone.
    ///
    /// # Errors
    /// See [`TransactionRecordError`].
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, TransactionRecordError> {
        let mut input = Reader::new(key);
        let record_type = input.int16()?;
        if record_type != TRANSACTION_LOG {
            return Err(TransactionRecordError::UnknownType { record_type });
        }
        let transactional_id = Value::read(&mut input, Layout { version: 0, flexible: false })?;
        let value = value.map(VersionedValue::decode).transpose()?;
        Ok(TransactionRecord { transactional_id, value })
    }
}

impl VersionedValue {
    fn decode(bytes: &[u8]) -> Result<Self, TransactionRecordError> {
        let mut input = Reader::new(bytes);
        let version = input.int16()?;
        if !(0..=LAST_VERSION).contains(&version) {
            return Err(TransactionRecordError::UnknownVersion { version });
        }
        let flexible = version >= FIRST_FLEXIBLE_VERSION;
        let value = TransactionLogValue::read(&mut input, Layout { version, flexible })?;
        let status = value.transaction_status;
        if TransactionState::from_id(status).is_none() {
            return Err(TransactionRecordError::UnknownState { status });
        }
        Ok(VersionedValue { version, value })
    }
}
