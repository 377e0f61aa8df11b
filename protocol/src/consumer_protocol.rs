//! What consumers of the classic protocol put into the opaque bytes of JoinGroup and SyncGroup: a version (16 bits),
//! then a subscription or an assignment.
//!
//! A version above 3 is read as version 3: later ones may only add fields behind, and those are ignored.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::guard::{self, GuardError, Shape};
use crate::shapes::{CONSUMER_PROTOCOL_ASSIGNMENT_SHAPE, CONSUMER_PROTOCOL_SUBSCRIPTION_SHAPE};

/// The latest version that is known.
pub const LATEST_VERSION: i16 = 3;

/// Why the bytes aren't a subscription or an assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerProtocolError {
    /// Fewer than the two bytes of a version.
    #[error("no version in front")]
    NoVersion,
    /// A negative version.
    #[error("version {0} is not supported")]
    NegativeVersion(i16),
    /// A length or count that isn't allowed or doesn't fit in the bytes.
    #[error(transparent)]
    Refused(#[from] GuardError),
    /// A value the decoder doesn't take, such as a string that isn't UTF-8.
    #[error("{0}")]
    NotDecodable(String),
}

/// Why an assignment or a subscription couldn't be encoded: a string of more than 32,767 bytes, or a negative version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotEncodable(String);

/// The version in front of the bytes: not negative, and as it came, so perhaps later than [`LATEST_VERSION`].
///
/// # Errors
/// See [`ConsumerProtocolError`].
pub fn version(mut bytes: &[u8]) -> Result<i16, ConsumerProtocolError> {
    let version = bytes.try_get_i16().map_err(|_| ConsumerProtocolError::NoVersion)?;
    if version < 0 {
        return Err(ConsumerProtocolError::NegativeVersion(version));
    }
    Ok(version)
}

/// The subscription in a member's metadata. Strings and user data are slices of `bytes`.
///
/// # Errors
/// See [`ConsumerProtocolError`].
pub fn decode_subscription(bytes: &Bytes) -> Result<ConsumerProtocolSubscription, ConsumerProtocolError> {
    decode(&CONSUMER_PROTOCOL_SUBSCRIPTION_SHAPE, bytes)
}

/// The assignment that a leader made or a member was given. Strings and user data are slices of `bytes`.
///
/// # Errors
/// See [`ConsumerProtocolError`].
pub fn decode_assignment(bytes: &Bytes) -> Result<ConsumerProtocolAssignment, ConsumerProtocolError> {
    decode(&CONSUMER_PROTOCOL_ASSIGNMENT_SHAPE, bytes)
}

/// The bytes of an assignment: the given version in front, or [`LATEST_VERSION`] if that is lower.
///
/// # Errors
/// See [`NotEncodable`].
pub fn encode_assignment(
    assignment: &ConsumerProtocolAssignment,
    version: i16,
) -> Result<Bytes, NotEncodable> {
    encode(assignment, version)
}

/// The bytes of a subscription, as a consumer sends them.
///
/// # Errors
/// See [`NotEncodable`].
pub fn encode_subscription(
    subscription: &ConsumerProtocolSubscription,
    version: i16,
) -> Result<Bytes, NotEncodable> {
    encode(subscription, version)
}

fn decode<T: Decodable>(shape: &Shape, bytes: &Bytes) -> Result<T, ConsumerProtocolError> {
    let version = version(bytes)?.min(LATEST_VERSION);
    let mut body = bytes.slice(size_of::<i16>()..);
    guard::check_shape(shape, version, &body)?;
    T::decode(&mut body, version).map_err(|error| ConsumerProtocolError::NotDecodable(error.to_string()))
}

fn encode(message: &impl Encodable, version: i16) -> Result<Bytes, NotEncodable> {
    let version = version.min(LATEST_VERSION);
    let mut out = BytesMut::new();
    out.put_i16(version);
    message.encode(&mut out, version).map_err(|error| NotEncodable(error.to_string()))?;
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
    use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as Owned;

    use super::*;
    use crate::reader::ShapeError;

    fn subscription() -> ConsumerProtocolSubscription {
        let owned = Owned::default().with_topic(TopicName("t".into())).with_partitions(vec![1, 2]);
        ConsumerProtocolSubscription::default()
            .with_topics(vec!["t".into(), "u".into()])
            .with_user_data(Some(Bytes::from_static(b"data")))
            .with_owned_partitions(vec![owned])
            .with_generation_id(3)
            .with_rack_id(Some("rack".into()))
    }

    #[test]
    fn a_subscription_holds_what_its_version_has() {
        let all = subscription();
        for version in 0..=LATEST_VERSION {
            let bytes = encode_subscription(&all, version).expect("encodes");
            assert_eq!(super::version(&bytes), Ok(version));
            let mut expected = all.clone();
            if version < 1 {
                expected.owned_partitions.clear();
            }
            if version < 2 {
                expected.generation_id = -1;
            }
            if version < 3 {
                expected.rack_id = None;
            }
            assert_eq!(decode_subscription(&bytes), Ok(expected), "version {version}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_the_latest() {
        let mut bytes = encode_subscription(&subscription(), 9).expect("encodes").to_vec();
        assert_eq!(bytes[..2], [0, 3]);
        bytes[1] = 9;
        bytes.extend_from_slice(b"a field of version 9");
        assert_eq!(super::version(&bytes), Ok(9));
        assert_eq!(decode_subscription(&bytes.into()), Ok(subscription()));
    }

    #[test]
    fn an_assignment_comes_back() {
        let topic = Assigned::default().with_topic(TopicName("t".into())).with_partitions(vec![0, 5]);
        let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(vec![topic]);
        let bytes = encode_assignment(&assignment, 1).expect("encodes");
        assert_eq!(
            bytes[..],
            [0, 1, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255]
        );
        assert_eq!(decode_assignment(&bytes), Ok(assignment));
    }

    #[test]
    fn no_version_and_a_negative_one_are_refused() {
        let decode = |bytes: &'static [u8]| decode_assignment(&Bytes::from_static(bytes));
        assert_eq!(decode(&[]), Err(ConsumerProtocolError::NoVersion));
        assert_eq!(decode(&[0]), Err(ConsumerProtocolError::NoVersion));
        assert_eq!(decode(&[255, 255, 0, 0, 0, 0]), Err(ConsumerProtocolError::NegativeVersion(-1)));
    }

    #[test]
    fn a_count_must_fit_in_the_bytes_left() {
        let bytes = Bytes::from_static(&[0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0]);
        let refused = |error| match error {
            Err(ConsumerProtocolError::Refused(GuardError::Shape(ShapeError::NotEnoughBytes {
                wanted_bytes,
                ..
            }))) => wanted_bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(decode_subscription(&bytes).map(drop)), i32::MAX as usize);
        assert_eq!(refused(decode_assignment(&bytes).map(drop)), i32::MAX as usize);
    }
}
