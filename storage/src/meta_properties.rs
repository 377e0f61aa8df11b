//! `meta.properties`: what a log directory says of itself, in Kafka's version 1 (KIP-631, KIP-858).

use std::collections::BTreeMap;
use uuid::Uuid;

/// The file's name in a log directory.
pub const META_PROPERTIES: &str = "meta.properties";
/// The format that is read and written.
pub const META_PROPERTIES_VERSION: u32 = 1;

/// Contents of `meta.properties`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// Cluster that the directory belongs to.
    pub cluster_id: String,
    /// Node that it belongs to.
    pub node_id: i32,
    /// The directory itself; older versions of Kafka leave it out.
    pub directory_id: Option<Uuid>,
}

/// Why `meta.properties` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaPropertiesError {
    /// Another format than version 1.
    #[error(
        "meta.properties has format version {found}; this broker reads version {META_PROPERTIES_VERSION}"
    )]
    UnsupportedVersion {
        /// What the file says.
        found: String,
    },
    /// A key that has to be there isn't.
    #[error("meta.properties has no {0}")]
    Missing(&'static str),
    /// A value that isn't one.
    #[error("meta.properties has {value:?} for {key}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What the file says.
        value: String,
    },
}

impl MetaProperties {
    /// Reads the text of the file. Keys that aren't known are passed over.
    ///
    /// # Errors
    /// See [`MetaPropertiesError`].
    pub fn parse(text: &str) -> Result<MetaProperties, MetaPropertiesError> {
        let properties: BTreeMap<String, String> = text.lines().filter_map(property).collect();
        let get = |key| properties.get(key).filter(|value| !value.is_empty());
        let version = get("version").ok_or(MetaPropertiesError::Missing("version"))?;
        if version.parse() != Ok(META_PROPERTIES_VERSION) {
            return Err(MetaPropertiesError::UnsupportedVersion { found: version.clone() });
        }
        let node_id = get("node.id").ok_or(MetaPropertiesError::Missing("node.id"))?;
        let invalid = |key, value: &String| MetaPropertiesError::Invalid { key, value: value.clone() };
        Ok(MetaProperties {
            cluster_id: get("cluster.id").ok_or(MetaPropertiesError::Missing("cluster.id"))?.clone(),
            node_id: node_id.parse().map_err(|_| invalid("node.id", node_id))?,
            directory_id: get("directory.id")
                .map(|value| decode_uuid(value).ok_or_else(|| invalid("directory.id", value)))
                .transpose()?,
        })
    }

    /// The text of the file.
    pub fn encode(&self) -> String {
        let directory_id =
            self.directory_id.map_or(String::new(), |id| format!("directory.id={}\n", encode_uuid(id)));
        format!(
            "#\ncluster.id={}\n{directory_id}node.id={}\nversion={META_PROPERTIES_VERSION}\n",
            self.cluster_id, self.node_id
        )
    }
}

/// Key and value of a line of Java properties; `None` for comments and empty lines.
fn property(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', '!']) {
        return None;
    }
    let (key, value) = line.split_once(['=', ':'])?;
    // Java escapes a few characters with a backslash, `:` among them.
    Some((key.trim().to_owned(), value.trim().replace('\\', "")))
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A uuid as Kafka writes it: base64url without padding, 22 characters.
pub fn encode_uuid(id: Uuid) -> String {
    let bits = id.as_u128();
    (0..22)
        .map(|at| {
            // 21 characters of 6 bits, and 2 bits with 4 zeros behind them.
            let index = if at < 21 { bits >> (122 - 6 * at) } else { bits << 4 };
            char::from(BASE64_URL[(index & 63) as usize])
        })
        .collect()
}

/// Reads what [`encode_uuid`] writes.
pub fn decode_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 22 {
        return None;
    }
    let mut bits = 0u128;
    for (at, byte) in text.bytes().enumerate() {
        let value = BASE64_URL.iter().position(|c| *c == byte)? as u128;
        bits = if at < 21 { bits << 6 | value } else { bits << 2 | value >> 4 };
    }
    Some(Uuid::from_u128(bits))
}

/// A new uuid whose text doesn't start with a dash, which Kafka's tools would take for an option.
pub fn random_uuid() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if !encode_uuid(id).starts_with('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_kafka_is_read() {
        let text = "#\n#Sat Nov 21 04:00:00 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\n\
                    directory.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=1\nversion=1\n";
        let properties = MetaProperties::parse(text).unwrap();
        assert_eq!(properties.cluster_id, "4L6g3nShT-eMCtK--X86sw");
        assert_eq!((properties.node_id, properties.directory_id), (1, Some(Uuid::from_u128(1))));
        assert_eq!(MetaProperties::parse(&properties.encode()), Ok(properties));
    }

    #[test]
    fn other_versions_and_missing_keys_are_refused() {
        let newer = MetaProperties::parse("version=2\nnode.id=1\ncluster.id=a\n");
        assert_eq!(newer, Err(MetaPropertiesError::UnsupportedVersion { found: "2".to_owned() }));
        let missing = MetaProperties::parse("version=1\ncluster.id=a\n");
        assert_eq!(missing, Err(MetaPropertiesError::Missing("node.id")));
        let invalid = MetaProperties::parse("version=1\ncluster.id=a\nnode.id=x\n");
        assert!(matches!(invalid, Err(MetaPropertiesError::Invalid { key: "node.id", .. })));
    }

    #[test]
    fn uuids_have_kafkas_text() {
        // java: new Uuid(0x0123456789abcdefL, 0xfedcba9876543210L).toString()
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(encode_uuid(id), "ASNFZ4mrze_-3LqYdlQyEA");
        for id in [id, Uuid::nil(), Uuid::max(), random_uuid()] {
            assert_eq!(decode_uuid(&encode_uuid(id)), Some(id));
        }
        assert_eq!(decode_uuid("short"), None);
        assert_eq!(decode_uuid("!SNFZ4mrze_-3LqYdlQyEA"), None);
    }
}
