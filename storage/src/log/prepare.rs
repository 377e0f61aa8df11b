//! Work ahead of the appends, done by a thread of its own: reserving the next stretch of the active segment,
//! making its pages writable, creating the file of the next segment, finishing the files of the last one.
//!
//! An append never waits for it: what isn't ready is written the plain way.

use super::{Active, ActiveMap, Inner, Log, LogConfig, Sealing, Writer};
use crate::fs::{LOG_SUFFIX, segment_path};
use crate::mmap::{Populate, SegmentMap};
use crate::segment::{Segment, is_full};
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// Name of the file that becomes the next segment. Kafka ignores names that it doesn't know.
pub(crate) const NEXT_SEGMENT_NAME: &str = "next-segment.prepared";

/// Least and first distance that is prepared ahead of the appends.
pub(super) const MIN_AHEAD_BYTES: u64 = 32 << 10;
/// Most that is prepared ahead. Pages that were made writable too early are written out as zeros and have to be
/// faulted in again, and count as dirty memory until then.
const MAX_AHEAD_BYTES: u64 = 16 << 20;
/// A log that uses up what was prepared within this time gets twice as much from then on.
const FAST_MS: i64 = 100;
/// One that takes longer than this gets half as much.
const SLOW_MS: i64 = 1000;
/// Stretches are reserved in multiples of this.
const EXTENT_UNIT_BYTES: u64 = 64 << 10;
/// Pages are made writable this much at a time, and handed to the append after each.
const POPULATE_STEP_BYTES: u64 = 1 << 20;
/// Most that is reserved and made writable in the next segment before it is needed.
const NEXT_SEGMENT_MAX_BYTES: u64 = 4 << 20;
/// More rolled segments than this wait to be finished: the append that rolls finishes them itself.
const MAX_SEALING_SEGMENTS: usize = 8;
const PAGE_BYTES: u64 = 4096;

/// Takes the preparation work of logs, and has a thread run it.
pub trait Preparer: Send + Sync + std::fmt::Debug {
    /// Queues a task, without blocking. A log has at most two tasks queued, so the queue is bounded by the
    /// number of logs.
    fn submit(&self, task: PrepareTask);
}

/// Preparation that a log asks for.
#[derive(Debug)]
pub struct PrepareTask {
    log: Weak<Inner>,
}

impl PrepareTask {
    /// Does a step. Gives the task back when there is more to do; queue it behind the others then.
    pub fn run(self) -> Option<PrepareTask> {
        let log = Log { inner: self.log.upgrade()? };
        // Cleared before the look at what is needed, so that a need that arises after it is asked for again.
        log.inner.prepare_pending.store(false, Ordering::Release);
        let more = log.prepare_step();
        (more && !log.inner.prepare_pending.swap(true, Ordering::AcqRel)).then_some(self)
    }
}

/// The file of the next segment, under a name of its own until the roll.
#[derive(Debug)]
pub(super) struct NextSegment {
    file: File,
    allocated_end: u64,
    map: Option<ActiveMap>,
}

/// How far an active segment should be made ready.
struct Targets {
    allocate_to: u64,
    prepare_to: u64,
    next_segment: bool,
}

impl Targets {
    /// What is needed; `None` when nothing is. Looked at in each append.
    fn of(writer: &Writer, can_map: bool) -> Option<Targets> {
        let active = writer.active.as_ref()?;
        let capacity = capacity(&writer.config);
        let position = u64::from(active.position);
        let ahead = active.ahead_bytes;
        let prepared_end = active.map.as_ref().map_or(0, |map| map.prepared_end);
        let mut targets = Targets {
            allocate_to: active.allocated_end,
            prepare_to: prepared_end,
            next_segment: writer.next.is_none() && position > capacity / 4 * 3,
        };
        // Blocks are reserved twice as far ahead as pages are made writable.
        if active.allocated_end < (position + ahead).min(capacity) {
            targets.allocate_to = (position + 2 * ahead).next_multiple_of(EXTENT_UNIT_BYTES).min(capacity);
        }
        let mappable = active.map.as_ref().map_or(capacity, |map| map.map.len_bytes() as u64);
        if active.wants_map && can_map && prepared_end < (position + ahead / 2).min(mappable) {
            targets.prepare_to =
                (position + ahead).next_multiple_of(PAGE_BYTES).min(mappable).min(targets.allocate_to);
        }
        let needed = targets.allocate_to > active.allocated_end
            || targets.prepare_to > prepared_end
            || targets.next_segment;
        needed.then_some(targets)
    }
}

impl Active {
    /// Called when what was prepared has been used up by half.
    fn adapt_ahead(&mut self, now_ms: i64) {
        let took_ms = now_ms.saturating_sub(self.prepared_ms);
        if took_ms < FAST_MS {
            self.ahead_bytes = (self.ahead_bytes * 2).min(MAX_AHEAD_BYTES);
        } else if took_ms > SLOW_MS {
            self.ahead_bytes = (self.ahead_bytes / 2).max(MIN_AHEAD_BYTES);
        }
        self.prepared_ms = now_ms;
    }
}

/// An active segment as it was when its needs were looked at.
struct Needs {
    targets: Targets,
    segment: Arc<Segment>,
    position: u64,
    allocated_end: u64,
    prepared_end: u64,
    map: Option<Populate>,
    capacity: u64,
    ahead_bytes: u64,
    wants_map: bool,
}

impl Needs {
    fn of(writer: &Writer, can_map: bool) -> Option<Needs> {
        let targets = Targets::of(writer, can_map)?;
        let active = writer.active.as_ref()?;
        Some(Needs {
            targets,
            segment: Arc::clone(&active.segment),
            position: u64::from(active.position),
            allocated_end: active.allocated_end,
            prepared_end: active.map.as_ref().map_or(0, |map| map.prepared_end),
            map: active.map.as_ref().map(|map| map.map.populate_handle()),
            capacity: capacity(&writer.config),
            ahead_bytes: active.ahead_bytes,
            wants_map: active.wants_map && can_map,
        })
    }
}

/// Bytes of a segment's map, in whole pages.
fn capacity(config: &LogConfig) -> u64 {
    u64::from(config.segment_bytes).next_multiple_of(PAGE_BYTES)
}

impl Log {
    /// Asks the preparer for what the active segment lacks, unless it has been asked.
    pub(super) fn request_preparation(&self, writer: &mut Writer, rolled: bool, now_ms: i64) {
        let inner = &self.inner;
        let Some(preparer) = &inner.env.preparer else { return };
        if inner.prepare_pending.load(Ordering::Relaxed) {
            return;
        }
        let needed = rolled
            || (inner.can_allocate.load(Ordering::Relaxed)
                && Targets::of(writer, inner.can_map.load(Ordering::Relaxed)).is_some());
        if needed && !inner.prepare_pending.swap(true, Ordering::AcqRel) {
            if let Some(active) = &mut writer.active {
                active.adapt_ahead(now_ms);
            }
            preparer.submit(PrepareTask { log: Arc::downgrade(inner) });
        }
    }

    /// Does some of what the log lacks ahead of its appends, and tells whether there is more. Holds the append
    /// mutex only to look and to hand over.
    pub fn prepare_step(&self) -> bool {
        let inner = &*self.inner;
        if inner.check_online().is_err() {
            return false;
        }
        let _extent = inner.extent_lock.lock();
        inner.finish_sealed();
        let needs = {
            let writer = inner.writer.lock();
            if writer.closed || !inner.can_allocate.load(Ordering::Relaxed) {
                return false;
            }
            Needs::of(&writer, inner.can_map.load(Ordering::Relaxed))
        };
        let Some(needs) = needs else { return false };
        inner.prepare_active(&needs) | inner.prepare_next(&needs)
    }
}

impl Inner {
    /// Reserves and populates ahead in the active segment; tells whether there may be more to do.
    fn prepare_active(&self, needs: &Needs) -> bool {
        // It isn't durable, and so it is open.
        let Ok(file) = needs.segment.file(self.fs()) else { return false };
        let file = file.file();
        let mut allocated_end = needs.allocated_end;
        if needs.targets.allocate_to > allocated_end {
            match self.allocate(file, allocated_end, needs.targets.allocate_to) {
                Ok(()) => allocated_end = needs.targets.allocate_to,
                Err(error) => {
                    // A full disk shows at the write; a file system without fallocate is written plainly.
                    tracing::debug!(dir = %self.dir.display(), %error, "no stretch reserved");
                    return false;
                }
            }
            self.with_active(&needs.segment, |active| {
                active.allocated_end = active.allocated_end.max(allocated_end);
            });
        }
        if !needs.wants_map || needs.targets.prepare_to <= needs.prepared_end {
            return false;
        }
        // Pages before the position are complete; a stretch that appends have overtaken is skipped.
        let from = needs.prepared_end.max(needs.position / PAGE_BYTES * PAGE_BYTES);
        let to = needs.targets.prepare_to.min(from + POPULATE_STEP_BYTES).min(allocated_end);
        if to <= from {
            return false;
        }
        let mut created = None;
        let populate = match &needs.map {
            Some(populate) => populate.clone(),
            None => match SegmentMap::new(file, needs.capacity as usize) {
                Ok(map) => created.insert(map).populate_handle(),
                Err(error) => return self.stop_mapping(&error),
            },
        };
        if let Err(error) = populate.populate(from as usize, to as usize) {
            return self.stop_mapping(&error);
        }
        self.with_active(&needs.segment, |active| match (&mut active.map, created) {
            (Some(map), _) => map.prepared_end = map.prepared_end.max(to),
            (None, Some(map)) => active.map = Some(ActiveMap { map, prepared_end: to }),
            // Dropped as idle meanwhile.
            (None, None) => {}
        });
        true
    }

    fn stop_mapping(&self, error: &io::Error) -> bool {
        tracing::warn!(dir = %self.dir.display(), %error, "segments can't be mapped here; writing plainly");
        self.can_map.store(false, Ordering::Relaxed);
        false
    }

    /// Runs `change` on the active segment if it is still `segment`.
    fn with_active(&self, segment: &Arc<Segment>, change: impl FnOnce(&mut Active)) {
        let mut writer = self.writer.lock();
        if let Some(active) = &mut writer.active
            && Arc::ptr_eq(&active.segment, segment)
        {
            change(active);
        }
    }

    /// Creates the file of the next segment.
    fn prepare_next(&self, needs: &Needs) -> bool {
        if !needs.targets.next_segment {
            return false;
        }
        match self.create_next(needs) {
            Ok(next) => {
                let mut writer = self.writer.lock();
                if writer.closed {
                    return false;
                }
                writer.next = Some(next);
                true
            }
            Err(error) => {
                // The roll creates its file itself then, and reports what is wrong.
                tracing::debug!(dir = %self.dir.display(), %error, "next segment not created ahead");
                false
            }
        }
    }

    fn create_next(&self, needs: &Needs) -> io::Result<NextSegment> {
        let path = self.dir.join(NEXT_SEGMENT_NAME);
        let file = self.fs().open_or_create(&path)?;
        self.fs().set_len(&file, 0)?;
        let extent = needs.ahead_bytes.min(NEXT_SEGMENT_MAX_BYTES).min(needs.capacity);
        self.allocate(&file, 0, extent)?;
        let map = needs.wants_map.then(|| SegmentMap::new(&file, needs.capacity as usize)).transpose()?;
        let map = map.map(|map| ActiveMap { map, prepared_end: 0 });
        let mut next = NextSegment { file, allocated_end: extent, map };
        if let Some(map) = &mut next.map {
            map.map.populate_handle().populate(0, extent as usize)?;
            map.prepared_end = extent;
        }
        Ok(next)
    }

    fn allocate(&self, file: &File, from: u64, to: u64) -> io::Result<()> {
        let allocated = self.fs().allocate(file, from, to - from);
        if let Err(error) = &allocated
            && matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
        {
            self.can_allocate.store(false, Ordering::Relaxed);
        }
        allocated
    }

    /// Reserves in the append, where no preparer does it ahead. That it fails is no error: the write tells.
    pub(super) fn allocate_ahead(&self, active: &mut Active, end: u64) {
        if end <= active.allocated_end || !self.can_allocate.load(Ordering::Relaxed) {
            return;
        }
        let to = (end + active.ahead_bytes).next_multiple_of(EXTENT_UNIT_BYTES);
        let file = active.segment.file(self.fs());
        if file.and_then(|file| self.allocate(file.file(), active.allocated_end, to)).is_ok() {
            active.allocated_end = to;
        }
    }

    /// Makes a new segment at the log end the active one; the last one is queued to be finished.
    pub(super) fn roll(&self, writer: &mut Writer, now_ms: i64) -> io::Result<()> {
        writer.changed = true;
        let base_offset = writer.next_offset;
        let path = segment_path(&self.dir, base_offset, LOG_SUFFIX);
        let next = match writer.next.take() {
            Some(next) => {
                if let Err(error) = self.fs().rename(&self.dir.join(NEXT_SEGMENT_NAME), &path) {
                    writer.next = Some(next);
                    return Err(error);
                }
                next
            }
            None => NextSegment { file: self.fs().create_new(&path)?, allocated_end: 0, map: None },
        };
        // Before the segment is published: a sync that sees it must see this too.
        self.dir_dirty.store(true, Ordering::Release);
        let open_segments = Arc::clone(&self.env.open_segments);
        let segment = Segment::empty(&self.dir, base_offset, next.file, now_ms, self.fs(), open_segments)?;
        let active = Active {
            segment: Arc::clone(&segment),
            position: 0,
            bytes_since_index_entry: 0,
            first_timestamp_ms: None,
            allocated_end: next.allocated_end,
            filled_end: 0,
            ahead_bytes: writer.active.as_ref().map_or(MIN_AHEAD_BYTES, |active| active.ahead_bytes),
            prepared_ms: writer.active.as_ref().map_or(i64::MIN, |active| active.prepared_ms),
            map: next.map,
            wants_map: false,
            last_append_ms: now_ms,
        };
        let sealed = writer.active.replace(active);
        let mut list = self.segments.load().segments.clone();
        list.push(segment);
        self.segments.store(Arc::new(super::SegmentList { segments: list, empty_at: base_offset }));
        if let Some(sealed) = sealed {
            let snapshot = (base_offset, writer.producers.encode_snapshot());
            self.sealing.lock().push_back(Sealing { segment: sealed.segment, map: sealed.map, snapshot });
            self.finish_sealed_inline();
        }
        Ok(())
    }

    /// Finishes the files of rolled segments. The caller holds the extent lock.
    pub(super) fn finish_sealed(&self) {
        loop {
            let Some(mut sealed) = self.sealing.lock().pop_front() else { return };
            sealed.map = None;
            let (offset, snapshot) = &sealed.snapshot;
            let finished =
                self.write_snapshot(*offset, snapshot).and_then(|()| sealed.segment.finish(self.fs()));
            match finished {
                Ok(()) => {}
                Err(error) if is_full(&error) => {
                    self.sealing.lock().push_front(sealed);
                    return;
                }
                Err(error) => {
                    self.fail("finishing a segment", &error);
                    return;
                }
            }
        }
    }

    /// Finishes rolled segments in the append that rolls, when there is no preparer or it lags far behind.
    pub(super) fn finish_sealed_inline(&self) {
        if self.env.preparer.is_some() && self.sealing.lock().len() < MAX_SEALING_SEGMENTS {
            return;
        }
        // Never waited for: its holder may wait for the append mutex, which is held here.
        if let Some(_extent) = self.extent_lock.try_lock() {
            self.finish_sealed();
        }
    }
}
