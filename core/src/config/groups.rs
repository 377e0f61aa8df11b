//! What Kafka checks across the keys of groups at start.

use super::reader::Reader;
use super::settings::ConfigFault;

/// How one key must stand to another.
#[derive(Clone, Copy)]
enum Relation {
    AtLeast,
    AtMost,
    Below,
}

impl Relation {
    fn holds(self, value: i32, other: i32) -> bool {
        match self {
            Relation::AtLeast => value >= other,
            Relation::AtMost => value <= other,
            Relation::Below => value < other,
        }
    }

    /// Kafka's words.
    fn words(self) -> &'static str {
        match self {
            Relation::AtLeast => "greater than or equal to",
            Relation::AtMost => "less than or equal to",
            Relation::Below => "less than",
        }
    }
}

const PROTOCOLS: &str = "group.coordinator.rebalance.protocols";
const ASSIGNORS: &str = "group.consumer.assignors";
const CODEC: &str = "offsets.topic.compression.codec";
/// The codecs' numbers in a batch: none, gzip, Snappy, LZ4, zstd.
const LAST_CODEC: i32 = 4;

/// What `group.consumer.assignors` may name: Kafka's assignors, or the Java classes of the same.
pub const CONSUMER_ASSIGNORS: [[&str; 2]; 2] = [
    ["uniform", "org.apache.kafka.coordinator.group.assignor.UniformAssignor"],
    ["range", "org.apache.kafka.coordinator.group.assignor.RangeAssignor"],
];

/// The settings that a group can have for itself, which the broker's keys bound.
const BOUNDED: [(&str, &str); 12] = [
    ("consumer", "heartbeat.interval.ms"),
    ("consumer", "session.timeout.ms"),
    ("consumer", "assignment.interval.ms"),
    ("share", "heartbeat.interval.ms"),
    ("share", "session.timeout.ms"),
    ("share", "assignment.interval.ms"),
    ("share", "delivery.count.limit"),
    ("share", "partition.max.record.locks"),
    ("share", "record.lock.duration.ms"),
    ("streams", "heartbeat.interval.ms"),
    ("streams", "session.timeout.ms"),
    ("streams", "assignment.interval.ms"),
];

impl Reader {
    /// Refuses what no group could be served with.
    pub(super) fn check_groups(&self) -> Result<(), ConfigFault> {
        for (kind, setting) in BOUNDED {
            let [value, min, max] =
                ["", "min.", "max."].map(|bound| format!("group.{kind}.{bound}{setting}"));
            self.require(&max, Relation::AtLeast, &min)?;
            self.require(&value, Relation::AtLeast, &min)?;
            self.require(&value, Relation::AtMost, &max)?;
        }
        for kind in ["consumer", "share", "streams"] {
            let heartbeat = format!("group.{kind}.heartbeat.interval.ms");
            self.require(&heartbeat, Relation::Below, &format!("group.{kind}.session.timeout.ms"))?;
        }
        let standbys = ["group.streams.num.standby.replicas", "group.streams.max.standby.replicas"];
        self.require(standbys[0], Relation::AtMost, standbys[1])?;
        self.require("group.share.max.share.sessions", Relation::AtLeast, "group.share.max.size")?;

        if !self.list(PROTOCOLS).iter().any(|protocol| protocol == "classic") {
            return Err(self.fault(PROTOCOLS, "Disabling the 'classic' protocol is not supported."));
        }
        self.check_assignors()?;
        let codec = self.int(CODEC);
        if !(0..=LAST_CODEC).contains(&codec) {
            let reason = format!("Unknown compression type id: {codec}");
            let allowed = "0 (none), 1 (gzip), 2 (Snappy), 3 (LZ4) or 4 (zstd)";
            return Err(self.fault_allowing(CODEC, &reason, allowed));
        }
        Ok(())
    }

    fn check_assignors(&self) -> Result<(), ConfigFault> {
        let fault = |reason: &str| self.fault_allowing(ASSIGNORS, reason, "a list of uniform, range");
        let named = self.list(ASSIGNORS);
        if named.is_empty() {
            return Err(fault("must not be empty"));
        }
        let mut seen = Vec::new();
        for name in &named {
            let Some(assignor) = CONSUMER_ASSIGNORS.iter().find(|names| names.contains(&name.as_str()))
            else {
                return Err(fault(&format!("Class {name} cannot be found")));
            };
            if seen.contains(&assignor) {
                return Err(fault(&format!("{name} is there twice")));
            }
            seen.push(assignor);
        }
        Ok(())
    }

    fn require(&self, key: &str, relation: Relation, other: &str) -> Result<(), ConfigFault> {
        if relation.holds(self.int(key), self.int(other)) {
            return Ok(());
        }
        let place = match self.settings.get(other) {
            Some(setting) => setting.origin.to_string(),
            None => "the default".to_owned(),
        };
        let words = relation.words();
        Err(self.fault(key, &format!("must be {words} {other}, which is {} ({place})", self.int(other))))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{BrokerConfig, Origin, Settings};

    fn refusal(entries: &[(&'static str, &str)]) -> Option<String> {
        let mut settings = Settings::default();
        for (key, text) in entries {
            settings.set(*key, *text, Origin::Flag("--override"));
        }
        BrokerConfig::from_settings(settings).err().map(|fault| fault.to_string())
    }

    #[test]
    fn bounds_and_what_they_bound_must_agree() {
        let refused = [
            (
                vec![("group.consumer.min.session.timeout.ms", "50000")],
                "group.consumer.session.timeout.ms=45000 (the default): must be greater than or equal to \
                 group.consumer.min.session.timeout.ms, which is 50000 (--override); allowed: an integer from 1 to \
                 2147483647",
            ),
            (
                vec![("group.consumer.max.heartbeat.interval.ms", "4000")],
                "group.consumer.max.heartbeat.interval.ms=4000 (--override): must be greater than or equal to \
                 group.consumer.min.heartbeat.interval.ms, which is 5000 (the default); allowed: an integer from 1 to \
                 2147483647",
            ),
            (
                vec![("group.consumer.assignment.interval.ms", "20000")],
                "group.consumer.assignment.interval.ms=20000 (--override): must be less than or equal to \
                 group.consumer.max.assignment.interval.ms, which is 15000 (the default); allowed: an integer from 0 \
                 to 2147483647",
            ),
            (
                vec![
                    ("group.consumer.heartbeat.interval.ms", "6000"),
                    ("group.consumer.session.timeout.ms", "6000"),
                    ("group.consumer.min.session.timeout.ms", "6000"),
                ],
                "group.consumer.heartbeat.interval.ms=6000 (--override): must be less than \
                 group.consumer.session.timeout.ms, which is 6000 (--override); allowed: an integer from 1 to \
                 2147483647",
            ),
        ];
        for (entries, line) in refused {
            assert_eq!(refusal(&entries).as_deref(), Some(line));
        }
        for (key, text) in [
            ("group.share.session.timeout.ms", "70000"),
            ("group.share.max.share.sessions", "100"),
            ("group.streams.heartbeat.interval.ms", "16000"),
            ("group.streams.assignment.interval.ms", "15001"),
            ("group.streams.num.standby.replicas", "3"),
        ] {
            assert!(refusal(&[(key, text)]).is_some(), "{key}={text}");
        }
        // Kafka doesn't hold the bounds of classic groups against each other.
        assert_eq!(
            refusal(&[("group.min.session.timeout.ms", "10"), ("group.max.session.timeout.ms", "5")]),
            None
        );
        let shorter = [
            ("group.consumer.min.session.timeout.ms", "6000"),
            ("group.consumer.session.timeout.ms", "6000"),
        ];
        assert_eq!(refusal(&shorter), None);
    }

    #[test]
    fn protocols_assignors_and_codec_must_be_known() {
        let refused = [
            (
                ("group.coordinator.rebalance.protocols", "consumer"),
                "Disabling the 'classic' protocol is not supported.",
            ),
            (("group.consumer.assignors", ""), "must not be empty"),
            (
                ("group.consumer.assignors", "uniform,org.example.Best"),
                "Class org.example.Best cannot be found",
            ),
            (("group.consumer.assignors", "range,range"), "range is there twice"),
            (("offsets.topic.compression.codec", "5"), "Unknown compression type id: 5"),
            (("offsets.topic.compression.codec", "-1"), "Unknown compression type id: -1"),
        ];
        for ((key, text), reason) in refused {
            let line = refusal(&[(key, text)]).unwrap_or_default();
            assert!(line.starts_with(&format!("{key}={text} (--override): {reason}; allowed: ")), "{line}");
        }
        for (key, text) in [
            ("group.coordinator.rebalance.protocols", "classic,consumer,share,streams"),
            ("group.coordinator.rebalance.protocols", "classic"),
            ("group.consumer.assignors", "org.apache.kafka.coordinator.group.assignor.RangeAssignor"),
            ("offsets.topic.compression.codec", "4"),
        ] {
            assert_eq!(refusal(&[(key, text)]), None, "{key}={text}");
        }
    }
}
