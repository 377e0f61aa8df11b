//! What was set, and where: keys and texts from the file, the environment and the command line, before they are read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a properties file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// An option of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(out, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(out, "environment variable {name}"),
            Origin::Flag(name) => out.write_str(name),
        }
    }
}

/// One setting as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value's text.
    pub text: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Settings by key. What is set later takes the place of what was set before, so sources are added in rising order
/// of precedence.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    by_key: BTreeMap<String, Setting>,
}

impl Settings {
    /// Sets `key`, over an earlier source's value.
    pub fn set(&mut self, key: impl Into<String>, text: impl Into<String>, origin: Origin) {
        self.by_key.insert(key.into(), Setting { text: text.into(), origin });
    }

    /// The setting of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.by_key.get(key)
    }

    /// The text of `key`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|setting| setting.text.as_str())
    }

    /// Every setting, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.by_key.iter().map(|(key, setting)| (key.as_str(), setting))
    }
}

/// How loudly a notice is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeLevel {
    /// Something is probably not as meant.
    Warn,
    /// Worth a line at every start.
    Info,
    /// For those who ask.
    Debug,
}

/// A line about the configuration, kept until the log is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How loudly.
    pub level: NoticeLevel,
    /// The line.
    pub text: String,
}

/// Why the configuration is refused. Each prints as one line: the key, the value, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// A value that the key does not take.
    #[error("{key}={value} ({origin}): {reason}; allowed: {allowed}")]
    Invalid {
        /// The key.
        key: String,
        /// The value's text.
        value: String,
        /// Where it was set.
        origin: String,
        /// What is wrong with it.
        reason: String,
        /// What the key takes.
        allowed: String,
    },
    /// The file cannot be read.
    #[error("--config {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// `--override` without a key or a `=`.
    #[error("--override {0}: allowed: key=value")]
    Override(String),
}
