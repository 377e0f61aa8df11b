//! Drives the transaction coordinator: one shard for each partition of `__transaction_state`, its turns, its log, and the
//! markers that its transactions end with.

use std::sync::Arc;

use fluxmq_protocol::{ErrorCode, StrBytes};

use super::wait::Answered;

/// The topic that transactions are kept in.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// The transaction coordinator of this broker, which coordinates every transactional id.
pub struct TransactionCoordinator {}

/// What Produce asks of the transaction that its batches say they belong to.
#[derive(Clone, Debug)]
pub struct ProducedInTransaction {
    /// Whose transaction it is.
    pub transactional_id: StrBytes,
    /// The producer id of the batches.
    pub producer_id: i64,
    /// Their epoch.
    pub producer_epoch: i16,
    /// Topics and partitions that are written to.
    pub partitions: Vec<(StrBytes, i32)>,
    /// Whether partitions that don't belong to the transaction yet are added to it (KIP-890, Produce 12 and later);
    /// otherwise they must have been added.
    pub add: bool,
}

impl TransactionCoordinator {
    /// Verifies that partitions belong to a transaction, or adds them. Gives a code for each partition, in their order;
    /// they hold once what the answer rests on is durable.
    ///
    /// # Errors
    /// The code for all of them.
    pub fn admit_produce(
        self: &Arc<Self>,
        _asked: &ProducedInTransaction,
    ) -> Result<Answered<Vec<ErrorCode>>, ErrorCode> {
        Err(ErrorCode::NotCoordinator)
    }
}
