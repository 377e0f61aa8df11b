//! A file system that fails on order.

use super::*;
use std::fs::File;
use std::io;
use std::sync::atomic::AtomicUsize;

#[derive(Debug, Default)]
struct FaultyFs {
    /// What the next write gives, after half of its bytes.
    write: Mutex<Option<io::ErrorKind>>,
    /// The disk is full for everything but the batches, of which a write has two parts.
    full_index: AtomicBool,
    /// There is no space for new files.
    full_directory: AtomicBool,
    fail_sync: AtomicBool,
    fail_sync_dir: AtomicBool,
    /// No file or directory can be opened.
    no_files: AtomicBool,
    no_allocate: AtomicBool,
    syncs: AtomicUsize,
}

impl Fs for FaultyFs {
    fn write_all_at(&self, file: &File, parts: &[&[u8]], position: u64) -> io::Result<()> {
        if let Some(kind) = self.write.lock().take() {
            let bytes = parts.concat();
            RealFs.write_all_at(file, &[&bytes[..bytes.len() / 2]], position)?;
            return Err(kind.into());
        }
        if parts.len() == 1 && self.full_index.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealFs.write_all_at(file, parts, position)
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        if self.full_directory.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealFs.create_new(path)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if self.fail_sync.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Other.into());
        }
        RealFs.sync_data(file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.no_files.load(Ordering::Relaxed) {
            return Err(rustix::io::Errno::MFILE.into());
        }
        if self.fail_sync_dir.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Other.into());
        }
        RealFs.sync_dir(dir)
    }

    fn allocate(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        if self.no_allocate.load(Ordering::Relaxed) {
            return Err(rustix::io::Errno::OPNOTSUPP.into());
        }
        RealFs.allocate(file, offset, len)
    }
}

fn faulty(dir: &Path) -> (Log, Arc<FaultyFs>) {
    let fs = Arc::new(FaultyFs::default());
    let env = env_with(fs.clone(), None);
    (Log::open(dir, small_segments(), env, hint(true, 0)).unwrap().0, fs)
}

#[test]
fn a_full_disk_refuses_the_batch_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fs) = faulty(dir.path());
    log.append(&batch(1, 100), context(WriteMode::Plain)).unwrap();
    let end = log.log_end();
    *fs.write.lock() = Some(io::ErrorKind::StorageFull);
    let refused = log.append(&batch(5, 900), context(WriteMode::Plain));
    assert!(matches!(refused, Err(AppendError::NoSpace(_))));
    assert_eq!(log.log_end(), end, "nothing of it is visible");
    let appended = log.append(&batch(2, 10), context(WriteMode::Plain)).unwrap();
    assert_eq!(appended.base_offset, end.offset);
    assert_eq!(read_all(&log), [(0, 0), (1, 2)]);
    drop(log);
    // What the refused batch left behind the end is no batch.
    let (log, recovered) = Log::open(dir.path(), small_segments(), plain_env(), hint(false, 0)).unwrap();
    assert!(recovered.cut.is_some());
    assert_eq!(read_all(&log), [(0, 0), (1, 2)]);
}

#[test]
fn a_disk_that_is_full_when_an_index_is_written_does_not_stop_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(FaultyFs::default());
    let env = env_with(fs.clone(), None);
    let config = LogConfig { index_interval_bytes: 0, ..LogConfig::default() };
    let (log, _) = Log::open(dir.path(), config.clone(), env, hint(true, 0)).unwrap();
    for _ in 0..1000 {
        // Every other write is the batch's own.
        fs.full_index.store(true, Ordering::Relaxed);
        log.append(&batch(1, 10), context(WriteMode::Plain)).unwrap();
    }
    fs.full_index.store(false, Ordering::Relaxed);
    for offset in [0, 1, 255, 256, 257, 600, 999] {
        assert_eq!(log.locate(offset).unwrap().offset, offset);
        assert!(log.read(offset, 10, log.log_end(), true).is_ok());
    }
    log.close().unwrap();
    drop(log);
    let (log, recovered) = Log::open(dir.path(), config, plain_env(), hint(true, 0)).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert_eq!(read_all(&log).len(), 1000);
}

#[test]
fn a_disk_that_is_full_when_aborted_transactions_are_written_takes_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(FaultyFs::default());
    let env = env_with(fs.clone(), None);
    let (log, _) = Log::open(dir.path(), LogConfig::default(), env, hint(true, 0)).unwrap();
    for sequence in 0..600 {
        fs.full_index.store((100..500).contains(&sequence), Ordering::Relaxed);
        transactions::send(&log, 1, sequence);
        transactions::end(&log, 1, false);
    }
    let expected = transactions::aborted(&log);
    assert_eq!(expected.len(), 600);
    log.close().unwrap();
    assert_eq!(transactions::aborted(&log), expected, "read from the file");
    let hint = hint(true, log.recovery_point());
    let (log, recovered) = Log::open(dir.path(), LogConfig::default(), plain_env(), hint).unwrap();
    assert_eq!((recovered, transactions::aborted(&log)), (Recovered::default(), expected));
}

#[test]
fn a_disk_that_is_full_does_not_stop_what_is_done_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fs) = faulty(dir.path());
    log.append(&batch(1, 100), context(WriteMode::Plain)).unwrap();
    let due_ms = NOW_MS + small_segments().segment_ms + 1;
    fs.full_directory.store(true, Ordering::Relaxed);
    assert!(!log.roll_if_due(due_ms).unwrap());
    fs.full_directory.store(false, Ordering::Relaxed);
    assert!(log.roll_if_due(due_ms).unwrap());
    log.append(&batch(1, 100), context(WriteMode::Plain)).unwrap();
    log.sync().unwrap();
    fs.full_index.store(true, Ordering::Relaxed);
    log.sync_sealed().unwrap();
    assert_eq!(log.recovery_point(), 0, "the rolled segment can't be finished yet");
    fs.full_index.store(false, Ordering::Relaxed);
    log.sync_sealed().unwrap();
    assert_eq!(log.recovery_point(), 1, "in the active segment, whose indexes are not on disk");
    assert!(dir.path().join("leader-epoch-checkpoint").exists());
}

#[test]
fn a_full_table_of_files_delays_a_sync_and_does_not_stop_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fs) = faulty(dir.path());
    for _ in 0..100 {
        log.append(&batch(1, 1000), context(WriteMode::Plain)).unwrap();
    }
    assert!(log.segment_count() > 3);
    fs.no_files.store(true, Ordering::Relaxed);
    assert_eq!(log.sync().unwrap().offset, 0, "the names of the new segments may not be on disk");
    log.sync_sealed().unwrap();
    assert_eq!(log.recovery_point(), 0);
    fs.no_files.store(false, Ordering::Relaxed);
    assert_eq!(log.sync().unwrap().offset, 100);
    assert_eq!(log.recovery_point(), 0, "nor those of their indexes");
    log.sync_sealed().unwrap();
    assert_eq!(log.recovery_point(), 99);
}

#[test]
fn a_failed_write_takes_the_log_offline() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fs) = faulty(dir.path());
    log.append(&batch(1, 100), context(WriteMode::Plain)).unwrap();
    *fs.write.lock() = Some(io::ErrorKind::Other);
    for _ in 0..2 {
        let refused = log.append(&batch(1, 10), context(WriteMode::Plain));
        assert!(matches!(refused, Err(AppendError::Offline(_))));
    }
    assert!(matches!(log.read(0, 1, log.log_end(), true), Err(ReadError::Offline(_))));
    assert_eq!(log.offline().unwrap().what, "appending to a segment");
}

#[test]
fn a_failed_sync_is_never_retried_into_a_success() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fs) = faulty(dir.path());
    log.append(&batch(1, 100), context(WriteMode::Plain)).unwrap();
    let durable = log.sync().unwrap();
    log.append(&batch(1, 100), context(WriteMode::Plain)).unwrap();
    fs.fail_sync.store(true, Ordering::Relaxed);
    assert!(log.sync().is_err());
    fs.fail_sync.store(false, Ordering::Relaxed);
    assert!(log.sync().is_err());
    assert!(log.close().is_err());
    assert_eq!(log.durable_end(), durable);
    assert_eq!(log.recovery_point(), durable.offset - 1);
}

#[test]
fn a_new_segment_isnt_durable_before_its_name_is() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fs) = faulty(dir.path());
    log.append(&batch(1, 100), context(WriteMode::Plain)).unwrap();
    fs.fail_sync_dir.store(true, Ordering::Relaxed);
    assert!(log.sync().is_err());
    assert_eq!(log.durable_end().offset, 0);
}

#[test]
fn a_sync_covers_rolled_segments_and_is_free_when_nothing_came() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fs) = faulty(dir.path());
    while log.segment_count() < 4 {
        log.append(&batch(1, 900), context(WriteMode::Plain)).unwrap();
    }
    let end = log.sync().unwrap();
    assert_eq!((end, log.durable_end()), (log.log_end(), log.log_end()));
    assert_eq!(fs.syncs.load(Ordering::Relaxed), 4);
    log.sync().unwrap();
    assert_eq!(fs.syncs.load(Ordering::Relaxed), 4);
    assert_eq!(log.recovery_point(), 0, "indexes and snapshots of rolled segments are not on disk yet");
    log.sync_sealed().unwrap();
    assert_eq!(log.recovery_point(), end.offset - 1);
}

#[test]
fn without_fallocate_the_log_is_written_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(FaultyFs::default());
    fs.no_allocate.store(true, Ordering::Relaxed);
    let preparer = Arc::new(ManualPreparer::default());
    let env = env_with(fs, Some(preparer.clone()));
    let (log, _) = Log::open(dir.path(), small_segments(), env, hint(true, 0)).unwrap();
    for _ in 0..100 {
        log.append(&batch(1, 300), context(WriteMode::Mapped)).unwrap();
        preparer.run();
    }
    assert!(log.inner.writer.lock().active.as_ref().unwrap().map.is_none());
    assert_eq!(read_all(&log).len(), 100);
    let end = log.log_end();
    let file = crate::fs::segment_path(dir.path(), end.segment_base_offset, crate::fs::LOG_SUFFIX);
    assert_eq!(file.metadata().unwrap().len(), u64::from(end.position));
}
