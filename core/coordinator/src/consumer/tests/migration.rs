//! Online migration (KIP-848): classic groups that become consumer groups and back, and members of both protocols in one
//! group.

use std::sync::atomic::{AtomicU64, Ordering};

use fluxmq_protocol::consumer_protocol;
use fluxmq_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use fluxmq_protocol::messages::consumer_protocol_subscription::TopicPartition as Owned;
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::messages::leave_group_request::MemberIdentity;
use fluxmq_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use fluxmq_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest, SyncGroupResponse,
};

use super::*;
use crate::classic::ClassicGroup;
use crate::config::MigrationPolicy;
use crate::turn::{Reply, Token};

const NONE: i16 = 0;
const REBALANCE_IN_PROGRESS: i16 = ErrorCode::RebalanceInProgress.code();
const UNKNOWN_MEMBER_ID: i16 = ErrorCode::UnknownMemberId.code();
const ILLEGAL_GENERATION: i16 = ErrorCode::IllegalGeneration.code();

/// A consumer that speaks the classic protocol.
#[derive(Clone, Debug, Default)]
struct Classic {
    id: String,
    instance_id: Option<String>,
    generation: i32,
    /// What it says that it owns when it joins: nothing if it is eager.
    says_owned: Vec<(String, Vec<i32>)>,
    assigned: Vec<(String, Vec<i32>)>,
}

impl Classic {
    fn static_member(instance_id: &str) -> Self {
        Classic { instance_id: Some(instance_id.to_owned()), ..Classic::default() }
    }

    fn join_request(&self, topics: &[&str]) -> JoinGroupRequest {
        let owned = self.says_owned.iter().map(|(topic, partitions)| {
            Owned::default().with_topic(TopicName(text(topic))).with_partitions(partitions.clone())
        });
        let subscription = ConsumerProtocolSubscription::default()
            .with_topics(topics.iter().map(|topic| text(topic)).collect())
            .with_owned_partitions(owned.collect());
        let metadata = consumer_protocol::encode_subscription(&subscription, 3).unwrap();
        JoinGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text))
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(30_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![
                JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata),
            ])
    }

    /// Joins a consumer group, or a classic group in which nobody else is waited for.
    fn join(&mut self, fixture: &mut Fixture) -> i16 {
        let response = fixture.classic_join(&self.join_request(&["foo"])).expect("an answer at once");
        self.joined(&response)
    }

    fn joined(&mut self, response: &JoinGroupResponse) -> i16 {
        if !response.member_id.is_empty() {
            self.id = response.member_id.to_string();
        }
        if response.error_code == NONE {
            self.generation = response.generation_id;
        }
        response.error_code
    }

    fn sync_request(&self) -> SyncGroupRequest {
        SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text))
            .with_generation_id(self.generation)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
    }

    fn sync(&mut self, fixture: &mut Fixture) -> i16 {
        let response = fixture.classic_sync(&self.sync_request()).expect("an answer at once");
        self.synced(&response)
    }

    fn synced(&mut self, response: &SyncGroupResponse) -> i16 {
        if response.error_code == NONE {
            let assignment = consumer_protocol::decode_assignment(&response.assignment).unwrap();
            let assigned = assignment.assigned_partitions.into_iter();
            self.assigned = assigned.map(|topic| (topic.topic.to_string(), topic.partitions)).collect();
        }
        response.error_code
    }

    fn heartbeat(&self, fixture: &mut Fixture) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text))
            .with_generation_id(self.generation);
        fixture.driver.turn(|shard, turn| shard.heartbeat(turn, &request)).error_code
    }

    fn leave(&self, fixture: &mut Fixture) -> i16 {
        let identity = MemberIdentity::default()
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance_id.as_deref().map(text));
        let request =
            LeaveGroupRequest::default().with_group_id(GroupId(text(GROUP))).with_members(vec![identity]);
        let response = fixture.driver.turn(|shard, turn| shard.leave_group(turn, &requester(5), &request));
        response.members[0].error_code
    }

    /// Joins a consumer group again, as its heartbeat told it to, and syncs.
    fn rejoin(&mut self, fixture: &mut Fixture) {
        assert_eq!(self.heartbeat(fixture), REBALANCE_IN_PROGRESS);
        assert_eq!(self.join(fixture), NONE);
        assert_eq!(self.sync(fixture), NONE);
    }
}

fn next_token() -> Token {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Token(LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// `foo` with these partitions.
fn foo(partitions: &[i32]) -> Vec<(String, Vec<i32>)> {
    vec![("foo".to_owned(), partitions.to_vec())]
}

impl Fixture {
    fn classic_join(&mut self, request: &JoinGroupRequest) -> Option<JoinGroupResponse> {
        let token = next_token();
        let mut asks = requester(9);
        // Every member gets an id of its own.
        asks.fresh_id = Uuid::from_u128(u128::from(token.0) << 80 | u128::from(token.0));
        self.driver.turn(|shard, turn| shard.join_group(turn, &asks, request.clone(), token));
        match self.reply(token)? {
            Reply::JoinGroup(response) => Some(response),
            other => panic!("{other:?}"),
        }
    }

    fn classic_sync(&mut self, request: &SyncGroupRequest) -> Option<SyncGroupResponse> {
        let token = next_token();
        self.driver.turn(|shard, turn| shard.sync_group(turn, &requester(5), request.clone(), token));
        match self.reply(token)? {
            Reply::SyncGroup(response) => Some(response),
            other => panic!("{other:?}"),
        }
    }

    fn reply(&mut self, token: Token) -> Option<Reply> {
        let place = self.driver.replies.iter().position(|(known, _)| *known == token)?;
        Some(self.driver.replies.remove(place).1)
    }

    /// The answers to joins that have waited.
    fn joins(&mut self) -> Vec<JoinGroupResponse> {
        let replies = std::mem::take(&mut self.driver.replies).into_iter();
        replies
            .map(|(_, reply)| match reply {
                Reply::JoinGroup(response) => response,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn classic_group(&self) -> &ClassicGroup {
        match self.driver.shard.groups.get(GROUP.as_bytes()) {
            Some(Group::Classic(group)) => group,
            other => panic!("{other:?}"),
        }
    }

    /// A stable classic group: its leader has foo-0 and foo-1, the other member foo-2.
    fn classic_pair(&mut self, mut members: [Classic; 2]) -> [Classic; 2] {
        for member in &mut members {
            if let Some(response) = self.classic_join(&member.join_request(&["foo"])) {
                assert_eq!(member.joined(&response), ErrorCode::MemberIdRequired.code());
                assert!(self.classic_join(&member.join_request(&["foo"])).is_none());
            }
        }
        // The second came while the group waited for it: it waits as long again.
        self.driver.advance(6_000);
        for response in self.joins() {
            // A static member learns its id only now.
            let is_of = |member: &&mut Classic| {
                member.id == *response.member_id
                    || member
                        .instance_id
                        .as_ref()
                        .is_some_and(|id| response.member_id.starts_with(id.as_str()))
            };
            let member = members.iter_mut().find(is_of).unwrap();
            assert_eq!(member.joined(&response), NONE);
        }
        let leader = self.classic_group().leader.clone().unwrap();
        members.sort_by_key(|member| member.id != *leader);
        let assignments = [&[0, 1][..], &[2]].into_iter().zip(&members);
        let assignments = assignments.map(|(partitions, member)| assignment(&member.id, partitions, None));
        let request = members[0].sync_request().with_assignments(assignments.collect());
        let response = self.classic_sync(&request).unwrap();
        assert_eq!(members[0].synced(&response), NONE);
        assert_eq!(members[1].sync(self), NONE);
        members
    }
}

fn assignment(
    member_id: &str,
    partitions: &[i32],
    user_data: Option<&'static [u8]>,
) -> SyncGroupRequestAssignment {
    let topic = Assigned::default().with_topic(TopicName(text("foo"))).with_partitions(partitions.to_vec());
    let assignment = ConsumerProtocolAssignment::default()
        .with_assigned_partitions(vec![topic])
        .with_user_data(user_data.map(Bytes::from_static));
    SyncGroupRequestAssignment::default()
        .with_member_id(text(member_id))
        .with_assignment(consumer_protocol::encode_assignment(&assignment, 3).unwrap())
}

fn leave_heartbeat(member_id: &str) -> ConsumerGroupHeartbeatRequest {
    request(member_id, -1)
}

/// A group of one member of each protocol: the consumer has one or two partitions of `foo`, the classic one the others.
fn mixed(fixture: &mut Fixture) -> (Classic, Consumer) {
    let mut classic = Classic::default();
    let mut consumer = Consumer::join(fixture, "consumer", &["foo"]);
    assert_eq!(classic.join(fixture), ErrorCode::MemberIdRequired.code());
    assert_eq!(classic.join(fixture), NONE);
    assert_eq!(classic.sync(fixture), NONE);
    settle_mixed(fixture, &mut classic, &mut consumer);
    (classic, consumer)
}

fn settle_mixed(fixture: &mut Fixture, classic: &mut Classic, consumer: &mut Consumer) {
    for _ in 0..5 {
        consumer.beat(fixture);
        if classic.heartbeat(fixture) == REBALANCE_IN_PROGRESS {
            assert_eq!((classic.join(fixture), classic.sync(fixture)), (NONE, NONE));
        }
    }
    assert_eq!(fixture.state(), ConsumerGroupState::Stable);
    fixture.check();
}

#[test]
fn a_rolling_bounce_takes_a_group_to_the_consumer_protocol() {
    let mut fixture = Fixture::new();
    let [first, mut second] = fixture.classic_pair([Classic::default(), Classic::default()]);
    let generation = first.generation;

    // The first instance is restarted with the other protocol.
    assert_eq!(first.leave(&mut fixture), NONE);
    assert_eq!(second.heartbeat(&mut fixture), REBALANCE_IN_PROGRESS);
    let mut joined = None;
    let records = fixture.records_of(|fixture| joined = Some(Consumer::join(fixture, "new-1", &["foo"])));
    let kinds: Vec<&str> = records
        .iter()
        .map(|record| match record {
            GroupRecord::GroupMetadata(_, None) => "classic group ends",
            GroupRecord::ConsumerGroupMemberMetadata(..) => "member",
            GroupRecord::ConsumerGroupMetadata(..) => "epoch",
            GroupRecord::ConsumerGroupTargetAssignmentMember(..) => "target",
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(..) => "target epoch",
            GroupRecord::ConsumerGroupCurrentMemberAssignment(..) => "current",
            other => panic!("{other:?}"),
        })
        .collect();
    let converted = ["classic group ends", "member", "epoch", "target", "target epoch", "current"];
    assert_eq!(kinds[..6], converted);
    assert_eq!(kinds[6..], ["member", "epoch", "target", "target epoch", "current"]);
    assert_eq!(fixture.group().classic_members(), 1);
    assert_eq!(fixture.member(&second.id).member_epoch, generation);
    assert_eq!(fixture.group().group_epoch, generation + 1);

    // The second keeps what it has, at the new epoch.
    second.rejoin(&mut fixture);
    let mut consumer = joined.unwrap();
    settle_mixed(&mut fixture, &mut second, &mut consumer);
    assert_eq!(second.generation, generation + 1);
    assert_eq!((&second.assigned, consumer.owned.clone()), (&foo(&[2]), partitions(&[(FOO, &[0, 1])])));

    // It is restarted too.
    assert_eq!(second.leave(&mut fixture), NONE);
    let other = Consumer::join(&mut fixture, "new-2", &["foo"]);
    let mut consumers = [consumer, other];
    settle(&mut fixture, &mut consumers);
    assert_eq!(all_owned(&consumers), partitions(&[(FOO, &[0, 1, 2])]));
    assert_eq!(fixture.group().classic_members(), 0);
}

#[test]
fn those_that_wait_are_told_to_join_the_new_group() {
    let mut fixture = Fixture::new();
    let [mut leader, mut other] = fixture.classic_pair([Classic::default(), Classic::default()]);
    // A join that waits for the other member.
    assert!(fixture.classic_join(&leader.join_request(&["foo"])).is_none());
    let consumer = Consumer::join(&mut fixture, "consumer", &["foo"]);
    let [waited] = &fixture.joins()[..] else { panic!("one join waited") };
    assert_eq!((waited.error_code, waited.member_id.to_string()), (REBALANCE_IN_PROGRESS, leader.id.clone()));
    assert_eq!(consumer.owned, Partitions::new(), "the others have everything");
    assert_eq!(leader.join(&mut fixture), NONE);
    assert_eq!(leader.sync(&mut fixture), NONE);
    other.rejoin(&mut fixture);

    // A sync that waits for the leader.
    let mut fixture = Fixture::new();
    let [leader, other] = fixture.classic_pair([Classic::default(), Classic::default()]);
    assert!(fixture.classic_join(&leader.join_request(&["foo"])).is_none());
    assert!(fixture.classic_join(&other.join_request(&["foo"])).is_some());
    assert_eq!(fixture.joins().len(), 1);
    let waiting = Classic { generation: other.generation + 1, ..other };
    assert!(fixture.classic_sync(&waiting.sync_request()).is_none());
    Consumer::join(&mut fixture, "consumer", &["foo"]);
    match &fixture.driver.replies[..] {
        [(_, Reply::SyncGroup(response))] => assert_eq!(response.error_code, REBALANCE_IN_PROGRESS),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_that_can_not_become_a_consumer_group_stays_as_it_is() {
    let refused = |fixture: &mut Fixture| {
        let records = fixture.driver.log.len();
        let before = fixture.classic_group().clone();
        let response = fixture.driver.turn(|shard, turn| {
            shard.consumer_group_heartbeat(turn, &requester(1), &join("consumer", &["foo"]))
        });
        assert_eq!((fixture.driver.log.len(), fixture.classic_group()), (records, &before));
        assert_eq!(response.error_code, ErrorCode::GroupIdNotFound.code());
        let message = response.error_message.unwrap_or_default().to_string();
        let (start, reason) = message.split_once(" because ").unwrap();
        assert_eq!(start, "Cannot upgrade classic group group to consumer group");
        reason.to_owned()
    };
    for policy in [MigrationPolicy::Disabled, MigrationPolicy::Downgrade] {
        let mut fixture = Fixture::with(|config| config.consumer_migration_policy = policy);
        fixture.classic_pair([Classic::default(), Classic::default()]);
        assert_eq!(refused(&mut fixture), "online upgrade is disabled.");
    }
    let mut fixture = Fixture::with(|config| config.consumer_max_size = 1);
    fixture.classic_pair([Classic::default(), Classic::default()]);
    assert_eq!(refused(&mut fixture), "the group size exceeds the consumer group maximum size.");

    let mut fixture = Fixture::new();
    let connect = Classic::static_member("worker").join_request(&[]).with_protocol_type(text("connect"));
    assert!(fixture.classic_join(&connect).is_none());
    assert_eq!(refused(&mut fixture), "the group does not use the consumer embedded protocol.");

    let mut fixture = Fixture::new();
    let mut malformed = Classic::static_member("one").join_request(&["foo"]);
    malformed.protocols[0].metadata = Bytes::from_static(b"\0\x03\0\0\0\x05");
    assert!(fixture.classic_join(&malformed).is_none());
    assert_eq!(refused(&mut fixture), "the embedded consumer protocol is malformed.");

    let mut fixture = Fixture::new();
    let [leader, other] = fixture.classic_pair([Classic::default(), Classic::default()]);
    assert!(fixture.classic_join(&leader.join_request(&["foo"])).is_none());
    assert!(fixture.classic_join(&other.join_request(&["foo"])).is_some());
    let assignments = vec![assignment(&leader.id, &[0], Some(b"kept by the assignor"))];
    let leader = Classic { generation: leader.generation + 1, ..leader };
    fixture.classic_sync(&leader.sync_request().with_assignments(assignments)).unwrap();
    assert_eq!(
        refused(&mut fixture),
        "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor \
         before re-attempting the upgrade."
    );
}

#[test]
fn the_last_member_of_the_consumer_protocol_leaves_a_classic_group() {
    let mut fixture = Fixture::new();
    let (mut classic, consumer) = mixed(&mut fixture);
    let epoch = fixture.group().group_epoch;
    let left = fixture.driver.turn(|shard, turn| {
        shard.consumer_group_heartbeat(turn, &requester(1), &leave_heartbeat(&consumer.id))
    });
    assert_eq!((left.error_code, left.member_epoch), (NONE, -1));
    assert_eq!((fixture.classic_group().generation, fixture.classic_group().num_members()), (epoch, 1));
    // A broker that is started now finds it stable.
    let reloaded = fixture.driver.reloaded();
    let Some(Group::Classic(loaded)) = reloaded.groups.get(GROUP.as_bytes()) else {
        panic!("{:?}", reloaded.groups)
    };
    assert_eq!(loaded.leader.as_deref(), Some(classic.id.as_str()));

    assert_eq!(classic.heartbeat(&mut fixture), REBALANCE_IN_PROGRESS);
    assert_eq!(classic.join(&mut fixture), NONE);
    assert_eq!(classic.generation, epoch + 1);
    let request = classic.sync_request().with_assignments(vec![assignment(&classic.id, &[0, 1, 2], None)]);
    let response = fixture.classic_sync(&request).unwrap();
    assert_eq!(classic.synced(&response), NONE);
    assert_eq!(classic.assigned, foo(&[0, 1, 2]));
}

#[test]
fn the_last_member_of_the_consumer_protocol_is_fenced() {
    let mut fixture = Fixture::new();
    let (classic, _) = mixed(&mut fixture);
    for _ in 0..5 {
        fixture.driver.advance(9_000);
        classic.heartbeat(&mut fixture);
    }
    assert_eq!(fixture.classic_group().num_members(), 1);
    assert_eq!(classic.heartbeat(&mut fixture), REBALANCE_IN_PROGRESS);
    assert!(fixture.driver.shard.timers.next_deadline().is_some());

    // Its session is that of the classic group now.
    fixture.driver.advance(30_000);
    assert_eq!(fixture.classic_group().num_members(), 0);
}

#[test]
fn a_consumer_group_stays_one_where_that_is_wanted() {
    for policy in [MigrationPolicy::Disabled, MigrationPolicy::Upgrade] {
        let mut fixture = Fixture::with(|config| {
            config.consumer_migration_policy = policy;
            config.consumer_assignment_interval_ms = 0;
        });
        let (mut classic, consumer) = mixed(&mut fixture);
        fixture.beat(&leave_heartbeat(&consumer.id));
        assert_eq!(fixture.group().members.len(), 1);
        // Kafka would not say so before somebody joined.
        classic.rejoin(&mut fixture);
        assert_eq!(classic.assigned, foo(&[0, 1, 2]));
        assert_eq!(classic.heartbeat(&mut fixture), NONE);
        fixture.driver.topics.set("foo", FOO, 4);
        classic.rejoin(&mut fixture);
        assert_eq!(classic.assigned, foo(&[0, 1, 2, 3]));
    }
}

#[test]
fn the_last_static_member_comes_back_with_the_classic_protocol() {
    let mut fixture = Fixture::new();
    let static_join = join("consumer", &["foo"]).with_instance_id(Some(text("one")));
    let mut consumer = Consumer::join_as(&mut fixture, &static_join);
    let mut other = Classic::static_member("two");
    assert_eq!((other.join(&mut fixture), other.sync(&mut fixture)), (NONE, NONE));
    for _ in 0..5 {
        let response = fixture.beat(&consumer.request().with_instance_id(Some(text("one"))));
        consumer.take(&response);
        if other.heartbeat(&mut fixture) == REBALANCE_IN_PROGRESS {
            assert_eq!((other.join(&mut fixture), other.sync(&mut fixture)), (NONE, NONE));
        }
    }
    let epoch = fixture.group().group_epoch;
    fixture.beat(&request("consumer", -2).with_instance_id(Some(text("one"))));

    // Nothing but its protocol is new: nobody has to join again.
    let mut back = Classic::static_member("one");
    assert_eq!(back.join(&mut fixture), NONE);
    assert_eq!(back.generation, epoch);
    assert_eq!((fixture.classic_group().generation, fixture.classic_group().num_members()), (epoch, 2));
    assert_eq!(back.sync(&mut fixture), NONE);
    assert_eq!(back.assigned, foo(&consumer.owned[&FOO]));
    assert_eq!((back.heartbeat(&mut fixture), other.heartbeat(&mut fixture)), (NONE, NONE));
    assert_eq!(fixture.driver.reloaded().groups.len(), 1);

    // With another subscription everyone does.
    let mut fixture = Fixture::new();
    Consumer::join_as(&mut fixture, &static_join);
    assert_eq!((other.id.clear(), other.join(&mut fixture)), ((), NONE));
    fixture.beat(&request("consumer", -2).with_instance_id(Some(text("one"))));
    let back = Classic::static_member("one");
    let response = fixture.classic_join(&back.join_request(&["foo", "bar"])).unwrap();
    assert_eq!(response.error_code, NONE);
    assert_eq!(other.heartbeat(&mut fixture), REBALANCE_IN_PROGRESS);
}

#[test]
fn partitions_go_from_one_protocol_to_the_other_when_they_were_given_up() {
    let mut fixture = Fixture::new();
    let mut consumer = Consumer::join(&mut fixture, "consumer", &["foo"]);
    assert_eq!(consumer.count(), 3);
    let mut classic = Classic::default();
    assert_eq!(classic.join(&mut fixture), ErrorCode::MemberIdRequired.code());
    assert_eq!((classic.join(&mut fixture), classic.sync(&mut fixture)), (NONE, NONE));
    assert_eq!(classic.assigned, [], "the other has everything");
    assert_eq!(classic.heartbeat(&mut fixture), NONE, "and it is waited for");
    consumer.beat(&mut fixture);
    assert_eq!(classic.heartbeat(&mut fixture), NONE);
    consumer.beat(&mut fixture);
    classic.rejoin(&mut fixture);
    assert_eq!(classic.assigned[0].1.len() + consumer.count(), 3);

    // The other way: a classic member is told by its heartbeat, gives up, and says so by joining.
    let mut other = Consumer::join(&mut fixture, "other", &["foo"]);
    let mut third = Consumer::join(&mut fixture, "third", &["foo"]);
    classic.says_owned.clone_from(&classic.assigned);
    for _ in 0..4 {
        for consumer in [&mut consumer, &mut other, &mut third] {
            consumer.beat(&mut fixture);
        }
        if classic.heartbeat(&mut fixture) == REBALANCE_IN_PROGRESS {
            assert_eq!((classic.join(&mut fixture), classic.sync(&mut fixture)), (NONE, NONE));
            classic.says_owned.clone_from(&classic.assigned);
        }
        fixture.check();
    }
    let counts =
        [consumer.count(), other.count(), third.count(), classic.assigned.iter().map(|(_, p)| p.len()).sum()];
    assert_eq!(counts.iter().sum::<usize>(), 3, "{counts:?}");
    assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
}

#[test]
fn a_classic_member_that_does_not_come_is_fenced() {
    // Told to join, it doesn't, though it lives.
    let mut fixture = Fixture::new();
    let (classic, mut consumer) = mixed(&mut fixture);
    fixture.driver.topics.set("foo", FOO, 6);
    consumer.beat(&mut fixture);
    for _ in 0..4 {
        assert_eq!(classic.heartbeat(&mut fixture), REBALANCE_IN_PROGRESS);
        fixture.pass(9_000);
        consumer.beat(&mut fixture);
    }
    assert_eq!(classic.heartbeat(&mut fixture), UNKNOWN_MEMBER_ID);

    // It joins and doesn't sync.
    let mut fixture = Fixture::new();
    let (mut classic, mut consumer) = mixed(&mut fixture);
    assert_eq!(classic.join(&mut fixture), NONE);
    for _ in 0..3 {
        assert_eq!(classic.heartbeat(&mut fixture), NONE);
        fixture.pass(9_000);
        consumer.beat(&mut fixture);
    }
    assert_eq!(classic.heartbeat(&mut fixture), NONE);
    fixture.pass(4_000);
    assert_eq!(classic.heartbeat(&mut fixture), UNKNOWN_MEMBER_ID);

    // It is silent for the session timeout of its own.
    let mut fixture = Fixture::new();
    let (classic, _) = mixed(&mut fixture);
    fixture.pass(9_999);
    assert_eq!(classic.heartbeat(&mut fixture), NONE);
    fixture.pass(10_000);
    assert_eq!(classic.heartbeat(&mut fixture), UNKNOWN_MEMBER_ID);
}

#[test]
fn requests_of_classic_members_are_checked() {
    let mut fixture = Fixture::new();
    let (classic, consumer) = mixed(&mut fixture);
    let stale = Classic { generation: classic.generation - 1, ..classic.clone() };
    assert_eq!(stale.heartbeat(&mut fixture), ILLEGAL_GENERATION);
    assert_eq!(stale.clone().sync(&mut fixture), ILLEGAL_GENERATION);
    let nobody = Classic { id: "nobody".into(), ..classic.clone() };
    assert_eq!(nobody.heartbeat(&mut fixture), UNKNOWN_MEMBER_ID);
    assert_eq!(nobody.leave(&mut fixture), UNKNOWN_MEMBER_ID);
    let instance = Classic { instance_id: Some("nothing".into()), ..classic.clone() };
    assert_eq!(instance.heartbeat(&mut fixture), UNKNOWN_MEMBER_ID);
    assert_eq!(instance.leave(&mut fixture), UNKNOWN_MEMBER_ID);
    let other_protocol =
        Classic { id: consumer.id.clone(), generation: consumer.epoch, ..Classic::default() };
    assert_eq!(
        other_protocol.heartbeat(&mut fixture),
        UNKNOWN_MEMBER_ID,
        "it doesn't speak the classic protocol"
    );

    let inconsistent = ErrorCode::InconsistentGroupProtocol.code();
    let sync = classic.sync_request();
    let as_connect = sync.clone().with_protocol_type(Some(text("connect")));
    assert_eq!(fixture.classic_sync(&as_connect).unwrap().error_code, inconsistent);
    let as_sticky = sync.with_protocol_name(Some(text("sticky")));
    assert_eq!(fixture.classic_sync(&as_sticky).unwrap().error_code, inconsistent);

    let join = Classic::default().join_request(&["foo"]);
    let connect = join.clone().with_protocol_type(text("connect"));
    assert_eq!(fixture.classic_join(&connect).unwrap().error_code, inconsistent);
    let mut sticky = join.clone();
    sticky.protocols[0].name = text("sticky");
    assert_eq!(fixture.classic_join(&sticky).unwrap().error_code, inconsistent);
    let mut malformed = join.clone().with_member_id(text("given"));
    malformed.protocols[0].metadata = Bytes::from_static(b"\0\x03\0\0\0\x05");
    let records = fixture.driver.log.len();
    assert_eq!(fixture.classic_join(&malformed).unwrap().error_code, ErrorCode::UnknownServerError.code());
    assert_eq!(fixture.driver.log.len(), records);

    let mut one = Classic::static_member("one");
    assert_eq!(one.join(&mut fixture), NONE);
    let mut successor = Classic::static_member("one");
    assert_eq!(successor.join(&mut fixture), NONE);
    assert_eq!(one.heartbeat(&mut fixture), ErrorCode::FencedInstanceId.code());
    assert_eq!(one.sync(&mut fixture), ErrorCode::FencedInstanceId.code());
    assert_eq!(one.leave(&mut fixture), ErrorCode::FencedInstanceId.code());
    assert_eq!(Classic { id: String::new(), ..successor }.leave(&mut fixture), NONE);
    fixture.check();
}

#[test]
fn a_full_group_takes_no_classic_member() {
    let mut fixture = Fixture::with(|config| config.consumer_max_size = 1);
    Consumer::join(&mut fixture, "consumer", &["foo"]);
    let refused = fixture.classic_join(&Classic::default().join_request(&["foo"])).unwrap();
    assert_eq!(refused.error_code, ErrorCode::GroupMaxSizeReached.code());
}

#[test]
fn a_group_without_members_is_whatever_the_first_member_speaks() {
    let mut fixture = Fixture::new();
    fixture.beat(&join("consumer", &["foo"]));
    fixture.beat(&leave_heartbeat("consumer"));
    assert!(fixture.group().is_empty());
    // Someone who says that he was here before was not.
    let mut classic = Classic { id: "known".into(), ..Classic::default() };
    assert_eq!(classic.join(&mut fixture), UNKNOWN_MEMBER_ID);
    assert!(fixture.group().is_empty());

    classic.id.clear();
    assert_eq!(classic.join(&mut fixture), ErrorCode::MemberIdRequired.code());
    assert!(fixture.classic_group().is_empty());
    let consumer = Consumer::join(&mut fixture, "again", &["foo"]);
    assert_eq!((consumer.count(), fixture.group().members.len()), (3, 1));

    // The end of the consumer group leaves the one who is about to join where it is.
    fixture.beat(&leave_heartbeat("again"));
    classic.id.clear();
    assert_eq!(classic.join(&mut fixture), ErrorCode::MemberIdRequired.code());
    assert_eq!(fixture.classic_join(&classic.join_request(&["foo"])), None, "it waits for others");
    assert!(!fixture.classic_group().is_empty());
}

#[test]
fn what_a_classic_member_says_has_to_fit_in_a_batch() {
    let mut fixture = Fixture::with(|config| config.max_record_bytes = 5_000);
    let mut consumer = Consumer::join(&mut fixture, "consumer", &["foo"]);
    let mut classic = Classic::static_member("i");
    let topics: Vec<String> = (0..100).map(|n| format!("{}-{n}", "x".repeat(100))).collect();
    let request = classic.join_request(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    let (records, timers) = (fixture.driver.log.len(), fixture.driver.shard.timers.len());
    let response = fixture.classic_join(&request).unwrap();
    assert_eq!(response.error_code, ErrorCode::UnknownServerError.code());
    assert_eq!((fixture.driver.log.len(), fixture.driver.shard.timers.len()), (records, timers));
    consumer.beat(&mut fixture);
    assert_eq!(consumer.count(), 3, "nothing has changed");
    assert_eq!(classic.join(&mut fixture), NONE, "one that fits is taken");
    fixture.check();
}
