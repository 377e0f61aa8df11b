//! Keys that are in no table: what is said about them.

use super::definition::{broker_keys, topic_keys};
use super::topic::server_synonyms;

/// Beginnings of keys that belong to something else which reads the same file.
const FOREIGN: &[&str] = &[
    "allow.everyone.if.no.acl.found",
    "config.providers.",
    "confluent.",
    "rlmm.config.",
    "rsm.config.",
    "super.users",
];

/// Keys, or their beginnings, that Kafka had before 4.0.
const REMOVED: &[&str] = &[
    "advertised.host.name",
    "advertised.port",
    "auto.include.jmx.reporter",
    "broker.id.generation.enable",
    "control.plane.listener.name",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "delegation.token.master.key",
    "eligible.leader.replicas.enable",
    "group.coordinator.new.enable",
    "host.name",
    "inter.broker.protocol.version",
    "log.message.downconversion.enable",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "offsets.commit.required.acks",
    "password.encoder.",
    "port",
    "quota.consumer.default",
    "quota.producer.default",
    "reserved.broker.max.id",
    "zookeeper.",
];

/// What is known about a key without a line in the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// `listener.name.<listener>.<key>`, with a key from the table.
    ListenerOverride(&'static str),
    /// It belongs to a plugin or a vendor.
    Foreign,
    /// Kafka had it before 4.0.
    Removed,
    /// It is a topic's key; the broker's name for its default follows where there is one.
    Topic(Option<&'static str>),
    /// Nothing; the nearest known key follows when one is near.
    Nothing(Option<&'static str>),
}

/// Looks at a key that is in no table.
#[must_use]
pub fn classify(key: &str) -> Unknown {
    if let Some(base) = listener_override(key) {
        return Unknown::ListenerOverride(base);
    }
    let begins = |list: &[&str]| {
        list.iter().any(|known| key == *known || (known.ends_with('.') && key.starts_with(known)))
    };
    if begins(FOREIGN) {
        return Unknown::Foreign;
    }
    if begins(REMOVED) {
        return Unknown::Removed;
    }
    if topic_keys().get(key).is_some() {
        return Unknown::Topic(server_synonyms(key).first().copied());
    }
    let nearest = broker_keys()
        .iter()
        .filter(|known| !known.internal)
        .map(|known| (strsim::damerau_levenshtein(key, known.name), known.name))
        .min();
    Unknown::Nothing(nearest.filter(|(distance, _)| *distance <= 2.max(key.len() / 4)).map(|(_, name)| name))
}

/// The key from the table that `listener.name.<listener>.<key>` is about; a SASL mechanism may stand before it.
#[must_use]
pub fn listener_override(key: &str) -> Option<&'static str> {
    let (_, rest) = key.strip_prefix("listener.name.")?.split_once('.')?;
    let known = |name: &str| broker_keys().get(name).map(|found| found.name);
    known(rest).or_else(|| known(rest.split_once('.')?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let cases = [
            ("log.retention.mss", Unknown::Nothing(Some("log.retention.ms"))),
            ("auto.create.topic.enable", Unknown::Nothing(Some("auto.create.topics.enable"))),
            ("nmu.partitions", Unknown::Nothing(Some("num.partitions"))),
            ("something.else.entirely", Unknown::Nothing(None)),
            ("retention.ms", Unknown::Topic(Some("log.retention.ms"))),
            ("remote.storage.enable", Unknown::Topic(None)),
            ("zookeeper.connect", Unknown::Removed),
            ("port", Unknown::Removed),
            ("confluent.license.topic.replication.factor", Unknown::Foreign),
            ("listener.name.internal.max.connections", Unknown::ListenerOverride("max.connections")),
            ("listener.name.x.scram-sha-256.sasl.jaas.config", Unknown::ListenerOverride("sasl.jaas.config")),
        ];
        for (key, expected) in cases {
            assert_eq!(classify(key), expected, "{key}");
        }
    }
}
