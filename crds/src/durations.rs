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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let written = [-5, 0, 59, 185, 3600].map(|seconds| go_duration(SignedDuration::from_secs(seconds)));
        assert_eq!(written, ["0s", "0s", "59s", "3m5s", "1h0m0s"]);
    }
}
