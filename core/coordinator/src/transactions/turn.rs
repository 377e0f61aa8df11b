//! What one transition is given and what it leaves.

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::transaction_records::TransactionRecord;

use super::shard::LastProducer;
use super::version::TransactionVersion;
use crate::turn::Now;

/// Where new producer ids come from.
pub trait ProducerIds {
    /// An id that nobody has had; none while the next ones are being reserved. Then the turn leaves nothing, and its
    /// answer is COORDINATOR_LOAD_IN_PROGRESS, as Kafka's: whoever waits for the reservation may take the turn again.
    fn fresh(&self) -> Option<i64>;
}

/// The markers that end a transaction. They may be written once the records of the turn that left them are durable; when
/// the last is durable, [`markers_written`](super::TransactionShard::markers_written) is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkersToWrite {
    /// Whose transaction it is.
    pub transactional_id: StrBytes,
    /// The producer id that wrote in the transaction.
    pub producer_id: i64,
    /// The epoch for the markers. With version 2 it is above that of the records.
    pub producer_epoch: i16,
    /// Whether it is committed.
    pub commit: bool,
    /// The leader epoch of the shard's partition.
    pub coordinator_epoch: i32,
    /// The version that the transaction ends by: of 2, the epoch of a marker has to be above that of the records.
    pub transaction_version: TransactionVersion,
    /// The partitions by topic; none after a load, for a transaction that had none. One that doesn't exist any more is
    /// passed over.
    pub partitions: BTreeMap<StrBytes, BTreeSet<i32>>,
}

/// What transactional ids had before, of those that a turn has changed.
#[derive(Debug, Default)]
pub struct LastProducers(pub(super) Vec<(StrBytes, LastProducer)>);

/// One transition of a shard. The caller appends `records` to the shard's log, all or none, replays them into the
/// shard, has it take note of `last_producers`, and once the records are durable lets the answer leave and does what
/// `markers` says. If the log doesn't take them the shard is as it was, but for timers, which come again.
pub struct TransactionTurn<'a> {
    /// When it happens.
    pub now: Now,
    /// The leader epoch of the shard's partition.
    pub coordinator_epoch: i32,
    /// The cluster's level of `transaction.version`, which UpdateFeatures can change.
    pub transaction_version: TransactionVersion,
    /// Where new producer ids come from.
    pub producer_ids: &'a dyn ProducerIds,
    /// To be appended, in this order.
    pub records: Vec<TransactionRecord>,
    /// What the log doesn't say of producers.
    pub last_producers: LastProducers,
    /// To be done when the records are durable.
    pub markers: Vec<MarkersToWrite>,
}

impl<'a> TransactionTurn<'a> {
    /// A turn that has left nothing yet.
    #[must_use]
    pub fn new(
        now: Now,
        coordinator_epoch: i32,
        transaction_version: TransactionVersion,
        producer_ids: &'a dyn ProducerIds,
    ) -> Self {
        TransactionTurn {
            now,
            coordinator_epoch,
            transaction_version,
            producer_ids,
            records: Vec::new(),
            last_producers: LastProducers::default(),
            markers: Vec::new(),
        }
    }
}
