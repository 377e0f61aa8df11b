//! Decoding a request body.
//!
//! Bytes left over behind a body are ignored, as Kafka does: its parsers read what the version defines and
//! nobody looks at the rest of the frame.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Decodable;

/// Why a request body was refused. Kafka closes the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A value the decoder doesn't take, such as a string that isn't UTF-8.
    #[error("{api_key:?} request version {api_version}: {reason}")]
    NotDecodable {
        /// The API.
        api_key: ApiKey,
        /// The request's version.
        api_version: i16,
        /// The decoder's own words.
        reason: String,
    },
}

/// Decodes a request body of the given API and version.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode<T: Decodable>(api_key: ApiKey, api_version: i16, mut body: Bytes) -> Result<T, DecodeError> {
    T::decode(&mut body, api_version).map_err(|error| DecodeError::NotDecodable {
        api_key,
        api_version,
        reason: error.to_string(),
    })
}
