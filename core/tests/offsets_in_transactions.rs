//! Offsets in transactions, through a whole broker: when they count, who may not commit them, and what is left of them
//! after a stop.

#![allow(clippy::unwrap_used)]

mod common;

use common::broker::{TestBroker, start};
use common::offset_apis::{commit, fetch, fetched, text};
use common::offsets_in_transactions::{
    FIRST_VERSION_THAT_ADDS, TxnProducer, connect, errors, stable, stable_at_last,
};
use common::raw::RawClient;
use fluxmq::config::FlushPolicy;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::{CreateTopicsRequest, GroupId, ProducerId, TopicName, TransactionalId};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OFFSET_METADATA_TOO_LARGE: i16 = 12;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const ILLEGAL_GENERATION: i16 = 22;
const INVALID_GROUP_ID: i16 = 24;
const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_REQUEST: i16 = 42;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;
const TRANSACTION_ABORTABLE: i16 = 120;

fn committed(client: &mut RawClient, group: &str) -> Vec<i64> {
    let (error, partitions) = fetched(&client.call(9, &fetch(9, group, Some(("t", 0)))));
    assert_eq!(error, 0);
    partitions.into_iter().map(|(_, _, offset, ..)| offset).collect()
}

fn is_unstable(client: &mut RawClient, group: &str) -> bool {
    let (error, partitions) = stable(client, 9, group);
    assert!(error == 0 && !partitions.is_empty(), "error {error}");
    partitions.iter().all(|(.., error)| *error == UNSTABLE_OFFSET_COMMIT)
}

#[test]
fn offsets_count_when_their_transaction_is_committed_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = connect(&broker);
    for version in 0..=5 {
        let group = format!("g-{version}");
        assert_eq!(client.call(9, &commit(&group, "t", 0, 3)).topics[0].partitions[0].error_code, 0);
        let mut producer = TxnProducer::init(&mut client, &format!("id-{version}"), version);
        let mut counts = 3;
        for (offset, ends_well) in [(10, true), (11, false), (12, true)] {
            producer.add_offsets(&mut client, &group);
            let request = producer.commit(&group, "t", 0, offset);
            assert_eq!(producer.send(&mut client, &request), [0], "v{version}");
            assert!(is_unstable(&mut client, &group), "v{version}");
            assert_eq!(committed(&mut client, &group), [counts], "v{version}");
            producer.end(&mut client, ends_well);
            counts = if ends_well { offset } else { counts };
            assert_eq!(stable_at_last(&mut client, &group), [counts], "v{version}");
        }
    }
    drop(client);
    broker.shutdown().unwrap();
}

#[test]
fn commits_of_who_may_not_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = connect(&broker);
    for version in 0..=5 {
        let producer = TxnProducer::init(&mut client, &format!("id-{version}"), version);
        let good = producer.commit("g", "t", 0, 99);
        let adds = version >= FIRST_VERSION_THAT_ADDS;
        if !adds {
            let not_added = if version >= 4 { TRANSACTION_ABORTABLE } else { INVALID_TXN_STATE };
            assert_eq!(errors(&client.call(version, &good)), [not_added], "v{version}");
        }
        producer.add_offsets(&mut client, "g");
        let unknown = TransactionalId(text("unknown"));
        let newer = producer.producer_epoch + 1;
        let other_id = ProducerId(producer.producer_id.0 + 1_000_000);
        let cases = [
            (good.clone().with_group_id(GroupId(text(""))), INVALID_GROUP_ID),
            (good.clone().with_transactional_id(unknown), INVALID_PRODUCER_ID_MAPPING),
            (good.clone().with_transactional_id(TransactionalId(text(""))), INVALID_REQUEST),
            (good.clone().with_producer_id(other_id), INVALID_PRODUCER_ID_MAPPING),
            (good.clone().with_producer_epoch(newer), INVALID_PRODUCER_EPOCH),
        ];
        for (request, error) in cases {
            assert_eq!(errors(&client.call(version, &request)), [error], "v{version} {request:?}");
        }
        if version >= 3 {
            let of_nobody = good.clone().with_generation_id(1).with_member_id(text("nobody"));
            assert_eq!(errors(&client.call(version, &of_nobody)), [UNKNOWN_MEMBER_ID], "v{version}");
            let of_none = of_nobody.with_group_id(GroupId(text("g")));
            let elsewhere = of_none.with_group_id(GroupId(text("none")));
            producer.add_offsets(&mut client, "none");
            assert_eq!(errors(&client.call(version, &elsewhere)), [ILLEGAL_GENERATION], "v{version}");
        }
        assert!(!is_unstable(&mut client, "g"), "v{version}: nothing was appended");
        // What is wrong with single partitions is their own matter.
        let mut request = good.clone();
        let partition = request.topics[0].partitions[0].clone();
        let beyond = partition.clone().with_partition_index(2);
        let wordy = partition.with_partition_index(1).with_committed_metadata(Some(text(&"x".repeat(4_097))));
        request.topics[0].partitions.extend([wordy, beyond]);
        request.topics.push(producer.commit("g", "none", 0, 5).topics.remove(0));
        let response = client.call(version, &request);
        let answered: Vec<_> = response
            .topics
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|has| (&**topic.name, has.partition_index, has.error_code))
            })
            .collect();
        let unknown = UNKNOWN_TOPIC_OR_PARTITION;
        let expected =
            [("t", 2, unknown), ("t", 0, 0), ("t", 1, OFFSET_METADATA_TOO_LARGE), ("none", 0, unknown)];
        assert_eq!(answered, expected, "v{version}");
        assert!(is_unstable(&mut client, "g"));
        // The log knows the epoch now.
        let older = request.with_producer_epoch(-1);
        assert_eq!(errors(&client.call(version, &older))[1], INVALID_PRODUCER_EPOCH, "v{version}");
        let mut producer = producer;
        producer.end(&mut client, false);
        assert_eq!(stable_at_last(&mut client, "g"), [3]);
    }
    drop(client);
    broker.shutdown().unwrap();
}

#[test]
fn without_a_topic_of_transactions_there_is_no_coordinator_to_ask() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(&directory);
    let mut client = RawClient::connect(broker.addr());
    let topic = CreatableTopic::default()
        .with_name(TopicName(text("t")))
        .with_num_partitions(1)
        .with_replication_factor(1);
    client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
    let producer = TxnProducer {
        transactional_id: TransactionalId(text("id")),
        producer_id: ProducerId(1),
        producer_epoch: 0,
        version: 5,
    };
    let request = producer.commit("g", "t", 0, 1);
    for version in 0..=5 {
        let errors = errors(&client.call(version, &request));
        assert_eq!(errors, [COORDINATOR_NOT_AVAILABLE], "v{version}: nor one of groups");
    }
    drop(client);
    broker.shutdown().unwrap();
}

#[test]
fn an_open_transaction_is_open_after_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    for version in [3, 5] {
        let broker = start(&directory);
        let mut client = connect(&broker);
        let mut producer = TxnProducer::init(&mut client, "id", version);
        producer.add_offsets(&mut client, "g");
        let request = producer.commit("g", "t", 0, 20);
        assert_eq!(producer.send(&mut client, &request), [0]);
        drop(client);
        broker.shutdown().unwrap();

        let broker = start(&directory);
        let mut client = RawClient::connect(broker.addr());
        assert!(is_unstable(&mut client, "g"));
        assert_eq!(committed(&mut client, "g"), [3]);
        let request = producer.commit("g", "t", 0, 21);
        assert_eq!(producer.send(&mut client, &request), [0]);
        producer.end(&mut client, true);
        assert_eq!(stable_at_last(&mut client, "g"), [21]);
        drop(client);
        broker.shutdown().unwrap();

        let broker = start(&directory);
        let mut client = RawClient::connect(broker.addr());
        assert_eq!(stable_at_last(&mut client, "g"), [21]);
        drop(client);
        broker.shutdown().unwrap();
    }
}

/// The marker of the last transaction may come at any moment while the next one begins.
#[test]
fn a_commit_that_begins_a_transaction_while_the_last_one_ends_is_taken() {
    let broker = TestBroker::with(|config| config.log_flush_policy = FlushPolicy::Never);
    let broker = &broker.handle;
    connect(broker);
    std::thread::scope(|threads| {
        for number in 0..8 {
            threads.spawn(move || {
                let mut client = RawClient::connect(broker.addr());
                let id = format!("id-{number}");
                let mut producer = TxnProducer::init(&mut client, &id, FIRST_VERSION_THAT_ADDS);
                for offset in 0..300 {
                    let request = producer.commit(&id, "t", 0, offset);
                    assert_eq!(producer.send(&mut client, &request), [0], "offset {offset} of {id}");
                    producer.end(&mut client, true);
                }
            });
        }
    });
}
