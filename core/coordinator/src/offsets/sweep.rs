//! Offsets that end without a request for it: expiry (KIP-211) and deleted topics. Both look at all groups, in as many
//! turns as it takes to keep each turn, and the batch that it leaves, small.

use fluxmq_protocol::StrBytes;

use super::{Committed, size_bytes, tombstone};
use crate::group::{OffsetsExpire, Timer};
use crate::shard::{GroupShard, owned};
use crate::turn::Turn;

/// Groups that are still to be looked at. Forgotten when the shard is: the next expiry starts anew, and what is
/// committed for a deleted topic expires too.
#[derive(Debug)]
pub(crate) struct Sweep {
    why: Why,
    groups: Vec<StrBytes>,
}

#[derive(Debug)]
enum Why {
    Expiry,
    TopicsDeleted(Vec<StrBytes>),
}

/// How many offsets one turn looks at.
const OFFSETS_PER_TURN: usize = 10_000;

/// What one turn may still do.
struct Budget {
    offsets: usize,
    bytes: usize,
}

impl GroupShard {
    pub(crate) fn offsets_loaded(&mut self, turn: &mut Turn<'_>) {
        self.schedule_expiry(turn);
    }

    /// Starts to look for offsets that have expired.
    pub(crate) fn expire_offsets(&mut self, turn: &mut Turn<'_>) {
        self.schedule_expiry(turn);
        if !self.offsets.sweeps.iter().any(|sweep| matches!(sweep.why, Why::Expiry)) {
            let groups = self.groups.keys().cloned().collect();
            self.offsets.sweeps.push_back(Sweep { why: Why::Expiry, groups });
        }
        self.sweep_offsets(turn);
    }

    /// Deletes what is committed for topics that are no more, in this turn and, if that is a lot, in those of a timer.
    /// What was committed since for a new topic of the same name stays.
    pub fn topics_deleted(&mut self, turn: &mut Turn<'_>, names: &[StrBytes]) {
        let groups = self.offsets.group_ids().map(|id| StrBytes::from_string(id.to_owned())).collect();
        self.offsets
            .sweeps
            .push_back(Sweep { why: Why::TopicsDeleted(names.iter().map(owned).collect()), groups });
        self.sweep_offsets(turn);
    }

    fn schedule_expiry(&mut self, turn: &Turn<'_>) {
        let interval_ms = self.config.offsets_retention_check_interval_ms;
        self.timers.schedule(Timer::OffsetExpiry, turn.now.monotonic_ms.saturating_add(interval_ms));
    }

    /// Goes on with what was started.
    pub(crate) fn sweep_offsets(&mut self, turn: &mut Turn<'_>) {
        let mut budget = Budget { offsets: OFFSETS_PER_TURN, bytes: self.config.max_record_bytes / 2 };
        let mut sweeps = std::mem::take(&mut self.offsets.sweeps);
        while let Some(sweep) = sweeps.front_mut() {
            while let Some(group_id) = sweep.groups.pop() {
                if !self.sweep_group(turn, &sweep.why, &group_id, &mut budget) {
                    sweep.groups.push(group_id);
                    self.timers.schedule(Timer::OffsetSweep, turn.now.monotonic_ms);
                    self.offsets.sweeps = sweeps;
                    return;
                }
            }
            sweeps.pop_front();
        }
    }

    /// False if the budget ended before the group did.
    fn sweep_group(&self, turn: &mut Turn<'_>, why: &Why, group_id: &StrBytes, budget: &mut Budget) -> bool {
        if budget.offsets == 0 {
            return false;
        }
        match why {
            Why::TopicsDeleted(names) => self.forget_topics(turn, names, group_id, budget),
            Why::Expiry => self.expire_group(turn, group_id, budget),
        }
    }

    fn forget_topics(
        &self,
        turn: &mut Turn<'_>,
        names: &[StrBytes],
        group_id: &StrBytes,
        budget: &mut Budget,
    ) -> bool {
        let (offsets, pending) = (self.offsets.group(group_id), self.offsets.pending(group_id));
        names.iter().all(|name| {
            let lives = turn.topics.by_name(name).map(|(id, _)| id);
            let ended = |committed: &Committed<'_>| Some(committed.topic_id) != lives;
            // A tombstone would take along what an open transaction has committed for the new topic.
            let kept = |partition: i32| {
                pending.is_some_and(|has| !has.commits(name, partition).all(|commit| ended(&commit)))
            };
            let committed = offsets.into_iter().flat_map(|has| has.partitions(name));
            let committed = committed.map(|(partition, has)| (partition, ended(&has) && !kept(partition)));
            let only_pending = self.offsets.only_pending(group_id, name);
            let only_pending = only_pending.map(|partition| (partition, !kept(partition)));
            budget.tombstones(turn, group_id, name, committed.chain(only_pending)).is_some()
        })
    }

    /// The offsets of a group that have expired, and the group if it is empty and has no others. What open transactions
    /// have committed keeps the group, and what was committed before for the same partitions.
    fn expire_group(&self, turn: &mut Turn<'_>, group_id: &StrBytes, budget: &mut Budget) -> bool {
        let Some(group) = self.groups.get(group_id) else { return true };
        let pending = self.offsets.pending(group_id);
        let mut nothing_left = pending.is_none();
        if let Some(offsets) = self.offsets.group(group_id) {
            let Some(expire) = group.offsets_expire() else { return true };
            let (now_ms, retention_ms) = (turn.now.wall_ms, self.config.offsets_retention_ms);
            let expired = |committed: &Committed<'_>| match (committed.expire_timestamp_ms, expire) {
                (Some(at_ms), _) => now_ms >= at_ms,
                (None, OffsetsExpire::SinceCommit) => now_ms - committed.commit_timestamp_ms >= retention_ms,
                (None, OffsetsExpire::Since(start_ms)) => now_ms - start_ms >= retention_ms,
            };
            for topic in offsets.topics() {
                if group.is_subscribed_to_topic(topic) {
                    nothing_left = false;
                    continue;
                }
                let name = StrBytes::from_string(topic.to_owned());
                let is_pending = |partition| pending.is_some_and(|has| has.contains(topic, partition));
                let partitions = offsets.partitions(topic);
                let partitions = partitions
                    .map(|(partition, committed)| (partition, expired(&committed) && !is_pending(partition)));
                match budget.tombstones(turn, group_id, &name, partitions) {
                    Some(all) => nothing_left &= all,
                    None => return false,
                }
            }
        }
        if nothing_left && group.is_empty() {
            group.create_group_tombstones(&mut turn.records);
        }
        true
    }
}

impl Budget {
    /// Tombstones for those partitions of a topic whose offsets have ended. Whether those were all, or none if the
    /// budget ended.
    fn tombstones(
        &mut self,
        turn: &mut Turn<'_>,
        group_id: &StrBytes,
        topic: &StrBytes,
        partitions: impl Iterator<Item = (i32, bool)>,
    ) -> Option<bool> {
        let mut all = true;
        for (partition, ended) in partitions {
            self.offsets = self.offsets.saturating_sub(1);
            if !ended {
                all = false;
                continue;
            }
            if self.bytes == 0 {
                return None;
            }
            let record = tombstone(group_id, topic, partition);
            self.bytes = self.bytes.saturating_sub(size_bytes(&record));
            turn.records.push(record);
        }
        Some(all)
    }
}
