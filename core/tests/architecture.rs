//! The arrows between the crates, and where `unsafe` may stand.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What each package of the workspace depends on, without what only its tests need.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let of_package = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.filter(|dependency| dependency["kind"] != "dev").map(name).collect()
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (name(package), of_package(package)))
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let dependencies = dependencies();
    let ours_of = |package: &str| -> Vec<&str> {
        let all = dependencies[package].iter().map(String::as_str);
        all.filter(|name| dependencies.contains_key(*name)).collect()
    };
    assert_eq!(ours_of("fluxmq"), ["fluxmq-coordinator", "fluxmq-protocol", "fluxmq-storage"]);
    assert_eq!(ours_of("fluxmq-coordinator"), ["fluxmq-protocol"]);
    assert_eq!(ours_of("fluxmq-storage"), [""; 0]);
    assert_eq!(ours_of("fluxmq-protocol"), [""; 0]);
    for package in ["fluxmq-storage", "fluxmq-protocol", "fluxmq-coordinator"] {
        for runtime in ["tokio", "futures-util", "axum"] {
            assert!(!dependencies[package].contains(runtime), "{package} depends on {runtime}");
        }
    }
    let naming_kafka_protocol: Vec<&str> = dependencies
        .iter()
        .filter(|(_, dependencies)| dependencies.contains("kafka-protocol"))
        .map(|(package, _)| package.as_str())
        .collect();
    assert_eq!(naming_kafka_protocol, ["fluxmq-protocol"]);
}

fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn unsafe_stands_in_one_file() {
    let root = root();
    let mut files = Vec::new();
    for package in ["core", "core/coordinator", "protocol", "storage"] {
        rust_files(&root.join(package).join("src"), &mut files);
    }
    assert!(files.len() > 50, "found {} files only", files.len());
    let is_unsafe = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"]
            .iter()
            .any(|form| code.contains(form))
    };
    let with_unsafe: Vec<PathBuf> = files
        .iter()
        .filter(|path| std::fs::read_to_string(path).unwrap().lines().any(is_unsafe))
        .map(|path| path.strip_prefix(&root).unwrap().to_path_buf())
        .collect();
    assert_eq!(with_unsafe, [Path::new("storage/src/mmap.rs")]);
    for entry in ["core/src/lib.rs", "core/src/main.rs", "core/coordinator/src/lib.rs", "protocol/src/lib.rs"]
    {
        let text = std::fs::read_to_string(root.join(entry)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{entry} does not forbid unsafe code");
    }
}
