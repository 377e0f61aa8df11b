//! A coordinator that starts with commits to read: how long until it answers for all of its groups.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fluxmq_protocol::messages::OffsetFetchRequest;
use fluxmq_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;

use crate::commits::{Committer, group_id};
use crate::wire::{COORDINATOR_NOT_THERE, PATIENCE, call, connect};
use crate::{Figures, Options};

/// Groups that are asked for in one request.
const GROUPS_PER_REQUEST: usize = 1000;

/// Commits of each group.
fn rounds(options: &Options) -> usize {
    options.get("commits", 1_000_000_usize).div_ceil(options.groups())
}

/// Commits so many times, one group after the other.
pub(crate) fn fill(options: &Options, figures: &mut Figures) {
    let mut committer = Committer::new(options);
    let started = Instant::now();
    committer.rounds(rounds(options), options.get("depth", 16));
    figures.add("commits", rounds(options) * options.groups());
    figures.add_decimals("fill_s", started.elapsed().as_secs_f64());
}

/// Asks until every group is known with what was committed last for it. The time is from `since`, when the process was
/// started, and from the first answer to anything.
pub(crate) fn answer(options: &Options, figures: &mut Figures) {
    let since = UNIX_EPOCH + Duration::from_millis(options.get("since", 0));
    let last = rounds(options) as i64 - 1;
    let first_answer = until_loaded(options, |number, committed| {
        assert_eq!(committed, Some(last), "the last commit of group {number}");
    });
    let total = SystemTime::now().duration_since(since).unwrap_or_default();
    figures.add_decimals("since_start_s", total.as_secs_f64());
    figures.add_decimals("since_first_answer_s", first_answer.elapsed().as_secs_f64());
}

/// Waits until the coordinator answers for every group, and shows what it knows of each. Returns when it answered first.
pub(crate) fn until_loaded(options: &Options, mut known: impl FnMut(usize, Option<i64>)) -> Instant {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = connect(&options.bootstrap());
    let mut first_answer = None;
    for first in (0..options.groups()).step_by(GROUPS_PER_REQUEST) {
        let asked = first..options.groups().min(first + GROUPS_PER_REQUEST);
        let wanted = asked.clone().map(|number| {
            OffsetFetchRequestGroup::default().with_group_id(group_id(options, number)).with_topics(None)
        });
        let request = OffsetFetchRequest::default().with_groups(wanted.collect());
        let groups = loop {
            let groups = call(&mut stream, 8, &request).groups;
            first_answer.get_or_insert_with(Instant::now);
            if !groups.iter().any(|group| COORDINATOR_NOT_THERE.contains(&group.error_code)) {
                break groups;
            }
            assert!(Instant::now() < deadline, "the coordinator does not answer");
            std::thread::sleep(Duration::from_millis(2));
        };
        for (number, group) in asked.zip(&groups) {
            assert_eq!(group.error_code, 0, "group {number}");
            known(number, group.topics.first().map(|topic| topic.partitions[0].committed_offset));
        }
    }
    first_answer.unwrap_or_else(Instant::now)
}
