//! Random schedules: whatever clients do, what is loaded is what is live, every request is answered once, and none
//! waits for ever.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Join { who: usize, version: i16, known: bool, protocols: usize },
    Sync { who: usize, generation: i32 },
    Heartbeat { who: usize },
    Leave { who: usize },
    Advance { ms: i64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..5_usize;
    prop_oneof![
        6 => (who.clone(), prop_oneof![Just(0_i16), Just(3), Just(5), Just(9)], prop::bool::weighted(0.8), 0..3_usize)
            .prop_map(|(who, version, known, protocols)| Step::Join { who, version, known, protocols }),
        5 => (who.clone(), prop_oneof![4 => Just(0), 1 => Just(-1)])
            .prop_map(|(who, generation)| Step::Sync { who, generation }),
        2 => who.clone().prop_map(|who| Step::Heartbeat { who }),
        1 => who.prop_map(|who| Step::Leave { who }),
        4 => prop_oneof![0..200_i64, 1_000..4_000_i64, 9_000..70_000_i64].prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::Restart),
    ]
}

/// Two of the five are static.
const INSTANCES: [Option<&str>; 5] = [None, None, None, Some("i"), Some("j")];
const PROTOCOLS: [&[(&str, &[u8])]; 3] = [
    &[("range", b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"), ("sticky", b"s")],
    &[("range", b"unreadable")],
    &[("sticky", b"s"), ("range", b"\0\0\0\0\0\0\xff\xff\xff\xff")],
];

/// What a client knows of itself.
#[derive(Default)]
struct Known {
    member_id: StrBytes,
    generation: i32,
}

struct Run {
    clients: Clients,
    known: [Known; 5],
    /// Which requests wait, and whose they are.
    waiting: BTreeMap<Token, usize>,
}

impl Run {
    fn step(&mut self, step: &Step) {
        let clients = &mut self.clients;
        match *step {
            Step::Join { who, version, known, protocols } => {
                let mut join = join().version(version).protocols(PROTOCOLS[protocols]);
                if known {
                    join = join.member(&self.known[who].member_id);
                }
                if let Some(instance_id) = INSTANCES[who].filter(|_| version >= 5) {
                    join = join.instance(instance_id);
                }
                let token = clients.join(join);
                self.waiting.insert(token, who);
            }
            Step::Sync { who, generation } => {
                let all: Vec<_> = self.known.iter().map(|known| known.member_id.clone()).collect();
                let assignments: Vec<_> = all.iter().map(|member_id| (member_id, &**member_id)).collect();
                let known = &self.known[who];
                let mut request = sync(known.generation + generation, &known.member_id, &assignments);
                (request.protocol_type, request.protocol_name) = (None, None);
                let token = clients.sync_in(4, request);
                self.waiting.insert(token, who);
            }
            Step::Heartbeat { who } => {
                let known = &self.known[who];
                clients.heartbeat(known.generation, &known.member_id);
            }
            Step::Leave { who } => drop(clients.leave(&[(&self.known[who].member_id, INSTANCES[who])])),
            Step::Advance { ms } => clients.advance(ms),
            Step::Restart => {
                self.take_replies();
                self.clients.driver.restart();
                // Who waits at a broker that stops is told by the driver.
                self.waiting.clear();
                self.clients.check();
            }
        }
        self.take_replies();
        self.check_counts();
    }

    fn take_replies(&mut self) {
        for (token, reply) in std::mem::take(&mut self.clients.driver.replies) {
            let who = self.waiting.remove(&token).expect("a reply to one that waits");
            if let Reply::JoinGroup(response) = reply {
                match code(response.error_code) {
                    ErrorCode::None | ErrorCode::MemberIdRequired => {
                        self.known[who] =
                            Known { member_id: response.member_id, generation: response.generation_id };
                    }
                    ErrorCode::UnknownMemberId => self.known[who] = Known::default(),
                    _ => {}
                }
            }
        }
    }

    fn check_counts(&self) {
        let Some(group) = classic(&self.clients.driver.shard, "g") else { return };
        // What the group counts and looks up follows from its members.
        let mut again = ClassicGroup::new(text("g"));
        group.members().for_each(|member| again.add(&text("consumer"), member.clone()));
        again.protocol_type = group.protocol_type.clone();
        again.protocol_name = group.protocol_name.clone();
        again.state = group.state;
        again.state_timestamp_ms = group.state_timestamp_ms;
        again.generation = group.generation;
        again.leader = group.leader.clone();
        again.subscribed_topics = group.subscribed_topics.clone();
        again.pending_join = group.pending_join.clone();
        again.pending_sync = group.pending_sync.clone();
        again.initial = group.initial;
        assert_eq!(&again, group);
        assert!(!group.is_empty() || group.members.is_empty());
        let leads = group.leader.as_ref().is_none_or(|leader| group.members.contains_key(leader));
        assert!(leads, "{:?} leads and is no member", group.leader);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_schedule_ends_well(steps in prop::collection::vec(step(), 1..60)) {
        let clients = Clients::new(GroupCoordinatorConfig { group_max_size: 4, ..config() });
        let mut run = Run { clients, known: Default::default(), waiting: BTreeMap::new() };
        for step in &steps {
            run.step(step);
        }
        // Nobody does anything any more: every wait ends, and the group too.
        run.step(&Step::Advance { ms: 20 * 60_000 });
        prop_assert!(run.waiting.is_empty(), "{:?} wait for ever", run.waiting);
        if let Some(group) = classic(&run.clients.driver.shard, "g") {
            prop_assert!(group.is_empty() && group.pending_join.is_empty());
        }
    }
}
