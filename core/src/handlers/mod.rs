//! One file per API.

pub mod api_versions;
pub mod describe_configs;
