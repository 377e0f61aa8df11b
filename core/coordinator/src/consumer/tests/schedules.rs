//! Random schedules: whatever members do, and whenever, no partition has two owners, the log says all there is, and a
//! group that is left alone comes to rest with everything assigned.

use proptest::prelude::*;

use super::*;
use crate::consumer::member::STATIC_LEAVE_EPOCH;

const TOPICS: [&str; 3] = ["foo", "bar", "baz"];
const REGEXES: [&str; 3] = ["", "ba.", "fo+|bar"];

#[derive(Clone, Debug)]
enum Step {
    Join(usize, usize),
    Beat(usize),
    /// It is answered, and doesn't hear it.
    Lost(usize),
    Subscribe(usize, usize),
    Leave(usize),
    LeaveForAWhile(usize),
    Grow(usize, i32),
    Delete(usize),
    Pass(i64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..4_usize, 1..24_usize).prop_map(|(member, topics)| Step::Join(member, topics)),
        8 => (0..4_usize).prop_map(Step::Beat),
        2 => (0..4_usize).prop_map(Step::Lost),
        2 => (0..4_usize, 1..24_usize).prop_map(|(member, topics)| Step::Subscribe(member, topics)),
        1 => (0..4_usize).prop_map(Step::Leave),
        1 => (0..4_usize).prop_map(Step::LeaveForAWhile),
        1 => (0..3_usize, 1..4_i32).prop_map(|(topic, by)| Step::Grow(topic, by)),
        1 => (0..3_usize).prop_map(Step::Delete),
        2 => (1..40_000_i64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// The topics of the lower three bits, and the regular expression of the upper ones.
fn subscribed(bits: usize, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest {
    let topics = TOPICS.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    let topics: Vec<_> = topics.map(|(_, topic)| *topic).collect();
    request
        .with_subscribed_topic_names(Some(names(&topics)))
        .with_subscribed_topic_regex(Some(text(REGEXES[bits >> 3])))
        .with_rebalance_timeout_ms(NEVER_MS)
}

/// Members 0 and 1 are static.
fn as_member(member: usize, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest {
    if member < 2 { request.with_instance_id(Some(text(&format!("instance-{member}")))) } else { request }
}

struct World {
    fixture: Fixture,
    consumers: [Option<Consumer>; 4],
    /// Whether the last answer reached the member. If not, it says everything again, and is told everything.
    is_heard: [bool; 4],
    subscribed: [usize; 4],
    incarnation: usize,
    next_topic: u128,
}

impl World {
    /// A heartbeat; a member that is refused starts over.
    fn send(&mut self, member: usize, request: &ConsumerGroupHeartbeatRequest, heard: bool) {
        let response = self.fixture.beat(request);
        if response.error_code != 0 {
            let known =
                [ErrorCode::UnknownMemberId, ErrorCode::FencedMemberEpoch, ErrorCode::FencedInstanceId];
            assert!(known.iter().any(|code| code.code() == response.error_code), "{response:?}");
            self.consumers[member] = None;
        } else if heard {
            self.consumers[member].as_mut().unwrap().take(&response);
        }
        self.is_heard[member] = heard;
    }

    fn join(&mut self, member: usize, topics: usize) {
        self.incarnation += 1;
        let id = format!("member-{member}-{}", self.incarnation);
        let response = self.fixture.beat(&as_member(member, subscribed(topics, join(&id, &[]))));
        if response.error_code == ErrorCode::UnreleasedInstanceId.code() {
            return;
        }
        let mut consumer = Consumer { id, epoch: 0, owned: Partitions::new() };
        consumer.take(&response);
        self.consumers[member] = Some(consumer);
        self.subscribed[member] = topics;
        self.is_heard[member] = true;
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join(member, topics) if self.consumers[member].is_none() => self.join(member, topics),
            Step::Join(member, _) | Step::Beat(member) | Step::Lost(member) | Step::Subscribe(member, _) => {
                let Some(consumer) = &self.consumers[member] else { return };
                let mut request = as_member(member, consumer.request());
                if let Step::Subscribe(_, topics) = *step {
                    self.subscribed[member] = topics;
                }
                if !self.is_heard[member] || matches!(step, Step::Subscribe(..)) {
                    request = subscribed(self.subscribed[member], request);
                }
                self.send(member, &request, !matches!(step, Step::Lost(_)));
            }
            Step::Leave(member) | Step::LeaveForAWhile(member) => {
                let Some(consumer) = self.consumers[member].take() else { return };
                let for_a_while = matches!(step, Step::LeaveForAWhile(_)) && member < 2;
                let epoch = if for_a_while { STATIC_LEAVE_EPOCH } else { -1 };
                self.fixture.beat(&as_member(member, request(&consumer.id, epoch)));
            }
            Step::Grow(topic, by) => {
                let topics = &mut self.fixture.driver.topics;
                let known = crate::turn::Topics::by_name(topics, TOPICS[topic]);
                let (id, partitions) =
                    known.map_or((self.next_topic, 0), |(id, count)| (id.as_u128(), count));
                self.next_topic += 1;
                topics.set(TOPICS[topic], id, (partitions + by).min(12));
            }
            Step::Delete(topic) => self.fixture.driver.topics.remove(TOPICS[topic]),
            Step::Pass(ms) => self.fixture.pass(ms),
            Step::Restart => self.fixture.driver.restart(),
        }
    }

    /// Everybody who is left does what it is told.
    fn rest(&mut self) {
        self.fixture.pass(1_000);
        let mut quiet = 0;
        for _ in 0..60 {
            let records = self.fixture.driver.log.len();
            for member in 0..4 {
                self.step(&Step::Beat(member));
            }
            self.fixture.pass(1_000);
            quiet = if self.fixture.driver.log.len() == records { quiet + 1 } else { 0 };
        }
        assert!(quiet > 3, "the group doesn't come to rest");
        let Some(group) = self.fixture.find() else { return };
        let live: Vec<_> = self.consumers.iter().flatten().collect();
        assert_eq!(group.members.len(), live.len(), "those who were not heard of are gone");
        if live.is_empty() {
            return;
        }
        assert_eq!(group.state(), ConsumerGroupState::Stable);
        let mut owned: BTreeMap<u128, Vec<i32>> = BTreeMap::new();
        for consumer in &live {
            for (topic, partitions) in &consumer.owned {
                owned.entry(*topic).or_default().extend(partitions);
            }
        }
        let topics = &self.fixture.driver.topics;
        let mut expected = BTreeMap::new();
        for name in group.subscriptions.topic_names() {
            if let Some((id, partitions)) = crate::turn::Topics::by_name(topics, name) {
                expected.insert(id.as_u128(), (0..partitions).collect::<Vec<_>>());
            }
        }
        owned.values_mut().for_each(|partitions| partitions.sort_unstable());
        assert_eq!(owned, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_members_do_the_group_stays_whole(steps in steps(), interval_ms in prop::sample::select(vec![0, 1_000])) {
        let fixture = Fixture::with(|config| config.consumer_assignment_interval_ms = interval_ms);
        let mut world = World {
            fixture,
            consumers: [const { None }; 4],
            is_heard: [true; 4],
            subscribed: [0; 4],
            incarnation: 0,
            next_topic: 100,
        };
        for step in &steps {
            world.step(step);
        }
        world.rest();
    }
}
