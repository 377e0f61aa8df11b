//! An API as ApiVersions tells of it.

use fluxmq_protocol::messages::ApiKey;

/// An API and the versions of it that clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedApi {
    /// The API.
    pub key: ApiKey,
    /// The lowest version.
    pub min_version: i16,
    /// The highest version.
    pub max_version: i16,
}
