//! Inputs that the benchmarks share, and what the load generators do.
#![forbid(unsafe_code)]

pub mod figures;
pub mod wire;

use fluxmq_storage::batch::{
    self, BatchBuilder, BatchHeader, BatchRules, CheckedBatch, CompressionRule, HEADER_SIZE_BYTES,
};
use fluxmq_storage::codec::Codec;

/// A broker's clock for rules and records, in milliseconds.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// A batch of about `batch_bytes` before compression, in records with values of `value_bytes`: half text that
/// repeats, half bytes that don't, which LZ4 brings to a bit more than a half.
pub fn batch_of(batch_bytes: usize, value_bytes: usize, codec: Codec) -> CheckedBatch {
    let mut builder = BatchBuilder::with_capacity(batch_bytes + value_bytes);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = vec![0; value_bytes];
    while builder.size_in_bytes() < batch_bytes {
        for (index, byte) in value.iter_mut().enumerate() {
            *byte = if index % 64 < 32 {
                b"{\"sensor\":\"north-7\",\"reading\":12."[index % 32]
            } else {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            };
        }
        builder.push(NOW_MS + builder.len() as i64, None, Some(&value), &[]);
    }
    let batch = builder.build();
    if codec == Codec::None {
        return batch;
    }
    let rules = BatchRules {
        compression: CompressionRule::Codec { codec, level: None },
        max_message_bytes: u32::MAX,
        ..BatchRules::defaults(NOW_MS)
    };
    batch::convert(&batch, &rules).expect("a batch that was built here converts")
}

/// Changes the header of the batch that `bytes` begin with, and the checksum with it.
pub fn restamp(bytes: &mut [u8], change: impl FnOnce(&mut BatchHeader)) {
    let mut header = BatchHeader::parse(bytes).expect("a batch");
    change(&mut header);
    let (head, records) = bytes[..header.size_in_bytes()].split_at_mut(HEADER_SIZE_BYTES);
    header.crc = header.compute_crc(records);
    head.copy_from_slice(&header.to_bytes());
}
