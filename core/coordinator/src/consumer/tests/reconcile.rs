//! The steps of one member, each from a state to the next. The table follows KIP-848.

use std::sync::Arc;

use super::*;
use crate::assignors::Assignment;
use crate::consumer::error::ConsumerGroupError;
use crate::consumer::member::{MemberState, PartitionEpochs};
use crate::consumer::reconcile::Reconciliation;
use crate::testing::TestTopics;

use MemberState::{Stable, Unknown, UnreleasedPartitions, UnrevokedPartitions};

/// A member of `foo`: state, epoch, and its partitions with their epochs.
type Side<'a> = (MemberState, i32, &'a [(i32, i32)], &'a [(i32, i32)]);

struct Case<'a> {
    name: &'a str,
    member: Side<'a>,
    /// Partitions that others own.
    taken: &'a [i32],
    target: (i32, &'a [i32]),
    owned: Option<&'a [i32]>,
    /// None: no change.
    next: Option<Side<'a>>,
}

fn epochs(partitions: &[(i32, i32)]) -> Arc<PartitionEpochs> {
    let topic = (Uuid::from_u128(FOO), partitions.iter().copied().collect());
    Arc::new([topic].into_iter().filter(|_| !partitions.is_empty()).collect())
}

fn member(id: &str, (state, epoch, assigned, revoking): Side<'_>) -> ConsumerGroupMember {
    let mut member = ConsumerGroupMember::new(text(id));
    member.state = state;
    member.member_epoch = epoch;
    member.previous_member_epoch = epoch;
    member.assigned_partitions = epochs(assigned);
    member.partitions_pending_revocation = epochs(revoking);
    member.subscribed_topic_names = Arc::new([text("foo")].into());
    member
}

fn next(case: &Case<'_>) -> Result<Option<ConsumerGroupMember>, ConsumerGroupError> {
    let mut topics = TestTopics::default();
    topics.set("foo", FOO, 10);
    let mut group = ConsumerGroup::new(text(GROUP));
    let this = member("this", case.member);
    group.update_member(this.clone());
    let taken: Vec<_> = case.taken.iter().map(|partition| (*partition, 1)).collect();
    group.update_member(member("other", (Stable, 1, &taken, &[])));
    let (target_epoch, target) = case.target;
    let target: Assignment = [(Uuid::from_u128(FOO), target.iter().copied().collect())].into();
    let owned = case.owned.and_then(|owned| match owned {
        [] => Some(Vec::new()),
        owned => topic_partitions(&[(FOO, owned)]),
    });
    Reconciliation {
        group: &group,
        topics: &topics,
        target_epoch,
        target: &target,
        subscriptions: &group.subscriptions,
        has_subscription_changed: false,
        owned: owned.as_deref(),
    }
    .next(&this)
}

#[test]
fn members_go_to_their_target_step_by_step() {
    let table = [
        Case {
            name: "nothing new",
            member: (Stable, 5, &[(1, 5), (2, 5)], &[]),
            taken: &[],
            target: (5, &[1, 2]),
            owned: None,
            next: None,
        },
        Case {
            name: "a new epoch with the same partitions, which keep theirs",
            member: (Stable, 5, &[(1, 4), (2, 5)], &[]),
            taken: &[],
            target: (6, &[1, 2]),
            owned: None,
            next: Some((Stable, 6, &[(1, 4), (2, 5)], &[])),
        },
        Case {
            name: "a free partition",
            member: (Stable, 5, &[(1, 5)], &[]),
            taken: &[],
            target: (6, &[1, 2]),
            owned: None,
            next: Some((Stable, 6, &[(1, 5), (2, 6)], &[])),
        },
        Case {
            name: "a partition of another, and a free one",
            member: (Stable, 5, &[(1, 5)], &[]),
            taken: &[2],
            target: (6, &[1, 2, 3]),
            owned: None,
            next: Some((UnreleasedPartitions, 6, &[(1, 5), (3, 6)], &[])),
        },
        Case {
            name: "a partition to give up, and none is given until it did",
            member: (Stable, 5, &[(1, 5), (2, 5)], &[]),
            taken: &[],
            target: (6, &[2, 3]),
            owned: Some(&[1, 2]),
            next: Some((UnrevokedPartitions, 5, &[(2, 5)], &[(1, 5)])),
        },
        Case {
            name: "a partition to give up that it says it doesn't own",
            member: (Stable, 5, &[(1, 5), (2, 5)], &[]),
            taken: &[],
            target: (6, &[2, 3]),
            owned: Some(&[2]),
            next: Some((Stable, 6, &[(2, 5), (3, 6)], &[])),
        },
        Case {
            name: "not given up yet",
            member: (UnrevokedPartitions, 5, &[(2, 5)], &[(1, 5)]),
            taken: &[],
            target: (6, &[2, 3]),
            owned: Some(&[1, 2]),
            next: None,
        },
        Case {
            name: "it doesn't say what it owns",
            member: (UnrevokedPartitions, 5, &[(2, 5)], &[(1, 5)]),
            taken: &[],
            target: (6, &[2, 3]),
            owned: None,
            next: None,
        },
        Case {
            name: "given up",
            member: (UnrevokedPartitions, 5, &[(2, 5)], &[(1, 5)]),
            taken: &[],
            target: (6, &[2, 3]),
            owned: Some(&[2]),
            next: Some((Stable, 6, &[(2, 5), (3, 6)], &[])),
        },
        Case {
            name: "given up, and in a newer target something else is to go",
            member: (UnrevokedPartitions, 5, &[(2, 5)], &[(1, 5)]),
            taken: &[],
            target: (7, &[3]),
            owned: Some(&[2]),
            next: Some((UnrevokedPartitions, 5, &[], &[(2, 5)])),
        },
        Case {
            name: "given up, and in a newer target it gets it back",
            member: (UnrevokedPartitions, 5, &[(2, 5)], &[(1, 5)]),
            taken: &[],
            target: (7, &[1, 2]),
            owned: Some(&[2]),
            next: Some((Stable, 7, &[(1, 7), (2, 5)], &[])),
        },
        Case {
            name: "given up, and what it gets is another's",
            member: (UnrevokedPartitions, 5, &[(2, 5)], &[(1, 5)]),
            taken: &[3],
            target: (6, &[2, 3]),
            owned: Some(&[2]),
            next: Some((UnreleasedPartitions, 6, &[(2, 5)], &[])),
        },
        Case {
            name: "still another's",
            member: (UnreleasedPartitions, 6, &[(2, 5)], &[]),
            taken: &[3],
            target: (6, &[2, 3]),
            owned: None,
            next: None,
        },
        Case {
            name: "free now",
            member: (UnreleasedPartitions, 6, &[(2, 5)], &[]),
            taken: &[],
            target: (6, &[2, 3]),
            owned: None,
            next: Some((Stable, 6, &[(2, 5), (3, 6)], &[])),
        },
        Case {
            name: "one is free, one isn't",
            member: (UnreleasedPartitions, 6, &[(2, 5)], &[]),
            taken: &[4],
            target: (6, &[2, 3, 4]),
            owned: None,
            next: Some((UnreleasedPartitions, 6, &[(2, 5), (3, 6)], &[])),
        },
        Case {
            name: "waiting, and a newer target wants something back",
            member: (UnreleasedPartitions, 6, &[(2, 5)], &[]),
            taken: &[4],
            target: (7, &[4]),
            owned: Some(&[2]),
            next: Some((UnrevokedPartitions, 6, &[], &[(2, 5)])),
        },
        Case {
            name: "a state from the future, of a member that owns nothing",
            member: (Unknown, 5, &[(2, 5)], &[]),
            taken: &[],
            target: (6, &[2, 3]),
            owned: Some(&[]),
            next: Some((Stable, 6, &[(2, 5), (3, 6)], &[])),
        },
    ];
    for case in table {
        let expected = case.next.map(|side| {
            let mut expected = member("this", side);
            expected.previous_member_epoch = case.member.1;
            expected
        });
        assert_eq!(next(&case), Ok(expected), "{}", case.name);
        for owned in [None, Some([1].as_slice())] {
            let unknown = Case { member: (Unknown, 5, &[(2, 5)], &[]), owned, ..case };
            assert_eq!(next(&unknown), Err(ConsumerGroupError::UnknownMemberState));
        }
    }
}
