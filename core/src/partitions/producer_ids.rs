//! Producer ids for idempotent producers, handed out from blocks that are durable before any of their ids is used.

use std::ops::Range;

use parking_lot::Mutex;

use crate::meta::{Metadata, MetadataError};

/// Ids reserved at once, as in Kafka. Those left when the broker ends are never used.
const BLOCK_SIZE: i32 = 1000;

/// The current block.
#[derive(Debug, Default)]
pub struct ProducerIds {
    /// Never held while the disk is waited for.
    block: Mutex<Range<i64>>,
    /// Held by whoever reserves the next one.
    reserving: Mutex<()>,
}

impl ProducerIds {
    /// The next id, if the block has one.
    #[must_use]
    pub fn try_next(&self) -> Option<i64> {
        self.block.lock().next()
    }

    /// The next id, reserving a block where needed: blocks on the disk.
    ///
    /// # Errors
    /// No block could be reserved.
    pub fn next(&self, metadata: &Metadata) -> Result<i64, MetadataError> {
        loop {
            if let Some(id) = self.try_next() {
                return Ok(id);
            }
            self.reserve(metadata)?;
        }
    }

    /// Reserves a block where the current one is used up: blocks on the disk.
    ///
    /// # Errors
    /// No block could be reserved.
    pub fn reserve(&self, metadata: &Metadata) -> Result<(), MetadataError> {
        let _reserving = self.reserving.lock();
        if !self.has_next() {
            let first = metadata.allocate_producer_id_block(BLOCK_SIZE)?;
            *self.block.lock() = first..first + i64::from(BLOCK_SIZE);
        }
        Ok(())
    }

    /// Whether the block has a next id.
    #[must_use]
    pub fn has_next(&self) -> bool {
        !self.block.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_given_twice_even_across_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = -1;
        for _ in 0..2 {
            let (metadata, _) = Metadata::open(dir.path()).unwrap();
            let ids = ProducerIds::default();
            assert_eq!(ids.try_next(), None, "nothing was reserved yet");
            for _ in 0..1500 {
                let id = ids.try_next().map_or_else(|| ids.next(&metadata), Ok).unwrap();
                assert!(id > last, "{id} after {last}");
                last = id;
            }
        }
        assert_eq!(last, 2000 + 1499, "what was left of the first run's second block is skipped");
    }
}
