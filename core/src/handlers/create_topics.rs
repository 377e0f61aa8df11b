//! CreateTopics (key 19), v2–7. KIP-4, KIP-464 (defaults by −1), KIP-525 (the topic's settings in the answer),
//! KIP-516 (its id), KIP-599 (mutation quotas: the throttle time is 0, no quota is kept).
//!
//! Answered as a Kafka cluster of one broker answers: a replication factor above 1 can't be met. Topics exist, logs
//! on disk and all, when the answer leaves, so `timeout_ms` isn't looked at. Deliberately not here: creation
//! policies (KIP-108).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use fluxmq_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use fluxmq_protocol::messages::{BrokerId, CreateTopicsRequest, CreateTopicsResponse, TopicName};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::{metadata_change, replica_assignment};
use crate::broker::Broker;
use crate::config::topic::created_configs;
use crate::config::{BrokerConfig, ConfigError, TopicConfig};
use crate::error::ApiError;
use crate::meta::{MAX_PARTITIONS_PER_REQUEST, NewTopic, TopicsImage, check_new_name, ids, names};
use crate::request::{Outcome, RequestContext};

/// Creates, or only checks, on the blocking pool.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    metadata_change::outcome(context, body, create)
}

fn create(broker: &Broker, request: &CreateTopicsRequest, _version: i16) -> CreateTopicsResponse {
    if requested_partitions(request, &broker.config) > MAX_PARTITIONS_PER_REQUEST {
        return refusal(request, "Excessively large number of partitions per request.");
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *counts.entry(&topic.name).or_default() += 1;
    }
    let image = broker.metadata.topics();
    let (mut results, mut planned) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        if counts[topic.name.as_str()] > 1 || &**topic.name == names::CLUSTER_METADATA_TOPIC {
            continue;
        }
        match plan(topic, &image, &broker.config) {
            Ok(new) => planned.push((results.len(), new)),
            Err(error) => {
                results.push(Some(failure(&topic.name, &error)));
                continue;
            }
        }
        results.push(None);
    }
    // Kafka's controller takes as many records in one go: one for a topic, a setting, a partition.
    let records = planned.iter().map(|(_, new)| 1 + new.overrides.len() + partitions_of(new));
    if records.sum::<usize>() > MAX_PARTITIONS_PER_REQUEST {
        return refusal(request, "Unable to perform excessively large batch operation.");
    }
    if request.validate_only {
        for (place, new) in planned {
            // Kafka, too, gives an id to the topic that it doesn't create.
            results[place] = Some(success(&broker.config, &new).with_topic_id(ids::random_topic_id()));
        }
    } else {
        let (places, new): (Vec<usize>, Vec<NewTopic>) = planned.into_iter().unzip();
        let created = broker.metadata.create_topics(&broker.partitions, new.clone());
        for ((place, new), created) in places.into_iter().zip(new).zip(created) {
            results[place] = Some(match created {
                Ok(topic) => success(&broker.config, &new).with_topic_id(topic.id),
                Err(error) => failure(&TopicName(new.name), &error.into()),
            });
        }
    }
    let mut topics: Vec<_> = results.into_iter().flatten().collect();
    topics.extend(set_aside(request, &counts));
    CreateTopicsResponse::default().with_topics(topics)
}

/// POLICY_VIOLATION for every topic of a request that asks for too much.
fn refusal(request: &CreateTopicsRequest, message: &str) -> CreateTopicsResponse {
    let error = ApiError::new(ErrorCode::PolicyViolation, message);
    let results = request.topics.iter().map(|topic| failure(&topic.name, &error));
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn partitions_of(new: &NewTopic) -> usize {
    usize::try_from(new.partition_count).expect("partition counts are positive")
}

/// The partitions that the request asks for in all, as Kafka counts them.
fn requested_partitions(request: &CreateTopicsRequest, config: &BrokerConfig) -> usize {
    let of_topic = |topic: &CreatableTopic| match topic.num_partitions {
        _ if !topic.assignments.is_empty() => topic.assignments.len(),
        -1 => usize::try_from(config.num_partitions).unwrap_or(1),
        count => usize::try_from(count).unwrap_or(0),
    };
    request.topics.iter().map(of_topic).fold(0, usize::saturating_add)
}

/// The results, each once, for the topics that Kafka doesn't hand to its controller.
fn set_aside(request: &CreateTopicsRequest, counts: &HashMap<&str, usize>) -> Vec<CreatableTopicResult> {
    let duplicates: BTreeSet<&TopicName> =
        request.topics.iter().map(|topic| &topic.name).filter(|name| counts[name.as_str()] > 1).collect();
    let duplicate = ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.");
    let mut results: Vec<_> = duplicates.into_iter().map(|name| failure(name, &duplicate)).collect();
    if counts.get(names::CLUSTER_METADATA_TOPIC) == Some(&1) {
        let name = names::CLUSTER_METADATA_TOPIC;
        let message = format!("Creation of internal topic {name} is prohibited.");
        let name = TopicName(StrBytes::from_static_str(name));
        results.push(failure(&name, &ApiError::new(ErrorCode::InvalidRequest, message)));
    }
    results
}

/// Checks one topic in Kafka's order and resolves its defaults.
fn plan(topic: &CreatableTopic, image: &TopicsImage, config: &BrokerConfig) -> Result<NewTopic, ApiError> {
    // A copy: the name in the request keeps the whole frame in memory.
    let name = StrBytes::from_string(topic.name.to_string());
    names::validate(&name)
        .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    check_new_name(image, &name)?;
    let overrides = overrides(topic)?;
    let topic_config = TopicConfig::from_overrides(config, &overrides)?;
    let partition_count = partition_count(topic, config)?;
    Ok(NewTopic { name, partition_count, overrides, config: Arc::new(topic_config) })
}

fn overrides(topic: &CreatableTopic) -> Result<BTreeMap<String, String>, ConfigError> {
    let without_value = topic.configs.iter().filter(|config| config.value.is_none());
    let without_value: Vec<String> = without_value.map(|config| config.name.to_string()).collect();
    if !without_value.is_empty() {
        return Err(ConfigError::NullValue(without_value));
    }
    let given = topic.configs.iter().filter_map(|config| Some((&config.name, config.value.as_ref()?)));
    Ok(given.map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

/// How many partitions the topic gets, if one broker can hold them as asked.
fn partition_count(topic: &CreatableTopic, config: &BrokerConfig) -> Result<i32, ApiError> {
    if !topic.assignments.is_empty() {
        return assigned_partition_count(topic, config.node_id);
    }
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
    }
    if topic.num_partitions < -1 || topic.num_partitions == 0 {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return Err(ApiError::new(ErrorCode::InvalidPartitions, message));
    }
    if topic.replication_factor > 1 {
        let factor = topic.replication_factor;
        let message = format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot \
             be reached because only 1 broker(s) are registered or some brokers have all their log directories \
             cordoned."
        );
        return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
    }
    Ok(if topic.num_partitions == -1 { config.num_partitions } else { topic.num_partitions })
}

fn assigned_partition_count(topic: &CreatableTopic, node_id: i32) -> Result<i32, ApiError> {
    if topic.replication_factor != -1 {
        let message =
            "A manual partition assignment was specified, but replication factor was not set to -1.";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    if topic.num_partitions != -1 {
        let message = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    let mut seen = BTreeSet::new();
    for CreatableReplicaAssignment { partition_index, broker_ids, .. } in &topic.assignments {
        if !seen.insert(*partition_index) {
            let message =
                format!("Found multiple manual partition assignments for partition {partition_index}");
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        replica_assignment::check(broker_ids, BrokerId(node_id))?;
    }
    let count = i32::try_from(seen.len()).expect("bounded by the check of the whole request");
    if !seen.into_iter().eq(0..count) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    Ok(count)
}

fn success(config: &BrokerConfig, new: &NewTopic) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(TopicName(new.name.clone()))
        .with_error_message(None)
        .with_num_partitions(new.partition_count)
        .with_replication_factor(1)
        .with_configs(Some(topic_configs(config, new)))
}

fn failure(name: &TopicName, error: &ApiError) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(name.clone())
        .with_error_code(error.code.code())
        .with_error_message(error.wire_message())
        .with_configs(Some(Vec::new()))
}
fn topic_configs(config: &BrokerConfig, new: &NewTopic) -> Vec<CreatableTopicConfigs> {
    let configs = created_configs(config, &new.overrides).into_iter().map(|(name, value, source)| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(value.map(StrBytes::from_string))
            .with_config_source(source.wire_id())
    });
    configs.collect()
}
