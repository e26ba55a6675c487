//! Version `v1alpha1`: the root object, its printed columns and its cross-field rules.
//!
//! Every field that is not required is an `Option` or an empty collection whose default is documented, and the default is
//! applied when the operator reads the object, never stored: an upgrade can improve a default.

mod build;
mod go;
mod identity;
mod image;
mod rollout;
mod signing;
mod source;
mod status;

pub use build::{
    BuildCache, BuildEngine, BuildKitSpec, BuildNodes, BuildResources, BuildSpec, BuildTimeouts, BuildWorkspace, CacheRegistry,
    CacheVolume, NodeSystem,
};
pub use go::{GoEnvVar, GoSpec, ModulesSpec, PrivateFrom, TestSpec};
pub use identity::{AwsIdentity, AzureIdentity, GoogleIdentity, IdentitySpec};
pub use image::{
    BaseFlavor, BaseSpec, BudgetAction, CompressionAlgorithm, CompressionSpec, FileMapping, ImageEnvVar, ImageSpec, SizeBudgetSpec,
};
pub use rollout::{HistorySpec, RolloutMode, RolloutSpec, TargetKind, TargetSpec};
pub use signing::SigningSpec;
pub use source::{GitReference, GitSource, SourceSpec};
pub use status::*;

use crate::patterns;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From this Go source, keep this small, correct Windows container image published, and keep these workloads running it.
// The lint takes the columns' `name = ..., type_ = ...` for repetitions of one attribute.
#[allow(clippy::duplicated_attributes)]
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[kube(
    group = "gowindows.dev",
    version = "v1alpha1",
    kind = "GoWindowsImage",
    plural = "gowindowsimages",
    singular = "gowindowsimage",
    shortname = "gwi",
    category = "gowindows",
    namespaced,
    status = "GoWindowsImageStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.display.revision"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.display.digest"),
    printcolumn(name = "App", type_ = "string", json_path = ".status.display.app"),
    printcolumn(name = "Rollout", type_ = "string", json_path = ".status.display.rollout"),
    printcolumn(name = "Built", type_ = "date", json_path = ".status.image.builtAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Engine", type_ = "string", json_path = ".status.image.engine", priority = 1),
    printcolumn(name = "Releases", type_ = "string", json_path = ".status.display.releases", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1)
)]
#[x_kube(validation = Rule::new("!(has(self.build) && has(self.build.nodes) && has(self.build.nodes.os) && self.build.nodes.os == 'windows') || has(self.build.workspace)")
    .message("build.workspace: a build on Windows nodes gets its files from a Job on a Linux node; set claimName to a PersistentVolumeClaim with ReadWriteMany that both can mount (such as SMB)"))]
#[x_kube(validation = Rule::new("!(has(self.go) && has(self.go.test) && has(self.go.test.os) && self.go.test.os == 'windows') || (has(self.build) && has(self.build.workspace))")
    .message("build.workspace: tests on Windows nodes get their files from a Job on a Linux node; set claimName to a PersistentVolumeClaim with ReadWriteMany that both can mount (such as SMB)"))]
#[x_kube(validation = Rule::new("!(has(self.go) && has(self.go.cgo) && self.go.cgo) || (has(self.build) && has(self.build.nodes) && has(self.build.nodes.os) && self.build.nodes.os == 'windows' && (!has(self.build.engine) || self.build.engine == 'Go'))")
    .message("go.cgo: a C compiler for Windows is used on Windows nodes alone, by engine Go; set build.nodes.os to windows and leave build.engine out, or leave go.cgo out"))]
// Of a Dockerfile that makes the image itself, nothing that it decides can be said elsewhere.
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.buildkit) || !has(self.build.buildkit.dockerfile) || !(has(self.image.args) || has(self.image.env) || has(self.image.ports) || has(self.image.files))")
    .message("image.args, image.env, image.ports and image.files are for the Dockerfile of build.buildkit.dockerfile to say (ENTRYPOINT, ENV, EXPOSE, COPY); leave them out"))]
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.buildkit) || !has(self.build.buildkit.dockerfile) || !has(self.image.identity)")
    .message("image.identity: buildctl, which pushes the image of a Dockerfile (build.buildkit.dockerfile), has no use for it; use image.pushSecretRef"))]
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.buildkit) || !has(self.build.buildkit.dockerfile) || !has(self.go) || !has(self.go.modules) || !has(self.go.modules.secretRef)")
    .message("go.modules.secretRef: whatever a Dockerfile of the repository runs (build.buildkit.dockerfile) could keep that login; vendor the modules, or name a proxy without a login in go.modules.proxy"))]
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.engine) || self.build.engine != 'Kaniko' || !has(self.build.cache) || !has(self.build.cache.registry) || !has(self.image.pushSecretRef)")
    .message("build.cache.registry: Kaniko compiles beside the login of that registry (image.pushSecretRef), where code of the source could read it; use build.cache.volume, or engine BuildKit"))]
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.buildkit) || !has(self.build.buildkit.dockerfile) || !has(self.image.annotations)")
    .message("image.annotations have no place in the image of a Dockerfile (build.buildkit.dockerfile); use image.labels"))]
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.buildkit) || !has(self.build.buildkit.dockerfile) || !has(self.image.compression) || !has(self.image.compression.algorithm) || self.image.compression.algorithm == 'gzip'")
    .message("image.compression: BuildKit writes layers of Windows with gzip alone (build.buildkit.dockerfile); use gzip"))]
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.buildkit) || !has(self.build.buildkit.dockerfile) || !has(self.image.base) || !((has(self.image.base.releases) && self.image.base.releases.size() > 1) || has(self.image.base.pullSecretRef))")
    .message("image.base: a Dockerfile (build.buildkit.dockerfile) has one base, read with the Secret of image.pushSecretRef; name one release, and no pullSecretRef"))]
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.buildkit) || !has(self.build.buildkit.dockerfile) || !has(self.go) || !(has(self.go.package) || has(self.go.ldflags) || has(self.go.strip))")
    .message("go.package, go.ldflags and go.strip are for the Dockerfile of build.buildkit.dockerfile to say; leave them out"))]
#[x_kube(validation = Rule::new("!has(self.build) || !has(self.build.buildkit) || !has(self.build.buildkit.dockerfile) || !has(self.go) || has(self.go.test) || !(has(self.go.tags) || has(self.go.env) || has(self.go.timezoneData))")
    .message("go.tags, go.env and go.timezoneData hold for go.test alone where a Dockerfile compiles (build.buildkit.dockerfile); leave them out"))]
#[serde(rename_all = "camelCase")]
pub struct GoWindowsImageSpec {
    /// Stop looking, building and rolling; what runs keeps running. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// How often the source is looked at, as a Go duration, spread by up to a tenth so that many objects do not poll at once.
    /// `0s`: only when the object changes or an order annotation asks. Otherwise at least `5s`. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub interval: Option<String>,
    /// Where the Go source comes from.
    pub source: SourceSpec,
    /// How the program is compiled. Default: the newest toolchain, the package in the module's root, stripped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go: Option<GoSpec>,
    /// The image that is published.
    pub image: ImageSpec,
    /// How builds are run. Default: by the go command on any Linux node, without a cache between builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildSpec>,
    /// Which workloads run the image. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
    /// Sign what is published. No tag is moved and nothing is rolled before the signature is there. Default: not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<SigningSpec>,
    /// How many finished build Jobs are kept. Default: 5 succeeded and 3 failed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistorySpec>,
}

/// The name of a Secret in the same namespace.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::OBJECT_NAME))]
    pub name: String,
}

/// The CustomResourceDefinition as it is installed.
///
/// The derived one, plus a default for the status: without it an object that the operator has not seen yet counts as
/// healthy for kstatus (fluxcd/kustomize-controller issue 387).
pub fn crd() -> CustomResourceDefinition {
    let mut crd = GoWindowsImage::crd();
    let status = crd.spec.versions.iter_mut().filter_map(|version| {
        let root = version.schema.as_mut()?.open_api_v3_schema.as_mut()?;
        root.properties.as_mut()?.get_mut("status")
    });
    for schema in status {
        schema.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
    }
    crd
}

/// The CustomResourceDefinition as YAML, as committed in `crds/gowindowsimages.yaml`.
///
/// # Errors
/// Never in practice: the derived definition is plain data.
pub fn crd_yaml() -> Result<String, serde_norway::Error> {
    Ok(format!("# Generated by `cargo run --package gowindows-crds --bin crdgen`; do not edit.\n{}", serde_norway::to_string(&crd())?))
}
