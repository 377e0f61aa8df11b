//! The entries of the metadata store: their keys, and their values as JSON.
//!
//! | key | value |
//! |---|---|
//! | `topics/<name>` | `{"version":1,"topic_id":"…","leader_epochs":[0,…],"configs":{"retention.ms":"1000"}}` |
//! | `groups/<id>` | `{"version":1,"configs":{"consumer.session.timeout.ms":"60000"}}` |
//! | `producer-ids` | `{"version":1,"next_producer_id":1000}` |
//! | `features` | `{"version":1,"epoch":1,"levels":{"group.version":1,"transaction.version":1}}` |
//!
//! A partition is an element of `leader_epochs`: the epoch under which its leader last started. Every value
//! carries the version of its own form, and one that is newer than this broker's is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The version of the values that this broker writes and the newest that it reads.
pub const RECORD_VERSION: u32 = 1;

/// The key of the next free producer id.
pub const PRODUCER_IDS_KEY: &str = "producer-ids";

/// The key of the levels of features, once they were changed.
pub const FEATURES_KEY: &str = "features";

/// The key of the log directories that were used.
pub const LOG_DIRS_KEY: &str = "log-dirs";

/// What every topic's key starts with.
pub const TOPIC_PREFIX: &str = "topics/";

/// The key of a topic.
pub fn topic_key(name: &str) -> String {
    format!("{TOPIC_PREFIX}{name}")
}

/// What every group's key starts with.
pub const GROUP_PREFIX: &str = "groups/";

/// The key of a group's settings.
pub fn group_key(group_id: &str) -> String {
    format!("{GROUP_PREFIX}{group_id}")
}

/// A topic as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRecord {
    version: u32,
    #[serde(with = "uuid_text")]
    /// The topic's id, for as long as it lives.
    pub topic_id: Uuid,
    /// By partition index: the leader epoch last in use.
    pub leader_epochs: Vec<i32>,
    /// The settings that were given for this topic, as they were given.
    pub configs: BTreeMap<String, String>,
}

impl TopicRecord {
    /// A record of the current version.
    pub fn new(topic_id: Uuid, leader_epochs: Vec<i32>, configs: BTreeMap<String, String>) -> Self {
        Self { version: RECORD_VERSION, topic_id, leader_epochs, configs }
    }
}

/// What was set for a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    version: u32,
    /// The settings that were given for this group, as they were given; never empty.
    pub configs: BTreeMap<String, String>,
}

impl GroupRecord {
    /// A record of the current version.
    pub fn new(configs: BTreeMap<String, String>) -> Self {
        Self { version: RECORD_VERSION, configs }
    }
}

/// The first producer id that was never handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdsRecord {
    version: u32,
    /// The first id of the next block.
    pub next_producer_id: i64,
}

impl ProducerIdsRecord {
    /// A record of the current version.
    pub fn new(next_producer_id: i64) -> Self {
        Self { version: RECORD_VERSION, next_producer_id }
    }
}

/// The log directories that partitions may lie in, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDirsRecord {
    version: u32,
    /// `directory.id` of each, as Kafka writes it.
    pub directory_ids: BTreeSet<String>,
}

impl LogDirsRecord {
    /// A record of the current version.
    pub fn new(directory_ids: BTreeSet<String>) -> Self {
        Self { version: RECORD_VERSION, directory_ids }
    }
}

/// The levels that features were set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeaturesRecord {
    version: u32,
    /// How often they were changed.
    pub epoch: i64,
    /// By name; 0 is off.
    pub levels: BTreeMap<String, i16>,
}

impl FeaturesRecord {
    /// A record of the current version.
    pub fn new(epoch: i64, levels: BTreeMap<String, i16>) -> Self {
        Self { version: RECORD_VERSION, epoch, levels }
    }
}

/// Why a stored value was refused.
#[derive(Debug, Error)]
pub enum RecordError {
    /// A newer broker wrote it.
    #[error("metadata entry {key} has version {found}; this broker reads up to {RECORD_VERSION}")]
    NewerVersion {
        /// The entry's key.
        key: String,
        /// The version in the value.
        found: u32,
    },
    /// It isn't what this broker writes.
    #[error("metadata entry {key} is damaged: {source}")]
    Damaged {
        /// The entry's key.
        key: String,
        /// What the JSON parser found.
        #[source]
        source: serde_json::Error,
    },
}

/// The bytes of a record.
pub fn encode(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records have string keys and no fallible fields")
}

/// The record in `value`, which was found at `key`.
///
/// # Errors
/// The value has a newer version, or isn't a record.
pub fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let damaged = |source| RecordError::Damaged { key: key.to_owned(), source };
    let Version { version } = serde_json::from_slice(value).map_err(damaged)?;
    if version > RECORD_VERSION {
        return Err(RecordError::NewerVersion { key: key.to_owned(), found: version });
    }
    serde_json::from_slice(value).map_err(damaged)
}

mod uuid_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Uuid::try_parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_keeps_its_form() {
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let configs = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
        let record = TopicRecord::new(id, vec![0, 3], configs);
        let bytes = encode(&record);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"version":1,"topic_id":"01234567-89ab-cdef-0123-456789abcdef","leader_epochs":[0,3],"configs":{"retention.ms":"1000"}}"#
        );
        assert_eq!(decode::<TopicRecord>("topics/a", &bytes).unwrap(), record);
    }

    #[test]
    fn a_newer_version_is_refused_whatever_its_form() {
        let error = decode::<TopicRecord>("topics/a", br#"{"version":2,"id":7}"#).unwrap_err();
        assert_eq!(error.to_string(), "metadata entry topics/a has version 2; this broker reads up to 1");
    }

    #[test]
    fn damage_names_the_entry() {
        for value in [&b"{\"version\":1}"[..], b"{", b"", b"{\"version\":1,\"next_producer_id\":\"x\"}"] {
            let error = decode::<ProducerIdsRecord>("producer-ids", value).unwrap_err();
            assert!(error.to_string().starts_with("metadata entry producer-ids is damaged"), "{error}");
        }
    }
}
