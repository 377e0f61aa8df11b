//! One file per API.

pub mod api_versions;
mod authorized_operations;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_log_dirs;
pub mod describe_topic_partitions;
pub mod fetch;
pub mod fetch_planner;
pub mod fetch_session;
pub mod find_coordinator;
mod group_request;
pub mod init_producer_id;
pub mod list_offsets;
pub mod metadata;
mod metadata_change;
pub mod offset_for_leader_epoch;
pub mod produce;
mod replica_assignment;
