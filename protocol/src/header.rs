//! The request header, versions 0 to 2.
//!
//! Which header version a request carries follows from its API key and version: 2 where the request's own
//! version is flexible (KIP-482), 1 otherwise. The rule is applied to versions outside the supported range too,
//! as Kafka does: so an ApiVersions request of a version from the future still yields its correlation id and can
//! be answered in version 0 (KIP-511). Whether a version is served is the dispatcher's question.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use crate::reader::{Reader, ShapeError};

/// A request's header, and the bytes behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestHead {
    /// Which API is called.
    pub api_key: ApiKey,
    /// The version as it came; it may lie outside of what the API supports.
    pub api_version: i16,
    /// Chosen by the client; the response carries it back.
    pub correlation_id: i32,
    /// The client's name for itself. Kafka treats none as an empty one.
    pub client_id: Option<StrBytes>,
    /// The request body: the rest of the frame, not copied.
    pub body: Bytes,
}

/// The part of a header that all its versions share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadPrefix {
    /// The API key as it came.
    pub api_key: i16,
    /// The version as it came.
    pub api_version: i16,
    /// Chosen by the client.
    pub correlation_id: i32,
}

/// Why a header was refused. Kafka closes the connection in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The frame ends before the correlation id does.
    #[error("a frame of {length_bytes} bytes holds no request header")]
    Truncated {
        /// The frame's length.
        length_bytes: usize,
    },
    /// No API has this key.
    #[error("unknown API key {} (version {})", .0.api_key, .0.api_version)]
    UnknownApiKey(HeadPrefix),
    /// What follows the correlation id isn't a client id, or tagged fields where the version has them.
    #[error("malformed header of API key {} version {}: {error}", .prefix.api_key, .prefix.api_version)]
    Malformed {
        /// What could be read.
        prefix: HeadPrefix,
        /// What is wrong behind it.
        error: ShapeError,
    },
}

impl HeaderError {
    /// API key, version and correlation id, where the frame was long enough to hold them.
    pub fn prefix(&self) -> Option<HeadPrefix> {
        match self {
            Self::Truncated { .. } => None,
            Self::UnknownApiKey(prefix) | Self::Malformed { prefix, .. } => Some(*prefix),
        }
    }
}

/// Splits a frame (without its length prefix) into header and body.
///
/// Nothing is copied, except a client id that isn't valid UTF-8: as in Kafka its bad bytes are replaced, which
/// makes a new string of it. Unknown tagged fields are skipped.
///
/// # Errors
/// See [`HeaderError`]; an unsupported version of a known API is no error here.
pub fn parse(mut frame: Bytes) -> Result<RequestHead, HeaderError> {
    let length_bytes = frame.len();
    let mut reader = Reader::new(&frame);
    let prefix = prefix(&mut reader).map_err(|_| HeaderError::Truncated { length_bytes })?;
    let api_key = ApiKey::try_from(prefix.api_key).map_err(|()| HeaderError::UnknownApiKey(prefix))?;
    let header_version = api_key.request_header_version(prefix.api_version);
    let malformed = |error| HeaderError::Malformed { prefix, error };
    let client_id = if header_version >= 1 { client_id(&mut reader).map_err(malformed)? } else { None };
    if header_version >= 2 {
        reader.skip_tagged_fields().map_err(malformed)?;
    }
    let header_bytes = reader.position();
    let client_id = client_id.map(|range| match StrBytes::from_utf8(frame.slice(range.clone())) {
        Ok(text) => text,
        Err(_) => StrBytes::from_string(String::from_utf8_lossy(&frame[range]).into_owned()),
    });
    frame.advance(header_bytes);
    Ok(RequestHead {
        api_key,
        api_version: prefix.api_version,
        correlation_id: prefix.correlation_id,
        client_id,
        body: frame,
    })
}

fn prefix(reader: &mut Reader<'_>) -> Result<HeadPrefix, ShapeError> {
    Ok(HeadPrefix { api_key: reader.int16()?, api_version: reader.int16()?, correlation_id: reader.int32()? })
}

/// The place of the client id. It keeps its 16-bit length in flexible headers; any negative length means none.
fn client_id(reader: &mut Reader<'_>) -> Result<Option<std::ops::Range<usize>>, ShapeError> {
    let Ok(length_bytes) = usize::try_from(reader.int16()?) else { return Ok(None) };
    let start = reader.position();
    reader.skip(length_bytes)?;
    Ok(Some(start..start + length_bytes))
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::RequestHeader;
    use kafka_protocol::protocol::Encodable;
    use proptest::prelude::*;

    use super::*;

    fn frame(api_key: i16, api_version: i16, correlation_id: i32, rest: &[u8]) -> Bytes {
        let mut buf = BytesMut::new();
        buf.put_i16(api_key);
        buf.put_i16(api_version);
        buf.put_i32(correlation_id);
        buf.put_slice(rest);
        buf.freeze()
    }

    #[test]
    fn header_version_1_has_a_client_id_and_no_tagged_fields() {
        let head = parse(frame(3, 4, 7, b"\0\x04kcat\0\0\0\0")).unwrap();
        assert_eq!(head.api_key, ApiKey::Metadata);
        assert_eq!((head.api_version, head.correlation_id), (4, 7));
        assert_eq!(head.client_id.as_deref(), Some("kcat"));
        assert_eq!(&head.body[..], b"\0\0\0\0");
    }

    #[test]
    fn header_version_2_skips_tagged_fields() {
        let head = parse(frame(3, 9, 7, b"\xff\xff\x02\x00\x01a\x05\x00body")).unwrap();
        assert_eq!(head.client_id, None);
        assert_eq!(&head.body[..], b"body");
    }

    #[test]
    fn api_versions_of_the_future_is_parsed_with_header_version_2() {
        let head = parse(frame(18, 99, 5, b"\0\x01c\0body")).unwrap();
        assert_eq!((head.api_key, head.api_version, head.correlation_id), (ApiKey::ApiVersions, 99, 5));
        assert_eq!(&head.body[..], b"body");
    }

    #[test]
    fn versions_out_of_range_do_not_fail_the_header() {
        for version in [i16::MIN, -1, 100, i16::MAX] {
            let head = parse(frame(0, version, 5, b"\xff\xff\0")).unwrap();
            assert_eq!(head.api_version, version);
        }
    }

    #[test]
    fn a_client_id_that_is_not_utf8_is_replaced_as_in_kafka() {
        let head = parse(frame(3, 4, 7, b"\0\x03a\xffb")).unwrap();
        assert_eq!(head.client_id.as_deref(), Some("a\u{fffd}b"));
    }

    #[test]
    fn an_unknown_api_key_still_gives_the_correlation_id() {
        for key in [-1, 4, 1000, i16::MAX] {
            let error = parse(frame(key, 3, 77, b"")).unwrap_err();
            assert_eq!(
                error,
                HeaderError::UnknownApiKey(HeadPrefix { api_key: key, api_version: 3, correlation_id: 77 })
            );
            assert_eq!(error.prefix().map(|p| p.correlation_id), Some(77));
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = frame(3, 9, 7, b"\0\x04kcat\x01\x00\x02ab");
        assert_eq!(parse(whole.clone()).unwrap().body.len(), 0);
        for cut in 0..whole.len() {
            let error = parse(whole.slice(..cut)).unwrap_err();
            assert_eq!(error.prefix().is_none(), cut < 8, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_the_generated_encoder_writes(
            key in 0i16..93, version in 0i16..20, correlation_id: i32,
            client_id in proptest::option::of("[a-z\u{e9}-]{0,40}"), body in ".{0,10}",
        ) {
            let Ok(api_key) = ApiKey::try_from(key) else { return Ok(()) };
            let header = RequestHeader::default()
                .with_request_api_key(key)
                .with_request_api_version(version)
                .with_correlation_id(correlation_id)
                .with_client_id(client_id.clone().map(StrBytes::from_string));
            let mut buf = BytesMut::new();
            header.encode(&mut buf, api_key.request_header_version(version)).unwrap();
            buf.put_slice(body.as_bytes());
            let head = parse(buf.freeze()).unwrap();
            prop_assert_eq!(head.api_key, api_key);
            prop_assert_eq!(head.api_version, version);
            prop_assert_eq!(head.correlation_id, correlation_id);
            prop_assert_eq!(head.client_id.map(|id| id.to_string()), client_id);
            prop_assert_eq!(&head.body[..], body.as_bytes());
        }

        #[test]
        fn never_panics(frame in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(Bytes::from(frame));
        }
    }
}
