//! Commits of groups without members, OffsetCommit v8: one partition each, one group after the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{GroupId, OffsetCommitRequest, TopicName};

use crate::wire::{COORDINATOR_NOT_THERE, Connections, PATIENCE, frame, group, response, set_up};
use crate::{Figures, Options};

/// The topic that is committed for.
pub(crate) const TOPIC: &str = "committed";

/// A group's name by its number.
pub(crate) fn group_name(options: &Options, number: u64) -> String {
    format!("{}-{number}", options.get("prefix", "group".to_owned()))
}

/// Commits under way, each with the moment from which it counts, in order by connection.
pub(crate) struct Committer {
    /// By number.
    names: Vec<GroupId>,
    connections: Connections,
    under_way: Vec<VecDeque<(u64, Instant)>>,
    groups: u64,
    /// By commit: how long until its answer.
    pub(crate) latencies: Vec<Duration>,
    answered: u64,
}

impl Committer {
    /// Connects, and waits for the coordinator.
    pub(crate) fn new(options: &Options) -> Committer {
        set_up(&options.bootstrap(), TOPIC, 1);
        let connections = Connections::open(&options.bootstrap(), options.get("connections", 64));
        let under_way = (0..connections.len()).map(|_| VecDeque::new()).collect();
        let groups = options.get("groups", 10_000);
        let names = (0..groups).map(|number| group(&group_name(options, number))).collect();
        Committer { names, connections, under_way, groups, latencies: Vec::new(), answered: 0 }
    }

    fn send(&mut self, at: usize, number: u64, counts_from: Instant) {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset((number / self.groups) as i64)
            .with_committed_leader_epoch(0)
            .with_committed_metadata(Some(StrBytes::default()));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.names[(number % self.groups) as usize].clone())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        self.connections.send(at, &frame(8, &request));
        self.under_way[at].push_back((number, counts_from));
    }

    /// Takes the answers that have come; returns the connections that they came on.
    fn receive(&mut self, until: Instant) -> Vec<usize> {
        let frames = self.connections.receive(until);
        let now = Instant::now();
        let mut answered = Vec::with_capacity(frames.len());
        for (at, answer) in frames {
            let error = response::<OffsetCommitRequest>(8, answer).topics[0].partitions[0].error_code;
            let (number, counts_from) = self.under_way[at].pop_front().expect("an answer to a commit");
            if COORDINATOR_NOT_THERE.contains(&error) {
                self.send(at, number, counts_from);
                continue;
            }
            assert_eq!(error, 0, "commit {number}");
            self.latencies.push(now - counts_from);
            self.answered += 1;
            answered.push(at);
        }
        answered
    }

    fn drain(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.under_way.iter().any(|commits| !commits.is_empty()) {
            assert!(Instant::now() < deadline, "commits without an answer");
            self.receive(deadline);
        }
    }

    /// Commits `from`, `from + 1`, ... with `depth` under way on each connection, while `go_on` says so.
    pub(crate) fn closed(&mut self, from: u64, depth: usize, mut go_on: impl FnMut(u64) -> bool) -> u64 {
        let mut next = from;
        for at in (0..self.connections.len()).cycle().take(self.connections.len() * depth) {
            if go_on(next) {
                self.send(at, next, Instant::now());
                next += 1;
            }
        }
        while self.under_way.iter().any(|commits| !commits.is_empty()) {
            for at in self.receive(Instant::now() + PATIENCE) {
                if go_on(next) {
                    self.send(at, next, Instant::now());
                    next += 1;
                }
            }
        }
        next
    }

    /// For so long, from a first number; returns the next one.
    fn closed_for(&mut self, from: u64, depth: usize, duration: Duration) -> u64 {
        let end = Instant::now() + duration;
        self.closed(from, depth, |_| Instant::now() < end)
    }
}

/// What the coordinator remembers of a group, by the process's memory before and after each has committed once.
fn first_commits(committer: &mut Committer, options: &Options, figures: &mut Figures) -> u64 {
    let broker = options.broker();
    let before = broker.rss_kb();
    let groups = committer.groups;
    let next = committer.closed(0, 4, |number| number < groups);
    std::thread::sleep(Duration::from_millis(500));
    let after = broker.rss_kb();
    figures.add("rss_before_kb", before);
    figures.add("rss_kb", after);
    figures.add("bytes_per_group", after.saturating_sub(before) * 1024 / groups);
    next
}

fn latencies(committer: &mut Committer, figures: &mut Figures) {
    committer.latencies.sort_unstable();
    let all = &committer.latencies;
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
        let at = ((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1));
        let latency = all.get(at).copied().unwrap_or_default();
        figures.add_decimals(&format!("{name}_ms"), latency.as_secs_f64() * 1000.0);
    }
}

/// A commit counts from the moment it was due, sent then or not.
pub(crate) fn at_a_rate(options: &Options, figures: &mut Figures) {
    let mut committer = Committer::new(options);
    let (rate, seconds): (f64, f64) = (options.get("rate", 10_000.0), options.get("seconds", 20.0));
    let mut number = first_commits(&mut committer, options, figures);
    number = committer.closed_for(number, 1, Duration::from_secs_f64(options.get("warmup", 3.0)));
    committer.latencies.clear();
    let (broker, started) = (options.broker(), Instant::now());
    let (cpu_s, before) = (broker.cpu_s(), committer.answered);
    let due = |sent: u64| started + Duration::from_secs_f64(sent as f64 / rate);
    let wanted = (rate * seconds) as u64;
    let mut sent = 0;
    while sent < wanted {
        while sent < wanted && due(sent) <= Instant::now() {
            let at = (number as usize) % committer.connections.len();
            committer.send(at, number, due(sent));
            (number, sent) = (number + 1, sent + 1);
        }
        committer.receive(due(sent));
    }
    // Those that are answered in time are what it keeps up with.
    let (elapsed, answered) = (started.elapsed().as_secs_f64(), committer.answered - before);
    committer.drain();
    let cpu_s = broker.cpu_s() - cpu_s;
    figures.add_decimals("commits_per_s", answered as f64 / elapsed);
    figures.add_decimals("cpu_s", cpu_s);
    figures.add_decimals("cpu_us_per_commit", cpu_s * 1e6 / (committer.answered - before) as f64);
    latencies(&mut committer, figures);
}

/// Each connection commits again once it was answered.
pub(crate) fn closed_loop(options: &Options, figures: &mut Figures) {
    let mut committer = Committer::new(options);
    let depth = options.get("depth", 1);
    let number = committer.closed_for(0, depth, Duration::from_secs_f64(options.get("warmup", 3.0)));
    committer.latencies.clear();
    let (broker, started, before) = (options.broker(), Instant::now(), committer.answered);
    let cpu_s = broker.cpu_s();
    committer.closed_for(number, depth, Duration::from_secs_f64(options.get("seconds", 10.0)));
    let (elapsed, answered) = (started.elapsed().as_secs_f64(), committer.answered - before);
    let cpu_s = broker.cpu_s() - cpu_s;
    figures.add_decimals("commits_per_s", answered as f64 / elapsed);
    figures.add_decimals("cpu_s", cpu_s);
    figures.add_decimals("cpu_us_per_commit", cpu_s * 1e6 / answered as f64);
    latencies(&mut committer, figures);
    figures.add("rss_kb", broker.rss_kb());
}
