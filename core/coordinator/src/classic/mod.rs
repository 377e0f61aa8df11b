//! Classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, DescribeGroups; the leader assigns.
//!
//! Members come and go in memory only. When the leader's SyncGroup brings the assignment, one GroupMetadata record says
//! who they are and what they got; another says so when the last has gone.

mod describe;
mod group;
mod heartbeat;
mod java_order;
mod join;
mod leave;
mod member;
mod migrate;
mod offsets;
mod rebalance;
mod record;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;

pub use self::group::{ClassicGroup, ClassicGroupState};
pub use self::member::ClassicGroupMember;
pub(crate) use self::member::Protocol;
pub(crate) use self::record::size_bytes;
