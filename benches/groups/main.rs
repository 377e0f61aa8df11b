//! Load on a group coordinator, light enough to share two cores with it: raw frames over non-blocking sockets, one
//! thread. `scripts/compare-groups.sh` runs it against FluxMQ and Apache Kafka in turn.
//!
//! `cargo run --profile bench -p fluxmq-benches --bin groups -- mode=MODE bootstrap=127.0.0.1:9092 pid=BROKER ...`
//!
//! | mode | what it does | settings (defaults) |
//! |---|---|---|
//! | `classic` | a group of the classic protocol forms, then its last member joins | `members=1000 partitions=1000 heartbeat_ms=1000` |
//! | `consumer` | the same with KIP-848 | as above |
//! | `commits` | commits at a steady rate, each group in its turn | `groups=10000 rate=10000 seconds=20 connections=64` |
//! | `closed` | as many commits as are answered | `groups=10000 depth=1 seconds=10 connections=64` |
//! | `fill` | a number of commits | `groups=10000 commits=1000000 depth=16 connections=64` |
//! | `answer` | waits until the coordinator knows what `fill` committed | `groups=10000 commits=1000000 since=UNIX_MS` |
//!
//! Groups that commit are called `group-0` and so on, or by another `prefix`. A member has a connection to itself: while one
//! waits in JoinGroup nothing else of its connection is served.
//!
//! Each prints one line of `key=value`. `cpu_s` is the broker process's, for the part that is timed; `rss_kb` its RssAnon.

mod classic;
mod commits;
mod consumer;
mod load;

use std::time::Duration;

use fluxmq_benches::figures::{self, Options};
use fluxmq_protocol::messages::GroupId;

/// A group's id.
pub(crate) fn group(value: &str) -> GroupId {
    GroupId(fluxmq_benches::wire::text(value))
}

fn heartbeat(options: &Options) -> Duration {
    Duration::from_millis(options.get("heartbeat_ms", 1000))
}

fn groups(options: &Options) -> usize {
    options.get("groups", 10_000)
}

fn main() {
    figures::run(&[
        ("classic", classic::run),
        ("consumer", consumer::run),
        ("commits", commits::at_a_rate),
        ("closed", commits::closed_loop),
        ("fill", load::fill),
        ("answer", load::answer),
    ]);
}
