//! The settings of one group: what was set for it, checked against the broker's bounds.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::definition::{ValueError, broker_keys, group_keys};

/// Why a group's settings are refused; every one is INVALID_CONFIG to a client and prints as Kafka's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupConfigError {
    /// A key that groups don't have.
    #[error("Unknown group config name: {0}")]
    UnknownName(String),
    /// A value that the key does not take.
    #[error(transparent)]
    InvalidValue(#[from] ValueError),
    /// Below the least that the broker allows.
    #[error("{key} must be greater than or equal to {bound}")]
    TooLow {
        /// The group's key.
        key: String,
        /// The broker's key.
        bound: String,
    },
    /// Above the most that the broker allows.
    #[error("{key} must be less than or equal to {bound}")]
    TooHigh {
        /// The group's key.
        key: String,
        /// The broker's key.
        bound: String,
    },
    /// Members would have to leave before they could send a heartbeat.
    #[error("{kind}.session.timeout.ms must be greater than {kind}.heartbeat.interval.ms")]
    SessionTooShort {
        /// The kind of group.
        kind: &'static str,
    },
}

/// What members of a consumer group are told where it was set for their group. Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerGroupSettings {
    /// `consumer.session.timeout.ms`
    pub session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`
    pub heartbeat_interval_ms: Option<i32>,
    /// `consumer.assignment.interval.ms`
    pub assignment_interval_ms: Option<i32>,
}

impl ConsumerGroupSettings {
    /// What `overrides` say, which were checked when they were set.
    #[must_use]
    pub fn of(overrides: &BTreeMap<String, String>) -> Self {
        let number = |key: &str| overrides.get(key)?.trim().parse().ok();
        ConsumerGroupSettings {
            session_timeout_ms: number("consumer.session.timeout.ms"),
            heartbeat_interval_ms: number("consumer.heartbeat.interval.ms"),
            assignment_interval_ms: number("consumer.assignment.interval.ms"),
        }
    }

    /// The same within what the broker allows now, which may be less than when they were set.
    #[must_use]
    pub fn within(self, bounds: &ConsumerGroupBounds) -> Self {
        let clamp = |value: Option<i32>, (min, max): (i32, i32)| value.map(|value| value.clamp(min, max));
        ConsumerGroupSettings {
            session_timeout_ms: clamp(self.session_timeout_ms, bounds.session_timeout_ms),
            heartbeat_interval_ms: clamp(self.heartbeat_interval_ms, bounds.heartbeat_interval_ms),
            assignment_interval_ms: clamp(self.assignment_interval_ms, bounds.assignment_interval_ms),
        }
    }
}

/// The least and the most that the broker allows a consumer group to set. Milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerGroupBounds {
    session_timeout_ms: (i32, i32),
    heartbeat_interval_ms: (i32, i32),
    assignment_interval_ms: (i32, i32),
}

impl ConsumerGroupBounds {
    /// The bounds of `group.consumer.min.*` and `group.consumer.max.*`.
    #[must_use]
    pub fn of(broker: &BrokerConfig) -> Self {
        let bounds = |setting: &str| {
            let bound = |which| broker_int(broker, &format!("group.consumer.{which}.{setting}"));
            (bound("min"), bound("max"))
        };
        ConsumerGroupBounds {
            session_timeout_ms: bounds("session.timeout.ms"),
            heartbeat_interval_ms: bounds("heartbeat.interval.ms"),
            assignment_interval_ms: bounds("assignment.interval.ms"),
        }
    }
}

/// The broker's bounds in the order in which Kafka looks at them: the kind of group, the setting, whether there is a
/// least.
const BOUNDS: [(&str, &str, bool); 13] = [
    ("consumer", "heartbeat.interval.ms", true),
    ("consumer", "session.timeout.ms", true),
    ("consumer", "assignment.interval.ms", true),
    ("share", "heartbeat.interval.ms", true),
    ("share", "session.timeout.ms", true),
    ("share", "record.lock.duration.ms", true),
    ("share", "delivery.count.limit", true),
    ("share", "partition.max.record.locks", true),
    ("share", "assignment.interval.ms", true),
    ("streams", "heartbeat.interval.ms", true),
    ("streams", "session.timeout.ms", true),
    ("streams", "num.standby.replicas", false),
    ("streams", "assignment.interval.ms", true),
];

/// Checks what is to be set for a group, as Kafka does: names, values, then the broker's bounds.
///
/// # Errors
/// The first fault.
pub fn validate(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<(), GroupConfigError> {
    if let Some(name) = overrides.keys().find(|name| group_keys().get(name).is_none()) {
        return Err(GroupConfigError::UnknownName(name.clone()));
    }
    for (name, text) in overrides {
        if let Some(key) = group_keys().get(name) {
            key.parse(text)?;
        }
    }
    let value_of = |key: &str| match overrides.get(key) {
        Some(text) => text.trim().parse().expect("the table says that the key is an INT"),
        None => broker_int(broker, &format!("group.{key}")),
    };
    for (kind, setting, has_least) in BOUNDS {
        let key = format!("{kind}.{setting}");
        let value = value_of(&key);
        let least = format!("group.{kind}.min.{setting}");
        // The broker's key of the most leaves out what is counted.
        let most = format!("group.{kind}.max.{}", setting.trim_start_matches("num."));
        if has_least && value < broker_int(broker, &least) {
            return Err(GroupConfigError::TooLow { key, bound: least });
        }
        if value > broker_int(broker, &most) {
            return Err(GroupConfigError::TooHigh { key, bound: most });
        }
    }
    let too_short = |kind: &&str| {
        value_of(&format!("{kind}.session.timeout.ms")) <= value_of(&format!("{kind}.heartbeat.interval.ms"))
    };
    match ["consumer", "share", "streams"].into_iter().find(too_short) {
        Some(kind) => Err(GroupConfigError::SessionTooShort { kind }),
        None => Ok(()),
    }
}

fn broker_int(broker: &BrokerConfig, name: &str) -> i32 {
    let key = broker_keys().get(name).unwrap_or_else(|| panic!("{name} is a key of the table"));
    let text = broker.value(key).unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("{name} is a number, which was checked at start"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Settings};

    fn broker(entries: &[(&'static str, &str)]) -> BrokerConfig {
        let mut settings = Settings::default();
        for (key, text) in entries {
            settings.set(*key, *text, Origin::Flag("test"));
        }
        BrokerConfig::from_settings(settings).unwrap()
    }

    fn overrides(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    /// Every text as Apache Kafka 4.3.0 answered it.
    #[test]
    fn refusals_are_kafkas() {
        let cases: [(&[(&str, &str)], &str); 15] = [
            (
                &[("consumer.session.timeout.ms", "1000")],
                "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
            ),
            (
                &[("consumer.session.timeout.ms", "61000")],
                "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms",
            ),
            (
                &[("consumer.heartbeat.interval.ms", "15001")],
                "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
            ),
            (
                &[("consumer.assignment.interval.ms", "15001")],
                "consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms",
            ),
            (
                &[("consumer.session.timeout.ms", "0")],
                "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1",
            ),
            (
                &[("consumer.session.timeout.ms", "abc")],
                "Invalid value abc for configuration consumer.session.timeout.ms: Not a number of type INT",
            ),
            (
                &[("consumer.session.timeout.ms", "")],
                "Invalid value  for configuration consumer.session.timeout.ms: Not a number of type INT",
            ),
            (&[("nope", "1"), ("consumer.session.timeout.ms", "abc")], "Unknown group config name: nope"),
            (
                &[("share.isolation.level", "x")],
                "Invalid value x for configuration share.isolation.level: String must be one of: read_committed, \
                 read_uncommitted",
            ),
            (
                &[("share.auto.offset.reset", "never")],
                "Invalid value never for configuration share.auto.offset.reset: Invalid value `never` for \
                 configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the \
                 format 'by_duration:<PnDTnHnMn.nS>'.",
            ),
            (
                &[("share.renew.acknowledge.enable", "maybe")],
                "Invalid value maybe for configuration share.renew.acknowledge.enable: Expected value to be either \
                 true or false",
            ),
            (
                &[("share.session.timeout.ms", "1"), ("streams.num.standby.replicas", "5")],
                "share.session.timeout.ms must be greater than or equal to group.share.min.session.timeout.ms",
            ),
            (
                &[("streams.num.standby.replicas", "5")],
                "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas",
            ),
            (
                &[("streams.num.standby.replicas", "-5")],
                "Invalid value -5 for configuration streams.num.standby.replicas: Value must be at least 0",
            ),
            (
                &[("consumer.heartbeat.interval.ms", "1")],
                "consumer.heartbeat.interval.ms must be greater than or equal to \
                 group.consumer.min.heartbeat.interval.ms",
            ),
        ];
        for (entries, text) in cases {
            let error = validate(&broker(&[]), &overrides(entries)).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        let bounds = [
            ("group.consumer.min.session.timeout.ms", "6000"),
            ("group.consumer.max.heartbeat.interval.ms", "50000"),
        ];
        let entries = [("consumer.session.timeout.ms", "6000"), ("consumer.heartbeat.interval.ms", "6000")];
        let error = validate(&broker(&bounds), &overrides(&entries)).unwrap_err();
        let text = "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn what_is_allowed_is_taken_and_kept_within_the_bounds_of_a_later_start() {
        let set = overrides(&[
            ("consumer.session.timeout.ms", " 60000 "),
            ("consumer.assignment.interval.ms", "0"),
            ("share.auto.offset.reset", "by_duration:PT1H"),
        ]);
        assert_eq!(validate(&broker(&[]), &set), Ok(()));
        let settings = ConsumerGroupSettings::of(&set);
        let expected = ConsumerGroupSettings {
            session_timeout_ms: Some(60_000),
            heartbeat_interval_ms: None,
            assignment_interval_ms: Some(0),
        };
        assert_eq!(settings, expected);
        let lower = broker(&[
            ("group.consumer.max.session.timeout.ms", "50000"),
            ("group.consumer.min.assignment.interval.ms", "500"),
        ]);
        let within = settings.within(&ConsumerGroupBounds::of(&lower));
        assert_eq!((within.session_timeout_ms, within.assignment_interval_ms), (Some(50_000), Some(500)));
        assert_eq!(within.heartbeat_interval_ms, None);
    }
}
