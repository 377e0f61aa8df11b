//! What the log says of a transactional id, and how it goes on from there. Each step gives the value after it and leaves
//! this one alone.

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::transaction_records::{
    PartitionsSchema, TransactionLogValue, TransactionState, VersionedValue,
};

use super::version::TransactionVersion;

/// No producer id.
pub(super) const NO_PRODUCER_ID: i64 = -1;
/// No epoch.
pub(super) const NO_PRODUCER_EPOCH: i16 = -1;
/// No transaction.
const NO_START_MS: i64 = -1;
/// The highest epoch that a producer is given. The one above is kept, so that every producer can be fenced.
pub(super) const LAST_PRODUCER_EPOCH: i16 = i16::MAX - 1;
/// A transaction with this timeout has none: Kafka keeps it for clients that commit in two phases (KIP-939).
const NO_TIMEOUT_MS: i32 = i32::MAX;

/// A transactional id's producer and transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The producer id in use.
    pub producer_id: i64,
    /// The producer id before the last record: another if the epochs of that one were used up.
    pub previous_producer_id: i64,
    /// The producer id that takes over when the transaction is complete; -1 for none.
    pub next_producer_id: i64,
    /// The producer's epoch; once the end is decided, that of the markers.
    pub producer_epoch: i16,
    /// How long a transaction may take.
    pub timeout_ms: i32,
    /// The state.
    pub state: TransactionState,
    /// The partitions in the transaction, until it is complete.
    pub partitions: BTreeMap<StrBytes, BTreeSet<i32>>,
    /// When the transaction began, in ms since the epoch; -1 if there was none yet.
    pub start_ms: i64,
    /// When the last record was written, in ms since the epoch.
    pub last_update_ms: i64,
    /// What the client spoke when the transaction last changed.
    pub client_version: TransactionVersion,
}

impl Transaction {
    /// A transactional id that is new.
    pub(super) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Transaction {
            producer_id,
            previous_producer_id: producer_id,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: 0,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeMap::new(),
            start_ms: NO_START_MS,
            last_update_ms: now_ms,
            client_version: TransactionVersion::V0,
        }
    }

    /// Whether the end is decided and not complete.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.state, TransactionState::PrepareCommit | TransactionState::PrepareAbort)
    }

    /// Whether there is no transaction that could need the id.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_ending() && self.state != TransactionState::Ongoing
    }

    /// Whether no producer can be given a higher epoch of this producer id.
    pub(super) fn is_exhausted(&self) -> bool {
        self.producer_epoch >= LAST_PRODUCER_EPOCH
    }

    /// When the transaction has taken too long, in ms since the epoch.
    pub(super) fn times_out_at_ms(&self) -> Option<i64> {
        let may_time_out = self.state == TransactionState::Ongoing && self.timeout_ms != NO_TIMEOUT_MS;
        may_time_out.then(|| self.start_ms.saturating_add(i64::from(self.timeout_ms)).saturating_add(1))
    }

    pub(super) fn contains(&self, topic: &StrBytes, partition: i32) -> bool {
        self.partitions.get(topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// After InitProducerId.
    pub(super) fn initialised(&self, producer_id: i64, epoch: i16, timeout_ms: i32, now_ms: i64) -> Self {
        Transaction {
            producer_id,
            previous_producer_id: self.producer_id,
            next_producer_id: self.next_producer_id,
            producer_epoch: epoch,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeMap::new(),
            start_ms: NO_START_MS,
            last_update_ms: now_ms,
            client_version: self.client_version,
        }
    }

    /// After partitions were added, which begins a transaction if there is none.
    pub(super) fn with_partitions(
        &self,
        added: BTreeMap<StrBytes, BTreeSet<i32>>,
        client_version: TransactionVersion,
        now_ms: i64,
    ) -> Self {
        let begins = self.state != TransactionState::Ongoing;
        let mut next = Transaction {
            previous_producer_id: self.producer_id,
            state: TransactionState::Ongoing,
            start_ms: if begins { now_ms } else { self.start_ms },
            last_update_ms: now_ms,
            client_version,
            ..self.clone()
        };
        for (topic, partitions) in added {
            next.partitions.entry(topic).or_default().extend(partitions);
        }
        next
    }

    /// After the end was decided. A transaction that the coordinator does not know to have begun begins and ends now.
    pub(super) fn ending(&self, end: End, now_ms: i64) -> Self {
        let begun = self.state == TransactionState::Ongoing;
        Transaction {
            previous_producer_id: self.producer_id,
            next_producer_id: end.next_producer_id,
            producer_epoch: end.producer_epoch,
            state: if end.commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort },
            start_ms: if begun { self.start_ms } else { now_ms },
            last_update_ms: now_ms,
            client_version: end.client_version,
            ..self.clone()
        }
    }

    /// After all markers were written. If the epochs of the producer id are used up, the next one takes over.
    pub(super) fn complete(&self, now_ms: i64) -> Self {
        let state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        let rotates = self.client_version.bumps_epoch() && self.next_producer_id != NO_PRODUCER_ID;
        Transaction {
            producer_id: if rotates { self.next_producer_id } else { self.producer_id },
            previous_producer_id: self.producer_id,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: if rotates { 0 } else { self.producer_epoch },
            timeout_ms: self.timeout_ms,
            state,
            partitions: BTreeMap::new(),
            start_ms: self.start_ms,
            last_update_ms: now_ms,
            client_version: self.client_version,
        }
    }

    /// What its record says. Kafka writes version 0 only while the cluster is at `transaction.version` 0. A client that
    /// speaks version 2 all the same needs what only version 1 can say: which id takes over.
    pub(super) fn to_value(&self, cluster_version: TransactionVersion) -> VersionedValue {
        let tagged = cluster_version >= TransactionVersion::V1 || self.client_version.bumps_epoch();
        let topics = self.partitions.iter().map(|(topic, partitions)| PartitionsSchema {
            topic: topic.clone(),
            partition_ids: partitions.iter().copied().collect(),
        });
        let mut value = TransactionLogValue {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            transaction_timeout_ms: self.timeout_ms,
            transaction_status: self.state.id(),
            transaction_partitions: (self.state != TransactionState::Empty).then(|| topics.collect()),
            transaction_last_update_timestamp_ms: self.last_update_ms,
            transaction_start_timestamp_ms: self.start_ms,
            ..TransactionLogValue::default()
        };
        // What version 0 loses is not in the record that is replayed either.
        if tagged {
            value.previous_producer_id = self.previous_producer_id;
            value.next_producer_id = self.next_producer_id;
            value.client_transaction_version = self.client_version.level();
        }
        VersionedValue { version: i16::from(tagged), value }
    }

    /// What a record says; none for a state that decoding refuses.
    pub(super) fn from_value(value: TransactionLogValue) -> Option<Self> {
        let state = TransactionState::from_id(value.transaction_status)?;
        let mut partitions: BTreeMap<StrBytes, BTreeSet<i32>> = BTreeMap::new();
        if state != TransactionState::Empty {
            for topic in value.transaction_partitions.unwrap_or_default() {
                partitions.entry(topic.topic).or_default().extend(topic.partition_ids);
            }
        }
        Some(Transaction {
            producer_id: value.producer_id,
            previous_producer_id: value.previous_producer_id,
            next_producer_id: value.next_producer_id,
            producer_epoch: value.producer_epoch,
            timeout_ms: value.transaction_timeout_ms,
            state,
            partitions,
            start_ms: value.transaction_start_timestamp_ms,
            last_update_ms: value.transaction_last_update_timestamp_ms,
            client_version: TransactionVersion::from_level(value.client_transaction_version),
        })
    }
}

/// What is decided of a transaction's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) commit: bool,
    /// The epoch of the markers.
    pub(super) producer_epoch: i16,
    pub(super) next_producer_id: i64,
    pub(super) client_version: TransactionVersion,
}
