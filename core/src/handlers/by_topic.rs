//! Answers that are collected topic by topic, where a topic may come up again.

use std::collections::HashMap;

use fluxmq_protocol::messages::TopicName;

/// The answers for topics, in the order in which they came up first.
#[derive(Clone, Debug)]
pub(super) struct ByTopic<T> {
    topics: Vec<T>,
    places: HashMap<TopicName, usize>,
}

impl<T> ByTopic<T> {
    /// None yet.
    pub(super) fn new() -> Self {
        ByTopic { topics: Vec::new(), places: HashMap::new() }
    }

    /// The answer for a topic, which `create` makes if there is none yet.
    pub(super) fn entry(&mut self, name: &TopicName, create: impl FnOnce(TopicName) -> T) -> &mut T {
        let place = *self.places.entry(name.clone()).or_insert_with(|| {
            self.topics.push(create(name.clone()));
            self.topics.len() - 1
        });
        &mut self.topics[place]
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The answers.
    pub(super) fn into_topics(self) -> Vec<T> {
        self.topics
    }
}
