//! Batches of transactions in Produce (KIP-98, KIP-890): before the first one of a transaction in a partition is appended,
//! the coordinator says whether the partition belongs to the transaction, or adds it (v12 and later).
//!
//! As Kafka does, the coordinator is asked before the batches are looked at more closely, and what it answers is put into
//! codes that a producer of the version knows how to go on from.

use std::time::{Duration, Instant};

use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::batch::BatchHeader;
use fluxmq_storage::producer_state::VerificationGuard;

use super::{Append, Exchange, Refusal};
use crate::coordination::transactions::ProducedInTransaction;
use crate::coordination::wait::Answered;
use crate::error::code_of_sequence_error;
use crate::request::{Outcome, RequestContext};

/// First version whose batches add their partition to the transaction by themselves.
const ADDING_VERSION: i16 = 12;
/// First version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 11;
const ATTRIBUTES_AT: usize = 21;
const TRANSACTIONAL_BIT: u8 = 0x10;
const NOT_ADDED: &str = "Partition was not added to the transaction";
pub(super) const TWO_PRODUCERS: &str = "Transactional records contained more than one producer ID";

/// The transactional bit of the first batch, unchecked.
pub(super) fn is_transactional(records: &[u8]) -> bool {
    records.get(ATTRIBUTES_AT + 1).is_some_and(|low| low & TRANSACTIONAL_BIT != 0)
}

/// A batch of a transaction, and what was found out of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct InTransaction {
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    /// What to append it with.
    pub(super) guard: VerificationGuard,
    /// The coordinator is to say.
    asked: bool,
    /// Whether it may be appended.
    code: ErrorCode,
}

impl InTransaction {
    /// What the header says, unchecked; `None` for what belongs to no producer's transaction.
    pub(super) fn of(records: &[u8]) -> Option<Self> {
        if !is_transactional(records) {
            return None;
        }
        let header = BatchHeader::parse(records).ok().filter(BatchHeader::has_producer_id)?;
        Some(InTransaction {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            guard: VerificationGuard::NONE,
            asked: false,
            code: ErrorCode::None,
        })
    }
}

/// The transaction that a request's batches belong to.
pub(super) struct Transaction {
    transactional_id: StrBytes,
    producer_id: i64,
    producer_epoch: i16,
    version: i16,
    /// Whether the coordinator is asked where it need not add anything.
    verifies: bool,
}

/// More than one producer wrote the batches of one request.
pub(super) struct TwoProducers;

impl Transaction {
    /// The transaction of `appends`, where one of them belongs to one.
    pub(super) fn of(
        context: &RequestContext,
        transactional_id: Option<StrBytes>,
        appends: &[Append],
    ) -> Result<Option<Self>, TwoProducers> {
        let mut producers = appends
            .iter()
            .filter_map(|append| append.transaction.as_ref())
            .map(|batch| (batch.producer_id, batch.producer_epoch));
        let Some((producer_id, producer_epoch)) = producers.next() else { return Ok(None) };
        if producers.any(|other| other != (producer_id, producer_epoch)) {
            return Err(TwoProducers);
        }
        // Without an id the whole request was refused before.
        Ok(transactional_id.map(|transactional_id| Transaction {
            transactional_id,
            producer_id,
            producer_epoch,
            version: context.api_version,
            verifies: context.broker().config.transaction_partition_verification_enable,
        }))
    }

    fn adds(&self) -> bool {
        self.version >= ADDING_VERSION
    }

    /// Asks the coordinator about the partitions where the transaction isn't open yet.
    ///
    /// Where it adds them, markers of the last transaction may come between the guards and the question, and take guards
    /// away. When the coordinator agrees, that transaction is complete and all of its markers have come; so asked once
    /// more after that, it is asked under guards that last. Until it agrees there is nothing that they are needed for.
    fn ask(
        &self,
        context: &RequestContext,
        appends: &mut [Append],
    ) -> Result<Answered<Vec<ErrorCode>>, ErrorCode> {
        let answered = self.ask_once(context, appends);
        let codes = answered.as_ref().map(|answered| &answered.value);
        let agreed = codes.is_ok_and(|codes| !codes.contains(&ErrorCode::ConcurrentTransactions));
        match self.adds() && agreed && is_overtaken(appends) {
            true => self.ask_once(context, appends),
            false => answered,
        }
    }

    /// Asks for nothing where there are no such partitions.
    fn ask_once(
        &self,
        context: &RequestContext,
        appends: &mut [Append],
    ) -> Result<Answered<Vec<ErrorCode>>, ErrorCode> {
        let now_ms = context.broker().clock.now_ms();
        let mut partitions = Vec::new();
        for append in appends {
            let Some(batch) = &mut append.transaction else { continue };
            (batch.asked, batch.code) = (false, ErrorCode::None);
            if !self.adds() && !self.verifies {
                batch.guard = VerificationGuard::UNCHECKED;
                continue;
            }
            match append.partition.log().maybe_start_verification(
                batch.producer_id,
                batch.base_sequence,
                batch.producer_epoch,
                self.adds(),
                now_ms,
            ) {
                Ok(guard) => {
                    batch.guard = guard;
                    batch.asked = !guard.is_none();
                }
                Err(error) => batch.code = code_of_sequence_error(&error),
            }
            if batch.asked {
                partitions.push((append.partition.name().topic.clone(), append.partition.index()));
            }
        }
        if partitions.is_empty() {
            return Ok(Answered { value: Vec::new(), durable: None });
        }
        context.broker().transactions.admit_produce(&ProducedInTransaction {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            partitions,
            add: self.adds(),
        })
    }

    /// Whether to ask again soon: another transaction of the producer is being ended, which takes less time than the
    /// producer would wait, and less work than sending its batches again.
    fn is_in_the_way(&self, appends: &[Append]) -> bool {
        let mut batches = appends.iter().filter_map(|append| append.transaction.as_ref());
        self.adds() && batches.any(|batch| batch.code == ErrorCode::ConcurrentTransactions)
    }
}

/// Whether a marker has taken away the guard of one of the batches.
fn is_overtaken(appends: &[Append]) -> bool {
    let overtaken = |append: &Append, batch: &InTransaction| {
        batch.asked && !append.partition.log().is_verifying(batch.producer_id, batch.guard)
    };
    appends.iter().any(|append| append.transaction.as_ref().is_some_and(|batch| overtaken(append, batch)))
}

/// Notes what the coordinator said of each partition that it was asked about, or of all.
fn note(answer: &Result<Vec<ErrorCode>, ErrorCode>, appends: &mut [Append]) {
    let asked = appends.iter_mut().filter_map(|append| append.transaction.as_mut());
    for (place, batch) in asked.filter(|batch| batch.asked).enumerate() {
        batch.code = match answer {
            Ok(codes) => codes.get(place).copied().unwrap_or(ErrorCode::UnknownServerError),
            Err(code) => *code,
        };
    }
}

impl Exchange {
    /// Has the coordinator let the batches of a transaction in, then goes on with those that it does. Waits for nothing
    /// where the transaction is open in every partition.
    pub(super) fn verify(mut self, transaction: Transaction, mut appends: Vec<Append>) -> Outcome {
        let answer = match transaction.ask(&self.context, &mut appends) {
            Ok(Answered { value, durable: None }) => Ok(value),
            Err(code) => Err(code),
            Ok(answered) => {
                return Outcome::ExclusiveThen(Box::pin(async move {
                    let answer = durable(Ok(answered)).await;
                    self.admitted_then_append(transaction, appends, answer).await
                }));
            }
        };
        note(&answer, &mut appends);
        if transaction.is_in_the_way(&appends) {
            return Outcome::ExclusiveThen(Box::pin(self.admitted_then_append(transaction, appends, answer)));
        }
        let appends = self.refuse_unverified(&transaction, appends);
        self.proceed(appends)
    }

    async fn admitted_then_append(
        mut self,
        transaction: Transaction,
        mut appends: Vec<Append>,
        mut answer: Result<Vec<ErrorCode>, ErrorCode>,
    ) -> Outcome {
        let config = &self.context.broker().config;
        let backoff_ms = config.add_partitions_to_txn_retry_backoff_ms;
        let give_up_at = Instant::now() + millis(config.add_partitions_to_txn_retry_backoff_max_ms);
        note(&answer, &mut appends);
        while transaction.is_in_the_way(&appends) {
            // Begun before the coordinator is asked, or the end could lie in between.
            let ended = self.context.broker().transactions.when_ended(&transaction.transactional_id);
            answer = durable(transaction.ask(&self.context, &mut appends)).await;
            note(&answer, &mut appends);
            if Instant::now() >= give_up_at || !transaction.is_in_the_way(&appends) {
                break;
            }
            let _ = tokio::time::timeout(millis(backoff_ms), ended).await;
        }
        let appends = self.refuse_unverified(&transaction, appends);
        let appends = self.open(appends).await;
        self.append(appends)
    }

    /// Answers for the batches that may not be appended, and gives the others.
    fn refuse_unverified(&mut self, transaction: &Transaction, mut appends: Vec<Append>) -> Vec<Append> {
        appends.retain(|append| {
            let code = append.transaction.as_ref().map_or(ErrorCode::None, |batch| batch.code);
            if code == ErrorCode::None {
                return true;
            }
            let place = self.place(append.at);
            *place = refusal(code, transaction.version).into_response(place.index);
            false
        });
        appends
    }
}

async fn durable(answer: Result<Answered<Vec<ErrorCode>>, ErrorCode>) -> Result<Vec<ErrorCode>, ErrorCode> {
    let Answered { value, durable } = answer?;
    match durable {
        Some(durable) => durable.reached().await.map(|()| value),
        None => Ok(value),
    }
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// What a producer of a version is told when the coordinator answers with `code`. Errors that pass become one that every
/// producer sends its batches again for without looking for another leader.
fn refusal(code: ErrorCode, version: i16) -> Refusal {
    let code = match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < ABORTABLE_VERSION => ErrorCode::InvalidTxnState,
        code => code,
    };
    let name = match code {
        ErrorCode::InvalidTxnState => {
            return Refusal { message: Some(StrBytes::from_static_str(NOT_ADDED)), ..Refusal::from(code) };
        }
        ErrorCode::NetworkException => "NETWORK_EXCEPTION",
        ErrorCode::CoordinatorLoadInProgress => "COORDINATOR_LOAD_IN_PROGRESS",
        ErrorCode::CoordinatorNotAvailable => "COORDINATOR_NOT_AVAILABLE",
        ErrorCode::NotCoordinator => "NOT_COORDINATOR",
        ErrorCode::ConcurrentTransactions if version < ADDING_VERSION => "CONCURRENT_TRANSACTIONS",
        code => return code.into(),
    };
    let message =
        format!("Unable to verify the partition has been added to the transaction. Underlying error: {name}");
    Refusal { message: Some(StrBytes::from_string(message)), ..Refusal::from(ErrorCode::NotEnoughReplicas) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_producer_is_told_by_version() {
        use ErrorCode::{
            ConcurrentTransactions, CoordinatorLoadInProgress, CoordinatorNotAvailable, InvalidProducerEpoch,
            InvalidProducerIdMapping, InvalidTxnState, NetworkException, NotCoordinator, NotEnoughReplicas,
            ProducerFenced, TransactionAbortable,
        };
        let rows = [
            (InvalidTxnState, 3, InvalidTxnState, Some("not added")),
            (InvalidTxnState, 12, InvalidTxnState, Some("not added")),
            (TransactionAbortable, 10, InvalidTxnState, Some("not added")),
            (TransactionAbortable, 11, TransactionAbortable, None),
            (TransactionAbortable, 13, TransactionAbortable, None),
            (ProducerFenced, 10, InvalidProducerEpoch, None),
            (InvalidProducerEpoch, 12, InvalidProducerEpoch, None),
            (InvalidProducerIdMapping, 12, InvalidProducerIdMapping, None),
            (ConcurrentTransactions, 11, NotEnoughReplicas, Some("error: CONCURRENT_TRANSACTIONS")),
            (ConcurrentTransactions, 12, ConcurrentTransactions, None),
            (NotCoordinator, 12, NotEnoughReplicas, Some("error: NOT_COORDINATOR")),
            (CoordinatorNotAvailable, 3, NotEnoughReplicas, Some("error: COORDINATOR_NOT_AVAILABLE")),
            (CoordinatorLoadInProgress, 9, NotEnoughReplicas, Some("error: COORDINATOR_LOAD_IN_PROGRESS")),
            (NetworkException, 13, NotEnoughReplicas, Some("error: NETWORK_EXCEPTION")),
        ];
        for (answered, version, told, text) in rows {
            let refusal = refusal(answered, version);
            assert_eq!(refusal.code, told, "{answered} v{version}");
            let message = refusal.message.as_deref();
            assert_eq!(message.is_some(), text.is_some(), "{answered} v{version}");
            assert!(message.unwrap_or_default().contains(text.unwrap_or_default()), "{message:?}");
            assert_eq!(refusal.log_start_offset, -1);
        }
    }
}
