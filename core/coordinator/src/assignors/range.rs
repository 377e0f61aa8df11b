//! `range`: each topic is cut into ranges, one per subscriber, in the order of the members. Members that subscribe to
//! topics with the same number of partitions therefore get the same partition numbers of them (co-partitioning).
//! Static members come first, in the order of their instance ids, so that a range stays with the instance.

use std::cmp::Ordering;
use std::collections::HashMap;

use uuid::Uuid;

use super::{AssignError, Assignment, GroupSpec, MemberSpec, count, java_order, partition_index};

/// What of a topic has been given out.
struct Ranges {
    partitions: usize,
    subscribers: usize,
    /// How many subscribers have got theirs.
    served: usize,
    /// The first partition of the next range.
    next: usize,
}

impl Ranges {
    /// The range of the next subscriber: the first ones get one partition more if the number doesn't divide.
    fn take(&mut self) -> std::ops::Range<usize> {
        let extra = usize::from(self.served < self.partitions % self.subscribers);
        let start = self.next;
        self.served += 1;
        self.next += self.partitions / self.subscribers + extra;
        start..self.next
    }
}

pub(super) fn assign(
    group: &GroupSpec<'_>,
    partition_count: &dyn Fn(Uuid) -> Option<i32>,
) -> Result<Vec<Assignment>, AssignError> {
    let mut topics: HashMap<Uuid, Ranges> = HashMap::new();
    for member in &group.members {
        for &topic_id in member.subscribed_topic_ids {
            if let Some(ranges) = topics.get_mut(&topic_id) {
                ranges.subscribers += 1;
            } else {
                let partitions = count(topic_id, partition_count)?;
                topics.insert(topic_id, Ranges { partitions, subscribers: 1, served: 0, next: 0 });
            }
        }
    }
    let mut order: Vec<usize> = (0..group.members.len()).collect();
    order.sort_by(|&left, &right| member_order(&group.members[left], &group.members[right]));
    let mut assignments = vec![Assignment::new(); group.members.len()];
    for place in order {
        for topic_id in group.members[place].subscribed_topic_ids {
            let range = topics.get_mut(topic_id).expect("every subscribed topic was counted").take();
            if !range.is_empty() {
                assignments[place].insert(*topic_id, range.map(partition_index).collect());
            }
        }
    }
    Ok(assignments)
}

fn member_order(left: &MemberSpec<'_>, right: &MemberSpec<'_>) -> Ordering {
    match (left.instance_id, right.instance_id) {
        (Some(left), Some(right)) => java_order(left, right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => java_order(left.member_id, right.member_id),
    }
}
