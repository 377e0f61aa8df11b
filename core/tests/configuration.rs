//! docs/configuration.md is written from the tables of keys, and config/server.properties holds what it says.
//!
//! `UPDATE_DOCS=1 cargo test -p fluxmq --test configuration` writes the document anew.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use fluxmq::config::definition::{ConfigKey, Effect, ValidValues, broker_keys, group_keys, topic_keys};
use fluxmq::config::topic::server_synonyms;
use fluxmq::config::{BrokerConfig, Settings, properties};

const INTRODUCTION: &str = include_str!("configuration.md.in");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn default_of(key: &ConfigKey) -> String {
    match key.default.as_deref() {
        // It differs from machine to machine.
        _ if key.name == "num.network.threads" => "the number of cores".into(),
        None => "unset".into(),
        Some("") => "empty".into(),
        Some("9223372036854775807") => "2^63-1".into(),
        Some("2147483647") => "2^31-1".into(),
        Some(text) => format!("`{text}`"),
    }
}

fn allowed_of(key: &ConfigKey) -> String {
    let kind = key.kind.name();
    match &key.valid {
        ValidValues::Any => kind.to_owned(),
        ValidValues::Range(min, None) => format!("{kind}, {min} or more"),
        ValidValues::Range(min, Some(max)) => format!("{kind} from {min} to {max}"),
        ValidValues::RangeOrMinusOne(min, max) => format!("{kind} from {min} to {max}, or -1"),
        _ => format!("{kind}: {}", key.allowed()),
    }
}

fn row(key: &ConfigKey) -> String {
    let importance = format!("{:?}", key.importance).to_lowercase();
    let update = key.update.name();
    format!(
        "| `{}` | {} | {} | {importance}, {update} | {} |\n",
        key.name,
        default_of(key),
        allowed_of(key),
        key.summary
    )
}

fn table(title: &str, text: &str, keys: &[&ConfigKey]) -> String {
    let rows: String = keys.iter().map(|key| row(key)).collect();
    format!(
        "\n## {title}\n\n{text}\n\n| key | default | takes | importance, update mode | meaning |\n\
         |---|---|---|---|---|\n{rows}"
    )
}

fn document() -> String {
    let with_effect =
        |effect| broker_keys().iter().filter(move |key| key.effect == effect).collect::<Vec<_>>();
    let mut text = INTRODUCTION.to_owned();
    text += &table(
        "Keys that are applied",
        "Each is read at start; the update mode is what Kafka's tools are shown.",
        &with_effect(Effect::Used),
    );
    text += &table(
        "Keys that are accepted and not applied yet",
        "The values are read, checked and shown.",
        &with_effect(Effect::Later),
    );
    text += "\n## Keys of a topic\n\nEach takes its default from the broker's key beside it. They are set when a topic is \
             made, or at any time by `kafka-configs --alter --entity-type topics`.\n\n\
             | key | broker's key | default | takes | meaning |\n|---|---|---|---|---|\n";
    for key in topic_keys().iter().filter(|key| !key.internal) {
        let synonyms: Vec<String> =
            server_synonyms(key.name).iter().map(|name| format!("`{name}`")).collect();
        let (default, allowed, meaning) = (default_of(key), allowed_of(key), key.documentation());
        let synonyms = synonyms.join(", ");
        writeln!(text, "| `{}` | {synonyms} | {default} | {allowed} | {meaning} |", key.name).unwrap();
    }
    text += "\n## Keys of a group\n\nEach takes its default from the broker's key beside it, and lies between that key's \
             `min` and `max`. They are set at any time by `kafka-configs --alter --entity-type groups`, also for a group \
             that doesn't exist yet.\n\n| key | broker's key | default | takes | meaning |\n|---|---|---|---|---|\n";
    for key in group_keys().iter() {
        let (default, allowed, meaning) = (default_of(key), allowed_of(key), key.documentation());
        let of_broker = broker_keys().get(&format!("group.{}", key.name));
        let of_broker = of_broker.map_or_else(String::new, |key| format!("`{}`", key.name));
        writeln!(text, "| `{}` | {of_broker} | {default} | {allowed} | {meaning} |", key.name).unwrap();
    }
    text += "\n## Keys without effect\n\nKafka's other keys are read, checked and shown, so that a Kafka configuration can be \
             used as it is; there is nothing here that they could rule.\n";
    let mut by_reason: BTreeMap<&str, Vec<&ConfigKey>> = BTreeMap::new();
    for key in broker_keys().iter().filter(|key| !key.internal) {
        if let Effect::None(reason) = key.effect {
            by_reason.entry(reason).or_default().push(key);
        }
    }
    for (reason, keys) in by_reason {
        writeln!(text, "\n### Since {reason}\n\n| key | default | meaning |\n|---|---|---|").unwrap();
        for key in keys {
            writeln!(text, "| `{}` | {} | {} |", key.name, default_of(key), key.summary).unwrap();
        }
    }
    text
}

#[test]
fn the_document_is_current() {
    let path = root().join("docs/configuration.md");
    let current = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == current,
        "docs/configuration.md is not what the tables of keys say; run: UPDATE_DOCS=1 cargo test -p fluxmq --test configuration"
    );
}

#[test]
fn the_example_file_holds_the_defaults() {
    let mut settings = Settings::default();
    properties::read_file(&root().join("config/server.properties"), &mut settings).unwrap();
    assert!(settings.iter().count() > 10);
    for (name, setting) in settings.iter() {
        let key = broker_keys().get(name).unwrap_or_else(|| panic!("{name} is unknown"));
        let default = if name == "log.dirs" { Some("./fluxmq-data") } else { key.default.as_deref() };
        assert_eq!(Some(setting.text.as_str()), default, "{name}");
    }
    let config = BrokerConfig::from_settings(settings).unwrap();
    let defaults = BrokerConfig::from_settings(Settings::default()).unwrap();
    assert_eq!(config.listeners, defaults.listeners);
    assert_eq!(config.topic_defaults, defaults.topic_defaults);
    assert_eq!(config.log_dirs, defaults.log_dirs);
}
