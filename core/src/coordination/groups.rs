//! The machines of the groups.

use std::sync::Arc;

use bytes::Bytes;
use fluxmq_coordinator::{GroupCoordinatorConfig, GroupShard, Now, Turn};
use fluxmq_protocol::group_records::{GroupRecord, RecordError, TooLong};

use super::config::{self, CoordinationConfig};
use super::machine::{Left, Machine, Undecoded};
use super::settings::GroupOverrides;
use super::shards::Shards;
use super::topics::ImageTopics;
use super::wait::DurableAt;
use super::{GroupCoordinator, OFFSETS_TOPIC};
use crate::config::BrokerConfig;
use crate::meta::Metadata;
use crate::partitions::partition::Partition;

/// What the shards of groups are told.
pub struct Groups {
    pub(super) config: Arc<GroupCoordinatorConfig>,
    overrides: GroupOverrides,
    /// `transaction.partition.verification.enable`
    pub(super) verifies_transactions: bool,
}

impl Groups {
    pub(super) fn new(config: &BrokerConfig, metadata: &Arc<Metadata>) -> Self {
        Groups {
            config: Arc::new(config::machine_config(config)),
            overrides: GroupOverrides::new(Arc::clone(metadata), config),
            verifies_transactions: config::verifies_transactions(config),
        }
    }
}

impl Machine for Groups {
    type Shard = GroupShard;
    type Turn<'a> = Turn<'a>;
    type Record = GroupRecord;
    type Notes = ();
    type Effects = ();

    const TOPIC: &'static str = OFFSETS_TOPIC;
    const WHAT: &'static str = "groups";

    fn topic_settings(config: &CoordinationConfig) -> Vec<(&'static str, String)> {
        vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", config.topic_segment_bytes.to_string()),
        ]
    }

    fn new_shard(&self) -> GroupShard {
        GroupShard::new(Arc::clone(&self.config))
    }

    fn count(shard: &GroupShard) -> usize {
        shard.group_count()
    }

    fn next_deadline(shard: &GroupShard) -> Option<i64> {
        shard.next_deadline()
    }

    fn loaded(shard: &mut GroupShard, turn: &mut Turn<'_>) {
        shard.loaded(turn);
    }

    fn fire_next(shard: &mut GroupShard, turn: &mut Turn<'_>) {
        shard.fire_next(turn);
    }

    fn replay(shard: &mut GroupShard, now: Now, record: GroupRecord) {
        shard.replay(now, record);
    }

    fn replay_transactional(shard: &mut GroupShard, now: Now, producer_id: i64, record: GroupRecord) {
        shard.replay_transactional(now, producer_id, record);
    }

    fn note(_: &mut GroupShard, (): ()) {}

    fn replay_end_transaction_marker(shard: &mut GroupShard, producer_id: i64, commit: bool) {
        shard.replay_end_transaction_marker(producer_id, commit);
    }

    fn encode(record: &GroupRecord) -> Result<(Bytes, Option<Bytes>), TooLong> {
        record.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<GroupRecord, Undecoded> {
        GroupRecord::decode(key, value).map_err(|error| match error {
            RecordError::UnknownType { .. } => Undecoded::Unknown(error.to_string()),
            error => Undecoded::Damaged(error.to_string()),
        })
    }

    fn in_turn<T>(
        driver: &GroupCoordinator,
        _partition: &Partition,
        now: Now,
        work: impl FnOnce(&mut Turn<'_>) -> T,
    ) -> (T, Left<Self>) {
        driver.metadata.with_topics(|image| {
            let topics = ImageTopics(image);
            let mut turn = Turn::new(now, &topics, &driver.machine.overrides);
            let value = work(&mut turn);
            let Turn { records, transaction, replies, all_in_records, .. } = turn;
            // As in Kafka, who names no producer commits without a transaction. A coordinator that was asked has refused.
            let transaction = transaction.filter(|producer| producer.id >= 0);
            (value, Left { records, transaction, replies, notes: (), all_in_records, effects: () })
        })
    }

    fn carry_out(
        _driver: &Arc<GroupCoordinator>,
        _shards: &Arc<Shards<Self>>,
        _index: usize,
        (): (),
        _durable: Option<DurableAt>,
    ) {
    }
}
