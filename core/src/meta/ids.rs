//! Topic ids.

use uuid::Uuid;

/// Ids below this are Kafka's own: none, the metadata topic, and the markers for log directories.
const RESERVED: u128 = 100;

/// A new random id (version 4) that Kafka would give as well: not reserved, and its base64 form, which people
/// paste into command lines, doesn't start with `-`.
pub fn random_topic_id() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if is_usable(id) {
            return id;
        }
    }
}

fn is_usable(id: Uuid) -> bool {
    // The first of the 22 base64url characters is the six highest bits; `-` is 62.
    id.as_u128() >= RESERVED && id.as_bytes()[0] >> 2 != 62
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ids_and_leading_dashes_are_left_out() {
        for reserved in [0, 1, 99] {
            assert!(!is_usable(Uuid::from_u128(reserved)));
        }
        assert!(!is_usable(Uuid::from_u128(0xf800 << 112)));
        assert!(!is_usable(Uuid::from_u128(0xfbff << 112)));
        assert!(is_usable(Uuid::from_u128(0xfc00 << 112)));
        assert!(is_usable(Uuid::from_u128(100)));
        let id = random_topic_id();
        assert_eq!(id.get_version_num(), 4);
        assert_ne!(id, random_topic_id());
    }
}
