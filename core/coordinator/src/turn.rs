//! What one transition is given and what it leaves: the time, what it may know of the cluster, records, replies.

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use uuid::Uuid;

/// The time, twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds that only grow: what sessions, rebalances and their timers are measured by.
    pub monotonic_ms: i64,
    /// Milliseconds since the Unix epoch: what is written into records, and what offsets expire by.
    pub wall_ms: i64,
}

/// Names a request whose answer may come in a later turn. Given by the caller, unique while the request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// An answer to a request that was given a [`Token`].
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a JoinGroup.
    JoinGroup(JoinGroupResponse),
    /// To a SyncGroup.
    SyncGroup(SyncGroupResponse),
}

/// The cluster's topics as they are during a turn.
pub trait Topics {
    /// Changes whenever a topic comes, goes or grows.
    fn version(&self) -> i64;
    /// The id and the number of partitions of a topic.
    fn by_name(&self, name: &str) -> Option<(Uuid, i32)>;
    /// The name and the number of partitions of the topic with this id.
    fn by_id(&self, id: Uuid) -> Option<(StrBytes, i32)>;
    /// The names of all topics, in no order.
    fn names(&self) -> Vec<StrBytes>;
}

/// What was set for single groups (the GROUP resource of IncrementalAlterConfigs, KIP-848).
pub trait GroupSettings {
    /// `consumer.session.timeout.ms`, if it was set for the group.
    fn consumer_session_timeout_ms(&self, group_id: &str) -> Option<i32>;
    /// `consumer.heartbeat.interval.ms`, if it was set for the group.
    fn consumer_heartbeat_interval_ms(&self, group_id: &str) -> Option<i32>;
    /// `consumer.assignment.interval.ms`, if it was set for the group.
    fn consumer_assignment_interval_ms(&self, group_id: &str) -> Option<i32>;
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The version of the request.
    pub api_version: i16,
    /// The client's own name; empty if it gave none.
    pub client_id: StrBytes,
    /// The client's address as Kafka writes it: `/127.0.0.1`.
    pub client_host: StrBytes,
    /// A random id, for a member that needs one.
    pub fresh_id: Uuid,
}

/// An idempotent producer at one of its epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// One transition of a shard. The caller appends `records` to the shard's log, replays them into the shard, and then
/// hands out the replies, which must not leave before the records are durable.
pub struct Turn<'a> {
    /// When it happens.
    pub now: Now,
    /// The topics there are.
    pub topics: &'a dyn Topics,
    /// What was set for single groups.
    pub settings: &'a dyn GroupSettings,
    /// To be appended, all or none, in this order.
    pub records: Vec<GroupRecord>,
    /// Whose transaction the records belong to: then they are appended as a transactional batch of this producer, without
    /// a sequence, and replayed as such.
    pub transaction: Option<Producer>,
    /// Answers to requests of this turn and of earlier ones.
    pub replies: Vec<(Token, Reply)>,
    /// Whether all that the turn does is in `records`. If they can't be appended the shard is as it was; otherwise it has
    /// to be read again.
    pub all_in_records: bool,
}

impl<'a> Turn<'a> {
    /// A turn that has left nothing yet.
    #[must_use]
    pub fn new(now: Now, topics: &'a dyn Topics, settings: &'a dyn GroupSettings) -> Self {
        Turn {
            now,
            topics,
            settings,
            records: Vec::new(),
            transaction: None,
            replies: Vec::new(),
            all_in_records: false,
        }
    }

    /// Answers a JoinGroup.
    pub fn reply_join(&mut self, token: Token, response: JoinGroupResponse) {
        self.replies.push((token, Reply::JoinGroup(response)));
    }

    /// Answers a SyncGroup.
    pub fn reply_sync(&mut self, token: Token, response: SyncGroupResponse) {
        self.replies.push((token, Reply::SyncGroup(response)));
    }
}
