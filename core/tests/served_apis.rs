//! Every API and version of the dispatch table, through a whole broker: the request of each version is answered, and
//! the answer decodes as that version and has the shape that is expected of it. An API that is added to the table
//! fails here until it has its request.

#![allow(clippy::unwrap_used)]

mod common;

use common::raw::RawClient;
use common::{classic_apis, offset_apis, offsets_in_transactions, transaction_apis};
use fluxmq::config::BrokerConfig;
use fluxmq::dispatch::TABLE;
use fluxmq::server::{self, BrokerHandle};
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use fluxmq_protocol::messages::delete_topics_request::DeleteTopicState;
use fluxmq_protocol::messages::describe_configs_request::DescribeConfigsResource;
use fluxmq_protocol::messages::describe_producers_request::TopicRequest;
use fluxmq_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use fluxmq_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use fluxmq_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use fluxmq_protocol::messages::metadata_request::MetadataRequestTopic;
use fluxmq_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{
    AlterConfigsRequest, ApiKey, ApiVersionsRequest, BrokerId, ConsumerGroupDescribeRequest,
    ConsumerGroupHeartbeatRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeTopicPartitionsRequest, FetchRequest, FindCoordinatorRequest, GroupId,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, TopicName, alter_configs_request,
};
use fluxmq_storage::batch::BatchBuilder;
use uuid::Uuid;

/// A broker with the topic `t` of two partitions, and the records that a version of Produce has left in `t-0`.
struct Fixture {
    client: RawClient,
    broker: BrokerHandle,
    topic_id: Uuid,
    end_offset: i64,
}

fn t() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

fn named(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

#[test]
fn every_version_of_every_api_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let broker = server::start(BrokerConfig::for_tests(directory.path())).unwrap();
    let mut client = RawClient::connect(broker.addr());
    let topic = CreatableTopic::default().with_name(t()).with_num_partitions(2).with_replication_factor(1);
    let created = client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
    let topic_id = created.topics[0].topic_id;
    // Makes the topic of the groups.
    client.call(0, &FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("g")));
    let mut fixture = Fixture { client, broker, topic_id, end_offset: 0 };
    let mut asked = 0;
    // In the order of the keys: Produce comes first, and what reads records finds some.
    for api in TABLE {
        for version in api.min_version..=api.max_version {
            fixture.ask(api.key, version);
            asked += 1;
        }
    }
    assert!(asked > TABLE.len());
    fixture.broker.shutdown().unwrap();
}

impl Fixture {
    fn ask(&mut self, key: ApiKey, version: i16) {
        match key {
            ApiKey::Produce => self.produce(version),
            ApiKey::Fetch => self.fetch(version),
            ApiKey::ListOffsets => self.list_offsets(version),
            ApiKey::Metadata => self.metadata(version),
            ApiKey::FindCoordinator => self.find_coordinator(version),
            ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::DescribeGroups
            | ApiKey::ListGroups
            | ApiKey::DeleteGroups
            | ApiKey::OffsetDelete => offset_apis::ask(&mut self.client, key, version),
            ApiKey::TxnOffsetCommit => offsets_in_transactions::ask(&mut self.client, version),
            ApiKey::JoinGroup | ApiKey::Heartbeat | ApiKey::LeaveGroup | ApiKey::SyncGroup => {
                classic_apis::ask(&mut self.client, key, version);
            }
            ApiKey::AddPartitionsToTxn
            | ApiKey::AddOffsetsToTxn
            | ApiKey::EndTxn
            | ApiKey::WriteTxnMarkers
            | ApiKey::DescribeTransactions
            | ApiKey::ListTransactions
            | ApiKey::UpdateFeatures => transaction_apis::ask(&mut self.client, key, version),
            ApiKey::ApiVersions => self.api_versions(version),
            ApiKey::CreateTopics => self.create_topics(version),
            ApiKey::DeleteTopics => self.delete_topics(version),
            ApiKey::DeleteRecords => self.delete_records(version),
            ApiKey::InitProducerId => self.init_producer_id(version),
            ApiKey::OffsetForLeaderEpoch => self.offset_for_leader_epoch(version),
            ApiKey::DescribeConfigs => self.describe_configs(version),
            ApiKey::AlterConfigs => self.alter_configs(version),
            ApiKey::DescribeLogDirs => self.describe_log_dirs(version),
            ApiKey::CreatePartitions => self.create_partitions(version),
            ApiKey::IncrementalAlterConfigs => self.incremental_alter_configs(version),
            ApiKey::DescribeCluster => self.describe_cluster(version),
            ApiKey::DescribeProducers => self.describe_producers(version),
            ApiKey::ConsumerGroupHeartbeat => self.consumer_group_heartbeat(version),
            ApiKey::ConsumerGroupDescribe => self.consumer_group_describe(version),
            ApiKey::DescribeTopicPartitions => self.describe_topic_partitions(version),
            key => panic!("{key:?} is served and has no request here"),
        }
    }

    fn produce(&mut self, version: i16) {
        let batch =
            BatchBuilder::new().record(1_000 + i64::from(version), Some(b"key"), Some(b"value")).build();
        let partition =
            PartitionProduceData::default().with_index(0).with_records(Some(batch.bytes().clone()));
        let topic = TopicProduceData::default().with_partition_data(vec![partition]);
        let topic = if version >= 13 { topic.with_topic_id(self.topic_id) } else { topic.with_name(t()) };
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic]);
        let response = self.client.call(version, &request);
        let topic = &response.responses[0];
        assert_eq!((topic.topic_id == self.topic_id, topic.name == t()), (version >= 13, version < 13));
        let partition = &topic.partition_responses[0];
        assert_eq!((partition.index, partition.error_code), (0, 0), "v{version}");
        assert_eq!(partition.base_offset, self.end_offset, "v{version}");
        assert_eq!(partition.log_append_time_ms, -1);
        assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
        self.end_offset += 1;
    }

    fn fetch(&mut self, version: i16) {
        let partition = FetchPartition::default()
            .with_partition(0)
            .with_fetch_offset(0)
            .with_partition_max_bytes(1_000_000);
        let topic = FetchTopic::default().with_partitions(vec![partition]);
        let topic = if version >= 13 { topic.with_topic_id(self.topic_id) } else { topic.with_topic(t()) };
        let request = FetchRequest::default()
            .with_max_wait_ms(10_000)
            .with_min_bytes(i32::from(self.end_offset > 0))
            .with_max_bytes(1_000_000)
            .with_topics(vec![topic]);
        let request = if version < 15 { request.with_replica_id(BrokerId(-1)) } else { request };
        let response = self.client.call(version, &request);
        assert_eq!(response.error_code, 0);
        let topic = &response.responses[0];
        assert_eq!((topic.topic_id == self.topic_id, topic.topic == t()), (version >= 13, version < 13));
        let partition = &topic.partitions[0];
        assert_eq!((partition.partition_index, partition.error_code), (0, 0), "v{version}");
        assert_eq!(
            (partition.high_watermark, partition.last_stable_offset),
            (self.end_offset, self.end_offset)
        );
        assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
        let records = partition.records.as_ref().unwrap();
        let batches = usize::try_from(self.end_offset).unwrap();
        assert!(records.len() >= batches * 61, "v{version}: {} bytes of {batches} batches", records.len());
    }

    fn list_offsets(&mut self, version: i16) {
        for (timestamp, offset) in [(-1, self.end_offset), (-2, 0), (0, 0)] {
            let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(timestamp);
            let topic = ListOffsetsTopic::default().with_name(t()).with_partitions(vec![partition]);
            let request =
                ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
            let response = self.client.call(version, &request);
            let partition = &response.topics[0].partitions[0];
            assert_eq!((partition.error_code, partition.offset), (0, offset), "v{version} {timestamp}");
            let epoch = if version >= 4 { 0 } else { -1 };
            assert_eq!(partition.leader_epoch, epoch, "v{version} {timestamp}");
        }
    }

    fn metadata(&mut self, version: i16) {
        let topic = MetadataRequestTopic::default().with_name(Some(t()));
        let response = self.client.call(version, &MetadataRequest::default().with_topics(Some(vec![topic])));
        assert_eq!((response.brokers.len(), response.topics.len()), (1, 1));
        assert_eq!((response.topics[0].error_code, response.topics[0].partitions.len()), (0, 2));
    }

    fn find_coordinator(&mut self, version: i16) {
        let request = FindCoordinatorRequest::default();
        let request = if version >= 4 {
            let keys = ["g", "h"].map(StrBytes::from_static_str);
            request.with_coordinator_keys(keys.to_vec())
        } else {
            request.with_key(StrBytes::from_static_str("g"))
        };
        let port = i32::from(self.broker.addr().port());
        let response = self.client.call(version, &request);
        if version >= 4 {
            let found = |key| (key, 0, Some(""), 1, port);
            let coordinators: Vec<_> = response
                .coordinators
                .iter()
                .map(|found| {
                    let message = found.error_message.as_deref();
                    (found.key.as_str(), found.error_code, message, found.node_id.0, found.port)
                })
                .collect();
            assert_eq!(coordinators, [found("g"), found("h")], "v{version}");
        } else {
            let message = (version >= 1).then_some("NONE");
            assert_eq!((response.error_code, response.node_id.0, response.port), (0, 1, port), "v{version}");
            assert_eq!(response.error_message.as_deref(), message.or(Some("")), "v{version}");
        }
        if version >= 1 {
            let response = self.client.call(version, &request.with_key_type(1));
            let found = response.coordinators.iter().map(|found| (found.error_code, found.port));
            let found: Vec<_> =
                if version >= 4 { found.collect() } else { vec![(response.error_code, response.port)] };
            assert!(found.iter().all(|one| *one == (0, port)), "v{version}: {found:?}");
        }
    }

    fn consumer_group_heartbeat(&mut self, version: i16) {
        let member_id = if version >= 1 { "chosen" } else { "" };
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(format!("consumers-{version}"))))
            .with_member_id(StrBytes::from_static_str(member_id))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![t()]))
            .with_topic_partitions(Some(Vec::new()));
        let response = self.client.call(version, &request);
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        let epoch = response.member_epoch;
        let given = response.member_id.unwrap();
        assert!(!given.is_empty() && (version < 1 || given.as_str() == member_id), "v{version}: {given}");
        let assigned = response.assignment.unwrap().topic_partitions;
        assert_eq!((assigned[0].topic_id, assigned[0].partitions.as_slice()), (self.topic_id, &[0, 1][..]));
        let again = request.with_member_id(given).with_member_epoch(epoch).with_subscribed_topic_names(None);
        let response = self.client.call(version, &again.with_topic_partitions(None));
        assert_eq!((response.error_code, response.member_epoch, response.assignment), (0, epoch, None));
    }

    /// After the heartbeats, whose groups it finds.
    fn consumer_group_describe(&mut self, version: i16) {
        let ids = [format!("consumers-{version}"), "no-such".to_owned()];
        let ids = ids.map(|id| GroupId(StrBytes::from_string(id)));
        let request = ConsumerGroupDescribeRequest::default()
            .with_group_ids(ids.to_vec())
            .with_include_authorized_operations(true);
        let response = self.client.call(version, &request);
        let found = response.groups.iter().find(|group| group.group_id == ids[0]).unwrap();
        assert_eq!((found.error_code, found.group_state.as_str()), (0, "Stable"));
        assert_eq!(found.authorized_operations, 0b1101_0100_1000);
        let member = &found.members[0];
        assert_eq!((member.client_host.as_str(), member.member_epoch), ("/127.0.0.1", found.group_epoch));
        assert_eq!(member.member_type, if version >= 1 { 1 } else { -1 });
        let unknown = response.groups.iter().find(|group| group.group_id == ids[1]).unwrap();
        assert_eq!((unknown.error_code, unknown.authorized_operations), (69, i32::MIN));
    }

    fn api_versions(&mut self, version: i16) {
        let request = ApiVersionsRequest::default();
        let request = if version >= 3 {
            request
                .with_client_software_name(StrBytes::from_static_str("raw"))
                .with_client_software_version(StrBytes::from_static_str("1.0"))
        } else {
            request
        };
        let response = self.client.call(version, &request);
        assert_eq!((response.error_code, response.api_keys.len()), (0, TABLE.len()));
        let finalized: Vec<_> = response
            .finalized_features
            .iter()
            .map(|feature| (feature.name.as_str(), feature.min_version_level, feature.max_version_level))
            .collect();
        assert_eq!(
            finalized,
            if version >= 3 { vec![("group.version", 1, 1), ("transaction.version", 2, 2)] } else { vec![] }
        );
        let supported = response.supported_features.iter();
        let supported: Vec<_> = supported
            .map(|feature| (feature.name.as_str(), feature.min_version, feature.max_version))
            .collect();
        assert_eq!(
            supported,
            if version >= 4 { vec![("group.version", 0, 1), ("transaction.version", 0, 2)] } else { vec![] }
        );
        for (told, api) in response.api_keys.iter().zip(TABLE) {
            let range = (api.key as i16, api.advertised_min_version, api.max_version);
            assert_eq!((told.api_key, told.min_version, told.max_version), range);
        }
    }

    fn create_topics(&mut self, version: i16) {
        let topic = CreatableTopic::default()
            .with_name(named(&format!("created-{version}")))
            .with_num_partitions(1)
            .with_replication_factor(1);
        let response = self.client.call(version, &CreateTopicsRequest::default().with_topics(vec![topic]));
        let topic = &response.topics[0];
        assert_eq!((topic.error_code, &topic.error_message), (0, &None));
        assert_eq!(topic.num_partitions, if version >= 5 { 1 } else { -1 });
        assert_eq!(topic.topic_id.is_nil(), version < 7);
    }

    fn delete_topics(&mut self, version: i16) {
        let name = named(&format!("deleted-{version}"));
        let topic = CreatableTopic::default()
            .with_name(name.clone())
            .with_num_partitions(1)
            .with_replication_factor(1);
        self.client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
        let request = if version < 6 {
            DeleteTopicsRequest::default().with_topic_names(vec![name.clone()])
        } else {
            DeleteTopicsRequest::default()
                .with_topics(vec![DeleteTopicState::default().with_name(Some(name.clone()))])
        };
        let response = self.client.call(version, &request);
        assert_eq!((response.responses[0].error_code, &response.responses[0].name), (0, &Some(name)));
    }

    fn delete_records(&mut self, version: i16) {
        let offset = i64::from(version) + 1;
        let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(t()).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let response = self.client.call(version, &request);
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.low_watermark), (0, offset), "v{version}");
    }

    fn init_producer_id(&mut self, version: i16) {
        let request =
            InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        let (first, second) = (self.client.call(version, &request), self.client.call(version, &request));
        assert_eq!((first.error_code, first.producer_epoch), (0, 0), "v{version}");
        assert!(second.producer_id.0 > first.producer_id.0);
        for epoch in 0..2 {
            let given =
                transaction_apis::try_init(&mut self.client, version, &format!("init-{version}"), 1_000);
            assert_eq!((given.error_code, given.producer_epoch), (0, epoch), "v{version}");
        }
    }

    fn offset_for_leader_epoch(&mut self, version: i16) {
        let partition = OffsetForLeaderPartition::default().with_partition(0).with_leader_epoch(0);
        let topic = OffsetForLeaderTopic::default().with_topic(t()).with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let request = if version >= 3 { request.with_replica_id(BrokerId(-1)) } else { request };
        let response = self.client.call(version, &request);
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.leader_epoch), (0, 0), "v{version}");
        assert_eq!(partition.end_offset, self.end_offset, "v{version}");
    }

    fn describe_configs(&mut self, version: i16) {
        for (resource_type, name) in [(2, "t"), (4, "1")] {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(resource_type)
                .with_resource_name(StrBytes::from_static_str(name))
                .with_configuration_keys(None);
            let request = DescribeConfigsRequest::default()
                .with_resources(vec![resource])
                .with_include_synonyms(true)
                .with_include_documentation(version >= 3);
            let response = self.client.call(version, &request);
            let result = &response.results[0];
            assert_eq!((result.error_code, result.resource_type), (0, resource_type), "v{version}");
            assert!(result.configs.len() >= 33, "v{version}: {} settings", result.configs.len());
            let documented = result
                .configs
                .iter()
                .all(|config| config.documentation.as_ref().is_some_and(|text| !text.is_empty()));
            assert_eq!(documented, version >= 3, "v{version}");
        }
    }

    fn alter_configs(&mut self, version: i16) {
        let config = alter_configs_request::AlterableConfig::default()
            .with_name(StrBytes::from_static_str("file.delete.delay.ms"))
            .with_value(Some(StrBytes::from_static_str("50000")));
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(StrBytes::from_static_str("t"))
            .with_configs(vec![config]);
        let response =
            self.client.call(version, &AlterConfigsRequest::default().with_resources(vec![resource]));
        let result = &response.responses[0];
        assert_eq!((result.error_code, &result.error_message), (0, &None), "v{version}");
    }

    fn incremental_alter_configs(&mut self, version: i16) {
        for (resource_type, name, key, value) in
            [(2, "t", "file.delete.delay.ms", "50000"), (32, "g", "consumer.session.timeout.ms", "50000")]
        {
            let config = AlterableConfig::default()
                .with_name(StrBytes::from_static_str(key))
                .with_value(Some(StrBytes::from_static_str(value)));
            let resource = AlterConfigsResource::default()
                .with_resource_type(resource_type)
                .with_resource_name(StrBytes::from_static_str(name))
                .with_configs(vec![config]);
            let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            let response = self.client.call(version, &request);
            let result = &response.responses[0];
            assert_eq!((result.error_code, &result.error_message), (0, &None), "v{version}");
            assert_eq!((result.resource_type, &*result.resource_name), (resource_type, name), "v{version}");
        }
    }

    fn describe_log_dirs(&mut self, version: i16) {
        let response = self.client.call(version, &DescribeLogDirsRequest::default().with_topics(None));
        let directory = &response.results[0];
        assert_eq!((response.results.len(), directory.error_code), (1, 0));
        let topic = directory.topics.iter().find(|topic| topic.name == t()).unwrap();
        assert_eq!(topic.partitions.len(), 2);
        let size_bytes = topic.partitions.iter().map(|partition| partition.partition_size).sum::<i64>();
        assert_eq!(size_bytes > 0, self.end_offset > 0);
    }

    fn create_partitions(&mut self, version: i16) {
        let name = named(&format!("grown-{version}"));
        let topic = CreatableTopic::default()
            .with_name(name.clone())
            .with_num_partitions(1)
            .with_replication_factor(1);
        self.client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
        let topic =
            CreatePartitionsTopic::default().with_name(name.clone()).with_count(3).with_assignments(None);
        let response =
            self.client.call(version, &CreatePartitionsRequest::default().with_topics(vec![topic]));
        let result = &response.results[0];
        assert_eq!((result.error_code, &result.error_message, &result.name), (0, &None, &name));
    }

    fn describe_cluster(&mut self, version: i16) {
        let response = self.client.call(version, &DescribeClusterRequest::default());
        assert_eq!((response.error_code, response.brokers.len(), response.endpoint_type), (0, 1, 1));
        assert_eq!(response.cluster_id.len(), 22);
    }

    fn describe_producers(&mut self, version: i16) {
        let topic = TopicRequest::default().with_name(t()).with_partition_indexes(vec![0, 9]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic]);
        let response = self.client.call(version, &request);
        let partitions = &response.topics[0].partitions;
        let found: Vec<_> = partitions
            .iter()
            .map(|partition| {
                (partition.partition_index, partition.error_code, partition.active_producers.len())
            })
            .collect();
        assert_eq!(found, [(0, 0, 0), (9, 3, 0)], "v{version}");
    }

    fn describe_topic_partitions(&mut self, version: i16) {
        let response = self.client.call(
            version,
            &DescribeTopicPartitionsRequest::default().with_response_partition_limit(2000).with_cursor(None),
        );
        let topic = response.topics.iter().find(|topic| topic.name == Some(t())).unwrap();
        assert_eq!((topic.error_code, topic.partitions.len()), (0, 2));
        assert!(response.next_cursor.is_none());
    }
}
