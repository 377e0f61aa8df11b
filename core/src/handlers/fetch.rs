//! Fetch (key 1), v4–18. KIP-74 (limits, at least one batch), KIP-98 (isolation), KIP-227 (sessions), KIP-320 and
//! KIP-595 (leader epochs, diverging epoch), KIP-392 (rack and preferred replica), KIP-516 (topic ids), KIP-903
//! (replica state), KIP-951 (current leader).
//!
//! Deliberately not here: there is one replica, so that no preferred replica is ever named, and a fetch that claims to
//! come from another replica is answered as by a leader that does not know it. The replica's directory id and high
//! watermark (v17, v18) are for followers and not looked at.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fluxmq_protocol::fetch_response::{FetchBody, FetchPartition, FetchTopic, Records, encode_fetch};
use fluxmq_protocol::messages::fetch_request::ForgottenTopic;
use fluxmq_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use fluxmq_protocol::messages::{FetchRequest, TopicName};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::slice::Slice;
use fluxmq_storage::txn_index;
use uuid::Uuid;

use super::fetch_planner::{self, Isolation, Limits, Plan, Planned};
use super::fetch_session::{
    FetchContext, INVALID_SESSION_ID, News, PartitionKey, PartitionRequest, SessionRequest, TopicKey, Wanted,
};
use crate::config::CompressionType;
use crate::meta::topics::TopicsImage;
use crate::partitions::partition::Partition;
use crate::partitions::waiters::FetchWait;
use crate::request::{Outcome, RequestContext, Response};

/// First version that names topics by id.
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;
/// First version whose replicas say who they are in a field of their own.
const FIRST_VERSION_WITH_REPLICA_STATE: i16 = 15;
/// First version that is told the current leader.
const FIRST_VERSION_WITH_CURRENT_LEADER: i16 = 16;
/// First version that can read zstd.
const FIRST_VERSION_WITH_ZSTD: i16 = 10;
/// Last version that does not know KAFKA_STORAGE_ERROR.
const LAST_VERSION_WITHOUT_STORAGE_ERROR: i16 = 5;
const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;
/// Replica id of a consumer that debugs.
const DEBUGGING_REPLICA_ID: i32 = -2;

/// Answers with what there is, or waits until there is enough.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: FetchRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    if !matches!(request.isolation_level, READ_UNCOMMITTED | READ_COMMITTED) {
        return Outcome::Ready(refused(context, request, ErrorCode::UnknownServerError));
    }
    let fetch = match Fetch::begin(context, request) {
        Ok(fetch) => fetch,
        Err(error) => return Outcome::Ready(without_partitions(context, INVALID_SESSION_ID, error)),
    };
    let plan = fetch.plan();
    if fetch.is_enough(&plan) {
        Outcome::Ready(fetch.respond(&plan))
    } else {
        Outcome::wait(fetch.wait(plan))
    }
}

/// A request whose partitions are known.
struct Fetch {
    context: RequestContext,
    session: FetchContext,
    /// What is read, in order.
    targets: Vec<(Wanted, Arc<Partition>)>,
    /// What cannot be read, and why.
    unresolved: Vec<(Wanted, ErrorCode)>,
    limits: Limits,
    min_bytes: i32,
    max_wait_ms: i32,
    /// The client is to learn at once that a topic is another one than it thinks.
    answer_now: bool,
}

impl Fetch {
    fn begin(context: &RequestContext, request: FetchRequest) -> Result<Fetch, ErrorCode> {
        let broker = context.broker();
        let version = context.api_version;
        let replica_id = if version >= FIRST_VERSION_WITH_REPLICA_STATE {
            request.replica_state.replica_id.0
        } else {
            request.replica_id.0
        };
        let isolation = match replica_id {
            ..DEBUGGING_REPLICA_ID | 0.. => Isolation::LogEnd,
            _ if request.isolation_level == READ_COMMITTED => Isolation::LastStableOffset,
            _ => Isolation::HighWatermark,
        };
        let max_bytes = request.max_bytes.min(broker.config.fetch_max_bytes);
        let session = SessionRequest {
            id: request.session_id,
            epoch: request.session_epoch,
            uses_topic_ids: version >= FIRST_VERSION_WITH_TOPIC_IDS,
            privileged: replica_id >= 0,
        };
        let forgotten = forgotten(&request.forgotten_topics_data, session.uses_topic_ids);
        let (min_bytes, max_wait_ms) = (request.min_bytes.min(max_bytes), request.max_wait_ms);
        let topics = broker.metadata.topics();
        let wanted = wanted(request, session.uses_topic_ids, &topics);
        let (session, all) =
            broker.fetch_sessions.begin(session, wanted, &forgotten, broker.clock.now_ms())?;
        let mut fetch = Fetch {
            // A waiting fetch must not hold the frame that the client's name lies in.
            context: RequestContext { client_id: None, ..context.clone() },
            session,
            targets: Vec::with_capacity(all.len()),
            unresolved: Vec::new(),
            limits: Limits { max_bytes, isolation, from_follower: replica_id >= 0 },
            min_bytes,
            max_wait_ms,
            answer_now: false,
        };
        for wanted in all {
            match resolve(&wanted, &topics) {
                Ok(partition) => fetch.targets.push((wanted, partition)),
                Err(error) => {
                    fetch.answer_now |= error == ErrorCode::InconsistentTopicId;
                    fetch.unresolved.push((wanted, error));
                }
            }
        }
        Ok(fetch)
    }

    fn plan(&self) -> Plan<Slice> {
        let targets = self.targets.iter().map(|(wanted, partition)| (partition, &wanted.request));
        fetch_planner::plan(targets, &self.limits)
    }

    fn is_enough(&self, plan: &Plan<Slice>) -> bool {
        self.answer_now
            || plan.answer_now
            || self.max_wait_ms <= 0
            || self.targets.is_empty()
            || plan.bytes >= u64::try_from(self.min_bytes).unwrap_or(0)
            || self.context.broker().lifecycle.is_stopping()
    }

    /// Waits for `min_bytes`, an error, or the end of `max_wait_ms`. Holds no records meanwhile.
    async fn wait(self, mut plan: Plan<Slice>) -> Response {
        let max_wait = Duration::from_millis(u64::try_from(self.max_wait_ms).unwrap_or(0));
        let mut deadline = pin!(tokio::time::sleep_until((self.context.received_at + max_wait).into()));
        loop {
            let missing_bytes = i64::from(self.min_bytes) - i64::try_from(plan.bytes).unwrap_or(i64::MAX);
            let mut wait = FetchWait::new(missing_bytes);
            for ((_, partition), planned) in self.targets.iter().zip(&plan.partitions) {
                match planned.seen {
                    Some(seen) if self.limits.isolation == Isolation::LastStableOffset => {
                        wait.watch_committed(partition, seen);
                    }
                    Some(seen) => wait.watch(partition, seen),
                    None => {}
                }
            }
            let mut ready = pin!(wait.ready());
            let may_wait_on = poll_fn(|cx| {
                if self.context.broker().lifecycle.is_stopping() || deadline.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(false);
                }
                ready.as_mut().poll(cx).map(|()| true)
            })
            .await;
            plan = self.plan();
            if !may_wait_on || self.is_enough(&plan) {
                return self.respond(&plan);
            }
        }
    }

    fn respond(&self, plan: &Plan<Slice>) -> Response {
        let broker = self.context.broker();
        let unresolved: Vec<Planned<Slice>> =
            self.unresolved.iter().map(|(_, error)| Planned::failed(*error)).collect();
        let planned = || plan.partitions.iter().chain(&unresolved);
        let wanted = self
            .targets
            .iter()
            .map(|(wanted, _)| wanted)
            .chain(self.unresolved.iter().map(|(wanted, _)| wanted));
        let results = wanted.zip(planned()).map(|(wanted, planned)| (wanted, news(planned)));
        let finished = broker.fetch_sessions.finish(&self.session, results, broker.clock.now_ms());
        let (session_id, sent) = match finished {
            Ok(finished) => finished,
            Err((session_id, error)) => return without_partitions(&self.context, session_id, error),
        };
        let mut body = FetchBody {
            throttle_time_ms: 0,
            error_code: ErrorCode::None.code(),
            session_id,
            responses: Vec::new(),
            node_endpoints: Vec::new(),
        };
        let mut records_sent = 0;
        let partitions = self.targets.iter().map(|(wanted, partition)| (wanted, Some(partition)));
        let all = partitions.chain(self.unresolved.iter().map(|(wanted, _)| (wanted, None)));
        for (((wanted, partition), planned), is_sent) in all.zip(planned()).zip(sent) {
            if is_sent {
                if let Some(partition) = partition {
                    records_sent += records_in(planned, wanted.request.fetch_offset, partition);
                }
                let partition = self.partition_response(wanted.key.index, partition, planned, &mut body);
                add_to_topic(&mut body.responses, wanted, partition);
            }
        }
        broker.metrics.messages_out.fetch_add(records_sent, Ordering::Relaxed);
        encode(&self.context, body)
    }

    fn partition_response(
        &self,
        index: i32,
        partition: Option<&Arc<Partition>>,
        planned: &Planned<Slice>,
        body: &mut FetchBody<Slice>,
    ) -> FetchPartition<Slice> {
        let version = self.context.api_version;
        let is_unreadable = version < FIRST_VERSION_WITH_ZSTD
            && partition
                .is_some_and(|partition| partition.config().compression_type == CompressionType::Zstd);
        let refused = Planned::failed(ErrorCode::UnsupportedCompressionType);
        let planned = if is_unreadable { &refused } else { planned };
        let error = match planned.error {
            ErrorCode::KafkaStorageError if version <= LAST_VERSION_WITHOUT_STORAGE_ERROR => {
                ErrorCode::NotLeaderOrFollower
            }
            error => error,
        };
        let mut data = PartitionData::default()
            .with_partition_index(index)
            .with_error_code(error.code())
            .with_high_watermark(planned.high_watermark)
            .with_last_stable_offset(planned.last_stable_offset)
            .with_log_start_offset(planned.log_start_offset);
        // Kafka sends a list, though an empty one, wherever it has looked for aborted transactions, and where it has
        // not even found the partition.
        let unknown = matches!(error, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId);
        data.aborted_transactions = match &planned.aborted_transactions {
            Some(aborted) => Some(aborted.iter().map(of_aborted).collect()),
            None => unknown.then(Vec::new),
        };
        if let Some((epoch, end_offset)) = planned.diverging_epoch {
            data.diverging_epoch = EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset);
        }
        if version >= FIRST_VERSION_WITH_CURRENT_LEADER
            && matches!(error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch)
            && let Some(partition) = partition
        {
            let node_id = self.context.broker().config.node_id;
            data.current_leader = LeaderIdAndEpoch::default()
                .with_leader_id(node_id.into())
                .with_leader_epoch(partition.leader_epoch());
            if body.node_endpoints.is_empty() {
                body.node_endpoints.push(self.endpoint(node_id));
            }
        }
        let len_bytes = planned.records.len();
        let records = match len_bytes {
            0 => Records::Empty,
            len_bytes => Records::Slice { slice: planned.records.clone(), len_bytes },
        };
        FetchPartition { data, records }
    }

    fn endpoint(&self, node_id: i32) -> NodeEndpoint {
        let listener = self.context.listener();
        let rack = self.context.broker().config.broker_rack.clone();
        NodeEndpoint::default()
            .with_node_id(node_id.into())
            .with_host(StrBytes::from_string(listener.advertised_host.clone()))
            .with_port(i32::from(listener.advertised_port))
            .with_rack(rack.map(StrBytes::from_string))
    }
}

fn of_aborted(transaction: &txn_index::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(transaction.producer_id.into())
        .with_first_offset(transaction.first_offset)
}

/// About how many records an answer holds, for metrics: its share of the bytes up to what is seen of the segment, or of
/// the whole log when that is another segment.
fn records_in(planned: &Planned<Slice>, fetch_offset: i64, partition: &Partition) -> u64 {
    let (Some(file), Some(seen)) = (planned.records.file(), planned.seen) else { return 0 };
    let (records, bytes) = if file.base_offset() == seen.segment_base_offset {
        (seen.offset - fetch_offset, u64::from(seen.position).saturating_sub(planned.records.position()))
    } else {
        (seen.offset - partition.log_start_offset(), partition.log().size_bytes())
    };
    let share = planned.records.len() as f64 / bytes.max(1) as f64;
    (records as f64 * share).round() as u64
}

/// What a session has to know of a partition's answer.
fn news(planned: &Planned<Slice>) -> News {
    let has_records = !planned.records.is_empty();
    News {
        must_be_sent: has_records || planned.diverging_epoch.is_some(),
        has_records,
        is_error: planned.error != ErrorCode::None,
        high_watermark: planned.high_watermark,
        log_start_offset: planned.log_start_offset,
    }
}

/// The partitions that the request lists, each once: a later entry replaces an earlier one in its place.
fn wanted(request: FetchRequest, uses_topic_ids: bool, topics: &TopicsImage) -> Vec<Wanted> {
    let mut all: Vec<Wanted> =
        Vec::with_capacity(request.topics.iter().map(|topic| topic.partitions.len()).sum());
    let mut places: HashMap<PartitionKey, usize> = HashMap::new();
    for topic in request.topics {
        let (name, topic_key) = if uses_topic_ids {
            let name = topics.by_id(topic.topic_id).map(|topic| topic.name.clone());
            (name, TopicKey::Id(topic.topic_id))
        } else {
            // The topic's own name, or a copy: a session must not hold the request's frame.
            let name = topics.by_name(&topic.topic).map(|topic| topic.name.clone());
            let name = name.unwrap_or_else(|| StrBytes::from_string(topic.topic.to_string()));
            (None, TopicKey::Name(name))
        };
        for partition in topic.partitions {
            let key = PartitionKey { topic: topic_key.clone(), index: partition.partition };
            let request = PartitionRequest {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            match places.entry(key.clone()) {
                std::collections::hash_map::Entry::Occupied(place) => all[*place.get()].request = request,
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(all.len());
                    all.push(Wanted { key, known_name: name.clone(), request });
                }
            }
        }
    }
    all
}

fn forgotten(topics: &[ForgottenTopic], uses_topic_ids: bool) -> Vec<PartitionKey> {
    let mut keys = Vec::new();
    for topic in topics {
        let topic_key =
            if uses_topic_ids { TopicKey::Id(topic.topic_id) } else { TopicKey::Name(topic.topic.0.clone()) };
        keys.extend(topic.partitions.iter().map(|&index| PartitionKey { topic: topic_key.clone(), index }));
    }
    keys
}

/// The partition of a key, or why there is none.
fn resolve(wanted: &Wanted, topics: &TopicsImage) -> Result<Arc<Partition>, ErrorCode> {
    let topic = match &wanted.key.topic {
        TopicKey::Name(name) => topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
        TopicKey::Id(id) => match (topics.by_id(*id), &wanted.known_name) {
            (Some(topic), _) => topic,
            (None, None) => return Err(ErrorCode::UnknownTopicId),
            // The topic of the session was deleted; another one may have its name by now.
            (None, Some(name)) if topics.by_name(name).is_some() => {
                return Err(ErrorCode::InconsistentTopicId);
            }
            (None, Some(_)) => return Err(ErrorCode::UnknownTopicOrPartition),
        },
    };
    topic.partition(wanted.key.index).map(Arc::clone).ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// Adds a partition to the response, to the last topic if it is of the same.
fn add_to_topic(topics: &mut Vec<FetchTopic<Slice>>, wanted: &Wanted, partition: FetchPartition<Slice>) {
    let (topic, topic_id) = match &wanted.key.topic {
        TopicKey::Name(name) => (TopicName(name.clone()), Uuid::nil()),
        TopicKey::Id(id) => (TopicName::default(), *id),
    };
    match topics.last_mut() {
        Some(last) if last.topic == topic && last.topic_id == topic_id => last.partitions.push(partition),
        _ => topics.push(FetchTopic { topic, topic_id, partitions: vec![partition] }),
    }
}

/// The refusal of a whole request. Clients before v13 are told it in each partition too.
fn refused(context: &RequestContext, request: FetchRequest, error: ErrorCode) -> Response {
    let planned = Planned::<Slice>::failed(error);
    let refused_partition = |index| FetchPartition {
        data: PartitionData::default()
            .with_partition_index(index)
            .with_error_code(error.code())
            .with_high_watermark(planned.high_watermark)
            .with_last_stable_offset(planned.last_stable_offset)
            .with_log_start_offset(planned.log_start_offset)
            .with_aborted_transactions(Some(Vec::new())),
        records: Records::Empty,
    };
    let has_partitions = context.api_version < FIRST_VERSION_WITH_TOPIC_IDS;
    let topics = request.topics.into_iter().filter(|_| has_partitions).map(|topic| FetchTopic {
        topic: topic.topic,
        topic_id: Uuid::nil(),
        partitions: topic.partitions.iter().map(|asked| refused_partition(asked.partition)).collect(),
    });
    let body = FetchBody {
        throttle_time_ms: 0,
        error_code: error.code(),
        session_id: request.session_id,
        responses: topics.collect(),
        node_endpoints: Vec::new(),
    };
    encode(context, body)
}

fn without_partitions(context: &RequestContext, session_id: i32, error: ErrorCode) -> Response {
    let body = FetchBody {
        throttle_time_ms: 0,
        error_code: error.code(),
        session_id,
        responses: Vec::new(),
        node_endpoints: Vec::new(),
    };
    encode(context, body)
}

fn encode(context: &RequestContext, body: FetchBody<Slice>) -> Response {
    encode_fetch(context.api_version, context.correlation_id, body)
        .unwrap_or_else(|error| panic!("a fetch response cannot be encoded: {error}"))
}
