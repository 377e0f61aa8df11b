//! Subscriptions by regular expression (KIP-848): RE2J's syntax, matched against whole topic names.

use std::collections::BTreeSet;

use fluxmq_protocol::StrBytes;

use crate::turn::Topics;

mod classes;
mod syntax;

/// What a compiled pattern may take. Kafka has no bound beside 1,000 repetitions, which nest.
const MAX_COMPILED_BYTES: usize = 2 << 20;

/// How deep groups and repetitions may nest. Kafka's limit is its stack.
const MAX_DEPTH: u32 = 200;

/// Why a pattern isn't one. The texts are RE2J's as far as it has such an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// `[z-a]`, `[[:nothing:]]`, `\p{Nothing}`
    #[error("invalid character class range")]
    CharRange,
    /// `\y`, `\1`, `\C`
    #[error("invalid escape sequence")]
    Escape,
    /// `(?P<>a)`
    #[error("invalid named capture")]
    NamedCapture,
    /// `(?P<a>b)(?P<a>c)`
    #[error("duplicate capture group name")]
    DuplicateCapture,
    /// `(?=a)`
    #[error("invalid or unsupported Perl syntax")]
    PerlSyntax,
    /// `a**`, `a++`
    #[error("invalid nested repetition operator")]
    NestedRepeat,
    /// `a{2,1}`, `a{1001}`
    #[error("invalid repeat count")]
    RepeatSize,
    /// `[a`
    #[error("missing closing ]")]
    MissingBracket,
    /// `(a`
    #[error("missing closing )")]
    MissingParen,
    /// `a)`; RE2J has no better name for it.
    #[error("regexp/syntax: internal error")]
    StackUnderflow,
    /// `*a`
    #[error("missing argument to repetition operator")]
    MissingOperand,
    /// `a\`
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    /// It nests too deeply, or compiled it would be too large.
    #[error("expression too large")]
    TooLarge,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct TopicPattern {
    regex: ::regex::Regex,
}

impl TopicPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it. Kafka answers INVALID_REGULAR_EXPRESSION, with the text of [`invalid_message`].
    pub fn compile(pattern: &str) -> Result<Self, RegexError> {
        let translated = syntax::translate(pattern)?;
        let regex = ::regex::RegexBuilder::new(&format!("^(?:{translated})$"))
            .unicode(false)
            .size_limit(MAX_COMPILED_BYTES)
            .nest_limit(MAX_DEPTH)
            .build();
        // The syntax was checked, so what is left is size and depth.
        Ok(TopicPattern { regex: regex.map_err(|_| RegexError::TooLarge)? })
    }

    /// Whether the whole of a topic's name matches.
    #[must_use]
    pub fn matches(&self, topic_name: &str) -> bool {
        self.regex.is_match(topic_name)
    }

    /// The topics whose names match, internal ones among them, as Kafka's.
    #[must_use]
    pub fn resolve(&self, topics: &dyn Topics) -> BTreeSet<StrBytes> {
        topics.names().into_iter().filter(|name| self.matches(name)).collect()
    }
}

/// Kafka's text for a pattern that is refused.
#[must_use]
pub fn invalid_message(pattern: &str, error: RegexError) -> String {
    format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {error}.")
}
