//! A pattern of transactional ids (KIP-1152), in RE2J's syntax, matched against whole ids.

use crate::consumer::regex::{RegexError, TopicPattern};

/// What a compiled pattern may take.
const MAX_COMPILED_BYTES: usize = 2 << 20;

/// A pattern. What RE2J takes for one is known exactly for names of ASCII characters, as topics have; an id with other
/// characters is matched by the syntax that RE2J shares with this crate's, and by nothing if the pattern uses more.
#[derive(Debug)]
pub(super) struct IdPattern {
    ascii: TopicPattern,
    any: Option<::regex::Regex>,
}

impl IdPattern {
    pub(super) fn compile(pattern: &str) -> Result<Self, RegexError> {
        let ascii = TopicPattern::compile(pattern)?;
        let mut builder = ::regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z"));
        Ok(IdPattern { ascii, any: builder.size_limit(MAX_COMPILED_BYTES).build().ok() })
    }

    pub(super) fn matches(&self, id: &str) -> bool {
        match id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            true => self.ascii.matches(id),
            false => self.any.as_ref().is_some_and(|regex| regex.is_match(id)),
        }
    }
}
