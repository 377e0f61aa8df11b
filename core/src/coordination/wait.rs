//! What an answer waits for: a sync that covers the records it rests on, or a later turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxmq_coordinator::Reply;
use fluxmq_protocol::ErrorCode;
use tokio::sync::oneshot;

use crate::error::coordinator_code;
use crate::partitions::partition::{CommitState, Partition};
use crate::partitions::waiters::CommitWait;

/// What a turn says, and what has to be durable before it is told.
#[derive(Debug)]
pub struct Answered<T> {
    /// What the turn says.
    pub value: T,
    /// Set when it rests on records that no sync has covered.
    pub durable: Option<DurableAt>,
}

/// An end of a shard's log that is to be durable.
#[derive(Clone, Debug)]
pub struct DurableAt {
    partition: Arc<Partition>,
    end_offset: i64,
    deadline: Instant,
}

impl DurableAt {
    pub(super) fn new(partition: Arc<Partition>, end_offset: i64, timeout: Duration) -> Self {
        DurableAt { partition, end_offset, deadline: Instant::now() + timeout }
    }

    /// Waits for the sync, until `offsets.commit.timeout.ms` after the turn. Nothing depends on its being polled.
    ///
    /// # Errors
    /// The code to answer with in place of what the turn says.
    pub async fn reached(self) -> Result<(), ErrorCode> {
        let mut wait = CommitWait::new();
        wait.watch(&self.partition, self.end_offset);
        if !wait.is_empty() {
            // The outcome is told by where the partition stands, whether it was a sync, a failure or the clock.
            let _ = tokio::time::timeout_at(self.deadline.into(), wait.done()).await;
        }
        match ErrorCode::from(self.partition.commit_state(self.end_offset)) {
            ErrorCode::None => Ok(()),
            code => Err(coordinator_code(code)),
        }
    }

    /// Waits for the sync however long it takes, and says how that ended: not with [`CommitState::Pending`].
    pub(super) async fn settled(self) -> CommitState {
        loop {
            let mut wait = CommitWait::new();
            wait.watch(&self.partition, self.end_offset);
            if !wait.is_empty() {
                wait.done().await;
            }
            match self.partition.commit_state(self.end_offset) {
                CommitState::Pending => {}
                settled => return settled,
            }
        }
    }
}

/// A JoinGroup or SyncGroup whose answer may come from a later turn.
#[derive(Debug)]
pub struct Exchange {
    answer: oneshot::Receiver<Answered<Reply>>,
}

impl Exchange {
    pub(super) fn new(answer: oneshot::Receiver<Answered<Reply>>) -> Self {
        Exchange { answer }
    }

    /// The answer if it is there: given by the turn itself, or by the end of the shard.
    pub fn try_answer(&mut self) -> Option<Result<Answered<Reply>, ErrorCode>> {
        match self.answer.try_recv() {
            Ok(answered) => Some(Ok(answered)),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(ErrorCode::NotCoordinator)),
        }
    }

    /// Waits for the answer, however long the group takes. Dropping the future tells nobody: the member stays until
    /// its session times out.
    ///
    /// # Errors
    /// NOT_COORDINATOR: the shard ended, or is read again.
    pub async fn answer(self) -> Result<Answered<Reply>, ErrorCode> {
        self.answer.await.map_err(|_| ErrorCode::NotCoordinator)
    }
}
