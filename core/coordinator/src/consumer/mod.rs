//! Consumer groups (KIP-848): members say what they subscribe to, the coordinator assigns.
//!
//! A group's epoch grows when what its members subscribe to changes. For each epoch a target assignment is made
//! (`target_assignment`), and every member goes to it at its own pace (`reconcile`): it is told what to give up, says
//! that it did, and is given what nobody owns any more.
//!
//! It answers and writes what Kafka 4.3 does (`tests/kafka_cases.rs`), but for this:
//! - A regular expression is resolved in the turn that brings it. In Kafka the member gets its partitions with a later
//!   heartbeat. A look that finds nothing new writes no record.
//! - A member that drops an expression makes a new epoch even if its new one matches nothing, and a member that joins
//!   without topics counts when it is asked whether all subscribe to the same. In Kafka some partitions may then be
//!   nobody's until the next epoch.
//! - A clock that is set back doesn't hold up the next assignment.

mod advance;
mod check;
mod classic_member;
mod describe;
mod downgrade;
mod error;
mod group;
mod heartbeat;
mod leave;
mod member;
mod metadata_hash;
mod offsets;
mod reconcile;
pub(crate) mod records;
pub mod regex;
mod regular_expressions;
mod replay;
mod subscriptions;
mod target_assignment;
#[cfg(test)]
mod tests;
mod upgrade;

pub use group::{ConsumerGroup, ConsumerGroupState};
pub(crate) use offsets::CommitPartitionValidator;
