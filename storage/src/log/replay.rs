//! The producers' state of a log that is opened: from a snapshot and the batches after it.

use super::append::note_producer;
use super::open::{Files, Opening};
use crate::fs::{SNAPSHOT_SUFFIX, segment_path};
use crate::producer_state::ProducerStates;
use crate::segment::{Headers, LocatedBatch, Segment};
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
    /// found, and the snapshot taken lies far enough back for that.
    pub(super) fn producers(
        &mut self,
        files: &mut Files,
        segments: &[Arc<Segment>],
        next_offset: i64,
    ) -> io::Result<ProducerStates> {
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
        let far_enough = usable
            .partition_point(|offset| self.hint.clean || bytes_from(*offset) >= REPLAYED_AFTER_CRASH_BYTES);
        let (back, near) = usable.split_at(far_enough);
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
        for segment in segments {
            let end = segment.end();
            if end.next_offset <= from_offset || end.position == 0 {
                continue;
            }
            let start =
                segment.locate(from_offset, end.position, self.fs)?.map_or(end.position, |b| b.position);
            let mut headers = Headers::new(segment.file(), end.position);
            let mut position = start;
            while let Some(header) = headers.at(position)? {
                let located = LocatedBatch { position, header };
                let bytes = if header.is_control() { segment.read_batch(&located)? } else { Vec::new() };
                note_producer(&mut producers, &header, &bytes);
                position = located.end_position();
            }
        }
        producers.expire(self.hint.now_ms, self.config.producer_id_expiration_ms);
        Ok(producers)
    }
}
