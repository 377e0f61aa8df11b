//! Whether a batch may be appended: epochs, sequence numbers and transactions, in the order in which Kafka looks at them.

use super::ProducerStates;
use super::entry::Entry;
use super::verification::VerificationGuard;
use crate::batch::{BatchHeader, ControlMarker, NO_PRODUCER_EPOCH};

/// From this version of the transaction protocol on every end of a transaction raises the producer's epoch (KIP-890).
const EPOCH_RISES_FROM_VERSION: i16 = 2;

/// Where an append comes from, which says how far it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A Produce request: epoch and sequence are checked.
    Client,
    /// A coordinator of this broker, with records of its own or a transaction marker: no sequences, epochs are
    /// checked.
    Coordinator,
    /// Already checked by another leader, or read back from the log: taken as it is.
    Replication,
}

/// What an append knows of the transaction that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionContext {
    /// What was verified with the coordinator; the first data batch of a transaction needs it.
    pub guard: VerificationGuard,
    /// `transaction.version` under which a marker is written; data batches don't ask for it.
    pub version: i16,
}

impl TransactionContext {
    /// Nothing verified, and no marker.
    pub const NONE: TransactionContext = TransactionContext { guard: VerificationGuard::NONE, version: 0 };
}

/// A batch that the log has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicateBatch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Its max timestamp (the append time under LogAppendTime), in milliseconds.
    pub timestamp_ms: i64,
}

/// What to do with a batch whose producer may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceCheck {
    /// Append it.
    New,
    /// Answer with the offsets it got the first time.
    Duplicate(DuplicateBatch),
}

/// Why a producer's batch may not be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// A newer instance of the producer has written here: INVALID_PRODUCER_EPOCH.
    #[error(
        "epoch {producer_epoch} of producer {producer_id} is smaller than the last seen epoch {current_epoch}"
    )]
    InvalidProducerEpoch {
        /// Producer of the batch.
        producer_id: i64,
        /// Epoch of the batch.
        producer_epoch: i16,
        /// Latest epoch that wrote here.
        current_epoch: i16,
    },
    /// The epoch of a marker isn't above that of the transaction, as it has to be under transaction version 2: it is
    /// late, or comes twice. INVALID_PRODUCER_EPOCH.
    #[error(
        "epoch {producer_epoch} of a marker of producer {producer_id} is not above the last seen epoch \
         {current_epoch}"
    )]
    MarkerEpochNotAbove {
        /// Producer of the transaction.
        producer_id: i64,
        /// Epoch of the marker.
        producer_epoch: i16,
        /// Latest epoch that wrote here.
        current_epoch: i16,
    },
    /// A newer coordinator has written a marker here: TRANSACTION_COORDINATOR_FENCED.
    #[error(
        "coordinator epoch {coordinator_epoch} of a marker of producer {producer_id} is smaller than the last \
         seen epoch {current_epoch}"
    )]
    TransactionCoordinatorFenced {
        /// Producer of the transaction.
        producer_id: i64,
        /// Epoch of the coordinator that sent the marker.
        coordinator_epoch: i32,
        /// Epoch of the coordinator that wrote the last one.
        current_epoch: i32,
    },
    /// The first batch of a transaction that the coordinator wasn't asked about, or that has ended since:
    /// INVALID_TXN_STATE.
    #[error("record of producer {producer_id} was not part of an ongoing transaction")]
    NotInTransaction {
        /// Producer of the batch.
        producer_id: i64,
    },
    /// A batch outside a transaction while its producer has one open here: INVALID_TXN_STATE.
    #[error("expected transactional write from producer {producer_id}")]
    TransactionOpen {
        /// Producer of the batch.
        producer_id: i64,
    },
    /// Batches before this one are missing: OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error(
        "out of order sequence number for producer {producer_id}: {base_sequence} (incoming seq. number), \
         {last_sequence} (current end sequence number)"
    )]
    OutOfOrderSequence {
        /// Producer of the batch.
        producer_id: i64,
        /// First sequence number of the batch.
        base_sequence: i32,
        /// Last one that was appended, or -1.
        last_sequence: i32,
    },
    /// While the transaction was being verified an earlier batch was seen, which isn't in the log yet:
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error(
        "out of order sequence number for producer {producer_id}: {base_sequence} (incoming seq. number), \
         {lowest_sequence} (earliest seen sequence)"
    )]
    AboveLowestSequence {
        /// Producer of the batch.
        producer_id: i64,
        /// First sequence number of the batch.
        base_sequence: i32,
        /// First sequence number of the earlier batch.
        lowest_sequence: i32,
    },
    /// Under transaction version 2 a producer without batches here starts at sequence 0:
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error(
        "invalid sequence number for producer {producer_id}: {base_sequence} (incoming seq. number); expected 0 \
         for a producer with no existing state"
    )]
    NewProducerNotAtZero {
        /// Producer of the batch.
        producer_id: i64,
        /// First sequence number of the batch.
        base_sequence: i32,
    },
    /// A new epoch doesn't start at sequence 0: OUT_OF_ORDER_SEQUENCE_NUMBER.
    #[error(
        "invalid sequence number for new epoch of producer {producer_id}: {producer_epoch} (request epoch), \
         {base_sequence} (seq. number), {current_epoch} (current producer epoch)"
    )]
    NewEpochNotAtZero {
        /// Producer of the batch.
        producer_id: i64,
        /// Epoch of the batch.
        producer_epoch: i16,
        /// First sequence number of the batch.
        base_sequence: i32,
        /// Latest epoch that wrote here.
        current_epoch: i16,
    },
}

impl ProducerStates {
    /// Whether the batch may be appended, was appended before, or must be refused. Changes nothing. `marker` is what a
    /// control batch says.
    ///
    /// A batch without a producer id is always new. A producer without state (its records have gone, its state
    /// expired, or it never wrote here) may start at any sequence number, as in Kafka since 2.5 (KIP-360), unless it
    /// takes part in transaction version 2.
    ///
    /// # Errors
    /// An older epoch, a gap in the sequence numbers, or another state of the producer's transaction.
    pub fn check(
        &self,
        batch: &BatchHeader,
        marker: Option<ControlMarker>,
        origin: AppendOrigin,
        transaction: TransactionContext,
    ) -> Result<SequenceCheck, SequenceError> {
        if !batch.has_producer_id() || origin == AppendOrigin::Replication {
            return Ok(SequenceCheck::New);
        }
        let entry = self.producers.get(&batch.producer_id);
        if origin == AppendOrigin::Client
            && let Some(duplicate) = entry.and_then(|entry| entry.find_duplicate(batch))
        {
            return Ok(SequenceCheck::Duplicate(duplicate));
        }
        check_epoch(batch, entry)?;
        if batch.is_control() {
            return match marker {
                Some(marker) => check_marker(batch, marker, entry, transaction.version),
                None => Ok(SequenceCheck::New),
            };
        }
        if batch.is_transactional() && !entry.is_some_and(|entry| entry.has_open(batch.producer_epoch)) {
            self.check_verified(batch, transaction.guard)?;
        }
        if origin == AppendOrigin::Client {
            self.check_sequence(batch, entry)?;
        }
        if !batch.is_transactional() && entry.is_some_and(|entry| entry.current_txn_first_offset >= 0) {
            return Err(SequenceError::TransactionOpen { producer_id: batch.producer_id });
        }
        Ok(SequenceCheck::New)
    }

    /// Begins to verify with the coordinator that a batch belongs to a transaction. Gives the guard to append it with
    /// once the coordinator agrees; [`VerificationGuard::NONE`] when the transaction is open here, so that there is
    /// nothing to ask.
    ///
    /// # Errors
    /// An older epoch.
    pub fn maybe_start_verification(
        &mut self,
        producer_id: i64,
        base_sequence: i32,
        producer_epoch: i16,
        supports_epoch_bump: bool,
        now_ms: i64,
    ) -> Result<VerificationGuard, SequenceError> {
        if let Some(entry) = self.producers.get(&producer_id) {
            let current_epoch = entry.producer_epoch;
            if producer_epoch < current_epoch {
                return Err(SequenceError::InvalidProducerEpoch {
                    producer_id,
                    producer_epoch,
                    current_epoch,
                });
            }
            if entry.has_open(producer_epoch) {
                return Ok(VerificationGuard::NONE);
            }
        }
        let verifications = &mut self.verifications;
        Ok(verifications.start(producer_id, base_sequence, producer_epoch, supports_epoch_bump, now_ms))
    }

    /// Whether `guard` is still the one of the producer's verification.
    pub fn is_verifying(&self, producer_id: i64, guard: VerificationGuard) -> bool {
        self.verifications.get(producer_id).is_some_and(|verification| verification.guard == guard)
    }

    fn check_verified(&self, batch: &BatchHeader, guard: VerificationGuard) -> Result<(), SequenceError> {
        let producer_id = batch.producer_id;
        if guard == VerificationGuard::UNCHECKED || self.is_verifying(producer_id, guard) {
            Ok(())
        } else {
            Err(SequenceError::NotInTransaction { producer_id })
        }
    }

    fn check_sequence(&self, batch: &BatchHeader, entry: Option<&Entry>) -> Result<(), SequenceError> {
        let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = *batch;
        if let Some(verification) = self.verifications.get(producer_id) {
            let has_batches = entry.is_some_and(Entry::has_batches);
            if verification.supports_epoch_bump && base_sequence != 0 && !has_batches {
                return Err(SequenceError::NewProducerNotAtZero { producer_id, base_sequence });
            }
            let lowest_sequence = verification.lowest_sequence;
            if base_sequence > lowest_sequence {
                return Err(SequenceError::AboveLowestSequence {
                    producer_id,
                    base_sequence,
                    lowest_sequence,
                });
            }
        }
        let Some(entry) = entry.filter(|entry| entry.producer_epoch != NO_PRODUCER_EPOCH) else {
            return Ok(());
        };
        let current_epoch = entry.producer_epoch;
        if producer_epoch != current_epoch {
            return if base_sequence == 0 {
                Ok(())
            } else {
                Err(SequenceError::NewEpochNotAtZero {
                    producer_id,
                    producer_epoch,
                    base_sequence,
                    current_epoch,
                })
            };
        }
        let last_sequence = entry.last_sequence();
        if follows(last_sequence, base_sequence) {
            Ok(())
        } else {
            Err(SequenceError::OutOfOrderSequence { producer_id, base_sequence, last_sequence })
        }
    }
}

fn check_epoch(batch: &BatchHeader, entry: Option<&Entry>) -> Result<(), SequenceError> {
    let BatchHeader { producer_id, producer_epoch, .. } = *batch;
    match entry.map(|entry| entry.producer_epoch) {
        Some(current_epoch) if producer_epoch < current_epoch => {
            Err(SequenceError::InvalidProducerEpoch { producer_id, producer_epoch, current_epoch })
        }
        _ => Ok(()),
    }
}

/// A marker comes from the coordinator, and under the same epoch more than once when an answer was lost. Before version
/// 2 the second one can't be told from the first and is written again, without a transaction to end.
fn check_marker(
    batch: &BatchHeader,
    marker: ControlMarker,
    entry: Option<&Entry>,
    version: i16,
) -> Result<SequenceCheck, SequenceError> {
    let BatchHeader { producer_id, producer_epoch, .. } = *batch;
    let Some(entry) = entry else { return Ok(SequenceCheck::New) };
    if version >= EPOCH_RISES_FROM_VERSION && producer_epoch <= entry.producer_epoch {
        let current_epoch = entry.producer_epoch;
        return Err(SequenceError::MarkerEpochNotAbove { producer_id, producer_epoch, current_epoch });
    }
    let (coordinator_epoch, current_epoch) = (marker.coordinator_epoch, entry.coordinator_epoch);
    if coordinator_epoch < current_epoch {
        return Err(SequenceError::TransactionCoordinatorFenced {
            producer_id,
            coordinator_epoch,
            current_epoch,
        });
    }
    Ok(SequenceCheck::New)
}

/// Whether `base_sequence` comes right after `last_sequence`; after `i32::MAX` comes 0.
fn follows(last_sequence: i32, base_sequence: i32) -> bool {
    i64::from(base_sequence) == i64::from(last_sequence) + 1
        || (base_sequence == 0 && last_sequence == i32::MAX)
}
