//! How does Kaniko compile? Its executor reads the generated Dockerfile in the build's own pod and leaves an image of one file.
//!
//! Kaniko runs commands in the root of its own container. So that is a container of the toolchain, into which the executor is brought: the node
//! pulls the toolchain and keeps it, as for engine Go, where Kaniko would pull and unpack it anew for every build. It needs root and what a
//! copy of files with their owners takes, and Pod Security *baseline* grants; it is not privileged and cannot become so. It never sees a
//! Windows image: it can make none.

use super::builder::{BUILT, CONTEXT, DOCKERFILE, generated, mounts, owner};
use super::job::{CompileStage, Program, module_secrets, scratch};
use super::modules;
use super::stages::{CACHE, ForBuilder, literal, mount, restricted, small};
use gowindows_crds::GoWindowsImage;
use gowindows_model::go::dockerfile::{Builder, Generated};
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::{KanikoCache, Request};
use gowindows_model::settings::Settings;
use gowindows_model::wire::stages::{COMPILE, EXECUTOR};
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

/// A build by Kaniko.
pub(super) struct Kaniko<'a> {
    pub(super) object: &'a GoWindowsImage,
    /// The image that the executor is in.
    pub(super) image: &'a str,
    pub(super) cache: Option<&'a KanikoCache>,
    pub(super) request: &'a Request,
    pub(super) settings: &'a Settings,
    pub(super) order: &'a BuildOrder,
}

impl Kaniko<'_> {
    pub(super) fn compile(&self) -> CompileStage {
        let Self { object, image, cache, request, settings, order } = self;
        let reader = Builder::Kaniko(cache.map(|_| owner(object)));
        let builder = ForBuilder {
            context: Some(Generated {
                credentials: None,
                downloaded: order.credentials.is_some(),
                ..generated(request, settings, order, reader)
            }),
            cache: request.build.cache.as_ref().map(|_| CACHES),
            ..ForBuilder::default()
        };
        let container = Container {
            name: COMPILE.into(),
            image: Some(order.inputs.toolchain.clone()),
            command: Some(vec![format!("{HOME}/executor")]),
            args: Some(arguments(*cache).iter().map(|word| literal(word)).collect()),
            resources: Some(request.build.resources.clone()),
            security_context: Some(root()),
            termination_message_policy: Some("FallbackToLogsOnError".into()),
            // What is mounted is no part of the image that it makes, and is not deleted between its stages. The commands that it runs see all
            // of it: no credential may be among it.
            volume_mounts: Some(mounts().into_iter().chain([mount("cache", CACHE), mount("kaniko", HOME)]).collect()),
            ..Container::default()
        };
        let volumes = module_secrets(order).into_iter().chain([scratch("kaniko")]).collect();
        let before = modules::of_program(request, settings, order).into_iter().chain([executor(image)]).collect();
        CompileStage { before, container, volumes, builder, program: Program::Image(IMAGE) }
    }
}

fn root() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: Some(CAPABILITIES.map(String::from).to_vec()), drop: Some(vec!["ALL".into()]) }),
        run_as_group: Some(0),
        run_as_non_root: Some(false),
        run_as_user: Some(0),
        ..SecurityContext::default()
    }
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

fn arguments(cache: Option<&KanikoCache>) -> Vec<String> {
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
    let unchanged = UNCHANGED.iter().map(|folder| format!("--ignore-path={folder}"));
    fixed.into_iter().chain(unchanged).chain(cache.into_iter().flat_map(layers)).collect()
}

/// How it keeps layers: those of commands, under the digests of all that made them. Whatever is wrong with the registry fails no build.
fn layers(KanikoCache { repository, plain_http }: &KanikoCache) -> Vec<String> {
    let mut arguments = vec!["--cache=true".to_owned(), format!("--cache-repo={repository}")];
    // It would end the build where the registry takes nothing; and it would pack layers in memory.
    arguments.extend(["--skip-push-permission-check".to_owned(), "--compressed-caching=false".to_owned()]);
    arguments.extend(plain_http.iter().map(|host| format!("--insecure-registry={host}")));
    arguments
}
