//! `MetaStore`: where the broker's metadata is kept.
//!
//! A flat space of keys and values with one revision counter, shaped so that the embedded store and a
//! replicated one can both serve it: every commit raises the revision by one, every entry remembers the
//! revision of the commit that wrote it, and a transaction states the revisions it was decided on. Watch and
//! lease arrive with their first caller.
//!
//! Calls block on the disk: never make them on a network thread.

use std::io;

use thiserror::Error;

/// A number raised by one with every commit. Zero stands for "there is no such entry".
pub type Revision = u64;

/// The revision that [`Condition`] uses for an entry that must not exist.
pub const ABSENT: Revision = 0;

/// A value and the revision of the commit that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes as they were put.
    pub value: Vec<u8>,
    /// The revision of the commit that put them.
    pub revision: Revision,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole key, prefix included.
    pub key: String,
    /// The value and its revision.
    pub versioned: Versioned,
}

/// What a transaction was decided on: the entry at `key` was last written by commit `revision`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The key that was read.
    pub key: String,
    /// The revision it had, [`ABSENT`] when there was no such entry.
    pub revision: Revision,
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Creates or replaces the entry at the key.
    Put(String, Vec<u8>),
    /// Removes the entry at the key; a missing entry is no error.
    Delete(String),
}

/// Why a store could not be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file was written by a newer version of the broker.
    #[error("the metadata store has format version {found}; this broker reads up to {supported}")]
    NewerFormat {
        /// The version in the file.
        found: u64,
        /// The newest version this broker reads.
        supported: u64,
    },
    /// The store's own file is damaged, locked, or cannot be read or written.
    #[error("the metadata store failed: {0}")]
    Engine(#[source] Box<redb::Error>),
    /// The directory that holds the store could not be synced.
    #[error("the metadata store's directory cannot be synced: {0}")]
    Directory(#[source] io::Error),
}

impl StoreError {
    /// Whether the disk or the quota was full, which may pass.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let io = match self {
            StoreError::Engine(error) => match &**error {
                redb::Error::Io(error) => error,
                _ => return false,
            },
            StoreError::Directory(error) => error,
            StoreError::NewerFormat { .. } => return false,
        };
        matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Why a transaction changed nothing.
#[derive(Debug, Error)]
pub enum TransactError {
    /// An entry was written by someone else since it was read.
    #[error("entry {key} is at revision {found}, not {expected}")]
    Conflict {
        /// The key whose condition failed.
        key: String,
        /// The revision the condition asked for.
        expected: Revision,
        /// The revision in the store.
        found: Revision,
    },
    /// The store failed; whether the change was made is known only after a restart.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A durable, ordered map of keys to values with compare-revision transactions.
pub trait MetaStore: Send + Sync {
    /// The entry at `key`, if there is one.
    ///
    /// # Errors
    /// The store's file cannot be read.
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError>;

    /// Every entry whose key starts with `prefix`, in key order, as of one commit.
    ///
    /// # Errors
    /// The store's file cannot be read.
    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// Makes every change, durably, if every condition holds; otherwise none. Returns the commit's revision.
    ///
    /// # Errors
    /// [`TransactError::Conflict`] names the first condition that did not hold.
    fn transact(&self, conditions: &[Condition], writes: Vec<Write>) -> Result<Revision, TransactError>;
}
