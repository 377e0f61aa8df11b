//! Deadlines by name. Nothing here knows the time: the owner asks what is due.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Deadlines in monotonic milliseconds, at most one for each key.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    by_deadline: BTreeSet<(i64, K)>,
    deadlines: HashMap<K, i64>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { by_deadline: BTreeSet::new(), deadlines: HashMap::new() }
    }
}

impl<K: Clone + Ord + Hash> Timers<K> {
    /// Sets the deadline of `key`, in place of the one it had.
    pub fn schedule(&mut self, key: K, deadline_ms: i64) {
        self.cancel(&key);
        self.by_deadline.insert((deadline_ms, key.clone()));
        self.deadlines.insert(key, deadline_ms);
    }

    /// Forgets the deadline of `key`; false if it had none.
    pub fn cancel(&mut self, key: &K) -> bool {
        match self.deadlines.remove_entry(key) {
            Some((key, deadline_ms)) => self.by_deadline.remove(&(deadline_ms, key)),
            None => false,
        }
    }

    /// The deadline of `key`.
    #[must_use]
    pub fn deadline(&self, key: &K) -> Option<i64> {
        self.deadlines.get(key).copied()
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        self.by_deadline.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Takes the key with the earliest deadline if that is not after `now_ms`.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<K> {
        if self.next_deadline()? > now_ms {
            return None;
        }
        let (_, key) = self.by_deadline.pop_first()?;
        self.deadlines.remove(&key);
        Some(key)
    }

    /// How many deadlines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;

    #[test]
    fn keys_come_when_they_are_due_and_once() {
        let mut timers = Timers::default();
        for (key, deadline_ms) in [("b", 20), ("a", 10), ("c", 30), ("b", 5)] {
            timers.schedule(key, deadline_ms);
        }
        assert_eq!((timers.len(), timers.next_deadline(), timers.deadline(&"b")), (3, Some(5), Some(5)));
        assert!(timers.cancel(&"a") && !timers.cancel(&"a"));
        assert_eq!(timers.pop_due(4), None);
        assert_eq!(timers.pop_due(30), Some("b"));
        assert_eq!(timers.pop_due(30), Some("c"));
        assert_eq!(timers.pop_due(i64::MAX), None);
        assert!(timers.is_empty());
    }
}
