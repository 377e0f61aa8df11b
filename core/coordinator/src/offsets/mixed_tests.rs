//! Random commits, with and without transactions, deletions, expiries and restarts while members of consumer groups come
//! and go, so that groups turn from one kind into the other with their offsets: the log always tells what the shard has.

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId, TopicName};
use proptest::prelude::*;

use super::requests::{commit, delete, fetch_all, txn_commit};
use crate::config::GroupCoordinatorConfig;
use crate::group::Group;
use crate::testing::{Driver, requester, text};

const RETENTION_MS: i64 = 100_000;
const TOPICS: [&str; 3] = ["t", "u", "v"];

#[derive(Clone, Debug)]
enum Operation {
    /// A member joins or goes on, and reads so many topics.
    Heartbeat {
        group: u8,
        member: u8,
        topics: usize,
    },
    Leave {
        group: u8,
        member: u8,
    },
    /// A member commits at its epoch plus this, or nobody does.
    Commit {
        group: u8,
        member: Option<u8>,
        epoch: i32,
        topic: usize,
    },
    /// As a commit, in a transaction.
    TxnCommit {
        producer_id: i64,
        group: u8,
        member: Option<u8>,
        epoch: i32,
        topic: usize,
    },
    EndTransaction {
        producer_id: i64,
        commit: bool,
    },
    DeleteOffset {
        group: u8,
        topic: usize,
    },
    DeleteGroup {
        group: u8,
    },
    DeleteTopic {
        topic: usize,
    },
    Wait {
        ms: i64,
    },
    Restart,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (groups, members, topics) = (0..2_u8, 0..2_u8, 0..TOPICS.len());
    prop_oneof![
        6 => (groups.clone(), members.clone(), 1..=TOPICS.len())
            .prop_map(|(group, member, topics)| Operation::Heartbeat { group, member, topics }),
        2 => (groups.clone(), members.clone())
            .prop_map(|(group, member)| Operation::Leave { group, member }),
        6 => (groups.clone(), prop::option::weighted(0.7, members.clone()), -2..2, topics.clone())
            .prop_map(|(group, member, epoch, topic)| Operation::Commit { group, member, epoch, topic }),
        6 => (0..2_i64, groups.clone(), prop::option::weighted(0.7, members), -1..1, topics.clone())
            .prop_map(|(producer_id, group, member, epoch, topic)| {
                Operation::TxnCommit { producer_id, group, member, epoch, topic }
            }),
        3 => (0..2_i64, any::<bool>())
            .prop_map(|(producer_id, commit)| Operation::EndTransaction { producer_id, commit }),
        1 => (groups.clone(), topics.clone())
            .prop_map(|(group, topic)| Operation::DeleteOffset { group, topic }),
        1 => groups.prop_map(|group| Operation::DeleteGroup { group }),
        1 => topics.prop_map(|topic| Operation::DeleteTopic { topic }),
        3 => prop_oneof![0..5_000_i64, 0..2 * RETENTION_MS].prop_map(|ms| Operation::Wait { ms }),
        1 => Just(Operation::Restart),
    ]
}

struct Run {
    driver: Driver,
    /// What each member was told last.
    epochs: [[i32; 2]; 2],
    next_topic_id: u128,
}

fn name(group: u8) -> String {
    format!("group-{group}")
}

impl Run {
    fn new() -> Self {
        let mut driver = Driver::new(GroupCoordinatorConfig {
            offsets_retention_ms: RETENTION_MS,
            offsets_retention_check_interval_ms: RETENTION_MS / 10,
            ..GroupCoordinatorConfig::default()
        });
        (1..).zip(TOPICS).for_each(|(id, topic)| driver.topics.set(topic, id, 4));
        Run { driver, epochs: [[0; 2]; 2], next_topic_id: 10 }
    }

    fn epoch(&mut self, group: u8, member: u8) -> &mut i32 {
        &mut self.epochs[usize::from(group)][usize::from(member)]
    }

    fn heartbeat(&mut self, group: u8, member: u8, epoch: i32, topics: Option<usize>) {
        let topics = topics.map(|count| TOPICS[..count].iter().map(|name| TopicName(text(name))).collect());
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&name(group))))
            .with_member_id(text(&format!("member-{member}")))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(topics)
            .with_topic_partitions((epoch == 0).then(Vec::new));
        let response =
            self.driver.turn(|shard, turn| shard.consumer_group_heartbeat(turn, &requester(1), &request));
        // A member that is refused starts anew.
        *self.epoch(group, member) = if response.error_code == 0 { response.member_epoch.max(0) } else { 0 };
    }

    fn commit(&mut self, group: u8, member: Option<u8>, epoch: i32, topic: usize) {
        let id = name(group);
        let (member_id, epoch) = match member {
            Some(member) => (format!("member-{member}"), *self.epoch(group, member) + epoch),
            None => (String::new(), -1),
        };
        let request = commit(&id, &member_id, epoch, &[(TOPICS[topic].to_owned(), 0, 5, String::new())]);
        let log_len = self.driver.log.len();
        let expected = match self.driver.shard.groups.get(id.as_bytes()) {
            Some(Group::Consumer(group)) => group
                .member(&member_id)
                .map(|member| (group.is_empty(), member.member_epoch))
                .or_else(|| group.is_empty().then_some((true, -1))),
            // A group without members.
            _ => Some((true, -1)),
        };
        let response = self.driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &request));
        let error = response.topics[0].partitions[0].error_code;
        assert_eq!(self.driver.log.len() > log_len, error == 0);
        match expected {
            // No member is at an epoch that the group has not had.
            Some((false, current)) if epoch > current => {
                assert_eq!(error, ErrorCode::StaleMemberEpoch.code());
            }
            Some((false, current)) if epoch == current => assert_eq!(error, 0),
            Some((true, _)) if epoch < 0 => assert_eq!(error, 0),
            Some((true, _)) => assert_ne!(error, 0),
            Some(_) => {}
            None => assert_eq!(error, ErrorCode::UnknownMemberId.code()),
        }
    }

    fn txn_commit(&mut self, producer_id: i64, group: u8, member: Option<u8>, epoch: i32, topic: usize) {
        let (member_id, epoch) = match member {
            Some(member) => (format!("member-{member}"), *self.epoch(group, member) + epoch),
            None => (String::new(), -1),
        };
        let partitions = [(TOPICS[topic].to_owned(), 0, 6, String::new())];
        let request = txn_commit(producer_id, &name(group), &member_id, epoch, &partitions);
        let log_len = self.driver.log.len();
        let response = self.driver.turn(|shard, turn| shard.txn_offset_commit(turn, &requester(5), &request));
        let error = response.topics[0].partitions[0].error_code;
        assert_eq!(self.driver.log.len() > log_len, error == 0);
        assert!(member.is_some() || error == 0, "nobody may always commit: {error}");
        assert_ne!(error, ErrorCode::StaleMemberEpoch.code());
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Heartbeat { group, member, topics } => {
                let epoch = *self.epoch(group, member);
                self.heartbeat(group, member, epoch, Some(topics));
            }
            Operation::Leave { group, member } => self.heartbeat(group, member, -1, None),
            Operation::Commit { group, member, epoch, topic } => self.commit(group, member, epoch, topic),
            Operation::TxnCommit { producer_id, group, member, epoch, topic } => {
                self.txn_commit(producer_id, group, member, epoch, topic);
            }
            Operation::EndTransaction { producer_id, commit } => {
                self.driver.end_transaction(producer_id, commit);
            }
            Operation::DeleteOffset { group, topic } => {
                let request = delete(&name(group), &[(TOPICS[topic].to_owned(), 0)]);
                self.driver.turn(|shard, turn| shard.offset_delete(turn, &request));
            }
            Operation::DeleteGroup { group } => {
                let id = GroupId(text(&name(group)));
                let error = self.driver.turn(|shard, turn| shard.delete_group(turn, &id));
                if error == ErrorCode::None {
                    let left = self.driver.shard.offset_fetch(&fetch_all(&name(group)), false);
                    assert!(left.topics.is_empty() && !self.driver.shard.groups.contains_key(&id.0));
                }
            }
            Operation::DeleteTopic { topic } => {
                self.driver.topics.remove(TOPICS[topic]);
                let names = [text(TOPICS[topic])];
                self.driver.turn(|shard, turn| shard.topics_deleted(turn, &names));
                self.driver.topics.set(TOPICS[topic], self.next_topic_id, 4);
                self.next_topic_id += 1;
            }
            Operation::Wait { ms } => self.driver.advance(ms),
            Operation::Restart => self.driver.restart(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_log_tells_what_the_shard_has(operations in prop::collection::vec(operation(), 1..60)) {
        let mut run = Run::new();
        for operation in operations {
            run.apply(&operation);
            let (live, reloaded) = (&run.driver.shard, run.driver.reloaded());
            prop_assert_eq!(&reloaded.offsets, &live.offsets);
            prop_assert_eq!(&reloaded.groups, &live.groups);
            // Offsets have a group.
            prop_assert!(live.offsets.group_ids().all(|id| live.groups.contains_key(id.as_bytes())));
        }
    }
}
