//! The records of `__transaction_state` against Kafka's own classes, whose bytes are in fixtures/transaction_records.txt
//! (java-tests/kafka/TransactionRecordCases.java prints them), and against any bytes.
#![allow(clippy::unwrap_used)]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/transaction_records.rs"]
mod support;

use fluxmq_protocol::transaction_records::*;
use proptest::prelude::*;

use support::decode_is_bounded_and_stable;

const TIME_MS: i64 = 1_700_000_000_000;

/// A record as Kafka wrote it.
struct Case {
    content: &'static str,
    version: Option<i16>,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

fn cases() -> impl Iterator<Item = Case> {
    include_str!("fixtures/transaction_records.txt").lines().map(|line| {
        let [content, version, key, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        Case { content, version: version.parse().ok(), key: bytes(key).unwrap(), value: bytes(value) }
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (hex != "-").then(|| (0..hex.len()).step_by(2).map(byte).collect())
}

fn partitions(topic: &'static str, partition_ids: &[i32]) -> PartitionsSchema {
    PartitionsSchema { topic: topic.into(), partition_ids: partition_ids.to_vec() }
}

/// What a case must decode to.
fn expected(case: &Case) -> TransactionRecord {
    let value = case.version.map(|version| {
        let value = match case.content {
            "all" | "unknown-tag" => all(),
            "none" => TransactionLogValue::default(),
            content => written(content, version),
        };
        VersionedValue { version, value }
    });
    TransactionRecord { transactional_id: "tränsactional".into(), value }
}

fn all() -> TransactionLogValue {
    TransactionLogValue {
        producer_id: i64::MAX,
        producer_epoch: i16::MAX,
        transaction_timeout_ms: i32::MAX,
        transaction_status: TransactionState::PrepareCommit.id(),
        transaction_partitions: Some(vec![partitions("a", &[0, 2]), partitions("b", &[])]),
        transaction_last_update_timestamp_ms: TIME_MS,
        transaction_start_timestamp_ms: -1,
        previous_producer_id: 11,
        next_producer_id: 12,
        client_transaction_version: 2,
        next_producer_epoch: 13,
    }
}

/// What the coordinator wrote: the state's name, and what the client spoke.
fn written(content: &str, version: i16) -> TransactionLogValue {
    let (name, client_version) = content.split_once("-client-").unwrap();
    let state = TransactionState::ALL.into_iter().find(|state| format!("{state:?}") == name).unwrap();
    let transaction_partitions = match state {
        TransactionState::Empty => None,
        TransactionState::CompleteCommit | TransactionState::CompleteAbort => Some(Vec::new()),
        _ => Some(vec![partitions("topic", &[7])]),
    };
    let mut value = TransactionLogValue {
        producer_id: 17,
        producer_epoch: 3,
        transaction_timeout_ms: 60_000,
        transaction_status: state.id(),
        transaction_partitions,
        transaction_last_update_timestamp_ms: TIME_MS + 1_000,
        transaction_start_timestamp_ms: TIME_MS,
        ..TransactionLogValue::default()
    };
    if version > 0 {
        value.previous_producer_id = 11;
        value.client_transaction_version = client_version.parse().unwrap();
    }
    value
}

#[test]
fn records_of_kafka_are_read_and_written_in_its_bytes() {
    let mut compared = 0;
    for case in cases() {
        let expected = expected(&case);
        let decoded = TransactionRecord::decode(&case.key, case.value.as_deref());
        assert_eq!(decoded.as_ref(), Ok(&expected), "{} {:?}", case.content, case.version);
        if case.content != "unknown-tag" {
            let (key, value) = expected.encode().unwrap();
            assert_eq!(
                (&key[..], value.as_deref()),
                (&case.key[..], case.value.as_deref()),
                "{}",
                case.content
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 1 + 6 + 6 + 1 + 2);
}

/// Bytes that begin as a record does.
fn input() -> impl Strategy<Value = (Vec<u8>, Option<Vec<u8>>)> {
    let some_bytes = || prop::collection::vec(any::<u8>(), 0..60);
    let key = prop_oneof![some_bytes(), some_bytes().prop_map(|rest| [&[0, 0][..], &rest].concat())];
    let value = prop_oneof![
        some_bytes(),
        (0..2_u8, some_bytes(), 0..6_u8, some_bytes()).prop_map(|(version, fixed, status, rest)| {
            let fixed: Vec<u8> = fixed.into_iter().chain([0; 14]).take(14).collect();
            [&[0, version][..], &fixed, &[status], &rest].concat()
        }),
    ];
    (key, prop::option::of(value))
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_within_bounds((key, value) in input()) {
        decode_is_bounded_and_stable(&key, value.as_deref());
    }

    #[test]
    fn changed_records_are_decoded_within_bounds(
        case in 0..17_usize, at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(),
    ) {
        let case = cases().nth(case).unwrap();
        let mut value = case.value.unwrap_or_else(|| vec![0]);
        let at = at.index(value.len());
        value[at] = byte;
        let end = cut.index(2 * value.len()).min(value.len());
        decode_is_bounded_and_stable(&case.key, Some(&value[..end]));
    }
}
