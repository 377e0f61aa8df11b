//! A response frame as a sequence of parts: bytes in memory, and slices that lie elsewhere.
//!
//! Records leave the broker without passing through this crate: their place in the frame is held by a slice,
//! and the connection's writer moves its bytes (sendfile, or a copy where it is small). So `S` needs no trait:
//! its length stands beside it.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Encodable;

/// One piece of a response frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Part<S> {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes that lie elsewhere, such as in a segment file.
    Slice {
        /// Where they lie.
        slice: S,
        /// How many they are. The writer must send exactly this many, or close the connection.
        len_bytes: usize,
    },
}

impl<S> Part<S> {
    /// How many bytes the part adds to the frame.
    pub fn len_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Slice { len_bytes, .. } => *len_bytes,
        }
    }
}

/// A complete response frame, length prefix included, in order.
///
/// The first part always is bytes: they begin with the length prefix and the response header. A response
/// without slices is that part alone and takes one allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts<S> {
    head: Bytes,
    rest: Vec<Part<S>>,
    total_bytes: usize,
}

impl<S> Parts<S> {
    pub(crate) fn new(head: Bytes, rest: Vec<Part<S>>) -> Self {
        let total_bytes = head.len() + rest.iter().map(Part::len_bytes).sum::<usize>();
        Self { head, rest, total_bytes }
    }

    /// The frame's length in bytes, with the length prefix.
    pub fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// How many of the frame's bytes lie in memory.
    pub fn memory_bytes(&self) -> usize {
        let in_memory = |part: &Part<S>| if let Part::Bytes(bytes) = part { bytes.len() } else { 0 };
        self.head.len() + self.rest.iter().map(in_memory).sum::<usize>()
    }

    /// The first part, and those behind it.
    pub fn into_head_and_rest(self) -> (Bytes, Vec<Part<S>>) {
        (self.head, self.rest)
    }
}

impl<S> IntoIterator for Parts<S> {
    type Item = Part<S>;
    type IntoIter = std::iter::Chain<std::iter::Once<Part<S>>, std::vec::IntoIter<Part<S>>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(Part::Bytes(self.head)).chain(self.rest)
    }
}

/// Why a response could not be encoded. Both are faults of the broker, not of the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The message holds a value that the version can't carry, or the version doesn't exist.
    #[error("{api_key:?} response version {api_version} can't be encoded: {reason}")]
    NotEncodable {
        /// The API.
        api_key: ApiKey,
        /// The version asked for.
        api_version: i16,
        /// The encoder's own words.
        reason: String,
    },
    /// The frame would be longer than its length prefix can say.
    #[error("{api_key:?} response of {length_bytes} bytes is longer than a frame can be")]
    TooLarge {
        /// The API.
        api_key: ApiKey,
        /// The length of the frame behind the prefix.
        length_bytes: usize,
    },
}

/// Encodes a response: length prefix, response header (version 0 for ApiVersions always, KIP-511), message.
///
/// The size is computed once and the frame written once, into one allocation.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode<S>(
    api_key: ApiKey,
    api_version: i16,
    correlation_id: i32,
    message: &impl Encodable,
) -> Result<Parts<S>, EncodeError> {
    let reason = |reason: String| EncodeError::NotEncodable { api_key, api_version, reason };
    let body_bytes = message.compute_size(api_version).map_err(|error| reason(error.to_string()))?;
    let mut buf = start_frame(api_key, api_version, correlation_id, body_bytes, body_bytes)?;
    message.encode(&mut buf, api_version).map_err(|error| reason(error.to_string()))?;
    let written_bytes = buf.len();
    let promised_bytes = 4 + i32::from_be_bytes([buf[0], buf[1], buf[2], buf[3]]) as usize;
    if written_bytes != promised_bytes {
        return Err(reason(format!("{written_bytes} bytes written, {promised_bytes} computed")));
    }
    Ok(Parts::new(buf.freeze(), Vec::new()))
}

/// A buffer with length prefix and response header, and room for `in_memory_bytes` of a body of `body_bytes`.
pub(crate) fn start_frame(
    api_key: ApiKey,
    api_version: i16,
    correlation_id: i32,
    body_bytes: usize,
    in_memory_bytes: usize,
) -> Result<BytesMut, EncodeError> {
    let flexible = api_key.response_header_version(api_version) >= 1;
    let header_bytes = 4 + usize::from(flexible);
    let length_bytes = header_bytes + body_bytes;
    let length = i32::try_from(length_bytes).map_err(|_| EncodeError::TooLarge { api_key, length_bytes })?;
    let mut buf = BytesMut::with_capacity(4 + header_bytes + in_memory_bytes);
    buf.put_i32(length);
    buf.put_i32(correlation_id);
    if flexible {
        buf.put_u8(0); // no tagged fields
    }
    Ok(buf)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
    use kafka_protocol::messages::{ApiVersionsResponse, MetadataResponse, ResponseHeader};
    use kafka_protocol::protocol::Decodable;

    use super::*;

    fn single(parts: Parts<()>) -> Bytes {
        let total_bytes = parts.total_bytes();
        let (head, rest) = parts.into_head_and_rest();
        assert!(rest.is_empty());
        assert_eq!(head.len(), total_bytes);
        assert_eq!(i32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize, total_bytes - 4);
        head.slice(4..)
    }

    #[test]
    fn a_frame_decodes_to_header_and_message() {
        let message = MetadataResponse::default()
            .with_topics(vec![MetadataResponseTopic::default().with_is_internal(true)])
            .with_controller_id(1.into());
        for version in 1..=13 {
            let mut frame = single(encode(ApiKey::Metadata, version, 42, &message).unwrap());
            let header =
                ResponseHeader::decode(&mut frame, ApiKey::Metadata.response_header_version(version))
                    .unwrap();
            assert_eq!(header.correlation_id, 42);
            let decoded = MetadataResponse::decode(&mut frame, version).unwrap();
            assert_eq!(decoded.topics, message.topics);
            assert!(frame.is_empty());
        }
    }

    #[test]
    fn api_versions_keeps_response_header_version_0() {
        let message =
            ApiVersionsResponse::default().with_api_keys(vec![ApiVersion::default().with_max_version(4)]);
        for version in 0..=4 {
            let mut frame = single(encode(ApiKey::ApiVersions, version, 9, &message).unwrap());
            assert_eq!(&frame.split_to(4)[..], [0, 0, 0, 9]);
            assert_eq!(ApiVersionsResponse::decode(&mut frame, version).unwrap(), message);
            assert!(frame.is_empty());
        }
    }

    #[test]
    fn a_message_the_version_cannot_carry_is_an_error() {
        let unknown_version = encode::<()>(ApiKey::Metadata, 99, 1, &MetadataResponse::default());
        assert!(matches!(unknown_version, Err(EncodeError::NotEncodable { api_version: 99, .. })));
    }

    #[test]
    fn a_frame_longer_than_its_prefix_can_say_is_an_error() {
        let error = start_frame(ApiKey::Fetch, 12, 1, i32::MAX as usize, 100).unwrap_err();
        assert!(matches!(error, EncodeError::TooLarge { api_key: ApiKey::Fetch, .. }));
    }

    #[test]
    fn parts_come_out_in_order() {
        let head = Bytes::from_static(b"head");
        let rest = vec![Part::Slice { slice: 'a', len_bytes: 10 }, Part::Bytes(Bytes::from_static(b"tail"))];
        let parts = Parts::new(head.clone(), rest.clone());
        assert_eq!(parts.total_bytes(), 18);
        assert_eq!(parts.memory_bytes(), 8);
        let all: Vec<_> = parts.into_iter().collect();
        assert_eq!(all, [Part::Bytes(head), rest[0].clone(), rest[1].clone()]);
    }
}
