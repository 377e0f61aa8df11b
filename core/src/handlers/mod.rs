//! One file per API.

pub mod api_versions;
pub mod describe_configs;
pub mod fetch;
pub mod fetch_planner;
pub mod fetch_session;
