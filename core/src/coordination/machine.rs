//! What a driver knows of the machines that it drives.

use std::sync::Arc;

use bytes::Bytes;
use fluxmq_coordinator::{Now, Producer, Reply, Token};
use fluxmq_protocol::group_records::TooLong;

use super::Coordinator;
use super::config::CoordinationConfig;
use super::shards::Shards;
use super::wait::DurableAt;
use crate::partitions::partition::Partition;

/// A kind of machine: what its shards are given, and the topic and the records that they are kept in.
pub trait Machine: Send + Sync + Sized + 'static {
    /// The pure machine of one partition.
    type Shard: Send + 'static;
    /// What one transition of it is given, and what it leaves.
    type Turn<'a>;
    /// What is appended and replayed.
    type Record;
    /// What a turn leaves for its shard that is in no record.
    type Notes;
    /// What a turn leaves to be done once its records are durable.
    type Effects;

    /// The topic that it is kept in.
    const TOPIC: &'static str;
    /// What is kept there, for the log.
    const WHAT: &'static str;

    /// The settings that the topic is made with.
    fn topic_settings(config: &CoordinationConfig) -> Vec<(&'static str, String)>;

    /// A shard whose log is empty.
    fn new_shard(&self) -> Self::Shard;
    /// How much of what it is for a shard holds.
    fn count(shard: &Self::Shard) -> usize;
    /// When the next timer of a shard is due, in monotonic milliseconds.
    fn next_deadline(shard: &Self::Shard) -> Option<i64>;
    /// Does what is due after a load.
    fn loaded(shard: &mut Self::Shard, turn: &mut Self::Turn<'_>);
    /// Does what one timer is for that is due.
    fn fire_next(shard: &mut Self::Shard, turn: &mut Self::Turn<'_>);
    /// Does what a record says.
    fn replay(shard: &mut Self::Shard, now: Now, record: Self::Record);
    /// Does what a record says that belongs to a producer's transaction.
    fn replay_transactional(shard: &mut Self::Shard, now: Now, producer_id: i64, record: Self::Record);
    /// Takes note of what a turn left, when its records were replayed.
    fn note(shard: &mut Self::Shard, notes: Self::Notes);
    /// Does what the marker says that ends a producer's transaction.
    fn replay_end_transaction_marker(shard: &mut Self::Shard, producer_id: i64, commit: bool);

    /// The bytes of a record's key and value.
    ///
    /// # Errors
    /// A text of it is longer than a record can hold.
    fn encode(record: &Self::Record) -> Result<(Bytes, Option<Bytes>), TooLong>;
    /// Reads a record.
    ///
    /// # Errors
    /// See [`Undecoded`].
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self::Record, Undecoded>;

    /// Has `work` make a transition of a shard of `partition`, and gives what that left.
    fn in_turn<T>(
        driver: &Coordinator<Self>,
        partition: &Partition,
        now: Now,
        work: impl FnOnce(&mut Self::Turn<'_>) -> T,
    ) -> (T, Left<Self>);

    /// Takes what a turn of the shard left to be done once `durable` is reached, and doesn't wait for it.
    fn carry_out(
        driver: &Arc<Coordinator<Self>>,
        shards: &Arc<Shards<Self>>,
        index: usize,
        effects: Self::Effects,
        durable: Option<DurableAt>,
    );
}

/// What a turn leaves.
pub struct Left<M: Machine> {
    /// To be appended, all or none, and replayed.
    pub(super) records: Vec<M::Record>,
    /// Whose transaction the records belong to.
    pub(super) transaction: Option<Producer>,
    /// Answers to requests of this turn and of earlier ones.
    pub(super) replies: Vec<(Token, Reply)>,
    /// For the shard, after `records`.
    pub(super) notes: M::Notes,
    /// Whether all that the turn does is in `records` and `notes`: the shard is as it was where they are dropped.
    pub(super) all_in_records: bool,
    /// To be done once the records are durable.
    pub(super) effects: M::Effects,
}

/// Why a record was not read.
#[derive(Debug)]
pub enum Undecoded {
    /// It is of a kind that isn't known, and passed over.
    Unknown(String),
    /// It isn't what its key says.
    Damaged(String),
}
