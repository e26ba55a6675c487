//! How is the operator configured? (`controller --config FILE`, also read by `build`.)
//!
//! Unknown keys are errors, so that a typo cannot pass for a setting.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The operator's settings file (YAML).
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Toolchain images by Go release, best pinned by digest: `{"1.26": registry.example.com/golang@sha256:...}`.
    /// An object that names no release gets the newest one.
    pub toolchains: BTreeMap<String, String>,
    /// The image of the build steps `source` and `assemble`: this operator's own.
    pub step_image: String,
    /// Repositories of the Windows bases by flavor; the release becomes the tag.
    pub bases: BTreeMap<String, String>,
    /// How registries are reached, by host. Registries that are not listed: HTTPS with the public authorities.
    pub registries: Vec<RegistrySettings>,
    /// `GOPROXY` of the compile stage. Default: Go's own.
    pub goproxy: Option<String>,
    /// `GOSUMDB` of the compile stage. Default: Go's own.
    pub gosumdb: Option<String>,
    /// Namespaces to watch. Default: all.
    pub watch_namespaces: Vec<String>,
    /// RuntimeClass of build pods. Default: the cluster's.
    pub runtime_class: Option<String>,
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
    /// File with PEM certificates of the registry's authority, for the process that reads these settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The same certificates in place: this is what travels to build pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

impl Settings {
    /// Checks what only the controller needs.
    ///
    /// # Errors
    /// When `stepImage` is missing: no build could run.
    pub fn check_controller(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.step_image.is_empty(), "stepImage is missing: set it to the image of this operator, which build pods run");
        Ok(())
    }
    /// Reads a settings file and puts the certificates of `caFile`s in place.
    ///
    /// # Errors
    /// [`SettingsError`], with the file and what is wrong in it.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        let mut settings: Self = serde_norway::from_str(&text).map_err(|source| SettingsError::Parse { path: path.to_owned(), source })?;
        for registry in &mut settings.registries {
            let Some(file) = registry.ca_file.take() else { continue };
            let pem = std::fs::read_to_string(&file);
            registry.ca_pem = Some(pem.map_err(|source| SettingsError::ReadAuthority { host: registry.host.clone(), file, source })?);
        }
        Ok(settings)
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("read the settings file {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not the YAML that it should be.
    #[error("the settings file {path:?} is not valid; docs/settings.md lists the keys")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_norway::Error,
    },
    /// A file with certificates cannot be read.
    #[error("read the caFile {file:?} of the registry {host}")]
    ReadAuthority {
        /// The registry.
        host: String,
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_settings_can_be_read_and_a_typo_cannot() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/manager/settings.yaml");
        assert!(Settings::load(&shipped).expect("valid").check_controller().is_ok());
        assert!(serde_norway::from_str::<Settings>("toolchain: {}").is_err(), "toolchains is misspelt");
    }
}
