//! How do the credentials for private modules reach what downloads them, and nobody else?
//!
//! As files in a folder that is the home of the go command, git and curl, which all look for `.netrc` there. What is said of them in an
//! argument, a variable or a Dockerfile is this folder. Nothing that a committer or a dependency wrote is compiled, assembled or run where
//! they are: the assembler of Go opens any path that an `#include` names, and a token can become the name of a function.
//!
//! | engine | the files | what compiles |
//! |---|---|---|
//! | Go, Kaniko, tests | in the container `modules`, which downloads | in a container after it, with `GOPROXY=off` |
//! | BuildKit | in `buildctl`'s, which hands them on as build secrets of the one `RUN` that downloads | in a `RUN` after it, with `GOPROXY=off` |
//! | a Dockerfile of one's own | nowhere: refused | |

use serde::{Deserialize, Serialize};

/// Where the files are, in every container that has them.
pub const HOME: &str = "/gowindows/modules";
/// The key that the Secret must have.
pub const NETRC: &str = "netrc";
/// The key with certificates of a private authority.
pub const AUTHORITY: &str = "ca.crt";
/// The home of a compiler without credentials.
const TMP: &str = "/tmp";
/// Where Go looks for authorities on Linux: `SSL_CERT_DIR` replaces it.
const USUAL_AUTHORITIES: &str = "/etc/ssl/certs:/etc/pki/tls/certs";

/// That there are credentials for modules. They themselves are in the Secret alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// The Secret has certificates of a private authority, too.
    pub authority: bool,
}

impl Credentials {
    /// The keys of the Secret, each with the name of its file.
    pub fn files(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        [(NETRC, ".netrc")].into_iter().chain(self.authority.then_some((AUTHORITY, AUTHORITY)))
    }

    /// What `buildctl` is told, to hand the files on.
    pub fn arguments(self) -> impl Iterator<Item = String> {
        self.files().map(|(key, file)| format!("--secret=id={key},src={HOME}/{file}"))
    }

    /// What the `RUN` of BuildKit that downloads is told, to have the files.
    pub fn run_mounts(self) -> String {
        self.files().map(|(key, file)| format!("--mount=type=secret,id={key},target={HOME}/{file},required=true ")).collect()
    }
}

/// What a compiler is told that has its modules already: it asks nobody for more.
pub fn downloaded() -> Vec<(String, String)> {
    vec![("GOPROXY".to_owned(), "off".to_owned())]
}

/// Variables of the go command with or without credentials, its home among them.
pub fn environment(credentials: Option<Credentials>) -> Vec<(String, String)> {
    let file = format!("{HOME}/{AUTHORITY}");
    let authorities = [("SSL_CERT_DIR", format!("{HOME}:{USUAL_AUTHORITIES}")), ("GIT_SSL_CAINFO", file)];
    let authorities = authorities.into_iter().filter(|_| credentials.is_some_and(|credentials| credentials.authority));
    let home = if credentials.is_some() { HOME } else { TMP };
    let all = [("HOME", home.to_owned())].into_iter().chain(authorities);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}
