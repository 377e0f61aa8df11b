//! The APIs of transactions, by raw frames: one request of each version, whose answer must say what was asked for.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use fluxmq_protocol::messages::update_features_request::FeatureUpdateKey;
use fluxmq_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use fluxmq_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey,
    DescribeTransactionsRequest, EndTxnRequest, EndTxnResponse, FindCoordinatorRequest, GroupId,
    InitProducerIdRequest, InitProducerIdResponse, ListTransactionsRequest, ProducerId, TopicName,
    TransactionalId, UpdateFeaturesRequest, WriteTxnMarkersRequest,
};

use super::offset_apis::text;
use super::raw::RawClient;

const CONCURRENT_TRANSACTIONS: i16 = 51;
/// The partition of `t` that transactions write to: what others count on is in partition 0.
const PARTITION: i32 = 1;

/// A producer of a transactional id.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) transactional_id: String,
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

fn id(text: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(text.to_owned()))
}

/// Makes the topic of transactions, by asking for their coordinator.
pub(crate) fn find_coordinator(client: &mut RawClient) {
    let request = FindCoordinatorRequest::default().with_key_type(1).with_key(text("t"));
    assert_eq!(client.call(3, &request).error_code, 0);
}

/// Asks until the answer isn't that something is pending: an earlier transaction's markers are on their way.
pub(crate) fn until_done<A>(mut ask: impl FnMut() -> A, code: impl Fn(&A) -> i16) -> A {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ask();
        if code(&answer) != CONCURRENT_TRANSACTIONS {
            return answer;
        }
        assert!(Instant::now() < deadline, "a transaction does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn try_init(
    client: &mut RawClient,
    version: i16,
    transactional_id: &str,
    timeout_ms: i32,
) -> InitProducerIdResponse {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id(transactional_id)))
        .with_transaction_timeout_ms(timeout_ms);
    until_done(|| client.call(version, &request), |answer| answer.error_code)
}

/// Gets a producer id and epoch.
pub(crate) fn init(client: &mut RawClient, transactional_id: &str) -> Producer {
    let answer = try_init(client, 4, transactional_id, 60_000);
    assert_eq!(answer.error_code, 0);
    Producer {
        transactional_id: transactional_id.to_owned(),
        id: answer.producer_id.0,
        epoch: answer.producer_epoch,
    }
}

fn topics(topic: &str, partitions: &[i32]) -> Vec<AddPartitionsToTxnTopic> {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(partitions.to_vec());
    vec![topic]
}

fn add_request(
    version: i16,
    producer: &Producer,
    topic: &str,
    partitions: &[i32],
) -> AddPartitionsToTxnRequest {
    if version < 4 {
        return AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id(&producer.transactional_id))
            .with_v3_and_below_producer_id(ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(topics(topic, partitions));
    }
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(id(&producer.transactional_id))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_topics(topics(topic, partitions));
    AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
}

/// The codes of an answer, of all its partitions.
pub(crate) fn codes(answer: &AddPartitionsToTxnResponse) -> Vec<i16> {
    let topics = answer
        .results_by_transaction
        .iter()
        .flat_map(|transaction| &transaction.topic_results)
        .chain(&answer.results_by_topic_v3_and_below);
    topics
        .flat_map(|topic| &topic.results_by_partition)
        .map(|partition| partition.partition_error_code)
        .collect()
}

/// Adds partitions to the transaction; gives a code for each.
pub(crate) fn add(
    client: &mut RawClient,
    version: i16,
    producer: &Producer,
    topic: &str,
    partitions: &[i32],
) -> Vec<i16> {
    let request = add_request(version, producer, topic, partitions);
    let answer = until_done(
        || client.call(version, &request),
        |answer| codes(answer).first().copied().unwrap_or_default(),
    );
    codes(&answer)
}

/// Ends the transaction.
pub(crate) fn end(client: &mut RawClient, version: i16, producer: &Producer, commit: bool) -> EndTxnResponse {
    let request = EndTxnRequest::default()
        .with_transactional_id(id(&producer.transactional_id))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_committed(commit);
    until_done(|| client.call(version, &request), |answer| answer.error_code)
}

/// The error and the state that a transactional id is described with.
pub(crate) fn describe(client: &mut RawClient, transactional_id: &str) -> (i16, String) {
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id(transactional_id)]);
    let answer = client.call(0, &request);
    let described = &answer.transaction_states[0];
    (described.error_code, described.transaction_state.to_string())
}

/// Waits until a transactional id is in the state.
pub(crate) fn wait_for_state(client: &mut RawClient, transactional_id: &str, state: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let described = describe(client, transactional_id);
        if described == (0, state.to_owned()) {
            return;
        }
        assert!(Instant::now() < deadline, "{transactional_id} is not {state} but {described:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks one version of an API, of a broker with the topic `t` of two partitions.
pub(crate) fn ask(client: &mut RawClient, key: ApiKey, version: i16) {
    find_coordinator(client);
    let name = format!("{key:?}-{version}");
    match key {
        ApiKey::AddPartitionsToTxn => {
            let producer = init(client, &name);
            assert_eq!(add(client, version, &producer, "t", &[PARTITION]), [0], "v{version}");
            assert_eq!(add(client, version, &producer, "t", &[PARTITION, 9]), [55, 3], "v{version}");
            assert_eq!(end(client, 4, &producer, false).error_code, 0);
        }
        ApiKey::AddOffsetsToTxn => {
            let producer = init(client, &name);
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(id(&name))
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch)
                .with_group_id(GroupId(text("g")));
            assert_eq!(client.call(version, &request).error_code, 0, "v{version}");
            assert_eq!(describe(client, &name), (0, "Ongoing".to_owned()));
        }
        ApiKey::EndTxn => end_txn(client, version, &name),
        ApiKey::WriteTxnMarkers => {
            let topic = |name, partitions: &[i32]| {
                WritableTxnMarkerTopic::default()
                    .with_name(TopicName(text(name)))
                    .with_partition_indexes(partitions.to_vec())
            };
            let marker = WritableTxnMarker::default()
                .with_producer_id(ProducerId(123_456))
                .with_topics(vec![topic("t", &[PARTITION]), topic("no-such-topic", &[0])]);
            let of_nobody = marker.clone().with_producer_id(ProducerId(-1));
            let of_no_epoch = marker.clone().with_producer_epoch(-1);
            let for_nothing = marker.clone().with_topics(vec![topic("t", &[])]);
            let markers = vec![for_nothing, marker, of_nobody, of_no_epoch];
            let answer = client.call(version, &WriteTxnMarkersRequest::default().with_markers(markers));
            let codes = answer.markers.iter().map(|marker| {
                let codes = marker.topics.iter().map(|topic| topic.partitions[0].error_code);
                (marker.producer_id.0, codes.collect())
            });
            let codes: Vec<(i64, Vec<i16>)> = codes.collect();
            assert_eq!(codes, [(123_456, vec![0, 3]), (-1, vec![-1, -1]), (123_456, vec![-1, -1])]);
        }
        ApiKey::DescribeTransactions => {
            init(client, &name);
            let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![
                id(&name),
                id("x"),
                id(""),
            ]);
            let answer = client.call(version, &request);
            let described: Vec<_> = answer
                .transaction_states
                .iter()
                .map(|one| (one.error_code, one.transaction_state.as_str(), one.transaction_timeout_ms))
                .collect();
            assert_eq!(described, [(0, "Empty", 60_000), (105, "", 0), (42, "", 0)]);
        }
        ApiKey::ListTransactions => {
            let producer = init(client, &name);
            let request = ListTransactionsRequest::default()
                .with_state_filters(vec![text("Empty"), text("Unheard")])
                .with_producer_id_filters(vec![ProducerId(producer.id)]);
            let request = if version >= 2 {
                request.with_transactional_id_pattern(Some(text("List.*")))
            } else {
                request
            };
            let answer = client.call(version, &request);
            assert_eq!((answer.error_code, answer.unknown_state_filters), (0, vec![text("Unheard")]));
            let listed = &answer.transaction_states;
            assert_eq!((listed.len(), listed[0].transactional_id.as_str()), (1, name.as_str()), "v{version}");
        }
        ApiKey::UpdateFeatures => update_features(client, version),
        key => panic!("{key:?} is no API of transactions"),
    }
}

fn end_txn(client: &mut RawClient, version: i16, name: &str) {
    let mut producer = init(client, name);
    for commit in [true, false] {
        assert_eq!(add(client, 3, &producer, "t", &[PARTITION]), [0], "v{version}");
        let answer = end(client, version, &producer, commit);
        assert_eq!(answer.error_code, 0, "v{version}");
        if version >= 5 {
            let given = (answer.producer_id.0, answer.producer_epoch);
            assert_eq!(given, (producer.id, producer.epoch + 1), "v{version}");
            producer.epoch += 1;
        }
        wait_for_state(client, name, if commit { "CompleteCommit" } else { "CompleteAbort" });
    }
}

/// Asks for a level of `transaction.version`, and gives the code and the text.
pub(crate) fn set_level(
    client: &mut RawClient,
    version: i16,
    feature: &str,
    level: i16,
    upgrade_type: i8,
) -> (i16, Option<String>) {
    let update = FeatureUpdateKey::default().with_feature(text(feature)).with_max_version_level(level);
    let update = if version >= 1 { update.with_upgrade_type(upgrade_type) } else { update };
    let answer = client.call(version, &UpdateFeaturesRequest::default().with_feature_updates(vec![update]));
    let results = usize::from(version < 2 && answer.error_code == 0);
    assert_eq!(answer.results.len(), results, "v{version}");
    (answer.error_code, answer.error_message.map(|message| message.to_string()))
}

fn update_features(client: &mut RawClient, version: i16) {
    let (upgrade, safe_downgrade) = (1, 2);
    if version >= 1 {
        assert_eq!(set_level(client, version, "transaction.version", 1, safe_downgrade).0, 0, "v{version}");
    }
    assert_eq!(set_level(client, version, "transaction.version", 2, upgrade).0, 0, "v{version}");
    let refused = set_level(client, version, "transaction.version", 1, upgrade);
    assert_eq!(refused.0, 95, "v{version}");
    assert_eq!(
        refused.1.as_deref(),
        Some(
            "The update failed for all features since the following feature had an error: Invalid update version \
             1 for feature transaction.version. Can't downgrade the version of this feature without setting the \
             upgrade type to either safe or unsafe downgrade."
        )
    );
}
