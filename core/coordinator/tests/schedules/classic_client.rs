//! A consumer of the classic protocol, as far as its group is concerned: eager (it gives up everything before it joins)
//! or cooperative (it keeps what it has, and gives up what it is told to after it synced).

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_coordinator::Topics;
use fluxmq_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use fluxmq_protocol::messages::consumer_protocol_subscription::TopicPartition as Owned;
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::messages::leave_group_request::MemberIdentity;
use fluxmq_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use fluxmq_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use fluxmq_protocol::{ErrorCode, StrBytes, consumer_protocol};

use super::broker::{Request, SimTopics, text};
use super::consumer_client::Partitions;

const HEARTBEAT_INTERVAL_MS: i64 = 3_000;
const SUBSCRIPTION_VERSION: i16 = 3;

/// What a leader assigns: by member, topics and partitions.
type Assignments = Vec<(StrBytes, Vec<(String, Vec<i32>)>)>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It is to join.
    Unjoined,
    /// It joined, and is to ask for its assignment; with the assignments of all if it leads.
    Joined(Assignments),
    /// It has its assignment.
    Stable,
}

#[derive(Clone, Debug)]
pub struct ClassicClient {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub topics: BTreeSet<String>,
    /// What it said in its last join that it subscribes to.
    pub said_topics: BTreeSet<String>,
    pub cooperative: bool,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub generation: i32,
    pub owned: Partitions,
    state: State,
    /// The topics that it assigned, if it leads: it joins again when they change.
    assigned: Option<SimTopics>,
    /// It is to join once more after it synced: it subscribed to other topics meanwhile; or it leads, but was not asked
    /// to assign (KIP-814), and the assignment that is there may leave out what a member gave up at last.
    joins_again: bool,
    pub failed: bool,
}

impl ClassicClient {
    pub fn new(instance_id: Option<String>, cooperative: bool, timeouts: (i32, i32)) -> Self {
        ClassicClient {
            member_id: String::new(),
            instance_id,
            topics: BTreeSet::new(),
            said_topics: BTreeSet::new(),
            cooperative,
            session_timeout_ms: timeouts.0,
            rebalance_timeout_ms: timeouts.1,
            generation: -1,
            owned: Partitions::new(),
            state: State::Unjoined,
            assigned: None,
            joins_again: false,
            failed: false,
        }
    }

    fn protocol(&self) -> &'static str {
        if self.cooperative { "cooperative-sticky" } else { "range" }
    }

    pub fn is_stable(&self) -> bool {
        self.state == State::Stable
    }

    /// What it does when it wakes.
    pub fn act(&mut self, group: &str, topics: &SimTopics) -> (i16, Request) {
        let group_id = GroupId(text(group));
        let member_id = text(self.member_id.as_str());
        let instance_id = self.instance_id.clone().map(text);
        if self.is_stable()
            && self.assigned.as_ref().is_some_and(|assigned| assigned.by_name != topics.by_name)
        {
            self.state = State::Unjoined;
        }
        match std::mem::replace(&mut self.state, State::Unjoined) {
            State::Unjoined => {
                self.said_topics.clone_from(&self.topics);
                if !self.cooperative {
                    self.owned.clear();
                }
                let protocol =
                    JoinGroupRequestProtocol::default().with_name(text(self.protocol())).with_metadata(
                        consumer_protocol::encode_subscription(
                            &self.subscription(topics),
                            SUBSCRIPTION_VERSION,
                        )
                        .unwrap(),
                    );
                let request = JoinGroupRequest::default()
                    .with_group_id(group_id)
                    .with_member_id(member_id)
                    .with_group_instance_id(instance_id)
                    .with_session_timeout_ms(self.session_timeout_ms)
                    .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
                    .with_protocol_type(text("consumer"))
                    .with_protocols(vec![protocol]);
                (9, Request::Join(request))
            }
            State::Joined(assignments) => {
                let assignments = assignments.into_iter().map(|(member_id, assigned)| {
                    let assigned = assigned.into_iter().map(|(topic, partitions)| {
                        Assigned::default().with_topic(TopicName(text(topic))).with_partitions(partitions)
                    });
                    let assignment =
                        ConsumerProtocolAssignment::default().with_assigned_partitions(assigned.collect());
                    SyncGroupRequestAssignment::default().with_member_id(member_id).with_assignment(
                        consumer_protocol::encode_assignment(&assignment, SUBSCRIPTION_VERSION).unwrap(),
                    )
                });
                let request = SyncGroupRequest::default()
                    .with_group_id(group_id)
                    .with_member_id(member_id)
                    .with_group_instance_id(instance_id)
                    .with_generation_id(self.generation)
                    .with_protocol_type(Some(text("consumer")))
                    .with_protocol_name(Some(text(self.protocol())))
                    .with_assignments(assignments.collect());
                (5, Request::Sync(request))
            }
            State::Stable => {
                self.state = State::Stable;
                let request = HeartbeatRequest::default()
                    .with_group_id(group_id)
                    .with_member_id(member_id)
                    .with_group_instance_id(instance_id)
                    .with_generation_id(self.generation);
                (4, Request::Heartbeat(request))
            }
        }
    }

    pub fn leave(&mut self, group: &str) -> Request {
        self.owned.clear();
        let identity = MemberIdentity::default()
            .with_member_id(text(self.member_id.as_str()))
            .with_group_instance_id(self.instance_id.clone().map(text));
        Request::Leave(
            LeaveGroupRequest::default().with_group_id(GroupId(text(group))).with_members(vec![identity]),
        )
    }

    /// What subscribing to other topics takes: it joins again.
    pub fn resubscribed(&mut self) {
        if self.is_stable() {
            self.state = State::Unjoined;
        }
        self.joins_again = true;
    }

    fn subscription(&self, topics: &SimTopics) -> ConsumerProtocolSubscription {
        let mut owned: BTreeMap<StrBytes, Vec<i32>> = BTreeMap::new();
        for (topic_id, partition) in &self.owned {
            if let Some((name, _)) = topics.by_id(*topic_id) {
                owned.entry(name).or_default().push(*partition);
            }
        }
        let owned = owned.into_iter().map(|(name, partitions)| {
            Owned::default().with_topic(TopicName(name)).with_partitions(partitions)
        });
        ConsumerProtocolSubscription::default()
            .with_topics(self.topics.iter().map(|name| text(name.as_str())).collect())
            .with_owned_partitions(owned.collect())
            .with_generation_id(self.generation)
    }

    /// Takes the answer to a JoinGroup; gives the time until it goes on.
    pub fn joined(&mut self, response: &JoinGroupResponse, topics: &SimTopics) -> i64 {
        if response.error_code == 0 {
            self.member_id = response.member_id.to_string();
            self.generation = response.generation_id;
            self.joins_again |= response.skip_assignment;
            let leads = response.leader == response.member_id;
            self.assigned = leads.then(|| topics.clone());
            let assignments = if leads { assign(response, topics, self.cooperative) } else { Vec::new() };
            self.state = State::Joined(assignments);
            return 0;
        }
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            self.member_id = response.member_id.to_string();
            return 0;
        }
        self.failed(response.error_code)
    }

    /// Takes the answer to a SyncGroup; gives the time until it goes on.
    pub fn synced(&mut self, response: &SyncGroupResponse, topics: &SimTopics) -> i64 {
        if response.error_code != 0 {
            return self.failed(response.error_code);
        }
        let assigned = if response.assignment.is_empty() {
            Partitions::new()
        } else {
            let assignment = consumer_protocol::decode_assignment(&response.assignment).unwrap();
            let topics_of = assignment.assigned_partitions.iter();
            topics_of
                .filter_map(|assigned| Some((topics.by_name(&assigned.topic)?.0, &assigned.partitions)))
                .flat_map(|(id, partitions)| partitions.iter().map(move |partition| (id, *partition)))
                .collect()
        };
        let gives_up = self.cooperative && !self.owned.is_subset(&assigned);
        self.owned = assigned;
        if std::mem::take(&mut self.joins_again) || gives_up {
            // It says what it gave up by joining again.
            self.state = State::Unjoined;
            return 0;
        }
        self.state = State::Stable;
        HEARTBEAT_INTERVAL_MS
    }

    /// Takes the answer to a Heartbeat; gives the time until it goes on.
    pub fn heard(&mut self, error: i16) -> i64 {
        if error == 0 { HEARTBEAT_INTERVAL_MS } else { self.failed(error) }
    }

    /// The connection was lost.
    pub fn disconnected(&mut self) -> i64 {
        500
    }

    fn failed(&mut self, error: i16) -> i64 {
        self.state = State::Unjoined;
        let is = |code: ErrorCode| error == code.code();
        if is(ErrorCode::RebalanceInProgress) {
            return 0;
        }
        if is(ErrorCode::UnknownMemberId) || is(ErrorCode::IllegalGeneration) {
            self.owned.clear();
            self.generation = -1;
            if is(ErrorCode::UnknownMemberId) {
                self.member_id.clear();
            }
            return 100;
        }
        if is(ErrorCode::FencedInstanceId) {
            self.owned.clear();
            self.failed = true;
            return 100;
        }
        // The other protocol's members are still there.
        assert!(is(ErrorCode::InconsistentGroupProtocol), "{self:?} got {error}");
        self.owned.clear();
        2_000
    }
}

/// What a leader assigns: partitions in turn to those that subscribe to the topic. A cooperative one gives a partition
/// that another member has to nobody until that one has given it up.
fn assign(joined: &JoinGroupResponse, topics: &SimTopics, cooperative: bool) -> Assignments {
    let mut subscriptions = BTreeMap::new();
    for member in &joined.members {
        let subscription = consumer_protocol::decode_subscription(&member.metadata).unwrap();
        subscriptions.insert(member.member_id.clone(), subscription);
    }
    let mut assigned: BTreeMap<&StrBytes, BTreeMap<String, Vec<i32>>> =
        subscriptions.keys().map(|id| (id, BTreeMap::new())).collect();
    for (name, (_, partitions)) in &topics.by_name {
        let subscribes = |subscription: &ConsumerProtocolSubscription| {
            subscription.topics.iter().any(|topic| **topic == **name)
        };
        let members: Vec<&StrBytes> = subscriptions
            .iter()
            .filter(|(_, subscription)| subscribes(subscription))
            .map(|(id, _)| id)
            .collect();
        for (partition, member) in (0..*partitions).zip(members.iter().cycle()) {
            let has = |subscription: &ConsumerProtocolSubscription| {
                let owned = subscription.owned_partitions.iter();
                owned
                    .filter(|owned| **owned.topic == **name)
                    .any(|owned| owned.partitions.contains(&partition))
            };
            let other_has = subscriptions.iter().any(|(id, subscription)| id != *member && has(subscription));
            if !(cooperative && other_has) {
                assigned.get_mut(member).unwrap().entry(name.clone()).or_default().push(partition);
            }
        }
    }
    assigned.into_iter().map(|(id, topics)| (id.clone(), topics.into_iter().collect())).collect()
}
