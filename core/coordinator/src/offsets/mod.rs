//! Committed offsets.

use fluxmq_protocol::group_records::{OffsetCommitKey, OffsetCommitValue};

use crate::shard::GroupShard;
use crate::turn::{Now, Turn};

/// The committed offsets of a shard's groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offsets {}

impl GroupShard {
    pub(crate) fn replay_offset_commit(
        &mut self,
        _now: Now,
        _key: OffsetCommitKey,
        _value: Option<OffsetCommitValue>,
    ) {
    }
    pub(crate) fn offsets_loaded(&mut self, _turn: &mut Turn<'_>) {}
    pub(crate) fn expire_offsets(&mut self, _turn: &mut Turn<'_>) {}
}
