//! Which topic names Kafka takes, and which it keeps for itself.

use std::borrow::Cow;

use thiserror::Error;

/// The longest topic name, in characters: `<topic>-<partition>` must be a file name.
pub const MAX_NAME_LENGTH: usize = 249;

/// The name under which Kafka's controllers keep their own log; no client can create or read it.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Why a topic name is refused. The text is what Kafka's clients are told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTopicName {
    /// No characters at all.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// `.` and `..` are folders.
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Folder(String),
    /// More than [`MAX_NAME_LENGTH`] characters.
    #[error(
        "Topic name is invalid: the length of '{0}' is longer than the max allowed length {MAX_NAME_LENGTH}"
    )]
    TooLong(String),
    /// A character that Kafka doesn't take.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    Characters(String),
}

/// Checks a name as Kafka does before it creates or looks up a topic.
///
/// # Errors
/// The first rule that the name breaks.
pub fn validate(name: &str) -> Result<(), InvalidTopicName> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() {
        return Err(InvalidTopicName::Empty);
    }
    if matches!(name, "." | "..") {
        return Err(InvalidTopicName::Folder(name.to_owned()));
    }
    // Java counts UTF-16 units; it matters only for which of the last two errors is told.
    if name.encode_utf16().count() > MAX_NAME_LENGTH {
        return Err(InvalidTopicName::TooLong(name.to_owned()));
    }
    if !name.bytes().all(is_legal) {
        return Err(InvalidTopicName::Characters(name.to_owned()));
    }
    Ok(())
}

/// Whether Kafka's own machinery owns the topic.
pub fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// Whether no topic of that name is made just because a client asks for it: Kafka's own topics have settings of
/// their own, and are made by whoever needs them.
pub fn is_reserved(name: &str) -> bool {
    is_internal(name) || name == CLUSTER_METADATA_TOPIC
}

/// The form in which two names collide: Kafka's metric names can't tell `.` from `_`, so `a.b` is refused where
/// `a_b` exists.
pub fn collision_key(name: &str) -> Cow<'_, str> {
    if name.contains('.') { Cow::Owned(name.replace('.', "_")) } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_rules_and_texts() {
        let longest = "a".repeat(MAX_NAME_LENGTH);
        for name in ["a", "...", "-", "_", "A.b_c-9", longest.as_str()] {
            assert_eq!(validate(name), Ok(()), "{name}");
        }
        let too_long = "a".repeat(MAX_NAME_LENGTH + 1);
        for (name, text) in [
            ("", "the empty string is not allowed".to_owned()),
            (".", "'.' is not allowed".to_owned()),
            ("..", "'..' is not allowed".to_owned()),
            (&too_long, format!("the length of '{too_long}' is longer than the max allowed length 249")),
            (
                "a/b",
                "'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
                    .to_owned(),
            ),
            (
                "é",
                "'é' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
                    .to_owned(),
            ),
        ] {
            let error = validate(name).unwrap_err();
            assert_eq!(error.to_string(), format!("Topic name is invalid: {text}"));
        }
        for name in ["a b", "a\0", "a:b", "a\\b", "a,b"] {
            assert!(matches!(validate(name), Err(InvalidTopicName::Characters(_))), "{name}");
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a.b"), collision_key("a-b"));
    }

    #[test]
    fn internal_topics() {
        assert!(is_internal("__consumer_offsets"));
        assert!(!is_internal("__cluster_metadata"));
        assert!(!is_internal("orders"));
        assert!(is_reserved("__cluster_metadata") && is_reserved("__transaction_state"));
        assert!(!is_reserved("__mine"));
    }
}
