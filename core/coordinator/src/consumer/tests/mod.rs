//! Tests of consumer groups: a group, its log, and clients that do what they are told.

mod bad_input;
mod describe;
mod epochs;
mod kafka_cases;
mod members;
mod migration;
mod offsets;
mod reconcile;
mod records;
mod regular_expressions;
mod schedules;
mod static_members;
mod topics;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use fluxmq_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use uuid::Uuid;

use super::ConsumerGroup;
use super::group::ConsumerGroupState;
use super::member::ConsumerGroupMember;
use crate::config::GroupCoordinatorConfig;
use crate::group::Group;
use crate::shard::GroupShard;
use crate::testing::{Driver, requester, text};

const GROUP: &str = "group";
/// Ids of topics.
const FOO: u128 = 1;
const BAR: u128 = 2;
const NEVER_MS: i32 = 600_000;

/// Partitions by the number of their topic.
type Partitions = BTreeMap<u128, Vec<i32>>;

/// A shard with one group, or none yet.
struct Fixture {
    driver: Driver,
    config: GroupCoordinatorConfig,
}

impl Fixture {
    /// Assigns at once; the topic `foo` has three partitions, `bar` two.
    fn new() -> Self {
        Self::with(|config| config.consumer_assignment_interval_ms = 0)
    }

    fn with(set: impl FnOnce(&mut GroupCoordinatorConfig)) -> Self {
        let mut config = GroupCoordinatorConfig::default();
        set(&mut config);
        let mut driver = Driver::new(config.clone());
        driver.topics.set("foo", FOO, 3);
        driver.topics.set("bar", BAR, 2);
        Fixture { driver, config }
    }

    /// One heartbeat, and a look at what it left.
    fn beat(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.beat_as(request, 1)
    }

    fn beat_as(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        api_version: i16,
    ) -> ConsumerGroupHeartbeatResponse {
        let requester = requester(api_version);
        let response =
            self.driver.turn(|shard, turn| shard.consumer_group_heartbeat(turn, &requester, request));
        self.check();
        response
    }

    /// A heartbeat that is refused: gives code and message.
    fn refused(&mut self, request: &ConsumerGroupHeartbeatRequest) -> (i16, String) {
        let records = self.driver.log.len();
        let response = self.beat(request);
        assert_eq!(self.driver.log.len(), records, "a refused request left records");
        assert!(response.error_code != 0 && response.assignment.is_none(), "{response:?}");
        (response.error_code, response.error_message.unwrap_or_default().to_string())
    }

    /// Lets time pass.
    fn pass(&mut self, ms: i64) {
        self.driver.advance(ms);
        self.check();
    }

    fn group(&self) -> &ConsumerGroup {
        self.find().expect("there is a group")
    }

    fn find(&self) -> Option<&ConsumerGroup> {
        match self.driver.shard.groups.get(GROUP.as_bytes()) {
            Some(Group::Consumer(group)) => Some(group),
            _ => None,
        }
    }

    fn member(&self, id: &str) -> &ConsumerGroupMember {
        self.group().member(id).expect("there is such a member")
    }

    fn state(&self) -> ConsumerGroupState {
        self.group().state()
    }

    /// The records that `act` leaves.
    fn records_of(&mut self, act: impl FnOnce(&mut Self)) -> Vec<GroupRecord> {
        let first = self.driver.log.len();
        act(self);
        self.driver.records_since(first).collect()
    }

    /// What holds after every turn: a broker that loads the log knows the same, whether it was compacted or not, and no
    /// partition is assigned to two members.
    fn check(&self) {
        assert_eq!(self.driver.reloaded().groups, self.driver.shard.groups);
        assert_eq!(self.compacted().groups, self.driver.shard.groups);
        let Some(group) = self.find() else { return };
        let mut owners = HashMap::new();
        for member in group.members.values() {
            for (topic_id, partitions) in
                member.assigned_partitions.iter().chain(member.partitions_pending_revocation.iter())
            {
                for partition in partitions.keys() {
                    let other = owners.insert((*topic_id, *partition), &member.member_id);
                    assert_eq!(other, None, "{topic_id}-{partition} has two owners");
                }
            }
        }
    }

    /// What a broker knows that starts on the log after compaction.
    fn compacted(&self) -> GroupShard {
        let mut last: HashMap<&Bytes, usize> = HashMap::new();
        for (index, (key, _)) in self.driver.encoded_since(0).enumerate() {
            last.insert(key, index);
        }
        let records = self.driver.encoded_since(0).enumerate();
        let kept = records.filter(|(index, (key, _))| last[key] == *index);
        let mut shard = GroupShard::new(self.config.clone().into());
        for (_, (key, value)) in kept.filter(|(_, (_, value))| value.is_some()) {
            shard.replay(self.driver.now, GroupRecord::decode(key, value.as_deref()).unwrap());
        }
        shard
    }
}

fn request(member_id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text(member_id))
        .with_member_epoch(epoch)
}

/// A request that joins.
fn join(member_id: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    request(member_id, 0)
        .with_rebalance_timeout_ms(NEVER_MS)
        .with_subscribed_topic_names(Some(names(topics)))
        .with_topic_partitions(Some(Vec::new()))
}

fn names(topics: &[&str]) -> Vec<TopicName> {
    topics.iter().map(|topic| TopicName(text(topic))).collect()
}

fn topic_partitions(partitions: &[(u128, &[i32])]) -> Option<Vec<TopicPartitions>> {
    let topics = partitions.iter().map(|(id, partitions)| {
        TopicPartitions::default().with_topic_id(Uuid::from_u128(*id)).with_partitions(partitions.to_vec())
    });
    Some(topics.collect())
}

/// The assignment in a response.
fn assigned(response: &ConsumerGroupHeartbeatResponse) -> Option<Partitions> {
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    let topics = response.assignment.as_ref()?.topic_partitions.iter();
    Some(topics.map(|topic| (topic.topic_id.as_u128(), topic.partitions.clone())).collect())
}

fn partitions(partitions: &[(u128, &[i32])]) -> Partitions {
    partitions.iter().map(|(id, partitions)| (*id, partitions.to_vec())).collect()
}

/// A client that gives up what it is told to with its next heartbeat.
#[derive(Clone, Debug)]
struct Consumer {
    id: String,
    epoch: i32,
    owned: Partitions,
}

impl Consumer {
    fn join(fixture: &mut Fixture, id: &str, topics: &[&str]) -> Self {
        Self::join_as(fixture, &join(id, topics))
    }

    fn join_as(fixture: &mut Fixture, request: &ConsumerGroupHeartbeatRequest) -> Self {
        let mut consumer = Consumer { id: request.member_id.to_string(), epoch: 0, owned: Partitions::new() };
        let response = fixture.beat(request);
        consumer.take(&response);
        consumer
    }

    /// The heartbeat that says what it owns.
    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let owned = self.owned.iter().map(|(id, partitions)| {
            TopicPartitions::default().with_topic_id(Uuid::from_u128(*id)).with_partitions(partitions.clone())
        });
        request(&self.id, self.epoch).with_topic_partitions(Some(owned.collect()))
    }

    fn beat(&mut self, fixture: &mut Fixture) -> ConsumerGroupHeartbeatResponse {
        let response = fixture.beat(&self.request());
        self.take(&response);
        response
    }

    fn take(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        self.epoch = response.member_epoch;
        if let Some(assigned) = assigned(response) {
            self.owned = assigned;
        }
    }

    fn count(&self) -> usize {
        self.owned.values().map(Vec::len).sum()
    }
}

/// Heartbeats until nothing changes any more.
fn settle(fixture: &mut Fixture, consumers: &mut [Consumer]) {
    for _ in 0..20 {
        let records = fixture.driver.log.len();
        consumers.iter_mut().for_each(|consumer| drop(consumer.beat(fixture)));
        if fixture.driver.log.len() == records {
            assert_eq!(fixture.state(), ConsumerGroupState::Stable);
            return;
        }
    }
    panic!("the group doesn't come to rest: {:?}", fixture.group());
}

/// All that the consumers own.
fn all_owned(consumers: &[Consumer]) -> Partitions {
    let mut all: BTreeMap<u128, BTreeSet<i32>> = BTreeMap::new();
    for (id, partitions) in consumers.iter().flat_map(|consumer| &consumer.owned) {
        all.entry(*id).or_default().extend(partitions);
    }
    all.into_iter().map(|(id, partitions)| (id, partitions.into_iter().collect())).collect()
}
