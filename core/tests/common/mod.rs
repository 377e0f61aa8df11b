//! What the tests of a whole broker share.

pub(crate) mod raw;
