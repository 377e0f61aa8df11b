//! The publish protocol under threads: whoever reads up to a published end sees whole batches, in order, and the
//! same bytes each time, whichever way they were written.

use super::*;
use crate::batch::HEADER_SIZE_BYTES;
use std::sync::mpsc;
use std::thread;

/// Runs tasks on a thread.
#[derive(Debug)]
struct ThreadPreparer {
    tasks: mpsc::Sender<PrepareTask>,
}

impl Preparer for ThreadPreparer {
    fn submit(&self, task: PrepareTask) {
        // The receiver goes with the test.
        let _ = self.tasks.send(task);
    }
}

fn follow(log: &Log, until_offset: i64, step_bytes: u32) -> i64 {
    let mut next = log.log_start_offset();
    let mut batches = 0;
    while next < until_offset {
        let end = log.log_end();
        let slice = match log.read(next, step_bytes, end, true) {
            Ok(slice) => slice,
            Err(ReadError::OffsetOutOfRange { log_start_offset, .. }) => {
                assert!(log_start_offset > next);
                next = log_start_offset;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        if slice.is_empty() {
            assert!(next >= end.offset, "nothing at {next} below {end:?}");
            thread::yield_now();
            continue;
        }
        let bytes = slice.to_vec().unwrap();
        let mut at = 0;
        loop {
            match verify_stored(&bytes[at..]) {
                Ok(header) => {
                    let starts =
                        if at == 0 { header.base_offset <= next } else { header.base_offset == next };
                    assert!(starts, "{} instead of {next}", header.base_offset);
                    next = header.next_offset();
                    at += header.size_in_bytes();
                    batches += 1;
                }
                // The slice may end inside a batch, but nowhere else.
                Err(error) => {
                    let left = bytes.len() - at;
                    let torn = left < HEADER_SIZE_BYTES
                        || matches!(error, crate::batch::StoredBatchError::Incomplete { .. });
                    assert!(torn, "{error} at {next}");
                    break;
                }
            }
        }
        assert!(at > 0, "no whole batch");
        assert_eq!(slice.to_vec().unwrap(), bytes, "published bytes changed");
    }
    batches
}

#[test]
fn readers_see_whole_batches_while_segments_come_and_go() {
    const BATCHES: i64 = 6000;
    let dir = tempfile::tempdir().unwrap();
    let (tasks, queue) = mpsc::channel::<PrepareTask>();
    let preparer = Arc::new(ThreadPreparer { tasks: tasks.clone() });
    let env = env_with(Arc::new(RealFs), Some(preparer));
    let config = LogConfig { segment_bytes: 512 << 10, ..LogConfig::default() };
    let (log, _) = Log::open(dir.path(), config.clone(), env, hint(true, 0)).unwrap();
    let records_of = |i: i64| 1 + (i % 3) as usize;
    let last: i64 = (0..BATCHES).map(|i| records_of(i) as i64).sum();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                if let Ok(task) = queue.recv_timeout(std::time::Duration::from_millis(5))
                    && let Some(more) = task.run()
                {
                    let _ = tasks.send(more);
                }
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let before = log.log_end();
                let durable = log.sync().unwrap();
                assert!(durable.offset >= before.offset);
                log.sync_sealed().unwrap();
                let start = log.log_end().offset - last / 4;
                if start > 0 {
                    log.advance_log_start_offset(start).unwrap();
                }
                log.drop_idle_map(NOW_MS, if durable.offset % 5 == 0 { 0 } else { 1 });
                thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let readers: Vec<_> = [1, 7000, 300_000]
            .map(|step| {
                scope.spawn({
                    let log = &log;
                    move || follow(log, last, step)
                })
            })
            .into();
        for i in 0..BATCHES {
            let mode = if (i / 50) % 4 == 3 { WriteMode::Plain } else { WriteMode::Mapped };
            let value_bytes = if i % 97 == 0 { 60_000 } else { (i % 13) as usize * 70 };
            log.append(&batch(records_of(i), value_bytes), context(mode)).unwrap();
        }
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(log.log_end().offset, last);
    assert!(log.offline().is_none());
    let start = log.log_start_offset();
    let expected = read_all(&log);
    log.close().unwrap();
    drop(log);
    let hint = OpenHint { log_start_offset: start, ..hint(true, last) };
    let (log, recovered) = Log::open(dir.path(), config, plain_env(), hint).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert_eq!(read_all(&log), expected);
}

/// What a reader of committed records must not pass: the first record whose transaction has no marker below
/// `final_below`, by the batches themselves.
fn first_undecided(log: &Log, final_below: i64) -> i64 {
    let mut open: Vec<(i64, i64)> = Vec::new(); // producer, first offset
    let (mut next, end) = (0, log.log_end());
    while next < end.offset {
        let bytes = log.read(next, 1 << 20, end, true).unwrap().to_vec().unwrap();
        let mut at = 0;
        while let Ok(header) = verify_stored(&bytes[at..]) {
            if header.is_control() && header.base_offset < final_below {
                open.retain(|(producer, _)| *producer != header.producer_id);
            } else if header.is_transactional() && !header.is_control() {
                open.push((header.producer_id, header.base_offset));
            }
            (at, next) = (at + header.size_in_bytes(), header.next_offset());
        }
    }
    open.iter().map(|(_, first)| *first).min().unwrap_or(end.offset)
}

#[test]
fn the_last_stable_offset_passes_no_undecided_record_while_appends_and_syncs_go_on() {
    const TRANSACTIONS: i32 = 400;
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), small_segments(), plain_env(), hint(true, 0)).unwrap();
    let done = AtomicBool::new(false);
    let checked = thread::scope(|scope| {
        let (log, done) = (&log, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                log.sync().unwrap();
                thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        let readers = [(); 2].map(|()| {
            scope.spawn(move || {
                let (mut checked, mut before) = (0, 0);
                while !done.load(Ordering::Acquire) {
                    let (durable, end) = (log.durable_end().offset, log.log_end().offset);
                    let first = log.first_unstable_offset(durable);
                    let stable = first.map_or(end, |first| first.offset.min(end));
                    assert!(stable >= before, "{stable} after {before}");
                    // Whatever was appended since is above the stable offset.
                    let undecided = first_undecided(log, log.durable_end().offset);
                    assert!(stable <= undecided, "{stable} passes {undecided}");
                    (before, checked) = (stable, checked + 1);
                }
                checked
            })
        });
        for sequence in 0..TRANSACTIONS {
            for producer in 1..4 {
                transactions::send(log, producer, sequence);
            }
            for producer in 1..4 {
                transactions::end(log, producer, (sequence + producer as i32) % 2 == 0);
            }
        }
        done.store(true, Ordering::Release);
        readers.map(|reader| reader.join().unwrap())
    });
    assert!(checked.iter().all(|checked| *checked > 0));
    assert_eq!(log.first_unstable_offset(log.sync().unwrap().offset), None);
}
