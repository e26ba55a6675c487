//! How do the credentials for private modules reach the compiler, and nobody else?
//!
//! As files of a volume that the compile stage alone mounts, in a folder that is its home: the go command, git and curl all look for
//! `.netrc` there. What is said of them in an argument, a variable or a Dockerfile is this folder.
//!
//! | engine | the files | why they are in no layer and no cache |
//! |---|---|---|
//! | Go | in the container that runs the go command | it makes no image |
//! | BuildKit | in `buildctl`'s, which hands them on as build secrets | mounts of single `RUN`s, which BuildKit does not keep |
//! | Kaniko | in the executor's, whose commands see its mounts | what is mounted is no part of what it makes |

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

    /// What a `RUN` of BuildKit is told, to have the files.
    pub fn run_mounts(self) -> String {
        self.files().map(|(key, file)| format!("--mount=type=secret,id={key},target={HOME}/{file},required=true ")).collect()
    }
}

/// Variables of a compiler with or without credentials, its home among them.
pub fn environment(credentials: Option<Credentials>) -> Vec<(String, String)> {
    let file = format!("{HOME}/{AUTHORITY}");
    let authorities = [("SSL_CERT_DIR", format!("{HOME}:{USUAL_AUTHORITIES}")), ("GIT_SSL_CAINFO", file)];
    let authorities = authorities.into_iter().filter(|_| credentials.is_some_and(|credentials| credentials.authority));
    let home = if credentials.is_some() { HOME } else { TMP };
    let all = [("HOME", home.to_owned())].into_iter().chain(authorities);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}
