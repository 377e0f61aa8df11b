//! Making a log durable: the batches first, then what makes a crash cheap.

use super::{Inner, Log, LogOffsetMetadata, Offline};
use crate::fs::{SNAPSHOT_SUFFIX, replace_file, segment_path};
use crate::leader_epochs::LEADER_EPOCH_CHECKPOINT;
use crate::segment::{is_full, is_out_of_files};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a log isn't closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// The disk, the quota or the table of open files is full. A further call goes on from there.
    #[error("the log can't be closed: the disk or the table of open files is full")]
    Full,
    /// It was offline, or has just gone so: a write or a sync failed.
    #[error(transparent)]
    Offline(#[from] Offline),
}

impl Log {
    /// Makes everything that is published now durable: rolled segments first, then the active one, then the
    /// names in the directory. Moves the durable end, and the recovery point with it unless rolled segments wait
    /// for [`Log::sync_sealed`]. Appends go on meanwhile; concurrent calls follow one another. While no file can be
    /// opened the durable end stays where it is.
    ///
    /// # Errors
    /// After a failed sync nobody knows what is on disk: the log goes offline and stays so.
    pub fn sync(&self) -> Result<LogOffsetMetadata, Offline> {
        let inner = &*self.inner;
        let _sync = inner.sync_lock.lock();
        inner.check_online()?;
        if inner.gone.load(Ordering::Acquire) {
            return Ok(self.durable_end());
        }
        match inner.sync_batches() {
            // Whoever waits asks again.
            Err(error) if is_out_of_files(&error) => Ok(self.durable_end()),
            synced => synced.map_err(|error| inner.fail("syncing a segment", &error)),
        }
    }

    /// Finishes rolled segments (length, indexes, snapshot), makes that durable and moves the recovery point past
    /// them. Nobody waits for it: run it in the background after an append has rolled.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub fn sync_sealed(&self) -> Result<(), Offline> {
        let inner = &*self.inner;
        let _sync = inner.sync_lock.lock();
        inner.check_online()?;
        if inner.gone.load(Ordering::Acquire) {
            return Ok(());
        }
        {
            let _extent = inner.extent_lock.lock();
            inner.finish_sealed();
        }
        inner.check_online()?;
        match inner.sync_finished() {
            // What is done is done again with the next one.
            Err(error) if is_out_of_files(&error) => Ok(()),
            synced => synced.map_err(|error| inner.fail("syncing a rolled segment", &error)),
        }
    }

    /// Flushes everything and closes the files' books: closing time index entry, exact lengths, snapshot, epochs,
    /// all durable, so that the next start needs to look at nothing. Appends fail from then on; reads go on.
    ///
    /// # Errors
    /// See [`CloseError`]; the shutdown is then not a clean one, unless a further call closes the log.
    pub fn close(&self) -> Result<LogOffsetMetadata, CloseError> {
        let inner = &*self.inner;
        let _sync = inner.sync_lock.lock();
        inner.check_online()?;
        let _extent = inner.extent_lock.lock();
        let (active, map) = {
            let mut writer = inner.writer.lock();
            writer.closed = true;
            writer.next = None;
            let snapshot = (writer.next_offset, writer.producers.encode_snapshot());
            let map = writer.active.as_mut().and_then(|active| active.map.take());
            let active = writer.active.as_ref().filter(|_| writer.changed);
            (active.map(|active| (Arc::clone(&active.segment), snapshot)), map)
        };
        drop(map);
        inner.finish_sealed();
        inner.check_online()?;
        if !inner.sealing.lock().is_empty() {
            return Err(CloseError::Full);
        }
        let closed = || -> io::Result<()> {
            remove_if_there(inner, &inner.dir.join(super::prepare::NEXT_SEGMENT_NAME))?;
            if let Some((segment, (offset, snapshot))) = active {
                segment.finish(inner.fs())?;
                inner.write_snapshot(offset, &snapshot)?;
                segment.sync_finished(inner.fs())?;
                segment.mark_durable();
                inner.sync_snapshot(offset)?;
                inner.dir_dirty.store(true, Ordering::Release);
            }
            inner.write_epochs()?;
            inner.sync_batches()?;
            inner.sync_finished()
        };
        closed().map_err(|error| match is_full(&error) {
            true => CloseError::Full,
            false => inner.fail("closing the log", &error).into(),
        })?;
        inner.writer.lock().active = None;
        Ok(self.durable_end())
    }
}

impl Inner {
    /// The caller holds the sync lock.
    fn sync_batches(&self) -> io::Result<LogOffsetMetadata> {
        let list = self.segments.load_full();
        let end = list.end();
        // After the list: whoever made a segment of it has set the flag before.
        let dir_dirty = self.dir_dirty.swap(false, Ordering::AcqRel);
        let sealed_first = list.first_not_durable();
        for segment in &list.segments[sealed_first..] {
            let position = if segment.base_offset() == end.segment_base_offset {
                end.position
            } else {
                segment.end().position
            };
            segment.sync_data(position, self.fs())?;
        }
        if dir_dirty {
            self.fs().sync_dir(&self.dir).inspect_err(|_| self.dir_dirty.store(true, Ordering::Release))?;
        }
        *self.durable_end.lock() = end;
        match list.segments.len() - sealed_first {
            // Closed: the last segment is finished too.
            0 => _ = self.recovery_point.fetch_max(end.offset, Ordering::AcqRel),
            1 => _ = self.recovery_point.fetch_max(inside_active(end), Ordering::AcqRel),
            _ => {}
        }
        Ok(end)
    }

    /// The caller holds the sync lock, and rolled segments are finished.
    fn sync_finished(&self) -> io::Result<()> {
        // First: once the rolled segments are durable nobody looks for epochs in them any more.
        match self.write_epochs() {
            Err(error) if is_full(&error) => return Ok(()),
            other => other?,
        }
        let list = self.segments.load_full();
        let durable_end = *self.durable_end.lock();
        let rolled = &list.segments[list.first_not_durable()..];
        let mut synced = Vec::new();
        for pair in rolled.windows(2) {
            let (segment, next) = (&pair[0], &pair[1]);
            if !segment.is_finished() {
                // Rolled after the others were finished: the next call's.
                break;
            }
            self.sync_snapshot(next.base_offset())?;
            segment.sync_finished(self.fs())?;
            synced.push(segment);
        }
        if !synced.is_empty() {
            self.fs().sync_dir(&self.dir)?;
        }
        synced.iter().for_each(|segment| segment.mark_durable());
        if synced.len() + 1 >= rolled.len() {
            self.recovery_point.fetch_max(inside_active(durable_end), Ordering::AcqRel);
        }
        Ok(())
    }

    /// Writes the producers' state as of `offset`, not yet durable; a torn one is told by its checksum.
    pub(super) fn write_snapshot(&self, offset: i64, contents: &[u8]) -> io::Result<()> {
        let file = self.fs().open_or_create(&segment_path(&self.dir, offset, SNAPSHOT_SUFFIX))?;
        self.fs().set_len(&file, contents.len() as u64)?;
        self.fs().write_all_at(&file, &[contents], 0)
    }

    fn sync_snapshot(&self, offset: i64) -> io::Result<()> {
        match self.fs().open(&segment_path(&self.dir, offset, SNAPSHOT_SUFFIX)) {
            Ok(file) => self.fs().sync_all(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes the epochs' checkpoint, durably, when they have changed.
    pub(super) fn write_epochs(&self) -> io::Result<()> {
        let text = {
            let mut writer = self.writer.lock();
            if !writer.epochs_dirty {
                return Ok(());
            }
            writer.epochs_dirty = false;
            writer.epochs.encode()
        };
        let written = replace_file(self.fs(), &self.dir.join(LEADER_EPOCH_CHECKPOINT), text.as_bytes())
            .and_then(|()| self.fs().sync_dir(&self.dir));
        if written.is_err() {
            self.writer.lock().epochs_dirty = true;
        }
        written
    }
}

/// The recovery point for an end up to which records are durable, but not the indexes of the segment that it lies in. It
/// isn't the end itself: after a roll that would be the base of the next segment, and say that this one is finished.
pub(super) fn inside_active(durable_end: LogOffsetMetadata) -> i64 {
    if durable_end.position == 0 { durable_end.offset } else { durable_end.offset - 1 }
}

pub(super) fn remove_if_there(inner: &Inner, path: &std::path::Path) -> io::Result<()> {
    match inner.fs().remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
