//! The value of a record of Kafka's metadata log: nothing panics, and memory is bounded by the input.
#![no_main]

#[path = "../../protocol/tests/support/counting.rs"]
mod counting;
#[path = "../../protocol/tests/support/metadata_records.rs"]
mod support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| support::decode_is_bounded(data));
