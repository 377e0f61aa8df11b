//! A consumer of the consumer protocol, as far as its group is concerned.

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use fluxmq_protocol::messages::consumer_group_heartbeat_response::Assignment;
use fluxmq_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use uuid::Uuid;

use super::broker::{Request, text};
use super::rng::Rng;

/// Partitions that a client may read.
pub type Partitions = BTreeSet<(Uuid, i32)>;

const HEARTBEAT_INTERVAL_MS: i64 = 5_000;

#[derive(Clone, Debug)]
pub struct ConsumerClient {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub names: BTreeSet<String>,
    pub regex: Option<String>,
    pub assignor: Option<&'static str>,
    pub rebalance_timeout_ms: i32,
    pub epoch: i32,
    pub owned: Partitions,
    /// What it was told to have, and when it will have given up the rest.
    target: Option<(Partitions, i64)>,
    /// What the broker knows that it owns.
    said: Option<Partitions>,
    /// Whether the next heartbeat is to say everything: the last answer is missing.
    say_all: bool,
    /// Whether it subscribed to other topics since the last heartbeat.
    resubscribed: bool,
    /// An error that a consumer doesn't go on after.
    pub failed: bool,
}

impl ConsumerClient {
    pub fn new(member_id: String, instance_id: Option<String>, rebalance_timeout_ms: i32) -> Self {
        ConsumerClient {
            member_id,
            instance_id,
            names: BTreeSet::new(),
            regex: None,
            assignor: None,
            rebalance_timeout_ms,
            epoch: 0,
            owned: Partitions::new(),
            target: None,
            said: None,
            say_all: true,
            resubscribed: false,
            failed: false,
        }
    }

    /// What it does when it wakes: gives up partitions it was told to, and sends a heartbeat.
    pub fn heartbeat(&mut self, group: &str, now_ms: i64) -> Request {
        self.reconcile(now_ms);
        let all = std::mem::take(&mut self.resubscribed) || self.epoch == 0 || self.say_all;
        let mut request = self.bare(group, self.epoch);
        if all {
            let names = self.names.iter().map(|name| TopicName(text(name.as_str())));
            request.rebalance_timeout_ms = self.rebalance_timeout_ms;
            request.subscribed_topic_names = Some(names.collect());
            request.subscribed_topic_regex = Some(text(self.regex.clone().unwrap_or_default()));
            request.server_assignor = self.assignor.map(text);
        }
        if all || self.said.as_ref() != Some(&self.owned) {
            request.topic_partitions = Some(topic_partitions(&self.owned));
        }
        Request::ConsumerHeartbeat(request)
    }

    /// The heartbeat by which it leaves: −1, or −2 if it will be back.
    pub fn leave(&mut self, group: &str, epoch: i32) -> Request {
        self.owned.clear();
        Request::ConsumerHeartbeat(self.bare(group, epoch))
    }

    fn bare(&self, group: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_member_id(text(self.member_id.as_str()))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(-1)
            .with_instance_id(self.instance_id.clone().map(text))
    }

    /// Gives up what it is not to have, and takes what it is to have, once it is done with that.
    fn reconcile(&mut self, now_ms: i64) {
        if let Some((target, ready_ms)) = &self.target
            && *ready_ms <= now_ms
        {
            self.owned = target.clone();
            self.target = None;
        }
    }

    /// What subscribing to other topics takes.
    pub fn resubscribed(&mut self) {
        self.resubscribed = true;
    }

    /// Takes an answer; gives the time until the next heartbeat.
    pub fn answered(&mut self, response: &ConsumerGroupHeartbeatResponse, now_ms: i64, rng: &mut Rng) -> i64 {
        let code = |error: ErrorCode| error.code();
        match response.error_code {
            0 => {
                self.epoch = response.member_epoch;
                self.say_all = false;
                self.said = Some(self.owned.clone());
                if let Some(assignment) = &response.assignment {
                    let target = partitions(assignment);
                    if target != self.owned {
                        // To give up partitions takes time: offsets are committed, listeners are called.
                        let takes_ms =
                            if target.is_superset(&self.owned) { 0 } else { rng.between(0, 8_000) };
                        self.target = Some((target, now_ms + takes_ms));
                        return takes_ms.min(HEARTBEAT_INTERVAL_MS);
                    }
                    self.target = None;
                }
                HEARTBEAT_INTERVAL_MS
            }
            error
                if error == code(ErrorCode::UnknownMemberId)
                    || error == code(ErrorCode::FencedMemberEpoch) =>
            {
                self.abandon();
                100
            }
            error if error == code(ErrorCode::FencedInstanceId) => {
                self.abandon();
                self.failed = true;
                100
            }
            // The one that had the instance id is still there, or the group can't be joined yet.
            error
                if error == code(ErrorCode::UnreleasedInstanceId)
                    || error == code(ErrorCode::GroupIdNotFound) =>
            {
                self.abandon();
                2_000
            }
            error => panic!("{self:?} got {error}: {response:?}"),
        }
    }

    /// The answer was lost.
    pub fn disconnected(&mut self) -> i64 {
        self.say_all = true;
        500
    }

    fn abandon(&mut self) {
        self.owned.clear();
        self.target = None;
        self.said = None;
        self.epoch = 0;
        self.say_all = true;
    }
}

fn topic_partitions(owned: &Partitions) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in owned {
        topics.entry(*topic).or_default().push(*partition);
    }
    let topics = topics.into_iter();
    topics
        .map(|(id, partitions)| TopicPartitions::default().with_topic_id(id).with_partitions(partitions))
        .collect()
}

fn partitions(assignment: &Assignment) -> Partitions {
    let topics = assignment.topic_partitions.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition))).collect()
}
