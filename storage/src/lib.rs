//! Storage.

pub mod batch;
pub mod codec;
