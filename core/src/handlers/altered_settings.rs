//! What IncrementalAlterConfigs and AlterConfigs share: the settings of topics and of groups, changed while the broker
//! runs.

use std::collections::{BTreeMap, HashMap, HashSet};

use fluxmq_protocol::ErrorCode;

use crate::broker::Broker;
use crate::config::definition::{ConfigTable, group_keys, topic_keys};
use crate::config::value::ConfigType;
use crate::config::{TopicConfig, group};
use crate::error::ApiError;
use crate::meta::{Topic, names};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// Gives a key a value.
pub(super) const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What a request asks for one resource.
pub(super) struct Asked<'a> {
    /// The resource's type.
    pub(super) kind: i8,
    /// Its name.
    pub(super) name: &'a str,
    /// What is to become of its keys.
    pub(super) changes: Vec<Change<'a>>,
    /// Whether the keys that are not named are to be unset.
    pub(super) replaces: bool,
}

/// What is to become of one key.
pub(super) struct Change<'a> {
    /// The key.
    pub(super) key: &'a str,
    /// [`SET`] or another of Kafka's operations.
    pub(super) operation: i8,
    /// The value, if any.
    pub(super) value: Option<&'a str>,
}

type Texts = BTreeMap<String, String>;

/// Changes the settings of each resource, all of its keys or none; the results are in the order of `asked`.
pub(super) fn alter(broker: &Broker, asked: &[Asked<'_>], validate_only: bool) -> Vec<Result<(), ApiError>> {
    let mut times: HashMap<(i8, &str), usize> = HashMap::new();
    for one in asked {
        *times.entry((one.kind, one.name)).or_default() += 1;
    }
    let done = asked.iter().map(|one| match times[&(one.kind, one.name)] {
        1 => alter_resource(broker, one, validate_only),
        _ => refused("Each resource must appear at most once."),
    });
    done.collect()
}

fn refused<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::InvalidRequest, message))
}

fn alter_resource(broker: &Broker, asked: &Asked<'_>, validate_only: bool) -> Result<(), ApiError> {
    check_keys(&asked.changes)?;
    let name = asked.name;
    match asked.kind {
        TOPIC => broker.metadata.alter_topic(&broker.partitions, name, |topic| {
            let changed = changed_topic(broker, name, topic, asked)?;
            Ok(Some(changed).filter(|_| !validate_only))
        }),
        GROUP => broker.metadata.alter_group(name, |texts| {
            let changed = applied(texts, asked, group_keys())?;
            if name.is_empty() {
                return refused("Default group resources are not allowed.");
            }
            group::validate(&broker.config, &changed)?;
            Ok(Some(changed).filter(|_| !validate_only))
        }),
        BROKER => refuse_broker(broker.config.node_id, name, &asked.changes),
        // Only the incremental request knows of them.
        BROKER_LOGGER if !asked.replaces => {
            refused("Levels of the broker's log can't be changed while it runs.")
        }
        CLIENT_METRICS => refused("Client metrics subscriptions are not served."),
        kind => refused(format!("Unknown resource type {kind}")),
    }
}

/// What Kafka looks at before it looks at the resource.
fn check_keys(changes: &[Change<'_>]) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    if !changes.iter().all(|change| seen.insert(change.key)) {
        return refused("Error due to duplicate config keys");
    }
    let without_value = changes.iter().filter(|change| change.operation != DELETE && change.value.is_none());
    let without_value: Vec<&str> = without_value.map(|change| change.key).collect();
    if !without_value.is_empty() {
        return refused(format!("Null value not supported for : {}", without_value.join(", ")));
    }
    match changes.iter().find(|change| !(SET..=SUBTRACT).contains(&change.operation)) {
        Some(change) => refused(format!("Unknown operations type {}", change.operation)),
        None => Ok(()),
    }
}

/// Every key of the broker is read at start.
fn refuse_broker(node_id: i32, name: &str, changes: &[Change<'_>]) -> Result<(), ApiError> {
    if !name.is_empty() {
        match name.parse::<i32>() {
            Err(_) => return refused(format!("Node id must be an integer, but it is: {name}")),
            Ok(id) if id != node_id => {
                return refused(format!("Unexpected broker id, expected {node_id}, but received {name}"));
            }
            Ok(_) => {}
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = changes.iter().map(|change| change.key).collect();
    refused(format!("Cannot update these configs dynamically: [{}]", keys.join(", ")))
}

/// The overrides and settings that a topic has after the change, checked in Kafka's order: that it exists comes last.
fn changed_topic(
    broker: &Broker,
    name: &str,
    topic: Option<&Topic>,
    asked: &Asked<'_>,
) -> Result<(Texts, TopicConfig), ApiError> {
    let nothing = Texts::new();
    let overrides = topic.map_or(&nothing, |topic| &topic.overrides);
    let changed = applied(overrides, asked, topic_keys())?;
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

/// What is set once it is changed as asked.
fn applied(texts: &Texts, asked: &Asked<'_>, keys: &ConfigTable) -> Result<Texts, ApiError> {
    let mut changed = if asked.replaces { Texts::new() } else { texts.clone() };
    for change in &asked.changes {
        let name = change.key;
        let value = change.value.unwrap_or_default();
        match change.operation {
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
