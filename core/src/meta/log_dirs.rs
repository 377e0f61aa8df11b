//! Which log directories partitions may lie in. One of them that isn't there at a start keeps what isn't found from being
//! made anew, without its records.

use std::collections::BTreeSet;

use super::records::{self, LOG_DIRS_KEY, LogDirsRecord};
use super::store::{ABSENT, Condition, Write};
use super::{Metadata, MetadataError};

impl Metadata {
    /// The ids of the log directories that were used last.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn log_dirs(&self) -> Result<BTreeSet<String>, MetadataError> {
        match self.store.get(LOG_DIRS_KEY)? {
            None => Ok(BTreeSet::new()),
            Some(found) => Ok(records::decode::<LogDirsRecord>(LOG_DIRS_KEY, &found.value)?.directory_ids),
        }
    }

    /// Notes the log directories that are used from now on.
    ///
    /// # Errors
    /// The change could not be stored.
    pub fn set_log_dirs(&self, directory_ids: BTreeSet<String>) -> Result<(), MetadataError> {
        let _change = self.changes.lock();
        let found = self.store.get(LOG_DIRS_KEY)?;
        let value = records::encode(&LogDirsRecord::new(directory_ids));
        if found.as_ref().is_some_and(|found| found.value == value) {
            return Ok(());
        }
        let revision = found.map_or(ABSENT, |found| found.revision);
        let condition = Condition { key: LOG_DIRS_KEY.to_owned(), revision };
        self.store.transact(&[condition], vec![Write::Put(LOG_DIRS_KEY.to_owned(), value)])?;
        Ok(())
    }
}
