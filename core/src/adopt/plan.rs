//! What of a cluster is taken over, what is left out, and what makes it impossible. Pure: an image in, metadata out.

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_protocol::metadata_records::{PassedOver, resource_type};
use thiserror::Error;

use super::image::{MetadataImage, TopicImage};
use super::metadata_log::ClusterMetadata;
use crate::config::definition::{Effect, broker_keys, group_keys, topic_keys};
use crate::config::{BrokerConfig, ConfigError, TopicConfig};
use crate::meta::features::Feature;
use crate::meta::import::{Import, ImportedTopic};
use crate::meta::{MAX_PARTITIONS, names};

/// The leader of a partition whose node is stopped.
const NO_LEADER: i32 = -1;

/// How many of many are named in one line.
const NAMED_AT_MOST: usize = 5;

/// Why a cluster can't be taken over.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Other nodes may know more of the metadata than this one.
    #[error(
        "the cluster has other controllers ({0}); only a node that is broker and sole controller can be adopted"
    )]
    OtherControllers(String),
    /// Records may lie on other nodes.
    #[error("replicas or leaders are on other nodes ({0}); only a cluster of one node can be adopted")]
    OtherNodes(String),
    /// A topic without its first partition, or with a hole.
    #[error("the metadata has no partition {partition} of topic {topic}")]
    MissingPartition {
        /// The topic.
        topic: String,
        /// The partition's index.
        partition: i32,
    },
    /// The metadata has a topic that Kafka takes from nobody.
    #[error("the metadata has a topic named {0:?}")]
    TopicName(String),
    /// More than FluxMQ takes.
    #[error("{0} partitions are more than FluxMQ's limit of {MAX_PARTITIONS}")]
    TooManyPartitions(usize),
    /// Records may lie in another system.
    #[error("tiered storage is on for {0}; FluxMQ has none")]
    TieredStorage(String),
    /// Settings that FluxMQ wouldn't start with.
    #[error("settings that FluxMQ refuses: {0}")]
    TopicConfigs(String),
}

/// Something that isn't taken over, in one line.
pub type LeftOut = String;

/// What is to be written, and what isn't.
#[derive(Debug)]
pub struct Plan {
    /// The metadata.
    pub import: Import,
    /// What isn't taken over, and why.
    pub left_out: Vec<LeftOut>,
}

/// Decides what is taken over of the cluster of this node.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(metadata: &ClusterMetadata, node_id: i32, broker: &BrokerConfig) -> Result<Plan, PlanError> {
    let image = &metadata.image;
    check_nodes(image, node_id)?;
    let mut left_out = Vec::new();
    let topics = topics(image, broker, &mut left_out)?;
    let groups = groups(image, &mut left_out);
    let feature_levels = feature_levels(image, &mut left_out);
    note_broker_settings(image, node_id, &mut left_out);
    note_security(image, &mut left_out);
    let next_producer_id = image.next_producer_id;
    // Kafka's clients take levels whose epoch is not below that of those they have: there it is an offset.
    let features_epoch = metadata.end_offset;
    let import = Import { topics, groups, next_producer_id, feature_levels, features_epoch };
    Ok(Plan { import, left_out })
}

/// The first of many names, and how many more there are.
pub(super) fn some_of(names: &[String]) -> String {
    let named = names[..names.len().min(NAMED_AT_MOST)].join(", ");
    match names.len().saturating_sub(NAMED_AT_MOST) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn check_nodes(image: &MetadataImage, node_id: i32) -> Result<(), PlanError> {
    let others: Vec<String> =
        image.controllers.iter().filter(|id| **id != node_id).map(ToString::to_string).collect();
    if !others.is_empty() {
        return Err(PlanError::OtherControllers(some_of(&others)));
    }
    let mut elsewhere = Vec::new();
    for (name, topic) in &image.topics {
        for (index, partition) in &topic.partitions {
            let is_led_here = partition.leader == node_id || partition.leader == NO_LEADER;
            if !is_led_here || partition.replicas != [node_id] {
                elsewhere.push(format!("{name}-{index}"));
            }
        }
    }
    if elsewhere.is_empty() { Ok(()) } else { Err(PlanError::OtherNodes(some_of(&elsewhere))) }
}

fn topics(
    image: &MetadataImage,
    broker: &BrokerConfig,
    left_out: &mut Vec<LeftOut>,
) -> Result<BTreeMap<String, ImportedTopic>, PlanError> {
    let partition_count = image.topics.values().map(|topic| topic.partitions.len()).sum();
    if partition_count > MAX_PARTITIONS {
        return Err(PlanError::TooManyPartitions(partition_count));
    }
    let mut topics = BTreeMap::new();
    let (mut tiered, mut refused) = (Vec::new(), Vec::new());
    for (name, topic) in &image.topics {
        if names::validate(name).is_err() {
            return Err(PlanError::TopicName(name.clone()));
        }
        let set = image.configs.get(&(resource_type::TOPIC, name.clone())).cloned().unwrap_or_default();
        let (configs, unknown) = split(set, |key| topic_keys().get(key).is_some());
        if !unknown.is_empty() {
            left_out.push(format!("topic {name}: {}, unknown to topics of Kafka 4", unknown.join(", ")));
        }
        match TopicConfig::from_overrides(broker, &configs) {
            Ok(_) => {}
            Err(ConfigError::TieredStorageDisabled) => tiered.push(name.clone()),
            Err(error) => refused.push(format!("topic {name}: {error}")),
        }
        let leader_epochs = leader_epochs(name, topic)?;
        topics.insert(name.clone(), ImportedTopic { id: topic.id, leader_epochs, configs });
    }
    match (tiered.is_empty(), refused.is_empty()) {
        (false, _) => Err(PlanError::TieredStorage(some_of(&tiered))),
        (_, false) => Err(PlanError::TopicConfigs(refused.join("; "))),
        _ => Ok(topics),
    }
}

/// The metadata's leader epochs. One that is higher in a partition's log is found by the next start.
fn leader_epochs(name: &str, topic: &TopicImage) -> Result<Vec<i32>, PlanError> {
    let missing = |partition| PlanError::MissingPartition { topic: name.to_owned(), partition };
    if topic.partitions.is_empty() {
        return Err(missing(0));
    }
    let numbered = (0..).zip(&topic.partitions);
    let epoch = |(expected, (index, partition)): (i32, (&i32, &super::image::PartitionImage))| {
        if *index == expected { Ok(partition.leader_epoch.max(0)) } else { Err(missing(expected)) }
    };
    numbered.map(epoch).collect()
}

fn groups(image: &MetadataImage, left_out: &mut Vec<LeftOut>) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut groups = BTreeMap::new();
    for (id, set) in image.configs_of(resource_type::GROUP) {
        let (configs, unknown) = split(set.clone(), |key| group_keys().get(key).is_some());
        if !unknown.is_empty() {
            left_out.push(format!("group {id}: {}, unknown to groups of Kafka 4.3", unknown.join(", ")));
        }
        if !configs.is_empty() {
            groups.insert(id.to_owned(), configs);
        }
    }
    groups
}

/// The settings with a known key, and the keys of the others.
fn split(
    set: BTreeMap<String, String>,
    is_known: impl Fn(&str) -> bool,
) -> (BTreeMap<String, String>, Vec<String>) {
    let (known, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) =
        set.into_iter().partition(|(key, _)| is_known(key));
    (known, unknown.into_keys().collect())
}

/// The levels of what FluxMQ knows: a feature that the cluster doesn't have is off.
fn feature_levels(image: &MetadataImage, left_out: &mut Vec<LeftOut>) -> BTreeMap<String, i16> {
    let mut others = Vec::new();
    for (name, level) in &image.feature_levels {
        match Feature::of_name(name) {
            None => others.push(format!("{name}={level}")),
            Some(feature) if *level > feature.max_level() => {
                left_out.push(format!("{name}={level}: FluxMQ knows it up to {}", feature.max_level()));
            }
            Some(_) => {}
        }
    }
    if !others.is_empty() {
        left_out.push(format!("features that FluxMQ doesn't have: {}", others.join(", ")));
    }
    let level = |feature: Feature| {
        let level = image.feature_levels.get(feature.name()).copied().unwrap_or(0);
        (feature.name().to_owned(), level.clamp(0, feature.max_level()))
    };
    Feature::ALL.map(level).into()
}

/// Brokers' settings are for the command line and the file. A value is shown only where it does something here, which
/// that of no secret does.
fn note_broker_settings(image: &MetadataImage, node_id: i32, left_out: &mut Vec<LeftOut>) {
    let own = node_id.to_string();
    let mut set = BTreeMap::new();
    // Those of the broker win over those of all brokers, which come first.
    for (name, settings) in image.configs_of(resource_type::BROKER) {
        if name.is_empty() || name == own {
            set.extend(settings);
        }
    }
    let mut without_effect = Vec::new();
    for (key, value) in set {
        match broker_keys().get(key) {
            Some(known) if known.default.as_ref() == Some(value) => {}
            Some(known) if known.effect == Effect::Used => {
                left_out.push(format!("the broker's setting {key}: start with --override {key}={value}"));
            }
            _ => without_effect.push(key.clone()),
        }
    }
    if !without_effect.is_empty() {
        left_out.push(format!("settings of brokers without effect here: {}", without_effect.join(", ")));
    }
    let resources: BTreeSet<&str> =
        image.configs_of(resource_type::CLIENT_METRICS).map(|(name, _)| name).collect();
    if !resources.is_empty() {
        left_out.push(format!("{} subscriptions to metrics of clients: FluxMQ takes none", resources.len()));
    }
}

fn note_security(image: &MetadataImage, left_out: &mut Vec<LeftOut>) {
    let (acls, quotas) = (image.access_control_entries.len(), image.client_quotas.len());
    if acls > 0 {
        left_out.push(format!("ACLs ({acls}): with FluxMQ whoever can connect may do everything"));
    }
    if quotas > 0 {
        left_out.push(format!("client quotas ({quotas}): FluxMQ has none"));
    }
    for (kind, what) in [
        (PassedOver::ScramCredentials, "SCRAM credentials"),
        (PassedOver::DelegationTokens, "delegation tokens"),
    ] {
        if image.passed_over.contains(&kind) {
            left_out.push(format!("{what}: FluxMQ doesn't ask who connects"));
        }
    }
}

#[cfg(test)]
mod tests;
