//! Transactions (KIP-98, KIP-360, KIP-890): the coordinator's side, as a pure state machine.
//!
//! A [`TransactionShard`] is everything that one partition of `__transaction_state` says: for each transactional id its
//! producer id and epoch, and the state of its transaction. It is driven as the shards of groups are: a
//! [`TransactionTurn`] is handed in and leaves records; the caller appends them, all or none, and replays them. Only
//! that replay changes what a record says.
//!
//! How a transaction ends. A turn decides it: its record says PrepareCommit or PrepareAbort, and the turn leaves
//! [`MarkersToWrite`]. When that record is durable the client can be answered, and the caller writes the markers into
//! the partitions that they name; when all of them are durable it calls
//! [`markers_written`](TransactionShard::markers_written), whose record completes the transaction. From the decision to
//! the completion every request for the id is answered with CONCURRENT_TRANSACTIONS. A shard that is read again leaves
//! the markers of its decided transactions again, out of [`loaded`](TransactionShard::loaded): writing one twice does no
//! harm.
//!
//! So nothing is pending in memory alone. Kafka also marks an id while one of its records is on the way to the log; here
//! a turn ends with the append, and the answers of later turns wait for the same log. The one thing that a record
//! doesn't say, in Kafka neither, is the producer's last epoch (KIP-360): a shard that was read again fences a producer
//! that repeats an InitProducerId whose answer it did not get.
//!
//! Deliberately not here: two-phase commit by the client (KIP-939), which Kafka 4.3 has in parts and refuses; whether
//! topics exist and what clients may do, which is the caller's to check.

mod add_partitions;
mod config;
mod describe;
mod end_txn;
mod expiry;
mod fence;
mod id_pattern;
mod init_producer_id;
mod list;
mod markers;
mod shard;
#[cfg(test)]
mod tests;
mod transaction;
mod turn;
mod version;

pub use self::config::TransactionCoordinatorConfig;
pub use self::list::{ListFilters, UnknownPattern};
pub use self::shard::TransactionShard;
pub use self::transaction::Transaction;
pub use self::turn::{LastProducers, MarkersToWrite, ProducerIds, TransactionTurn};
pub use self::version::TransactionVersion;
