//! The producers' state of a log that is opened: from a snapshot and the batches after it. With it goes what follows
//! from it: the transactions that are open, and the indexes of aborted transactions that a crash may have taken.

use super::SegmentList;
use super::open::{Files, Opening};
use super::transactions::place_in;
use crate::batch::ControlMarker;
use crate::fs::{SNAPSHOT_SUFFIX, segment_path};
use crate::producer_state::{ProducerStates, Transactions};
use crate::segment::{Headers, LocatedBatch, Segment};
use crate::txn_index::AbortedTransaction;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// After a crash at least so many bytes of batches are gone through, if there are: more than the five batches that a
/// producer may have under way.
const REPLAYED_AFTER_CRASH_BYTES: u64 = 32 << 20;

impl Opening<'_> {
    /// The producers' state at the log end: a usable snapshot, and the batches after it. Snapshots that belong to no
    /// segment, or to records that were cut, go.
    ///
    /// A snapshot holds each producer's last batch alone. After a clean stop the latest one will do, since everyone
    /// was answered. After a crash a producer sends all again that it had under way, so its last batches have to be
    /// found, and the snapshot taken lies far enough back for that. It lies before every marker too whose index has to
    /// be written anew: without one the log's first segment is gone through, which has all that readers can see.
    pub(super) fn producers(
        &mut self,
        files: &mut Files,
        list: &SegmentList,
        log_start_offset: i64,
    ) -> io::Result<(ProducerStates, Transactions)> {
        let (segments, next_offset) = (&list.segments[..], list.end().offset);
        // A snapshot holds for the log as it is when the log reaches it, for those beyond a cut go here. One from
        // before the first segment doesn't: of the batches in between nothing is known any more.
        let mut producers = ProducerStates::default();
        let first_offset = segments.first().map_or(next_offset, |first| first.base_offset());
        let (usable, others): (Vec<i64>, Vec<i64>) =
            files.snapshots.iter().partition(|offset| (first_offset..=next_offset).contains(*offset));
        let bytes_from = |offset: i64| -> u64 {
            let after = segments.iter().filter(|segment| segment.base_offset() >= offset);
            after.map(|segment| u64::from(segment.end().position)).sum()
        };
        let first_lost = self.txn_indexes_lost.iter().find(|lost| lost.markers);
        let before = first_lost.map_or(i64::MAX, |lost| lost.base_offset);
        let early_enough = usable.partition_point(|offset| *offset <= before);
        let far_enough = usable[..early_enough]
            .partition_point(|offset| self.hint.clean || bytes_from(*offset) >= REPLAYED_AFTER_CRASH_BYTES);
        let (back, near) = usable[..early_enough].split_at(far_enough);
        // A log that still has its first record needs no snapshot.
        let near = if first_offset == 0 { &[] } else { near };
        let mut from_offset = first_offset;
        let mut damaged = Vec::new();
        for &offset in back.iter().rev().chain(near) {
            let path = segment_path(self.dir, offset, SNAPSHOT_SUFFIX);
            let contents = std::fs::read(&path)?;
            let expiration_ms = self.config.producer_id_expiration_ms;
            match producers.load_snapshot(&contents, self.hint.now_ms, expiration_ms) {
                Ok(()) => {
                    from_offset = offset;
                    break;
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a damaged producer snapshot is removed");
                    damaged.push(offset);
                    self.changed = true;
                }
            }
        }
        // The rest stays where it stands at the start of a segment, as in Kafka.
        let left_over = usable.iter().filter(|offset| {
            **offset != from_offset && !segments.iter().any(|segment| segment.base_offset() == **offset)
        });
        let to_remove: BTreeSet<i64> = others.iter().chain(left_over).chain(&damaged).copied().collect();
        for offset in to_remove {
            self.fs.remove_file(&segment_path(self.dir, offset, SNAPSHOT_SUFFIX))?;
            files.removed = true;
        }
        let mut transactions = Transactions::default();
        for (producer_id, first_offset) in producers.open_transactions() {
            transactions.begin(producer_id, first_offset, list.place_of(first_offset, self.fs)?);
        }
        for segment in segments {
            let aborted = self.replay(segment, from_offset, &mut producers, &mut transactions)?;
            let lost = &self.txn_indexes_lost;
            if lost.binary_search_by_key(&segment.base_offset(), |lost| lost.base_offset).is_ok() {
                segment.replace_aborted(&aborted, self.fs)?;
                files.removed = true;
            }
        }
        // All that is in the log is durable by now, markers too.
        transactions.markers_are_final(i64::MAX);
        if transactions.first_unstable().is_some_and(|first| first.offset < log_start_offset) {
            transactions.start_at(list.place_of(log_start_offset, self.fs)?);
        }
        producers.expire(self.hint.now_ms, self.config.producer_id_expiration_ms);
        Ok((producers, transactions))
    }

    /// Follows the batches of a segment from `from_offset` on. Gives the transactions that were aborted there.
    fn replay(
        &self,
        segment: &Arc<Segment>,
        from_offset: i64,
        producers: &mut ProducerStates,
        transactions: &mut Transactions,
    ) -> io::Result<Vec<AbortedTransaction>> {
        let mut aborted = Vec::new();
        let end = segment.end();
        if end.next_offset <= from_offset || end.position == 0 {
            return Ok(aborted);
        }
        let start = segment.locate(from_offset, end.position, self.fs)?;
        let mut position = start.map_or(end.position, |batch| batch.position);
        let file = segment.file(self.fs)?;
        let mut headers = Headers::new(&file, end.position);
        while let Some(header) = headers.at(position)? {
            let located = LocatedBatch { position, header };
            let marker = match header.is_control() {
                true => ControlMarker::of_batch(&segment.read_batch(&located, self.fs)?),
                false => None,
            };
            if let Some(change) = producers.update(&header, marker) {
                aborted.extend(transactions.apply(change, place_in(segment, &header, position)));
            }
            position = located.end_position();
        }
        Ok(aborted)
    }
}
