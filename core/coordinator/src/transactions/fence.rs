//! Transactions that the coordinator aborts: the producer is fenced by a higher epoch.

use fluxmq_protocol::transaction_records::TransactionState;
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::shard::{Timer, TransactionShard};
use super::transaction::{End, NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use super::turn::TransactionTurn;
use super::version::TransactionVersion;

impl TransactionShard {
    /// Aborts the ongoing transaction of an id, under an epoch that its producer does not have. The cluster's version
    /// says how, whatever the client speaks.
    ///
    /// # Errors
    /// `COORDINATOR_LOAD_IN_PROGRESS` if it takes a new producer id and there is none.
    pub(super) fn fence(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        transactional_id: &StrBytes,
    ) -> Result<(), ErrorCode> {
        let Some(entry) = self.ids.get(transactional_id) else { return Ok(()) };
        let epoch = entry.transaction.producer_epoch;
        let bumps_epoch = turn.transaction_version.bumps_epoch();
        let next_producer_id = match bumps_epoch && entry.transaction.is_exhausted() {
            true => turn.producer_ids.fresh().ok_or(ErrorCode::CoordinatorLoadInProgress)?,
            false => NO_PRODUCER_ID,
        };
        let end = End {
            commit: false,
            // No producer has the highest epoch, unless records say so: then it stays.
            producer_epoch: epoch.saturating_add(1),
            next_producer_id,
            client_version: if bumps_epoch { turn.transaction_version } else { TransactionVersion::V0 },
        };
        let last_epoch = if bumps_epoch { epoch } else { NO_PRODUCER_EPOCH };
        self.decide(turn, transactional_id, end, last_epoch);
        Ok(())
    }

    /// When a transaction is seen to have taken too long that has from `times_out_at_ms` on. Kafka looks at an interval.
    pub(super) fn seen_at_ms(&self, times_out_at_ms: i64) -> i64 {
        let interval_ms = self.config.abort_timed_out_interval_ms.max(1);
        let looks = times_out_at_ms.saturating_add(interval_ms - 1).div_euclid(interval_ms);
        looks.saturating_mul(interval_ms)
    }

    /// A transaction has taken too long.
    pub(super) fn abort_timed_out(&mut self, turn: &mut TransactionTurn<'_>, transactional_id: StrBytes) {
        let transaction = self.transaction(&transactional_id);
        if transaction.is_some_and(|transaction| transaction.state == TransactionState::Ongoing) {
            // Unless a record says that it ends, it is tried again at the next look: there is no producer id, or the
            // log does not take the record.
            let _ = self.fence(turn, &transactional_id);
            let next_look_ms = self.seen_at_ms(turn.now.monotonic_ms.saturating_add(1));
            self.timers.schedule(Timer::Timeout(transactional_id), next_look_ms);
        }
    }
}
