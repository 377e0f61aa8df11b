//! The topics as every request sees them: an image that is replaced as a whole and read without a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use fluxmq_protocol::StrBytes;
use uuid::Uuid;

use super::names;
use super::store::Revision;
use crate::config::TopicConfig;
use crate::partitions::partition::Partition;

/// One topic. A change of its partitions makes a new one.
pub struct Topic {
    /// The name.
    pub name: StrBytes,
    /// The id, which a topic of the same name created later won't have.
    pub id: Uuid,
    /// Whether Kafka's own machinery owns it.
    pub is_internal: bool,
    /// The settings that were given for this topic, as they were given.
    pub overrides: BTreeMap<String, String>,
    /// The settings in force: the broker's defaults with the overrides on top.
    pub config: ArcSwap<TopicConfig>,
    /// By partition index.
    pub partitions: Vec<Arc<Partition>>,
    /// The commit that last wrote the topic's entry.
    pub(super) revision: Revision,
}

impl Topic {
    /// The partition at a client's index, which may be any number.
    pub fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("partition counts are bounded at creation")
    }
}

/// All topics at one moment.
#[derive(Default)]
pub struct TopicsImage {
    version: i64,
    by_name: HashMap<StrBytes, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    /// Topics by [`names::collision_key`]; Kafka refuses a second one with the same key.
    by_collision_key: HashMap<String, StrBytes>,
    partition_count: usize,
}

impl TopicsImage {
    /// Differs from the version of every other image in the life of this process.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The topic of that name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name.as_bytes())
    }

    /// The topic with that id.
    pub fn by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// The topic whose name differs from `name` in `.` and `_` alone, or not at all.
    pub fn colliding(&self, name: &str) -> Option<&StrBytes> {
        self.by_collision_key.get(names::collision_key(name).as_ref())
    }

    /// Every topic, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.by_name.len()
    }

    /// How many partitions there are in all topics together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// This image with `topics` added, each in place of the one that has its name.
    pub(super) fn with(&self, topics: impl IntoIterator<Item = Arc<Topic>>) -> Self {
        let mut image = self.next();
        for topic in topics {
            image.remove(&topic.name);
            image.partition_count += topic.partitions.len();
            image.by_collision_key.insert(names::collision_key(&topic.name).into_owned(), topic.name.clone());
            image.by_id.insert(topic.id, Arc::clone(&topic));
            image.by_name.insert(topic.name.clone(), topic);
        }
        image
    }

    /// This image without the topics of these names.
    pub(super) fn without<'a>(&self, names: impl IntoIterator<Item = &'a StrBytes>) -> Self {
        let mut image = self.next();
        for name in names {
            image.remove(name);
        }
        image
    }

    fn remove(&mut self, name: &StrBytes) {
        if let Some(topic) = self.by_name.remove(name) {
            self.by_id.remove(&topic.id);
            self.by_collision_key.remove(names::collision_key(name).as_ref());
            self.partition_count -= topic.partitions.len();
        }
    }

    /// A copy, to be changed.
    fn next(&self) -> Self {
        Self {
            version: self.version + 1,
            by_name: self.by_name.clone(),
            by_id: self.by_id.clone(),
            by_collision_key: self.by_collision_key.clone(),
            partition_count: self.partition_count,
        }
    }
}
