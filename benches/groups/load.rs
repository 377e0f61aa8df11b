//! A coordinator that starts with commits to read: how long until it answers for all of its groups.

use std::time::Instant;

use fluxmq_benches::figures::{Figures, Options};
use fluxmq_benches::wire::{call_coordinator, connect};
use fluxmq_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use fluxmq_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};

use crate::commits::{Committer, group_id};
use crate::groups;

/// Groups that are asked for in one request.
const GROUPS_PER_REQUEST: usize = 1000;

/// Commits of each group.
fn rounds(options: &Options) -> usize {
    options.get("commits", 1_000_000_usize).div_ceil(groups(options))
}

/// Commits so many times, one group after the other.
pub(crate) fn fill(options: &Options, figures: &mut Figures) {
    let mut committer = Committer::new(options);
    let started = Instant::now();
    committer.rounds(rounds(options), options.get("depth", 16));
    figures.add("commits", rounds(options) * groups(options));
    figures.add_decimals("fill_s", started.elapsed().as_secs_f64());
}

/// Asks until every group is known with what was committed last for it.
pub(crate) fn answer(options: &Options, figures: &mut Figures) {
    let last = rounds(options) as i64 - 1;
    let first_answer = until_loaded(options, |number, committed| {
        assert_eq!(committed, Some(last), "the last commit of group {number}");
    });
    figures.add_start(options, first_answer);
}

/// Waits until the coordinator answers for every group, and shows what it knows of each. Returns when it answered first.
pub(crate) fn until_loaded(options: &Options, mut known: impl FnMut(usize, Option<i64>)) -> Instant {
    let mut stream = connect(&options.bootstrap());
    let mut first_answer = None;
    for first in (0..groups(options)).step_by(GROUPS_PER_REQUEST) {
        let asked = first..groups(options).min(first + GROUPS_PER_REQUEST);
        let wanted = asked.clone().map(|number| {
            OffsetFetchRequestGroup::default().with_group_id(group_id(options, number)).with_topics(None)
        });
        let request = OffsetFetchRequest::default().with_groups(wanted.collect());
        let codes = |answer: &OffsetFetchResponse| {
            first_answer.get_or_insert_with(Instant::now);
            answer.groups.iter().map(|group| group.error_code).collect()
        };
        let groups = call_coordinator(&mut stream, 8, &request, codes).groups;
        for (number, group) in asked.zip(&groups) {
            assert_eq!(group.error_code, 0, "group {number}");
            known(number, group.topics.first().map(|topic| topic.partitions[0].committed_offset));
        }
    }
    first_answer.unwrap_or_else(Instant::now)
}
