//! The bounds guard against the decoder it protects: what the decoder understands passes, and what passes never
//! makes the decoder reserve more than the guard said.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/requests.rs"]
mod requests;

use bytes::{BufMut, Bytes, BytesMut};
use fluxmq_protocol::guard::{self, GuardError};
use fluxmq_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use fluxmq_protocol::messages::metadata_request::MetadataRequestTopic;
use fluxmq_protocol::messages::{FetchRequest, MetadataRequest};
use fluxmq_protocol::{ApiKey, Encodable, ShapeError, StrBytes, VersionRange, sample};
use proptest::prelude::*;

use counting::peak_bytes;
use requests::{REQUESTS, Request};

/// What decoding may take beside what the guard reports: the shared handle of the body.
const SLACK_BYTES: usize = 256;
/// What an error may take, such as the decoder's own backtrace where RUST_BACKTRACE asks for one.
const ERROR_BYTES: usize = 64 << 10;

fn versions(request: &Request) -> impl Iterator<Item = i16> + use<> {
    let VersionRange { min, max } = request.versions;
    min..=max
}

/// Decodes, and holds the decoder to what the guard says.
fn decode_is_bounded(request: &Request, version: i16, body: &Bytes) {
    let (checked, guard_bytes) = peak_bytes(|| guard::check(request.api_key, version, body));
    assert_eq!(guard_bytes, 0, "the guard allocates nothing");
    let Ok(memory_bytes) = checked else { return };
    assert!(memory_bytes <= guard::memory_limit_bytes(body.len()));
    let (decoded, held_bytes) = peak_bytes(|| (request.decode)(version, body.clone()));
    let slack_bytes = if decoded.is_ok() { SLACK_BYTES } else { ERROR_BYTES };
    assert!(
        held_bytes <= memory_bytes + slack_bytes,
        "{:?} v{version}: {held_bytes} bytes held, {memory_bytes} announced, body {body:?}",
        request.api_key
    );
}

#[test]
fn layouts_cover_every_version_that_can_be_decoded() {
    for request in REQUESTS {
        let shapes = sample::versions(request.api_key).unwrap();
        let ours = request.versions;
        assert!(shapes.min <= ours.min && shapes.max >= ours.max, "{:?}: {shapes} {ours}", request.api_key);
    }
}

#[test]
fn an_api_or_version_without_a_layout_is_refused() {
    let no_shape = Err(GuardError::NoShape);
    assert_eq!(guard::check(ApiKey::Vote, 0, b""), no_shape);
    assert_eq!(guard::check(ApiKey::Fetch, 3, b""), no_shape);
    assert_eq!(guard::check(ApiKey::Fetch, 19, b""), no_shape);
    assert_eq!(guard::check(ApiKey::Fetch, i16::MIN, b""), no_shape);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Layout and decoder agree on every field: bytes written by the layout are consumed to the last one, and
    /// what the decoder's own encoder makes of them passes the guard.
    #[test]
    fn layouts_agree_with_the_decoder(seed: u64) {
        for request in REQUESTS {
            for version in versions(request) {
                let body = sample::body(request.api_key, version, seed).unwrap();
                prop_assert!(guard::check(request.api_key, version, &body).is_ok());
                let Some((consumed_bytes, encoded)) = (request.decode_and_encode)(version, &body) else {
                    return Err(TestCaseError::fail(format!("{:?} v{version} {body:?}", request.api_key)));
                };
                prop_assert_eq!(consumed_bytes, body.len());
                prop_assert!(guard::check(request.api_key, version, &encoded).is_ok());
                decode_is_bounded(request, version, &body);
            }
        }
    }

    /// A body cut anywhere is refused, unless what is missing is behind the message.
    #[test]
    fn truncations_are_refused(seed: u64, cut: prop::sample::Index) {
        for request in REQUESTS {
            for version in versions(request) {
                let body = sample::body(request.api_key, version, seed).unwrap();
                if !body.is_empty() {
                    let cut = body.slice(..cut.index(body.len()));
                    prop_assert!(guard::check(request.api_key, version, &cut).is_err());
                    prop_assert!((request.decode)(version, cut).is_err());
                }
            }
        }
    }

    #[test]
    fn mutations_stay_bounded(seed: u64, at: prop::sample::Index, with: [u8; 5], length in 1usize..6) {
        for request in REQUESTS {
            for version in versions(request) {
                let mut body = BytesMut::from(&sample::body(request.api_key, version, seed).unwrap()[..]);
                body.extend_from_slice(&[0; 5]);
                let at = at.index(body.len() - 4);
                body[at..at + length.min(5)].copy_from_slice(&with[..length.min(5)]);
                decode_is_bounded(request, version, &body.freeze());
            }
        }
    }

    #[test]
    fn random_bytes_stay_bounded(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        for request in REQUESTS {
            for version in versions(request) {
                decode_is_bounded(request, version, &body);
            }
        }
    }
}

/// Every place of every sample is overwritten with the largest counts: whatever stands there, a count of an
/// array among others, decoding stays within the bound.
#[test]
fn huge_counts_are_refused_wherever_they_stand() {
    let huge: [&[u8]; 4] =
        [&[0x7f, 0xff, 0xff, 0xff], &[0x05, 0xf5, 0xe1, 0x00], &[0xff, 0xff, 0xff, 0xff, 0x07], &[0xff; 4]];
    for request in REQUESTS {
        for version in versions(request) {
            for seed in 0..10 {
                let sample = sample::body(request.api_key, version, seed).unwrap();
                for (at, count) in (0..sample.len()).flat_map(|at| huge.map(|count| (at, count))) {
                    let mut body = BytesMut::from(&sample[..at]);
                    body.put_slice(count);
                    body.put_slice(&sample[at.min(sample.len())..]);
                    decode_is_bounded(request, version, &body.freeze());
                }
            }
        }
    }
}

#[test]
fn five_bytes_cannot_ask_for_gigabytes() {
    let refused = guard::check(ApiKey::Metadata, 0, &[0x03, 0x00, 0x00, 0x00, 0x00]);
    let wanted = ShapeError::NotEnoughBytes { position: 4, wanted_bytes: 0x0300_0000, left_bytes: 1 };
    assert_eq!(refused, Err(GuardError::Shape(wanted)));
}

#[test]
fn null_is_refused_where_the_field_is_not_nullable() {
    let bad = |length| Err(GuardError::Shape(ShapeError::BadLength { position: 0, length }));
    // Metadata's topics became nullable in version 1.
    assert_eq!(guard::check(ApiKey::Metadata, 0, &(-1i32).to_be_bytes()), bad(-1));
    assert!(guard::check(ApiKey::Metadata, 1, &(-1i32).to_be_bytes()).is_ok());
    assert_eq!(guard::check(ApiKey::Metadata, 1, &(-2i32).to_be_bytes()), bad(-2));
    // Client software name, compact.
    assert_eq!(guard::check(ApiKey::ApiVersions, 3, &[0, 1, 0]), bad(-1));
    assert!(guard::check(ApiKey::ApiVersions, 3, &[1, 1, 0]).is_ok());
}

#[test]
fn a_compact_string_is_no_longer_than_a_plain_one_can_be() {
    let mut body = vec![0x81, 0x80, 0x02]; // a length of 32768
    body.resize(40_000, b'x');
    let refused = guard::check(ApiKey::ApiVersions, 3, &body);
    assert_eq!(refused, Err(GuardError::Shape(ShapeError::BadLength { position: 0, length: 32768 })));
}

#[test]
fn a_known_tagged_field_takes_the_size_it_says() {
    // Fetch v12: fixed fields, no topics, no forgotten topics, no rack, then cluster id "ab" as tag 0.
    let body = |size: u8| {
        let mut body = vec![0; 4 + 4 + 4 + 4 + 1 + 4 + 4];
        body.extend_from_slice(&[1, 1, 1, 1, 0, size, 3, b'a', b'b']);
        body
    };
    assert!(guard::check(ApiKey::Fetch, 12, &body(3)).is_ok());
    for size in [0, 2, 4] {
        let refused = guard::check(ApiKey::Fetch, 12, &body(size));
        let error = ShapeError::TaggedFieldSize { position: 31, tag: 0, size_bytes: usize::from(size) };
        assert_eq!(refused, Err(GuardError::Shape(error)));
    }
    // Tag 1, the replica's state, came with version 15.
    let mut body = body(3);
    body[29] = 1;
    let refused = guard::check(ApiKey::Fetch, 12, &body);
    assert!(matches!(refused, Err(GuardError::Shape(ShapeError::TagNotValid { tag: 1, .. }))), "{refused:?}");
}

#[test]
fn bytes_behind_the_message_are_ignored_as_in_kafka() {
    for request in REQUESTS {
        for version in versions(request) {
            let body = sample::body(request.api_key, version, 1).unwrap();
            let longer = Bytes::from([&body[..], &[0xff; 100]].concat());
            assert_eq!(
                guard::check(request.api_key, version, &longer),
                guard::check(request.api_key, version, &body)
            );
            assert!((request.decode)(version, longer).is_ok());
        }
    }
}

#[test]
fn small_elements_may_not_grow_without_bound() {
    // Empty names, 2 bytes each on the wire and 72 in memory.
    let body = |count: i32| Bytes::from([&count.to_be_bytes()[..], &vec![0; 2 * count as usize]].concat());
    assert!(guard::check(ApiKey::Metadata, 0, &body(200_000)).is_ok());
    let large = body(10_000_000);
    let limit_bytes = guard::memory_limit_bytes(large.len());
    assert_eq!(limit_bytes, (16 << 20) + 4 * (20_000_004));
    let refused = guard::check(ApiKey::Metadata, 0, &large);
    assert_eq!(refused, Err(GuardError::TooMuchMemory { limit_bytes }));

    // Null topics, two flags, and a million unknown tagged fields without content.
    let mut body = BytesMut::from(&[0, 1, 0, 0xc0, 0x84, 0x3d][..]);
    body.put_slice(&[5, 0].repeat(1_000_000));
    let refused = guard::check(ApiKey::Metadata, 11, &body);
    assert!(matches!(refused, Err(GuardError::TooMuchMemory { .. })), "{refused:?}");
}

/// The decoder's map of unknown tagged fields takes what the guard says in whatever order the tags come.
#[test]
fn unknown_tagged_fields_cost_what_the_guard_says() {
    let metadata = REQUESTS.iter().find(|request| request.api_key == ApiKey::Metadata).unwrap();
    let orders: [fn(u32) -> u32; 4] =
        [|i| i, |i| 0x3fff - i, |i| i * 7919 % 0x4000, |i| if i % 2 == 0 { i } else { 0x3fff - i }];
    for order in orders {
        for count in [1, 2, 11, 12, 100, 0x3fff] {
            let mut body = BytesMut::from(&[0, 1, 0][..]);
            body.put_slice(&[count as u8 | 0x80, (count >> 7) as u8 & 0x7f]);
            for tag in (0..count).map(order) {
                body.put_slice(&[tag as u8 | 0x80, (tag >> 7) as u8 & 0x7f, 0]);
            }
            let body = body.freeze();
            assert!((metadata.decode)(11, body.clone()).is_ok());
            decode_is_bounded(metadata, 11, &body);
        }
    }
}

#[test]
fn large_requests_of_real_clients_pass() {
    let name = |i: usize| StrBytes::from_string(format!("topic-{i}"));
    let topics = (0..100_000).map(|i| MetadataRequestTopic::default().with_name(Some(name(i).into())));
    let metadata = MetadataRequest::default().with_topics(Some(topics.collect()));
    let mut body = BytesMut::new();
    metadata.encode(&mut body, 9).unwrap();
    assert!(guard::check(ApiKey::Metadata, 9, &body).is_ok());

    let partitions: Vec<_> = (0..100).map(|i| FetchPartition::default().with_partition(i)).collect();
    let topics = (0..2_000)
        .map(|i| FetchTopic::default().with_topic(name(i).into()).with_partitions(partitions.clone()));
    let fetch = FetchRequest::default().with_topics(topics.collect());
    let mut body = BytesMut::new();
    fetch.encode(&mut body, 12).unwrap();
    assert!(guard::check(ApiKey::Fetch, 12, &body).is_ok());
}
