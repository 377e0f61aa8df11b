//! Markers, from the decision to the completion.

use super::*;
use TransactionState::*;

#[test]
fn only_the_markers_of_this_end_complete_it() {
    for state in TransactionState::ALL {
        let mut driver = Driver::at(TransactionVersion::V2);
        let (id, epoch) = driver.in_state("a", 3, state);
        let cases = [("x", id, epoch), ("a", id + 1, epoch), ("a", id, epoch - 1), ("a", id, epoch + 1)];
        let written = |driver: &mut Driver, (name, id, epoch): (&str, i64, i16)| {
            driver.turn(|shard, turn| shard.markers_written(turn, &text(name), id, epoch))
        };
        for case in cases {
            assert!(!driver.refused(|driver| written(driver, case)), "{case:?}, {state:?}");
        }
        let ends = matches!(state, PrepareCommit | PrepareAbort);
        assert_eq!(written(&mut driver, ("a", id, epoch)), ends);
        assert!(!driver.refused(|driver| written(driver, ("a", id, epoch))), "twice, {state:?}");
    }
}

#[test]
fn a_restart_leaves_the_markers_again() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        let mut driver = Driver::at(version);
        for state in TransactionState::ALL {
            driver.in_state(&format!("{state:?}"), 3, state);
        }
        driver.restart();
        driver.markers.sort_by(|left, right| left.transactional_id.cmp(&right.transactional_id));
        let left: Vec<(&str, bool)> =
            driver.markers.iter().map(|of| (of.transactional_id.as_str(), of.commit)).collect();
        assert_eq!(left, [("PrepareAbort", false), ("PrepareCommit", true)]);
        assert!(driver.markers.iter().all(|of| of.partitions == BTreeMap::from([(text("t"), [0].into())])));
        driver.restart();
        assert_eq!(driver.markers.len(), 2);
        driver.write_markers();
        driver.restart();
        assert!(driver.markers.is_empty());
    }
}

#[test]
fn an_end_without_partitions_that_was_loaded_is_completed_too() {
    let mut driver = Driver::at(TransactionVersion::V2);
    driver.in_state("a", 3, PrepareAbort);
    driver.set("a", |transaction| transaction.partitions.clear());
    driver.restart();
    assert!(driver.markers[0].partitions.is_empty());
    driver.write_markers();
    assert_eq!(driver.of("a").state, CompleteAbort);
}

#[test]
fn a_transaction_that_was_begun_without_partitions_ends_at_once() {
    let mut driver = Driver::at(TransactionVersion::V0);
    let producer = driver.producer_at("a", 3);
    driver.add("a", producer, &[]);
    assert_eq!(driver.of("a").state, Ongoing);
    driver.end(V1_END_TXN, "a", producer, true).unwrap();
    assert_eq!((driver.of("a").state, driver.markers.len()), (CompleteCommit, 0));
}
