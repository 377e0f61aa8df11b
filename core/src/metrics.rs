//! What the broker counts. Counters are relaxed atomics that the hot path adds to without a look-up; they are named and
//! rendered for Prometheus only when somebody asks.

pub mod prometheus;
pub mod throughput;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

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

impl Metrics {
    /// Counts at zero, for so many APIs.
    #[must_use]
    pub fn of_apis(count: usize) -> Self {
        Metrics {
            apis: (0..count).map(|_| ApiMetrics::default()).collect(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn latencies_fall_into_powers_of_two() {
        let metrics = Metrics::of_apis(2);
        let now = Instant::now();
        for micros in [0, 1, 3, 1000, 100_000_000] {
            metrics.responded(0, now.checked_sub(Duration::from_micros(micros)).unwrap_or(now));
        }
        assert_eq!(metrics.requests(0), 5);
        assert_eq!(metrics.requests(1), 0);
        assert_eq!(load(&metrics.apis[0].latency[LATENCY_BUCKETS - 1]), 1);
        assert!(load(&metrics.apis[0].latency_sum_us) >= 100_001_004);
    }
}
