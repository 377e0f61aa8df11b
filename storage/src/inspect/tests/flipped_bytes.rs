//! A byte changes, anywhere.

use super::*;
use crate::inspect::FileKind;
use crate::leader_epochs::LeaderEpochs;
use crate::offset_index::OffsetPosition;
use proptest::prelude::*;
use std::sync::LazyLock;

static WRITTEN: LazyLock<Written> = LazyLock::new(|| written(12));

/// Whether nothing tells that this byte is another, as the top of `verify` has it.
fn is_uncovered(path: &Path, at: usize, before: &[u8], after: &[u8]) -> bool {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    match FileKind::of(path) {
        // A search that starts at an earlier batch finds the same.
        Some(FileKind::OffsetIndex(_)) => {
            let entry = |bytes: &[u8]| OffsetPosition::parse(&bytes[at / 8 * 8..]);
            let (before, after) = (entry(before), entry(after));
            after.relative_offset >= before.relative_offset && after.position <= before.position
        }
        // The batch has the timestamp, and no other byte says which of its offsets.
        Some(FileKind::TimeIndex(_)) => at % 12 >= 8,
        // First offset and last stable offset may be lower than what the batches say.
        Some(FileKind::TxnIndex(_)) => {
            ((10..18).contains(&(at % 34)) || at % 34 >= 26) && after[at] < before[at]
        }
        // Another white space is no other entry.
        Some(FileKind::LeaderEpochs) => {
            let parsed = |bytes| LeaderEpochs::parse(&text(bytes)?).ok();
            parsed(before) == parsed(after)
        }
        Some(FileKind::Checkpoint(_) | FileKind::PartitionMetadata) | None => true,
        Some(FileKind::Segment(_) | FileKind::Snapshot(_)) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn is_found_unless_nothing_covers_it(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), mask in 1u8..) {
        let mut files = WRITTEN.files("");
        files.extend(files_of(WRITTEN.dir.path(), "").into_iter().filter(|path| path.is_file()));
        files.retain(|path| path.metadata().unwrap().len() > 0);
        let path = file.get(&files);
        let before = std::fs::read(path).unwrap();
        let at = at.index(before.len());
        let mut after = before.clone();
        after[at] ^= mask;
        std::fs::write(path, &after).unwrap();
        let found = damage(WRITTEN.dir.path());
        let shown = super::dumping::shown(&WRITTEN.partition());
        std::fs::write(path, &before).unwrap();
        prop_assert!(shown > 0);
        prop_assert!(
            !found.is_empty() || is_uncovered(path, at, &before, &after),
            "{} at {at}: {:#x} is {:#x}", path.display(), before[at], after[at]
        );
    }
}
