//! Which Windows release is this build, and what do people call it?
//!
//! A table kept as data that fails open: a build that it does not know is still built, it only has no name. Builds that
//! cannot be told from their number (`1809` is `ltsc2019`) share a line.

/// Build and its names, the usual one first. From Microsoft's Windows container version compatibility page.
const RELEASES: [(&str, &[&str]); 7] = [
    ("10.0.26100", &["ltsc2025"]),
    ("10.0.25398", &["ltsc2023", "23H2"]),
    ("10.0.20348", &["ltsc2022"]),
    ("10.0.19042", &["20H2"]),
    ("10.0.19041", &["2004"]),
    ("10.0.17763", &["ltsc2019", "1809"]),
    ("10.0.14393", &["ltsc2016"]),
];

/// The names that a release can be asked for by.
pub fn names() -> impl Iterator<Item = &'static str> {
    RELEASES.iter().map(|(_, names)| names[0])
}

/// The release's usual name for a full version such as `10.0.20348.5499`, where the build is known.
pub fn name(os_version: &str) -> Option<&'static str> {
    let build = build(os_version)?;
    RELEASES.iter().find(|(known, _)| *known == build).map(|(_, names)| names[0])
}

/// Whether a full version is of the release that was asked for, by name (`ltsc2022`) or build (`10.0.20348`, `20348`, or all four parts).
pub fn is(os_version: &str, wanted: &str) -> bool {
    let Some(build) = build(os_version) else { return false };
    let named = RELEASES.iter().any(|(known, names)| *known == build && names.iter().any(|name| name.eq_ignore_ascii_case(wanted)));
    named || wanted == os_version || wanted == build || build.strip_prefix("10.0.") == Some(wanted)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_found_by_name_and_by_build() {
        for wanted in ["ltsc2022", "LTSC2022", "10.0.20348", "20348", "10.0.20348.5499"] {
            assert!(is("10.0.20348.5499", wanted), "{wanted}");
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
    }

    #[test]
    fn only_four_numbers_are_a_full_version() {
        assert_eq!(four_parts("10.0.20348.5499"), Some([10, 0, 20348, 5499]));
        for bad in ["10.0.20348", "10.0.20348.5499.1", "", "a.b.c.d", "10.0.20348.", "10.0.+1.2", "10.0.20348.99999999999"] {
            assert_eq!(four_parts(bad), None, "{bad}");
        }
    }
}
