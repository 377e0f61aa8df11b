//! The members of one topic by load, while partitions move from the most loaded to the least loaded.

/// Hands out the least and the most loaded members of a set, one partition at a time, without sorting again.
///
/// `least` is the run of members at the front that all carry `least_load`, `most` the run at the back. Each run is
/// gone through once; then all in it carry one partition more (or one less), and the run takes in its neighbours that
/// carry as much.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    /// Members, by load at the start, then by place. Members without a partition to give leave `most` and stay here.
    sorted: Vec<usize>,
    least_end: usize,
    least_load: i64,
    least_next: usize,
    most_start: usize,
    most_end: usize,
    most_load: i64,
    /// One past the member that comes next from the back.
    most_next: usize,
}

impl Balancer {
    /// Starts over with the subscribers of a topic, ascending by place; returns the difference between the largest and
    /// the smallest load.
    pub(super) fn start(&mut self, subscribers: &[usize], loads: &[i64]) -> i64 {
        self.sorted.clear();
        self.sorted.extend_from_slice(subscribers);
        self.sorted.sort_by_key(|&member| loads[member]);
        let smallest = loads[self.sorted[0]];
        let largest = loads[self.sorted[self.sorted.len() - 1]];
        (self.least_end, self.least_load, self.least_next) = (0, smallest - 1, 0);
        self.most_start = self.sorted.len();
        self.most_end = self.sorted.len();
        self.most_next = self.sorted.len();
        self.most_load = largest + 1;
        largest - smallest
    }

    /// The member that is to get the next partition.
    pub(super) fn next_least_loaded(&mut self, loads: &[i64]) -> usize {
        if self.least_next >= self.least_end {
            self.least_load += 1;
            while self.sorted.get(self.least_end).is_some_and(|&member| loads[member] == self.least_load) {
                self.least_end += 1;
            }
            self.least_next = 0;
        }
        self.least_next += 1;
        self.sorted[self.least_next - 1]
    }

    /// The member that is to give up a partition; none when all were excluded.
    pub(super) fn next_most_loaded(&mut self, loads: &[i64]) -> Option<usize> {
        if self.most_next <= self.most_start {
            if self.most_end <= self.most_start && self.most_start > 0 {
                // Everyone in the run was excluded: go on with the next load below, however far it is.
                self.most_load = loads[self.sorted[self.most_start - 1]];
            } else {
                self.most_load -= 1;
            }
            while self.most_start > 0 && loads[self.sorted[self.most_start - 1]] == self.most_load {
                self.most_start -= 1;
            }
            self.most_next = self.most_end;
        }
        self.most_next = self.most_next.checked_sub(1)?;
        Some(self.sorted[self.most_next])
    }

    /// Takes the member that [`Balancer::next_most_loaded`] returned last out of the run: it has nothing to give.
    pub(super) fn exclude_most_loaded(&mut self) {
        self.most_end -= 1;
        self.sorted.swap(self.most_next, self.most_end);
    }

    /// Whether no move would make the loads more even.
    pub(super) fn is_balanced(&self) -> bool {
        self.most_load - self.least_load <= 1
    }
}
