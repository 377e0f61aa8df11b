//! Kafka's group and transaction coordinators as pure state machines: (state, now, event) → records to append, replies,
//! timers.
//!
//! A [`shard::GroupShard`] is everything that one partition of `__consumer_offsets` says, a [`TransactionShard`] what
//! one of `__transaction_state` does. No I/O, no clock, no randomness: the caller hands in a [`turn::Turn`], appends the
//! records that it leaves, and replays them into the shard. Only that replay changes what a record says, so a shard
//! loaded from its log equals the one that wrote it.
#![forbid(unsafe_code)]

mod admin;
pub mod assignors;
pub mod classic;
pub mod config;
pub mod consumer;
pub mod group;
pub mod offsets;
pub mod shard;
#[cfg(test)]
mod testing;
pub mod timers;
pub mod transactions;
pub mod turn;

pub use config::GroupCoordinatorConfig;
pub use shard::GroupShard;
pub use transactions::{TransactionCoordinatorConfig, TransactionShard, TransactionTurn};
pub use turn::{GroupSettings, Now, Producer, Reply, Requester, Token, Topics, Turn};
