//! An API (its place in the list), a version, then a body: nothing panics, the guard allocates nothing, and what
//! it lets through never makes the decoder hold more memory than the guard said.
#![no_main]

#[path = "../../protocol/tests/support/counting.rs"]
mod counting;
#[path = "../../protocol/tests/support/requests.rs"]
mod requests;

use bytes::Bytes;
use counting::peak_bytes;
use fluxmq_protocol::guard;
use libfuzzer_sys::fuzz_target;
use requests::REQUESTS;

/// What decoding may take beside what the guard reports: the shared handle of the body.
const SLACK_BYTES: usize = 256;
/// What an error may take, such as the decoder's own backtrace.
const ERROR_BYTES: usize = 64 << 10;

fuzz_target!(|data: &[u8]| {
    let [api, version, body @ ..] = data else { return };
    let request = &REQUESTS[usize::from(*api) % REQUESTS.len()];
    let version = i16::from(*version);
    let body = Bytes::copy_from_slice(body);
    let (checked, held_bytes) = peak_bytes(|| guard::check(request.api_key, version, &body));
    assert_eq!(held_bytes, 0);
    let Ok(memory_bytes) = checked else { return };
    assert!(memory_bytes <= guard::memory_limit_bytes(body.len()));
    let (decoded, held_bytes) = peak_bytes(|| (request.decode)(version, body.clone()));
    let slack_bytes = if decoded.is_ok() { SLACK_BYTES } else { ERROR_BYTES };
    assert!(held_bytes <= memory_bytes + slack_bytes, "{held_bytes} bytes held, {memory_bytes} announced");
});
