//! ConsumerGroupHeartbeat: members join, say that they live and what they own, and leave.

use std::collections::BTreeSet;
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use fluxmq_protocol::messages::consumer_group_heartbeat_response as response;
use fluxmq_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::advance::advance;
use super::check::check_heartbeat;
use super::error::ConsumerGroupError;
use super::group::ConsumerGroup;
use super::member::{ConsumerGroupMember, JOIN_EPOCH, LEAVE_EPOCH, PartitionEpochs, STATIC_LEAVE_EPOCH};
use super::records;
use crate::config::GroupCoordinatorConfig;
use crate::group::{Group, Timer};
use crate::shard::{GroupShard, owned};
use crate::turn::{Requester, Turn};

impl GroupShard {
    /// ConsumerGroupHeartbeat 0–1. A heartbeat that changes nothing leaves no records.
    pub fn consumer_group_heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let first = turn.records.len();
        let answer =
            check_heartbeat(&self.config, request, requester.api_version).and_then(|()| {
                match request.member_epoch {
                    LEAVE_EPOCH | STATIC_LEAVE_EPOCH => self.consumer_group_leave(turn, request),
                    _ => self.consumer_group_join(turn, requester, request),
                }
            });
        answer.unwrap_or_else(|error| {
            turn.records.truncate(first);
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(error.code().code())
                .with_error_message(error.message())
        })
    }

    /// A member joins, or says that it lives.
    fn consumer_group_join(
        &mut self,
        turn: &mut Turn<'_>,
        requester: &Requester,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ConsumerGroupError> {
        let first = turn.records.len();
        let joins = request.member_epoch == JOIN_EPOCH;
        let created;
        let group = match self.groups.get(&request.group_id.0) {
            Some(Group::Consumer(group)) => group,
            Some(Group::Classic(classic)) if joins => {
                created = self.consumer_group_from(turn, classic)?;
                &created
            }
            Some(Group::Classic(_)) => {
                return Err(ConsumerGroupError::NotAConsumerGroup(request.group_id.0.clone()));
            }
            None if joins => {
                created = ConsumerGroup::new(owned(&request.group_id));
                &created
            }
            None => return Err(ConsumerGroupError::ConsumerGroupNotFound(request.group_id.0.clone())),
        };
        check_size(&self.config, group, &request.member_id)?;
        let made;
        let member_id = if request.member_id.is_empty() {
            made = StrBytes::from_string(records::kafka_uuid(requester.fresh_id));
            &made
        } else {
            &request.member_id
        };
        let owns = request.topic_partitions.as_deref();
        let old = match &request.instance_id {
            None => dynamic_member(group, member_id, joins, Some((request.member_epoch, owns)))?,
            Some(instance_id) => {
                let epoch = Some((request.member_epoch, owns));
                static_member(turn, group, member_id, instance_id, joins, epoch)?
            }
        };
        let new = updated(&old, requester, request);
        let advanced = advance(&self.config, turn, group, &old, new, owns)?;
        check_batch(&self.config, &turn.records[first..])?;

        let group_id = group.group_id.clone();
        let member = &advanced.member;
        let session_ms = turn.settings.consumer_session_timeout_ms(&group_id);
        let session_ms = i64::from(session_ms.unwrap_or(self.config.consumer_session_timeout_ms));
        let interval_ms = turn.settings.consumer_heartbeat_interval_ms(&group_id);
        let interval_ms = interval_ms.unwrap_or(self.config.consumer_heartbeat_interval_ms);
        let session = Timer::ConsumerSession(group_id.clone(), member.member_id.clone());
        self.timers.schedule(session, turn.now.monotonic_ms + session_ms);
        self.after_advance(turn, &group_id, &advanced);
        self.leave_classic_group(turn, &group_id);

        let is_full_request = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && owns.is_some();
        let tells_assignment = joins || is_full_request || advanced.assignment_changed;
        Ok(ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(advanced.member.member_id.clone()))
            .with_member_epoch(advanced.member.member_epoch)
            .with_heartbeat_interval_ms(interval_ms)
            .with_assignment(tells_assignment.then(|| assignment(&advanced.member.assigned_partitions))))
    }
}

/// What a request writes has to fit in one batch, as in Kafka.
///
/// # Errors
/// [`ConsumerGroupError::RecordsTooLarge`]
pub(super) fn check_batch(
    config: &GroupCoordinatorConfig,
    left: &[GroupRecord],
) -> Result<(), ConsumerGroupError> {
    let size_bytes: usize = left.iter().map(records::size_bytes).sum();
    if size_bytes > config.max_record_bytes { Err(ConsumerGroupError::RecordsTooLarge) } else { Ok(()) }
}

/// # Errors
/// [`ConsumerGroupError::GroupMaxSizeReached`] if the group is full and the member is a new one.
pub(super) fn check_size(
    config: &GroupCoordinatorConfig,
    group: &ConsumerGroup,
    member_id: &str,
) -> Result<(), ConsumerGroupError> {
    let max_size = config.consumer_max_size;
    let is_full = group.members.len() >= usize::try_from(max_size).unwrap_or(0);
    if is_full && group.member(member_id).is_none() {
        return Err(ConsumerGroupError::GroupMaxSizeReached(max_size));
    }
    Ok(())
}

/// The member with this id, or a new one if it joins. `epoch` is what a member of the consumer protocol says of itself:
/// its epoch, and what it owns.
pub(super) fn dynamic_member(
    group: &ConsumerGroup,
    member_id: &StrBytes,
    joins: bool,
    epoch: Option<(i32, Option<&[TopicPartitions]>)>,
) -> Result<Arc<ConsumerGroupMember>, ConsumerGroupError> {
    let member = match group.members.get(member_id) {
        Some(member) => Arc::clone(member),
        None if joins => Arc::new(ConsumerGroupMember::new(owned(member_id))),
        None => {
            let group_id = group.group_id.clone();
            return Err(ConsumerGroupError::UnknownMember { member_id: member_id.clone(), group_id });
        }
    };
    check_epoch(&member, epoch)?;
    Ok(member)
}

/// The member with this instance id; a new one if it joins, in the place of the one that has the instance id.
pub(super) fn static_member(
    turn: &mut Turn<'_>,
    group: &ConsumerGroup,
    member_id: &StrBytes,
    instance_id: &StrBytes,
    joins: bool,
    epoch: Option<(i32, Option<&[TopicPartitions]>)>,
) -> Result<Arc<ConsumerGroupMember>, ConsumerGroupError> {
    let existing = group.static_member(instance_id);
    if !joins {
        let existing = check_instance(existing, member_id, instance_id)?;
        check_epoch(existing, epoch)?;
        return Ok(Arc::clone(existing));
    }
    let Some(existing) = existing else {
        let known = group.members.get(member_id).cloned();
        return Ok(known.unwrap_or_else(|| Arc::new(ConsumerGroupMember::new(owned(member_id)))));
    };
    let speaks_consumer_protocol = epoch.is_some() && !existing.uses_classic_protocol();
    if speaks_consumer_protocol && existing.member_epoch != STATIC_LEAVE_EPOCH {
        return Err(ConsumerGroupError::UnreleasedInstance {
            member_id: member_id.clone(),
            instance_id: instance_id.clone(),
            owner: existing.member_id.clone(),
        });
    }
    let mut member = ConsumerGroupMember::clone(existing);
    member.member_id = owned(member_id);
    member.member_epoch = JOIN_EPOCH;
    member.previous_member_epoch = JOIN_EPOCH;
    records::replace_member(&mut turn.records, group, existing, &member);
    Ok(Arc::new(member))
}

/// The member that has the instance id, if it is the one that asks.
pub(super) fn check_instance<'a>(
    existing: Option<&'a Arc<ConsumerGroupMember>>,
    member_id: &StrBytes,
    instance_id: &StrBytes,
) -> Result<&'a Arc<ConsumerGroupMember>, ConsumerGroupError> {
    let existing = existing.ok_or_else(|| ConsumerGroupError::UnknownInstance(instance_id.clone()))?;
    if existing.member_id == *member_id {
        return Ok(existing);
    }
    Err(ConsumerGroupError::FencedInstance {
        member_id: member_id.clone(),
        instance_id: instance_id.clone(),
        owner: existing.member_id.clone(),
    })
}

/// Takes the member's epoch; and its previous one, as long as it owns nothing but what it is assigned: the answer that
/// told it the new epoch may have been lost.
fn check_epoch(
    member: &ConsumerGroupMember,
    epoch: Option<(i32, Option<&[TopicPartitions]>)>,
) -> Result<(), ConsumerGroupError> {
    let Some((received, owns)) = epoch.filter(|(received, _)| *received != JOIN_EPOCH) else { return Ok(()) };
    let known = member.member_epoch;
    if received > known {
        return Err(ConsumerGroupError::GreaterMemberEpoch { received, known });
    }
    let may_have_lost_answer =
        || received == member.previous_member_epoch && is_subset(owns, &member.assigned_partitions);
    if received < known && !may_have_lost_answer() {
        return Err(ConsumerGroupError::SmallerMemberEpoch { received, known });
    }
    Ok(())
}

fn is_subset(owns: Option<&[TopicPartitions]>, assigned: &PartitionEpochs) -> bool {
    owns.is_some_and(|owns| {
        owns.iter().all(|topic| {
            let assigned = assigned.get(&topic.topic_id);
            assigned.is_some_and(|assigned| topic.partitions.iter().all(|index| assigned.contains_key(index)))
        })
    })
}

/// The member with what the request says of it; none if that is nothing new.
fn updated(
    member: &ConsumerGroupMember,
    requester: &Requester,
    request: &ConsumerGroupHeartbeatRequest,
) -> Option<ConsumerGroupMember> {
    let differs = |told: &Option<StrBytes>, known: &Option<StrBytes>| told.is_some() && told != known;
    let told_names = request.subscribed_topic_names.as_ref().filter(|told| {
        let known = &member.subscribed_topic_names;
        !told.iter().all(|name| known.contains(&name.0))
            || told.iter().collect::<BTreeSet<_>>().len() != known.len()
    });
    let told_timeout_ms = Some(request.rebalance_timeout_ms)
        .filter(|timeout_ms| *timeout_ms != -1 && *timeout_ms != member.rebalance_timeout_ms);
    let is_same = told_names.is_none()
        && told_timeout_ms.is_none()
        && !differs(&request.instance_id, &member.instance_id)
        && !differs(&request.rack_id, &member.rack_id)
        && !differs(&request.server_assignor, &member.server_assignor_name)
        && !differs(&request.subscribed_topic_regex, &member.subscribed_topic_regex)
        && requester.client_id == member.client_id
        && requester.client_host == member.client_host
        && member.classic_member_metadata.is_none();
    if is_same {
        return None;
    }
    let mut new = member.clone();
    let tell = |known: &mut Option<StrBytes>, told: &Option<StrBytes>| {
        if let Some(told) = told {
            *known = Some(owned(told));
        }
    };
    tell(&mut new.instance_id, &request.instance_id);
    tell(&mut new.rack_id, &request.rack_id);
    tell(&mut new.server_assignor_name, &request.server_assignor);
    tell(&mut new.subscribed_topic_regex, &request.subscribed_topic_regex);
    if let Some(names) = told_names {
        new.subscribed_topic_names = Arc::new(names.iter().map(|name| owned(name)).collect());
    }
    if let Some(timeout_ms) = told_timeout_ms {
        new.rebalance_timeout_ms = timeout_ms;
    }
    new.client_id = owned(&requester.client_id);
    new.client_host = owned(&requester.client_host);
    new.classic_member_metadata = None;
    Some(new)
}

fn assignment(assigned: &PartitionEpochs) -> response::Assignment {
    let topics = assigned.iter().map(|(topic_id, partitions)| {
        response::TopicPartitions::default()
            .with_topic_id(*topic_id)
            .with_partitions(partitions.keys().copied().collect())
    });
    response::Assignment::default().with_topic_partitions(topics.collect())
}
