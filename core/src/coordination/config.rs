//! From the broker's settings to what the coordinator and its machines are told.

use std::time::Duration;

use fluxmq_coordinator::config::{Assignor, MigrationPolicy};
use fluxmq_coordinator::{GroupCoordinatorConfig, TransactionCoordinatorConfig};
use fluxmq_storage::codec::Codec;

use crate::config::BrokerConfig;
use crate::config::definition::broker_keys;
use crate::config::groups::CONSUMER_ASSIGNORS;

const MS_PER_MINUTE: i64 = 60_000;
/// What `group.coordinator.append.linger.ms=-1` comes to. See docs/decisions/009-rounds-of-syncs.md.
const DEFAULT_SYNC_LINGER_MS: u32 = 5;

/// Kafka waits for the sync of a transaction's record as long as its brokers wait for each other.
const TRANSACTION_COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a driver is told.
#[derive(Clone, Debug)]
pub struct CoordinationConfig {
    /// `offsets.topic.num.partitions`, `transaction.state.log.num.partitions`
    pub(super) topic_partitions: i32,
    /// `offsets.topic.segment.bytes`, `transaction.state.log.segment.bytes`
    pub(super) topic_segment_bytes: i32,
    /// `offsets.topic.compression.codec`; transactions have none.
    pub(super) codec: Codec,
    /// `offsets.commit.timeout.ms`; of transactions [`TRANSACTION_COMMIT_TIMEOUT`].
    pub(super) commit_timeout: Duration,
    /// `offsets.load.buffer.size`, `transaction.state.log.load.buffer.size`
    pub(super) load_buffer_bytes: u32,
    /// `group.coordinator.append.linger.ms`; transactions don't wait for each other.
    pub(super) sync_linger_ms: u32,
}

impl CoordinationConfig {
    pub(super) fn of_groups(config: &BrokerConfig) -> Self {
        let number = |key| number(config, key);
        let codec = u8::try_from(number("offsets.topic.compression.codec")).ok().and_then(Codec::from_id);
        CoordinationConfig {
            topic_partitions: int(number("offsets.topic.num.partitions")),
            topic_segment_bytes: int(number("offsets.topic.segment.bytes")),
            codec: codec.unwrap_or(Codec::None),
            commit_timeout: Duration::from_millis(number("offsets.commit.timeout.ms").unsigned_abs()),
            load_buffer_bytes: u32::try_from(number("offsets.load.buffer.size")).unwrap_or(u32::MAX),
            sync_linger_ms: u32::try_from(number("group.coordinator.append.linger.ms"))
                .unwrap_or(DEFAULT_SYNC_LINGER_MS),
        }
    }

    pub(super) fn of_transactions(config: &BrokerConfig) -> Self {
        let number = |key| number(config, key);
        CoordinationConfig {
            topic_partitions: int(number("transaction.state.log.num.partitions")),
            topic_segment_bytes: int(number("transaction.state.log.segment.bytes")),
            codec: Codec::None,
            commit_timeout: TRANSACTION_COMMIT_TIMEOUT,
            load_buffer_bytes: u32::try_from(number("transaction.state.log.load.buffer.size"))
                .unwrap_or(u32::MAX),
            sync_linger_ms: 0,
        }
    }
}

/// What the machines are told.
#[must_use]
pub fn machine_config(config: &BrokerConfig) -> GroupCoordinatorConfig {
    let number = |key| number(config, key);
    let setting = |key| int(number(key));
    let list = |key| text(config, key).split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
    // Names that mean nothing were refused when the configuration was read.
    let assignors = list("group.consumer.assignors").into_iter().filter_map(|name| {
        let names = CONSUMER_ASSIGNORS.iter().find(|names| names.contains(&name.as_str()))?;
        Assignor::from_name(names[0])
    });
    GroupCoordinatorConfig {
        group_min_session_timeout_ms: setting("group.min.session.timeout.ms"),
        group_max_session_timeout_ms: setting("group.max.session.timeout.ms"),
        group_initial_rebalance_delay_ms: setting("group.initial.rebalance.delay.ms"),
        group_max_size: setting("group.max.size"),
        consumer_groups_enabled: list("group.coordinator.rebalance.protocols")
            .iter()
            .any(|protocol| protocol == "consumer"),
        consumer_session_timeout_ms: setting("group.consumer.session.timeout.ms"),
        consumer_min_session_timeout_ms: setting("group.consumer.min.session.timeout.ms"),
        consumer_max_session_timeout_ms: setting("group.consumer.max.session.timeout.ms"),
        consumer_heartbeat_interval_ms: setting("group.consumer.heartbeat.interval.ms"),
        consumer_min_heartbeat_interval_ms: setting("group.consumer.min.heartbeat.interval.ms"),
        consumer_max_heartbeat_interval_ms: setting("group.consumer.max.heartbeat.interval.ms"),
        consumer_assignment_interval_ms: setting("group.consumer.assignment.interval.ms"),
        consumer_max_size: setting("group.consumer.max.size"),
        consumer_assignors: assignors.collect(),
        consumer_migration_policy: match text(config, "group.consumer.migration.policy")
            .to_ascii_lowercase()
            .as_str()
        {
            "disabled" => MigrationPolicy::Disabled,
            "downgrade" => MigrationPolicy::Downgrade,
            "upgrade" => MigrationPolicy::Upgrade,
            _ => MigrationPolicy::Bidirectional,
        },
        consumer_regex_refresh_interval_ms: setting("group.consumer.regex.refresh.interval.ms"),
        offset_metadata_max_bytes: setting("offset.metadata.max.bytes"),
        offsets_retention_ms: number("offsets.retention.minutes").saturating_mul(MS_PER_MINUTE),
        offsets_retention_check_interval_ms: number("offsets.retention.check.interval.ms"),
        // The topic is made without a `max.message.bytes` of its own.
        max_record_bytes: usize::try_from(config.topic_defaults.max_message_bytes).unwrap_or(0),
        broker_rack: config.broker_rack.clone(),
    }
}

/// What the machines of transactions are told.
#[must_use]
pub fn transaction_machine_config(config: &BrokerConfig) -> TransactionCoordinatorConfig {
    let number = |key| number(config, key);
    TransactionCoordinatorConfig {
        transactional_id_expiration_ms: number("transactional.id.expiration.ms"),
        transaction_max_timeout_ms: int(number("transaction.max.timeout.ms")),
        abort_timed_out_interval_ms: number("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
        remove_expired_interval_ms: number("transaction.remove.expired.transaction.cleanup.interval.ms"),
        // The topic is made without a `max.message.bytes` of its own.
        max_record_bytes: usize::try_from(config.topic_defaults.max_message_bytes).unwrap_or(0),
    }
}

/// `transaction.partition.verification.enable`
pub(super) fn verifies_transactions(config: &BrokerConfig) -> bool {
    text(config, "transaction.partition.verification.enable").eq_ignore_ascii_case("true")
}

/// The text of a key of the broker's table.
fn text(config: &BrokerConfig, name: &str) -> String {
    let key = broker_keys().get(name).unwrap_or_else(|| panic!("{name} is a key of the table"));
    config.value(key).unwrap_or_default()
}

/// The value of a numeric key, which was checked when the configuration was read.
fn number(config: &BrokerConfig, name: &str) -> i64 {
    text(config, name).parse().unwrap_or_else(|_| panic!("{name} is a number"))
}

fn int(number: i64) -> i32 {
    i32::try_from(number).expect("the table says that the key is an INT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Settings};

    fn config(entries: &[(&'static str, &str)]) -> BrokerConfig {
        let mut settings = Settings::default();
        for (key, text) in entries {
            settings.set(*key, *text, Origin::Flag("test"));
        }
        BrokerConfig::from_settings(settings).unwrap()
    }

    #[test]
    fn the_defaults_are_kafkas_but_for_the_wait_before_the_first_rebalance() {
        let defaults = config(&[]);
        let kafkas = GroupCoordinatorConfig::default();
        let ours = GroupCoordinatorConfig { group_initial_rebalance_delay_ms: 0, ..kafkas };
        assert_eq!(machine_config(&defaults), ours);
        let driver = CoordinationConfig::of_groups(&defaults);
        assert_eq!((driver.topic_partitions, driver.topic_segment_bytes), (50, 104_857_600));
        assert_eq!((driver.codec, driver.commit_timeout), (Codec::None, Duration::from_secs(5)));
    }

    #[test]
    fn what_is_set_is_taken() {
        let set = config(&[
            (
                "group.consumer.assignors",
                "range, org.apache.kafka.coordinator.group.assignor.UniformAssignor",
            ),
            ("group.consumer.migration.policy", "Upgrade"),
            ("group.coordinator.rebalance.protocols", "classic"),
            ("offsets.retention.minutes", "2"),
            ("offsets.topic.compression.codec", "4"),
            ("message.max.bytes", "5000"),
            ("transaction.partition.verification.enable", "false"),
        ]);
        let machine = machine_config(&set);
        assert_eq!(machine.consumer_assignors, [Assignor::Range, Assignor::Uniform]);
        assert_eq!(machine.consumer_migration_policy, MigrationPolicy::Upgrade);
        assert!(!machine.consumer_groups_enabled);
        assert_eq!((machine.offsets_retention_ms, machine.max_record_bytes), (120_000, 5_000));
        assert_eq!(CoordinationConfig::of_groups(&set).codec, Codec::Zstd);
        assert!(verifies_transactions(&config(&[])) && !verifies_transactions(&set));
    }
}
