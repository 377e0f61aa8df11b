//! Looking at the files of logs: what they hold ([`dump`]) and what is wrong with them ([`verify`]).
//!
//! Files are opened for reading only and nothing is locked, so that this may be done beside a running broker or on a
//! copy. Segments and indexes are read in pieces; no more than one batch of a segment is in memory.

mod dump;
mod entries;
mod kind;
mod records;
pub mod verify;
mod walk;

pub use dump::{DumpError, DumpOptions, Dumped, DumpedBatch, Unreadable, dump};
pub use kind::FileKind;
pub use records::RecordsFault;
pub use walk::Stop;

#[cfg(test)]
mod tests;
