use super::*;
use proptest::prelude::*;

/// Records as Kafka 4.3's Java producer compresses them; what they hold is `PLAIN`.
const GOLDEN: [(Codec, &str); 4] = [
    (
        Codec::Gzip,
        "1f8b08000000000000ff2b626060e0ca4eadd435f42a4bcc294d55c04f1ab2b064183255b06418318631f0313112a5c988418c4198056c8b312303005cb86e7d72000000",
    ),
    (
        Codec::Snappy,
        "82534e41505059000000000100000001000000397240720000000a6b65792d314a76616c7565207606003c310404683102780468320156000e0201923500343200160013040a6b65792d330100",
    ),
    (
        Codec::Lz4,
        "04224d186040823a000000ff02720000000a6b65792d314a76616c75652006000bff01310404683102780468320156000e0201350012e03200160013040a6b65792d33010000000000",
    ),
    (
        Codec::Zstd,
        "28b52ffd0058cc0100f402720000000a6b65792d314a76616c756520310404683102780468320156000e02013200160013040a6b65792d330100020060f5ac11cb12010000",
    ),
];
const PLAIN: &str = "720000000a6b65792d314a76616c75652076616c75652076616c75652076616c75652076616c75652076616c756520310404683102780468320156000e02014a76616c75652076616c75652076616c75652076616c75652076616c75652076616c7565203200160013040a6b65792d330100";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn compressed(codec: Codec, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, None, input, &mut out).unwrap();
    out
}

fn decompressed(codec: Codec, input: &[u8], max_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    decompress(codec, input, max_bytes, &mut out).map(|()| out)
}

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

#[test]
fn what_java_compressed_is_read() {
    for (codec, golden) in GOLDEN {
        assert_eq!(decompressed(codec, &hex(golden), 1000), Ok(hex(PLAIN)), "{codec}");
    }
}

#[test]
fn snappy_is_written_as_java_writes_it() {
    // The prefix to the byte; the block is the compressor's own choice.
    assert_eq!(compressed(Codec::Snappy, &hex(PLAIN))[..16], hex(GOLDEN[1].1)[..16]);
    let two_blocks = compressed(Codec::Snappy, &[7; BLOCK + 1]);
    let first = u32::from_be_bytes(*two_blocks[16..].first_chunk().unwrap()) as usize;
    assert_eq!(two_blocks[16 + 4 + first..][..4], [0, 0, 0, 3]);
}
const BLOCK: usize = 32 << 10;

#[test]
fn lz4_frames_are_those_of_java() {
    // Magic, flags (version 1, independent blocks), 64 KB blocks, descriptor checksum.
    assert_eq!(compressed(Codec::Lz4, &hex(PLAIN))[..7], hex(GOLDEN[2].1)[..7]);
    // The bytes of the other frame types that the library reads are refused.
    assert!(decompressed(Codec::Lz4, &[0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0], 10).is_err());
}

#[test]
fn snappy_without_framing_is_read() {
    let raw = snap::raw::Encoder::new().compress_vec(b"librdkafka librdkafka librdkafka").unwrap();
    assert_eq!(decompressed(Codec::Snappy, &raw, 100).unwrap(), b"librdkafka librdkafka librdkafka");
    assert!(matches!(decompressed(Codec::Snappy, &raw, 31), Err(CodecError::TooLarge { .. })));
}

#[test]
fn snappy_streams_may_follow_each_other() {
    let twice = [compressed(Codec::Snappy, b"one "), compressed(Codec::Snappy, b"two")].concat();
    assert_eq!(decompressed(Codec::Snappy, &twice, 100).unwrap(), b"one two");
}

#[test]
fn a_snappy_block_can_not_claim_memory_that_it_does_not_fill() {
    // The varint says 4 GB less one; one byte follows.
    let raw = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert!(matches!(decompressed(Codec::Snappy, &raw, usize::MAX), Err(CodecError::Corrupt { .. })));
    let mut framed = compressed(Codec::Snappy, b"");
    framed.extend_from_slice(&(-1i32).to_be_bytes());
    assert!(matches!(decompressed(Codec::Snappy, &framed, 100), Err(CodecError::Corrupt { .. })));
}

#[test]
fn output_stops_at_the_bound() {
    let input = vec![7; 1 << 20];
    for codec in Codec::ALL {
        let bytes = compressed(codec, &input);
        assert_eq!(decompressed(codec, &bytes, 1 << 20).unwrap(), input, "{codec}");
        let mut out = Vec::new();
        let error = decompress(codec, &bytes, 100_000, &mut out).unwrap_err();
        assert_eq!(error, CodecError::TooLarge { codec, max_bytes: 100_000 });
        assert!(out.len() <= 100_001, "{codec}: {} bytes", out.len());
    }
}

#[test]
fn cut_off_input_is_refused() {
    for (codec, golden) in GOLDEN {
        let bytes = hex(golden);
        for cut in 1..bytes.len() {
            match decompressed(codec, &bytes[..cut], 1000) {
                Err(CodecError::Corrupt { .. }) => {}
                // A prefix alone is an empty stream; without its end mark an LZ4 frame still holds its blocks.
                Ok(out) if out.is_empty() || codec == Codec::Lz4 => {}
                Ok(out) => panic!("{codec} cut at {cut} gave {out:?}"),
                Err(error) => panic!("{codec} cut at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn levels_are_taken_and_brought_into_range() {
    let input: Vec<u8> = (0..100_000u32).flat_map(|i| (i % 977).to_le_bytes()).collect();
    let size = |codec, level| {
        let mut out = Vec::new();
        compress(codec, level, &input, &mut out).unwrap();
        assert_eq!(decompressed(codec, &out, input.len()).unwrap(), input);
        out.len()
    };
    for codec in [Codec::Gzip, Codec::Zstd] {
        assert!(size(codec, Some(9)) < size(codec, Some(1)), "{codec}");
    }
    assert_eq!(size(Codec::Gzip, Some(99)), size(Codec::Gzip, Some(9)));
    assert_eq!(size(Codec::Gzip, Some(-1)), size(Codec::Gzip, None));
    assert_eq!(size(Codec::Zstd, None), size(Codec::Zstd, Some(3)));
    assert_eq!(size(Codec::Zstd, Some(99)), size(Codec::Zstd, Some(22)));
}

proptest! {
    #[test]
    fn codecs_round_trip(input in proptest::collection::vec(0u8..4, 0..100_000), noise in any::<u64>()) {
        let mut input = input;
        for (index, byte) in input.iter_mut().enumerate().step_by(97) {
            *byte = (noise >> (index % 57)) as u8;
        }
        for codec in Codec::ALL {
            prop_assert_eq!(decompressed(codec, &compressed(codec, &input), input.len()).unwrap(), &input[..]);
        }
    }

    #[test]
    fn damaged_input_is_read_or_refused(at in any::<proptest::sample::Index>(), flip in 1u8.., random in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (codec, golden) in GOLDEN {
            let mut input = hex(golden);
            if random {
                input.truncate(16);
                input.extend_from_slice(&bytes);
            } else {
                let at = at.index(input.len());
                input[at] ^= flip;
            }
            if let Ok(out) = decompressed(codec, &input, 5000) {
                prop_assert!(out.len() <= 5000);
            }
        }
    }
}
