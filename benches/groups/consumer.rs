//! A group of the consumer protocol (KIP-848): ConsumerGroupHeartbeat v1. A member answers a new assignment at once with
//! what it owns then, as clients do that have nothing to finish, and else says at every interval that it is there.

use std::time::Instant;

use fluxmq_benches::figures::{Figures, Options};
use fluxmq_benches::wire::{
    COORDINATOR_NOT_THERE, Connections, CoordinatorOf, PATIENCE, frame, response, set_up, text,
};
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use fluxmq_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicName};
use uuid::Uuid;

use crate::{group, heartbeat};

struct Member {
    id: StrBytes,
    epoch: i32,
    owned: Vec<i32>,
    joined: bool,
    in_flight: bool,
    next_heartbeat: Instant,
}

struct Group<'a> {
    options: &'a Options,
    name: String,
    topic: String,
    topic_id: Uuid,
    partitions: i32,
    connections: Connections,
    members: Vec<Member>,
    heartbeats: u64,
}

/// Forms a group of all members but one, lets that one join, and times both.
pub(crate) fn run(options: &Options, figures: &mut Figures) {
    let (members, partitions) = (options.get("members", 1000), options.get("partitions", 1000));
    let topic = format!("members-{partitions}");
    let topic_id = set_up(&options.bootstrap(), &topic, partitions, CoordinatorOf::Groups);
    let new_member = || Member {
        id: text(&Uuid::new_v4().to_string()),
        epoch: 0,
        owned: Vec::new(),
        joined: false,
        in_flight: false,
        next_heartbeat: Instant::now(),
    };
    let mut group = Group {
        options,
        name: format!("consumer-{}", Uuid::new_v4()),
        topic,
        topic_id,
        partitions,
        connections: Connections::open(&options.bootstrap(), members),
        members: (0..members).map(|_| new_member()).collect(),
        heartbeats: 0,
    };
    let broker = options.broker();
    for (what, from, to) in [("form", 0, members - 1), ("one_more", members - 1, members)] {
        let (cpu_s, before) = (broker.cpu_s(), group.heartbeats);
        (from..to).for_each(|member| group.join(member));
        let last_join = Instant::now();
        group.until_stable(to);
        figures.add_decimals(&format!("{what}_s"), last_join.elapsed().as_secs_f64());
        figures.add_decimals(&format!("{what}_cpu_s"), broker.cpu_s() - cpu_s);
        figures.add(&format!("{what}_heartbeats"), group.heartbeats - before);
    }
    let (cpu_s, started) = (broker.cpu_s(), Instant::now());
    let end = started + 5 * heartbeat(options);
    while Instant::now() < end {
        group.step();
    }
    let seconds = started.elapsed().as_secs_f64();
    figures.add_decimals("idle_cpu_percent", (broker.cpu_s() - cpu_s) / seconds * 100.0);
    figures.add("rss_kb", broker.rss_kb());
}

impl Group<'_> {
    fn until_stable(&mut self, members: usize) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_stable(members) {
            assert!(Instant::now() < deadline, "the group is not stable");
            self.step();
        }
    }

    /// Everybody is at the same epoch and has its part, and every partition is owned. A new member has the others'
    /// epoch at once, and a part of its own only by the next assignment.
    fn is_stable(&self, members: usize) -> bool {
        let some = &self.members[..members];
        let owned: usize = some.iter().map(|member| member.owned.len()).sum();
        owned == self.partitions as usize
            && some.iter().all(|m| !m.owned.is_empty() && m.epoch == some[0].epoch)
    }

    fn step(&mut self) {
        let now = Instant::now();
        let mut next = now + heartbeat(self.options);
        for at in 0..self.members.len() {
            let member = &self.members[at];
            if member.joined && !member.in_flight {
                if member.next_heartbeat <= now {
                    self.heartbeat(at, false);
                } else {
                    next = next.min(member.next_heartbeat);
                }
            }
        }
        for (at, answer) in self.connections.receive(next) {
            self.answered(at, response::<ConsumerGroupHeartbeatRequest>(1, answer));
        }
    }

    fn answered(&mut self, at: usize, answer: ConsumerGroupHeartbeatResponse) {
        let member = &mut self.members[at];
        member.in_flight = false;
        if COORDINATOR_NOT_THERE.contains(&answer.error_code) {
            member.next_heartbeat = Instant::now();
            if member.epoch == 0 {
                self.join(at);
            }
            return;
        }
        let message = answer.error_message.as_deref().unwrap_or_default();
        assert_eq!(answer.error_code, 0, "member {at}: {message}");
        member.epoch = answer.member_epoch;
        member.next_heartbeat = Instant::now() + heartbeat(self.options);
        let Some(assignment) = answer.assignment else { return };
        member.owned = assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
        self.heartbeat(at, true);
    }

    fn join(&mut self, at: usize) {
        let request = self
            .request(at)
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![TopicName(text(&self.topic))]))
            .with_topic_partitions(Some(Vec::new()));
        self.members[at].joined = true;
        self.send(at, &request);
    }

    fn heartbeat(&mut self, at: usize, with_owned: bool) {
        let owned = with_owned.then(|| {
            let partitions = self.members[at].owned.clone();
            let topic = TopicPartitions::default().with_topic_id(self.topic_id).with_partitions(partitions);
            if topic.partitions.is_empty() { Vec::new() } else { vec![topic] }
        });
        let request = self.request(at).with_topic_partitions(owned);
        self.send(at, &request);
    }

    fn request(&self, at: usize) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group(&self.name))
            .with_member_id(self.members[at].id.clone())
            .with_member_epoch(self.members[at].epoch)
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None)
    }

    fn send(&mut self, at: usize, request: &ConsumerGroupHeartbeatRequest) {
        self.heartbeats += 1;
        self.members[at].in_flight = true;
        self.connections.send(at, &frame(1, request));
    }
}
