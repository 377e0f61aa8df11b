//! The same clients at the same time as in Kafka's own coordinator: the same answers, the same records and the same
//! states. `java-tests/kafka/ClassicGroupCases.java` says how the cases are written.
//!
//! One difference: Kafka never answers a request that its client gave up by sending another. Here it is answered.

use std::collections::HashSet;
use std::str::SplitWhitespace;

use fluxmq_protocol::group_records::{GroupMetadataValue, GroupRecord};
use fluxmq_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

use super::*;

const CASES: &str = include_str!("../../../tests/data/classic_groups.txt");
const GROUP: &str = "group";

type Words<'a> = SplitWhitespace<'a>;

fn optional(words: &mut Words<'_>) -> Option<StrBytes> {
    match words.next().expect("a text") {
        "-" => None,
        "''" => Some(StrBytes::default()),
        word => Some(text(word)),
    }
}

fn required(words: &mut Words<'_>) -> StrBytes {
    optional(words).expect("a text that is not null")
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(words: &mut Words<'_>) -> T {
    words.next().expect("a number").parse().expect("a number")
}

fn bytes(hex: &str) -> Bytes {
    let digits = hex.trim_matches('\'');
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    match bytes.is_empty() {
        true => "''".to_owned(),
        false => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn show(text: Option<&StrBytes>) -> &str {
    match text.map(|text| &**text) {
        None => "-",
        Some("") => "''",
        Some(text) => text,
    }
}

fn list(mut words: Vec<String>) -> String {
    words.sort();
    if words.is_empty() { "[]".to_owned() } else { words.join(",") }
}

/// The parts of a list's items.
fn items(word: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    let items = word.split(',').filter(move |_| word != "[]");
    items.map(move |item| item.split_once(separator).expect("an item has two parts"))
}

struct Case {
    driver: Driver,
    /// The requests that Kafka answers.
    answered: HashSet<Token>,
    /// The state after the last step.
    last: String,
}

impl Case {
    fn new(lines: &[&str]) -> Self {
        let mut words = lines[0].split_whitespace();
        assert_eq!(words.next(), Some("group"));
        let config = GroupCoordinatorConfig { group_max_size: number(&mut words), ..config() };
        let answers = lines
            .iter()
            .filter_map(|line| line.split_once("ed "))
            .filter(|(kind, _)| ["join", "sync"].contains(kind));
        let answered = answers.map(|(_, rest)| Token(number(&mut rest.split_whitespace())));
        Case { driver: Driver::new(config), answered: answered.collect(), last: String::new() }
    }

    /// Does what happened, and gives what it led to as Kafka's program writes it.
    fn step(&mut self, line: &str) -> Vec<String> {
        let logged = self.driver.log.len();
        let mut words = line.split_whitespace();
        let codes = match words.next() {
            Some("join") => self.join(&mut words),
            Some("sync") => self.sync(&mut words),
            Some("beat") => Some(self.beat(&mut words)),
            Some("leave") => Some(self.leave(&mut words)),
            Some("commit") => Some(self.commit(&mut words)),
            Some("pass") => {
                self.driver.advance(number(&mut words));
                None
            }
            _ => panic!("{line}"),
        };
        let records = self.driver.records_since(logged).filter_map(|record| match record {
            GroupRecord::GroupMetadata(_, value) => value.map(|value| record_line(&value)),
            _ => None,
        });
        let mut lines: Vec<_> = records.collect();
        lines.extend(codes.map(|codes| format!("code {codes}")));
        lines.sort();
        lines.extend(self.answers());
        let state = self.state();
        let changed = state != self.last;
        lines.push(format!("state {}", if changed { &state } else { "same" }));
        self.last = state;
        lines
    }

    fn answers(&mut self) -> Vec<String> {
        let mut replies = std::mem::take(&mut self.driver.replies);
        replies.sort_by_key(|(token, _)| *token);
        let (expected, given_up): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|(token, _)| self.answered.contains(token));
        for (token, reply) in given_up {
            let error = match reply {
                Reply::JoinGroup(response) => code(response.error_code),
                Reply::SyncGroup(response) => code(response.error_code),
            };
            let told = [ErrorCode::RebalanceInProgress, ErrorCode::UnknownMemberId];
            assert!(told.contains(&error), "{token:?} was given up and answered {error}");
        }
        expected.into_iter().map(|(Token(number), reply)| reply_line(number, reply)).collect()
    }

    fn state(&self) -> String {
        let group = self.driver.shard.describe_groups(6, &[GroupId(text(GROUP))]).remove(0);
        let members = group.members.iter().map(|member| {
            let instance_id = show(member.group_instance_id.as_ref());
            let (metadata, assignment) = (hex(&member.member_metadata), hex(&member.member_assignment));
            format!("{}/{instance_id}/{metadata}/{assignment}", member.member_id)
        });
        let protocol = (show(Some(&group.protocol_type)), show(Some(&group.protocol_data)));
        format!("{} {} {} {}", group.group_state, protocol.0, protocol.1, list(members.collect()))
    }

    fn join(&mut self, words: &mut Words<'_>) -> Option<String> {
        let token = Token(number(words));
        let api_version = number(words);
        let fresh_id = optional(words).map_or(Uuid::nil(), |id| id.parse().expect("a UUID"));
        let requester =
            Requester { api_version, client_id: text("c"), client_host: text("/127.0.0.1"), fresh_id };
        let mut request = JoinGroupRequest::default().with_group_id(GroupId(text(GROUP)));
        request.member_id = required(words);
        request.group_instance_id = optional(words);
        request.session_timeout_ms = number(words);
        request.rebalance_timeout_ms = number(words);
        request.protocol_type = required(words);
        let protocols = items(words.next().expect("protocols"), ':');
        request.protocols = protocols
            .map(|(name, metadata)| {
                JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(bytes(metadata))
            })
            .collect();
        self.driver.turn(|shard, turn| shard.join_group(turn, &requester, request, token));
        None
    }

    fn sync(&mut self, words: &mut Words<'_>) -> Option<String> {
        let token = Token(number(words));
        let requester = crate::testing::requester(number(words));
        let mut request = SyncGroupRequest::default().with_group_id(GroupId(text(GROUP)));
        request.generation_id = number(words);
        request.member_id = required(words);
        request.group_instance_id = optional(words);
        request.protocol_type = optional(words);
        request.protocol_name = optional(words);
        let assignments = items(words.next().expect("assignments"), ':');
        request.assignments = assignments
            .map(|(member_id, assignment)| {
                SyncGroupRequestAssignment::default()
                    .with_member_id(text(member_id))
                    .with_assignment(bytes(assignment))
            })
            .collect();
        self.driver.turn(|shard, turn| shard.sync_group(turn, &requester, request, token));
        None
    }

    fn beat(&mut self, words: &mut Words<'_>) -> String {
        let mut request = HeartbeatRequest::default().with_group_id(GroupId(text(GROUP)));
        request.generation_id = number(words);
        request.member_id = required(words);
        request.group_instance_id = optional(words);
        self.driver.turn(|shard, turn| shard.heartbeat(turn, &request)).error_code.to_string()
    }

    fn leave(&mut self, words: &mut Words<'_>) -> String {
        let members = items(words.next().expect("members"), '/').map(|(member_id, instance_id)| {
            MemberIdentity::default()
                .with_member_id(required(&mut member_id.split_whitespace()))
                .with_group_instance_id(optional(&mut instance_id.split_whitespace()))
        });
        let request =
            LeaveGroupRequest::default().with_group_id(GroupId(text(GROUP))).with_members(members.collect());
        let requester = crate::testing::requester(5);
        let response = self.driver.turn(|shard, turn| shard.leave_group(turn, &requester, &request));
        let codes: Vec<_> = response.members.iter().map(|member| member.error_code.to_string()).collect();
        codes.join(",")
    }

    fn commit(&mut self, words: &mut Words<'_>) -> String {
        let mut request = OffsetCommitRequest::default().with_group_id(GroupId(text(GROUP)));
        request.generation_id_or_member_epoch = number(words);
        request.member_id = required(words);
        request.group_instance_id = optional(words);
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
        let topic = OffsetCommitRequestTopic::default().with_name(TopicName(text("t")));
        request.topics = vec![topic.with_partitions(vec![partition])];
        let requester = crate::testing::requester(9);
        let response = self.driver.turn(|shard, turn| shard.offset_commit(turn, &requester, &request));
        response.topics[0].partitions[0].error_code.to_string()
    }
}

fn record_line(value: &GroupMetadataValue) -> String {
    let members = value.members.iter().map(|member| {
        let timeouts = (member.rebalance_timeout, member.session_timeout);
        let (subscription, assignment) = (hex(&member.subscription), hex(&member.assignment));
        let instance_id = show(member.group_instance_id.as_ref());
        let who = format!("{}/{instance_id}/{}", member.member_id, member.client_id);
        format!("{who}/{}/{}/{subscription}/{assignment}", timeouts.0, timeouts.1)
    });
    let timestamp = match value.members.is_empty() {
        true => value.current_state_timestamp.to_string(),
        false => "-".to_owned(),
    };
    format!(
        "record {} {} {} {} {timestamp} {}",
        show(Some(&value.protocol_type)),
        value.generation,
        show(value.protocol.as_ref()),
        show(value.leader.as_ref()),
        list(members.collect()),
    )
}

fn reply_line(number: u64, reply: Reply) -> String {
    match reply {
        Reply::JoinGroup(response) => {
            let members = response.members.iter().map(|member| {
                let instance_id = show(member.group_instance_id.as_ref());
                format!("{}/{instance_id}/{}", member.member_id, hex(&member.metadata))
            });
            format!(
                "joined {number} {} {} {} {} {} {} {} {}",
                response.error_code,
                response.generation_id,
                show(response.protocol_type.as_ref()),
                show(response.protocol_name.as_ref()),
                show(Some(&response.leader)),
                show(Some(&response.member_id)),
                response.skip_assignment,
                list(members.collect()),
            )
        }
        Reply::SyncGroup(response) => format!(
            "synced {number} {} {} {} {}",
            response.error_code,
            show(response.protocol_type.as_ref()),
            show(response.protocol_name.as_ref()),
            hex(&response.assignment),
        ),
    }
}

fn happens(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    ["join", "sync", "beat", "leave", "commit", "pass"].contains(&word)
}

#[test]
fn groups_are_what_they_are_in_kafka() {
    let mut steps = 0;
    for (at, case) in CASES.split("\n\n").filter(|case| !case.trim().is_empty()).enumerate() {
        let lines: Vec<_> = case.lines().collect();
        let mut group = Case::new(&lines);
        let mut rest = &lines[1..];
        while let Some((line, after)) = rest.split_first() {
            let ends = after.iter().position(|line| happens(line)).unwrap_or(after.len());
            let mut expected: Vec<_> = after[..ends].iter().map(ToString::to_string).collect();
            // Codes and records first, in order; what clients are told of after that.
            let told =
                expected.iter().position(|line| !line.starts_with("code") && !line.starts_with("record"));
            expected[..told.expect("a state")].sort();
            let led_to = group.step(line);
            assert_eq!(led_to, expected, "group {at}, step {steps}: {line}");
            rest = &after[ends..];
            steps += 1;
        }
    }
    assert!(steps > 1_000, "{steps} steps");
}
