//! Random requests, timers and restarts: the log says what the shard knows, also after compaction.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    Init { id: u8, recovers: bool },
    Add { id: u8, version: i16, partitions: Vec<i32>, epoch_off: i16 },
    End { id: u8, version: i16, commit: bool, epoch_off: i16 },
    WriteMarkers,
    Exhaust { id: u8 },
    ChangeVersion { level: i16 },
    Wait { ms: i64 },
    Restart,
}

fn operation() -> impl Strategy<Value = Operation> {
    let partitions = prop::collection::vec(0..4_i32, 0..3);
    let epoch_off = prop_oneof![6 => Just(0_i16), 1 => -2..2_i16];
    let ms = prop_oneof![4 => 0..20_000_i64, 1 => 0..8 * 24 * 3_600_000_i64];
    prop_oneof![
        3 => (0..3_u8, any::<bool>()).prop_map(|(id, recovers)| Operation::Init { id, recovers }),
        6 => (0..3_u8, 2..6_i16, partitions, epoch_off.clone()).prop_map(
            |(id, version, partitions, epoch_off)| Operation::Add { id, version, partitions, epoch_off }
        ),
        6 => (0..3_u8, 1..6_i16, any::<bool>(), epoch_off).prop_map(
            |(id, version, commit, epoch_off)| Operation::End { id, version, commit, epoch_off }
        ),
        4 => Just(Operation::WriteMarkers),
        1 => (0..3_u8).prop_map(|id| Operation::Exhaust { id }),
        1 => (0..3_i16).prop_map(|level| Operation::ChangeVersion { level }),
        2 => ms.prop_map(|ms| Operation::Wait { ms }),
        1 => Just(Operation::Restart),
    ]
}

/// What a client believes it has, a little off.
fn producer(driver: &Driver, id: &str, epoch_off: i16) -> (i64, i16) {
    let known = driver.shard.transaction(&text(id));
    known.map_or((7, 0), |known| (known.producer_id, known.producer_epoch.saturating_add(epoch_off)))
}

fn run(driver: &mut Driver, operation: Operation) {
    let name = |id: u8| format!("id-{id}");
    match operation {
        Operation::Init { id, recovers: false } => drop(driver.init(&name(id))),
        Operation::Init { id, recovers: true } => {
            let (producer_id, epoch) = producer(driver, &name(id), 0);
            let _ = driver.recover(&name(id), (producer_id, epoch.max(0)));
        }
        Operation::Add { id, version, partitions, epoch_off } => {
            let partitions: Vec<(&str, i32)> = partitions.iter().map(|partition| ("t", *partition)).collect();
            let producer = producer(driver, &name(id), epoch_off);
            driver.add_in(version, &name(id), producer, &partitions);
        }
        Operation::End { id, version, commit, epoch_off } => {
            let producer = producer(driver, &name(id), epoch_off);
            let _ = driver.end(version, &name(id), producer, commit);
        }
        Operation::WriteMarkers => drop(driver.write_markers()),
        Operation::Exhaust { id } => {
            if driver.shard.transaction(&text(&name(id))).is_some_and(Transaction::is_idle) {
                driver.set(&name(id), |transaction| transaction.producer_epoch = i16::MAX - 2);
            }
        }
        Operation::ChangeVersion { level } => driver.version = TransactionVersion::from_level(level),
        Operation::Wait { ms } => driver.advance(ms),
        Operation::Restart => driver.restart(),
    }
}

fn compacted(driver: &Driver) -> TransactionShard {
    let last: BTreeMap<&Bytes, &(Bytes, Option<Bytes>)> =
        driver.log.iter().map(|record| (&record.0, record)).collect();
    let mut shard = TransactionShard::new(Arc::clone(&driver.config));
    last.into_values().for_each(|record| shard.replay(driver.now, decoded(record)));
    shard
}

/// A transaction can only be open with a deadline, and a decided one only with markers on their way.
fn check(driver: &Driver) {
    for (id, transaction) in hard_state(&driver.shard) {
        let deadline = driver.shard.timers.deadline(&shard::Timer::Timeout(id.clone()));
        assert_eq!(deadline.is_some(), transaction.state == TransactionState::Ongoing, "{transaction:?}");
        let markers = driver.markers.iter().filter(|of| of.transactional_id == id).count();
        assert_eq!(markers, usize::from(transaction.is_ending()), "{transaction:?}");
        assert!(transaction.producer_epoch >= 0);
        assert!(transaction.is_ending() || transaction.next_producer_id == -1, "{transaction:?}");
        let open = transaction.is_ending() || transaction.state == TransactionState::Ongoing;
        assert!(open || transaction.partitions.is_empty(), "{transaction:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_log_says_what_the_shard_knows(operations in prop::collection::vec(operation(), 1..80)) {
        let mut driver = Driver::at(TransactionVersion::V2);
        for operation in operations {
            run(&mut driver, operation);
            check(&driver);
            let live = hard_state(&driver.shard);
            prop_assert_eq!(&hard_state(&driver.reloaded()), &live);
            prop_assert_eq!(&hard_state(&compacted(&driver)), &live);
        }
    }
}
