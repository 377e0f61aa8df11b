//! One shard: the transactional ids of one partition of `__transaction_state`.

use std::collections::HashMap;
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::transaction_records::{TransactionRecord, TransactionState};

use super::config::TransactionCoordinatorConfig;
use super::transaction::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Transaction};
use super::turn::{LastProducers, TransactionTurn};
use crate::shard::owned;
use crate::timers::Timers;
use crate::turn::Now;

/// Everything that one partition of `__transaction_state` says.
#[derive(Debug)]
pub struct TransactionShard {
    pub(super) config: Arc<TransactionCoordinatorConfig>,
    /// Boxed: a map is half empty at times, and most ids are idle.
    pub(super) ids: HashMap<StrBytes, Box<Entry>>,
    pub(super) timers: Timers<Timer>,
    /// Ids that were found expired and are still to be forgotten. Lost with the shard: they are found again.
    pub(super) expired: Vec<StrBytes>,
}

/// A transactional id.
#[derive(Debug)]
pub(super) struct Entry {
    /// What the log says.
    pub(super) transaction: Transaction,
    /// What the producer had before. Not in the log.
    pub(super) last: LastProducer,
}

/// The id and epoch that a producer had before the present ones, if it was the same producer that was given these
/// (KIP-360): one that asks again with them did not get the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastProducer {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

impl LastProducer {
    pub(super) const NONE: Self = LastProducer { id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH };
}

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The transaction of this id has taken too long.
    Timeout(StrBytes),
    /// Ids are looked at for expiry.
    Expiry,
    /// Forgetting the expired ids goes on: it was too much for one turn.
    Forget,
}

impl TransactionShard {
    /// A shard whose log is empty.
    #[must_use]
    pub fn new(config: Arc<TransactionCoordinatorConfig>) -> Self {
        TransactionShard { config, ids: HashMap::new(), timers: Timers::default(), expired: Vec::new() }
    }

    /// Does what a record says: the only way in which that changes. Of the timers it sets those of transactions.
    pub fn replay(&mut self, now: Now, record: TransactionRecord) {
        let TransactionRecord { transactional_id: id, value } = record;
        let Some(value) = value else {
            if self.ids.remove(&id).is_some_and(|entry| entry.transaction.state == TransactionState::Ongoing)
            {
                self.timers.cancel(&Timer::Timeout(id));
            }
            return;
        };
        let Some(transaction) = Transaction::from_value(value.value) else { return };
        let known = self.ids.get(&id).map(|entry| &entry.transaction);
        let open_since_ms =
            known.filter(|known| known.state == TransactionState::Ongoing).map(|known| known.start_ms);
        match (open_since_ms, transaction.times_out_at_ms()) {
            // It was measured when the transaction began, and goes on by the clock that only grows.
            (Some(start_ms), Some(_)) if start_ms == transaction.start_ms => {}
            (_, Some(at_ms)) => {
                let left_ms = at_ms.saturating_sub(now.wall_ms);
                let deadline_ms = self.seen_at_ms(now.monotonic_ms.saturating_add(left_ms));
                self.timers.schedule(Timer::Timeout(id.clone()), deadline_ms);
            }
            (Some(_), None) => {
                self.timers.cancel(&Timer::Timeout(id.clone()));
            }
            (None, None) => {}
        }
        match self.ids.get_mut(&id) {
            Some(entry) => entry.transaction = transaction,
            None => {
                self.ids.insert(id, Box::new(Entry { transaction, last: LastProducer::NONE }));
            }
        }
    }

    /// After a load: what was decided is to be carried out, and expiry begins.
    pub fn loaded(&mut self, turn: &mut TransactionTurn<'_>) {
        self.resume_markers(turn);
        self.schedule_expiry(turn);
    }

    /// When the next timer is due, in monotonic milliseconds.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        self.timers.next_deadline()
    }

    /// Does what one timer is for that is due; false if none is. Call it again in a turn of its own.
    pub fn fire_next(&mut self, turn: &mut TransactionTurn<'_>) -> bool {
        let Some(timer) = self.timers.pop_due(turn.now.monotonic_ms) else { return false };
        match timer {
            Timer::Timeout(id) => self.abort_timed_out(turn, id),
            Timer::Expiry => self.expire_ids(turn),
            Timer::Forget => self.forget_expired(turn),
        }
        true
    }

    /// How many transactional ids there are.
    #[must_use]
    pub fn id_count(&self) -> usize {
        self.ids.len()
    }

    /// What the log says of a transactional id.
    #[must_use]
    pub fn transaction(&self, transactional_id: &StrBytes) -> Option<&Transaction> {
        self.ids.get(transactional_id).map(|entry| &entry.transaction)
    }

    /// Takes note of what a turn has left beside its records, which were replayed.
    pub fn note(&mut self, last_producers: LastProducers) {
        for (id, last) in last_producers.0 {
            if let Some(entry) = self.ids.get_mut(&id) {
                entry.last = last;
            }
        }
    }

    /// Leaves the record after which `next` is what is said of the id, and the epoch that the producer can ask again with.
    pub(super) fn transit(
        &self,
        turn: &mut TransactionTurn<'_>,
        transactional_id: &StrBytes,
        next: &Transaction,
        last_epoch: i16,
    ) {
        let id = match self.ids.get_key_value(transactional_id) {
            Some((id, entry)) => {
                let last = LastProducer { id: entry.transaction.producer_id, epoch: last_epoch };
                turn.last_producers.0.push((id.clone(), last));
                id.clone()
            }
            None => owned(transactional_id),
        };
        let value = next.to_value(turn.transaction_version);
        turn.records.push(TransactionRecord { transactional_id: id, value: Some(value) });
    }
}
