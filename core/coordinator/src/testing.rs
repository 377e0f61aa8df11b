//! What drives a shard in tests: a clock that is set, topics that are made up, and a log of encoded records that is
//! replayed as the broker does it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::group_records::GroupRecord;
use uuid::Uuid;

use crate::config::GroupCoordinatorConfig;
use crate::shard::GroupShard;
use crate::turn::{GroupSettings, Now, Reply, Requester, Token, Topics, Turn};

/// Topics by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestTopics {
    topics: BTreeMap<String, (Uuid, i32)>,
    version: i64,
}

impl TestTopics {
    /// Creates or changes a topic.
    pub(crate) fn set(&mut self, name: &str, id: u128, partitions: i32) {
        self.topics.insert(name.to_owned(), (Uuid::from_u128(id), partitions));
        self.version += 1;
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.topics.remove(name);
        self.version += 1;
    }
}

impl Topics for TestTopics {
    fn version(&self) -> i64 {
        self.version
    }

    fn by_name(&self, name: &str) -> Option<(Uuid, i32)> {
        self.topics.get(name).copied()
    }

    fn by_id(&self, id: Uuid) -> Option<(StrBytes, i32)> {
        let (name, (_, partitions)) = self.topics.iter().find(|(_, topic)| topic.0 == id)?;
        Some((text(name), *partitions))
    }

    fn names(&self) -> Vec<StrBytes> {
        self.topics.keys().map(|name| text(name)).collect()
    }
}

/// No group has settings of its own.
pub(crate) struct NoSettings;

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

/// Key and value of a record.
pub(crate) type Encoded = (Bytes, Option<Bytes>);

/// What lies in a log.
#[derive(Clone, Debug)]
pub(crate) enum Logged {
    /// A record, of this producer's transaction if it is of one.
    Record(Option<i64>, Encoded),
    /// The end of a producer's transaction.
    EndOfTransaction { producer_id: i64, commit: bool },
}

/// A shard, its log and its surroundings.
pub(crate) struct Driver {
    pub(crate) shard: GroupShard,
    pub(crate) now: Now,
    pub(crate) topics: TestTopics,
    pub(crate) log: Vec<Logged>,
    /// Replies that nobody has asked for yet.
    pub(crate) replies: Vec<(Token, Reply)>,
    config: Arc<GroupCoordinatorConfig>,
}

impl Driver {
    pub(crate) fn new(config: GroupCoordinatorConfig) -> Self {
        let config = Arc::new(config);
        let mut driver = Driver {
            shard: GroupShard::new(Arc::clone(&config)),
            now: Now { monotonic_ms: 1_000, wall_ms: 1_700_000_000_000 },
            topics: TestTopics::default(),
            log: Vec::new(),
            replies: Vec::new(),
            config,
        };
        driver.turn(GroupShard::loaded);
        driver
    }

    /// One turn: what it leaves is appended and replayed. Gives what `transition` gives.
    pub(crate) fn turn<T>(&mut self, transition: impl FnOnce(&mut GroupShard, &mut Turn<'_>) -> T) -> T {
        let mut turn = Turn::new(self.now, &self.topics, &NoSettings);
        let result = transition(&mut self.shard, &mut turn);
        let Turn { records, replies, transaction, .. } = turn;
        self.replies.extend(replies);
        for record in &records {
            let encoded = record.encode().expect("no text is too long");
            self.append(Logged::Record(transaction.map(|producer| producer.id), encoded));
        }
        result
    }

    /// The marker of a transaction's end arrives.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        self.append(Logged::EndOfTransaction { producer_id, commit });
    }

    fn append(&mut self, logged: Logged) {
        logged.replay(&mut self.shard, self.now);
        self.log.push(logged);
    }

    /// The records from this place in the log on.
    pub(crate) fn records_since(&self, first: usize) -> impl Iterator<Item = GroupRecord> {
        self.encoded_since(first).map(decoded)
    }

    /// The records from this place in the log on, as they are written.
    pub(crate) fn encoded_since(&self, first: usize) -> impl Iterator<Item = &Encoded> {
        self.log[first..].iter().filter_map(|logged| match logged {
            Logged::Record(_, encoded) => Some(encoded),
            Logged::EndOfTransaction { .. } => None,
        })
    }

    /// Lets time pass, and does what is due at the moment when it is.
    pub(crate) fn advance(&mut self, by_ms: i64) {
        let end_ms = self.now.monotonic_ms + by_ms;
        while let Some(deadline_ms) = self.shard.next_deadline().filter(|deadline_ms| *deadline_ms <= end_ms)
        {
            self.set_monotonic(deadline_ms.max(self.now.monotonic_ms));
            self.turn(|shard, turn| {
                assert!(shard.fire_next(turn), "a deadline that is due and does nothing");
            });
        }
        self.set_monotonic(end_ms);
    }

    /// What a broker that starts on this log has.
    pub(crate) fn reloaded(&self) -> GroupShard {
        let mut shard = GroupShard::new(Arc::clone(&self.config));
        self.log.iter().for_each(|logged| logged.replay(&mut shard, self.now));
        shard
    }

    /// What a broker has that starts on this log after all of it was compacted that may be: up to the first open
    /// transaction, the last record of each key if it is no tombstone, and nothing that was aborted.
    pub(crate) fn compacted(&self) -> GroupShard {
        let mut open: HashMap<i64, Vec<usize>> = HashMap::new();
        let mut aborted = HashSet::new();
        for (at, logged) in self.log.iter().enumerate() {
            match logged {
                Logged::Record(None, _) => {}
                Logged::Record(Some(producer_id), _) => open.entry(*producer_id).or_default().push(at),
                Logged::EndOfTransaction { producer_id, commit } => {
                    let ended = open.remove(producer_id).unwrap_or_default();
                    aborted.extend(ended.into_iter().filter(|_| !commit));
                }
            }
        }
        let first_open = open.into_values().flatten().min().unwrap_or(self.log.len());
        let mut last = HashMap::new();
        for (at, logged) in self.log[..first_open].iter().enumerate() {
            if let Logged::Record(_, (key, _)) = logged
                && !aborted.contains(&at)
            {
                last.insert(key, at);
            }
        }
        let is_kept = |at: usize, logged: &Logged| match logged {
            Logged::Record(_, (key, value)) => {
                at >= first_open || (value.is_some() && last.get(key) == Some(&at))
            }
            Logged::EndOfTransaction { .. } => true,
        };
        let mut shard = GroupShard::new(Arc::clone(&self.config));
        let kept = self.log.iter().enumerate().filter(|(at, logged)| is_kept(*at, logged));
        kept.for_each(|(_, logged)| logged.replay(&mut shard, self.now));
        shard
    }

    /// Stops and starts the broker.
    pub(crate) fn restart(&mut self) {
        self.shard = self.reloaded();
        self.replies.clear();
        self.turn(GroupShard::loaded);
    }

    fn set_monotonic(&mut self, monotonic_ms: i64) {
        self.now.wall_ms += monotonic_ms - self.now.monotonic_ms;
        self.now.monotonic_ms = monotonic_ms;
    }
}

impl Logged {
    fn replay(&self, shard: &mut GroupShard, now: Now) {
        match self {
            Logged::Record(None, encoded) => shard.replay(now, decoded(encoded)),
            Logged::Record(Some(producer_id), encoded) => {
                shard.replay_transactional(now, *producer_id, decoded(encoded));
            }
            Logged::EndOfTransaction { producer_id, commit } => {
                shard.replay_end_transaction_marker(*producer_id, *commit);
            }
        }
    }
}

fn decoded((key, value): &Encoded) -> GroupRecord {
    GroupRecord::decode(key, value.as_deref()).expect("a record of our own")
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A client that says version `api_version`.
pub(crate) fn requester(api_version: i16) -> Requester {
    Requester {
        api_version,
        client_id: text("client"),
        client_host: text("/127.0.0.1"),
        fresh_id: Uuid::from_u128(1),
    }
}
