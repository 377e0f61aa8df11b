//! A member of a classic group: what it said when it joined, what it was assigned, and which of its requests wait.

use bytes::Bytes;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::MemberMetadata;
use fluxmq_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use fluxmq_protocol::messages::join_group_response::JoinGroupResponseMember;

use crate::shard::owned;
use crate::turn::Token;

/// One way to assign that a member supports, with what it says for it. Shared, not copied, by what is made of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Protocol {
    pub(crate) name: StrBytes,
    pub(crate) metadata: Bytes,
}

impl Protocol {
    /// Copies of what a JoinGroup brought: nothing of them keeps its frame in memory.
    pub(crate) fn copied(requested: &[JoinGroupRequestProtocol]) -> Vec<Self> {
        let copy = |protocol: &JoinGroupRequestProtocol| Protocol {
            name: owned(&protocol.name),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        };
        requested.iter().map(copy).collect()
    }
}

/// A JoinGroup that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoinWaiter {
    pub(crate) token: Token,
    pub(crate) api_version: i16,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicGroupMember {
    pub(crate) member_id: StrBytes,
    /// `group.instance.id` of a static member (KIP-345).
    pub(crate) instance_id: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: StrBytes,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// In the member's order of preference. After a load only the one that the group had chosen: the others are in no
    /// record.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    pub(super) awaiting_join: Option<JoinWaiter>,
    pub(super) awaiting_sync: Option<Token>,
    /// It was added in the rebalance that is going on: its first join may outlast no more than a fixed time.
    pub(super) is_new: bool,
}

impl ClassicGroupMember {
    /// A member that has no assignment and waits for nothing.
    pub(crate) fn new(member_id: StrBytes, instance_id: Option<StrBytes>) -> Self {
        ClassicGroupMember {
            member_id,
            instance_id,
            client_id: StrBytes::default(),
            client_host: StrBytes::default(),
            rebalance_timeout_ms: 0,
            session_timeout_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        }
    }

    /// The member that a record of its group tells of; `protocol` is the one that the group chose.
    pub(super) fn from_record(record: MemberMetadata, protocol: Option<&StrBytes>) -> Self {
        let subscription = record.subscription;
        ClassicGroupMember {
            client_id: record.client_id,
            client_host: record.client_host,
            // Records of the time before rebalance timeouts say −1.
            rebalance_timeout_ms: match record.rebalance_timeout {
                -1 => record.session_timeout,
                rebalance_timeout_ms => rebalance_timeout_ms,
            },
            session_timeout_ms: record.session_timeout,
            protocols: protocol
                .map(|name| Protocol { name: name.clone(), metadata: subscription })
                .into_iter()
                .collect(),
            assignment: record.assignment,
            ..ClassicGroupMember::new(record.member_id, record.group_instance_id)
        }
    }

    /// What the group's record says of the member.
    pub(super) fn to_record(&self, protocol: Option<&StrBytes>, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// What the leader is told of the member.
    pub(super) fn to_response(&self, protocol: Option<&StrBytes>) -> JoinGroupResponseMember {
        JoinGroupResponseMember::default()
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance_id.clone())
            .with_metadata(self.metadata(protocol))
    }

    /// Whether it has an instance id (KIP-345).
    pub(crate) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// What it says for a protocol; nothing if it does not support it.
    pub(crate) fn metadata(&self, protocol: Option<&StrBytes>) -> Bytes {
        let found = self.protocols.iter().find(|supported| Some(&supported.name) == protocol);
        found.map(|protocol| protocol.metadata.clone()).unwrap_or_default()
    }

    /// Whether a JoinGroup brings what is known already: the same protocols, in the same order, with the same bytes.
    pub(super) fn matches(&self, requested: &[JoinGroupRequestProtocol]) -> bool {
        let known = self.protocols.iter().map(|protocol| (&protocol.name, &protocol.metadata));
        known.eq(requested.iter().map(|protocol| (&protocol.name, &protocol.metadata)))
    }

    /// Whether a request of it waits, which stands for a heartbeat. A new member's first join does not: its client may
    /// be gone without anybody having noticed.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}
