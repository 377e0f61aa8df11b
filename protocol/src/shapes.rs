//! The layout of request bodies. Written by scripts/gen-shapes.py from kafka-clients 4.3.0: not to be edited.

use kafka_protocol::messages::ApiKey;

use crate::guard::Kind::{Array, Bytes, Fixed, String, Struct};
use crate::guard::{Field, NEVER, Shape, field, from, span};

/// The shape of an API's request; none for the APIs that this broker doesn't decode.
pub(crate) fn shape(api_key: ApiKey) -> Option<Shape> {
    match api_key {
        ApiKey::Produce => Some(Shape { versions: span(3, 13), flexible: from(9), fields: PRODUCE_REQUEST }),
        ApiKey::Fetch => Some(Shape { versions: span(4, 18), flexible: from(12), fields: FETCH_REQUEST }),
        ApiKey::ListOffsets => {
            Some(Shape { versions: span(1, 11), flexible: from(6), fields: LIST_OFFSETS_REQUEST })
        }
        ApiKey::Metadata => {
            Some(Shape { versions: span(0, 13), flexible: from(9), fields: METADATA_REQUEST })
        }
        ApiKey::OffsetCommit => {
            Some(Shape { versions: span(2, 10), flexible: from(8), fields: OFFSET_COMMIT_REQUEST })
        }
        ApiKey::OffsetFetch => {
            Some(Shape { versions: span(1, 10), flexible: from(6), fields: OFFSET_FETCH_REQUEST })
        }
        ApiKey::FindCoordinator => {
            Some(Shape { versions: span(0, 6), flexible: from(3), fields: FIND_COORDINATOR_REQUEST })
        }
        ApiKey::JoinGroup => {
            Some(Shape { versions: span(0, 9), flexible: from(6), fields: JOIN_GROUP_REQUEST })
        }
        ApiKey::Heartbeat => {
            Some(Shape { versions: span(0, 4), flexible: from(4), fields: HEARTBEAT_REQUEST })
        }
        ApiKey::LeaveGroup => {
            Some(Shape { versions: span(0, 5), flexible: from(4), fields: LEAVE_GROUP_REQUEST })
        }
        ApiKey::SyncGroup => {
            Some(Shape { versions: span(0, 5), flexible: from(4), fields: SYNC_GROUP_REQUEST })
        }
        ApiKey::DescribeGroups => {
            Some(Shape { versions: span(0, 6), flexible: from(5), fields: DESCRIBE_GROUPS_REQUEST })
        }
        ApiKey::ListGroups => {
            Some(Shape { versions: span(0, 5), flexible: from(3), fields: LIST_GROUPS_REQUEST })
        }
        ApiKey::ApiVersions => {
            Some(Shape { versions: span(0, 4), flexible: from(3), fields: API_VERSIONS_REQUEST })
        }
        ApiKey::CreateTopics => {
            Some(Shape { versions: span(2, 7), flexible: from(5), fields: CREATE_TOPICS_REQUEST })
        }
        ApiKey::DeleteTopics => {
            Some(Shape { versions: span(1, 6), flexible: from(4), fields: DELETE_TOPICS_REQUEST })
        }
        ApiKey::DeleteRecords => {
            Some(Shape { versions: span(0, 2), flexible: from(2), fields: DELETE_RECORDS_REQUEST })
        }
        ApiKey::InitProducerId => {
            Some(Shape { versions: span(0, 5), flexible: from(2), fields: INIT_PRODUCER_ID_REQUEST })
        }
        ApiKey::OffsetForLeaderEpoch => {
            Some(Shape { versions: span(2, 4), flexible: from(4), fields: OFFSET_FOR_LEADER_EPOCH_REQUEST })
        }
        ApiKey::AddPartitionsToTxn => {
            Some(Shape { versions: span(0, 5), flexible: from(3), fields: ADD_PARTITIONS_TO_TXN_REQUEST })
        }
        ApiKey::AddOffsetsToTxn => {
            Some(Shape { versions: span(0, 4), flexible: from(3), fields: ADD_OFFSETS_TO_TXN_REQUEST })
        }
        ApiKey::EndTxn => Some(Shape { versions: span(0, 5), flexible: from(3), fields: END_TXN_REQUEST }),
        ApiKey::WriteTxnMarkers => {
            Some(Shape { versions: span(1, 2), flexible: from(1), fields: WRITE_TXN_MARKERS_REQUEST })
        }
        ApiKey::TxnOffsetCommit => {
            Some(Shape { versions: span(0, 5), flexible: from(3), fields: TXN_OFFSET_COMMIT_REQUEST })
        }
        ApiKey::DescribeConfigs => {
            Some(Shape { versions: span(1, 4), flexible: from(4), fields: DESCRIBE_CONFIGS_REQUEST })
        }
        ApiKey::AlterConfigs => {
            Some(Shape { versions: span(0, 2), flexible: from(2), fields: ALTER_CONFIGS_REQUEST })
        }
        ApiKey::DescribeLogDirs => {
            Some(Shape { versions: span(1, 5), flexible: from(2), fields: DESCRIBE_LOG_DIRS_REQUEST })
        }
        ApiKey::CreatePartitions => {
            Some(Shape { versions: span(0, 3), flexible: from(2), fields: CREATE_PARTITIONS_REQUEST })
        }
        ApiKey::DeleteGroups => {
            Some(Shape { versions: span(0, 2), flexible: from(2), fields: DELETE_GROUPS_REQUEST })
        }
        ApiKey::IncrementalAlterConfigs => {
            Some(Shape { versions: span(0, 1), flexible: from(1), fields: INCREMENTAL_ALTER_CONFIGS_REQUEST })
        }
        ApiKey::OffsetDelete => {
            Some(Shape { versions: span(0, 0), flexible: NEVER, fields: OFFSET_DELETE_REQUEST })
        }
        ApiKey::UpdateFeatures => {
            Some(Shape { versions: span(0, 2), flexible: from(0), fields: UPDATE_FEATURES_REQUEST })
        }
        ApiKey::DescribeCluster => {
            Some(Shape { versions: span(0, 2), flexible: from(0), fields: DESCRIBE_CLUSTER_REQUEST })
        }
        ApiKey::DescribeProducers => {
            Some(Shape { versions: span(0, 0), flexible: from(0), fields: DESCRIBE_PRODUCERS_REQUEST })
        }
        ApiKey::DescribeTransactions => {
            Some(Shape { versions: span(0, 0), flexible: from(0), fields: DESCRIBE_TRANSACTIONS_REQUEST })
        }
        ApiKey::ListTransactions => {
            Some(Shape { versions: span(0, 2), flexible: from(0), fields: LIST_TRANSACTIONS_REQUEST })
        }
        ApiKey::ConsumerGroupHeartbeat => {
            Some(Shape { versions: span(0, 1), flexible: from(0), fields: CONSUMER_GROUP_HEARTBEAT_REQUEST })
        }
        ApiKey::ConsumerGroupDescribe => {
            Some(Shape { versions: span(0, 1), flexible: from(0), fields: CONSUMER_GROUP_DESCRIBE_REQUEST })
        }
        ApiKey::DescribeTopicPartitions => {
            Some(Shape { versions: span(0, 0), flexible: from(0), fields: DESCRIBE_TOPIC_PARTITIONS_REQUEST })
        }
        _ => None,
    }
}

pub(crate) static CONSUMER_PROTOCOL_SUBSCRIPTION_SHAPE: Shape =
    Shape { versions: span(0, 3), flexible: NEVER, fields: CONSUMER_PROTOCOL_SUBSCRIPTION };

pub(crate) static CONSUMER_PROTOCOL_ASSIGNMENT_SHAPE: Shape =
    Shape { versions: span(0, 3), flexible: NEVER, fields: CONSUMER_PROTOCOL_ASSIGNMENT };

static PRODUCE_REQUEST_PARTITION_PRODUCE_DATA: &[Field] =
    &[field(Fixed(4), from(0)), field(Bytes, from(0)).nullable(from(0))];

static PRODUCE_REQUEST_TOPIC_PRODUCE_DATA: &[Field] = &[
    field(String, span(0, 12)),
    field(Fixed(16), from(13)),
    field(
        Array { element: &Struct(PRODUCE_REQUEST_PARTITION_PRODUCE_DATA), element_memory_bytes: 64 },
        from(0),
    ),
];

static PRODUCE_REQUEST: &[Field] = &[
    field(String, from(3)).nullable(from(3)),
    field(Fixed(2), from(0)),
    field(Fixed(4), from(0)),
    field(Array { element: &Struct(PRODUCE_REQUEST_TOPIC_PRODUCE_DATA), element_memory_bytes: 96 }, from(0)),
];

static FETCH_REQUEST_REPLICA_STATE: &[Field] = &[field(Fixed(4), from(15)), field(Fixed(8), from(15))];

static FETCH_REQUEST_FETCH_PARTITION: &[Field] = &[
    field(Fixed(4), from(0)),
    field(Fixed(4), from(9)),
    field(Fixed(8), from(0)),
    field(Fixed(4), from(12)),
    field(Fixed(8), from(5)),
    field(Fixed(4), from(0)),
    field(Fixed(16), from(17)).tagged(0, from(17)),
    field(Fixed(8), from(18)).tagged(1, from(18)),
];

static FETCH_REQUEST_FETCH_TOPIC: &[Field] = &[
    field(String, span(0, 12)),
    field(Fixed(16), from(13)),
    field(Array { element: &Struct(FETCH_REQUEST_FETCH_PARTITION), element_memory_bytes: 80 }, from(0)),
];

static FETCH_REQUEST_FORGOTTEN_TOPIC: &[Field] = &[
    field(String, span(7, 12)),
    field(Fixed(16), from(13)),
    field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(7)),
];

static FETCH_REQUEST: &[Field] = &[
    field(String, from(12)).nullable(from(12)).tagged(0, from(12)),
    field(Fixed(4), span(0, 14)),
    field(Struct(FETCH_REQUEST_REPLICA_STATE), from(15)).tagged(1, from(15)),
    field(Fixed(4), from(0)),
    field(Fixed(4), from(0)),
    field(Fixed(4), from(3)),
    field(Fixed(1), from(4)),
    field(Fixed(4), from(7)),
    field(Fixed(4), from(7)),
    field(Array { element: &Struct(FETCH_REQUEST_FETCH_TOPIC), element_memory_bytes: 96 }, from(0)),
    field(Array { element: &Struct(FETCH_REQUEST_FORGOTTEN_TOPIC), element_memory_bytes: 96 }, from(7)),
    field(String, from(11)),
];

static LIST_OFFSETS_REQUEST_LIST_OFFSETS_PARTITION: &[Field] =
    &[field(Fixed(4), from(0)), field(Fixed(4), from(4)), field(Fixed(8), from(0))];

static LIST_OFFSETS_REQUEST_LIST_OFFSETS_TOPIC: &[Field] = &[
    field(String, from(0)),
    field(
        Array { element: &Struct(LIST_OFFSETS_REQUEST_LIST_OFFSETS_PARTITION), element_memory_bytes: 40 },
        from(0),
    ),
];

static LIST_OFFSETS_REQUEST: &[Field] = &[
    field(Fixed(4), from(0)),
    field(Fixed(1), from(2)),
    field(
        Array { element: &Struct(LIST_OFFSETS_REQUEST_LIST_OFFSETS_TOPIC), element_memory_bytes: 80 },
        from(0),
    ),
    field(Fixed(4), from(10)),
];

static METADATA_REQUEST_METADATA_REQUEST_TOPIC: &[Field] =
    &[field(Fixed(16), from(10)), field(String, from(0)).nullable(from(10))];

static METADATA_REQUEST: &[Field] = &[
    field(
        Array { element: &Struct(METADATA_REQUEST_METADATA_REQUEST_TOPIC), element_memory_bytes: 72 },
        from(0),
    )
    .nullable(from(1)),
    field(Fixed(1), from(4)),
    field(Fixed(1), span(8, 10)),
    field(Fixed(1), from(8)),
];

static OFFSET_COMMIT_REQUEST_OFFSET_COMMIT_REQUEST_PARTITION: &[Field] = &[
    field(Fixed(4), from(0)),
    field(Fixed(8), from(0)),
    field(Fixed(4), from(6)),
    field(String, from(0)).nullable(from(0)),
];

static OFFSET_COMMIT_REQUEST_OFFSET_COMMIT_REQUEST_TOPIC: &[Field] = &[
    field(String, span(0, 9)),
    field(Fixed(16), from(10)),
    field(
        Array {
            element: &Struct(OFFSET_COMMIT_REQUEST_OFFSET_COMMIT_REQUEST_PARTITION),
            element_memory_bytes: 72,
        },
        from(0),
    ),
];

static OFFSET_COMMIT_REQUEST: &[Field] = &[
    field(String, from(0)),
    field(Fixed(4), from(1)),
    field(String, from(1)),
    field(String, from(7)).nullable(from(7)),
    field(Fixed(8), span(2, 4)),
    field(
        Array {
            element: &Struct(OFFSET_COMMIT_REQUEST_OFFSET_COMMIT_REQUEST_TOPIC),
            element_memory_bytes: 96,
        },
        from(0),
    ),
];

static OFFSET_FETCH_REQUEST_OFFSET_FETCH_REQUEST_TOPIC: &[Field] =
    &[field(String, span(0, 7)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, span(0, 7))];

static OFFSET_FETCH_REQUEST_OFFSET_FETCH_REQUEST_TOPICS: &[Field] = &[
    field(String, span(8, 9)),
    field(Fixed(16), from(10)),
    field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(8)),
];

static OFFSET_FETCH_REQUEST_OFFSET_FETCH_REQUEST_GROUP: &[Field] = &[
    field(String, from(8)),
    field(String, from(9)).nullable(from(9)),
    field(Fixed(4), from(9)),
    field(
        Array {
            element: &Struct(OFFSET_FETCH_REQUEST_OFFSET_FETCH_REQUEST_TOPICS),
            element_memory_bytes: 96,
        },
        from(8),
    )
    .nullable(from(8)),
];

static OFFSET_FETCH_REQUEST: &[Field] = &[
    field(String, span(0, 7)),
    field(
        Array { element: &Struct(OFFSET_FETCH_REQUEST_OFFSET_FETCH_REQUEST_TOPIC), element_memory_bytes: 80 },
        span(0, 7),
    )
    .nullable(span(2, 7)),
    field(
        Array {
            element: &Struct(OFFSET_FETCH_REQUEST_OFFSET_FETCH_REQUEST_GROUP),
            element_memory_bytes: 120,
        },
        from(8),
    ),
    field(Fixed(1), from(7)),
];

static FIND_COORDINATOR_REQUEST: &[Field] = &[
    field(String, span(0, 3)),
    field(Fixed(1), from(1)),
    field(Array { element: &String, element_memory_bytes: 32 }, from(4)),
];

static JOIN_GROUP_REQUEST_JOIN_GROUP_REQUEST_PROTOCOL: &[Field] =
    &[field(String, from(0)), field(Bytes, from(0))];

static JOIN_GROUP_REQUEST: &[Field] = &[
    field(String, from(0)),
    field(Fixed(4), from(0)),
    field(Fixed(4), from(1)),
    field(String, from(0)),
    field(String, from(5)).nullable(from(5)),
    field(String, from(0)),
    field(
        Array { element: &Struct(JOIN_GROUP_REQUEST_JOIN_GROUP_REQUEST_PROTOCOL), element_memory_bytes: 88 },
        from(0),
    ),
    field(String, from(8)).nullable(from(8)),
];

static HEARTBEAT_REQUEST: &[Field] = &[
    field(String, from(0)),
    field(Fixed(4), from(0)),
    field(String, from(0)),
    field(String, from(3)).nullable(from(3)),
];

static LEAVE_GROUP_REQUEST_MEMBER_IDENTITY: &[Field] = &[
    field(String, from(3)),
    field(String, from(3)).nullable(from(3)),
    field(String, from(5)).nullable(from(5)),
];

static LEAVE_GROUP_REQUEST: &[Field] = &[
    field(String, from(0)),
    field(String, span(0, 2)),
    field(
        Array { element: &Struct(LEAVE_GROUP_REQUEST_MEMBER_IDENTITY), element_memory_bytes: 120 },
        from(3),
    ),
];

static SYNC_GROUP_REQUEST_SYNC_GROUP_REQUEST_ASSIGNMENT: &[Field] =
    &[field(String, from(0)), field(Bytes, from(0))];

static SYNC_GROUP_REQUEST: &[Field] = &[
    field(String, from(0)),
    field(Fixed(4), from(0)),
    field(String, from(0)),
    field(String, from(3)).nullable(from(3)),
    field(String, from(5)).nullable(from(5)),
    field(String, from(5)).nullable(from(5)),
    field(
        Array {
            element: &Struct(SYNC_GROUP_REQUEST_SYNC_GROUP_REQUEST_ASSIGNMENT),
            element_memory_bytes: 88,
        },
        from(0),
    ),
];

static DESCRIBE_GROUPS_REQUEST: &[Field] =
    &[field(Array { element: &String, element_memory_bytes: 32 }, from(0)), field(Fixed(1), from(3))];

static LIST_GROUPS_REQUEST: &[Field] = &[
    field(Array { element: &String, element_memory_bytes: 32 }, from(4)),
    field(Array { element: &String, element_memory_bytes: 32 }, from(5)),
];

static API_VERSIONS_REQUEST: &[Field] = &[field(String, from(3)), field(String, from(3))];

static CREATE_TOPICS_REQUEST_CREATABLE_REPLICA_ASSIGNMENT: &[Field] =
    &[field(Fixed(4), from(0)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(0))];

static CREATE_TOPICS_REQUEST_CREATABLE_TOPIC_CONFIG: &[Field] =
    &[field(String, from(0)), field(String, from(0)).nullable(from(0))];

static CREATE_TOPICS_REQUEST_CREATABLE_TOPIC: &[Field] = &[
    field(String, from(0)),
    field(Fixed(4), from(0)),
    field(Fixed(2), from(0)),
    field(
        Array {
            element: &Struct(CREATE_TOPICS_REQUEST_CREATABLE_REPLICA_ASSIGNMENT),
            element_memory_bytes: 56,
        },
        from(0),
    ),
    field(
        Array { element: &Struct(CREATE_TOPICS_REQUEST_CREATABLE_TOPIC_CONFIG), element_memory_bytes: 88 },
        from(0),
    ),
];

static CREATE_TOPICS_REQUEST: &[Field] = &[
    field(
        Array { element: &Struct(CREATE_TOPICS_REQUEST_CREATABLE_TOPIC), element_memory_bytes: 112 },
        from(0),
    ),
    field(Fixed(4), from(0)),
    field(Fixed(1), from(1)),
];

static DELETE_TOPICS_REQUEST_DELETE_TOPIC_STATE: &[Field] =
    &[field(String, from(6)).nullable(from(6)), field(Fixed(16), from(6))];

static DELETE_TOPICS_REQUEST: &[Field] = &[
    field(
        Array { element: &Struct(DELETE_TOPICS_REQUEST_DELETE_TOPIC_STATE), element_memory_bytes: 72 },
        from(6),
    ),
    field(Array { element: &String, element_memory_bytes: 32 }, span(0, 5)),
    field(Fixed(4), from(0)),
];

static DELETE_RECORDS_REQUEST_DELETE_RECORDS_PARTITION: &[Field] =
    &[field(Fixed(4), from(0)), field(Fixed(8), from(0))];

static DELETE_RECORDS_REQUEST_DELETE_RECORDS_TOPIC: &[Field] = &[
    field(String, from(0)),
    field(
        Array { element: &Struct(DELETE_RECORDS_REQUEST_DELETE_RECORDS_PARTITION), element_memory_bytes: 40 },
        from(0),
    ),
];

static DELETE_RECORDS_REQUEST: &[Field] = &[
    field(
        Array { element: &Struct(DELETE_RECORDS_REQUEST_DELETE_RECORDS_TOPIC), element_memory_bytes: 80 },
        from(0),
    ),
    field(Fixed(4), from(0)),
];

static INIT_PRODUCER_ID_REQUEST: &[Field] = &[
    field(String, from(0)).nullable(from(0)),
    field(Fixed(4), from(0)),
    field(Fixed(8), from(3)),
    field(Fixed(2), from(3)),
    field(Fixed(1), from(6)),
    field(Fixed(1), from(6)),
];

static OFFSET_FOR_LEADER_EPOCH_REQUEST_OFFSET_FOR_LEADER_PARTITION: &[Field] =
    &[field(Fixed(4), from(0)), field(Fixed(4), from(2)), field(Fixed(4), from(0))];

static OFFSET_FOR_LEADER_EPOCH_REQUEST_OFFSET_FOR_LEADER_TOPIC: &[Field] = &[
    field(String, from(0)),
    field(
        Array {
            element: &Struct(OFFSET_FOR_LEADER_EPOCH_REQUEST_OFFSET_FOR_LEADER_PARTITION),
            element_memory_bytes: 40,
        },
        from(0),
    ),
];

static OFFSET_FOR_LEADER_EPOCH_REQUEST: &[Field] = &[
    field(Fixed(4), from(3)),
    field(
        Array {
            element: &Struct(OFFSET_FOR_LEADER_EPOCH_REQUEST_OFFSET_FOR_LEADER_TOPIC),
            element_memory_bytes: 80,
        },
        from(0),
    ),
];

static ADD_PARTITIONS_TO_TXN_REQUEST_ADD_PARTITIONS_TO_TXN_TOPIC: &[Field] =
    &[field(String, from(0)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(0))];

static ADD_PARTITIONS_TO_TXN_REQUEST_ADD_PARTITIONS_TO_TXN_TRANSACTION: &[Field] = &[
    field(String, from(4)),
    field(Fixed(8), from(4)),
    field(Fixed(2), from(4)),
    field(Fixed(1), from(4)),
    field(
        Array {
            element: &Struct(ADD_PARTITIONS_TO_TXN_REQUEST_ADD_PARTITIONS_TO_TXN_TOPIC),
            element_memory_bytes: 80,
        },
        from(4),
    ),
];

static ADD_PARTITIONS_TO_TXN_REQUEST: &[Field] = &[
    field(
        Array {
            element: &Struct(ADD_PARTITIONS_TO_TXN_REQUEST_ADD_PARTITIONS_TO_TXN_TRANSACTION),
            element_memory_bytes: 96,
        },
        from(4),
    ),
    field(String, span(0, 3)),
    field(Fixed(8), span(0, 3)),
    field(Fixed(2), span(0, 3)),
    field(
        Array {
            element: &Struct(ADD_PARTITIONS_TO_TXN_REQUEST_ADD_PARTITIONS_TO_TXN_TOPIC),
            element_memory_bytes: 80,
        },
        span(0, 3),
    ),
];

static ADD_OFFSETS_TO_TXN_REQUEST: &[Field] =
    &[field(String, from(0)), field(Fixed(8), from(0)), field(Fixed(2), from(0)), field(String, from(0))];

static END_TXN_REQUEST: &[Field] =
    &[field(String, from(0)), field(Fixed(8), from(0)), field(Fixed(2), from(0)), field(Fixed(1), from(0))];

static WRITE_TXN_MARKERS_REQUEST_WRITABLE_TXN_MARKER_TOPIC: &[Field] =
    &[field(String, from(0)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(0))];

static WRITE_TXN_MARKERS_REQUEST_WRITABLE_TXN_MARKER: &[Field] = &[
    field(Fixed(8), from(0)),
    field(Fixed(2), from(0)),
    field(Fixed(1), from(0)),
    field(
        Array {
            element: &Struct(WRITE_TXN_MARKERS_REQUEST_WRITABLE_TXN_MARKER_TOPIC),
            element_memory_bytes: 80,
        },
        from(0),
    ),
    field(Fixed(4), from(0)),
    field(Fixed(1), from(2)),
];

static WRITE_TXN_MARKERS_REQUEST: &[Field] = &[field(
    Array { element: &Struct(WRITE_TXN_MARKERS_REQUEST_WRITABLE_TXN_MARKER), element_memory_bytes: 64 },
    from(0),
)];

static TXN_OFFSET_COMMIT_REQUEST_TXN_OFFSET_COMMIT_REQUEST_PARTITION: &[Field] = &[
    field(Fixed(4), from(0)),
    field(Fixed(8), from(0)),
    field(Fixed(4), from(2)),
    field(String, from(0)).nullable(from(0)),
];

static TXN_OFFSET_COMMIT_REQUEST_TXN_OFFSET_COMMIT_REQUEST_TOPIC: &[Field] = &[
    field(String, from(0)),
    field(
        Array {
            element: &Struct(TXN_OFFSET_COMMIT_REQUEST_TXN_OFFSET_COMMIT_REQUEST_PARTITION),
            element_memory_bytes: 72,
        },
        from(0),
    ),
];

static TXN_OFFSET_COMMIT_REQUEST: &[Field] = &[
    field(String, from(0)),
    field(String, from(0)),
    field(Fixed(8), from(0)),
    field(Fixed(2), from(0)),
    field(Fixed(4), from(3)),
    field(String, from(3)),
    field(String, from(3)).nullable(from(3)),
    field(
        Array {
            element: &Struct(TXN_OFFSET_COMMIT_REQUEST_TXN_OFFSET_COMMIT_REQUEST_TOPIC),
            element_memory_bytes: 80,
        },
        from(0),
    ),
];

static DESCRIBE_CONFIGS_REQUEST_DESCRIBE_CONFIGS_RESOURCE: &[Field] = &[
    field(Fixed(1), from(0)),
    field(String, from(0)),
    field(Array { element: &String, element_memory_bytes: 32 }, from(0)).nullable(from(0)),
];

static DESCRIBE_CONFIGS_REQUEST: &[Field] = &[
    field(
        Array {
            element: &Struct(DESCRIBE_CONFIGS_REQUEST_DESCRIBE_CONFIGS_RESOURCE),
            element_memory_bytes: 88,
        },
        from(0),
    ),
    field(Fixed(1), from(1)),
    field(Fixed(1), from(3)),
];

static ALTER_CONFIGS_REQUEST_ALTERABLE_CONFIG: &[Field] =
    &[field(String, from(0)), field(String, from(0)).nullable(from(0))];

static ALTER_CONFIGS_REQUEST_ALTER_CONFIGS_RESOURCE: &[Field] = &[
    field(Fixed(1), from(0)),
    field(String, from(0)),
    field(
        Array { element: &Struct(ALTER_CONFIGS_REQUEST_ALTERABLE_CONFIG), element_memory_bytes: 88 },
        from(0),
    ),
];

static ALTER_CONFIGS_REQUEST: &[Field] = &[
    field(
        Array { element: &Struct(ALTER_CONFIGS_REQUEST_ALTER_CONFIGS_RESOURCE), element_memory_bytes: 88 },
        from(0),
    ),
    field(Fixed(1), from(0)),
];

static DESCRIBE_LOG_DIRS_REQUEST_DESCRIBABLE_LOG_DIR_TOPIC: &[Field] =
    &[field(String, from(0)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(0))];

static DESCRIBE_LOG_DIRS_REQUEST: &[Field] = &[field(
    Array { element: &Struct(DESCRIBE_LOG_DIRS_REQUEST_DESCRIBABLE_LOG_DIR_TOPIC), element_memory_bytes: 80 },
    from(0),
)
.nullable(from(0))];

static CREATE_PARTITIONS_REQUEST_CREATE_PARTITIONS_ASSIGNMENT: &[Field] =
    &[field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(0))];

static CREATE_PARTITIONS_REQUEST_CREATE_PARTITIONS_TOPIC: &[Field] = &[
    field(String, from(0)),
    field(Fixed(4), from(0)),
    field(
        Array {
            element: &Struct(CREATE_PARTITIONS_REQUEST_CREATE_PARTITIONS_ASSIGNMENT),
            element_memory_bytes: 48,
        },
        from(0),
    )
    .nullable(from(0)),
];

static CREATE_PARTITIONS_REQUEST: &[Field] = &[
    field(
        Array {
            element: &Struct(CREATE_PARTITIONS_REQUEST_CREATE_PARTITIONS_TOPIC),
            element_memory_bytes: 88,
        },
        from(0),
    ),
    field(Fixed(4), from(0)),
    field(Fixed(1), from(0)),
];

static DELETE_GROUPS_REQUEST: &[Field] =
    &[field(Array { element: &String, element_memory_bytes: 32 }, from(0))];

static INCREMENTAL_ALTER_CONFIGS_REQUEST_ALTERABLE_CONFIG: &[Field] =
    &[field(String, from(0)), field(Fixed(1), from(0)), field(String, from(0)).nullable(from(0))];

static INCREMENTAL_ALTER_CONFIGS_REQUEST_ALTER_CONFIGS_RESOURCE: &[Field] = &[
    field(Fixed(1), from(0)),
    field(String, from(0)),
    field(
        Array {
            element: &Struct(INCREMENTAL_ALTER_CONFIGS_REQUEST_ALTERABLE_CONFIG),
            element_memory_bytes: 96,
        },
        from(0),
    ),
];

static INCREMENTAL_ALTER_CONFIGS_REQUEST: &[Field] = &[
    field(
        Array {
            element: &Struct(INCREMENTAL_ALTER_CONFIGS_REQUEST_ALTER_CONFIGS_RESOURCE),
            element_memory_bytes: 88,
        },
        from(0),
    ),
    field(Fixed(1), from(0)),
];

static OFFSET_DELETE_REQUEST_OFFSET_DELETE_REQUEST_PARTITION: &[Field] = &[field(Fixed(4), from(0))];

static OFFSET_DELETE_REQUEST_OFFSET_DELETE_REQUEST_TOPIC: &[Field] = &[
    field(String, from(0)),
    field(
        Array {
            element: &Struct(OFFSET_DELETE_REQUEST_OFFSET_DELETE_REQUEST_PARTITION),
            element_memory_bytes: 32,
        },
        from(0),
    ),
];

static OFFSET_DELETE_REQUEST: &[Field] = &[
    field(String, from(0)),
    field(
        Array {
            element: &Struct(OFFSET_DELETE_REQUEST_OFFSET_DELETE_REQUEST_TOPIC),
            element_memory_bytes: 80,
        },
        from(0),
    ),
];

static UPDATE_FEATURES_REQUEST_FEATURE_UPDATE_KEY: &[Field] = &[
    field(String, from(0)),
    field(Fixed(2), from(0)),
    field(Fixed(1), span(0, 0)),
    field(Fixed(1), from(1)),
];

static UPDATE_FEATURES_REQUEST: &[Field] = &[
    field(Fixed(4), from(0)),
    field(
        Array { element: &Struct(UPDATE_FEATURES_REQUEST_FEATURE_UPDATE_KEY), element_memory_bytes: 64 },
        from(0),
    ),
    field(Fixed(1), from(1)),
];

static DESCRIBE_CLUSTER_REQUEST: &[Field] =
    &[field(Fixed(1), from(0)), field(Fixed(1), from(1)), field(Fixed(1), from(2))];

static DESCRIBE_PRODUCERS_REQUEST_TOPIC_REQUEST: &[Field] =
    &[field(String, from(0)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(0))];

static DESCRIBE_PRODUCERS_REQUEST: &[Field] = &[field(
    Array { element: &Struct(DESCRIBE_PRODUCERS_REQUEST_TOPIC_REQUEST), element_memory_bytes: 80 },
    from(0),
)];

static DESCRIBE_TRANSACTIONS_REQUEST: &[Field] =
    &[field(Array { element: &String, element_memory_bytes: 32 }, from(0))];

static LIST_TRANSACTIONS_REQUEST: &[Field] = &[
    field(Array { element: &String, element_memory_bytes: 32 }, from(0)),
    field(Array { element: &Fixed(8), element_memory_bytes: 8 }, from(0)),
    field(Fixed(8), from(1)),
    field(String, from(2)).nullable(from(2)),
];

static CONSUMER_GROUP_HEARTBEAT_REQUEST_TOPIC_PARTITIONS: &[Field] =
    &[field(Fixed(16), from(0)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(0))];

static CONSUMER_GROUP_HEARTBEAT_REQUEST: &[Field] = &[
    field(String, from(0)),
    field(String, from(0)),
    field(Fixed(4), from(0)),
    field(String, from(0)).nullable(from(0)),
    field(String, from(0)).nullable(from(0)),
    field(Fixed(4), from(0)),
    field(Array { element: &String, element_memory_bytes: 32 }, from(0)).nullable(from(0)),
    field(String, from(1)).nullable(from(1)),
    field(String, from(0)).nullable(from(0)),
    field(
        Array {
            element: &Struct(CONSUMER_GROUP_HEARTBEAT_REQUEST_TOPIC_PARTITIONS),
            element_memory_bytes: 64,
        },
        from(0),
    )
    .nullable(from(0)),
];

static CONSUMER_GROUP_DESCRIBE_REQUEST: &[Field] =
    &[field(Array { element: &String, element_memory_bytes: 32 }, from(0)), field(Fixed(1), from(0))];

static DESCRIBE_TOPIC_PARTITIONS_REQUEST_TOPIC_REQUEST: &[Field] = &[field(String, from(0))];

static DESCRIBE_TOPIC_PARTITIONS_REQUEST_CURSOR: &[Field] =
    &[field(String, from(0)), field(Fixed(4), from(0))];

static DESCRIBE_TOPIC_PARTITIONS_REQUEST: &[Field] = &[
    field(
        Array { element: &Struct(DESCRIBE_TOPIC_PARTITIONS_REQUEST_TOPIC_REQUEST), element_memory_bytes: 56 },
        from(0),
    ),
    field(Fixed(4), from(0)),
    field(Struct(DESCRIBE_TOPIC_PARTITIONS_REQUEST_CURSOR), from(0)).nullable(from(0)),
];

static CONSUMER_PROTOCOL_SUBSCRIPTION_TOPIC_PARTITION: &[Field] =
    &[field(String, from(1)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(1))];

static CONSUMER_PROTOCOL_SUBSCRIPTION: &[Field] = &[
    field(Array { element: &String, element_memory_bytes: 32 }, from(0)),
    field(Bytes, from(0)).nullable(from(0)),
    field(
        Array { element: &Struct(CONSUMER_PROTOCOL_SUBSCRIPTION_TOPIC_PARTITION), element_memory_bytes: 80 },
        from(1),
    ),
    field(Fixed(4), from(2)),
    field(String, from(3)).nullable(from(3)),
];

static CONSUMER_PROTOCOL_ASSIGNMENT_TOPIC_PARTITION: &[Field] =
    &[field(String, from(0)), field(Array { element: &Fixed(4), element_memory_bytes: 4 }, from(0))];

static CONSUMER_PROTOCOL_ASSIGNMENT: &[Field] = &[
    field(
        Array { element: &Struct(CONSUMER_PROTOCOL_ASSIGNMENT_TOPIC_PARTITION), element_memory_bytes: 80 },
        from(0),
    ),
    field(Bytes, from(0)).nullable(from(0)),
];
