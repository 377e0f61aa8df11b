//! A codec, then what claims to be compressed with it: nothing panics and output stays within its bound, and what
//! comes out survives being compressed and decompressed again.
#![no_main]

use fluxmq_storage::codec::{self, Codec};
use libfuzzer_sys::fuzz_target;

const MAX_BYTES: usize = 1 << 18;

fuzz_target!(|data: &[u8]| {
    let [codec, input @ ..] = data else { return };
    let codec = Codec::ALL[usize::from(*codec) % Codec::ALL.len()];
    let mut plain = Vec::new();
    let result = codec::decompress(codec, input, MAX_BYTES, &mut plain);
    assert!(plain.len() <= MAX_BYTES + 1);
    if result.is_err() {
        return;
    }
    assert!(plain.len() <= MAX_BYTES);
    let mut compressed = Vec::new();
    codec::compress(codec, None, &plain, &mut compressed).expect("bytes in memory compress");
    let mut again = Vec::new();
    codec::decompress(codec, &compressed, MAX_BYTES, &mut again).expect("our own bytes decompress");
    assert_eq!(again, plain);
});
