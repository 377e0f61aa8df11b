//! Subscriptions by regular expression: what RE2J accepts is accepted, what it matches is matched, and what it refuses
//! is refused in its words.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use fluxmq_coordinator::consumer::regex::{RegexError, TopicPattern};

fn outcome(pattern: &str, names: &[&str]) -> String {
    match TopicPattern::compile(pattern) {
        Ok(compiled) => names.iter().map(|name| if compiled.matches(name) { '1' } else { '0' }).collect(),
        Err(error) => format!("!{error}"),
    }
}

/// The file comes from java-tests/kafka/TopicPatternCases.java, which runs RE2J. TOPIC_PATTERNS names another such file.
#[test]
fn patterns_mean_what_they_mean_to_kafka() {
    let text = match std::env::var("TOPIC_PATTERNS") {
        Ok(file) => std::fs::read_to_string(file).unwrap(),
        Err(_) => include_str!("data/topic_patterns.txt").to_owned(),
    };
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let mut wrong = Vec::new();
    let mut cases = 0;
    for line in lines {
        let (pattern, expected) = line.rsplit_once('\t').unwrap();
        let outcome = outcome(pattern, &names);
        if outcome != expected {
            wrong.push(format!("{pattern}\n  RE2J {expected}\n  ours {outcome}"));
        }
        cases += 1;
    }
    assert!(cases > 600, "{cases}");
    assert!(wrong.is_empty(), "{} of {cases} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_pattern_that_would_take_too_much_is_refused_at_once() {
    let nested_counts = "(((a{100}){100}){100}){100}".to_owned();
    let deep = format!("{}a{}", "(".repeat(30_000), ")".repeat(30_000));
    let repeated = format!("a{}", "*(?i)".repeat(6_000));
    for pattern in [nested_counts, deep, repeated] {
        let start = Instant::now();
        assert_eq!(TopicPattern::compile(&pattern).unwrap_err(), RegexError::TooLarge);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[test]
fn a_long_list_of_names_is_not_too_much() {
    let names: Vec<String> = (0..2_500).map(|n| format!("topic-{n:06}")).collect();
    let pattern = TopicPattern::compile(&names.join("|")).unwrap();
    assert!(names.iter().all(|name| pattern.matches(name)));
    assert!(!pattern.matches("topic-002500") && !pattern.matches("topic-0000010"));
}

#[test]
fn a_pattern_that_backtracking_would_never_end_with_ends() {
    let pattern = TopicPattern::compile("(a*)*(a|aa)+(a?){50}b").unwrap();
    let start = Instant::now();
    assert!(!pattern.matches(&"a".repeat(249)));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
