//! The page for Prometheus.

use std::sync::atomic::AtomicU64;

use fluxmq_protocol::messages::ApiKey;
use metrics::{Key, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::{ApiMetrics, LATENCY_BUCKETS, load};
use crate::broker::Broker;
use crate::partitions::flusher::FlushStats;

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
    let dirs = broker.partitions.dirs();
    page.gauge(
        "fluxmq_log_dir_offline",
        "Log directories in which a sync or a write has failed.",
        dirs.iter().filter(|dir| dir.is_offline()).count() as f64,
    );
    page.gauge(
        "fluxmq_log_dir_nearly_full",
        "Log directories that take no records because too little of their volume is free.",
        dirs.iter().filter(|dir| dir.flusher().space.is_low()).count() as f64,
    );
    let offline = broker.partitions.all().iter().filter(|partition| partition.is_offline()).count();
    page.gauge("fluxmq_offline_partitions", "Partitions that are not served.", offline as f64);
    let groups = &broker.groups;
    page.gauge("fluxmq_groups", "Groups, of either protocol.", groups.count() as f64);
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
    let transactions = &broker.transactions;
    page.gauge("fluxmq_transactional_ids", "Transactional ids.", transactions.count() as f64);
    page.counter(
        "fluxmq_transaction_turns_total",
        "Turns of the transaction coordinator.",
        load(&transactions.stats.turns),
    );
    page.counter(
        "fluxmq_transaction_turn_nanoseconds_total",
        "Time in turns of the transaction coordinator, with their appends.",
        load(&transactions.stats.turn_time_ns),
    );
    page.counter(
        "fluxmq_transaction_records_total",
        "Records that the transaction coordinator has written.",
        load(&transactions.stats.records),
    );
    page.gauge(
        "fluxmq_transaction_load_milliseconds",
        "Time that the last reading of transactions took.",
        load(&transactions.stats.load_ms) as f64,
    );
    let sum = |of: fn(&FlushStats) -> &AtomicU64| dirs.iter().map(|dir| load(of(&dir.flusher().stats))).sum();
    page.counter("fluxmq_log_syncs_total", "Syncs of logs.", sum(|stats| &stats.syncs));
    page.counter(
        "fluxmq_log_sync_microseconds_total",
        "Time spent in syncs of logs.",
        sum(|stats| &stats.sync_time_us),
    );
    for (served, api) in broker.apis.iter().zip(&metrics.apis) {
        page.latency(served.key, api);
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
    fn latency(&self, key: ApiKey, api: &ApiMetrics) {
        const BUCKET: &str = "fluxmq_request_duration_microseconds_bucket";
        const SUM: &str = "fluxmq_request_duration_microseconds_sum";
        const COUNT: &str = "fluxmq_request_duration_microseconds_count";
        let label = Label::new("api", format!("{key:?}"));
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
