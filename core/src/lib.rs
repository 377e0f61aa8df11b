//! FluxMQ, a Kafka-wire-compatible log broker.
#![forbid(unsafe_code)]

pub mod adopt;
pub mod blocking;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod coordination;
pub mod dispatch;
pub mod error;
pub mod fail_point;
pub mod handlers;
pub mod http;
pub mod log_cleaner;
pub mod log_command;
pub mod maintenance;
pub mod meta;
pub mod metrics;
pub mod net;
pub mod open_data;
pub mod partitions;
pub mod request;
pub mod run;
pub mod served_api;
pub mod server;
pub mod startup;
