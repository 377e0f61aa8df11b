//! The log of one partition and the directory of logs, byte-compatible with Apache Kafka's files.
//!
//! Knows nothing of the protocol, of sockets or of an async runtime; time and the file system are handed in.

pub mod batch;
pub mod checkpoint;
pub mod codec;
pub mod fs;
pub mod inspect;
pub mod leader_epochs;
pub mod log;
pub mod log_dir;
pub mod meta_properties;
pub mod mmap;
pub mod offset_index;
pub mod producer_state;
mod recovery;
pub mod segment;
pub mod slice;
pub mod time_index;
pub mod txn_index;
pub use log::LogOffsetMetadata;
