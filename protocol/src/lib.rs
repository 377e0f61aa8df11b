//! Kafka's wire protocol as FluxMQ speaks it: frames, request headers, the bounds guard, responses in parts.
//!
//! The way of a request: [`frame::length`] reads the length prefix, [`header::parse`] splits the frame into
//! header and body, [`decode::decode`] checks the body's bounds and decodes it. The way back:
//! [`parts::encode`] makes one frame of a message, [`fetch_response`] makes one around slices of segments.
//!
//! This crate alone names `kafka-protocol`; the message structs are re-exported from here.
#![forbid(unsafe_code)]

pub mod consumer_protocol;
pub mod decode;
pub mod error;
pub mod fetch_response;
pub mod frame;
pub mod group_records;
pub mod guard;
pub mod header;
pub mod metadata_records;
pub mod parts;
mod reader;
mod record_schema;
#[cfg(any(test, feature = "client"))]
pub mod sample;
mod shapes;
pub mod transaction_records;

pub use error::ErrorCode;
pub use kafka_protocol::messages;
pub use kafka_protocol::messages::ApiKey;
pub use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange,
};
pub use parts::{Part, Parts};
pub use reader::ShapeError;
