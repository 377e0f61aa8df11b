//! What a fetch may read: offsets and epochs are checked and the budgets are dealt out, in the order of the partitions.
//! Nothing is read into memory: a plan holds stretches of segment files.

use std::sync::Arc;

use fluxmq_protocol::ErrorCode;
use fluxmq_storage::LogOffsetMetadata;
use fluxmq_storage::log::ReadError;
use fluxmq_storage::slice::Slice;
use fluxmq_storage::txn_index::AbortedTransaction;

use super::fetch_session::PartitionRequest;
use crate::error::read_code;
use crate::partitions::partition::{LeaderEpochError, Partition};

/// An offset, an epoch or a bound that Kafka writes for "none".
pub const UNKNOWN: i64 = -1;
const UNDEFINED_EPOCH: i32 = -1;

/// Up to where records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// READ_UNCOMMITTED: the high watermark.
    HighWatermark,
    /// READ_COMMITTED: the last stable offset.
    LastStableOffset,
    /// A replica's fetch: the log end.
    LogEnd,
}

/// The offsets of a partition at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// First offset that can be read.
    pub log_start_offset: i64,
    /// Where the records end that consumers may see.
    pub high_watermark: LogOffsetMetadata,
    /// Where the records end that no open transaction stands before.
    pub last_stable_offset: LogOffsetMetadata,
    /// Where the log ends.
    pub log_end: LogOffsetMetadata,
}

/// Records that lie somewhere, by their length.
pub trait Stretch: Default {
    /// How many bytes they are.
    fn len_bytes(&self) -> usize;
}

impl Stretch for Slice {
    fn len_bytes(&self) -> usize {
        self.len()
    }
}

/// A partition as the planner sees it.
pub trait Source {
    /// What a read gives.
    type Records: Stretch;

    /// Whether requests are answered at all, and whether the client's leader epoch (−1: none) is this one.
    ///
    /// # Errors
    /// The code of the answer.
    fn check(&self, current_leader_epoch: i32) -> Result<(), ErrorCode>;

    /// The offsets now.
    fn marks(&self) -> Marks;

    /// The largest epoch up to `epoch` and where it ended; −1 for both when nothing is known of it.
    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64);

    /// See [`fluxmq_storage::log::Log::read`].
    ///
    /// # Errors
    /// The code of the answer.
    fn read(
        &self,
        offset: i64,
        max_bytes: u32,
        until: LogOffsetMetadata,
        min_one_batch: bool,
    ) -> Result<Self::Records, ErrorCode>;

    /// The aborted transactions that `records` may hold parts of; they were read from `offset` on.
    ///
    /// # Errors
    /// The code of the answer.
    fn aborted_transactions(
        &self,
        offset: i64,
        records: &Self::Records,
    ) -> Result<Vec<AbortedTransaction>, ErrorCode>;
}

impl Source for Arc<Partition> {
    type Records = Slice;

    fn check(&self, current_leader_epoch: i32) -> Result<(), ErrorCode> {
        if self.is_deleted() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        if self.is_offline() {
            return Err(ErrorCode::KafkaStorageError);
        }
        self.check_leader_epoch(current_leader_epoch.max(UNDEFINED_EPOCH)).map_err(|error| match error {
            LeaderEpochError::Fenced => ErrorCode::FencedLeaderEpoch,
            LeaderEpochError::Unknown => ErrorCode::UnknownLeaderEpoch,
        })
    }

    fn marks(&self) -> Marks {
        // The log end is taken last: it is never before the others.
        let (high_watermark, last_stable_offset) = self.high_watermark_and_last_stable_offset();
        Marks {
            log_start_offset: self.log_start_offset(),
            high_watermark,
            last_stable_offset,
            log_end: self.log_end(),
        }
    }

    fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        // The epoch led under counts from its start, not only from the first record under it. And where the log has
        // no record under any, all before it have ended where it starts.
        let led_under = self.leader_epoch();
        if epoch == led_under || ((0..led_under).contains(&epoch) && self.log().latest_epoch().is_none()) {
            return (epoch, self.log_end().offset);
        }
        self.log().end_offset_for_epoch(epoch)
    }

    fn read(
        &self,
        offset: i64,
        max_bytes: u32,
        until: LogOffsetMetadata,
        min_one_batch: bool,
    ) -> Result<Slice, ErrorCode> {
        self.log().read(offset, max_bytes, until, min_one_batch).map_err(|error| read_failed(self, &error))
    }

    fn aborted_transactions(
        &self,
        offset: i64,
        records: &Slice,
    ) -> Result<Vec<AbortedTransaction>, ErrorCode> {
        self.log().aborted_transactions_in(offset, records).map_err(|error| read_failed(self, &error))
    }
}

fn read_failed(partition: &Partition, error: &ReadError) -> ErrorCode {
    partition.read_failed(error);
    read_code(error)
}

/// What bounds a whole fetch.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of records at most; the first batch may be larger.
    pub max_bytes: i32,
    /// Up to where records are shown.
    pub isolation: Isolation,
    /// The fetch claims to come from a replica, and this broker's partitions have none.
    pub from_follower: bool,
}

/// What a fetch gets of one partition.
#[derive(Clone, Debug)]
pub struct Planned<R> {
    /// NONE, or why there is nothing.
    pub error: ErrorCode,
    /// The high watermark, or −1 with an error.
    pub high_watermark: i64,
    /// The last stable offset, or −1 with an error.
    pub last_stable_offset: i64,
    /// The log start offset, or −1 with an error.
    pub log_start_offset: i64,
    /// The client's log went another way: the epoch it shares with this one, and where that ended (KIP-595).
    pub diverging_epoch: Option<(i32, i64)>,
    /// The records.
    pub records: R,
    /// Transactions whose records the client has to pass over; `None` where that isn't looked for.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// Where the records end that the client may see: a waiting fetch watches it move.
    pub seen: Option<LogOffsetMetadata>,
}

impl<R: Stretch> Planned<R> {
    /// A partition that answers with an error.
    #[must_use]
    pub fn failed(error: ErrorCode) -> Self {
        Planned {
            error,
            high_watermark: UNKNOWN,
            last_stable_offset: UNKNOWN,
            log_start_offset: UNKNOWN,
            diverging_epoch: None,
            records: R::default(),
            aborted_transactions: None,
            seen: None,
        }
    }
}

/// What a fetch gets.
#[derive(Debug)]
pub struct Plan<R> {
    /// In the order of the request.
    pub partitions: Vec<Planned<R>>,
    /// Bytes of all records.
    pub bytes: u64,
    /// An error or a diverging epoch: the client is told at once.
    pub answer_now: bool,
}

/// Plans a fetch of `partitions`, each with what is asked of it.
pub fn plan<'a, S: Source + 'a>(
    partitions: impl IntoIterator<Item = (&'a S, &'a PartitionRequest)>,
    limits: &Limits,
) -> Plan<S::Records> {
    let mut plan = Plan { partitions: Vec::new(), bytes: 0, answer_now: false };
    let mut left_bytes = limits.max_bytes;
    for (source, request) in partitions {
        // Until something was found, neither bound keeps the first batch out.
        let min_one_batch = plan.bytes == 0;
        let planned =
            plan_partition(source, request, limits, request.max_bytes.min(left_bytes), min_one_batch)
                .unwrap_or_else(Planned::failed);
        let bytes = planned.records.len_bytes();
        plan.bytes += bytes as u64;
        left_bytes = left_bytes.saturating_sub(i32::try_from(bytes).unwrap_or(i32::MAX)).max(0);
        plan.answer_now |= planned.error != ErrorCode::None || planned.diverging_epoch.is_some();
        plan.partitions.push(planned);
    }
    plan
}

fn plan_partition<S: Source>(
    source: &S,
    request: &PartitionRequest,
    limits: &Limits,
    max_bytes: i32,
    min_one_batch: bool,
) -> Result<Planned<S::Records>, ErrorCode> {
    source.check(request.current_leader_epoch)?;
    if limits.from_follower {
        // As a leader answers a replica that is not among its own: with an epoch, the replica may know of a
        // reassignment that the leader does not; without one, there is no telling.
        let knows_epoch = request.current_leader_epoch >= 0;
        return Err(if knows_epoch { ErrorCode::UnknownLeaderEpoch } else { ErrorCode::NotLeaderOrFollower });
    }
    let marks = source.marks();
    let mut planned = Planned {
        error: ErrorCode::None,
        high_watermark: marks.high_watermark.offset,
        last_stable_offset: marks.last_stable_offset.offset,
        log_start_offset: marks.log_start_offset,
        diverging_epoch: None,
        records: S::Records::default(),
        aborted_transactions: None,
        seen: None,
    };
    if request.last_fetched_epoch >= 0 {
        let (epoch, end_offset) = source.end_offset_for_epoch(request.last_fetched_epoch);
        if end_offset == UNKNOWN || epoch == UNDEFINED_EPOCH || request.fetch_offset < marks.log_start_offset
        {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if epoch < request.last_fetched_epoch || end_offset < request.fetch_offset {
            planned.diverging_epoch = Some((epoch, end_offset));
            return Ok(planned);
        }
    }
    let until = match limits.isolation {
        Isolation::HighWatermark => marks.high_watermark,
        Isolation::LastStableOffset => marks.last_stable_offset,
        Isolation::LogEnd => marks.log_end,
    };
    // Kafka looks at a negative size only once there is something to read.
    let allowed_bytes = match u32::try_from(max_bytes) {
        Err(_) if (marks.log_start_offset..until.offset).contains(&request.fetch_offset) => {
            return Err(ErrorCode::UnknownServerError);
        }
        allowed_bytes => allowed_bytes.unwrap_or(0),
    };
    planned.records = source.read(request.fetch_offset, allowed_bytes, until, min_one_batch)?;
    if limits.isolation == Isolation::LastStableOffset {
        let aborted = if planned.records.len_bytes() == 0 {
            Vec::new()
        } else {
            source.aborted_transactions(request.fetch_offset, &planned.records)?
        };
        planned.aborted_transactions = Some(aborted);
    }
    planned.seen = Some(until);
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Stretch for usize {
        fn len_bytes(&self) -> usize {
            *self
        }
    }

    /// A log of batches of one record and 100 bytes each, in segments of ten.
    struct Fake {
        start: i64,
        stable: i64,
        high: i64,
        end: i64,
        state: Result<(), ErrorCode>,
    }

    const BATCH_BYTES: i64 = 100;

    fn mark(offset: i64) -> LogOffsetMetadata {
        let segment_base_offset = offset / 10 * 10;
        let position = ((offset - segment_base_offset) * BATCH_BYTES) as u32;
        LogOffsetMetadata { offset, segment_base_offset, position }
    }

    impl Source for Fake {
        type Records = usize;

        fn check(&self, _: i32) -> Result<(), ErrorCode> {
            self.state
        }

        fn marks(&self) -> Marks {
            Marks {
                log_start_offset: self.start,
                high_watermark: mark(self.high),
                last_stable_offset: mark(self.stable),
                log_end: mark(self.end),
            }
        }

        /// Epoch 3 ended at 5, epoch 5 is the latest; nothing older is known.
        fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
            match epoch {
                ..3 | 6.. => (-1, -1),
                3 | 4 => (3, 5),
                5 => (5, self.end),
            }
        }

        fn read(
            &self,
            offset: i64,
            max: u32,
            until: LogOffsetMetadata,
            min_one: bool,
        ) -> Result<usize, ErrorCode> {
            if offset < self.start || offset > self.end {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            let available = (until.offset - offset).max(0) * BATCH_BYTES;
            let max = i64::from(max);
            if max < BATCH_BYTES && !min_one {
                return Ok(0);
            }
            Ok(available.min(max.max(BATCH_BYTES)) as usize)
        }

        /// One aborted transaction, over the batches that were read.
        fn aborted_transactions(
            &self,
            offset: i64,
            records: &usize,
        ) -> Result<Vec<AbortedTransaction>, ErrorCode> {
            self.state?;
            let last_offset = offset + *records as i64 / BATCH_BYTES - 1;
            let last_stable_offset = last_offset + 1;
            Ok(vec![AbortedTransaction {
                producer_id: 7,
                first_offset: offset,
                last_offset,
                last_stable_offset,
            }])
        }
    }

    fn log(end: i64) -> Fake {
        Fake { start: 0, stable: end, high: end, end, state: Ok(()) }
    }

    fn from(fetch_offset: i64, max_bytes: i32) -> PartitionRequest {
        PartitionRequest { fetch_offset, max_bytes, current_leader_epoch: -1, last_fetched_epoch: -1 }
    }

    fn limits(max_bytes: i32) -> Limits {
        Limits { max_bytes, isolation: Isolation::HighWatermark, from_follower: false }
    }

    fn plan_all(partitions: &[(Fake, PartitionRequest)], limits: Limits) -> Plan<usize> {
        plan(partitions.iter().map(|(source, request)| (source, request)), &limits)
    }

    #[test]
    fn the_budgets_are_dealt_out_in_order() {
        // max bytes of the fetch, (log end, fetch offset, max bytes) of each partition, bytes of each.
        type Case = (i32, &'static [(i64, i64, i32)], &'static [usize]);
        let cases: &[Case] = &[
            (10_000, &[(5, 0, 1000), (5, 4, 1000)], &[500, 100]),
            (10_000, &[(5, 0, 250), (5, 0, 1000)], &[250, 500]),
            (650, &[(5, 0, 1000), (5, 0, 1000), (5, 0, 1000)], &[500, 150, 0]),
            (550, &[(5, 0, 1000), (5, 0, 1000), (5, 0, 1000)], &[500, 0, 0]),
            // The first batch comes whole whatever the bounds say, but only the first of the fetch.
            (10, &[(5, 0, 10), (5, 0, 10)], &[100, 0]),
            (10, &[(5, 5, 10), (5, 0, 10), (5, 0, 10)], &[0, 100, 0]),
            (10_000, &[(5, 0, 1), (5, 0, 1)], &[100, 0]),
            (0, &[(5, 0, 1000)], &[100]),
            (10_000, &[(5, 0, 0), (5, 0, 0)], &[100, 0]),
            (10_000, &[(0, 0, 1000)], &[0]),
            (10_000, &[], &[]),
        ];
        for (max_bytes, partitions, bytes) in cases {
            let partitions: Vec<_> =
                partitions.iter().map(|&(end, offset, max)| (log(end), from(offset, max))).collect();
            let plan = plan_all(&partitions, limits(*max_bytes));
            let planned: Vec<usize> = plan.partitions.iter().map(|planned| planned.records).collect();
            assert_eq!(planned, *bytes);
            assert_eq!(plan.bytes, bytes.iter().sum::<usize>() as u64);
            assert!(!plan.answer_now);
        }
    }

    #[test]
    fn isolation_decides_what_is_seen() {
        let source = || Fake { start: 0, stable: 2, high: 4, end: 6, state: Ok(()) };
        for (isolation, offset, bytes, seen) in [
            (Isolation::LastStableOffset, 1, 100, 2),
            (Isolation::HighWatermark, 1, 300, 4),
            (Isolation::LogEnd, 1, 500, 6),
            // Between what is seen and the log end there is nothing yet, and no error.
            (Isolation::LastStableOffset, 5, 0, 2),
            (Isolation::HighWatermark, 5, 0, 4),
        ] {
            let plan = plan_all(&[(source(), from(offset, 1000))], Limits { isolation, ..limits(1000) });
            let planned = &plan.partitions[0];
            assert_eq!((planned.error, planned.records), (ErrorCode::None, bytes), "{isolation:?}");
            assert_eq!(planned.seen, Some(mark(seen)));
            assert_eq!((planned.high_watermark, planned.last_stable_offset), (4, 2));
            let aborted = planned.aborted_transactions.as_ref().map(Vec::len);
            let looked_for = isolation == Isolation::LastStableOffset;
            assert_eq!(aborted, looked_for.then_some(usize::from(bytes > 0)), "{isolation:?}");
        }
    }

    #[test]
    fn an_error_is_answered_at_once_and_without_offsets() {
        let from_start = Fake { start: 3, ..log(6) };
        let fenced = Fake { state: Err(ErrorCode::FencedLeaderEpoch), ..log(6) };
        for (source, offset, error) in [
            (log(6), 7, ErrorCode::OffsetOutOfRange),
            (log(6), -1, ErrorCode::OffsetOutOfRange),
            (from_start, 2, ErrorCode::OffsetOutOfRange),
            (fenced, 0, ErrorCode::FencedLeaderEpoch),
        ] {
            let plan = plan_all(&[(source, from(offset, 100)), (log(1), from(0, 100))], limits(1000));
            let failed = &plan.partitions[0];
            assert_eq!(failed.error, error);
            assert_eq!(
                (failed.high_watermark, failed.last_stable_offset, failed.log_start_offset),
                (-1, -1, -1)
            );
            assert_eq!(failed.seen, None);
            assert!(plan.answer_now);
            assert_eq!(plan.partitions[1].records, 100);
        }
    }

    #[test]
    fn a_negative_size_is_an_error_once_there_is_something_to_read() {
        let error = |offset| plan_all(&[(log(6), from(offset, -1))], limits(1000)).partitions[0].error;
        assert_eq!(error(0), ErrorCode::UnknownServerError);
        assert_eq!(error(6), ErrorCode::None);
        assert_eq!(error(7), ErrorCode::OffsetOutOfRange);
    }

    #[test]
    fn a_client_whose_log_went_another_way_is_told_where() {
        let with_epoch = |fetch_offset, last_fetched_epoch| PartitionRequest {
            last_fetched_epoch,
            ..from(fetch_offset, 1000)
        };
        for (request, error, diverging) in [
            (with_epoch(8, 5), ErrorCode::None, None),
            (with_epoch(5, 3), ErrorCode::None, None),
            (with_epoch(6, 3), ErrorCode::None, Some((3, 5))),
            (with_epoch(4, 4), ErrorCode::None, Some((3, 5))),
            (with_epoch(4, 9), ErrorCode::OffsetOutOfRange, None),
            (with_epoch(0, 5), ErrorCode::OffsetOutOfRange, None),
        ] {
            let source = Fake { start: 1, ..log(10) };
            let plan = plan_all(&[(source, request)], limits(10_000));
            let planned = &plan.partitions[0];
            assert_eq!((planned.error, planned.diverging_epoch), (error, diverging), "{request:?}");
            assert_eq!(plan.answer_now, error != ErrorCode::None || diverging.is_some());
            assert_eq!(planned.records > 0, !plan.answer_now, "{request:?}");
        }
    }

    #[test]
    fn a_replica_that_is_none_of_ours_is_not_served() {
        let follower = Limits { from_follower: true, isolation: Isolation::LogEnd, ..limits(1000) };
        for (epoch, error) in [(-1, ErrorCode::NotLeaderOrFollower), (0, ErrorCode::UnknownLeaderEpoch)] {
            let request = PartitionRequest { current_leader_epoch: epoch, ..from(0, 1000) };
            assert_eq!(plan_all(&[(log(6), request)], follower).partitions[0].error, error);
        }
    }
}
