//! A partition that producers write into: who has written what, and which transactions are open. It checks epochs as
//! Kafka's partitions do, and that the data of a transaction ends once.

use std::collections::BTreeMap;

use fluxmq_coordinator::transactions::{MarkersToWrite, TransactionVersion};
use fluxmq_protocol::ErrorCode;

use super::rng::Rng;

/// What a client calls a transaction of its own. Unique.
pub type Tag = u64;

#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Data { producer_id: i64, epoch: i16, tag: Tag, value: u64 },
    Marker { producer_id: i64, epoch: i16, commit: bool },
}

/// What a partition knows of a producer id.
#[derive(Clone, Debug, Default)]
struct Producer {
    epoch: i16,
    open: Option<Tag>,
}

#[derive(Debug, Default)]
pub struct Partition {
    pub entries: Vec<Entry>,
    durable: usize,
    producers: BTreeMap<i64, Producer>,
    /// How often a transaction of a producer id has ended here: what was verified before, isn't any more.
    verified: BTreeMap<i64, u64>,
}

impl Partition {
    pub fn is_open(&self, producer_id: i64, epoch: i16) -> bool {
        let producer = self.producers.get(&producer_id);
        producer.is_some_and(|producer| producer.epoch == epoch && producer.open.is_some())
    }

    pub fn open_transactions(&self) -> usize {
        self.producers.values().filter(|producer| producer.open.is_some()).count()
    }

    /// Kept from the verification to the append.
    pub fn verification(&self, producer_id: i64) -> u64 {
        self.verified.get(&producer_id).copied().unwrap_or(0)
    }

    pub fn append(
        &mut self,
        (producer_id, epoch): (i64, i16),
        (tag, value): (Tag, u64),
        verification: Option<u64>,
    ) -> Result<(), ErrorCode> {
        if self.producers.get(&producer_id).is_some_and(|known| epoch < known.epoch) {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        let verified = verification.is_some_and(|at| at == self.verification(producer_id));
        if !self.is_open(producer_id, epoch) && !verified {
            return Err(ErrorCode::InvalidTxnState);
        }
        self.push(Entry::Data { producer_id, epoch, tag, value });
        Ok(())
    }

    /// Writes a marker, unless it is there already.
    pub fn mark(&mut self, of: &MarkersToWrite) {
        let (producer_id, epoch) = (of.producer_id, of.producer_epoch);
        if let Some(known) = self.producers.get(&producer_id) {
            assert!(epoch >= known.epoch, "a marker of a fenced epoch: {of:?} {known:?}");
            let rises = epoch > known.epoch || known.open.is_none();
            let bumps = of.transaction_version == TransactionVersion::V2;
            assert!(!bumps || rises, "data under the epoch of its marker: {of:?} {known:?}");
        }
        self.push(Entry::Marker { producer_id, epoch, commit: of.commit });
    }

    fn push(&mut self, entry: Entry) {
        self.apply(&entry);
        self.entries.push(entry);
    }

    fn apply(&mut self, entry: &Entry) {
        match *entry {
            Entry::Data { producer_id, epoch, tag, .. } => {
                let producer = self.producers.entry(producer_id).or_default();
                producer.epoch = epoch;
                let open = producer.open.replace(tag);
                assert!(open.is_none_or(|open| open == tag), "{open:?} is open when {tag} writes");
            }
            Entry::Marker { producer_id, epoch, .. } => {
                let producer = self.producers.entry(producer_id).or_default();
                producer.epoch = epoch;
                producer.open = None;
                *self.verified.entry(producer_id).or_default() += 1;
            }
        }
    }

    /// How each transaction ended here. Each did once.
    pub fn outcomes(&self) -> BTreeMap<Tag, bool> {
        let mut open: BTreeMap<i64, Tag> = BTreeMap::new();
        let mut outcomes = BTreeMap::new();
        for entry in &self.entries {
            match *entry {
                Entry::Data { producer_id, tag, .. } => {
                    assert!(!outcomes.contains_key(&tag), "{tag} writes after its end");
                    open.insert(producer_id, tag);
                }
                Entry::Marker { producer_id, commit, .. } => {
                    if let Some(tag) = open.remove(&producer_id) {
                        outcomes.insert(tag, commit);
                    }
                }
            }
        }
        outcomes
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_durable(&self, end: usize) -> bool {
        end <= self.durable
    }

    pub fn flush(&mut self) {
        self.durable = self.entries.len();
    }

    /// What was not durable may be lost.
    pub fn crash(&mut self, rng: &mut Rng) {
        let lost = rng.below(self.entries.len() - self.durable + 1);
        let entries = std::mem::take(&mut self.entries);
        *self = Partition::default();
        let kept = entries.len() - lost;
        entries.into_iter().take(kept).for_each(|entry| self.push(entry));
        self.flush();
    }
}
