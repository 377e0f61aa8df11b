//! `uniform` when the members' subscriptions differ: partitions that nobody has go to the least loaded subscriber,
//! topics with the most partitions per subscriber first; then, topic by topic, partitions move from the most loaded
//! subscriber to the least loaded one until no topic has anything to even out.

use std::cmp::Ordering;
use std::collections::HashMap;

use uuid::Uuid;

use super::balancer::Balancer;
use super::{AssignError, Assignment, GroupSpec, by_member_id, count, partition_index};

/// How often all topics are gone through. Topics whose subscribers all have the same subscription need one round and
/// another to see that it was enough; overlapping ones may need many, each making the differences smaller.
const MAX_ROUNDS: usize = 16;

struct Topic {
    id: Uuid,
    /// Subscribers, as places in the order of member ids, ascending.
    subscribers: Vec<usize>,
    /// Each partition's owner, as a place in the order of member ids.
    owners: Vec<Option<usize>>,
}

pub(super) fn assign(
    group: &GroupSpec<'_>,
    partition_count: &dyn Fn(Uuid) -> Option<i32>,
) -> Result<Vec<Assignment>, AssignError> {
    let order = by_member_id(&group.members);
    let mut topics = subscribed(group, &order, partition_count)?;
    let mut loads = keep(group, &order, &mut topics);
    // Every later step goes through the topics in this order, and it doesn't depend on who owns what.
    topics.sort_by(topic_order);
    let mut balancer = Balancer::default();
    for topic in &mut topics {
        give_out(topic, &mut loads, &mut balancer);
    }
    topics_evened_out(&mut topics, &mut loads, &mut balancer);

    let mut assignments = vec![Assignment::new(); group.members.len()];
    for topic in &topics {
        for (partition, owner) in topic.owners.iter().enumerate() {
            let owner =
                owner.expect("every topic here has a subscriber, and all its partitions were given out");
            assignments[order[owner]].entry(topic.id).or_default().insert(partition_index(partition));
        }
    }
    Ok(assignments)
}

fn subscribed(
    group: &GroupSpec<'_>,
    order: &[usize],
    partition_count: &dyn Fn(Uuid) -> Option<i32>,
) -> Result<Vec<Topic>, AssignError> {
    let mut topics: Vec<Topic> = Vec::new();
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    for (member, &place) in order.iter().enumerate() {
        for &id in group.members[place].subscribed_topic_ids {
            if let Some(&topic) = places.get(&id) {
                topics[topic].subscribers.push(member);
            } else {
                places.insert(id, topics.len());
                let owners = vec![None; count(id, partition_count)?];
                topics.push(Topic { id, subscribers: vec![member], owners });
            }
        }
    }
    Ok(topics)
}

/// Puts down what the members have of what they subscribe to; returns how much that is, by member.
fn keep(group: &GroupSpec<'_>, order: &[usize], topics: &mut [Topic]) -> Vec<i64> {
    let places: HashMap<Uuid, usize> =
        topics.iter().enumerate().map(|(place, topic)| (topic.id, place)).collect();
    let mut loads = vec![0; order.len()];
    for (member, &place) in order.iter().enumerate() {
        let spec = &group.members[place];
        for (topic_id, partitions) in spec.target {
            if !spec.subscribed_topic_ids.contains(topic_id) {
                continue;
            }
            let owners = &mut topics[places[topic_id]].owners;
            for &partition in partitions {
                let owner = usize::try_from(partition).ok().and_then(|partition| owners.get_mut(partition));
                if let Some(owner @ None) = owner {
                    *owner = Some(member);
                    loads[member] += 1;
                }
            }
        }
    }
    loads
}

/// Most partitions per subscriber first, then fewest subscribers, then by topic id as Kafka's Uuid compares.
fn topic_order(left: &Topic, right: &Topic) -> Ordering {
    let density = |topic: &Topic| topic.owners.len() as f64 / topic.subscribers.len() as f64;
    let signed = |topic: &Topic| {
        let (most_significant, least_significant) = topic.id.as_u64_pair();
        (most_significant.cast_signed(), least_significant.cast_signed())
    };
    let by_density = density(right).total_cmp(&density(left));
    by_density
        .then_with(|| left.subscribers.len().cmp(&right.subscribers.len()))
        .then_with(|| signed(left).cmp(&signed(right)))
}

/// Gives the partitions that nobody has to the least loaded subscribers.
fn give_out(topic: &mut Topic, loads: &mut [i64], balancer: &mut Balancer) {
    if topic.owners.iter().all(Option::is_some) {
        return;
    }
    balancer.start(&topic.subscribers, loads);
    for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
        let member = balancer.next_least_loaded(loads);
        *owner = Some(member);
        loads[member] += 1;
    }
}

/// Goes round the topics until a whole round since the last topic that had partitions to move.
fn topics_evened_out(topics: &mut [Topic], loads: &mut [i64], balancer: &mut Balancer) {
    let shared: Vec<usize> =
        (0..topics.len()).filter(|&topic| topics[topic].subscribers.len() >= 2).collect();
    let mut last_uneven = None;
    for _ in 0..MAX_ROUNDS {
        for &topic in &shared {
            if last_uneven == Some(topic) {
                return;
            }
            let moved = even_out(&mut topics[topic], loads, balancer);
            if moved || last_uneven.is_none() {
                last_uneven = Some(topic);
            }
        }
    }
}

/// Moves partitions of a topic from its most loaded to its least loaded subscribers; whether any moved.
fn even_out(topic: &mut Topic, loads: &mut [i64], balancer: &mut Balancer) -> bool {
    if balancer.start(&topic.subscribers, loads) <= 1 {
        return false;
    }
    // What each member can give, ascending, so that the highest numbers go first.
    let mut to_give: HashMap<usize, Vec<usize>> = HashMap::new();
    for (partition, owner) in topic.owners.iter().enumerate() {
        let owner = owner.expect("all partitions were given out");
        to_give.entry(owner).or_default().push(partition);
    }
    let mut moved = false;
    while !balancer.is_balanced() {
        let partition = loop {
            let Some(member) = balancer.next_most_loaded(loads) else { return moved };
            if let Some(partition) = to_give.get_mut(&member).and_then(Vec::pop) {
                break partition;
            }
            balancer.exclude_most_loaded();
        };
        let member = balancer.next_least_loaded(loads);
        if balancer.is_balanced() {
            break;
        }
        let owner = topic.owners[partition].replace(member).expect("all partitions were given out");
        loads[owner] -= 1;
        loads[member] += 1;
        moved = true;
    }
    moved
}
