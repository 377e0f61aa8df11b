//! Clients of both protocols around a broker, and the time that passes.

use std::collections::{BTreeMap, BTreeSet};

use fluxmq_coordinator::GroupCoordinatorConfig;
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{GroupId, OffsetCommitRequest, TopicName};

use super::broker::{Answer, Asker, Broker, Request, text};
use super::classic_client::ClassicClient;
use super::consumer_client::{ConsumerClient, Partitions};
use super::rng::Rng;
use super::transactions::Transaction;

#[derive(Clone, Debug)]
pub enum Kind {
    Consumer(ConsumerClient),
    Classic(ClassicClient),
}

#[derive(Clone, Debug)]
pub struct Client {
    pub group: String,
    pub kind: Kind,
    /// Its process runs.
    pub runs: bool,
    /// It was taken out of the group and doesn't know yet. It may be a member again by the request that is under way:
    /// what it thinks it has is of before.
    pub unaware: bool,
    /// When it wakes next.
    next_ms: i64,
    /// The request that it waits for.
    outstanding: Option<u64>,
}

impl Client {
    pub fn owned(&self) -> &Partitions {
        match &self.kind {
            Kind::Consumer(client) => &client.owned,
            Kind::Classic(client) => &client.owned,
        }
    }

    pub fn member_id(&self) -> &str {
        match &self.kind {
            Kind::Consumer(client) => &client.member_id,
            Kind::Classic(client) => &client.member_id,
        }
    }

    pub fn instance_id(&self) -> Option<&String> {
        match &self.kind {
            Kind::Consumer(client) => client.instance_id.as_ref(),
            Kind::Classic(client) => client.instance_id.as_ref(),
        }
    }

    pub fn epoch(&self) -> i32 {
        match &self.kind {
            Kind::Consumer(client) => client.epoch,
            Kind::Classic(client) => client.generation,
        }
    }

    fn failed(&self) -> bool {
        match &self.kind {
            Kind::Consumer(client) => client.failed,
            Kind::Classic(client) => client.failed,
        }
    }
}

/// A commit of one offset.
#[derive(Clone, Debug)]
pub struct Commit {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl Commit {
    pub fn key(&self) -> (String, String, i32) {
        (self.group.clone(), self.topic.clone(), self.partition)
    }
}

pub struct World {
    pub broker: Broker,
    pub rng: Rng,
    pub clients: Vec<Client>,
    /// Whether answers are lost, clients late, and the broker killed.
    pub faults: bool,
    /// What happened, if somebody wants to know.
    pub trace: Option<Vec<String>>,
    mail: Vec<(i64, Asker, Answer)>,
    pub requests: u64,
    commits: BTreeMap<u64, Commit>,
    /// The transactions of clients.
    pub transactions: BTreeMap<usize, Transaction>,
    /// The last offset of each partition whose commit was answered.
    pub acknowledged: BTreeMap<(String, String, i32), i64>,
    /// Offsets that nobody may see: of transactions that aren't committed.
    pub hidden: BTreeSet<i64>,
}

impl World {
    pub fn new(seed: u64, config: GroupCoordinatorConfig) -> Self {
        World {
            broker: Broker::new(config),
            rng: Rng::new(seed),
            clients: Vec::new(),
            faults: true,
            trace: None,
            mail: Vec::new(),
            requests: 0,
            commits: BTreeMap::new(),
            transactions: BTreeMap::new(),
            hidden: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
        }
    }

    pub fn note<T: Into<String>>(&mut self, what: impl FnOnce(&Self) -> T) {
        if self.trace.is_some() {
            let line = format!("{:>7} {}", self.broker.now.monotonic_ms, what(self).into());
            self.trace.iter_mut().for_each(|trace| trace.push(line.clone()));
        }
    }

    pub fn start(&mut self, group: &str, kind: Kind) {
        let next_ms = self.broker.now.monotonic_ms + self.rng.between(0, 500);
        self.note(|world| format!("client {} starts in {group}: {kind:?}", world.clients.len()));
        self.clients.push(Client {
            group: group.to_owned(),
            kind,
            runs: true,
            unaware: false,
            next_ms,
            outstanding: None,
        });
    }

    /// Its process ends without a word.
    pub fn kill_client(&mut self, client: usize) {
        self.note(|_| format!("client {client} dies"));
        self.clients[client].runs = false;
    }

    /// It ends, and says so: consumers of the consumer protocol with this epoch.
    pub fn close_client(&mut self, client: usize, epoch: i32) {
        self.note(|_| format!("client {client} leaves"));
        let group = self.clients[client].group.clone();
        let (version, request) = match &mut self.clients[client].kind {
            Kind::Consumer(consumer) => (1, consumer.leave(&group, epoch)),
            Kind::Classic(classic) => (5, classic.leave(&group)),
        };
        self.clients[client].runs = false;
        self.send(client, version, &request);
    }

    /// Subscribes to other topics.
    pub fn resubscribe(&mut self, client: usize, topics: &[&str]) {
        self.note(|_| format!("client {client} subscribes to {topics:?}"));
        let names = topics.iter().map(|topic| (*topic).to_owned()).collect();
        match &mut self.clients[client].kind {
            Kind::Consumer(consumer) => {
                consumer.names = names;
                consumer.resubscribed();
            }
            Kind::Classic(classic) => {
                classic.topics = names;
                classic.resubscribed();
            }
        }
    }

    /// Makes a client miss its time.
    pub fn delay_client(&mut self, client: usize, by_ms: i64) {
        self.note(|_| format!("client {client} sleeps {by_ms} ms"));
        let now_ms = self.broker.now.monotonic_ms;
        let client = &mut self.clients[client];
        client.next_ms = client.next_ms.max(now_ms) + by_ms;
        for (at_ms, asker, _) in &mut self.mail {
            if Some(asker.request) == client.outstanding {
                *at_ms += by_ms;
            }
        }
    }

    pub fn send(&mut self, client: usize, version: i16, request: &Request) -> u64 {
        self.requests += 1;
        let sender = &self.clients[client];
        let is_member = self.described(&sender.group).members.contains_key(sender.member_id());
        self.clients[client].unaware |= !is_member;
        self.broker.request(Asker { client, request: self.requests }, version, request);
        self.note(|world| format!("client {client} sends {request:?}: {:?}", world.broker.last_answer()));
        self.requests
    }

    /// Lets a client commit an offset of a partition it has; with an older epoch if `stale`.
    pub fn commit(&mut self, client: usize, stale: bool, members: &[String]) {
        let Some(commit) = self.next_commit(client) else { return };
        let sender = &self.clients[client];
        let member_id = sender.member_id().to_owned();
        let epoch = sender.epoch() - i32::from(stale);
        let Commit { group, topic, partition, offset } = commit.clone();
        let partitions = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group.as_str())))
            .with_member_id(text(member_id.as_str()))
            .with_group_instance_id(sender.instance_id().cloned().map(text))
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![
                OffsetCommitRequestTopic::default()
                    .with_name(TopicName(text(topic.as_str())))
                    .with_partitions(vec![partitions]),
            ]);
        let request = self.send(client, 9, &Request::Commit(request));
        if let Some(Answer::Commit(response)) = self.broker.last_answer()
            && response.topics[0].partitions[0].error_code == 0
        {
            assert!(members.contains(&member_id), "a commit of {member_id}, which is no member, was taken");
        }
        self.commits.insert(request, commit);
    }

    /// A commit of a partition that the client has, beyond all that were made before.
    pub fn next_commit(&mut self, client: usize) -> Option<Commit> {
        let sender = &self.clients[client];
        let owned: Vec<_> = sender.owned().iter().copied().collect();
        if owned.is_empty() || !sender.runs {
            return None;
        }
        let (topic_id, partition) = owned[self.rng.below(owned.len())];
        let by_name = &self.broker.topics.by_name;
        let (topic, _) = by_name.iter().find(|(_, (id, _))| *id == topic_id)?;
        let offset = i64::try_from(self.requests).unwrap();
        Some(Commit { group: sender.group.clone(), topic: topic.clone(), partition, offset })
    }

    /// A commit counts, and will.
    pub fn acknowledge(&mut self, commit: &Commit) {
        let known = self.acknowledged.entry(commit.key()).or_insert(commit.offset);
        *known = commit.offset.max(*known);
    }

    pub fn delete_topic(&mut self, name: &str) {
        self.note(|_| format!("topic {name} is deleted"));
        self.broker.topics.delete(name);
        self.broker.topics_deleted(&[text(name)]);
        self.acknowledged.retain(|(_, topic, _), _| topic != name);
        self.commits.retain(|_, commit| commit.topic != name);
        self.transactions.values_mut().for_each(|transaction| transaction.topic_deleted(name));
    }

    /// From now on nothing fails, and nobody is late.
    pub fn end_faults(&mut self) {
        self.note(|_| "nothing fails any more");
        self.faults = false;
        let soon_ms = self.broker.now.monotonic_ms + 1_000;
        self.clients.iter_mut().for_each(|client| client.next_ms = client.next_ms.min(soon_ms));
        self.mail.iter_mut().for_each(|(at_ms, _, _)| *at_ms = (*at_ms).min(soon_ms));
    }

    pub fn kill_broker(&mut self) {
        self.note(|_| "the broker is killed");
        let cut_off = self.broker.restart(&mut self.rng);
        self.markers_lost();
        self.post(cut_off);
    }

    /// Puts answers on their way.
    fn post(&mut self, answers: Vec<(Asker, Answer)>) {
        for (asker, answer) in answers {
            let (delay_ms, answer) = if self.faults {
                let lost = self.rng.chance(4);
                (self.rng.between(0, 400), if lost { Answer::Disconnected } else { answer })
            } else {
                (1, answer)
            };
            self.mail.push((self.broker.now.monotonic_ms + delay_ms, asker, answer));
        }
    }

    /// Passes to the next moment at which something happens, and lets it happen.
    pub fn step(&mut self) {
        let now_ms = self.broker.now.monotonic_ms;
        let wakes = self.clients.iter().filter(|client| client.runs && client.outstanding.is_none());
        let next = wakes
            .map(|client| client.next_ms)
            .chain(self.mail.iter().map(|(at_ms, _, _)| *at_ms))
            .chain(self.broker.shard.next_deadline())
            .min();
        let by_ms = (next.unwrap_or(now_ms) - now_ms).clamp(0, 10_000) + self.rng.between(1, 50);
        self.broker.pass(by_ms);
        if !self.faults || !self.rng.chance(10) {
            self.broker.fire_timers();
        }
        self.deliver();
        for client in 0..self.clients.len() {
            self.wake(client);
        }
        self.write_markers();
        if !self.faults || self.rng.chance(60) {
            let answers = self.broker.flush();
            self.post(answers);
        }
        self.complete_transactions();
    }

    fn wake(&mut self, index: usize) {
        let now_ms = self.broker.now.monotonic_ms;
        let client = &mut self.clients[index];
        if !client.runs || client.outstanding.is_some() || client.next_ms > now_ms {
            return;
        }
        let (version, request) = match &mut client.kind {
            Kind::Consumer(consumer) => (1, consumer.heartbeat(&client.group, now_ms)),
            Kind::Classic(classic) => classic.act(&client.group, &self.broker.topics),
        };
        let request = self.send(index, version, &request);
        self.clients[index].outstanding = Some(request);
    }

    fn deliver(&mut self) {
        let now_ms = self.broker.now.monotonic_ms;
        let (due, later) =
            std::mem::take(&mut self.mail).into_iter().partition(|(at_ms, _, _)| *at_ms <= now_ms);
        self.mail = later;
        let due: Vec<(i64, Asker, Answer)> = due;
        for (_, asker, answer) in due {
            if let Some(commit) = self.commits.remove(&asker.request) {
                if let Answer::Commit(response) = &answer
                    && response.topics[0].partitions[0].error_code == 0
                {
                    self.acknowledge(&commit);
                }
            } else if self.answered_in_transaction(asker, &answer) {
            } else if self.clients[asker.client].outstanding == Some(asker.request) {
                self.note(|_| format!("client {} gets {answer:?}", asker.client));
                self.receive(asker.client, &answer);
            }
        }
    }

    fn receive(&mut self, index: usize, answer: &Answer) {
        let now_ms = self.broker.now.monotonic_ms;
        let client = &mut self.clients[index];
        client.outstanding = None;
        client.unaware &= match answer {
            Answer::Sync(response) => response.error_code != 0,
            Answer::ConsumerHeartbeat(response) => response.error_code != 0,
            _ => true,
        };
        if !client.runs {
            return;
        }
        let in_ms = match (&mut client.kind, answer) {
            (Kind::Consumer(consumer), Answer::ConsumerHeartbeat(response)) => {
                consumer.answered(response, now_ms, &mut self.rng)
            }
            (Kind::Consumer(consumer), Answer::Disconnected) => consumer.disconnected(),
            (Kind::Classic(classic), Answer::Join(response)) => classic.joined(response, &self.broker.topics),
            (Kind::Classic(classic), Answer::Sync(response)) => classic.synced(response, &self.broker.topics),
            (Kind::Classic(classic), Answer::Heartbeat(response)) => classic.heard(response.error_code),
            (Kind::Classic(classic), Answer::Disconnected) => classic.disconnected(),
            (kind, answer) => panic!("{kind:?} got {answer:?}"),
        };
        client.next_ms = now_ms + in_ms;
        client.runs = !client.failed();
    }
}
