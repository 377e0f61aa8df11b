//! The records of `__cluster_metadata` against any bytes. What Kafka wrote is read in src/metadata_records/tests.rs.
#![allow(clippy::unwrap_used)]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/metadata_records.rs"]
mod support;

use proptest::prelude::*;

use support::decode_is_bounded;

/// Values that Kafka wrote.
fn values() -> Vec<Vec<u8>> {
    let lines = include_str!("fixtures/metadata_records.txt").lines();
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let value = |hex: &str| (0..hex.len()).step_by(2).map(|at| byte(hex, at)).collect();
    lines.map(|line| value(line.split_once(' ').unwrap().1)).collect()
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_within_bounds(
        record_type in 0..30_u8, version in 0..3_u8, rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        decode_is_bounded(&[&[1, record_type, version][..], &rest].concat());
        decode_is_bounded(&rest);
    }

    #[test]
    fn changed_records_are_decoded_within_bounds(
        mut value in prop::sample::select(values()), at in any::<prop::sample::Index>(), byte: u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let at = at.index(value.len());
        value[at] = byte;
        let end = cut.index(2 * value.len()).min(value.len());
        decode_is_bounded(&value[..end]);
    }
}
