//! What the members of a consumer group subscribe to, counted; and the topics that their regular expressions match.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fluxmq_protocol::StrBytes;

use super::member::ConsumerGroupMember;
use crate::assignors::SubscriptionType;

/// How many subscribe to a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SubscriptionCount {
    /// Members that name it.
    by_name: usize,
    /// Regular expressions of the group that match it.
    by_regex: usize,
}

/// What a regular expression matched when it was last looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ResolvedRegularExpression {
    pub(crate) topics: Arc<BTreeSet<StrBytes>>,
    /// The version of the topics then.
    pub(crate) version: i64,
    /// When, in milliseconds since the Unix epoch.
    pub(crate) timestamp_ms: i64,
}

/// The subscriptions of a group's members. A turn that changes one works on a copy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Subscriptions {
    topics: BTreeMap<StrBytes, SubscriptionCount>,
    /// How many members subscribe with each regular expression.
    regexes: BTreeMap<StrBytes, usize>,
    resolved: BTreeMap<StrBytes, ResolvedRegularExpression>,
}

impl Subscriptions {
    /// Counts `new` in place of `old`.
    pub(crate) fn replace_member(
        &mut self,
        old: Option<&ConsumerGroupMember>,
        new: Option<&ConsumerGroupMember>,
    ) {
        let names = |member: Option<&ConsumerGroupMember>| {
            member.map(|member| Arc::clone(&member.subscribed_topic_names))
        };
        let (old_names, new_names) = (names(old), names(new));
        if old_names != new_names {
            for name in old_names.iter().flat_map(|names| names.iter()) {
                self.change(name, |count| count.by_name -= 1);
            }
            for name in new_names.iter().flat_map(|names| names.iter()) {
                self.change(name, |count| count.by_name += 1);
            }
        }
        if let Some(regex) = old.and_then(ConsumerGroupMember::regex) {
            let count = self.regexes.get_mut(regex).expect("a member's regular expression is counted");
            *count -= 1;
            if *count == 0 {
                self.regexes.remove(regex);
            }
        }
        if let Some(regex) = new.and_then(ConsumerGroupMember::regex) {
            *self.regexes.entry(regex.clone()).or_default() += 1;
        }
    }

    /// Sets or forgets what a regular expression matches.
    pub(crate) fn set_resolved(&mut self, regex: &StrBytes, resolved: Option<ResolvedRegularExpression>) {
        let old = self.resolved.remove(regex);
        for name in old.iter().flat_map(|old| old.topics.iter()) {
            self.change(name, |count| count.by_regex -= 1);
        }
        if let Some(new) = resolved {
            for name in new.topics.iter() {
                self.change(name, |count| count.by_regex += 1);
            }
            self.resolved.insert(regex.clone(), new);
        }
    }

    fn change(&mut self, name: &StrBytes, change: impl FnOnce(&mut SubscriptionCount)) {
        let count = self.topics.entry(name.clone()).or_default();
        change(count);
        if *count == SubscriptionCount::default() {
            self.topics.remove(name);
        }
    }

    /// Whether a member subscribes to the topic, by name or by a regular expression.
    pub(crate) fn contains(&self, topic: &str) -> bool {
        self.topics.contains_key(topic.as_bytes())
    }

    /// The names of all topics that members subscribe to, whether they exist or not.
    pub(crate) fn topic_names(&self) -> impl Iterator<Item = &StrBytes> {
        self.topics.keys()
    }

    /// The regular expressions that members subscribe with, with the number of those members.
    pub(crate) fn regexes(&self) -> &BTreeMap<StrBytes, usize> {
        &self.regexes
    }

    /// What the regular expressions match.
    pub(crate) fn resolved(&self) -> &BTreeMap<StrBytes, ResolvedRegularExpression> {
        &self.resolved
    }

    /// The topics that a member subscribes to.
    pub(crate) fn topics_of(&self, member: &ConsumerGroupMember) -> Arc<BTreeSet<StrBytes>> {
        let matched =
            member.regex().and_then(|regex| self.resolved.get(regex)).map(|resolved| &resolved.topics);
        match matched {
            Some(topics) if member.subscribed_topic_names.is_empty() => Arc::clone(topics),
            Some(topics) if !topics.is_empty() => {
                Arc::new(member.subscribed_topic_names.union(topics).cloned().collect())
            }
            _ => Arc::clone(&member.subscribed_topic_names),
        }
    }

    /// Whether all of `members` members subscribe to the same topics.
    pub(crate) fn subscription_type(&self, members: usize) -> SubscriptionType {
        let homogeneous = match self.regexes.values().next() {
            None => self.topics.values().all(|count| count.by_name == members),
            Some(&first) => {
                first == members
                    && self.topics.values().all(|count| count.by_regex == 1 && count.by_name == 0)
            }
        };
        if homogeneous { SubscriptionType::Homogeneous } else { SubscriptionType::Heterogeneous }
    }
}
