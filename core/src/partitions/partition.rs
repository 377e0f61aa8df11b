//! One partition as the broker sees it: its log, the marks over it, and those who wait for them.
//!
//! An append goes through the log's own short mutex, then through the one here. Reads take the high watermark from
//! here and everything else from the log, which is lock-free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use fluxmq_protocol::StrBytes;
use fluxmq_storage::LogOffsetMetadata;
use fluxmq_storage::batch::{self, CheckedBatch, ControlMarker};
use fluxmq_storage::log::{
    self, AppendContext, Appended, Cleanable, CloseError, CompactionLimits, Log, LogConfig, LogStartError,
    Offline, ReadError, RetentionLimits, RetentionOutcome, WriteMode,
};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};
use parking_lot::Mutex;
use thiserror::Error;
use uuid::Uuid;

use super::data_dir::DataDir;
use super::flusher::{FULL_PAUSE, FlushState, Flusher};
use super::high_watermark::{Acks, Advance, Marks, Visibility, advance, visibility};
use super::once_a_minute::OnceAMinute;
use super::rounds::LastAsked;
use super::waiters::{CommitQueue, CommitSignal, FetchWaiter};
use super::write_mode::WriteModeSwitch;
use crate::config::{FlushPolicy, TopicConfig};

/// The name of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionName {
    /// The topic's name.
    pub topic: StrBytes,
    /// The topic's id (KIP-516).
    pub topic_id: Uuid,
    /// The partition's number within the topic.
    pub index: i32,
}

impl std::fmt::Display for PartitionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// Why a batch was not appended.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The log directory failed earlier: `KAFKA_STORAGE_ERROR`.
    #[error("the log directory is offline")]
    Offline,
    /// The partition was deleted: `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("the partition was deleted")]
    Deleted,
    /// The volume is nearly full, and this is a client's batch: `KAFKA_STORAGE_ERROR`, which clients try again for.
    #[error("the volume is nearly full")]
    NearlyFull,
    /// The log refused it, or could not write it.
    #[error(transparent)]
    Log(#[from] log::AppendError),
}

/// How a producer's transaction ends, as its marker says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The producer id that wrote in the transaction.
    pub producer_id: i64,
    /// The epoch of the marker. By version 2 it is above that of the records.
    pub producer_epoch: i16,
    /// Whether it is committed.
    pub commit: bool,
    /// The leader epoch of the coordinator's partition.
    pub coordinator_epoch: i32,
    /// The version of transactions that it ends by (`transaction.version`).
    pub transaction_version: i16,
}

/// An append that was made, or that was a duplicate of one.
#[derive(Clone, Copy, Debug)]
pub struct AppendOutcome {
    /// Offsets and times to answer with.
    pub appended: Appended,
    /// Set when the answer has to wait for a sync: the offset that the durable end has to reach.
    pub commit_at: Option<i64>,
}

/// Where a wait for a sync stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitState {
    /// A sync covers it.
    Committed,
    /// No sync covers it yet.
    Pending,
    /// The log directory failed: whether it is on disk is known only after recovery.
    Offline,
    /// The partition was deleted.
    Deleted,
}

/// What a client believes about the leader is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LeaderEpochError {
    /// The client's epoch is older: `FENCED_LEADER_EPOCH`.
    #[error("the leader epoch is fenced")]
    Fenced,
    /// The client's epoch is newer: `UNKNOWN_LEADER_EPOCH`.
    #[error("the leader epoch is unknown")]
    Unknown,
}

/// Why records were not deleted.
#[derive(Debug, Error)]
pub enum DeleteRecordsError {
    /// The offset is negative or lies above the high watermark: `OFFSET_OUT_OF_RANGE`.
    #[error("offset {0} is out of range")]
    OffsetOutOfRange(i64),
    /// The topic's cleanup policy does not contain `delete`: `POLICY_VIOLATION`.
    #[error("the cleanup policy does not allow it")]
    PolicyViolation,
    /// The log directory failed: `KAFKA_STORAGE_ERROR`.
    #[error("the log directory is offline")]
    Offline,
    /// The partition was deleted: `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("the partition was deleted")]
    Deleted,
}

#[derive(Debug)]
struct State {
    marks: Marks,
    /// When the first record was appended that no sync has covered.
    dirty_since_ms: Option<i64>,
    commits: CommitQueue,
    fetches: Vec<Arc<FetchWaiter>>,
    /// Fetches under read_committed, and the last stable offset that each has counted up to.
    committed_fetches: Vec<(Arc<FetchWaiter>, LogOffsetMetadata)>,
}

/// One partition of a topic.
#[derive(Debug)]
pub struct Partition {
    name: PartitionName,
    log: Log,
    config: ArcSwap<TopicConfig>,
    policy: FlushPolicy,
    leader_epoch: AtomicI32,
    /// How far compaction has come, or −1.
    cleaned_until: AtomicI64,
    deleted: AtomicBool,
    /// The log could not be opened.
    unopened: bool,
    /// The log isn't in any of the log directories.
    absent: bool,
    write_mode: WriteModeSwitch,
    state: Mutex<State>,
    flush_state: FlushState,
    sync_linger_ms: AtomicU32,
    last_asked: LastAsked,
    reads_fail: OnceAMinute,
    flusher: Arc<Flusher>,
}

impl Partition {
    /// A partition around a log that was just opened; everything in it is durable and seen.
    pub(super) fn new(
        name: PartitionName,
        log: Log,
        config: Arc<TopicConfig>,
        policy: FlushPolicy,
        leader_epoch: i32,
        flusher: Arc<Flusher>,
    ) -> Self {
        let first_mode = if policy == FlushPolicy::Always { WriteMode::Plain } else { WriteMode::Mapped };
        let marks = Marks::recovered(log.log_end());
        let unopened = log.offline().is_some();
        Partition {
            name,
            log,
            config: ArcSwap::new(config),
            policy,
            leader_epoch: AtomicI32::new(leader_epoch),
            cleaned_until: AtomicI64::new(-1),
            deleted: AtomicBool::new(false),
            unopened,
            absent: false,
            write_mode: WriteModeSwitch::new(first_mode),
            state: Mutex::new(State {
                marks,
                dirty_since_ms: None,
                commits: CommitQueue::default(),
                fetches: Vec::new(),
                committed_fetches: Vec::new(),
            }),
            flush_state: FlushState::default(),
            sync_linger_ms: AtomicU32::new(0),
            last_asked: LastAsked::default(),
            reads_fail: OnceAMinute::default(),
            flusher,
        }
    }

    /// It may lie in a log directory that isn't there; its log wasn't opened.
    pub(super) fn absent(self) -> Self {
        Partition { absent: true, ..self }
    }

    /// Topic, topic id and number.
    #[must_use]
    pub fn name(&self) -> &PartitionName {
        &self.name
    }

    /// Whether it lies in this log directory.
    #[must_use]
    pub fn lies_in(&self, dir: &DataDir) -> bool {
        Arc::ptr_eq(&self.flusher, &dir.flusher)
    }

    /// The partition's number within its topic.
    #[must_use]
    pub fn index(&self) -> i32 {
        self.name.index
    }

    /// The log, for reads and look-ups. Append through [`append`](Self::append) alone.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The topic's settings.
    #[must_use]
    pub fn config(&self) -> arc_swap::Guard<Arc<TopicConfig>> {
        self.config.load()
    }

    /// Replaces the topic's settings; for the log they hold from the next append on.
    pub(super) fn update_config(&self, config: Arc<TopicConfig>, log_config: LogConfig) {
        self.config.store(config);
        self.log.update_config(log_config);
    }

    /// The epoch of this broker's leadership.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch.load(Ordering::Acquire)
    }

    /// Compares a client's idea of the leader epoch (−1: none) with the partition's (KIP-320).
    ///
    /// # Errors
    /// The client's is older or newer.
    pub fn check_leader_epoch(&self, current_leader_epoch: i32) -> Result<(), LeaderEpochError> {
        let own = self.leader_epoch();
        match current_leader_epoch {
            -1 => Ok(()),
            theirs if theirs < own => Err(LeaderEpochError::Fenced),
            theirs if theirs > own => Err(LeaderEpochError::Unknown),
            _ => Ok(()),
        }
    }

    /// The offset after the last record that consumers may see, with its place in the log.
    #[must_use]
    pub fn high_watermark(&self) -> LogOffsetMetadata {
        self.state.lock().marks.high_watermark()
    }

    /// The offset up to which every transaction is decided, with its place in the log. Without transactions: the high
    /// watermark.
    #[must_use]
    pub fn last_stable_offset(&self) -> LogOffsetMetadata {
        self.high_watermark_and_last_stable_offset().1
    }

    /// Both of one moment.
    #[must_use]
    pub fn high_watermark_and_last_stable_offset(&self) -> (LogOffsetMetadata, LogOffsetMetadata) {
        let marks = self.state.lock().marks;
        (marks.high_watermark(), self.last_stable_offset_at(&marks))
    }

    /// A transaction is decided once its marker can't be lost any more, as far as the policy promises that of anything.
    fn last_stable_offset_at(&self, marks: &Marks) -> LogOffsetMetadata {
        let high_watermark = marks.high_watermark();
        match self.log.first_unstable_offset(marks.markers_final_below(self.policy)) {
            Some(unstable) if unstable.offset < high_watermark.offset => unstable,
            _ => high_watermark,
        }
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> i64 {
        self.log.log_start_offset()
    }

    /// The offset after the last record, with its place in the log.
    #[must_use]
    pub fn log_end(&self) -> LogOffsetMetadata {
        self.log.log_end()
    }

    /// The offset after the last record that a sync has covered.
    #[must_use]
    pub fn durable_end(&self) -> i64 {
        self.state.lock().marks.durable_end()
    }

    /// Whether requests are answered with `KAFKA_STORAGE_ERROR`: the log directory failed, or the log could not be opened.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.unopened || self.flusher.health.is_offline()
    }

    /// Whether the log could not be opened, though the log directory is fine.
    #[must_use]
    pub fn is_unopened(&self) -> bool {
        self.unopened
    }

    /// Whether the log isn't in any of the log directories, but may be in one that isn't there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// Whether the topic was deleted; whoever still holds the partition answers `UNKNOWN_TOPIC_OR_PARTITION`.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Takes the log directory offline after a read or write that failed in a way that is not the client's doing.
    pub fn storage_failed(&self, reason: &dyn std::fmt::Display) {
        if self.is_deleted() || self.unopened {
            // Its files have another name, or are gone: that is no failure. Or it is one that the directory survived.
            return;
        }
        self.flusher.storage_failed(reason);
    }

    /// Takes note of a read that gave nothing. Where the file system is to blame the directory goes offline; a damaged batch,
    /// and a segment that somebody took away, are this partition's alone.
    pub fn read_failed(&self, error: &ReadError) {
        match error {
            ReadError::Io(cause) if error.is_file_systems() => self.storage_failed(cause),
            ReadError::Io(cause) if self.reads_fail.may_say(Instant::now()) => {
                tracing::error!(partition = %self.name, %cause, "records can't be read, whoever asks for them; others are served");
            }
            _ => {}
        }
    }

    /// Appends one checked batch of a client, moves the marks, wakes fetches that have enough now, and asks for a sync
    /// where the flush policy or the acks want one. Never waits for a disk sync: the outcome says whether the answer has
    /// to.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append(
        self: &Arc<Self>,
        batch: &CheckedBatch,
        acks: Acks,
        now_ms: i64,
    ) -> Result<AppendOutcome, AppendError> {
        self.append_as(AppendOrigin::Client, batch, acks, now_ms, TransactionContext::NONE)
    }

    /// Appends the marker that ends a producer's transaction in this partition.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append_marker(
        self: &Arc<Self>,
        end: &EndTransaction,
        now_ms: i64,
    ) -> Result<AppendOutcome, AppendError> {
        let marker = ControlMarker { is_commit: end.commit, coordinator_epoch: end.coordinator_epoch };
        let batch = batch::end_transaction_marker(end.producer_id, end.producer_epoch, marker, now_ms);
        let transaction = TransactionContext { version: end.transaction_version, ..TransactionContext::NONE };
        self.append_as(AppendOrigin::Coordinator, &batch, Acks::All, now_ms, transaction)
    }

    /// As [`append`](Self::append), from `origin` and with what is known of the batch's transaction.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append_as(
        self: &Arc<Self>,
        origin: AppendOrigin,
        batch: &CheckedBatch,
        acks: Acks,
        now_ms: i64,
        transaction: TransactionContext,
    ) -> Result<AppendOutcome, AppendError> {
        self.check_appendable()?;
        if origin == AppendOrigin::Client && self.flusher.space.is_low() {
            return Err(AppendError::NearlyFull);
        }
        let wanted = visibility(self.policy, acks, false);
        let context = AppendContext {
            leader_epoch: self.leader_epoch(),
            now_ms,
            mode: self.write_mode.next(wanted),
            origin,
            transaction,
        };
        let appended = self.log.append(batch, context).inspect_err(|error| match error {
            log::AppendError::Offline(offline) => self.storage_failed(&format_args!("{}: {offline}", self.name)),
            log::AppendError::NoSpace(cause) if self.flusher.space.may_say(Instant::now()) => {
                tracing::warn!(partition = %self.name, %cause, "no room for records: they are refused until there is");
            }
            _ => {}
        })?;
        let end_offset = appended.last_offset + 1;

        let mut wakers = Vec::new();
        let (visibility, committed) = {
            let mut state = self.state.lock();
            let durable_end = state.marks.durable_end();
            let flush_due = end_offset - durable_end >= self.config().flush_messages;
            let visibility = visibility(self.policy, acks, flush_due);
            if end_offset > durable_end {
                state.dirty_since_ms.get_or_insert(now_ms);
            }
            if !appended.duplicate
                && let Some(advance) = state.marks.appended(appended.end, visibility)
            {
                state.arrived(advance, &mut wakers);
                self.stable_arrived(&mut state, &mut wakers);
            }
            (visibility, end_offset <= durable_end)
        };
        wakers.into_iter().for_each(Waker::wake);
        if appended.rolled {
            self.flusher.background.rolled(self);
        }
        let commit_at = self.commit_at(end_offset, visibility, committed);
        Ok(AppendOutcome { appended, commit_at })
    }

    /// The offset that the durable end has to reach before an answer may leave that rests on all that is in the log, as if
    /// it had been appended with acks=all. None if the answer needn't wait.
    pub fn commit_log_end(self: &Arc<Self>) -> Option<i64> {
        let (end_offset, durable_end) = (self.log_end().offset, self.durable_end());
        let flush_due = end_offset - durable_end >= self.config().flush_messages;
        let visibility = visibility(self.policy, Acks::All, flush_due);
        self.commit_at(end_offset, visibility, end_offset <= durable_end)
    }

    /// What an answer has to wait for, having asked for it.
    fn commit_at(self: &Arc<Self>, end_offset: i64, visibility: Visibility, committed: bool) -> Option<i64> {
        match visibility {
            Visibility::AtAppend => None,
            Visibility::WhenDurable if committed => None,
            Visibility::WhenDurable => {
                self.flusher.request(self);
                Some(end_offset)
            }
        }
    }

    fn check_appendable(&self) -> Result<(), AppendError> {
        if self.is_offline() {
            return Err(AppendError::Offline);
        }
        if self.is_deleted() {
            return Err(AppendError::Deleted);
        }
        Ok(())
    }

    /// Where the wait for a sync up to `end_offset` stands.
    #[must_use]
    pub fn commit_state(&self, end_offset: i64) -> CommitState {
        if self.durable_end() >= end_offset {
            CommitState::Committed
        } else if self.is_offline() {
            CommitState::Offline
        } else if self.is_deleted() {
            CommitState::Deleted
        } else {
            CommitState::Pending
        }
    }

    /// Registers `waiter` for moves of the high watermark. What it moved since it was `seen` counts at once.
    pub fn register_fetch_waiter(&self, waiter: &Arc<FetchWaiter>, seen: LogOffsetMetadata) {
        let missed = {
            let mut state = self.state.lock();
            state.fetches.push(Arc::clone(waiter));
            state.marks.advance_since(seen)
        };
        self.count_missed(waiter, missed);
    }

    /// As [`register_fetch_waiter`](Self::register_fetch_waiter), for moves of the last stable offset.
    pub fn register_committed_waiter(&self, waiter: &Arc<FetchWaiter>, seen: LogOffsetMetadata) {
        let missed = {
            let mut state = self.state.lock();
            let stable = self.last_stable_offset_at(&state.marks);
            let missed = advance(seen, stable);
            state.committed_fetches.push((Arc::clone(waiter), if missed.is_some() { stable } else { seen }));
            missed
        };
        self.count_missed(waiter, missed);
    }

    fn count_missed(&self, waiter: &FetchWaiter, missed: Option<Advance>) {
        // A partition that failed or went away after the plan was made needs a new look at once.
        let waker = if self.is_offline() || self.is_deleted() {
            waiter.take_waker()
        } else {
            missed.and_then(|advance| waiter.arrived(advance.bytes))
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes `waiter` off again; nothing if it is not there.
    pub fn unregister_fetch_waiter(&self, waiter: &Arc<FetchWaiter>) {
        let mut state = self.state.lock();
        if let Some(at) = state.fetches.iter().position(|other| Arc::ptr_eq(other, waiter)) {
            state.fetches.swap_remove(at);
        } else if let Some(at) =
            state.committed_fetches.iter().position(|(other, _)| Arc::ptr_eq(other, waiter))
        {
            state.committed_fetches.swap_remove(at);
        }
    }

    /// Fetches and producers that wait here, for metrics and tests.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.fetches.len() + state.committed_fetches.len(), state.commits.len())
    }

    /// Whether there is anything to wait for; if so `signal` is completed once, by a sync or a failure.
    pub(super) fn register_commit(&self, signal: &Arc<CommitSignal>, end_offset: i64) -> bool {
        let mut state = self.state.lock();
        // The failure is announced under this lock too, after the flag was set: seen here or announced later.
        if state.marks.durable_end() >= end_offset || self.is_offline() || self.is_deleted() {
            return false;
        }
        state.commits.push(end_offset, Arc::clone(signal));
        true
    }

    pub(super) fn unregister_commit(&self, signal: &Arc<CommitSignal>) {
        self.state.lock().commits.remove(signal);
    }

    /// Lets syncs of this partition wait for those of others, so long at the most. 0, as at first: they never do.
    pub fn set_sync_linger_ms(&self, linger_ms: u32) {
        self.sync_linger_ms.store(linger_ms, Ordering::Relaxed);
    }

    pub(super) fn sync_linger(&self) -> Duration {
        Duration::from_millis(u64::from(self.sync_linger_ms.load(Ordering::Relaxed)))
    }

    pub(super) fn last_asked(&self) -> &LastAsked {
        &self.last_asked
    }

    pub(super) fn flush_state(&self) -> &FlushState {
        &self.flush_state
    }

    /// Whether a record has waited for a sync longer than `flush.ms`.
    pub(super) fn is_flush_due(&self, now_ms: i64) -> bool {
        let flush_ms = self.config().flush_ms;
        flush_ms != i64::MAX
            && self.state.lock().dirty_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= flush_ms)
    }

    /// Asks the flushers to sync everything appended so far.
    pub(super) fn request_flush(self: &Arc<Self>) {
        self.flusher.request(self);
    }

    /// Syncs the log and moves the marks. `wakers` gets those to wake. False when no more files could be opened, so that it
    /// has to be tried again.
    #[must_use]
    pub(super) fn sync(&self, wakers: &mut Vec<Waker>) -> bool {
        if self.is_offline() || self.is_deleted() {
            return true;
        }
        let log_end_offset = self.log.log_end().offset;
        match self.log.sync() {
            Ok(durable_end) => {
                self.synced(durable_end, wakers);
                durable_end.offset >= log_end_offset || self.is_deleted()
            }
            Err(offline) => {
                self.storage_failed(&format_args!("{}: {offline}", self.name));
                true
            }
        }
    }

    fn synced(&self, durable_end: LogOffsetMetadata, wakers: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        // Under the lock: an append that was here before has published its end, and one that wasn't sets the time.
        let log_end = self.log.log_end().offset;
        let advance = state.marks.synced(durable_end);
        // Kept where appends went on meanwhile: the next sync by time comes early rather than late.
        state.dirty_since_ms = if log_end > durable_end.offset { state.dirty_since_ms } else { None };
        state.commits.complete_through(durable_end.offset, wakers);
        if let Some(advance) = advance {
            state.arrived(advance, wakers);
        }
        // Also where the high watermark was there before: the sync may have covered a marker.
        self.stable_arrived(&mut state, wakers);
    }

    /// Counts for those who wait for the last stable offset how far it moved, if there are any.
    fn stable_arrived(&self, state: &mut State, wakers: &mut Vec<Waker>) {
        if state.committed_fetches.is_empty() {
            return;
        }
        let stable = self.last_stable_offset_at(&state.marks);
        for (waiter, seen) in &mut state.committed_fetches {
            if let Some(advance) = advance(*seen, stable) {
                *seen = stable;
                wakers.extend(waiter.arrived(advance.bytes));
            }
        }
    }

    /// As the flushers do, on the calling thread, which blocks on the disk.
    pub(super) fn sync_now(&self) {
        let mut wakers = Vec::new();
        let _ = self.sync(&mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Finishes rolled segments and moves the recovery point past them. Blocks on the disk.
    pub(crate) fn sync_sealed(&self) {
        if let Err(offline) = self.log.sync_sealed() {
            self.storage_failed(&format_args!("{}: {offline}", self.name));
        }
    }

    /// Flushes and closes the log. Appends fail from now on; everyone who waits is answered. While no file can be opened,
    /// or the disk is full, it is tried again, `until` then.
    ///
    /// # Errors
    /// The log went offline or couldn't be written, so that the shutdown is no clean one.
    pub(super) fn close(&self, until: Instant) -> std::io::Result<()> {
        let mut wakers = Vec::new();
        let closed = loop {
            match self.log.close() {
                // Others are being closed, and each gives some back.
                Err(CloseError::Full) if Instant::now() < until => std::thread::sleep(FULL_PAUSE),
                closed => break closed,
            }
        };
        match &closed {
            Ok(durable_end) => self.synced(*durable_end, &mut wakers),
            Err(CloseError::Offline(offline)) => {
                self.storage_failed(&format_args!("{}: {offline}", self.name));
            }
            Err(CloseError::Full) => {}
        }
        let closed = closed.map_err(|error| std::io::Error::other(format!("{}: {error}", self.name)));
        wakers.into_iter().for_each(Waker::wake);
        self.release_waiters();
        closed.map(|_| ())
    }

    /// Wakes everyone who waits here: the partition failed or went away.
    pub(super) fn release_waiters(&self) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state.lock();
            state.commits.complete_all(&mut wakers);
            let committed = state.committed_fetches.iter().map(|(waiter, _)| waiter);
            wakers.extend(state.fetches.iter().chain(committed).filter_map(|waiter| waiter.take_waker()));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Marks the partition deleted; from now on nothing is appended.
    pub(super) fn mark_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
        self.log.mark_deleted();
        self.release_waiters();
    }

    /// Leads under `epoch` from now on; what is appended carries it. Durable when this returns, where the log has an
    /// older epoch to tell it from; one that never had a record learns its epoch with the first. Blocks on the disk.
    ///
    /// # Errors
    /// The log directory is offline, or goes so.
    pub fn set_leader_epoch(&self, epoch: i32) -> Result<(), Offline> {
        if self.log.latest_epoch().is_some() {
            self.log
                .assign_leader_epoch(epoch)
                .inspect_err(|offline| self.storage_failed(&format_args!("{}: {offline}", self.name)))?;
        }
        self.leader_epoch.store(epoch, Ordering::Release);
        Ok(())
    }

    /// The offset up to which compaction has come, if there was any.
    #[must_use]
    pub fn cleaned_until(&self) -> Option<i64> {
        Some(self.cleaned_until.load(Ordering::Acquire)).filter(|offset| *offset >= 0)
    }

    /// Compaction has come up to `offset`.
    pub(crate) fn set_cleaned_until(&self, offset: i64) {
        self.cleaned_until.store(offset, Ordering::Release);
    }

    /// What the next round of compaction would go through, and whether it is time for one.
    #[must_use]
    pub fn cleanable(&self, now_ms: i64) -> (Cleanable, bool) {
        let config = self.config();
        let limits = CompactionLimits {
            checkpoint: self.cleaned_until(),
            last_stable_offset: self.last_stable_offset().offset,
            min_compaction_lag_ms: config.min_compaction_lag_ms,
            max_compaction_lag_ms: config.max_compaction_lag_ms,
        };
        let cleanable = self.log.cleanable(&limits, now_ms);
        let is_dirty = cleanable.dirty_ratio() > config.min_cleanable_dirty_ratio;
        (cleanable, cleanable.cleanable_bytes > 0 && (is_dirty || cleanable.overdue))
    }

    /// Deletes what the topic's retention doesn't keep any more, and says so in the log; true if there was something. The
    /// caller makes the log start durable.
    pub(super) fn apply_retention(&self, now_ms: i64) -> bool {
        let config = self.config();
        if !config.cleanup_policy.delete || self.is_offline() || self.is_deleted() {
            return false;
        }
        let limits = RetentionLimits {
            retention_ms: (config.retention_ms >= 0).then_some(config.retention_ms),
            retention_bytes: u64::try_from(config.retention_bytes).ok(),
            high_watermark: self.high_watermark().offset,
        };
        let (mut in_future, mut newest_ms) = (0, 0);
        let applied = self.log.apply_retention(&limits, now_ms, |timestamp_ms| {
            (in_future, newest_ms) = (in_future + 1, newest_ms.max(timestamp_ms));
        });
        if in_future > 0 && limits.retention_ms.is_some() {
            tracing::warn!(
                partition = %self.name, segments = in_future, newest_ms,
                "there are records from the future; how long their segments are kept goes by the time of the files"
            );
        }
        match applied {
            Ok(None) | Err(LogStartError::BeyondEnd { .. } | LogStartError::Deleted) => false,
            Ok(Some(RetentionOutcome { segments, bytes, log_start_offset })) => {
                tracing::info!(
                    partition = %self.name, segments, bytes, log_start_offset,
                    "deleted what retention.ms and retention.bytes don't keep"
                );
                true
            }
            Err(LogStartError::Offline(offline)) => {
                self.storage_failed(&format_args!("{}: {offline}", self.name));
                false
            }
        }
    }

    /// Moves the log start up to `offset`, or up to the high watermark for −1, and returns it. The caller makes it
    /// durable before the answer.
    ///
    /// # Errors
    /// See [`DeleteRecordsError`]; the log start stays.
    pub(super) fn delete_records(&self, offset: i64) -> Result<i64, DeleteRecordsError> {
        if self.is_offline() {
            return Err(DeleteRecordsError::Offline);
        }
        if self.is_deleted() {
            return Err(DeleteRecordsError::Deleted);
        }
        if !self.config().cleanup_policy.delete {
            return Err(DeleteRecordsError::PolicyViolation);
        }
        let high_watermark = self.high_watermark().offset;
        let target = if offset == -1 { high_watermark } else { offset };
        if target < 0 || target > high_watermark {
            return Err(DeleteRecordsError::OffsetOutOfRange(target));
        }
        self.log.advance_log_start_offset(target).map_err(|error| match error {
            LogStartError::BeyondEnd { offset, .. } => DeleteRecordsError::OffsetOutOfRange(offset),
            LogStartError::Deleted => DeleteRecordsError::Deleted,
            LogStartError::Offline(offline) => {
                self.storage_failed(&format_args!("{}: {offline}", self.name));
                DeleteRecordsError::Offline
            }
        })
    }
}

impl State {
    fn arrived(&self, advance: Advance, wakers: &mut Vec<Waker>) {
        wakers.extend(self.fetches.iter().filter_map(|waiter| waiter.arrived(advance.bytes)));
    }
}
