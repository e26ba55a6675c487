//! What do the compile flags save? Measured once for each Go release, on a small web server, and kept as data.
//!
//! `savings.json` is written by `bench_image --write`, which documents it too (docs/benchmarks.md). The build only looks it up: to measure
//! it for every program would mean to compile each one twice. A release that it does not know has nothing to say.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static MEASURED: LazyLock<Savings> = LazyLock::new(|| serde_json::from_str(include_str!("savings.json")).unwrap_or_default());

/// By Go release, `1.26`: the program with each set of flags, none at first and the operator's at last.
pub type Savings = BTreeMap<String, Vec<Variant>>;

/// The program, compiled with some flags.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// As they are given to `go build`.
    pub flags: String,
    /// Bytes of the program.
    pub bytes: u64,
    /// Bytes of it compressed with gzip, at the default level of its day.
    pub gzip: u64,
}

/// `1.26` of `go1.26.8`, also with experiments.
pub fn release(go_version: &str) -> Option<String> {
    let mut parts = go_version.strip_prefix("go").unwrap_or(go_version).split(['.', ' ', '-']);
    let (major, minor) = (parts.next()?, parts.next()?);
    let minor = minor.split(|letter: char| !letter.is_ascii_digit()).next().filter(|digits| !digits.is_empty())?;
    major.parse::<u32>().ok().map(|major| format!("{major}.{minor}"))
}

/// What the operator's flags save with this compiler, in a sentence; none where it was not measured.
pub fn sentence(go_version: &str) -> Option<String> {
    told(&MEASURED, go_version)
}

fn told(measured: &Savings, go_version: &str) -> Option<String> {
    let release = release(go_version)?;
    let (first, last) = measured.get(&release).and_then(|variants| Some((variants.first()?, variants.last()?)))?;
    let saved = |before: u64, after: u64| 100_u64.saturating_sub(after.saturating_mul(100) / before.max(1));
    let (bytes, gzip) = (saved(first.bytes, last.bytes), saved(first.gzip, last.gzip));
    Some(format!(
        "with Go {release} the compile flags make a small web server {bytes} % smaller, and its layer {gzip} % (docs/benchmarks.md)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(bytes: u64, gzip: u64) -> Variant {
        Variant { flags: String::new(), bytes, gzip }
    }

    #[test]
    fn a_release_that_was_measured_is_told() {
        let measured = Savings::from([("1.26".into(), vec![variant(200, 100), variant(150, 60), variant(140, 53)])]);
        let said = told(&measured, "go1.26.8 X:jsonv2").expect("a sentence");
        assert!(said.contains("30 % smaller") && said.contains("47 %") && said.contains("Go 1.26 "), "{said}");
        assert_eq!(told(&measured, "go1.27rc1"), None);
        assert_eq!(told(&measured, "devel"), None);
        let empty = Savings::from([("1.26".into(), vec![variant(0, 0)])]);
        assert!(told(&empty, "go1.26").is_some(), "nothing is divided by nothing");
    }

    #[test]
    fn releases_are_told_from_versions() {
        for (version, expected) in
            [("go1.26.8", Some("1.26")), ("1.26", Some("1.26")), ("go1.27rc1", Some("1.27")), ("devel go1.28-abc", None), ("go", None)]
        {
            assert_eq!(release(version).as_deref(), expected, "{version}");
        }
    }

    #[test]
    fn what_is_shipped_is_complete() {
        assert!(!MEASURED.is_empty());
        for (release, variants) in &*MEASURED {
            let (first, last) = (variants.first().expect("a variant"), variants.last().expect("a variant"));
            assert!(variants.len() > 2 && first.flags.is_empty(), "{release}");
            assert_eq!(last.flags, "-trimpath -tags timetzdata -ldflags='-s -w -buildid='", "{release}: the operator's flags");
            assert!(last.gzip < first.gzip && last.bytes < first.bytes, "{release}");
        }
    }
}
