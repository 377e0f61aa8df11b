//! docs/apis.md is written from the dispatch table.
//!
//! `UPDATE_DOCS=1 cargo test -p fluxmq --test apis` writes the document anew.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use fluxmq::dispatch::TABLE;

const INTRODUCTION: &str = "\
# APIs

Every API and version that is served, with what exercises it. Written from the dispatch table in \
`core/src/dispatch.rs` by `UPDATE_DOCS=1 cargo test -p fluxmq --test apis`; ApiVersions answers from the same table.

A version outside of these ranges closes the connection, as in Apache Kafka 4; ApiVersions itself is answered in \
version 0 with UNSUPPORTED_VERSION and its own range. Where ApiVersions prints another range than what is served, \
it stands in brackets: Apache Kafka 4 prints 0 for Produce too, since older librdkafka would turn features off \
otherwise (KIP-896).

| key | API | versions | exercised by |
|---:|---|---|---|
";

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for api in TABLE {
        let printed = if api.advertised_min_version == api.min_version {
            String::new()
        } else {
            format!(" (prints {}–{})", api.advertised_min_version, api.max_version)
        };
        let versions = if api.min_version == api.max_version {
            api.min_version.to_string()
        } else {
            format!("{}–{}", api.min_version, api.max_version)
        };
        let key = api.key as i16;
        text += &format!("| {key} | {:?} | {versions}{printed} | {} |\n", api.key, api.exercised_by);
    }
    text
}

#[test]
fn the_document_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/apis.md");
    let document = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == document,
        "docs/apis.md is not what the table says; the first lines of this file say how to write it"
    );
}

#[test]
fn the_table_is_sorted_and_within_what_the_messages_have() {
    assert!(TABLE.windows(2).all(|pair| (pair[0].key as i16) < (pair[1].key as i16)));
    for api in TABLE {
        let known = api.key.valid_versions();
        assert!(api.min_version >= known.min && api.max_version <= known.max, "{:?}", api.key);
        assert!(api.min_version <= api.max_version, "{:?}", api.key);
        assert!(api.advertised_min_version <= api.min_version, "{:?}", api.key);
        assert!(!api.exercised_by.is_empty(), "{:?}", api.key);
    }
}
