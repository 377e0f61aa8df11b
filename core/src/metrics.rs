//! What the broker counts. Counters are relaxed atomics that the hot path adds to without a look-up; they are named and
//! rendered for Prometheus only when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::dispatch::TABLE;

/// Latency buckets: below 1 µs, 2 µs, 4 µs … about 33 s, and everything above.
const LATENCY_BUCKETS: usize = 26;

/// The counts of one API.
#[derive(Default)]
#[repr(align(64))]
pub struct ApiMetrics {
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
        self.apis[row].latency.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}
