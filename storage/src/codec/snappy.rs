//! Snappy in Kafka: the framing of Java's `SnappyOutputStream` (snappy-java, "xerial"), or one raw block as
//! librdkafka writes it.
//!
//! The framing is an 8-byte magic, two versions of 4 bytes, then blocks: a 4-byte length, big-endian, and a raw
//! snappy block.

use std::io;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: [u8; 4] = [0, 0, 0, 1];
const PREFIX_SIZE_BYTES: usize = 16;
/// Bytes that go into a block, as in Java.
const BLOCK_SIZE_BYTES: usize = 32 << 10;
/// No block decompresses to more than this many times its size: 64 bytes are copied by no fewer than 3.
const MAX_RATIO: usize = 64;

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION);
    out.extend_from_slice(&VERSION);
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(BLOCK_SIZE_BYTES) {
        let length_at = out.len();
        let block_at = length_at + 4;
        out.resize(block_at + snap::raw::max_compress_len(block.len()), 0);
        let size = encoder.compress(block, &mut out[block_at..]).map_err(io::Error::other)?;
        out.truncate(block_at + size);
        let length = u32::try_from(size).map_err(io::Error::other)?;
        out[length_at..block_at].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Appends what `input` decompresses to. At `max_bytes` + 1 it stops, which tells the caller that there is more.
pub(super) fn decompress(input: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let limit = out.len().saturating_add(max_bytes);
    if input.len() < PREFIX_SIZE_BYTES || !input.starts_with(&MAGIC) {
        return decompress_block(input, limit, out);
    }
    let mut rest = input;
    while !rest.is_empty() && out.len() <= limit {
        // Streams may follow each other, each with its own prefix.
        if rest.len() >= PREFIX_SIZE_BYTES && rest.starts_with(&MAGIC) {
            rest = &rest[PREFIX_SIZE_BYTES..];
            continue;
        }
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(|| corrupt("cut off block length"))?;
        let length =
            usize::try_from(i32::from_be_bytes(*length)).map_err(|_| corrupt("negative block length"))?;
        let block = after.get(..length).ok_or_else(|| corrupt("cut off block"))?;
        decompress_block(block, limit, out)?;
        rest = &after[length..];
    }
    Ok(())
}

fn decompress_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> io::Result<()> {
    // The length is the block's own claim, so memory is reserved only for one that is possible.
    let claimed = snap::raw::decompress_len(block).map_err(io::Error::other)?;
    if claimed > block.len().saturating_mul(MAX_RATIO) {
        return Err(corrupt("block claims an impossible length"));
    }
    let before = out.len();
    if claimed > limit.saturating_sub(before) {
        out.resize(limit.saturating_add(1), 0);
        return Ok(());
    }
    out.resize(before + claimed, 0);
    let size = snap::raw::Decoder::new().decompress(block, &mut out[before..]).map_err(io::Error::other)?;
    out.truncate(before + size);
    Ok(())
}

fn corrupt(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
