//! How do private modules get into a build? By a stage of their own, which alone has the credentials:
//!
//! ```text
//! init modules  (the toolchain's)  go list -deps, no shell; nothing of the source is compiled or run   -> /cache/mod
//! ```
//!
//! Whatever compiles afterwards finds them in that cache and asks nobody (`GOPROXY=off`). A compiler reads what the source names, and Go's
//! assembler opens any path that an `#include` says: no login may be where it could. BuildKit has such a stage in its Dockerfile
//! ([`gowindows_model::go::dockerfile`]).

use super::engine_go::{Command, container};
use super::job::secret_volume;
use super::stages::{CACHE, TMP, mount, part, read_only};
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::go::credentials::{self, Credentials, HOME};
use gowindows_model::inputs::InputList;
use gowindows_model::plan::BuildOrder;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use gowindows_model::wire::stages::MODULES;
use k8s_openapi::api::core::v1::{Container, KeyToPath, Volume, VolumeMount};

const VOLUME: &str = "modules-auth";

/// The Secret as a volume.
pub(super) fn volume(credentials: Credentials, secret: &str) -> Volume {
    let items = credentials.files().map(|(key, file)| KeyToPath { key: key.into(), mode: None, path: file.into() });
    secret_volume(VOLUME, secret, Some(items.collect()))
}

/// The volume in a container.
pub(super) fn mount_in() -> VolumeMount {
    read_only(VOLUME, HOME)
}

/// The stage before a program is compiled; none where modules need no login.
pub(super) fn of_program(request: &Request, settings: &Settings, order: &BuildOrder) -> Option<Container> {
    let InputList { compile, toolchain, .. } = &*order.inputs;
    let argv = compile.modules_argv(&compile.package);
    order.credentials.map(|credentials| stage(request, settings, order, credentials, (toolchain, argv, compile.environment())))
}

/// The stage before tests are compiled and run.
pub(super) fn of_tests(request: &Request, settings: &Settings, order: &BuildOrder) -> Option<Container> {
    let InputList { compile, tests, .. } = &*order.inputs;
    let (toolchain, argv) = (order.inputs.toolchain_of_tests(), compile.modules_of_tests_argv(tests));
    let environment = compile.test_environment(NodeSystem::Linux);
    order.credentials.map(|credentials| stage(request, settings, order, credentials, (toolchain, argv, environment)))
}

fn stage(
    request: &Request,
    settings: &Settings,
    order: &BuildOrder,
    credentials: Credentials,
    (toolchain, argv, environment): (&str, Vec<String>, Vec<(String, String)>),
) -> Container {
    let sources = credentials::environment(Some(credentials)).into_iter().chain(request.modules.sources(settings)).collect();
    let source = part("src", read_only("workspace", "/build/src"));
    Container {
        volume_mounts: Some(vec![source, mount("cache", CACHE), mount("tmp", TMP), mount_in()]),
        ..container(MODULES, Command { toolchain, argv, sources, environment }, request, order)
    }
}

/// Where what compiles or tests in the pod looks for modules: with credentials they are there already.
pub(super) fn sources(request: &Request, settings: &Settings, order: &BuildOrder) -> Vec<(String, String)> {
    let sources = if order.credentials.is_some() { credentials::downloaded() } else { request.modules.sources(settings) };
    credentials::environment(None).into_iter().chain(sources).collect()
}
