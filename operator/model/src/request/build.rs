//! How shall builds run, and can they run so?
//!
//! | engine | linux | windows |
//! |---|---|---|
//! | Go | yes | with a claim that both systems share |
//! | BuildKit | yes, with a buildkitd over TCP or in the build's own pod | over TCP, or with the node's own; with a claim that both systems share |
//! | Kaniko | yes | impossible, refused as [`Reason::InvalidSpec`] |

use super::checks::{self, Check, invalid};
use super::{MINUTE, Refusal, object_name};
use super::{MemoryRequest, resources};
use crate::settings::Settings;
use gowindows_crds::conditions::Reason;
use gowindows_crds::patterns;
use gowindows_crds::v1alpha1::{
    BuildCache, BuildEngine, BuildKitSpec, BuildNodes, BuildSpec, CacheRegistry, CacheVolume, NodeSystem, SecretReference,
};
use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use std::collections::BTreeMap;
use std::time::Duration;

/// How build pods run.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildRequest {
    /// What compiles.
    pub engine: Engine,
    /// Node selector, tolerations, affinity, priority.
    pub nodes: BuildNodes,
    /// The system of the nodes that compile.
    pub system: NodeSystem,
    /// Name of the claim that pods of both systems share.
    pub workspace: Option<String>,
    /// Resources of the compile container, and of the one that tests.
    pub resources: ResourceRequirements,
    /// The memory in them, and up to what it may be raised.
    pub memory: MemoryRequest,
    /// Longest time from creation until the pod runs.
    pub queue: Duration,
    /// Longest time of the `source` stage.
    pub source: Duration,
    /// Longest time of the `compile` stage.
    pub compile: Duration,
    /// Longest time of the `test` stage.
    pub test: Duration,
    /// Longest time of the `assemble` stage.
    pub push: Duration,
    /// Tries after the first.
    pub retries: i32,
    /// Where what compiles keeps its caches; nowhere with a buildkitd elsewhere, which has them.
    pub cache: Option<CacheClaim>,
    /// Where tests keep theirs. No compiler reads what they write, so what is shared is not for them.
    pub test_cache: Option<OwnClaim>,
}

/// What compiles, with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The go command.
    Go,
    /// A buildkitd, through `buildctl`.
    BuildKit(BuildKit),
    /// Kaniko's executor.
    Kaniko {
        /// Its image.
        image: String,
        /// Where layers are kept.
        cache: Option<KanikoCache>,
    },
}

/// A registry in which Kaniko keeps layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KanikoCache {
    /// Without tag or digest.
    pub repository: String,
    /// Its host, where that speaks HTTP.
    pub plain_http: Option<String>,
}

/// A buildkitd and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildKit {
    /// Where it is, and what the pod needs to reach it.
    pub reach: Reach,
    /// The image of `buildctl`, for the system of the nodes.
    pub image: String,
    /// Repository in which layers are kept, without tag or digest.
    pub cache: Option<String>,
    /// The repository's own Dockerfile, which makes the image itself.
    pub dockerfile: Option<String>,
}

/// What it takes to reach a buildkitd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Certificates: it runs anywhere, on Linux.
    Tcp {
        /// `tcp://host:port`.
        address: String,
        /// Name of the Secret with `ca.crt`, `tls.crt` and `tls.key`.
        tls_secret: String,
    },
    /// A named pipe of the pod's own node, which is a Windows node.
    Pipe {
        /// `npipe:////./pipe/name`.
        address: String,
        /// The same, as Windows spells it.
        path: String,
    },
    /// Nothing: it is started in the build's own pod, on Linux, without root.
    InPod,
}

impl Engine {
    fn new(spec: BuildEngine, buildkit: Option<BuildKitSpec>, system: NodeSystem, settings: &Settings) -> Result<Self, Refusal> {
        if buildkit.is_some() && spec != BuildEngine::BuildKit {
            let remedy =
                format!("it is for engine BuildKit alone, and build.engine is {spec:?}; set build.engine to BuildKit, or leave it out");
            return Err(invalid("build.buildkit", "", &remedy));
        }
        match spec {
            BuildEngine::Kaniko if system == NodeSystem::Windows => {
                let remedy = "Kaniko cannot run on Windows; use linux (or leave it out): programs are compiled there for Windows, with the same result";
                Err(invalid("build.nodes.os", "windows", remedy))
            }
            BuildEngine::Go => Ok(Self::Go),
            BuildEngine::Kaniko => {
                Ok(Self::Kaniko { image: configured(spec, "kanikoImage", settings.kaniko_image.as_ref())?, cache: None })
            }
            BuildEngine::BuildKit => {
                let lacking =
                    || invalid("build.buildkit", "", "engine BuildKit needs the address and tlsSecretRef of a buildkitd, or inPod");
                Ok(Self::BuildKit(BuildKit::new(buildkit.ok_or_else(lacking)?, system, settings)?))
            }
        }
    }

    /// The repository in which it keeps layers, without tag or digest, where it does so.
    pub fn registry_cache(&self) -> Option<&String> {
        match self {
            Self::BuildKit(buildkit) => buildkit.cache.as_ref(),
            Self::Kaniko { cache, .. } => cache.as_ref().map(|cache| &cache.repository),
            Self::Go => None,
        }
    }

    /// Has it keep layers in a registry.
    fn keep_layers(&mut self, registry: CacheRegistry, settings: &Settings) -> Result<(), Refusal> {
        let field = "build.cache.registry.repository";
        let remedy = "use host/path without tag or digest, such as registry.example.com/cache/app";
        let repository = Check::new(field, &registry.repository, remedy).at_most(255).form(patterns::REPOSITORY)?;
        match self {
            Self::Go => Err(invalid("build.cache.registry", "", "engine Go makes no layers; use build.cache.volume")),
            Self::BuildKit(buildkit) => {
                buildkit.cache = Some(repository);
                Ok(())
            }
            Self::Kaniko { cache, .. } => {
                let host = repository.split('/').next().unwrap_or_default();
                let registry = settings.registries.iter().find(|registry| registry.host == host);
                if registry.is_some_and(|registry| registry.ca_pem.is_some() || registry.ca_file.is_some()) {
                    let remedy = "this registry has a certificate authority of its own (registries in the operator's settings), of which Kaniko is not told; use another registry, or build.cache.volume";
                    return Err(invalid(field, &repository, remedy));
                }
                let plain_http = registry.filter(|registry| registry.plain_http).map(|registry| registry.host.clone());
                *cache = Some(KanikoCache { repository, plain_http });
                Ok(())
            }
        }
    }

    /// Whether what compiles is not in the pod, nor are its memory and its caches.
    pub fn is_elsewhere(&self) -> bool {
        match self {
            Self::BuildKit(BuildKit { reach, .. }) => *reach != Reach::InPod,
            Self::Go | Self::Kaniko { .. } => false,
        }
    }

    /// Its name in the API.
    pub fn kind(&self) -> BuildEngine {
        match self {
            Self::Go => BuildEngine::Go,
            Self::BuildKit(_) => BuildEngine::BuildKit,
            Self::Kaniko { .. } => BuildEngine::Kaniko,
        }
    }

    /// The repository's own Dockerfile, where it makes the image itself.
    pub fn dockerfile(&self) -> Option<&str> {
        match self {
            Self::BuildKit(buildkit) => buildkit.dockerfile.as_deref(),
            Self::Go | Self::Kaniko { .. } => None,
        }
    }
}

impl BuildKit {
    fn new(spec: BuildKitSpec, system: NodeSystem, settings: &Settings) -> Result<Self, Refusal> {
        let BuildKitSpec { address, in_pod, tls_secret_ref, dockerfile } = spec;
        let dockerfile = dockerfile.map(|path| checks::inside("build.buildkit.dockerfile", &path)).transpose()?;
        let reach = match (address, in_pod.unwrap_or_default()) {
            (Some(address), false) => Reach::at(&address, tls_secret_ref, system)?,
            (None, true) => Reach::in_pod(tls_secret_ref, system)?,
            (Some(_), true) | (None, false) => {
                let remedy = "name the address and tlsSecretRef of a buildkitd, or set inPod to true; one of both";
                return Err(invalid("build.buildkit", "", remedy));
            }
        };
        let (setting, image) = match system {
            NodeSystem::Linux => ("buildctlImage", &settings.buildctl_image),
            NodeSystem::Windows => ("windowsBuildctlImage", &settings.windows_buildctl_image),
        };
        let image = configured(BuildEngine::BuildKit, setting, image.as_ref())?;
        Ok(Self { reach, image, cache: None, dockerfile })
    }
}

impl Reach {
    fn in_pod(tls_secret: Option<SecretReference>, system: NodeSystem) -> Result<Self, Refusal> {
        match (tls_secret, system) {
            (Some(secret), _) => {
                let remedy = "a buildkitd in the build's own pod takes no certificates; leave it out";
                Err(invalid("build.buildkit.tlsSecretRef.name", &secret.name, remedy))
            }
            (None, NodeSystem::Windows) => {
                let remedy =
                    "no container of Windows can hold a buildkitd; set build.nodes.os to linux (or leave it out), or name an address";
                Err(invalid("build.buildkit.inPod", "true", remedy))
            }
            (None, NodeSystem::Linux) => Ok(Self::InPod),
        }
    }

    fn at(address: &str, tls_secret: Option<SecretReference>, system: NodeSystem) -> Result<Self, Refusal> {
        let address = Check::new("build.buildkit.address", address, "use an address such as tcp://buildkitd.builds:1234")
            .at_most(270)
            .form(patterns::BUILDKIT_ADDRESS)?;
        let pipe = address.strip_prefix("npipe:").map(|pipe| pipe.trim_start_matches('/').replace('/', r"\"));
        match (pipe, tls_secret, system) {
            (None, Some(secret), _) => {
                let tls_secret = object_name("build.buildkit.tlsSecretRef.name", &secret.name)?;
                Ok(Self::Tcp { address, tls_secret })
            }
            (None, None, _) => {
                let remedy = "whoever reaches a buildkitd without certificates rules it; name a Secret with ca.crt, tls.crt and tls.key";
                Err(invalid("build.buildkit.tlsSecretRef", "", remedy))
            }
            (Some(_), Some(secret), _) => {
                Err(invalid("build.buildkit.tlsSecretRef.name", &secret.name, "a named pipe takes no certificates; leave it out"))
            }
            (Some(_), None, NodeSystem::Linux) => {
                let remedy = "a named pipe is one of a Windows node; set build.nodes.os to windows, or use an address such as tcp://buildkitd.builds:1234";
                Err(invalid("build.buildkit.address", &address, remedy))
            }
            (Some(pipe), None, NodeSystem::Windows) => {
                let path = format!(r"\\{pipe}");
                Ok(Self::Pipe { address, path })
            }
        }
    }
}

fn configured(engine: BuildEngine, setting: &str, image: Option<&String>) -> Result<String, Refusal> {
    image.cloned().ok_or_else(|| Refusal {
        reason: Reason::NotConfigured,
        message: format!(
            "build.engine {:?}: this operator has no image for it. Use engine Go, or ask the operator's owner to set {setting}.",
            format!("{engine:?}")
        ),
    })
}

/// The claim of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheClaim {
    /// The object's own.
    Own(OwnClaim),
    /// One that is there, by its name.
    Shared(String),
}

/// A claim that the operator makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnClaim {
    /// Its size, as a quantity.
    pub size: String,
    /// Its storage class; the cluster's default where there is none.
    pub class: Option<String>,
}

impl CacheClaim {
    fn new(volume: CacheVolume) -> Result<Self, Refusal> {
        let CacheVolume { claim_name, size, storage_class_name: class } = volume;
        let Some(name) = claim_name else {
            let size = size.unwrap_or_else(|| "10Gi".into());
            let size = Check::new("build.cache.volume.size", &size, "use a whole number of Mi, Gi or Ti").form(patterns::CLAIM_SIZE)?;
            return Ok(Self::Own(OwnClaim { size, class }));
        };
        if size.is_some() || class.is_some() {
            let remedy = "it names a claim that is there; leave size and storageClassName out";
            return Err(invalid("build.cache.volume.claimName", &name, remedy));
        }
        object_name("build.cache.volume.claimName", &name).map(Self::Shared)
    }

    /// Where it is one that the operator makes.
    pub fn own(&self) -> Option<&OwnClaim> {
        match self {
            Self::Own(claim) => Some(claim),
            Self::Shared(_) => None,
        }
    }
}

impl BuildRequest {
    pub(super) fn new(spec: BuildSpec, settings: &Settings) -> Result<Self, Refusal> {
        let BuildSpec { engine, buildkit, nodes, workspace, resources, timeouts, retries, cache } = spec;
        let nodes = nodes.unwrap_or_default();
        let system = nodes.os.unwrap_or_default();
        let BuildCache { volume, registry } = cache.unwrap_or_default();
        let mut engine = Engine::new(engine.unwrap_or_default(), buildkit, system, settings)?;
        let cache = volume.map(CacheClaim::new).transpose()?;
        let shared = matches!(cache, Some(CacheClaim::Shared(_)));
        let (is_buildkit, is_elsewhere) = (matches!(engine, Engine::BuildKit(_)), engine.is_elsewhere());
        let elsewhere = [
            ("build.cache.volume.claimName", shared && is_buildkit, "keeps the caches"),
            ("build.resources", resources.is_some() && is_elsewhere, "has its own"),
        ];
        let unheard = elsewhere.into_iter().find(|(_, set, _)| *set);
        registry.map_or(Ok(()), |registry| engine.keep_layers(registry, settings))?;
        if let Some((field, _, why)) = unheard {
            return Err(invalid(field, "", &format!("it is of no use to engine BuildKit, whose buildkitd {why}; leave it out")));
        }
        if let Some(label) = ["kubernetes.io/os", "kubernetes.io/arch"].into_iter().find(|label| nodes.selector.contains_key(*label)) {
            return Err(invalid("build.nodes.selector", label, "it is set by the operator; leave it out"));
        }
        let timeouts = timeouts.unwrap_or_default();
        let (resources, memory) = resources::resources(resources, settings)?;
        Ok(Self {
            resources,
            memory,
            nodes,
            system,
            workspace: workspace.map(|workspace| object_name("build.workspace.claimName", &workspace.claim_name)).transpose()?,
            queue: checks::positive("build.timeouts.queue", timeouts.queue.as_deref(), 30 * MINUTE)?,
            source: checks::positive("build.timeouts.source", timeouts.source.as_deref(), 5 * MINUTE)?,
            compile: checks::positive("build.timeouts.build", timeouts.build.as_deref(), 30 * MINUTE)?,
            test: checks::positive("build.timeouts.test", timeouts.test.as_deref(), 30 * MINUTE)?,
            push: checks::positive("build.timeouts.push", timeouts.push.as_deref(), 10 * MINUTE)?,
            retries: i32::try_from(checks::count("build.retries", retries, 2, 0..=10)?).unwrap_or(2),
            engine,
            test_cache: cache.as_ref().and_then(CacheClaim::own).cloned(),
            cache: cache.filter(|_| !is_elsewhere),
        })
    }

    /// The system on which the go command runs: a buildkitd that is reached over TCP has its own.
    pub fn compiles_on(&self) -> NodeSystem {
        match &self.engine {
            Engine::BuildKit(BuildKit { reach: Reach::Tcp { .. }, .. }) => NodeSystem::Linux,
            Engine::Go | Engine::BuildKit(_) | Engine::Kaniko { .. } => self.system,
        }
    }

    /// Labels that nodes of a system must have, and the affinity to them. What the object says is said of the nodes that compile.
    pub fn places(&self, system: NodeSystem) -> (BTreeMap<String, String>, Option<Affinity>) {
        let named = if system == self.system { self.nodes.clone() } else { BuildNodes::default() };
        let name = match system {
            NodeSystem::Linux => "linux",
            NodeSystem::Windows => "windows",
        };
        let own = [("kubernetes.io/os", name), ("kubernetes.io/arch", "amd64")];
        let own = own.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned()));
        (named.selector.into_iter().chain(own).collect(), named.affinity)
    }

    /// Tolerations, or `None` where there are none.
    pub fn tolerations(&self) -> Option<Vec<Toleration>> {
        Some(self.nodes.tolerations.clone()).filter(|list| !list.is_empty())
    }
}
