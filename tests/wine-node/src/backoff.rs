//! How long does a kubelet wait before it tries the same thing again?

use std::time::Duration;

/// Waiting times that double up to thirty times the first: 10 s, 20 s, 40 s ... 5 min, as a kubelet's.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with `first`: 10 s on a real node.
    pub fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// How long to wait this time.
    pub fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.longest());
        now
    }

    /// Begins anew when things went well for `time`, which must be twice the longest wait.
    pub fn went_well_for(&mut self, time: Duration) {
        if time > self.longest() * 2 {
            self.next = self.first;
        }
    }

    fn longest(&self) -> Duration {
        self.first * 30
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_begin_anew_after_ten_good_ones() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        let waits: Vec<_> = (0..7).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        backoff.went_well_for(Duration::from_secs(600));
        assert_eq!(backoff.next().as_secs(), 300);
        backoff.went_well_for(Duration::from_secs(601));
        assert_eq!(backoff.next().as_secs(), 10);
    }
}
