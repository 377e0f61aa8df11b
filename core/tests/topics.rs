//! Changes of topics through a whole broker, by raw frames. Codes and texts are those that Apache Kafka 4.3.0 gave to the
//! same requests; where they differ, the handler's file says so.

#![allow(clippy::unwrap_used)]

mod common;

use common::admin::{Fixture, fixture, name, start, topic};
use common::raw::RawClient;
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use fluxmq_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use fluxmq_protocol::messages::create_topics_response::CreatableTopicResult;
use fluxmq_protocol::messages::delete_topics_request::DeleteTopicState;
use fluxmq_protocol::messages::{BrokerId, CreatePartitionsRequest, DeleteTopicsRequest};
use uuid::Uuid;

fn assigned(text: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|(index, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
    });
    topic(text, -1, -1).with_assignments(assignments.collect())
}

fn configured(text: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs.iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string((*key).to_owned()))
            .with_value(value.map(|value| StrBytes::from_string(value.to_owned())))
    });
    topic(text, 1, 1).with_configs(configs.collect())
}

/// Name, code and text of each result.
fn outcomes(results: &[CreatableTopicResult]) -> Vec<(&str, i16, Option<&str>)> {
    results
        .iter()
        .map(|result| (result.name.as_str(), result.error_code, result.error_message.as_deref()))
        .collect()
}

#[test]
fn create_topics_checks_names_and_counts() {
    let mut fixture = fixture(&[("num.partitions", "3")]);
    let results = fixture.try_create(7, vec![topic("p.a", 2, 1), topic("p_a", 1, 1), topic("b", -1, -1)]);
    // Kafka compares a name with the topics that are there, not with the others of the request.
    assert_eq!(outcomes(&results), [("p.a", 0, None), ("p_a", 0, None), ("b", 0, None)]);
    assert_eq!((results[0].num_partitions, results[0].replication_factor), (2, 1));
    assert_eq!(results[2].num_partitions, 3);
    assert!(!results[2].topic_id.is_nil());
    assert_eq!(fixture.id_of("b"), results[2].topic_id);

    let long = "x".repeat(250);
    let too_long =
        format!("Topic name is invalid: the length of '{long}' is longer than the max allowed length 249");
    let cases: &[(CreatableTopic, i16, &str)] = &[
        (topic("p.a", 2, 1), 36, "Topic 'p.a' already exists."),
        (topic("b", 2, 1), 36, "Topic 'b' already exists."),
        (topic("", 1, 1), 17, "Topic name is invalid: the empty string is not allowed"),
        (topic(".", 1, 1), 17, "Topic name is invalid: '.' is not allowed"),
        (topic("..", 1, 1), 17, "Topic name is invalid: '..' is not allowed"),
        (
            topic("a b", 1, 1),
            17,
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        (topic(&long, 1, 1), 17, &too_long),
        (topic("v", 0, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (topic("v", -2, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (topic("v", 1, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (topic("v", 1, -2), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (topic("v", 0, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (
            topic("v", 1, 3),
            38,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because \
             only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
        ),
        (
            topic("__cluster_metadata", 1, 1),
            42,
            "Creation of internal topic __cluster_metadata is prohibited.",
        ),
    ];
    for (asked, code, text) in cases {
        for version in [2, 7] {
            let results = fixture.try_create(version, vec![asked.clone()]);
            assert_eq!(outcomes(&results), [(asked.name.as_str(), *code, Some(*text))], "v{version}");
            assert_eq!((results[0].num_partitions, results[0].replication_factor), (-1, -1));
            assert!(results[0].topic_id.is_nil());
        }
    }
    let results = fixture.try_create(7, vec![topic("p-a", 1, 1), topic(&"x".repeat(249), 1, 1)]);
    assert!(results.iter().all(|result| result.error_code == 0), "{results:?}");
    fixture.create(&[("c.d", 1)]);
    let results = fixture.try_create(7, vec![topic("c_d", 1, 1)]);
    assert_eq!(outcomes(&results), [("c_d", 17, Some("Topic 'c_d' collides with existing topic: c.d"))]);
}

#[test]
fn create_topics_refuses_duplicates_and_excess_as_kafka_does() {
    let mut fixture = fixture(&[]);
    let results = fixture.try_create(7, vec![topic("d", 1, 1), topic("e", 1, 1), topic("d", 2, 1)]);
    assert_eq!(outcomes(&results), [("e", 0, None), ("d", 42, Some("Duplicate topic name."))]);
    assert_eq!(fixture.names(), ["e"]);

    let excess = Some("Excessively large number of partitions per request.");
    let results = fixture.try_create(7, vec![topic("big", 10_000, 1), topic("small", 1, 1)]);
    assert_eq!(outcomes(&results), [("big", 44, excess), ("small", 44, excess)]);
    let results = fixture.try_create(7, vec![topic("big", i32::MAX, 1)]);
    assert_eq!(outcomes(&results), [("big", 44, excess)]);
    let results = fixture.try_create(7, vec![topic("big", 10_000, 1)]);
    let batch = Some("Unable to perform excessively large batch operation.");
    assert_eq!(outcomes(&results), [("big", 44, batch)]);
    assert_eq!(fixture.try_create(7, Vec::new()).len(), 0);
    assert_eq!(fixture.names(), ["e"]);
}

#[test]
fn create_topics_takes_assignments_to_this_broker_alone() {
    let mut fixture = fixture(&[]);
    let cases: &[(CreatableTopic, i16, &str)] = &[
        (
            assigned("m", &[(0, &[1])]).with_num_partitions(2),
            42,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (
            assigned("m", &[(0, &[1])]).with_replication_factor(1),
            42,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        (
            assigned("m", &[(0, &[1]), (2, &[1])]),
            39,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (assigned("m", &[(1, &[1])]), 39, "partitions should be a consecutive 0-based integer sequence"),
        (assigned("m", &[(-1, &[1])]), 39, "partitions should be a consecutive 0-based integer sequence"),
        (
            assigned("m", &[(0, &[1]), (0, &[1])]),
            39,
            "Found multiple manual partition assignments for partition 0",
        ),
        (assigned("m", &[(0, &[])]), 39, "The manual partition assignment includes an empty replica list."),
        (
            assigned("m", &[(0, &[2])]),
            39,
            "The manual partition assignment includes broker 2, but no such broker is registered.",
        ),
        (
            assigned("m", &[(0, &[1, 0])]),
            39,
            "The manual partition assignment includes broker 0, but no such broker is registered.",
        ),
        (
            assigned("m", &[(0, &[1, 1])]),
            39,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
    ];
    for (asked, code, text) in cases {
        assert_eq!(outcomes(&fixture.try_create(7, vec![asked.clone()])), [("m", *code, Some(*text))]);
    }
    let results = fixture.try_create(7, vec![assigned("m", &[(1, &[1]), (0, &[1])])]);
    assert_eq!((results[0].error_code, results[0].num_partitions, results[0].replication_factor), (0, 2, 1));
    assert_eq!(fixture.metadata(12, Some(&["m"]))[0].partitions.len(), 2);
}

#[test]
fn create_topics_checks_and_tells_settings() {
    let mut fixture = fixture(&[]);
    let cases: &[(CreatableTopic, &str)] = &[
        (
            configured("c", &[("retention.ms", None), ("x", None), ("y", Some("1"))]),
            "Null value not supported for topic configs: retention.ms,x",
        ),
        (configured("c", &[("nonsense", Some("1"))]), "Unknown topic config name: nonsense"),
        (
            configured("c", &[("retention.ms", Some("abc"))]),
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            configured("c", &[("retention.ms", Some("-2"))]),
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (
            configured("c", &[("cleanup.policy", Some("foo"))]).with_num_partitions(0),
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
    ];
    for (asked, text) in cases {
        assert_eq!(outcomes(&fixture.try_create(7, vec![asked.clone()])), [("c", 40, Some(*text))]);
    }
    let asked = configured("c", &[("retention.ms", Some("1")), ("retention.ms", Some("1000"))]);
    for version in 2..=7 {
        let results = fixture.validate(version, vec![asked.clone()]);
        assert_eq!(outcomes(&results), [("c", 0, None)]);
        let configs = results[0].configs.as_ref().unwrap();
        if version < 5 {
            assert_eq!((configs.len(), results[0].num_partitions), (0, -1));
            continue;
        }
        assert_eq!(configs.len(), 33, "Kafka 4.3 lists as many");
        assert!(configs.is_sorted_by_key(|config| config.name.to_string()));
        let found = |key: &str| configs.iter().find(|config| &*config.name == key).unwrap();
        let retention = found("retention.ms");
        assert_eq!((retention.value.as_deref(), retention.config_source), (Some("1000"), 1));
        let cleanup = found("cleanup.policy");
        assert_eq!((cleanup.value.as_deref(), cleanup.config_source), (Some("delete"), 5));
        assert!(configs.iter().all(|config| !config.read_only && !config.is_sensitive));
    }
    assert_eq!(fixture.names(), Vec::<String>::new(), "validation creates nothing");
}

#[test]
fn create_partitions_only_adds() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("b", 1), ("p", 2)]);
    let more = |text: &str, count: i32| {
        CreatePartitionsTopic::default().with_name(name(text)).with_count(count).with_assignments(None)
    };
    let assign = |text: &str, count: i32, assignments: &[&[i32]]| {
        let assignments = assignments.iter().map(|brokers| {
            CreatePartitionsAssignment::default()
                .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
        });
        more(text, count).with_assignments(Some(assignments.collect()))
    };
    let call = |fixture: &mut Fixture, version: i16, topics: Vec<CreatePartitionsTopic>, only: bool| {
        let request = CreatePartitionsRequest::default()
            .with_topics(topics)
            .with_timeout_ms(10_000)
            .with_validate_only(only);
        let results = fixture.client.call(version, &request).results;
        results
            .into_iter()
            .map(|result| (result.error_code, result.error_message.map(|text| text.to_string())))
            .collect::<Vec<_>>()
    };
    let cases = [
        (more("b", 1), 37, Some("Topic already has 1 partition(s).")),
        (more("p", 1), 37, Some("The topic p currently has 2 partition(s); 1 would not be an increase.")),
        (more("p", -5), 37, Some("The topic p currently has 2 partition(s); -5 would not be an increase.")),
        (more("nope", 3), 3, None),
        (more("", 3), 3, None),
        (
            assign("b", 3, &[&[1]]),
            39,
            Some("Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."),
        ),
        (
            assign("b", 3, &[]),
            39,
            Some("Attempted to add 2 additional partition(s), but only 0 assignment(s) were specified."),
        ),
        (
            assign("b", 3, &[&[1], &[2]]),
            39,
            Some("The manual partition assignment includes broker 2, but no such broker is registered."),
        ),
        (
            assign("b", 3, &[&[1], &[]]),
            39,
            Some("The manual partition assignment includes an empty replica list."),
        ),
        (more("b", 10_002), 44, Some("Excessively large number of partitions per request.")),
    ];
    for (asked, code, text) in cases {
        for only in [true, false] {
            let results = call(&mut fixture, 3, vec![asked.clone()], only);
            assert_eq!(results, [(code, text.map(str::to_owned))]);
        }
    }
    let duplicate = (42, Some("Duplicate topic name.".to_owned()));
    let results = call(&mut fixture, 3, vec![more("p", 4), more("b", 2), more("p", 4)], true);
    assert_eq!(results, [duplicate, (0, None)]);
    assert_eq!(fixture.metadata(12, Some(&["b"]))[0].partitions.len(), 1, "validation adds nothing");
    for (version, count) in (0..=3).zip(2..) {
        assert_eq!(call(&mut fixture, version, vec![more("b", count)], false), [(0, None)]);
        let partitions = &fixture.metadata(12, Some(&["b"]))[0].partitions;
        assert_eq!(i32::try_from(partitions.len()).unwrap(), count);
    }
    assert_eq!(call(&mut fixture, 3, vec![assign("p", 4, &[&[1], &[1]])], false), [(0, None)]);
}

#[test]
fn delete_topics_by_name_and_by_id() {
    let mut fixture = fixture(&[]);
    fixture.create(&[("a", 1), ("b", 2), ("c", 1), ("d", 1)]);
    let ids: Vec<Uuid> = ["a", "b", "c", "d"].map(|text| fixture.id_of(text)).into();
    let by_name = |fixture: &mut Fixture, version: i16, texts: &[&str]| {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(texts.iter().copied().map(name).collect())
            .with_timeout_ms(10_000);
        sorted(fixture.client.call(version, &request).responses)
    };
    let by_state = |fixture: &mut Fixture, topics: &[(Option<&str>, Uuid)]| {
        let topics = topics
            .iter()
            .map(|(text, id)| DeleteTopicState::default().with_name(text.map(name)).with_topic_id(*id));
        let request = DeleteTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(10_000);
        sorted(fixture.client.call(6, &request).responses)
    };
    fn sorted(
        mut results: Vec<fluxmq_protocol::messages::delete_topics_response::DeletableTopicResult>,
    ) -> Vec<(Option<String>, i16, Option<String>)> {
        results.sort_by_key(|result| (result.name.clone(), result.topic_id));
        results
            .into_iter()
            .map(|result| {
                let text = result.error_message.map(|text| text.to_string());
                (result.name.map(|name| name.to_string()), result.error_code, text)
            })
            .collect()
    }
    let outcome = |text: Option<&str>, code: i16, message: Option<&str>| {
        (text.map(str::to_owned), code, message.map(str::to_owned))
    };
    let nil = Uuid::nil();
    let unknown_name = Some("This server does not host this topic-partition.");
    let duplicate = Some("Duplicate topic name.");
    let supplied = Some("The provided topic name maps to an ID that was already supplied.");

    for version in 1..=5 {
        let text = |message| if version >= 5 { message } else { None };
        assert_eq!(
            by_name(&mut fixture, version, &["nope", "a", "a", ""]),
            [
                outcome(Some(""), 3, text(unknown_name)),
                outcome(Some("a"), 42, text(duplicate)),
                outcome(Some("nope"), 3, text(unknown_name)),
            ]
        );
    }
    let stranger = Uuid::from_u128(77 << 90);
    let twice = Uuid::from_u128(78 << 90);
    assert_eq!(
        by_state(
            &mut fixture,
            &[
                (None, nil),
                (Some("a"), ids[0]),
                (Some("nope"), nil),
                (None, stranger),
                (None, twice),
                (None, twice),
                (Some("x"), nil),
                (Some("x"), nil),
            ]
        ),
        [
            outcome(None, 42, Some("Neither topic name nor id were specified.")),
            outcome(None, 100, Some("This server does not host this topic ID.")),
            outcome(None, 42, Some("Duplicate topic id.")),
            outcome(Some("a"), 42, Some("You may not specify both topic name and topic id.")),
            outcome(Some("nope"), 3, unknown_name),
            outcome(Some("x"), 42, duplicate),
        ]
    );
    assert_eq!(
        by_state(&mut fixture, &[(None, ids[1]), (Some("b"), nil)]),
        [outcome(Some("b"), 42, supplied)]
    );
    assert_eq!(
        by_state(&mut fixture, &[(None, ids[1]), (None, ids[1]), (Some("b"), nil)]),
        [outcome(None, 42, Some("Duplicate topic id.")), outcome(Some("b"), 42, supplied)]
    );
    assert_eq!(fixture.names(), ["a", "b", "c", "d"], "nothing was deleted so far");

    assert_eq!(
        by_state(&mut fixture, &[(None, ids[1]), (Some("a"), nil)]),
        [outcome(Some("a"), 0, None), outcome(Some("b"), 0, None)]
    );
    assert_eq!(by_name(&mut fixture, 1, &["c"]), [outcome(Some("c"), 0, None)]);
    assert_eq!(by_name(&mut fixture, 5, &["d"]), [outcome(Some("d"), 0, None)]);
    assert_eq!(fixture.names(), Vec::<String>::new());
    fixture.create(&[("b", 1)]);
    assert_ne!(fixture.id_of("b"), ids[1]);
}

#[test]
fn deletion_can_be_switched_off() {
    let mut fixture = fixture(&[("delete.topic.enable", "false")]);
    fixture.create(&[("a", 1)]);
    for version in 1..=6 {
        let request = if version < 6 {
            DeleteTopicsRequest::default().with_topic_names(vec![name("a")])
        } else {
            DeleteTopicsRequest::default()
                .with_topics(vec![DeleteTopicState::default().with_name(Some(name("a")))])
        };
        let results = fixture.client.call(version, &request).responses;
        assert_eq!(results.len(), 1);
        assert_eq!((&results[0].name, &results[0].error_message), (&Some(name("a")), &None));
        assert_eq!(results[0].error_code, if version < 3 { 42 } else { 73 }, "v{version}");
    }
    assert_eq!(fixture.names(), ["a"]);
}

#[test]
fn topics_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut known = Vec::new();
    for round in 0..3 {
        let broker = start(directory.path(), &[]);
        let address = broker.addr();
        let mut fixture = Fixture {
            client: RawClient::connect(address),
            address,
            broker: Some(broker),
            directory: tempfile::tempdir().unwrap(),
        };
        let described: Vec<_> = fixture
            .metadata(12, None)
            .into_iter()
            .map(|topic| (topic.topic_id, topic.partitions.len()))
            .collect();
        assert_eq!(described, known, "round {round}");
        match round {
            0 => {
                fixture.create(&[("a", 1), ("b", 3)]);
                known = vec![(fixture.id_of("a"), 1), (fixture.id_of("b"), 3)];
            }
            1 => {
                let request = DeleteTopicsRequest::default().with_topic_names(vec![name("a")]);
                assert_eq!(fixture.client.call(5, &request).responses[0].error_code, 0);
                let more = CreatePartitionsTopic::default()
                    .with_name(name("b"))
                    .with_count(4)
                    .with_assignments(None);
                let request = CreatePartitionsRequest::default().with_topics(vec![more]);
                assert_eq!(fixture.client.call(3, &request).results[0].error_code, 0);
                known = vec![(known[1].0, 4)];
            }
            _ => {}
        }
    }
}
