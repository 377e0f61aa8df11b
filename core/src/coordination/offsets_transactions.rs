//! Transactions that commit offsets: whether a producer's may write into a shard's log, and how it ends there.

use std::sync::Arc;

use fluxmq_protocol::ErrorCode;
use fluxmq_storage::batch::NO_SEQUENCE;
use fluxmq_storage::log;
use fluxmq_storage::producer_state::{SequenceError, VerificationGuard};

use super::GroupCoordinator;
use super::shards::State;
use super::wait::Answered;
use crate::partitions::partition::{AppendError, EndTransaction};

impl GroupCoordinator {
    /// Begins to verify that a producer has a transaction which shard number `index` belongs to. Once the coordinator of
    /// transactions agrees, the guard is what to go on with in [`turn_in_transaction`](Self::turn_in_transaction); none
    /// says that the transaction is open here, so that there is nothing to ask. `epoch_rises`: with each transaction
    /// (KIP-890).
    ///
    /// # Errors
    /// The code to answer with: the shard's log can't be written, or has seen a newer epoch of the producer.
    pub fn begin_verification(
        self: &Arc<Self>,
        index: usize,
        producer_id: i64,
        producer_epoch: i16,
        epoch_rises: bool,
    ) -> Result<VerificationGuard, ErrorCode> {
        let shards = self.current()?;
        let partition = &shards.slot(index).ok_or(ErrorCode::NotCoordinator)?.partition;
        if partition.is_offline() {
            return Err(ErrorCode::NotCoordinator);
        }
        let now_ms = self.clock.now_ms();
        let log = partition.log();
        log.maybe_start_verification(producer_id, NO_SEQUENCE, producer_epoch, epoch_rises, now_ms)
            .map_err(|error| ErrorCode::from(&AppendError::Log(error.into())))
    }

    /// Whether a guard is still good in the log of a group's shard. That there is none, since the transaction is open there,
    /// is good too.
    pub fn is_verifying(
        self: &Arc<Self>,
        group_id: &str,
        producer_id: i64,
        guard: VerificationGuard,
    ) -> bool {
        let Ok(shards) = self.current() else { return false };
        let Some(slot) = shards.slot(shards.of_id(group_id)) else { return false };
        guard.is_none() || slot.partition.log().is_verifying(producer_id, guard)
    }

    /// Appends the marker that ends a producer's transaction to the log of shard number `index`, and has the shard do
    /// what it says. One that is in the log already counts as appended, with the wait for it.
    ///
    /// # Errors
    /// The code for WriteTxnMarkers: nothing was appended. NOT_LEADER_OR_FOLLOWER where a group would be told to look for
    /// its coordinator, or that its shard is being read.
    pub fn append_marker(
        self: &Arc<Self>,
        index: usize,
        end: &EndTransaction,
    ) -> Result<Answered<()>, ErrorCode> {
        let shards = self.current().map_err(|_| ErrorCode::NotLeaderOrFollower)?;
        let slot = shards.slot(index).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let mut inner = slot.inner.lock();
        // Out of its place until the marker is replayed, as in a turn.
        let mut active = match std::mem::replace(&mut inner.state, State::Unloaded) {
            State::Active(active) => active,
            State::Unloaded => {
                slot.set_deadline(None);
                self.reload(&shards, index, &mut inner);
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            other => {
                inner.state = other;
                return Err(ErrorCode::NotLeaderOrFollower);
            }
        };
        match slot.partition.append_marker(end, self.now().wall_ms) {
            Ok(outcome) => {
                inner.awaited_end = outcome.commit_at.unwrap_or(inner.awaited_end);
                active.shard.replay_end_transaction_marker(end.producer_id, end.commit);
                slot.set_deadline(active.shard.next_deadline());
            }
            Err(error) if is_repeated(&error) => {}
            Err(error) => {
                // Also when the log is gone for good: the shard's next turn sees that.
                inner.state = State::Active(active);
                return Err(ErrorCode::from(&error));
            }
        }
        inner.state = State::Active(active);
        let durable = inner.durable(&slot.partition, self.config.commit_timeout);
        drop(inner);
        self.alarm.note(slot.deadline());
        Ok(Answered { value: (), durable })
    }
}

/// Whether a marker of version 2 was refused since the log has it: the epoch in the log is the marker's own.
fn is_repeated(error: &AppendError) -> bool {
    let AppendError::Log(log::AppendError::Sequence(error)) = error else { return false };
    match error {
        SequenceError::MarkerEpochNotAbove { producer_epoch, current_epoch, .. } => {
            producer_epoch == current_epoch
        }
        _ => false,
    }
}
