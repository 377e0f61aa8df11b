//! What a new target assignment of a consumer group costs: members × partitions, from nothing and with a new member.

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fluxmq_coordinator::assignors::{Assignment, GroupSpec, MemberSpec, SubscriptionType, assign};
use fluxmq_coordinator::config::Assignor;
use uuid::Uuid;

const PARTITIONS_PER_TOPIC: i32 = 100;

/// Members and what they subscribe to: everything, or for every other one all topics but the first.
struct Members {
    names: Vec<String>,
    kind: SubscriptionType,
    whole: BTreeSet<Uuid>,
    most: BTreeSet<Uuid>,
}

impl Members {
    fn new(members: u128, topics: u128, kind: SubscriptionType) -> Self {
        let name =
            |member: u128| Uuid::from_u128(member.wrapping_mul(0x9e37_79b9_7f4a_7c15_9e37)).to_string();
        let whole: BTreeSet<Uuid> = (1..=topics).map(|topic| Uuid::from_u128(topic << 64 | topic)).collect();
        let most = whole.iter().copied().skip(1).collect();
        Members { names: (1..=members).map(name).collect(), kind, whole, most }
    }

    /// The first members, with what they had.
    fn group<'a>(&'a self, members: usize, targets: &'a [Assignment], none: &'a Assignment) -> GroupSpec<'a> {
        let spec = |(n, name): (usize, &'a String)| MemberSpec {
            member_id: name,
            instance_id: None,
            subscribed_topic_ids: match self.kind {
                SubscriptionType::Heterogeneous if n % 2 == 1 => &self.most,
                _ => &self.whole,
            },
            target: targets.get(n).unwrap_or(none),
        };
        GroupSpec {
            members: self.names.iter().take(members).enumerate().map(spec).collect(),
            subscription_type: self.kind,
        }
    }
}

fn target_assignment(c: &mut Criterion) {
    let mut bench = c.benchmark_group("target_assignment");
    bench.sample_size(20);
    let none = Assignment::new();
    let partitions = |_| Some(PARTITIONS_PER_TOPIC);
    for (count, topics) in [(1_000, 10), (10_000, 10), (1_000, 100)] {
        for (name, assignor, kind) in [
            ("uniform", Assignor::Uniform, SubscriptionType::Homogeneous),
            ("uniform_differing", Assignor::Uniform, SubscriptionType::Heterogeneous),
            ("range", Assignor::Range, SubscriptionType::Homogeneous),
        ] {
            let members = Members::new(count + 1, topics, kind);
            let all = members.names.len();
            let size = format!("{count}x{}", topics * 100);
            let new = members.group(all - 1, &[], &none);
            let targets = assign(assignor, &new, &partitions).expect("every topic exists");
            bench.bench_function(BenchmarkId::new(format!("{name}/new"), &size), |b| {
                b.iter(|| black_box(assign(assignor, &new, &partitions)));
            });
            let joined = members.group(all, &targets, &none);
            bench.bench_function(BenchmarkId::new(format!("{name}/join"), &size), |b| {
                b.iter(|| black_box(assign(assignor, &joined, &partitions)));
            });
        }
    }
    bench.finish();
}

criterion_group!(benches, target_assignment);
criterion_main!(benches);
