//! What goes wrong in a simulation? The fault classes of the test matrix, each drawn from the seed, each counted when it strikes.
//!
//! | class | what |
//! |---|---|
//! | F1, F2 | the operator is killed before a request arrives, or after it was carried out and before its reply; and again soon after |
//! | F3 | a write is carried out and its reply is lost |
//! | F4 | a write is refused: 409, 429, 500, 503, 403, 404, 413, 422 |
//! | F5 | an event of a watch comes twice, late, or never (history is compacted away) |
//! | F6 | a watch ends, gets 410, or stalls silently |
//! | F7 | after a restart lists and watches show a past moment for a while |
//! | F8 | two replicas, and the lease's requests are hit by all of the above |
//! | F12, F13 | third parties and edited status: see the script |

use crate::dice::Dice;
use gowindows_tests::fake_apiserver::{Call, Delivery, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Requests after which no first crash is drawn any more: about those of one life.
const LIFE: u64 = 160;

/// When the operator is killed, relative to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before it arrives.
    Before,
    /// After it was carried out, before the reply.
    Applied,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Fate {
    /// Nothing special.
    Passes,
    /// The sender dies.
    Kills,
    /// It is refused on the way.
    Refused(Refusal),
    /// Its connection breaks.
    Breaks,
}

/// The faults of one seed.
pub struct Faults {
    dice: Dice,
    on: bool,
    classes: BTreeSet<&'static str>,
    crashes: Mutex<Vec<(u64, Moment)>>,
    requests: AtomicU64,
    replies: AtomicU64,
    over: AtomicBool,
    struck: Mutex<BTreeMap<String, u64>>,
}

impl Faults {
    /// None at all: the reference.
    pub fn none(dice: Dice) -> Self {
        Self::with(dice, false)
    }

    /// Those of a seed: each class is on in a third of the seeds, a crash in most.
    pub fn of(dice: Dice) -> Self {
        Self::with(dice, true)
    }

    fn with(dice: Dice, on: bool) -> Self {
        let classes = ["F2", "F3", "F4", "F5", "F6", "F7", "F12", "F13"];
        let classes = classes.into_iter().filter(|class| on && dice.chance(class, 0, 330)).collect();
        let moment = if dice.chance("moment", 0, 500) { Moment::Before } else { Moment::Applied };
        let crash = (on && dice.chance("F1", 0, 900)).then(|| (dice.below("crash", 0, LIFE), moment));
        Self {
            dice,
            on,
            classes,
            crashes: Mutex::new(crash.into_iter().collect()),
            requests: AtomicU64::new(0),
            replies: AtomicU64::new(0),
            over: AtomicBool::new(false),
            struck: Mutex::default(),
        }
    }

    /// Whether a class is on in this seed.
    pub fn has(&self, class: &str) -> bool {
        self.classes.contains(class)
    }

    /// From here on nothing goes wrong any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// A fault struck.
    pub fn strike(&self, what: &str) {
        *self.struck.lock().unwrap_or_else(PoisonError::into_inner).entry(what.to_owned()).or_default() += 1;
    }

    /// What struck how often.
    pub fn struck(&self) -> BTreeMap<String, u64> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        !self.on || self.over.load(Ordering::Relaxed)
    }

    /// A request is about to arrive.
    pub fn send(&self, call: &Call) -> Fate {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if self.is_over() {
            return Fate::Passes;
        }
        if self.kills(number, Moment::Before) {
            return Fate::Kills;
        }
        if self.has("F4") && call.verb.writes() && self.dice.chance("refuse", number, 25) {
            let refusal = self.refusal(number);
            self.strike(&format!("F4 {}", refusal.code));
            return Fate::Refused(refusal);
        }
        if self.has("F6") && !call.verb.writes() && self.dice.chance("break", number, 25) {
            self.strike("F6 request broken");
            return Fate::Breaks;
        }
        Fate::Passes
    }

    /// A request was carried out: does the reply arrive, is it lost, or does its receiver die?
    pub fn reply(&self, call: &Call) -> Fate {
        let number = self.replies.fetch_add(1, Ordering::Relaxed);
        if self.is_over() {
            return Fate::Passes;
        }
        if self.kills(number, Moment::Applied) {
            return Fate::Kills;
        }
        if self.has("F3") && call.verb.writes() && self.dice.chance("lose", number, 40) {
            self.strike("F3 reply lost");
            return Fate::Breaks;
        }
        Fate::Passes
    }

    fn kills(&self, number: u64, moment: Moment) -> bool {
        let mut crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = crashes.iter().position(|crash| *crash == (number, moment)) else { return false };
        crashes.remove(index);
        if self.classes.contains("F2") && crashes.is_empty() && !self.struck().contains_key("F2 again") {
            crashes.push((number + 1 + self.dice.below("again", number, 10), moment));
            self.strike("F2 again");
        }
        drop(crashes);
        self.strike(match moment {
            Moment::Before => "F1 before",
            Moment::Applied => "F1 applied",
        });
        true
    }

    fn refusal(&self, number: u64) -> Refusal {
        let table = [
            (409, "Conflict"),
            (409, "AlreadyExists"),
            (429, "TooManyRequests"),
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (403, "Forbidden"),
            (404, "NotFound"),
            (413, "RequestEntityTooLarge"),
            (422, "Invalid"),
        ];
        let index = usize::try_from(self.dice.below("which", number, 9)).unwrap_or_default();
        let (code, reason) = table.get(index).copied().unwrap_or((500, "InternalError"));
        let retry_after = (code == 429).then_some(1);
        Refusal { retry_after, ..Refusal::new(code, reason, "the simulation refuses this") }
    }

    /// An event is about to be delivered: how, and how late. `None` as the delivery: history is compacted away under the watch.
    /// `number` is the event's own: watches are woken in no certain order.
    pub fn deliver(&self, number: u64) -> (Option<Delivery>, Duration) {
        let soon = Duration::from_millis(1 + self.dice.below("latency", number, 30));
        if self.is_over() {
            return (Some(Delivery::Once), soon);
        }
        let roll = self.dice.below("event", number, 1000);
        let strikes = |what| self.strike(what);
        match roll {
            0..=5 if self.has("F5") => {
                strikes("F5 twice");
                (Some(Delivery::Twice), soon)
            }
            6..=15 if self.has("F5") => {
                strikes("F5 late");
                (Some(Delivery::Once), Duration::from_secs(30))
            }
            16..=20 if self.has("F5") => {
                strikes("F5 never");
                (None, Duration::from_secs(self.dice.below("gap", number, 30)))
            }
            21..=26 if self.has("F6") => {
                strikes("F6 cut");
                (Some(Delivery::Cut), soon)
            }
            27..=30 if self.has("F6") => {
                strikes("F6 gone");
                (None, soon)
            }
            31..=32 if self.has("F6") => {
                strikes("F6 stall");
                (Some(Delivery::Cut), Duration::from_secs(400))
            }
            _ => (Some(Delivery::Once), soon),
        }
    }

    /// How far in the past a restarted operator's view is, in versions, and for how long.
    pub fn stale_view(&self, incarnation: u64) -> Option<(u64, Duration)> {
        if self.is_over() || !self.has("F7") {
            return None;
        }
        self.strike("F7 stale view");
        Some((1 + self.dice.below("past", incarnation, 15), Duration::from_secs(5 + self.dice.below("frozen", incarnation, 30))))
    }
}
