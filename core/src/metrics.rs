//! What the broker counts. Counters are relaxed atomics that the hot path adds to without a look-up; they are named and
//! rendered for Prometheus only when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{Key, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::broker::Broker;
use crate::dispatch::TABLE;

/// Latency buckets: below 1 µs, 2 µs, 4 µs … about 17 s, and everything above.
const LATENCY_BUCKETS: usize = 26;

/// The counts of one API, on a cache line of their own.
#[derive(Default)]
#[repr(align(64))]
struct ApiMetrics {
    /// By the upper bound of the time from the last byte of the request to the response's turn, in powers of two of a
    /// microsecond.
    latency: [AtomicU64; LATENCY_BUCKETS],
    latency_sum_us: AtomicU64,
}

/// All counts.
pub struct Metrics {
    apis: Box<[ApiMetrics]>,
    /// Bytes received.
    pub bytes_in: AtomicU64,
    /// Bytes sent.
    pub bytes_out: AtomicU64,
    /// Records appended.
    pub messages_in: AtomicU64,
    /// Records sent in Fetch responses. Batches are not counted one by one: where a response ends inside of what a
    /// segment holds, its share of the bytes stands for its share of the records.
    pub messages_out: AtomicU64,
    /// Requests whose handler panicked.
    pub panics: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            apis: TABLE.iter().map(|_| ApiMetrics::default()).collect(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// A request of the API in `row` of the table has its response.
    pub fn responded(&self, row: usize, received_at: Instant) {
        let micros = u64::try_from(received_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        let api = &self.apis[row];
        api.latency[bucket.min(LATENCY_BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        api.latency_sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Requests answered so far by the API in `row` of the table.
    #[must_use]
    pub fn requests(&self, row: usize) -> u64 {
        self.apis[row].latency.iter().map(load).sum()
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Renders everything in Prometheus' text format.
#[must_use]
pub fn render(broker: &Broker) -> String {
    let page = Page { recorder: PrometheusBuilder::new().build_recorder() };
    let metrics = &broker.metrics;
    page.counter("fluxmq_bytes_in_total", "Bytes received from clients.", load(&metrics.bytes_in));
    page.counter("fluxmq_bytes_out_total", "Bytes sent to clients.", load(&metrics.bytes_out));
    page.counter("fluxmq_messages_in_total", "Records appended.", load(&metrics.messages_in));
    page.counter(
        "fluxmq_messages_out_total",
        "Records sent, by share of bytes where a response ends inside a segment.",
        load(&metrics.messages_out),
    );
    page.counter("fluxmq_handler_panics_total", "Requests whose handler panicked.", load(&metrics.panics));
    page.counter(
        "fluxmq_client_violations_total",
        "Connections that were refused, or closed because of what the client sent.",
        broker.violations.total(),
    );
    page.counter(
        "fluxmq_connections_opened_total",
        "Connections accepted.",
        broker.connection_limits.opened(),
    );
    page.gauge("fluxmq_connections", "Connections that are open.", broker.connection_limits.open() as f64);
    page.gauge(
        "fluxmq_request_memory_bytes",
        "Memory that requests hold, see queued.max.request.bytes.",
        broker.request_budget.used_bytes() as f64,
    );
    let (sessions, cached_partitions) = broker.fetch_sessions.size();
    page.gauge("fluxmq_fetch_sessions", "Incremental fetch sessions.", sessions as f64);
    page.gauge(
        "fluxmq_fetch_session_partitions",
        "Partitions in incremental fetch sessions.",
        cached_partitions as f64,
    );
    page.counter(
        "fluxmq_fetch_session_evictions_total",
        "Incremental fetch sessions that made room for others.",
        broker.fetch_sessions.evictions(),
    );
    let (topics, partitions) =
        broker.metadata.with_topics(|topics| (topics.topic_count(), topics.partition_count()));
    page.gauge("fluxmq_topics", "Topics.", topics as f64);
    page.gauge("fluxmq_partitions", "Partitions.", partitions as f64);
    page.gauge(
        "fluxmq_log_dir_offline",
        "1 once a sync or a write has failed.",
        if broker.partitions.is_offline() { 1.0 } else { 0.0 },
    );
    let groups = &broker.groups;
    page.gauge("fluxmq_groups", "Groups, of either protocol.", groups.group_count() as f64);
    page.counter("fluxmq_group_turns_total", "Turns of the group coordinator.", load(&groups.stats.turns));
    page.counter(
        "fluxmq_group_turn_nanoseconds_total",
        "Time in turns of the group coordinator, with their appends.",
        load(&groups.stats.turn_time_ns),
    );
    page.counter(
        "fluxmq_group_records_total",
        "Records that the group coordinator has written.",
        load(&groups.stats.records),
    );
    page.gauge(
        "fluxmq_group_load_milliseconds",
        "Time that the last reading of groups took.",
        load(&groups.stats.load_ms) as f64,
    );
    let flushes = &broker.partitions.flusher().stats;
    page.counter("fluxmq_log_syncs_total", "Syncs of logs.", load(&flushes.syncs));
    page.counter(
        "fluxmq_log_sync_microseconds_total",
        "Time spent in syncs of logs.",
        load(&flushes.sync_time_us),
    );
    for (row, api) in metrics.apis.iter().enumerate() {
        page.latency(row, api);
    }
    page.recorder.handle().render()
}

/// One rendering.
struct Page {
    recorder: PrometheusRecorder,
}

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

impl Page {
    fn counter(&self, name: &'static str, help: &'static str, value: u64) {
        self.recorder.describe_counter(name.into(), None::<Unit>, SharedString::const_str(help));
        self.recorder.register_counter(&Key::from_static_name(name), &METADATA).absolute(value);
    }

    fn gauge(&self, name: &'static str, help: &'static str, value: f64) {
        self.recorder.describe_gauge(name.into(), None::<Unit>, SharedString::const_str(help));
        self.recorder.register_gauge(&Key::from_static_name(name), &METADATA).set(value);
    }

    /// An API's latencies in the form of a histogram, once it was asked. They are counted here and not by the recorder,
    /// which would keep every sample until it is read.
    fn latency(&self, row: usize, api: &ApiMetrics) {
        const BUCKET: &str = "fluxmq_request_duration_microseconds_bucket";
        const SUM: &str = "fluxmq_request_duration_microseconds_sum";
        const COUNT: &str = "fluxmq_request_duration_microseconds_count";
        let label = Label::new("api", format!("{:?}", TABLE[row].key));
        let counter = |name: &'static str, labels: Vec<Label>, value: u64| {
            self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA).absolute(value);
        };
        let mut count = 0;
        let counts: Vec<u64> = api.latency.iter().map(load).collect();
        if counts.iter().all(|count| *count == 0) {
            return;
        }
        for (power, bucket) in counts.iter().enumerate() {
            count += bucket;
            let bound =
                if power + 1 == LATENCY_BUCKETS { "+Inf".to_owned() } else { (1u64 << power).to_string() };
            counter(BUCKET, vec![label.clone(), Label::new("le", bound)], count);
        }
        counter(SUM, vec![label.clone()], load(&api.latency_sum_us));
        counter(COUNT, vec![label], count);
    }
}

/// The line with messages per second, while there is traffic.
pub async fn log_throughput(broker: std::sync::Arc<Broker>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut before = Sample::of(&broker);
    loop {
        ticks.tick().await;
        let now = Sample::of(&broker);
        if let Some(line) = now.since(&before, broker.connection_limits.open()) {
            tracing::info!("{line}");
        }
        before = now;
    }
}

/// The counters at one moment.
struct Sample {
    at: Instant,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Sample {
    fn of(broker: &Broker) -> Self {
        let metrics = &broker.metrics;
        Sample {
            at: Instant::now(),
            messages_in: load(&metrics.messages_in),
            messages_out: load(&metrics.messages_out),
            bytes_in: load(&metrics.bytes_in),
            bytes_out: load(&metrics.bytes_out),
        }
    }

    /// The line about the time since `before`, if a record went in or out.
    fn since(&self, before: &Sample, connections: usize) -> Option<String> {
        let (messages_in, messages_out) =
            (self.messages_in - before.messages_in, self.messages_out - before.messages_out);
        if messages_in == 0 && messages_out == 0 {
            return None;
        }
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let megabytes = |bytes: u64| bytes as f64 / 1e6 / seconds;
        Some(format!(
            "Messages/sec: {:.0} in, {:.0} out; MB/s: {:.1} in, {:.1} out; connections: {connections}",
            messages_in as f64 / seconds,
            messages_out as f64 / seconds,
            megabytes(self.bytes_in - before.bytes_in),
            megabytes(self.bytes_out - before.bytes_out),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_powers_of_two() {
        let metrics = Metrics::default();
        let now = Instant::now();
        for micros in [0, 1, 3, 1000, 100_000_000] {
            metrics.responded(0, now.checked_sub(Duration::from_micros(micros)).unwrap_or(now));
        }
        assert_eq!(metrics.requests(0), 5);
        assert_eq!(metrics.requests(1), 0);
        assert_eq!(load(&metrics.apis[0].latency[LATENCY_BUCKETS - 1]), 1);
        assert!(load(&metrics.apis[0].latency_sum_us) >= 100_001_004);
    }

    #[test]
    fn the_line_tells_rates_and_is_silent_without_records() {
        let at = Instant::now();
        let before = Sample { at, messages_in: 100, messages_out: 0, bytes_in: 0, bytes_out: 0 };
        let after = Sample {
            at: at + Duration::from_secs(10),
            messages_in: 1_000_100,
            messages_out: 50,
            bytes_in: 200_000_000,
            bytes_out: 1_000_000,
        };
        assert_eq!(
            after.since(&before, 8).unwrap(),
            "Messages/sec: 100000 in, 5 out; MB/s: 20.0 in, 0.1 out; connections: 8"
        );
        let pings = Sample { bytes_in: 10, ..before };
        assert_eq!(pings.since(&Sample { bytes_in: 0, ..pings }, 1), None);
    }
}
