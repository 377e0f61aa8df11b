//! Transactional ids that nobody has used for `transactional.id.expiration.ms` are forgotten, as long as no transaction
//! is open. A producer that comes back after that finds its id new, with another producer id.

use fluxmq_protocol::transaction_records::TransactionRecord;

use super::shard::{Timer, TransactionShard};
use super::transaction::Transaction;
use super::turn::TransactionTurn;
use crate::turn::Now;

/// About how large the batch of one turn may get.
const BATCH_BYTES: usize = 16_384;
/// About what a tombstone takes beside the id.
const TOMBSTONE_BYTES: usize = 16;

impl TransactionShard {
    pub(super) fn schedule_expiry(&mut self, turn: &TransactionTurn<'_>) {
        let interval_ms = self.config.remove_expired_interval_ms;
        self.timers.schedule(Timer::Expiry, turn.now.monotonic_ms.saturating_add(interval_ms));
    }

    /// Looks for ids that have expired, and begins to forget them.
    pub(super) fn expire_ids(&mut self, turn: &mut TransactionTurn<'_>) {
        self.schedule_expiry(turn);
        let expired = self.ids.iter().filter(|(_, entry)| self.has_expired(turn.now, &entry.transaction));
        self.expired = expired.map(|(id, _)| id.clone()).collect();
        self.forget_expired(turn);
    }

    /// Forgets as many as make one batch. One that was used since it was found stays.
    pub(super) fn forget_expired(&mut self, turn: &mut TransactionTurn<'_>) {
        let mut bytes = 0;
        while let Some(id) = self.expired.pop() {
            if !self.ids.get(&id).is_some_and(|entry| self.has_expired(turn.now, &entry.transaction)) {
                continue;
            }
            bytes += id.len() + TOMBSTONE_BYTES;
            turn.records.push(TransactionRecord { transactional_id: id, value: None });
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        if !self.expired.is_empty() {
            self.timers.schedule(Timer::Forget, turn.now.monotonic_ms);
        }
    }

    fn has_expired(&self, now: Now, transaction: &Transaction) -> bool {
        let expires_at_ms =
            transaction.last_update_ms.saturating_add(self.config.transactional_id_expiration_ms);
        transaction.is_idle() && expires_at_ms <= now.wall_ms
    }
}
