//! Fetch, ListOffsets and OffsetForLeaderEpoch by raw frames: every version, sessions, long polls, large records.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::broker::TestBroker;
use fluxmq::config::{CompressionType, FlushPolicy, TopicConfig};
use fluxmq::meta::topics::Topic;
use fluxmq::partitions::high_watermark::Acks;
use fluxmq_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use fluxmq_protocol::messages::fetch_response::PartitionData;
use fluxmq_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use fluxmq_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use fluxmq_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FetchResponse, ListOffsetsRequest,
    ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName,
};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::batch::BatchBuilder;

/// Appends a batch of one record of so many bytes.
fn append(topic: &Topic, partition: i32, timestamp_ms: i64, value_bytes: usize) {
    let value: Vec<u8> = (0..value_bytes).map(|byte| (byte % 251) as u8).collect();
    let batch = BatchBuilder::new().record(timestamp_ms, None, Some(&value)).build();
    topic.partition(partition).unwrap().append(&batch, Acks::Leader, timestamp_ms).unwrap();
}

/// What lies in the log from an offset on.
fn stored(topic: &Topic, partition: i32, from_offset: i64) -> Vec<u8> {
    let partition = topic.partition(partition).unwrap();
    partition.log().read(from_offset, u32::MAX, partition.log_end(), true).unwrap().to_vec().unwrap()
}

fn fetch(topic: &Topic, version: i16, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|&(partition, fetch_offset)| {
            FetchPartition::default()
                .with_partition(partition)
                .with_fetch_offset(fetch_offset)
                .with_partition_max_bytes(10 << 20)
        })
        .collect();
    let mut topic_request = FetchTopic::default().with_partitions(partitions);
    if version >= 13 {
        topic_request.topic_id = topic.id;
    } else {
        topic_request.topic = TopicName(topic.name.clone());
    }
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_topics(vec![topic_request])
}

fn partitions(response: &FetchResponse) -> Vec<&PartitionData> {
    assert_eq!(response.error_code, 0);
    response.responses.iter().flat_map(|topic| &topic.partitions).collect()
}

fn errors(response: &FetchResponse) -> Vec<(i32, i16)> {
    partitions(response).iter().map(|partition| (partition.partition_index, partition.error_code)).collect()
}

#[test]
fn every_version_gives_the_records_as_they_lie_in_the_log() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 3, TopicConfig::default());
    for (partition, value_bytes) in [(0, 10), (0, 20), (1, 100_000), (1, 5), (2, 3_000_000)] {
        append(&topic, partition, 1000, value_bytes);
    }
    let mut client = broker.connect();
    for version in 4..=18 {
        let request = fetch(&topic, version, &[(0, 0), (1, 1), (2, 0), (1, 0)]);
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &request);
        let partitions = partitions(&response);
        // The second entry of partition 1 replaces the first in its place.
        let indexes: Vec<i32> = partitions.iter().map(|partition| partition.partition_index).collect();
        assert_eq!(indexes, [0, 1, 2], "v{version}");
        for (data, from) in partitions.iter().zip([0, 0, 0]) {
            assert_eq!(data.error_code, 0);
            assert_eq!(
                data.records.as_deref().unwrap(),
                stored(&topic, data.partition_index, from),
                "v{version}"
            );
            let end = topic.partition(data.partition_index).unwrap().log_end().offset;
            assert_eq!((data.high_watermark, data.last_stable_offset), (end, end));
            assert_eq!(data.log_start_offset, if version >= 5 { 0 } else { -1 });
            assert_eq!(data.preferred_read_replica.0, -1);
            assert_eq!(data.aborted_transactions, None);
        }
        match version {
            ..13 => assert_eq!(&*response.responses[0].topic.0, "t"),
            _ => assert_eq!(response.responses[0].topic_id, topic.id),
        }
    }
    let committed = fetch(&topic, 12, &[(0, 0)]).with_isolation_level(1);
    let response: FetchResponse = client.call(ApiKey::Fetch, 12, &committed);
    assert_eq!(partitions(&response)[0].aborted_transactions, Some(Vec::new()));
}

#[test]
fn budgets_and_offsets_hold_over_the_wire() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 2, TopicConfig::default());
    for partition in [0, 0, 1] {
        append(&topic, partition, 1000, 50_000);
    }
    let mut client = broker.connect();
    let small = fetch(&topic, 11, &[(0, 0), (1, 0)]).with_max_bytes(1000);
    let response: FetchResponse = client.call(ApiKey::Fetch, 11, &small);
    let sizes: Vec<usize> =
        partitions(&response).iter().map(|partition| partition.records.as_ref().unwrap().len()).collect();
    assert!(sizes[0] > 50_000 && sizes[0] < 60_000, "one whole batch: {}", sizes[0]);
    assert_eq!(sizes[1], 0);

    let request = fetch(&topic, 11, &[(0, 3), (1, 1), (7, 0), (-1, 0)]);
    let response: FetchResponse = client.call(ApiKey::Fetch, 11, &request);
    let (out_of_range, unknown) =
        (ErrorCode::OffsetOutOfRange.code(), ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(errors(&response), [(0, out_of_range), (1, 0), (7, unknown), (-1, unknown)]);
    for (index, high_watermark) in [(0, -1), (1, 1), (2, -1)] {
        assert_eq!(partitions(&response)[index].high_watermark, high_watermark);
    }
}

#[test]
fn epochs_ids_and_replicas_that_do_not_fit_are_refused() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    append(&topic, 0, 1000, 10);
    let mut client = broker.connect();
    let with_epoch = |version, epoch| {
        let mut request = fetch(&topic, version, &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        request
    };
    let own = topic.partition(0).unwrap().leader_epoch();
    for (epoch, error) in [(own, ErrorCode::None), (own + 1, ErrorCode::UnknownLeaderEpoch)] {
        let response: FetchResponse = client.call(ApiKey::Fetch, 12, &with_epoch(12, epoch));
        assert_eq!(errors(&response), [(0, error.code())]);
    }
    topic.partition(0).unwrap().set_leader_epoch(own + 5).unwrap();
    let response: FetchResponse = client.call(ApiKey::Fetch, 16, &with_epoch(16, own));
    assert_eq!(errors(&response), [(0, ErrorCode::FencedLeaderEpoch.code())]);
    let leader = &partitions(&response)[0].current_leader;
    assert_eq!((leader.leader_id.0, leader.leader_epoch), (1, own + 5));
    assert_eq!(response.node_endpoints[0].port, i32::from(broker.handle.addr().port()));

    let mut unknown = fetch(&topic, 13, &[(0, 0)]);
    unknown.topics[0].topic_id = uuid::Uuid::from_u128(77);
    let response: FetchResponse = client.call(ApiKey::Fetch, 13, &unknown);
    assert_eq!(errors(&response), [(0, ErrorCode::UnknownTopicId.code())]);

    for (version, error) in [(12, ErrorCode::NotLeaderOrFollower), (15, ErrorCode::NotLeaderOrFollower)] {
        let mut follower = fetch(&topic, version, &[(0, 0)]);
        if version < 15 {
            follower.replica_id = 3.into();
        } else {
            follower.replica_state = ReplicaState::default().with_replica_id(3.into());
        }
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &follower);
        assert_eq!(errors(&response), [(0, error.code())]);
    }
}

#[test]
fn zstd_is_refused_below_version_10() {
    let broker = TestBroker::start();
    let config = TopicConfig { compression_type: CompressionType::Zstd, ..TopicConfig::default() };
    let topic = broker.create_topic("t", 1, config);
    append(&topic, 0, 1000, 10);
    let mut client = broker.connect();
    for (version, error) in [(9, ErrorCode::UnsupportedCompressionType), (10, ErrorCode::None)] {
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &fetch(&topic, version, &[(0, 0)]));
        assert_eq!(errors(&response), [(0, error.code())]);
    }
}

#[test]
fn a_long_poll_ends_with_the_append_or_with_its_deadline() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 2, TopicConfig::default());
    let mut client = broker.connect();
    let begun = Instant::now();
    let waiting = fetch(&topic, 11, &[(0, 0), (1, 0)]).with_max_wait_ms(300);
    let response: FetchResponse = client.call(ApiKey::Fetch, 11, &waiting);
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < Duration::from_secs(5));
    assert_eq!(errors(&response), [(0, 0), (1, 0)]);
    assert_eq!(topic.partition(0).unwrap().waiting().0, 0, "nothing stays registered");

    let begun = Instant::now();
    let waiting = waiting.with_max_wait_ms(15_000).with_min_bytes(150);
    let correlation_id = client.send(ApiKey::Fetch, 11, &waiting);
    while topic.partition(1).unwrap().waiting().0 == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    append(&topic, 1, 1000, 10);
    std::thread::sleep(Duration::from_millis(50));
    append(&topic, 0, 1000, 100);
    let response: FetchResponse = client.receive(ApiKey::Fetch, 11, correlation_id);
    assert!(begun.elapsed() < Duration::from_secs(10));
    let sizes: Vec<_> = partitions(&response).iter().map(|p| p.records.as_ref().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size > 0), "both partitions: {sizes:?}");
}

#[test]
fn a_long_poll_holds_back_later_responses_but_not_later_requests() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let mut client = broker.connect();
    let waiting = fetch(&topic, 11, &[(0, 0)]).with_max_wait_ms(15_000);
    let first = client.send(ApiKey::Fetch, 11, &waiting);
    let second = client.send(ApiKey::ApiVersions, 0, &ApiVersionsRequest::default());
    client.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(!client.is_closed(), "nothing is sent while the first response waits");
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    append(&topic, 0, 1000, 10);
    let response: FetchResponse = client.receive(ApiKey::Fetch, 11, first);
    assert_eq!(errors(&response), [(0, 0)]);
    let _: ApiVersionsResponse = client.receive(ApiKey::ApiVersions, 0, second);
}

#[test]
fn a_stopping_broker_answers_long_polls() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    let mut client = broker.connect();
    let waiting = fetch(&topic, 11, &[(0, 0)]).with_max_wait_ms(60_000);
    let correlation_id = client.send(ApiKey::Fetch, 11, &waiting);
    while topic.partition(0).unwrap().waiting().0 == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let stopping = std::thread::spawn(move || broker.handle.shutdown());
    let response: FetchResponse = client.receive(ApiKey::Fetch, 11, correlation_id);
    assert_eq!(errors(&response), [(0, 0)]);
    stopping.join().unwrap().unwrap();
}

#[test]
fn a_session_sends_news_only() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 3, TopicConfig::default());
    append(&topic, 1, 1000, 10);
    for version in [7, 12, 13, 18] {
        let mut client = broker.connect();
        let open = fetch(&topic, version, &[(0, 0), (1, 0), (2, 0)]).with_session_epoch(0);
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &open);
        assert_eq!(errors(&response), [(0, 0), (1, 0), (2, 0)]);
        let id = response.session_id;
        assert!(id > 0);
        // Partition 1 has records again, since its offset did not move; the others have no news.
        let next = |epoch| {
            FetchRequest::default()
                .with_max_bytes(1 << 20)
                .with_min_bytes(1)
                .with_session_id(id)
                .with_session_epoch(epoch)
        };
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &next(1));
        assert_eq!(response.session_id, id);
        assert_eq!(errors(&response), [(1, 0)]);
        // It has moved, and partition 2 is forgotten.
        let mut moved = next(2).with_topics(fetch(&topic, version, &[(1, 1)]).topics);
        let mut forgotten = ForgottenTopic::default().with_partitions(vec![2]);
        if version >= 13 {
            forgotten.topic_id = topic.id;
        } else {
            forgotten.topic = TopicName(topic.name.clone());
        }
        moved.forgotten_topics_data = vec![forgotten];
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &moved);
        assert!(response.responses.is_empty());
        let sessions = &broker.handle.broker().fetch_sessions;
        assert_eq!(sessions.size(), (1, 2));
        for (id, epoch, error) in
            [(id, 2, ErrorCode::InvalidFetchSessionEpoch), (id ^ 1, 3, ErrorCode::FetchSessionIdNotFound)]
        {
            let request = next(epoch).with_session_id(id);
            let response: FetchResponse = client.call(ApiKey::Fetch, version, &request);
            assert_eq!((response.error_code, response.session_id), (error.code(), 0));
            assert!(response.responses.is_empty());
        }
        let closing =
            fetch(&topic, version, &[]).with_topics(Vec::new()).with_session_id(id).with_session_epoch(-1);
        let response: FetchResponse = client.call(ApiKey::Fetch, version, &closing);
        assert_eq!((response.error_code, response.session_id), (0, 0));
        assert_eq!(sessions.size(), (0, 0));
    }
}

#[test]
fn a_client_that_stops_reading_holds_up_nobody() {
    let broker = TestBroker::with(|config| config.num_network_threads = 1);
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    for _ in 0..20 {
        append(&topic, 0, 1000, 1 << 20);
    }
    let mut stuck = broker.connect();
    let mut stuck_ids = Vec::new();
    for _ in 0..10 {
        let mut request = fetch(&topic, 11, &[(0, 0)]);
        request.topics[0].partitions[0].partition_max_bytes = 50 << 20;
        stuck_ids.push(stuck.send(ApiKey::Fetch, 11, &request));
    }
    let mut other = broker.connect();
    for _ in 0..100 {
        let begun = Instant::now();
        let _: ApiVersionsResponse = other.call(ApiKey::ApiVersions, 0, &ApiVersionsRequest::default());
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    // Once it reads, it gets everything.
    let expected = stored(&topic, 0, 0);
    for correlation_id in stuck_ids {
        let response: FetchResponse = stuck.receive(ApiKey::Fetch, 11, correlation_id);
        assert!(partitions(&response)[0].records.as_deref().unwrap() == expected);
    }
}

#[test]
fn a_client_that_stops_reading_does_not_keep_the_broker_from_a_clean_stop() {
    let broker = TestBroker::with(|config| config.shutdown_timeout_ms = 4000);
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    for _ in 0..20 {
        append(&topic, 0, 1000, 1 << 20);
    }
    let mut stuck = broker.connect();
    stuck.send(ApiKey::Fetch, 11, &fetch(&topic, 11, &[(0, 0)]));
    drop(topic);
    let TestBroker { handle, dir } = broker;
    handle.shutdown().unwrap();
    assert!(dir.path().join(".kafka_cleanshutdown").exists());
}

#[test]
fn a_segment_that_comes_short_closes_the_connection_and_no_other() {
    // Under this policy the log is written without a map, which cutting the file would turn into a signal.
    let broker = TestBroker::with(|config| config.log_flush_policy = FlushPolicy::Always);
    let topic = broker.create_topic("t", 2, TopicConfig::default());
    for partition in [0, 1] {
        let value = vec![1; 1 << 20];
        let batch = BatchBuilder::new().record(1000, None, Some(&value)).build();
        let appended = topic.partition(partition).unwrap().append(&batch, Acks::All, 1000).unwrap();
        let commit_at = appended.commit_at.unwrap();
        while topic.partition(partition).unwrap().durable_end() < commit_at {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let file = broker.dir.path().join("t-0/00000000000000000000.log");
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(300_000).unwrap();
    let mut client = broker.connect();
    client.send(ApiKey::Fetch, 11, &fetch(&topic, 11, &[(0, 0)]));
    let mut received = Vec::new();
    let ended = client.stream.read_to_end(&mut received);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    assert!(received.len() > 200_000 && received.len() < 400_000, "{} bytes", received.len());
    let response: FetchResponse = broker.connect().call(ApiKey::Fetch, 11, &fetch(&topic, 11, &[(1, 0)]));
    assert!(partitions(&response)[0].records.as_ref().unwrap().len() > 1 << 20);
}

#[test]
fn what_left_the_page_cache_is_read_all_the_same() {
    let broker = TestBroker::with(|config| config.num_network_threads = 1);
    let topic = broker.create_topic("t", 2, TopicConfig::default());
    for _ in 0..8 {
        append(&topic, 0, 1000, 1 << 20);
        append(&topic, 1, 1000, 1000);
    }
    let expected = [stored(&topic, 0, 0), stored(&topic, 1, 0)];
    let mut client = broker.connect();
    for _ in 0..3 {
        for partition in [0, 1] {
            topic.partition(partition).unwrap().log().sync().unwrap();
            let file = broker.dir.path().join(format!("t-{partition}/00000000000000000000.log"));
            let file = std::fs::File::open(file).unwrap();
            // On tmpfs nothing leaves; then this is a fetch like any other.
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
        let response: FetchResponse = client.call(ApiKey::Fetch, 11, &fetch(&topic, 11, &[(1, 0), (0, 0)]));
        for partition in partitions(&response) {
            let expected = &expected[partition.partition_index as usize];
            assert!(partition.records.as_deref().unwrap() == expected.as_slice());
        }
    }
}

fn list_offsets(timestamps: &[i64], epoch: i32) -> ListOffsetsRequest {
    let topics = timestamps.iter().enumerate().map(|(index, &timestamp)| {
        ListOffsetsPartition::default()
            .with_partition_index(index as i32)
            .with_timestamp(timestamp)
            .with_current_leader_epoch(epoch)
    });
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partitions(topics.collect());
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

#[test]
fn offsets_are_found_by_every_kind_of_timestamp() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 8, TopicConfig::default());
    for partition in 0..8 {
        for timestamp_ms in [1000, 3000, 2000] {
            append(&topic, partition, timestamp_ms, 10);
        }
    }
    let epoch = topic.partition(0).unwrap().leader_epoch();
    let mut client = broker.connect();
    let timestamps = [-1, -2, -3, -4, -5, 1500, 3001, -6];
    for version in 1..=10 {
        let request = list_offsets(&timestamps, -1);
        let response: ListOffsetsResponse = client.call(ApiKey::ListOffsets, version, &request);
        let found: Vec<_> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.error_code, partition.timestamp, partition.offset))
            .collect();
        let served = |from: i16, found| {
            if version >= from { found } else { (ErrorCode::UnsupportedVersion.code(), -1, -1) }
        };
        let expected = [
            (0, -1, 3),
            (0, -1, 0),
            served(7, (0, 3000, 1)),
            served(8, (0, -1, 0)),
            served(9, (0, -1, -1)),
            (0, 3000, 1),
            (0, -1, -1),
            (ErrorCode::UnsupportedVersion.code(), -1, -1),
        ];
        assert_eq!(found, expected, "v{version}");
        if version >= 4 {
            assert_eq!(response.topics[0].partitions[0].leader_epoch, epoch);
            assert_eq!(response.topics[0].partitions[5].leader_epoch, epoch);
        }
    }
    let response: ListOffsetsResponse =
        client.call(ApiKey::ListOffsets, 10, &list_offsets(&[-1, 1500], epoch + 1));
    for partition in &response.topics[0].partitions {
        assert_eq!(partition.error_code, ErrorCode::UnknownLeaderEpoch.code());
    }
}

#[test]
fn the_end_of_an_epoch_is_told() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1, TopicConfig::default());
    append(&topic, 0, 1000, 10);
    let partition: &Arc<_> = topic.partition(0).unwrap();
    let first = partition.leader_epoch();
    partition.set_leader_epoch(first + 3).unwrap();
    append(&topic, 0, 1000, 10);
    let mut client = broker.connect();
    for version in 2..=4 {
        for (asked, epoch, end_offset) in
            [(first, first, 1), (first + 1, first, 1), (first + 3, first + 3, 2), (first + 4, -1, -1)]
        {
            let partition = OffsetForLeaderPartition::default()
                .with_partition(0)
                .with_current_leader_epoch(first + 3)
                .with_leader_epoch(asked);
            let topic = OffsetForLeaderTopic::default()
                .with_topic(TopicName(StrBytes::from_static_str("t")))
                .with_partitions(vec![partition.clone(), partition.with_partition(9)]);
            let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
            let response: OffsetForLeaderEpochResponse =
                client.call(ApiKey::OffsetForLeaderEpoch, version, &request);
            let answers = &response.topics[0].partitions;
            assert_eq!(
                (answers[0].error_code, answers[0].leader_epoch, answers[0].end_offset),
                (0, epoch, end_offset)
            );
            assert_eq!(answers[1].error_code, ErrorCode::UnknownTopicOrPartition.code());
        }
    }
}
