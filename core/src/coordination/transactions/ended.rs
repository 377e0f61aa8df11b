//! Who waits for a transaction to be complete: Produce requests of its producer's next one (KIP-890), which come while the
//! markers are being written.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Transactional ids share this many places to wait at. Who is woken for another's asks the coordinator in vain.
const PLACES: usize = 1024;

/// Those who wait, by transactional id.
#[derive(Debug)]
pub(super) struct EndWaiters {
    places: Vec<Notify>,
    hasher: RandomState,
}

impl Default for EndWaiters {
    fn default() -> Self {
        let places = std::iter::repeat_with(Notify::new).take(PLACES).collect();
        EndWaiters { places, hasher: RandomState::new() }
    }
}

impl EndWaiters {
    /// Ends when a transaction of the id does after this call, or one of some other id.
    pub(super) fn wait(&self, transactional_id: &str) -> Notified<'_> {
        self.place(transactional_id).notified()
    }

    /// A transaction of the id is complete, or isn't ended here any more.
    pub(super) fn ended(&self, transactional_id: &str) {
        self.place(transactional_id).notify_waiters();
    }

    fn place(&self, transactional_id: &str) -> &Notify {
        let hash = self.hasher.hash_one(transactional_id);
        &self.places[(hash % PLACES as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn an_end_is_told_to_all_who_waited_before_it() {
        let waiters = EndWaiters::default();
        let (first, second) = (waiters.wait("id"), waiters.wait("id"));
        waiters.ended("id");
        let third = waiters.wait("id");
        assert!(first.now_or_never().is_some() && second.now_or_never().is_some());
        assert!(third.now_or_never().is_none());
    }
}
