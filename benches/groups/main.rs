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
//! Groups that commit are called `group-0` and so on, or by another `prefix`. Each prints one line of `key=value`. `cpu_s` is the broker process's, for the part that is timed; `rss_kb` its
//! RssAnon. A member has a connection to itself: while one waits in JoinGroup nothing else of its connection is served.

mod classic;
mod commits;
mod consumer;
mod load;
mod wire;

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// What the command line says, each with a default.
pub(crate) struct Options(HashMap<String, String>);

impl Options {
    fn get<T: FromStr>(&self, key: &str, default: T) -> T {
        match self.0.get(key).map(|value| value.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => panic!("{key}={} makes no sense", self.0[key]),
        }
    }

    fn bootstrap(&self) -> String {
        self.get("bootstrap", "127.0.0.1:9092".to_owned())
    }

    fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.get("heartbeat_ms", 1000))
    }

    fn groups(&self) -> usize {
        self.get("groups", 10_000)
    }

    fn broker(&self) -> BrokerProcess {
        BrokerProcess(self.get("pid", 0))
    }
}

/// The process that is measured; 0 when nobody wants to know.
#[derive(Clone, Copy)]
pub(crate) struct BrokerProcess(u32);

impl BrokerProcess {
    /// CPU time of the process so far, to the system's 10 ms.
    fn cpu_s(self) -> f64 {
        if self.0 == 0 {
            return 0.0;
        }
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("the broker runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("it has a name").split_whitespace().collect();
        [11, 12].iter().map(|at| fields[*at].parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
    }

    fn rss_kb(self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }
}

/// The line of figures that a run ends with.
#[derive(Default)]
pub(crate) struct Figures(Vec<String>);

impl Figures {
    fn add(&mut self, key: &str, value: impl Display) {
        self.0.push(format!("{key}={value}"));
    }

    fn add_decimals(&mut self, key: &str, value: f64) {
        self.add(key, format_args!("{value:.3}"));
    }
}

fn main() {
    let arguments = std::env::args().skip(1);
    let options = Options(
        arguments
            .filter_map(|argument| argument.split_once('=').map(|(key, value)| (key.into(), value.into())))
            .collect(),
    );
    let mode: String = options.get("mode", String::new());
    let mut figures = Figures::default();
    figures.add("mode", &mode);
    match mode.as_str() {
        "classic" => classic::run(&options, &mut figures),
        "consumer" => consumer::run(&options, &mut figures),
        "commits" => commits::at_a_rate(&options, &mut figures),
        "closed" => commits::closed_loop(&options, &mut figures),
        "fill" => load::fill(&options, &mut figures),
        "answer" => load::answer(&options, &mut figures),
        _ => panic!("mode=classic, consumer, commits, closed, fill or answer"),
    }
    println!("{}", figures.0.join(" "));
}
