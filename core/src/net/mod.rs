//! The network edge: listeners, connections, and the order of requests and responses on each.

pub mod acceptor;
pub mod budget;
pub mod connection;
pub mod listener;
pub mod thread;
pub mod violations;
pub mod writer;
