//! A classic group: its members, who leads them, and which protocols they have in common.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fluxmq_protocol::messages::JoinGroupResponse;
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::java_order::java_hash_bucket;
use super::member::{ClassicGroupMember, JoinWaiter, Protocol};
use super::subscription;
use crate::turn::Token;

/// Where a classic group is in its rebalance. Kafka has `Dead` too, for groups that are about to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassicGroupState {
    /// No members.
    Empty,
    /// Members are asked to join again.
    PreparingRebalance,
    /// Members have joined; the leader's assignment is waited for.
    CompletingRebalance,
    /// Members have their assignments.
    Stable,
}

impl ClassicGroupState {
    /// As DescribeGroups and ListGroups write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClassicGroupState::Empty => "Empty",
            ClassicGroupState::PreparingRebalance => "PreparingRebalance",
            ClassicGroupState::CompletingRebalance => "CompletingRebalance",
            ClassicGroupState::Stable => "Stable",
        }
    }
}

/// The first rebalance of an empty group: it waits for more members (`group.initial.rebalance.delay.ms`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialRebalance {
    /// How long it waits at present.
    pub(super) delay_ms: i32,
    /// How much longer it may wait after that, if members keep coming.
    pub(super) remaining_ms: i32,
    /// One came while it waited.
    pub(super) member_added: bool,
}

/// A group whose leader assigns; also a group that only commits offsets.
///
/// What its record says (generation, protocol, leader, members and their assignments) is made so by the replay of that
/// record. While the group is in a rebalance it is ahead of its record: nothing of that outlives a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicGroup {
    pub(crate) group_id: StrBytes,
    pub(crate) state: ClassicGroupState,
    /// Since when it is in that state, in milliseconds since the Unix epoch.
    pub(crate) state_timestamp_ms: Option<i64>,
    /// `consumer` for consumers; none for a group that never had members.
    pub(crate) protocol_type: Option<StrBytes>,
    /// The protocol of this generation.
    pub(crate) protocol_name: Option<StrBytes>,
    pub(crate) generation: i32,
    pub(crate) leader: Option<StrBytes>,
    /// In the order of their ids, so that what depends on an order is the same after a load.
    pub(super) members: BTreeMap<StrBytes, ClassicGroupMember>,
    /// Member ids by instance id.
    pub(super) static_members: HashMap<StrBytes, StrBytes>,
    /// By how many members each protocol is supported.
    protocol_counts: HashMap<StrBytes, usize>,
    /// How many members' joins wait.
    awaiting_join: usize,
    /// The topics that the members of this generation read; none where that is not known.
    pub(super) subscribed_topics: Option<HashSet<StrBytes>>,
    /// Member ids that were given out and not used yet (KIP-394).
    pub(super) pending_join: BTreeSet<StrBytes>,
    /// Members of this generation that have not asked for their assignment yet.
    pub(super) pending_sync: BTreeSet<StrBytes>,
    /// While the group prepares its first rebalance after being empty.
    pub(super) initial: Option<InitialRebalance>,
}

impl ClassicGroup {
    /// A group that never had members, as offsets that somebody commits without being a member make it. No record says
    /// that there is one: its offsets do.
    pub(crate) fn new(group_id: StrBytes) -> Self {
        ClassicGroup {
            group_id,
            state: ClassicGroupState::Empty,
            state_timestamp_ms: None,
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            protocol_counts: HashMap::new(),
            awaiting_join: 0,
            subscribed_topics: None,
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            initial: None,
        }
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> ClassicGroupState {
        self.state
    }

    /// Its state, as DescribeGroups and ListGroups write it.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        self.state.name()
    }

    /// The protocol type of its members, or of the last it had; none for a group that never had any.
    #[must_use]
    pub fn protocol_type(&self) -> Option<&StrBytes> {
        self.protocol_type.as_ref()
    }

    /// Whether it is in the state Empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state == ClassicGroupState::Empty
    }

    /// How many members it has, those not counted that were only given an id.
    #[must_use]
    pub fn num_members(&self) -> usize {
        self.members.len()
    }

    /// Its members, in the order of their ids.
    pub(crate) fn members(&self) -> impl Iterator<Item = &ClassicGroupMember> {
        self.members.values()
    }

    pub(super) fn is_leader(&self, member_id: &StrBytes) -> bool {
        self.leader.as_ref() == Some(member_id)
    }

    /// Whether the members' metadata is Kafka's consumer protocol.
    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }

    /// Whether somebody was given an id to come back with; no record tells of that.
    pub(crate) fn has_pending_joins(&self) -> bool {
        !self.pending_join.is_empty()
    }

    pub(super) fn has_all_members_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    pub(super) fn transition_to(&mut self, state: ClassicGroupState, wall_ms: i64) {
        self.state = state;
        self.state_timestamp_ms = Some(wall_ms);
    }

    /// The longest of the members' rebalance timeouts.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).fold(0, i32::max)
    }

    /// Whether a member with this id takes part.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`; `FENCED_INSTANCE_ID` if the instance id is another member's by now (KIP-345).
    pub(super) fn validate_member(
        &self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(existing) if existing != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.members.contains_key(member_id).then_some(()).ok_or(ErrorCode::UnknownMemberId)
    }

    /// Whether one that joins is let in, were it for the group's size. In a rebalance those keep their places who have
    /// joined already.
    pub(super) fn accepts_joining_member(&self, member_id: &StrBytes, max_size: usize) -> bool {
        match self.state {
            ClassicGroupState::Empty => true,
            ClassicGroupState::PreparingRebalance => {
                let member = self.members.get(member_id);
                member.is_some_and(|member| member.awaiting_join.is_some()) || self.awaiting_join < max_size
            }
            ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable => {
                self.members.contains_key(member_id) || self.members.len() < max_size
            }
        }
    }

    /// Whether one with these protocols can take part: a group that has members needs one that all of them support.
    pub(super) fn supports_protocols(
        &self,
        protocol_type: &StrBytes,
        requested: &[JoinGroupRequestProtocol],
    ) -> bool {
        if self.is_empty() {
            return !protocol_type.is_empty() && !requested.is_empty();
        }
        let all = self.members.len();
        self.protocol_type.as_ref() == Some(protocol_type)
            && requested
                .iter()
                .any(|protocol| self.protocol_counts.get(&protocol.name).copied().unwrap_or(0) == all)
    }

    /// Adds a member, in place of one with the same instance id. The first member decides on the protocol type, and
    /// leads.
    pub(crate) fn add(&mut self, protocol_type: &StrBytes, member: ClassicGroupMember) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.member_id.clone());
        }
        self.pending_join.remove(&member.member_id);
        let same_instance = member.instance_id.as_ref().and_then(|id| self.static_members.get(id)).cloned();
        if let Some(replaced) = same_instance {
            self.take(&replaced);
        }
        self.put(member);
    }

    /// Takes a member or a pending one out. Another leads if it led. What waits of it is for the caller to answer.
    pub(super) fn remove(&mut self, member_id: &StrBytes) -> Option<ClassicGroupMember> {
        let removed = self.take(member_id);
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_join.remove(member_id);
        self.pending_sync.remove(member_id);
        removed
    }

    /// Puts a static member in the place of the one that had its instance id. What waits of that one is for the caller
    /// to answer.
    pub(super) fn replace_static(
        &mut self,
        old_member_id: &StrBytes,
        new: ClassicGroupMember,
    ) -> Option<ClassicGroupMember> {
        let old = self.take(old_member_id);
        if self.is_leader(old_member_id) {
            self.leader = Some(new.member_id.clone());
        }
        self.put(new);
        old
    }

    /// Changes what a member said when it joined before. Gives the join that waited until now.
    pub(super) fn update_member(
        &mut self,
        member_id: &StrBytes,
        requested: &[JoinGroupRequestProtocol],
        timeouts: (i32, i32),
        waiter: JoinWaiter,
    ) -> Option<JoinWaiter> {
        let mut member = self.take(member_id)?;
        if !member.matches(requested) {
            member.protocols = Protocol::copied(requested);
        }
        (member.rebalance_timeout_ms, member.session_timeout_ms) = timeouts;
        let superseded = member.awaiting_join.replace(waiter);
        self.put(member);
        superseded
    }

    pub(super) fn take_awaiting_join(&mut self, member_id: &StrBytes) -> Option<JoinWaiter> {
        let waiter = self.members.get_mut(member_id)?.awaiting_join.take()?;
        self.awaiting_join -= 1;
        Some(waiter)
    }

    pub(super) fn take_awaiting_sync(&mut self, member_id: &StrBytes) -> Option<Token> {
        self.members.get_mut(member_id)?.awaiting_sync.take()
    }

    pub(super) fn put(&mut self, member: ClassicGroupMember) {
        for name in distinct_names(&member) {
            *self.protocol_counts.entry(name.clone()).or_default() += 1;
        }
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.member_id.clone());
        }
        self.members.insert(member.member_id.clone(), member);
    }

    pub(super) fn take(&mut self, member_id: &StrBytes) -> Option<ClassicGroupMember> {
        let member = self.members.remove(member_id)?;
        for name in distinct_names(&member) {
            if let Some(count) = self.protocol_counts.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.protocol_counts.remove(name);
                }
            }
        }
        self.awaiting_join -= usize::from(member.awaiting_join.is_some());
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        Some(member)
    }

    /// Lets one lead that has joined, if the leader has not. False if nobody has.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let joined =
            |id: &StrBytes| self.members.get(id).is_some_and(|member| member.awaiting_join.is_some());
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        let elected = self.members.values().find(|member| member.awaiting_join.is_some());
        let elected = elected.map(|member| member.member_id.clone());
        let found = elected.is_some();
        self.leader = elected.or(self.leader.take());
        found
    }

    /// The protocol with the most votes: a member votes for the first of its own that all members support.
    pub(crate) fn select_protocol(&self) -> Option<StrBytes> {
        let all = self.members.len();
        let is_candidate = |name: &StrBytes| self.protocol_counts.get(name) == Some(&all);
        let mut votes = BTreeMap::<&StrBytes, usize>::new();
        for member in self.members.values() {
            let choice = member.protocols.iter().find(|protocol| is_candidate(&protocol.name));
            if let Some(choice) = choice {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        // Kafka counts in a hash map and takes the first of those with most votes: the order of that map decides a draw.
        let mut votes: Vec<_> = votes.into_iter().collect();
        votes.sort_by_key(|(name, votes)| (std::cmp::Reverse(*votes), java_hash_bucket(name)));
        votes.first().map(|(name, _)| (*name).clone())
    }

    /// Those that have joined are the members of a new generation.
    pub(super) fn start_generation(&mut self, wall_ms: i64) {
        self.generation = self.generation.wrapping_add(1);
        self.protocol_name = self.select_protocol();
        self.compute_subscribed_topics();
        self.transition_to(ClassicGroupState::CompletingRebalance, wall_ms);
        self.pending_sync.clear();
        self.initial = None;
    }

    /// The answer to a JoinGroup of a member of this generation. The leader is told who the others are.
    pub(super) fn join_response(&self, member_id: &StrBytes) -> JoinGroupResponse {
        let protocol = self.protocol_name.as_ref();
        let members = match self.is_leader(member_id) {
            true => self.members().map(|member| member.to_response(protocol)).collect(),
            false => Vec::new(),
        };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.clone())
            .with_protocol_name(self.protocol_name.clone())
            .with_leader(self.leader.clone().unwrap_or_default())
            .with_member_id(member_id.clone())
            .with_members(members)
    }

    /// Finds out which topics the members read, from what they said for the group's protocol.
    pub(crate) fn compute_subscribed_topics(&mut self) {
        self.subscribed_topics = self.readable_topics();
    }

    fn readable_topics(&self) -> Option<HashSet<StrBytes>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut all = HashSet::new();
        if !self.members.is_empty() {
            let protocol = self.protocol_name.as_ref()?;
            for member in self.members.values() {
                subscription::add_topics(&member.metadata(Some(protocol)), &mut all)?;
            }
        }
        Some(all)
    }
}

/// A member that names a protocol twice supports it once.
fn distinct_names(member: &ClassicGroupMember) -> HashSet<&StrBytes> {
    member.protocols.iter().map(|protocol| &protocol.name).collect()
}
