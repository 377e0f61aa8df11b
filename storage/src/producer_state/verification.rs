//! Producers whose transaction the coordinator is being asked about (KIP-890). Not in the log and not in snapshots: after
//! a restart whoever asks begins anew.
//!
//! The first batch of a transaction in a partition may only be appended if the coordinator knows of the partition, or
//! the transaction would never end here. Between its answer and the append a marker may end the transaction, so the
//! answer counts for the guard it was asked under, and the guard goes with every transactional batch and marker of the
//! producer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Producers that may be asked about at once. Beyond, the oldest questions are forgotten, and their batches refused.
const MAX_VERIFICATIONS: usize = 10_000;

/// Names one verification. Two are never equal, not even of different partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerificationGuard(u64);

impl VerificationGuard {
    /// No verification: there is none to do, or none was done.
    pub const NONE: VerificationGuard = VerificationGuard(0);

    /// Nothing is verified, and nothing has to be: verification is switched off.
    pub const UNCHECKED: VerificationGuard = VerificationGuard(u64::MAX);

    fn next() -> VerificationGuard {
        static LAST: AtomicU64 = AtomicU64::new(0);
        VerificationGuard(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The transaction is open in the partition already, so there is nothing to ask the coordinator.
    pub fn is_none(self) -> bool {
        self == VerificationGuard::NONE
    }
}

/// What is known of a producer while its transaction is verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verification {
    pub(super) guard: VerificationGuard,
    /// The lowest sequence that was to be appended under this epoch. A higher one has to wait for it: when the
    /// lower one is refused for now, the producer sends it again.
    pub(super) lowest_sequence: i32,
    epoch: i16,
    /// The producer's epoch rises with every transaction (transaction version 2).
    pub(super) supports_epoch_bump: bool,
    started_ms: i64,
}

/// The verifications of one partition.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    by_producer: HashMap<i64, Verification>,
}

impl Verifications {
    pub(super) fn get(&self, producer_id: i64) -> Option<&Verification> {
        self.by_producer.get(&producer_id)
    }

    /// The guard of the verification that is under way, or of a new one.
    pub(super) fn start(
        &mut self,
        producer_id: i64,
        sequence: i32,
        epoch: i16,
        supports_epoch_bump: bool,
        now_ms: i64,
    ) -> VerificationGuard {
        let verification = self.by_producer.entry(producer_id).or_insert_with(|| Verification {
            guard: VerificationGuard::next(),
            lowest_sequence: sequence,
            epoch,
            supports_epoch_bump,
            started_ms: now_ms,
        });
        if epoch > verification.epoch {
            (verification.epoch, verification.lowest_sequence) = (epoch, sequence);
        } else if epoch == verification.epoch {
            verification.lowest_sequence = verification.lowest_sequence.min(sequence);
        }
        let guard = verification.guard;
        if self.by_producer.len() > MAX_VERIFICATIONS {
            self.forget_oldest(guard);
        }
        guard
    }

    /// A transactional batch or a marker of the producer was appended.
    pub(super) fn clear(&mut self, producer_id: i64) {
        self.by_producer.remove(&producer_id);
    }

    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.by_producer.retain(|_, one| now_ms.saturating_sub(one.started_ms) < expiration_ms);
        self.by_producer.shrink_to(self.by_producer.len() * 2);
    }

    /// Drops an eighth, so that the cost of finding the oldest is spread, but not the one just begun.
    fn forget_oldest(&mut self, begun: VerificationGuard) {
        let mut guards: Vec<u64> = self.by_producer.values().map(|one| one.guard.0).collect();
        let (_, &mut last_to_go, _) = guards.select_nth_unstable(MAX_VERIFICATIONS / 8);
        self.by_producer.retain(|_, one| one.guard.0 > last_to_go || one.guard == begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_sequence_of_the_latest_epoch_counts() {
        let mut verifications = Verifications::default();
        let guard = verifications.start(1, 7, 3, true, 0);
        for (sequence, epoch, lowest) in [(9, 3, 7), (5, 3, 5), (1, 2, 5), (8, 4, 8), (2, 3, 8), (6, 4, 6)] {
            assert_eq!(verifications.start(1, sequence, epoch, true, 0), guard);
            assert_eq!(verifications.get(1).unwrap().lowest_sequence, lowest, "{sequence} of {epoch}");
        }
        verifications.clear(1);
        assert_ne!(verifications.start(1, 6, 4, true, 0), guard);
    }

    #[test]
    fn verifications_expire_and_are_bounded() {
        let mut verifications = Verifications::default();
        verifications.start(1, 0, 0, false, 1000);
        verifications.start(2, 0, 0, false, 2000);
        verifications.expire(2500, 1500);
        assert!(verifications.get(1).is_none() && verifications.get(2).is_some());
        for producer_id in 10..10 + 2 * MAX_VERIFICATIONS as i64 {
            let guard = verifications.start(producer_id, 0, 0, false, 3000);
            assert_eq!(verifications.get(producer_id).unwrap().guard, guard);
            assert!(verifications.by_producer.len() <= MAX_VERIFICATIONS);
        }
        assert!(verifications.get(2).is_none());
    }
}
