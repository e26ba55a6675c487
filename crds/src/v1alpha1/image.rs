//! What image is made, and where does it go?

use super::{IdentitySpec, SecretReference};
use crate::patterns;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The image that is published.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.pushSecretRef) && has(self.identity))")
    .message("set pushSecretRef or identity, not both"))]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Repository to push to, without tag or digest. Example: `registry.example.com/shop/storefront`.
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = patterns::REPOSITORY)
    )]
    pub repository: String,
    /// Tags that are moved to the image once it is verified. `$(revision)` becomes the full commit id.
    /// Default: `["$(revision)", "latest"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), inner(regex(pattern = patterns::IMAGE_TAG)))]
    pub tags: Option<Vec<String>>,
    /// A Secret of type `kubernetes.io/dockerconfigjson` in the same namespace, to push with and to read back with.
    /// The operator needs a Role and RoleBinding in this namespace to read it (`config/samples/secret-access.yaml`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_ref: Option<SecretReference>,
    /// In its place, for the registries of AWS, Azure and Google: a ServiceAccount that the cloud trusts. Its tokens are exchanged for a
    /// password of some hours, by the operator and by the build's last step, each for itself; no password is stored anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentitySpec>,
    /// The Windows base. Default: Nano Server `ltsc2022`, which Windows Server 2022 and 2025 nodes both run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseSpec>,
    /// Arguments that the program is started with. Example: `["-listen", ":8080"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Environment of the program. Secrets do not belong here: an image can be read by everyone who may pull it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.name.upperAscii() == one.name.upperAscii()))")
        .message("image.env: a name is given twice (Windows does not tell upper and lower case apart)"))]
    pub env: Vec<ImageEnvVar>,
    /// TCP ports that the program listens on. Example: `[8080]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<i32>,
    /// How the layers of the program and its files are compressed. Default: gzip at level 4, which is as small as the level 6 of other builders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionSpec>,
    /// How large the application may be. What a build measured is in `status.image` in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_budget: Option<SizeBudgetSpec>,
    /// Labels in the image's configuration. `$(revision)` becomes the full commit id. The operator adds
    /// `org.opencontainers.image.created`, `.revision`, `.source`, `.title`, `.base.name` and `.base.digest`, as labels and as
    /// annotations; a value given here or in `annotations` wins. Example: `{org.opencontainers.image.vendor: Example Ltd}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$'))")
        .message("image.labels: a key has 1 to 255 letters, digits, dots, slashes, underscores and dashes"))]
    #[x_kube(validation = Rule::new("!self.exists(key, key.startsWith('dev.gowindows.'))")
        .message("image.labels: keys under dev.gowindows. are the operator's own"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the image's manifest, and of its index where there are several releases. `$(revision)` becomes the full commit
    /// id. Example: `{org.opencontainers.image.documentation: "https://docs.example.com/storefront"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$'))")
        .message("image.annotations: a key has 1 to 255 letters, digits, dots, slashes, underscores and dashes"))]
    #[x_kube(validation = Rule::new("!self.exists(key, key.startsWith('dev.gowindows.'))")
        .message("image.annotations: keys under dev.gowindows. are the operator's own"))]
    pub annotations: BTreeMap<String, String>,
    /// Files and folders of the repository that go into the image beside the program, in one layer of their own below the program's.
    /// What `.gowindowsignore` in the repository's root names (in gitignore's syntax) is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub files: Vec<FileMapping>,
}

/// What of the repository goes where in the image.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileMapping {
    /// A file or folder, relative to the root of the repository, with forward slashes. Example: `web/dist`.
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::SUB_PATH))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(part, part == '..' || part == '.git')")
        .message("image.files[].from: use a path inside the repository, without `..` or `.git`"))]
    pub from: String,
    /// What it becomes in the image: the same file or folder. Under `C:\app`, or under a folder of your own; never in one of Windows'
    /// own folders. Example: `C:\app\web`.
    #[schemars(length(min = 4, max = 200), regex(pattern = patterns::WINDOWS_PATH))]
    #[x_kube(validation = Rule::new(r"!(self.lowerAscii().split('\\')[1] in ['windows', 'users', 'programdata', 'perflogs', 'recovery', 'boot', 'inetpub', 'var', 'config.msi'])")
        .message(r"image.files[].to: choose C:\app or a folder of your own; Windows' own folders are not written to"))]
    #[x_kube(validation = Rule::new(r"!self.lowerAscii().split('\\').exists(name, name.split('.')[0] in ['con', 'prn', 'aux', 'nul'] || name.split('.')[0].matches('^(com|lpt)[0-9]$'))")
        .message("image.files[].to: a name in it is that of a device"))]
    pub to: String,
    /// What of the folder is left out, in gitignore's syntax, relative to `from`. Example: `["*.map", "!keep.map"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub ignore: Vec<String>,
}

/// Limits of what a node that has the base pulls: the application's compressed layers. An image that could not be measured is
/// not too large.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.app) || has(self.growthPercent)").message("set app, growthPercent or both"))]
#[serde(rename_all = "camelCase")]
pub struct SizeBudgetSpec {
    /// Most bytes. Example: `12Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::BYTES))]
    pub app: Option<String>,
    /// Most growth against the last good image, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub growth_percent: Option<i32>,
    /// `Fail`: an image that is too large gets no tag and reaches no workload. `Warn`: it is used, and the condition
    /// `ImageWarnings` says so. Default: `Fail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<BudgetAction>,
}

/// What happens to an image that is too large.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum BudgetAction {
    /// It is not used.
    #[default]
    Fail,
    /// A warning is shown.
    Warn,
}

/// How the program's layer is compressed. The base's layers stay as they are.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.level) || ((has(self.algorithm) && self.algorithm == 'zstd') ? self.level >= 1 : self.level <= 9)")
    .message("gzip has levels from 0 to 9, zstd from 1 to 19"))]
#[serde(rename_all = "camelCase")]
pub struct CompressionSpec {
    /// `gzip`, which everything reads, or `zstd`, which is smaller at high levels and unpacks faster; containerd reads it on
    /// Windows nodes since 1.6. Default: `gzip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<CompressionAlgorithm>,
    /// 0 to 9 for gzip (default 4; with `build.buildkit.dockerfile` BuildKit packs, and its own is 6), 1 to 19
    /// for zstd (default 3). Above 15, zstd needs some 100 MB of memory in the build pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 19))]
    pub level: Option<i32>,
}

/// A way to compress a layer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CompressionAlgorithm {
    /// RFC 1952.
    #[default]
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// The Windows base image: a flavor and releases that the operator knows, or a reference.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.image) && (has(self.flavor) || has(self.releases)))")
    .message("set image, or flavor and releases, not both"))]
#[serde(rename_all = "camelCase")]
pub struct BaseSpec {
    /// `NanoServer` (about 115 MiB) or `ServerCore` (about 2 GiB). Default: `NanoServer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<BaseFlavor>,
    /// Windows releases to build for, from one compile: one index that shares the program's layer. Default: `[ltsc2022]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), inner(length(max = 32), regex(pattern = patterns::RELEASE)))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other == one))").message("image.base.releases: a release is named twice"))]
    pub releases: Option<Vec<String>>,
    /// A base of your own, by tag or digest, in place of flavor and releases. All its windows/amd64 entries are built.
    /// Example: `registry.example.com/base/nanoserver@sha256:...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::IMAGE_REFERENCE))]
    pub image: Option<String>,
    /// A Secret of type `kubernetes.io/dockerconfigjson` in the same namespace, to read the base with. Default: the one of
    /// `image.pushSecretRef`, or `image.identity` where the base is in the same registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret_ref: Option<SecretReference>,
}

/// A family of Windows base images.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum BaseFlavor {
    /// Nano Server: small, enough for nearly every Go program.
    #[default]
    NanoServer,
    /// Server Core: for programs that need Windows APIs that Nano Server lacks.
    ServerCore,
}

/// A variable in the image's configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageEnvVar {
    /// Name. `PATH` is refused: on Windows it would replace the base's own.
    #[schemars(length(max = 256), regex(pattern = patterns::ENV_NAME))]
    #[x_kube(validation = Rule::new("self.upperAscii() != 'PATH'").message("PATH is refused: on Windows it would replace the base's own"))]
    pub name: String,
    /// Value.
    #[schemars(length(max = 32_768))]
    pub value: String,
}
