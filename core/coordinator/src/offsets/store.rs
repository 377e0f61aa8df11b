//! The committed offsets in memory, laid out for many groups with many partitions each: 32 bytes for an offset without
//! metadata, in one array for each topic of a group, and topic names once for all groups.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::pending::{GroupPending, PendingOffsets};
use super::sweep::Sweep;

/// What was committed for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed<'a> {
    /// The next offset that the group wants to read.
    pub offset: i64,
    /// The leader epoch of the record before that, -1 if the client didn't say.
    pub leader_epoch: i32,
    /// What the client added.
    pub metadata: &'a str,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub commit_timestamp_ms: i64,
    /// When it expires, if the commit itself said so (OffsetCommit before version 5).
    pub expire_timestamp_ms: Option<i64>,
    /// The topic's id at the commit, nil if it wasn't known.
    pub topic_id: Uuid,
}

/// The committed offsets of a shard's groups.
#[derive(Default)]
pub struct Offsets {
    groups: HashMap<Box<str>, GroupOffsets>,
    topic_names: HashSet<Arc<str>>,
    count: usize,
    /// What waits for its transaction to end.
    pending: PendingOffsets,
    /// What is under way to end some of them.
    pub(super) sweeps: VecDeque<Sweep>,
}

/// The committed offsets of one group.
#[derive(Debug, Default, PartialEq)]
pub struct GroupOffsets {
    /// By name.
    topics: Vec<TopicOffsets>,
}

/// The committed offsets of one group in one topic.
#[derive(Debug)]
struct TopicOffsets {
    name: Arc<str>,
    /// The id that came with the first of them.
    id: Uuid,
    /// By partition.
    partitions: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    partition: i32,
    leader_epoch: i32,
    offset: i64,
    commit_timestamp_ms: i64,
    seldom: Option<Box<Seldom>>,
}

/// What most commits don't have.
#[derive(Debug)]
struct Seldom {
    metadata: Box<str>,
    expire_timestamp_ms: Option<i64>,
    /// Differs from that of the topic when the topic was created again.
    topic_id: Uuid,
}

impl Offsets {
    /// Sets what is committed for a partition, by a commit without a transaction.
    pub fn put(&mut self, group_id: &str, topic: &str, partition: i32, committed: Committed<'_>) {
        self.pending.supersede(group_id, topic, partition);
        self.set(group_id, topic, partition, committed);
    }

    /// Notes what a transaction commits for a partition. It counts once the transaction has ended well.
    pub fn put_pending(
        &mut self,
        producer_id: i64,
        group_id: &str,
        topic: &str,
        partition: i32,
        committed: Committed<'_>,
    ) {
        self.pending.put(producer_id, group_id, topic, partition, committed);
    }

    /// Ends a transaction: what it has committed is set, unless a later commit was, or forgotten if it was aborted.
    pub fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        for (place, pending) in self.pending.end(producer_id, commit) {
            self.set(&place.group_id, &place.topic, place.partition, pending.committed());
        }
    }

    fn set(&mut self, group_id: &str, topic: &str, partition: i32, committed: Committed<'_>) {
        let group = match self.groups.get_mut(group_id) {
            Some(group) => group,
            None => self.groups.entry(group_id.into()).or_default(),
        };
        let topic = match group.search(topic) {
            Ok(at) => &mut group.topics[at],
            Err(at) => {
                let name = shared(&mut self.topic_names, topic);
                let new = TopicOffsets { name, id: committed.topic_id, partitions: Vec::new() };
                insert(&mut group.topics, at, new);
                &mut group.topics[at]
            }
        };
        let slot = Slot::new(topic.id, partition, committed);
        match topic.search(partition) {
            Ok(at) => topic.partitions[at] = slot,
            Err(at) => {
                insert(&mut topic.partitions, at, slot);
                self.count += 1;
            }
        }
    }

    /// Forgets what is committed for a partition, in open transactions too; false if nothing was.
    pub fn remove(&mut self, group_id: &str, topic: &str, partition: i32) -> bool {
        let was_pending = self.pending.remove(group_id, topic, partition);
        self.unset(group_id, topic, partition) || was_pending
    }

    fn unset(&mut self, group_id: &str, topic: &str, partition: i32) -> bool {
        let Some(group) = self.groups.get_mut(group_id) else { return false };
        let Ok(topic_at) = group.search(topic) else { return false };
        let partitions = &mut group.topics[topic_at].partitions;
        let Ok(at) = partitions.binary_search_by_key(&partition, |slot| slot.partition) else { return false };
        partitions.remove(at);
        self.count -= 1;
        if partitions.len() < partitions.capacity() / 4 {
            partitions.shrink_to(partitions.len() * 2);
        }
        if partitions.is_empty() {
            let removed = group.topics.remove(topic_at);
            // One owner is the set, the other the topic just taken out: no group has the name any more.
            if Arc::strong_count(&removed.name) == 2 {
                self.topic_names.remove(&*removed.name);
            }
            if group.topics.is_empty() {
                self.groups.remove(group_id);
            }
        }
        true
    }

    /// The offsets of a group, if it has any.
    #[must_use]
    pub fn group(&self, group_id: &str) -> Option<&GroupOffsets> {
        self.groups.get(group_id)
    }

    /// What open transactions have committed for a group, if any has.
    #[must_use]
    pub fn pending(&self, group_id: &str) -> Option<&GroupPending> {
        self.pending.group(group_id)
    }

    /// The partitions of a topic for which nothing but open transactions has committed, in order.
    pub fn only_pending<'a>(&'a self, group_id: &str, topic: &'a str) -> impl Iterator<Item = i32> + 'a {
        let (offsets, pending) = (self.group(group_id), self.pending(group_id));
        let partitions = pending.into_iter().flat_map(move |has| has.partitions(topic));
        partitions.filter(move |partition| offsets.is_none_or(|has| has.get(topic, *partition).is_none()))
    }

    /// The ids of the groups that have offsets, or may have when transactions end, in no order.
    pub fn group_ids(&self) -> impl Iterator<Item = &str> {
        let only_pending = self.pending.group_ids().filter(|id| !self.groups.contains_key(*id));
        self.groups.keys().map(|id| &**id).chain(only_pending)
    }

    /// How many offsets there are, of all groups, those not counted whose transactions are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no group has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl GroupOffsets {
    /// What is committed for a partition.
    #[must_use]
    pub fn get(&self, topic: &str, partition: i32) -> Option<Committed<'_>> {
        let topic = &self.topics[self.search(topic).ok()?];
        Some(topic.partitions[topic.search(partition).ok()?].committed(topic.id))
    }

    /// The names of the topics, in order.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(|topic| &*topic.name)
    }

    /// The partitions of a topic with what is committed for them, in order.
    pub fn partitions(&self, topic: &str) -> impl Iterator<Item = (i32, Committed<'_>)> {
        self.search(topic).ok().into_iter().flat_map(|at| self.topics[at].committed())
    }

    /// How many offsets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.iter().map(|topic| topic.partitions.len()).sum()
    }

    /// Never: a group without offsets is not kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    fn search(&self, topic: &str) -> Result<usize, usize> {
        self.topics.binary_search_by(|has| (*has.name).cmp(topic))
    }
}

impl TopicOffsets {
    fn committed(&self) -> impl Iterator<Item = (i32, Committed<'_>)> {
        self.partitions.iter().map(|slot| (slot.partition, slot.committed(self.id)))
    }

    fn search(&self, partition: i32) -> Result<usize, usize> {
        self.partitions.binary_search_by_key(&partition, |slot| slot.partition)
    }
}

impl Slot {
    fn new(topic_id: Uuid, partition: i32, committed: Committed<'_>) -> Self {
        let Committed { offset, leader_epoch, metadata, commit_timestamp_ms, expire_timestamp_ms, .. } =
            committed;
        let plain = metadata.is_empty() && expire_timestamp_ms.is_none() && committed.topic_id == topic_id;
        let seldom = (!plain).then(|| {
            Box::new(Seldom { metadata: metadata.into(), expire_timestamp_ms, topic_id: committed.topic_id })
        });
        Slot { partition, leader_epoch, offset, commit_timestamp_ms, seldom }
    }

    fn committed(&self, topic_id: Uuid) -> Committed<'_> {
        let (metadata, expire_timestamp_ms, topic_id) = match &self.seldom {
            Some(seldom) => (&*seldom.metadata, seldom.expire_timestamp_ms, seldom.topic_id),
            None => ("", None, topic_id),
        };
        Committed {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata,
            commit_timestamp_ms: self.commit_timestamp_ms,
            expire_timestamp_ms,
            topic_id,
        }
    }
}

/// Inserts into a vector that grows by a quarter, where it would double: most groups commit to the same partitions for
/// ever.
fn insert<T>(vector: &mut Vec<T>, at: usize, element: T) {
    if vector.len() == vector.capacity() {
        vector.reserve_exact(vector.len() / 4 + 1);
    }
    vector.insert(at, element);
}

/// The one copy of a topic's name.
fn shared(names: &mut HashSet<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return Arc::clone(known);
    }
    let new: Arc<str> = name.into();
    names.insert(Arc::clone(&new));
    new
}

impl PartialEq for TopicOffsets {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.committed().eq(other.committed())
    }
}

impl PartialEq for Offsets {
    fn eq(&self, other: &Self) -> bool {
        self.groups == other.groups && self.pending == other.pending
    }
}

impl fmt::Debug for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offsets").field("groups", &self.groups).field("pending", &self.pending).finish()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Committed, Offsets, Slot};

    fn at(offset: i64) -> Committed<'static> {
        Committed {
            offset,
            leader_epoch: -1,
            metadata: "",
            commit_timestamp_ms: 1,
            expire_timestamp_ms: None,
            topic_id: Uuid::nil(),
        }
    }

    #[test]
    fn what_is_put_is_found_until_it_is_removed() {
        let mut offsets = Offsets::default();
        let full = Committed {
            offset: 7,
            leader_epoch: 3,
            metadata: "note",
            commit_timestamp_ms: 5,
            expire_timestamp_ms: Some(9),
            topic_id: Uuid::from_u128(2),
        };
        for (group, topic, partition, committed) in [
            ("g", "t", 1, at(1)),
            ("g", "t", 0, full),
            ("g", "a", 4, at(2)),
            ("h", "t", 0, at(3)),
            ("g", "t", 1, at(4)),
        ] {
            offsets.put(group, topic, partition, committed);
        }
        assert_eq!((offsets.len(), offsets.topic_names.len()), (4, 2));
        let group = offsets.group("g").unwrap();
        assert_eq!(group.topics().collect::<Vec<_>>(), ["a", "t"]);
        assert_eq!(group.partitions("t").collect::<Vec<_>>(), [(0, full), (1, at(4))]);
        assert_eq!((group.get("t", 2), group.get("x", 0), group.len()), (None, None, 3));

        assert!(offsets.remove("g", "t", 0) && !offsets.remove("g", "t", 0));
        assert!(!offsets.remove("g", "x", 0) && !offsets.remove("x", "t", 0));
        assert!(offsets.remove("g", "a", 4));
        assert_eq!(offsets.topic_names.len(), 1, "no group has the topic");
        assert!(offsets.remove("g", "t", 1) && offsets.remove("h", "t", 0));
        assert!(offsets.is_empty() && offsets.group("g").is_none() && offsets.topic_names.is_empty());
    }

    #[test]
    fn offsets_of_a_topic_that_was_created_again_keep_their_ids() {
        let mut offsets = Offsets::default();
        let [old, new] = [1, 2].map(|id| Committed { topic_id: Uuid::from_u128(id), ..at(id as i64) });
        offsets.put("g", "t", 0, old);
        offsets.put("g", "t", 1, new);
        let group = offsets.group("g").unwrap();
        assert_eq!((group.get("t", 0), group.get("t", 1)), (Some(old), Some(new)));
        offsets.put("g", "t", 0, new);
        assert_eq!(offsets.group("g").unwrap().get("t", 0), Some(new));
    }

    #[test]
    fn an_offset_takes_32_bytes() {
        assert_eq!(size_of::<Slot>(), 32);
    }
}
