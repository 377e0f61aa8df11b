//! IncrementalAlterConfigs (key 44), v0–1. KIP-339, KIP-848 (groups).
//!
//! Changes the settings of topics and of groups, each resource on its own, all of its keys or none, stored before the
//! answer leaves. Deliberately not here: settings of the broker, which are read at start, levels of its log, client
//! metrics (KIP-714), alter policies.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use fluxmq_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use fluxmq_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use fluxmq_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use super::metadata_change;
use crate::broker::Broker;
use crate::config::definition::{ConfigTable, group_keys, topic_keys};
use crate::config::value::ConfigType;
use crate::config::{TopicConfig, group};
use crate::error::ApiError;
use crate::meta::{Topic, names};
use crate::request::{Outcome, RequestContext};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Texts = BTreeMap<String, String>;

/// Changes settings on the blocking pool, in turn with the other changes of metadata.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    metadata_change::outcome(context, body, |broker, request, _| alter(broker, request))
}

fn alter(broker: &Broker, request: &IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let mut times: HashMap<(i8, &str), usize> = HashMap::new();
    for resource in &request.resources {
        *times.entry((resource.resource_type, &resource.resource_name)).or_default() += 1;
    }
    let responses = request.resources.iter().map(|resource| {
        let done = match times[&(resource.resource_type, resource.resource_name.as_str())] {
            1 => alter_resource(broker, resource, request.validate_only),
            _ => refused("Each resource must appear at most once."),
        };
        let error = done.err().unwrap_or(ApiError::bare(ErrorCode::None));
        AlterConfigsResourceResponse::default()
            .with_error_code(error.code.code())
            .with_error_message(error.wire_message())
            .with_resource_type(resource.resource_type)
            // A copy: the name in the request keeps the whole frame in memory.
            .with_resource_name(StrBytes::from_string(resource.resource_name.to_string()))
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn refused<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::InvalidRequest, message))
}

fn alter_resource(
    broker: &Broker,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), ApiError> {
    check_keys(&resource.configs)?;
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC => broker.metadata.alter_topic(&broker.partitions, name, |topic| {
            let changed = changed_topic(broker, name, topic, &resource.configs)?;
            Ok(Some(changed).filter(|_| !validate_only))
        }),
        GROUP => broker.metadata.alter_group(name, |texts| {
            let changed = applied(texts, &resource.configs, group_keys())?;
            if name.is_empty() {
                return refused("Default group resources are not allowed.");
            }
            group::validate(&broker.config, &changed)?;
            Ok(Some(changed).filter(|_| !validate_only))
        }),
        BROKER => refuse_broker(broker.config.node_id, name, &resource.configs),
        BROKER_LOGGER => refused("Levels of the broker's log can't be changed while it runs."),
        CLIENT_METRICS => refused("Client metrics subscriptions are not served."),
        kind => refused(format!("Unknown resource type {kind}")),
    }
}

/// What Kafka looks at before it looks at the resource.
fn check_keys(configs: &[AlterableConfig]) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    if !configs.iter().all(|config| seen.insert(config.name.as_str())) {
        return refused("Error due to duplicate config keys");
    }
    let without_value =
        configs.iter().filter(|config| config.config_operation != DELETE && config.value.is_none());
    let without_value: Vec<&str> = without_value.map(|config| config.name.as_str()).collect();
    if !without_value.is_empty() {
        return refused(format!("Null value not supported for : {}", without_value.join(", ")));
    }
    match configs.iter().find(|config| !(SET..=SUBTRACT).contains(&config.config_operation)) {
        Some(config) => refused(format!("Unknown operations type {}", config.config_operation)),
        None => Ok(()),
    }
}

/// Every key of the broker is read at start.
fn refuse_broker(node_id: i32, name: &str, configs: &[AlterableConfig]) -> Result<(), ApiError> {
    if !name.is_empty() {
        match name.parse::<i32>() {
            Err(_) => return refused(format!("Node id must be an integer, but it is: {name}")),
            Ok(id) if id != node_id => {
                return refused(format!("Unexpected broker id, expected {node_id}, but received {name}"));
            }
            Ok(_) => {}
        }
    }
    if configs.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
    refused(format!("Cannot update these configs dynamically: [{}]", keys.join(", ")))
}

/// The overrides and settings that a topic has after the change, checked in Kafka's order: that it exists comes last.
fn changed_topic(
    broker: &Broker,
    name: &str,
    topic: Option<&Topic>,
    configs: &[AlterableConfig],
) -> Result<(Texts, TopicConfig), ApiError> {
    let nothing = Texts::new();
    let overrides = topic.map_or(&nothing, |topic| &topic.overrides);
    let changed = applied(overrides, configs, topic_keys())?;
    if name.is_empty() {
        return refused("Default topic resources are not allowed.");
    }
    names::validate(name)
        .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    let config = TopicConfig::from_overrides(&broker.config, &changed)?;
    if topic.is_none() {
        let message = format!("The topic '{name}' does not exist.");
        return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
    }
    Ok((changed, config))
}

/// What is set once `configs` are applied to it.
fn applied(texts: &Texts, configs: &[AlterableConfig], keys: &ConfigTable) -> Result<Texts, ApiError> {
    let mut changed = texts.clone();
    for config in configs {
        let name = config.name.as_str();
        let value = config.value.as_deref().unwrap_or_default();
        match config.config_operation {
            SET => {
                changed.insert(name.to_owned(), value.to_owned());
            }
            DELETE => {
                changed.remove(name);
            }
            operation => {
                let key = keys.get(name).filter(|key| key.kind == ConfigType::List);
                let Some(key) = key else {
                    let verb = if operation == APPEND { "APPEND" } else { "SUBTRACT" };
                    let message = format!("Can't {verb} to key {name} because its type is not LIST.");
                    return Err(ApiError::new(ErrorCode::InvalidConfig, message));
                };
                let before = changed.get(name).or(key.default.as_ref()).map_or("", String::as_str);
                let after =
                    if operation == APPEND { appended(before, value) } else { subtracted(before, value) };
                changed.insert(name.to_owned(), after);
            }
        }
    }
    Ok(changed)
}

fn items(list: &str) -> Vec<&str> {
    list.split(',').filter(|item| !item.is_empty()).collect()
}

fn appended(before: &str, value: &str) -> String {
    let mut list = items(before);
    for item in items(value) {
        if !list.contains(&item) {
            list.push(item);
        }
    }
    list.join(",")
}

fn subtracted(before: &str, value: &str) -> String {
    let mut list = items(before);
    for item in items(value) {
        if let Some(place) = list.iter().position(|known| *known == item) {
            list.remove(place);
        }
    }
    list.join(",")
}
