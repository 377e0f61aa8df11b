//! A group of the classic protocol: JoinGroup v9, SyncGroup v5, Heartbeat v4, as a client with the range assignor sends
//! them. Member ids come from the coordinator (KIP-394).

use std::time::Instant;

use bytes::Bytes;
use fluxmq_benches::figures::{Figures, Options};
use fluxmq_benches::wire::{
    COORDINATOR_NOT_THERE, Connections, CoordinatorOf, PATIENCE, frame, response, set_up, text,
};
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use fluxmq_protocol::messages::{HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};
use uuid::Uuid;

use crate::{group, heartbeat};

const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;
const PROTOCOL: &str = "range";

#[derive(Clone, Copy, PartialEq)]
enum Waiting {
    /// Not a member yet.
    Not,
    Join,
    Sync,
    Heartbeat,
    /// Until the next heartbeat.
    Idle,
}

struct Member {
    id: StrBytes,
    generation: i32,
    waiting: Waiting,
    /// Has its part of this generation.
    assigned: bool,
    next_heartbeat: Instant,
}

struct Group<'a> {
    options: &'a Options,
    name: String,
    topic: String,
    partitions: i32,
    connections: Connections,
    members: Vec<Member>,
    /// Rebalances that the members saw the end of.
    generations: i32,
}

/// Forms a group of all members but one, lets that one join, and times both.
pub(crate) fn run(options: &Options, figures: &mut Figures) {
    let (members, partitions) = (options.get("members", 1000), options.get("partitions", 1000));
    let topic = format!("members-{partitions}");
    set_up(&options.bootstrap(), &topic, partitions, CoordinatorOf::Groups);
    let new_member = || Member {
        id: StrBytes::default(),
        generation: -1,
        waiting: Waiting::Not,
        assigned: false,
        next_heartbeat: Instant::now(),
    };
    let mut group = Group {
        options,
        name: format!("classic-{}", Uuid::new_v4()),
        topic,
        partitions,
        connections: Connections::open(&options.bootstrap(), members),
        members: (0..members).map(|_| new_member()).collect(),
        generations: 0,
    };
    let broker = options.broker();
    for (what, from, to) in [("form", 0, members - 1), ("one_more", members - 1, members)] {
        let (cpu_s, before) = (broker.cpu_s(), group.generations);
        (from..to).for_each(|member| group.join(member));
        let last_join = Instant::now();
        group.until_stable(to);
        figures.add_decimals(&format!("{what}_s"), last_join.elapsed().as_secs_f64());
        figures.add_decimals(&format!("{what}_cpu_s"), broker.cpu_s() - cpu_s);
        figures.add(&format!("{what}_rebalances"), group.generations - before);
    }
    // Stable now: what members cost that only say that they are there.
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
        let stable = |some: &[Member]| some.iter().all(|m| m.assigned && m.generation == some[0].generation);
        while !stable(&self.members[..members]) {
            assert!(Instant::now() < deadline, "the group is not stable");
            self.step();
        }
    }

    fn step(&mut self) {
        let now = Instant::now();
        let mut next = now + heartbeat(self.options);
        for at in 0..self.members.len() {
            if self.members[at].waiting == Waiting::Idle {
                if self.members[at].next_heartbeat <= now {
                    self.heartbeat(at);
                } else {
                    next = next.min(self.members[at].next_heartbeat);
                }
            }
        }
        for (at, answer) in self.connections.receive(next) {
            self.answered(at, answer);
        }
    }

    fn answered(&mut self, at: usize, answer: Vec<u8>) {
        match self.members[at].waiting {
            Waiting::Join => self.joined(at, &response::<JoinGroupRequest>(9, answer)),
            Waiting::Sync => {
                let error = response::<SyncGroupRequest>(5, answer).error_code;
                self.members[at].assigned = error == 0;
                self.settle(at, error);
            }
            Waiting::Heartbeat => {
                let error = response::<HeartbeatRequest>(4, answer).error_code;
                self.settle(at, error);
            }
            Waiting::Not | Waiting::Idle => panic!("an answer to nothing"),
        }
    }

    /// A member that is in the group goes on as it is, or joins again.
    fn settle(&mut self, at: usize, error: i16) {
        match error {
            0 => {
                self.members[at].waiting = Waiting::Idle;
                self.members[at].next_heartbeat = Instant::now() + heartbeat(self.options);
            }
            REBALANCE_IN_PROGRESS => self.join(at),
            other => panic!("member {at}: error {other}"),
        }
    }

    fn joined(&mut self, at: usize, joined: &JoinGroupResponse) {
        let member = &mut self.members[at];
        match joined.error_code {
            MEMBER_ID_REQUIRED => member.id = joined.member_id.clone(),
            error if COORDINATOR_NOT_THERE.contains(&error) || error == REBALANCE_IN_PROGRESS => {}
            0 => {
                member.generation = joined.generation_id;
                let is_leader = joined.leader == joined.member_id;
                let assignments = if is_leader { self.assign(joined) } else { Vec::new() };
                self.generations += i32::from(is_leader);
                return self.sync(at, assignments);
            }
            other => panic!("member {at} may not join: error {other}"),
        }
        self.join(at);
    }

    /// Partitions in turn to the members.
    fn assign(&self, joined: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
        let members = joined.members.iter().enumerate();
        let assignments = members.map(|(first, member)| {
            let mine: Vec<i32> = (first as i32..self.partitions).step_by(joined.members.len()).collect();
            SyncGroupRequestAssignment::default()
                .with_member_id(member.member_id.clone())
                .with_assignment(assignment(&self.topic, &mine))
        });
        assignments.collect()
    }

    fn join(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.waiting = Waiting::Join;
        member.assigned = false;
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(PROTOCOL))
            .with_metadata(subscription(&self.topic));
        let request = JoinGroupRequest::default()
            .with_group_id(group(&self.name))
            .with_session_timeout_ms(45_000)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(member.id.clone())
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        self.connections.send(at, &frame(9, &request));
    }

    fn sync(&mut self, at: usize, assignments: Vec<SyncGroupRequestAssignment>) {
        let member = &mut self.members[at];
        member.waiting = Waiting::Sync;
        let request = SyncGroupRequest::default()
            .with_group_id(group(&self.name))
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone())
            .with_protocol_type(Some(StrBytes::from_static_str("consumer")))
            .with_protocol_name(Some(text(PROTOCOL)))
            .with_assignments(assignments);
        self.connections.send(at, &frame(5, &request));
    }

    fn heartbeat(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.waiting = Waiting::Heartbeat;
        let request = HeartbeatRequest::default()
            .with_group_id(group(&self.name))
            .with_generation_id(member.generation)
            .with_member_id(member.id.clone());
        self.connections.send(at, &frame(4, &request));
    }
}

/// ConsumerProtocolSubscription v0.
fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.into()
}

/// ConsumerProtocolAssignment v0.
fn assignment(topic: &str, partitions: &[i32]) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&(partitions.len() as u32).to_be_bytes());
    partitions.iter().for_each(|partition| bytes.extend_from_slice(&partition.to_be_bytes()));
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.into()
}
