//! `uniform` when all members subscribe to the same topics: the numbers of partitions of any two members differ by at
//! most one, and a member keeps what it has up to its share.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{AssignError, Assignment, GroupSpec, by_member_id, count, partition_index};

pub(super) fn assign(
    group: &GroupSpec<'_>,
    partition_count: &dyn Fn(Uuid) -> Option<i32>,
) -> Result<Vec<Assignment>, AssignError> {
    let order = by_member_id(&group.members);
    let mut assignments = vec![Assignment::new(); group.members.len()];
    let mut topics: BTreeMap<Uuid, Vec<bool>> = BTreeMap::new();
    for &topic_id in group.members[order[0]].subscribed_topic_ids {
        topics.insert(topic_id, vec![false; count(topic_id, partition_count)?]);
    }
    let total: usize = topics.values().map(Vec::len).sum();
    let owned = own(group, &mut topics);
    let mut free: Vec<(Uuid, i32)> = topics
        .iter()
        .flat_map(|(&topic_id, taken)| {
            let free = taken.iter().enumerate().filter(|(_, taken)| !**taken);
            free.map(move |(partition, _)| (topic_id, partition_index(partition)))
        })
        .collect();

    // First what members have: each keeps as much as its share, the rest is free after the partitions nobody had.
    let share = total / order.len();
    let mut extras = total % order.len();
    let mut unfilled = Vec::new();
    for (served, &place) in order.iter().enumerate() {
        let may_have_extra = extras > 0;
        let mut quota = share + usize::from(may_have_extra);
        for &(topic_id, ref partitions) in &owned[place] {
            let kept = partitions.len().min(quota);
            quota -= kept;
            if kept > 0 {
                assignments[place].insert(topic_id, partitions[..kept].iter().copied().collect());
            }
            free.extend(partitions[kept..].iter().map(|&partition| (topic_id, partition)));
        }
        let mut has_extra = may_have_extra;
        if quota > 0 && may_have_extra && order.len() - served > extras {
            // Members after this one are enough to take the extra partitions, and may have them already.
            quota -= 1;
            has_extra = false;
        }
        extras -= usize::from(has_extra);
        if quota > 0 {
            unfilled.push((place, quota));
        }
    }

    let mut free = free.into_iter();
    for (place, quota) in unfilled {
        for (topic_id, partition) in free.by_ref().take(quota) {
            assignments[place].entry(topic_id).or_default().insert(partition);
        }
    }
    debug_assert!(free.next().is_none(), "the shares add up to all partitions");
    Ok(assignments)
}

/// What each member has of the subscribed topics, ascending; marks that as taken.
fn own(group: &GroupSpec<'_>, topics: &mut BTreeMap<Uuid, Vec<bool>>) -> Vec<Vec<(Uuid, Vec<i32>)>> {
    let owned_by = |member: &super::MemberSpec<'_>| {
        let mut owned = Vec::with_capacity(member.target.len());
        for (topic_id, partitions) in member.target {
            let Some(taken) = topics.get_mut(topic_id) else { continue };
            let mut kept = Vec::with_capacity(partitions.len());
            for &partition in partitions {
                let slot = usize::try_from(partition).ok().and_then(|partition| taken.get_mut(partition));
                if slot.is_some_and(|taken| !std::mem::replace(taken, true)) {
                    kept.push(partition);
                }
            }
            if !kept.is_empty() {
                owned.push((*topic_id, kept));
            }
        }
        owned
    };
    group.members.iter().map(owned_by).collect()
}
