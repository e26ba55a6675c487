//! Which manifest of an image does this Windows node take?
//!
//! The rule of containerd (`platforms/defaults_windows.go`, `platform_compat_windows.go`). The node's own
//! platform is major.minor.build; the fourth number never decides whether an image matches. Before Windows Server
//! 2022 (build 20348) the builds must be equal; from it on a host runs every build between 20348 and its own. An
//! image without `os.version` always matches. Among the matches containerd up to 2.0 takes the highest *fourth* number,
//! whatever the build (that is its order, not a slip); from 2.1 on the versions are compared as texts and the last one
//! is taken, which is the newest build.

use std::{cmp::Reverse, str::FromStr};

use anyhow::{Context, Error, Result};
use serde::Deserialize;

/// The first build with a stable ABI between host and process-isolated container.
const STABLE_ABI: u32 = 20348;

/// A version of Windows, such as 10.0.20348.5499. Numbers that are not written are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowsVersion {
    major: u32,
    minor: u32,
    build: u32,
    revision: u32,
}

impl FromStr for WindowsVersion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut numbers = text.split('.').map(str::parse::<u32>);
        let mut next = || numbers.next().unwrap_or(Ok(0)).with_context(|| format!("{text:?} is not a Windows version"));
        Ok(Self { major: next()?, minor: next()?, build: next()?, revision: next()? })
    }
}

impl WindowsVersion {
    /// The value of the label `node.kubernetes.io/windows-build`, such as `10.0.20348`.
    pub fn build_label(self) -> String {
        format!("{}.{}.{}", self.major, self.minor, self.build)
    }

    /// Whether a process-isolated container of version `container` runs on a host of this version.
    fn runs(self, container: Self) -> bool {
        (self.major, self.minor) == (container.major, container.minor)
            && if self.build < STABLE_ABI { self.build == container.build } else { (STABLE_ABI..=self.build).contains(&container.build) }
    }
}

/// The platform of a manifest, as an index or an image config states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// `windows`, or something that this node never runs.
    #[serde(default)]
    pub os: String,
    /// `amd64`, or something that this node never runs.
    #[serde(default)]
    pub architecture: String,
    /// Four parts, such as `10.0.20348.5499`.
    #[serde(default, rename = "os.version")]
    pub os_version: String,
}

impl Platform {
    /// Whether `host` runs an image of this platform.
    pub fn matches(&self, host: WindowsVersion) -> bool {
        self.os == "windows"
            && self.architecture == "amd64"
            && (self.os_version.is_empty() || self.os_version.parse().is_ok_and(|version| host.runs(version)))
    }
}

/// In which order a node's containerd takes the manifests that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// 1.6 to 2.0: the highest fourth number first.
    #[default]
    Revision,
    /// From 2.1 on: the last text first.
    Text,
}

impl Order {
    /// That of a version such as `1.7.20`.
    pub fn of_containerd(version: &str) -> Self {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        if (numbers.next(), numbers.next()) >= (Some(2), Some(1)) { Self::Text } else { Self::Revision }
    }
}

/// The candidate that containerd on `host` takes, if any matches.
pub fn choose<T>(host: WindowsVersion, order: Order, candidates: Vec<(Platform, T)>) -> Option<T> {
    let mut matching: Vec<_> = candidates.into_iter().filter(|(platform, _)| platform.matches(host)).collect();
    let revision = |platform: &Platform| platform.os_version.parse::<WindowsVersion>().unwrap_or_default().revision;
    match order {
        Order::Revision => matching.sort_by_key(|(platform, _)| Reverse(revision(platform))),
        Order::Text => matching.sort_by_key(|(platform, _)| Reverse(platform.os_version.clone())),
    }
    matching.into_iter().next().map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LTSC2019: &str = "10.0.17763.8389";
    const LTSC2022: &str = "10.0.20348.5499";
    const LTSC2025: &str = "10.0.26100.33296";

    fn windows(os_version: &str) -> Platform {
        Platform { os: "windows".into(), architecture: "amd64".into(), os_version: os_version.into() }
    }

    fn chosen(host: &str, offered: &[&'static str]) -> Option<&'static str> {
        chosen_by("1.7.20", host, offered)
    }

    fn chosen_by(containerd: &str, host: &str, offered: &[&'static str]) -> Option<&'static str> {
        choose(
            host.parse().unwrap(),
            Order::of_containerd(containerd),
            offered.iter().map(|version| (windows(version), *version)).collect(),
        )
    }

    #[test]
    fn a_host_runs_its_own_build_and_from_2022_on_the_older_ones_down_to_2022() {
        for (host, image, runs) in [
            (LTSC2022, LTSC2022, true),
            (LTSC2022, LTSC2019, false),
            (LTSC2022, LTSC2025, false),
            (LTSC2025, LTSC2022, true),
            (LTSC2025, LTSC2019, false),
            (LTSC2019, LTSC2019, true),
            (LTSC2019, LTSC2022, false),
            (LTSC2022, "10.0.20348", true),
            (LTSC2022, "10.0.20348.9999", true),
            (LTSC2022, "", true),
            (LTSC2022, "not.a.version", false),
        ] {
            assert_eq!(windows(image).matches(host.parse().unwrap()), runs, "{image} on {host}");
        }
    }

    #[test]
    fn another_system_or_architecture_never_matches() {
        let host = LTSC2022.parse().unwrap();
        let linux = Platform { os: "linux".into(), ..windows("") };
        let arm = Platform { architecture: "arm64".into(), ..windows(LTSC2022) };
        assert!(!linux.matches(host) && !arm.matches(host) && !Platform::default().matches(host));
    }

    #[test]
    fn the_highest_revision_wins_whatever_the_build() {
        assert_eq!(chosen(LTSC2022, &[LTSC2019, LTSC2022, LTSC2025]), Some(LTSC2022));
        assert_eq!(chosen(LTSC2025, &[LTSC2019, LTSC2022, LTSC2025]), Some(LTSC2025));
        assert_eq!(chosen(LTSC2025, &["10.0.26100.1", LTSC2022]), Some(LTSC2022));
        assert_eq!(chosen(LTSC2019, &[LTSC2022, LTSC2025]), None);
    }

    #[test]
    fn later_versions_take_the_newest_build() {
        for (containerd, taken) in [("1.6.35", LTSC2022), ("2.0.4", LTSC2022), ("2.1.6", "10.0.26100.1"), ("2.3.0", "10.0.26100.1")] {
            assert_eq!(chosen_by(containerd, LTSC2025, &[LTSC2019, LTSC2022, "10.0.26100.1"]), Some(taken), "{containerd}");
            assert_eq!(chosen_by(containerd, LTSC2022, &["10.0.26100.1", LTSC2022]), Some(LTSC2022), "{containerd}");
            assert_eq!(chosen_by(containerd, LTSC2019, &[LTSC2022]), None, "{containerd}");
        }
    }
}
