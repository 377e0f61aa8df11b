//! A Produce request that is encoded once. Before it is sent its batches get the producer's id, epoch and sequence, and
//! the checksum that goes with them.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use fluxmq_benches::restamp;
use fluxmq_benches::wire::{frame, text};
use fluxmq_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use fluxmq_protocol::messages::{ProduceRequest, TopicName, TransactionalId};
use fluxmq_storage::batch::{BatchBuilder, HEADER_SIZE_BYTES};

/// The last version with names of topics; adds partitions to the transaction.
pub(crate) const VERSION: i16 = 12;

/// A request with one batch for each of some partitions.
pub(crate) struct EncodedRequest {
    frame: Vec<u8>,
    /// Where the batches begin.
    batches: Vec<usize>,
}

impl EncodedRequest {
    /// One for these partitions, with a batch of `records` for each.
    pub(crate) fn new(
        transactional_id: &TransactionalId,
        topic: &str,
        partitions: &[i32],
        records: usize,
        value_bytes: usize,
    ) -> Self {
        let value: Vec<u8> = b"0123456789abcdef".iter().copied().cycle().take(value_bytes).collect();
        let mut builder =
            BatchBuilder::with_capacity(records * (value_bytes + 16)).producer(0, 0, 0).transactional();
        // Of now, or a broker's retention would take the records away.
        let now_ms = UNIX_EPOCH.elapsed().expect("a clock").as_millis() as i64;
        (0..records).for_each(|_| builder.push(now_ms, None, Some(&value), &[]));
        let batch = Bytes::copy_from_slice(builder.build().bytes());
        let partitions = partitions.iter().map(|partition| {
            PartitionProduceData::default().with_index(*partition).with_records(Some(batch.clone()))
        });
        let topic = TopicProduceData::default()
            .with_name(TopicName(text(topic)))
            .with_partition_data(partitions.collect());
        let request = ProduceRequest::default()
            .with_transactional_id(Some(transactional_id.clone()))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let frame = frame(VERSION, &request);
        let mut batches = Vec::new();
        let mut at = 0;
        while let Some(found) =
            frame[at..].windows(HEADER_SIZE_BYTES).position(|w| *w == batch[..HEADER_SIZE_BYTES])
        {
            batches.push(at + found);
            at += found + batch.len();
        }
        EncodedRequest { frame, batches }
    }

    /// The frame as this producer sends it.
    pub(crate) fn of_producer(&mut self, id: i64, epoch: i16, base_sequence: i32) -> &[u8] {
        for at in &self.batches {
            restamp(&mut self.frame[*at..], |header| {
                (header.producer_id, header.producer_epoch, header.base_sequence) =
                    (id, epoch, base_sequence);
            });
        }
        &self.frame
    }
}
