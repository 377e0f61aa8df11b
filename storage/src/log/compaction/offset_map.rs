//! The last offset of each key in the part of a log that a round looks at.
//!
//! Kafka's map holds an MD5 of the key instead of the key, and takes two keys for one when the hashes agree. So does this
//! one, with two SipHashes under keys that nobody outside knows: 128 bits that can't be made to agree on purpose.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Bytes of a place in the table: hash and offset, and the table's own byte.
const PLACE_BYTES: usize = size_of::<((u64, u64), i64)>() + 1;

/// The map. Its memory is what its keys need, up to a bound.
#[derive(Debug)]
pub struct OffsetMap {
    hashers: [RandomState; 2],
    offsets: HashMap<(u64, u64), i64>,
    max_keys: usize,
    end_offset: i64,
}

impl OffsetMap {
    /// A map of at most `max_bytes`, filled up to `load_factor` of them. While its table grows for the last time it needs
    /// half as much once more.
    pub fn new(max_bytes: usize, load_factor: f64) -> OffsetMap {
        // The table has a power of two of places, of which an eighth stays free.
        let places = (max_bytes / PLACE_BYTES).max(16);
        let places = if places.is_power_of_two() { places } else { places.next_power_of_two() / 2 };
        let max_keys = ((places / 8 * 7) as f64 * load_factor.clamp(0.0, 1.0)) as usize;
        OffsetMap {
            hashers: [RandomState::new(), RandomState::new()],
            offsets: HashMap::new(),
            max_keys: max_keys.max(1),
            end_offset: 0,
        }
    }

    /// Notes that `key` stands at `offset`. False if there is no room for another key.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) -> bool {
        let hash = self.hash(key);
        if self.offsets.len() >= self.max_keys && !self.offsets.contains_key(&hash) {
            return false;
        }
        self.offsets.insert(hash, offset);
        true
    }

    /// The last offset that was noted for `key`.
    pub(super) fn get(&self, key: &[u8]) -> Option<i64> {
        self.offsets.get(&self.hash(key)).copied()
    }

    /// Everything below `offset` is in the map now.
    pub(super) fn set_end_offset(&mut self, offset: i64) {
        self.end_offset = offset;
    }

    /// Below this offset the map knows all there is.
    pub(super) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.hashers[0].hash_one(key), self.hashers[1].hash_one(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_a_key_counts() {
        let mut map = OffsetMap::new(1 << 20, 0.9);
        assert!(map.put(b"a", 1) && map.put(b"b", 2) && map.put(b"a", 3));
        assert_eq!([b"a", b"b", b"c"].map(|key| map.get(key)), [Some(3), Some(2), None]);
    }

    #[test]
    fn a_full_map_takes_no_other_key() {
        let mut map = OffsetMap::new(1 << 20, 0.5);
        let mut keys = 0u32;
        while map.put(&keys.to_be_bytes(), 7) {
            keys += 1;
        }
        assert_eq!(keys as usize, (1 << 15) / 8 * 7 / 2);
        assert!(map.put(&0u32.to_be_bytes(), 8));
        let table_bytes = (map.offsets.capacity() * 8 / 7).next_power_of_two() * PLACE_BYTES;
        assert!(table_bytes <= 1 << 20, "{table_bytes}");
        assert!(OffsetMap::new(0, 0.0).put(b"one", 0), "it always has room for something");
    }
}
