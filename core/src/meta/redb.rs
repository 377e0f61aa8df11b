//! The embedded `MetaStore`: one redb file in the data directory.
//!
//! Every commit is synced before it returns. The page cache is small: the topic image lives in memory and the
//! store is read at start-up and written by administration alone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::store::{
    ABSENT, Condition, Entry, MetaStore, Revision, StoreError, TransactError, Versioned, Write,
};

/// The file's name: a plain file, because Kafka refuses a log directory that holds a folder it doesn't know.
pub const FILE_NAME: &str = "fluxmq-metadata.redb";

/// The file while it is being made.
const UNFINISHED_NAME: &str = "fluxmq-metadata.redb.tmp";

/// The layout of keys and tables that this broker writes and the newest that it reads.
pub const FORMAT_VERSION: u64 = 1;

const CACHE_BYTES: usize = 1024 * 1024;
const ENTRIES: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("entries");
const COUNTERS: TableDefinition<'static, &str, u64> = TableDefinition::new("counters");
const FORMAT: &str = "format";
const REVISION: &str = "revision";

/// A [`MetaStore`] in one file.
pub struct RedbStore {
    path: PathBuf,
    /// None after the disk was full, until the next use: redb takes nothing more after an error of the file.
    database: Mutex<Option<Database>>,
}

impl RedbStore {
    /// Opens the store in `directory`, making its file when there is none. A file left by a crash is repaired.
    ///
    /// # Errors
    /// The file is locked, damaged, of a newer format, or cannot be written.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        if !path.exists() {
            make(directory, &path, |_| Ok::<(), StoreError>(()))?;
        }
        let database = Mutex::new(Some(open_file(&path)?));
        Ok(Self { path, database })
    }

    /// Makes the store of a directory that has none, with these entries. After a crash it has all of them or isn't there.
    ///
    /// # Errors
    /// There is a store, or its file cannot be written.
    pub fn create(directory: &Path, entries: Vec<Write>) -> Result<(), TransactError> {
        let path = directory.join(FILE_NAME);
        if path.exists() {
            return Err(StoreError::Directory(io::ErrorKind::AlreadyExists.into()).into());
        }
        make(directory, &path, |database| transact(database, &[], entries).map(|_| ()))
    }

    /// Runs `work` on the database, opening it again where the disk was full before: whatever was under way then did not
    /// happen. After any other error nobody knows what is on disk, and the database stays as redb leaves it, refusing.
    fn with<T, E: From<StoreError>>(
        &self,
        is_full: impl Fn(&E) -> bool,
        work: impl FnOnce(&Database) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut database = self.database.lock();
        let open = match &mut *database {
            Some(open) => open,
            closed => closed.insert(open_file(&self.path)?),
        };
        let result = work(open);
        if result.as_ref().is_err_and(is_full) {
            *database = None;
        }
        result
    }
}

/// Makes a store, under another name until it is whole: redb refuses a file that it was interrupted in making. `fill`
/// makes its first commits.
fn make<E: From<StoreError>>(
    directory: &Path,
    path: &Path,
    fill: impl FnOnce(&Database) -> Result<(), E>,
) -> Result<(), E> {
    let unfinished = directory.join(UNFINISHED_NAME);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::Directory(error).into());
        }
        _ => {}
    }
    let database = open_file(&unfinished)?;
    fill(&database)?;
    drop(database);
    let published = || {
        File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(directory)?.sync_all()
    };
    Ok(published().map_err(StoreError::Directory)?)
}

fn open_file(path: &Path) -> Result<Database, StoreError> {
    let database = Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(engine)?;
    check_format(&database)?;
    Ok(database)
}

/// Refuses a newer format; gives a new file its format version and its tables.
fn check_format(database: &Database) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(engine)?;
    let found = match read.open_table(COUNTERS) {
        Ok(counters) => counters.get(FORMAT).map_err(engine)?.map(|version| version.value()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(engine(error)),
    };
    match found {
        Some(found) if found > FORMAT_VERSION => {
            Err(StoreError::NewerFormat { found, supported: FORMAT_VERSION })
        }
        Some(_) => Ok(()),
        None => {
            let write = begin_write(database)?;
            {
                write.open_table(ENTRIES).map_err(engine)?;
                let mut counters = write.open_table(COUNTERS).map_err(engine)?;
                counters.insert(FORMAT, FORMAT_VERSION).map_err(engine)?;
                counters.insert(REVISION, ABSENT).map_err(engine)?;
            }
            write.commit().map_err(engine)
        }
    }
}

fn begin_write(database: &Database) -> Result<redb::WriteTransaction, StoreError> {
    let mut write = database.begin_write().map_err(engine)?;
    write.set_durability(Durability::Immediate).map_err(engine)?;
    Ok(write)
}

impl MetaStore for RedbStore {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.with(StoreError::is_full, |database| {
            let read = database.begin_read().map_err(engine)?;
            let entries = read.open_table(ENTRIES).map_err(engine)?;
            let found = entries.get(key).map_err(engine)?;
            Ok(found.map(|guard| {
                let (revision, value) = guard.value();
                Versioned { value: value.to_vec(), revision }
            }))
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.with(StoreError::is_full, |database| {
            let read = database.begin_read().map_err(engine)?;
            let entries = read.open_table(ENTRIES).map_err(engine)?;
            let mut listing = Vec::new();
            for entry in entries.range(prefix..).map_err(engine)? {
                let (key, found) = entry.map_err(engine)?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                let (revision, value) = found.value();
                let versioned = Versioned { value: value.to_vec(), revision };
                listing.push(Entry { key: key.value().to_owned(), versioned });
            }
            Ok(listing)
        })
    }

    fn transact(&self, conditions: &[Condition], writes: Vec<Write>) -> Result<Revision, TransactError> {
        let is_full = |error: &TransactError| matches!(error, TransactError::Store(error) if error.is_full());
        self.with(is_full, |database| transact(database, conditions, writes))
    }
}

fn transact(
    database: &Database,
    conditions: &[Condition],
    writes: Vec<Write>,
) -> Result<Revision, TransactError> {
    let transaction = begin_write(database)?;
    let revision;
    {
        let mut entries = transaction.open_table(ENTRIES).map_err(engine)?;
        for condition in conditions {
            let found =
                entries.get(condition.key.as_str()).map_err(engine)?.map_or(ABSENT, |guard| guard.value().0);
            if found != condition.revision {
                let key = condition.key.clone();
                return Err(TransactError::Conflict { key, expected: condition.revision, found });
            }
        }
        let mut counters = transaction.open_table(COUNTERS).map_err(engine)?;
        revision = counters.get(REVISION).map_err(engine)?.map_or(ABSENT, |guard| guard.value()) + 1;
        counters.insert(REVISION, revision).map_err(engine)?;
        for write in writes {
            match write {
                Write::Put(key, value) => {
                    entries.insert(key.as_str(), (revision, value.as_slice())).map_err(engine)?;
                }
                Write::Delete(key) => {
                    entries.remove(key.as_str()).map_err(engine)?;
                }
            }
        }
    }
    transaction.commit().map_err(engine)?;
    Ok(revision)
}

fn engine(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Engine(Box::new(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Write {
        Write::Put(key.to_owned(), value.as_bytes().to_vec())
    }

    fn at(key: &str, revision: Revision) -> Condition {
        Condition { key: key.to_owned(), revision }
    }

    fn keys(store: &RedbStore, prefix: &str) -> Vec<String> {
        store.list(prefix).unwrap().into_iter().map(|entry| entry.key).collect()
    }

    #[test]
    fn entries_survive_a_reopen_with_their_revisions() {
        let directory = tempfile::tempdir().unwrap();
        {
            let store = RedbStore::open(directory.path()).unwrap();
            assert_eq!(store.transact(&[], vec![put("a/1", "one"), put("a/2", "two")]).unwrap(), 1);
            assert_eq!(store.transact(&[], vec![put("a/2", "zwei")]).unwrap(), 2);
        }
        let store = RedbStore::open(directory.path()).unwrap();
        assert_eq!(store.get("a/1").unwrap(), Some(Versioned { value: b"one".to_vec(), revision: 1 }));
        assert_eq!(store.get("a/2").unwrap(), Some(Versioned { value: b"zwei".to_vec(), revision: 2 }));
        assert_eq!(store.get("a/3").unwrap(), None);
        assert_eq!(store.transact(&[], vec![put("a/3", "three")]).unwrap(), 3);
    }

    #[test]
    fn a_listing_ends_with_its_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        let writes = ["topics", "topics/a", "topics/b", "topicsx", "u"].map(|key| put(key, ""));
        store.transact(&[], writes.into()).unwrap();
        assert_eq!(keys(&store, "topics/"), ["topics/a", "topics/b"]);
        assert_eq!(keys(&store, ""), ["topics", "topics/a", "topics/b", "topicsx", "u"]);
    }

    #[test]
    fn a_failed_condition_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        store.transact(&[at("k", ABSENT)], vec![put("k", "first")]).unwrap();
        for stale in [ABSENT, 7] {
            let error = store.transact(&[at("k", stale)], vec![put("k", "x"), put("l", "y")]).unwrap_err();
            assert!(
                matches!(&error, TransactError::Conflict { key, expected, found: 1 } if key == "k" && *expected == stale),
                "{error}"
            );
        }
        assert_eq!(store.get("k").unwrap().unwrap().value, b"first");
        assert_eq!(store.get("l").unwrap(), None);
        assert_eq!(store.transact(&[at("k", 1)], vec![Write::Delete("k".to_owned())]).unwrap(), 2);
        assert_eq!(store.get("k").unwrap(), None);
        store.transact(&[at("k", ABSENT)], vec![put("k", "again")]).unwrap();
    }

    #[test]
    fn a_copy_taken_while_open_holds_what_was_committed() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        store.transact(&[], vec![put("k", "committed")]).unwrap();
        let crashed = tempfile::tempdir().unwrap();
        std::fs::copy(directory.path().join(FILE_NAME), crashed.path().join(FILE_NAME)).unwrap();
        drop(store);
        let reopened = RedbStore::open(crashed.path()).unwrap();
        assert_eq!(reopened.get("k").unwrap().unwrap().value, b"committed");
        reopened.transact(&[], vec![put("k", "after the repair")]).unwrap();
    }

    #[test]
    fn a_store_that_was_cut_short_in_the_making_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        // As redb leaves it before its first commit.
        std::fs::write(directory.path().join(UNFINISHED_NAME), [0; 8192]).unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        store.transact(&[], vec![put("k", "v")]).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE_NAME]);
    }

    #[test]
    fn a_store_is_made_with_its_entries_once() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(UNFINISHED_NAME), [0; 8192]).unwrap();
        RedbStore::create(directory.path(), vec![put("a", "1"), put("b", "2")]).unwrap();
        assert!(RedbStore::create(directory.path(), vec![put("c", "3")]).is_err());
        let store = RedbStore::open(directory.path()).unwrap();
        assert_eq!(keys(&store, ""), ["a", "b"]);
        assert!(!directory.path().join(UNFINISHED_NAME).exists());
    }

    #[test]
    fn a_newer_format_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        let write = begin_write(store.database.lock().as_ref().unwrap()).unwrap();
        write.open_table(COUNTERS).unwrap().insert(FORMAT, FORMAT_VERSION + 1).unwrap();
        write.commit().unwrap();
        drop(store);
        let error = RedbStore::open(directory.path()).err().unwrap();
        assert!(matches!(error, StoreError::NewerFormat { found: 2, supported: 1 }), "{error}");
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_new_store() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), [7; 8192]).unwrap();
        assert!(matches!(RedbStore::open(directory.path()), Err(StoreError::Engine(_))));
    }
}
