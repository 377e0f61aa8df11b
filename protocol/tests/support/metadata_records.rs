//! What holds for the decoder of metadata records, whatever bytes it is given. Shared with the fuzz target.

use fluxmq_protocol::metadata_records::MetadataRecord;

use crate::counting::peak_bytes;

/// Bytes in memory for a byte on disk: whom a quota is for takes three bytes there and 64 here.
const MEMORY_PER_BYTE: usize = 48;
/// What decoding may take beside that.
const SLACK_BYTES: usize = 256;

/// Decodes: it doesn't panic, and memory is bounded by the input.
pub(crate) fn decode_is_bounded(value: &[u8]) {
    let (_, held_bytes) = peak_bytes(|| MetadataRecord::decode(value));
    let limit_bytes = value.len() * MEMORY_PER_BYTE + SLACK_BYTES;
    assert!(held_bytes <= limit_bytes, "{held_bytes} bytes held for {}: {value:?}", value.len());
}
