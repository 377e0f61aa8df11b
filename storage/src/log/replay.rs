//! The producers' state of a log that is opened: from a snapshot and the batches after it.

use super::append::note_producer;
use super::open::{Files, Opening};
use crate::fs::{SNAPSHOT_SUFFIX, segment_path};
use crate::producer_state::ProducerStates;
use crate::segment::{Headers, LocatedBatch, Segment};
use std::io;
use std::sync::Arc;

impl Opening<'_> {
    /// The producers' state at the log end: the latest usable snapshot, and the batches after it. Snapshots that
    /// belong to no segment, or to records that were cut, go.
    pub(super) fn producers(
        &mut self,
        files: &mut Files,
        segments: &[Arc<Segment>],
        next_offset: i64,
    ) -> io::Result<ProducerStates> {
        // A snapshot holds for the log as it is when the log reaches it, for those beyond a cut go here. One from
        // before the first segment doesn't: of the batches in between nothing is known any more.
        let mut producers = ProducerStates::default();
        let mut from_offset = segments.first().map_or(next_offset, |first| first.base_offset());
        while let Some(offset) = files.snapshots.pop() {
            let path = segment_path(self.dir, offset, SNAPSHOT_SUFFIX);
            if offset > next_offset || offset < from_offset {
                self.fs.remove_file(&path)?;
                files.removed = true;
                continue;
            }
            let contents = std::fs::read(&path)?;
            let expiration_ms = self.config.producer_id_expiration_ms;
            match producers.load_snapshot(&contents, self.hint.now_ms, expiration_ms) {
                Ok(()) => {
                    from_offset = from_offset.max(offset);
                    break;
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a damaged producer snapshot is removed");
                    self.fs.remove_file(&path)?;
                    self.changed = true;
                }
            }
        }
        // Older ones stay where they stand at the start of a segment, as in Kafka.
        for &offset in &files.snapshots {
            if !segments.iter().any(|segment| segment.base_offset() == offset) {
                self.fs.remove_file(&segment_path(self.dir, offset, SNAPSHOT_SUFFIX))?;
                files.removed = true;
            }
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
