//! Offsets in transactions by raw frames, as a transactional producer commits them.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use fluxmq::server::BrokerHandle;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{
    AddOffsetsToTxnRequest, CreateTopicsRequest, EndTxnRequest, FindCoordinatorRequest, GroupId,
    InitProducerIdRequest, ProducerId, TopicName, TransactionalId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::offset_apis::{Fetched, commit, fetch, fetched, text};
use super::raw::RawClient;

/// The first version of TxnOffsetCommit that needs no AddOffsetsToTxn before it.
pub(crate) const FIRST_VERSION_THAT_ADDS: i16 = 5;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;

/// A connection to a broker that has the topic `t` of two partitions, where group `g` has committed offset 3 of `t-0`.
pub(crate) fn connect(broker: &BrokerHandle) -> RawClient {
    let mut client = RawClient::connect(broker.addr());
    let topic = CreatableTopic::default()
        .with_name(TopicName(text("t")))
        .with_num_partitions(2)
        .with_replication_factor(1);
    client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
    client.call(0, &FindCoordinatorRequest::default().with_key(text("g")));
    assert_eq!(client.call(9, &commit("g", "t", 0, 3)).topics[0].partitions[0].error_code, 0);
    client
}

/// A transactional producer, which speaks one version of TxnOffsetCommit.
#[derive(Clone, Debug)]
pub(crate) struct TxnProducer {
    pub(crate) transactional_id: TransactionalId,
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: i16,
    pub(crate) version: i16,
}

impl TxnProducer {
    /// Begins anew, which fences all that had the id before.
    pub(crate) fn init(client: &mut RawClient, transactional_id: &str, version: i16) -> Self {
        let find = FindCoordinatorRequest::default().with_key_type(1).with_key(text(transactional_id));
        assert_eq!(client.call(1, &find).error_code, 0);
        let transactional_id = TransactionalId(text(transactional_id));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id.clone()))
            .with_transaction_timeout_ms(60_000);
        let response = until(|| {
            let response = client.call(4, &request);
            (response.error_code != CONCURRENT_TRANSACTIONS).then_some(response)
        });
        assert_eq!(response.error_code, 0);
        let (producer_id, producer_epoch) = (response.producer_id, response.producer_epoch);
        TxnProducer { transactional_id, producer_id, producer_epoch, version }
    }

    /// Tells the coordinator that offsets of the group are coming, unless the commit itself does.
    pub(crate) fn add_offsets(&self, client: &mut RawClient, group: &str) {
        if self.version >= FIRST_VERSION_THAT_ADDS {
            return;
        }
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_producer_id(self.producer_id)
            .with_producer_epoch(self.producer_epoch)
            .with_group_id(GroupId(text(group)));
        let error = until(|| {
            let error = client.call(3, &request).error_code;
            (error != CONCURRENT_TRANSACTIONS).then_some(error)
        });
        assert_eq!(error, 0);
    }

    /// A commit of one offset, as a producer without a consumer's membership makes it.
    pub(crate) fn commit(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> TxnOffsetCommitRequest {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![partition]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_group_id(GroupId(text(group)))
            .with_producer_id(self.producer_id)
            .with_producer_epoch(self.producer_epoch)
            .with_topics(vec![topic])
    }

    /// The errors of a commit's partitions, once the transaction before is complete.
    pub(crate) fn send(&self, client: &mut RawClient, request: &TxnOffsetCommitRequest) -> Vec<i16> {
        until(|| {
            let errors = errors(&client.call(self.version, request));
            (!errors.contains(&CONCURRENT_TRANSACTIONS)).then_some(errors)
        })
    }

    /// Ends the transaction, and takes the epoch over that it gets for that.
    pub(crate) fn end(&mut self, client: &mut RawClient, commit: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id.clone())
            .with_producer_id(self.producer_id)
            .with_producer_epoch(self.producer_epoch)
            .with_committed(commit);
        let response = client.call(self.version.min(5), &request);
        assert_eq!(response.error_code, 0, "v{}", self.version);
        if self.version >= FIRST_VERSION_THAT_ADDS {
            (self.producer_id, self.producer_epoch) = (response.producer_id, response.producer_epoch);
        }
    }
}

/// The error of each partition.
pub(crate) fn errors(response: &TxnOffsetCommitResponse) -> Vec<i16> {
    response.topics.iter().flat_map(|topic| &topic.partitions).map(|has| has.error_code).collect()
}

/// What is stable of the group's offset of `t`-0 now: with UNSTABLE_OFFSET_COMMIT while a transaction is open.
pub(crate) fn stable(client: &mut RawClient, version: i16, group: &str) -> Fetched {
    fetched(&client.call(version, &fetch(version, group, Some(("t", 0))).with_require_stable(true)))
}

/// The same, once no transaction is open.
pub(crate) fn stable_at_last(client: &mut RawClient, group: &str) -> Vec<i64> {
    until(|| {
        let (error, partitions) = stable(client, 9, group);
        assert_eq!(error, 0);
        let is_stable = partitions.iter().all(|(.., error)| *error != UNSTABLE_OFFSET_COMMIT);
        is_stable.then(|| partitions.iter().map(|(_, _, offset, ..)| *offset).collect())
    })
}

fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(Instant::now() < deadline, "it does not come to an end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks for `version` of TxnOffsetCommit, in a broker with the topic `t`.
pub(crate) fn ask(client: &mut RawClient, version: i16) {
    let group = format!("in-transaction-{version}");
    let mut producer = TxnProducer::init(client, &format!("id-{version}"), version);
    producer.add_offsets(client, &group);
    let mut request = producer.commit(&group, "t", 0, 7);
    if version >= 2 {
        request.topics[0].partitions[0].committed_leader_epoch = 3;
    }
    assert_eq!(producer.send(client, &request), [0], "v{version}");
    for fetch_version in 7..=9 {
        let unstable = ("t".to_owned(), 0, -1, -1, String::new(), UNSTABLE_OFFSET_COMMIT);
        assert_eq!(stable(client, fetch_version, &group), (0, vec![unstable]), "v{version}");
    }
    producer.end(client, true);
    assert_eq!(stable_at_last(client, &group), [7], "v{version}");
    let epoch = if version >= 2 { 3 } else { -1 };
    let expected = ("t".to_owned(), 0, 7, epoch, "note".to_owned(), 0);
    assert_eq!(stable(client, 9, &group), (0, vec![expected]), "v{version}");
}
