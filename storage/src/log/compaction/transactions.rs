//! Which batches a compaction may drop because their transaction was aborted, and when a marker has nothing left to say.

use crate::batch::{BatchHeader, ControlMarker};
use crate::txn_index::AbortedTransaction;
use std::collections::{HashMap, HashSet};

/// Follows the transactions of a log from its first batch on, as readers of committed records do.
#[derive(Debug, Default)]
pub(super) struct CleanedTransactions {
    /// Those that haven't begun yet, the next one last.
    aborted: Vec<AbortedTransaction>,
    /// By producer: the aborted transaction that the batches belong to now, and whether one of them was seen.
    ongoing_aborted: HashMap<i64, (AbortedTransaction, bool)>,
    /// Producers of which a batch was seen since their last marker.
    ongoing_committed: HashSet<i64>,
    /// Aborted transactions that still have batches, since the last [`take_kept`](Self::take_kept).
    kept: Vec<AbortedTransaction>,
}

impl CleanedTransactions {
    /// `aborted` are all that the part of the log to be gone through knows of.
    pub(super) fn new(mut aborted: Vec<AbortedTransaction>) -> CleanedTransactions {
        aborted.sort_unstable_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        CleanedTransactions { aborted, ..CleanedTransactions::default() }
    }

    /// Follows a batch, of which `marker` is the end of a transaction if it is a control batch. Whether it needn't be
    /// kept: it belongs to an aborted transaction, or it ends one of which no batch was seen.
    pub(super) fn follow(&mut self, batch: &BatchHeader, marker: Option<ControlMarker>) -> bool {
        while let Some(next) = self.aborted.pop_if(|next| next.first_offset <= batch.last_offset()) {
            self.ongoing_aborted.entry(next.producer_id).or_insert((next, false));
        }
        let producer_id = batch.producer_id;
        if batch.is_control() {
            return match marker {
                Some(marker) if marker.is_commit => !self.ongoing_committed.remove(&producer_id),
                Some(_) => match self.ongoing_aborted.remove(&producer_id) {
                    Some((transaction, true)) => {
                        self.kept.push(transaction);
                        false
                    }
                    _ => true,
                },
                // Emptied before; or of another kind, which we don't write.
                None => batch.records_count == 0,
            };
        }
        if !batch.is_transactional() {
            return false;
        }
        if let Some((_, seen)) = self.ongoing_aborted.get_mut(&producer_id) {
            *seen = true;
            return true;
        }
        self.ongoing_committed.insert(producer_id);
        false
    }

    /// What the index of aborted transactions has to hold of the markers that were passed since the last call.
    pub(super) fn take_kept(&mut self) -> Vec<AbortedTransaction> {
        std::mem::take(&mut self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, end_transaction_marker};

    fn data(producer_id: i64, base_offset: i64) -> BatchHeader {
        let batch =
            BatchBuilder::new().producer(producer_id, 0, 0).transactional().record(1, None, None).build();
        BatchHeader { base_offset, ..*batch.header() }
    }

    fn end(producer_id: i64, base_offset: i64, is_commit: bool) -> (BatchHeader, Option<ControlMarker>) {
        let marker = ControlMarker { is_commit, coordinator_epoch: 0 };
        let batch = end_transaction_marker(producer_id, 0, marker, 1);
        (BatchHeader { base_offset, ..*batch.header() }, Some(marker))
    }

    fn aborted(producer_id: i64, first_offset: i64, last_offset: i64) -> AbortedTransaction {
        AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset: last_offset + 1 }
    }

    #[test]
    fn a_marker_stays_for_as_long_as_there_is_a_batch() {
        let mut transactions = CleanedTransactions::new(vec![aborted(2, 1, 5), aborted(1, 0, 3)]);
        let mut follow = |(batch, marker): (BatchHeader, _)| transactions.follow(&batch, marker);
        assert!(follow((data(1, 0), None)));
        assert!(follow((data(2, 1), None)));
        assert!(!follow((data(3, 2), None)), "committed");
        assert!(!follow(end(1, 3, false)));
        assert!(!follow((data(1, 4), None)), "the producer's next transaction");
        assert!(!follow(end(2, 5, false)));
        assert!(!follow(end(3, 6, true)));
        assert!(!follow(end(1, 7, true)));
        assert_eq!(transactions.take_kept(), [aborted(1, 0, 3), aborted(2, 1, 5)]);
    }

    #[test]
    fn a_marker_without_a_batch_has_nothing_to_say() {
        let mut transactions = CleanedTransactions::new(vec![aborted(1, 0, 3)]);
        let mut follow = |(batch, marker): (BatchHeader, _)| transactions.follow(&batch, marker);
        assert!(follow(end(1, 3, false)));
        assert!(follow(end(2, 4, true)));
        let (emptied, _) = end(2, 5, true);
        assert!(follow((emptied.without_records(), None)));
        let plain = *BatchBuilder::new().producer(1, 0, 0).record(1, None, None).build().header();
        assert!(!follow((BatchHeader { base_offset: 6, ..plain }, None)));
        assert_eq!(transactions.take_kept(), []);
    }
}
