//! The length of a key, the key, then a value (none if there are no bytes left): nothing panics, memory is bounded by
//! the input, and what was understood is written so that it reads the same.
#![no_main]

#[path = "../../protocol/tests/support/counting.rs"]
mod counting;
#[path = "../../protocol/tests/support/transaction_records.rs"]
mod support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [key_bytes, data @ ..] = data else { return };
    let (key, value) = data.split_at(data.len().min(usize::from(*key_bytes)));
    support::decode_is_bounded_and_stable(key, Some(value).filter(|value| !value.is_empty()));
});
