//! What the broker is told: its own settings and the settings of each topic.
//!
//! Field names are Kafka's key names with `_` for `.`. Values come from, in rising order of precedence: the
//! built-in defaults, the file, the environment, the command line.

pub mod broker;
pub mod definition;
pub mod environment;
pub mod group;
pub mod groups;
pub mod listeners;
pub mod properties;
mod reader;
pub mod settings;
pub mod topic;
pub mod unknown;
pub mod value;

pub use broker::{BrokerConfig, FlushPolicy, LogCleanerConfig};
pub use listeners::{ListenerConfig, SecurityProtocol, host_and_port};
pub use settings::{ConfigFault, Notice, NoticeLevel, Origin, Settings};
pub use topic::{
    CleanupPolicy, CompressionType, ConfigError, ConfigSource, MessageTimestampType, TopicConfig,
};
