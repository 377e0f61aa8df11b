//! The tables of configuration keys: name, type, default, valid values, importance, update mode, documentation.
//!
//! The tables themselves are text, `keys/broker.txt`, `keys/topic.txt` and `keys/group.txt`; they hold every key of Kafka 4.3, so that
//! no Kafka configuration is unknown here and DescribeConfigs is complete, and the broker's own keys. Whether a key
//! does anything here stands in its [`Effect`].

use std::collections::HashMap;
use std::sync::LazyLock;

use super::value::{ConfigType, Value};

/// How much a key matters, as Kafka's documentation ranks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// Most installations look at it.
    High,
    /// Some do.
    Medium,
    /// Few do.
    Low,
}

/// How Kafka lets a key be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only by a restart.
    ReadOnly,
    /// While running, on one broker.
    PerBroker,
    /// While running, on one broker or on all.
    ClusterWide,
    /// Per topic, at any time.
    Topic,
    /// Per group, at any time.
    Group,
}

impl UpdateMode {
    /// Kafka's name of the mode.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            UpdateMode::ReadOnly => "read-only",
            UpdateMode::PerBroker => "per-broker",
            UpdateMode::ClusterWide => "cluster-wide",
            UpdateMode::Topic => "topic",
            UpdateMode::Group => "group",
        }
    }
}

/// What setting a key does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is applied.
    Used,
    /// It is accepted and shown; what it rules is not done yet.
    Later,
    /// It is accepted and shown; there is nothing here that it could rule, for the reason given.
    None(&'static str),
}

impl Effect {
    /// The sentence that a key's documentation ends with; empty for a key that is applied.
    #[must_use]
    pub fn note(self) -> String {
        match self {
            Effect::Used => String::new(),
            Effect::Later => " Accepted; not applied yet.".into(),
            Effect::None(reason) => format!(" No effect here: {reason}."),
        }
    }
}

/// Why the keys of a class have no effect, by the class's name in the tables.
const REASONS: &[(&str, &str)] = &[
    ("lz4-levels", "LZ4 is written at one level"),
    ("metrics", "metrics are read from the HTTP listener"),
    ("one-dir", "there is one data directory and no controller to report to"),
    ("own-buffers", "a read or write takes 256 KB"),
    ("plugins", "Java classes cannot be loaded"),
    ("prealloc", "the active segment is always allocated in extents"),
    ("purgatory", "waiting requests are removed at once"),
    ("quorum", "there is no controller quorum"),
    ("quotas", "quotas are not served yet"),
    ("replication", "there is one broker"),
    ("security", "TLS and SASL are not served yet"),
    ("share", "share groups are not served"),
    ("streams", "streams groups are not served"),
    ("threads", "requests are served on the network threads"),
    ("tiered", "there is no tiered storage"),
    ("transactions", "clients cannot commit in two phases"),
    ("turns", "what a request of a group changes is appended at once"),
    ("unstable", "only released versions are offered"),
];

/// Which values a key takes, beyond its type.
#[derive(Clone, Debug, PartialEq)]
pub enum ValidValues {
    /// Every value of the type.
    Any,
    /// From, and up to where there is an upper bound; both ends included.
    Range(f64, Option<f64>),
    /// A range, or −1.
    RangeOrMinusOne(i64, i64),
    /// One of these strings, exactly.
    OneOf(Vec<&'static str>),
    /// One of these strings in any case.
    OneOfAnyCase(Vec<&'static str>),
    /// A list of these strings.
    ListOf(Vec<&'static str>),
    /// A string that is not empty.
    NonEmpty,
    /// `*`, or a list of partition:broker.
    ThrottledReplicas,
    /// `earliest`, `latest` or `by_duration:` and a duration.
    OffsetReset,
}

/// One configuration key.
#[derive(Clone, Debug)]
pub struct ConfigKey {
    /// Kafka's name, or ours.
    pub name: &'static str,
    /// Type of the value.
    pub kind: ConfigType,
    /// Default, as text; `None` is unset.
    pub default: Option<String>,
    /// Which values it takes.
    pub valid: ValidValues,
    /// How much it matters.
    pub importance: Importance,
    /// How Kafka lets it be changed.
    pub update: UpdateMode,
    /// Left out of DescribeConfigs unless it is set.
    pub internal: bool,
    /// What setting it does here.
    pub effect: Effect,
    /// One sentence; [`ConfigKey::documentation`] adds the effect.
    pub summary: &'static str,
}

/// A value that a key does not take. Prints as Kafka's own message does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {value} for configuration {key}: {reason}")]
pub struct ValueError {
    /// The key.
    pub key: String,
    /// The value as Kafka prints it in the message: a parsed number or list once it parses, else the text.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl ConfigKey {
    /// The documentation that DescribeConfigs gives: the sentence, and what the key does here when that is nothing.
    #[must_use]
    pub fn documentation(&self) -> String {
        format!("{}{}", self.summary, self.effect.note())
    }

    /// Reads `text` as Kafka does: trimmed, by type, then checked against the valid values.
    ///
    /// # Errors
    /// With Kafka's reason when the text is not of the type, or the value is not allowed.
    pub fn parse(&self, text: &str) -> Result<Value, ValueError> {
        let error = |value: String, reason: String| ValueError { key: self.name.to_owned(), value, reason };
        let mut value = Value::parse(self.kind, text).map_err(|reason| error(text.to_owned(), reason))?;
        if let (ValidValues::ListOf(_), Value::List(items)) = (&self.valid, &mut value) {
            let mut seen = Vec::new();
            items.retain(|item| {
                !seen.contains(item) && {
                    seen.push(item.clone());
                    true
                }
            });
        }
        self.check(&value).map_err(|(shown, reason)| error(shown, reason))?;
        Ok(value)
    }

    fn check(&self, value: &Value) -> Result<(), (String, String)> {
        let shown = || value.to_text().unwrap_or_else(|| "null".into());
        match (&self.valid, value) {
            (ValidValues::Range(min, max), value) => {
                let Some(number) = value.as_f64() else { return Ok(()) };
                if number < *min {
                    return Err((shown(), format!("Value must be at least {min}")));
                }
                match max {
                    Some(max) if number > *max => Err((shown(), format!("Value must be no more than {max}"))),
                    _ => Ok(()),
                }
            }
            (ValidValues::RangeOrMinusOne(min, max), Value::Int(number)) => {
                let number = i64::from(*number);
                if number == -1 || (*min..=*max).contains(&number) {
                    return Ok(());
                }
                Err((shown(), format!("Value must be between {min} and {max} or equal to -1")))
            }
            (ValidValues::OneOf(allowed), Value::String(text)) if !allowed.contains(&text.as_str()) => {
                Err((shown(), format!("String must be one of: {}", allowed.join(", "))))
            }
            (ValidValues::OneOfAnyCase(allowed), Value::String(text))
                if !allowed.iter().any(|name| name.eq_ignore_ascii_case(text)) =>
            {
                Err((shown(), format!("String must be one of (case insensitive): {}", allowed.join(", "))))
            }
            (ValidValues::ListOf(allowed), Value::List(items)) => {
                match items.iter().find(|item| !allowed.contains(&item.as_str())) {
                    Some(item) => {
                        Err((item.clone(), format!("String must be one of: {}", allowed.join(", "))))
                    }
                    None => Ok(()),
                }
            }
            (ValidValues::NonEmpty, Value::String(text)) if text.is_empty() => {
                Err((shown(), "String must be non-empty".into()))
            }
            (ValidValues::ThrottledReplicas, Value::List(items)) => {
                let star = items.len() == 1 && items[0] == "*";
                if star || items.iter().all(|item| is_throttled_replica(item)) {
                    return Ok(());
                }
                let form = "[partitionId]:[brokerId],[partitionId]:[brokerId],...";
                Err((
                    format!("[{}]", items.join(", ")),
                    format!(
                        "{} must be the literal '*' or a list of replicas in the following format: {form}",
                        self.name
                    ),
                ))
            }
            (ValidValues::OffsetReset, Value::String(text)) if !is_offset_reset(text) => Err((
                shown(),
                format!(
                    "Invalid value `{text}` for configuration {}. The value must be either 'earliest', 'latest' or of \
                     the format 'by_duration:<PnDTnHnMn.nS>'.",
                    self.name
                ),
            )),
            _ => Ok(()),
        }
    }

    /// What the key takes, for people: `an integer, 1 or more`.
    #[must_use]
    pub fn allowed(&self) -> String {
        let kind = match self.kind {
            ConfigType::Boolean => return "true or false".into(),
            ConfigType::Int | ConfigType::Long | ConfigType::Short => "an integer",
            ConfigType::Double => "a number",
            ConfigType::List => "a list separated by commas",
            ConfigType::String | ConfigType::Class | ConfigType::Password => "a text",
        };
        let limit = match self.kind {
            ConfigType::Int => f64::from(i32::MAX),
            ConfigType::Short => f64::from(i16::MAX),
            _ => f64::INFINITY,
        };
        match &self.valid {
            ValidValues::Any => match self.kind {
                ConfigType::Int | ConfigType::Short => format!("{kind}, {limit} at most"),
                _ => kind.into(),
            },
            ValidValues::Range(min, Some(max)) => format!("{kind} from {min} to {max}"),
            ValidValues::Range(min, None) if limit.is_finite() => format!("{kind} from {min} to {limit}"),
            ValidValues::Range(min, None) => format!("{kind}, {min} or more"),
            ValidValues::RangeOrMinusOne(min, max) => format!("{kind} from {min} to {max}, or -1"),
            ValidValues::OneOf(names) => format!("one of {}", names.join(", ")),
            ValidValues::OneOfAnyCase(names) => format!("one of {} in any case", names.join(", ")),
            ValidValues::ListOf(names) => format!("a list of {}", names.join(", ")),
            ValidValues::NonEmpty => format!("{kind}, not empty"),
            ValidValues::ThrottledReplicas => "* or a list of partition:broker".into(),
            ValidValues::OffsetReset => "earliest, latest or by_duration:PnDTnHnMnS".into(),
        }
    }

    fn from_line(line: &'static str) -> Self {
        let columns: Vec<&'static str> = line.split('|').map(str::trim).collect();
        let [name, kind, default, valid, importance, update, effect, summary] = columns[..] else {
            panic!("a line of a key table has eight columns: {line}");
        };
        let (update, internal) = match update.split_once(' ') {
            Some((mode, "internal")) => (mode, true),
            _ => (update, false),
        };
        ConfigKey {
            name,
            kind: ConfigType::from_name(kind).unwrap_or_else(|| panic!("type of {name}: {kind}")),
            default: match default {
                "-" => None,
                "cores" => Some(cores().to_string()),
                text => Some(text.to_owned()),
            },
            valid: parse_valid(valid).unwrap_or_else(|| panic!("valid values of {name}: {valid}")),
            importance: match importance {
                "HIGH" => Importance::High,
                "MEDIUM" => Importance::Medium,
                "LOW" => Importance::Low,
                other => panic!("importance of {name}: {other}"),
            },
            update: match update {
                "read-only" => UpdateMode::ReadOnly,
                "per-broker" => UpdateMode::PerBroker,
                "cluster-wide" => UpdateMode::ClusterWide,
                "topic" => UpdateMode::Topic,
                "group" => UpdateMode::Group,
                other => panic!("update mode of {name}: {other}"),
            },
            internal,
            effect: match effect {
                "used" => Effect::Used,
                "later" => Effect::Later,
                other => {
                    let class = other.strip_prefix("no-").unwrap_or_default();
                    let reason = REASONS.iter().find(|(known, _)| *known == class);
                    Effect::None(reason.unwrap_or_else(|| panic!("effect of {name}: {other}")).1)
                }
            },
            summary,
        }
    }
}

fn is_throttled_replica(item: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(item.split_once(':'), Some((partition, broker)) if digits(partition) && digits(broker))
}

fn is_offset_reset(text: &str) -> bool {
    match text.strip_prefix("by_duration:") {
        Some(duration) => is_duration(&duration.to_ascii_uppercase()),
        None => matches!(text, "earliest" | "latest"),
    }
}

/// `PnDTnHnMn.nS`, each part optional but one, none negative.
fn is_duration(text: &str) -> bool {
    fn parts(text: &str, units: &str) -> Option<usize> {
        let (mut rest, mut units, mut count) = (text, units, 0);
        while !rest.is_empty() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
            let (number, unit) = (&rest[..end], rest.as_bytes()[end] as char);
            let place = units.find(unit)?;
            let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
            if whole.is_empty() || (whole != number && (unit != 'S' || number.matches('.').count() > 1)) {
                return None;
            }
            (rest, units, count) = (&rest[end + 1..], &units[place + 1..], count + 1);
        }
        Some(count)
    }
    let Some(text) = text.strip_prefix('P') else { return false };
    match text.split_once('T') {
        Some((days, time)) => parts(days, "D").is_some() && parts(time, "HMS").is_some_and(|count| count > 0),
        None => parts(text, "D").is_some_and(|count| count > 0),
    }
}

/// The cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn parse_valid(text: &'static str) -> Option<ValidValues> {
    let names = |list: &'static str| list.split(',').map(str::trim).collect::<Vec<_>>();
    if let Some(range) = text.strip_prefix('[') {
        let (range, rest) = range.split_once(']')?;
        let parts: Vec<&str> = range.split(",...").collect();
        let min = parts[0].parse().ok()?;
        let max = match parts.get(1)?.strip_prefix(',') {
            Some(max) => Some(max.parse::<f64>().ok()?),
            None => None,
        };
        return match (rest.trim(), max) {
            ("", max) => Some(ValidValues::Range(min, max)),
            #[allow(clippy::cast_possible_truncation)] // whole numbers in the table
            ("or -1", Some(max)) => Some(ValidValues::RangeOrMinusOne(min as i64, max as i64)),
            _ => None,
        };
    }
    match text.split_once(": ") {
        Some(("one of", list)) => Some(ValidValues::OneOf(names(list))),
        Some(("one of, any case", list)) => Some(ValidValues::OneOfAnyCase(names(list))),
        Some(("list of", list)) => Some(ValidValues::ListOf(names(list))),
        Some(_) => None,
        None => match text {
            "" => Some(ValidValues::Any),
            "non-empty" => Some(ValidValues::NonEmpty),
            "throttled replicas" => Some(ValidValues::ThrottledReplicas),
            "offset reset" => Some(ValidValues::OffsetReset),
            _ => None,
        },
    }
}

/// A table of keys, in the order of their names.
#[derive(Debug)]
pub struct ConfigTable {
    keys: Vec<ConfigKey>,
    by_name: HashMap<&'static str, usize>,
}

impl ConfigTable {
    fn parse(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<ConfigKey> = lines.map(ConfigKey::from_line).collect();
        let by_name = keys.iter().enumerate().map(|(index, key)| (key.name, index)).collect();
        ConfigTable { keys, by_name }
    }

    /// The key of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ConfigKey> {
        self.by_name.get(name).map(|index| &self.keys[*index])
    }

    /// Every key, by name.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigKey> {
        self.keys.iter()
    }
}

/// The broker's keys.
#[must_use]
pub fn broker_keys() -> &'static ConfigTable {
    static TABLE: LazyLock<ConfigTable> =
        LazyLock::new(|| ConfigTable::parse(include_str!("keys/broker.txt")));
    &TABLE
}

/// A topic's keys.
#[must_use]
pub fn topic_keys() -> &'static ConfigTable {
    static TABLE: LazyLock<ConfigTable> =
        LazyLock::new(|| ConfigTable::parse(include_str!("keys/topic.txt")));
    &TABLE
}

/// A group's keys.
#[must_use]
pub fn group_keys() -> &'static ConfigTable {
    static TABLE: LazyLock<ConfigTable> =
        LazyLock::new(|| ConfigTable::parse(include_str!("keys/group.txt")));
    &TABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_iso_8601() {
        for text in ["PT1H", "P1D", "P1DT2H3M4.5S", "PT0S", "pt10s"] {
            assert!(is_offset_reset(&format!("by_duration:{text}")), "{text}");
        }
        for text in
            ["", "P", "PT", "P1DT", "1H", "PT1", "PT-1S", "PT1S1M", "PT1.5M", "PT.5S", "PT1.2.3S", "P1H"]
        {
            assert!(!is_offset_reset(&format!("by_duration:{text}")), "{text}");
        }
        assert!(is_offset_reset("earliest") && !is_offset_reset("none") && !is_offset_reset("by_duration"));
    }

    #[test]
    fn every_default_is_valid_and_names_are_sorted_and_unique() {
        for table in [broker_keys(), topic_keys(), group_keys()] {
            for key in table.iter() {
                if let Some(default) = &key.default {
                    let value = key.parse(default).unwrap();
                    assert_eq!(
                        value.to_text().as_deref(),
                        Some(default.as_str()),
                        "{} prints otherwise",
                        key.name
                    );
                }
                assert!(key.summary.ends_with('.'), "{} has no sentence", key.name);
            }
            assert!(table.keys.windows(2).all(|pair| pair[0].name < pair[1].name));
        }
    }

    #[test]
    fn the_tables_hold_all_of_kafka_4_3() {
        // Counted from `KafkaConfig.configDef()` and `LogConfig.configDefCopy()` of the 4.3.0 jars; the replication
        // throttles are keys that Kafka only takes dynamically.
        const BROKER_KEYS_OF_KAFKA_4_3: usize = 360;
        const TOPIC_KEYS_OF_KAFKA_4_3: usize = 34;
        const DYNAMIC_ONLY_KEYS: usize = 3;
        let ours = [
            "cluster.id",
            "http.listener",
            "log.dir.reserve.bytes",
            "log.flush.policy",
            "log.level",
            "log.open.segments.max",
            "shutdown.timeout.ms",
            "throughput.log.interval.ms",
        ];
        for name in ours {
            assert!(broker_keys().get(name).is_some(), "{name}");
        }
        assert_eq!(broker_keys().iter().count(), BROKER_KEYS_OF_KAFKA_4_3 + DYNAMIC_ONLY_KEYS + ours.len());
        assert_eq!(topic_keys().iter().count(), TOPIC_KEYS_OF_KAFKA_4_3);
    }

    /// Values and answers as Apache Kafka 4.3.0 gave them to CreateTopics.
    #[test]
    fn values_are_accepted_and_refused_as_kafka_does() {
        let accepted = [
            ("cleanup.policy", "delete,delete", "delete"),
            ("cleanup.policy", "", ""),
            ("cleanup.policy", " compact , delete ", "compact,delete"),
            ("segment.bytes", " 2000000 ", "2000000"),
            ("preallocate", "TRUE", "true"),
            ("leader.replication.throttled.replicas", "*", "*"),
            ("follower.replication.throttled.replicas", "0:1,1:2", "0:1,1:2"),
            ("retention.bytes", "-5", "-5"),
            ("min.cleanable.dirty.ratio", "0.50", "0.5"),
            ("index.interval.bytes", "+5", "5"),
            ("internal.segment.bytes", "100", "100"),
        ];
        for (key, text, printed) in accepted {
            let value = topic_keys().get(key).unwrap().parse(text).unwrap();
            assert_eq!(value.to_text().as_deref(), Some(printed), "{key}={text}");
        }
        let refused = [
            (
                "retention.ms",
                "abc",
                "Invalid value abc for configuration retention.ms: Not a number of type LONG",
            ),
            (
                "retention.ms",
                "-2",
                "Invalid value -2 for configuration retention.ms: Value must be at least -1",
            ),
            ("retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"),
            (
                "cleanup.policy",
                "foo",
                "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            (
                "compression.type",
                "LZ4",
                "Invalid value LZ4 for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
            ),
            (
                "segment.bytes",
                "10",
                "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576",
            ),
            (
                "segment.bytes",
                "99999999999",
                "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT",
            ),
            (
                "segment.bytes",
                "1.5",
                "Invalid value 1.5 for configuration segment.bytes: Not a number of type INT",
            ),
            (
                "min.cleanable.dirty.ratio",
                "2",
                "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
            (
                "min.cleanable.dirty.ratio",
                "x",
                "Invalid value x for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE",
            ),
            (
                "preallocate",
                "yes",
                "Invalid value yes for configuration preallocate: Expected value to be either true or false",
            ),
            (
                "compression.gzip.level",
                "0",
                "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
            ),
            (
                "compression.lz4.level",
                "18",
                "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17",
            ),
            (
                "message.timestamp.type",
                "createtime",
                "Invalid value createtime for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
            ),
            (
                "leader.replication.throttled.replicas",
                "foo",
                "Invalid value [foo] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
            ),
            (
                "local.retention.ms",
                "-3",
                "Invalid value -3 for configuration local.retention.ms: Value must be at least -2",
            ),
        ];
        for (key, text, message) in refused {
            let error = topic_keys().get(key).unwrap().parse(text).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn what_is_allowed_is_said_in_words() {
        let allowed = |name: &str| broker_keys().get(name).unwrap().allowed();
        assert_eq!(allowed("log.segment.bytes"), "an integer from 1048576 to 2147483647");
        assert_eq!(allowed("log.retention.check.interval.ms"), "an integer, 1 or more");
        assert_eq!(allowed("log.flush.policy"), "one of acks, always, interval, never");
        assert_eq!(allowed("auto.create.topics.enable"), "true or false");
        assert_eq!(allowed("compression.gzip.level"), "an integer from 1 to 9, or -1");
        assert_eq!(allowed("log.cleanup.policy"), "a list of compact, delete");
        assert_eq!(allowed("log.cleaner.min.cleanable.ratio"), "a number from 0 to 1");
    }
}
