//! When the regular expressions of a group are looked at, and what then changes. Kafka does it on another thread and
//! lets the group wait for a later heartbeat; here it is part of the turn, which the engine's bounds allow.

use std::borrow::Cow;
use std::sync::Arc;

use fluxmq_protocol::StrBytes;

use super::error::ConsumerGroupError;
use super::group::{Checked, ConsumerGroup};
use super::member::ConsumerGroupMember;
use super::records;
use super::regex::TopicPattern;
use super::subscriptions::{ResolvedRegularExpression, Subscriptions};
use crate::config::GroupCoordinatorConfig;
use crate::turn::Turn;

/// The shortest time between two looks at all regular expressions of a group, however often topics come and go.
const REFRESH_MIN_INTERVAL_MS: i64 = 10_000;

/// A look at the regular expressions of a group, in the course of a member's step from `old` to `member`.
pub(super) struct Refresh<'a> {
    pub(super) config: &'a GroupCoordinatorConfig,
    pub(super) group: &'a ConsumerGroup,
    pub(super) old: &'a ConsumerGroupMember,
    pub(super) member: &'a ConsumerGroupMember,
}

impl Refresh<'_> {
    /// Resolves what is new, and everything if it is time to. `subscriptions` has the step's change of names and
    /// expressions already. Tells whether the group needs a new epoch.
    ///
    /// # Errors
    /// [`ConsumerGroupError::InvalidRegularExpression`] for a new one that can't be compiled.
    pub(super) fn run(
        &self,
        turn: &mut Turn<'_>,
        subscriptions: &mut Cow<'_, Subscriptions>,
        checked: &mut Checked,
    ) -> Result<bool, ConsumerGroupError> {
        let mut bump = false;
        if self.old.subscribed_topic_regex != self.member.subscribed_topic_regex {
            bump = self.member_changed(turn, subscriptions)?;
        }
        if subscriptions.regexes().is_empty() {
            return Ok(bump);
        }
        let all = self.is_due(turn, *checked);
        if all {
            checked.regexes = Some((turn.now.monotonic_ms, turn.topics.version()));
        } else if subscriptions.regexes().len() == subscriptions.resolved().len() {
            return Ok(bump);
        }
        let known = subscriptions.resolved();
        let due = subscriptions.regexes().keys().filter(|regex| all || !known.contains_key(*regex));
        for regex in due.cloned().collect::<Vec<_>>() {
            bump |= self.resolve(turn, subscriptions, &regex);
        }
        Ok(bump)
    }

    /// The member has another expression, or none, or has one now.
    fn member_changed(
        &self,
        turn: &mut Turn<'_>,
        subscriptions: &mut Cow<'_, Subscriptions>,
    ) -> Result<bool, ConsumerGroupError> {
        let (old, new) = (self.old.regex(), self.member.regex());
        let known = self.group.subscriptions.regexes();
        if let Some(new) = new.filter(|new| !known.contains_key(*new)) {
            TopicPattern::compile(new).map_err(|error| ConsumerGroupError::InvalidRegularExpression {
                regex: new.clone(),
                description: error.to_string(),
            })?;
        }
        if let Some(old) = old.filter(|old| !subscriptions.regexes().contains_key(*old)) {
            turn.records.push(records::regular_expression_tombstone(&self.group.group_id, old));
            subscriptions.to_mut().set_resolved(old, None);
        }
        // Kafka waits for what a new expression matches, and forgets then that the old one matched something.
        Ok(old.is_some() || new.is_some_and(|new| subscriptions.resolved().contains_key(new)))
    }

    /// Whether all expressions are to be looked at: topics changed, or it is long ago.
    fn is_due(&self, turn: &Turn<'_>, checked: Checked) -> bool {
        let Some((at_ms, version)) = checked.regexes else { return true };
        let age_ms = turn.now.monotonic_ms - at_ms;
        let refresh_ms = i64::from(self.config.consumer_regex_refresh_interval_ms);
        age_ms > REFRESH_MIN_INTERVAL_MS && (version != turn.topics.version() || age_ms > refresh_ms)
    }

    /// Looks at one expression. A record is left if it matches other topics than before. An expression that another
    /// engine took and this one doesn't matches nothing.
    fn resolve(
        &self,
        turn: &mut Turn<'_>,
        subscriptions: &mut Cow<'_, Subscriptions>,
        regex: &StrBytes,
    ) -> bool {
        let topics =
            TopicPattern::compile(regex).map(|pattern| pattern.resolve(turn.topics)).unwrap_or_default();
        let known = subscriptions.resolved().get(regex).map(|known| &known.topics);
        let changed = known.map_or(!topics.is_empty(), |known| **known != topics);
        if changed || known.is_none() {
            let resolved = ResolvedRegularExpression {
                topics: Arc::new(topics),
                version: turn.topics.version(),
                timestamp_ms: turn.now.wall_ms,
            };
            turn.records.push(records::regular_expression(&self.group.group_id, regex, &resolved));
            subscriptions.to_mut().set_resolved(regex, Some(resolved));
        }
        changed
    }
}
