//! Compression codecs of a record batch: the id in the batch attributes, the names in `compression.type`, and
//! compressing and decompressing the records.
//!
//! Decompression never panics and never gives more bytes than it is allowed to.

mod snappy;

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

/// The codec that the records of a batch are compressed with: bits 0 to 2 of the batch attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Codec {
    /// Records lie in the batch as they are.
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy blocks in the framing of Java's `SnappyOutputStream`.
    Snappy = 2,
    /// LZ4 frame format.
    Lz4 = 3,
    /// Zstandard frames (KIP-110).
    Zstd = 4,
}

impl Codec {
    /// Every codec, in the order of their ids.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec of an id (the low three bits of the attributes), or `None` for the ids 5 to 7 and above.
    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(id)).copied()
    }

    /// The id as it stands in the batch attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Kafka's name, as in `compression.type`; `Codec::None` is called `none` there by producers.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression codec {0:?}")]
pub struct UnknownCodecName(pub String);

impl FromStr for Codec {
    type Err = UnknownCodecName;

    /// Reads a producer's or a topic's name of a codec; `uncompressed` (a topic's word) is `Codec::None`.
    fn from_str(name: &str) -> Result<Codec, UnknownCodecName> {
        match name {
            "none" | "uncompressed" => Ok(Codec::None),
            "gzip" => Ok(Codec::Gzip),
            "snappy" => Ok(Codec::Snappy),
            "lz4" => Ok(Codec::Lz4),
            "zstd" => Ok(Codec::Zstd),
            other => Err(UnknownCodecName(other.to_owned())),
        }
    }
}

/// Why records can't be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes are not what the codec writes.
    #[error("corrupt {codec} data: {reason}")]
    Corrupt {
        /// The codec.
        codec: Codec,
        /// What the library says.
        reason: String,
    },
    /// Decompressed, they are more than is allowed.
    #[error("{codec} data decompresses to more than {max_bytes} bytes")]
    TooLarge {
        /// The codec.
        codec: Codec,
        /// The bound.
        max_bytes: usize,
    },
}

/// Levels of gzip: `compression.gzip.level` is one of these or -1, the library's default.
pub const GZIP_LEVELS: std::ops::RangeInclusive<i32> = 1..=9;
/// Levels of `compression.lz4.level`. Our LZ4 has one, so the setting is accepted and has no effect.
pub const LZ4_LEVELS: std::ops::RangeInclusive<i32> = 1..=17;
/// Levels of `compression.zstd.level`; Kafka's default is 3.
pub const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = -131_072..=22;

const GZIP_DEFAULT_LEVEL: i32 = 6;
const ZSTD_DEFAULT_LEVEL: i32 = 3;

/// Appends `input`, compressed, to `out`. A level outside the codec's range is brought into it; `None` and, for
/// gzip, -1 are the default.
///
/// # Errors
/// What the library says; none is expected for bytes in memory.
pub fn compress(codec: Codec, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let result: io::Result<()> = match codec {
        Codec::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        Codec::Gzip => {
            let level = match level {
                None | Some(-1) => GZIP_DEFAULT_LEVEL,
                Some(level) => level.clamp(*GZIP_LEVELS.start(), *GZIP_LEVELS.end()),
            };
            let level = flate2::Compression::new(level.unsigned_abs());
            let mut encoder = flate2::write::GzEncoder::new(out, level);
            encoder.write_all(input).and_then(|()| encoder.finish().map(drop))
        }
        Codec::Snappy => snappy::compress(input, out),
        Codec::Lz4 => compress_lz4(input, out),
        Codec::Zstd => {
            let level = level.unwrap_or(ZSTD_DEFAULT_LEVEL).clamp(*ZSTD_LEVELS.start(), *ZSTD_LEVELS.end());
            zstd::stream::copy_encode(input, out, level)
        }
    };
    result.map_err(|error| CodecError::Corrupt { codec, reason: error.to_string() })
}

/// The frame that Java's producer writes: blocks of 64 KB that don't depend on each other, no checksums.
fn compress_lz4(input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(input)?;
    encoder.finish().map(drop).map_err(io::Error::other)
}

/// Appends `input`, decompressed, to `out`, up to `max_bytes`.
///
/// # Errors
/// Corrupt input, or more than `max_bytes` of output; `out` then holds a part of it.
pub fn decompress(codec: Codec, input: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let before = out.len();
    let result = match codec {
        Codec::None => read_bounded(input, input.len(), max_bytes, out),
        Codec::Gzip => read_bounded(flate2::bufread::MultiGzDecoder::new(input), input.len(), max_bytes, out),
        Codec::Snappy => snappy::decompress(input, max_bytes, out),
        Codec::Lz4 => decompress_lz4(input, max_bytes, out),
        Codec::Zstd => zstd::stream::read::Decoder::with_buffer(input)
            .and_then(|decoder| read_bounded(decoder, input.len(), max_bytes, out)),
    };
    match result {
        Ok(()) if out.len() - before <= max_bytes => Ok(()),
        Ok(()) => Err(CodecError::TooLarge { codec, max_bytes }),
        Err(error) => Err(CodecError::Corrupt { codec, reason: error.to_string() }),
    }
}

const LZ4_FRAME_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

fn decompress_lz4(input: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> io::Result<()> {
    // The library also takes the legacy frame and skippable ones, which no Kafka client reads.
    if !input.starts_with(&LZ4_FRAME_MAGIC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no LZ4 frame"));
    }
    read_bounded(lz4_flex::frame::FrameDecoder::new(input), input.len(), max_bytes, out)
}

/// Reads to the end, or to one byte more than `max_bytes`, which tells the caller that there is more.
fn read_bounded(
    reader: impl Read,
    input_bytes: usize,
    max_bytes: usize,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    // A guess at the usual ratio; what really comes grows the buffer.
    out.reserve(input_bytes.saturating_mul(3).min(max_bytes).min(4 << 20));
    reader.take((max_bytes as u64).saturating_add(1)).read_to_end(out).map(drop)
}

#[cfg(test)]
mod tests;
