//! Storage.

pub mod batch;
pub mod checkpoint;
pub mod codec;
pub mod leader_epochs;
pub mod producer_state;
