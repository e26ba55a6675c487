//! Which Windows APIs does a base flavor lack, as far as is known? Data (`windows_apis.yaml`) that grows without code.
//!
//! Fails open: what the data does not name is taken as present.

use crate::Flavor;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What programs are looked through for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowsApis {
    /// What flavors lack.
    pub absent_apis: Vec<AbsentApi>,
    /// Functions that show a program which opens TLS connections.
    pub tls_clients: Vec<String>,
}

/// A DLL or a facility that a flavor lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AbsentApi {
    /// A DLL's file name in lower case, or words for people: `netapi32.dll`, `COM and WMI`.
    pub name: String,
    /// The flavors without it.
    pub absent_from: Vec<Flavor>,
    /// Go functions that need it (an asterisk at the end for any rest), with the package to name for each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, String>,
    /// Go packages that need it, with all below them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// What to do about it; without one, the usual remedies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Where it is known from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// What ships beside the code.
static SHIPPED: LazyLock<WindowsApis> = LazyLock::new(|| serde_norway::from_str(include_str!("windows_apis.yaml")).unwrap_or_default());

impl WindowsApis {
    /// The shipped data.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// With a site's own entries: each replaces the one of the same name.
    #[must_use]
    pub fn with(&self, own: &[AbsentApi]) -> Self {
        let kept = self.absent_apis.iter().filter(|entry| !own.iter().any(|ours| ours.name == entry.name));
        Self { absent_apis: kept.chain(own).cloned().collect(), tls_clients: self.tls_clients.clone() }
    }

    /// Whether one of these flavors is known to lack it.
    pub fn is_absent(&self, name: &str, flavors: &BTreeSet<Flavor>) -> bool {
        self.named(name).is_some_and(|entry| entry.absent_from.iter().any(|flavor| flavors.contains(flavor)))
    }

    /// The entry of this name.
    pub fn named(&self, name: &str) -> Option<&AbsentApi> {
        self.absent_apis.iter().find(|entry| entry.name == name)
    }
}

impl AbsentApi {
    /// The package to name, if this function of this package needs the API.
    pub fn needed_by<'a>(&'a self, function: &str, package: &'a str) -> Option<&'a str> {
        let named = self.functions.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(start) => function.starts_with(start),
            None => function == pattern.as_str(),
        });
        let below = |path: &&String| package.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        named.map(|(_, package)| package.as_str()).or_else(|| self.packages.iter().find(below).map(String::as_str))
    }
}

/// The flavor of a base, as its name tells; none if it does not.
pub fn flavor_of(reference: &str) -> Option<Flavor> {
    let name = reference.to_ascii_lowercase();
    match (name.contains("nanoserver"), name.contains("servercore") || name.contains("windows/server")) {
        (true, false) => Some(Flavor::NanoServer),
        (false, true) => Some(Flavor::ServerCore),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_data_is_complete() {
        let apis = WindowsApis::shipped();
        assert!(!apis.tls_clients.is_empty());
        for entry in &apis.absent_apis {
            assert!(!entry.absent_from.is_empty() && entry.source.starts_with("https://"), "{}", entry.name);
            let found = entry.name.contains('.') || !entry.packages.is_empty();
            assert!(found && entry.name.len() <= 40, "{} can be found, and named in a code", entry.name);
        }
    }

    #[test]
    fn functions_and_packages_are_found_and_others_are_not() {
        let apis = WindowsApis::shipped();
        let entry = |name| apis.named(name).expect("shipped");
        for (name, function, package, expected) in [
            ("netapi32.dll", "syscall.NetUserGetInfo", "syscall", Some("os/user")),
            ("netapi32.dll", "golang.org/x/sys/windows.NetUserEnum", "golang.org/x/sys/windows", Some("golang.org/x/sys/windows")),
            ("netapi32.dll", "os/user.Current", "os/user", None),
            (
                "COM and WMI",
                "github.com/go-ole/go-ole/oleutil.CreateObject",
                "github.com/go-ole/go-ole/oleutil",
                Some("github.com/go-ole/go-ole"),
            ),
            ("COM and WMI", "github.com/go-ole/go-ole-fork.X", "github.com/go-ole/go-ole-fork", None),
        ] {
            assert_eq!(entry(name).needed_by(function, package), expected, "{function}");
        }
    }

    #[test]
    fn a_site_replaces_and_adds_entries() {
        let own = [
            AbsentApi { name: "netapi32.dll".into(), ..AbsentApi::default() },
            AbsentApi { name: "secur32.dll".into(), absent_from: vec![Flavor::ServerCore], ..AbsentApi::default() },
        ];
        let apis = WindowsApis::shipped().with(&own);
        assert_eq!(apis.named("netapi32.dll"), Some(&own[0]));
        assert_eq!(apis.named("secur32.dll"), Some(&own[1]));
        assert!(apis.named("pdh.dll").is_some());
    }

    #[test]
    fn a_flavor_is_told_by_name_or_not_at_all() {
        for (reference, flavor) in [
            ("mcr.microsoft.com/windows/nanoserver:ltsc2022", Some(Flavor::NanoServer)),
            ("mirror.example/win/servercore@sha256:0", Some(Flavor::ServerCore)),
            ("mcr.microsoft.com/windows/server:ltsc2022", Some(Flavor::ServerCore)),
            ("registry.example/base:1", None),
            ("registry.example/servercore/nanoserver:1", None),
        ] {
            assert_eq!(flavor_of(reference), flavor, "{reference}");
        }
    }
}
