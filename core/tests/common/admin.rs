//! A broker inside the test, and a client that administers its topics.

use std::net::SocketAddr;
use std::path::Path;

use fluxmq::config::BrokerConfig;
use fluxmq::server::{self, BrokerHandle};
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_topics_request::CreatableTopic;
use fluxmq_protocol::messages::create_topics_response::CreatableTopicResult;
use fluxmq_protocol::messages::metadata_request::MetadataRequestTopic;
use fluxmq_protocol::messages::metadata_response::MetadataResponseTopic;
use fluxmq_protocol::messages::{CreateTopicsRequest, MetadataRequest, TopicName};
use tempfile::TempDir;
use uuid::Uuid;

use super::raw::RawClient;

pub(crate) struct Fixture {
    pub(crate) client: RawClient,
    pub(crate) address: SocketAddr,
    pub(crate) broker: Option<BrokerHandle>,
    pub(crate) directory: TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let stopped = self.broker.take().map(BrokerHandle::shutdown);
        assert!(std::thread::panicking() || stopped.is_none_or(|stopped| stopped.is_ok()));
    }
}

pub(crate) fn fixture(settings: &[(&str, &str)]) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path(), settings);
    let address = broker.addr();
    Fixture { client: RawClient::connect(address), address, broker: Some(broker), directory }
}

pub(crate) fn start(directory: &Path, settings: &[(&str, &str)]) -> BrokerHandle {
    let mut config = BrokerConfig::for_tests(directory);
    for (key, value) in settings {
        match *key {
            "auto.create.topics.enable" => config.auto_create_topics_enable = value.parse().unwrap(),
            "delete.topic.enable" => config.delete_topic_enable = value.parse().unwrap(),
            "num.partitions" => config.num_partitions = value.parse().unwrap(),
            "broker.rack" => config.broker_rack = Some((*value).to_owned()),
            key => panic!("{key}"),
        }
    }
    server::start(config).unwrap()
}

pub(crate) fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

pub(crate) fn topic(text: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(text))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
}

impl Fixture {
    pub(crate) fn try_create(
        &mut self,
        version: i16,
        topics: Vec<CreatableTopic>,
    ) -> Vec<CreatableTopicResult> {
        self.create_request(version, topics, false)
    }

    pub(crate) fn validate(
        &mut self,
        version: i16,
        topics: Vec<CreatableTopic>,
    ) -> Vec<CreatableTopicResult> {
        self.create_request(version, topics, true)
    }

    pub(crate) fn create_request(
        &mut self,
        version: i16,
        topics: Vec<CreatableTopic>,
        validate_only: bool,
    ) -> Vec<CreatableTopicResult> {
        let request = CreateTopicsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(10_000)
            .with_validate_only(validate_only);
        let response = self.client.call(version, &request);
        assert_eq!(response.throttle_time_ms, 0);
        response.topics
    }

    pub(crate) fn create(&mut self, topics: &[(&str, i32)]) {
        let topics = topics.iter().map(|(text, partitions)| topic(text, *partitions, 1)).collect();
        for result in self.try_create(7, topics) {
            assert_eq!(result.error_code, 0, "{result:?}");
        }
    }

    pub(crate) fn metadata(&mut self, version: i16, names: Option<&[&str]>) -> Vec<MetadataResponseTopic> {
        let topics = names.map(|names| {
            names.iter().map(|text| MetadataRequestTopic::default().with_name(Some(name(text)))).collect()
        });
        let request =
            MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(version < 4);
        let mut topics = self.client.call(version, &request).topics;
        topics.sort_by_key(|topic| topic.name.clone());
        topics
    }

    pub(crate) fn id_of(&mut self, text: &str) -> Uuid {
        self.metadata(12, Some(&[text]))[0].topic_id
    }

    pub(crate) fn names(&mut self) -> Vec<String> {
        let topics = self.metadata(12, None);
        topics.into_iter().map(|topic| topic.name.unwrap().to_string()).collect()
    }
}
