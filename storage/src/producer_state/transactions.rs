//! The transactions that hold the last stable offset back: those that are open, and those that have ended with a marker
//! that isn't final yet.

use super::{CompletedTransaction, TransactionChange};
use crate::LogOffsetMetadata;
use crate::txn_index::AbortedTransaction;
use std::collections::{BTreeMap, VecDeque};

/// Ended transactions that are told apart. The oldest are taken together beyond, and hold the last stable offset as
/// one until the marker of the last is final.
const MAX_ENDED: usize = 1024;

/// The transactions of all producers of one partition. Not synchronised.
#[derive(Debug, Default)]
pub struct Transactions {
    /// By first offset.
    open: BTreeMap<i64, Open>,
    /// By the offset of the marker, and by first offset too: one that began after the next in the list doesn't matter,
    /// since that one holds the last stable offset lower and longer.
    ended: VecDeque<Ended>,
}

#[derive(Debug)]
struct Open {
    producer_id: i64,
    start: LogOffsetMetadata,
}

#[derive(Debug)]
struct Ended {
    start: LogOffsetMetadata,
    marker_offset: i64,
}

impl Transactions {
    /// Follows what a batch at `place` does. Gives what the index of aborted transactions has to hold of it.
    pub fn apply(
        &mut self,
        change: TransactionChange,
        place: LogOffsetMetadata,
    ) -> Option<AbortedTransaction> {
        match change {
            TransactionChange::Began { producer_id, first_offset } => {
                self.begin(producer_id, first_offset, place);
                None
            }
            TransactionChange::Ended(ended) => {
                let last_stable_offset = self.last_stable_offset_after(&ended);
                self.end(&ended);
                let CompletedTransaction { producer_id, first_offset, last_offset, aborted } = ended;
                aborted.then_some(AbortedTransaction {
                    producer_id,
                    first_offset,
                    last_offset,
                    last_stable_offset,
                })
            }
        }
    }

    /// A transaction has begun with the batch at `start`, or with one before it that is not in the log any more.
    pub fn begin(&mut self, producer_id: i64, first_offset: i64, start: LogOffsetMetadata) {
        self.open.insert(first_offset, Open { producer_id, start });
    }

    /// The last stable offset that the marker of a transaction leaves, if every marker is final; asked before
    /// [`Transactions::end`].
    fn last_stable_offset_after(&self, ended: &CompletedTransaction) -> i64 {
        let others = self.open.iter().find(|(_, open)| open.producer_id != ended.producer_id);
        others.map_or(ended.last_offset + 1, |(first_offset, _)| *first_offset)
    }

    /// A marker has ended a transaction; it comes after all others in the log.
    fn end(&mut self, ended: &CompletedTransaction) {
        let Some(Open { start, .. }) = self.open.remove(&ended.first_offset) else { return };
        while self.ended.back().is_some_and(|last| last.start.offset >= start.offset) {
            self.ended.pop_back();
        }
        self.ended.push_back(Ended { start, marker_offset: ended.last_offset });
        if self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
            && let Some(next) = self.ended.front_mut()
        {
            next.start = oldest.start;
        }
    }

    /// Forgets the transactions whose markers lie below `final_below`: they don't hold anything back any more.
    pub fn markers_are_final(&mut self, final_below: i64) {
        while self.ended.front().is_some_and(|oldest| oldest.marker_offset < final_below) {
            self.ended.pop_front();
        }
        if self.ended.is_empty() {
            self.ended = VecDeque::new();
        }
    }

    /// The place of the first record of the earliest transaction here.
    pub fn first_unstable(&self) -> Option<LogOffsetMetadata> {
        let open = self.open.first_key_value().map(|(_, open)| open.start);
        let ended = self.ended.front().map(|ended| ended.start);
        match (open, ended) {
            (Some(open), Some(ended)) => Some(if open.offset < ended.offset { open } else { ended }),
            (open, ended) => open.or(ended),
        }
    }

    /// The log starts at `log_start` now: transactions that began below are held to begin there, and those that ended
    /// below are gone.
    pub fn start_at(&mut self, log_start: LogOffsetMetadata) {
        self.markers_are_final(log_start.offset);
        let open = self.open.values_mut().map(|open| &mut open.start);
        for start in open.chain(self.ended.iter_mut().map(|ended| &mut ended.start)) {
            if start.offset < log_start.offset {
                *start = log_start;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(offset: i64) -> LogOffsetMetadata {
        LogOffsetMetadata { offset, segment_base_offset: 0, position: offset as u32 * 10 }
    }

    fn ended(producer_id: i64, first_offset: i64, last_offset: i64) -> CompletedTransaction {
        CompletedTransaction { producer_id, first_offset, last_offset, aborted: true }
    }

    #[test]
    fn a_transaction_holds_until_its_marker_is_final() {
        let mut transactions = Transactions::default();
        assert_eq!(transactions.first_unstable(), None);
        transactions.begin(1, 5, at(5));
        transactions.begin(2, 8, at(8));
        assert_eq!(transactions.first_unstable(), Some(at(5)));
        assert_eq!(transactions.last_stable_offset_after(&ended(1, 5, 20)), 8);
        transactions.end(&ended(1, 5, 20));
        assert_eq!(transactions.first_unstable(), Some(at(5)));
        transactions.markers_are_final(20);
        assert_eq!(transactions.first_unstable(), Some(at(5)), "the marker itself isn't below");
        transactions.markers_are_final(21);
        assert_eq!(transactions.first_unstable(), Some(at(8)));
        assert_eq!(transactions.last_stable_offset_after(&ended(2, 8, 30)), 31);
        transactions.end(&ended(2, 8, 30));
        transactions.markers_are_final(31);
        assert_eq!(transactions.first_unstable(), None);
    }

    #[test]
    fn the_log_start_cuts_transactions_short() {
        let mut transactions = Transactions::default();
        for (producer, first) in [(1, 5), (2, 8), (3, 30), (4, 2)] {
            transactions.begin(producer, first, at(first));
        }
        transactions.end(&ended(4, 2, 10));
        transactions.end(&ended(2, 8, 40));
        transactions.start_at(at(20));
        assert_eq!(transactions.first_unstable(), Some(at(20)));
        assert_eq!(transactions.last_stable_offset_after(&ended(3, 30, 50)), 5, "as the log once had it");
        transactions.end(&ended(1, 5, 50));
        transactions.markers_are_final(41);
        assert_eq!(transactions.first_unstable(), Some(at(20)));
        transactions.markers_are_final(51);
        assert_eq!(transactions.first_unstable(), Some(at(30)));
    }

    #[test]
    fn ended_transactions_that_nobody_asks_for_are_bounded() {
        let mut transactions = Transactions::default();
        for i in 0..5000 {
            transactions.begin(1, i * 2, at(i * 2));
            transactions.end(&ended(1, i * 2, i * 2 + 1));
            assert!(transactions.ended.len() <= MAX_ENDED);
        }
        assert_eq!(transactions.first_unstable(), Some(at(0)));
        let oldest_alone = 2 * (5000 - MAX_ENDED as i64 + 1);
        transactions.markers_are_final(oldest_alone - 2);
        assert_eq!(transactions.first_unstable(), Some(at(0)), "held back rather than let go early");
        transactions.markers_are_final(oldest_alone);
        assert_eq!(transactions.first_unstable(), Some(at(oldest_alone)));
        transactions.markers_are_final(10_000);
        assert_eq!(transactions.first_unstable(), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(
            steps in proptest::collection::vec((0i64..6, 0usize..4, 0i64..30), 1..200),
        ) {
            let mut transactions = Transactions::default();
            let mut plain: Vec<(i64, i64, Option<i64>)> = Vec::new(); // producer, first, marker
            let mut final_below = 0;
            for (offset, (producer, action, back)) in (0i64..).zip(steps) {
                let open = plain.iter_mut().find(|t| t.0 == producer && t.2.is_none());
                match (action, open) {
                    (0 | 1, None) => {
                        transactions.begin(producer, offset, at(offset));
                        plain.push((producer, offset, None));
                    }
                    (0 | 1, Some(open)) => {
                        open.2 = Some(offset);
                        transactions.end(&ended(producer, open.1, offset));
                    }
                    _ => {
                        final_below = final_below.max(offset - back);
                        transactions.markers_are_final(final_below);
                    }
                }
                let held = plain.iter().filter(|t| t.2.is_none_or(|marker| marker >= final_below));
                prop_assert_eq!(transactions.first_unstable(), held.map(|t| at(t.1)).min_by_key(|t| t.offset));
            }
        }
    }
}
