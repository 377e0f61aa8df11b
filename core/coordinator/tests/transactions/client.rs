//! A transactional producer: it begins transactions, writes, ends them, asks again when it got no answer, and when it is
//! told that it is fenced it dies, recovers, or goes on as if nothing had happened.

use std::collections::BTreeSet;

use fluxmq_coordinator::transactions::TransactionVersion;
use fluxmq_protocol::ErrorCode;

use super::broker::{Answer, Producer, Request};
use super::partition::Tag;
use super::rng::Rng;

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// It has no producer id, or a fenced one that it names.
    Starts {
        recovers: bool,
    },
    Ready,
    Writes,
    Ends {
        commit: bool,
    },
}

/// What a client has learnt of a transaction.
#[derive(Clone, Debug)]
pub enum Learnt {
    Written { tag: Tag, partition: i32, value: u64 },
    Ended { tag: Tag, commit: bool },
}

#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub version: TransactionVersion,
    pub runs: bool,
    pub wakes_at_ms: i64,
    phase: Phase,
    producer: Producer,
    tag: Tag,
    added: BTreeSet<i32>,
    outstanding: Option<Request>,
}

impl Client {
    pub fn new(id: String, version: TransactionVersion) -> Self {
        Client {
            id,
            version,
            runs: true,
            wakes_at_ms: 0,
            phase: Phase::Starts { recovers: false },
            producer: (-1, -1),
            tag: 0,
            added: BTreeSet::new(),
            outstanding: None,
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.outstanding.is_some()
    }

    /// What it does next, if anything.
    pub fn next(
        &mut self,
        rng: &mut Rng,
        partitions: usize,
        fresh: &mut impl FnMut() -> u64,
    ) -> Option<Request> {
        let partition = i32::try_from(rng.below(partitions)).unwrap();
        let producer = self.producer;
        let request = match self.phase {
            Phase::Starts { recovers } => {
                Request::Init { expected: (recovers && producer.0 >= 0).then_some(producer) }
            }
            Phase::Ready => {
                self.tag = fresh();
                self.added.clear();
                self.phase = Phase::Writes;
                return None;
            }
            Phase::Writes if rng.chance(25) => {
                // Without anything added there is nothing to end; a client of version 2 may not know.
                if self.added.is_empty() && (!self.version.bumps_epoch() || rng.chance(50)) {
                    return None;
                }
                let commit = !self.added.is_empty() && rng.chance(70);
                self.phase = Phase::Ends { commit };
                Request::End { producer, commit }
            }
            // Before the first partition is added, the transaction before may still be open in the partitions: what is
            // written then would be part of it. After that a client that doesn't add a partition is refused.
            Phase::Writes if self.adds(partition) && (self.added.is_empty() || rng.chance(95)) => {
                Request::Add { producer, partitions: vec![partition] }
            }
            Phase::Writes => Request::Produce { producer, partition, tag: self.tag, value: fresh() },
            Phase::Ends { commit } => Request::End { producer, commit },
        };
        self.outstanding = Some(request.clone());
        Some(request)
    }

    fn adds(&self, partition: i32) -> bool {
        !self.version.bumps_epoch() && !self.added.contains(&partition)
    }

    pub fn answered(&mut self, rng: &mut Rng, answer: Answer) -> Option<Learnt> {
        let request = self.outstanding.take()?;
        match (request, answer) {
            (_, Answer::Disconnected) => None,
            (Request::Init { .. }, Answer::Has(producer)) => {
                self.producer = producer;
                self.phase = Phase::Ready;
                None
            }
            (Request::Add { partitions, .. }, Answer::Done) => {
                self.added.extend(partitions);
                None
            }
            (Request::Produce { partition, tag, value, .. }, Answer::Done) => {
                self.added.insert(partition);
                Some(Learnt::Written { tag, partition, value })
            }
            (Request::End { commit, .. }, Answer::Has(producer)) => {
                self.producer = producer;
                self.phase = Phase::Ready;
                (!self.added.is_empty()).then_some(Learnt::Ended { tag: self.tag, commit })
            }
            (request, Answer::Refused(error)) => {
                self.refused(rng, &request, error);
                None
            }
            (request, answer) => panic!("{answer:?} to {request:?}"),
        }
    }

    fn refused(&mut self, rng: &mut Rng, request: &Request, error: ErrorCode) {
        use ErrorCode::*;
        match error {
            ConcurrentTransactions | CoordinatorLoadInProgress => {}
            TransactionAbortable | InvalidTxnState if matches!(request, Request::Produce { .. }) => {
                self.phase = Phase::Ends { commit: false };
            }
            ProducerFenced
            | InvalidProducerEpoch
            | InvalidProducerIdMapping
            | InvalidTxnState
            | UnknownServerError => match rng.below(4) {
                0 => self.runs = false,
                1 => self.phase = Phase::Starts { recovers: true },
                2 => self.phase = Phase::Starts { recovers: false },
                // It doesn't believe it.
                _ => {}
            },
            error => panic!("{error} to {request:?}"),
        }
    }
}
