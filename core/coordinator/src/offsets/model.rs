//! What the offsets of a shard are to be: maps, and a list of what waits for its transaction. For tests.

use std::collections::{BTreeMap, BTreeSet};

pub(super) const RETENTION_MS: i64 = 100_000;
pub(super) const CHECK_INTERVAL_MS: i64 = 10_000;

/// A topic's partition.
pub(super) type Key = (String, i32);

#[derive(Clone, Debug)]
pub(super) struct ModelOffset {
    pub(super) offset: i64,
    pub(super) metadata: String,
    pub(super) committed_at_ms: i64,
    pub(super) expires_at_ms: Option<i64>,
    /// Where its record lies in the log.
    pub(super) at: usize,
}

#[derive(Debug)]
pub(super) struct ModelPending {
    pub(super) producer_id: i64,
    pub(super) group: String,
    pub(super) key: Key,
    pub(super) offset: ModelOffset,
}

/// Simple groups: nobody ever joins.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) groups: BTreeMap<String, BTreeMap<Key, ModelOffset>>,
    pub(super) pending: Vec<ModelPending>,
    pub(super) topics: BTreeSet<String>,
    pub(super) next_check_ms: i64,
}

impl Model {
    /// In place of what the transaction committed for the partition before.
    pub(super) fn txn_commit(&mut self, commit: ModelPending) {
        self.groups.entry(commit.group.clone()).or_default();
        self.pending.retain(|has| {
            (has.producer_id, &has.group, &has.key) != (commit.producer_id, &commit.group, &commit.key)
        });
        self.pending.push(commit);
    }

    /// As Kafka has it: an offset counts unless one counts already whose record lies behind.
    pub(super) fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        let ended: Vec<_> = self.pending.extract_if(.., |has| has.producer_id == producer_id).collect();
        for has in ended.into_iter().filter(|_| commit) {
            let offsets = self.groups.get_mut(&has.group).expect("an open transaction keeps its group");
            if offsets.get(&has.key).is_none_or(|known| known.at < has.offset.at) {
                offsets.insert(has.key, has.offset);
            }
        }
    }

    pub(super) fn is_pending(&self, group: &str, key: &Key) -> bool {
        self.pending.iter().any(|has| has.group == group && has.key == *key)
    }

    pub(super) fn delete(&mut self, group: &str, key: &Key) {
        self.pending.retain(|has| has.group != group || has.key != *key);
        self.groups.get_mut(group).and_then(|offsets| offsets.remove(key));
    }

    /// False if it isn't there.
    pub(super) fn delete_group(&mut self, group: &str) -> bool {
        self.pending.retain(|has| has.group != group);
        self.groups.remove(group).is_some()
    }

    pub(super) fn delete_topic(&mut self, topic: &str) {
        self.topics.remove(topic);
        self.pending.retain(|has| has.key.0 != topic);
        for offsets in self.groups.values_mut() {
            offsets.retain(|(name, _), _| name != topic);
        }
    }

    pub(super) fn wait_until(&mut self, now_ms: i64) {
        while self.next_check_ms <= now_ms {
            self.check_expiry(self.next_check_ms);
            self.next_check_ms += CHECK_INTERVAL_MS;
        }
    }

    fn check_expiry(&mut self, now_ms: i64) {
        let Model { groups, pending, .. } = self;
        groups.retain(|group, offsets| {
            let keys = pending.iter().filter(|has| has.group == *group).map(|has| &has.key);
            let pending: BTreeSet<_> = keys.collect();
            offsets.retain(|key, offset| match offset.expires_at_ms {
                _ if pending.contains(key) => true,
                Some(at_ms) => now_ms < at_ms,
                None => now_ms - offset.committed_at_ms < RETENTION_MS,
            });
            !offsets.is_empty() || !pending.is_empty()
        });
    }
}
