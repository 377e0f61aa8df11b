//! Which leader epoch a partition starts under.

/// The epoch for a partition that is opened at start-up, of the one last stored and the newest in its log.
///
/// After an unclean end the log may have lost records that a client has seen, so the epoch rises: a client that
/// asks where the old one ended (OffsetForLeaderEpoch) finds out. After a clean one nothing is lost and the
/// leadership goes on. An epoch in the log that was never stored came with the files, so it counts as used.
pub fn next(stored: i32, last_in_log: Option<i32>, unclean: bool) -> i32 {
    let used = last_in_log.map_or(stored, |last| last.max(stored));
    if unclean { used.saturating_add(1) } else { used }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn epochs_rise_after_a_crash_alone_and_never_fall() {
        for (stored, last_in_log, unclean, expected) in [
            (0, None, false, 0),
            (0, None, true, 1),
            (3, Some(3), false, 3),
            (3, Some(3), true, 4),
            (3, Some(1), false, 3),
            (3, Some(1), true, 4),
            (1, Some(7), false, 7),
            (1, Some(7), true, 8),
            (i32::MAX, None, true, i32::MAX),
        ] {
            assert_eq!(next(stored, last_in_log, unclean), expected, "{stored} {last_in_log:?} {unclean}");
        }
    }
}
