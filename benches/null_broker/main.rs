//! A broker that keeps nothing: what a stock producer does against it is the client's own ceiling.
//!
//! `cargo run --profile bench -p fluxmq-benches --bin null_broker -- [port=9092 partitions=8]`
//!
//! Every topic that a client asks for exists, with so many partitions. It answers ApiVersions, Metadata, InitProducerId
//! and Produce; batches are read off the socket, counted as taken and dropped unseen. There is nothing to fetch. A thread
//! serves each connection.
#![forbid(unsafe_code)]

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Buf, Bytes};
use fluxmq_benches::figures::Options;
use fluxmq_benches::wire::text;
use fluxmq_protocol::messages::api_versions_response::ApiVersion;
use fluxmq_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use fluxmq_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use fluxmq_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, InitProducerIdRequest, InitProducerIdResponse,
    MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, ProducerId, RequestHeader,
    ResponseHeader,
};
use fluxmq_protocol::{ApiKey, Decodable, Encodable};
use uuid::Uuid;

/// What is answered, and up to which version; Produce only while topics go by their names.
const SERVED: [(ApiKey, i16, i16); 4] = [
    (ApiKey::Produce, 3, 12),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::InitProducerId, 0, 5),
];
const NODE: BrokerId = BrokerId(1);
const UNSUPPORTED_VERSION: i16 = 35;
/// Of the buffer before a connection: small frames come several at a time, large ones go past it.
const BUFFER_BYTES: usize = 64 << 10;

struct NullBroker {
    port: u16,
    partitions: i32,
    next_producer_id: AtomicI64,
}

fn main() {
    let options = Options::of_command_line();
    let broker = NullBroker {
        port: options.get("port", 9092),
        partitions: options.get("partitions", 8),
        next_producer_id: AtomicI64::new(1),
    };
    let listener = TcpListener::bind(("127.0.0.1", broker.port)).expect("a free port");
    println!("ready in no time: 127.0.0.1:{}", broker.port);
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let (stream, broker) = (stream.expect("a client"), &broker);
            scope.spawn(move || {
                if let Err(error) = broker.serve(&stream) {
                    eprintln!("a connection ends: {error}");
                }
            });
        }
    });
}

impl NullBroker {
    /// Until the client closes.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, stream);
        let mut length = [0; 4];
        while reader.read(&mut length[..1])? == 1 {
            reader.read_exact(&mut length[1..])?;
            let length = u64::from(u32::from_be_bytes(length));
            let mut frame = Vec::with_capacity(length as usize);
            reader.by_ref().take(length).read_to_end(&mut frame)?;
            if let Some(answer) = self.answer(Bytes::from(frame)).map_err(io::Error::other)? {
                (&mut &*stream).write_all(&answer)?;
            }
        }
        Ok(())
    }

    /// The frame that answers `request`; none where the client wants none.
    fn answer(
        &self,
        mut request: Bytes,
    ) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        let mut start = request.clone();
        let (key, version) = (start.try_get_i16()?, start.try_get_i16()?);
        let (api, _, newest) = *SERVED
            .iter()
            .find(|(api, ..)| *api as i16 == key)
            .ok_or_else(|| format!("API {key} is not served"))?;
        let header = RequestHeader::decode(&mut request, api.request_header_version(version.min(newest)))?;
        let reply = Reply { api, version, correlation_id: header.correlation_id };
        Ok(match api {
            ApiKey::ApiVersions if version > newest => {
                let refused = api_versions().with_error_code(UNSUPPORTED_VERSION);
                Some(Reply { version: 0, ..reply }.encode(&refused)?)
            }
            ApiKey::ApiVersions => {
                ApiVersionsRequest::decode(&mut request, version)?;
                Some(reply.encode(&api_versions())?)
            }
            ApiKey::Metadata => {
                Some(reply.encode(&self.metadata(&MetadataRequest::decode(&mut request, version)?))?)
            }
            ApiKey::InitProducerId => {
                InitProducerIdRequest::decode(&mut request, version)?;
                let id = self.next_producer_id.fetch_add(1, Ordering::Relaxed);
                Some(reply.encode(&InitProducerIdResponse::default().with_producer_id(ProducerId(id)))?)
            }
            _ => {
                let produce = ProduceRequest::decode(&mut request, version)?;
                if produce.acks == 0 { None } else { Some(reply.encode(&taken(&produce))?) }
            }
        })
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let partition = |index| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(NODE)
                .with_leader_epoch(0)
                .with_replica_nodes(vec![NODE])
                .with_isr_nodes(vec![NODE])
        };
        let topics = request.topics.iter().flatten().filter_map(|topic| topic.name.clone()).map(|name| {
            MetadataResponseTopic::default()
                .with_topic_id(Uuid::from_u128(1))
                .with_name(Some(name))
                .with_partitions((0..self.partitions).map(partition).collect())
        });
        let node = MetadataResponseBroker::default()
            .with_node_id(NODE)
            .with_host(text("127.0.0.1"))
            .with_port(i32::from(self.port));
        MetadataResponse::default()
            .with_brokers(vec![node])
            .with_cluster_id(Some(text("null")))
            .with_controller_id(NODE)
            .with_topics(topics.collect())
    }
}

fn api_versions() -> ApiVersionsResponse {
    let served = SERVED.iter().map(|(api, oldest, newest)| {
        ApiVersion::default().with_api_key(*api as i16).with_min_version(*oldest).with_max_version(*newest)
    });
    ApiVersionsResponse::default().with_api_keys(served.collect())
}

/// Every batch is in.
fn taken(request: &ProduceRequest) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| {
        let partitions = topic
            .partition_data
            .iter()
            .map(|partition| PartitionProduceResponse::default().with_index(partition.index));
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_partition_responses(partitions.collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

/// What an answer's frame begins with.
struct Reply {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
}

impl Reply {
    fn encode<M: Encodable>(&self, message: &M) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut frame = vec![0; 4];
        ResponseHeader::default()
            .with_correlation_id(self.correlation_id)
            .encode(&mut frame, self.api.response_header_version(self.version))?;
        message.encode(&mut frame, self.version)?;
        let length = u32::try_from(frame.len() - 4)?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }
}
