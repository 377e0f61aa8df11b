//! The hash of the topics that a consumer group subscribes to, as Kafka computes it. It is written into the group's
//! epoch record; when it changes, the group's assignment is out of date.

use std::hash::Hasher;

use fluxmq_protocol::StrBytes;
use twox_hash::XxHash3_64;
use uuid::Uuid;

use crate::turn::Topics;

/// The version of the way topics are hashed.
const TOPIC_HASH_MAGIC: u8 = 0;

/// The hash of those of the topics that exist; 0 if none does. `names` comes in ascending order. `rack` is that of the
/// broker that has all partitions.
pub(crate) fn metadata_hash<'a>(
    names: impl Iterator<Item = &'a StrBytes>,
    topics: &dyn Topics,
    rack: Option<&str>,
) -> i64 {
    let mut group = XxHash3_64::new();
    let mut any = false;
    for name in names {
        if let Some((id, partitions)) = topics.by_name(name) {
            group.write(&topic_hash(id, name, partitions, rack).to_le_bytes());
            any = true;
        }
    }
    if any { group.finish().cast_signed() } else { 0 }
}

fn topic_hash(id: Uuid, name: &str, partitions: i32, rack: Option<&str>) -> u64 {
    let mut topic = XxHash3_64::new();
    let (most_significant, least_significant) = id.as_u64_pair();
    topic.write(&[TOPIC_HASH_MAGIC]);
    topic.write(&most_significant.to_le_bytes());
    topic.write(&least_significant.to_le_bytes());
    write_string(&mut topic, name);
    topic.write(&partitions.to_le_bytes());
    for partition in 0..partitions {
        topic.write(&partition.to_le_bytes());
        if let Some(rack) = rack {
            topic.write(&java_length(rack).to_le_bytes());
            write_string(&mut topic, rack);
        }
    }
    topic.finish()
}

/// A string as Kafka's hashing library takes it: its UTF-16 units, then how many they are.
fn write_string(hash: &mut XxHash3_64, text: &str) {
    for unit in text.encode_utf16() {
        hash.write(&unit.to_le_bytes());
    }
    hash.write(&java_length(text).to_le_bytes());
}

fn java_length(text: &str) -> i32 {
    i32::try_from(text.encode_utf16().count()).expect("a topic's name is short")
}

#[cfg(test)]
mod tests {
    use fluxmq_protocol::StrBytes;
    use uuid::Uuid;

    use super::{metadata_hash, topic_hash};
    use crate::testing::TestTopics;

    const ID: Uuid = Uuid::from_u128(0x9c5d_7cf4_6d1a_4e2b_8f3c_0123_4567_89ab);

    #[test]
    fn hashes_are_those_of_kafka() {
        // From Kafka 4.3's hashing library, called the way Kafka's group coordinator calls it.
        let table = [
            (topic_hash(ID, "orders", 3, None), -8_904_211_661_815_967_947),
            (topic_hash(ID, "orders", 100, None), -5_043_931_824_154_839_241),
            (topic_hash(ID, "zahlung-é", 2, Some("rack-1")), 6_702_891_137_620_288_003),
        ];
        for (computed, of_kafka) in table {
            assert_eq!(computed.cast_signed(), of_kafka);
        }
        let mut topics = TestTopics::default();
        topics.set("orders", ID.as_u128(), 3);
        let names = [StrBytes::from_static_str("gone"), StrBytes::from_static_str("orders")];
        assert_eq!(metadata_hash(names.iter(), &topics, None), -7_363_444_797_433_250_750);
        assert_eq!(metadata_hash(names[..1].iter(), &topics, None), 0);
    }
}
