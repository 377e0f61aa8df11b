//! Incremental fetch sessions (KIP-227): what a client fetches is remembered between its requests, and partitions
//! without news are left out of the responses.
//!
//! The rules for epochs, for what is left out and for eviction are Kafka's. One rule is our own: the partitions of all
//! sessions together are bounded. A client that is refused a session by a bound goes on with full requests.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use fluxmq_protocol::{ErrorCode, StrBytes};
use parking_lot::Mutex;
use uuid::Uuid;

/// No session.
pub const INVALID_SESSION_ID: i32 = 0;
/// Epoch of a full request that opens a session.
pub const INITIAL_EPOCH: i32 = 0;
/// Epoch of a full request that closes its session, or has none.
pub const FINAL_EPOCH: i32 = -1;
/// A session that was used within this time is evicted only for a larger one, and only once it is this old.
const EVICTION_MS: i64 = 120_000;
/// Partitions of all sessions together.
const MAX_CACHED_PARTITIONS: usize = 1_000_000;

/// A topic as the request names it: by name up to version 12, by id from 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// By name.
    Name(StrBytes),
    /// By id (KIP-516).
    Id(Uuid),
}

/// A partition as the request names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionKey {
    /// The topic.
    pub topic: TopicKey,
    /// The partition's number, which may be any.
    pub index: i32,
}

/// What a request asks of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRequest {
    /// First offset wanted.
    pub fetch_offset: i64,
    /// Bytes of records at most; the first batch of a response may be larger.
    pub max_bytes: i32,
    /// The leader epoch that the client knows, or −1 (KIP-320).
    pub current_leader_epoch: i32,
    /// The epoch of the last record that the client has, or −1 (KIP-595).
    pub last_fetched_epoch: i32,
}

/// One partition that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which one.
    pub key: PartitionKey,
    /// For a key by id: the name that the id had when it was last known.
    pub known_name: Option<StrBytes>,
    /// What is asked of it.
    pub request: PartitionRequest,
}

/// What a response says of a partition, as far as it matters for leaving it out of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// Records, a preferred replica or a diverging epoch: always sent.
    pub must_be_sent: bool,
    /// There are records.
    pub has_records: bool,
    /// The error code is not NONE.
    pub is_error: bool,
    /// The high watermark in the response.
    pub high_watermark: i64,
    /// The log start offset in the response.
    pub log_start_offset: i64,
}

impl News {
    /// Of a partition that was never in a response.
    const UNKNOWN: News = News {
        must_be_sent: false,
        has_records: false,
        is_error: false,
        high_watermark: -1,
        log_start_offset: -1,
    };
}

struct CachedPartition {
    key: PartitionKey,
    known_name: Option<StrBytes>,
    request: PartitionRequest,
    high_watermark: i64,
    log_start_offset: i64,
}

impl CachedPartition {
    fn new(wanted: &Wanted, news: &News) -> Self {
        CachedPartition {
            key: wanted.key.clone(),
            known_name: wanted.known_name.clone(),
            request: wanted.request,
            high_watermark: news.high_watermark,
            log_start_offset: news.log_start_offset,
        }
    }

    /// Takes note of what a response says. False when the client knows it all, so that it can be left out.
    fn update(&mut self, news: &News) -> bool {
        let is_new = news.must_be_sent
            || news.is_error
            || self.high_watermark != news.high_watermark
            || self.log_start_offset != news.log_start_offset;
        // After an error the partition is sent again once the error has gone.
        self.high_watermark = if news.is_error { -1 } else { news.high_watermark };
        self.log_start_offset = news.log_start_offset;
        is_new
    }
}

/// The partitions of a session, in the order they are read. Those that gave records go to the end, so that each has
/// its turn when a response cannot hold them all.
#[derive(Default)]
struct PartitionList {
    by_turn: BTreeMap<u64, CachedPartition>,
    turns: HashMap<PartitionKey, u64>,
    next_turn: u64,
}

impl PartitionList {
    fn len(&self) -> usize {
        self.by_turn.len()
    }

    fn push(&mut self, partition: CachedPartition) {
        self.turns.insert(partition.key.clone(), self.next_turn);
        self.by_turn.insert(self.next_turn, partition);
        self.next_turn += 1;
    }

    fn get_mut(&mut self, key: &PartitionKey) -> Option<&mut CachedPartition> {
        self.by_turn.get_mut(self.turns.get(key)?)
    }

    fn remove(&mut self, key: &PartitionKey) -> Option<CachedPartition> {
        self.by_turn.remove(&self.turns.remove(key)?)
    }

    fn move_to_end(&mut self, key: &PartitionKey) {
        if let Some(partition) = self.remove(key) {
            self.push(partition);
        }
    }
}

struct Session {
    id: i32,
    /// Opened by a follower: consumers do not evict it.
    privileged: bool,
    uses_topic_ids: bool,
    created_ms: i64,
    last_used_ms: i64,
    epoch: i32,
    partitions: PartitionList,
}

/// How a session is ranked among those that may be evicted: the least valuable first.
type EvictableKey = (bool, usize, i32);

#[derive(Default)]
struct Cache {
    max_sessions: usize,
    sessions: HashMap<i32, CachedSession>,
    last_used: BTreeSet<(i64, i32)>,
    evictable_by_all: BTreeSet<EvictableKey>,
    evictable_by_privileged: BTreeSet<EvictableKey>,
    partitions: usize,
    opened: u64,
    evictions: u64,
}

struct CachedSession {
    session: Arc<Mutex<Session>>,
    last_used_ms: i64,
    evictable: EvictableKey,
}

/// The sessions of a broker.
pub struct FetchSessions {
    cache: Mutex<Cache>,
    ids: RandomState,
}

/// How a request relates to sessions, kept until its response is made.
pub enum FetchContext {
    /// No session, and none is wanted.
    Sessionless,
    /// A full request that opens a session if there is room.
    Full {
        /// Whether topics are named by id.
        uses_topic_ids: bool,
        /// From a follower.
        privileged: bool,
    },
    /// A request within a session.
    Incremental {
        /// The session's id.
        id: i32,
        #[doc(hidden)]
        session: SessionRef,
        #[doc(hidden)]
        expected_epoch: i32,
    },
}

/// A session, held by a request.
pub struct SessionRef(Arc<Mutex<Session>>);

/// The session fields of a request.
#[derive(Clone, Copy, Debug)]
pub struct SessionRequest {
    /// The session's id, or [`INVALID_SESSION_ID`].
    pub id: i32,
    /// The request's number within the session.
    pub epoch: i32,
    /// Whether topics are named by id (version 13 and up).
    pub uses_topic_ids: bool,
    /// From a follower.
    pub privileged: bool,
}

fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        ..0 => FINAL_EPOCH,
        i32::MAX => 1,
        epoch => epoch + 1,
    }
}

impl FetchSessions {
    /// Sessions, of which at most `max_sessions` are kept (`max.incremental.fetch.session.cache.slots`).
    #[must_use]
    pub fn new(max_sessions: usize) -> Self {
        FetchSessions {
            cache: Mutex::new(Cache { max_sessions, ..Cache::default() }),
            ids: RandomState::new(),
        }
    }

    /// Sessions, and the partitions in them.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let cache = self.cache.lock();
        (cache.sessions.len(), cache.partitions)
    }

    /// Sessions that made room for others since the start.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.cache.lock().evictions
    }

    /// Begins a request: applies it to its session, and gives all the partitions that are to be read, in order.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR: the whole request
    /// fails, and the client begins anew with a full one.
    pub fn begin(
        &self,
        request: SessionRequest,
        wanted: Vec<Wanted>,
        forgotten: &[PartitionKey],
        now_ms: i64,
    ) -> Result<(FetchContext, Vec<Wanted>), ErrorCode> {
        let mut cache = self.cache.lock();
        if request.epoch == INITIAL_EPOCH || request.epoch == FINAL_EPOCH {
            // A full request ends the session that it names.
            cache.remove(request.id);
            let context = if request.epoch == FINAL_EPOCH {
                FetchContext::Sessionless
            } else {
                FetchContext::Full { uses_topic_ids: request.uses_topic_ids, privileged: request.privileged }
            };
            return Ok((context, wanted));
        }
        let Some(cached) = cache.sessions.get(&request.id) else {
            return Err(ErrorCode::FetchSessionIdNotFound);
        };
        let shared = Arc::clone(&cached.session);
        let mut session = shared.lock();
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let size_before = session.partitions.len();
        for wanted in &wanted {
            match session.partitions.get_mut(&wanted.key) {
                Some(cached) => cached.request = wanted.request,
                None => session.partitions.push(CachedPartition::new(wanted, &News::UNKNOWN)),
            }
        }
        for key in forgotten {
            session.partitions.remove(key);
        }
        if session.partitions.len() == 0 {
            cache.remove(request.id);
            return Ok((FetchContext::Sessionless, wanted));
        }
        if cache.partitions - size_before + session.partitions.len() > MAX_CACHED_PARTITIONS {
            cache.remove(request.id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        session.last_used_ms = now_ms;
        cache.touch(&session);
        drop(cache);
        session.epoch = next_epoch(session.epoch);
        let expected_epoch = session.epoch;
        let all = session
            .partitions
            .by_turn
            .values()
            .map(|cached| Wanted {
                key: cached.key.clone(),
                known_name: cached.known_name.clone(),
                request: cached.request,
            })
            .collect();
        drop(session);
        Ok((FetchContext::Incremental { id: request.id, session: SessionRef(shared), expected_epoch }, all))
    }

    /// Ends a request: `results`, as many as there were partitions, in the order of the response. Gives the session's id for the response and which
    /// results are to be sent.
    ///
    /// # Errors
    /// INVALID_FETCH_SESSION_EPOCH with the session's id when another request of the session came in between.
    pub fn finish<'a>(
        &self,
        context: &FetchContext,
        results: impl Iterator<Item = (&'a Wanted, News)>,
        now_ms: i64,
    ) -> Result<(i32, Vec<bool>), (i32, ErrorCode)> {
        match context {
            FetchContext::Sessionless => Ok((INVALID_SESSION_ID, results.map(|_| true).collect())),
            FetchContext::Full { uses_topic_ids, privileged } => {
                let mut partitions = PartitionList::default();
                results.for_each(|(wanted, news)| partitions.push(CachedPartition::new(wanted, &news)));
                let sent = vec![true; partitions.len()];
                Ok((self.open(*uses_topic_ids, *privileged, partitions, now_ms), sent))
            }
            FetchContext::Incremental { id, session, expected_epoch } => {
                let mut session = session.0.lock();
                if session.epoch != *expected_epoch {
                    return Err((*id, ErrorCode::InvalidFetchSessionEpoch));
                }
                let mut sent = Vec::with_capacity(session.partitions.len());
                for (wanted, news) in results {
                    let Some(cached) = session.partitions.get_mut(&wanted.key) else {
                        sent.push(true);
                        continue;
                    };
                    if cached.known_name.is_none() {
                        cached.known_name.clone_from(&wanted.known_name);
                    }
                    let is_new = cached.update(&news);
                    if is_new && news.has_records {
                        session.partitions.move_to_end(&wanted.key);
                    }
                    sent.push(is_new);
                }
                Ok((*id, sent))
            }
        }
    }

    fn open(&self, uses_topic_ids: bool, privileged: bool, partitions: PartitionList, now_ms: i64) -> i32 {
        let mut cache = self.cache.lock();
        let size = partitions.len();
        if cache.partitions + size > MAX_CACHED_PARTITIONS || !cache.make_room(privileged, size, now_ms) {
            return INVALID_SESSION_ID;
        }
        let id = self.unused_id(&cache);
        let session = Session {
            id,
            privileged,
            uses_topic_ids,
            created_ms: now_ms,
            last_used_ms: now_ms,
            epoch: next_epoch(INITIAL_EPOCH),
            partitions,
        };
        cache.insert(session);
        id
    }

    /// A random positive number, so that a client of an earlier run does not meet another client's session.
    fn unused_id(&self, cache: &Cache) -> i32 {
        (0u64..)
            .map(|attempt| (self.ids.hash_one((cache.opened, attempt)) >> 33) as i32)
            .find(|id| *id != INVALID_SESSION_ID && !cache.sessions.contains_key(id))
            .expect("the cache holds fewer sessions than there are numbers")
    }
}

impl Cache {
    fn insert(&mut self, session: Session) {
        let (id, last_used_ms) = (session.id, session.last_used_ms);
        let evictable = (session.privileged, session.partitions.len(), id);
        self.partitions += session.partitions.len();
        self.opened += 1;
        let session = Arc::new(Mutex::new(session));
        self.sessions.insert(id, CachedSession { session: Arc::clone(&session), last_used_ms, evictable });
        self.touch(&session.lock());
    }

    /// Files a session under its size and time of use as they are now.
    fn touch(&mut self, session: &Session) {
        let Some(cached) = self.sessions.get_mut(&session.id) else { return };
        self.last_used.remove(&(cached.last_used_ms, session.id));
        self.evictable_by_all.remove(&cached.evictable);
        self.evictable_by_privileged.remove(&cached.evictable);
        self.partitions = self.partitions - cached.evictable.1 + session.partitions.len();
        cached.last_used_ms = session.last_used_ms;
        cached.evictable = (session.privileged, session.partitions.len(), session.id);
        self.last_used.insert((session.last_used_ms, session.id));
        let is_old = session.last_used_ms - session.created_ms > EVICTION_MS;
        if !session.privileged || is_old {
            self.evictable_by_privileged.insert(cached.evictable);
        }
        if is_old {
            self.evictable_by_all.insert(cached.evictable);
        }
    }

    fn remove(&mut self, id: i32) {
        if let Some(cached) = self.sessions.remove(&id) {
            self.last_used.remove(&(cached.last_used_ms, id));
            self.evictable_by_all.remove(&cached.evictable);
            self.evictable_by_privileged.remove(&cached.evictable);
            self.partitions -= cached.evictable.1;
        }
    }

    /// Room for one more session of `size` partitions: a free slot, that of a session long unused, or that of one
    /// worth less.
    fn make_room(&mut self, privileged: bool, size: usize, now_ms: i64) -> bool {
        if self.sessions.len() < self.max_sessions {
            return true;
        }
        let Some(&(last_used_ms, oldest)) = self.last_used.first() else { return false };
        let evicted = if now_ms - last_used_ms > EVICTION_MS {
            oldest
        } else {
            let evictable = if privileged { &self.evictable_by_privileged } else { &self.evictable_by_all };
            match evictable.first() {
                Some(&least) if (privileged, size, 0) >= least => least.2,
                _ => return false,
            }
        };
        self.remove(evicted);
        self.evictions += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: i32) -> PartitionKey {
        PartitionKey { topic: TopicKey::Name(StrBytes::from_static_str("t")), index }
    }

    fn wanted(index: i32, fetch_offset: i64) -> Wanted {
        let request = PartitionRequest {
            fetch_offset,
            max_bytes: 100,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        };
        Wanted { key: key(index), known_name: None, request }
    }

    fn news(high_watermark: i64) -> News {
        News { must_be_sent: false, has_records: false, is_error: false, high_watermark, log_start_offset: 0 }
    }

    fn request(id: i32, epoch: i32) -> SessionRequest {
        SessionRequest { id, epoch, uses_topic_ids: false, privileged: false }
    }

    fn offsets(wanted: &[Wanted]) -> Vec<(i32, i64)> {
        wanted.iter().map(|wanted| (wanted.key.index, wanted.request.fetch_offset)).collect()
    }

    /// Opens a session of so many partitions, high watermark 10 each.
    fn open(sessions: &FetchSessions, partitions: i32, now_ms: i64) -> i32 {
        let all: Vec<Wanted> = (0..partitions).map(|index| wanted(index, 0)).collect();
        let (context, all) = sessions.begin(request(0, 0), all, &[], now_ms).unwrap();
        let results: Vec<_> = all.into_iter().map(|wanted| (wanted, news(10))).collect();
        let (id, sent) =
            sessions.finish(&context, results.iter().map(|(wanted, news)| (wanted, *news)), now_ms).unwrap();
        assert_eq!(sent, vec![true; partitions as usize]);
        id
    }

    fn next(sessions: &FetchSessions, id: i32, epoch: i32, now_ms: i64) -> Result<Vec<Wanted>, ErrorCode> {
        sessions.begin(request(id, epoch), Vec::new(), &[], now_ms).map(|(_, wanted)| wanted)
    }

    #[test]
    fn what_the_client_knows_is_left_out() {
        let sessions = FetchSessions::new(10);
        let id = open(&sessions, 3, 0);
        assert!(id > 0);
        let (context, all) = sessions.begin(request(id, 1), vec![wanted(1, 7)], &[], 1).unwrap();
        assert_eq!(offsets(&all), [(0, 0), (1, 7), (2, 0)]);
        let mut with_records = news(11);
        (with_records.must_be_sent, with_records.has_records) = (true, true);
        let results: Vec<_> = all.into_iter().zip([with_records, news(10), news(12)]).collect();
        assert_eq!(
            sessions.finish(&context, results.iter().map(|(wanted, news)| (wanted, *news)), 1).unwrap(),
            (id, vec![true, false, true])
        );
        // The one with records has its next turn after the others.
        assert_eq!(offsets(&next(&sessions, id, 2, 2).unwrap()), [(1, 7), (2, 0), (0, 0)]);
    }

    #[test]
    fn an_error_is_sent_each_time_and_its_end_too() {
        let sessions = FetchSessions::new(10);
        let id = open(&sessions, 1, 0);
        let error = News { is_error: true, high_watermark: -1, log_start_offset: -1, ..news(0) };
        for (epoch, news, is_sent) in
            [(1, error, true), (2, error, true), (3, news(10), true), (4, news(10), false)]
        {
            let (context, mut all) = sessions.begin(request(id, epoch), Vec::new(), &[], 1).unwrap();
            let results = [(all.remove(0), news)];
            assert_eq!(
                sessions.finish(&context, results.iter().map(|(wanted, news)| (wanted, *news)), 1).unwrap(),
                (id, vec![is_sent]),
                "epoch {epoch}"
            );
        }
    }

    #[test]
    fn partitions_come_and_go_and_the_last_takes_the_session_along() {
        let sessions = FetchSessions::new(10);
        let id = open(&sessions, 2, 0);
        let (_, all) = sessions.begin(request(id, 1), vec![wanted(5, 3)], &[key(0)], 1).unwrap();
        assert_eq!(offsets(&all), [(1, 0), (5, 3)]);
        assert_eq!(sessions.size(), (1, 2));
        let (context, all) = sessions.begin(request(id, 2), Vec::new(), &[key(1), key(5)], 1).unwrap();
        assert!(matches!(context, FetchContext::Sessionless) && all.is_empty());
        assert_eq!(sessions.size(), (0, 0));
        assert_eq!(next(&sessions, id, 3, 2), Err(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn epochs_and_the_way_topics_are_named_must_fit() {
        let sessions = FetchSessions::new(10);
        let id = open(&sessions, 1, 0);
        assert_eq!(next(&sessions, id, 2, 1), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(next(&sessions, id + 1, 1, 1), Err(ErrorCode::FetchSessionIdNotFound));
        let by_id = SessionRequest { uses_topic_ids: true, ..request(id, 1) };
        let error = sessions.begin(by_id, Vec::new(), &[], 1).map(|_| ()).unwrap_err();
        assert_eq!(error, ErrorCode::FetchSessionTopicIdError);
        // A second request while the first is still at work makes the first one's response an error.
        let (context, all) = sessions.begin(request(id, 1), Vec::new(), &[], 1).unwrap();
        next(&sessions, id, 2, 1).unwrap();
        let results: Vec<_> = all.into_iter().map(|wanted| (wanted, news(10))).collect();
        assert_eq!(
            sessions.finish(&context, results.iter().map(|(wanted, news)| (wanted, *news)), 1).unwrap_err(),
            (id, ErrorCode::InvalidFetchSessionEpoch)
        );
    }

    #[test]
    fn a_full_request_ends_the_session_it_names() {
        let sessions = FetchSessions::new(10);
        let first = open(&sessions, 1, 0);
        let (context, _) = sessions.begin(request(first, INITIAL_EPOCH), vec![wanted(0, 0)], &[], 1).unwrap();
        let second = sessions.finish(&context, [(&wanted(0, 0), news(1))].into_iter(), 1).unwrap().0;
        assert_ne!(first, second);
        assert_eq!(sessions.size(), (1, 1));
        let (context, _) = sessions.begin(request(second, FINAL_EPOCH), vec![wanted(0, 0)], &[], 1).unwrap();
        assert_eq!(
            sessions.finish(&context, [(&wanted(0, 0), news(1))].into_iter(), 1).unwrap().0,
            INVALID_SESSION_ID
        );
        assert_eq!(sessions.size(), (0, 0));
    }

    #[test]
    fn the_epoch_after_the_largest_is_one() {
        assert_eq!([next_epoch(0), next_epoch(1), next_epoch(i32::MAX), next_epoch(-1)], [1, 2, 1, -1]);
    }

    #[test]
    fn a_full_cache_gives_way_to_the_old_and_to_the_larger() {
        let sessions = FetchSessions::new(2);
        let (small, large) = (open(&sessions, 1, 0), open(&sessions, 9, 0));
        // Both are young: nobody gives way.
        assert_eq!(open(&sessions, 20, EVICTION_MS), INVALID_SESSION_ID);
        // Both were opened long ago and used lately: the smaller one gives way to a larger one only.
        let later = EVICTION_MS + 1;
        next(&sessions, small, 1, later).unwrap();
        next(&sessions, large, 1, later).unwrap();
        assert_eq!(open(&sessions, 1, later), INVALID_SESSION_ID);
        let larger = open(&sessions, 2, later);
        assert_ne!(larger, INVALID_SESSION_ID);
        assert_eq!(next(&sessions, small, 2, later), Err(ErrorCode::FetchSessionIdNotFound));
        // Unused for long: gives way to anyone.
        next(&sessions, large, 2, later + 10).unwrap();
        assert_ne!(open(&sessions, 1, later + EVICTION_MS + 5), INVALID_SESSION_ID);
        assert_eq!(next(&sessions, larger, 1, later), Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(sessions.evictions(), 2);
    }

    #[test]
    fn a_follower_displaces_consumers() {
        let sessions = FetchSessions::new(1);
        let consumer = open(&sessions, 5, 0);
        let follower = SessionRequest { privileged: true, ..request(0, 0) };
        let (context, all) = sessions.begin(follower, vec![wanted(0, 0)], &[], 1).unwrap();
        let results: Vec<_> = all.into_iter().map(|wanted| (wanted, news(10))).collect();
        assert_ne!(
            sessions.finish(&context, results.iter().map(|(wanted, news)| (wanted, *news)), 1).unwrap().0,
            INVALID_SESSION_ID
        );
        assert_eq!(next(&sessions, consumer, 1, 1), Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(open(&sessions, 50, 1), INVALID_SESSION_ID);
    }

    #[test]
    fn no_slots_means_no_sessions() {
        assert_eq!(open(&FetchSessions::new(0), 3, 0), INVALID_SESSION_ID);
    }
}
