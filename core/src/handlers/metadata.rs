//! Metadata (key 3), v0–13. KIP-4 and KIP-204 (auto-creation by the client's leave), KIP-430 (authorised
//! operations), KIP-516 (topic ids, from v12), KIP-700, KIP-1102 (the error of v13).
//!
//! A topic that is created automatically is described in the same answer, ready for use; Kafka answers
//! UNKNOWN_TOPIC_OR_PARTITION first and has it ready when the client asks again. A name that can't be created
//! because it collides with another gets INVALID_TOPIC_EXCEPTION; Kafka lets the client ask for ever. Deliberately
//! not here: creating Kafka's internal topics by asking for them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::messages::metadata_request::MetadataRequestTopic;
use fluxmq_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use fluxmq_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use fluxmq_protocol::{ErrorCode, StrBytes};
use uuid::Uuid;

use super::authorized_operations;
use crate::broker::Broker;
use crate::meta::cluster::Node;
use crate::meta::{NewTopic, Topic, TopicsImage, names};
use crate::partitions::partition::Partition;
use crate::request::{Outcome, RequestContext};

/// The first version whose requests may name topics by id.
const FIRST_VERSION_WITH_IDS: i16 = 12;
/// Partitions that a network thread describes in one answer; more are left to the blocking pool.
const MAX_PARTITIONS_ON_NETWORK_THREAD: usize = 1_000;
/// The first version whose response has an error of its own.
const FIRST_VERSION_WITH_ERROR: i16 = 13;

/// Answers from the image; goes to the blocking pool when a topic is to be created first.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: MetadataRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let version = context.api_version;
    let wanted = match Wanted::of(&request, version) {
        Ok(wanted) => wanted,
        Err(refusal) => return Outcome::Ready(context.respond(&refusal)),
    };
    let node = Node::of(context);
    let broker = context.broker();
    let image = broker.metadata.topics();
    let to_create = match &wanted {
        Wanted::Names(wanted)
            if request.allow_auto_topic_creation && broker.config.auto_create_topics_enable =>
        {
            missing(wanted, &image)
        }
        _ => Vec::new(),
    };
    if wanted == Wanted::All && image.partition_count() > MAX_PARTITIONS_ON_NETWORK_THREAD {
        let context = context.detached();
        return Outcome::wait(async move {
            let pool = context.broker().blocking.clone();
            let respond =
                move || context.respond(&answer(&request, version, &wanted, &node, &image, &BTreeMap::new()));
            pool.run(respond).await
        });
    }
    if to_create.is_empty() {
        let response = answer(&request, version, &wanted, &node, &image, &BTreeMap::new());
        return Outcome::Ready(context.respond(&response));
    }
    let context = context.detached();
    Outcome::Exclusive(Box::pin(async move {
        let broker = Arc::clone(context.broker());
        let change = move || create_missing(&broker, to_create);
        let failures = context.broker().metadata.in_turn(&context.broker().blocking, change).await;
        let image = context.broker().metadata.topics();
        context.respond(&answer(&request, version, &wanted, &node, &image, &failures))
    }))
}

/// Which topics the client asks for.
#[derive(Debug, PartialEq)]
enum Wanted {
    All,
    /// Each once, in the order of the request.
    Names(Vec<TopicName>),
    /// Each once, in the order of the request.
    Ids(Vec<Uuid>),
}

impl Wanted {
    /// Reads the request, whose empty list means "all" in v0 and "none" from v1, where null means "all".
    fn of(request: &MetadataRequest, version: i16) -> Result<Self, MetadataResponse> {
        let topics = match &request.topics {
            None => return Ok(Self::All),
            Some(topics) if topics.is_empty() && version == 0 => return Ok(Self::All),
            Some(topics) => topics,
        };
        let has_id = |topic: &MetadataRequestTopic| !topic.topic_id.is_nil();
        let refused = if version < FIRST_VERSION_WITH_IDS {
            topics.iter().any(|topic| topic.name.is_none() || has_id(topic))
        } else {
            topics.iter().any(|topic| topic.name.is_none() && !has_id(topic))
        };
        if refused {
            return Err(refusal(topics, version));
        }
        if topics.iter().any(has_id) {
            // As in Kafka: names beside an id are not looked at.
            let mut seen = HashSet::new();
            let ids = topics.iter().map(|topic| topic.topic_id);
            return Ok(Self::Ids(ids.filter(|id| !id.is_nil() && seen.insert(*id)).collect()));
        }
        let mut seen = HashSet::new();
        let names = topics.iter().filter_map(|topic| topic.name.as_ref());
        Ok(Self::Names(names.filter(|name| seen.insert(*name)).cloned().collect()))
    }
}

/// INVALID_REQUEST for every topic in the request, and for the whole of it where the version can say so.
fn refusal(topics: &[MetadataRequestTopic], version: i16) -> MetadataResponse {
    let error = ErrorCode::InvalidRequest;
    let refused = topics.iter().map(|topic| {
        MetadataResponseTopic::default()
            .with_name(Some(topic.name.clone().unwrap_or_default()))
            .with_topic_id(topic.topic_id)
            .with_error_code(error.code())
    });
    MetadataResponse::default()
        .with_controller_id(BrokerId(-1))
        .with_cluster_id(None)
        .with_topics(refused.collect())
        .with_error_code(if version >= FIRST_VERSION_WITH_ERROR { error.code() } else { 0 })
}

/// The names that a topic may be created for.
fn missing(wanted: &[TopicName], image: &TopicsImage) -> Vec<StrBytes> {
    wanted
        .iter()
        .filter(|name| {
            image.by_name(name).is_none() && names::validate(name).is_ok() && !names::is_reserved(name)
        })
        // A copy: the name in the request keeps the whole frame in memory.
        .map(|name| StrBytes::from_string(name.to_string()))
        .collect()
}

/// Creates topics with the broker's defaults. Returns why the others were not created.
fn create_missing(broker: &Broker, names: Vec<StrBytes>) -> BTreeMap<StrBytes, ErrorCode> {
    let config = Arc::new(broker.config.topic_defaults.clone());
    let new = names
        .iter()
        .map(|name| NewTopic {
            name: name.clone(),
            partition_count: broker.config.num_partitions,
            overrides: BTreeMap::new(),
            config: Arc::clone(&config),
        })
        .collect();
    let results = broker.metadata.create_topics(&broker.partitions, new);
    let failures = names.into_iter().zip(results).filter_map(|(name, result)| {
        let error = result.err()?;
        Some((name, ErrorCode::from(&error)))
    });
    // Another request was faster: the topic is there.
    failures.filter(|(_, error)| *error != ErrorCode::TopicAlreadyExists).collect()
}

fn answer(
    request: &MetadataRequest,
    version: i16,
    wanted: &Wanted,
    node: &Node,
    image: &TopicsImage,
    failures: &BTreeMap<StrBytes, ErrorCode>,
) -> MetadataResponse {
    let topic_operations = if request.include_topic_authorized_operations {
        authorized_operations::TOPIC
    } else {
        authorized_operations::NOT_ASKED
    };
    let cluster_operations = if request.include_cluster_authorized_operations && (8..=10).contains(&version) {
        authorized_operations::CLUSTER
    } else {
        authorized_operations::NOT_ASKED
    };
    let describe = |topic: &Arc<Topic>| describe(topic, node, topic_operations);
    let topics = match wanted {
        Wanted::All => image.iter().map(describe).collect(),
        Wanted::Names(names) => names
            .iter()
            .map(|name| match image.by_name(name) {
                Some(topic) => describe(topic),
                None => unknown_name(name, failures.get(&name.0).copied())
                    .with_topic_authorized_operations(topic_operations),
            })
            .collect(),
        Wanted::Ids(ids) => ids
            .iter()
            .map(|id| match image.by_id(*id) {
                Some(topic) => describe(topic),
                None => MetadataResponseTopic::default()
                    .with_error_code(ErrorCode::UnknownTopicId.code())
                    .with_name(None)
                    .with_topic_id(*id),
            })
            .collect(),
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(node.id)
        .with_host(node.host.clone())
        .with_port(node.port)
        .with_rack(node.rack.clone());
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(node.cluster_id.clone()))
        .with_controller_id(node.id)
        .with_topics(topics)
        .with_cluster_authorized_operations(cluster_operations)
}

fn unknown_name(name: &TopicName, failure: Option<ErrorCode>) -> MetadataResponseTopic {
    let error = match failure {
        Some(failure) => failure,
        None if names::validate(name).is_err() => ErrorCode::InvalidTopicException,
        None => ErrorCode::UnknownTopicOrPartition,
    };
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(name.clone()))
        .with_is_internal(names::is_internal(name))
}

fn describe(topic: &Arc<Topic>, node: &Node, operations: i32) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| describe_partition(partition, node.id));
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(topic.name.clone())))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(operations)
}

fn describe_partition(partition: &Partition, node: BrokerId) -> MetadataResponsePartition {
    let described = MetadataResponsePartition::default()
        .with_partition_index(partition.name().index)
        .with_leader_epoch(partition.leader_epoch())
        .with_replica_nodes(vec![node]);
    if partition.is_offline() {
        described
            .with_error_code(ErrorCode::LeaderNotAvailable.code())
            .with_leader_id(BrokerId(-1))
            .with_offline_replicas(vec![node])
    } else {
        described.with_leader_id(node).with_isr_nodes(vec![node])
    }
}
