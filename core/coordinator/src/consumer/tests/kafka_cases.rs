//! The same members, the same topics and the same time as in Kafka's own coordinator: the same answers, the same
//! records and the same states. `java-tests/kafka/ConsumerGroupCases.java` says how the cases are written.

use std::iter::Peekable;
use std::str::{Lines, SplitWhitespace};

use fluxmq_protocol::consumer_protocol;
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::messages::leave_group_request::MemberIdentity;
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
};

use super::*;
use crate::config::{Assignor, MigrationPolicy};
use crate::turn::{Reply, Token};

const CASES: &str = include_str!("../../../tests/data/consumer_groups.txt");

type Words<'a> = SplitWhitespace<'a>;

/// A list in brackets; none for a dash.
fn list(word: &str, separator: char) -> Option<Vec<&str>> {
    let inner = word.strip_prefix('[')?.strip_suffix(']').expect("a list ends");
    Some(inner.split(separator).filter(|item| !item.is_empty()).collect())
}

fn optional(word: &str) -> Option<&str> {
    Some(word).filter(|word| *word != "-")
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(words: &mut Words<'_>) -> T {
    words.next().expect("a number").parse().expect("a number")
}

fn topic_id(hex: &str) -> u128 {
    u128::from_str_radix(hex, 16).expect("a topic's id")
}

fn assignment(word: &str) -> Option<Partitions> {
    let topics = list(word, ';')?.into_iter().map(|topic| {
        let (id, partitions) = topic.split_once(':').expect("partitions of a topic");
        (topic_id(id), partitions.split(',').map(|index| index.parse().unwrap()).collect())
    });
    Some(topics.collect())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let hex = optional(hex)?;
    Some((0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect())
}

/// A record, with what Kafka has in the order of its hash maps put in order; and as text, to put records in order.
fn in_order(mut record: GroupRecord) -> String {
    match &mut record {
        GroupRecord::ConsumerGroupTargetAssignmentMember(_, Some(value)) => {
            value.topic_partitions.sort_by_key(|topic| topic.topic_id);
            value.topic_partitions.iter_mut().for_each(|topic| topic.partitions.sort_unstable());
        }
        GroupRecord::ConsumerGroupCurrentMemberAssignment(_, Some(value)) => {
            for topics in [&mut value.assigned_partitions, &mut value.partitions_pending_revocation] {
                topics.sort_by_key(|topic| topic.topic_id);
                for topic in topics {
                    let epochs = topic.assignment_epochs.take().unwrap();
                    let mut both: Vec<_> = topic.partitions.iter().copied().zip(epochs).collect();
                    both.sort_unstable();
                    (topic.partitions, topic.assignment_epochs) = {
                        let (partitions, epochs) = both.into_iter().unzip();
                        (partitions, Some(epochs))
                    };
                }
            }
        }
        _ => {}
    }
    format!("{record:?}")
}

struct Replayed<'a> {
    fixture: Fixture,
    lines: Peekable<Lines<'a>>,
}

impl Replayed<'_> {
    /// What comes next with this word.
    fn expect(&mut self, word: &str) -> Words<'_> {
        let mut words = self.lines.next().expect("another line").split_whitespace();
        assert_eq!(words.next(), Some(word));
        words
    }

    fn step(&mut self, what: &str, words: &mut Words<'_>) {
        match what {
            "topic" => {
                let (name, id) = (words.next().unwrap(), topic_id(words.next().unwrap()));
                self.fixture.driver.topics.set(name, id, number(words));
            }
            "gone" => self.fixture.driver.topics.remove(words.next().unwrap()),
            "pass" => self.fixture.pass(number(words)),
            "beat" => self.beat(words),
            "join" => self.join(words),
            "sync" => self.sync(words),
            "heart" => self.heart(words),
            "leave" => self.leave(words),
            "commit" => self.commit(words),
            "delete" => {
                let code =
                    self.fixture.driver.turn(|shard, turn| shard.delete_group(turn, &GroupId(text(GROUP))));
                assert_eq!(code.code(), number::<i16>(&mut self.expect("code")));
            }
            other => panic!("{other} is no step"),
        }
    }

    fn beat(&mut self, words: &mut Words<'_>) {
        let mut request = request(words.next().unwrap(), number(words));
        request.instance_id = optional(words.next().unwrap()).map(text);
        request.rebalance_timeout_ms = number(words);
        request.subscribed_topic_names = list(words.next().unwrap(), ',').map(|topics| names(&topics));
        request.server_assignor = optional(words.next().unwrap()).map(text);
        request.topic_partitions = assignment(words.next().unwrap()).map(|owned| {
            let topics = owned.into_iter().map(|(id, partitions)| {
                TopicPartitions::default().with_topic_id(Uuid::from_u128(id)).with_partitions(partitions)
            });
            topics.collect()
        });
        let response = self.fixture.beat(&request);
        let mut answer = self.expect("answer");
        let told = response.assignment.as_ref().map(|assignment| {
            let topics = assignment.topic_partitions.iter();
            topics.map(|topic| (topic.topic_id.as_u128(), topic.partitions.clone())).collect::<Partitions>()
        });
        assert_eq!(response.error_code, number::<i16>(&mut answer), "{:?}", response.error_message);
        assert_eq!(response.member_epoch, number::<i32>(&mut answer));
        assert_eq!(told, assignment(answer.next().unwrap()));
        let message: Vec<&str> = answer.collect();
        assert_eq!(response.error_message.as_deref().unwrap_or("-"), message.join(" "));
    }

    fn join(&mut self, words: &mut Words<'_>) {
        let (member, instance) = (optional(words.next().unwrap()), optional(words.next().unwrap()));
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(bytes(words.next().unwrap()).unwrap().into());
        let mut requester = requester(9);
        requester.fresh_id = Uuid::from_u128(topic_id(words.next().unwrap()));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(member.unwrap_or_default()))
            .with_group_instance_id(instance.map(text))
            .with_protocol_type(text("consumer"))
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(5_000)
            .with_protocols(vec![protocol]);
        self.fixture.driver.turn(|shard, turn| shard.join_group(turn, &requester, request, Token(1)));
        self.fixture.check();
        let Some((Token(1), Reply::JoinGroup(response))) = self.fixture.driver.replies.pop() else {
            panic!("a member of a consumer group is answered at once");
        };
        let mut joined = self.expect("joined");
        assert_eq!(response.error_code, number::<i16>(&mut joined));
        assert_eq!(
            Some(response.member_id.as_str()).filter(|id| !id.is_empty()),
            optional(joined.next().unwrap())
        );
        assert_eq!(response.generation_id, number::<i32>(&mut joined));
        let protocol = response.protocol_name.as_deref().filter(|name| !name.is_empty());
        assert_eq!(protocol, optional(joined.next().unwrap()));
    }

    fn sync(&mut self, words: &mut Words<'_>) {
        let (member, instance) = (words.next().unwrap(), optional(words.next().unwrap()));
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(member))
            .with_group_instance_id(instance.map(text))
            .with_generation_id(number(words))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")));
        self.fixture.driver.turn(|shard, turn| shard.sync_group(turn, &requester(5), request, Token(1)));
        self.fixture.check();
        let Some((Token(1), Reply::SyncGroup(response))) = self.fixture.driver.replies.pop() else {
            panic!("a member of a consumer group is answered at once");
        };
        let mut synced = self.expect("synced");
        assert_eq!(response.error_code, number::<i16>(&mut synced));
        let Some(expected) = list(synced.next().unwrap(), ';') else { return };
        let mut topics: Vec<String> = Vec::new();
        if !response.assignment.is_empty() {
            let assignment = consumer_protocol::decode_assignment(&response.assignment).unwrap();
            topics.extend(assignment.assigned_partitions.iter().map(|topic| {
                let mut partitions = topic.partitions.clone();
                partitions.sort_unstable();
                let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
                format!("{}:{}", topic.topic.as_str(), partitions.join(","))
            }));
            topics.sort();
        }
        assert_eq!(topics, expected);
    }

    fn heart(&mut self, words: &mut Words<'_>) {
        let (member, instance) = (words.next().unwrap(), optional(words.next().unwrap()));
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(member))
            .with_group_instance_id(instance.map(text))
            .with_generation_id(number(words));
        let response = self.fixture.driver.turn(|shard, turn| shard.heartbeat(turn, &request));
        self.fixture.check();
        assert_eq!(response.error_code, number::<i16>(&mut self.expect("code")));
    }

    fn leave(&mut self, words: &mut Words<'_>) {
        let member = MemberIdentity::default()
            .with_member_id(text(words.next().unwrap()))
            .with_group_instance_id(optional(words.next().unwrap()).map(text));
        let request =
            LeaveGroupRequest::default().with_group_id(GroupId(text(GROUP))).with_members(vec![member]);
        let response =
            self.fixture.driver.turn(|shard, turn| shard.leave_group(turn, &requester(5), &request));
        self.fixture.check();
        let code = response.members.first().map_or(response.error_code, |member| member.error_code);
        assert_eq!(code, number::<i16>(&mut self.expect("code")));
    }

    fn commit(&mut self, words: &mut Words<'_>) {
        let (member, epoch) = (words.next().unwrap(), number(words));
        let (topic, partition) = (words.next().unwrap(), number(words));
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(7)
            .with_committed_metadata(Some(text("")));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![partition]);
        let commit = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![topic]);
        let response =
            self.fixture.driver.turn(|shard, turn| shard.offset_commit(turn, &requester(9), &commit));
        let code = response.topics[0].partitions[0].error_code;
        assert_eq!(code, number::<i16>(&mut self.expect("code")));
    }

    /// The records and the state that a step led to.
    fn compare(&mut self, first: usize) {
        let mut expected = Vec::new();
        while self.lines.peek().is_some_and(|line| line.starts_with("record ")) {
            let mut words = self.expect("record");
            let (key, value) = (bytes(words.next().unwrap()).unwrap(), bytes(words.next().unwrap()));
            expected.push(in_order(GroupRecord::decode(&key, value.as_deref()).unwrap()));
        }
        let mut left: Vec<_> = self.fixture.driver.records_since(first).map(in_order).collect();
        left.sort();
        expected.sort();
        assert_eq!(left, expected);
        if self.lines.peek().is_some_and(|line| line.starts_with("state ")) {
            let state = match self.fixture.find() {
                Some(group) => (group.state().name(), group.group_epoch, group.assignment_epoch),
                None => ("-", 0, 0),
            };
            let mut words = self.expect("state");
            assert_eq!(state, (words.next().unwrap(), number(&mut words), number(&mut words)));
        }
    }
}

#[test]
fn groups_do_what_they_do_in_kafka() {
    let mut groups = 0;
    for case in CASES.split("\n\n").filter(|case| !case.trim().is_empty()) {
        let mut lines = case.trim().lines();
        let interval_ms = lines.next().and_then(|line| line.strip_prefix("group ")).expect("a group begins");
        let fixture = Fixture::with(|config| {
            config.consumer_assignment_interval_ms = interval_ms.parse().unwrap();
            config.consumer_assignors = vec![Assignor::Range];
            config.consumer_migration_policy = MigrationPolicy::Disabled;
        });
        let mut replayed = Replayed { fixture, lines: lines.peekable() };
        replayed.fixture.driver.topics = crate::testing::TestTopics::default();
        while let Some(line) = replayed.lines.next() {
            let first = replayed.fixture.driver.log.len();
            let mut words = line.split_whitespace();
            let what = words.next().expect("a step");
            println!("group {groups}: {line}");
            replayed.step(what, &mut words);
            replayed.compare(first);
        }
        groups += 1;
    }
    assert_eq!(groups, 12);
}
