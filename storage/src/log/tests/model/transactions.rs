//! The transactions of the model: what the list of batches says of them, and the log's answers held against it.

use super::*;
use crate::batch::{ControlMarker, end_transaction_marker};
use crate::txn_index::AbortedTransaction;

/// Ids of transactional producers begin here.
const FIRST_PRODUCER: i64 = 1_000_000;

#[derive(Debug, Clone, Copy)]
pub(super) enum TxnOp {
    Append {
        producer: i64,
        value_bytes: usize,
        mapped: bool,
    },
    /// With a higher epoch, as under transaction version 2, or with the same.
    End {
        producer: i64,
        is_commit: bool,
        raise_epoch: bool,
    },
    FirstUnstable {
        final_below: f64,
    },
    Aborted {
        from: f64,
        to: f64,
    },
}

pub(super) fn op() -> impl Strategy<Value = TxnOp> {
    prop_oneof![
        6 => (0i64..4, 0usize..900, any::<bool>())
            .prop_map(|(producer, value_bytes, mapped)| TxnOp::Append { producer, value_bytes, mapped }),
        4 => (0i64..4, any::<bool>(), any::<bool>())
            .prop_map(|(producer, is_commit, raise_epoch)| TxnOp::End { producer, is_commit, raise_epoch }),
        2 => (0.0..1.0).prop_map(|final_below| TxnOp::FirstUnstable { final_below }),
        2 => (0.0..1.0, 0.0..1.0).prop_map(|(from, to)| TxnOp::Aborted { from, to }),
    ]
}

/// What a batch is to its producer's transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    producer: i64,
    epoch: i16,
    kind: PartKind,
}

#[derive(Debug, Clone, Copy)]
enum PartKind {
    Records { sequence: i32 },
    Marker { is_commit: bool },
}

#[derive(Debug)]
struct Transaction {
    producer: i64,
    /// Base and next offset of each batch.
    batches: Vec<(i64, i64)>,
    /// Offset of the marker, and whether it aborts.
    marker: Option<(i64, bool)>,
}

impl Transaction {
    fn first(&self) -> i64 {
        self.batches[0].0
    }
}

impl Model {
    pub(super) fn apply_txn(&mut self, op: TxnOp) {
        match op {
            TxnOp::Append { producer, value_bytes, mapped } => {
                let producer = FIRST_PRODUCER + self.generation + producer;
                let (epoch, sequence) = self.epoch_and_sequence(producer);
                let batch = BatchBuilder::new()
                    .producer(producer, epoch, sequence)
                    .transactional()
                    .record(NOW_MS, None, Some(&vec![sequence as u8; value_bytes]))
                    .build();
                let guard = self.log.maybe_start_verification(producer, sequence, epoch, false, NOW_MS);
                let transaction = TransactionContext { guard: guard.unwrap(), version: 0 };
                let mode = if mapped { WriteMode::Mapped } else { WriteMode::Plain };
                self.append_with(&batch, AppendContext { transaction, ..context(mode) }, vec![NOW_MS]);
                self.note_part(Part { producer, epoch, kind: PartKind::Records { sequence } });
            }
            TxnOp::End { producer, is_commit, raise_epoch } => {
                let producer = FIRST_PRODUCER + self.generation + producer;
                let epoch = self.epoch_and_sequence(producer).0 + i16::from(raise_epoch);
                self.end_transaction(producer, epoch, is_commit, if raise_epoch { 2 } else { 1 });
            }
            TxnOp::FirstUnstable { final_below } => {
                self.check_first_unstable((self.end() as f64 * final_below) as i64);
            }
            TxnOp::Aborted { from, to } => {
                let at = |part: f64| self.start + ((self.end() - self.start) as f64 * part) as i64;
                self.check_aborted(at(from.min(to)), at(from.max(to)) + 1);
            }
        }
    }

    fn end_transaction(&mut self, producer: i64, epoch: i16, is_commit: bool, version: i16) {
        let says = ControlMarker { is_commit, coordinator_epoch: 0 };
        let transaction = TransactionContext { version, ..TransactionContext::NONE };
        let context =
            AppendContext { origin: AppendOrigin::Coordinator, transaction, ..context(WriteMode::Plain) };
        let marker = end_transaction_marker(producer, epoch, says, NOW_MS);
        self.append_with(&marker, context, vec![NOW_MS]);
        self.note_part(Part { producer, epoch, kind: PartKind::Marker { is_commit } });
    }

    fn note_part(&mut self, part: Part) {
        self.batches.last_mut().unwrap().part = Some(part);
    }

    /// The state of a producer: its epoch, and the next sequence under it.
    fn epoch_and_sequence(&self, producer: i64) -> (i16, i32) {
        let mut parts = self.parts().map(|(_, part)| part).filter(|part| part.producer == producer).rev();
        let Some(last) = parts.next() else { return (0, 0) };
        let of_epoch = std::iter::once(last).chain(parts).take_while(|part| part.epoch == last.epoch);
        let sequence = of_epoch.into_iter().find_map(|part| match part.kind {
            PartKind::Records { sequence } => Some(sequence + 1),
            PartKind::Marker { .. } => None,
        });
        let sequence = sequence.unwrap_or(0);
        // What a producer does whose sequence was lost with its records and a snapshot.
        if self.crashed && !self.knows(producer, last.epoch, sequence) {
            return (last.epoch + 1, 0);
        }
        (last.epoch, sequence)
    }

    fn knows(&self, producer: i64, epoch: i16, next_sequence: i32) -> bool {
        let known = self.log.active_producers().into_iter().find(|known| known.producer_id == producer);
        known.is_none_or(|known| known.producer_epoch == epoch && known.last_sequence == next_sequence - 1)
    }

    fn parts(&self) -> impl DoubleEndedIterator<Item = (&Stored, Part)> {
        self.batches.iter().filter_map(|batch| Some((batch, batch.part?)))
    }

    /// All transactions, by first offset.
    fn transactions(&self) -> Vec<Transaction> {
        let mut transactions: Vec<Transaction> = Vec::new();
        for (batch, Part { producer, kind, .. }) in self.parts() {
            let offsets = (batch.base_offset, batch.next_offset);
            let mut open =
                transactions.iter_mut().filter(|one| one.producer == producer && one.marker.is_none());
            match (open.next(), kind) {
                (Some(open), PartKind::Records { .. }) => open.batches.push(offsets),
                (Some(open), PartKind::Marker { is_commit }) => open.marker = Some((offsets.0, !is_commit)),
                (None, PartKind::Records { .. }) => {
                    transactions.push(Transaction { producer, batches: vec![offsets], marker: None });
                }
                (None, PartKind::Marker { .. }) => {}
            }
        }
        transactions
    }

    /// After a crash the log may have forgotten transactions of which it has no record any more. Then the first unstable
    /// offset isn't above the records that are left.
    pub(super) fn check_first_unstable(&mut self, final_below: i64) {
        self.final_below = self.final_below.max(final_below);
        let place = self.log.first_unstable_offset(final_below);
        if let Some(place) = place {
            // The log start may have been the end of a segment before the next one was there.
            let now = self.log.locate(place.offset).unwrap();
            assert!(
                place == now
                    || now == LogOffsetMetadata { segment_base_offset: now.offset, position: 0, ..place }
            );
        }
        let found = place.map_or(i64::MAX, |place| place.offset);
        let held: Vec<_> = self
            .transactions()
            .into_iter()
            .filter(|one| one.marker.is_none_or(|(marker, _)| marker >= self.final_below))
            .collect();
        let expected = held.iter().map(|one| one.first().max(self.start)).min().unwrap_or(i64::MAX);
        if self.crashed {
            assert!(found >= expected, "held back without reason: {found} for {expected}");
            let left = held.iter().flat_map(|one| &one.batches).filter(|batch| batch.1 > self.start);
            let highest = left.map(|batch| batch.0.max(self.start)).min().unwrap_or(i64::MAX);
            assert!(found <= highest, "{found} passes an undecided record at {highest}");
        } else {
            assert_eq!(found, expected);
        }
    }

    pub(super) fn check_aborted(&self, from: i64, to: i64) {
        let found = self.log.aborted_transactions(from, to).unwrap();
        let all = self.transactions();
        // A reader drops the records of a producer from the first offset up to the marker.
        for one in &all {
            let aborted = one.marker.is_some_and(|(_, aborted)| aborted);
            for (base, _) in one.batches.iter().filter(|batch| (from..to).contains(&batch.0)) {
                let dropped = found.iter().any(|entry| {
                    entry.producer_id == one.producer
                        && (entry.first_offset..entry.last_offset).contains(base)
                });
                assert_eq!(dropped, aborted, "the record at {base} of {one:?} in {found:?}");
            }
        }
        if self.crashed {
            return;
        }
        let mut expected = Vec::new();
        for one in &all {
            let Some((marker, true)) = one.marker else { continue };
            if marker >= from && one.first() < to {
                let open = all.iter().find(|other| {
                    let still_open = other.marker.is_none_or(|(end, _)| end > marker);
                    still_open && other.first() < marker
                });
                expected.push(AbortedTransaction {
                    producer_id: one.producer,
                    first_offset: one.first(),
                    last_offset: marker,
                    last_stable_offset: open.map_or(marker + 1, Transaction::first),
                });
            }
        }
        expected.sort_by_key(|entry| entry.last_offset);
        assert_eq!(found, expected);
    }

    /// All records were lost, but the log may know from a snapshot which transactions were open. They are ended.
    pub(super) fn end_forgotten(&mut self) {
        for producer in self.log.active_producers() {
            if producer.current_txn_start_offset.is_some() {
                self.end_transaction(producer.producer_id, producer.producer_epoch + 1, true, 2);
            }
        }
        self.check_first_unstable(self.end());
    }

    /// What an index could have held in another life of its segment.
    pub(super) fn plausible_index(base: i64) -> Vec<u8> {
        let fields = [FIRST_PRODUCER, base, base + 1, base + 2];
        [0u8; 2].into_iter().chain(fields.into_iter().flat_map(i64::to_be_bytes)).collect()
    }
}
