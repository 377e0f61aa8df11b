//! Running a turn: the machine, the append, the replay, the answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use fluxmq_coordinator::{GroupShard, Now, Producer, Reply, Token, Turn};
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::group_records::TooLong;
use fluxmq_storage::batch::{
    self, BatchBuilder, BatchError, BatchRules, CheckedBatch, CompressionRule, NO_SEQUENCE,
};
use fluxmq_storage::codec::Codec;
use fluxmq_storage::log;
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext, VerificationGuard};
use thiserror::Error;
use tokio::sync::oneshot;

use super::machine::{Left, Machine};
use super::shards::{Active, Inner, Shards, Slot, State};
use super::wait::{Answered, Exchange};
use super::{Coordinator, GroupCoordinator};
use crate::error::coordinator_code;
use crate::partitions::high_watermark::Acks;
use crate::partitions::partition::AppendError;

/// Bytes to begin a batch with: a commit of a few partitions.
const BATCH_CAPACITY_BYTES: usize = 512;

/// Why a turn's records were not appended.
#[derive(Debug, Error)]
pub(super) enum TurnError {
    /// A text of a record is longer than one can hold.
    #[error(transparent)]
    Record(#[from] TooLong),
    /// The batch has no encoding.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The log didn't take it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

type Waiting = (oneshot::Sender<Answered<Reply>>, Answered<Reply>);

/// A turn that was run.
pub(super) struct Ran<M: Machine, T> {
    pub(super) answered: Answered<T>,
    /// To be carried out once the answer may leave.
    pub(super) effects: M::Effects,
    /// Who is answered by it.
    waiting: Vec<Waiting>,
}

impl GroupCoordinator {
    /// Runs a turn that answers through its token, now or in a later turn.
    ///
    /// # Errors
    /// As for [`turn`](Self::turn).
    pub fn exchange(
        self: &Arc<Self>,
        group_id: &str,
        work: impl FnOnce(&mut GroupShard, &mut Turn<'_>, Token),
    ) -> Result<Exchange, ErrorCode> {
        let shards = self.current()?;
        let token = Token(self.next_token.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        let waiter = Some((token, sender));
        self.run(&shards, shards.of_id(group_id), waiter, VerificationGuard::NONE, |shard, turn| {
            work(shard, turn, token);
        })?;
        Ok(Exchange::new(receiver))
    }

    /// Runs a turn of the group's shard whose records belong to a producer's transaction: the log takes them under the
    /// guard that [`begin_verification`](Self::begin_verification) gave.
    ///
    /// # Errors
    /// As for [`turn`](Self::turn), and what the log has against the producer.
    pub fn turn_in_transaction<T>(
        self: &Arc<Self>,
        group_id: &str,
        guard: VerificationGuard,
        work: impl FnOnce(&mut GroupShard, &mut Turn<'_>) -> T,
    ) -> Result<Answered<T>, ErrorCode> {
        let shards = self.current()?;
        self.run(&shards, shards.of_id(group_id), None, guard, work)
    }
}

impl<M: Machine> Coordinator<M> {
    /// Runs a turn of the shard that `id` belongs to: a group's, or a transactional id's. What it gives back may be told once `durable` is reached.
    ///
    /// # Errors
    /// The code to answer with: the shard doesn't take requests, or its log didn't take the records. Then nothing has
    /// changed.
    pub fn turn<T>(
        self: &Arc<Self>,
        id: &str,
        work: impl FnOnce(&mut M::Shard, &mut M::Turn<'_>) -> T,
    ) -> Result<Answered<T>, ErrorCode> {
        let shards = self.current()?;
        self.turn_in(&shards, shards.of_id(id), work)
    }

    /// As [`turn`](Self::turn), of shard number `index`.
    ///
    /// # Errors
    /// As for [`turn`](Self::turn).
    pub fn turn_at<T>(
        self: &Arc<Self>,
        index: usize,
        work: impl FnOnce(&mut M::Shard, &mut M::Turn<'_>) -> T,
    ) -> Result<Answered<T>, ErrorCode> {
        self.turn_in(&self.current()?, index, work)
    }

    pub(super) fn turn_in<T>(
        self: &Arc<Self>,
        shards: &Arc<Shards<M>>,
        index: usize,
        work: impl FnOnce(&mut M::Shard, &mut M::Turn<'_>) -> T,
    ) -> Result<Answered<T>, ErrorCode> {
        self.run(shards, index, None, VerificationGuard::NONE, work)
    }

    fn run<T>(
        self: &Arc<Self>,
        shards: &Arc<Shards<M>>,
        index: usize,
        waiter: Option<(Token, oneshot::Sender<Answered<Reply>>)>,
        guard: VerificationGuard,
        work: impl FnOnce(&mut M::Shard, &mut M::Turn<'_>) -> T,
    ) -> Result<Answered<T>, ErrorCode> {
        let slot = shards.slot(index).ok_or(ErrorCode::NotCoordinator)?;
        let mut inner = slot.inner.lock();
        if slot.partition.is_offline() {
            // Until a restart, so timers have an end too, and whoever waits is answered.
            slot.set_deadline(None);
            let ended = std::mem::replace(&mut inner.state, State::Failed);
            drop(inner);
            drop(ended);
            return Err(ErrorCode::NotCoordinator);
        }
        // Until the turn has ended well the shard is out of its place: a panic leaves it to be read again.
        let mut active = match std::mem::replace(&mut inner.state, State::Unloaded) {
            State::Active(active) => active,
            State::Unloaded => {
                slot.set_deadline(None);
                self.reload(shards, index, &mut inner);
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            other => {
                slot.set_deadline(None);
                let loading = matches!(other, State::Loading);
                inner.state = other;
                return Err(if loading {
                    ErrorCode::CoordinatorLoadInProgress
                } else {
                    ErrorCode::NotCoordinator
                });
            }
        };
        active.waiters.extend(waiter);
        match self.run_active(slot, &mut inner, active, guard, work) {
            Ok(ran) => {
                drop(inner);
                self.alarm.note(slot.deadline());
                for (sender, reply) in ran.waiting {
                    // Whoever waited may have gone.
                    let _ = sender.send(reply);
                }
                M::carry_out(self, shards, index, ran.effects, ran.answered.durable.clone());
                Ok(ran.answered)
            }
            Err(error) => {
                let code = self.append_failed(shards, index, &mut inner, &error);
                drop(inner);
                Err(code)
            }
        }
    }

    /// Runs one turn of a shard that was taken from its place, and puts it back unless its log didn't take the records.
    pub(super) fn run_active<T>(
        &self,
        slot: &Slot<M>,
        inner: &mut Inner<M>,
        mut active: Box<Active<M>>,
        guard: VerificationGuard,
        work: impl FnOnce(&mut M::Shard, &mut M::Turn<'_>) -> T,
    ) -> Result<Ran<M, T>, TurnError> {
        let began = Instant::now();
        let now = self.now();
        let (value, left) =
            M::in_turn(self, &slot.partition, now, |turn: &mut M::Turn<'_>| work(&mut active.shard, turn));
        let Left { records, transaction, replies, notes, all_in_records, effects } = left;
        if !records.is_empty() {
            let context = TransactionContext { guard, ..TransactionContext::NONE };
            let append = |batch: &CheckedBatch| {
                let origin = AppendOrigin::Coordinator;
                slot.partition.append_as(origin, batch, Acks::All, now.wall_ms, context)
            };
            let appended = encode::<M>(&records, transaction, now.wall_ms, self.config.codec)
                .and_then(|batch| Ok(append(&batch)?));
            let outcome = match appended {
                Ok(outcome) => outcome,
                Err(error) => {
                    if all_in_records {
                        slot.set_deadline(M::next_deadline(&active.shard));
                        inner.state = State::Active(active);
                    }
                    return Err(error);
                }
            };
            if let Some(end_offset) = outcome.commit_at {
                inner.awaited_end = end_offset;
            }
            if std::mem::take(&mut inner.refused) {
                tracing::info!(partition = %slot.partition.name(), "records of {} are appended again", M::WHAT);
            }
            self.stats.records.fetch_add(records.len() as u64, Ordering::Relaxed);
            for record in records {
                match transaction {
                    Some(producer) => M::replay_transactional(&mut active.shard, now, producer.id, record),
                    None => M::replay(&mut active.shard, now, record),
                }
            }
            M::note(&mut active.shard, notes);
        }
        let durable = inner.durable(&slot.partition, self.config.commit_timeout);
        let waiting = replies
            .into_iter()
            .filter_map(|(token, reply)| {
                let sender = active.waiters.remove(&token)?;
                Some((sender, Answered { value: reply, durable: durable.clone() }))
            })
            .collect();
        slot.set_deadline(M::next_deadline(&active.shard));
        inner.state = State::Active(active);
        self.stats.turns.fetch_add(1, Ordering::Relaxed);
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.stats.turn_time_ns.fetch_add(took, Ordering::Relaxed);
        Ok(Ran { answered: Answered { value, durable }, effects, waiting })
    }

    /// What to answer when the log of a shard didn't take its records. Unless the shard is in its place again, what the
    /// machine had begun is thrown away with it, and whoever waited in it is answered; the log says how it really is.
    fn append_failed(
        self: &Arc<Self>,
        shards: &Arc<Shards<M>>,
        index: usize,
        inner: &mut Inner<M>,
        error: &TurnError,
    ) -> ErrorCode {
        let code = match error {
            TurnError::Append(error @ (AppendError::Deleted | AppendError::Offline)) => {
                shards.set_deadline(index, None);
                inner.state = State::Failed;
                return coordinator_code(ErrorCode::from(error));
            }
            // The producer's own doing. Such a turn only left records, so the shard is in its place.
            TurnError::Append(error @ AppendError::Log(log::AppendError::Sequence(_))) => {
                return ErrorCode::from(error);
            }
            TurnError::Append(error) => coordinator_code(ErrorCode::from(error)),
            TurnError::Batch(_) | TurnError::Record(_) => ErrorCode::UnknownServerError,
        };
        if !std::mem::replace(&mut inner.refused, true) {
            tracing::warn!(shard = index, %error, "records of {} were not appended", M::WHAT);
        }
        if !matches!(inner.state, State::Active(_)) {
            shards.set_deadline(index, None);
            self.reload(shards, index, inner);
        }
        code
    }

    pub(super) fn now(&self) -> Now {
        Now { monotonic_ms: self.clock.monotonic_ms(), wall_ms: self.clock.now_ms() }
    }
}

/// One batch of the records, in the codec of the topic; a transactional one if they belong to a producer's transaction.
fn encode<M: Machine>(
    records: &[M::Record],
    transaction: Option<Producer>,
    timestamp_ms: i64,
    codec: Codec,
) -> Result<CheckedBatch, TurnError> {
    let mut builder = BatchBuilder::with_capacity(BATCH_CAPACITY_BYTES);
    if let Some(Producer { id, epoch }) = transaction {
        builder = builder.producer(id, epoch, NO_SEQUENCE).transactional();
    }
    for record in records {
        let (key, value) = M::encode(record)?;
        builder.push(timestamp_ms, Some(&key), value.as_deref(), &[]);
    }
    let batch = builder.build();
    if codec == Codec::None {
        return Ok(batch);
    }
    let rules = BatchRules {
        max_message_bytes: u32::MAX,
        after_max_ms: i64::MAX,
        compression: CompressionRule::Codec { codec, level: None },
        ..BatchRules::defaults(timestamp_ms)
    };
    Ok(batch::convert(&batch, &rules)?)
}
