//! The driver on a data directory of its own, with commits of offsets, and with turns that a test makes up.

mod offsets_transactions;
mod storm;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fluxmq_coordinator::{GroupShard, Reply, Requester};
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use fluxmq_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use fluxmq_protocol::messages::{GroupId, JoinGroupResponse, OffsetCommitRequest, TopicName};
use fluxmq_protocol::{ErrorCode, StrBytes};
use fluxmq_storage::batch::BatchBuilder;
use futures_util::FutureExt;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::wait::{DurableAt, Exchange};
use super::*;
use crate::config::{FlushPolicy, Origin, Settings};
use crate::meta::NewTopic;
use crate::open_data::open_data;
use crate::partitions::high_watermark::Acks;

const NOW_MS: i64 = 1_700_000_000_000;

/// A coordinator over a directory, without a broker around it.
struct Fixture {
    runtime: tokio::runtime::Runtime,
    clock: Clock,
    partitions: Arc<PartitionManager>,
    metadata: Arc<Metadata>,
    groups: Arc<GroupCoordinator>,
}

fn config(dir: &Path, entries: &[(&'static str, &str)]) -> Arc<BrokerConfig> {
    let mut settings = Settings::default();
    settings.set("log.dirs", dir.to_string_lossy(), Origin::Flag("test"));
    settings.set("offsets.topic.num.partitions", "4", Origin::Flag("test"));
    for (key, text) in entries {
        settings.set(*key, *text, Origin::Flag("test"));
    }
    Arc::new(BrokerConfig::from_settings(settings).unwrap())
}

impl Fixture {
    fn open(dir: &Path) -> Self {
        Self::open_with(dir, &[])
    }

    fn open_with(dir: &Path, entries: &[(&'static str, &str)]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (config, clock) = (config(dir, entries), Clock::fixed(NOW_MS));
        let (metadata, partitions) = open_data(&config, &clock).unwrap();
        let (metadata, partitions) = (Arc::new(metadata), Arc::new(partitions));
        let pool = BlockingPool::new(runtime.handle().clone());
        let groups = GroupCoordinator::start(
            &config,
            Arc::clone(&metadata),
            Arc::clone(&partitions),
            clock.clone(),
            pool,
        );
        let fixture = Fixture { runtime, clock, partitions, metadata, groups };
        fixture.wait_until_loaded();
        fixture
    }

    fn make_topic(&self) {
        self.runtime.block_on(self.groups.ensure_topic()).unwrap();
    }

    fn wait_until_loaded(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.groups.is_loading() {
            assert!(Instant::now() < deadline, "the shards are not read");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Commits `offset` for partition 0 of topic `t`, and waits for the answer's sync.
    fn commit(&self, group: &str, offset: i64) -> Result<(), ErrorCode> {
        match self.begin_commit(group, offset)? {
            Some(durable) => self.runtime.block_on(durable.reached()),
            None => Ok(()),
        }
    }

    /// As [`commit`](Self::commit), with what is to be waited for.
    fn begin_commit(&self, group: &str, offset: i64) -> Result<Option<DurableAt>, ErrorCode> {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text("t")))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default().with_group_id(id(group)).with_topics(vec![topic]);
        let answered =
            self.groups.turn(group, |shard, turn| shard.offset_commit(turn, &requester(), &request))?;
        assert_eq!(answered.value.topics[0].partitions[0].error_code, 0);
        Ok(answered.durable)
    }

    /// What counts as committed, whatever open transactions have committed.
    fn committed(&self, group: &str) -> Result<Option<i64>, ErrorCode> {
        let request = OffsetFetchRequestGroup::default().with_group_id(id(group)).with_topics(None);
        let answered = self.groups.turn(group, |shard, _| shard.offset_fetch(&request, false))?;
        let partition = answered.value.topics.first().map(|topic| topic.partitions[0].committed_offset);
        Ok(partition)
    }

    /// A request that no turn has answered yet.
    fn waiting(&self, group: &str) -> Exchange {
        let mut exchange = self.groups.exchange(group, |_, _, _| ()).unwrap();
        assert!(exchange.try_answer().is_none());
        exchange
    }

    /// Writes a record past the coordinator.
    fn append(&self, index: i32, key: &[u8], value: Option<&[u8]>) {
        let topic = Arc::clone(self.metadata.topics().by_name(OFFSETS_TOPIC).unwrap());
        let batch = BatchBuilder::new().record(NOW_MS, Some(key), value).build();
        topic.partition(index).unwrap().append(&batch, Acks::Leader, NOW_MS).unwrap();
    }

    fn close(self) {
        self.groups.stop();
        self.partitions.shut_down().unwrap();
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn id(group: &str) -> GroupId {
    GroupId(text(group))
}

fn requester() -> Requester {
    Requester {
        api_version: 8,
        client_id: text("test"),
        client_host: text("/127.0.0.1"),
        fresh_id: Uuid::nil(),
    }
}

fn ended(mut exchange: Exchange) -> ErrorCode {
    exchange.try_answer().expect("it was ended").unwrap_err()
}

#[test]
fn the_topic_is_made_once_with_kafkas_settings() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    assert_eq!((fixture.groups.has_topic(), fixture.groups.shard_count()), (Ok(false), 0));
    assert_eq!(fixture.commit("g", 1), Err(ErrorCode::NotCoordinator));
    let both = futures_util::future::join(fixture.groups.ensure_topic(), fixture.groups.ensure_topic());
    assert_eq!(fixture.runtime.block_on(both), (Ok(()), Ok(())));
    let topic = Arc::clone(fixture.metadata.topics().by_name(OFFSETS_TOPIC).unwrap());
    assert!(topic.is_internal);
    let overrides: Vec<_> =
        topic.overrides.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        overrides,
        [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")]
    );
    assert_eq!((fixture.groups.shard_count(), topic.partition_count()), (4, 4));
    fixture.commit("g", 1).unwrap();
    fixture.close();
}

#[test]
fn what_was_committed_is_read_again() {
    for codec in ["0", "1", "2", "3", "4"] {
        let dir = tempfile::tempdir().unwrap();
        let entries = [("offsets.topic.compression.codec", codec), ("offsets.load.buffer.size", "1000")];
        let fixture = Fixture::open_with(dir.path(), &entries);
        fixture.make_topic();
        for offset in 0..20 {
            for group in 0..10 {
                fixture.commit(&format!("group-{group}"), offset * 10 + group).unwrap();
            }
        }
        let first = fixture.metadata.topics().by_name(OFFSETS_TOPIC).unwrap().partitions[0].clone();
        let batch = first.log().read(0, 1, first.log_end(), true).unwrap().to_vec().unwrap();
        let header = fluxmq_storage::batch::verify_stored(&batch).unwrap();
        assert_eq!(header.codec().unwrap().id().to_string(), codec);
        drop((first, fixture));
        // Not closed: as after a kill.
        let fixture = Fixture::open_with(dir.path(), &entries);
        assert_eq!(fixture.groups.shard_count(), 4);
        for group in 0..10 {
            assert_eq!(fixture.committed(&format!("group-{group}")), Ok(Some(190 + group)), "codec {codec}");
        }
        fixture.close();
    }
}

#[test]
fn an_answer_waits_for_the_sync_of_what_it_rests_on() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    fixture.commit("g", 1).unwrap();
    let shards = fixture.groups.current().unwrap();
    let slot = shards.slot(shards.of_id("g")).unwrap();
    // As if a sync had not come to the last commit yet.
    slot.inner.lock().awaited_end = slot.partition.log_end().offset + 1;
    let answered = fixture.groups.turn("g", |_, _| ()).unwrap();
    let mut reached = Box::pin(answered.durable.unwrap().reached());
    let _runtime = fixture.runtime.enter();
    assert!(reached.as_mut().now_or_never().is_none());
    drop(reached);
    fixture.commit("g", 2).unwrap();
    assert!(fixture.groups.turn("g", |_, _| ()).unwrap().durable.is_none());
    assert_eq!(slot.inner.lock().awaited_end, 0);
    drop(_runtime);
    drop(shards);
    fixture.close();
}

#[test]
fn without_syncs_nothing_waits() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open_with(dir.path(), &[("log.flush.policy", "never")]);
    assert_eq!(fixture.partitions.policy(), FlushPolicy::Never);
    fixture.make_topic();
    fixture.commit("g", 1).unwrap();
    let shards = fixture.groups.current().unwrap();
    assert_eq!(shards.slot(shards.of_id("g")).unwrap().inner.lock().awaited_end, 0);
}

#[test]
fn a_turn_that_panics_costs_who_waits_and_nothing_that_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    fixture.commit("g", 7).unwrap();
    let waiting = fixture.waiting("g");
    let panics = || fixture.groups.turn("g", |_, _| panic!("a fault of the machine, made by a test"));
    assert!(std::panic::catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(ended(waiting), ErrorCode::NotCoordinator);
    assert_eq!(fixture.committed("g"), Err(ErrorCode::CoordinatorLoadInProgress));
    fixture.wait_until_loaded();
    assert_eq!(fixture.committed("g"), Ok(Some(7)));
    fixture.close();
}

#[test]
fn a_batch_that_the_log_does_not_take_has_the_shard_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let entries = [("offsets.topic.segment.bytes", "1048576"), ("offset.metadata.max.bytes", "2000000")];
    let fixture = Fixture::open_with(dir.path(), &entries);
    fixture.make_topic();
    fixture.commit("g", 7).unwrap();
    let waiting = fixture.waiting("g");
    let large = |turn: &mut fluxmq_coordinator::Turn<'_>| {
        let key = fluxmq_protocol::group_records::GroupMetadataKey { group: text(&"x".repeat(30_000)) };
        let record = fluxmq_protocol::group_records::GroupRecord::GroupMetadata(key, None);
        turn.records.extend(std::iter::repeat_n(record, 40));
    };
    let refused = fixture.groups.turn("g", |_, turn| large(turn)).map(|_| ());
    assert_eq!(refused, Err(ErrorCode::UnknownServerError), "RECORD_LIST_TOO_LARGE as Kafka's groups say it");
    assert_eq!(ended(waiting), ErrorCode::NotCoordinator);
    fixture.wait_until_loaded();
    assert_eq!(fixture.committed("g"), Ok(Some(7)));
    fixture.commit("g", 8).unwrap();
    fixture.close();
}

#[test]
fn a_commit_that_the_log_does_not_take_leaves_the_shard_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let entries = [("offsets.topic.segment.bytes", "1048576"), ("offset.metadata.max.bytes", "2000000")];
    let fixture = Fixture::open_with(dir.path(), &entries);
    fixture.make_topic();
    fixture.commit("g", 7).unwrap();
    let mut waiting = fixture.waiting("g");
    let key = fluxmq_protocol::group_records::GroupMetadataKey { group: text(&"x".repeat(30_000)) };
    let record = fluxmq_protocol::group_records::GroupRecord::GroupMetadata(key, None);
    for _ in 0..3 {
        let refused = fixture.groups.turn("g", |_, turn| {
            turn.all_in_records = true;
            turn.records.extend(std::iter::repeat_n(record.clone(), 40));
        });
        assert_eq!(refused.map(|_| ()), Err(ErrorCode::UnknownServerError));
        assert_eq!(fixture.committed("g"), Ok(Some(7)), "it is not read again");
    }
    assert!(waiting.try_answer().is_none(), "whoever waits goes on waiting");
    let shards = fixture.groups.current().unwrap();
    assert_ne!(shards.slot(shards.of_id("g")).unwrap().deadline(), shards::NO_DEADLINE);
    drop(shards);
    fixture.commit("g", 8).unwrap();
    fixture.close();
}

#[test]
fn a_later_turn_answers_whoever_waits() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    let mut token = None;
    let exchange = fixture.groups.exchange("g", |_, _, given| token = Some(given)).unwrap();
    let gone = fixture.groups.exchange("g", |_, _, _| ()).unwrap();
    drop(gone);
    let response = JoinGroupResponse::default().with_generation_id(5);
    fixture.groups.turn("g", |_, turn| turn.reply_join(token.unwrap(), response.clone())).unwrap();
    let answered = fixture.runtime.block_on(exchange.answer()).unwrap();
    assert_eq!(answered.value, Reply::JoinGroup(response));
    assert!(answered.durable.is_none());
    fixture.close();
}

#[test]
fn shards_end_with_their_topic_and_come_again_empty() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    fixture.commit("g", 7).unwrap();
    let waiting = fixture.waiting("g");
    let topic = fixture.metadata.topics().by_name(OFFSETS_TOPIC).unwrap().id;
    fixture.metadata.delete_topics(&fixture.partitions, &[topic]);
    assert_eq!(fixture.committed("g"), Err(ErrorCode::NotCoordinator));
    assert_eq!(ended(waiting), ErrorCode::NotCoordinator);
    fixture.make_topic();
    fixture.wait_until_loaded();
    assert_eq!(fixture.committed("g"), Ok(None));
    fixture.close();
}

#[test]
fn what_is_committed_for_a_deleted_topic_goes() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    let new = NewTopic {
        name: text("t"),
        partition_count: 1,
        overrides: std::collections::BTreeMap::new(),
        config: Arc::default(),
    };
    let made = fixture.metadata.create_topics(&fixture.partitions, vec![new]).remove(0).unwrap();
    for group in ["a", "b", "c"] {
        fixture.commit(group, 3).unwrap();
    }
    fixture.metadata.delete_topics(&fixture.partitions, &[made.id]);
    fixture.groups.topics_deleted(&[text("other")]);
    assert_eq!(fixture.committed("a"), Ok(Some(3)));
    fixture.groups.topics_deleted(&[text("t")]);
    for group in ["a", "b", "c"] {
        assert_eq!(fixture.committed(group), Ok(None));
    }
    fixture.close();
}

#[test]
fn a_record_that_cannot_be_read_takes_its_shard_out_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    // "a" is 97: shard 1 of 4; "b" is shard 2.
    fixture.commit("a", 1).unwrap();
    fixture.commit("b", 2).unwrap();
    fixture.append(1, b"\x00\x01\x7f\xffcut short", None);
    // Of a type that is not known: passed over, as in Kafka.
    fixture.append(2, b"\x03\xe8whatever", Some(b""));
    fixture.close();
    let fixture = Fixture::open(dir.path());
    assert_eq!(fixture.committed("a"), Err(ErrorCode::NotCoordinator));
    assert_eq!(fixture.committed("b"), Ok(Some(2)));
    assert_eq!(fixture.groups.count(), 1);
    fixture.close();
}

#[test]
fn a_stop_answers_whoever_waits_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    let waiting = fixture.waiting("g");
    fixture.groups.stop();
    assert_eq!(ended(waiting), ErrorCode::NotCoordinator);
    assert_eq!(fixture.commit("g", 1), Err(ErrorCode::CoordinatorNotAvailable));
    let ensured = fixture.runtime.block_on(fixture.groups.ensure_topic());
    assert_eq!(ensured, Err(ErrorCode::CoordinatorNotAvailable));
    fixture.partitions.shut_down().unwrap();
}

#[test]
fn timers_fire_when_they_are_due() {
    let dir = tempfile::tempdir().unwrap();
    let entries = [("offsets.retention.minutes", "1"), ("offsets.retention.check.interval.ms", "20")];
    let fixture = Fixture::open_with(dir.path(), &entries);
    let groups = Arc::clone(&fixture.groups);
    fixture.runtime.block_on(async {
        let timers = tokio::spawn(Arc::clone(&groups).run_timers());
        // The task sleeps without a deadline until the topic brings one.
        tokio::time::sleep(Duration::from_millis(5)).await;
        groups.ensure_topic().await.unwrap();
        timers.abort();
    });
    fixture.commit("g", 1).unwrap();
    fixture.runtime.block_on(async {
        let timers = tokio::spawn(Arc::clone(&groups).run_timers());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(fixture.committed("g"), Ok(Some(1)), "by its own clock nothing is due");
        fixture.clock.set(NOW_MS + 60_000);
        fixture.clock.set_monotonic(20);
        let deadline = Instant::now() + Duration::from_secs(10);
        while fixture.committed("g") != Ok(None) {
            assert!(Instant::now() < deadline, "the offset did not expire");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        timers.abort();
    });
    fixture.close();
}

#[test]
fn an_offline_directory_ends_the_timers_and_answers_whoever_waits() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::open(dir.path());
    fixture.make_topic();
    let shards = fixture.groups.current().unwrap();
    let slot = shards.slot(0).unwrap();
    assert_ne!(slot.deadline(), shards::NO_DEADLINE);
    let waiting = {
        let (sender, receiver) = oneshot::channel();
        let mut inner = slot.inner.lock();
        let shards::State::Active(active) = &mut inner.state else { panic!("it takes requests") };
        active.waiters.insert(fluxmq_coordinator::Token(1), sender);
        Exchange::new(receiver)
    };
    slot.partition.storage_failed(&"a failed write, made by a test");
    fixture.clock.set_monotonic(slot.deadline());
    assert_eq!(fixture.groups.turn_at(0, GroupShard::fire_next).map(|_| ()), Err(ErrorCode::NotCoordinator));
    assert_eq!(slot.deadline(), shards::NO_DEADLINE);
    assert_eq!(ended(waiting), ErrorCode::NotCoordinator);
}
