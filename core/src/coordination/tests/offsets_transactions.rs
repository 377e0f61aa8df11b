//! Offsets in transactions: the batch, the marker, and the shard that is read again at every point between them.

use fluxmq_coordinator::Producer;
use fluxmq_protocol::messages::offset_fetch_request::OffsetFetchRequestTopics;
use fluxmq_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::{ProducerId, TransactionalId, TxnOffsetCommitRequest};
use fluxmq_storage::batch::verify_stored;

use super::*;
use crate::partitions::partition::{EndTransaction, Partition};

const UNSTABLE: i16 = ErrorCode::UnstableOffsetCommit as i16;

/// The marker of version 2, whose epoch is above that of the records.
pub(super) fn ended_by(producer: Producer, commit: bool) -> EndTransaction {
    EndTransaction {
        producer_id: producer.id,
        producer_epoch: producer.epoch + 1,
        commit,
        coordinator_epoch: 0,
        transaction_version: 2,
    }
}

/// The marker before version 2.
fn ended_by_v1(producer: Producer, commit: bool) -> EndTransaction {
    EndTransaction { producer_epoch: producer.epoch, transaction_version: 1, ..ended_by(producer, commit) }
}

impl Fixture {
    /// Commits `offset` for partition 0 of topic `t` in the producer's transaction.
    pub(super) fn begin_commit_in_transaction(
        &self,
        group: &str,
        producer: Producer,
        offset: i64,
    ) -> Result<Option<DurableAt>, ErrorCode> {
        let index = self.groups.shard_of(group)?;
        let guard = self.groups.begin_verification(index, producer.id, producer.epoch, true)?;
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(text("t")))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(text("id")))
            .with_group_id(id(group))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_topics(vec![topic]);
        let answered = self.groups.turn_in_transaction(group, guard, |shard, turn| {
            shard.txn_offset_commit(turn, &requester(), &request)
        })?;
        assert_eq!(answered.value.topics[0].partitions[0].error_code, 0);
        Ok(answered.durable)
    }

    fn commit_in_transaction(&self, group: &str, producer: Producer, offset: i64) -> Result<(), ErrorCode> {
        match self.begin_commit_in_transaction(group, producer, offset)? {
            Some(durable) => self.runtime.block_on(durable.reached()),
            None => Ok(()),
        }
    }

    /// Ends a transaction in the group's shard.
    pub(super) fn end(&self, group: &str, end: &EndTransaction) -> Result<Option<DurableAt>, ErrorCode> {
        let index = self.groups.shard_of(group)?;
        Ok(self.groups.append_marker(index, end)?.durable)
    }

    /// Partition, offset and error of what is stable of the group's partition 0 of topic `t`.
    pub(super) fn stable(&self, group: &str) -> Result<Vec<(i32, i64, i16)>, ErrorCode> {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(TopicName(text("t")))
            .with_partition_indexes(vec![0]);
        let request =
            OffsetFetchRequestGroup::default().with_group_id(id(group)).with_topics(Some(vec![topic]));
        let answered = self.groups.turn(group, |shard, _| shard.offset_fetch(&request, true))?;
        let partitions = answered.value.topics.iter().flat_map(|topic| &topic.partitions);
        let said = |has: &fluxmq_protocol::messages::offset_fetch_response::OffsetFetchResponsePartitions| {
            (has.partition_index, has.committed_offset, has.error_code)
        };
        Ok(partitions.map(said).collect())
    }

    fn partition_of(&self, group: &str) -> Arc<Partition> {
        let index = i32::try_from(self.groups.shard_of(group).unwrap()).unwrap();
        let topic = Arc::clone(self.metadata.topics().by_name(OFFSETS_TOPIC).unwrap());
        Arc::clone(topic.partition(index).unwrap())
    }

    /// As after a kill: from the log alone.
    fn opened_again(self, dir: &Path, entries: &[(&'static str, &str)]) -> Self {
        drop(self);
        Self::open_with(dir, entries)
    }
}

#[test]
fn what_a_transaction_commits_counts_once_its_marker_is_there() {
    let producer = Producer { id: 5, epoch: 3 };
    for (codec, commit) in [("0", true), ("1", false), ("3", true), ("4", false)] {
        let dir = tempfile::tempdir().unwrap();
        let entries = [("offsets.topic.compression.codec", codec)];
        let mut fixture = Fixture::open_with(dir.path(), &entries);
        fixture.make_topic();
        fixture.commit("g", 7).unwrap();
        fixture.commit_in_transaction("g", producer, 8).unwrap();
        let partition = fixture.partition_of("g");
        let batch = partition.log().read(1, 1, partition.log_end(), true).unwrap().to_vec().unwrap();
        let header = verify_stored(&batch).unwrap();
        assert!(header.is_transactional() && !header.is_control());
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (5, 3, -1));
        assert_eq!(header.codec().unwrap().id().to_string(), codec);
        drop(partition);
        for _ in 0..2 {
            assert_eq!(fixture.committed("g"), Ok(Some(7)));
            assert_eq!(fixture.stable("g"), Ok(vec![(0, -1, UNSTABLE)]));
            fixture = fixture.opened_again(dir.path(), &entries);
        }
        // The transaction is open after the restart too: nothing has to be verified.
        fixture.commit_in_transaction("g", producer, 9).unwrap();
        let durable = fixture.end("g", &ended_by(producer, commit)).unwrap();
        if let Some(durable) = durable {
            fixture.runtime.block_on(durable.reached()).unwrap();
        }
        for _ in 0..2 {
            let counts = if commit { 9 } else { 7 };
            assert_eq!(fixture.stable("g"), Ok(vec![(0, counts, 0)]), "codec {codec}");
            fixture = fixture.opened_again(dir.path(), &entries);
        }
        fixture.close();
    }
}

#[test]
fn what_the_log_has_against_a_producer_costs_nobody_else_anything() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    fixture.commit("g", 7).unwrap();
    let mut waiting = fixture.waiting("g");
    let producer = Producer { id: 5, epoch: 3 };
    let older = Producer { epoch: 2, ..producer };
    fixture.commit_in_transaction("g", producer, 8).unwrap();
    let refused = Err(ErrorCode::InvalidProducerEpoch);
    assert_eq!(fixture.commit_in_transaction("g", older, 9), refused);
    // Verified before the newer epoch came.
    let written = |producer: Producer, guard| {
        let answered = fixture.groups.turn_in_transaction("g", guard, |_, turn| {
            let key = fluxmq_protocol::group_records::GroupMetadataKey { group: text("other") };
            turn.all_in_records = true;
            turn.transaction = Some(producer);
            turn.records.push(fluxmq_protocol::group_records::GroupRecord::GroupMetadata(key, None));
        });
        answered.map(|_| ())
    };
    let none = fluxmq_storage::producer_state::VerificationGuard::NONE;
    assert_eq!(written(older, none), refused);
    // Ended meanwhile, or never verified.
    let index = fixture.groups.shard_of("g").unwrap();
    let other = Producer { id: 6, epoch: 0 };
    let guard = fixture.groups.begin_verification(index, other.id, other.epoch, false).unwrap();
    fixture.end("g", &ended_by_v1(other, false)).unwrap();
    assert_eq!(written(other, guard), Err(ErrorCode::InvalidTxnState));
    assert_eq!(written(other, none), Err(ErrorCode::InvalidTxnState));
    let guard = fixture.groups.begin_verification(index, other.id, other.epoch, false).unwrap();
    assert_eq!(written(other, guard), Ok(()));
    assert_eq!(fixture.committed("g"), Ok(Some(7)), "the shard was not read again");
    assert!(waiting.try_answer().is_none());
    fixture.close();
}

#[test]
fn a_producer_that_names_no_id_commits_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    fixture.commit_in_transaction("g", Producer { id: -1, epoch: -1 }, 8).unwrap();
    assert_eq!(fixture.stable("g"), Ok(vec![(0, 8, 0)]));
    let fixture = fixture.opened_again(dir.path(), &[]);
    assert_eq!(fixture.stable("g"), Ok(vec![(0, 8, 0)]));
    fixture.close();
}

#[test]
fn markers_that_come_again_or_late() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    let producer = Producer { id: 5, epoch: 3 };
    let partition = fixture.partition_of("g");
    fixture.commit_in_transaction("g", producer, 8).unwrap();
    fixture.end("g", &ended_by(producer, true)).unwrap();
    let end = partition.log_end().offset;
    fixture.end("g", &ended_by(producer, true)).unwrap();
    assert_eq!(partition.log_end().offset, end, "it is there already");
    let late = ended_by(Producer { epoch: 1, ..producer }, false);
    assert_eq!(fixture.end("g", &late).unwrap_err(), ErrorCode::InvalidProducerEpoch);

    // Before version 2 one that comes again can't be told from another.
    let producer = Producer { id: 6, epoch: 3 };
    fixture.commit_in_transaction("g", producer, 9).unwrap();
    let by_newer = EndTransaction { coordinator_epoch: 4, ..ended_by_v1(producer, true) };
    for _ in 0..2 {
        let end = partition.log_end().offset;
        fixture.end("g", &by_newer).unwrap();
        assert_eq!(partition.log_end().offset, end + 1);
    }
    let fenced = fixture.end("g", &ended_by_v1(producer, true)).unwrap_err();
    assert_eq!(fenced, ErrorCode::TransactionCoordinatorFenced);
    assert_eq!(fixture.stable("g"), Ok(vec![(0, 9, 0)]));
    drop(partition);
    fixture.close();
}

#[test]
fn a_shard_that_is_not_there_takes_no_marker() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    let producer = Producer { id: 5, epoch: 3 };
    let end = ended_by(producer, true);
    let refused = |index| fixture.groups.append_marker(index, &end).map(|_| ());
    assert_eq!(refused(0), Err(ErrorCode::NotLeaderOrFollower), "there is no topic");
    fixture.make_topic();
    assert_eq!(refused(4), Err(ErrorCode::NotLeaderOrFollower));
    fixture.commit_in_transaction("g", producer, 8).unwrap();
    let index = fixture.groups.shard_of("g").unwrap();
    let panics = || fixture.groups.turn("g", |_, _| panic!("a fault of the machine, made by a test"));
    assert!(std::panic::catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(refused(index), Err(ErrorCode::NotLeaderOrFollower), "it is read again");
    fixture.wait_until_loaded();
    assert_eq!(refused(index), Ok(()));
    assert_eq!(fixture.stable("g"), Ok(vec![(0, 8, 0)]));
    fixture.groups.stop();
    assert_eq!(refused(index), Err(ErrorCode::NotLeaderOrFollower));
    fixture.partitions.shut_down().unwrap();
}

#[test]
fn what_is_told_of_a_marker_waits_for_its_sync() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    let producer = Producer { id: 5, epoch: 3 };
    fixture.commit_in_transaction("g", producer, 8).unwrap();
    let shards = fixture.groups.current().unwrap();
    let slot = shards.slot(shards.of_id("g")).unwrap();
    fixture.end("g", &ended_by(producer, true)).unwrap();
    // As if the sync had not come: then it is waited for again when the marker comes again, and by whoever fetches.
    slot.inner.lock().awaited_end = slot.partition.log_end().offset + 1;
    assert!(fixture.end("g", &ended_by(producer, true)).unwrap().is_some());
    assert!(fixture.groups.turn("g", |_, _| ()).unwrap().durable.is_some());
    drop(shards);
    fixture.close();
}

/// Commits, transactions of three producers and their ends in any order: a shard that is read again says the same.
#[test]
fn a_shard_that_is_read_again_is_the_same_at_any_point() {
    let dir = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::open(dir.path());
    fixture.make_topic();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut epochs = [0; 3];
    let groups = ["a", "b", "e"];
    for offset in 0..200 {
        let group = groups[usize::try_from(below(3)).unwrap()];
        let number = usize::try_from(below(3)).unwrap();
        let producer = Producer { id: i64::try_from(number).unwrap(), epoch: epochs[number] };
        match below(6) {
            0 => fixture.commit(group, offset).unwrap(),
            1 | 2 => fixture.commit_in_transaction(group, producer, offset).unwrap(),
            3 | 4 => {
                let commit = below(2) == 0;
                for group in groups {
                    fixture.end(group, &ended_by(producer, commit)).unwrap();
                }
                epochs[number] += 1;
            }
            _ => {
                let says =
                    |fixture: &Fixture| groups.map(|group| (fixture.committed(group), fixture.stable(group)));
                let live = says(&fixture);
                fixture = fixture.opened_again(dir.path(), &[]);
                assert_eq!(says(&fixture), live, "before operation {offset}");
            }
        }
    }
    fixture.close();
}
