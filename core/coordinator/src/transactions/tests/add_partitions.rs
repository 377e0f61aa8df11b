//! AddPartitionsToTxn and AddOffsetsToTxn.

use fluxmq_protocol::messages::{AddOffsetsToTxnRequest, GroupId};

use super::*;
use TransactionState::*;

const EPOCH: i16 = 3;
const VERSIONS: [TransactionVersion; 3] =
    [TransactionVersion::V0, TransactionVersion::V1, TransactionVersion::V2];

fn offsets_in(driver: &mut Driver, version: i16, id: &str, producer: (i64, i16)) -> ErrorCode {
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_group_id(GroupId(text("g")));
    let response = driver.turn(|shard, turn| shard.add_offsets_to_txn(turn, version, &request, 42));
    ErrorCode::from_code(response.error_code).unwrap()
}

#[test]
fn the_first_partition_begins_a_transaction() {
    for version in VERSIONS {
        for state in [Empty, CompleteCommit, CompleteAbort] {
            let mut driver = Driver::at(version);
            let producer = driver.in_state("a", EPOCH, state);
            driver.advance(5_000);
            let began_ms = driver.now.wall_ms;
            driver.add("a", producer, &[("t", 0), ("u", 3), ("t", 2)]);
            driver.advance(1_000);
            driver.add("a", producer, &[("t", 1)]);
            let transaction = driver.of("a");
            assert_eq!((transaction.state, transaction.start_ms), (Ongoing, began_ms));
            assert_eq!(transaction.last_update_ms, began_ms + 1_000);
            let topics: Vec<(&str, Vec<i32>)> = transaction
                .partitions
                .iter()
                .map(|(t, p)| (t.as_str(), p.iter().copied().collect()))
                .collect();
            assert_eq!(topics, [("t", vec![0, 1, 2]), ("u", vec![3])]);
        }
    }
}

#[test]
fn partitions_that_are_there_leave_no_record() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let producer = driver.in_state("a", EPOCH, Ongoing);
    let errors = driver.refused(|driver| driver.add_in(3, "a", producer, &[("t", 0)]));
    assert_eq!(errors, [ErrorCode::None]);
    driver.add("a", producer, &[("t", 0), ("t", 1)]);
    assert_eq!(driver.of("a").partitions[&text("t")].len(), 2);
}

#[test]
fn what_the_client_speaks_is_noted() {
    for (api_version, expected) in
        [(3, TransactionVersion::V0), (4, TransactionVersion::V2), (5, TransactionVersion::V2)]
    {
        let mut driver = Driver::at(TransactionVersion::V2);
        let producer = driver.producer_at("a", EPOCH);
        driver.add_in(api_version, "a", producer, &[("t", 0)]);
        assert_eq!(driver.of("a").client_version, expected);
    }
}

#[test]
fn additions_that_are_refused() {
    use ErrorCode::*;
    for state in TransactionState::ALL {
        let mut driver = Driver::at(TransactionVersion::V2);
        let (id, epoch) = driver.in_state("a", EPOCH, state);
        let ending = matches!(state, PrepareCommit | PrepareAbort);
        let unless_ending = |error| if ending { ConcurrentTransactions } else { error };
        let cases = [
            ("no id", "", (id, epoch), InvalidRequest),
            ("an unknown id", "x", (id, epoch), InvalidProducerIdMapping),
            ("another's producer id", "a", (id + 1, epoch), unless_ending(InvalidProducerIdMapping)),
            ("a zombie", "a", (id, epoch - 1), unless_ending(ProducerFenced)),
            ("a future epoch", "a", (id, epoch + 1), unless_ending(ProducerFenced)),
        ];
        for (case, name, producer, expected) in cases {
            for version in 0..=5 {
                let for_version = match expected {
                    ProducerFenced if version < 2 => InvalidProducerEpoch,
                    expected => expected,
                };
                let errors =
                    driver.refused(|driver| driver.add_in(version, name, producer, &[("t", 0), ("u", 1)]));
                assert_eq!(errors, [for_version; 2], "{case}, {state:?}, version {version}");
                let error = driver.refused(|driver| offsets_in(driver, version, name, producer));
                assert_eq!(error, for_version, "{case}, {state:?}, version {version}");
            }
        }
        if ending {
            let errors = driver.refused(|driver| driver.add_in(3, "a", (id, epoch), &[("t", 0)]));
            assert_eq!(errors, [ConcurrentTransactions], "after prepare, {state:?}");
            let error = driver.refused(|driver| offsets_in(driver, 3, "a", (id, epoch)));
            assert_eq!(error, ConcurrentTransactions, "after prepare, {state:?}");
        }
    }
}

#[test]
fn offsets_are_a_partition_of_their_topic() {
    let mut driver = Driver::at(TransactionVersion::V2);
    let producer = driver.producer_at("a", EPOCH);
    assert_eq!(offsets_in(&mut driver, 4, "a", producer), ErrorCode::None);
    let transaction = driver.of("a");
    assert_eq!(transaction.partitions[&text("__consumer_offsets")].iter().collect::<Vec<_>>(), [&42]);
    assert_eq!((transaction.state, transaction.client_version), (Ongoing, TransactionVersion::V0));
}

#[test]
fn verification_says_what_is_in_the_transaction() {
    use ErrorCode::*;
    for state in TransactionState::ALL {
        let mut driver = Driver::at(TransactionVersion::V2);
        let (id, epoch) = driver.in_state("a", EPOCH, state);
        let is_in = match state {
            Ongoing => [None, TransactionAbortable],
            PrepareCommit | PrepareAbort => [ConcurrentTransactions; 2],
            _ => [TransactionAbortable; 2],
        };
        let cases = [
            ("no id", "", (id, epoch), [InvalidRequest; 2]),
            ("an unknown id", "x", (id, epoch), [InvalidProducerIdMapping; 2]),
            ("another's producer id", "a", (id + 1, epoch), [InvalidProducerIdMapping; 2]),
            ("a zombie", "a", (id, epoch - 1), [ProducerFenced; 2]),
            ("the producer", "a", (id, epoch), is_in),
        ];
        for (case, name, producer, expected) in cases {
            let asked = transaction(name, producer, &[("t", 0), ("t", 9)]).with_verify_only(true);
            let result = driver
                .refused(|driver| driver.turn(|shard, turn| shard.add_partitions_to_txn(turn, 4, &asked)));
            assert_eq!(partition_errors(&result), expected, "{case}, {state:?}");
        }
    }
}

#[test]
fn a_transaction_that_no_record_holds_does_not_grow() {
    let config = TransactionCoordinatorConfig { max_record_bytes: 400, ..Default::default() };
    let mut driver = Driver::with(config, TransactionVersion::V2);
    let producer = driver.producer_at("a", EPOCH);
    let mut partition = 0;
    while driver.add_in(3, "a", producer, &[("t", partition)]) == [ErrorCode::None] {
        partition += 1;
    }
    assert_eq!(
        driver.refused(|driver| driver.add_in(3, "a", producer, &[("t", partition)])),
        [ErrorCode::UnknownServerError]
    );
    assert!(partition > 40);
    // What is there can end.
    driver.end(V2, "a", producer, true).unwrap();
    driver.write_markers();
    let largest =
        driver.log.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).max();
    assert!(largest < Some(400), "{largest:?}");
}
