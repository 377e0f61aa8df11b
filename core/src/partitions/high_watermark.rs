//! The marks of one partition: durable end and high watermark.
//!
//! The log end is the log's own. This is the pure part: which mark moves on which event. `tests` hold it against
//! a model of every rule.

use fluxmq_storage::LogOffsetMetadata;

use crate::config::FlushPolicy;

/// What an appended batch waits for before consumers see it and its producer is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Nothing: seen and answered at the append, with everything before it.
    AtAppend,
    /// A sync that covers it.
    WhenDurable,
}

/// The acknowledgement a producer asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// `acks=0`: no answer at all.
    None,
    /// `acks=1`: an answer once the leader has it.
    Leader,
    /// `acks=all` (−1): an answer once it is as safe as the flush policy promises.
    All,
}

impl Acks {
    /// The acks of a Produce request; `None` for a number that Kafka refuses with `INVALID_REQUIRED_ACKS`.
    #[must_use]
    pub fn from_wire(acks: i16) -> Option<Acks> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

/// What an append under `policy` waits for.
///
/// `flush_due` says that this append brings the records since the last sync to `flush.messages`. Kafka syncs inside
/// that append, before it is answered; here it waits for the flusher, with the same promise. `never` is taken at its
/// word and ignores the count.
#[must_use]
pub fn visibility(policy: FlushPolicy, acks: Acks, flush_due: bool) -> Visibility {
    let durable = match policy {
        FlushPolicy::Always => true,
        FlushPolicy::Acks => acks == Acks::All || flush_due,
        FlushPolicy::Interval => flush_due,
        FlushPolicy::Never => false,
    };
    if durable { Visibility::WhenDurable } else { Visibility::AtAppend }
}

/// How far the high watermark moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Bytes of log between the old and the new mark; `i64::MAX` when they lie in different segments.
    pub bytes: i64,
}

/// Durable end and high watermark. Both only rise, in whatever order the events arrive.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    high_watermark: LogOffsetMetadata,
    durable_end: i64,
}

impl Marks {
    /// The marks of a log just opened: all that recovery kept is on disk and seen.
    #[must_use]
    pub fn recovered(log_end: LogOffsetMetadata) -> Self {
        Marks { high_watermark: log_end, durable_end: log_end.offset }
    }

    /// The offset after the last record that consumers may see.
    #[must_use]
    pub fn high_watermark(&self) -> LogOffsetMetadata {
        self.high_watermark
    }

    /// The offset after the last record that a sync has covered.
    #[must_use]
    pub fn durable_end(&self) -> i64 {
        self.durable_end
    }

    /// A batch was appended and ends at `end`. One that is seen at the append takes everything before it along,
    /// batches that wait for a sync included: their producers still wait, their records are no secret any more.
    pub fn appended(&mut self, end: LogOffsetMetadata, visibility: Visibility) -> Option<Advance> {
        match visibility {
            Visibility::AtAppend => self.raise(end),
            Visibility::WhenDurable => None,
        }
    }

    /// A sync covered everything before `end`.
    pub fn synced(&mut self, end: LogOffsetMetadata) -> Option<Advance> {
        self.durable_end = self.durable_end.max(end.offset);
        self.raise(end)
    }

    /// The offset below which the marker of a transaction counts under `policy`: no crash takes it back there, or the
    /// policy asks for no sync.
    #[must_use]
    pub fn markers_final_below(&self, policy: FlushPolicy) -> i64 {
        match policy {
            FlushPolicy::Acks | FlushPolicy::Always => self.durable_end,
            FlushPolicy::Interval | FlushPolicy::Never => self.high_watermark.offset,
        }
    }

    /// How far the high watermark lies beyond `seen`, which it once was.
    #[must_use]
    pub fn advance_since(&self, seen: LogOffsetMetadata) -> Option<Advance> {
        advance(seen, self.high_watermark)
    }

    fn raise(&mut self, to: LogOffsetMetadata) -> Option<Advance> {
        let advance = advance(self.high_watermark, to)?;
        self.high_watermark = to;
        Some(advance)
    }
}

/// How far a mark moved; `None` when it didn't.
pub(super) fn advance(from: LogOffsetMetadata, to: LogOffsetMetadata) -> Option<Advance> {
    if to.offset <= from.offset {
        return None;
    }
    let bytes = if to.segment_base_offset == from.segment_base_offset {
        i64::from(to.position) - i64::from(from.position)
    } else {
        i64::MAX
    };
    Some(Advance { bytes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(offset: i64) -> LogOffsetMetadata {
        LogOffsetMetadata {
            offset,
            segment_base_offset: offset / 100 * 100,
            position: u32::try_from(offset % 100 * 10).unwrap(),
        }
    }

    #[test]
    fn what_each_policy_waits_for() {
        use Visibility::{AtAppend, WhenDurable};
        let rows = [
            (FlushPolicy::Acks, Acks::None, false, AtAppend),
            (FlushPolicy::Acks, Acks::Leader, false, AtAppend),
            (FlushPolicy::Acks, Acks::All, false, WhenDurable),
            (FlushPolicy::Acks, Acks::Leader, true, WhenDurable),
            (FlushPolicy::Always, Acks::None, false, WhenDurable),
            (FlushPolicy::Always, Acks::Leader, false, WhenDurable),
            (FlushPolicy::Always, Acks::All, false, WhenDurable),
            (FlushPolicy::Interval, Acks::All, false, AtAppend),
            (FlushPolicy::Interval, Acks::Leader, true, WhenDurable),
            (FlushPolicy::Never, Acks::All, true, AtAppend),
        ];
        for (policy, acks, due, expected) in rows {
            assert_eq!(visibility(policy, acks, due), expected, "{policy:?} {acks:?} due={due}");
        }
    }

    #[test]
    fn a_batch_seen_at_once_takes_pending_ones_along() {
        let mut marks = Marks::recovered(at(0));
        assert_eq!(marks.appended(at(10), Visibility::WhenDurable), None);
        assert_eq!(marks.high_watermark().offset, 0);
        assert_eq!(marks.appended(at(15), Visibility::AtAppend), Some(Advance { bytes: 150 }));
        assert_eq!(marks.high_watermark().offset, 15);
        assert_eq!(marks.durable_end(), 0, "seen is not durable");
        assert_eq!(marks.synced(at(10)), None);
        assert_eq!((marks.durable_end(), marks.high_watermark().offset), (10, 15));
    }

    proptest! {
        /// Appends and syncs in any order, the appends' bookkeeping itself out of order: the high watermark is
        /// always the larger of the durable end and the end of the last batch that waits for nothing.
        #[test]
        fn marks_follow_the_rules(events in prop::collection::vec((0..3u8, 1..30i64), 1..200)) {
            let mut marks = Marks::recovered(at(0));
            let (mut end, mut durable, mut at_once) = (0, 0, 0);
            let mut late: Option<(i64, Visibility)> = None;
            for (kind, n) in events {
                match kind {
                    0 => { durable = durable.max((end - n).max(0)); marks.synced(at(durable)); }
                    kind => {
                        end += n;
                        let visibility = if kind == 1 { Visibility::AtAppend } else { Visibility::WhenDurable };
                        // Every other append reports after the one that follows it, as two threads may.
                        if let Some((e, v)) = late.take() {
                            marks.appended(at(end), visibility);
                            marks.appended(at(e), v);
                            for (e, v) in [(end, visibility), (e, v)] {
                                if v == Visibility::AtAppend { at_once = at_once.max(e); }
                            }
                        } else {
                            late = Some((end, visibility));
                        }
                    }
                }
                prop_assert_eq!(marks.high_watermark(), at(durable.max(at_once)));
                prop_assert_eq!(marks.durable_end(), durable);
            }
        }
    }
}
