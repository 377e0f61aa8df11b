//! What is done to a log beside appending, reading and syncing: epochs, log start, idle resources, deletion.

use super::{Inner, Log, Offline, SegmentList};
use crate::fs::{
    DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX,
    segment_path,
};
use crate::segment::{Segment, is_full};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why the log start was not moved.
#[derive(Debug, thiserror::Error)]
pub enum LogStartError {
    /// Beyond the log end: OFFSET_OUT_OF_RANGE.
    #[error("log start offset {offset} is beyond the log end offset {log_end_offset}")]
    BeyondEnd {
        /// What was asked for.
        offset: i64,
        /// Offset of the next record.
        log_end_offset: i64,
    },
    /// The log was marked deleted: UNKNOWN_TOPIC_OR_PARTITION.
    #[error("the log is deleted")]
    Deleted,
    /// Files could not be renamed: KAFKA_STORAGE_ERROR.
    #[error(transparent)]
    Offline(#[from] Offline),
}

/// A segment whose files carry `.deleted` and wait for the last reader and for `file.delete.delay.ms`.
#[derive(Debug)]
pub(super) struct DeletedSegment {
    segment: Arc<Segment>,
    paths: Vec<PathBuf>,
    /// When it was first seen here.
    deleted_ms: Option<i64>,
}

impl Log {
    /// Notes that records from the log end on are written under `epoch`, durably.
    ///
    /// # Errors
    /// The log is offline, or the checkpoint can't be written and it goes so.
    pub fn assign_leader_epoch(&self, epoch: i32) -> Result<(), Offline> {
        let inner = &*self.inner;
        // Also keeps two from writing the checkpoint at once.
        let _sync = inner.sync_lock.lock();
        inner.check_online()?;
        {
            let mut writer = inner.writer.lock();
            let log_end_offset = writer.next_offset;
            if writer.epochs.assign(epoch, log_end_offset) {
                writer.epochs_dirty = true;
            }
        }
        inner.write_epochs().map_err(|error| inner.fail("writing the leader epochs", &error))
    }

    /// The latest leader epoch, if there was one.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.inner.writer.lock().epochs.latest().map(|entry| entry.epoch)
    }

    /// The largest epoch not above `epoch` and where it ended, as OffsetForLeaderEpoch answers (KIP-101).
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        let writer = self.inner.writer.lock();
        writer.epochs.end_offset_for(epoch, writer.next_offset)
    }

    /// The epoch under which the record at `offset` was written, as far as it is known.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        self.inner.writer.lock().epochs.epoch_for_offset(offset)
    }

    /// Number of producers that are remembered.
    pub fn producers(&self) -> usize {
        self.inner.writer.lock().producers.len()
    }

    /// Forgets producers that have been idle for `expiration_ms`.
    pub fn expire_producers(&self, now_ms: i64, expiration_ms: i64) {
        self.inner.writer.lock().producers.expire(now_ms, expiration_ms);
    }

    /// Rolls the active segment when it has batches and is older than `segment.ms`, by the timestamp of its first
    /// batch or, without one, by its creation. Returns whether it did; on a full disk it doesn't.
    ///
    /// # Errors
    /// The log is offline, or the new segment can't be created and it goes so.
    pub fn roll_if_due(&self, now_ms: i64) -> Result<bool, Offline> {
        let inner = &*self.inner;
        inner.check_online()?;
        let mut writer = inner.writer.lock();
        let Some(active) = &writer.active else { return Ok(false) };
        let since_ms = match active.first_timestamp_ms {
            Some(first) if first >= 0 => first,
            _ => active.segment.created_ms(),
        };
        let roll_after_ms = writer.config.roll_after_ms(&inner.dir, active.segment.base_offset());
        if active.position == 0 || now_ms.saturating_sub(since_ms) <= roll_after_ms {
            return Ok(false);
        }
        match inner.roll(&mut writer, now_ms) {
            Ok(()) => {}
            // Tried again at the next turn.
            Err(error) if is_full(&error) => return Ok(false),
            Err(error) => return Err(inner.fail("rolling a segment", &error)),
        }
        self.request_preparation(&mut writer, true, now_ms);
        Ok(true)
    }

    /// Drops the map of a log that nothing was appended to for `idle_ms`, or that is written plainly by now: a
    /// process has a bounded number of maps.
    pub fn drop_idle_map(&self, now_ms: i64, idle_ms: i64) {
        let map = {
            let mut writer = self.inner.writer.lock();
            let Some(active) = &mut writer.active else { return };
            if active.wants_map && now_ms.saturating_sub(active.last_append_ms) < idle_ms {
                return;
            }
            active.wants_map = false;
            active.map.take()
        };
        drop(map);
    }

    /// Moves the log start up to `offset` (DeleteRecords, retention) and deletes the segments that lie wholly
    /// below it; the active one stays. A lower offset than the present start doesn't move it. Returns the start.
    ///
    /// # Errors
    /// See [`LogStartError`].
    pub fn advance_log_start_offset(&self, offset: i64) -> Result<i64, LogStartError> {
        let inner = &*self.inner;
        inner.check_online()?;
        let _extent = inner.extent_lock.lock();
        if inner.gone.load(Ordering::Acquire) {
            return Err(LogStartError::Deleted);
        }
        // A segment's files are finished before they are renamed.
        inner.finish_sealed();
        inner.check_online()?;
        // Where the start stays there may still be a segment below it, which was active when it moved.
        let offset = offset.max(inner.log_start_offset.load(Ordering::Acquire));
        let removed = {
            let mut writer = inner.writer.lock();
            if offset > writer.next_offset {
                let log_end_offset = writer.next_offset;
                return Err(LogStartError::BeyondEnd { offset, log_end_offset });
            }
            if inner.unstable.reaches_below(offset) {
                let list = inner.segments.load();
                let place = list.place_of(offset, inner.fs());
                inner.unstable.start_at(place.map_err(|error| inner.fail("finding the log start", &error))?);
            }
            inner.log_start_offset.store(offset, Ordering::Release);
            if writer.epochs.truncate_from_start(offset) {
                writer.epochs_dirty = true;
            }
            let list = inner.segments.load_full();
            let below = list.segments.windows(2).take_while(|pair| pair[1].base_offset() <= offset).count();
            let (removed, kept) = list.segments.split_at(below);
            if below > 0 {
                let kept = SegmentList { segments: kept.to_vec(), empty_at: list.empty_at };
                inner.segments.store(Arc::new(kept));
            }
            removed.to_vec()
        };
        // On a full disk some may not have been finished; they needn't be any more.
        inner.sealing.lock().retain(|sealed| !removed.iter().any(|gone| Arc::ptr_eq(gone, &sealed.segment)));
        for segment in removed {
            inner.delete_segment(segment).map_err(|error| inner.fail("deleting a segment", &error))?;
        }
        inner.unlink_at_once();
        Ok(offset)
    }

    /// Unlinks the files of deleted segments that nobody reads any more and whose time has come; without a time, whether it
    /// has or not.
    pub fn unlink_deleted(&self, now_ms: Option<i64>) {
        self.inner.unlink_deleted(now_ms);
    }

    /// Stops writing for good, because the directory is renamed and goes: nothing is flushed. Waits for a sync that
    /// is under way. From then on no file is touched by its name, which may soon be another log's.
    pub fn mark_deleted(&self) {
        let inner = &*self.inner;
        let _sync = inner.sync_lock.lock();
        let _extent = inner.extent_lock.lock();
        inner.gone.store(true, Ordering::Release);
        inner.segments.load().segments.iter().for_each(|segment| segment.forget_names());
        let (active, next) = {
            let mut writer = inner.writer.lock();
            writer.closed = true;
            (writer.active.take(), writer.next.take())
        };
        inner.sealing.lock().clear();
        drop((active, next));
    }
}

impl Inner {
    pub(super) fn delete_segment(&self, segment: Arc<Segment>) -> io::Result<()> {
        let base_offset = segment.base_offset();
        segment.forget_names();
        let mut paths = Vec::new();
        for suffix in [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, SNAPSHOT_SUFFIX] {
            let path = segment_path(&self.dir, base_offset, suffix);
            let deleted = segment_path(&self.dir, base_offset, &format!("{suffix}{DELETED_SUFFIX}"));
            match self.fs().rename(&path, &deleted) {
                Ok(()) => paths.push(deleted),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.deleted.lock().push(DeletedSegment { segment, paths, deleted_ms: None });
        Ok(())
    }

    /// Unlinks what was just deleted, unless it has to stay for a while.
    pub(super) fn unlink_at_once(&self) {
        if self.writer.lock().config.file_delete_delay_ms == 0 {
            self.unlink_deleted(None);
        }
    }

    fn unlink_deleted(&self, now_ms: Option<i64>) {
        let mut deleted = self.deleted.lock();
        if deleted.is_empty() {
            return;
        }
        let delay_ms = self.writer.lock().config.file_delete_delay_ms;
        deleted.retain_mut(|gone| {
            let waits = now_ms.is_some_and(|now_ms| {
                now_ms.saturating_sub(*gone.deleted_ms.get_or_insert(now_ms)) < delay_ms
            });
            // Readers hold the file, or a list of segments that has it; nobody gets hold of it anew.
            let is_read = Arc::strong_count(&gone.segment) > 1 || gone.segment.is_read();
            if is_read || waits {
                return true;
            }
            for path in &gone.paths {
                if let Err(error) = self.fs().remove_file(path) {
                    tracing::warn!(path = %path.display(), %error, "a deleted segment's file stays");
                }
            }
            false
        });
    }
}
