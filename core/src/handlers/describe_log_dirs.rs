//! DescribeLogDirs (key 35), v1–4. KIP-113, KIP-827 (sizes of the volume, v4).
//!
//! The lag is that of Kafka: how far the high watermark is ahead of the log end, which
//! is never. Deliberately not here: future logs, since a log never moves between directories.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use fluxmq_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use fluxmq_protocol::{ErrorCode, StrBytes};

use crate::broker::Broker;
use crate::meta::Topic;
use crate::partitions::data_dir::DataDir;
use crate::partitions::volume_of;
use crate::request::{Outcome, RequestContext};

/// Asks the file system on the blocking pool.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: DescribeLogDirsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let context = context.detached();
    Outcome::wait(async move {
        let broker = Arc::clone(context.broker());
        let response = context.broker().blocking.run(move || describe(&broker, &request)).await;
        context.respond(&response)
    })
}

fn describe(broker: &Broker, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let describe = |dir: &Arc<DataDir>| {
        let path = dir.log_dir().path();
        let result = DescribeLogDirsResult::default()
            .with_log_dir(StrBytes::from_string(path.to_string_lossy().into_owned()));
        match volume_of(path) {
            Ok(volume) if !dir.is_offline() => result
                .with_topics(topics(broker, request, dir))
                .with_total_bytes(bytes(volume.total_bytes))
                .with_usable_bytes(bytes(volume.free_bytes)),
            _ => result.with_error_code(ErrorCode::KafkaStorageError.code()),
        }
    };
    let results = broker.partitions.dirs().iter().map(describe).collect();
    DescribeLogDirsResponse::default().with_results(results)
}

/// Those asked for that exist in the directory, by topic; null asks for all.
fn topics(
    broker: &Broker,
    request: &DescribeLogDirsRequest,
    dir: &Arc<DataDir>,
) -> Vec<DescribeLogDirsTopic> {
    let image = broker.metadata.topics();
    let Some(asked) = &request.topics else {
        let all = image.iter().map(|topic| describe_topic(topic, 0..topic.partition_count(), dir));
        return all.filter(|topic| !topic.partitions.is_empty()).collect();
    };
    let mut wanted: HashMap<&TopicName, BTreeSet<i32>> = HashMap::new();
    for topic in asked {
        wanted.entry(&topic.topic).or_default().extend(&topic.partitions);
    }
    wanted
        .into_iter()
        .filter_map(|(name, indexes)| Some(describe_topic(image.by_name(name)?, indexes, dir)))
        .filter(|topic| !topic.partitions.is_empty())
        .collect()
}

fn describe_topic(
    topic: &Topic,
    indexes: impl IntoIterator<Item = i32>,
    dir: &Arc<DataDir>,
) -> DescribeLogDirsTopic {
    let partitions = indexes.into_iter().filter_map(|index| {
        let partition = topic.partition(index)?;
        if !partition.lies_in(dir) || partition.is_absent() {
            return None;
        }
        let lag = partition.high_watermark().offset - partition.log_end().offset;
        Some(
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(i64::try_from(partition.log().size_bytes()).unwrap_or(i64::MAX))
                .with_offset_lag(lag.max(0)),
        )
    });
    DescribeLogDirsTopic::default()
        .with_name(TopicName(topic.name.clone()))
        .with_partitions(partitions.collect())
}
