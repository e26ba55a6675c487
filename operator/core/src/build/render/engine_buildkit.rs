//! How does BuildKit build? `buildctl` sends a Dockerfile and its context to a buildkitd that runs elsewhere. The pod needs no right for that;
//! who may use the buildkitd is said by the certificates of `build.buildkit.tlsSecretRef`. On Windows nodes it may also be the node's own, whose
//! named pipe the pod mounts: a volume of the host, which no level of Pod Security but *privileged* allows. Or it runs in the pod itself:
//! [`super::engine_buildkit_in_pod`].
//!
//! | Dockerfile | context | result |
//! |---|---|---|
//! | generated | the source below its root | the program, as a file |
//! | the repository's own | the repository | the image, which buildkitd pushes by digest; no tag leads to it yet |

use super::builder::{BUILT, CONTEXT, generated, in_context, mounts, owner};
use super::job::{CompileStage, Program, module_secrets, registry_secrets, scratch, secret_volume};
use super::modules;
use super::stages::{ForBuilder, REGISTRY_AUTH, TMP, literal, mount, part, read_only, relevant, restricted, small, variable};
use super::workspace::Workspace;
use super::{engine_buildkit_in_pod as in_pod, relay, windows_pod};
use gowindows_crds::GoWindowsImage;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::go::credentials::Credentials;
use gowindows_model::go::dockerfile::Builder;
use gowindows_model::inputs::InputList;
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::{BuildKit, Reach, Request};
use gowindows_model::settings::Settings;
use gowindows_model::wire::source::{BuildkitdRequest, DockerfileRequest, RegistryCacheRequest};
use gowindows_model::wire::stages::COMPILE;
use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, KeyToPath, Volume, VolumeMount};
use windows_image::{Assembly, Compression};

/// Where the certificates are; the names of its files are those of a `kubernetes.io/tls` Secret, which `--tlsdir` knows.
const TLS: &str = "/var/run/gowindows/buildkit";
/// The volume with them, and that of the pipe which needs none.
const CERTIFICATES: &str = "buildkit-tls";
const PIPE: &str = "buildkitd";
/// What `buildctl` says of the image that was pushed.
const METADATA: &str = "metadata.json";

/// Where `buildctl` sees what, on the system that it runs on.
struct Folders {
    /// The context of a generated Dockerfile.
    context: String,
    /// The repository, in it.
    source: String,
    /// The folder of the Dockerfile, in it.
    dockerfile: String,
    /// Where the result goes.
    built: String,
    /// What `buildctl` says of it there.
    metadata: String,
    /// The certificates.
    tls: String,
    /// The credentials of registries.
    registry: String,
}

impl Folders {
    fn on_linux() -> Self {
        Self {
            context: CONTEXT.into(),
            source: format!("{CONTEXT}/src"),
            dockerfile: format!("{CONTEXT}/dockerfile"),
            built: BUILT.into(),
            metadata: format!("{BUILT}/{METADATA}"),
            tls: TLS.into(),
            registry: REGISTRY_AUTH.into(),
        }
    }

    fn on_windows(workspace: Workspace<'_>) -> Self {
        let [context, source, dockerfile, built] = ["", "src", "dockerfile", "out"].map(|folder| workspace.on_windows(folder));
        let [tls, registry] = [TLS, REGISTRY_AUTH].map(|folder| format!("C:{folder}").replace('/', r"\"));
        let metadata = format!(r"{built}\{METADATA}");
        Self { context, source, dockerfile, built, metadata, tls, registry }
    }
}

/// A build by BuildKit.
pub(super) struct Buildctl<'a> {
    pub(super) object: &'a GoWindowsImage,
    pub(super) buildkit: &'a BuildKit,
    pub(super) request: &'a Request,
    pub(super) settings: &'a Settings,
    pub(super) order: &'a BuildOrder,
}

impl Buildctl<'_> {
    /// In the build's own pod.
    pub(super) fn on_linux(&self) -> CompileStage {
        let Self { buildkit, request, order, .. } = self;
        let folders = Folders::on_linux();
        let (way, way_mount) = self.way(&folders).unzip();
        let (variables, logins) = self.logins(&folders);
        let variables = [("HOME".to_owned(), TMP.to_owned())].into_iter().chain(variables);
        let files = if buildkit.dockerfile.is_some() { of_the_repository() } else { mounts() };
        let mounts = files.into_iter().chain(way_mount).chain(order.credentials.map(|_| modules::mount_in())).chain(logins);
        let container = Container {
            name: COMPILE.into(),
            image: Some(buildkit.image.clone()),
            command: Some(vec!["buildctl".into()]),
            args: Some(self.arguments(&folders).iter().map(|word| literal(word)).collect()),
            env: Some(variables.map(variable).collect()),
            resources: Some(small()),
            security_context: Some(restricted()),
            termination_message_policy: Some("FallbackToLogsOnError".into()),
            volume_mounts: Some(mounts.collect()),
            ..Container::default()
        };
        let volumes = module_secrets(order).into_iter().chain(way);
        let (container, volumes) = match buildkit.reach {
            Reach::InPod => (in_pod::with_a_buildkitd(container, request), volumes.chain([in_pod::volume()]).collect()),
            Reach::Tcp { .. } | Reach::Pipe { .. } => (container, volumes.collect()),
        };
        CompileStage { before: Vec::new(), container, volumes, builder: self.for_builder(), program: self.program() }
    }

    /// In a Windows pod, whose files are in a workspace.
    pub(super) fn on_windows(&self, workspace: Workspace<'_>) -> CompileStage {
        let folders = Folders::on_windows(workspace);
        let (way, way_mount) = self.way(&folders).unzip();
        let (variables, logins) = self.logins(&folders);
        let argv: Vec<String> = ["buildctl.exe".to_owned()].into_iter().chain(self.arguments(&folders)).collect();
        let mounts = [workspace.mount_on_windows(), mount("tmp", windows_pod::TMP)].into_iter().chain(way_mount).chain(logins);
        let container = Container {
            image: Some(self.buildkit.image.clone()),
            volume_mounts: Some(mounts.collect()),
            ..windows_pod::program(COMPILE, &argv, variables, small())
        };
        let logins = registry_secrets(self.request).filter(|volume| relay::mounts(&container, volume));
        let volumes = [workspace.volume(), scratch("tmp")].into_iter().chain(way).chain(logins).collect();
        CompileStage { before: Vec::new(), container, volumes, builder: self.for_builder(), program: self.program() }
    }

    fn arguments(&self, folders: &Folders) -> Vec<String> {
        let Self { buildkit: BuildKit { reach, dockerfile, .. }, order, .. } = self;
        let mut arguments = match reach {
            Reach::Tcp { address, .. } => vec!["--addr".to_owned(), address.clone(), "--tlsdir".to_owned(), folders.tls.clone()],
            Reach::Pipe { address, .. } => vec!["--addr".to_owned(), address.clone()],
            Reach::InPod => Vec::new(),
        };
        arguments.extend(["build", "--progress=plain", "--frontend=dockerfile.v0"].map(String::from));
        arguments.extend(if dockerfile.is_some() { self.to_the_registry(folders) } else { to_a_file(folders) });
        arguments.extend(order.credentials.into_iter().flat_map(Credentials::arguments));
        if let Some(reference) = self.registry_cache() {
            let place = format!("type=registry,ref={reference}");
            // A build does not fail because its cache cannot be written, or is not there yet.
            arguments.push(format!("--export-cache={place},mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true"));
            arguments.push(format!("--import-cache={place}"));
        }
        arguments
    }

    fn registry_cache(&self) -> Option<String> {
        self.buildkit.cache.as_ref().map(|repository| format!("{repository}:{}", owner(self.object)))
    }

    /// What leads to a buildkitd elsewhere, and how the container sees it.
    fn way(&self, folders: &Folders) -> Option<(Volume, VolumeMount)> {
        match &self.buildkit.reach {
            Reach::Tcp { tls_secret, .. } => {
                let items = ["ca.crt", "tls.crt", "tls.key"].map(|key| KeyToPath { key: key.into(), mode: None, path: key.into() });
                Some((secret_volume(CERTIFICATES, tls_secret, Some(items.to_vec())), read_only(CERTIFICATES, &folders.tls)))
            }
            Reach::Pipe { path, .. } => {
                let pipe = HostPathVolumeSource { path: path.clone(), type_: None };
                Some((Volume { name: PIPE.into(), host_path: Some(pipe), ..Volume::default() }, mount(PIPE, path)))
            }
            Reach::InPod => None,
        }
    }

    /// The login of the registry, where there is something to push or to keep: `buildctl` runs no code of the source, and hands buildkitd tokens
    /// for the hosts that it asks for.
    fn logins(&self, folders: &Folders) -> (Vec<(String, String)>, Vec<VolumeMount>) {
        let BuildKit { cache, dockerfile, .. } = self.buildkit;
        let needed = (cache.is_some() || dockerfile.is_some()) && self.request.push_secret().is_some();
        let login = needed.then(|| (("DOCKER_CONFIG".to_owned(), folders.registry.clone()), read_only("registry-auth", &folders.registry)));
        login.into_iter().unzip()
    }

    fn for_builder(&self) -> ForBuilder {
        let Self { buildkit, request, settings, order, .. } = self;
        let registry_cache = self.registry_cache().map(|reference| {
            let registries = relevant(&settings.registries, request);
            RegistryCacheRequest { reference, registries }
        });
        let builder = match &buildkit.dockerfile {
            None => ForBuilder {
                context: Some(generated(request, settings, order, Builder::BuildKit(owner(self.object)))),
                ..ForBuilder::default()
            },
            Some(path) => of_own(path, request, settings, order),
        };
        let buildkitd = (buildkit.reach == Reach::InPod).then(|| BuildkitdRequest { registries: in_pod::registries(settings) });
        ForBuilder { registry_cache, buildkitd, ..builder }
    }

    fn program(&self) -> Program {
        match self.buildkit.dockerfile {
            Some(_) => Program::Pushed { metadata: METADATA, system: self.request.build.compiles_on() },
            None => Program::File,
        }
    }

    /// BuildKit's other compressions fail on layers of Windows, or write the base's anew; its media types are Docker's by default in older versions.
    fn to_the_registry(&self, folders: &Folders) -> Vec<String> {
        let Self { request, settings, order, .. } = self;
        let InputList { source, assembly, .. } = &*order.inputs;
        let level = match assembly.compression {
            Compression::Gzip(level) | Compression::Zstd(level) => level,
        };
        // What Windows itself has written is pushed as it is.
        let times = if request.build.compiles_on() == NodeSystem::Linux { ",rewrite-timestamp=true" } else { "" };
        let mut arguments = vec![
            format!("--local=context={}", folders.source),
            format!("--local=dockerfile={}", folders.dockerfile),
            "--opt=platform=windows/amd64".to_owned(),
            format!(
                "--output=type=image,name={},push=true,push-by-digest=true,oci-mediatypes=true,compression=gzip,compression-level={level}{times}",
                request.repository()
            ),
            format!("--metadata-file={}", folders.metadata),
            format!("--opt=build-arg:REVISION={}", source.commit()),
            // Mounts that the Dockerfile calls caches are of this object alone, too.
            format!("--opt=build-arg:BUILDKIT_CACHE_MOUNT_NS={}", owner(self.object)),
        ];
        let sources = request.modules.sources(settings).into_iter();
        arguments.extend(sources.map(|(name, value)| format!("--opt=build-arg:{name}={value}")));
        arguments.extend(labels(assembly).into_iter().map(|(key, value)| format!("--opt=label:{key}={value}")));
        arguments
    }
}

fn to_a_file(folders: &Folders) -> Vec<String> {
    let Folders { context, dockerfile, built, .. } = folders;
    vec![format!("--local=context={context}"), format!("--local=dockerfile={dockerfile}"), format!("--output=type=local,dest={built}")]
}

/// The user's own, and what is known of the source and the base before anything is built.
fn labels(assembly: &Assembly) -> Vec<(String, String)> {
    let known = |key: &str, value: Option<&str>| Some((format!("org.opencontainers.image.{key}"), value?.to_owned()));
    let base = assembly.bases.first().and_then(|base| base.split_once('@'));
    let mut labels: Vec<(String, String)> = [
        known("revision", assembly.revision.as_deref()),
        known("source", assembly.source.as_deref()),
        known("base.name", base.map(|(name, _)| name)),
        known("base.digest", base.map(|(_, digest)| digest)),
    ]
    .into_iter()
    .flatten()
    .filter(|(key, _)| !assembly.labels.contains_key(key))
    .collect();
    labels.extend(assembly.labels.clone());
    labels
}

/// The repository, the Dockerfile, and where the answer goes.
fn of_the_repository() -> Vec<VolumeMount> {
    vec![in_context("src"), in_context("dockerfile"), part("out", mount("workspace", BUILT))]
}

fn of_own(path: &str, request: &Request, settings: &Settings, order: &BuildOrder) -> ForBuilder {
    let InputList { assembly, toolchain, .. } = &*order.inputs;
    let dockerfile = DockerfileRequest {
        path: path.to_owned(),
        system: request.build.compiles_on(),
        base: assembly.bases.first().cloned().unwrap_or_default(),
        toolchain: toolchain.clone(),
        registries: relevant(&settings.registries, request),
    };
    ForBuilder { dockerfile: Some(dockerfile), ..ForBuilder::default() }
}
