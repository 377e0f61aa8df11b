//! Opening a log: trusting its files after a clean stop, looking through them after a crash.

use super::{Active, Inner, Log, LogConfig, LogEnv, Offline, SegmentList, Writer};
use crate::batch::BatchHeader;
use crate::fs::{
    DELETED_SUFFIX, Fs, INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX,
    offset_of_name, replace_file, segment_path,
};
use crate::leader_epochs::{LEADER_EPOCH_CHECKPOINT, LeaderEpochs};
use crate::log::compaction;
use crate::log::prepare::{MIN_AHEAD_BYTES, NEXT_SEGMENT_NAME};
use crate::log::sync::inside_active;
use crate::log::transactions::Unstable;
use crate::offset_index::OFFSET_INDEX_ENTRY_BYTES;
use crate::producer_state::{ProducerStates, Transactions};
use crate::recovery::{Cut, CutReason, Recovered, ScanRules, scan};
use crate::segment::{OpenSegments, Segment, SegmentEnd, SegmentState, is_out_of_files};
use crate::time_index::TIME_INDEX_ENTRY_BYTES;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, OnceLock};

/// What the checkpoints of the log directory say of a log.
#[derive(Debug, Clone, Copy)]
pub struct OpenHint {
    /// The last stop was a clean one.
    pub clean: bool,
    /// From `recovery-point-offset-checkpoint`, or 0.
    pub recovery_point: i64,
    /// From `log-start-offset-checkpoint`, or 0.
    pub log_start_offset: i64,
    /// The clock.
    pub now_ms: i64,
}

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// A file can't be read or written.
    #[error("can't open {}", path.display())]
    Io {
        /// The partition's directory, or a file in it.
        path: PathBuf,
        /// What the file system gives.
        #[source]
        source: io::Error,
    },
    /// A batch in a part of the log that was known to be on disk is damaged.
    #[error("segment {} is damaged at position {position}: {reason:?}", path.display())]
    Damaged {
        /// The segment's file.
        path: PathBuf,
        /// Where the first bad batch starts.
        position: u32,
        /// What is wrong with it.
        reason: CutReason,
    },
}

impl OpenLogError {
    /// Whether the process, or the system, has no more files to open: nothing is wrong with the log.
    pub fn is_out_of_files(&self) -> bool {
        matches!(self, OpenLogError::Io { source, .. } if is_out_of_files(source))
    }
}

/// A directory's files, by kind.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Base offsets of the segments, ascending.
    pub(super) segments: Vec<i64>,
    /// Offsets of the producer snapshots, ascending.
    pub(super) snapshots: Vec<i64>,
    /// Names have gone or changed, and the directory has to be synced.
    pub(super) removed: bool,
}

/// A log on its way up.
pub(super) struct Opening<'a> {
    pub(super) dir: &'a Path,
    pub(super) fs: &'a dyn Fs,
    open_segments: &'a Arc<OpenSegments>,
    pub(super) config: &'a LogConfig,
    pub(super) hint: OpenHint,
    epochs: LeaderEpochs,
    epochs_changed: bool,
    /// The files aren't those of a clean stop any more.
    pub(super) changed: bool,
    /// Base offsets of the segments whose index of aborted transactions has to be written anew, ascending.
    pub(super) txn_indexes_lost: Vec<LostTxnIndex>,
    pub(super) recovered: Recovered,
}

/// A segment whose index of aborted transactions may lack some, or have some that the log doesn't.
#[derive(Debug, Clone, Copy)]
pub(super) struct LostTxnIndex {
    pub(super) base_offset: i64,
    /// There may be markers in the segment.
    pub(super) markers: bool,
}

impl Log {
    /// Opens the log in `dir`, which exists; it may be empty.
    ///
    /// # Errors
    /// See [`OpenLogError`]. Damage past the recovery point is cut away and reported, and no error.
    pub fn open(
        dir: &Path,
        config: LogConfig,
        env: LogEnv,
        hint: OpenHint,
    ) -> Result<(Log, Recovered), OpenLogError> {
        let fs = Arc::clone(&env.fs);
        let open_segments = Arc::clone(&env.open_segments);
        let failed = |source| OpenLogError::Io { path: dir.to_path_buf(), source };
        let mut files = tidy(dir, &*fs)?;
        let (epochs, epochs_known) = match LeaderEpochs::read(dir) {
            Ok(epochs) => (epochs, true),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "leader epochs are read from the batches");
                (LeaderEpochs::new(), false)
            }
        };
        let mut opening = Opening {
            dir,
            fs: &*fs,
            open_segments: &open_segments,
            config: &config,
            hint,
            epochs_changed: !epochs_known,
            epochs,
            changed: false,
            txn_indexes_lost: Vec::new(),
            recovered: Recovered::default(),
        };
        let mut segments = opening.segments(&files.segments)?;
        opening.check_aborted(&segments).map_err(failed)?;
        let mut next_offset = segments.last().map_or(hint.log_start_offset, |last| last.end().next_offset);
        if next_offset < hint.log_start_offset {
            // Records below the log start are gone by request, and those above were lost: it starts anew there.
            opening.remove_segments(&files.segments).map_err(failed)?;
            opening.changed = true;
            opening.txn_indexes_lost.clear();
            segments.clear();
            next_offset = hint.log_start_offset;
        }
        let log_start_offset =
            segments.first().map_or(next_offset, |first| first.base_offset()).max(hint.log_start_offset);

        opening.epochs_changed |= opening.epochs.truncate_from_end(next_offset);
        opening.epochs_changed |= opening.epochs.truncate_from_start(log_start_offset);
        let list = SegmentList { segments, empty_at: next_offset };
        let (producers, transactions) =
            opening.producers(&mut files, &list, log_start_offset).map_err(failed)?;
        if opening.epochs_changed {
            let text = opening.epochs.encode();
            replace_file(&*fs, &dir.join(LEADER_EPOCH_CHECKPOINT), text.as_bytes()).map_err(failed)?;
            files.removed = true;
        }
        let changed = opening.changed || !hint.clean;
        // A log without a segment has no name in there that has to be on disk.
        if files.removed || (changed && !files.segments.is_empty()) {
            fs.sync_dir(dir).map_err(failed)?;
        }

        let Opening { epochs, recovered, .. } = opening;
        let active =
            list.segments.last().map(|last| Active::reopen(last, &*fs)).transpose().map_err(failed)?;
        let end = list.end();
        debug_assert_eq!(end.offset, next_offset);
        let recovery_point = match changed {
            true => hint.recovery_point.clamp(inside_active(end), end.offset),
            false => end.offset,
        };
        let writer = Writer {
            config,
            next_offset,
            producers,
            epochs,
            epochs_dirty: false,
            changed,
            active,
            next: None,
            closed: false,
        };
        let log = Log::assemble(dir, env, list, writer, transactions, log_start_offset, recovery_point);
        Ok((log, recovered))
    }

    /// A log in the place of one that can't be opened: it is offline, and nothing in `dir` is touched.
    pub fn unopened(dir: &Path, config: LogConfig, env: LogEnv, hint: OpenHint, why: &OpenLogError) -> Log {
        let (kind, cause) = match why {
            OpenLogError::Io { source, .. } => (source.kind(), format!("{why}: {source}")),
            OpenLogError::Damaged { .. } => (io::ErrorKind::InvalidData, why.to_string()),
        };
        let next_offset = hint.log_start_offset.max(hint.recovery_point);
        let writer = Writer {
            config,
            next_offset,
            producers: ProducerStates::default(),
            epochs: LeaderEpochs::new(),
            epochs_dirty: false,
            changed: false,
            active: None,
            next: None,
            closed: true,
        };
        let list = SegmentList { segments: Vec::new(), empty_at: next_offset };
        let (start, recovered) = (hint.log_start_offset, hint.recovery_point);
        let log = Log::assemble(dir, env, list, writer, Transactions::default(), start, recovered);
        let offline = Offline { what: "opening the log", kind, cause: cause.into() };
        log.inner.offline.set(offline).expect("it was just made");
        log
    }

    fn assemble(
        dir: &Path,
        env: LogEnv,
        list: SegmentList,
        writer: Writer,
        transactions: Transactions,
        log_start_offset: i64,
        recovery_point: i64,
    ) -> Log {
        let can_map = env.preparer.is_some() && env.fs.supports_mapping(dir);
        let inner = Inner {
            dir: dir.to_path_buf(),
            env,
            // Either it was found durable, or what was looked through has been synced.
            durable_end: Mutex::new(list.end()),
            segments: ArcSwap::from_pointee(list),
            log_start_offset: AtomicI64::new(log_start_offset),
            writer: Mutex::new(writer),
            sealing: Mutex::new(VecDeque::new()),
            extent_lock: Mutex::new(()),
            sync_lock: Mutex::new(()),
            recovery_point: AtomicI64::new(recovery_point),
            dir_dirty: AtomicBool::new(false),
            prepare_pending: AtomicBool::new(false),
            can_allocate: AtomicBool::new(true),
            can_map: AtomicBool::new(can_map),
            offline: OnceLock::new(),
            gone: AtomicBool::new(false),
            deleted: Mutex::new(Vec::new()),
            unstable: Unstable::new(transactions),
        };
        Log { inner: Arc::new(inner) }
    }
}

impl Active {
    /// The active segment of a log that was there before.
    fn reopen(segment: &Arc<Segment>, fs: &dyn Fs) -> io::Result<Active> {
        let position = segment.end().position;
        Ok(Active {
            segment: Arc::clone(segment),
            position,
            bytes_since_index_entry: 0,
            first_timestamp_ms: segment.first_batch_timestamp(fs)?,
            allocated_end: u64::from(position),
            filled_end: 0,
            ahead_bytes: MIN_AHEAD_BYTES,
            prepared_ms: i64::MIN,
            map: None,
            wants_map: false,
            last_append_ms: segment.created_ms(),
        })
    }
}

/// Lists the directory, and removes what a crash has left half done.
fn tidy(dir: &Path, fs: &dyn Fs) -> Result<Files, OpenLogError> {
    let failed = |source| OpenLogError::Io { path: dir.to_path_buf(), source };
    let mut files = Files::default();
    let mut indexes = Vec::new();
    let mut names = names_in(dir).map_err(failed)?;
    if names.iter().any(|name| name.ends_with(compaction::SWAP_SUFFIX)) {
        compaction::recover(dir, &names, fs).map_err(failed)?;
        files.removed = true;
        names = names_in(dir).map_err(failed)?;
    }
    for name in &names {
        let left_over = name.ends_with(DELETED_SUFFIX)
            || name.ends_with(compaction::CLEANED_SUFFIX)
            || name.ends_with(".tmp")
            || name == NEXT_SEGMENT_NAME;
        if left_over {
            fs.remove_file(&dir.join(name)).map_err(failed)?;
            files.removed = true;
        } else if let Some(base_offset) = offset_of_name(name, LOG_SUFFIX) {
            files.segments.push(base_offset);
        } else if let Some(offset) = offset_of_name(name, SNAPSHOT_SUFFIX) {
            files.snapshots.push(offset);
        } else if let Some(base_offset) = [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX]
            .iter()
            .find_map(|suffix| offset_of_name(name, suffix))
        {
            indexes.push((base_offset, dir.join(name)));
        }
    }
    files.segments.sort_unstable();
    files.snapshots.sort_unstable();
    for (base_offset, path) in indexes {
        if files.segments.binary_search(&base_offset).is_err() {
            fs.remove_file(&path).map_err(failed)?;
            files.removed = true;
        }
    }
    Ok(files)
}

/// The names in a directory, but for those that nobody here has made.
fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let names = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

/// A segment as its files say, but for its index of aborted transactions; `None` when they contradict one another.
pub(crate) fn trusted_segment(
    dir: &Path,
    base_offset: i64,
    next_base: Option<i64>,
    file: File,
    now_ms: i64,
    fs: &dyn Fs,
    open_segments: &Arc<OpenSegments>,
) -> io::Result<Option<Arc<Segment>>> {
    let Ok(len) = u32::try_from(file.metadata()?.len()) else { return Ok(None) };
    let entries = |suffix, entry_bytes: usize| -> io::Result<Option<usize>> {
        match std::fs::metadata(segment_path(dir, base_offset, suffix)) {
            Ok(metadata) => {
                let bytes = metadata.len() as usize;
                Ok(bytes.is_multiple_of(entry_bytes).then_some(bytes / entry_bytes))
            }
            // An empty segment that was never sealed has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((len == 0).then_some(0)),
            Err(error) => Err(error),
        }
    };
    let (Some(offset_index_entries), Some(time_index_entries)) = (
        entries(INDEX_SUFFIX, OFFSET_INDEX_ENTRY_BYTES)?,
        entries(TIME_INDEX_SUFFIX, TIME_INDEX_ENTRY_BYTES)?,
    ) else {
        return Ok(None);
    };
    let state = SegmentState {
        end: SegmentEnd { next_offset: next_base.unwrap_or(base_offset), position: len },
        offset_index_entries,
        time_index_entries,
        max_timestamp: None,
        created_ms: now_ms,
    };
    let segment = Segment::new(dir, base_offset, file, state, fs, Arc::clone(open_segments))?;
    if !segment.indexes_agree(fs)? {
        return Ok(None);
    }
    // Go from the last index entry to the end: the log's end isn't written anywhere else, and a rolled segment may not
    // have been cut to its batches.
    let last = match segment.last_batch(fs) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        other => other?,
    };
    let next_offset = last.map_or(base_offset, |header| header.next_offset());
    match next_base {
        Some(next) if next_offset > next => return Ok(None),
        Some(_) => segment.mark_durable(),
        None => {
            segment.set_end(SegmentEnd { next_offset, position: len });
            segment.mark_synced();
        }
    }
    Ok(Some(segment))
}

impl Opening<'_> {
    pub(super) fn failed(&self, source: io::Error) -> OpenLogError {
        OpenLogError::Io { path: self.dir.to_path_buf(), source }
    }

    /// Opens the segments; after a crash those past the recovery point are looked through, and the log is cut at
    /// the first bad batch.
    fn segments(&mut self, bases: &[i64]) -> Result<Vec<Arc<Segment>>, OpenLogError> {
        let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(bases.len());
        let mut last_epoch = -1;
        for (at, &base_offset) in bases.iter().enumerate() {
            let next_base = bases.get(at + 1).copied();
            let path = segment_path(self.dir, base_offset, LOG_SUFFIX);
            let file = match self.fs.open(&path) {
                Ok(file) => file,
                Err(source) => return Err(OpenLogError::Io { path, source }),
            };
            let trusted = self.hint.clean || self.was_finished(next_base);
            if trusted && let Some(segment) = self.trust(base_offset, next_base, &file)? {
                segments.push(segment);
                continue;
            }
            self.changed = true;
            self.recovered.rebuilt_indexes += usize::from(trusted);
            let (segment, stopped) = self.look_through(base_offset, next_base, file, &mut last_epoch)?;
            segments.push(segment);
            if let Some(reason) = stopped {
                let path = segment_path(self.dir, base_offset, LOG_SUFFIX);
                if self.was_finished(next_base) {
                    let position = segments.last().map_or(0, |last| last.end().position);
                    return Err(OpenLogError::Damaged { path, position, reason });
                }
                let last = segments.last().expect("just added");
                let cut = self.cut(last, &bases[at + 1..], reason);
                self.recovered.cut = Some(cut.map_err(|error| self.failed(error))?);
                break;
            }
        }
        Ok(segments)
    }

    /// Whether all files of a segment were on disk when the recovery point was noted.
    fn was_finished(&self, next_base: Option<i64>) -> bool {
        next_base.is_some_and(|next| next <= self.hint.recovery_point)
    }

    /// A segment taken as its files say, or `None` when they contradict one another.
    fn trust(
        &mut self,
        base_offset: i64,
        next_base: Option<i64>,
        file: &File,
    ) -> Result<Option<Arc<Segment>>, OpenLogError> {
        let (now_ms, fs, open_segments) = (self.hint.now_ms, self.fs, self.open_segments);
        let segment = file
            .try_clone()
            .and_then(|file| {
                trusted_segment(self.dir, base_offset, next_base, file, now_ms, fs, open_segments)
            })
            .map_err(|error| self.failed(error))?;
        if let Some(segment) = &segment {
            self.trust_aborted(segment, base_offset, segment.end().next_offset)?;
        }
        Ok(segment)
    }

    /// Goes through a segment batch by batch and writes its indexes anew. Gives why it stopped early, if it did.
    fn look_through(
        &mut self,
        base_offset: i64,
        next_base: Option<i64>,
        file: File,
        last_epoch: &mut i32,
    ) -> Result<(Arc<Segment>, Option<CutReason>), OpenLogError> {
        let dir = self.dir.to_path_buf();
        let failed = |source| OpenLogError::Io { path: dir.clone(), source };
        let len = file.metadata().map_err(failed)?.len();
        if i32::try_from(len).is_err() {
            let what = format!("segment {base_offset} has {len} bytes, more than a segment can have");
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        let reader = file.try_clone().map_err(failed)?;
        let open_segments = Arc::clone(self.open_segments);
        let segment = Segment::empty(self.dir, base_offset, file, self.hint.now_ms, self.fs, open_segments)
            .map_err(failed)?;
        if self.was_finished(next_base) || (self.hint.clean && next_base.is_some()) {
            segment.hold_indexes(self.fs).and_then(|()| self.fs.sync_dir(self.dir)).map_err(failed)?;
        }
        let rules = ScanRules {
            first_offset: base_offset,
            last_epoch: *last_epoch,
            gaps_allowed: self.config.compact || self.was_finished(next_base),
        };
        let mut bytes_since_entry = 0;
        let (fs, epochs) = (self.fs, &mut self.epochs);
        let interval = self.config.index_interval_bytes as usize;
        let mut epochs_changed = false;
        let mut markers = false;
        let scanned = scan(&reader, len, rules, |header: &BatchHeader, position| {
            let add_entry = bytes_since_entry > interval;
            segment.index_batch(header.last_offset(), header.max_timestamp, position, add_entry, fs)?;
            if add_entry {
                bytes_since_entry = 0;
            }
            bytes_since_entry += header.size_in_bytes();
            markers |= header.is_control();
            if epochs.latest().is_none_or(|latest| header.partition_leader_epoch > latest.epoch) {
                epochs_changed |= epochs.assign(header.partition_leader_epoch, header.base_offset);
            }
            Ok(())
        })
        .map_err(failed)?;
        self.epochs_changed |= epochs_changed;
        *last_epoch = scanned.last_epoch;
        segment.set_end(SegmentEnd { next_offset: scanned.next_offset, position: scanned.position });
        self.recovered.scanned_segments += 1;
        self.recovered.scanned_bytes += u64::from(scanned.position);
        if self.was_finished(next_base) {
            // Only its other indexes were at odds: this one was on disk when the recovery point moved past it.
            self.trust_aborted(&segment, base_offset, scanned.next_offset)?;
        } else {
            self.txn_indexes_lost.push(LostTxnIndex { base_offset, markers });
        }
        let mut stopped = scanned.stopped;
        match next_base {
            // All that was published here is here. What follows was only reserved, or belongs to an append that
            // was refused, and hadn't been cut off yet after the roll.
            Some(next) if next == scanned.next_offset => stopped = None,
            Some(next) if stopped.is_none() && (next < scanned.next_offset || !rules.gaps_allowed) => {
                stopped = Some(CutReason::MissingRecords { expected: scanned.next_offset, found: next });
            }
            _ => {}
        }
        match stopped {
            Some(reason) => Ok((segment, Some(reason))),
            None => {
                self.make_durable(&segment, next_base.is_some()).map_err(failed)?;
                Ok((segment, None))
            }
        }
    }

    /// A scan has seen the page cache, of which a killed broker may have left much that isn't on disk.
    fn make_durable(&self, segment: &Arc<Segment>, sealed: bool) -> io::Result<()> {
        if sealed {
            segment.finish(self.fs)?;
            segment.sync_finished(self.fs)?;
            // The directory is synced before the log is used.
            segment.mark_durable();
            Ok(())
        } else {
            self.fs.sync_all(segment.file(self.fs)?.file())?;
            segment.mark_synced();
            Ok(())
        }
    }

    /// Cuts the log: first the later segments go, newest first, then the bytes; so a second crash in between finds
    /// the same place again. Zeros that were only reserved count as a cut too, in the last segment.
    fn cut(&mut self, segment: &Arc<Segment>, later: &[i64], reason: CutReason) -> io::Result<Cut> {
        let SegmentEnd { next_offset: from_offset, position } = segment.end();
        let file = segment.file(self.fs)?;
        let file = file.file();
        let mut truncated_bytes = file.metadata()?.len() - u64::from(position);
        for &base_offset in later {
            truncated_bytes += std::fs::metadata(segment_path(self.dir, base_offset, LOG_SUFFIX))?.len();
        }
        self.remove_segments(later)?;
        self.fs.set_len(file, u64::from(position))?;
        self.make_durable(segment, false)?;
        Ok(Cut {
            from_offset,
            segment_base_offset: segment.base_offset(),
            position,
            truncated_bytes,
            removed_segments: later.len(),
            reason,
        })
    }

    fn remove_segments(&self, bases: &[i64]) -> io::Result<()> {
        for &base_offset in bases.iter().rev() {
            for suffix in [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, LOG_SUFFIX] {
                match self.fs.remove_file(&segment_path(self.dir, base_offset, suffix)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        if bases.is_empty() { Ok(()) } else { self.fs.sync_dir(self.dir) }
    }
}
