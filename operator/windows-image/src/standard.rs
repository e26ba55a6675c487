//! Which of the standard keys (`org.opencontainers.image.*`) does the image carry, and with which values?
//!
//! Both as labels of the configuration, where `docker inspect` and most dashboards look, and as annotations of the manifest, where the
//! image specification puts them. Everything follows from the inputs, so the bytes stay reproducible; a value of the user's, as a label
//! or as an annotation, is taken in both places. Source: OCI image-spec, `annotations.md`.

use crate::Assembly;
use crate::base::Base;
use crate::layer::ProgramName;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Where all keys begin.
const PREFIX: &str = "org.opencontainers.image.";

/// The keys that say nothing about a base: the same for every release, so they stand on an index too.
pub fn of_program(assembly: &Assembly, program: &ProgramName) -> BTreeMap<String, String> {
    let title = program.as_str().strip_suffix(".exe").unwrap_or(program.as_str());
    let known = [
        ("created", Some(rfc3339(assembly.epoch))),
        ("revision", assembly.revision.clone()),
        ("source", assembly.source.clone()),
        ("title", Some(title.to_owned())),
    ];
    users_values(assembly, known)
}

/// All keys of the image on one base.
pub fn on_base(assembly: &Assembly, program: &ProgramName, base: &Base) -> BTreeMap<String, String> {
    let mut keys = of_program(assembly, program);
    keys.extend(users_values(assembly, [("base.name", base_name(&base.reference)), ("base.digest", Some(base.digest.to_string()))]));
    keys
}

fn users_values<const N: usize>(assembly: &Assembly, known: [(&str, Option<String>); N]) -> BTreeMap<String, String> {
    let values = known.into_iter().filter_map(|(key, value)| {
        let key = format!("{PREFIX}{key}");
        let users = assembly.annotations.get(&key).or_else(|| assembly.labels.get(&key));
        Some((key, users.cloned().or(value)?))
    });
    values.collect()
}

/// A reference without the digest that it was pinned to: that has a key of its own. A folder has no name for others.
fn base_name(reference: &str) -> Option<String> {
    let name = reference.split('@').next().unwrap_or(reference);
    (!reference.starts_with("oci:")).then(|| name.to_owned())
}

/// Seconds since 1970 as `2026-01-01T00:00:00Z`; what no calendar knows becomes 1970.
pub(crate) fn rfc3339(epoch: i64) -> String {
    Timestamp::from_second(epoch.max(0)).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tests::base;

    fn keys(assembly: &Assembly, reference: &str) -> BTreeMap<String, String> {
        let base = Base { reference: reference.into(), ..base("10.0.20348.5499") };
        on_base(assembly, &"shop.exe".parse().expect("a name"), &base)
    }

    fn known() -> Assembly {
        Assembly { revision: Some("c0ffee".into()), source: Some("https://git.example.com/shop.git".into()), ..Assembly::default() }
    }

    #[test]
    fn what_is_known_is_said() {
        let keys = keys(&known(), "r.example/nano:ltsc2022@sha256:abc");
        let short: Vec<_> = keys.iter().map(|(key, value)| (key.strip_prefix(PREFIX).expect("a standard key"), value.as_str())).collect();
        let digest = base("10.0.20348.5499").digest.to_string();
        let expected = [
            ("base.digest", digest.as_str()),
            ("base.name", "r.example/nano:ltsc2022"),
            ("created", "1970-01-01T00:00:00Z"),
            ("revision", "c0ffee"),
            ("source", "https://git.example.com/shop.git"),
            ("title", "shop"),
        ];
        assert_eq!(short, expected);
    }

    #[test]
    fn a_pin_changes_nothing_and_a_folder_has_no_name() {
        assert_eq!(keys(&known(), "r.example/nano:ltsc2022"), keys(&known(), "r.example/nano:ltsc2022@sha256:abc"));
        assert!(!keys(&Assembly::default(), "oci:/home/me/base").keys().any(|key| key.ends_with("base.name")));
        assert!(!keys(&Assembly::default(), "r.example/nano").keys().any(|key| key.ends_with("revision") || key.ends_with("source")));
    }

    #[test]
    fn a_users_value_wins_wherever_it_stands() {
        let title = ("org.opencontainers.image.title".to_string(), "The shop".to_string());
        let source = ("org.opencontainers.image.source".to_string(), "https://example.com".to_string());
        let assembly = Assembly { labels: [title.clone()].into(), annotations: [source.clone()].into(), ..known() };
        let keys = keys(&assembly, "r.example/nano");
        assert_eq!((keys.get(&title.0), keys.get(&source.0)), (Some(&title.1), Some(&source.1)));
    }
}
