//! From a transaction's decided end to its completion: the decision is durable, markers are written into the partitions
//! and durable there, and a turn completes the transaction.
//!
//! One task on the control thread begins a task for each transaction, a bounded number at once. A partition that can't
//! be written to is tried again, slower each time, until the broker stops; one that is gone is passed over. What is lost
//! with a task is left again by the shard when it is read.
//!
//! A marker is refused where the producer has a newer epoch, or a newer coordinator has written. As in Kafka the
//! transaction then stays as it is, since it is not this coordinator's to end.

use std::sync::Arc;
use std::time::Duration;

use fluxmq_coordinator::transactions::MarkersToWrite;
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::log;
use fluxmq_storage::producer_state::SequenceError;
use tokio::task::JoinSet;

use super::{TransactionCoordinator, Transactions};
use crate::coordination::OFFSETS_TOPIC;
use crate::coordination::shards::Shards;
use crate::coordination::wait::{Answered, DurableAt};
use crate::partitions::partition::{AppendError, CommitState, EndTransaction, Partition};

/// Transactions that are ended at once. The others wait in the order in which they were decided.
const ENDING_AT_ONCE: usize = 1_000;
/// The wait before a partition is tried again, at first and at the most.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LAST_BACKOFF: Duration = Duration::from_secs(5);

/// A transaction whose end was decided.
pub(super) struct Ending {
    pub(super) shards: Arc<Shards<Transactions>>,
    pub(super) index: usize,
    pub(super) markers: MarkersToWrite,
    /// Set while the decision isn't durable.
    pub(super) decided: Option<DurableAt>,
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
        let mut ending = JoinSet::new();
        loop {
            tokio::select! {
                Some(next) = to_end.recv(), if ending.len() < ENDING_AT_ONCE => {
                    ending.spawn(Arc::clone(&self).end(next));
                }
                Some(ended) = ending.join_next(), if !ending.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a transaction's markers were not written; the next start writes them");
                    }
                }
                else => return,
            }
        }
    }

    async fn end(self: Arc<Self>, ending: Ending) {
        let Ending { shards, index, markers, decided } = ending;
        if let Some(decided) = decided
            && decided.settled().await != CommitState::Committed
        {
            return;
        }
        let end = EndTransaction {
            producer_id: markers.producer_id,
            producer_epoch: markers.producer_epoch,
            commit: markers.commit,
            coordinator_epoch: markers.coordinator_epoch,
            transaction_version: markers.transaction_version.level(),
        };
        if !self.write_markers(&markers, &end).await {
            return;
        }
        let id = &markers.transactional_id;
        let completed = self.turn_in(&shards, index, |shard, turn| {
            shard.markers_written(turn, id, end.producer_id, end.producer_epoch)
        });
        if let Err(error) = completed {
            // The shard is gone, or read again: then it leaves the markers again.
            tracing::debug!(transactional_id = %id, %error, "the end of a transaction found its shard gone");
        }
    }

    /// Writes a transaction's markers, and returns when all of them are durable. False if it isn't to be completed.
    async fn write_markers(&self, markers: &MarkersToWrite, end: &EndTransaction) -> bool {
        let id = &markers.transactional_id;
        let partitions = markers.partitions.iter();
        let mut missing: Vec<(&StrBytes, i32)> = partitions
            .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, *partition)))
            .collect();
        let mut backoff = FIRST_BACKOFF;
        loop {
            let (mut written, mut again) = (Vec::new(), Vec::new());
            for (topic, partition) in missing {
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
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LAST_BACKOFF);
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
            // Of version 2, and this epoch is the marker's: it was written before the broker ended.
            Err(AppendError::Log(log::AppendError::Sequence(SequenceError::MarkerEpochNotAbove {
                producer_epoch,
                current_epoch,
                ..
            }))) if producer_epoch == current_epoch => Marker::Written(None),
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
        let durable_at =
            |end_offset| DurableAt::new(Arc::clone(partition), end_offset, self.config.commit_timeout);
        Ok(outcome.commit_at.map(durable_at))
    }

    fn partition_of(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.metadata.with_topics(|topics| topics.by_name(topic)?.partition(index).cloned())
    }
}

fn refused_with(error: ErrorCode) -> Marker {
    match error {
        ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => Marker::Refused(error),
        error => Marker::Again(error),
    }
}
