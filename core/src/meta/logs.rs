//! The logs of partitions that are made or deleted, after the metadata's commit.
//!
//! A new log is a directory with the topic's id: its first segment is made by its first append. The directories are
//! synced once for all of them. Those that are deleted wait for the disk each; several are worked on at once, so that
//! the file system has more than one to sync at a time.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fluxmq_protocol::StrBytes;
use tracing::{error, warn};
use uuid::Uuid;

use super::FIRST_LEADER_EPOCH;
use crate::config::TopicConfig;
use crate::partitions::partition::{Partition, PartitionName};
use crate::partitions::{PartitionError, PartitionManager};

/// Threads at most, and the partitions that are worth another one.
const MAX_THREADS: usize = 8;
const PARTITIONS_PER_THREAD: usize = 4;

/// Partitions that a topic gets.
pub(super) struct NewLogs<'a> {
    pub(super) name: &'a StrBytes,
    pub(super) id: Uuid,
    pub(super) indexes: Range<i32>,
    pub(super) config: &'a Arc<TopicConfig>,
}

/// Makes the logs of each topic, in the order of `new`. When one of a topic fails, its others are set aside again.
pub(super) fn create_logs(
    partitions: &PartitionManager,
    new: &[NewLogs<'_>],
) -> Vec<Result<Vec<Arc<Partition>>, PartitionError>> {
    let wanted: Vec<(&NewLogs<'_>, i32)> =
        new.iter().flat_map(|logs| logs.indexes.clone().map(move |index| (logs, index))).collect();
    let created = several_at_once(&wanted, |(logs, index)| {
        let name = PartitionName { topic: logs.name.clone(), topic_id: logs.id, index: *index };
        partitions.create(name, Arc::clone(logs.config), FIRST_LEADER_EPOCH)
    });
    // Once for all, and before anyone can append: a directory that a crash takes takes its records with it.
    let synced = partitions.sync_created();
    let mut created = created.into_iter().map(|log| {
        let log = log?;
        match &synced {
            Ok(()) => Ok(log),
            Err(error) => {
                set_aside(partitions, &[log]);
                Err(PartitionError::LogDir(io::Error::new(error.kind(), error.to_string())))
            }
        }
    });
    new.iter().map(|logs| all_or_none(partitions, created.by_ref().take(logs.indexes.len()))).collect()
}

fn all_or_none(
    partitions: &PartitionManager,
    created: impl Iterator<Item = Result<Arc<Partition>, PartitionError>>,
) -> Result<Vec<Arc<Partition>>, PartitionError> {
    let (mut logs, mut first_error) = (Vec::new(), None);
    for result in created {
        match result {
            Ok(log) => logs.push(log),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        None => Ok(logs),
        Some(error) => {
            set_aside(partitions, &logs);
            Err(error)
        }
    }
}

/// Has the logs deleted of partitions that are in no topic any more.
pub(super) fn set_aside(partitions: &PartitionManager, deleted: &[Arc<Partition>]) {
    several_at_once(deleted, |partition| {
        if let Err(error) = partitions.delete(partition) {
            error!(partition = %partition.name(), %error, "the log of a deleted partition stays; the next start sets it aside");
        }
    });
    if let Err(error) = partitions.forget_deleted() {
        warn!(%error, "the checkpoints still name deleted partitions");
    }
}

/// Works on every item, on a few threads when there are many. The results are in the order of the items.
fn several_at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work_on_some = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return done };
            done.push((place, work(item)));
        }
    };
    let threads = items.len().div_ceil(PARTITIONS_PER_THREAD).clamp(1, MAX_THREADS);
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work_on_some)).collect();
        let mut done = work_on_some();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::several_at_once;

    #[test]
    fn every_item_is_worked_on_once_and_in_its_place() {
        for count in [0, 1, 4, 5, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(several_at_once(&items, |item| item * 2), expected);
        }
    }
}
