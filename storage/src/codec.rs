//! Compression codecs of a record batch: the id in the batch attributes, and the names in `compression.type`.

use std::fmt;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_kafkas() {
        for (id, name) in [(0, "none"), (1, "gzip"), (2, "snappy"), (3, "lz4"), (4, "zstd")] {
            let codec = Codec::from_id(id).unwrap();
            assert_eq!((codec.id(), codec.name()), (id, name));
            assert_eq!(name.parse::<Codec>().unwrap(), codec);
        }
        assert_eq!(Codec::from_id(5), None);
        assert_eq!("uncompressed".parse::<Codec>().unwrap(), Codec::None);
        assert!("producer".parse::<Codec>().is_err());
    }
}
