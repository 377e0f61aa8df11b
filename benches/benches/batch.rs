//! What it costs to check a batch: from outside (CRC and header) and to its last record, per codec and size.
//!
//! `cargo bench -p fluxmq-benches --bench batch`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fluxmq_benches::{NOW_MS, batch_of};
use fluxmq_storage::batch::{BatchRules, CompressionRule, check, convert, verify_stored};
use fluxmq_storage::codec::Codec;
use std::hint::black_box;

const SIZES: [(&str, usize); 2] = [("16KB", 16 << 10), ("1MB", 1_000_000)];

/// Bytes of a record's value: large, usual, small.
const VALUES: [usize; 3] = [1000, 100, 10];

fn outside(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify_stored");
    for (name, batch_bytes) in SIZES {
        let batch = batch_of(batch_bytes, 1000, Codec::None);
        group.throughput(Throughput::Bytes(batch.bytes().len() as u64));
        group.bench_function(name, |b| b.iter(|| verify_stored(black_box(batch.bytes())).is_ok()));
    }
}

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("check");
    let rules = BatchRules { max_message_bytes: u32::MAX, ..BatchRules::defaults(NOW_MS) };
    for (name, batch_bytes) in SIZES {
        for value_bytes in VALUES {
            let batch = batch_of(batch_bytes, value_bytes, Codec::None);
            group.throughput(Throughput::Bytes(batch.bytes().len() as u64));
            group.bench_function(BenchmarkId::new(name, format!("none/{value_bytes}B")), |b| {
                b.iter(|| check(black_box(batch.bytes()), &rules).is_ok());
            });
        }
        let batch = batch_of(batch_bytes, 1000, Codec::Lz4);
        group.throughput(Throughput::Bytes(batch.bytes().len() as u64));
        group.bench_function(BenchmarkId::new(name, "lz4/unopened"), |b| {
            b.iter(|| check(black_box(batch.bytes()), &rules).is_ok());
        });
    }
}

fn deep(c: &mut Criterion) {
    let mut group = c.benchmark_group("deep_check");
    // A bound on the age of records is one of the questions that only the records answer.
    let rules =
        BatchRules { before_max_ms: 1_000_000, max_message_bytes: u32::MAX, ..BatchRules::defaults(NOW_MS) };
    for (name, batch_bytes) in SIZES {
        for codec in Codec::ALL {
            let batch = batch_of(batch_bytes, 1000, codec);
            // Uncompressed bytes, so that the codecs compare.
            group.throughput(Throughput::Bytes(batch_bytes as u64));
            group.bench_function(BenchmarkId::new(name, codec), |b| {
                b.iter(|| check(black_box(batch.bytes()), &rules).is_ok());
            });
        }
    }
}

fn recompress(c: &mut Criterion) {
    let mut group = c.benchmark_group("convert");
    for (name, batch_bytes) in SIZES {
        let batch = batch_of(batch_bytes, 1000, Codec::None);
        group.throughput(Throughput::Bytes(batch_bytes as u64));
        for codec in &Codec::ALL[1..] {
            let rules = BatchRules {
                compression: CompressionRule::Codec { codec: *codec, level: None },
                max_message_bytes: u32::MAX,
                ..BatchRules::defaults(NOW_MS)
            };
            group.bench_function(BenchmarkId::new(name, codec), |b| {
                b.iter(|| convert(black_box(&batch), &rules).is_ok());
            });
        }
    }
}

criterion_group!(benches, outside, whole, deep, recompress);
criterion_main!(benches);
