//! `fluxmq log` as a process: what it prints, and its exit codes.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use fluxmq_storage::batch::BatchBuilder;
use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log::{AppendContext, Log, LogConfig, LogEnv, OpenHint, WriteMode};
use fluxmq_storage::producer_state::{AppendOrigin, TransactionContext};

const NOW_MS: i64 = 1_700_000_000_000;
const LOG: &str = "00000000000000000000.log";

fn fluxmq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fluxmq"));
    command.arg("log").args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = fluxmq(args).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A log of batches of three records each.
fn write(dir: &Path, batches: usize) {
    std::fs::create_dir(dir).unwrap();
    let env = LogEnv::new(Arc::new(RealFs), None);
    let hint = OpenHint { clean: true, recovery_point: 0, log_start_offset: 0, now_ms: NOW_MS };
    let (log, _) = Log::open(dir, LogConfig::default(), env, hint).unwrap();
    for i in 0..batches {
        let batch = BatchBuilder::new()
            .record(NOW_MS + i as i64, Some(b"key"), Some(b"\xff\x01"))
            .record(NOW_MS, None, Some("v\u{e4}lue\n".as_bytes()))
            .record(NOW_MS, Some(b"gone"), None);
        let context = AppendContext {
            leader_epoch: 2,
            now_ms: NOW_MS,
            mode: WriteMode::Plain,
            origin: AppendOrigin::Client,
            transaction: TransactionContext::NONE,
        };
        log.append(&batch.build(), context).unwrap();
    }
    log.close().unwrap();
}

#[test]
fn dump_prints_batches_and_records() {
    let data = tempfile::tempdir().unwrap();
    let partition = data.path().join("t-0");
    write(&partition, 2);
    let log = partition.join(LOG);
    let (code, out, err) = run(&["dump", log.to_str().unwrap(), "--records", "--offsets", "3..5"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 5, "{out}");
    assert_eq!(lines[0], [log.to_str().unwrap()]);
    assert_eq!(lines[2][..3], ["3", "5", "3"]);
    assert_eq!(lines[2][5..10], ["none", "CreateTime", "2023-11-14T22:13:20.001Z", "1700000000001", "2"]);
    assert_eq!(lines[2][10..], ["-", "-", "-", "ok"]);
    let key_and_value = |line: &[&str]| (line[5].to_owned(), line[7].to_owned());
    assert_eq!(key_and_value(&lines[3]), ("\"key\"".into(), "0xff01".into()));
    assert_eq!(key_and_value(&lines[4]), ("null".into(), "\"v\u{e4}lue\\n\"".into()));

    let (code, out, _) = run(&["dump", partition.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    for name in [LOG, ".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint"] {
        assert!(out.lines().any(|line| line.ends_with(name)), "{name}: {out}");
    }
}

#[test]
fn dump_ends_quietly_when_nobody_reads_on() {
    let data = tempfile::tempdir().unwrap();
    let partition = data.path().join("t-0");
    write(&partition, 5000);
    let mut child = fluxmq(&["dump", "--records", partition.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.trim_end().ends_with(LOG), "{line}");
    drop(out);
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn verify_tells_by_its_exit_code() {
    let data = tempfile::tempdir().unwrap();
    let partition = data.path().join("t-0");
    write(&partition, 4);
    for path in [data.path(), &partition] {
        let (code, out, err) = run(&["verify", path.to_str().unwrap()]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let summary = out.lines().last().unwrap();
        assert!(summary.starts_with("partitions 1, segments 1, batches 4, records 12, bytes "), "{summary}");
        assert!(summary.ends_with("findings 0"), "{summary}");
    }
    let log = partition.join(LOG);
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[80] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let (code, out, _) = run(&["verify", data.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    let line = out.lines().find(|line| line.contains(" position 0: batch has CRC 0x")).unwrap();
    assert!(line.ends_with("; the next start cuts the log here"), "{line}");
    assert!(out.lines().last().unwrap().ends_with("findings 1"), "{out}");
}

#[test]
fn what_cannot_be_read_is_said_and_is_exit_code_2() {
    let data = tempfile::tempdir().unwrap();
    let empty = data.path().to_str().unwrap();
    for args in [
        &["verify", empty][..],
        &["verify", "/nonexistent/t-0"],
        &["verify"],
        &["dump"],
        &["dump", "/nonexistent/t-0"],
        &["dump", empty],
        &["dump", "--offsets", "7..3", empty],
    ] {
        let (code, _, err) = run(args);
        assert_eq!(code, Some(2), "{args:?}");
        assert!(!err.is_empty() && !err.contains("panicked"), "{args:?} {err}");
    }
}
