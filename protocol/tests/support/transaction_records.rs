//! What holds for the decoder of transaction records, whatever bytes it is given. Shared with the fuzz target.

use fluxmq_protocol::transaction_records::TransactionRecord;

use crate::counting::peak_bytes;

/// Bytes in memory for a byte on the wire: a topic without a name or partitions takes three bytes there and 56 here.
const MEMORY_PER_BYTE: usize = 48;
/// What decoding may take beside that.
const SLACK_BYTES: usize = 256;

/// Decodes: it doesn't panic, memory is bounded by the input, and what was understood is written so that it reads the
/// same.
pub(crate) fn decode_is_bounded_and_stable(key: &[u8], value: Option<&[u8]>) {
    let input_bytes = key.len() + value.map_or(0, <[u8]>::len);
    let (decoded, held_bytes) = peak_bytes(|| TransactionRecord::decode(key, value));
    let limit_bytes = input_bytes * MEMORY_PER_BYTE + SLACK_BYTES;
    assert!(held_bytes <= limit_bytes, "{held_bytes} bytes held for {input_bytes}: {key:?} {value:?}");
    let Ok(record) = decoded else { return };
    assert_eq!(record.value.is_none(), value.is_none());
    // A text that wasn't UTF-8 can get too long when it is replaced.
    let Ok((key, value)) = record.encode() else { return };
    let again = TransactionRecord::decode(&key, value.as_deref());
    assert_eq!(again, Ok(record), "reads what it wrote");
}
