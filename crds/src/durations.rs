//! How does the status write durations? As Go does, in whole seconds, so that they can be read back by what reads the specification.

use k8s_openapi::jiff::SignedDuration;

/// A Go duration in whole seconds: `42s`, `3m5s`, `1h0m0s`. Negative ones, from clocks that disagree, are `0s`.
pub fn go_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The seconds of what [`go_duration`] has written.
pub fn seconds(duration: &str) -> Option<i64> {
    let mut rest = duration;
    let mut sum = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = (rest.get(..digits)?.parse::<i64>().ok()?, rest.get(digits..)?.chars().next()?);
        let unit = [('h', 3600), ('m', 60), ('s', 1)].into_iter().find(|(name, _)| *name == unit)?.1;
        sum += number.checked_mul(unit)?;
        rest = rest.get(digits + 1..)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let written = [-5, 0, 59, 185, 3600].map(|seconds| go_duration(SignedDuration::from_secs(seconds)));
        assert_eq!(written, ["0s", "0s", "59s", "3m5s", "1h0m0s"]);
        assert_eq!(written.map(|text| seconds(&text)), [0, 0, 59, 185, 3600].map(Some));
        assert_eq!(["1", "s", "1y", "9999999999999999999s"].map(seconds), [None; 4]);
    }
}
