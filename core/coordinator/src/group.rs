//! A group of either kind, and the timers of both.

use fluxmq_protocol::StrBytes;

use crate::classic::ClassicGroup;
use crate::consumer::ConsumerGroup;

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub enum Group {
    /// Rebalanced by its leader, through JoinGroup and SyncGroup; also a group that only commits offsets.
    Classic(ClassicGroup),
    /// Rebalanced by the coordinator, through ConsumerGroupHeartbeat (KIP-848).
    Consumer(ConsumerGroup),
}

/// What a deadline is for. Group first, then member.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// A member of a classic group has not been heard of: it leaves.
    ClassicSession(StrBytes, StrBytes),
    /// A member id of a classic group was given out and not used (KIP-394).
    ClassicPendingMember(StrBytes, StrBytes),
    /// A classic group has waited long enough for its members to join.
    ClassicJoin(StrBytes),
    /// A classic group has waited long enough for its members to sync.
    ClassicSync(StrBytes),
    /// A member of a consumer group has not been heard of: it leaves.
    ConsumerSession(StrBytes, StrBytes),
    /// A member of a consumer group took too long to give up partitions: it leaves.
    ConsumerRebalance(StrBytes, StrBytes),
    /// A member of a consumer group that speaks the classic protocol took too long to join again.
    ConsumerClassicJoin(StrBytes, StrBytes),
    /// A member of a consumer group that speaks the classic protocol took too long to sync.
    ConsumerClassicSync(StrBytes, StrBytes),
    /// Offsets are looked at for expiry (KIP-211).
    OffsetExpiry,
}
