//! Broker.
#![forbid(unsafe_code)]
