//! What the broker is told: its own settings and the settings of each topic.
//!
//! Field names are Kafka's key names with `_` for `.`. Values come from, in rising order of precedence: the
//! built-in defaults, the file, the environment, the command line.

pub mod broker;
pub mod listeners;
pub mod topic;

pub use broker::{BrokerConfig, FlushPolicy};
pub use listeners::{ListenerConfig, SecurityProtocol};
pub use topic::{CleanupPolicy, CompressionType, MessageTimestampType, TopicConfig};
