//! Metadata that comes from elsewhere, and becomes the store of a directory that has none.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use super::MetadataError;
use super::records::{
    self, FEATURES_KEY, FeaturesRecord, GroupRecord, PRODUCER_IDS_KEY, ProducerIdsRecord, TopicRecord,
    group_key, topic_key,
};
use super::redb::{FILE_NAME, RedbStore};
use super::store::Write;

/// All of the metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// By name.
    pub topics: BTreeMap<String, ImportedTopic>,
    /// The settings that were given for groups, as they were given, by group id.
    pub groups: BTreeMap<String, BTreeMap<String, String>>,
    /// Every lower producer id may be in use.
    pub next_producer_id: i64,
    /// The levels of the features that this broker knows, by name.
    pub feature_levels: BTreeMap<String, i16>,
    /// Not below that which clients have seen with other levels.
    pub features_epoch: i64,
}

/// A topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedTopic {
    /// The id.
    pub id: Uuid,
    /// By partition index: the leader epoch last in use.
    pub leader_epochs: Vec<i32>,
    /// The settings that were given for it, as they were given.
    pub configs: BTreeMap<String, String>,
}

/// Whether the directory has metadata.
#[must_use]
pub fn has_metadata(log_dir: &Path) -> bool {
    log_dir.join(FILE_NAME).exists()
}

impl Import {
    /// Makes the metadata of a directory that has none and is locked by this process. After a crash it is complete or
    /// not there.
    ///
    /// # Errors
    /// There is some, or it can't be written.
    pub fn store(self, log_dir: &Path) -> Result<(), MetadataError> {
        let topics = self.topics.into_iter().map(|(name, topic)| {
            let record = TopicRecord::new(topic.id, topic.leader_epochs, topic.configs);
            Write::Put(topic_key(&name), records::encode(&record))
        });
        let groups = self
            .groups
            .into_iter()
            .map(|(id, configs)| Write::Put(group_key(&id), records::encode(&GroupRecord::new(configs))));
        let ids = records::encode(&ProducerIdsRecord::new(self.next_producer_id));
        let features = records::encode(&FeaturesRecord::new(self.features_epoch, self.feature_levels));
        let others =
            [Write::Put(PRODUCER_IDS_KEY.to_owned(), ids), Write::Put(FEATURES_KEY.to_owned(), features)];
        Ok(RedbStore::create(log_dir, topics.chain(groups).chain(others).collect())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Metadata;
    use crate::meta::features::Feature;

    #[test]
    fn what_is_imported_is_what_a_start_finds() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_metadata(dir.path()));
        let configs = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
        let topic =
            ImportedTopic { id: Uuid::from_u128(700), leader_epochs: vec![3, 0], configs: configs.clone() };
        let session = BTreeMap::from([("consumer.session.timeout.ms".to_owned(), "50000".to_owned())]);
        let import = Import {
            topics: BTreeMap::from([("orders".to_owned(), topic)]),
            groups: BTreeMap::from([("g".to_owned(), session.clone())]),
            next_producer_id: 3000,
            feature_levels: BTreeMap::from([("group.version".to_owned(), 0)]),
            features_epoch: 41,
        };
        import.clone().store(dir.path()).unwrap();
        assert!(has_metadata(dir.path()));
        assert!(import.store(dir.path()).is_err());

        let (metadata, topics) = Metadata::open(dir.path()).unwrap();
        assert_eq!((&*topics[0].name, topics[0].id), ("orders", Uuid::from_u128(700)));
        assert_eq!((&topics[0].leader_epochs, &topics[0].overrides), (&vec![3, 0], &configs));
        assert_eq!(metadata.group_overrides("g").unwrap().texts, session);
        assert_eq!(metadata.allocate_producer_id_block(1000).unwrap(), 3000);
        assert_eq!((metadata.features().level(Feature::Group), metadata.features().epoch), (0, 41));
    }
}
