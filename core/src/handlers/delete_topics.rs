//! DeleteTopics (key 20), v1–6. KIP-4, KIP-516 (by id, v6), KIP-599 (mutation quotas: the throttle time is 0, no
//! quota is kept).
//!
//! Topics are gone when the answer leaves, so `timeout_ms` isn't looked at; their files are unlinked later.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use fluxmq_protocol::ErrorCode;
use fluxmq_protocol::messages::delete_topics_request::DeleteTopicState;
use fluxmq_protocol::messages::delete_topics_response::DeletableTopicResult;
use fluxmq_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use uuid::Uuid;

use super::metadata_change;
use crate::broker::Broker;
use crate::error::ApiError;
use crate::meta::TopicsImage;
use crate::request::{Outcome, RequestContext};

/// The first version in which the code for a switched-off deletion exists.
const FIRST_VERSION_WITH_DELETION_DISABLED: i16 = 3;
/// The first version that carries topics as pairs of name and id.
const FIRST_VERSION_WITH_IDS: i16 = 6;

/// Deletes on the blocking pool.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    metadata_change::outcome(context, body, delete)
}

fn delete(broker: &Broker, request: &DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
    let topics = topics(request, version);
    if !broker.config.delete_topic_enable {
        let error = if version < FIRST_VERSION_WITH_DELETION_DISABLED {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        let refused = topics.into_iter().map(|topic| {
            let error = ApiError::bare(error);
            result(topic.name, topic.topic_id, &error)
        });
        return DeleteTopicsResponse::default().with_responses(refused.collect());
    }
    let plan = Plan::of(topics, &broker.metadata.topics());
    let mut responses = plan.refused;
    let ids: Vec<Uuid> = plan.deletable.iter().map(|(id, _)| *id).collect();
    let deleted = broker.metadata.delete_topics(&broker.partitions, &ids);
    let gone = deleted.iter().flatten().map(|topic| topic.name.clone());
    broker.groups.topics_deleted(&gone.collect::<Vec<_>>());
    for ((id, name), deleted) in plan.deletable.into_iter().zip(deleted) {
        let error = deleted.err().map_or(ApiError::bare(ErrorCode::None), ApiError::from);
        responses.push(result(Some(name), id, &error));
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

/// The topics asked for, in the form of v6.
fn topics(request: &DeleteTopicsRequest, version: i16) -> Vec<DeleteTopicState> {
    if version >= FIRST_VERSION_WITH_IDS {
        return request.topics.clone();
    }
    let by_name = |name: &TopicName| DeleteTopicState::default().with_name(Some(name.clone()));
    request.topic_names.iter().map(by_name).collect()
}

/// What is to be done about a request.
#[derive(Default)]
struct Plan {
    refused: Vec<DeletableTopicResult>,
    /// Each id once.
    deletable: Vec<(Uuid, TopicName)>,
}

impl Plan {
    fn of(topics: Vec<DeleteTopicState>, image: &TopicsImage) -> Self {
        let mut plan = Self::default();
        let (mut names, mut ids) = (Vec::new(), Vec::new());
        for topic in topics {
            match topic.name {
                None if topic.topic_id.is_nil() => {
                    plan.refuse(None, topic.topic_id, "Neither topic name nor id were specified.");
                }
                None => ids.push(topic.topic_id),
                Some(name) if topic.topic_id.is_nil() => names.push(name),
                Some(name) => {
                    let message = "You may not specify both topic name and topic id.";
                    plan.refuse(Some(name), topic.topic_id, message);
                }
            }
        }
        let (names, duplicate_names) = once(names);
        let (ids, duplicate_ids) = once(ids);
        for name in duplicate_names {
            plan.refuse(Some(name), Uuid::nil(), "Duplicate topic name.");
        }
        for id in &duplicate_ids {
            plan.refuse(None, *id, "Duplicate topic id.");
        }
        for id in ids {
            match image.by_id(id) {
                Some(topic) => plan.deletable.push((id, TopicName(topic.name.clone()))),
                None => {
                    let message = "This server does not host this topic ID.";
                    let error = ApiError::new(ErrorCode::UnknownTopicId, message);
                    plan.refused.push(result(None, id, &error));
                }
            }
        }
        for name in names {
            plan.add_named(name, image, &duplicate_ids);
        }
        plan
    }

    /// Adds a topic asked for by its name. One that was asked for by its id as well isn't deleted at all, as in Kafka.
    fn add_named(&mut self, name: TopicName, image: &TopicsImage, duplicate_ids: &[Uuid]) {
        let Some(topic) = image.by_name(&name) else {
            let message = "This server does not host this topic-partition.";
            let error = ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
            self.refused.push(result(Some(name), Uuid::nil(), &error));
            return;
        };
        let twice = self.deletable.iter().position(|(id, _)| *id == topic.id);
        if let Some(place) = twice {
            self.deletable.swap_remove(place);
        }
        if twice.is_some() || duplicate_ids.contains(&topic.id) {
            let message = "The provided topic name maps to an ID that was already supplied.";
            self.refuse(Some(name), topic.id, message);
        } else {
            self.deletable.push((topic.id, name));
        }
    }

    fn refuse(&mut self, name: Option<TopicName>, id: Uuid, message: &str) {
        self.refused.push(result(name, id, &ApiError::new(ErrorCode::InvalidRequest, message)));
    }
}

/// Those that occur once, and those that occur more often, each once.
fn once<T: Clone + Eq + std::hash::Hash>(items: Vec<T>) -> (Vec<T>, Vec<T>) {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for item in &items {
        *counts.entry(item.clone()).or_default() += 1;
    }
    let (mut single, mut several, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for item in items {
        if counts[&item] == 1 {
            single.push(item);
        } else if seen.insert(item.clone()) {
            several.push(item);
        }
    }
    (single, several)
}

fn result(name: Option<TopicName>, id: Uuid, error: &ApiError) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(name)
        .with_topic_id(id)
        .with_error_code(error.code.code())
        .with_error_message(error.wire_message())
}
