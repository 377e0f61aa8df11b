//! Reading shards from their logs: at the start, after the topic was made, and when a shard was thrown away.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fluxmq_coordinator::Now;
use fluxmq_storage::batch::{self, BatchHeader, ControlMarker, Record};
use fluxmq_storage::log::ReadError;
use fluxmq_storage::producer_state::VerificationGuard;
use parking_lot::Mutex;
use thiserror::Error;

use super::Coordinator;
use super::machine::{Machine, Undecoded};
use super::shards::{Active, Inner, Shards, State};
use crate::partitions::partition::Partition;

/// A load that takes long says how far it is this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Most bytes that a batch of groups may decompress to.
const MAX_DECOMPRESSED_BYTES: usize = 128 << 20;

/// Why a shard can't be read.
#[derive(Debug, Error)]
enum LoadError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A batch is damaged.
    #[error("the batch at offset {offset}: {reason}")]
    Batch {
        /// Where it was expected.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// A record isn't what its key says.
    #[error("the record at offset {offset}: {reason}")]
    Record {
        /// The record's offset.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The coordinator was stopped meanwhile.
    #[error("the broker stops")]
    Stopped,
}

/// What shards are read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The topic was found at the start, or came.
    TopicSeen,
    /// One was thrown away. On a full disk that happens with every commit that is tried.
    ThrownAway,
}

/// Several shards that are read at once.
struct Load<M: Machine> {
    shards: Arc<Shards<M>>,
    indexes: Vec<usize>,
    why: Why,
    next: AtomicUsize,
    /// Shards that are done with.
    done: AtomicUsize,
    records: AtomicU64,
    began: Instant,
    told_at: Mutex<Instant>,
}

impl<M: Machine> Coordinator<M> {
    /// Holds the shards against the topics as they are: a topic that came is read, one that went takes its shards
    /// along.
    pub(super) fn follow(self: &Arc<Self>) {
        let _following = self.following.lock();
        let image = self.metadata.topics();
        let topic = image.by_name(M::TOPIC).filter(|_| !self.stopped.load(Ordering::SeqCst));
        let known = self.shards.load_full();
        if topic.map(|topic| topic.id) != known.as_ref().map(|shards| shards.topic_id) {
            let shards = topic.map(|topic| Arc::new(Shards::new(topic.id, &topic.partitions)));
            self.shards.store(shards.clone());
            if let Some(known) = known {
                known.unload();
            }
            if let Some(shards) = shards {
                for partition in topic.iter().flat_map(|topic| &topic.partitions) {
                    partition.set_sync_linger_ms(self.config.sync_linger_ms);
                }
                self.load_all(&shards);
            }
        }
        self.followed_version.store(image.version(), Ordering::SeqCst);
    }

    fn load_all(self: &Arc<Self>, shards: &Arc<Shards<M>>) {
        let mut indexes = Vec::new();
        for index in 0..shards.len() {
            let partition = shards.slot(index).map(|slot| &slot.partition);
            if partition.is_some_and(|partition| partition.log_start_offset() == partition.log_end().offset) {
                self.loaded(shards, index, self.machine.new_shard());
            } else {
                indexes.push(index);
            }
        }
        self.load(shards, indexes, Why::TopicSeen);
    }

    /// Has a shard read again that has no state.
    pub(super) fn reload(self: &Arc<Self>, shards: &Arc<Shards<M>>, index: usize, inner: &mut Inner<M>) {
        inner.state = State::Loading;
        self.load(shards, vec![index], Why::ThrownAway);
    }

    /// Reads shards, as many at once as there are cores.
    fn load(self: &Arc<Self>, shards: &Arc<Shards<M>>, indexes: Vec<usize>, why: Why) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(indexes.len());
        let began = Instant::now();
        let load = Arc::new(Load {
            shards: Arc::clone(shards),
            indexes,
            why,
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            records: AtomicU64::new(0),
            began,
            told_at: Mutex::new(began),
        });
        for _ in 0..threads {
            let (coordinator, load) = (Arc::clone(self), Arc::clone(&load));
            // Runs whether the future is polled or not.
            drop(self.blocking.run(move || coordinator.load_some(&load)));
        }
    }

    /// Reads shards until none is left.
    fn load_some(self: &Arc<Self>, load: &Load<M>) {
        while let Some(index) = load.indexes.get(load.next.fetch_add(1, Ordering::Relaxed)) {
            let Some(slot) = load.shards.slot(*index) else { return };
            let read = || {
                let shard = self.read(&slot.partition, load)?;
                self.loaded(&load.shards, *index, shard);
                Ok(())
            };
            match std::panic::catch_unwind(AssertUnwindSafe(read)) {
                Ok(Ok(())) => {}
                Ok(Err(LoadError::Stopped)) => return,
                failed => {
                    let reason = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "a panic".to_owned(),
                    };
                    tracing::error!(partition = %slot.partition.name(), "the {} of this partition are not served: {reason}", M::WHAT);
                    slot.inner.lock().state = State::Failed;
                }
            }
            load.tell(load.done.fetch_add(1, Ordering::Relaxed) + 1, self);
        }
    }

    /// Replays a partition's log up to its end.
    fn read(&self, partition: &Partition, load: &Load<M>) -> Result<M::Shard, LoadError> {
        let mut shard = self.machine.new_shard();
        let end = partition.log_end();
        let mut offset = partition.log_start_offset();
        let mut buffer = Vec::new();
        while offset < end.offset {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(LoadError::Stopped);
            }
            let slice = partition.log().read(offset, self.config.load_buffer_bytes, end, true)?;
            if slice.is_empty() {
                break;
            }
            if buffer.len() < slice.len() {
                buffer.resize(slice.len(), 0);
            }
            let chunk = &mut buffer[..slice.len()];
            slice.read_at(chunk, 0)?;
            let (next_offset, records) = self.replay_chunk(&mut shard, chunk, offset, partition)?;
            offset = next_offset;
            load.records.fetch_add(records, Ordering::Relaxed);
            load.tell(load.done.load(Ordering::Relaxed), self);
        }
        Ok(shard)
    }

    /// Replays the whole batches of a chunk, the first of which is whole. Returns the offset after them and the number
    /// of records replayed.
    fn replay_chunk(
        &self,
        shard: &mut M::Shard,
        chunk: &[u8],
        from_offset: i64,
        partition: &Partition,
    ) -> Result<(i64, u64), LoadError> {
        let now = self.now();
        let mut offset = from_offset;
        let mut replayed = 0;
        let mut rest = chunk;
        while let Some(size_bytes) = whole_batch(rest) {
            let (bytes, after) = rest.split_at(size_bytes);
            rest = after;
            let damaged = |reason: String| LoadError::Batch { offset, reason };
            let header = batch::verify_stored(bytes).map_err(|error| damaged(error.to_string()))?;
            let opened =
                batch::open(bytes, MAX_DECOMPRESSED_BYTES).map_err(|error| damaged(error.to_string()))?;
            for record in opened.records() {
                let record = record.map_err(|error| damaged(error.to_string()))?;
                if record.offset < from_offset {
                    continue;
                }
                let replay = replay_record::<M>(shard, now, &header, &record, partition);
                replay.map_err(|reason| LoadError::Record { offset: record.offset, reason })?;
                replayed += 1;
            }
            offset = header.next_offset();
        }
        if offset == from_offset {
            return Err(LoadError::Batch { offset, reason: "it is not whole".to_owned() });
        }
        Ok((offset, replayed))
    }

    /// Puts a shard that was read in its place, unless the place is gone.
    fn loaded(self: &Arc<Self>, shards: &Arc<Shards<M>>, index: usize, shard: M::Shard) {
        let Some(slot) = shards.slot(index) else { return };
        let mut inner = slot.inner.lock();
        if !matches!(inner.state, State::Loading) {
            return;
        }
        let active = Box::new(Active { shard, waiters: std::collections::HashMap::new() });
        match self.run_active(slot, &mut inner, active, VerificationGuard::NONE, |shard, turn| {
            M::loaded(shard, turn);
        }) {
            Ok(ran) => {
                drop(inner);
                self.alarm.note(slot.deadline());
                M::carry_out(self, shards, index, ran.effects, ran.answered.durable);
            }
            Err(error) => {
                tracing::warn!(partition = %slot.partition.name(), %error, "the {} of this partition are read again at the next request", M::WHAT);
                inner.state = State::Unloaded;
            }
        }
    }
}

impl<M: Machine> Load<M> {
    /// Says how far the load is when it takes long, and that it has ended.
    fn tell(&self, done: usize, coordinator: &Coordinator<M>) {
        let (total, records) = (self.indexes.len(), self.records.load(Ordering::Relaxed));
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if done == total {
            coordinator.stats.load_ms.store(ms, Ordering::Relaxed);
            if self.why == Why::TopicSeen || self.began.elapsed() >= PROGRESS_INTERVAL {
                tracing::info!(partitions = total, records, ms, "{} loaded", M::WHAT);
            }
        } else if let Some(mut told_at) = self.told_at.try_lock()
            && told_at.elapsed() >= PROGRESS_INTERVAL
        {
            *told_at = Instant::now();
            tracing::info!("loading {}: {done} of {total} partitions, {records} records", M::WHAT);
        }
    }
}

/// Replays a record of a batch: as what it says, as what counts once its transaction ends, or as the end of one.
///
/// # Errors
/// It isn't what its key says, and why.
fn replay_record<M: Machine>(
    shard: &mut M::Shard,
    now: Now,
    batch: &BatchHeader,
    record: &Record<'_>,
    partition: &Partition,
) -> Result<(), String> {
    if batch.is_control() {
        // Control records of other kinds are for the log alone.
        if let Some(marker) = ControlMarker::of_record(record) {
            M::replay_end_transaction_marker(shard, batch.producer_id, marker.is_commit);
        }
        return Ok(());
    }
    let key = record.key.ok_or("it has no key")?;
    match M::decode(key, record.value) {
        Ok(record) if batch.is_transactional() => {
            M::replay_transactional(shard, now, batch.producer_id, record);
        }
        Ok(record) => M::replay(shard, now, record),
        // As Kafka: left over by another version, or by groups of another kind.
        Err(Undecoded::Unknown(what)) => {
            tracing::warn!(partition = %partition.name(), "a record is passed over: {what}");
        }
        Err(Undecoded::Damaged(what)) => return Err(what),
    }
    Ok(())
}

/// The size of the batch at the start of `bytes`, if all of it is there.
fn whole_batch(bytes: &[u8]) -> Option<usize> {
    let header = BatchHeader::parse(bytes).ok()?;
    Some(header.size_in_bytes()).filter(|size_bytes| *size_bytes <= bytes.len())
}
