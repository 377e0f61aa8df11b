//! Produce (key 0), v3–13. KIP-98 (idempotence, transactions), KIP-110 (zstd from v7), KIP-467 (errors of single
//! records, v8), KIP-951 (the leader in the answer, v10; there is one leader, so it is never filled), KIP-890 (partitions
//! verified, or added by the batch from v12 on), KIP-516 (topic ids, v13).
//!
//! Per partition: everything that can be checked is checked before the partition's lock; the appends are made in the
//! order of the frames; only the answer waits, for a sync that covers its batches. A batch that has to be opened
//! (`compression.type`, keys of a compacted topic) is opened on the blocking pool, and the connection's next frame
//! waits for that.
//!
//! The first batch of a transaction in a partition waits for the transaction coordinator (`transaction`), and the
//! connection's next frame with it; decision 004.

mod transaction;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fluxmq_protocol::messages::produce_request::PartitionProduceData;
use fluxmq_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use fluxmq_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::batch::{
    self, BatchError, BatchRules, CheckedBatch, CompressionRule, RecordError, TimestampType,
};
use fluxmq_storage::codec::Codec;
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext, VerificationGuard};
use transaction::{InTransaction, Transaction, TwoProducers};
use uuid::Uuid;

use crate::config::{CompressionType, MessageTimestampType, TopicConfig};
use crate::error::code_of_batch_error;
use crate::meta::{Topic, TopicsImage};
use crate::partitions::high_watermark::Acks;
use crate::partitions::partition::Partition;
use crate::partitions::waiters::CommitWait;
use crate::request::{CloseReason, Outcome, RequestContext, Response};

/// Client id of Kafka's own admin client, which alone may write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";
/// First version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;
/// First version that may carry zstd.
const ZSTD_VERSION: i16 = 7;

/// Appends what can be appended and answers for each partition.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let mut request: ProduceRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let mut exchange = Exchange {
        context: context.detached(),
        acks: request.acks,
        timeout: Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)),
        response: ProduceResponse::default(),
    };
    let transactional_id = request.transactional_id.take();
    let appends = exchange.admit(context, transactional_id.is_some(), request);
    match Transaction::of(context, transactional_id.map(|id| id.0), &appends) {
        Ok(None) => exchange.proceed(appends),
        Ok(Some(transaction)) => exchange.verify(transaction, appends),
        Err(TwoProducers) => {
            exchange.refuse_all(ErrorCode::InvalidProducerIdMapping, transaction::TWO_PRODUCERS)
        }
    }
}

/// One request and its answer as it grows.
struct Exchange {
    context: RequestContext,
    acks: i16,
    timeout: Duration,
    response: ProduceResponse,
}

/// Records that were let in.
struct Append {
    /// Where in the response its answer stands: topic and partition.
    at: (usize, usize),
    partition: Arc<Partition>,
    batch: Batch,
    /// Set for a batch of a transaction.
    transaction: Option<InTransaction>,
}

enum Batch {
    /// Passed every check that can be made before the partition's lock.
    Checked(CheckedBatch),
    /// Has to be decompressed or compressed first, which takes too long for a network thread.
    Unopened { records: Bytes, rules: Box<BatchRules> },
    /// Of a transaction, whose coordinator is asked first, and to be refused if that lets it in.
    Refused(Box<Refusal>),
}

/// Why a partition's records were refused before the append.
struct Refusal {
    code: ErrorCode,
    /// Kafka knows the log start offset by the time it refuses for this reason.
    log_start_offset: i64,
    record_errors: Vec<BatchIndexAndErrorMessage>,
    message: Option<StrBytes>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Refusal { code, log_start_offset: -1, record_errors: Vec::new(), message: None }
    }
}

impl Refusal {
    fn of_batch(error: &BatchError, partition: &Partition) -> Self {
        let mut refusal = Refusal::from(code_of_batch_error(error));
        if knows_log_start_offset(refusal.code) && !is_refused_on_arrival(error) {
            refusal.log_start_offset = partition.log_start_offset();
        }
        let record_errors = |records: &[RecordError], place: &str| {
            let error = |record: &RecordError| {
                let message = format!("{}{place}", record.message);
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(record.batch_index)
                    .with_batch_index_error_message(Some(StrBytes::from_string(message)))
            };
            records.iter().map(error).collect()
        };
        match error {
            BatchError::InvalidTimestamp(records) => refusal.record_errors = record_errors(records, ""),
            BatchError::InvalidRecords(records) => {
                let place = format!(" in topic partition {}", partition.name());
                refusal.record_errors = record_errors(records, &place);
                refusal.message = Some(rejected_records(&refusal.record_errors));
                return refusal;
            }
            // Kafka has words for a length that no format allows, none for one that only this format doesn't.
            BatchError::InvalidLength(length) if *length < batch::MIN_LENGTH => {}
            BatchError::InvalidMagic(_) => {}
            _ => return refusal,
        }
        refusal.message = Some(StrBytes::from_string(error.to_string()));
        refusal
    }

    fn into_response(self, index: i32) -> PartitionProduceResponse {
        PartitionProduceResponse::default()
            .with_index(index)
            .with_error_code(self.code.code())
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(self.log_start_offset)
            .with_record_errors(self.record_errors)
            .with_error_message(self.message)
    }
}

impl Exchange {
    /// Looks up every partition and checks its records. Refusals go into the response at once.
    fn admit(
        &mut self,
        context: &RequestContext,
        has_transactional_id: bool,
        request: ProduceRequest,
    ) -> Vec<Append> {
        let unauthorized = !has_transactional_id && has_transactional_batch(&request);
        let admission = Admission {
            version: context.api_version,
            acks: Acks::from_wire(request.acks),
            internal_topics_allowed: context.client_id.as_deref() == Some(ADMIN_CLIENT_ID),
            unauthorized,
            now_ms: context.broker().clock.now_ms(),
        };
        let mut appends = Vec::with_capacity(request.topic_data.len());
        context.broker().metadata.with_topics(|image| {
            for data in request.topic_data {
                let topic = admission.find(image, &data.name, data.topic_id);
                let at_topic = self.response.responses.len();
                let mut partitions = Vec::with_capacity(data.partition_data.len());
                for partition_data in data.partition_data {
                    let index = partition_data.index;
                    match admission.admit(topic, partition_data) {
                        Ok((partition, batch, transaction)) => {
                            let at = (at_topic, partitions.len());
                            appends.push(Append { at, partition, batch, transaction });
                            partitions.push(PartitionProduceResponse::default().with_index(index));
                        }
                        Err(refusal) => partitions.push(refusal.into_response(index)),
                    }
                }
                // The topic's own copy of its name: a view into the frame would keep all of it in memory.
                let name = match topic {
                    Some(topic) if context.api_version < TOPIC_ID_VERSION => topic.name.clone(),
                    Some(_) => StrBytes::default(),
                    None => StrBytes::from_string(data.name.0.to_string()),
                };
                self.response.responses.push(
                    TopicProduceResponse::default()
                        .with_name(TopicName(name))
                        .with_topic_id(data.topic_id)
                        .with_partition_responses(partitions),
                );
            }
        });
        appends
    }

    /// Appends what is let in.
    fn proceed(self, appends: Vec<Append>) -> Outcome {
        if appends.iter().any(Append::is_unopened) {
            Outcome::ExclusiveThen(Box::pin(async move {
                let appends = self.open(appends).await;
                self.append(appends)
            }))
        } else {
            self.append(appends)
        }
    }

    /// Opens the batches that have to be opened, on the blocking pool.
    async fn open(&self, appends: Vec<Append>) -> Vec<Append> {
        if !appends.iter().any(Append::is_unopened) {
            return appends;
        }
        let open = |append: Append| {
            let Batch::Unopened { records, rules } = &append.batch else { return append };
            let opened = batch::check(records, rules).and_then(|batch| batch::convert(&batch, rules));
            let batch = match opened {
                Ok(batch) => Batch::Checked(batch),
                Err(error) => Batch::Refused(Box::new(Refusal::of_batch(&error, &append.partition))),
            };
            Append { batch, ..append }
        };
        self.context.broker().blocking.run(move || appends.into_iter().map(open).collect()).await
    }

    /// Answers for every partition with one code; nothing is appended.
    fn refuse_all(mut self, code: ErrorCode, message: &'static str) -> Outcome {
        for place in self.response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
            let message = Some(StrBytes::from_static_str(message));
            *place = Refusal { message, ..Refusal::from(code) }.into_response(place.index);
        }
        self.finish()
    }

    /// Appends in the order of the request.
    fn append(mut self, appends: Vec<Append>) -> Outcome {
        let mut wait = CommitWait::new();
        let mut pending = Vec::new();
        let mut records_appended = 0;
        let now_ms = self.context.broker().clock.now_ms();
        let acks = Acks::from_wire(self.acks).unwrap_or(Acks::All);
        for Append { at, partition, batch, transaction } in appends {
            let place = self.place(at);
            let batch = match batch {
                Batch::Checked(batch) => batch,
                Batch::Refused(refusal) => {
                    *place = refusal.into_response(place.index);
                    continue;
                }
                Batch::Unopened { .. } => unreachable!("opened before"),
            };
            let guard = transaction.map_or(VerificationGuard::NONE, |batch| batch.guard);
            let transaction = TransactionContext { guard, ..TransactionContext::NONE };
            let outcome = partition.append_as(AppendOrigin::Client, &batch, acks, now_ms, transaction);
            match outcome {
                Ok(outcome) => {
                    if !outcome.appended.duplicate {
                        records_appended += u64::try_from(batch.header().records_count).unwrap_or(0);
                    }
                    place.base_offset = outcome.appended.base_offset;
                    place.log_append_time_ms = outcome.appended.log_append_time_ms;
                    place.log_start_offset = outcome.appended.log_start_offset;
                    if let Some(end_offset) = outcome.commit_at
                        && acks != Acks::None
                    {
                        wait.watch(&partition, end_offset);
                        pending.push((at, partition, end_offset));
                    }
                }
                Err(error) => {
                    let mut refusal = Refusal::from(ErrorCode::from(&error));
                    if knows_log_start_offset(refusal.code) {
                        refusal.log_start_offset = partition.log_start_offset();
                    }
                    *place = refusal.into_response(place.index);
                }
            }
        }
        self.context.broker().metrics.messages_in.fetch_add(records_appended, Ordering::Relaxed);
        if pending.is_empty() { self.finish() } else { Outcome::wait(self.wait(wait, pending)) }
    }

    /// Waits for the syncs, or for the request's time to be up.
    async fn wait(
        mut self,
        wait: CommitWait,
        pending: Vec<((usize, usize), Arc<Partition>, i64)>,
    ) -> Response {
        let deadline = self.context.received_at + self.timeout;
        // The outcome is told by where each partition stands, whether it was a sync, a failure or the clock.
        let _ = tokio::time::timeout_at(deadline.into(), wait.done()).await;
        for (at, partition, end_offset) in pending {
            self.place(at).error_code = ErrorCode::from(partition.commit_state(end_offset)).code();
        }
        self.context.respond(&self.response)
    }

    fn place(&mut self, (topic, partition): (usize, usize)) -> &mut PartitionProduceResponse {
        &mut self.response.responses[topic].partition_responses[partition]
    }

    /// The answer, or with acks=0 none: then a failure can only be told by closing the connection.
    fn finish(self) -> Outcome {
        if self.acks != 0 {
            return Outcome::Ready(self.context.respond(&self.response));
        }
        let failed = self.response.responses.iter().find_map(|topic| {
            let partition = topic.partition_responses.iter().find(|partition| partition.error_code != 0)?;
            let error = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
            Some(format!("{}-{}: {error}", topic.name.0, partition.index))
        });
        failed.map_or(Outcome::NoResponse, |what| Outcome::Close(CloseReason::AcksZeroFailed(what)))
    }
}

impl Append {
    fn is_unopened(&self) -> bool {
        matches!(self.batch, Batch::Unopened { .. })
    }
}

/// What is the same for every partition of a request.
struct Admission {
    version: i16,
    acks: Option<Acks>,
    internal_topics_allowed: bool,
    /// Transactional batches without a transactional id: the whole request is refused.
    unauthorized: bool,
    now_ms: i64,
}

impl Admission {
    fn find<'a>(&self, image: &'a TopicsImage, name: &str, id: Uuid) -> Option<&'a Arc<Topic>> {
        if self.version >= TOPIC_ID_VERSION { image.by_id(id) } else { image.by_name(name) }
    }

    /// The checks of one partition, in Kafka's order.
    fn admit(
        &self,
        topic: Option<&Arc<Topic>>,
        data: PartitionProduceData,
    ) -> Result<(Arc<Partition>, Batch, Option<InTransaction>), Refusal> {
        if self.unauthorized {
            return Err(ErrorCode::TransactionalIdAuthorizationFailed.into());
        }
        let Some(topic) = topic else {
            let unknown_id = self.version >= TOPIC_ID_VERSION;
            let code =
                if unknown_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
            return Err(code.into());
        };
        let partition = topic.partition(data.index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let records = data.records.unwrap_or_default();
        let rules = rules(&partition.config(), self.version, self.now_ms);
        let transaction = InTransaction::of(&records);
        let gate = self.gate(topic);
        if gate.is_ok() && batch::needs_opening(&records, &rules) {
            let batch = Batch::Unopened { records, rules: Box::new(rules) };
            return Ok((Arc::clone(partition), batch, transaction));
        }
        // Kafka looks at the gate between what a batch is refused for on arrival and the other checks.
        match batch::check(&records, &rules) {
            Err(error) if is_refused_on_arrival(&error) => Err(Refusal::of_batch(&error, partition)),
            checked => {
                let checked = checked.map_err(|error| Refusal::of_batch(&error, partition));
                let batch = match gate.and(checked) {
                    Ok(batch) => Batch::Checked(batch),
                    Err(refusal) if transaction.is_some() => Batch::Refused(Box::new(refusal)),
                    Err(refusal) => return Err(refusal),
                };
                Ok((Arc::clone(partition), batch, transaction))
            }
        }
    }

    /// What doesn't depend on the batch being a good one.
    fn gate(&self, topic: &Topic) -> Result<(), Refusal> {
        if self.acks.is_none() {
            return Err(ErrorCode::InvalidRequiredAcks.into());
        }
        if topic.is_internal && !self.internal_topics_allowed {
            return Err(ErrorCode::InvalidTopicException.into());
        }
        Ok(())
    }
}

fn rules(config: &TopicConfig, version: i16, now_ms: i64) -> BatchRules {
    let named = |codec, level| CompressionRule::Codec { codec, level: Some(level) };
    BatchRules {
        max_message_bytes: u32::try_from(config.max_message_bytes).unwrap_or(0),
        timestamp_type: match config.message_timestamp_type {
            MessageTimestampType::CreateTime => TimestampType::CreateTime,
            MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        before_max_ms: config.message_timestamp_before_max_ms,
        after_max_ms: config.message_timestamp_after_max_ms,
        now_ms,
        compression: match config.compression_type {
            CompressionType::Producer => CompressionRule::Producer,
            CompressionType::Uncompressed => CompressionRule::Codec { codec: Codec::None, level: None },
            // -1 is zlib's own word for its default.
            CompressionType::Gzip if config.compression_gzip_level == -1 => {
                CompressionRule::Codec { codec: Codec::Gzip, level: None }
            }
            CompressionType::Gzip => named(Codec::Gzip, config.compression_gzip_level),
            CompressionType::Snappy => CompressionRule::Codec { codec: Codec::Snappy, level: None },
            CompressionType::Lz4 => named(Codec::Lz4, config.compression_lz4_level),
            CompressionType::Zstd => named(Codec::Zstd, config.compression_zstd_level),
        },
        keys_required: config.cleanup_policy.compact,
        zstd_allowed: version >= ZSTD_VERSION,
        max_decompressed_bytes: BatchRules::DEFAULT_MAX_DECOMPRESSED_BYTES,
    }
}

/// The text that Kafka sends with refused records: their number, and the first three of them.
fn rejected_records(errors: &[BatchIndexAndErrorMessage]) -> StrBytes {
    let shown = errors.iter().take(3).map(|error| {
        let message = error.batch_index_error_message.as_deref().unwrap_or_default();
        format!("RecordError(batchIndex={}, message='{message}')", error.batch_index)
    });
    StrBytes::from_string(format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at most: [{}]",
        errors.len(),
        shown.collect::<Vec<_>>().join(", ")
    ))
}

/// Whether Kafka refuses the records for this before it looks at the partition, the acks or the topic's settings.
fn is_refused_on_arrival(error: &BatchError) -> bool {
    matches!(
        error,
        BatchError::NoBatch
            | BatchError::MultipleBatches
            | BatchError::UnsupportedMagic(_)
            | BatchError::ZstdNotAllowed
            | BatchError::InvalidLength(_)
            | BatchError::InvalidMagic(_)
    )
}

/// Whether Kafka fills the log start offset when an append fails with this code.
fn knows_log_start_offset(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::CorruptMessage
            | ErrorCode::KafkaStorageError
    )
}

fn has_transactional_batch(request: &ProduceRequest) -> bool {
    let mut partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    partitions.any(|partition| partition.records.as_deref().is_some_and(transaction::is_transactional))
}
