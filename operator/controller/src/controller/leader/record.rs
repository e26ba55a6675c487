//! What is to be done with the Lease as it was last seen? Pure: client-go's algorithm without its clock and client.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// Take the Lease, or renew it: write this.
    Write(LeaseSpec),
    /// Somebody else holds it.
    Wait {
        /// Who.
        holder: String,
        /// Until then at least, unless it is renewed or given back.
        remaining: Duration,
    },
}

/// What follows from the record that was last seen and the time, by the candidate's own clock, since it was seen to change.
/// Times in the record are for people: they come from clocks of other machines.
pub(super) fn next(seen: Option<(&LeaseSpec, Duration)>, identity: &str, seconds: i32, now: Timestamp) -> Next {
    let holder = seen.and_then(|(spec, _)| spec.holder_identity.as_deref()).unwrap_or_default();
    let mine = holder == identity;
    if let Some((spec, unchanged)) = seen.filter(|_| !mine && !holder.is_empty()) {
        let valid = Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(seconds)).unwrap_or_default());
        if unchanged < valid {
            return Next::Wait { holder: holder.to_owned(), remaining: valid.saturating_sub(unchanged) };
        }
    }
    let before = seen.map(|(spec, _)| spec.clone()).unwrap_or_default();
    let transitions = before.lease_transitions.unwrap_or_default();
    // A renewal that changed nothing would be none for those who watch: a clock that was set back must not end a leadership.
    let after = |before: MicroTime| before.0.checked_add(SignedDuration::from_micros(1)).unwrap_or(before.0);
    let renewed = before.renew_time.clone().filter(|_| mine).map_or(now, |before| now.max(after(before)));
    Next::Write(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(seconds),
        acquire_time: before.acquire_time.clone().filter(|_| mine).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(renewed)),
        lease_transitions: Some(if mine || seen.is_none() { transitions } else { transitions.saturating_add(1) }),
        ..before
    })
}

/// The record with which the holder gives the Lease back; `None` where it is not the holder.
pub(super) fn released(seen: &LeaseSpec, identity: &str, now: Timestamp) -> Option<LeaseSpec> {
    (seen.holder_identity.as_deref() == Some(identity)).then(|| LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..seen.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).expect("a time")
    }

    fn held(by: &str, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(by.into()),
            lease_duration_seconds: seconds,
            acquire_time: Some(MicroTime(at(-100))),
            renew_time: Some(MicroTime(at(-2))),
            lease_transitions: Some(6),
            ..LeaseSpec::default()
        }
    }

    /// A decision in one line: `write HOLDER, acquired, renewed, transitions` or `wait for HOLDER, seconds`.
    fn told(next: Next) -> String {
        let seconds = |time: &Option<MicroTime>| time.as_ref().map_or(0.0, |time| time.0.duration_since(at(0)).as_secs_f64());
        match next {
            Next::Wait { holder, remaining } => format!("wait for {holder}, {remaining:?}"),
            Next::Write(spec) => {
                assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some("me"), Some(15)));
                let (acquired, renewed) = (seconds(&spec.acquire_time), seconds(&spec.renew_time));
                format!("write {acquired}, {renewed}, {}", spec.lease_transitions.unwrap_or(-1))
            }
        }
    }

    /// A case, the record and the seconds since it changed, what follows.
    type Row<'a> = (&'a str, Option<(&'a LeaseSpec, f64)>, &'a str);

    #[test]
    fn what_follows_from_what_was_seen() {
        let empty = LeaseSpec::default();
        let future = LeaseSpec { renew_time: Some(MicroTime(at(90_000))), ..held("other", Some(15)) };
        let mine_of_the_future = LeaseSpec { renew_time: Some(MicroTime(at(90))), ..held("me", Some(15)) };
        let table: [Row<'_>; 14] = [
            ("no Lease", None, "write 0, 0, 0"),
            ("a Lease without a record", Some((&empty, 0.0)), "write 0, 0, 1"),
            ("given back", Some((&held("", Some(1)), 0.0)), "write 0, 0, 7"),
            ("mine", Some((&held("me", Some(15)), 2.0)), "write -100, 0, 6"),
            ("mine, not renewed for long", Some((&held("me", Some(15)), 100.0)), "write -100, 0, 6"),
            ("mine, and my clock was set back", Some((&mine_of_the_future, 2.0)), "write -100, 90.000001, 6"),
            ("another's, just seen", Some((&held("other", Some(15)), 0.0)), "wait for other, 15s"),
            ("another's, about to end", Some((&held("other", Some(15)), 14.5)), "wait for other, 500ms"),
            ("another's, ended", Some((&held("other", Some(15)), 15.0)), "write 0, 0, 7"),
            ("another's, for longer than mine would be", Some((&held("other", Some(60)), 15.0)), "wait for other, 45s"),
            ("another's, without a duration", Some((&held("other", None), 14.0)), "wait for other, 1s"),
            ("another's, of a negative duration", Some((&held("other", Some(-1)), 0.0)), "write 0, 0, 7"),
            ("another's, whose clock is a day ahead, just seen", Some((&future, 1.0)), "wait for other, 14s"),
            ("another's, whose clock is a day ahead, ended", Some((&future, 15.0)), "write 0, 0, 7"),
        ];
        for (case, seen, expected) in table {
            let seen = seen.map(|(spec, unchanged)| (spec, Duration::from_secs_f64(unchanged)));
            assert_eq!(told(next(seen, "me", 15, at(0))), expected, "{case}");
        }
    }

    #[test]
    fn only_the_holder_gives_back() {
        let given = released(&held("me", Some(15)), "me", at(0)).expect("the holder");
        assert_eq!((given.holder_identity.as_deref(), given.lease_duration_seconds), (Some(""), Some(1)));
        assert_eq!(given.lease_transitions, Some(6));
        for other in [held("other", Some(15)), held("", Some(1)), LeaseSpec::default()] {
            assert_eq!(released(&other, "me", at(0)), None);
        }
    }
}
