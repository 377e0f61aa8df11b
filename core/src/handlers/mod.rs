//! One file per API.

pub mod api_versions;
