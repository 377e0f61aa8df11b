//! What the records of Kafka's metadata log come to. Pure: records in, image out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::metadata_records::{
    ConfigRecord, FeatureLevelRecord, MetadataRecord, NO_LEADER_CHANGE, PartitionChangeRecord,
    PartitionRecord, PassedOver, RemoveTopicRecord, TopicRecord, resource_type,
};
use thiserror::Error;
use uuid::Uuid;

/// Why a record doesn't fit those before it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImageError {
    /// It makes a topic that there is.
    #[error("topic {0} is made twice")]
    TopicExists(String),
    /// It is of a topic that there isn't.
    #[error("topic id {0} is not known")]
    UnknownTopic(Uuid),
    /// It changes a partition that there isn't.
    #[error("partition {partition} of topic {topic} is not known")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition's index.
        partition: i32,
    },
    /// It begins a transaction within one, or ends one where there is none.
    #[error("a transaction of the metadata begins or ends where it can't")]
    TransactionOrder,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionImage {
    /// The nodes with a replica.
    pub replicas: Vec<i32>,
    /// The leader; -1 while its node is stopped.
    pub leader: i32,
    /// Rises whenever a leader is named, or taken away.
    pub leader_epoch: i32,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// The id.
    pub id: Uuid,
    /// By index.
    pub partitions: BTreeMap<i32, PartitionImage>,
}

/// For whom a quota is, each part a type and a name, and of what.
pub type Quota = (Vec<(StrBytes, Option<StrBytes>)>, StrBytes);

/// The cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataImage {
    /// By name.
    pub topics: BTreeMap<String, TopicImage>,
    pub(super) names: HashMap<Uuid, String>,
    /// What was set, by the type and name of the resource.
    pub configs: BTreeMap<(i8, String), BTreeMap<String, String>>,
    /// The levels of the features that are on, by name.
    pub feature_levels: BTreeMap<String, i16>,
    /// Every lower producer id was handed out to a broker.
    pub next_producer_id: i64,
    /// The controllers that there ever were.
    pub controllers: BTreeSet<i32>,
    /// The ids of ACLs.
    pub access_control_entries: BTreeSet<Uuid>,
    /// Quotas.
    pub client_quotas: BTreeSet<Quota>,
    /// Kinds of records that were passed over.
    pub passed_over: BTreeSet<PassedOver>,
}

impl MetadataImage {
    /// What was set for the resources of a type: their names and settings.
    pub fn configs_of(&self, resource_type: i8) -> impl Iterator<Item = (&str, &BTreeMap<String, String>)> {
        let resources = self.configs.iter().filter(move |((found, _), _)| *found == resource_type);
        resources.map(|((_, name), settings)| (name.as_str(), settings))
    }

    fn topic(&mut self, id: Uuid) -> Result<(&str, &mut TopicImage), ImageError> {
        let name = self.names.get(&id).ok_or(ImageError::UnknownTopic(id))?;
        Ok((name, self.topics.get_mut(name).expect("every id is that of a topic")))
    }

    fn add_topic(&mut self, record: &TopicRecord) -> Result<(), ImageError> {
        let name = record.name.to_string();
        if self.topics.contains_key(&name) || self.names.contains_key(&record.topic_id) {
            return Err(ImageError::TopicExists(name));
        }
        self.names.insert(record.topic_id, name.clone());
        self.topics.insert(name, TopicImage { id: record.topic_id, partitions: BTreeMap::new() });
        Ok(())
    }

    fn remove_topic(&mut self, record: &RemoveTopicRecord) -> Result<(), ImageError> {
        let name = self.names.remove(&record.topic_id).ok_or(ImageError::UnknownTopic(record.topic_id))?;
        self.topics.remove(&name);
        self.configs.remove(&(resource_type::TOPIC, name));
        Ok(())
    }

    fn set_partition(&mut self, record: PartitionRecord) -> Result<(), ImageError> {
        let PartitionRecord { partition_id, topic_id, replicas, leader, leader_epoch, .. } = record;
        let partition = PartitionImage { replicas, leader, leader_epoch };
        self.topic(topic_id)?.1.partitions.insert(partition_id, partition);
        Ok(())
    }

    fn change_partition(&mut self, record: PartitionChangeRecord) -> Result<(), ImageError> {
        let (name, topic) = self.topic(record.topic_id)?;
        let Some(partition) = topic.partitions.get_mut(&record.partition_id) else {
            return Err(ImageError::UnknownPartition {
                topic: name.to_owned(),
                partition: record.partition_id,
            });
        };
        if let Some(replicas) = record.replicas {
            partition.replicas = replicas;
        }
        // A record that names the leader starts a new epoch, also where it names the same one.
        if record.leader != NO_LEADER_CHANGE {
            partition.leader = record.leader;
            partition.leader_epoch = partition.leader_epoch.saturating_add(1);
        }
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord) {
        let resource = (record.resource_type, record.resource_name.to_string());
        match &record.value {
            Some(value) => {
                let settings = self.configs.entry(resource).or_default();
                settings.insert(record.name.to_string(), value.to_string());
            }
            None => {
                if let Some(settings) = self.configs.get_mut(&resource) {
                    settings.remove(&*record.name);
                    if settings.is_empty() {
                        self.configs.remove(&resource);
                    }
                }
            }
        }
    }

    fn set_feature_level(&mut self, record: &FeatureLevelRecord) {
        match record.feature_level {
            0 => self.feature_levels.remove(&*record.name),
            level => self.feature_levels.insert(record.name.to_string(), level),
        };
    }
}

/// An image in the making.
#[derive(Debug, Default)]
pub struct Fold {
    image: MetadataImage,
    /// The image as of the begin of the transaction that is open.
    before_transaction: Option<Box<MetadataImage>>,
}

impl Fold {
    /// Takes the next record.
    ///
    /// # Errors
    /// See [`ImageError`]; what was taken up to now is of no use then.
    pub fn apply(&mut self, record: MetadataRecord) -> Result<(), ImageError> {
        let image = &mut self.image;
        match record {
            MetadataRecord::Topic(record) => image.add_topic(&record)?,
            MetadataRecord::Partition(record) => image.set_partition(record)?,
            MetadataRecord::PartitionChange(record) => image.change_partition(record)?,
            MetadataRecord::RemoveTopic(record) => image.remove_topic(&record)?,
            MetadataRecord::Config(record) => image.set_config(&record),
            MetadataRecord::FeatureLevel(record) => image.set_feature_level(&record),
            MetadataRecord::ProducerIds(record) => image.next_producer_id = record.next_producer_id,
            MetadataRecord::RegisterController(record) => {
                image.controllers.insert(record.controller_id);
            }
            MetadataRecord::AccessControlEntry(record) => {
                image.access_control_entries.insert(record.id);
            }
            MetadataRecord::RemoveAccessControlEntry(record) => {
                image.access_control_entries.remove(&record.id);
            }
            MetadataRecord::ClientQuota(record) => {
                let entity = record.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
                let quota = (entity.collect(), record.key);
                match record.remove {
                    true => image.client_quotas.remove(&quota),
                    false => image.client_quotas.insert(quota),
                };
            }
            MetadataRecord::PassedOver(kind) => {
                image.passed_over.insert(kind);
            }
            MetadataRecord::BeginTransaction => {
                if self.before_transaction.replace(Box::new(self.image.clone())).is_some() {
                    return Err(ImageError::TransactionOrder);
                }
            }
            MetadataRecord::EndTransaction => {
                self.before_transaction.take().ok_or(ImageError::TransactionOrder)?;
            }
            MetadataRecord::AbortTransaction => {
                self.image = *self.before_transaction.take().ok_or(ImageError::TransactionOrder)?;
            }
        }
        Ok(())
    }

    /// The image. A transaction that is open counts for nothing: the next controller aborts it.
    #[must_use]
    pub fn finish(self) -> MetadataImage {
        self.before_transaction.map_or(self.image, |before| *before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxmq_protocol::metadata_records::{
        AccessControlEntryRecord, ClientQuotaRecord, EntityData, ProducerIdsRecord,
        RemoveAccessControlEntryRecord,
    };

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    fn topic(name: &str, topic_id: u128) -> MetadataRecord {
        MetadataRecord::Topic(TopicRecord { name: text(name), topic_id: id(topic_id) })
    }

    fn remove(topic_id: u128) -> MetadataRecord {
        MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: id(topic_id) })
    }

    fn partition(topic_id: u128, partition_id: i32) -> MetadataRecord {
        MetadataRecord::Partition(PartitionRecord {
            partition_id,
            topic_id: id(topic_id),
            replicas: vec![1],
            leader: 1,
            leader_epoch: 0,
            ..Default::default()
        })
    }

    fn change(topic_id: u128, leader: i32, replicas: Option<Vec<i32>>) -> MetadataRecord {
        let topic_id = id(topic_id);
        let record =
            PartitionChangeRecord { partition_id: 0, topic_id, leader, replicas, ..Default::default() };
        MetadataRecord::PartitionChange(record)
    }

    fn config(resource: &str, name: &str, value: Option<&str>) -> MetadataRecord {
        MetadataRecord::Config(ConfigRecord {
            resource_type: resource_type::TOPIC,
            resource_name: text(resource),
            name: text(name),
            value: value.map(text),
        })
    }

    fn level(name: &str, feature_level: i16) -> MetadataRecord {
        MetadataRecord::FeatureLevel(FeatureLevelRecord { name: text(name), feature_level })
    }

    fn fold(records: impl IntoIterator<Item = MetadataRecord>) -> Result<MetadataImage, ImageError> {
        let mut fold = Fold::default();
        records.into_iter().try_for_each(|record| fold.apply(record))?;
        Ok(fold.finish())
    }

    #[test]
    fn the_leader_epoch_rises_with_every_leader_that_is_named() {
        let records = [
            topic("a", 1),
            partition(1, 0),
            change(1, -1, None),
            change(1, 1, None),
            change(1, 1, None),
            change(1, NO_LEADER_CHANGE, Some(vec![1, 2])),
        ];
        let image = fold(records).unwrap();
        let found = &image.topics["a"].partitions[&0];
        assert_eq!(*found, PartitionImage { replicas: vec![1, 2], leader: 1, leader_epoch: 3 });
    }

    #[test]
    fn a_topic_goes_with_its_partitions_and_settings() {
        let records = [
            topic("a", 1),
            partition(1, 0),
            config("a", "retention.ms", Some("5")),
            remove(1),
            topic("a", 2),
            partition(2, 0),
            partition(2, 1),
        ];
        let image = fold(records).unwrap();
        assert_eq!((image.topics["a"].id, image.topics["a"].partitions.len()), (id(2), 2));
        assert!(image.configs.is_empty());
    }

    #[test]
    fn settings_come_before_their_topic_and_go_by_null() {
        let records = [
            config("a", "retention.ms", Some("5")),
            config("a", "retention.ms", Some("6")),
            topic("a", 1),
            config("b", "segment.ms", Some("5")),
            config("b", "segment.ms", None),
            config("b", "segment.ms", None),
        ];
        let image = fold(records).unwrap();
        let settings: Vec<_> = image.configs_of(resource_type::TOPIC).collect();
        assert_eq!(settings, [("a", &BTreeMap::from([("retention.ms".to_owned(), "6".to_owned())]))]);
        assert_eq!(image.configs_of(resource_type::GROUP).count(), 0);
    }

    #[test]
    fn features_ids_acls_and_quotas_are_as_of_their_last_record() {
        let ids = |next_producer_id| {
            MetadataRecord::ProducerIds(ProducerIdsRecord { next_producer_id, ..Default::default() })
        };
        let acl = |number| {
            MetadataRecord::AccessControlEntry(AccessControlEntryRecord {
                id: id(number),
                ..Default::default()
            })
        };
        let quota = |key: &str, remove| {
            let entity = vec![EntityData { entity_type: text("user"), entity_name: None }];
            MetadataRecord::ClientQuota(ClientQuotaRecord { entity, key: text(key), value: 0, remove })
        };
        let records = [
            level("group.version", 1),
            level("transaction.version", 2),
            level("group.version", 0),
            ids(1000),
            ids(2000),
            acl(1),
            acl(2),
            MetadataRecord::RemoveAccessControlEntry(RemoveAccessControlEntryRecord { id: id(1) }),
            quota("x", false),
            quota("y", false),
            quota("x", true),
            MetadataRecord::PassedOver(PassedOver::NoOp),
        ];
        let image = fold(records).unwrap();
        assert_eq!(image.feature_levels, BTreeMap::from([("transaction.version".to_owned(), 2)]));
        assert_eq!(image.next_producer_id, 2000);
        assert_eq!((image.access_control_entries.len(), image.client_quotas.len()), (1, 1));
        assert_eq!(image.passed_over, BTreeSet::from([PassedOver::NoOp]));
    }

    #[test]
    fn a_transaction_counts_when_it_has_ended() {
        use MetadataRecord::{AbortTransaction, BeginTransaction, EndTransaction};
        let names = |records: Vec<MetadataRecord>| {
            fold(records).map(|image| image.topics.into_keys().collect::<Vec<_>>())
        };
        let ended = [BeginTransaction, topic("a", 1), EndTransaction].into_iter();
        assert_eq!(names(ended.clone().collect()).unwrap(), ["a"]);
        let aborted = [BeginTransaction, topic("b", 2), AbortTransaction, topic("c", 2)];
        assert_eq!(names(ended.clone().chain(aborted).collect()).unwrap(), ["a", "c"]);
        let open = [BeginTransaction, remove(1)];
        assert_eq!(names(ended.chain(open).collect()).unwrap(), ["a"]);
        for records in
            [vec![BeginTransaction, BeginTransaction], vec![EndTransaction], vec![AbortTransaction]]
        {
            assert_eq!(names(records), Err(ImageError::TransactionOrder));
        }
    }

    #[test]
    fn records_that_do_not_fit_are_refused() {
        let unknown = |number| Err(ImageError::UnknownTopic(id(number)));
        assert_eq!(fold([partition(1, 0)]), unknown(1));
        assert_eq!(fold([topic("a", 1), remove(1), partition(1, 0)]), unknown(1));
        assert_eq!(fold([remove(3)]), unknown(3));
        assert_eq!(fold([topic("a", 1), topic("a", 2)]), Err(ImageError::TopicExists("a".to_owned())));
        let missing = ImageError::UnknownPartition { topic: "a".to_owned(), partition: 0 };
        assert_eq!(fold([topic("a", 1), change(1, 1, None)]), Err(missing));
    }
}
