//! Where each leader epoch of a partition starts: Kafka's `LeaderEpochFileCache` (KIP-101, KIP-279) and its file
//! `leader-epoch-checkpoint`.
//!
//! A client that read under an older leader asks where that epoch ended (OffsetForLeaderEpoch, KIP-320) and so
//! notices records that were lost.

use crate::checkpoint::{self, CheckpointError};
use std::io;
use std::path::Path;

/// The file's name in a partition directory.
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
/// The epoch and end offset of an answer that knows nothing.
pub const UNDEFINED_EPOCH: i32 = -1;
/// See [`UNDEFINED_EPOCH`].
pub const UNDEFINED_EPOCH_OFFSET: i64 = -1;

/// An epoch and the offset of the first record written under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    /// Leader epoch.
    pub epoch: i32,
    /// First offset.
    pub start_offset: i64,
}

/// The epochs of one partition, epochs and start offsets both strictly rising.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    /// No epoch yet.
    pub fn new() -> LeaderEpochs {
        LeaderEpochs::default()
    }

    /// Notes that records from `start_offset` on are written under `epoch`, and returns whether that changed
    /// anything: the caller writes the checkpoint then.
    ///
    /// The latest epoch keeps its start unless the new one is lower. Entries that contradict the new one (an epoch
    /// or a start offset not below its own) are dropped: the log has been cut or a leader wrote nothing. A
    /// negative epoch or offset, as in batches that no leader stamped, changes nothing.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        if let Some(latest) = self.entries.last()
            && latest.epoch == epoch
            && latest.start_offset <= start_offset
        {
            return false;
        }
        while self.entries.last().is_some_and(|e| e.epoch >= epoch || e.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The latest entry.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The oldest entry.
    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The largest epoch not above `epoch` and the offset at which it ended, as OffsetForLeaderEpoch answers.
    ///
    /// The latest epoch ends at `log_end_offset`. An epoch older than all that are known ends where the first
    /// known one starts, under the epoch that was asked for. An epoch above the latest, and any epoch while none is
    /// known, is [`UNDEFINED_EPOCH`], [`UNDEFINED_EPOCH_OFFSET`].
    pub fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> (i32, i64) {
        if epoch != UNDEFINED_EPOCH && self.entries.last().is_some_and(|latest| latest.epoch == epoch) {
            return (epoch, log_end_offset);
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        match (epoch, self.entries.get(above)) {
            (UNDEFINED_EPOCH, _) | (_, None) => (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET),
            (_, Some(next)) => {
                let floor = above.checked_sub(1).map_or(epoch, |index| self.entries[index].epoch);
                (floor, next.start_offset)
            }
        }
    }

    /// The epoch under which the record at `offset` was written, as far as it is known.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        above.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// Drops the epochs that start at or after `end_offset` (the log was cut there); returns whether any did.
    pub fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let before = self.entries.len();
        if end_offset >= 0 {
            self.entries.retain(|entry| entry.start_offset < end_offset);
        }
        self.entries.len() != before
    }

    /// Forgets what lies before `start_offset` (the new log start offset): the epoch that covers it starts there
    /// from now on, older ones go. Returns whether anything changed.
    pub fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let covered = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(last_covered) = covered.checked_sub(1) else { return false };
        let changed = last_covered > 0 || self.entries[0].start_offset != start_offset;
        self.entries.drain(..last_covered);
        self.entries[0].start_offset = start_offset;
        changed
    }

    /// Forgets all epochs.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The text of the checkpoint file.
    pub fn encode(&self) -> String {
        use std::fmt::Write as _;
        checkpoint::encode(&self.entries, |out, entry| write!(out, "{} {}", entry.epoch, entry.start_offset))
    }

    /// Reads the text of the checkpoint file. Lines are taken in order through [`LeaderEpochs::assign`], as in
    /// Kafka, so that the result is strictly rising whatever the file says.
    ///
    /// # Errors
    /// The file's faults; a caller rebuilds the epochs from the batches then.
    pub fn parse(text: &str) -> Result<LeaderEpochs, CheckpointError> {
        let entries = checkpoint::parse(text, |fields| match *fields {
            [epoch, start_offset] => {
                let entry =
                    EpochEntry { epoch: epoch.parse().ok()?, start_offset: start_offset.parse().ok()? };
                (entry.epoch >= 0 && entry.start_offset >= 0).then_some(entry)
            }
            _ => None,
        })?;
        let mut epochs = LeaderEpochs::new();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start_offset);
        }
        Ok(epochs)
    }

    /// Reads the checkpoint of a partition directory; a missing file has no epochs.
    ///
    /// # Errors
    /// As [`LeaderEpochs::parse`], and what reading the file gives.
    pub fn read(partition_dir: &Path) -> Result<LeaderEpochs, CheckpointError> {
        LeaderEpochs::parse(&checkpoint::read_text(&partition_dir.join(LEADER_EPOCH_CHECKPOINT))?)
    }

    /// Writes the checkpoint of a partition directory durably.
    ///
    /// # Errors
    /// What the file system gives; the old file is then still whole.
    pub fn write(&self, partition_dir: &Path) -> io::Result<()> {
        checkpoint::write_atomically(&partition_dir.join(LEADER_EPOCH_CHECKPOINT), self.encode().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::new();
        for &(epoch, start_offset) in entries {
            epochs.assign(epoch, start_offset);
        }
        epochs
    }

    fn pairs(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
        epochs.entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect()
    }

    #[test]
    fn the_first_start_of_an_epoch_stands() {
        let mut e = LeaderEpochs::new();
        assert!(e.assign(2, 10));
        assert!(!e.assign(2, 11));
        assert!(!e.assign(2, 10));
        assert_eq!(pairs(&e), [(2, 10)]);
        // A lower start is a correction.
        assert!(e.assign(2, 9));
        assert_eq!(pairs(&e), [(2, 9)]);
        assert!(!e.assign(-1, 20) && !e.assign(3, -1));
    }

    #[test]
    fn contradicting_entries_give_way() {
        let mut e = epochs(&[(0, 0), (1, 10), (2, 20)]);
        assert!(e.assign(3, 20)); // epoch 2 wrote nothing
        assert_eq!(pairs(&e), [(0, 0), (1, 10), (3, 20)]);
        assert!(e.assign(4, 5));
        assert_eq!(pairs(&e), [(0, 0), (4, 5)]);
        assert!(e.assign(2, 8)); // an epoch below the latest, as in a log that was cut
        assert_eq!(pairs(&e), [(0, 0), (2, 8)]);
    }

    #[test]
    fn ends_are_those_of_offset_for_leader_epoch() {
        let e = epochs(&[(2, 10), (4, 20), (7, 35)]);
        let end = |epoch| e.end_offset_for(epoch, 50);
        assert_eq!(end(7), (7, 50));
        assert_eq!(end(4), (4, 35));
        assert_eq!(end(6), (4, 35)); // epochs 5 and 6 wrote nothing
        assert_eq!(end(2), (2, 20));
        assert_eq!(end(3), (2, 20));
        assert_eq!(end(0), (0, 10)); // older than anything known
        assert_eq!(end(8), (-1, -1)); // not a leader of this log
        assert_eq!(end(-1), (-1, -1));
        assert_eq!(LeaderEpochs::new().end_offset_for(0, 50), (-1, -1));
    }

    #[test]
    fn offsets_belong_to_the_epoch_that_wrote_them() {
        let e = epochs(&[(2, 10), (4, 20)]);
        assert_eq!(
            [9, 10, 19, 20, 99].map(|o| e.epoch_for_offset(o)),
            [None, Some(2), Some(2), Some(4), Some(4)]
        );
    }

    #[test]
    fn cutting_the_end_drops_epochs_that_start_there_or_later() {
        let mut e = epochs(&[(2, 10), (4, 20), (7, 35)]);
        assert!(!e.truncate_from_end(36));
        assert!(e.truncate_from_end(35));
        assert_eq!(pairs(&e), [(2, 10), (4, 20)]);
        assert!(e.truncate_from_end(5));
        assert_eq!(pairs(&e), []);
    }

    #[test]
    fn cutting_the_start_moves_the_epoch_that_covers_it() {
        let mut e = epochs(&[(2, 10), (4, 20), (7, 35)]);
        assert!(!e.truncate_from_start(9));
        assert!(!e.truncate_from_start(10));
        assert!(e.truncate_from_start(25));
        assert_eq!(pairs(&e), [(4, 25), (7, 35)]);
        assert!(e.truncate_from_start(35));
        assert_eq!(pairs(&e), [(7, 35)]);
        assert!(e.truncate_from_start(90));
        assert_eq!(pairs(&e), [(7, 90)]);
    }

    #[test]
    fn the_file_is_kafkas() {
        let e = epochs(&[(0, 0), (3, 17)]);
        assert_eq!(e.encode(), "0\n2\n0 0\n3 17\n");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(LeaderEpochs::read(dir.path()).unwrap(), LeaderEpochs::new());
        e.write(dir.path()).unwrap();
        assert_eq!(LeaderEpochs::read(dir.path()).unwrap(), e);
        assert!(LeaderEpochs::parse("0\n1\n-1 5\n").is_err());
        assert!(LeaderEpochs::parse("0\n1\n1 5 6\n").is_err());
        // Falling entries are cut as assign would.
        assert_eq!(pairs(&LeaderEpochs::parse("0\n3\n5 10\n6 20\n5 15\n").unwrap()), [(5, 15)]);
    }

    proptest! {
        #[test]
        fn entries_always_rise_strictly_and_survive_the_file(
            steps in proptest::collection::vec((0u8..3, 0i32..20, 0i64..100), 0..60)
        ) {
            let mut e = LeaderEpochs::new();
            for (step, epoch, offset) in steps {
                match step {
                    0 => { e.truncate_from_end(offset); }
                    1 => { e.truncate_from_start(offset); }
                    _ => { e.assign(epoch, offset); prop_assert!(e.latest().unwrap().epoch == epoch); }
                }
                prop_assert!(e.entries().is_sorted_by(|a, b| a.epoch < b.epoch && a.start_offset < b.start_offset));
                prop_assert_eq!(&LeaderEpochs::parse(&e.encode()).unwrap(), &e);
                for asked in -1..21 {
                    let (found, end) = e.end_offset_for(asked, 1000);
                    prop_assert!(found <= asked);
                    prop_assert_eq!(found == -1, end == -1);
                }
            }
        }
    }
}
