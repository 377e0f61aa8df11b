//! The topics in what a consumer says for a protocol.

use std::collections::HashSet;

use bytes::{Buf, Bytes};
use fluxmq_protocol::StrBytes;

/// Adds the topics of a subscription; none if it can't be read. As Kafka does here, whatever the version is, a negative
/// one included, its fields are read as those of version 0, which all have in front: topics, user data.
pub(super) fn add_topics(subscription: &Bytes, topics: &mut HashSet<StrBytes>) -> Option<()> {
    let mut rest = subscription.clone();
    let _version = rest.try_get_i16().ok()?;
    let count = rest.try_get_i32().ok()?;
    if count < 0 {
        return None;
    }
    for _ in 0..count {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        if rest.remaining() < length {
            return None;
        }
        topics.insert(StrBytes::from_utf8(rest.split_to(length)).ok()?);
    }
    // A negative length is that of no user data.
    let user_data_length = usize::try_from(rest.try_get_i32().ok()?).unwrap_or(0);
    (rest.remaining() >= user_data_length).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(bytes: &'static [u8]) -> Option<Vec<String>> {
        let mut topics = HashSet::new();
        add_topics(&Bytes::from_static(bytes), &mut topics)?;
        let mut topics: Vec<_> = topics.iter().map(ToString::to_string).collect();
        topics.sort();
        Some(topics)
    }

    #[test]
    fn topics_are_read_whatever_the_version() {
        type Case = (&'static str, &'static [u8], Option<&'static [&'static str]>);
        let cases: [Case; 9] = [
            ("none", b"\0\0\0\0\0\0\xff\xff\xff\xff", Some(&[])),
            (
                "two, one of them twice",
                b"\0\x01\0\0\0\x03\0\x01b\0\x01a\0\x01b\0\0\0\x02xy",
                Some(&["a", "b"]),
            ),
            ("a later version with fields behind", b"\0\x63\0\0\0\x01\0\x01a\0\0\0\0more", Some(&["a"])),
            ("nothing", b"", None),
            ("a negative version", b"\xff\xff\0\0\0\x01\0\x01a\xff\xff\xff\xff", Some(&["a"])),
            ("a negative count", b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff", None),
            ("fewer topics than it says", b"\0\0\0\0\0\x02\0\x01a", None),
            ("a name that is not UTF-8", b"\0\0\0\0\0\x01\0\x01\xff\xff\xff\xff\xff", None),
            ("user data cut short", b"\0\0\0\0\0\0\0\0\0\x05x", None),
        ];
        for (case, bytes, expected) in cases {
            let expected = expected.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(topics(bytes), expected, "{case}");
        }
    }
}
