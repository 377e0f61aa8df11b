//! DescribeConfigs by raw frames: every version carries what it can.

#![allow(clippy::unwrap_used)]

mod common;

use common::raw::RawClient;
use fluxmq::config::BrokerConfig;
use fluxmq::server;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use fluxmq_protocol::messages::describe_configs_request::DescribeConfigsResource;
use fluxmq_protocol::messages::{CreateTopicsRequest, DescribeConfigsRequest, TopicName};

#[test]
fn every_version_describes_topics_and_the_broker() {
    let text = StrBytes::from_static_str;
    let dir = tempfile::tempdir().unwrap();
    let handle = server::start(BrokerConfig::for_tests(dir.path())).unwrap();
    let mut client = RawClient::connect(handle.addr());

    let config =
        CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text(" 1000 ")));
    let topic = CreatableTopic::default()
        .with_name(TopicName(text("t1")))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let created = client.call(7, &create);
    assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);

    let resource = |kind, name, keys: Option<&[&'static str]>| {
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
    };
    let request = |with_documentation| {
        DescribeConfigsRequest::default()
            .with_resources(vec![
                resource(2, "t1", Some(&["retention.ms"])),
                resource(4, "1", None),
                resource(2, "nosuch", None),
            ])
            .with_include_synonyms(true)
            .with_include_documentation(with_documentation)
    };
    for version in 1..=4 {
        let has_types = version >= 3;
        let response = client.call(version, &request(has_types));
        let [topic, broker, unknown] = &response.results[..] else { panic!("{response:?}") };
        let [retention] = &topic.configs[..] else { panic!("{topic:?}") };
        assert_eq!(retention.value.as_deref(), Some("1000"));
        assert_eq!((retention.config_source, retention.synonyms.len()), (1, 1));
        assert_eq!(retention.config_type, if has_types { 5 } else { 0 });
        let documentation = retention.documentation.as_deref().unwrap_or_default();
        assert_eq!(!documentation.is_empty(), has_types);
        assert!(broker.configs.len() > 300, "{}", broker.configs.len());
        assert_eq!((unknown.error_code, unknown.configs.len()), (3, 0));
    }
    handle.shutdown().unwrap();
}
