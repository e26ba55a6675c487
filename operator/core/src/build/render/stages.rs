//! What do the containers of a build that are ours look like, and what do all containers share?

use super::job::{Program, git_secret, seconds};
use super::workspace::{BUILDS, Workspace};
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::go::dockerfile::Generated;
use gowindows_model::inputs::InputList;
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::Request;
use gowindows_model::settings::{RegistrySettings, Settings};
use gowindows_model::wire::assemble::AssembleRequest;
use gowindows_model::wire::assemble::Expected;
use gowindows_model::wire::source::{BuildkitdRequest, DockerfileRequest, RegistryCacheRequest, SourceRequest};
use gowindows_model::wire::stages::{ASSEMBLE, SOURCE};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, ProjectedVolumeSource, ResourceRequirements, SecurityContext, ServiceAccountTokenProjection, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Scratch space of every container.
pub(super) const TMP: &str = "/tmp";
/// Where Linux containers see the volume with the caches.
pub(super) const CACHE: &str = "/cache";
const GIT_AUTH: &str = "/var/run/gowindows/git";
/// Where the credentials of the registry are, as `config.json`.
pub(super) const REGISTRY_AUTH: &str = "/var/run/gowindows/registry";
const BASE_AUTH: &str = "/var/run/gowindows/base";
/// Where the ServiceAccount's token for the exchange is, as `token`.
const IDENTITY: &str = "/var/run/gowindows/identity";
/// A new one is written long before.
const TOKEN_LASTS: i64 = 3600;
/// Largest work tree that is checked out.
const MAX_SOURCE_BYTES: u64 = 2 << 30;

/// What the first stage writes for a container builder, and looks at for the status.
#[derive(Debug, Default)]
pub(super) struct ForBuilder {
    /// What a Dockerfile and its context are generated from.
    pub(super) context: Option<Generated>,
    /// The repository's own Dockerfile.
    pub(super) dockerfile: Option<DockerfileRequest>,
    /// Where the engine has its caches, where the object has a volume for them.
    pub(super) cache: Option<&'static str>,
    /// Where it keeps layers at a registry.
    pub(super) registry_cache: Option<RegistryCacheRequest>,
    /// The settings of a buildkitd of the build's own.
    pub(super) buildkitd: Option<BuildkitdRequest>,
}

/// The first stage.
pub(super) fn source(
    request: &Request,
    settings: &Settings,
    order: &BuildOrder,
    workspace: Workspace<'_>,
    builder: ForBuilder,
) -> Container {
    let InputList { source, sub_path, compile, .. } = &*order.inputs;
    let ForBuilder { context, dockerfile, cache, registry_cache, buildkitd } = builder;
    let step = SourceRequest {
        url: request.url.clone(),
        reference: request.reference.clone(),
        commit: source.commit().to_owned(),
        sub_path: sub_path.clone(),
        package: compile.package.clone(),
        timeout_seconds: seconds(request.build.source).unsigned_abs(),
        max_bytes: MAX_SOURCE_BYTES,
        context,
        any_program: order.inputs.dockerfile.is_some(),
        dockerfile,
        registry_cache,
        buildkitd,
    };
    let mut args = step_args(SOURCE, &step);
    if step.context.is_some() || step.dockerfile.is_some() {
        args.extend(["--context", "/build"].map(String::from));
    }
    args.extend(["--dest", "/build/src", "--out", "/build/out", "--info", "/build/source.json"].map(String::from));
    let mut mounts = vec![workspace.mount(), mount("tmp", TMP)];
    if let Some(all) = workspace.mount_of_object() {
        args.extend(["--builds", BUILDS].map(String::from));
        args.extend(workspace.ended().flat_map(|build| ["--over".to_owned(), build.to_owned()]));
        mounts.push(all);
    }
    if let Some(folder) = cache {
        args.extend(["--cache", folder].map(String::from));
        mounts.push(read_only("cache", CACHE));
    }
    if git_secret(order).is_some() {
        args.extend(["--auth-dir".to_owned(), GIT_AUTH.to_owned()]);
        mounts.push(read_only("git-auth", GIT_AUTH));
    }
    if (step.dockerfile.is_some() || step.registry_cache.is_some()) && request.push_secret().is_some() {
        args.extend(["--registry-config".to_owned(), format!("{REGISTRY_AUTH}/config.json")]);
        mounts.push(read_only("registry-auth", REGISTRY_AUTH));
    }
    step_container(SOURCE, settings, args, mounts)
}

/// The last stage.
pub(super) fn assemble(
    request: &Request,
    settings: &Settings,
    order: &BuildOrder,
    workspace: Workspace<'_>,
    program: &Program,
) -> Container {
    let step = AssembleRequest {
        repository: request.repository().to_owned(),
        tag: if order.gated { order.inputs.untested_tag() } else { order.inputs.tag() },
        assembly: order.inputs.assembly.clone(),
        // What a Dockerfile compiles, and how, it alone says.
        expected: order.inputs.dockerfile.is_none().then(|| Expected {
            compile: order.inputs.compile.clone(),
            go_version: request.go_version.clone(),
            sub_path: order.inputs.sub_path.clone(),
        }),
        registries: relevant(&settings.registries, request),
        reused_program: order.reused_program.clone(),
        identity: request.identity().cloned(),
        absent_apis: settings.absent_apis.clone(),
        timeout_seconds: seconds(request.build.push).unsigned_abs(),
    };
    let mut args = step_args(ASSEMBLE, &step);
    match program {
        Program::File => args.extend(["--program-dir".to_owned(), "/build/out".to_owned()]),
        Program::Image(file) => args.extend(["--program-image".to_owned(), format!("/build/out/{file}")]),
        Program::Pushed { metadata, system } => {
            args.extend(["--pushed".to_owned(), format!("/build/out/{metadata}")]);
            args.extend((*system == NodeSystem::Windows).then(|| "--made-on-windows".to_owned()));
        }
        Program::Known => {}
    }
    args.extend(["--source-info", "/build/source.json", "--source-dir", "/build/src"].map(String::from));
    let mut mounts = vec![workspace.mount(), mount("tmp", TMP)];
    if request.push_secret().is_some() {
        args.extend(["--registry-config".to_owned(), format!("{REGISTRY_AUTH}/config.json")]);
        mounts.push(read_only("registry-auth", REGISTRY_AUTH));
    }
    if request.identity().is_some() {
        args.extend(["--identity-token".to_owned(), format!("{IDENTITY}/token")]);
        mounts.push(read_only("registry-identity", IDENTITY));
    }
    if request.pull_secret.is_some() {
        args.extend(["--base-config".to_owned(), format!("{BASE_AUTH}/config.json")]);
        mounts.push(read_only("base-auth", BASE_AUTH));
    }
    step_container(ASSEMBLE, settings, args, mounts)
}

/// The token that the last stage exchanges, and no other container sees. No container gets one for the API server.
pub(super) fn identity_token(request: &Request) -> Option<Volume> {
    let identity = request.identity()?;
    let token = ServiceAccountTokenProjection {
        audience: Some(identity.audience.clone()),
        expiration_seconds: Some(TOKEN_LASTS),
        path: "token".into(),
    };
    let sources = vec![VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() }];
    let projected = ProjectedVolumeSource { default_mode: Some(0o400), sources: Some(sources) };
    Some(Volume { name: "registry-identity".into(), projected: Some(projected), ..Volume::default() })
}

/// The settings of the registries that this build talks to, with certificates in place of files.
pub(super) fn relevant(registries: &[RegistrySettings], request: &Request) -> Vec<RegistrySettings> {
    let host = |reference: &str| reference.split('/').next().unwrap_or_default().to_owned();
    let named = request.bases.iter().chain([&request.run.repository.name]).chain(request.build.engine.registry_cache());
    let mut hosts: Vec<String> = named.map(|reference| host(reference)).collect();
    let mirrors = registries.iter().filter(|registry| hosts.contains(&registry.host)).filter_map(|registry| registry.mirror.as_deref());
    hosts.extend(mirrors.map(host).collect::<Vec<_>>());
    let talks_to = |registry: &&RegistrySettings| hosts.contains(&registry.host);
    registries.iter().filter(talks_to).map(|registry| RegistrySettings { ca_file: None, identity: None, ..registry.clone() }).collect()
}

fn step_args(step: &str, request: &impl serde::Serialize) -> Vec<String> {
    let request = serde_json::to_string(request).unwrap_or_default();
    vec!["step".into(), step.into(), "--request".into(), literal(&request)]
}

/// Kubernetes expands `$(NAME)` in commands, arguments and variables; a doubled dollar stays a dollar.
pub(super) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn step_container(name: &str, settings: &Settings, args: Vec<String>, mounts: Vec<VolumeMount>) -> Container {
    Container {
        name: name.into(),
        image: Some(settings.step_image.clone()),
        args: Some(args),
        env: Some(vec![variable(("HOME".into(), TMP.into()))]),
        resources: Some(small()),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// Resources of a container that compiles nothing.
pub(super) fn small() -> ResourceRequirements {
    let quantities =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect();
    ResourceRequirements {
        claims: None,
        limits: Some(quantities(&[("memory", "1Gi")])),
        requests: Some(quantities(&[("cpu", "100m"), ("memory", "128Mi")])),
    }
}

/// What Pod Security *restricted* asks of a container, and a read-only root.
pub(super) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    }
}

/// A variable with exactly this value.
pub(super) fn variable((name, value): (String, String)) -> EnvVar {
    EnvVar { name, value: Some(literal(&value)), value_from: None }
}

/// A volume of the pod.
pub(super) fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
}

/// The same, which the container cannot write.
pub(super) fn read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount(name, path) }
}

/// A folder of the workspace: what a container does not need it does not see.
pub(super) fn part(folder: &str, mount: VolumeMount) -> VolumeMount {
    VolumeMount { sub_path: Some(folder.into()), ..mount }
}
