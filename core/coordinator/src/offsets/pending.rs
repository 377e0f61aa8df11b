//! What open transactions have committed: it waits for the marker that ends its transaction. By partition, since that is
//! how it is asked for. A group without open transactions takes nothing, one whose transactions have ended nothing more.
//!
//! Of two commits for a partition the later one counts, not the one whose transaction ends later. Commits lie in the
//! order of the log, so that needs no offsets of records: whatever lies before a commit that counts is superseded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::store::Committed;

/// What open transactions have committed for the groups of a shard. Nothing in it is ever empty.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PendingOffsets {
    /// By group id.
    groups: BTreeMap<Arc<str>, GroupPending>,
    /// Where the commits of each open transaction are, by producer id.
    transactions: BTreeMap<i64, BTreeSet<Place>>,
}

/// What open transactions have committed for one group.
#[derive(Debug, Default, PartialEq)]
pub struct GroupPending {
    /// By topic and partition. Each transaction has one commit for a partition at most, the latest is the last.
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Vec<PendingCommit>>>,
}

/// A group's partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) group_id: Arc<str>,
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
}

/// What one transaction has committed for one partition.
#[derive(Debug, PartialEq)]
pub(super) struct PendingCommit {
    producer_id: i64,
    /// A later commit counts: this one is only waited for.
    superseded: bool,
    metadata: Box<str>,
    /// Without the metadata.
    bare: Committed<'static>,
}

impl PendingOffsets {
    /// Notes what a transaction commits, in place of what it committed for the partition before.
    pub(super) fn put(
        &mut self,
        producer_id: i64,
        group_id: &str,
        topic: &str,
        partition: i32,
        committed: Committed<'_>,
    ) {
        let group_id = shared_key(&self.groups, group_id);
        let group = self.groups.entry(Arc::clone(&group_id)).or_default();
        let topic = shared_key(&group.topics, topic);
        let partitions = group.topics.entry(Arc::clone(&topic)).or_default();
        // Two transactions for one partition are rare.
        let commits = partitions.entry(partition).or_insert_with(|| Vec::with_capacity(1));
        let places = self.transactions.entry(producer_id).or_default();
        if !places.insert(Place { group_id, topic, partition }) {
            commits.retain(|commit| commit.producer_id != producer_id);
        }
        commits.push(PendingCommit::new(producer_id, committed));
    }

    /// A commit without a transaction counts at once: what was committed for its partition before no longer does.
    pub(super) fn supersede(&mut self, group_id: &str, topic: &str, partition: i32) {
        let group = self.groups.get_mut(group_id);
        if let Some(commits) = group.and_then(|group| group.commits_mut(topic, partition)) {
            commits.iter_mut().for_each(|commit| commit.superseded = true);
        }
    }

    /// Forgets what transactions have committed for a partition; false if none has.
    pub(super) fn remove(&mut self, group_id: &str, topic: &str, partition: i32) -> bool {
        let Some((place, commits)) = self.take(group_id, topic, partition) else { return false };
        for commit in commits {
            let Some(places) = self.transactions.get_mut(&commit.producer_id) else { continue };
            places.remove(&place);
            if places.is_empty() {
                self.transactions.remove(&commit.producer_id);
            }
        }
        true
    }

    /// Ends a transaction. Gives what counts from now on, which is nothing if it was aborted.
    pub(super) fn end(&mut self, producer_id: i64, commit: bool) -> Vec<(Place, PendingCommit)> {
        let places = self.transactions.remove(&producer_id).unwrap_or_default();
        let ended = places.into_iter().filter_map(|place| {
            let pending = self.take_commit(producer_id, &place, commit)?;
            (commit && !pending.superseded).then_some((place, pending))
        });
        ended.collect()
    }

    /// What open transactions have committed for a group, if they have.
    pub(super) fn group(&self, group_id: &str) -> Option<&GroupPending> {
        self.groups.get(group_id)
    }

    pub(super) fn group_ids(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(|id| &**id)
    }

    fn take_commit(&mut self, producer_id: i64, place: &Place, commit: bool) -> Option<PendingCommit> {
        let commits = self.groups.get_mut(&place.group_id)?.commits_mut(&place.topic, place.partition)?;
        let at = commits.iter().position(|commit| commit.producer_id == producer_id)?;
        let taken = commits.remove(at);
        if commit && !taken.superseded {
            commits[..at].iter_mut().for_each(|earlier| earlier.superseded = true);
        }
        if commits.is_empty() {
            self.take(&place.group_id, &place.topic, place.partition);
        }
        Some(taken)
    }

    /// Takes a partition out, and what is empty without it.
    fn take(&mut self, group_id: &str, topic: &str, partition: i32) -> Option<(Place, Vec<PendingCommit>)> {
        let (group_id, _) = self.groups.get_key_value(group_id)?;
        let group_id = Arc::clone(group_id);
        let group = self.groups.get_mut(&group_id)?;
        let (topic, _) = group.topics.get_key_value(topic)?;
        let topic = Arc::clone(topic);
        let partitions = group.topics.get_mut(&topic)?;
        let commits = partitions.remove(&partition)?;
        if partitions.is_empty() {
            group.topics.remove(&topic);
        }
        if group.topics.is_empty() {
            self.groups.remove(&group_id);
        }
        Some((Place { group_id, topic, partition }, commits))
    }
}

impl GroupPending {
    /// Whether an open transaction has committed for the partition.
    #[must_use]
    pub fn contains(&self, topic: &str, partition: i32) -> bool {
        self.topics.get(topic).is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// The names of the topics, in order.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(|topic| &**topic)
    }

    /// The partitions of a topic, in order.
    pub fn partitions(&self, topic: &str) -> impl Iterator<Item = i32> {
        self.topics.get(topic).into_iter().flat_map(|partitions| partitions.keys().copied())
    }

    /// What may yet count for a partition, the earliest first.
    pub fn commits(&self, topic: &str, partition: i32) -> impl Iterator<Item = Committed<'_>> {
        let commits = self.topics.get(topic).and_then(|partitions| partitions.get(&partition));
        let commits = commits.into_iter().flatten().filter(|commit| !commit.superseded);
        commits.map(PendingCommit::committed)
    }

    fn commits_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Vec<PendingCommit>> {
        self.topics.get_mut(topic)?.get_mut(&partition)
    }
}

impl PendingCommit {
    fn new(producer_id: i64, committed: Committed<'_>) -> Self {
        let Committed { offset, leader_epoch, metadata, commit_timestamp_ms, expire_timestamp_ms, topic_id } =
            committed;
        let bare = Committed {
            offset,
            leader_epoch,
            metadata: "",
            commit_timestamp_ms,
            expire_timestamp_ms,
            topic_id,
        };
        PendingCommit { producer_id, superseded: false, metadata: metadata.into(), bare }
    }

    pub(super) fn committed(&self) -> Committed<'_> {
        Committed { metadata: &self.metadata, ..self.bare }
    }
}

/// The map's own copy of a key, or a new one.
fn shared_key<V>(map: &BTreeMap<Arc<str>, V>, key: &str) -> Arc<str> {
    map.get_key_value(key).map_or_else(|| key.into(), |(known, _)| Arc::clone(known))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Committed, PendingOffsets};

    fn at(offset: i64) -> Committed<'static> {
        Committed {
            offset,
            leader_epoch: 2,
            metadata: "note",
            commit_timestamp_ms: 5,
            expire_timestamp_ms: None,
            topic_id: Uuid::from_u128(7),
        }
    }

    /// The group, topic, partition and offset of all that counts once the transaction has ended.
    fn end(pending: &mut PendingOffsets, producer_id: i64, commit: bool) -> Vec<(String, String, i32, i64)> {
        let ended = pending.end(producer_id, commit).into_iter();
        ended
            .map(|(place, pending)| {
                let committed = pending.committed();
                assert_eq!(committed, at(committed.offset));
                (place.group_id.to_string(), place.topic.to_string(), place.partition, committed.offset)
            })
            .collect()
    }

    fn named(group: &str, topic: &str, partition: i32, offset: i64) -> (String, String, i32, i64) {
        (group.to_owned(), topic.to_owned(), partition, offset)
    }

    #[test]
    fn what_a_transaction_committed_last_counts_when_it_ends_and_leaves_nothing() {
        for commit in [true, false] {
            let mut pending = PendingOffsets::default();
            for (producer_id, group, topic, partition, offset) in [
                (1, "g", "t", 0, 5),
                (1, "g", "t", 1, 6),
                (2, "g", "t", 1, 7),
                (1, "h", "u", 0, 8),
                (1, "g", "t", 0, 9),
            ] {
                pending.put(producer_id, group, topic, partition, at(offset));
            }
            let group = pending.group("g").unwrap();
            assert!(group.contains("t", 0) && !group.contains("t", 2) && !group.contains("u", 0));
            assert_eq!(group.topics().collect::<Vec<_>>(), ["t"]);
            assert_eq!(group.partitions("t").collect::<Vec<_>>(), [0, 1]);
            assert_eq!(group.commits("t", 1).map(|commit| commit.offset).collect::<Vec<_>>(), [6, 7]);

            let expected = [named("g", "t", 0, 9), named("g", "t", 1, 6), named("h", "u", 0, 8)];
            let expected = if commit { expected.to_vec() } else { Vec::new() };
            assert_eq!(end(&mut pending, 1, commit), expected);
            assert!(pending.group("h").is_none() && !pending.group("g").unwrap().contains("t", 0));
            assert_eq!(pending.group_ids().collect::<Vec<_>>(), ["g"]);
            assert_eq!(end(&mut pending, 1, commit), [], "a marker that comes again");
            assert_eq!(end(&mut pending, 2, false), []);
            assert_eq!(pending, PendingOffsets::default());
        }
    }

    #[test]
    fn the_later_commit_counts_whichever_transaction_ends_first() {
        // Producers 1 and 2 commit one after the other. Who ends, how, and what counts then.
        type Ends = [(i64, bool, Option<i64>); 2];
        let cases: [Ends; 6] = [
            [(1, true, Some(10)), (2, true, Some(20))],
            [(2, true, Some(20)), (1, true, None)],
            [(2, true, Some(20)), (1, false, None)],
            [(2, false, None), (1, true, Some(10))],
            [(1, false, None), (2, true, Some(20))],
            [(1, true, Some(10)), (2, false, None)],
        ];
        for ends in cases {
            let mut pending = PendingOffsets::default();
            pending.put(1, "g", "t", 0, at(10));
            pending.put(2, "g", "t", 0, at(20));
            for (producer_id, commit, counts) in ends {
                assert!(pending.group("g").unwrap().contains("t", 0));
                let expected: Vec<_> = counts.into_iter().map(|offset| named("g", "t", 0, offset)).collect();
                assert_eq!(end(&mut pending, producer_id, commit), expected, "{ends:?}");
            }
            assert_eq!(pending, PendingOffsets::default());
        }
    }

    #[test]
    fn a_commit_without_a_transaction_supersedes_what_came_before_it() {
        let mut pending = PendingOffsets::default();
        pending.put(1, "g", "t", 0, at(10));
        pending.put(1, "g", "t", 1, at(11));
        pending.put(2, "g", "t", 0, at(20));
        pending.supersede("g", "t", 0);
        pending.supersede("g", "u", 0);
        pending.supersede("h", "t", 0);
        let group = pending.group("g").unwrap();
        assert!(group.contains("t", 0), "it is still waited for");
        assert_eq!(group.commits("t", 0).count(), 0);
        pending.put(2, "g", "t", 0, at(30));
        assert_eq!(end(&mut pending, 1, true), [named("g", "t", 1, 11)]);
        assert_eq!(end(&mut pending, 2, true), [named("g", "t", 0, 30)]);
        assert_eq!(pending, PendingOffsets::default());
    }

    #[test]
    fn what_is_removed_does_not_come_back() {
        let mut pending = PendingOffsets::default();
        pending.put(1, "g", "t", 0, at(10));
        pending.put(2, "g", "t", 0, at(20));
        pending.put(2, "g", "u", 0, at(21));
        assert!(pending.remove("g", "t", 0) && !pending.remove("g", "t", 0));
        assert!(!pending.remove("g", "t", 1) && !pending.remove("h", "t", 0));
        assert_eq!(end(&mut pending, 1, true), []);
        pending.put(2, "g", "t", 0, at(22));
        assert_eq!(end(&mut pending, 2, true), [named("g", "t", 0, 22), named("g", "u", 0, 21)]);
        pending.put(3, "g", "t", 0, at(30));
        assert!(pending.remove("g", "t", 0));
        assert_eq!(pending, PendingOffsets::default());
    }
}
