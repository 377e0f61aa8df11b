//! From a transaction's decided end to its completion: the decision is durable, markers are written into the partitions
//! and durable there, and a turn completes the transaction.
//!
//! One task on the control thread begins a task for each transaction. A partition that can't be written to is tried
//! again, slower each time, until the broker stops; one that is gone is passed over. What is lost with a task is left
//! again by the shard when it is read.
//!
//! A shard that is read again while the markers of one of its transactions are on their way leaves them a second time.
//! Those wait for the first, and are written only if the transaction has not been completed: a client before version 2
//! goes on under the same epoch, and its next transaction must not end by a marker of the last.
//!
//! A marker is refused where the producer has a newer epoch, or a newer coordinator has written. As in Kafka the
//! transaction then stays as it is, since it is not this coordinator's to end.

use std::collections::HashMap;
use std::collections::hash_map;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use fluxmq_coordinator::transactions::MarkersToWrite;
use fluxmq_protocol::transaction_records::TransactionState;
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::log;
use fluxmq_storage::producer_state::SequenceError;
use futures_util::FutureExt;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{TransactionCoordinator, Transactions};
use crate::coordination::OFFSETS_TOPIC;
use crate::coordination::shards::Shards;
use crate::coordination::wait::{Answered, DurableAt};
use crate::fail_point;
use crate::partitions::partition::{AppendError, CommitState, EndTransaction, Partition};

/// Transactions whose markers are written at once. Those that wait to be tried again are not among them.
pub(super) const WRITING_AT_ONCE: usize = 1_000;
/// The wait before something is tried again, at first and at the most.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LAST_BACKOFF: Duration = Duration::from_secs(5);

/// Waits that double.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Backoff(FIRST_BACKOFF)
    }
}

impl Backoff {
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LAST_BACKOFF);
    }
}

/// A transaction whose end was decided.
pub(super) struct Ending {
    pub(super) shards: Arc<Shards<Transactions>>,
    pub(super) index: usize,
    pub(super) markers: MarkersToWrite,
    /// Set while the decision isn't durable.
    pub(super) decided: Option<DurableAt>,
}

/// Whose transaction is ending: the topic that it is kept in, and the transactional id.
type Key = (Uuid, StrBytes);

/// The transactions whose markers are on their way, and what is to be done for them after that.
#[derive(Default)]
struct UnderWay {
    ending: HashMap<Key, Option<Ending>>,
}

/// What became of a marker.
enum Marker {
    /// It is in the log, and durable once this is; nothing if it is already, or isn't needed.
    Written(Option<DurableAt>),
    /// It can't be written now.
    Again(ErrorCode),
    /// It may not be written.
    Refused(ErrorCode),
}

impl TransactionCoordinator {
    /// Ends transactions until the task is aborted. There is one such task.
    pub async fn run_markers(self: Arc<Self>) {
        let Some(mut to_end) = self.machine.take_to_end() else { return };
        let mut under_way = UnderWay::default();
        let mut tasks: JoinSet<Key> = JoinSet::new();
        loop {
            let next = tokio::select! {
                Some(next) = to_end.recv() => under_way.begin(next),
                Some(Ok(ended)) = tasks.join_next(), if !tasks.is_empty() => {
                    self.machine.end_waiters.ended(&ended.1);
                    under_way.ended(&ended)
                }
                else => return,
            };
            let Some(ending) = next else { continue };
            let key = ending.key();
            let end = AssertUnwindSafe(Arc::clone(&self).end(ending)).catch_unwind();
            tasks.spawn(async move {
                if end.await.is_err() {
                    tracing::error!(
                        transactional_id = %key.1,
                        "writing the markers of a transaction panicked; they are written after the next start"
                    );
                }
                key
            });
        }
    }

    async fn end(self: Arc<Self>, ending: Ending) {
        let Ending { shards, index, markers, decided } = ending;
        if let Some(decided) = decided
            && decided.settled().await != CommitState::Committed
        {
            return;
        }
        if !self.is_decided(&shards, index, &markers) {
            return;
        }
        let end = EndTransaction {
            producer_id: markers.producer_id,
            producer_epoch: markers.producer_epoch,
            commit: markers.commit,
            coordinator_epoch: markers.coordinator_epoch,
            transaction_version: markers.transaction_version.level(),
        };
        fail_point::reached(fail_point::AFTER_PREPARE);
        if !self.write_markers(&markers, &end).await {
            return;
        }
        fail_point::reached(fail_point::BEFORE_COMPLETE);
        let id = &markers.transactional_id;
        let mut backoff = Backoff::default();
        while let Err(error) = self.turn_in(&shards, index, |shard, turn| {
            shard.markers_written(turn, id, end.producer_id, end.producer_epoch)
        }) {
            tracing::debug!(transactional_id = %id, %error, "the end of a transaction is not noted");
            backoff.wait().await;
            // The log did not take it. A shard that is gone, or read again, leaves the markers again.
            if !self.is_decided(&shards, index, &markers) {
                return;
            }
        }
    }

    /// Whether the transaction that the markers are for is still to be ended. Then it is until they are written: nothing
    /// else completes it.
    fn is_decided(
        self: &Arc<Self>,
        shards: &Arc<Shards<Transactions>>,
        index: usize,
        markers: &MarkersToWrite,
    ) -> bool {
        let decided =
            if markers.commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
        let asked = self.turn_in(shards, index, |shard, _| {
            shard.transaction(&markers.transactional_id).is_some_and(|transaction| {
                let producer = (transaction.producer_id, transaction.producer_epoch);
                transaction.state == decided && producer == (markers.producer_id, markers.producer_epoch)
            })
        });
        // A shard that is being read leaves the markers again.
        asked.is_ok_and(|answered| answered.value)
    }

    /// Writes a transaction's markers, and returns when all of them are durable. False if it isn't to be completed.
    async fn write_markers(&self, markers: &MarkersToWrite, end: &EndTransaction) -> bool {
        let id = &markers.transactional_id;
        let partitions = markers.partitions.iter();
        let mut missing: Vec<(&StrBytes, i32)> = partitions
            .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, *partition)))
            .collect();
        let mut backoff = Backoff::default();
        loop {
            let Ok(writing) = self.machine.writing.acquire().await else { return false };
            let (mut written, mut again) = (Vec::new(), Vec::new());
            for (topic, partition) in missing {
                if !written.is_empty() {
                    fail_point::reached(fail_point::BETWEEN_MARKERS);
                }
                match self.begin_marker(topic, partition, end) {
                    Marker::Written(durable) => written.push((topic, partition, durable)),
                    Marker::Again(error) => {
                        tracing::debug!(transactional_id = %id, %topic, partition, %error, "a marker is tried again");
                        again.push((topic, partition));
                    }
                    Marker::Refused(error) => {
                        tracing::info!(
                            transactional_id = %id, %topic, partition, %error,
                            "a marker was refused; the transaction is not ended here any more"
                        );
                        return false;
                    }
                }
            }
            for (topic, partition, durable) in written {
                let Some(durable) = durable else { continue };
                match durable.settled().await {
                    CommitState::Committed | CommitState::Deleted => {}
                    CommitState::Pending | CommitState::Offline => again.push((topic, partition)),
                }
            }
            if again.is_empty() {
                return true;
            }
            missing = again;
            drop(writing);
            backoff.wait().await;
        }
    }

    /// Appends one marker, without waiting for its sync.
    fn begin_marker(&self, topic: &StrBytes, index: i32, end: &EndTransaction) -> Marker {
        let Some(partition) = self.partition_of(topic, index) else { return Marker::Written(None) };
        if **topic == *OFFSETS_TOPIC {
            return match self.machine.groups.append_marker(index.unsigned_abs() as usize, end) {
                Ok(Answered { durable, .. }) => Marker::Written(durable),
                Err(error) => refused_with(error),
            };
        }
        match self.append_to(&partition, end) {
            Ok(durable) => Marker::Written(durable),
            Err(AppendError::Deleted) => Marker::Written(None),
            // Of version 2, and this epoch is the marker's: it is in the log. Unless the broker has started since then,
            // it may not be durable yet.
            Err(AppendError::Log(log::AppendError::Sequence(SequenceError::MarkerEpochNotAbove {
                producer_epoch,
                current_epoch,
                ..
            }))) if producer_epoch == current_epoch => {
                Marker::Written(self.durable_at(&partition, partition.commit_log_end()))
            }
            Err(error) => refused_with(ErrorCode::from(&error)),
        }
    }

    /// Appends the marker of another coordinator, which may wait for its sync.
    ///
    /// # Errors
    /// The code for WriteTxnMarkers, but that of a group's partition may be a coordinator's: nothing was appended.
    pub fn append_marker_to(
        &self,
        topic: &str,
        index: i32,
        end: &EndTransaction,
    ) -> Result<Answered<()>, ErrorCode> {
        let partition = self.partition_of(topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if topic == OFFSETS_TOPIC {
            return self.machine.groups.append_marker(index.unsigned_abs() as usize, end);
        }
        let durable = self.append_to(&partition, end).map_err(|error| ErrorCode::from(&error))?;
        Ok(Answered { value: (), durable })
    }

    fn append_to(
        &self,
        partition: &Arc<Partition>,
        end: &EndTransaction,
    ) -> Result<Option<DurableAt>, AppendError> {
        let outcome = partition.append_marker(end, self.clock.now_ms())?;
        Ok(self.durable_at(partition, outcome.commit_at))
    }

    fn durable_at(&self, partition: &Arc<Partition>, commit_at: Option<i64>) -> Option<DurableAt> {
        Some(DurableAt::new(Arc::clone(partition), commit_at?, self.config.commit_timeout))
    }

    fn partition_of(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.metadata.with_topics(|topics| topics.by_name(topic)?.partition(index).cloned())
    }
}

impl Ending {
    fn key(&self) -> Key {
        (self.shards.topic_id, self.markers.transactional_id.clone())
    }
}

impl UnderWay {
    /// What is to be begun: the markers, unless others of the transaction are on their way.
    fn begin(&mut self, next: Ending) -> Option<Ending> {
        match self.ending.entry(next.key()) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(None);
                Some(next)
            }
            hash_map::Entry::Occupied(mut occupied) => {
                // The last that the shard left is the one that counts.
                *occupied.get_mut() = Some(next);
                None
            }
        }
    }

    /// What is to be begun after markers of a transaction have ended.
    fn ended(&mut self, key: &Key) -> Option<Ending> {
        let waiting = self.ending.get_mut(key)?.take();
        if waiting.is_none() {
            self.ending.remove(key);
        }
        waiting
    }
}

fn refused_with(error: ErrorCode) -> Marker {
    match error {
        ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => Marker::Refused(error),
        error => Marker::Again(error),
    }
}
