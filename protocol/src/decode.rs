//! Decoding a request body, behind the bounds guard.
//!
//! Bytes left over behind a body are ignored, as Kafka does: its parsers read what the version defines and
//! nobody looks at the rest of the frame.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Decodable;

use crate::guard::{self, GuardError};

/// Why a request body was refused. Kafka closes the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bounds guard refused the body; nothing was decoded.
    #[error("{api_key:?} request version {api_version}: {error}")]
    Refused {
        /// The API.
        api_key: ApiKey,
        /// The request's version.
        api_version: i16,
        /// The guard's reason.
        error: GuardError,
    },
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

/// Checks a request body of the given API and version by [`guard::check`], then decodes it. `T` is that API's
/// request. Strings and records are slices of `body`.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode<T: Decodable>(api_key: ApiKey, api_version: i16, mut body: Bytes) -> Result<T, DecodeError> {
    guard::check(api_key, api_version, &body).map_err(|error| DecodeError::Refused {
        api_key,
        api_version,
        error,
    })?;
    T::decode(&mut body, api_version).map_err(|error| DecodeError::NotDecodable {
        api_key,
        api_version,
        reason: error.to_string(),
    })
}
