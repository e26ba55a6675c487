//! Which Windows release is this build, and what do people call it?
//!
//! A table kept as data (`releases.json`; the operator's settings may add to it) that fails open: a build that it does not know is still
//! built, it only has no name. Builds that cannot be told from their number (`1809` is `ltsc2019`) share a line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The first build whose images run on hosts of later builds too, without a virtual machine between. Source: containerd/platforms
/// `platform_compat_windows.go`.
pub const STABLE_ABI: u32 = 20348;

/// Builds (`10.0.20348`) and their names, the usual one first. From Microsoft's Windows container version compatibility page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Releases(BTreeMap<String, Vec<String>>);

/// What ships beside the code.
static SHIPPED: LazyLock<Releases> = LazyLock::new(|| Releases(serde_json::from_str(include_str!("releases.json")).unwrap_or_default()));

impl Releases {
    /// The shipped table.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// The shipped table, with these builds added or named otherwise.
    pub fn with(more: &BTreeMap<String, Vec<String>>) -> Self {
        let mut releases = SHIPPED.clone();
        releases.0.extend(more.iter().map(|(build, names)| (build.clone(), names.clone())));
        releases
    }

    /// The usual names, oldest build first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut builds: Vec<_> = self.0.iter().collect();
        builds.sort_by_key(|(build, _)| number(build));
        builds.into_iter().filter_map(|(_, names)| names.first().map(String::as_str))
    }

    /// The release's usual name for a full version such as `10.0.20348.5499`, where the build is known.
    pub fn name(&self, os_version: &str) -> Option<&str> {
        self.0.get(build(os_version)?)?.first().map(String::as_str)
    }

    /// The build number of a release by name (`ltsc2022`) or build (`10.0.20348`, `20348`, or all four parts): `20348`. None for a name
    /// that the table does not know.
    pub fn build_number(&self, wanted: &str) -> Option<u32> {
        let named = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
        let known = self.0.iter().find(|(_, names)| named(names)).map(|(build, _)| build.as_str());
        number(known.unwrap_or(wanted))
    }

    fn is(&self, os_version: &str, wanted: &str) -> bool {
        let Some(build) = build(os_version) else { return false };
        let named = self.0.get(build).is_some_and(|names| names.iter().any(|name| name.eq_ignore_ascii_case(wanted)));
        named || wanted == os_version || wanted == build || build.strip_prefix("10.0.") == Some(wanted)
    }
}

/// The names that a release can be asked for by.
pub fn names() -> impl Iterator<Item = &'static str> {
    Releases::shipped().names()
}

/// [`Releases::name`] of the shipped table.
pub fn name(os_version: &str) -> Option<&'static str> {
    Releases::shipped().name(os_version)
}

/// Whether a full version is of the release that was asked for, by name (`ltsc2022`) or build (`10.0.20348`, `20348`, or all four parts).
pub fn is(os_version: &str, wanted: &str) -> bool {
    Releases::shipped().is(os_version, wanted)
}

/// Whether a host of one build runs process-isolated containers of another.
pub fn runs(host: u32, container: u32) -> bool {
    if host < STABLE_ABI { host == container } else { (STABLE_ABI..=host).contains(&container) }
}

/// The four numbers of a full version, to compare by; none unless there are exactly four.
pub fn four_parts(os_version: &str) -> Option<[u32; 4]> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<u32> = os_version.split('.').map(|part| part.parse().ok().filter(|_| digits(part))).collect::<Option<_>>()?;
    parts.try_into().ok()
}

fn build(os_version: &str) -> Option<&str> {
    four_parts(os_version)?;
    os_version.rsplit_once('.').map(|(build, _)| build)
}

/// `20348` of `10.0.20348`, of `10.0.20348.5499` and of `20348`.
fn number(build: &str) -> Option<u32> {
    let parts: Vec<&str> = build.split('.').collect();
    match parts.as_slice() {
        [number] | ["10", "0", number] | ["10", "0", number, _] => number.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_found_by_name_and_by_build() {
        for wanted in ["ltsc2022", "LTSC2022", "10.0.20348", "20348", "10.0.20348.5499"] {
            assert!(is("10.0.20348.5499", wanted), "{wanted}");
            assert_eq!(Releases::shipped().build_number(wanted), Some(20348), "{wanted}");
        }
        for wanted in ["ltsc2025", "10.0", "2034", "10.0.20348.1", ""] {
            assert!(!is("10.0.20348.5499", wanted), "{wanted}");
        }
        assert!(is("10.0.17763.8389", "1809"));
    }

    #[test]
    fn an_unknown_build_has_no_name_but_can_be_asked_for() {
        assert_eq!(name("10.0.99999.1"), None);
        assert!(is("10.0.99999.1", "10.0.99999"));
        assert_eq!(Releases::shipped().build_number("ltsc2099"), None);
    }

    #[test]
    fn the_settings_add_to_the_table() {
        let releases = Releases::with(&[("10.0.99999".into(), vec!["ltsc2099".into()])].into());
        assert_eq!((releases.name("10.0.99999.1"), releases.build_number("ltsc2099")), (Some("ltsc2099"), Some(99999)));
        assert_eq!(releases.build_number("ltsc2022"), Some(20348));
        assert_eq!(releases.names().last(), Some("ltsc2099"));
    }

    #[test]
    fn hosts_run_older_builds_down_to_2022() {
        for (host, container, expected) in [
            (20348, 20348, true),
            (26100, 20348, true),
            (20348, 26100, false),
            (26100, 17763, false),
            (17763, 17763, true),
            (17763, 14393, false),
        ] {
            assert_eq!(runs(host, container), expected, "{container} on {host}");
        }
    }

    #[test]
    fn only_four_numbers_are_a_full_version() {
        assert_eq!(four_parts("10.0.20348.5499"), Some([10, 0, 20348, 5499]));
        for bad in ["10.0.20348", "10.0.20348.5499.1", "", "a.b.c.d", "10.0.20348.", "10.0.+1.2", "10.0.20348.99999999999"] {
            assert_eq!(four_parts(bad), None, "{bad}");
        }
    }
}
