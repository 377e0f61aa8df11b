//! The one list of the APIs that are served, and the way of a frame to its handler.
//!
//! ApiVersions, the labels of the metrics and docs/apis.md come from [`TABLE`]; nothing else names versions.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fluxmq_protocol::header;
use fluxmq_protocol::messages::ApiKey;

use crate::handlers;
use crate::request::{CloseReason, ConnectionInfo, Handler, Outcome, RequestContext};
use crate::served_api::ServedApi;

/// One row of the table.
pub struct Api {
    /// The API.
    pub key: ApiKey,
    /// Lowest version served.
    pub min_version: i16,
    /// Highest version served.
    pub max_version: i16,
    /// Lowest version that ApiVersions prints. Differs from `min_version` for Produce alone: Kafka 4 prints 0 since
    /// librdkafka before 2.10 would otherwise turn features off (KIP-896).
    pub advertised_min_version: i16,
    /// Does the request.
    pub handler: Handler,
    /// What exercises these versions in the tests, for docs/apis.md.
    pub exercised_by: &'static str,
}

/// Every API that is served, by key.
pub static TABLE: &[Api] = ROWS;

const ROWS: &[Api] = &[
    Api {
        key: ApiKey::Produce,
        min_version: 3,
        max_version: 13,
        advertised_min_version: 0,
        handler: handlers::produce::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat, kafka-console-producer, kafka-producer-perf-test; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::Fetch,
        min_version: 4,
        max_version: 18,
        advertised_min_version: 4,
        handler: handlers::fetch::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat, kafka-console-consumer; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::ListOffsets,
        min_version: 1,
        max_version: 10,
        advertised_min_version: 1,
        handler: handlers::list_offsets::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat -Q, kafka-get-offsets; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::Metadata,
        min_version: 0,
        max_version: 13,
        advertised_min_version: 0,
        handler: handlers::metadata::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat -L, kafka-topics; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::OffsetCommit,
        min_version: 2,
        max_version: 9,
        advertised_min_version: 2,
        handler: handlers::offset_commit::handle,
        exercised_by: "consumers of kafka-clients 2.1 to 4.4 and librdkafka, kcat -G, kafka-consumer-groups --reset-offsets; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::OffsetFetch,
        min_version: 1,
        max_version: 9,
        advertised_min_version: 1,
        handler: handlers::offset_fetch::handle,
        exercised_by: "consumers of kafka-clients 2.1 to 4.4 and librdkafka, kcat -G, kafka-consumer-groups --describe; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::FindCoordinator,
        min_version: 0,
        max_version: 6,
        advertised_min_version: 0,
        handler: handlers::find_coordinator::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat -G; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::JoinGroup,
        min_version: 0,
        max_version: 9,
        advertised_min_version: 0,
        handler: handlers::join_group::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat -G; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::Heartbeat,
        min_version: 0,
        max_version: 4,
        advertised_min_version: 0,
        handler: handlers::heartbeat::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat -G; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::LeaveGroup,
        min_version: 0,
        max_version: 5,
        advertised_min_version: 0,
        handler: handlers::leave_group::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat -G; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::SyncGroup,
        min_version: 0,
        max_version: 5,
        advertised_min_version: 0,
        handler: handlers::sync_group::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat -G; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DescribeGroups,
        min_version: 0,
        max_version: 6,
        advertised_min_version: 0,
        handler: handlers::describe_groups::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-consumer-groups --describe; every version in core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::ListGroups,
        min_version: 0,
        max_version: 5,
        advertised_min_version: 0,
        handler: handlers::list_groups::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-consumer-groups --list; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::ApiVersions,
        min_version: 0,
        max_version: 4,
        advertised_min_version: 0,
        handler: handlers::api_versions::handle,
        exercised_by: "kafka-clients 2.1 to 4.4, librdkafka, kcat, kafka-broker-api-versions; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::CreateTopics,
        min_version: 2,
        max_version: 7,
        advertised_min_version: 2,
        handler: handlers::create_topics::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-topics --create; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DeleteTopics,
        min_version: 1,
        max_version: 6,
        advertised_min_version: 1,
        handler: handlers::delete_topics::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-topics --delete; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DeleteRecords,
        min_version: 0,
        max_version: 2,
        advertised_min_version: 0,
        handler: handlers::delete_records::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-delete-records; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::InitProducerId,
        min_version: 0,
        max_version: 5,
        advertised_min_version: 0,
        handler: handlers::init_producer_id::handle,
        exercised_by: "kafka-clients 4.3 and 4.4 (their default), librdkafka with enable.idempotence, transactional producers of kafka-clients 2.1 to 4.4 and librdkafka; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::OffsetForLeaderEpoch,
        min_version: 2,
        max_version: 4,
        advertised_min_version: 2,
        handler: handlers::offset_for_leader_epoch::handle,
        exercised_by: "no stock client without consumer groups sends it yet; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::AddPartitionsToTxn,
        min_version: 0,
        max_version: 5,
        advertised_min_version: 0,
        handler: handlers::add_partitions_to_txn::handle,
        exercised_by: "transactional producers of kafka-clients 2.1 to 3.9 and librdkafka; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::AddOffsetsToTxn,
        min_version: 0,
        max_version: 4,
        advertised_min_version: 0,
        handler: handlers::add_offsets_to_txn::handle,
        exercised_by: "transactional producers of kafka-clients 2.1 to 3.9 and librdkafka; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::EndTxn,
        min_version: 0,
        max_version: 5,
        advertised_min_version: 0,
        handler: handlers::end_txn::handle,
        exercised_by: "transactional producers of kafka-clients 2.1 to 4.4 and librdkafka; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::WriteTxnMarkers,
        min_version: 1,
        max_version: 1,
        advertised_min_version: 1,
        handler: handlers::write_txn_markers::handle,
        exercised_by: "kafka-transactions --abort; the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::TxnOffsetCommit,
        min_version: 0,
        max_version: 5,
        advertised_min_version: 0,
        handler: handlers::txn_offset_commit::handle,
        exercised_by: "transactional producers of kafka-clients 2.1 to 4.4 and librdkafka; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DescribeConfigs,
        min_version: 1,
        max_version: 4,
        advertised_min_version: 1,
        handler: handlers::describe_configs::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-configs --describe; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::AlterConfigs,
        min_version: 0,
        max_version: 2,
        advertised_min_version: 0,
        handler: handlers::alter_configs::handle,
        exercised_by: "admin clients of kafka-clients before 2.3 and librdkafka; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DescribeLogDirs,
        min_version: 1,
        max_version: 4,
        advertised_min_version: 1,
        handler: handlers::describe_log_dirs::handle,
        exercised_by: "Java admin client, kafka-log-dirs; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::CreatePartitions,
        min_version: 0,
        max_version: 3,
        advertised_min_version: 0,
        handler: handlers::create_partitions::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-topics --alter; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DeleteGroups,
        min_version: 0,
        max_version: 2,
        advertised_min_version: 0,
        handler: handlers::delete_groups::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-consumer-groups --delete; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::IncrementalAlterConfigs,
        min_version: 0,
        max_version: 1,
        advertised_min_version: 0,
        handler: handlers::incremental_alter_configs::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-configs --alter; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::OffsetDelete,
        min_version: 0,
        max_version: 0,
        advertised_min_version: 0,
        handler: handlers::offset_delete::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-consumer-groups --delete-offsets; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::UpdateFeatures,
        min_version: 0,
        max_version: 2,
        advertised_min_version: 0,
        handler: handlers::update_features::handle,
        exercised_by: "Java admin client, kafka-features; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DescribeCluster,
        min_version: 0,
        max_version: 2,
        advertised_min_version: 0,
        handler: handlers::describe_cluster::handle,
        exercised_by: "Java and librdkafka admin clients, kafka-cluster; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DescribeProducers,
        min_version: 0,
        max_version: 0,
        advertised_min_version: 0,
        handler: handlers::describe_producers::handle,
        exercised_by: "Java admin client, kafka-transactions; the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DescribeTransactions,
        min_version: 0,
        max_version: 0,
        advertised_min_version: 0,
        handler: handlers::describe_transactions::handle,
        exercised_by: "Java admin client, kafka-transactions --describe; the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::ListTransactions,
        min_version: 0,
        max_version: 2,
        advertised_min_version: 0,
        handler: handlers::list_transactions::handle,
        exercised_by: "Java admin client, kafka-transactions --list; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::ConsumerGroupHeartbeat,
        min_version: 0,
        max_version: 1,
        advertised_min_version: 0,
        handler: handlers::consumer_group_heartbeat::handle,
        exercised_by: "kafka-clients 4.0 to 4.4 and librdkafka with group.protocol=consumer; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::ConsumerGroupDescribe,
        min_version: 0,
        max_version: 1,
        advertised_min_version: 0,
        handler: handlers::consumer_group_describe::handle,
        exercised_by: "Java admin client, kafka-consumer-groups --describe; every version in the differential test and core/tests/served_apis.rs",
    },
    Api {
        key: ApiKey::DescribeTopicPartitions,
        min_version: 0,
        max_version: 0,
        advertised_min_version: 0,
        handler: handlers::describe_topic_partitions::handle,
        exercised_by: "Java admin client, kafka-topics --describe; every version in the differential test and core/tests/served_apis.rs",
    },
];

/// The APIs of the table as clients are told of them.
pub fn served() -> impl Iterator<Item = ServedApi> {
    TABLE.iter().map(Api::served)
}

impl Api {
    fn served(&self) -> ServedApi {
        ServedApi { key: self.key, min_version: self.advertised_min_version, max_version: self.max_version }
    }
}

const HIGHEST_KEY: usize = 127;
const ABSENT: u8 = u8::MAX;

/// Row of each API key, or `ABSENT`.
const INDEX: [u8; HIGHEST_KEY + 1] = {
    let mut index = [ABSENT; HIGHEST_KEY + 1];
    let mut row = 0;
    while row < ROWS.len() {
        index[ROWS[row].key as usize] = row as u8;
        row += 1;
    }
    index
};

/// Row of `api_key` in [`TABLE`].
#[must_use]
pub fn row_of(api_key: i16) -> Option<usize> {
    let row = *INDEX.get(usize::try_from(api_key).ok()?)?;
    (row != ABSENT).then_some(usize::from(row))
}

/// Parses a frame's header and has its handler do it. Gives the row of the API along with the outcome; the row is
/// without meaning when the outcome is a close.
pub fn request(connection: &Arc<ConnectionInfo>, frame: Bytes, received_at: Instant) -> (usize, Outcome) {
    let head = match header::parse(frame) {
        Ok(head) => head,
        Err(error) => {
            let unsupported = error.prefix().filter(|prefix| !is_served(prefix.api_key, prefix.api_version));
            return match unsupported {
                Some(prefix) => {
                    unsupported_version(prefix.api_key, prefix.api_version, prefix.correlation_id)
                }
                None => (0, Outcome::Close(CloseReason::Malformed(error.to_string()))),
            };
        }
    };
    let Some(row) = row_of(head.api_key as i16).filter(|_| is_served(head.api_key as i16, head.api_version))
    else {
        return unsupported_version(head.api_key as i16, head.api_version, head.correlation_id);
    };
    let context = RequestContext {
        connection: Arc::clone(connection),
        api_key: head.api_key,
        api_version: head.api_version,
        correlation_id: head.correlation_id,
        client_id: head.client_id,
        received_at,
    };
    (row, caught(TABLE[row].handler, &context, head.body))
}

/// What the handler did. A panic costs the connection that asked, and no other.
fn caught(handler: Handler, context: &RequestContext, body: Bytes) -> Outcome {
    std::panic::catch_unwind(AssertUnwindSafe(|| handler(context, body)))
        .unwrap_or(Outcome::Close(CloseReason::Panic))
}

/// Whether a request of this key and version has a handler.
fn is_served(api_key: i16, api_version: i16) -> bool {
    row_of(api_key)
        .is_some_and(|row| (TABLE[row].min_version..=TABLE[row].max_version).contains(&api_version))
}

/// As Kafka: an answer in v0 for ApiVersions, a closed connection for everything else.
fn unsupported_version(api_key: i16, api_version: i16, correlation_id: i32) -> (usize, Outcome) {
    match row_of(api_key) {
        Some(row) if TABLE[row].key == ApiKey::ApiVersions => {
            (row, handlers::api_versions::unsupported_version(correlation_id, TABLE[row].served()))
        }
        _ => (0, Outcome::Close(CloseReason::UnsupportedVersion { api_key, api_version })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    #[test]
    fn a_handler_that_panics_closes_the_connection() {
        let dir = tempfile::tempdir().unwrap();
        let handle = crate::server::start(BrokerConfig::for_tests(dir.path())).unwrap();
        let broker = handle.broker();
        let connection = ConnectionInfo {
            broker: Arc::clone(broker),
            id: 0,
            peer: handle.addr(),
            listener: Arc::clone(&broker.listeners[0]),
        };
        let context = RequestContext {
            connection: Arc::new(connection),
            api_key: ApiKey::ApiVersions,
            api_version: 0,
            correlation_id: 1,
            client_id: None,
            received_at: Instant::now(),
        };
        let panics: Handler = |_, _| panic!("a fault of the handler, made by a test");
        assert!(matches!(caught(panics, &context, Bytes::new()), Outcome::Close(CloseReason::Panic)));
        assert!(matches!(caught(handlers::api_versions::handle, &context, Bytes::new()), Outcome::Ready(_)));
        drop(context);
        handle.shutdown().unwrap();
    }

    #[test]
    fn every_row_is_found_by_its_key_and_nothing_else_is() {
        for (row, api) in TABLE.iter().enumerate() {
            assert_eq!(row_of(api.key as i16), Some(row));
            assert!(is_served(api.key as i16, api.min_version) && is_served(api.key as i16, api.max_version));
            assert!(!is_served(api.key as i16, api.min_version - 1));
            assert!(!is_served(api.key as i16, api.max_version + 1));
        }
        for key in [-1, 127, 128, i16::MAX, i16::MIN] {
            assert_eq!(row_of(key), None);
        }
    }
}
