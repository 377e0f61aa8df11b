//! The order in which a small Java `HashMap` of texts is walked through. Where Kafka lets it decide, so do we.

/// The bucket of a text in a map of up to twelve entries.
pub(super) fn java_hash_bucket(text: &str) -> u32 {
    let hash =
        text.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash ^ (hash >> 16)) & 15
}

#[cfg(test)]
mod tests {
    use super::java_hash_bucket;

    #[test]
    fn buckets_are_those_of_java() {
        // From Java: (text.hashCode() ^ text.hashCode() >>> 16) & 15
        let expected = [
            ("range", 9),
            ("roundrobin", 10),
            ("sticky", 8),
            ("cooperative-sticky", 15),
            ("größe", 3),
            ("", 0),
        ];
        for (text, bucket) in expected {
            assert_eq!(java_hash_bucket(text), bucket, "{text}");
        }
    }
}
