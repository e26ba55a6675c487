//! Which single values are refused, and with which words?

use super::Refusal;
use gowindows_crds::conditions::Reason;
use gowindows_crds::patterns;
use gowindows_crds::v1alpha1::ImageEnvVar;
use regex::Regex;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// A refusal of one value. Passwords are masked, long values are cut, control characters escaped.
pub(super) fn invalid(field: &str, value: &str, remedy: &str) -> Refusal {
    let shown: String = without_login(value).chars().take(80).collect();
    let message = if value.is_empty() { format!("{field}: {remedy}.") } else { format!("{field}: {shown:?} is not accepted; {remedy}.") };
    Refusal { reason: Reason::InvalidSpec, message }
}

/// A string under examination.
pub(super) struct Check<'a> {
    field: &'a str,
    value: &'a str,
    remedy: &'a str,
    limit: usize,
}

impl<'a> Check<'a> {
    pub(super) fn new(field: &'a str, value: &'a str, remedy: &'a str) -> Self {
        Self { field, value, remedy, limit: 1024 }
    }

    pub(super) fn at_most(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// The value, if it has this form (one of [`patterns`]) and is not too long.
    pub(super) fn form(self, pattern: &'static str) -> Result<String, Refusal> {
        if self.value.len() <= self.limit && fits(pattern, self.value) {
            Ok(self.value.to_owned())
        } else {
            Err(invalid(self.field, self.value, self.remedy))
        }
    }
}

/// Whether a text has a form. Each form is compiled once: a pass checks some twenty values, and compiling takes longer than all else in it.
fn fits(pattern: &'static str, text: &str) -> bool {
    static FORMS: RwLock<BTreeMap<&str, Option<Arc<Regex>>>> = RwLock::new(BTreeMap::new());
    let known = FORMS.read().unwrap_or_else(PoisonError::into_inner).get(pattern).cloned();
    let form = known.unwrap_or_else(|| {
        let compiled = Regex::new(pattern).ok().map(Arc::new);
        FORMS.write().unwrap_or_else(PoisonError::into_inner).insert(pattern, compiled.clone());
        compiled
    });
    // A pattern that does not compile would be a bug; it refuses everything rather than nothing.
    form.is_some_and(|form| form.is_match(text))
}

/// A refused address may hold a password, which a status must not repeat. Without a scheme it looks like the name and the tag of an image: only a
/// digest may follow those.
fn without_login(value: &str) -> String {
    let Some((login, rest)) = value.rsplit_once('@') else { return value.to_owned() };
    let is_scheme = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    let is_digest = |text: &str| text.strip_prefix("sha256:").is_some_and(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
    match login.split_once("://") {
        Some((scheme, _)) if is_scheme(scheme) => format!("{scheme}://***@{rest}"),
        None if !login.contains(':') || (is_digest(rest) && !login.contains('@')) => value.to_owned(),
        _ => format!("***@{rest}"),
    }
}

pub(super) fn each(field: &str, values: Vec<String>, pattern: &'static str) -> Result<Vec<String>, Refusal> {
    let remedy = match field {
        "go.ldflags" => "only `-X importpath.name=value` is allowed, without single quotes or control characters",
        "go.modules.private" => {
            "use a prefix of module paths such as git.example.com/team or *.corp.example.com, one per entry, without a scheme"
        }
        "go.tags" => "use letters, digits, underscore and dot",
        "image.tags" => "use up to 128 letters, digits, `_`, `.`, `-`, and $(revision)",
        _ => "use lower-case letters, digits and dots",
    };
    values.iter().map(|value| Check::new(field, value, remedy).form(pattern)).collect()
}

pub(super) fn duration(field: &str, text: &str) -> Result<Duration, Refusal> {
    let remedy = "use a duration such as 90s, 30m or 1h30m";
    let text = Check::new(field, text, remedy).form(patterns::DURATION)?;
    let parsed = text.parse::<kube_core::Duration>().map_err(|_| invalid(field, &text, remedy))?;
    Ok(parsed.into())
}

pub(super) fn positive(field: &str, text: Option<&str>, default: Duration) -> Result<Duration, Refusal> {
    let Some(text) = text else { return Ok(default) };
    match duration(field, text)? {
        Duration::ZERO => Err(invalid(field, text, "it must be more than zero; leave it out for the default")),
        duration => Ok(duration),
    }
}

pub(super) fn count(field: &str, value: Option<i32>, default: usize, range: RangeInclusive<i32>) -> Result<usize, Refusal> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(&value) => Ok(usize::try_from(value).unwrap_or(default)),
        Some(value) => Err(invalid(field, &value.to_string(), &format!("use {} to {}", range.start(), range.end()))),
    }
}

pub(super) fn git_ref(field: &str, name: &str) -> Result<String, Refusal> {
    let remedy = "it is not a legal branch or tag name";
    let name = Check::new(field, name, remedy).at_most(255).form(patterns::GIT_REF)?;
    if name.contains("..") || name.ends_with(".lock") || name.ends_with('.') { Err(invalid(field, &name, remedy)) } else { Ok(name) }
}

/// A relative path with forward slashes that stays inside the repository.
pub(super) fn inside(field: &str, path: &str) -> Result<String, Refusal> {
    let remedy = "use a relative path inside the repository with forward slashes, without `..` or `.git`";
    let path = Check::new(field, path, remedy).at_most(512).form(patterns::SUB_PATH)?;
    if path.split('/').any(|part| part == ".." || part == ".git") { Err(invalid(field, &path, remedy)) } else { Ok(path) }
}

pub(super) fn package(package: &str) -> Result<String, Refusal> {
    let remedy = "use `.` or a folder such as ./cmd/app, without `..`";
    let package = Check::new("go.package", package, remedy).at_most(512).form(patterns::PACKAGE)?;
    if package.contains("..") { Err(invalid("go.package", &package, remedy)) } else { Ok(package) }
}

/// The packages to test; none where there is no gate.
pub(super) fn go_env(name: String, value: String) -> Result<(String, String), Refusal> {
    if ["GOARCH", "GOOS"].contains(&name.as_str()) {
        let remedy = format!("images are built for windows/amd64 only ({name}={value} is asked for); leave it out");
        return Err(invalid("go.env[].name", &name, &remedy));
    }
    let name =
        Check::new("go.env[].name", &name, "only GOEXPERIMENT, GOFIPS140, GODEBUG and GOAMD64 are allowed").form(patterns::GO_ENV_NAME)?;
    let value = Check::new("go.env[].value", &value, "use letters, digits and _ . , = : + -").form(patterns::GO_ENV_VALUE)?;
    Ok((name, value))
}

pub(super) fn image_env(var: ImageEnvVar) -> Result<ImageEnvVar, Refusal> {
    let name =
        Check::new("image.env[].name", &var.name, "use letters, digits and _ . -, not starting with a digit").form(patterns::ENV_NAME)?;
    if name.eq_ignore_ascii_case("PATH") {
        return Err(invalid("image.env[].name", &name, "on Windows it would replace the base's own; leave it out"));
    }
    Ok(ImageEnvVar { name, value: no_nul("image.env[].value", var.value)? })
}

pub(super) fn no_nul(field: &str, value: String) -> Result<String, Refusal> {
    if value.contains('\0') { Err(invalid(field, &value, "a NUL character cannot be passed to a program")) } else { Ok(value) }
}

pub(super) fn port(port: i32) -> Result<u16, Refusal> {
    u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| invalid("image.ports", &port.to_string(), "use 1 to 65535"))
}

pub(super) fn image_reference(field: &str, value: &str) -> Result<String, Refusal> {
    let remedy = "use an image reference such as registry.example.com/base/nanoserver:ltsc2022 or one with @sha256:...";
    let value = Check::new(field, value, remedy).at_most(512).form(patterns::IMAGE_REFERENCE)?;
    value.parse::<oci_spec::distribution::Reference>().map(|_| value.clone()).map_err(|_| invalid(field, &value, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_repeats_no_password() {
        for (value, shown) in [
            ("https://user:hunter2@git.example.com/a.git", "https://***@git.example.com/a.git"),
            ("https://hunter2@git.example.com/a.git", "https://***@git.example.com/a.git"),
            ("https://user:hunter2@x@git.example.com/a", "https://***@git.example.com/a"),
            ("git:hunter2@git.example.com:a.git", "***@git.example.com:a.git"),
            ("git:hunter2://x@git.example.com", "***@git.example.com"),
            ("user:hunter2@registry.example.com/a", "***@registry.example.com/a"),
            ("user:hunter2@a@sha256:ab", "***@sha256:ab"),
            ("git@git.example.com:a.git", "git@git.example.com:a.git"),
            ("registry.example.com:5000/go:1@sha256:ab", "registry.example.com:5000/go:1@sha256:ab"),
            ("main@{1}", "main@{1}"),
        ] {
            let message = invalid("field", value, "use another").message;
            assert_eq!(message, format!("field: {shown:?} is not accepted; use another."), "{value}");
        }
        // This one has the characters of a reference, and is refused by its grammar alone.
        let refused = image_reference("go.image", "user:hunter2@registry.example.com/go").expect_err("no reference");
        assert!(!refused.message.contains("hunter2"), "{}", refused.message);
    }

    #[test]
    fn long_values_are_cut_and_what_people_cannot_see_is_escaped() {
        let message = invalid("field", &"x".repeat(100_000), "use less").message;
        assert!(message.len() < 200, "{message}");
        assert!(invalid("field", "a\u{7}\u{202e}b\nc", "no").message.contains(r"a\u{7}\u{202e}b\nc"));
    }
}
