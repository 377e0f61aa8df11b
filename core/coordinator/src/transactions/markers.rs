//! From the decision to the completion: markers are left, and when they are written the transaction is complete.

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::transaction_records::TransactionState;

use super::shard::TransactionShard;
use super::transaction::{End, Transaction};
use super::turn::{MarkersToWrite, TransactionTurn};

impl TransactionShard {
    /// Decides the end of a transaction. Gives what the producer goes on with when it is complete. Without partitions
    /// there are no markers to wait for, and it is complete at once.
    pub(super) fn decide(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        transactional_id: &StrBytes,
        end: End,
        last_epoch: i16,
    ) -> Option<(i64, i16)> {
        let current = &self.ids.get(transactional_id)?.transaction;
        let ending = current.ending(end, turn.now.wall_ms);
        let complete = ending.complete(turn.now.wall_ms);
        self.transit(turn, transactional_id, &ending, last_epoch);
        if ending.partitions.is_empty() {
            self.transit(turn, transactional_id, &complete, last_epoch);
        } else {
            let id = self.ids.get_key_value(transactional_id)?.0.clone();
            turn.markers.push(markers_of(turn, id, &ending));
        }
        Some((complete.producer_id, complete.producer_epoch))
    }

    /// All markers of a transaction are durable: it is complete. False if the id has no such transaction any more, which
    /// happens when markers were on their way twice.
    pub fn markers_written(
        &mut self,
        turn: &mut TransactionTurn<'_>,
        transactional_id: &StrBytes,
        producer_id: i64,
        producer_epoch: i16,
    ) -> bool {
        let Some(entry) = self.ids.get(transactional_id) else { return false };
        let transaction = &entry.transaction;
        let same = (transaction.producer_id, transaction.producer_epoch) == (producer_id, producer_epoch);
        if !same || !transaction.is_ending() {
            return false;
        }
        let complete = transaction.complete(turn.now.wall_ms);
        let last_epoch = entry.last.epoch;
        self.transit(turn, transactional_id, &complete, last_epoch);
        true
    }

    /// Leaves the markers of transactions whose end is decided: which of them were written isn't known.
    pub(super) fn resume_markers(&self, turn: &mut TransactionTurn<'_>) {
        for (id, entry) in self.ids.iter().filter(|(_, entry)| entry.transaction.is_ending()) {
            turn.markers.push(markers_of(turn, id.clone(), &entry.transaction));
        }
    }
}

fn markers_of(
    turn: &TransactionTurn<'_>,
    transactional_id: StrBytes,
    ending: &Transaction,
) -> MarkersToWrite {
    MarkersToWrite {
        transactional_id,
        producer_id: ending.producer_id,
        producer_epoch: ending.producer_epoch,
        commit: ending.state == TransactionState::PrepareCommit,
        coordinator_epoch: turn.coordinator_epoch,
        transaction_version: ending.client_version,
        partitions: ending.partitions.clone(),
    }
}
