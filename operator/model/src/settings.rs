//! How is the operator configured? (`controller --config FILE`, also read by `build`.)
//!
//! Unknown keys are errors, so that a typo cannot pass for a setting.

mod resources;
mod slots;

pub use resources::ResourceSettings;
pub use slots::SlotSettings;

use crate::binding::{Bindings, Enforcement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use thiserror::Error;
use windows_image::release::Releases;
use windows_image::windows_apis::AbsentApi;

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings {file}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("the settings {file} cannot be used")]
    Parse {
        /// The file.
        file: String,
        /// Where and why.
        source: serde_norway::Error,
    },
    /// A registry's certificates cannot be read.
    #[error("the settings name caFile {file} for registry {host}, which cannot be read")]
    ReadCa {
        /// The registry.
        host: String,
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The controller cannot build without its own image.
    #[error("the settings have no stepImage: set it to this operator's own image, which runs the first and the last step of each build")]
    NoStepImage,
    /// Nothing could ever be built.
    #[error("the settings' slots.{system} is 0, and nothing could be built; leave it out for no limit, or use 1 or more")]
    NoSlots {
        /// Of which nodes.
        system: &'static str,
    },
    /// Resources that no container can have.
    #[error("the settings' resources.{key} {value:?} {problem}")]
    Resources {
        /// Which of them.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong.
        problem: String,
    },
    /// A registry without a usable host, or twice.
    #[error("the settings' registry {host:?} {problem}")]
    Registry {
        /// The registry.
        host: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The operator's settings file (YAML).
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Toolchain images by Go release, best pinned by digest: `{"1.26": registry.example.com/golang@sha256:...}`.
    /// An object that names no release gets the newest one.
    pub toolchains: BTreeMap<String, String>,
    /// The same for builds on Windows nodes: `{"1.26": registry.example.com/golang:1.26-windowsservercore-ltsc2022}`.
    pub windows_toolchains: BTreeMap<String, String>,
    /// The image of the build steps `source` and `assemble`: this operator's own.
    pub step_image: String,
    /// The image of `buildctl`, for engine BuildKit, best pinned by digest. Without it objects with that engine are refused.
    pub buildctl_image: Option<String>,
    /// The same for Windows nodes, with `buildctl.exe`. Without it objects with that engine are refused there.
    pub windows_buildctl_image: Option<String>,
    /// An image with Kaniko's executor and busybox's `cp`, for engine Kaniko, best pinned by digest. Without it objects with that engine are refused.
    pub kaniko_image: Option<String>,
    /// Repositories of the Windows bases by flavor; the release becomes the tag.
    pub bases: BTreeMap<String, String>,
    /// Names of Windows builds, beside those that are shipped: `{"10.0.26100": [ltsc2025]}`. The first name is the usual one.
    pub releases: BTreeMap<String, Vec<String>>,
    /// How registries are reached, by host. Registries that are not listed: HTTPS with the public authorities.
    pub registries: Vec<RegistrySettings>,
    /// `GOPROXY` of the compile stage, where an object has none of its own. Default: Go's own.
    pub goproxy: Option<String>,
    /// `GOSUMDB` of the compile stage. Default: Go's own.
    pub gosumdb: Option<String>,
    /// Git servers that the Secrets of objects may be sent to without naming them in an annotation: `host` or `host:port`. Default: none.
    pub git_hosts: Vec<String>,
    /// Whether what this version refuses and the one before did not is refused, or only told. Default: refused.
    pub enforcement: Enforcement,
    /// Namespaces to watch. Default: all.
    pub watch_namespaces: Vec<String>,
    /// RuntimeClass of build pods. Default: the cluster's.
    pub runtime_class: Option<String>,
    /// What build containers get where an object says nothing.
    pub resources: ResourceSettings,
    /// How many Jobs of builds run at a time; the others queue.
    pub slots: SlotSettings,
    /// Windows APIs that base flavors lack, beside those that the operator knows of; an entry replaces the one of its name.
    pub absent_apis: Vec<AbsentApi>,
}

/// How one registry is reached.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RegistrySettings {
    /// `host` or `host:port`, as it stands in image references.
    pub host: String,
    /// Speak HTTP instead of HTTPS. Never the default.
    #[serde(rename = "plainHTTP")]
    pub plain_http: bool,
    /// Where this registry's content is read first, if it is a base or a toolchain: `host[:port][/folder]`, which has an entry of its
    /// own where it needs one. The registry itself is asked where the mirror fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// File with PEM certificates of the registry's authority, for the process that reads these settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The same certificates in place: this is what travels to build pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// Which cloud's identities (`image.identity`) it takes where its name does not say so, and which servers exchange them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentitySettings>,
}

/// A cloud with workload identities.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum IdentityProvider {
    /// Amazon Web Services.
    AWS,
    /// Microsoft Azure.
    Azure,
    /// Google Cloud.
    Google,
}

/// How identities are exchanged for one registry: for private endpoints, and for clouds that the operator does not know by name. Certificates
/// are the registry's.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentitySettings {
    /// Whose identities it takes.
    pub provider: IdentityProvider,
    /// AWS: the region. Default: as the registry's name says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Who takes the ServiceAccount's token: STS of AWS or of Google, or Azure's login server. `https://host[:port]`; plain HTTP only
    /// where it stands here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_server: Option<String>,
    /// Who is asked after it: ECR's API, Google's `iamcredentials`. Default with Azure: the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_server: Option<String>,
}

impl Settings {
    /// The names of Windows builds.
    pub fn releases(&self) -> Releases {
        Releases::with(&self.releases)
    }

    /// To which servers logins may be sent.
    pub fn bindings(&self) -> Bindings {
        Bindings { git_hosts: self.git_hosts.clone(), enforcement: self.enforcement }
    }

    /// Checks what only the controller needs.
    ///
    /// # Errors
    /// When `stepImage` is missing: no build could run.
    pub fn check_controller(&self) -> Result<(), SettingsError> {
        if self.step_image.is_empty() { Err(SettingsError::NoStepImage) } else { Ok(()) }
    }

    /// Reads settings, and what they name, by `read`; afterwards every registry's certificates are in `ca_pem`. A relative `caFile` is
    /// looked for next to the settings.
    ///
    /// # Errors
    /// The file, a certificate file, or what is wrong with the content.
    pub fn load(path: &Path, read: impl Fn(&Path) -> io::Result<String>) -> Result<Self, SettingsError> {
        let file = path.display().to_string();
        let text = read(path).map_err(|source| SettingsError::Read { file: file.clone(), source })?;
        let mut settings = Self::parse(&text).map_err(|source| SettingsError::Parse { file, source })?;
        settings.resources.check()?;
        settings.slots.check()?;
        let mut hosts = std::collections::BTreeSet::new();
        for registry in &mut settings.registries {
            if let Some(problem) = registry.problem().or_else(|| (!hosts.insert(registry.host.clone())).then_some("is listed twice")) {
                return Err(SettingsError::Registry { host: registry.host.clone(), problem });
            }
            if let Some(ca_file) = registry.ca_file.take() {
                let ca_path = path.parent().unwrap_or(Path::new(".")).join(&ca_file);
                let pem = read(&ca_path);
                let failed = |source| SettingsError::ReadCa { host: registry.host.clone(), file: ca_path.display().to_string(), source };
                registry.ca_pem = Some(pem.map_err(failed)?);
            }
        }
        Ok(settings)
    }

    fn parse(text: &str) -> Result<Self, serde_norway::Error> {
        // An empty file, or one of comments only, says nothing: that is no error.
        Ok(serde_norway::from_str::<Option<Self>>(text)?.unwrap_or_default())
    }
}

impl RegistrySettings {
    fn problem(&self) -> Option<&'static str> {
        let Self { host, plain_http, mirror, ca_file, ca_pem, identity } = self;
        let unfit = |mirror: &String| {
            let parts: Vec<&str> = mirror.split('/').collect();
            mirror.contains(['@', ' '])
                || mirror.contains("://")
                || parts.iter().any(|part| part.is_empty())
                || parts.first() == Some(&host.as_str())
        };
        match () {
            () if host.is_empty() => Some("has no host"),
            () if host.contains('/') => Some("is not a bare host or host:port: leave out scheme and path"),
            () if mirror.as_ref().is_some_and(unfit) => {
                Some("has a mirror that is no other host[:port][/folder]: leave out scheme, user, tag and a slash at the end")
            }
            () if ca_file.is_some() && ca_pem.is_some() => Some("has caFile and caPem; set one of them"),
            () if *plain_http && (ca_file.is_some() || ca_pem.is_some()) => Some("has plainHTTP and a certificate; set one of them"),
            () => identity.as_ref().and_then(IdentitySettings::problem),
        }
    }
}

impl IdentitySettings {
    fn problem(&self) -> Option<&'static str> {
        let Self { provider, region, token_server, password_server } = self;
        let unfit = |server: &String| {
            let place = server.strip_prefix("https://").or(server.strip_prefix("http://")).map(|place| place.trim_end_matches('/'));
            place.is_none_or(|place| place.is_empty() || place.contains(['/', '@', '?', '#', ' ']))
        };
        match () {
            () if region.is_some() && *provider != IdentityProvider::AWS => Some("has an identity.region, which only AWS has"),
            () if region
                .as_ref()
                .is_some_and(|region| region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')) =>
            {
                Some("has an identity.region that is none: use one such as eu-central-1")
            }
            () if token_server.iter().chain(password_server).any(unfit) => {
                Some("has an identity.tokenServer or passwordServer that is not https://host[:port]")
            }
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), "PEM").expect("written");
        let path = folder.path().join("settings.yaml");
        std::fs::write(&path, yaml).expect("written");
        Settings::load(&path, |path| std::fs::read_to_string(path))
    }

    #[test]
    fn the_shipped_settings_are_enough_for_the_controller() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/manager/settings.yaml");
        assert!(Settings::load(&shipped, |path| std::fs::read_to_string(path)).expect("valid").check_controller().is_ok());
        assert!(Settings::default().check_controller().is_err());
    }

    #[test]
    fn certificates_are_read_from_beside_the_settings() {
        let settings = load("registries: [{host: r.example, caFile: ca.pem}]").expect("settings");
        assert_eq!((settings.registries[0].ca_pem.as_deref(), &settings.registries[0].ca_file), (Some("PEM"), &None));
    }

    #[test]
    fn nothing_is_no_error_and_a_typing_error_is_one() {
        assert_eq!(load("# nothing yet\n").expect("settings"), Settings::default());
        let error = load("registrys: []").expect_err("a typing error");
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert!(cause.is_some_and(|cause| cause.contains("registrys")));
        assert!(
            Settings::load(Path::new("/nonexistent"), |path| std::fs::read_to_string(path))
                .is_err_and(|error| error.to_string().contains("/nonexistent"))
        );
    }

    #[test]
    fn resources_have_defaults_and_are_refused_by_name() {
        let memory = |yaml: &str| load(&format!("resources: {yaml}")).expect("settings").resources;
        let given = memory("{limits: {memory: 6Gi}}");
        assert_eq!((given.limits()["memory"].as_str(), given.requests()["cpu"].as_str(), given.most_memory()), ("6Gi", "500m", 12 << 30));
        assert_eq!(memory("{maxMemory: 5Gi}").most_memory(), 5 << 30);
        assert_eq!(memory("{limits: {memory: 512Mi}}").most_memory(), 1 << 30, "the default request is no more than the limit");
        for (yaml, key) in [
            ("{maxMemory: 2Gi}", "maxMemory"),
            ("{maxMemory: 0}", "maxMemory"),
            ("{limits: {memory: much}}", "limits.memory"),
            ("{requests: {memory: 5Gi}}", "requests.memory"),
        ] {
            let error = load(&format!("resources: {yaml}")).expect_err("refused").to_string();
            assert!(error.contains(&format!("resources.{key}")), "{yaml}: {error}");
        }
        assert!(load("resources: {memory: 4Gi}").is_err());
        let error = load("slots: {windows: 0}").expect_err("refused").to_string();
        assert!(error.contains("slots.windows is 0"), "{error}");
        assert_eq!(load("slots: {linux: 2}").expect("settings").slots, SlotSettings { linux: Some(2), windows: None });
    }

    #[test]
    fn registries_that_cannot_be_meant_are_refused() {
        for yaml in [
            "{host: ''}",
            "{host: 'https://r'}",
            "{host: r, caFile: nope.pem}",
            "{host: r, plainHTTP: true, caFile: ca.pem}",
            "{host: r}, {host: r}",
            "{host: r, mirror: ''}",
            "{host: r, mirror: 'https://m'}",
            "{host: r, mirror: r/folder}",
            "{host: r, mirror: m/}",
            "{host: r, identity: {}}",
            "{host: r, identity: {provider: Oracle}}",
            "{host: r, identity: {provider: Azure, region: eu-central-1}}",
            "{host: r, identity: {provider: AWS, region: 'a/b'}}",
            "{host: r, identity: {provider: AWS, tokenServer: sts.example.com}}",
            "{host: r, identity: {provider: AWS, passwordServer: 'https://u@sts.example.com'}}",
        ] {
            assert!(load(&format!("registries: [{yaml}]")).is_err(), "{yaml}");
        }
    }
}
