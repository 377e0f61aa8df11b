//! Random commits, with and without transactions, fetches, deletions, expiries and restarts against a model that is a
//! map. What lies in the log, compacted or not, always tells what the shard has.

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::GroupId;
use fluxmq_protocol::messages::offset_fetch_response::{OffsetFetchResponseGroup, OffsetFetchResponseTopics};
use proptest::prelude::*;

use super::model::{CHECK_INTERVAL_MS, Model, ModelOffset, ModelPending, RETENTION_MS};
use super::requests::{commit, delete, fetch, fetch_all, txn_commit};
use crate::config::GroupCoordinatorConfig;
use crate::testing::{Driver, requester, text};

const METADATA_MAX: usize = 3;

#[derive(Clone, Debug)]
enum Operation {
    Commit {
        group: u8,
        generation: i32,
        version: i16,
        retention_ms: i64,
        partitions: Vec<(u8, i32, i64, String)>,
    },
    TxnCommit {
        producer_id: i64,
        group: u8,
        generation: i32,
        partitions: Vec<(u8, i32, i64, String)>,
    },
    EndTransaction {
        producer_id: i64,
        commit: bool,
    },
    DeleteOffsets {
        group: u8,
        partitions: Vec<(u8, i32)>,
    },
    DeleteGroup {
        group: u8,
    },
    DeleteTopic {
        topic: u8,
    },
    CreateTopic {
        topic: u8,
    },
    Wait {
        ms: i64,
    },
    Restart,
}

fn operation() -> impl Strategy<Value = Operation> {
    let partitions = prop::collection::vec((0..3_u8, 0..4, -1..100_i64, "[a-z]{0,4}"), 0..4);
    let retention_ms = prop_oneof![3 => Just(-1_i64), 1 => 0..2 * RETENTION_MS];
    let generations = prop_oneof![4 => Just(-1), 1 => Just(1)];
    let txn_commit = (0..3_i64, 0..4_u8, generations, partitions.clone()).prop_map(
        |(producer_id, group, generation, partitions)| Operation::TxnCommit {
            producer_id,
            group,
            generation,
            partitions,
        },
    );
    let commit = (0..4_u8, -1..2, 2..10_i16, retention_ms, partitions).prop_map(
        |(group, generation, version, retention_ms, partitions)| {
            let generation = if generation < 1 { -1 } else { generation };
            Operation::Commit { group, generation, version, retention_ms, partitions }
        },
    );
    let deleted = prop::collection::vec((0..3_u8, 0..4), 0..4);
    prop_oneof![
        8 => commit,
        8 => txn_commit,
        4 => (0..3_i64, any::<bool>())
            .prop_map(|(producer_id, commit)| Operation::EndTransaction { producer_id, commit }),
        2 => (0..4_u8, deleted)
            .prop_map(|(group, partitions)| Operation::DeleteOffsets { group, partitions }),
        1 => (0..4_u8).prop_map(|group| Operation::DeleteGroup { group }),
        1 => (0..3_u8).prop_map(|topic| Operation::DeleteTopic { topic }),
        1 => (0..3_u8).prop_map(|topic| Operation::CreateTopic { topic }),
        3 => prop_oneof![0..5_000_i64, 0..2 * RETENTION_MS].prop_map(|ms| Operation::Wait { ms }),
        1 => Just(Operation::Restart),
    ]
}

fn group(number: u8) -> String {
    format!("group-{number}")
}

fn topic(number: u8) -> String {
    format!("topic-{number}")
}

struct Run {
    driver: Driver,
    model: Model,
    next_topic_id: u128,
}

impl Run {
    fn new() -> Self {
        let driver = Driver::new(GroupCoordinatorConfig {
            offsets_retention_ms: RETENTION_MS,
            offsets_retention_check_interval_ms: CHECK_INTERVAL_MS,
            offset_metadata_max_bytes: METADATA_MAX as i32,
            ..GroupCoordinatorConfig::default()
        });
        let model = Model { next_check_ms: driver.now.wall_ms + CHECK_INTERVAL_MS, ..Model::default() };
        let mut run = Run { driver, model, next_topic_id: 1 };
        (0..3).for_each(|number| run.create_topic(number));
        run
    }

    fn create_topic(&mut self, number: u8) {
        if self.model.topics.insert(topic(number)) {
            self.driver.topics.set(&topic(number), self.next_topic_id, 4);
            self.next_topic_id += 1;
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Commit { group: number, generation, version, retention_ms, ref partitions } => {
                self.commit(&group(number), generation, version, retention_ms, partitions);
            }
            Operation::TxnCommit { producer_id, group: number, generation, ref partitions } => {
                self.txn_commit(producer_id, &group(number), generation, partitions);
            }
            Operation::EndTransaction { producer_id, commit } => {
                self.driver.end_transaction(producer_id, commit);
                self.model.end_transaction(producer_id, commit);
            }
            Operation::DeleteOffsets { group: number, ref partitions } => {
                self.delete_offsets(&group(number), partitions);
            }
            Operation::DeleteGroup { group: number } => {
                let id = GroupId(text(&group(number)));
                let error = self.driver.turn(|shard, turn| shard.delete_group(turn, &id));
                let known = self.model.delete_group(&group(number));
                assert_eq!(error, if known { ErrorCode::None } else { ErrorCode::GroupIdNotFound });
            }
            Operation::DeleteTopic { topic: number } => {
                self.driver.topics.remove(&topic(number));
                let names = [text(&topic(number))];
                self.driver.turn(|shard, turn| shard.topics_deleted(turn, &names));
                self.model.delete_topic(&topic(number));
            }
            Operation::CreateTopic { topic: number } => self.create_topic(number),
            Operation::Wait { ms } => {
                self.driver.advance(ms);
                self.model.wait_until(self.driver.now.wall_ms);
            }
            Operation::Restart => {
                self.driver.restart();
                self.model.next_check_ms = self.driver.now.wall_ms + CHECK_INTERVAL_MS;
            }
        }
    }

    /// The partitions that exist: the handler lets no others through.
    fn named(&self, partitions: &[(u8, i32, i64, String)]) -> Vec<(String, i32, i64, String)> {
        let exist = partitions.iter().filter(|(number, ..)| self.model.topics.contains(&topic(*number)));
        exist
            .map(|(number, partition, offset, metadata)| {
                (topic(*number), *partition, *offset, metadata.clone())
            })
            .collect()
    }

    fn txn_commit(
        &mut self,
        producer_id: i64,
        group: &str,
        generation: i32,
        partitions: &[(u8, i32, i64, String)],
    ) {
        let named = self.named(partitions);
        let request = txn_commit(producer_id, group, "", generation, &named);
        let mut at = self.driver.log.len();
        let response = self.driver.turn(|shard, turn| shard.txn_offset_commit(turn, &requester(5), &request));
        let refused = match (generation < 0, self.model.groups.contains_key(group)) {
            (true, _) => None,
            (false, true) => Some(ErrorCode::UnknownMemberId),
            (false, false) => Some(ErrorCode::IllegalGeneration),
        };
        for ((name, partition, offset, metadata), answer) in named.iter().zip(&response.topics) {
            let too_long = (metadata.len() > METADATA_MAX).then_some(ErrorCode::OffsetMetadataTooLarge);
            let error = refused.or(too_long);
            assert_eq!(answer.partitions[0].error_code, error.unwrap_or(ErrorCode::None).code());
            if error.is_some() {
                continue;
            }
            let offset = ModelOffset {
                offset: *offset,
                metadata: metadata.clone(),
                committed_at_ms: self.driver.now.wall_ms,
                expires_at_ms: None,
                at,
            };
            at += 1;
            self.model.txn_commit(ModelPending {
                producer_id,
                group: group.to_owned(),
                key: (name.clone(), *partition),
                offset,
            });
        }
    }

    fn commit(
        &mut self,
        group: &str,
        generation: i32,
        version: i16,
        retention_ms: i64,
        partitions: &[(u8, i32, i64, String)],
    ) {
        let named = self.named(partitions);
        let request = commit(group, "", generation, &named).with_retention_time_ms(retention_ms);
        let mut at = self.driver.log.len();
        let response =
            self.driver.turn(|shard, turn| shard.offset_commit(turn, &requester(version), &request));
        let refused = match (generation < 0, self.model.groups.contains_key(group)) {
            (true, _) => None,
            (false, true) => Some(ErrorCode::UnknownMemberId),
            (false, false) if version < 9 => Some(ErrorCode::IllegalGeneration),
            (false, false) => Some(ErrorCode::GroupIdNotFound),
        };
        let now_ms = self.driver.now.wall_ms;
        for ((name, partition, offset, metadata), answer) in named.iter().zip(&response.topics) {
            let too_long = (metadata.len() > METADATA_MAX).then_some(ErrorCode::OffsetMetadataTooLarge);
            let error = refused.or(too_long);
            assert_eq!(answer.partitions[0].error_code, error.unwrap_or(ErrorCode::None).code());
            if error.is_none() {
                let committed = ModelOffset {
                    offset: *offset,
                    metadata: metadata.clone(),
                    committed_at_ms: now_ms,
                    expires_at_ms: (retention_ms >= 0).then_some(now_ms + retention_ms),
                    at,
                };
                at += 1;
                let offsets = self.model.groups.entry(group.to_owned()).or_default();
                offsets.insert((name.clone(), *partition), committed);
            }
        }
    }

    fn delete_offsets(&mut self, group: &str, partitions: &[(u8, i32)]) {
        let named: Vec<_> =
            partitions.iter().map(|(number, partition)| (topic(*number), *partition)).collect();
        let response = self.driver.turn(|shard, turn| shard.offset_delete(turn, &delete(group, &named)));
        if !self.model.groups.contains_key(group) {
            assert_eq!(response.error_code, ErrorCode::GroupIdNotFound.code());
            return;
        }
        assert_eq!(response.error_code, 0);
        named.iter().for_each(|key| self.model.delete(group, key));
    }

    fn check(&self) {
        let shard = &self.driver.shard;
        let listed: BTreeSet<_> =
            shard.list_groups(&[], &[]).into_iter().map(|group| group.group_id.to_string()).collect();
        assert_eq!(listed, self.model.groups.keys().cloned().collect());
        assert_eq!(shard.offset_count(), self.model.groups.values().map(BTreeMap::len).sum::<usize>());
        for number in 0..4 {
            let id = group(number);
            let expected = self.model.groups.get(&id).cloned().unwrap_or_default();
            assert_eq!(found(&shard.offset_fetch(&fetch_all(&id), false)), expected_of(&expected));
            let asked: Vec<_> = (0..3).flat_map(|t| (0..4).map(move |p| (topic(t), p))).collect();
            let mut some = found(&shard.offset_fetch(&fetch(&id, &asked), false));
            assert_eq!(some.len(), asked.len());
            some.retain(|_, (offset, metadata)| *offset != -1 || !metadata.is_empty());
            let committed = expected_of(&expected);
            assert!(
                committed
                    .iter()
                    .all(|(key, value)| some.get(key) == Some(value) || value == &(-1, String::new()))
            );
            assert!(some.keys().all(|key| committed.contains_key(key)));
            for has in shard.offset_fetch(&fetch(&id, &asked), true).topics {
                for partition in &has.partitions {
                    let key = (has.name.to_string(), partition.partition_index);
                    let unstable = partition.error_code == ErrorCode::UnstableOffsetCommit.code();
                    assert_eq!(unstable, self.model.is_pending(&id, &key), "{id} {key:?}");
                }
            }
        }
        assert_eq!(self.driver.compacted().offsets, shard.offsets);
        let reloaded = self.driver.reloaded();
        assert_eq!(reloaded.offsets, shard.offsets);
        assert_eq!(reloaded.groups, shard.groups);
    }
}

type Found = BTreeMap<(String, i32), (i64, String)>;

fn found(response: &OffsetFetchResponseGroup) -> Found {
    assert_eq!(response.error_code, 0);
    let partitions = |topic: &OffsetFetchResponseTopics| -> Vec<_> {
        let name = topic.name.to_string();
        topic
            .partitions
            .iter()
            .map(|has| {
                let metadata = has.metadata.as_ref().map(ToString::to_string).unwrap_or_default();
                ((name.clone(), has.partition_index), (has.committed_offset, metadata))
            })
            .collect()
    };
    response.topics.iter().flat_map(partitions).collect()
}

fn expected_of(offsets: &BTreeMap<(String, i32), ModelOffset>) -> Found {
    offsets.iter().map(|(key, offset)| (key.clone(), (offset.offset, offset.metadata.clone()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn shard_model_and_log_agree(operations in prop::collection::vec(operation(), 1..60)) {
        let mut run = Run::new();
        for operation in operations {
            run.apply(&operation);
            run.check();
        }
    }
}
