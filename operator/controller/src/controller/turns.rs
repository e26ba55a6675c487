//! Whose turn is it? Of all objects that are due the one that has been due for longest; each at most once at a time.
//!
//! ```text
//! event, or the time that a plan asked for -> due -> (a place is free) -> busy -> due again, where something came meanwhile
//! ```
//!
//! kube's own scheduler takes what is due from an unordered set, and its runner polls every pass whenever one of them wakes: a burst then has
//! a fine median and a last object that waits for all others, and its cost grows with the square. See docs/adr/0001-turns-by-age.md.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use tokio::time::Instant;

/// When something is due, and how many were asked for before it: of two that are due at one moment the first comes first.
type Place = (Instant, u64);

/// What is due when.
pub(super) struct Turns<K> {
    queue: BTreeMap<Place, K>,
    places: HashMap<K, Place>,
    /// Those under way, and when they are due again by what came since they began.
    busy: HashMap<K, Option<Instant>>,
    count: u64,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { queue: BTreeMap::new(), places: HashMap::new(), busy: HashMap::new(), count: 0 }
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Something is due at a moment, or earlier where it is already.
    pub(super) fn ask(&mut self, key: K, at: Instant) {
        if let Some(again) = self.busy.get_mut(&key) {
            *again = Some(again.map_or(at, |known| known.min(at)));
            return;
        }
        match self.places.get(&key) {
            Some((known, _)) if *known <= at => return,
            Some(place) => drop(self.queue.remove(place)),
            None => {}
        }
        self.count += 1;
        self.places.insert(key.clone(), (at, self.count));
        self.queue.insert((at, self.count), key);
    }

    /// Begins with what has been due for longest.
    pub(super) fn begin(&mut self, now: Instant) -> Option<K> {
        let first = self.queue.first_entry().filter(|first| first.key().0 <= now)?;
        let key = first.remove();
        self.places.remove(&key);
        self.busy.insert(key.clone(), None);
        Some(key)
    }

    /// It is over; it is due again at a moment, or by what came meanwhile.
    pub(super) fn end(&mut self, key: K, at: Option<Instant>) {
        let again = self.busy.remove(&key).flatten();
        if let Some(at) = again.into_iter().chain(at).min() {
            self.ask(key, at);
        }
    }

    /// When the next one is due that is not under way.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Whether any is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn begun(turns: &mut Turns<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.begin(now)).collect()
    }

    #[test]
    fn who_has_been_due_for_longest_comes_first() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        turns.ask("late", at(9));
        turns.ask("second", at(2));
        turns.ask("third", at(2));
        turns.ask("first", at(5));
        turns.ask("first", at(1));
        turns.ask("first", at(7));
        assert_eq!(turns.next(), Some(at(1)));
        assert_eq!(begun(&mut turns, at(0)), [""; 0]);
        assert_eq!(begun(&mut turns, at(8)), ["first", "second", "third"]);
        assert_eq!(turns.next(), Some(at(9)));
    }

    #[test]
    fn what_comes_meanwhile_is_not_lost_and_begins_nothing_twice() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        turns.ask("a", at(0));
        assert_eq!(begun(&mut turns, at(0)), ["a"]);
        turns.ask("a", at(3));
        turns.ask("a", at(2));
        assert!(turns.is_busy() && turns.next().is_none() && begun(&mut turns, at(9)).is_empty());
        turns.end("a", Some(at(60_000)));
        assert_eq!((turns.next(), turns.is_busy()), (Some(at(2)), false));
        assert_eq!(begun(&mut turns, at(2)), ["a"]);
        turns.end("a", None);
        assert_eq!(turns.next(), None, "and nobody looks again without a reason");
    }
}
