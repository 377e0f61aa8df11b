//! InitProducerId, versions 0–5, with a transactional id (KIP-98; KIP-360 for a producer that names what it had).

use fluxmq_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use fluxmq_protocol::transaction_records::TransactionState;
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::shard::{Entry, TransactionShard};
use super::transaction::{LAST_PRODUCER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Transaction};
use super::turn::TransactionTurn;

/// Before it a client takes PRODUCER_FENCED for something unknown.
const FIRST_VERSION_OF_FENCED: i16 = 4;

/// What a producer says it has.
#[derive(Clone, Copy, Debug)]
struct Expected {
    producer_id: i64,
    epoch: i16,
}

impl TransactionShard {
    /// Gives a transactional id its producer id, under an epoch that fences whoever had it before. A transaction that is
    /// open is aborted first: the producer asks again.
    pub fn init_producer_id(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        api_version: i16,
        request: &InitProducerIdRequest,
    ) -> InitProducerIdResponse {
        let (error, producer_id, epoch) = match self.checked_init(turn, request) {
            Ok((producer_id, epoch)) => (ErrorCode::None, producer_id, epoch),
            Err(ErrorCode::ProducerFenced) if api_version < FIRST_VERSION_OF_FENCED => {
                (ErrorCode::InvalidProducerEpoch, NO_PRODUCER_ID, NO_PRODUCER_EPOCH)
            }
            Err(error) => (error, NO_PRODUCER_ID, NO_PRODUCER_EPOCH),
        };
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch)
    }

    fn checked_init(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        request: &InitProducerIdRequest,
    ) -> Result<(i64, i16), ErrorCode> {
        let expected = match (request.producer_id.0, request.producer_epoch) {
            (NO_PRODUCER_ID, NO_PRODUCER_EPOCH) => None,
            (NO_PRODUCER_ID, _) | (_, NO_PRODUCER_EPOCH) => return Err(ErrorCode::InvalidRequest),
            (producer_id, epoch) => Some(Expected { producer_id, epoch }),
        };
        let id = request.transactional_id.as_ref().filter(|id| !id.is_empty());
        let id = &id.ok_or(ErrorCode::InvalidRequest)?.0;
        if !(1..=self.config.transaction_max_timeout_ms).contains(&request.transaction_timeout_ms) {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        match self.ids.get(id) {
            None => {
                let transaction =
                    Transaction::new(fresh(turn)?, request.transaction_timeout_ms, turn.now.wall_ms);
                self.transit(turn, id, &transaction, NO_PRODUCER_EPOCH);
                Ok((transaction.producer_id, transaction.producer_epoch))
            }
            Some(entry) if entry.transaction.is_ending() => Err(ErrorCode::ConcurrentTransactions),
            Some(entry) if expected.is_some_and(|expected| !entry.can_be_had_by(expected)) => {
                Err(ErrorCode::ProducerFenced)
            }
            Some(entry) if entry.transaction.state == TransactionState::Ongoing => {
                self.fence(turn, id)?;
                Err(ErrorCode::ConcurrentTransactions)
            }
            Some(_) => self.bump_epoch(turn, id, expected, request.transaction_timeout_ms),
        }
    }

    /// The next epoch, or the first of a new producer id where there is none.
    fn bump_epoch(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        id: &StrBytes,
        expected: Option<Expected>,
        timeout_ms: i32,
    ) -> Result<(i64, i16), ErrorCode> {
        let Entry { transaction, last } = &**self.ids.get(id).ok_or(ErrorCode::UnknownServerError)?;
        let present = (transaction.producer_id, transaction.producer_epoch);
        let is_present = expected.is_none_or(|expected| expected.epoch == present.1);
        let (producer_id, epoch, last_epoch) = if transaction.is_exhausted() {
            // Kafka has no answer for the others: it fails on its own check.
            if !is_present {
                return Err(ErrorCode::UnknownServerError);
            }
            (fresh(turn)?, 0, expected.map_or(NO_PRODUCER_EPOCH, |_| present.1))
        } else if is_present {
            (present.0, present.1 + 1, expected.map_or(NO_PRODUCER_EPOCH, |_| present.1))
        } else if expected.is_some_and(|expected| expected.epoch == last.epoch) {
            // It asks again: nobody else was given an epoch since, or there would be no last one.
            (present.0, present.1, last.epoch)
        } else {
            return Err(ErrorCode::ProducerFenced);
        };
        let next = transaction.initialised(producer_id, epoch, timeout_ms, turn.now.wall_ms);
        self.transit(turn, id, &next, last_epoch);
        Ok((producer_id, epoch))
    }
}

impl Entry {
    /// Whether the producer may be the one that the id belongs to: it has its producer id, or the one before and did not
    /// learn of the new one. The epoch is another matter.
    fn can_be_had_by(&self, expected: Expected) -> bool {
        expected.producer_id == self.transaction.producer_id
            || (expected.producer_id == self.last.id && expected.epoch >= LAST_PRODUCER_EPOCH)
    }
}

fn fresh(turn: &TransactionTurn<'_>) -> Result<i64, ErrorCode> {
    turn.producer_ids.fresh().ok_or(ErrorCode::CoordinatorLoadInProgress)
}
