//! How does Kaniko compile? Its executor takes the generated Dockerfile in the build's own pod and leaves an image of one file.
//!
//! It unpacks the toolchain's image over its own root and runs the go command there, so it is root, with the capabilities that unpacking
//! takes and Pod Security *baseline* grants; it is not privileged and cannot become so. It never sees a Windows image: it can make none.

use super::builder::{BUILT, CONTEXT, DOCKERFILE, certificate, context, mounts, registries};
use super::dockerfile::Caches;
use super::job::{BuildOrder, COMPILE, CompileStage, Program};
use super::modules::Credentials;
use super::stages::{CACHE, ForBuilder, literal, mount};
use crate::decide::Request;
use crate::settings::{RegistrySettings, Settings};
use k8s_openapi::api::core::v1::{Capabilities, Container, SecurityContext};

/// The image that it leaves.
const IMAGE: &str = "image.tar";
/// Where the commands of the Dockerfile have their caches in the object's volume.
const CACHES: &str = "/cache/by-root";
/// What unpacking an image takes: owners, modes, file capabilities; and running a command of it.
const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP", "SETGID", "SETUID"];

pub(super) fn compile(image: &str, request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> CompileStage {
    let cache = request.build.cache.as_ref().map(|_| CACHES);
    let builder = ForBuilder { context: Some(context(request, settings, order, Caches::Mounted)), cache, ..ForBuilder::default() };
    let container = Container {
        name: COMPILE.into(),
        image: Some(image.into()),
        args: Some(arguments(settings, &order.inputs.toolchain).iter().map(|word| literal(word)).collect()),
        resources: Some(request.build.resources.clone()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { add: Some(CAPABILITIES.map(String::from).to_vec()), drop: Some(vec!["ALL".into()]) }),
            run_as_group: Some(0),
            run_as_non_root: Some(false),
            run_as_user: Some(0),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        // What is mounted is no part of the image that it makes, and is not deleted between its stages.
        volume_mounts: Some(mounts().into_iter().chain([mount("cache", CACHE)]).chain(order.credentials.map(Credentials::mount)).collect()),
        ..Container::default()
    };
    CompileStage { container, volumes: order.secrets(request), builder, program: Program::Image(IMAGE) }
}

fn arguments(settings: &Settings, toolchain: &str) -> Vec<String> {
    let mut arguments = vec![
        format!("--context=dir://{CONTEXT}"),
        format!("--dockerfile={DOCKERFILE}"),
        "--no-push".to_owned(),
        format!("--tar-path={BUILT}/{IMAGE}"),
        "--reproducible".to_owned(),
        // Nothing is taken from what it sees of changes but the last copy; times and sizes find that.
        "--snapshot-mode=redo".to_owned(),
        // It is in a container, whatever the runtime lets it see of that.
        "--force".to_owned(),
        // Its own messages are noise around the compiler's, of which only the end is kept.
        "--verbosity=error".to_owned(),
        "--log-format=text".to_owned(),
        // By default it takes images from /cache, where builds write.
        "--cache-dir=/gowindows/no-images".to_owned(),
    ];
    for RegistrySettings { host, plain_http, mirror, ca_pem, ca_file: _, identity: _ } in registries(settings, toolchain) {
        arguments.extend(mirror.as_ref().map(|mirror| format!("--registry-map={host}={mirror}")));
        arguments.extend(plain_http.then(|| format!("--insecure-registry={host}")));
        arguments.extend(ca_pem.as_ref().map(|_| format!("--registry-certificate={host}={}", certificate(host))));
    }
    arguments
}
