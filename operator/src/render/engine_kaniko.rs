//! How does Kaniko compile? Its executor reads the generated Dockerfile in the build's own pod and leaves an image of one file.
//!
//! Kaniko runs commands in the root of its own container. So that is a container of the toolchain, into which the executor is brought: the node
//! pulls the toolchain and keeps it, as for engine Go, where Kaniko would pull and unpack it anew for every build. It needs root and what a
//! copy of files with their owners takes, and Pod Security *baseline* grants; it is not privileged and cannot become so. It never sees a
//! Windows image: it can make none.

use super::builder::{BUILT, CONTEXT, DOCKERFILE, generated, mounts};
use super::dockerfile::Builder;
use super::job::{BuildOrder, COMPILE, CompileStage, EXECUTOR, Program, scratch};
use super::modules::Credentials;
use super::stages::{CACHE, ForBuilder, literal, mount, restricted, small};
use crate::decide::Request;
use crate::settings::Settings;
use k8s_openapi::api::core::v1::{Capabilities, Container, SecurityContext};

/// The image that it leaves.
const IMAGE: &str = "image.tar";
/// Where the commands of the Dockerfile have their caches in the object's volume.
const CACHES: &str = "/cache/by-root";
/// Its own folder, in each image that it is in.
const HOME: &str = "/kaniko";
/// Where it is brought to.
const BROUGHT: &str = "/gowindows/kaniko";
/// What copies it, in the variants of Kaniko's image that have more programs.
const COPY: &str = "/busybox/cp";
/// What copying the source and the program with their owners and modes takes.
const CAPABILITIES: [&str; 3] = ["CHOWN", "DAC_OVERRIDE", "FOWNER"];
/// Folders in which a compiler changes nothing: they are looked at for changes never, and not deleted before the last stage.
const UNCHANGED: [&str; 14] =
    ["/bin", "/boot", "/etc", "/go", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/root", "/sbin", "/usr", "/var"];

pub(super) fn compile(image: &str, request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> CompileStage {
    let cache = request.build.cache.as_ref().map(|_| CACHES);
    let builder = ForBuilder { context: Some(generated(request, settings, order, Builder::Kaniko)), cache, ..ForBuilder::default() };
    let container = Container {
        name: COMPILE.into(),
        image: Some(order.inputs.toolchain.clone()),
        command: Some(vec![format!("{HOME}/executor")]),
        args: Some(arguments().iter().map(|word| literal(word)).collect()),
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
        volume_mounts: Some(
            mounts()
                .into_iter()
                .chain([mount("cache", CACHE), mount("kaniko", HOME)])
                .chain(order.credentials.map(Credentials::mount))
                .collect(),
        ),
        ..Container::default()
    };
    let volumes = order.secrets(request).into_iter().chain([scratch("kaniko")]).collect();
    CompileStage { before: Some(executor(image)), container, volumes, builder, program: Program::Image(IMAGE) }
}

/// Brings the executor.
fn executor(image: &str) -> Container {
    Container {
        name: EXECUTOR.into(),
        image: Some(image.into()),
        command: Some([COPY, &format!("{HOME}/executor"), BROUGHT].map(String::from).to_vec()),
        resources: Some(small()),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![mount("kaniko", BROUGHT)]),
        ..Container::default()
    }
}

fn arguments() -> Vec<String> {
    let fixed = [
        format!("--context=dir://{CONTEXT}"),
        format!("--dockerfile={DOCKERFILE}"),
        "--no-push".to_owned(),
        // Without `--reproducible`, which packs all layers once more: no time of this image gets into the one that is published.
        format!("--tar-path={BUILT}/{IMAGE}"),
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
    fixed.into_iter().chain(UNCHANGED.iter().map(|folder| format!("--ignore-path={folder}"))).collect()
}
