//! How does BuildKit build? `buildctl` sends a Dockerfile and its context to a buildkitd that runs elsewhere. The pod needs no right for that;
//! who may use the buildkitd is said by the certificates of `build.buildkit.tlsSecretRef`.
//!
//! | Dockerfile | context | result |
//! |---|---|---|
//! | generated | the source below its root | the program, as a file |
//! | the repository's own | the repository | the image, which buildkitd pushes by digest; no tag leads to it yet |

use super::builder::{BUILT, CONTEXT, context, mounts};
use super::dockerfile::Caches;
use super::job::{BuildOrder, COMPILE, CompileStage, Program, secret_volume};
use super::modules::Credentials;
use super::stages::{ForBuilder, REGISTRY_AUTH, TMP, literal, mount, part, read_only, relevant, restricted, small, variable};
use crate::decide::{BuildKit, Inputs, Request};
use crate::image::{Assembly, Compression};
use crate::settings::Settings;
use crate::step::source_request::DockerfileRequest;
use gowindows_crds::GoWindowsImage;
use k8s_openapi::api::core::v1::{Container, KeyToPath, VolumeMount};
use kube::ResourceExt;

/// Where the certificates are; the names of its files are those of a `kubernetes.io/tls` Secret, which `--tlsdir` knows.
const TLS: &str = "/var/run/gowindows/buildkit";
/// What `buildctl` says of the image that was pushed.
const METADATA: &str = "metadata.json";

pub(super) fn compile(
    object: &GoWindowsImage,
    buildkit: &BuildKit,
    request: &Request,
    settings: &Settings,
    order: &BuildOrder<'_>,
) -> CompileStage {
    let BuildKit { address, tls_secret, image, cache, dockerfile } = buildkit;
    // Of this object alone: what it compiled is read by nobody else.
    let own = format!("gowindows-{}", object.uid().unwrap_or_default());
    let mut arguments =
        ["--addr", address, "--tlsdir", TLS, "build", "--progress=plain", "--frontend=dockerfile.v0"].map(String::from).to_vec();
    let (more, mut mounts, builder, program) = match dockerfile {
        None => (to_a_file(), mounts(), of_generated(request, settings, order, &own), Program::File),
        Some(path) => (
            to_the_registry(request, settings, order, &own),
            of_the_repository(),
            of_own(path, request, settings, order),
            Program::Pushed(METADATA),
        ),
    };
    arguments.extend(more);
    arguments.extend(order.credentials.into_iter().flat_map(Credentials::arguments));
    let mut variables = vec![("HOME".to_owned(), TMP.to_owned())];
    mounts.push(read_only("buildkit-tls", TLS));
    mounts.extend(order.credentials.map(Credentials::mount));
    if let Some(repository) = cache {
        let place = format!("type=registry,ref={repository}:{own}");
        // A build does not fail because its cache cannot be written, or is not there yet.
        arguments.push(format!("--export-cache={place},mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true"));
        arguments.push(format!("--import-cache={place}"));
    }
    if (cache.is_some() || dockerfile.is_some()) && request.push_secret.is_some() {
        // `buildctl` runs no code of the source, and hands buildkitd tokens for the hosts that it asks for.
        mounts.push(read_only("registry-auth", REGISTRY_AUTH));
        variables.push(("DOCKER_CONFIG".to_owned(), REGISTRY_AUTH.to_owned()));
    }
    let container = Container {
        name: COMPILE.into(),
        image: Some(image.clone()),
        command: Some(vec!["buildctl".into()]),
        args: Some(arguments.iter().map(|word| literal(word)).collect()),
        env: Some(variables.into_iter().map(variable).collect()),
        resources: Some(small()),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let items = ["ca.crt", "tls.crt", "tls.key"].map(|key| KeyToPath { key: key.into(), mode: None, path: key.into() });
    let mut volumes = order.secrets(request);
    volumes.push(secret_volume("buildkit-tls", tls_secret, Some(items.to_vec())));
    CompileStage { container, volumes, builder, program }
}

fn to_a_file() -> Vec<String> {
    let context = format!("--local=context={CONTEXT}");
    vec![context, format!("--local=dockerfile={CONTEXT}/dockerfile"), format!("--output=type=local,dest={BUILT}")]
}

fn of_generated(request: &Request, settings: &Settings, order: &BuildOrder<'_>, own: &str) -> ForBuilder {
    ForBuilder { context: Some(context(request, settings, order, Caches::BuildKit(own.to_owned()))), dockerfile: None }
}

/// BuildKit's other compressions fail on layers of Windows, or write the base's anew; its media types are Docker's by default in older versions.
fn to_the_registry(request: &Request, settings: &Settings, order: &BuildOrder<'_>, own: &str) -> Vec<String> {
    let Inputs { commit, assembly, .. } = order.inputs;
    let level = match assembly.compression {
        Compression::Gzip(level) | Compression::Zstd(level) => level,
    };
    let mut arguments = vec![
        format!("--local=context={CONTEXT}/src"),
        format!("--local=dockerfile={CONTEXT}/dockerfile"),
        "--opt=platform=windows/amd64".to_owned(),
        format!(
            "--output=type=image,name={},push=true,push-by-digest=true,oci-mediatypes=true,compression=gzip,compression-level={level},rewrite-timestamp=true",
            request.repository
        ),
        format!("--metadata-file={BUILT}/{METADATA}"),
        format!("--opt=build-arg:REVISION={commit}"),
        // Mounts that the Dockerfile calls caches are of this object alone, too.
        format!("--opt=build-arg:BUILDKIT_CACHE_MOUNT_NS={own}"),
    ];
    let sources = request.modules.sources(settings).into_iter();
    arguments.extend(sources.map(|(name, value)| format!("--opt=build-arg:{name}={value}")));
    arguments.extend(labels(assembly).into_iter().map(|(key, value)| format!("--opt=label:{key}={value}")));
    arguments
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
    vec![
        part("src", read_only("workspace", &format!("{CONTEXT}/src"))),
        part("context/dockerfile", read_only("workspace", &format!("{CONTEXT}/dockerfile"))),
        part("out", mount("workspace", BUILT)),
    ]
}

fn of_own(path: &str, request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> ForBuilder {
    let Inputs { assembly, toolchain, .. } = order.inputs;
    let dockerfile = DockerfileRequest {
        path: path.to_owned(),
        base: assembly.bases.first().cloned().unwrap_or_default(),
        toolchain: toolchain.clone(),
        registries: relevant(&settings.registries, request),
    };
    ForBuilder { context: None, dockerfile: Some(dockerfile) }
}
