//! Can the Secrets be used that build pods mount and that nothing else reads before? A pod that mounts what is absent waits in silence.

use super::answers::in_time;
use super::netrc::{self, Netrc};
use super::{Cluster, secrets};
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::Reason;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Build, BuildState, Failure, ModulesLogin};
use gowindows_model::go::credentials::{AUTHORITY, Credentials, NETRC};
use gowindows_model::ports::SecretData;
use gowindows_model::redact::redact;
use kube::ResourceExt;

/// The field that names the Secret with certificates for buildkitd.
const TLS_SECRET: &str = "build.buildkit.tlsSecretRef";
/// What must be in it.
const CERTIFICATES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];
/// The field that names the Secret with credentials for modules.
const MODULES_SECRET: &str = "go.modules.secretRef";

impl Cluster {
    /// Whether the certificates for buildkitd are there.
    pub(super) async fn builder(&self, namespace: &str, secret: &str) -> Result<(), CallError> {
        let data = self.named(namespace, TLS_SECRET, secret).await?;
        let lacking = CERTIFICATES.iter().find(|key| data.get(**key).is_none_or(Vec::is_empty));
        lacking.map_or(Ok(()), |key| {
            let all = CERTIFICATES.join(", ");
            Err(invalid(TLS_SECRET, secret, &format!("it has no {key}; it must have {all}")))
        })
    }

    /// What the Secret with credentials for modules has.
    pub(super) async fn modules(&self, namespace: &str, secret: &str) -> Result<ModulesLogin, CallError> {
        let data = self.named(namespace, MODULES_SECRET, secret).await?;
        let credentials = credentials(&data).map_err(|problem| invalid(MODULES_SECRET, secret, problem))?;
        let refused = |message| CallError { reason: Reason::SecretUnbound, message };
        let unbound = if netrc::read(text(&data, NETRC)).has_default {
            self.bindings.check_default_entry(MODULES_SECRET, secret).map_err(refused)?
        } else {
            None
        };
        Ok(ModulesLogin { credentials, unbound })
    }

    /// Takes the passwords of modules out of what failed builds have left. Where the Secret cannot be read, what looks like one is out already.
    pub(super) async fn mask(&self, object: &GoWindowsImage, builds: &mut [Build]) {
        let named = object.spec.go.iter().filter_map(|go| go.modules.as_ref()?.secret_ref.as_ref()).next();
        let Some(secret) = named else { return };
        let failures: Vec<&mut Failure> = builds.iter_mut().flat_map(failures).collect();
        if failures.is_empty() {
            return;
        }
        let namespace = object.namespace().unwrap_or_default();
        let Ok(data) = self.named(&namespace, MODULES_SECRET, &secret.name).await else { return };
        let Netrc { mut passwords, of_all, .. } = netrc::read(text(&data, NETRC));
        passwords.extend(of_all);
        failures.into_iter().for_each(|failure| hide(failure, &passwords));
    }

    async fn named(&self, namespace: &str, field: &str, name: &str) -> Result<SecretData, CallError> {
        in_time(name, secrets::read(&self.client, namespace, field, name)).await
    }
}

/// Whatever was printed with a password in it, or with a part of one.
fn hide(failure: &mut Failure, passwords: &[&str]) {
    failure.message = redact(&failure.message, passwords);
    failure.log_tail = failure.log_tail.take().map(|tail| redact(&tail, passwords));
}

/// Those of a build and of its tests.
fn failures(build: &mut Build) -> impl Iterator<Item = &mut Failure> {
    let run = build.tests.as_mut().and_then(|tests| tests.run.as_mut());
    let states = [&mut build.state].into_iter().chain(run.map(|run| &mut run.state));
    states.filter_map(|state| if let BuildState::Failed(failure) = state { Some(failure) } else { None })
}

/// What is in a Secret for modules, or what is wrong with it.
fn credentials(data: &SecretData) -> Result<Credentials, &'static str> {
    let authority = data.contains_key(AUTHORITY);
    match () {
        () if !data.contains_key(NETRC) => {
            Err("it has no key `netrc`; put a netrc file there, with a line such as `machine git.example.com login NAME password TOKEN`")
        }
        () if netrc::read(text(data, NETRC)).passwords.is_empty() => Err(
            "its `netrc` has no machine with a login and a password; write a line such as `machine git.example.com login NAME password TOKEN`",
        ),
        () if authority && !text(data, AUTHORITY).contains("-----BEGIN CERTIFICATE-----") => {
            Err("its key `ca.crt` holds no PEM certificate (`-----BEGIN CERTIFICATE-----`)")
        }
        () => Ok(Credentials { authority }),
    }
}

fn text<'a>(data: &'a SecretData, key: &str) -> &'a str {
    data.get(key).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}

fn invalid(field: &str, name: &str, problem: &str) -> CallError {
    CallError { reason: Reason::SecretInvalid, message: format!("{field}: Secret {name}: {problem}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_for_modules_is_looked_at_before_a_pod_waits_for_it() {
        let of = |entries: &[(&str, &str)]| {
            let data = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
            credentials(&data)
        };
        let netrc = (NETRC, "machine git.example login me password canary");
        assert_eq!(of(&[netrc]), Ok(Credentials { authority: false }));
        assert_eq!(of(&[netrc, (AUTHORITY, "-----BEGIN CERTIFICATE-----\n")]), Ok(Credentials { authority: true }));
        let table: [(&[(&str, &str)], &str); 4] = [
            (&[("username", "me"), ("password", "canary")], "no key `netrc`"),
            (&[(NETRC, "machine git.example password canary")], "no machine with a login"),
            (&[(NETRC, "")], "no machine with a login"),
            (&[netrc, (AUTHORITY, "canary")], "no PEM certificate"),
        ];
        for (entries, says) in table {
            let problem = of(entries).expect_err(says);
            assert!(problem.contains(says) && !problem.contains("canary"), "{problem}");
        }
    }

    /// SE3: what is known is masked in whatever form it was printed, and not only what looks like a secret.
    #[test]
    fn passwords_of_modules_are_masked_in_what_a_build_has_printed() {
        let passwords =
            netrc::read("machine git.example login me password plain-CanaryWord0\nmachine b.example login you password other word")
                .passwords;
        let said = "main.go:1: plain-CanaryWord0 and CanaryWord0, cGxhaW4tQ2FuYXJ5V29yZDA=, plain%2DCanaryWord0 of other";
        let (message, log_tail) = (said.to_owned(), Some(said.to_owned()));
        let mut failure = Failure { reason: Reason::CompileError, stage: None, exit_code: Some(1), message, log_tail };
        hide(&mut failure, &passwords);
        let tail = failure.log_tail.as_deref().expect("a tail");
        assert_eq!((failure.message.as_str(), tail.contains("main.go:1: ***")), (tail, true));
        assert!(!tail.contains("Canary") && !tail.contains("cGxhaW4"), "{tail}");
    }
}
