//! Producer ids for idempotent producers, handed out from blocks that are durable before any of their ids is used.

use std::ops::Range;

use parking_lot::Mutex;

use crate::meta::{Metadata, MetadataError};

/// Ids reserved at once, as in Kafka. Those left when the broker ends are never used.
const BLOCK_SIZE: i32 = 1000;

/// The current block.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// The next id, if the current block has one left and nobody is fetching the next. Never blocks.
    #[must_use]
    pub fn try_next(&self) -> Option<i64> {
        self.block.try_lock()?.next()
    }

    /// The next id, reserving a block where needed: blocks on the disk.
    ///
    /// # Errors
    /// No block could be reserved.
    pub fn next(&self, metadata: &Metadata) -> Result<i64, MetadataError> {
        let mut block = self.block.lock();
        ensure_block(&mut block, metadata)?;
        Ok(block.next().expect("a block was just reserved"))
    }

    /// Reserves a block where the current one is used up: blocks on the disk.
    ///
    /// # Errors
    /// No block could be reserved.
    pub fn reserve(&self, metadata: &Metadata) -> Result<(), MetadataError> {
        ensure_block(&mut self.block.lock(), metadata)
    }

    /// Whether the next id is at hand: not while a block is being reserved.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.block.try_lock().is_some_and(|block| !block.is_empty())
    }
}

fn ensure_block(block: &mut Range<i64>, metadata: &Metadata) -> Result<(), MetadataError> {
    if block.is_empty() {
        let first = metadata.allocate_producer_id_block(BLOCK_SIZE)?;
        *block = first..first + i64::from(BLOCK_SIZE);
    }
    Ok(())
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
