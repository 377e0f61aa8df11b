//! The broker around a shard: it appends what turns leave to a log, replays it, and hands out answers when the log is
//! durable that far. It can be killed: what was not durable may be lost, and with it the answers that waited for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_coordinator::{
    GroupCoordinatorConfig, GroupSettings, GroupShard, Now, Reply, Requester, Token, Topics, Turn,
};
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::GroupRecord;
use fluxmq_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, OffsetCommitResponse,
    SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use uuid::Uuid;

use super::rng::Rng;

/// How long a JoinGroup or SyncGroup may wait: the longest rebalance timeout twice, since a rebalance may begin anew
/// just before it ends, and the initial delay.
const LONGEST_WAIT_MS: i64 = 2 * 60_000 + 10_000;

pub fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// Topics by name: id and number of partitions.
#[derive(Clone, Debug, Default)]
pub struct SimTopics {
    pub by_name: BTreeMap<String, (Uuid, i32)>,
    version: i64,
    created: u128,
}

impl SimTopics {
    pub fn create(&mut self, name: &str, partitions: i32) {
        self.created += 1;
        self.by_name
            .insert(name.to_owned(), (Uuid::from_u128(self.created << 64 | self.created), partitions));
        self.version += 1;
    }

    pub fn grow(&mut self, name: &str, by: i32) {
        if let Some((_, partitions)) = self.by_name.get_mut(name) {
            *partitions += by;
            self.version += 1;
        }
    }

    pub fn delete(&mut self, name: &str) {
        self.by_name.remove(name);
        self.version += 1;
    }
}

impl Topics for SimTopics {
    fn version(&self) -> i64 {
        self.version
    }

    fn by_name(&self, name: &str) -> Option<(Uuid, i32)> {
        self.by_name.get(name).copied()
    }

    fn by_id(&self, id: Uuid) -> Option<(StrBytes, i32)> {
        let (name, (_, partitions)) = self.by_name.iter().find(|(_, (known, _))| *known == id)?;
        Some((text(name.as_str()), *partitions))
    }

    fn names(&self) -> Vec<StrBytes> {
        self.by_name.keys().map(|name| text(name.as_str())).collect()
    }
}

struct NoSettings;

impl GroupSettings for NoSettings {
    fn consumer_session_timeout_ms(&self, _group_id: &str) -> Option<i32> {
        None
    }
    fn consumer_heartbeat_interval_ms(&self, _group_id: &str) -> Option<i32> {
        None
    }
    fn consumer_assignment_interval_ms(&self, _group_id: &str) -> Option<i32> {
        None
    }
}

#[derive(Clone, Debug)]
pub enum Request {
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
    Commit(OffsetCommitRequest),
    CommitInTransaction(TxnOffsetCommitRequest),
}

#[derive(Clone, Debug)]
pub enum Answer {
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    /// Nobody reads it: the client is gone.
    Leave,
    Commit(OffsetCommitResponse),
    CommitInTransaction(TxnOffsetCommitResponse),
    /// The broker was killed: the request may or may not have been done.
    Disconnected,
}

/// Who asked: a client, and which of its requests it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub client: usize,
    pub request: u64,
}

/// What the log has.
enum Entry {
    /// A record, as key and value; of the producer's transaction if there is one.
    Record { transaction: Option<i64>, encoded: (Bytes, Option<Bytes>) },
    /// The marker that ends a producer's transaction.
    End { producer_id: i64, commit: bool },
}

/// A turn whose records aren't durable yet.
struct Held {
    records_end: usize,
    answers: Vec<(Asker, Answer)>,
}

pub struct Broker {
    pub shard: GroupShard,
    pub now: Now,
    pub topics: SimTopics,
    pub config: Arc<GroupCoordinatorConfig>,
    log: Vec<Entry>,
    pub durable: usize,
    held: VecDeque<Held>,
    waiting: BTreeMap<Token, (Asker, i64)>,
    next_token: u64,
    next_id: u128,
}

impl Broker {
    pub fn new(config: GroupCoordinatorConfig) -> Self {
        let config = Arc::new(config);
        let mut broker = Broker {
            shard: GroupShard::new(Arc::clone(&config)),
            now: Now { monotonic_ms: 1_000, wall_ms: 1_700_000_000_000 },
            topics: SimTopics::default(),
            config,
            log: Vec::new(),
            durable: 0,
            held: VecDeque::new(),
            waiting: BTreeMap::new(),
            next_token: 0,
            next_id: 0,
        };
        broker.turn(GroupShard::loaded);
        broker
    }

    /// One turn: its records are appended and replayed, its answers held.
    fn turn<T>(&mut self, transition: impl FnOnce(&mut GroupShard, &mut Turn<'_>) -> T) -> T {
        let mut turn = Turn::new(self.now, &self.topics, &NoSettings);
        let result = transition(&mut self.shard, &mut turn);
        let Turn { records, transaction, replies, .. } = turn;
        for record in &records {
            let encoded = record.encode().expect("no text is too long");
            let entry = Entry::Record { transaction: transaction.map(|producer| producer.id), encoded };
            entry.replay(&mut self.shard, self.now);
            self.log.push(entry);
        }
        let answers = replies.into_iter().map(|(token, reply)| {
            let (asker, _) =
                self.waiting.remove(&token).expect("an answer to a request that waits, and the only one");
            let answer = match reply {
                Reply::JoinGroup(response) => Answer::Join(response),
                Reply::SyncGroup(response) => Answer::Sync(response),
            };
            (asker, answer)
        });
        let answers = answers.collect();
        self.held.push_back(Held { records_end: self.log.len(), answers });
        result
    }

    pub fn request(&mut self, asker: Asker, api_version: i16, request: &Request) {
        self.next_id += 1;
        let requester = Requester {
            api_version,
            client_id: text(format!("client-{}", asker.client)),
            client_host: text("/127.0.0.1"),
            fresh_id: Uuid::from_u128(self.next_id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c1f)),
        };
        let mut token = || {
            self.next_token += 1;
            let token = Token(self.next_token);
            self.waiting.insert(token, (asker, self.now.monotonic_ms));
            token
        };
        let answer = match request {
            Request::Join(request) => {
                let token = token();
                self.turn(|shard, turn| shard.join_group(turn, &requester, request.clone(), token));
                return;
            }
            Request::Sync(request) => {
                let token = token();
                self.turn(|shard, turn| shard.sync_group(turn, &requester, request.clone(), token));
                return;
            }
            Request::ConsumerHeartbeat(request) => Answer::ConsumerHeartbeat(
                self.turn(|shard, turn| shard.consumer_group_heartbeat(turn, &requester, request)),
            ),
            Request::Heartbeat(request) => {
                Answer::Heartbeat(self.turn(|shard, turn| shard.heartbeat(turn, request)))
            }
            Request::Leave(request) => {
                self.turn(|shard, turn| shard.leave_group(turn, &requester, request));
                Answer::Leave
            }
            Request::Commit(request) => {
                Answer::Commit(self.turn(|shard, turn| shard.offset_commit(turn, &requester, request)))
            }
            Request::CommitInTransaction(request) => Answer::CommitInTransaction(
                self.turn(|shard, turn| shard.txn_offset_commit(turn, &requester, request)),
            ),
        };
        self.held.back_mut().expect("the turn was held").answers.push((asker, answer));
    }

    /// The answer that the last turn gave to its own request.
    pub fn last_answer(&self) -> Option<&Answer> {
        self.held.back()?.answers.last().map(|(_, answer)| answer)
    }

    /// Ends a producer's transaction. Gives the end of the log with its marker.
    pub fn end_transaction(&mut self, producer_id: i64, commit: bool) -> usize {
        let entry = Entry::End { producer_id, commit };
        entry.replay(&mut self.shard, self.now);
        self.log.push(entry);
        self.held.push_back(Held { records_end: self.log.len(), answers: Vec::new() });
        self.log.len()
    }

    pub fn topics_deleted(&mut self, names: &[StrBytes]) {
        self.turn(|shard, turn| shard.topics_deleted(turn, names));
    }

    /// Does what is due, one turn each.
    pub fn fire_timers(&mut self) {
        let mut fired = 0;
        while self.shard.next_deadline().is_some_and(|deadline_ms| deadline_ms <= self.now.monotonic_ms) {
            assert!(self.turn(GroupShard::fire_next), "a deadline that is due does something");
            fired += 1;
            assert!(fired < 10_000, "timers that never end");
        }
        let oldest = self.waiting.values().map(|(_, since_ms)| *since_ms).min();
        let age_ms = oldest.map_or(0, |since_ms| self.now.monotonic_ms - since_ms);
        assert!(age_ms <= LONGEST_WAIT_MS, "a request has waited for {age_ms} ms");
    }

    /// Makes the log durable and gives the answers that waited for that.
    pub fn flush(&mut self) -> Vec<(Asker, Answer)> {
        self.durable = self.log.len();
        self.held.drain(..).flat_map(|held| held.answers).collect()
    }

    /// Kills the broker and starts it again. Of the turns that weren't durable, some survive: a prefix. Gives what
    /// clients get to see of that.
    pub fn restart(&mut self, rng: &mut Rng) -> Vec<(Asker, Answer)> {
        let ends: Vec<usize> =
            std::iter::once(self.durable).chain(self.held.iter().map(|held| held.records_end)).collect();
        self.log.truncate(ends[rng.below(ends.len())]);
        self.durable = self.log.len();
        let cut_off = self.held.drain(..).flat_map(|held| held.answers).map(|(asker, _)| asker);
        let cut_off = cut_off.chain(std::mem::take(&mut self.waiting).into_values().map(|(asker, _)| asker));
        let answers = cut_off.map(|asker| (asker, Answer::Disconnected)).collect();
        self.shard = self.reloaded();
        self.turn(GroupShard::loaded);
        answers
    }

    /// What a broker that starts on this log has.
    pub fn reloaded(&self) -> GroupShard {
        let mut shard = GroupShard::new(Arc::clone(&self.config));
        self.log.iter().for_each(|entry| entry.replay(&mut shard, self.now));
        shard
    }

    pub fn pass(&mut self, by_ms: i64) {
        self.now.monotonic_ms += by_ms;
        self.now.wall_ms += by_ms;
    }
}

impl Entry {
    fn replay(&self, shard: &mut GroupShard, now: Now) {
        let decoded = |(key, value): &(Bytes, Option<Bytes>)| {
            GroupRecord::decode(key, value.as_deref()).expect("a record of our own")
        };
        match self {
            Entry::Record { transaction: None, encoded } => shard.replay(now, decoded(encoded)),
            Entry::Record { transaction: Some(producer_id), encoded } => {
                shard.replay_transactional(now, *producer_id, decoded(encoded));
            }
            Entry::End { producer_id, commit } => shard.replay_end_transaction_marker(*producer_id, *commit),
        }
    }
}
