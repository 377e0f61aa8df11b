//! The requests that the guard has layouts for, with their types. Shared with the fuzz targets.

use bytes::{Bytes, BytesMut};
use fluxmq_protocol::decode::{DecodeError, decode};
use fluxmq_protocol::messages::*;
use fluxmq_protocol::{ApiKey, Decodable, Encodable, Message, VersionRange};

/// An API with its request's type behind functions.
#[allow(dead_code)] // not every crate that shares this file uses all of them
pub(crate) struct Request {
    pub(crate) api_key: ApiKey,
    /// What the message crate can decode.
    pub(crate) versions: VersionRange,
    /// Guard and decode.
    pub(crate) decode: fn(i16, Bytes) -> Result<(), DecodeError>,
    /// Decode without the guard: the bytes consumed, and the request encoded again.
    pub(crate) decode_and_encode: fn(i16, &Bytes) -> Option<(usize, Bytes)>,
}

fn decode_and_encode<T: Decodable + Encodable>(version: i16, body: &Bytes) -> Option<(usize, Bytes)> {
    let mut rest = body.clone();
    let request = T::decode(&mut rest, version).ok()?;
    let mut buf = BytesMut::new();
    request.encode(&mut buf, version).ok()?;
    Some((body.len() - rest.len(), buf.freeze()))
}

macro_rules! requests {
    ($($api:ident $request:ident,)*) => {
        /// One of each.
        pub(crate) const REQUESTS: &[Request] = &[$(Request {
            api_key: ApiKey::$api,
            versions: $request::VERSIONS,
            decode: |version, body| decode::<$request>(ApiKey::$api, version, body).map(drop),
            decode_and_encode: decode_and_encode::<$request>,
        },)*];
    };
}

requests! {
    Produce ProduceRequest,
    Fetch FetchRequest,
    ListOffsets ListOffsetsRequest,
    Metadata MetadataRequest,
    OffsetCommit OffsetCommitRequest,
    OffsetFetch OffsetFetchRequest,
    FindCoordinator FindCoordinatorRequest,
    JoinGroup JoinGroupRequest,
    Heartbeat HeartbeatRequest,
    LeaveGroup LeaveGroupRequest,
    SyncGroup SyncGroupRequest,
    DescribeGroups DescribeGroupsRequest,
    ListGroups ListGroupsRequest,
    ApiVersions ApiVersionsRequest,
    CreateTopics CreateTopicsRequest,
    DeleteTopics DeleteTopicsRequest,
    DeleteRecords DeleteRecordsRequest,
    InitProducerId InitProducerIdRequest,
    OffsetForLeaderEpoch OffsetForLeaderEpochRequest,
    AddPartitionsToTxn AddPartitionsToTxnRequest,
    AddOffsetsToTxn AddOffsetsToTxnRequest,
    EndTxn EndTxnRequest,
    WriteTxnMarkers WriteTxnMarkersRequest,
    TxnOffsetCommit TxnOffsetCommitRequest,
    DescribeConfigs DescribeConfigsRequest,
    AlterConfigs AlterConfigsRequest,
    DescribeLogDirs DescribeLogDirsRequest,
    CreatePartitions CreatePartitionsRequest,
    DeleteGroups DeleteGroupsRequest,
    IncrementalAlterConfigs IncrementalAlterConfigsRequest,
    OffsetDelete OffsetDeleteRequest,
    UpdateFeatures UpdateFeaturesRequest,
    DescribeCluster DescribeClusterRequest,
    DescribeProducers DescribeProducersRequest,
    DescribeTransactions DescribeTransactionsRequest,
    ListTransactions ListTransactionsRequest,
    ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest,
    ConsumerGroupDescribe ConsumerGroupDescribeRequest,
    DescribeTopicPartitions DescribeTopicPartitionsRequest,
}
