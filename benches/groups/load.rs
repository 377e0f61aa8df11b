//! A coordinator that starts with commits to read: how long until it answers for all of its groups.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fluxmq_protocol::messages::OffsetFetchRequest;
use fluxmq_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;

use crate::commits::{Committer, group_name};
use crate::wire::{COORDINATOR_NOT_THERE, PATIENCE, call, connect, group};
use crate::{Figures, Options};

/// Groups that are asked for in one request.
const GROUPS_PER_REQUEST: u64 = 1000;

fn commits(options: &Options) -> u64 {
    options.get("commits", 1_000_000)
}

fn groups(options: &Options) -> u64 {
    options.get("groups", 10_000)
}

/// Commits so many times, one group after the other.
pub(crate) fn fill(options: &Options, figures: &mut Figures) {
    let mut committer = Committer::new(options);
    let (started, wanted) = (Instant::now(), commits(options));
    committer.closed(0, options.get("depth", 16), |number| number < wanted);
    figures.add("commits", wanted);
    figures.add_decimals("fill_s", started.elapsed().as_secs_f64());
}

/// Asks until every group is known with what was committed last for it. The time is from `since`, when the process was
/// started, and from the first answer to anything.
pub(crate) fn answer(options: &Options, figures: &mut Figures) {
    let groups = groups(options);
    let since = UNIX_EPOCH + Duration::from_millis(options.get("since", 0));
    let deadline = Instant::now() + PATIENCE;
    let mut stream = connect(&options.bootstrap());
    let mut first_answer = None;
    for first in (0..groups).step_by(GROUPS_PER_REQUEST as usize) {
        let asked = first..groups.min(first + GROUPS_PER_REQUEST);
        while !is_known(&mut stream, options, asked.clone()) {
            first_answer.get_or_insert_with(Instant::now);
            assert!(Instant::now() < deadline, "the coordinator does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        first_answer.get_or_insert_with(Instant::now);
    }
    let total = SystemTime::now().duration_since(since).unwrap_or_default();
    figures.add_decimals("since_start_s", total.as_secs_f64());
    figures.add_decimals("since_first_answer_s", first_answer.map_or(0.0, |at| at.elapsed().as_secs_f64()));
    figures.add_decimals("cpu_s", options.broker().cpu_s());
    figures.add("rss_kb", options.broker().rss_kb());
}

/// Whether these groups are loaded; fails when one isn't as it was committed.
fn is_known(stream: &mut std::net::TcpStream, options: &Options, asked: std::ops::Range<u64>) -> bool {
    let (groups, commits) = (groups(options), commits(options));
    let wanted = asked.clone().map(|number| {
        let name = group(&group_name(options, number));
        OffsetFetchRequestGroup::default().with_group_id(name).with_topics(None)
    });
    let request = OffsetFetchRequest::default().with_groups(wanted.collect());
    let answer = call(stream, 8, &request);
    if answer.groups.iter().any(|group| COORDINATOR_NOT_THERE.contains(&group.error_code)) {
        return false;
    }
    for (number, group) in asked.zip(&answer.groups) {
        assert_eq!(group.error_code, 0, "group {number}");
        // The number of its last commit among all, divided by the number of groups.
        let last = (commits - 1 - number) / groups;
        let committed = group.topics.first().map(|topic| topic.partitions[0].committed_offset);
        assert_eq!(committed, Some(last as i64), "the last commit of group {number}");
    }
    true
}
