//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup of members of a consumer group that speak the classic protocol
//! (KIP-848, online migration). The member epoch is their generation. The coordinator assigns for them too: JoinGroup is
//! their step to the target assignment, SyncGroup fetches what it led to, and Heartbeat sends them round again.

use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::group_records::{ClassicMemberMetadata, ClassicProtocol};
use fluxmq_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use fluxmq_protocol::messages::leave_group_request::MemberIdentity;
use fluxmq_protocol::messages::leave_group_response::MemberResponse;
use fluxmq_protocol::messages::{
    ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use fluxmq_protocol::{ErrorCode, StrBytes, consumer_protocol};

use super::advance::{Advanced, advance};
use super::downgrade::encoded_assignment;
use super::error::ConsumerGroupError;
use super::group::ConsumerGroup;
use super::heartbeat::{check_batch, check_instance, check_size, dynamic_member, static_member};
use super::member::{ConsumerGroupMember, MemberState};
use super::metadata_hash::metadata_hash;
use super::records::kafka_uuid;
use super::upgrade::rack;
use crate::group::{Group, Timer};
use crate::shard::{GroupShard, owned};
use crate::turn::{Requester, Topics, Turn};

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

/// The first version of JoinGroup in which a member without an id is given one to come back with (KIP-394).
const FIRST_KNOWN_MEMBER_ID_VERSION: i16 = 4;

impl GroupShard {
    /// JoinGroup of a consumer group that has members.
    pub(crate) fn classic_join_to_consumer_group(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &JoinGroupRequest,
    ) -> JoinGroupResponse {
        let first = turn.records.len();
        self.classic_join(turn, requester, request).unwrap_or_else(|code| {
            turn.records.truncate(first);
            JoinGroupResponse::default().with_error_code(code.code())
        })
    }

    fn classic_join(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &JoinGroupRequest,
    ) -> Result<JoinGroupResponse, ErrorCode> {
        let first = turn.records.len();
        let group = self.consumer_group(&request.group_id)?;
        let is_unknown = request.member_id.is_empty();
        let made = StrBytes::from_string(kafka_uuid(requester.fresh_id));
        let member_id = if is_unknown { &made } else { &request.member_id };
        check_size(&self.config, group, member_id).map_err(|error| error.code())?;
        if !supports(group, request) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let instance_id = request.group_instance_id.as_ref();
        if is_unknown && instance_id.is_none() && requester.api_version >= FIRST_KNOWN_MEMBER_ID_VERSION {
            return Ok(JoinGroupResponse::default()
                .with_member_id(member_id.clone())
                .with_error_code(ErrorCode::MemberIdRequired.code()));
        }
        let replaced = instance_id.and_then(|instance_id| group.static_member(instance_id)).cloned();
        let old = match instance_id {
            None => dynamic_member(group, member_id, true, None),
            Some(instance_id) => static_member(turn, group, member_id, instance_id, is_unknown, None),
        };
        let old = old.map_err(|error| error.code())?;
        let subscription = request.protocols.first().map(|protocol| &protocol.metadata);
        let subscription =
            subscription.and_then(|metadata| consumer_protocol::decode_subscription(metadata).ok());
        // Kafka fails here with an IllegalStateException.
        let subscription = subscription.ok_or(ErrorCode::UnknownServerError)?;
        let new = updated(&old, requester, request, &subscription);
        let owns = owned_partitions(&subscription, turn.topics);
        let group_id = group.group_id.clone();
        if let Some(replaced) = replaced
            && let Some((downgrade, member)) =
                self.downgrade_with_replaced(turn, group, &replaced, &new, &owns)
        {
            // What was to put the member in the other's place is deleted with the group.
            turn.records.truncate(first);
            self.downgrade(turn, downgrade);
            return Ok(joined(&member));
        }
        let advanced = advance(&self.config, turn, group, &old, (*old != new).then_some(new), Some(&owns));
        let advanced = advanced.map_err(|error| error.code())?;
        check_batch(&self.config, &turn.records[first..]).map_err(|error| error.code())?;
        self.time_joined_member(turn, &group_id, request, &advanced);
        Ok(joined(&advanced.member))
    }

    fn time_joined_member(
        &mut self,
        turn: &mut Turn<'_>,
        group_id: &StrBytes,
        request: &JoinGroupRequest,
        advanced: &Advanced,
    ) {
        let member_id = &advanced.member.member_id;
        let names = || (group_id.clone(), member_id.clone());
        let at = |timeout_ms: i32| turn.now.monotonic_ms + i64::from(timeout_ms);
        let (session, sync) = (at(request.session_timeout_ms), at(request.rebalance_timeout_ms));
        let (group, member) = names();
        self.timers.cancel(&Timer::ConsumerClassicJoin(group, member));
        let (group, member) = names();
        self.timers.schedule(Timer::ConsumerSession(group, member), session);
        let (group, member) = names();
        self.timers.schedule(Timer::ConsumerClassicSync(group, member), sync);
        self.after_advance(turn, group_id, advanced);
    }

    /// SyncGroup of a consumer group that has members.
    pub(crate) fn classic_sync_to_consumer_group(
        &mut self,
        turn: &mut Turn<'_>,
        request: &SyncGroupRequest,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let group = self.consumer_group(&request.group_id)?;
        let instance_id = request.group_instance_id.as_ref();
        let (member, classic) = classic_member(group, &request.member_id, instance_id)?;
        if member.member_epoch != request.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        let protocol = classic.supported_protocols.first().ok_or(ErrorCode::UnknownServerError)?;
        let other_type =
            request.protocol_type.as_ref().is_some_and(|protocol_type| **protocol_type != *CONSUMER);
        let other_protocol = request.protocol_name.as_ref().is_some_and(|name| *name != protocol.name);
        if other_type || other_protocol {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let names = (group.group_id.clone(), member.member_id.clone());
        if group.assignment_epoch > member.member_epoch && member.state != MemberState::UnrevokedPartitions {
            let rebalance_timeout_ms = member.rebalance_timeout_ms;
            self.expect_join(turn, names, rebalance_timeout_ms);
            return Err(ErrorCode::RebalanceInProgress);
        }
        let assigned = member.assigned_partitions.iter();
        let assigned = assigned.map(|(topic_id, partitions)| (*topic_id, partitions.keys().copied()));
        let assignment = encoded_assignment(turn.topics, assigned, &protocol.metadata);
        let assignment = assignment.ok_or(ErrorCode::UnknownServerError)?;
        let session_ms = turn.now.monotonic_ms + i64::from(classic.session_timeout_ms);
        self.timers.cancel(&Timer::ConsumerClassicSync(names.0.clone(), names.1.clone()));
        self.timers.schedule(Timer::ConsumerSession(names.0, names.1), session_ms);
        Ok(SyncGroupResponse::default()
            .with_protocol_type(request.protocol_type.clone())
            .with_protocol_name(request.protocol_name.clone())
            .with_assignment(assignment))
    }

    /// Heartbeat of a consumer group's member.
    pub(crate) fn classic_heartbeat_to_consumer_group(
        &mut self,
        turn: &mut Turn<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        let group = self.consumer_group(&request.group_id)?;
        let (member, classic) =
            classic_member(group, &request.member_id, request.group_instance_id.as_ref())?;
        if member.member_epoch != request.generation_id {
            return Err(ErrorCode::IllegalGeneration);
        }
        let must_join = self.nobody_else_assigns(turn, group)
            || member.member_epoch < group.assignment_epoch
            || member.state == MemberState::UnrevokedPartitions
            || member.state == MemberState::UnreleasedPartitions && !waits_for_partitions(group, member);
        let names = (group.group_id.clone(), member.member_id.clone());
        let rebalance_timeout_ms = member.rebalance_timeout_ms;
        let session_ms = turn.now.monotonic_ms + i64::from(classic.session_timeout_ms);
        self.timers.schedule(Timer::ConsumerSession(names.0.clone(), names.1.clone()), session_ms);
        if must_join {
            self.expect_join(turn, names, rebalance_timeout_ms);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether the group needs a new target assignment that only a join of a classic member brings. Heartbeats of the
    /// consumer protocol bring one. In a group that has no such member and was not downgraded, Kafka would leave the
    /// partitions of a member that went, or new ones, to nobody until somebody joins.
    fn nobody_else_assigns(&self, turn: &Turn<'_>, group: &ConsumerGroup) -> bool {
        if group.classic_members() < group.members.len() {
            return false;
        }
        group.assignment_epoch < group.group_epoch
            || group.checked.topics_version != Some(turn.topics.version()) && {
                let names = group.subscriptions.topic_names();
                metadata_hash(names, turn.topics, self.config.broker_rack.as_deref()) != group.metadata_hash
            }
    }

    /// Gives a member its rebalance timeout to join again, from when it was first told to.
    fn expect_join(&mut self, turn: &Turn<'_>, names: (StrBytes, StrBytes), rebalance_timeout_ms: i32) {
        let timer = Timer::ConsumerClassicJoin(names.0, names.1);
        if self.timers.deadline(&timer).is_none() {
            self.timers.schedule(timer, turn.now.monotonic_ms + i64::from(rebalance_timeout_ms));
        }
    }

    /// LeaveGroup of members of a consumer group, of either protocol.
    pub(crate) fn classic_leave_to_consumer_group(
        &mut self,
        turn: &mut Turn<'_>,
        group_id: &StrBytes,
        identities: &[MemberIdentity],
    ) -> Vec<MemberResponse> {
        let Ok(group) = self.consumer_group(group_id) else { return Vec::new() };
        let group_id = group.group_id.clone();
        let mut leaving: Vec<Arc<ConsumerGroupMember>> = Vec::new();
        let mut responses = Vec::with_capacity(identities.len());
        for identity in identities {
            let found = match &identity.group_instance_id {
                None => group.members.get(&identity.member_id).ok_or(ErrorCode::UnknownMemberId),
                Some(instance_id) if identity.member_id.is_empty() => {
                    group.static_member(instance_id).ok_or(ErrorCode::UnknownMemberId)
                }
                Some(instance_id) => {
                    let existing = group.static_member(instance_id);
                    check_instance(existing, &identity.member_id, instance_id).map_err(|error| error.code())
                }
            };
            let code = match found {
                Ok(member) if leaving.iter().any(|known| known.member_id == member.member_id) => {
                    ErrorCode::None
                }
                Ok(member) => {
                    leaving.push(Arc::clone(member));
                    ErrorCode::None
                }
                Err(code) => code,
            };
            responses.push(
                MemberResponse::default()
                    .with_member_id(identity.member_id.clone())
                    .with_group_instance_id(identity.group_instance_id.clone())
                    .with_error_code(code.code()),
            );
        }
        self.fence_consumer_group_members(turn, &group_id, &leaving);
        responses
    }

    pub(crate) fn is_consumer_group(&self, group_id: &StrBytes) -> bool {
        matches!(self.groups.get(group_id), Some(Group::Consumer(_)))
    }

    fn consumer_group(&self, group_id: &StrBytes) -> Result<&ConsumerGroup, ErrorCode> {
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => Ok(group),
            _ => Err(ErrorCode::UnknownMemberId),
        }
    }
}

/// The member that asks, if it speaks the classic protocol.
fn classic_member<'a>(
    group: &'a ConsumerGroup,
    member_id: &StrBytes,
    instance_id: Option<&StrBytes>,
) -> Result<(&'a ConsumerGroupMember, &'a ClassicMemberMetadata), ErrorCode> {
    let member = match instance_id {
        None => group.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?,
        Some(instance_id) => check_instance(group.static_member(instance_id), member_id, instance_id)
            .map_err(|error: ConsumerGroupError| error.code())?,
    };
    let classic = member.classic_member_metadata.as_ref().ok_or(ErrorCode::UnknownMemberId)?;
    Ok((member, classic))
}

/// Whether one of the protocols is supported by all members that speak the classic protocol.
fn supports(group: &ConsumerGroup, request: &JoinGroupRequest) -> bool {
    let all = group.classic_members();
    let by_all = |name: &StrBytes| group.classic_protocols().get(name).copied().unwrap_or(0) == all;
    *request.protocol_type == *CONSUMER && request.protocols.iter().any(|protocol| by_all(&protocol.name))
}

/// Whether a partition that the member is to have is still owned by another.
fn waits_for_partitions(group: &ConsumerGroup, member: &ConsumerGroupMember) -> bool {
    let Some(target) = group.target_assignment.get(&member.member_id) else { return false };
    target.iter().any(|(topic_id, partitions)| {
        let has = member.assigned_partitions.get(topic_id);
        partitions.iter().any(|partition| {
            !has.is_some_and(|has| has.contains_key(partition))
                && group.current_partition_epoch(*topic_id, *partition).is_some()
        })
    })
}

/// What a subscription says that its member owns, of topics that exist.
fn owned_partitions(
    subscription: &ConsumerProtocolSubscription,
    topics: &dyn Topics,
) -> Vec<TopicPartitions> {
    let known = subscription.owned_partitions.iter().filter_map(|owned| {
        let (topic_id, _) = topics.by_name(&owned.topic)?;
        Some(TopicPartitions::default().with_topic_id(topic_id).with_partitions(owned.partitions.clone()))
    });
    known.collect()
}

/// The member with what its JoinGroup says of it.
fn updated(
    member: &ConsumerGroupMember,
    requester: &Requester,
    request: &JoinGroupRequest,
    subscription: &ConsumerProtocolSubscription,
) -> ConsumerGroupMember {
    let mut new = member.clone();
    if let Some(instance_id) = &request.group_instance_id {
        new.instance_id = Some(owned(instance_id));
    }
    new.rack_id = rack(subscription).or(new.rack_id);
    if request.rebalance_timeout_ms != -1 {
        new.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    new.subscribed_topic_names = Arc::new(subscription.topics.iter().map(owned).collect());
    new.subscribed_topic_regex = Some(StrBytes::new());
    new.client_id = owned(&requester.client_id);
    new.client_host = owned(&requester.client_host);
    let protocols = request.protocols.iter().map(|protocol| ClassicProtocol {
        name: owned(&protocol.name),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    new.classic_member_metadata = Some(ClassicMemberMetadata {
        session_timeout_ms: request.session_timeout_ms,
        supported_protocols: protocols.collect(),
    });
    new
}

/// The answer to a JoinGroup. Nobody leads: the assignment is the coordinator's.
fn joined(member: &ConsumerGroupMember) -> JoinGroupResponse {
    let classic = member.classic_member_metadata.as_ref();
    let protocol = classic.and_then(|classic| classic.supported_protocols.first());
    JoinGroupResponse::default()
        .with_member_id(member.member_id.clone())
        .with_generation_id(member.member_epoch)
        .with_protocol_type(Some(StrBytes::from_static_str(CONSUMER)))
        .with_protocol_name(protocol.map(|protocol| protocol.name.clone()))
}
