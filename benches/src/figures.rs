//! What a load generator is told on its command line, and the line of figures that it prints.

use std::collections::HashMap;
use std::fmt::Display;
use std::process::Child;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A part of a load generator, by its name: does what the options say and notes what came out.
pub type Mode<'a> = (&'a str, fn(&Options, &mut Figures));

/// Runs the mode that the command line names, and prints its figures.
///
/// # Panics
/// There is no such mode, or something in it went wrong.
pub fn run(modes: &[Mode<'_>]) {
    let options = Options::of_command_line();
    let name: String = options.get("mode", String::new());
    let Some((_, mode)) = modes.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = modes.iter().map(|(known, _)| *known).collect();
        panic!("mode= one of {}", known.join(", "));
    };
    let mut figures = Figures::default();
    figures.add("mode", &name);
    mode(&options, &mut figures);
    figures.print();
}

/// What the command line says, each with a default.
#[derive(Debug)]
pub struct Options(HashMap<String, String>);

impl Options {
    /// The arguments of the form `key=value`.
    pub fn of_command_line() -> Options {
        let arguments = std::env::args().skip(1);
        let pairs = arguments
            .filter_map(|argument| argument.split_once('=').map(|(key, value)| (key.into(), value.into())));
        Options(pairs.collect())
    }

    /// The value of `key`.
    ///
    /// # Panics
    /// When it makes no sense.
    pub fn get<T: FromStr>(&self, key: &str, default: T) -> T {
        match self.0.get(key).map(|value| value.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => panic!("{key}={} makes no sense", self.0[key]),
        }
    }

    /// A length of time in seconds.
    pub fn seconds(&self, key: &str, default: f64) -> Duration {
        Duration::from_secs_f64(self.get(key, default))
    }

    /// Where the broker listens.
    pub fn bootstrap(&self) -> String {
        self.get("bootstrap", "127.0.0.1:9092".to_owned())
    }

    /// The broker's process.
    pub fn broker(&self) -> BrokerProcess {
        BrokerProcess(self.get("pid", 0))
    }
}

/// The process that is measured; 0 when nobody wants to know.
#[derive(Clone, Copy, Debug)]
pub struct BrokerProcess(u32);

impl BrokerProcess {
    /// One that was started here.
    pub fn of(process: &Child) -> BrokerProcess {
        BrokerProcess(process.id())
    }

    /// CPU time of the process so far, to the system's 10 ms.
    pub fn cpu_s(self) -> f64 {
        if self.0 == 0 {
            return 0.0;
        }
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("the broker runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("it has a name").split_whitespace().collect();
        [11, 12].iter().map(|at| fields[*at].parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
    }

    /// Its RssAnon.
    pub fn rss_kb(self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }
}

/// What the broker does from a moment on.
#[derive(Debug)]
pub struct Stretch {
    broker: BrokerProcess,
    started: Instant,
    cpu_s: f64,
}

impl Stretch {
    /// From now.
    pub fn begin(broker: BrokerProcess) -> Stretch {
        Stretch { broker, started: Instant::now(), cpu_s: broker.cpu_s() }
    }

    /// Until now, in which `count` of `what` were done.
    pub fn end(self, what: &str, count: u64, figures: &mut Figures) {
        let (elapsed, cpu_s) = (self.started.elapsed().as_secs_f64(), self.broker.cpu_s() - self.cpu_s);
        figures.add_decimals(&format!("{what}s_per_s"), count as f64 / elapsed);
        figures.add_decimals("cpu_s", cpu_s);
        figures.add_decimals(&format!("cpu_us_per_{what}"), cpu_s * 1e6 / count as f64);
    }
}

/// The line of figures that a run ends with.
#[derive(Debug, Default)]
pub struct Figures(Vec<String>);

impl Figures {
    /// One more figure.
    pub fn add(&mut self, key: &str, value: impl Display) {
        self.0.push(format!("{key}={value}"));
    }

    /// One with a fraction.
    pub fn add_decimals(&mut self, key: &str, value: f64) {
        self.add(key, format_args!("{value:.3}"));
    }

    /// The quantiles of `latencies`.
    pub fn add_latencies(&mut self, prefix: &str, latencies: &mut [Duration]) {
        latencies.sort_unstable();
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            let at = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
            let latency = latencies.get(at).copied().unwrap_or_default();
            self.add_decimals(&format!("{prefix}{name}_ms"), latency.as_secs_f64() * 1000.0);
        }
    }

    /// What `count` of `what` have added to the process's memory since it was `before_kb`.
    pub fn add_memory(&mut self, what: &str, count: usize, before_kb: u64, broker: BrokerProcess) {
        let after_kb = broker.rss_kb();
        self.add("rss_before_kb", before_kb);
        self.add("rss_kb", after_kb);
        self.add(&format!("bytes_per_{what}"), after_kb.saturating_sub(before_kb) * 1024 / count as u64);
    }

    /// How long a start has taken: from `since`, when the process was started, and from the first answer to anything.
    pub fn add_start(&mut self, options: &Options, first_answer: Instant) {
        let since = UNIX_EPOCH + Duration::from_millis(options.get("since", 0));
        let total = SystemTime::now().duration_since(since).unwrap_or_default();
        self.add_decimals("since_start_s", total.as_secs_f64());
        self.add_decimals("since_first_answer_s", first_answer.elapsed().as_secs_f64());
    }

    /// Prints the line.
    pub fn print(&self) {
        println!("{}", self.0.join(" "));
    }
}
