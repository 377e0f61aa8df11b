//! The driver on a log directory of its own, with turns that a test makes up.
