//! DescribeTransactions and ListTransactions.

use fluxmq_protocol::messages::ListTransactionsRequest;

use super::*;
use TransactionState::*;

fn listed(driver: &Driver, request: &ListTransactionsRequest) -> Vec<String> {
    let filters = ListFilters::new(request).expect("a pattern");
    let mut ids: Vec<String> = driver
        .shard
        .list_transactions(driver.now, &filters)
        .into_iter()
        .map(|listed| {
            let transaction = driver.of(&listed.transactional_id);
            assert_eq!(listed.producer_id.0, transaction.producer_id);
            format!("{} {}", listed.transactional_id.as_str(), listed.transaction_state.as_str())
        })
        .collect();
    ids.sort();
    ids
}

fn request() -> ListTransactionsRequest {
    ListTransactionsRequest::default().with_duration_filter(-1)
}

/// One id for each state, `id-0` to `id-5`, then one that isn't ASCII.
fn driver() -> Driver {
    let mut driver = Driver::at(TransactionVersion::V2);
    for state in TransactionState::ALL {
        driver.in_state(&format!("id-{}", state.id()), 3, state);
    }
    driver.in_state("größe", 3, Empty);
    driver
}

#[test]
fn ids_are_listed_by_filters() {
    let mut driver = driver();
    driver.advance(5_000);
    let all = [
        "größe Empty",
        "id-0 Empty",
        "id-1 Ongoing",
        "id-2 PrepareCommit",
        "id-3 PrepareAbort",
        "id-4 CompleteCommit",
        "id-5 CompleteAbort",
    ];
    assert_eq!(listed(&driver, &request()), all);
    let states = |names: &[&str]| request().with_state_filters(names.iter().map(|name| text(name)).collect());
    assert_eq!(listed(&driver, &states(&["Ongoing", "Empty", "Empty"])), [all[0], all[1], all[2]]);
    assert_eq!(listed(&driver, &states(&["ongoing", "Dead"])), [""; 0]);
    let ids = request().with_producer_id_filters(vec![ProducerId(1_001), ProducerId(1_004), ProducerId(7)]);
    assert_eq!(listed(&driver, &ids), [all[2], all[5]]);
    // Ids without a transaction have lasted for ever.
    let longer = |ms| listed(&driver, &request().with_duration_filter(ms));
    assert_eq!(longer(4_999), all);
    assert_eq!(longer(5_000), [all[0], all[1]]);
    let matching =
        |pattern: &str| listed(&driver, &request().with_transactional_id_pattern(Some(text(pattern))));
    assert_eq!(matching(""), all);
    assert_eq!(matching("id-[1-2]"), [all[2], all[3]]);
    assert_eq!(matching("id"), [""; 0]);
    assert_eq!(matching(".*e"), [all[0]]);
    assert_eq!(matching("gr.{2}e"), [all[0]]);
    let both = states(&["Empty"]).with_transactional_id_pattern(Some(text("id-.")));
    assert_eq!(listed(&driver, &both), [all[1]]);
}

#[test]
fn states_that_are_none_are_named() {
    let names = ["Ongoing", "ongoing", "Dead", "x", "PrepareEpochFence", "x"];
    let request = request().with_state_filters(names.iter().map(|name| text(name)).collect());
    let filters = ListFilters::new(&request).unwrap();
    assert_eq!(filters.unknown_states(), [text("ongoing"), text("x")]);
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    for pattern in ["(", "a**", "[b-a]"] {
        let request = request().with_transactional_id_pattern(Some(text(pattern)));
        assert!(ListFilters::new(&request).is_err(), "{pattern}");
    }
}

#[test]
fn ids_are_described() {
    let driver = driver();
    let described = |id: &str| driver.shard.describe_transaction(&TransactionalId(text(id)));
    let ongoing = described("id-1");
    assert_eq!((ongoing.error_code, ongoing.transaction_state.as_str()), (0, "Ongoing"));
    assert_eq!((ongoing.producer_id.0, ongoing.producer_epoch), (1_001, 3));
    assert_eq!(ongoing.transaction_timeout_ms, TIMEOUT_MS);
    assert_eq!(ongoing.transaction_start_time_ms, driver.now.wall_ms);
    let topics: Vec<(&str, &[i32])> =
        ongoing.topics.iter().map(|topic| (topic.topic.as_str(), &topic.partitions[..])).collect();
    assert_eq!(topics, [("t", &[0][..])]);
    for state in TransactionState::ALL {
        let described = described(&format!("id-{}", state.id()));
        assert_eq!(described.transaction_state.as_str(), format!("{state:?}"));
    }
    assert_eq!(described("id-0").transaction_start_time_ms, -1);
    for (id, expected) in [("", ErrorCode::InvalidRequest), ("x", ErrorCode::TransactionalIdNotFound)] {
        let described = described(id);
        assert_eq!(ErrorCode::from_code(described.error_code), Some(expected));
        assert_eq!(described.transactional_id.as_str(), id);
    }
}
