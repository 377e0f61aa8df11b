//! The APIs of committed offsets and of groups as a whole, by raw frames: one request of each version, whose answer
//! must say what was asked for.

#![allow(clippy::unwrap_used)]

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use fluxmq_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use fluxmq_protocol::messages::{
    ApiKey, DeleteGroupsRequest, DescribeGroupsRequest, GroupId, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};

use super::raw::RawClient;

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A commit of one offset of `topic`-`partition`, as a client without membership makes it.
pub(crate) fn commit(group: &str, topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default().with_group_id(GroupId(text(group))).with_topics(vec![topic])
}

/// A fetch of one offset; of all if `topic` is none.
pub(crate) fn fetch(version: i16, group: &str, topic: Option<(&str, i32)>) -> OffsetFetchRequest {
    let group = GroupId(text(group));
    if version >= 8 {
        let topics = topic.map(|(name, partition)| {
            vec![
                OffsetFetchRequestTopics::default()
                    .with_name(TopicName(text(name)))
                    .with_partition_indexes(vec![partition]),
            ]
        });
        let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(topics);
        return OffsetFetchRequest::default().with_groups(vec![group]);
    }
    let topics = topic.map(|(name, partition)| {
        vec![
            OffsetFetchRequestTopic::default()
                .with_name(TopicName(text(name)))
                .with_partition_indexes(vec![partition]),
        ]
    });
    OffsetFetchRequest::default().with_group_id(group).with_topics(topics)
}

/// Error of the group, and (topic, partition, offset, leader epoch, metadata, error) of each partition.
pub(crate) type Fetched = (i16, Vec<(String, i32, i64, i32, String, i16)>);

/// What the first group of an answer says.
pub(crate) fn fetched(response: &OffsetFetchResponse) -> Fetched {
    let Some(group) = response.groups.first() else {
        let partitions = response.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|has| {
                let metadata = has.metadata.as_deref().unwrap_or("none").to_owned();
                let index = has.partition_index;
                (
                    topic.name.to_string(),
                    index,
                    has.committed_offset,
                    has.committed_leader_epoch,
                    metadata,
                    has.error_code,
                )
            })
        });
        return (response.error_code, partitions.collect());
    };
    let partitions = group.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|has| {
            let metadata = has.metadata.as_deref().unwrap_or("none").to_owned();
            let index = has.partition_index;
            (
                topic.name.to_string(),
                index,
                has.committed_offset,
                has.committed_leader_epoch,
                metadata,
                has.error_code,
            )
        })
    });
    (group.error_code, partitions.collect())
}

/// A deletion of what is committed for one partition.
pub(crate) fn delete_offset(group: &str, topic: &str, partition: i32) -> OffsetDeleteRequest {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(vec![partition]);
    OffsetDeleteRequest::default().with_group_id(GroupId(text(group))).with_topics(vec![topic])
}

/// Asks for `version` of one of the APIs of this file, in a broker with the topic `t`.
pub(crate) fn ask(client: &mut RawClient, key: ApiKey, version: i16) {
    let group = format!("{key:?}-{version}");
    if key != ApiKey::OffsetCommit {
        let response = client.call(9, &commit(&group, "t", 1, 70));
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }
    match key {
        ApiKey::OffsetCommit => offset_commit(client, version, &group),
        ApiKey::OffsetFetch => offset_fetch(client, version, &group),
        ApiKey::DescribeGroups => describe_groups(client, version, &group),
        ApiKey::ListGroups => list_groups(client, version, &group),
        ApiKey::DeleteGroups => {
            let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(&group))]);
            let response = client.call(version, &request);
            assert_eq!((response.results.len(), response.results[0].error_code), (1, 0), "v{version}");
            assert_eq!(*response.results[0].group_id.0, *group);
            assert_eq!(client.call(version, &request).results[0].error_code, 69, "GROUP_ID_NOT_FOUND");
        }
        ApiKey::OffsetDelete => {
            let response = client.call(version, &delete_offset(&group, "t", 1));
            assert_eq!((response.error_code, response.topics[0].partitions[0].error_code), (0, 0));
            let (_, left) = fetched(&client.call(9, &fetch(9, &group, None)));
            assert_eq!(left, []);
        }
        key => panic!("{key:?} is no API of this file"),
    }
}

fn offset_commit(client: &mut RawClient, version: i16, group: &str) {
    let mut request = commit(group, "t", 0, 7);
    if version < 5 {
        request = request.with_retention_time_ms(60_000);
    }
    if version >= 6 {
        request.topics[0].partitions[0].committed_leader_epoch = 3;
    }
    let response = client.call(version, &request);
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.partition_index, partition.error_code), (0, 0), "v{version}");
    let epoch = if version >= 6 { 3 } else { -1 };
    let expected = ("t".to_owned(), 0, 7, epoch, "note".to_owned(), 0);
    assert_eq!(fetched(&client.call(9, &fetch(9, group, None))), (0, vec![expected]), "v{version}");
}

fn offset_fetch(client: &mut RawClient, version: i16, group: &str) {
    let committed = ("t".to_owned(), 1, 70, -1, "note".to_owned(), 0);
    let response = client.call(version, &fetch(version, group, Some(("t", 1))));
    assert_eq!(fetched(&response), (0, vec![committed.clone()]), "v{version}");
    if version >= 2 {
        let response = client.call(version, &fetch(version, group, None));
        assert_eq!(fetched(&response), (0, vec![committed.clone()]), "v{version}");
    }
    let nothing = ("t".to_owned(), 0, -1, -1, String::new(), 0);
    for (group, partition) in [(group, 0), ("no such group", 0)] {
        let response = client.call(version, &fetch(version, group, Some(("t", partition))));
        assert_eq!(fetched(&response), (0, vec![nothing.clone()]), "v{version}");
    }
    if version >= 8 {
        let groups = [group, "no such group"].map(|group| fetch(version, group, None).groups.remove(0));
        let response = client.call(version, &OffsetFetchRequest::default().with_groups(groups.to_vec()));
        let counts: Vec<_> =
            response.groups.iter().map(|group| (&*group.group_id.0, group.topics.len())).collect();
        assert_eq!(counts, [(group, 1), ("no such group", 0)]);
    }
}

fn describe_groups(client: &mut RawClient, version: i16, group: &str) {
    let names = [group, "no such group"].map(|name| GroupId(text(name)));
    let mut request = DescribeGroupsRequest::default().with_groups(names.to_vec());
    if version >= 3 {
        request = request.with_include_authorized_operations(true);
    }
    let response = client.call(version, &request);
    // In the order of their shards.
    let of = |name: &str| response.groups.iter().find(|described| *described.group_id.0 == *name).unwrap();
    let (described, missing) = (of(group), of("no such group"));
    assert_eq!((described.error_code, &*described.group_state, &*described.protocol_type), (0, "Empty", ""));
    assert_eq!((described.members.len(), &described.error_message), (0, &None), "v{version}");
    // Read, delete, describe, describe configs, alter configs.
    let operations = if version >= 3 { 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11 } else { i32::MIN };
    assert_eq!(described.authorized_operations, operations, "v{version}");
    let error = if version >= 6 { (69, Some("Group no such group not found.")) } else { (0, None) };
    assert_eq!((missing.error_code, missing.error_message.as_deref()), error, "v{version}");
    assert_eq!(&*missing.group_state, "Dead");
}

fn list_groups(client: &mut RawClient, version: i16, group: &str) {
    let mut request = ListGroupsRequest::default();
    if version >= 4 {
        request = request.with_states_filter(vec![text("empty")]);
    }
    if version >= 5 {
        request = request.with_types_filter(vec![text("Classic")]);
    }
    let response = client.call(version, &request);
    assert_eq!(response.error_code, 0);
    let listed = response.groups.iter().find(|listed| *listed.group_id.0 == *group).unwrap();
    let expected = ("", if version >= 4 { "Empty" } else { "" }, if version >= 5 { "classic" } else { "" });
    assert_eq!((&*listed.protocol_type, &*listed.group_state, &*listed.group_type), expected, "v{version}");
    if version >= 4 {
        let none = client.call(version, &request.with_states_filter(vec![text("Dead")]));
        assert_eq!(none.groups, []);
    }
}
