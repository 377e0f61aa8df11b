//! What it costs to take a Produce request apart: the bounds guard, and the guard with the decoder behind it.
//!
//! `cargo bench -p fluxmq-benches --bench produce_decode`

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fluxmq_benches::batch_of;
use fluxmq_protocol::decode::decode;
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{ApiKey, ProduceRequest, TopicName};
use fluxmq_protocol::{Encodable, StrBytes, guard};
use fluxmq_storage::codec::Codec;
use std::hint::black_box;

/// The newest version that names topics by name.
const API_VERSION: i16 = 12;

fn body(partitions: i32, batch_bytes: usize) -> Bytes {
    let records = batch_of(batch_bytes, 1000, Codec::None).bytes().clone();
    let partition_data = (0..partitions)
        .map(|index| PartitionProduceData::default().with_index(index).with_records(Some(records.clone())))
        .collect();
    let topic = TopicProduceData::default()
        .with_name(TopicName::from(StrBytes::from_static_str("measurements")))
        .with_partition_data(partition_data);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let mut body = BytesMut::new();
    request.encode(&mut body, API_VERSION).expect("every field fits the version");
    body.freeze()
}

fn produce(c: &mut Criterion) {
    let mut group = c.benchmark_group("produce_request");
    for (name, partitions, batch_bytes) in
        [("1x16KB", 1, 16 << 10), ("1x1MB", 1, 1_000_000), ("100x1KB", 100, 500)]
    {
        let body = body(partitions, batch_bytes);
        group.bench_function(BenchmarkId::new("guard", name), |b| {
            b.iter(|| guard::check(ApiKey::Produce, API_VERSION, black_box(&body)).is_ok());
        });
        group.bench_function(BenchmarkId::new("guard_and_decode", name), |b| {
            b.iter(|| {
                decode::<ProduceRequest>(ApiKey::Produce, API_VERSION, black_box(body.clone())).is_ok()
            });
        });
    }
}

criterion_group!(benches, produce);
criterion_main!(benches);
