//! The Fetch response (versions 4 to 18), written around slices of segments.
//!
//! The generated encoder copies records into the frame; this one leaves their place to a slice, so that they can
//! go from file to socket. It uses Kafka's own structs for everything else, and a property test holds its bytes
//! identical to the generated encoder's. Records are empty, never null: librdkafka refuses a length of −1.
//!
//! KIPs: 74 (limits), 227 (sessions), 320 and 595 (leader epochs, diverging epoch), 392 (preferred read replica),
//! 482 (flexible versions), 516 (topic ids), 951 (node endpoints).

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, LeaderIdAndEpoch, NodeEndpoint, PartitionData, SnapshotId,
};
use kafka_protocol::messages::{ApiKey, TopicName};
use uuid::Uuid;

use crate::parts::{EncodeError, Part, Parts, start_frame};

/// A Fetch response whose records lie in slices.
#[derive(Debug, Clone)]
pub struct FetchBody<S> {
    /// How long the client is asked to hold back, in milliseconds.
    pub throttle_time_ms: i32,
    /// An error of the whole request (from version 7).
    pub error_code: i16,
    /// The fetch session, or 0 (from version 7, KIP-227).
    pub session_id: i32,
    /// The topics, in the order they are to be sent.
    pub responses: Vec<FetchTopic<S>>,
    /// Where the leaders named by partitions are reached (from version 16, KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// A topic of a [`FetchBody`].
#[derive(Debug, Clone)]
pub struct FetchTopic<S> {
    /// The topic's name (up to version 12).
    pub topic: TopicName,
    /// The topic's id (from version 13).
    pub topic_id: Uuid,
    /// The partitions, in the order they are to be sent.
    pub partitions: Vec<FetchPartition<S>>,
}

/// A partition of a [`FetchTopic`].
#[derive(Debug, Clone)]
pub struct FetchPartition<S> {
    /// All but the records. Its `records` and unknown tagged fields are not looked at, nor are fields that the
    /// version doesn't have.
    pub data: PartitionData,
    /// The records.
    pub records: Records<S>,
}

/// The records of a [`FetchPartition`].
#[derive(Debug, Clone, Default)]
pub enum Records<S> {
    /// None.
    #[default]
    Empty,
    /// Whole batches as they lie in the log; the last may be cut short.
    Slice {
        /// Where they lie.
        slice: S,
        /// How many bytes they are.
        len_bytes: usize,
    },
}

impl<S> Records<S> {
    fn len_bytes(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Slice { len_bytes, .. } => *len_bytes,
        }
    }
}

const FIRST_FLEXIBLE_VERSION: i16 = 12;

/// Encodes a complete frame: length prefix, response header, message, with a slice for each partition's records.
///
/// The size is computed first, so that all the bytes between the slices share one allocation.
///
/// # Errors
/// A version outside 4 to 18, or a frame longer than its length prefix can say.
pub fn encode_fetch<S>(
    api_version: i16,
    correlation_id: i32,
    mut body: FetchBody<S>,
) -> Result<Parts<S>, EncodeError> {
    let api_key = ApiKey::Fetch;
    if !(4..=18).contains(&api_version) {
        let reason = String::from("no such version");
        return Err(EncodeError::NotEncodable { api_key, api_version, reason });
    }
    let mut measure = Measure::default();
    put_body(&mut measure, api_version, &mut body);
    let body_bytes = measure.in_memory_bytes + measure.slices_bytes;
    let buf = start_frame(api_key, api_version, correlation_id, body_bytes, measure.in_memory_bytes)?;
    let mut write = Write { buf, head: None, rest: Vec::with_capacity(2 * measure.slices) };
    put_body(&mut write, api_version, &mut body);
    debug_assert_eq!(write.buf.len(), write.buf.capacity(), "what was measured is what was written");
    Ok(write.finish())
}

/// Where a message goes: a count of its bytes, or a frame.
trait Out<S> {
    fn bytes(&mut self, bytes: &[u8]);
    fn slice(&mut self, records: &mut Records<S>);

    fn int16(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    fn int32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    fn int64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.bytes(&[value as u8]);
    }

    /// A 32-bit length or count, or a compact one.
    fn length(&mut self, flexible: bool, length: usize) {
        if flexible { self.varint(length + 1) } else { self.int32(length as i32) }
    }

    fn compact_string(&mut self, text: &str) {
        self.varint(text.len() + 1);
        self.bytes(text.as_bytes());
    }
}

#[derive(Default)]
struct Measure {
    in_memory_bytes: usize,
    slices_bytes: usize,
    slices: usize,
}

impl<S> Out<S> for Measure {
    fn bytes(&mut self, bytes: &[u8]) {
        self.in_memory_bytes += bytes.len();
    }

    fn slice(&mut self, records: &mut Records<S>) {
        self.slices_bytes += records.len_bytes();
        self.slices += 1;
    }
}

struct Write<S> {
    buf: BytesMut,
    head: Option<Bytes>,
    rest: Vec<Part<S>>,
}

impl<S> Write<S> {
    /// What was written since the last slice becomes a part.
    fn cut(&mut self) {
        let bytes = self.buf.split().freeze();
        match self.head {
            None => self.head = Some(bytes),
            Some(_) if bytes.is_empty() => {}
            Some(_) => self.rest.push(Part::Bytes(bytes)),
        }
    }

    fn finish(mut self) -> Parts<S> {
        self.cut();
        Parts::new(self.head.unwrap_or_default(), self.rest)
    }
}

impl<S> Out<S> for Write<S> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.buf.put_slice(bytes);
    }

    fn slice(&mut self, records: &mut Records<S>) {
        match std::mem::take(records) {
            Records::Slice { slice, len_bytes } if len_bytes > 0 => {
                self.cut();
                self.rest.push(Part::Slice { slice, len_bytes });
            }
            Records::Slice { .. } | Records::Empty => {}
        }
    }
}

/// Writes the message. It is run twice, to measure and to write; the second run takes the slices out of `body`.
fn put_body<S>(out: &mut impl Out<S>, version: i16, body: &mut FetchBody<S>) {
    let flexible = version >= FIRST_FLEXIBLE_VERSION;
    out.int32(body.throttle_time_ms);
    if version >= 7 {
        out.int16(body.error_code);
        out.int32(body.session_id);
    }
    out.length(flexible, body.responses.len());
    for topic in &mut body.responses {
        put_topic(out, version, topic);
    }
    if flexible {
        if version >= 16 && !body.node_endpoints.is_empty() {
            out.varint(1);
            let mut measure = Measure::default();
            put_node_endpoints::<S>(&mut measure, &body.node_endpoints);
            out.varint(0);
            out.varint(measure.in_memory_bytes);
            put_node_endpoints(out, &body.node_endpoints);
        } else {
            out.varint(0);
        }
    }
}

fn put_topic<S>(out: &mut impl Out<S>, version: i16, topic: &mut FetchTopic<S>) {
    let flexible = version >= FIRST_FLEXIBLE_VERSION;
    if version >= 13 {
        out.bytes(topic.topic_id.as_bytes());
    } else if flexible {
        out.compact_string(&topic.topic);
    } else {
        // A name came as a string of this length, or is one of the broker's own.
        out.int16(topic.topic.len() as i16);
        out.bytes(topic.topic.as_bytes());
    }
    out.length(flexible, topic.partitions.len());
    for partition in &mut topic.partitions {
        put_partition(out, version, partition);
    }
    if flexible {
        out.varint(0);
    }
}

fn put_partition<S>(out: &mut impl Out<S>, version: i16, partition: &mut FetchPartition<S>) {
    let flexible = version >= FIRST_FLEXIBLE_VERSION;
    let data = &partition.data;
    out.int32(data.partition_index);
    out.int16(data.error_code);
    out.int64(data.high_watermark);
    out.int64(data.last_stable_offset);
    if version >= 5 {
        out.int64(data.log_start_offset);
    }
    match &data.aborted_transactions {
        None if flexible => out.varint(0),
        None => out.int32(-1),
        Some(transactions) => {
            out.length(flexible, transactions.len());
            for transaction in transactions {
                out.int64(transaction.producer_id.0);
                out.int64(transaction.first_offset);
                if flexible {
                    out.varint(0);
                }
            }
        }
    }
    if version >= 11 {
        out.int32(data.preferred_read_replica.0);
    }
    out.length(flexible, partition.records.len_bytes());
    out.slice(&mut partition.records);
    if flexible {
        put_partition_tags(out, &partition.data);
    }
}

/// The tagged fields of a partition: each is sent where it isn't the default, and ends with no tags of its own.
fn put_partition_tags<S>(out: &mut impl Out<S>, data: &PartitionData) {
    let diverging_epoch = data.diverging_epoch != EpochEndOffset::default();
    let current_leader = data.current_leader != LeaderIdAndEpoch::default();
    let snapshot_id = data.snapshot_id != SnapshotId::default();
    out.varint(usize::from(diverging_epoch) + usize::from(current_leader) + usize::from(snapshot_id));
    if diverging_epoch {
        out.bytes(&[0, 13]);
        out.int32(data.diverging_epoch.epoch);
        out.int64(data.diverging_epoch.end_offset);
        out.varint(0);
    }
    if current_leader {
        out.bytes(&[1, 9]);
        out.int32(data.current_leader.leader_id.0);
        out.int32(data.current_leader.leader_epoch);
        out.varint(0);
    }
    if snapshot_id {
        out.bytes(&[2, 13]);
        out.int64(data.snapshot_id.end_offset);
        out.int32(data.snapshot_id.epoch);
        out.varint(0);
    }
}

fn put_node_endpoints<S>(out: &mut impl Out<S>, endpoints: &[NodeEndpoint]) {
    out.varint(endpoints.len() + 1);
    for endpoint in endpoints {
        out.int32(endpoint.node_id.0);
        out.compact_string(&endpoint.host);
        out.int32(endpoint.port);
        match &endpoint.rack {
            Some(rack) => out.compact_string(rack),
            None => out.varint(0),
        }
        out.varint(0);
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::FetchResponse;
    use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse};
    use kafka_protocol::protocol::StrBytes;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::parts;

    /// The frame with each slice replaced by its bytes.
    fn joined(parts: Parts<Bytes>) -> Bytes {
        let total_bytes = parts.total_bytes();
        let mut frame = BytesMut::new();
        for part in parts {
            let len_bytes = part.len_bytes();
            match part {
                Part::Bytes(bytes) => frame.put_slice(&bytes),
                Part::Slice { slice, .. } => {
                    assert_eq!(slice.len(), len_bytes);
                    frame.put_slice(&slice);
                }
            }
        }
        assert_eq!(frame.len(), total_bytes);
        frame.freeze()
    }

    fn generated(version: i16, body: &FetchBody<Bytes>) -> Bytes {
        let topics = body.responses.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let records = match &partition.records {
                    Records::Empty => Bytes::new(),
                    Records::Slice { slice, .. } => slice.clone(),
                };
                partition.data.clone().with_records(Some(records))
            });
            FetchableTopicResponse::default()
                .with_topic(topic.topic.clone())
                .with_topic_id(topic.topic_id)
                .with_partitions(partitions.collect())
        });
        let message = FetchResponse::default()
            .with_throttle_time_ms(body.throttle_time_ms)
            .with_error_code(body.error_code)
            .with_session_id(body.session_id)
            .with_responses(topics.collect())
            .with_node_endpoints(body.node_endpoints.clone());
        joined(parts::encode(ApiKey::Fetch, version, 77, &message).unwrap())
    }

    /// Lengths around those where a compact length takes another byte.
    fn size() -> impl Strategy<Value = usize> {
        prop_oneof![0usize..4, 125usize..130, 16381usize..16386]
    }

    fn records() -> impl Strategy<Value = Records<Bytes>> {
        prop_oneof![
            Just(Records::Empty),
            (any::<u8>(), size()).prop_map(|(fill, len_bytes)| Records::Slice {
                slice: Bytes::from(vec![fill; len_bytes]),
                len_bytes
            }),
        ]
    }

    fn partition() -> impl Strategy<Value = FetchPartition<Bytes>> {
        let transaction = (any::<i64>(), any::<i64>()).prop_map(|(producer_id, first_offset)| {
            AbortedTransaction::default().with_producer_id(producer_id.into()).with_first_offset(first_offset)
        });
        // Defaults are -1 and are left out of the tagged fields: they must come up.
        let epoch = || prop_oneof![Just(-1), any::<i32>()];
        let offset = || prop_oneof![Just(-1), any::<i64>()];
        let numbers = (any::<i32>(), any::<i16>(), any::<i64>(), any::<i64>(), any::<i64>());
        let tags = (epoch(), offset(), epoch(), epoch(), offset(), epoch());
        (numbers, tags, option::of(vec(transaction, 0..130)), any::<i32>(), records()).prop_map(
            |(numbers, tags, aborted_transactions, preferred_read_replica, records)| {
                let (index, error_code, high_watermark, last_stable_offset, log_start_offset) = numbers;
                let data = PartitionData::default()
                    .with_partition_index(index)
                    .with_error_code(error_code)
                    .with_high_watermark(high_watermark)
                    .with_last_stable_offset(last_stable_offset)
                    .with_log_start_offset(log_start_offset)
                    .with_diverging_epoch(
                        EpochEndOffset::default().with_epoch(tags.0).with_end_offset(tags.1),
                    )
                    .with_current_leader(
                        LeaderIdAndEpoch::default().with_leader_id(tags.2.into()).with_leader_epoch(tags.3),
                    )
                    .with_snapshot_id(SnapshotId::default().with_end_offset(tags.4).with_epoch(tags.5))
                    .with_aborted_transactions(aborted_transactions)
                    .with_preferred_read_replica(preferred_read_replica.into());
                FetchPartition { data, records }
            },
        )
    }

    fn topic() -> impl Strategy<Value = FetchTopic<Bytes>> {
        ("[a-z]{0,140}", any::<u128>(), vec(partition(), 0..4)).prop_map(|(name, id, partitions)| {
            FetchTopic {
                topic: StrBytes::from_string(name).into(),
                topic_id: Uuid::from_u128(id),
                partitions,
            }
        })
    }

    fn endpoint() -> impl Strategy<Value = NodeEndpoint> {
        (any::<i32>(), "[a-z.]{0,130}", any::<i32>(), option::of("[a-z]{0,3}")).prop_map(
            |(id, host, port, rack)| {
                NodeEndpoint::default()
                    .with_node_id(id.into())
                    .with_host(StrBytes::from_string(host))
                    .with_port(port)
                    .with_rack(rack.map(StrBytes::from_string))
            },
        )
    }

    fn body() -> impl Strategy<Value = FetchBody<Bytes>> {
        let numbers = (any::<i32>(), any::<i16>(), any::<i32>());
        (numbers, vec(topic(), 0..4), vec(endpoint(), 0..3)).prop_map(|(numbers, responses, endpoints)| {
            let (throttle_time_ms, error_code, session_id) = numbers;
            FetchBody { throttle_time_ms, error_code, session_id, responses, node_endpoints: endpoints }
        })
    }

    proptest! {
        #[test]
        fn bytes_are_those_of_the_generated_encoder(body in body()) {
            for version in 4..=18 {
                let mut body = body.clone();
                // The generated encoder refuses what the version can't carry.
                if version < 7 {
                    body.session_id = 0;
                }
                if version < 11 {
                    let partitions = body.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                    partitions.for_each(|partition| partition.data.preferred_read_replica = (-1).into());
                }
                let expected = generated(version, &body);
                let parts = encode_fetch(version, 77, body).unwrap();
                prop_assert_eq!(joined(parts), expected, "version {}", version);
            }
        }
    }

    fn body_of(records: Vec<Records<&'static str>>) -> FetchBody<&'static str> {
        let partitions = records.into_iter().map(|records| FetchPartition {
            data: PartitionData::default().with_aborted_transactions(None),
            records,
        });
        FetchBody {
            throttle_time_ms: 0,
            error_code: 0,
            session_id: 0,
            responses: vec![FetchTopic {
                topic: StrBytes::from_static_str("t").into(),
                topic_id: Uuid::nil(),
                partitions: partitions.collect(),
            }],
            node_endpoints: Vec::new(),
        }
    }

    #[test]
    fn records_stay_in_their_slices() {
        let records = vec![
            Records::Slice { slice: "a", len_bytes: 1_000_000_000 },
            Records::Empty,
            Records::Slice { slice: "b", len_bytes: 7 },
        ];
        let (head, rest) = encode_fetch(13, 1, body_of(records)).unwrap().into_head_and_rest();
        let [a, between, b, tail] = &rest[..] else { panic!("{rest:?}") };
        assert_eq!(*a, Part::Slice { slice: "a", len_bytes: 1_000_000_000 });
        assert_eq!(*b, Part::Slice { slice: "b", len_bytes: 7 });
        let (Part::Bytes(between), Part::Bytes(tail)) = (between, tail) else { panic!("{rest:?}") };
        let length_bytes = i32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        assert_eq!(length_bytes, head.len() - 4 + between.len() + tail.len() + 1_000_000_007);
        // The bytes around the slices lie one behind the other in one allocation.
        assert_eq!(head.as_ptr().wrapping_add(head.len()), between.as_ptr());
        assert_eq!(between.as_ptr().wrapping_add(between.len()), tail.as_ptr());
    }

    #[test]
    fn no_records_make_one_part() {
        let empty = Records::Slice { slice: "nothing", len_bytes: 0 };
        for version in 4..=18 {
            let parts = encode_fetch(version, 1, body_of(vec![Records::Empty, empty.clone()])).unwrap();
            let (head, rest) = parts.into_head_and_rest();
            assert!(rest.is_empty());
            assert_eq!(head.len() - 4, i32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize);
        }
    }

    #[test]
    fn versions_and_sizes_out_of_range_are_errors() {
        for version in [i16::MIN, 3, 19] {
            let refused = encode_fetch(version, 1, body_of(Vec::new()));
            assert!(matches!(refused, Err(EncodeError::NotEncodable { .. })));
        }
        let half = Records::Slice { slice: "half", len_bytes: i32::MAX as usize / 2 + 1 };
        let refused = encode_fetch(12, 1, body_of(vec![half.clone(), half]));
        assert!(matches!(refused, Err(EncodeError::TooLarge { api_key: ApiKey::Fetch, .. })));
    }
}
