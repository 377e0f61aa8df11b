//! Load on a transaction coordinator and on logs with transactions, light enough to share two cores with them: raw frames
//! over non-blocking sockets, one thread. `scripts/compare-transactions.sh` runs it against FluxMQ and Apache Kafka in turn.
//!
//! `cargo run --profile bench -p fluxmq-benches --bin transactions -- mode=MODE bootstrap=127.0.0.1:9092 pid=BROKER ...`
//!
//! | mode | what it does | settings (defaults) |
//! |---|---|---|
//! | `closed` | each producer begins its next transaction once the last is committed | `producers=1 records=1 seconds=10 warmup=3` |
//! | `fill` | a topic of transactions, committed and aborted | `producers=4 records=10240 batch=160 partitions=4 bytes=1000000000 abort_every=10` |
//! | `consume` | reads the topic under either isolation in turn | `partitions=4 passes=7 readings=4` |
//! | `idle` | transactional ids that have no transaction | `ids=100000 connections=64` |
//! | `answer` | waits until the coordinator knows what `idle` left | `ids=100000 since=UNIX_MS` |
//!
//! Transactions are of version 2 (KIP-890): Produce 12, which adds its partitions by itself, then EndTxn 5. Records have
//! values of `value_bytes=100`, at most `batch=1000` of them in a batch; a request has one batch for each partition until
//! the topic's `partitions=16` are used up. What a client tries again is tried again after `retry.backoff.ms`, and counted.
//!
//! Each prints one line of `key=value`. `cpu_s` is the broker process's, for the part that is timed; `rss_kb` its RssAnon.

mod consume;
mod idle;
mod produce_request;
mod producers;

use fluxmq_benches::figures;

fn main() {
    figures::run(&[
        ("closed", producers::closed_loop),
        ("fill", producers::fill),
        ("consume", consume::run),
        ("idle", idle::create),
        ("answer", idle::answer),
    ]);
}
