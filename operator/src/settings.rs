//! How is the operator configured? (`controller --config FILE`, also read by `build`.)
//!
//! Unknown keys are errors, so that a typo cannot pass for a setting.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// stub
    pub fn load(_: &std::path::Path) -> anyhow::Result<Self> {
        todo!()
    }
}
