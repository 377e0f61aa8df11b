//! The server-side assignors: the same results as Kafka's own, and what holds for every group.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_coordinator::assignors::{
    AssignError, Assignment, GroupSpec, MemberSpec, SubscriptionType, assign,
};
use fluxmq_coordinator::config::Assignor;
use proptest::prelude::*;
use uuid::Uuid;

/// A group that owns what a [`GroupSpec`] borrows. Members are in the order of their ids.
#[derive(Clone, Debug, Default)]
struct Group {
    topics: BTreeMap<Uuid, i32>,
    members: BTreeMap<String, Member>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    instance_id: Option<String>,
    subscribed: BTreeSet<Uuid>,
    target: Assignment,
}

impl Group {
    fn subscription_type(&self) -> SubscriptionType {
        let mut subscriptions = self.members.values().map(|member| &member.subscribed);
        let first = subscriptions.next();
        if subscriptions.all(|other| Some(other) == first) {
            SubscriptionType::Homogeneous
        } else {
            SubscriptionType::Heterogeneous
        }
    }

    fn assign(
        &self,
        assignor: Assignor,
        subscription_type: SubscriptionType,
    ) -> BTreeMap<String, Assignment> {
        let member = |(id, member): (&'_ String, &'_ Member)| (id.clone(), member.clone());
        let mut members: Vec<(String, Member)> = self.members.iter().map(member).collect();
        // The order in which the members are given doesn't matter.
        members.reverse();
        let specs = members.iter().map(|(id, member)| MemberSpec {
            member_id: id,
            instance_id: member.instance_id.as_deref(),
            subscribed_topic_ids: &member.subscribed,
            target: &member.target,
        });
        let spec = GroupSpec { members: specs.collect(), subscription_type };
        let assignments = assign(assignor, &spec, &|topic_id| self.topics.get(&topic_id).copied()).unwrap();
        members.iter().map(|(id, _)| id.clone()).zip(assignments).collect()
    }
}

/// `0:2` is the two halves of an id.
fn topic_id(text: &str) -> Uuid {
    let (most_significant, least_significant) = text.split_once(':').unwrap();
    let half = |digits: &str| u64::from_str_radix(digits, 16).unwrap();
    Uuid::from_u64_pair(half(most_significant), half(least_significant))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|word| *word != "-")
}

/// `0:2/0-11,0:3/4`
fn assignment(text: &str) -> Assignment {
    let mut assignment = Assignment::new();
    for word in words(text) {
        let (topic, partitions) = word.split_once('/').unwrap();
        let (first, last) = partitions.split_once('-').unwrap_or((partitions, partitions));
        let numbers = first.parse::<i32>().unwrap()..=last.parse().unwrap();
        assignment.entry(topic_id(topic)).or_default().extend(numbers);
    }
    assignment
}

/// The file comes from java-tests/kafka/AssignorCases.java, which runs Kafka's assignors.
#[test]
fn the_results_are_those_of_kafka() {
    let text = include_str!("data/assignors.txt");
    let mut cases = 0;
    for case in text.split("\n\n").filter(|case| !case.trim().is_empty()) {
        let (mut group, mut expected) = (Group::default(), BTreeMap::new());
        let mut header = ("", "");
        for line in case.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["case", assignor, subscription_type] => header = (assignor, subscription_type),
                ["topic", id, partitions] => {
                    group.topics.insert(topic_id(id), partitions.parse().unwrap());
                }
                ["member", id, instance_id, subscribed, target, result] => {
                    let member = Member {
                        instance_id: Some(instance_id.to_owned()).filter(|id| id != "-"),
                        subscribed: words(subscribed).map(topic_id).collect(),
                        target: assignment(target),
                    };
                    group.members.insert(id.to_owned(), member);
                    expected.insert(id.to_owned(), assignment(result));
                }
                _ => panic!("{line}"),
            }
        }
        let assignor = if header.0 == "range" { Assignor::Range } else { Assignor::Uniform };
        let subscription_type = match header.1 {
            "homogeneous" => SubscriptionType::Homogeneous,
            _ => SubscriptionType::Heterogeneous,
        };
        assert_eq!(group.assign(assignor, subscription_type), expected, "{case}");
        cases += 1;
    }
    assert_eq!(cases, 128);
}

#[test]
fn a_subscription_to_a_topic_that_does_not_exist_is_refused() {
    let (subscribed, target) = (BTreeSet::from([Uuid::from_u128(7)]), Assignment::new());
    let member =
        MemberSpec { member_id: "a", instance_id: None, subscribed_topic_ids: &subscribed, target: &target };
    for subscription_type in [SubscriptionType::Homogeneous, SubscriptionType::Heterogeneous] {
        for assignor in [Assignor::Range, Assignor::Uniform] {
            let group = GroupSpec { members: vec![member], subscription_type };
            let refused = assign(assignor, &group, &|_| None);
            assert_eq!(refused, Err(AssignError::UnknownTopic(Uuid::from_u128(7))));
        }
    }
}

fn topic(number: usize) -> Uuid {
    Uuid::from_u128(u128::try_from(number).unwrap() * 0x1_0000_0000_0000_0001)
}

/// Topics with up to 12 partitions, members with subscriptions (the same for all, or each its own).
fn groups(homogeneous: bool) -> impl Strategy<Value = Group> {
    let counts = prop::collection::vec(0..12_i32, 1..8);
    let members =
        prop::collection::btree_map("[a-z]{1,3}", (any::<u8>(), prop::option::of("[a-z]{1,2}")), 1..12);
    (counts, members).prop_map(move |(counts, members)| {
        let topics: BTreeMap<Uuid, i32> =
            counts.into_iter().enumerate().map(|(n, count)| (topic(n), count)).collect();
        let mut instances = BTreeSet::new();
        let members = members.into_iter().map(|(id, (bits, instance_id))| {
            let wanted = |n: usize| homogeneous || bits & (1 << n) != 0;
            let subscribed = (0..topics.len()).filter(|&n| wanted(n)).map(topic).collect();
            let instance_id = instance_id.filter(|instance| instances.insert(instance.clone()));
            (id, Member { instance_id, subscribed, target: Assignment::new() })
        });
        let members = members.collect();
        Group { topics, members }
    })
}

/// Every partition of a topic with a subscriber has one owner, which subscribes to it; nothing else is given out.
fn check_owners(group: &Group, assigned: &BTreeMap<String, Assignment>) {
    let mut owners = BTreeMap::new();
    for (id, assignment) in assigned {
        for (topic_id, partitions) in assignment {
            assert!(group.members[id].subscribed.contains(topic_id), "{id} doesn't subscribe to {topic_id}");
            assert!(!partitions.is_empty(), "{id}: no partitions of {topic_id}");
            for partition in partitions {
                assert_eq!(
                    owners.insert((*topic_id, *partition), id),
                    None,
                    "{topic_id}-{partition} has two owners"
                );
            }
        }
    }
    for (topic_id, &partitions) in &group.topics {
        let subscribed = group.members.values().any(|member| member.subscribed.contains(topic_id));
        for partition in 0..if subscribed { partitions } else { 0 } {
            assert!(owners.remove(&(*topic_id, partition)).is_some(), "{topic_id}-{partition} has no owner");
        }
    }
    assert!(owners.is_empty(), "not there: {owners:?}");
}

fn load(assignment: &Assignment) -> usize {
    assignment.values().map(BTreeSet::len).sum()
}

fn take_over(group: &mut Group, assigned: BTreeMap<String, Assignment>) {
    for (id, assignment) in assigned {
        group.members.get_mut(&id).unwrap().target = assignment;
    }
}

/// What members lost that stay and still subscribe to it.
fn lost(before: &Group, after: &BTreeMap<String, Assignment>) -> usize {
    let lost_by = |(id, assignment): (&String, &Assignment)| -> usize {
        let kept = |topic_id: &Uuid, p: &i32| {
            assignment.get(topic_id).is_some_and(|partitions| partitions.contains(p))
        };
        let target = &before.members[id].target;
        target
            .iter()
            .map(|(topic_id, partitions)| partitions.iter().filter(|p| !kept(topic_id, p)).count())
            .sum()
    };
    after.iter().map(lost_by).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn uniform_is_balanced_and_sticky_when_subscriptions_are_the_same(
        mut group in groups(true), leaver in any::<prop::sample::Index>(), joiners in 0..3_usize, grown in 0..9_i32,
    ) {
        let first = group.assign(Assignor::Uniform, SubscriptionType::Homogeneous);
        check_owners(&group, &first);
        let loads: Vec<usize> = first.values().map(load).collect();
        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
        take_over(&mut group, first.clone());
        prop_assert_eq!(&group.assign(Assignor::Uniform, SubscriptionType::Homogeneous), &first);

        // One member goes: nobody else loses anything.
        let mut shrunk = group.clone();
        if shrunk.members.len() > 1 {
            let gone = leaver.get(&group.members.keys().collect::<Vec<_>>()).to_string();
            shrunk.members.remove(&gone);
            let after = shrunk.assign(Assignor::Uniform, SubscriptionType::Homogeneous);
            check_owners(&shrunk, &after);
            prop_assert_eq!(lost(&shrunk, &after), 0);
        }

        // Members come and a topic grows: they stay even, and nobody loses more than the newcomers get.
        let subscribed = group.members.values().next().unwrap().subscribed.clone();
        for joiner in 0..joiners {
            let newcomer = Member { subscribed: subscribed.clone(), ..Member::default() };
            group.members.insert(format!("A{joiner}"), newcomer);
        }
        *group.topics.get_mut(&topic(0)).unwrap() += grown;
        let after = group.assign(Assignor::Uniform, SubscriptionType::Homogeneous);
        check_owners(&group, &after);
        let loads: Vec<usize> = after.values().map(load).collect();
        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
        let gained: usize = (0..joiners).map(|joiner| load(&after[&format!("A{joiner}")])).sum();
        prop_assert!(lost(&group, &after) <= gained);
    }

    #[test]
    fn uniform_is_sticky_when_subscriptions_differ(mut group in groups(false), leaver in any::<prop::sample::Index>()) {
        let first = group.assign(Assignor::Uniform, SubscriptionType::Heterogeneous);
        check_owners(&group, &first);
        take_over(&mut group, first.clone());
        prop_assert_eq!(&group.assign(Assignor::Uniform, SubscriptionType::Heterogeneous), &first);
        // No member has two partitions more than another that could have one of them.
        for (rich, assignment) in &first {
            for (poor, other) in &first {
                let could_move = assignment.keys().any(|topic_id| group.members[poor].subscribed.contains(topic_id));
                prop_assert!(!could_move || load(assignment) <= load(other) + 1, "{rich} and {poor}");
            }
        }
        if group.members.len() > 1 {
            let gone = leaver.get(&group.members.keys().collect::<Vec<_>>()).to_string();
            group.members.remove(&gone);
            let after = group.assign(Assignor::Uniform, SubscriptionType::Heterogeneous);
            check_owners(&group, &after);
        }
    }

    #[test]
    fn range_gives_each_subscriber_one_run_and_the_same_of_topics_alike(group in groups(false)) {
        let assigned = group.assign(Assignor::Range, group.subscription_type());
        check_owners(&group, &assigned);
        for assignment in assigned.values() {
            for partitions in assignment.values() {
                let (first, last) = (partitions.first().unwrap(), partitions.last().unwrap());
                prop_assert_eq!(usize::try_from(last - first).unwrap() + 1, partitions.len());
            }
        }
        let subscribers = |topic_id: &Uuid| -> Vec<&String> {
            let subscribes = |(_, member): &(&String, &Member)| member.subscribed.contains(topic_id);
            group.members.iter().filter(subscribes).map(|(id, _)| id).collect()
        };
        for (left, left_count) in &group.topics {
            for (right, right_count) in &group.topics {
                if left_count == right_count && subscribers(left) == subscribers(right) {
                    prop_assert!(assigned.values().all(|assignment| assignment.get(left) == assignment.get(right)));
                }
            }
        }
    }

    #[test]
    fn range_follows_the_instance_and_not_the_member_id(group in groups(true)) {
        let mut group = group;
        for (number, member) in group.members.values_mut().enumerate() {
            member.instance_id = Some(format!("{number:02}"));
        }
        let before = group.assign(Assignor::Range, SubscriptionType::Homogeneous);
        let by_instance = |group: &Group, assigned: &BTreeMap<String, Assignment>| -> BTreeMap<Option<String>, Assignment> {
            group.members.iter().map(|(id, member)| (member.instance_id.clone(), assigned[id].clone())).collect()
        };
        let mut renamed = group.clone();
        let reversed = |id: &String| format!("{}{id}", 'z');
        renamed.members = group.members.iter().rev().enumerate()
            .map(|(n, (id, member))| (format!("{n:02}{}", reversed(id)), member.clone())).collect();
        let after = renamed.assign(Assignor::Range, SubscriptionType::Homogeneous);
        prop_assert_eq!(by_instance(&group, &before), by_instance(&renamed, &after));
    }
}
