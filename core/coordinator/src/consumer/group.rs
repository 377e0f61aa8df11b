//! The state of a consumer group: what its records say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fluxmq_protocol::StrBytes;
use uuid::Uuid;

use super::member::{ConsumerGroupMember, PartitionEpochs};
use super::subscriptions::{ResolvedRegularExpression, Subscriptions};
use crate::assignors::Assignment;

/// The epoch of a group and of its assignment before any record.
const FIRST_EPOCH: i32 = 1;

/// The state of a group, as ListGroups and ConsumerGroupDescribe show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerGroupState {
    /// It has no members.
    Empty,
    /// Its target assignment is older than its epoch.
    Assigning,
    /// Members are on the way to the target assignment.
    Reconciling,
    /// All members have their target assignment.
    Stable,
}

impl ConsumerGroupState {
    /// Its name in responses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ConsumerGroupState::Empty => "Empty",
            ConsumerGroupState::Assigning => "Assigning",
            ConsumerGroupState::Reconciling => "Reconciling",
            ConsumerGroupState::Stable => "Stable",
        }
    }
}

/// What a turn found out and need not find out again. No record says it, and a group that was loaded doesn't have it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    /// The version of the topics for which the metadata hash is known to hold, or was written.
    pub(crate) topics_version: Option<i64>,
    /// When the regular expressions were resolved last, in monotonic milliseconds, and with which version of the topics.
    pub(crate) regexes: Option<(i64, i64)>,
}

/// A consumer group (KIP-848).
#[derive(Clone, Debug)]
pub struct ConsumerGroup {
    pub(crate) group_id: StrBytes,
    pub(crate) group_epoch: i32,
    pub(crate) metadata_hash: i64,
    /// The group epoch that the target assignment is for.
    pub(crate) assignment_epoch: i32,
    /// When the target assignment was made, in milliseconds since the Unix epoch; 0 if that isn't known.
    pub(crate) assignment_timestamp_ms: i64,
    pub(crate) members: BTreeMap<StrBytes, Arc<ConsumerGroupMember>>,
    /// Member ids by instance id.
    pub(crate) static_members: BTreeMap<StrBytes, StrBytes>,
    pub(crate) target_assignment: BTreeMap<StrBytes, Arc<Assignment>>,
    pub(crate) subscriptions: Subscriptions,
    /// Whether the log has a partition metadata record of the group, which versions before 4.1 wrote.
    pub(crate) has_partition_metadata_record: bool,
    /// How many members ask for each server-side assignor.
    server_assignors: BTreeMap<StrBytes, usize>,
    classic_members: usize,
    /// How many members of the classic protocol support each of its protocols.
    classic_protocols: BTreeMap<StrBytes, usize>,
    /// The epoch of the member that owns a partition, be it that it was told to give it up.
    partition_epochs: HashMap<Uuid, HashMap<i32, i32>>,
    pub(crate) checked: Checked,
}

impl PartialEq for ConsumerGroup {
    /// Compares what records say.
    fn eq(&self, other: &Self) -> bool {
        self.group_id == other.group_id
            && self.group_epoch == other.group_epoch
            && self.metadata_hash == other.metadata_hash
            && self.assignment_epoch == other.assignment_epoch
            && self.assignment_timestamp_ms == other.assignment_timestamp_ms
            && self.members == other.members
            && self.static_members == other.static_members
            && self.target_assignment == other.target_assignment
            && self.subscriptions == other.subscriptions
            && self.has_partition_metadata_record == other.has_partition_metadata_record
            && self.server_assignors == other.server_assignors
            && self.classic_members == other.classic_members
            && self.classic_protocols == other.classic_protocols
            && self.partition_epochs == other.partition_epochs
    }
}

impl ConsumerGroup {
    /// A group of which no record is known.
    pub(crate) fn new(group_id: StrBytes) -> Self {
        ConsumerGroup {
            group_id,
            group_epoch: FIRST_EPOCH,
            metadata_hash: 0,
            assignment_epoch: FIRST_EPOCH,
            assignment_timestamp_ms: 0,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            target_assignment: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            has_partition_metadata_record: false,
            server_assignors: BTreeMap::new(),
            classic_members: 0,
            classic_protocols: BTreeMap::new(),
            partition_epochs: HashMap::new(),
            checked: Checked::default(),
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.group_epoch > self.assignment_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    pub(crate) fn member(&self, member_id: &str) -> Option<&Arc<ConsumerGroupMember>> {
        self.members.get(member_id.as_bytes())
    }

    /// The member that has an instance id.
    pub(crate) fn static_member(&self, instance_id: &str) -> Option<&Arc<ConsumerGroupMember>> {
        self.members.get(self.static_members.get(instance_id.as_bytes())?)
    }

    /// The target assignment of a member; for a static member that comes back under a new id, that of the old one.
    pub(crate) fn target_assignment(
        &self,
        member_id: &str,
        instance_id: Option<&StrBytes>,
    ) -> Arc<Assignment> {
        let owner = match instance_id {
            None => Some(member_id.as_bytes()),
            Some(instance_id) => self.static_members.get(instance_id).map(|id| id.as_bytes()),
        };
        owner.and_then(|id| self.target_assignment.get(id)).cloned().unwrap_or_default()
    }

    /// The epoch of the member that owns the partition, if one does.
    pub(crate) fn current_partition_epoch(&self, topic_id: Uuid, partition: i32) -> Option<i32> {
        self.partition_epochs.get(&topic_id)?.get(&partition).copied()
    }

    /// The assignor that most members ask for, with `new` in place of `old`.
    pub(crate) fn preferred_server_assignor(
        &self,
        old: Option<&ConsumerGroupMember>,
        new: Option<&ConsumerGroupMember>,
    ) -> Option<StrBytes> {
        let name = |member: Option<&ConsumerGroupMember>| {
            member.and_then(|member| member.server_assignor_name.clone())
        };
        let (old, new) = (name(old), name(new));
        let votes = |assignor: &StrBytes| {
            let counted = self.server_assignors.get(assignor).copied().unwrap_or(0);
            counted + usize::from(new.as_ref() == Some(assignor))
                - usize::from(old.as_ref() == Some(assignor))
        };
        self.server_assignors
            .keys()
            .chain(&new)
            .map(|assignor| (votes(assignor), assignor))
            .filter(|(votes, _)| *votes > 0)
            .max_by_key(|(votes, _)| *votes)
            .map(|(_, assignor)| assignor.clone())
    }

    /// How many members speak the classic protocol.
    pub(crate) fn classic_members(&self) -> usize {
        self.classic_members
    }

    /// How many of them support each protocol.
    pub(crate) fn classic_protocols(&self) -> &BTreeMap<StrBytes, usize> {
        &self.classic_protocols
    }

    /// Puts a member in the place of the one with its id.
    pub(super) fn update_member(&mut self, member: ConsumerGroupMember) {
        let member = Arc::new(member);
        let old = self.members.insert(member.member_id.clone(), Arc::clone(&member));
        self.count(old.as_deref(), Some(&member));
        if let Some(old) = &old {
            self.remove_partition_epochs(old);
        }
        self.add_partition_epochs(&member.assigned_partitions, member.member_epoch);
        self.add_partition_epochs(&member.partitions_pending_revocation, member.member_epoch);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.member_id.clone());
        }
    }

    pub(super) fn remove_member(&mut self, member_id: &StrBytes) {
        let Some(old) = self.members.remove(member_id) else { return };
        self.count(Some(&old), None);
        self.remove_partition_epochs(&old);
        if let Some(instance_id) = &old.instance_id
            && self.static_members.get(instance_id) == Some(member_id)
        {
            self.static_members.remove(instance_id);
        }
    }

    pub(super) fn set_resolved(&mut self, regex: &StrBytes, resolved: Option<ResolvedRegularExpression>) {
        self.subscriptions.set_resolved(regex, resolved);
    }

    fn count(&mut self, old: Option<&ConsumerGroupMember>, new: Option<&ConsumerGroupMember>) {
        self.subscriptions.replace_member(old, new);
        if let Some(assignor) = old.and_then(|old| old.server_assignor_name.as_ref()) {
            decrement(&mut self.server_assignors, assignor);
        }
        if let Some(assignor) = new.and_then(|new| new.server_assignor_name.as_ref()) {
            *self.server_assignors.entry(assignor.clone()).or_default() += 1;
        }
        if let Some(classic) = old.and_then(|old| old.classic_member_metadata.as_ref()) {
            self.classic_members -= 1;
            for protocol in &classic.supported_protocols {
                decrement(&mut self.classic_protocols, &protocol.name);
            }
        }
        if let Some(classic) = new.and_then(|new| new.classic_member_metadata.as_ref()) {
            self.classic_members += 1;
            for protocol in &classic.supported_protocols {
                *self.classic_protocols.entry(protocol.name.clone()).or_default() += 1;
            }
        }
    }

    fn add_partition_epochs(&mut self, partitions: &PartitionEpochs, epoch: i32) {
        for (topic_id, partitions) in partitions {
            let epochs = self.partition_epochs.entry(*topic_id).or_default();
            for partition in partitions.keys() {
                // While records are replayed the next owner's may come before the last owner's: the newer one stays.
                epochs.entry(*partition).and_modify(|known| *known = epoch.max(*known)).or_insert(epoch);
            }
        }
    }

    fn remove_partition_epochs(&mut self, member: &ConsumerGroupMember) {
        for (topic_id, partitions) in
            member.assigned_partitions.iter().chain(member.partitions_pending_revocation.iter())
        {
            let Some(epochs) = self.partition_epochs.get_mut(topic_id) else { continue };
            for partition in partitions.keys() {
                if epochs.get(partition) == Some(&member.member_epoch) {
                    epochs.remove(partition);
                }
            }
            if epochs.is_empty() {
                self.partition_epochs.remove(topic_id);
            }
        }
    }
}

fn decrement(counts: &mut BTreeMap<StrBytes, usize>, key: &StrBytes) {
    let count = counts.get_mut(key).expect("what is taken back was counted");
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}
