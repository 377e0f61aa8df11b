//! What the tests of a whole broker share.

#![allow(dead_code)] // not every test needs all of it

pub(crate) mod admin;
pub(crate) mod broker;
pub(crate) mod child;
pub(crate) mod classic_apis;
pub(crate) mod offset_apis;
pub(crate) mod offsets_in_transactions;
pub(crate) mod raw;
pub(crate) mod transaction_apis;
