//! Classic groups from the outside: requests go in, replies come out, time passes, and after every step a shard that is
//! loaded from the log has what the live one has.

mod errors;
mod join;
mod kafka_cases;
mod leave;
mod load;
mod schedules;
mod sessions;
mod static_members;
mod sync;

use std::collections::BTreeMap;

use bytes::Bytes;
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::messages::leave_group_request::MemberIdentity;
use fluxmq_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use fluxmq_protocol::messages::*;
use fluxmq_protocol::{ErrorCode, StrBytes};
use uuid::Uuid;

use super::{ClassicGroup, ClassicGroupState};
use crate::config::GroupCoordinatorConfig;
use crate::group::{Group, Timer};
use crate::shard::GroupShard;
use crate::testing::{Driver, text};
use crate::turn::{Reply, Requester, Token};

const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;
const DELAY_MS: i64 = 3_000;

/// A JoinGroup in the making: of group "g", a consumer that supports "range", in version 9.
#[derive(Clone)]
struct Join {
    version: i16,
    client_id: &'static str,
    request: JoinGroupRequest,
}

fn join() -> Join {
    let request = JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_protocol_type(text("consumer"));
    Join { version: 9, client_id: "client", request }.protocols(&[("range", b"")])
}

impl Join {
    fn version(mut self, version: i16) -> Self {
        self.version = version;
        self
    }

    fn client(mut self, client_id: &'static str) -> Self {
        self.client_id = client_id;
        self
    }

    fn member(mut self, member_id: &str) -> Self {
        self.request.member_id = text(member_id);
        self
    }

    fn instance(mut self, instance_id: &str) -> Self {
        self.request.group_instance_id = Some(text(instance_id));
        self
    }

    fn protocols(mut self, protocols: &[(&str, &'static [u8])]) -> Self {
        let protocol = |(name, metadata): &(&str, &'static [u8])| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::from_static(metadata))
        };
        self.request.protocols = protocols.iter().map(protocol).collect();
        self
    }

    fn with(mut self, change: impl FnOnce(&mut JoinGroupRequest)) -> Self {
        change(&mut self.request);
        self
    }
}

/// A shard with clients.
struct Clients {
    driver: Driver,
    requests: u64,
}

fn config() -> GroupCoordinatorConfig {
    GroupCoordinatorConfig::default()
}

fn clients() -> Clients {
    Clients::new(config())
}

impl Clients {
    fn new(config: GroupCoordinatorConfig) -> Self {
        Clients { driver: Driver::new(config), requests: 0 }
    }

    fn requester(&mut self, api_version: i16, client_id: &str) -> Requester {
        self.requests += 1;
        Requester {
            api_version,
            client_id: text(client_id),
            client_host: text("/127.0.0.1"),
            fresh_id: Uuid::from_u128(u128::from(self.requests)),
        }
    }

    fn join(&mut self, join: Join) -> Token {
        let requester = self.requester(join.version, join.client_id);
        let token = Token(self.requests);
        self.driver.turn(|shard, turn| shard.join_group(turn, &requester, join.request, token));
        self.check();
        token
    }

    /// A join that is answered at once.
    fn joined(&mut self, join: Join) -> JoinGroupResponse {
        let token = self.join(join);
        self.join_reply(token)
    }

    fn sync_in(&mut self, version: i16, request: SyncGroupRequest) -> Token {
        let requester = self.requester(version, "client");
        let token = Token(self.requests);
        self.driver.turn(|shard, turn| shard.sync_group(turn, &requester, request, token));
        self.check();
        token
    }

    fn sync(&mut self, generation: i32, member_id: &StrBytes, assignments: &[(&StrBytes, &str)]) -> Token {
        self.sync_in(5, sync(generation, member_id, assignments))
    }

    /// The error of a heartbeat.
    fn heartbeat(&mut self, generation: i32, member_id: &StrBytes) -> ErrorCode {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id(generation)
            .with_member_id(member_id.clone());
        self.heartbeat_request(&request)
    }

    fn heartbeat_request(&mut self, request: &HeartbeatRequest) -> ErrorCode {
        let response = self.driver.turn(|shard, turn| shard.heartbeat(turn, request));
        self.check();
        code(response.error_code)
    }

    fn leave_in(&mut self, version: i16, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        let requester = self.requester(version, "client");
        let response = self.driver.turn(|shard, turn| shard.leave_group(turn, &requester, request));
        self.check();
        response
    }

    /// The errors of a LeaveGroup for members, by member id and instance id.
    fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
        let response = self.leave_in(5, &leave(members));
        assert_eq!(response.error_code, 0);
        response.members.iter().map(|member| code(member.error_code)).collect()
    }

    fn advance(&mut self, by_ms: i64) {
        self.driver.advance(by_ms);
        self.check();
    }

    /// Heartbeats of members every second while time passes.
    fn live(&mut self, by_ms: i64, generation: i32, members: &[&StrBytes]) {
        for _ in 0..by_ms / 1_000 {
            for member_id in members {
                self.heartbeat(generation, member_id);
            }
            self.advance(1_000);
        }
    }

    fn reply(&mut self, token: Token) -> Option<Reply> {
        let position = self.driver.replies.iter().position(|(answered, _)| *answered == token)?;
        Some(self.driver.replies.remove(position).1)
    }

    fn waits(&self, token: Token) -> bool {
        !self.driver.replies.iter().any(|(answered, _)| *answered == token)
    }

    fn join_reply(&mut self, token: Token) -> JoinGroupResponse {
        match self.reply(token) {
            Some(Reply::JoinGroup(response)) => response,
            other => panic!("the join {token:?} has {other:?}"),
        }
    }

    fn sync_reply(&mut self, token: Token) -> SyncGroupResponse {
        match self.reply(token) {
            Some(Reply::SyncGroup(response)) => response,
            other => panic!("the sync {token:?} has {other:?}"),
        }
    }

    fn group(&self) -> &ClassicGroup {
        classic(&self.driver.shard, "g").expect("the group")
    }

    fn state(&self) -> ClassicGroupState {
        self.group().state()
    }

    /// Ids of new members, given out as from version 4 on.
    fn new_id(&mut self, join: Join) -> StrBytes {
        let response = self.joined(join);
        assert_eq!(code(response.error_code), ErrorCode::MemberIdRequired);
        response.member_id
    }

    /// Makes a group of new members stable: each joins, the first leads and assigns "a0" to itself, "a1" to the next…
    fn stable(&mut self, joins: Vec<Join>) -> Vec<StrBytes> {
        let mut waiting = Vec::new();
        for join in joins {
            let is_static = join.request.group_instance_id.is_some();
            let join = match is_static || join.version < 4 {
                true => join,
                false => {
                    let member_id = self.new_id(join.clone());
                    join.member(&member_id)
                }
            };
            waiting.push(self.join(join));
        }
        self.advance(2 * DELAY_MS);
        let replies: Vec<_> = waiting.into_iter().map(|token| self.join_reply(token)).collect();
        let leader = replies.iter().find(|reply| reply.leader == reply.member_id).expect("a leader").clone();
        let members: Vec<_> = replies.iter().map(|reply| reply.member_id.clone()).collect();
        let names: Vec<_> = (0..members.len()).map(|at| format!("a{at}")).collect();
        let assignments: Vec<_> = members.iter().zip(&names).map(|(id, name)| (id, &**name)).collect();
        self.sync(leader.generation_id, &leader.member_id, &assignments);
        for member_id in &members {
            self.sync(leader.generation_id, member_id, &[]);
        }
        self.driver.replies.clear();
        assert_eq!(self.state(), ClassicGroupState::Stable);
        members
    }

    /// What a load makes of the log is what the live shard has, as far as records tell.
    fn check(&self) {
        let loaded = self.driver.reloaded();
        assert_eq!(loaded.group_count(), self.driver.shard.group_count());
        for (group_id, group) in &self.driver.shard.groups {
            let Group::Classic(live) = group else { continue };
            let loaded = classic(&loaded, group_id).expect("the group is in the log");
            match live.state {
                ClassicGroupState::Empty | ClassicGroupState::Stable => {
                    assert_eq!(&as_recorded(live), loaded);
                    assert_eq!(live.subscribed_topics, loaded.subscribed_topics);
                }
                _ => assert!(loaded.generation <= live.generation),
            }
        }
    }
}

fn classic<'s>(shard: &'s GroupShard, group_id: &str) -> Option<&'s ClassicGroup> {
    match shard.groups.get(&text(group_id)) {
        Some(Group::Classic(group)) => Some(group),
        _ => None,
    }
}

/// The group without what is in no record.
fn as_recorded(group: &ClassicGroup) -> ClassicGroup {
    let record = group.to_record(|member| member.assignment.clone());
    let fluxmq_protocol::group_records::GroupRecord::GroupMetadata(key, Some(value)) = record else {
        panic!("{record:?}")
    };
    ClassicGroup::from_record(key.group, value)
}

/// Everything of a shard that a request can change.
fn everything(shard: &GroupShard) -> (BTreeMap<StrBytes, Group>, Vec<(i64, Timer)>) {
    let groups = shard.groups.iter().map(|(id, group)| (id.clone(), group.clone())).collect();
    let mut timers = shard.timers.clone();
    let mut deadlines = Vec::new();
    while let Some(deadline_ms) = timers.next_deadline() {
        deadlines.push((deadline_ms, timers.pop_due(i64::MAX).expect("a timer")));
    }
    (groups, deadlines)
}

fn sync(generation: i32, member_id: &StrBytes, assignments: &[(&StrBytes, &str)]) -> SyncGroupRequest {
    let assignment = |(member_id, assignment): &(&StrBytes, &str)| {
        SyncGroupRequestAssignment::default()
            .with_member_id((*member_id).clone())
            .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
    };
    SyncGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id(generation)
        .with_member_id(member_id.clone())
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(assignments.iter().map(assignment).collect())
}

fn leave(members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    let member = |(member_id, instance_id): &(&str, Option<&str>)| {
        MemberIdentity::default()
            .with_member_id(text(member_id))
            .with_group_instance_id(instance_id.map(text))
    };
    LeaveGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_members(members.iter().map(member).collect())
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).expect("a code of Kafka's")
}
