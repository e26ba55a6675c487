//! How and where are builds run?

use super::SecretReference;
use crate::patterns;
use k8s_openapi::api::core::v1::{Affinity, Toleration};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How builds are run. A build is one Job with one pod (and one more for its tests) on a Linux node, or three in a row where it compiles on a
/// Windows node. Their pods pass Pod Security *restricted*, or *baseline* with engine Kaniko; with `buildkit.inPod`, or a named pipe as
/// `buildkit.address`, neither.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.engine) && self.engine == 'BuildKit') || has(self.buildkit)")
    .message("build.buildkit: engine BuildKit needs the address and tlsSecretRef of a buildkitd, or inPod"))]
#[x_kube(validation = Rule::new("!has(self.buildkit) || (has(self.engine) && self.engine == 'BuildKit')")
    .message("build.buildkit is for engine BuildKit alone; set build.engine to BuildKit, or leave build.buildkit out"))]
#[x_kube(validation = Rule::new("!(has(self.engine) && self.engine == 'BuildKit' && has(self.cache) && has(self.cache.volume) && has(self.cache.volume.claimName))")
    .message("build.cache.volume.claimName is of no use to engine BuildKit, whose buildkitd keeps the caches; leave it out"))]
#[x_kube(validation = Rule::new("!(has(self.cache) && has(self.cache.registry)) || (has(self.engine) && self.engine in ['BuildKit', 'Kaniko'])")
    .message("build.cache.registry is for layers, which engine Go does not make; use build.cache.volume"))]
#[x_kube(validation = Rule::new("!(has(self.engine) && self.engine == 'BuildKit' && has(self.resources)) || (has(self.buildkit) && has(self.buildkit.inPod) && self.buildkit.inPod)")
    .message("build.resources is of no use to engine BuildKit, whose buildkitd has its own; leave it out"))]
#[x_kube(validation = Rule::new("!(has(self.engine) && self.engine == 'Kaniko' && has(self.nodes) && has(self.nodes.os) && self.nodes.os == 'windows')")
    .message("build.nodes.os: Kaniko cannot run on windows; use linux, where the same program is compiled for Windows, or engine Go"))]
#[x_kube(validation = Rule::new("!(has(self.buildkit) && has(self.buildkit.inPod) && self.buildkit.inPod && has(self.nodes) && has(self.nodes.os) && self.nodes.os == 'windows')")
    .message("build.buildkit.inPod: no container of Windows can hold a buildkitd; set build.nodes.os to linux (or leave it out), or name an address"))]
#[x_kube(validation = Rule::new("!(has(self.buildkit) && has(self.buildkit.address) && self.buildkit.address.startsWith('npipe:')) || (has(self.nodes) && has(self.nodes.os) && self.nodes.os == 'windows')")
    .message("build.buildkit.address: a named pipe is one of a Windows node; set build.nodes.os to windows, or use an address such as tcp://buildkitd.builds:1234"))]
#[serde(rename_all = "camelCase")]
pub struct BuildSpec {
    /// What compiles the program. The image is assembled by the operator's own step and has the same digest with each (but for
    /// `buildkit.dockerfile`); so a change of the engine builds nothing by itself and counts from the next build on. Default: `Go`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<BuildEngine>,
    /// The buildkitd that engine BuildKit talks to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildkit: Option<BuildKitSpec>,
    /// Which nodes build pods may use. The architecture is chosen by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<BuildNodes>,
    /// Where pods on Linux and on Windows nodes hand files on. Needed with `nodes.os: windows`, and with `go.test.os: windows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<BuildWorkspace>,
    /// Resources of the compile container, and of the one that tests. Default: requests of 500m CPU and 1Gi memory, a limit of 4Gi memory
    /// that is doubled once where it does not suffice, and kept for the builds after (`status.learned`); the operator's settings may
    /// say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<BuildResources>,
    /// Longest time of each stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<BuildTimeouts>,
    /// How often a build is tried again after a failure that may pass (an eviction, a lost node). One that ran out of memory is tried again once,
    /// with more, unless this is 0.
    /// A compile error is never tried again; what servers refuse or fail to answer is, until it works. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: Option<i32>,
    /// Keeps the compiler's and the module cache between builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<BuildCache>,
}

/// What compiles the program.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum BuildEngine {
    /// The go command in the build's own pod, which passes Pod Security *restricted*.
    #[default]
    Go,
    /// A buildkitd that runs elsewhere and is reached over mutual TLS; the pod passes *restricted*. Or that of the Windows node itself, through
    /// its named pipe; or one in the build's own pod.
    BuildKit,
    /// Kaniko's executor in the build's own pod, as root without a privileged flag: the namespace must allow Pod Security *baseline*.
    Kaniko,
}

impl BuildEngine {
    /// Every engine.
    pub const ALL: [Self; 3] = [Self::Go, Self::BuildKit, Self::Kaniko];

    /// As `build.engine`, annotations and provenance spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Go => "Go",
            Self::BuildKit => "BuildKit",
            Self::Kaniko => "Kaniko",
        }
    }

    /// The engine of this name; none for one of another version.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.as_str() == name)
    }
}

/// A volume that pods on Linux and on Windows nodes share. Every build uses a folder of its own in it, named after the object's uid, and
/// removes what the object's builds before it have left there.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildWorkspace {
    /// Name of an existing PersistentVolumeClaim in the same namespace with access mode ReadWriteMany, of a kind that both systems mount, such as
    /// SMB. Whoever builds with the same claim could change what others build: give it to objects that trust each other.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::OBJECT_NAME))]
    pub claim_name: String,
}

/// The operating system of nodes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeSystem {
    /// Linux nodes, where programs for Windows are cross-compiled.
    #[default]
    Linux,
    /// Windows nodes.
    Windows,
}

/// A buildkitd. The dockerfile frontend that is built into it is used; nothing is fetched from elsewhere.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.address) != (has(self.inPod) && self.inPod)")
    .message("build.buildkit: name the address and tlsSecretRef of a buildkitd, or set inPod to true; one of both"))]
#[x_kube(validation = Rule::new("has(self.tlsSecretRef) || !has(self.address) || !self.address.startsWith('tcp:')")
    .message("build.buildkit.tlsSecretRef: whoever reaches a buildkitd without certificates rules it; name a Secret with ca.crt, tls.crt and tls.key"))]
#[x_kube(validation = Rule::new("!has(self.tlsSecretRef) || (has(self.address) && !self.address.startsWith('npipe:'))")
    .message("build.buildkit.tlsSecretRef: a named pipe and a buildkitd in the build's own pod take no certificates; leave it out"))]
#[serde(rename_all = "camelCase")]
pub struct BuildKitSpec {
    /// Its address. Example: `tcp://buildkitd.builds:1234`. With `nodes.os: windows` also the named pipe of the node's own buildkitd,
    /// `npipe:////./pipe/buildkitd`, which no Pod Security level but *privileged* lets a pod mount (designed: not demonstrated on Windows).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 270), regex(pattern = patterns::BUILDKIT_ADDRESS))]
    pub address: Option<String>,
    /// Starts a buildkitd without root in the build's own pod, in place of one at an `address`. No profile of seccomp or AppArmor may confine it, so the
    /// namespace must enforce no Pod Security level but *privileged*, and nodes must let users make user namespaces. The operator's
    /// `buildctlImage` must be BuildKit's own rootless image. What it keeps is in `build.cache.volume`, else nowhere. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_pod: Option<bool>,
    /// A Secret in the same namespace with `ca.crt` (the authority of the buildkitd's certificate), `tls.crt` and `tls.key` (the client's
    /// own): whoever reaches a buildkitd without certificates rules it, so there is no way over TCP without. A named pipe takes none, nor does `inPod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_ref: Option<SecretReference>,
    /// A Dockerfile of the repository that makes the Windows image itself, relative to the repository's root, which is its context. Its last
    /// stage begins with `FROM` the object's base and copies the program from an earlier one; what cannot be in it is named, with its
    /// line, before anything is built (docs/engines.md). Default: none, a Dockerfile is generated that only compiles.
    /// Example: `build/Dockerfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::SUB_PATH))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(part, part == '..' || part == '.git')").message("must stay inside the repository: no '..' and no '.git'"))]
    pub dockerfile: Option<String>,
}

/// Which nodes build pods may use.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildNodes {
    /// The operating system of the nodes that compile. With `windows` the toolchain is a Windows image (but for a buildkitd over TCP, whose
    /// toolchain stays the same), so an edit of this builds once, with the same result. Default: `linux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<NodeSystem>,
    /// Labels that a node of this system must have. `kubernetes.io/os` and `kubernetes.io/arch` are set by the operator and refused here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("!('kubernetes.io/os' in self) && !('kubernetes.io/arch' in self)").message("kubernetes.io/os and kubernetes.io/arch are set by the operator"))]
    pub selector: BTreeMap<String, String>,
    /// Taints that build pods tolerate, passed on as they are. Those that usually mark Windows nodes (`os=windows`) are tolerated there anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Affinity of build pods on nodes of this system, passed on as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// PriorityClass of build pods. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// Resources of the compile container, as in a pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildResources {
    /// What the scheduler sets aside. Example: `{cpu: "2", memory: 2Gi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What the container may use at most. A limit of memory is kept as it is, unless `maxMemory` allows more. Example: `{memory: 4Gi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, IntOrString>,
    /// Up to how much memory the limit is raised by the operator, after a build that ran out of it. Default: `limits.memory` where it is set
    /// (it is never raised), else what the operator's settings say, 8Gi. Example: `16Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::BYTES))]
    pub max_memory: Option<String>,
}

/// Longest time of each stage, as Go durations (`90s`, `30m`, `1h30m`). Zero and negative values are refused.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildTimeouts {
    /// From the Job's creation until its pod runs; the time in the queue for a slot of the operator's does not count. Default: `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub queue: Option<String>,
    /// Fetching the source. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub source: Option<String>,
    /// Downloading modules and compiling. Default: `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub build: Option<String>,
    /// Compiling and running the tests of `go.test`. A single package may take three quarters of it. Default: `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub test: Option<String>,
    /// Assembling and pushing the image. Default: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub push: Option<String>,
}

/// The cache between builds.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildCache {
    /// A volume of this object's own, and another for its tests, or one that several objects share. Without it, every build starts cold. With engine
    /// BuildKit, whose buildkitd keeps what is compiled, it is for the tests alone (but with `buildkit.inPod`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<CacheVolume>,
    /// Layers of engine BuildKit or Kaniko at a registry, of this object alone: they outlive what a buildkitd keeps, and every pod. With Kaniko they
    /// hold the modules, and the program itself. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<CacheRegistry>,
}

/// Where a builder's layers are kept. The Secret of `image.pushSecretRef` is used where it has this host.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheRegistry {
    /// Repository, without tag or digest. Whoever can read it can read the source and the modules. Example: `registry.example.com/cache/storefront`.
    #[schemars(length(min = 3, max = 255), regex(pattern = patterns::REPOSITORY))]
    pub repository: String,
}

/// The cache's PersistentVolumeClaim: one of the object's own (ReadWriteOnce; claimed with the first build, deleted with the object), or `claimName`.
/// Beside one of its own, tests have another. With engine BuildKit, whose buildkitd keeps what builds compile, there is that of the tests alone.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.claimName) || !(has(self.size) || has(self.storageClassName))")
    .message("build.cache.volume.claimName names a claim that is there; leave size and storageClassName out"))]
#[serde(rename_all = "camelCase")]
pub struct CacheVolume {
    /// Name of an existing PersistentVolumeClaim in the same namespace, which may be the cache of several objects: what one has compiled or
    /// downloaded, none does again. Whoever builds with the same claim could change what others build: give it to objects that trust each
    /// other. With builds on several nodes it needs access mode ReadWriteMany. Tests never see it, and begin with nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::OBJECT_NAME))]
    pub claim_name: Option<String>,
    /// Its size. Default: `10Gi`. A later change does not resize an existing claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::CLAIM_SIZE))]
    pub size: Option<String>,
    /// Its storage class. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}
