//! What the transaction coordinator is told at start. The names are those of Kafka's settings.

/// Settings of the transaction coordinator. Durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionCoordinatorConfig {
    /// `transactional.id.expiration.ms`
    pub transactional_id_expiration_ms: i64,
    /// `transaction.max.timeout.ms`
    pub transaction_max_timeout_ms: i32,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_timed_out_interval_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub remove_expired_interval_ms: i64,
    /// The largest record that the log of a shard takes.
    pub max_record_bytes: usize,
}

impl Default for TransactionCoordinatorConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        TransactionCoordinatorConfig {
            transactional_id_expiration_ms: 7 * 24 * 60 * 60 * 1_000,
            transaction_max_timeout_ms: 900_000,
            abort_timed_out_interval_ms: 10_000,
            remove_expired_interval_ms: 3_600_000,
            max_record_bytes: 1_048_588,
        }
    }
}
