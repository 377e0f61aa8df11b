//! TxnOffsetCommit (key 28), v0–5. KIP-98 (offsets that count once the producer's transaction is committed), KIP-320
//! (leader epochs, v2), KIP-447 (checks of members, v3), KIP-890 (TRANSACTION_ABORTABLE, v4; the partition of
//! `__consumer_offsets` is added to the transaction by this request, v5).
//!
//! Partitions that don't exist are refused here. Before v5 AddOffsetsToTxn must have added the group's partition of
//! `__consumer_offsets` to the transaction, which the coordinator of transactions is asked unless the transaction is open
//! there. Then a turn of the group's shard appends the offsets to it.

use bytes::Bytes;
use fluxmq_coordinator::Requester;
use fluxmq_coordinator::shard::owned;
use fluxmq_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use fluxmq_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use fluxmq_protocol::messages::{TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::producer_state::VerificationGuard;

use super::by_topic::ByTopic;
use super::group_request;
use crate::coordination::OFFSETS_TOPIC;
use crate::coordination::transactions::ProducedInTransaction;
use crate::coordination::wait::{Answered, DurableAt};
use crate::error::coordinator_code;
use crate::meta::topics::TopicsImage;
use crate::request::{Outcome, RequestContext};

/// The first version whose clients can take COORDINATOR_LOAD_IN_PROGRESS (KAFKA-7296).
const FIRST_VERSION_OF_LOADING: i16 = 2;
/// The first version with TRANSACTION_ABORTABLE.
const FIRST_VERSION_OF_ABORTABLE: i16 = 4;
/// The first version that adds the partition to the transaction.
const FIRST_VERSION_THAT_ADDS: i16 = 5;

/// Has a turn of the group's shard commit the offsets, once the transaction is known to reach there.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let mut request: TxnOffsetCommitRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let refused = context.broker().metadata.with_topics(|topics| take_unknown(&mut request, topics));
    if request.topics.is_empty() {
        let response = TxnOffsetCommitResponse::default().with_topics(refused.into_topics());
        return Outcome::Ready(context.respond(&response));
    }
    let requester = group_request::requester(context);
    let commit = Commit { context: context.detached(), requester, request, refused };
    match commit.admit() {
        Ok(Answered { value: guard, durable: None }) => commit.append(guard),
        Ok(Answered { value: guard, durable: Some(durable) }) => {
            Outcome::ExclusiveThen(Box::pin(commit.append_once(durable, guard)))
        }
        Err(code) => commit.fail(code),
    }
}

/// A request, and the answer to its partitions that don't exist.
struct Commit {
    context: RequestContext,
    requester: Requester,
    request: TxnOffsetCommitRequest,
    refused: ByTopic<TxnOffsetCommitResponseTopic>,
}

impl Commit {
    /// Sees to it that the transaction reaches the group's partition of `__consumer_offsets`. Once more if the marker of
    /// the producer's last transaction came after the guard was taken: when the coordinator agrees no other can come.
    fn admit(&self) -> Result<Answered<VerificationGuard>, ErrorCode> {
        let admitted = self.admit_once()?;
        let groups = &self.context.broker().groups;
        match groups.is_verifying(&self.request.group_id, self.request.producer_id.0, admitted.value) {
            true => Ok(admitted),
            false => self.admit_once(),
        }
    }

    fn admit_once(&self) -> Result<Answered<VerificationGuard>, ErrorCode> {
        let (broker, version, request) = (self.context.broker(), self.context.api_version, &self.request);
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let adds = version >= FIRST_VERSION_THAT_ADDS;
        // As Kafka: to its log, the partition of a topic that isn't there is unknown.
        let index =
            broker.groups.shard_of(&request.group_id).map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        let (producer_id, producer_epoch) = (request.producer_id.0, request.producer_epoch);
        let guard = broker.groups.begin_verification(index, producer_id, producer_epoch, adds)?;
        if guard.is_none() || !(adds || broker.groups.verifies_transactions()) {
            return Ok(Answered { value: guard, durable: None });
        }
        let partition = i32::try_from(index).expect("a topic has fewer partitions");
        let asked = ProducedInTransaction {
            transactional_id: request.transactional_id.0.clone(),
            producer_id,
            producer_epoch,
            partitions: vec![(StrBytes::from_static_str(OFFSETS_TOPIC), partition)],
            add: adds,
        };
        let admitted = broker.transactions.admit_produce(&asked).map_err(|code| admission(code, version))?;
        match admitted.value.into_iter().find(|code| *code != ErrorCode::None) {
            Some(code) => Err(admission(code, version)),
            None => Ok(Answered { value: guard, durable: admitted.durable }),
        }
    }

    /// Appends the offsets once the transaction's own record is durable.
    async fn append_once(self, durable: DurableAt, guard: VerificationGuard) -> Outcome {
        match durable.reached().await {
            Ok(()) => self.append(guard),
            Err(code) => self.fail(code),
        }
    }

    fn append(self, guard: VerificationGuard) -> Outcome {
        let Commit { context, requester, request, refused } = self;
        let turned = context.broker().groups.turn_in_transaction(&request.group_id, guard, |shard, turn| {
            shard.txn_offset_commit(turn, &requester, &request)
        });
        let turned =
            turned.map(|answered| Answered { value: merged(refused.clone(), answered.value), ..answered });
        let mut topics = request.topics;
        if turned.as_ref().is_ok_and(|answered| answered.durable.is_some()) {
            // What is kept for the case of a failure must not keep the frame.
            for topic in &mut topics {
                topic.name = owned_name(&topic.name);
                topic.partitions.iter_mut().for_each(|partition| partition.committed_metadata = None);
            }
        }
        let version = context.api_version;
        group_request::answer(&context, turned, move |code| merged(refused, failure(&topics, code, version)))
    }

    fn fail(self, code: ErrorCode) -> Outcome {
        let response = merged(self.refused, failure(&self.request.topics, code, self.context.api_version));
        Outcome::Ready(self.context.respond(&response))
    }
}

/// What the coordinator of transactions says, as clients of this API know it.
fn admission(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < FIRST_VERSION_OF_ABORTABLE => ErrorCode::InvalidTxnState,
        code => coordinator_code(code),
    }
}

/// Takes the partitions that don't exist out of the request, and answers them.
fn take_unknown(
    request: &mut TxnOffsetCommitRequest,
    topics: &TopicsImage,
) -> ByTopic<TxnOffsetCommitResponseTopic> {
    let mut refused = ByTopic::new();
    request.topics.retain_mut(|topic| {
        let known = topics.by_name(&topic.name);
        if known.is_none() {
            refused.entry(&owned_name(&topic.name), new_topic);
        }
        topic.partitions.retain(|partition| {
            let index = partition.partition_index;
            let exists = known.is_some_and(|topic| topic.partition(index).is_some());
            if !exists {
                let answer = answered(index, ErrorCode::UnknownTopicOrPartition);
                refused.entry(&owned_name(&topic.name), new_topic).partitions.push(answer);
            }
            exists
        });
        !topic.partitions.is_empty()
    });
    refused
}

/// As Kafka: what was refused comes first.
fn merged(
    mut refused: ByTopic<TxnOffsetCommitResponseTopic>,
    response: TxnOffsetCommitResponse,
) -> TxnOffsetCommitResponse {
    if refused.is_empty() {
        return response;
    }
    for topic in response.topics {
        refused.entry(&topic.name, new_topic).partitions.extend(topic.partitions);
    }
    TxnOffsetCommitResponse::default().with_topics(refused.into_topics())
}

/// The same error for all that was asked of the group.
fn failure(topics: &[TxnOffsetCommitRequestTopic], code: ErrorCode, version: i16) -> TxnOffsetCommitResponse {
    let code = match code {
        ErrorCode::CoordinatorLoadInProgress if version < FIRST_VERSION_OF_LOADING => {
            ErrorCode::CoordinatorNotAvailable
        }
        code => code,
    };
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| answered(partition.partition_index, code));
        new_topic(topic.name.clone()).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// A copy that does not keep the frame.
fn owned_name(name: &TopicName) -> TopicName {
    TopicName(owned(name))
}

fn new_topic(name: TopicName) -> TxnOffsetCommitResponseTopic {
    TxnOffsetCommitResponseTopic::default().with_name(name)
}

fn answered(index: i32, code: ErrorCode) -> TxnOffsetCommitResponsePartition {
    TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code.code())
}
