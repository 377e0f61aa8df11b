//! Clients that commit offsets in transactions, and the coordinator that ends those: a marker is written until it is
//! durable, perhaps more than once.

use fluxmq_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{GroupId, ProducerId, TopicName, TransactionalId, TxnOffsetCommitRequest};

use super::broker::{Answer, Asker, Request, text};
use super::world::{Commit, World};

/// The transaction of a client, which has one at a time.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Commits by request, until they are answered; none if the topic was deleted since.
    waiting: Vec<(u64, Option<Commit>)>,
    /// Commits that were taken.
    taken: Vec<Commit>,
    /// All offsets that it may have committed.
    offsets: Vec<i64>,
    /// A commit was refused, or nobody knows: it can only be aborted.
    failed: bool,
    /// How it ends, once that is decided.
    commit: Option<bool>,
    /// The end of the log with its marker.
    marker_end: Option<usize>,
}

impl Transaction {
    /// What was committed for the topic goes, whatever becomes of the transaction.
    pub fn topic_deleted(&mut self, name: &str) {
        self.taken.retain(|commit| commit.topic != name);
        for (_, waiting) in &mut self.waiting {
            waiting.take_if(|commit| commit.topic == name);
        }
    }
}

fn producer_id(client: usize) -> i64 {
    i64::try_from(client).unwrap()
}

impl World {
    /// Lets a client commit an offset of a partition it has in its transaction; with an older epoch if `stale`.
    pub fn commit_in_transaction(&mut self, client: usize, stale: bool) {
        if self.transactions.get(&client).is_some_and(|transaction| transaction.commit.is_some()) {
            return;
        }
        let Some(commit) = self.next_commit(client) else { return };
        let sender = &self.clients[client];
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(commit.partition)
            .with_committed_offset(commit.offset)
            .with_committed_metadata(Some(text("")));
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text(format!("client-{client}"))))
            .with_group_id(GroupId(text(commit.group.as_str())))
            .with_producer_id(ProducerId(producer_id(client)))
            .with_member_id(text(sender.member_id()))
            .with_group_instance_id(sender.instance_id().cloned().map(text))
            .with_generation_id(sender.epoch() - i32::from(stale))
            .with_topics(vec![
                TxnOffsetCommitRequestTopic::default()
                    .with_name(TopicName(text(commit.topic.as_str())))
                    .with_partitions(vec![partition]),
            ]);
        self.hidden.insert(commit.offset);
        let request = self.send(client, 5, &Request::CommitInTransaction(request));
        let transaction = self.transactions.entry(client).or_default();
        transaction.offsets.push(commit.offset);
        transaction.waiting.push((request, Some(commit)));
    }

    /// Whether it is the answer to a commit in a transaction, which then knows of it.
    pub fn answered_in_transaction(&mut self, asker: Asker, answer: &Answer) -> bool {
        let Some(transaction) = self.transactions.get_mut(&asker.client) else { return false };
        let waiting = &mut transaction.waiting;
        let Some(at) = waiting.iter().position(|(request, _)| *request == asker.request) else {
            return false;
        };
        let (_, commit) = waiting.remove(at);
        match answer {
            Answer::CommitInTransaction(response) if response.topics[0].partitions[0].error_code == 0 => {
                transaction.taken.extend(commit);
            }
            _ => transaction.failed = true,
        }
        true
    }

    /// Decides how one of the transactions ends of which every commit was answered.
    pub fn decide_transaction(&mut self) {
        let undecided = self
            .transactions
            .iter()
            .filter(|(_, transaction)| transaction.commit.is_none() && transaction.waiting.is_empty());
        let clients: Vec<usize> = undecided.map(|(client, _)| *client).collect();
        if clients.is_empty() {
            return;
        }
        let client = clients[self.rng.below(clients.len())];
        let commit = !self.transactions[&client].failed && self.rng.chance(70);
        self.note(|_| format!("the transaction of client {client} ends, committed: {commit}"));
        let Some(transaction) = self.transactions.get_mut(&client) else { return };
        transaction.commit = Some(commit);
        if commit {
            for offset in &transaction.offsets {
                self.hidden.remove(offset);
            }
        }
    }

    /// Writes markers that aren't in the log, and some that are, since an answer may be lost.
    pub fn write_markers(&mut self) {
        for (client, transaction) in &mut self.transactions {
            let Some(commit) = transaction.commit else { continue };
            if transaction.marker_end.is_none() || (self.faults && self.rng.chance(20)) {
                let end = self.broker.end_transaction(producer_id(*client), commit);
                transaction.marker_end.get_or_insert(end);
            }
        }
    }

    /// After the broker was killed.
    pub fn markers_lost(&mut self) {
        let durable = self.broker.durable;
        for transaction in self.transactions.values_mut() {
            transaction.marker_end = transaction.marker_end.filter(|end| *end <= durable);
        }
    }

    /// What a transaction has committed counts once its marker is durable.
    pub fn complete_transactions(&mut self) {
        let durable = self.broker.durable;
        let is_complete =
            |transaction: &Transaction| transaction.marker_end.is_some_and(|end| end <= durable);
        let complete: Vec<usize> = self
            .transactions
            .iter()
            .filter(|(_, transaction)| is_complete(transaction))
            .map(|(client, _)| *client)
            .collect();
        for client in complete {
            let Some(transaction) = self.transactions.remove(&client) else { continue };
            if transaction.commit == Some(true) {
                transaction.taken.iter().for_each(|commit| self.acknowledge(commit));
            }
        }
    }

    /// Ends them all; afterwards nothing waits for one.
    pub fn end_transactions(&mut self) {
        for _ in 0..1_000 {
            if self.transactions.is_empty() {
                break;
            }
            self.decide_transaction();
            self.step();
        }
        assert!(self.transactions.is_empty(), "transactions that never end: {:?}", self.transactions);
        for group in self.groups() {
            assert_eq!(self.unstable(&group), 0, "{group} waits for a transaction");
        }
    }
}
