//! EndTxn, versions 0–5. From version 5 on (KIP-890) the producer's epoch rises with every end, and a transaction that
//! the coordinator knows nothing of can be aborted: the client doesn't know what of it has arrived.

use fluxmq_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};
use fluxmq_protocol::transaction_records::TransactionState;
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::shard::TransactionShard;
use super::transaction::{End, LAST_PRODUCER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Transaction};
use super::turn::TransactionTurn;
use super::version::TransactionVersion;

/// Before it a client takes PRODUCER_FENCED for something unknown.
const FIRST_VERSION_OF_FENCED: i16 = 2;

/// What the producer goes on with. A client before version 5 is told nothing of it.
type GoesOnWith = (i64, i16);
const AS_BEFORE: GoesOnWith = (NO_PRODUCER_ID, NO_PRODUCER_EPOCH);

impl TransactionShard {
    /// Decides that a transaction is committed or aborted. The answer may leave when that is durable; the markers are
    /// still to be written.
    pub fn end_txn(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        api_version: i16,
        request: &EndTxnRequest,
    ) -> EndTxnResponse {
        let ended = if TransactionVersion::of_end_txn(api_version).bumps_epoch() {
            self.end_bumping_epoch(turn, request)
        } else {
            self.end_plainly(turn, request)
        };
        let (error, (producer_id, epoch)) = match ended {
            Ok(goes_on_with) => (ErrorCode::None, goes_on_with),
            Err(ErrorCode::ProducerFenced) if api_version < FIRST_VERSION_OF_FENCED => {
                (ErrorCode::InvalidProducerEpoch, AS_BEFORE)
            }
            Err(error) => (error, AS_BEFORE),
        };
        EndTxnResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch)
    }

    fn end_plainly(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        request: &EndTxnRequest,
    ) -> Result<GoesOnWith, ErrorCode> {
        let id = &request.transactional_id.0;
        let transaction = self.named(id)?;
        if transaction.producer_id != request.producer_id.0 {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.producer_epoch != request.producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        match (transaction.state, request.committed) {
            (TransactionState::PrepareCommit | TransactionState::PrepareAbort, _) => {
                Err(ErrorCode::ConcurrentTransactions)
            }
            (TransactionState::Ongoing, commit) => {
                let end = End {
                    commit,
                    producer_epoch: transaction.producer_epoch,
                    next_producer_id: NO_PRODUCER_ID,
                    client_version: TransactionVersion::V0,
                };
                let last_epoch = self.ids.get(id).map_or(NO_PRODUCER_EPOCH, |entry| entry.last.epoch);
                self.decide(turn, id, end, last_epoch);
                Ok(AS_BEFORE)
            }
            // It is asked again.
            (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) => {
                Ok(AS_BEFORE)
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    fn end_bumping_epoch(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        request: &EndTxnRequest,
    ) -> Result<GoesOnWith, ErrorCode> {
        let id = &request.transactional_id.0;
        let transaction = self.named(id)?;
        // Before anything else: the producer may already have the id that takes over when this is complete.
        if transaction.is_ending() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let after_rotation = is_retry_after_rotation(transaction, request);
        if transaction.producer_id != request.producer_id.0 && !after_rotation {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        let complete =
            matches!(transaction.state, TransactionState::CompleteCommit | TransactionState::CompleteAbort);
        let is_retry = after_rotation || is_retry_after_bump(transaction, request);
        let is_next = transaction.producer_epoch == request.producer_epoch;
        if !(is_next || (complete && is_retry)) {
            return Err(ErrorCode::ProducerFenced);
        }
        match (transaction.state, request.committed) {
            (TransactionState::Ongoing, commit) => self.decide_bumping_epoch(turn, id, commit),
            (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false)
                if is_retry =>
            {
                Ok((transaction.producer_id, transaction.producer_epoch))
            }
            (_, false) if !is_retry => self.decide_bumping_epoch(turn, id, false),
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    fn decide_bumping_epoch(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        id: &StrBytes,
        commit: bool,
    ) -> Result<GoesOnWith, ErrorCode> {
        let transaction = self.named(id)?;
        let epoch = transaction.producer_epoch;
        let next_producer_id = match transaction.is_exhausted() {
            true => turn.producer_ids.fresh().ok_or(ErrorCode::CoordinatorLoadInProgress)?,
            false => NO_PRODUCER_ID,
        };
        let producer_epoch = match epoch.checked_add(1) {
            Some(bumped) => bumped,
            // No client was given this epoch. An abort goes through, so that the id can be used again.
            None if !commit => epoch,
            None => return Err(ErrorCode::UnknownServerError),
        };
        let end = End { commit, producer_epoch, next_producer_id, client_version: TransactionVersion::V2 };
        self.decide(turn, id, end, epoch).ok_or(ErrorCode::UnknownServerError)
    }

    fn named(&self, transactional_id: &StrBytes) -> Result<&Transaction, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        self.transaction(transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)
    }
}

/// Whether the producer's epoch is the one that this request would have raised.
fn is_retry_after_bump(transaction: &Transaction, request: &EndTxnRequest) -> bool {
    request.producer_epoch.checked_add(1) == Some(transaction.producer_epoch)
}

/// Whether the request would have used up the epochs of its producer id, and a new id has taken over.
fn is_retry_after_rotation(transaction: &Transaction, request: &EndTxnRequest) -> bool {
    transaction.previous_producer_id == request.producer_id.0
        && request.producer_epoch == LAST_PRODUCER_EPOCH
        && transaction.producer_epoch == 0
}
