//! How does BuildKit compile? `buildctl` sends the generated Dockerfile and its context to a buildkitd that runs elsewhere, and receives
//! the program as a file. The pod needs no right for that; who may use the buildkitd is said by the certificates of
//! `build.buildkit.tlsSecretRef`.

use super::builder::{BUILT, CONTEXT, context, mounts};
use super::dockerfile::Caches;
use super::job::{BuildOrder, COMPILE, CompileStage, Program, secret_volume};
use super::modules::Credentials;
use super::stages::{REGISTRY_AUTH, TMP, literal, read_only, restricted, small, variable};
use crate::decide::{BuildKit, Request};
use crate::settings::Settings;
use gowindows_crds::GoWindowsImage;
use k8s_openapi::api::core::v1::{Container, KeyToPath};
use kube::ResourceExt;

/// Where the certificates are; the names of its files are those of a `kubernetes.io/tls` Secret, which `--tlsdir` knows.
const TLS: &str = "/var/run/gowindows/buildkit";

pub(super) fn compile(
    object: &GoWindowsImage,
    buildkit: &BuildKit,
    request: &Request,
    settings: &Settings,
    order: &BuildOrder<'_>,
) -> CompileStage {
    let BuildKit { address, tls_secret, image, cache } = buildkit;
    // Of this object alone: what it compiled is read by nobody else.
    let own = format!("gowindows-{}", object.uid().unwrap_or_default());
    let mut arguments = [
        "--addr",
        address,
        "--tlsdir",
        TLS,
        "build",
        "--progress=plain",
        "--frontend=dockerfile.v0",
        &format!("--local=context={CONTEXT}"),
        &format!("--local=dockerfile={CONTEXT}/dockerfile"),
        &format!("--output=type=local,dest={BUILT}"),
    ]
    .map(String::from)
    .to_vec();
    arguments.extend(order.credentials.into_iter().flat_map(Credentials::arguments));
    let (mut mounts, mut variables) = (mounts(), vec![("HOME".to_owned(), TMP.to_owned())]);
    mounts.push(read_only("buildkit-tls", TLS));
    mounts.extend(order.credentials.map(Credentials::mount));
    if let Some(repository) = cache {
        let place = format!("type=registry,ref={repository}:{own}");
        // A build does not fail because its cache cannot be written, or is not there yet.
        arguments.push(format!("--export-cache={place},mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true"));
        arguments.push(format!("--import-cache={place}"));
        if request.push_secret.is_some() {
            // `buildctl` runs no code of the source, and hands buildkitd tokens for the hosts that it asks for.
            mounts.push(read_only("registry-auth", REGISTRY_AUTH));
            variables.push(("DOCKER_CONFIG".to_owned(), REGISTRY_AUTH.to_owned()));
        }
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
    CompileStage { container, volumes, context: Some(context(request, settings, order, Caches::BuildKit(own))), program: Program::File }
}
