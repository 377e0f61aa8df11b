//! The network edge: listeners, connections, and the order of requests and responses on each.

pub mod listener;
