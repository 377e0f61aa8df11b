//! Settings that are changed while the broker runs: those of topics, and those of groups.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::info;

use super::records::{self, GROUP_PREFIX, GroupRecord, TopicRecord, group_key, topic_key};
use super::store::{ABSENT, Condition, MetaStore, Revision, Write};
use super::topics::Topic;
use super::{Metadata, MetadataError};
use crate::config::TopicConfig;
use crate::config::group::ConsumerGroupSettings;
use crate::partitions::PartitionManager;

/// What was set for one group.
#[derive(Debug)]
pub struct GroupOverrides {
    /// The settings that were given, as they were given; never empty.
    pub texts: BTreeMap<String, String>,
    /// What they say to members of a consumer group.
    pub consumer: ConsumerGroupSettings,
    /// The commit that last wrote the entry.
    revision: Revision,
}

/// The groups for which something is set, by their ids.
pub type GroupsImage = HashMap<Arc<str>, Arc<GroupOverrides>>;

/// Reads what is stored for groups.
pub(super) fn read_groups(store: &dyn MetaStore) -> Result<GroupsImage, MetadataError> {
    let entries = store.list(GROUP_PREFIX)?;
    let group = |entry: super::store::Entry| {
        let record: GroupRecord = records::decode(&entry.key, &entry.versioned.value)?;
        let overrides = overrides(record.configs, entry.versioned.revision);
        Ok((Arc::from(&entry.key[GROUP_PREFIX.len()..]), overrides))
    };
    entries.into_iter().map(group).collect()
}

fn overrides(texts: BTreeMap<String, String>, revision: Revision) -> Arc<GroupOverrides> {
    let consumer = ConsumerGroupSettings::of(&texts);
    Arc::new(GroupOverrides { texts, consumer, revision })
}

impl Metadata {
    /// What is set for the group, if anything. Takes no lock.
    pub fn group_overrides(&self, group_id: &str) -> Option<Arc<GroupOverrides>> {
        self.groups.load().get(group_id).cloned()
    }

    /// What is set for the group to say to its members. Takes no lock.
    pub fn consumer_group_settings(&self, group_id: &str) -> ConsumerGroupSettings {
        self.groups.load().get(group_id).map(|group| group.consumer).unwrap_or_default()
    }

    /// Changes what is set for a group. `decide` is given what is set now, and gives what is to be; none where nothing
    /// is to be changed.
    ///
    /// # Errors
    /// What `decide` refuses with, or the change could not be stored. Nothing has changed then.
    pub fn alter_group<E: From<MetadataError>>(
        &self,
        group_id: &str,
        decide: impl FnOnce(&BTreeMap<String, String>) -> Result<Option<BTreeMap<String, String>>, E>,
    ) -> Result<(), E> {
        let _change = self.changes.lock();
        let groups = self.groups.load_full();
        let known = groups.get(group_id);
        let nothing = BTreeMap::new();
        let before = known.map_or(&nothing, |group| &group.texts);
        let Some(after) = decide(before)?.filter(|after| after != before) else { return Ok(()) };
        let key = group_key(group_id);
        let write = match after.is_empty() {
            true => Write::Delete(key.clone()),
            false => Write::Put(key.clone(), records::encode(&GroupRecord::new(after.clone()))),
        };
        let condition = Condition { key, revision: known.map_or(ABSENT, |group| group.revision) };
        let revision = self.store.transact(&[condition], vec![write]).map_err(MetadataError::from)?;
        let mut groups = GroupsImage::clone(&groups);
        match after.is_empty() {
            true => groups.remove(group_id),
            false => groups.insert(Arc::from(group_id), overrides(after, revision)),
        };
        self.groups.store(Arc::new(groups));
        info!(group = group_id, "the group's settings were changed");
        Ok(())
    }

    /// Changes the settings of a topic. `decide` is given the topic, if there is one, and gives what it is to have: the
    /// overrides and the settings that follow; none where nothing is to be changed.
    ///
    /// # Errors
    /// What `decide` refuses with, or the change could not be stored. Nothing has changed then.
    pub fn alter_topic<E: From<MetadataError>>(
        &self,
        partitions: &PartitionManager,
        name: &str,
        decide: impl FnOnce(Option<&Topic>) -> Result<Option<(BTreeMap<String, String>, TopicConfig)>, E>,
    ) -> Result<(), E> {
        let _change = self.changes.lock();
        let image = self.topics();
        let topic = image.by_name(name);
        let decided = decide(topic.map(|topic| &**topic))?;
        let (Some(topic), Some((overrides, config))) = (topic, decided) else { return Ok(()) };
        if overrides == topic.overrides {
            return Ok(());
        }
        let leader_epochs = topic.partitions.iter().map(|partition| partition.leader_epoch()).collect();
        let record = TopicRecord::new(topic.id, leader_epochs, overrides.clone());
        let key = topic_key(name);
        let condition = Condition { key: key.clone(), revision: topic.revision };
        let put = Write::Put(key, records::encode(&record));
        let revision = self.store.transact(&[condition], vec![put]).map_err(MetadataError::from)?;
        let config = Arc::new(config);
        for partition in &topic.partitions {
            partitions.update_config(partition, &config);
        }
        let changed = Topic {
            name: topic.name.clone(),
            id: topic.id,
            is_internal: topic.is_internal,
            overrides,
            config: ArcSwap::new(config),
            partitions: topic.partitions.clone(),
            revision,
        };
        self.image.store(Arc::new(image.with([Arc::new(changed)])));
        info!(topic = name, "the topic's settings were changed");
        Ok(())
    }
}
