//! What a dump shows.

use super::*;
use crate::inspect::{DumpError, DumpOptions, Dumped, FileKind, Unreadable, dump};
use std::io;

/// Items that a dump with records has.
pub(super) fn shown(path: &Path) -> usize {
    let mut items = 0;
    let options = DumpOptions { records: true, ..DumpOptions::default() };
    dump(path, options, &mut |_| {
        items += 1;
        Ok(())
    })
    .unwrap();
    items
}

#[test]
fn all_batches_records_and_files_in_order() {
    let written = written(30);
    let (mut batches, mut offsets, mut aborts) = (Vec::new(), Vec::new(), 0);
    let mut kinds = Vec::new();
    let options = DumpOptions { records: true, ..DumpOptions::default() };
    let mut others = 0;
    dump(&written.partition(), options, &mut |item| {
        match item {
            Dumped::File(_, kind) => kinds.push(kind),
            Dumped::Batch(batch) => {
                assert_eq!(batch.computed_crc, batch.header.crc);
                assert_eq!(batch.marker.is_some(), batch.header.is_control());
                aborts += usize::from(batch.marker.is_some_and(|marker| !marker.is_commit));
                batches.push((batch.header.base_offset, batch.header.last_offset()));
            }
            Dumped::Record(record) => offsets.push(record.offset),
            Dumped::Unreadable(why) => panic!("{why}"),
            _ => others += 1,
        }
        Ok(())
    })
    .unwrap();
    assert_eq!((batches.len() as u64, offsets.len() as u64), (written.batches, written.records));
    assert!(batches.is_sorted() && offsets.iter().copied().eq(0..written.end));
    assert_eq!(aborts, 45);
    assert!(others > 50);
    assert_eq!(kinds.len(), written.files("").len());
    assert!(matches!(
        kinds[..4],
        [
            FileKind::Segment(0),
            FileKind::OffsetIndex(0),
            FileKind::TimeIndex(0),
            FileKind::TxnIndex(0) | FileKind::Segment(_)
        ]
    ));
    assert_eq!(kinds.last(), Some(&FileKind::PartitionMetadata));
}

#[test]
fn a_range_of_offsets_and_an_end_of_interest() {
    let written = written(10);
    let options = DumpOptions { records: true, from_offset: 20, to_offset: 25 };
    let (mut batches, mut offsets) = (Vec::new(), Vec::new());
    dump(&written.partition(), options, &mut |item| {
        match item {
            Dumped::Batch(batch) => batches.push(batch.header),
            Dumped::Record(record) => offsets.push(record.offset),
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(offsets, [20, 21, 22, 23, 24]);
    assert!(batches.iter().all(|batch| batch.last_offset() >= 20 && batch.base_offset < 25));
    let stopped = dump(&written.partition(), options, &mut |_| Err(io::ErrorKind::BrokenPipe.into()));
    assert!(matches!(stopped, Err(DumpError::Show(error)) if error.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn damage_is_shown_where_it_is() {
    let written = written(10);
    let log = written.files(".log").remove(0);
    let of = |path: &Path| {
        let mut last = None;
        let mut bad = 0;
        dump(path, DumpOptions { records: true, ..DumpOptions::default() }, &mut |item| {
            match item {
                Dumped::Batch(batch) => bad += usize::from(batch.computed_crc != batch.header.crc),
                Dumped::Unreadable(why) => last = Some(why),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        (bad, last)
    };
    written.change(&log, |bytes| bytes[70] ^= 1);
    assert!(matches!(of(&log), (1, None)));
    written.change(&log, |bytes| bytes.extend([0; 100]));
    assert!(matches!(of(&log), (1, Some(Unreadable::Stopped { .. }))));
    let snapshot = written.files(".snapshot").remove(0);
    written.change(&snapshot, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(matches!(of(&snapshot), (0, Some(Unreadable::Snapshot(_)))));
    let other = written.partition().join("other");
    std::fs::write(&other, "x").unwrap();
    let refused = dump(&other, DumpOptions::default(), &mut |_| Ok(()));
    assert!(matches!(refused, Err(DumpError::UnknownKind(_))));
}
