//! Logs as the broker writes them, looked at whole and damaged.

mod dumping;
mod flipped_bytes;
mod verifying;

use super::verify::{Finding, Observer, Totals, VerifyError, verify};
use crate::batch::{
    BatchBuilder, BatchRules, CheckedBatch, CompressionRule, ControlMarker, RecordHeader, convert,
    end_transaction_marker,
};
use crate::checkpoint::write_offsets;
use crate::codec::Codec;
use crate::fs::RealFs;
use crate::log::{AppendContext, Log, LogConfig, LogEnv, OpenHint, WriteMode};
use crate::log_dir::{LogDir, OffsetCheckpoint, PARTITION_METADATA};
use crate::producer_state::{AppendOrigin, TransactionContext};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use uuid::Uuid;

const NOW_MS: i64 = 1_700_000_000_000;

/// A log directory with one partition, `t-0`.
struct Written {
    dir: TempDir,
    batches: u64,
    records: u64,
    end: i64,
}

impl Written {
    fn partition(&self) -> PathBuf {
        self.dir.path().join("t-0")
    }

    /// The files of the partition with this ending, by name.
    fn files(&self, suffix: &str) -> Vec<PathBuf> {
        files_of(&self.partition(), suffix)
    }

    /// Changes a file.
    fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }

    fn unmark(&self) {
        std::fs::remove_file(self.dir.path().join(crate::log_dir::CLEAN_SHUTDOWN_FILE)).unwrap();
    }
}

fn files_of(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
    files.sort();
    files
}

/// Writes batches of all codecs, some of them in transactions that end either way, over several segments and two leader
/// epochs. The last transaction is aborted.
struct Writer<'a> {
    log: &'a Log,
    leader_epoch: i32,
    batches: u64,
    records: u64,
    sequences: BTreeMap<i64, i32>,
}

impl Writer<'_> {
    fn context(&self, origin: AppendOrigin, transaction: TransactionContext) -> AppendContext {
        let leader_epoch = self.leader_epoch;
        AppendContext { leader_epoch, now_ms: NOW_MS, mode: WriteMode::Plain, origin, transaction }
    }

    fn batch(&mut self, codec: Codec, producer: Option<i64>, records: usize) -> CheckedBatch {
        let mut builder = BatchBuilder::new();
        if let Some(producer) = producer {
            let sequence = self.sequences.entry(producer).or_default();
            builder = builder.producer(producer, 0, *sequence).transactional();
            *sequence += records as i32;
        }
        for i in 0..records {
            let timestamp = NOW_MS + self.batches as i64 * 10 + i as i64;
            let header = RecordHeader { key: b"h", value: Some(b"x") };
            builder.push(timestamp, Some(format!("k{i}").as_bytes()), Some(&[i as u8; 120]), &[header]);
        }
        let compression = CompressionRule::Codec { codec, level: None };
        convert(&builder.build(), &BatchRules { compression, ..BatchRules::defaults(NOW_MS) }).unwrap()
    }

    fn append(&mut self, codec: Codec, producer: Option<i64>, records: usize) {
        let batch = self.batch(codec, producer, records);
        let header = *batch.header();
        let mut transaction = TransactionContext::NONE;
        if let Some(producer) = producer {
            let (sequence, epoch) = (header.base_sequence, header.producer_epoch);
            let guard = self.log.maybe_start_verification(producer, sequence, epoch, false, NOW_MS).unwrap();
            transaction = TransactionContext { guard, ..transaction };
        }
        let context = self.context(AppendOrigin::Client, transaction);
        self.log.append(&batch, context).unwrap();
        self.batches += 1;
        self.records += records as u64;
    }

    fn end(&mut self, producer: i64, is_commit: bool) {
        let says = ControlMarker { is_commit, coordinator_epoch: 0 };
        let marker = end_transaction_marker(producer, 0, says, NOW_MS + self.batches as i64 * 10);
        let context = self.context(AppendOrigin::Coordinator, TransactionContext::NONE);
        self.log.append(&marker, context).unwrap();
        self.batches += 1;
        self.records += 1;
    }

    fn round(&mut self, round: i64) {
        for (codec, records) in Codec::ALL.into_iter().zip([1, 4, 3, 2, 5]) {
            self.append(codec, None, records);
        }
        self.append(Codec::None, Some(1), 2);
        self.append(Codec::Zstd, Some(2), 3);
        self.end(1, round % 2 == 0);
        self.append(Codec::Lz4, Some(2), 1);
        self.end(2, false);
    }
}

/// A log directory as a clean stop leaves it.
fn written(rounds: i64) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let log_dir = LogDir::open(dir.path(), Some("c"), 1, Arc::new(RealFs)).unwrap();
    let partition = log_dir.create_partition("t", Uuid::from_u128(7), 0).unwrap();
    assert!(partition.join(PARTITION_METADATA).exists());
    let config = LogConfig { segment_bytes: 8 << 10, index_interval_bytes: 600, ..LogConfig::default() };
    let env = LogEnv::new(Arc::new(RealFs), None);
    let hint = OpenHint { clean: true, recovery_point: 0, log_start_offset: 0, now_ms: NOW_MS };
    let (log, _) = Log::open(&partition, config, env, hint).unwrap();
    let mut writer =
        Writer { log: &log, leader_epoch: 3, batches: 0, records: 0, sequences: BTreeMap::new() };
    for round in 0..rounds {
        writer.leader_epoch = if round < rounds / 2 { 3 } else { 5 };
        writer.round(round);
    }
    let (batches, records) = (writer.batches, writer.records);
    let end = log.close().unwrap().offset;
    assert_eq!(log.recovery_point(), end);
    let offsets = [(("t".to_owned(), 0), end)].into();
    for checkpoint in [OffsetCheckpoint::RecoveryPoint, OffsetCheckpoint::Replication] {
        write_offsets(&dir.path().join(checkpoint.file_name()), &offsets).unwrap();
    }
    log_dir.mark_clean_shutdown().unwrap();
    Written { dir, batches, records, end }
}

/// Keeps what is found.
#[derive(Default)]
struct Kept(Vec<Finding>);

impl Observer for Kept {
    fn found(&mut self, finding: Finding) {
        self.0.push(finding);
    }
}

fn verified(path: &Path) -> Result<(Totals, Vec<Finding>), VerifyError> {
    let (mut totals, mut kept) = (Totals::default(), Kept::default());
    verify(path, &mut totals, &mut kept)?;
    Ok((totals, kept.0))
}

/// What is wrong, without the notes.
fn damage(path: &Path) -> Vec<Finding> {
    let mut findings = verified(path).unwrap().1;
    findings.retain(|finding| !finding.condition.is_note());
    findings
}
