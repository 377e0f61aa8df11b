//! The line in the log about what goes in and out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::load;
use crate::broker::Broker;

/// The line with messages per second, while there is traffic.
pub async fn log_throughput(broker: Arc<Broker>, interval: Duration) {
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
