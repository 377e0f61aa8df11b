//! Commits of groups without members, OffsetCommit v8: one partition each, one group after the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fluxmq_benches::figures::{Figures, Options, Stretch};
use fluxmq_benches::wire::{Connections, CoordinatorOf, PATIENCE, frame, response, set_up};
use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{GroupId, OffsetCommitRequest, TopicName};

use crate::{group, groups, load};

/// The topic that is committed for.
pub(crate) const TOPIC: &str = "committed";

/// A group's id by its number.
pub(crate) fn group_id(options: &Options, number: usize) -> GroupId {
    group(&format!("{}-{number}", options.get("prefix", "group".to_owned())))
}

/// Commits under way. A group's all go over one connection, so that they are handled in the order of their offsets.
pub(crate) struct Committer {
    connections: Connections,
    groups: Vec<Group>,
    /// By connection: the next of its groups, counting on from the last round.
    next: Vec<usize>,
    /// By connection: the moments from which those sent count.
    under_way: Vec<VecDeque<Instant>>,
    /// By commit: how long until its answer.
    latencies: Vec<Duration>,
    answered: u64,
}

struct Group {
    id: GroupId,
    next_offset: i64,
}

impl Committer {
    /// Connects, and waits until the coordinator knows all of the groups.
    pub(crate) fn new(options: &Options) -> Committer {
        set_up(&options.bootstrap(), TOPIC, 1, CoordinatorOf::Groups);
        load::until_loaded(options, |_, _| ());
        let connections = Connections::open(&options.bootstrap(), options.get("connections", 64));
        let under_way = (0..connections.count()).map(|_| VecDeque::new()).collect();
        let groups =
            (0..groups(options)).map(|number| Group { id: group_id(options, number), next_offset: 0 });
        Committer {
            groups: groups.collect(),
            next: vec![0; connections.count()],
            connections,
            under_way,
            latencies: Vec::new(),
            answered: 0,
        }
    }

    fn send(&mut self, number: usize, counts_from: Instant) {
        let group = &mut self.groups[number];
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(group.next_offset)
            .with_committed_leader_epoch(0)
            .with_committed_metadata(Some(StrBytes::default()));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group.id.clone())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        group.next_offset += 1;
        let at = number % self.connections.count();
        self.connections.send(at, &frame(8, &request));
        self.under_way[at].push_back(counts_from);
    }

    /// Sends the next commit of a connection, for its groups in turn.
    fn send_next(&mut self, at: usize) {
        let groups = (self.groups.len() - at).div_ceil(self.connections.count());
        let number = at + self.next[at] % groups * self.connections.count();
        self.next[at] += 1;
        self.send(number, Instant::now());
    }

    /// Takes the answers that have come; returns the connections that they came on.
    fn receive(&mut self, until: Instant) -> Vec<usize> {
        let frames = self.connections.receive(until);
        let now = Instant::now();
        let mut answered = Vec::with_capacity(frames.len());
        for (at, answer) in frames {
            let answer = response::<OffsetCommitRequest>(8, answer);
            assert_eq!(answer.topics[0].partitions[0].error_code, 0, "a commit was refused");
            let counts_from = self.under_way[at].pop_front().expect("an answer to a commit");
            self.latencies.push(now - counts_from);
            self.answered += 1;
            answered.push(at);
        }
        answered
    }

    fn is_idle(&self) -> bool {
        self.under_way.iter().all(VecDeque::is_empty)
    }

    fn drain(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_idle() {
            assert!(Instant::now() < deadline, "commits without an answer");
            self.receive(deadline);
        }
    }

    /// Commits with `depth` under way on each connection, while `go_on` says so of a connection and how many it sent.
    fn closed(&mut self, depth: usize, mut go_on: impl FnMut(usize, usize) -> bool) {
        for _ in 0..depth {
            for at in 0..self.connections.count() {
                if go_on(at, self.next[at]) {
                    self.send_next(at);
                }
            }
        }
        while !self.is_idle() {
            for at in self.receive(Instant::now() + PATIENCE) {
                if go_on(at, self.next[at]) {
                    self.send_next(at);
                }
            }
        }
    }

    fn closed_for(&mut self, depth: usize, duration: Duration) {
        let end = Instant::now() + duration;
        self.closed(depth, |_, _| Instant::now() < end);
    }

    /// Every group commits so many times.
    pub(crate) fn rounds(&mut self, rounds: usize, depth: usize) {
        let (groups, connections) = (self.groups.len(), self.connections.count());
        let wanted = |at: usize| (groups - at).div_ceil(connections) * rounds;
        let before = self.next.clone();
        self.closed(depth, |at, sent| sent - before[at] < wanted(at));
    }
}

/// What the coordinator remembers of a group, by the process's memory before and after each has committed once.
fn first_commits(committer: &mut Committer, options: &Options, figures: &mut Figures) {
    let broker = options.broker();
    let before = broker.rss_kb();
    committer.rounds(1, 4);
    std::thread::sleep(Duration::from_millis(500));
    figures.add_memory("group", committer.groups.len(), before, broker);
}

/// A commit counts from the moment it was due, sent then or not.
pub(crate) fn at_a_rate(options: &Options, figures: &mut Figures) {
    let mut committer = Committer::new(options);
    let (rate, seconds): (f64, f64) = (options.get("rate", 10_000.0), options.get("seconds", 20.0));
    first_commits(&mut committer, options, figures);
    committer.closed_for(1, options.seconds("warmup", 3.0));
    committer.latencies.clear();
    let (broker, started) = (options.broker(), Instant::now());
    let (cpu_s, before) = (broker.cpu_s(), committer.answered);
    let due = |sent: u64| started + Duration::from_secs_f64(sent as f64 / rate);
    let wanted = (rate * seconds) as u64;
    let mut sent = 0;
    while sent < wanted {
        while sent < wanted && due(sent) <= Instant::now() {
            committer.send(sent as usize % committer.groups.len(), due(sent));
            sent += 1;
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
    figures.add_latencies("", &mut committer.latencies);
}

/// Each connection commits again once it was answered.
pub(crate) fn closed_loop(options: &Options, figures: &mut Figures) {
    let mut committer = Committer::new(options);
    let depth = options.get("depth", 1);
    committer.closed_for(depth, options.seconds("warmup", 3.0));
    committer.latencies.clear();
    let (stretch, before) = (Stretch::begin(options.broker()), committer.answered);
    committer.closed_for(depth, options.seconds("seconds", 10.0));
    stretch.end("commit", committer.answered - before, figures);
    figures.add_latencies("", &mut committer.latencies);
    figures.add("rss_kb", options.broker().rss_kb());
}
