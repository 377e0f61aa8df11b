//! What holds for the decoder of group records, whatever bytes it is given. Shared with the fuzz target.

use fluxmq_protocol::group_records::GroupRecord;

use crate::counting::peak_bytes;

/// Bytes in memory for a byte on the wire: an empty string of a compact array takes one byte there and 32 here, and
/// arrays within arrays reserve theirs one after the other.
const MEMORY_PER_BYTE: usize = 48;
/// What decoding may take beside that.
const SLACK_BYTES: usize = 256;

/// Decodes: it doesn't panic, memory is bounded by the input, and what was understood is written so that it reads the
/// same.
pub(crate) fn decode_is_bounded_and_stable(key: &[u8], value: Option<&[u8]>) {
    let input_bytes = key.len() + value.map_or(0, <[u8]>::len);
    let (decoded, held_bytes) = peak_bytes(|| GroupRecord::decode(key, value));
    let limit_bytes = input_bytes * MEMORY_PER_BYTE + SLACK_BYTES;
    assert!(held_bytes <= limit_bytes, "{held_bytes} bytes held for {input_bytes}: {key:?} {value:?}");
    let Ok(record) = decoded else { return };
    assert_eq!(record.is_tombstone(), value.is_none());
    // A text that wasn't UTF-8 can get too long when it is replaced.
    let Ok((key, value)) = record.encode() else { return };
    let again = GroupRecord::decode(&key, value.as_deref()).expect("reads what it wrote");
    assert_eq!(again.encode().expect("the same texts"), (key, value));
}
