//! What holds at any time, and what holds at last.

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_coordinator::consumer::regex::TopicPattern;
use fluxmq_coordinator::{GroupShard, Topics};
use fluxmq_protocol::messages::GroupId;
use fluxmq_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use uuid::Uuid;

use super::broker::{SimTopics, text};
use super::world::{Client, Kind, World};

/// What a group says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    pub is_consumer_group: bool,
    state: String,
    epochs: (i32, i32),
    /// By member id: its epoch, what it has and what it is to have; of a classic group, its assignment's bytes.
    pub members: BTreeMap<String, String>,
    /// What members of a consumer group have.
    has: Vec<(String, Uuid, Vec<i32>)>,
}

pub fn describe(shard: &GroupShard, topics: &SimTopics, group: &str) -> Described {
    let ids = [GroupId(text(group))];
    let consumer = shard.consumer_group_describe(topics, &ids).remove(0);
    if consumer.error_code == 0 {
        let members = consumer.members.iter().map(|member| {
            let text =
                format!("{} {:?} {:?}", member.member_epoch, member.assignment, member.target_assignment);
            (member.member_id.to_string(), text)
        });
        let has = consumer.members.iter().flat_map(|member| {
            let topics = member.assignment.topic_partitions.iter();
            topics.map(|topic| (member.member_id.to_string(), topic.topic_id, topic.partitions.clone()))
        });
        return Described {
            is_consumer_group: true,
            state: consumer.group_state.to_string(),
            epochs: (consumer.group_epoch, consumer.assignment_epoch),
            members: members.collect(),
            has: has.collect(),
        };
    }
    let classic = shard.describe_groups(6, &ids).remove(0);
    let members = classic.members.iter().map(|member| {
        let text = format!("{:?} {:?}", member.member_metadata, member.member_assignment);
        (member.member_id.to_string(), text)
    });
    Described {
        is_consumer_group: false,
        state: classic.group_state.to_string(),
        epochs: (0, 0),
        members: members.collect(),
        has: Vec::new(),
    }
}

impl World {
    pub fn groups(&self) -> BTreeSet<String> {
        self.clients.iter().map(|client| client.group.clone()).collect()
    }

    pub fn described(&self, group: &str) -> Described {
        describe(&self.broker.shard, &self.broker.topics, group)
    }

    /// Whether a partition has two owners: to the group, or as its members see it.
    pub fn check_owners(&self) {
        for group in self.groups() {
            let described = self.described(&group);
            let mut owners = BTreeMap::new();
            for (member_id, topic_id, partitions) in &described.has {
                for partition in partitions {
                    let other = owners.insert((*topic_id, *partition), member_id);
                    assert_eq!(other, None, "{group}: {member_id} has {topic_id}-{partition} too");
                }
            }
            let mut owners: BTreeMap<(Uuid, i32), &Client> = BTreeMap::new();
            let aware = |client: &&Client| client.runs && !client.unaware && client.group == group;
            let members = self.clients.iter().filter(aware);
            for client in members.filter(|client| described.members.contains_key(client.member_id())) {
                // Of a topic that was deleted, nothing is left to share.
                let exists = |topic_id: Uuid| self.broker.topics.by_id(topic_id).is_some();
                for owned in client.owned().iter().filter(|(topic_id, _)| exists(*topic_id)) {
                    if let Some(other) = owners.insert(*owned, client) {
                        let excused = !described.is_consumer_group && of_other_generation(client, other);
                        assert!(
                            excused,
                            "{group}: {owned:?} is of both\n{client:?}\n{other:?}\n{described:?}"
                        );
                    }
                }
            }
        }
    }

    /// Whether what the log says is what the broker knows. A classic group in a rebalance is ahead of its log.
    pub fn check_reload(&self) {
        let reloaded = self.broker.reloaded();
        for group in self.groups() {
            let live = self.described(&group);
            let settled = live.is_consumer_group || live.state == "Stable" || live.state == "Empty";
            if settled {
                assert_eq!(describe(&reloaded, &self.broker.topics, &group), live, "{group} after a load");
            }
            let fetch = OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text(group.as_str())))
                .with_topics(None);
            for stable in [false, true] {
                assert_eq!(
                    reloaded.offset_fetch(&fetch, stable),
                    self.broker.shard.offset_fetch(&fetch, stable),
                    "{group}'s offsets"
                );
            }
        }
    }

    /// Whether every commit that was answered is still there, or a later one, and none of a transaction that wasn't
    /// committed.
    pub fn check_commits(&self) {
        for group in self.groups() {
            let fetch = OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text(group.as_str())))
                .with_topics(None);
            let fetched = self.broker.shard.offset_fetch(&fetch, false);
            for known in fetched.topics.iter().flat_map(|topic| &topic.partitions) {
                let offset = known.committed_offset;
                assert!(!self.hidden.contains(&offset), "{group}: offset {offset} was not committed");
            }
        }
        for ((group, topic, partition), offset) in &self.acknowledged {
            let fetch = OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text(group.as_str())))
                .with_topics(None);
            let fetched = self.broker.shard.offset_fetch(&fetch, false);
            let committed = fetched.topics.iter().filter(|known| *known.name.0 == **topic);
            let committed = committed.flat_map(|known| &known.partitions);
            let committed = committed.filter(|known| known.partition_index == *partition);
            let committed = committed.map(|known| known.committed_offset).max();
            assert!(committed >= Some(*offset), "{group} {topic}-{partition}: {committed:?}, not {offset}");
        }
    }

    /// For how many partitions something is committed, and a transaction that is open has committed too.
    pub fn unstable(&self, group: &str) -> usize {
        let fetch = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(None);
        let fetched = self.broker.shard.offset_fetch(&fetch, true);
        let partitions = fetched.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.filter(|known| known.error_code != 0).count()
    }

    /// Whether all clients that run are members, and every partition that somebody subscribes to has an owner.
    pub fn settled(&self) -> Result<(), String> {
        for group in self.groups() {
            let described = self.described(&group);
            let clients: Vec<&Client> =
                self.clients.iter().filter(|client| client.runs && client.group == group).collect();
            for client in &clients {
                if !described.members.contains_key(client.member_id()) {
                    return Err(format!("{group}: not a member: {client:?}\n{described:?}"));
                }
            }
            if described.members.len() != clients.len()
                || !["Stable", "Empty", "Dead"].contains(&described.state.as_str())
            {
                return Err(format!("{group} is {described:?}"));
            }
            for (name, (topic_id, partitions)) in &self.broker.topics.by_name {
                let wanted = clients.iter().any(|client| subscribes(client, name));
                for partition in 0..if wanted { *partitions } else { 0 } {
                    let owner =
                        clients.iter().filter(|client| client.owned().contains(&(*topic_id, partition)));
                    let owners: Vec<_> = owner.collect();
                    if owners.len() != 1 || !subscribes(owners[0], name) {
                        return Err(format!("{group}: {name}-{partition} is of {owners:?}\n{described:?}"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A static member that is late keeps its place in a classic group (KIP-345), while the others share all partitions.
fn of_other_generation(left: &Client, right: &Client) -> bool {
    match (&left.kind, &right.kind) {
        (Kind::Classic(left), Kind::Classic(right)) => {
            left.generation != right.generation && (left.instance_id.is_some() || right.instance_id.is_some())
        }
        _ => false,
    }
}

fn subscribes(client: &Client, topic: &str) -> bool {
    match &client.kind {
        Kind::Consumer(consumer) => {
            let matches = |regex: &String| TopicPattern::compile(regex).unwrap().matches(topic);
            consumer.names.contains(topic) || consumer.regex.as_ref().is_some_and(matches)
        }
        Kind::Classic(classic) => classic.topics.contains(topic),
    }
}
