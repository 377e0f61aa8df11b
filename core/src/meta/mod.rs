//! Metadata: the topics with their ids, overrides and leader epochs, the overrides of groups, the levels
//! of features, and the producer id blocks.
//!
//! [`Metadata`] is what the rest of the broker sees; nothing outside of this module knows where it is kept. A
//! change is committed to the store first, then made on disk, then published in the topics' image; a crash in
//! between is completed at start-up, when the logs of every stored topic are opened or made, and unknown ones
//! are set aside. Changes are made one after another and block on the disk: never on a network thread. Reading
//! takes no lock.

pub mod cluster;
pub mod epochs;
pub mod features;
pub mod ids;
pub mod import;
mod log_dirs;
mod logs;
pub mod names;
pub mod records;
pub mod redb;
pub mod settings;
pub mod store;
pub mod topics;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use fluxmq_protocol::StrBytes;
use fluxmq_storage::meta_properties::encode_uuid;
use parking_lot::Mutex;
use thiserror::Error;
use tracing::{error, info};
use uuid::Uuid;

use self::features::{Features, FeaturesImage};
use self::logs::{NewLogs, create_logs, set_aside};
use self::records::{PRODUCER_IDS_KEY, ProducerIdsRecord, RecordError, TOPIC_PREFIX, TopicRecord, topic_key};
use self::redb::RedbStore;
use self::settings::{GroupsImage, read_groups};
use self::store::{ABSENT, Condition, MetaStore, Revision, StoreError, TransactError, Write};
pub use self::topics::{Topic, TopicsImage};
use crate::blocking::BlockingPool;
use crate::config::TopicConfig;
use crate::partitions::partition::Partition;
use crate::partitions::{PartitionError, PartitionManager};

/// Partitions that one request may add; Kafka's bound.
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// Partitions that the broker takes in all: each holds open files and memory whether it is used or not.
pub const MAX_PARTITIONS: usize = 100_000;

/// The leader epoch of a new partition.
const FIRST_LEADER_EPOCH: i32 = 0;

/// Why metadata could not be read or written.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else wrote to the store.
    #[error("the metadata store was changed by someone else: {0}")]
    Conflict(String),
    /// An entry can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The producer ids are used up.
    #[error("no producer ids are left")]
    ProducerIdsExhausted,
}

impl From<TransactError> for MetadataError {
    fn from(error: TransactError) -> Self {
        match error {
            TransactError::Store(error) => Self::Store(error),
            TransactError::Conflict { .. } => Self::Conflict(error.to_string()),
        }
    }
}

/// Why a topic was not created.
#[derive(Debug, Error)]
pub enum CreateTopicError {
    /// There is a topic of that name.
    #[error("Topic '{0}' already exists.")]
    AlreadyExists(StrBytes),
    /// There is a topic whose name differs in `.` and `_` alone.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    Collides {
        /// The name asked for.
        name: StrBytes,
        /// The name that is taken.
        existing: StrBytes,
    },
    /// The broker would have more than [`MAX_PARTITIONS`].
    #[error("The broker has {existing} partitions; {added} more would exceed its limit of {MAX_PARTITIONS}.")]
    TooManyPartitions {
        /// Partitions there are.
        existing: usize,
        /// Partitions asked for.
        added: usize,
    },
    /// The change could not be stored; nothing was created.
    #[error(transparent)]
    Metadata(#[from] Arc<MetadataError>),
    /// A log could not be made; nothing was created.
    #[error(transparent)]
    Partition(#[from] PartitionError),
}

/// Why a topic was not given more partitions.
#[derive(Debug, Error)]
pub enum CreatePartitionsError {
    /// There is no such topic.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    /// It has that many already.
    #[error("Topic already has {0} partition(s).")]
    Unchanged(i32),
    /// It has more than that.
    #[error("The topic {name} currently has {current} partition(s); {asked} would not be an increase.")]
    NotAnIncrease {
        /// The topic.
        name: StrBytes,
        /// Partitions it has.
        current: i32,
        /// Partitions asked for.
        asked: i32,
    },
    /// The broker would have more than [`MAX_PARTITIONS`].
    #[error("The broker has {existing} partitions; {added} more would exceed its limit of {MAX_PARTITIONS}.")]
    TooManyPartitions {
        /// Partitions there are.
        existing: usize,
        /// Partitions asked for.
        added: usize,
    },
    /// The change could not be stored; nothing was created.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A log could not be made; nothing was created.
    #[error(transparent)]
    Partition(#[from] PartitionError),
}

/// Why a topic was not deleted.
#[derive(Debug, Error)]
pub enum DeleteTopicError {
    /// There is no topic with that id.
    #[error("This server does not host this topic ID.")]
    UnknownTopicId,
    /// The change could not be stored; the topic is still there.
    #[error(transparent)]
    Metadata(#[from] Arc<MetadataError>),
}

/// A topic to create, with everything about it already checked but whether it exists.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// A valid name.
    pub name: StrBytes,
    /// At least one.
    pub partition_count: i32,
    /// The settings given for it, as given.
    pub overrides: BTreeMap<String, String>,
    /// The settings that follow from them.
    pub config: Arc<TopicConfig>,
}

/// A topic as start-up finds it in the store, before its logs are opened.
#[derive(Debug, Clone)]
pub struct StoredTopic {
    /// The name.
    pub name: StrBytes,
    /// The id.
    pub id: Uuid,
    /// The settings given for it, as given.
    pub overrides: BTreeMap<String, String>,
    /// By partition index: the leader epoch last stored.
    pub leader_epochs: Vec<i32>,
    revision: Revision,
}

impl StoredTopic {
    /// The topic, once its logs are open: `partitions` by index.
    pub fn open(self, config: Arc<TopicConfig>, partitions: Vec<Arc<Partition>>) -> Arc<Topic> {
        assert_eq!(partitions.len(), self.leader_epochs.len(), "every stored partition has a log");
        Arc::new(Topic {
            is_internal: names::is_internal(&self.name),
            name: self.name,
            id: self.id,
            overrides: self.overrides,
            config: ArcSwap::new(config),
            partitions,
            revision: self.revision,
        })
    }
}

/// The broker's metadata.
pub struct Metadata {
    store: Box<dyn MetaStore>,
    image: ArcSwap<TopicsImage>,
    /// What is set for single groups.
    groups: ArcSwap<GroupsImage>,
    /// The levels of the cluster's features.
    features: FeaturesImage,
    /// Held through every change, so that what a change was decided on still holds when it is made.
    changes: Mutex<()>,
    /// Held while a block of producer ids is reserved: that doesn't wait for logs to be made.
    producer_ids: Mutex<()>,
    /// Taken before a thread is: changes that wait for each other hold one thread of the pool, not all of them.
    turn: tokio::sync::Mutex<()>,
}

impl Metadata {
    /// Opens the metadata in `log_dir`, which is locked by this process, with what start-up must open: the
    /// stored topics. Until [`Metadata::publish`] no topic is seen.
    ///
    /// # Errors
    /// The store can't be opened, or an entry is damaged or of a newer version.
    pub fn open(log_dir: &Path) -> Result<(Self, Vec<StoredTopic>), MetadataError> {
        Self::with_store(Box::new(RedbStore::open(log_dir)?))
    }

    /// Like [`Metadata::open`], on any store.
    ///
    /// # Errors
    /// The store can't be read, or an entry is damaged or of a newer version.
    pub fn with_store(store: Box<dyn MetaStore>) -> Result<(Self, Vec<StoredTopic>), MetadataError> {
        let mut topics = Vec::new();
        for entry in store.list(TOPIC_PREFIX)? {
            let record: TopicRecord = records::decode(&entry.key, &entry.versioned.value)?;
            topics.push(StoredTopic {
                name: StrBytes::from_string(entry.key[TOPIC_PREFIX.len()..].to_owned()),
                id: record.topic_id,
                overrides: record.configs,
                leader_epochs: record.leader_epochs,
                revision: entry.versioned.revision,
            });
        }
        let groups = read_groups(&*store)?;
        let features = Features::read(&*store)?;
        let metadata = Self {
            store,
            image: ArcSwap::default(),
            groups: ArcSwap::from_pointee(groups),
            features: FeaturesImage::from_pointee(features),
            changes: Mutex::new(()),
            producer_ids: Mutex::new(()),
            turn: tokio::sync::Mutex::default(),
        };
        Ok((metadata, topics))
    }

    /// Runs `change`, which calls what blocks here, on the pool once it is its turn. A change that was begun is carried
    /// through when the future is dropped.
    pub async fn in_turn<T: Send + 'static>(
        &self,
        pool: &BlockingPool,
        change: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let _turn = self.turn.lock().await;
        pool.run(change).await
    }

    /// Decides, at start-up, under which epoch each partition is led from now on, and stores it before any client
    /// can learn of it. `last_in_log` is the newest epoch that a partition's recovered log holds, if any, by the
    /// topic's place in `topics` and the partition's index.
    ///
    /// # Errors
    /// The store failed; no epoch may be used.
    pub fn bump_leader_epochs(
        &self,
        topics: &mut [StoredTopic],
        last_in_log: impl Fn(usize, usize) -> Option<i32>,
        unclean: bool,
    ) -> Result<(), MetadataError> {
        let _change = self.changes.lock();
        let (mut conditions, mut writes, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (place, topic) in topics.iter_mut().enumerate() {
            let next: Vec<i32> = topic
                .leader_epochs
                .iter()
                .enumerate()
                .map(|(index, stored)| epochs::next(*stored, last_in_log(place, index), unclean))
                .collect();
            if next != topic.leader_epochs {
                topic.leader_epochs = next;
                let key = topic_key(&topic.name);
                let record = TopicRecord::new(topic.id, topic.leader_epochs.clone(), topic.overrides.clone());
                writes.push(Write::Put(key.clone(), records::encode(&record)));
                conditions.push(Condition { key, revision: topic.revision });
                changed.push(place);
            }
        }
        if !writes.is_empty() {
            let revision = self.store.transact(&conditions, writes)?;
            for place in changed {
                topics[place].revision = revision;
            }
        }
        Ok(())
    }

    /// Lets requests see these topics.
    pub fn publish(&self, topics: impl IntoIterator<Item = Arc<Topic>>) {
        let _change = self.changes.lock();
        self.image.store(Arc::new(self.image.load().with(topics)));
    }

    /// The topics as they are now. The image stays as it is while a request works with it.
    pub fn topics(&self) -> Arc<TopicsImage> {
        self.image.load_full()
    }

    /// Runs `read` on the topics as they are now, without touching a reference count.
    pub fn with_topics<T>(&self, read: impl FnOnce(&TopicsImage) -> T) -> T {
        read(&self.image.load())
    }

    /// Creates topics: one commit for all that can be created, then their logs, then the image. The results are in
    /// the order of `new`, whose names differ from each other.
    pub fn create_topics(
        &self,
        partitions: &PartitionManager,
        new: Vec<NewTopic>,
    ) -> Vec<Result<Arc<Topic>, CreateTopicError>> {
        let _change = self.changes.lock();
        let image = self.topics();
        let mut partition_count = image.partition_count();
        let (mut conditions, mut writes) = (Vec::new(), Vec::new());
        let admitted: Vec<Result<(NewTopic, Uuid), CreateTopicError>> = new
            .into_iter()
            .map(|topic| {
                check_new_name(&image, &topic.name)?;
                let added = usize::try_from(topic.partition_count).expect("partition counts are positive");
                if partition_count + added > MAX_PARTITIONS {
                    let existing = partition_count;
                    return Err(CreateTopicError::TooManyPartitions { existing, added });
                }
                partition_count += added;
                let id = ids::random_topic_id();
                let record = TopicRecord::new(id, vec![FIRST_LEADER_EPOCH; added], topic.overrides.clone());
                let key = topic_key(&topic.name);
                writes.push(Write::Put(key.clone(), records::encode(&record)));
                conditions.push(Condition { key, revision: ABSENT });
                Ok((topic, id))
            })
            .collect();
        if writes.is_empty() {
            return admitted
                .into_iter()
                .map(|result| Err(result.expect_err("nothing was admitted")))
                .collect();
        }
        let committed = self.store.transact(&conditions, writes).map_err(|error| {
            error!(%error, "topics could not be stored");
            Arc::new(MetadataError::from(error))
        });
        let revision = match committed {
            Ok(revision) => revision,
            Err(error) => {
                return admitted
                    .into_iter()
                    .map(|result| Err(result.err().unwrap_or(error.clone().into())))
                    .collect();
            }
        };
        let new_logs: Vec<NewLogs<'_>> = admitted
            .iter()
            .flatten()
            .map(|(new, id)| NewLogs {
                name: &new.name,
                id: *id,
                indexes: 0..new.partition_count,
                config: &new.config,
            })
            .collect();
        let mut logs = create_logs(partitions, &new_logs).into_iter();
        let results: Vec<_> = admitted
            .into_iter()
            .map(|result| {
                let (new, id) = result?;
                match logs.next().expect("every topic that was admitted has a result") {
                    Ok(logs) => Ok(opened(new, id, revision, logs)),
                    Err(error) => {
                        self.take_back(&new.name, revision, &error);
                        Err(error.into())
                    }
                }
            })
            .collect();
        self.image.store(Arc::new(image.with(results.iter().flatten().cloned())));
        results
    }

    /// Removes the entry of a topic whose logs could not be made.
    fn take_back(&self, name: &StrBytes, revision: Revision, error: &PartitionError) {
        error!(topic = %name, %error, "a new topic's logs could not be made; it is taken back");
        let key = topic_key(name);
        let condition = Condition { key: key.clone(), revision };
        if let Err(error) = self.store.transact(&[condition], vec![Write::Delete(key)]) {
            error!(topic = %name, %error, "the topic could not be taken back; the next start makes it");
        }
    }

    /// Adds partitions to a topic until it has `count`.
    ///
    /// # Errors
    /// The topic doesn't exist or has that many, or the change could not be stored or made.
    pub fn create_partitions(
        &self,
        partitions: &PartitionManager,
        name: &str,
        count: i32,
    ) -> Result<Arc<Topic>, CreatePartitionsError> {
        let _change = self.changes.lock();
        let image = self.topics();
        let topic = check_new_count(&image, name, count)?;
        let config = topic.config.load_full();
        let mut leader_epochs: Vec<i32> =
            topic.partitions.iter().map(|partition| partition.leader_epoch()).collect();
        let old_record = TopicRecord::new(topic.id, leader_epochs.clone(), topic.overrides.clone());
        leader_epochs.resize(usize::try_from(count).expect("checked to be an increase"), FIRST_LEADER_EPOCH);
        let record = TopicRecord::new(topic.id, leader_epochs.clone(), topic.overrides.clone());
        let key = topic_key(name);
        let condition = Condition { key: key.clone(), revision: topic.revision };
        let put = Write::Put(key.clone(), records::encode(&record));
        let revision = self.store.transact(&[condition], vec![put]).map_err(MetadataError::from)?;
        let new_logs = NewLogs {
            name: &topic.name,
            id: topic.id,
            indexes: topic.partition_count()..count,
            config: &config,
        };
        let added = match create_logs(partitions, &[new_logs]).remove(0) {
            Ok(added) => added,
            Err(error) => {
                error!(topic = name, %error, "new partitions' logs could not be made; they are taken back");
                let condition = Condition { key: key.clone(), revision };
                let put = Write::Put(key, records::encode(&old_record));
                match self.store.transact(&[condition], vec![put]) {
                    Ok(revision) => self.publish_changed(&image, topic, Vec::new(), revision),
                    Err(error) => {
                        error!(topic = name, %error, "the partitions could not be taken back; the next start makes them");
                    }
                }
                return Err(error.into());
            }
        };
        info!(topic = name, partitions = count, "partitions added");
        self.publish_changed(&image, topic, added, revision);
        Ok(Arc::clone(self.topics().by_name(name).expect("just published")))
    }

    /// Puts a topic with more partitions, as of commit `revision`, in the place of `topic`.
    fn publish_changed(
        &self,
        image: &TopicsImage,
        topic: &Topic,
        added: Vec<Arc<Partition>>,
        revision: Revision,
    ) {
        let changed = Topic {
            name: topic.name.clone(),
            id: topic.id,
            is_internal: topic.is_internal,
            overrides: topic.overrides.clone(),
            config: ArcSwap::new(topic.config.load_full()),
            partitions: topic.partitions.iter().cloned().chain(added).collect(),
            revision,
        };
        self.image.store(Arc::new(image.with([Arc::new(changed)])));
    }

    /// Deletes topics: one commit, then the image, then their logs are set aside. The results are in the order of
    /// `ids`, which differ from each other.
    pub fn delete_topics(
        &self,
        partitions: &PartitionManager,
        ids: &[Uuid],
    ) -> Vec<Result<Arc<Topic>, DeleteTopicError>> {
        let _change = self.changes.lock();
        let image = self.topics();
        let found: Vec<Option<Arc<Topic>>> = ids.iter().map(|id| image.by_id(*id).cloned()).collect();
        let (mut conditions, mut writes) = (Vec::new(), Vec::new());
        for topic in found.iter().flatten() {
            let key = topic_key(&topic.name);
            conditions.push(Condition { key: key.clone(), revision: topic.revision });
            writes.push(Write::Delete(key));
        }
        let committed = if writes.is_empty() {
            Ok(())
        } else {
            self.store.transact(&conditions, writes).map(|_| ()).map_err(|error| {
                error!(%error, "the deletion of topics could not be stored");
                Arc::new(MetadataError::from(error))
            })
        };
        if committed.is_ok() {
            let names = found.iter().flatten().map(|topic| &topic.name);
            self.image.store(Arc::new(image.without(names)));
            let logs: Vec<_> =
                found.iter().flatten().flat_map(|topic| topic.partitions.iter().cloned()).collect();
            set_aside(partitions, &logs);
        }
        found
            .into_iter()
            .map(|topic| {
                let topic = topic.ok_or(DeleteTopicError::UnknownTopicId)?;
                committed.clone()?;
                info!(topic = %topic.name, id = encode_uuid(topic.id), "topic deleted");
                Ok(topic)
            })
            .collect()
    }

    /// Reserves `size` producer ids, durably, and returns the first.
    ///
    /// # Errors
    /// The store failed, or the ids are used up.
    pub fn allocate_producer_id_block(&self, size: i32) -> Result<i64, MetadataError> {
        let _allocation = self.producer_ids.lock();
        let key = PRODUCER_IDS_KEY;
        let (first, revision) = match self.store.get(key)? {
            Some(found) => {
                let record: ProducerIdsRecord = records::decode(key, &found.value)?;
                (record.next_producer_id, found.revision)
            }
            None => (0, ABSENT),
        };
        let next = first.checked_add(i64::from(size)).ok_or(MetadataError::ProducerIdsExhausted)?;
        let condition = Condition { key: key.to_owned(), revision };
        let put = Write::Put(key.to_owned(), records::encode(&ProducerIdsRecord::new(next)));
        self.store.transact(&[condition], vec![put])?;
        Ok(first)
    }
}

/// A topic whose logs were just made.
fn opened(new: NewTopic, id: Uuid, revision: Revision, logs: Vec<Arc<Partition>>) -> Arc<Topic> {
    info!(topic = %new.name, id = encode_uuid(id), partitions = new.partition_count, "topic created");
    let leader_epochs = vec![FIRST_LEADER_EPOCH; logs.len()];
    StoredTopic { name: new.name, id, overrides: new.overrides, leader_epochs, revision }
        .open(new.config, logs)
}

/// Whether a topic of that name may be added.
///
/// # Errors
/// It exists, or collides with one that does.
pub fn check_new_name(image: &TopicsImage, name: &StrBytes) -> Result<(), CreateTopicError> {
    if image.by_name(name).is_some() {
        return Err(CreateTopicError::AlreadyExists(name.clone()));
    }
    match image.colliding(name) {
        Some(existing) => Err(CreateTopicError::Collides { name: name.clone(), existing: existing.clone() }),
        None => Ok(()),
    }
}

/// The topic that may be given partitions up to `count`.
///
/// # Errors
/// It doesn't exist, has that many already, or the broker would have too many.
pub fn check_new_count<'a>(
    image: &'a TopicsImage,
    name: &str,
    count: i32,
) -> Result<&'a Arc<Topic>, CreatePartitionsError> {
    let topic = image.by_name(name).ok_or(CreatePartitionsError::UnknownTopic)?;
    let current = topic.partition_count();
    if count == current {
        return Err(CreatePartitionsError::Unchanged(current));
    }
    if count < current {
        let name = topic.name.clone();
        return Err(CreatePartitionsError::NotAnIncrease { name, current, asked: count });
    }
    let (existing, added) = (image.partition_count(), usize::try_from(count - current).unwrap_or(usize::MAX));
    if existing.saturating_add(added) > MAX_PARTITIONS {
        return Err(CreatePartitionsError::TooManyPartitions { existing, added });
    }
    Ok(topic)
}

#[cfg(test)]
mod tests;
